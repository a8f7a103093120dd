"""Volumes of labels from files: MetaImage (VICTRE's phantoms) and NIfTI-1 (segmented heads such as MIDA).

MetaImage: a text header `.mhd` beside raw bytes, plain or gzipped, or `.mha` with both in one file. NIfTI-1: 348 bytes
of header, then the voxels (Cox et al., nifti1.h, 2004). Both store x fastest; what is returned runs (z, y, x).
"""

import math
import struct
import zlib
from pathlib import Path

import numpy as np

from usct.errors import InputError
from usct.units import MILLIMETRE

LARGEST_BYTES = 2**34
_META_TYPES = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
}
_NIFTI_TYPES = {2: "u1", 4: "i2", 8: "i4", 256: "i1", 512: "u2", 768: "u4", 16: "f4", 64: "f8"}
_NIFTI_UNITS = {0: MILLIMETRE, 1: 1.0, 2: MILLIMETRE, 3: 1e-6}


def read_label_volume(path: Path) -> tuple[np.ndarray, float]:
    """Read labels and their spacing.

    Args:
        path: A `.mhd`, `.mha`, `.nii` or `.nii.gz` file.

    Returns:
        Integers, shape (z, y, x), or (y, x) where the file has two axes; and the distance between voxels [m].

    Raises:
        InputError: If the file is missing, damaged or of a kind that is not read, if its voxels are no cubes, or
            if a label is no whole number.
    """
    try:
        nifti = path.name.lower().endswith((".nii", ".nii.gz"))
        return _read_nifti(path) if nifti else _read_meta(path)
    except (OSError, EOFError, struct.error, zlib.error) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split()) or "cut short"
        raise InputError(f"{path}: cannot be read ({reason}); check the path or copy it again.") from None


def read_label_names(path: Path) -> dict[int, str]:
    """Read which tissue each label is: lines of a number and a tissue's name; # begins a remark.

    Raises:
        InputError: If the file cannot be read or a line is something else.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: cannot be read ({error}); give 'victre' or a text file of labels."
        ) from None
    names = {}
    for number, line in enumerate(lines, 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        try:
            label, tissue = words
            names[int(label)] = tissue
        except ValueError:
            raise InputError(
                f"{path}: line {number} is no 'number tissue', such as '29 gland'; correct it."
            ) from None
    return names


def _read_meta(path: Path) -> tuple[np.ndarray, float]:
    content = path.read_bytes()
    header, place = _meta_header(path, content)
    kind = header.get("ElementType", "")
    if kind not in _META_TYPES or header.get("ElementNumberOfChannels", "1") != "1":
        raise InputError(
            f"{path}: ElementType is {kind or 'missing'}; store one whole number for each voxel."
        )
    big = header.get("BinaryDataByteOrderMSB", header.get("ElementByteOrderMSB", "False"))
    dtype = np.dtype((">" if big.lower() == "true" else "<") + _META_TYPES[kind])
    try:
        shape = tuple(int(n) for n in header["DimSize"].split())[::-1]
        spacings = [float(s) for s in header.get("ElementSpacing", header.get("ElementSize", "")).split()]
    except (KeyError, ValueError):
        raise InputError(
            f"{path}: DimSize or ElementSpacing is missing or no number; correct the header."
        ) from None
    packed = header.get("CompressedData", "False").lower() == "true"
    data = header.get("ElementDataFile", "")
    if data.upper() == "LOCAL":
        raw = content[place:]
    else:
        # The data lie beside the header, whatever folder it names.
        beside = path.with_name(Path(data.replace("\\", "/")).name or "missing")
        raw = beside.read_bytes()
        if beside.suffix == ".gz":
            packed, raw = False, _unzip(raw, _size(path, shape, dtype), 31)
    if packed:
        raw = _unzip(raw, _size(path, shape, dtype), 47)
    return _voxels(path, raw, shape, dtype), _spacing(path, spacings, len(shape), MILLIMETRE)


def _meta_header(path: Path, content: bytes) -> tuple[dict[str, str], int]:
    """Keys and values, and where the data begin."""
    header: dict[str, str] = {}
    place = 0
    while "ElementDataFile" not in header:
        end = content.find(b"\n", place)
        line = content[place : len(content) if end < 0 else end]
        key, sign, value = line.decode("latin-1").partition("=")
        if not sign or len(line) > 4096:
            raise InputError(
                f"{path}: is no MetaImage header with an ElementDataFile; give a .mhd or .mha file."
            )
        header[key.strip()] = value.strip()
        place = len(content) if end < 0 else end + 1
    return header, place


def _read_nifti(path: Path) -> tuple[np.ndarray, float]:
    content = path.read_bytes()
    if content[:2] == b"\x1f\x8b":
        content = _unzip(content, LARGEST_BYTES, 31)
    order = next((o for o in "<>" if content[:4] == struct.pack(f"{o}i", 348)), None)
    if order is None or content[344:348] != b"n+1\0":
        raise InputError(f"{path}: is no NIfTI-1 file with header and voxels in one; convert it to that.")
    dim = struct.unpack_from(f"{order}8h", content, 40)
    (code,) = struct.unpack_from(f"{order}h", content, 70)
    pixdim = struct.unpack_from(f"{order}8f", content, 76)
    offset, slope, intercept = struct.unpack_from(f"{order}3f", content, 108)
    if code not in _NIFTI_TYPES or not 2 <= dim[0] <= 7 or any(n != 1 for n in dim[4 : dim[0] + 1]):
        raise InputError(
            f"{path}: type {code} on {dim[0]} axes is not read; store whole numbers on three axes."
        )
    n_axes = min(dim[0], 3)
    shape = tuple(int(n) for n in dim[1 : n_axes + 1])[::-1]
    start = int(offset) if math.isfinite(offset) and offset >= 348 else 352
    values = _voxels(path, content[start:], shape, np.dtype(order + _NIFTI_TYPES[code]))
    if slope not in (0.0, 1.0) or intercept != 0.0 or values.dtype.kind == "f":
        scaled = values * (np.float64(slope) or 1.0) + np.float64(intercept if slope else 0.0)
        values = np.nan_to_num(scaled, nan=0.5).round().astype(np.int64)
        if not np.array_equal(values, scaled):
            raise InputError(f"{path}: holds values that are no whole numbers; give a volume of labels.")
    unit = _NIFTI_UNITS.get(content[123] & 7, MILLIMETRE)
    return values, _spacing(path, list(pixdim[1 : n_axes + 1]), n_axes, unit)


def _size(path: Path, shape: tuple[int, ...], dtype: np.dtype) -> int:
    """How many bytes the voxels take."""
    size = dtype.itemsize * math.prod(shape)
    if len(shape) not in (2, 3) or min(shape) < 1 or size > LARGEST_BYTES:
        raise InputError(
            f"{path}: the shape {shape} is not read; store two or three axes, {LARGEST_BYTES >> 30} GiB at most."
        )
    return size


def _unzip(raw: bytes, most: int, window: int) -> bytes:
    """Unpack no more than so many bytes."""
    return zlib.decompressobj(window).decompress(raw, most)


def _voxels(path: Path, raw: bytes, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    size = _size(path, shape, dtype)
    if len(raw) < size:
        raise InputError(
            f"{path}: {len(raw)} bytes of voxels are there and {size} are needed; copy it again."
        )
    return np.frombuffer(raw, dtype, math.prod(shape)).reshape(shape).astype(dtype.newbyteorder("="))


def _spacing(path: Path, spacings: list[float], n_axes: int, unit: float) -> float:
    """The side of the cubes [m]."""
    sides = [s * unit for s in spacings[:n_axes]]
    if len(sides) < n_axes or not all(math.isfinite(s) and s > 0 for s in sides):
        raise InputError(f"{path}: the distance between voxels is missing; store it in millimetres.")
    if max(sides) - min(sides) > 1e-3 * sides[0]:
        text = " x ".join(f"{s / MILLIMETRE:g}" for s in sides)
        raise InputError(f"{path}: voxels of {text} mm are no cubes; resample the labels.")
    return sides[0]
