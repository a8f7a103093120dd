"""Volumes of labels from files: MetaImage (VICTRE's phantoms) and NIfTI-1 (segmented heads such as MIDA).

MetaImage: a text header `.mhd` beside raw bytes, plain or gzipped, or `.mha` with both in one file. Both formats
store x fastest; what is returned runs (z, y, x).
"""

import struct
import zlib
from pathlib import Path

import numpy as np

from usct.errors import InputError
from usct.io.nifti import read_nifti
from usct.io.voxels import cube_side, size_of, unzip, voxels
from usct.units import MILLIMETRE

_META_TYPES = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
}


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
        return _whole(path) if nifti else _read_meta(path)
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


def _whole(path: Path) -> tuple[np.ndarray, float]:
    """A NIfTI volume of whole numbers."""
    volume = read_nifti(path)
    values = volume.values
    if values.dtype.kind == "f":
        values = np.nan_to_num(values, nan=0.5).round().astype(np.int64)
        if not np.array_equal(values, volume.values):
            raise InputError(f"{path}: holds values that are no whole numbers; give a volume of labels.")
    return values, volume.spacing


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
            packed, raw = False, unzip(raw, size_of(path, shape, dtype), 31)
    if packed:
        raw = unzip(raw, size_of(path, shape, dtype), 47)
    return voxels(path, raw, shape, dtype), cube_side(path, spacings, len(shape), MILLIMETRE)


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
