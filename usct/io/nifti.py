"""NIfTI-1: 348 bytes of header, then the voxels, x fastest (Cox et al., nifti1.h, 2004).

Volumes of labels, as segmented heads come, and maps of sound speed, as `usct export` and others write them.
"""

import math
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from usct.errors import InputError
from usct.io.maps import map_on_grid
from usct.io.voxels import LARGEST_BYTES, cube_side, unzip, voxels
from usct.phantom.base import Phantom
from usct.units import MILLIMETRE

_TYPES = {2: "u1", 4: "i2", 8: "i4", 256: "i1", 512: "u2", 768: "u4", 16: "f4", 64: "f8"}
_UNITS = {0: MILLIMETRE, 1: 1.0, 2: MILLIMETRE, 3: 1e-6}
_GZIP = b"\x1f\x8b"
_ALONG = 1e-3
"""Share of a voxel by which its axes may lean."""


@dataclass(frozen=True)
class Volume:
    """What a file holds.

    Attributes:
        values: Shape (z, y, x), or (y, x) where the file has two axes; float64 where the file scales its numbers.
        spacing: Side of the cubes [m].
        affine: From indices (x, y, z, 1) to right, front and up [m], shape (3, 4); None where the file tells no place.
    """

    values: np.ndarray
    spacing: float
    affine: np.ndarray | None


def looks_like(head: bytes, name: str) -> bool:
    """Whether a file is one, by its first 512 bytes and its name."""
    return head[344:348] == b"n+1\0" or (head[:2] == _GZIP and name.lower().endswith(".nii.gz"))


def read_nifti(path: Path) -> Volume:
    """Read a volume.

    Raises:
        InputError: If the file is damaged, of a kind that is not read, or its voxels are no cubes.
        OSError: If it cannot be read.
        struct.error: If it is cut short.
        zlib.error: If it is packed and damaged.
    """
    content = path.read_bytes()
    if content[:2] == _GZIP:
        content = unzip(content, LARGEST_BYTES, 31)
    order = next((o for o in "<>" if content[:4] == struct.pack(f"{o}i", 348)), None)
    if order is None or content[344:348] != b"n+1\0":
        raise InputError(f"{path}: is no NIfTI-1 file with header and voxels in one; convert it to that.")
    dim = struct.unpack_from(f"{order}8h", content, 40)
    (code,) = struct.unpack_from(f"{order}h", content, 70)
    pixdim = struct.unpack_from(f"{order}8f", content, 76)
    offset, slope, intercept = struct.unpack_from(f"{order}3f", content, 108)
    if code not in _TYPES or not 2 <= dim[0] <= 7 or any(n != 1 for n in dim[4 : dim[0] + 1]):
        raise InputError(f"{path}: type {code} on {dim[0]} axes is not read; store numbers on three axes.")
    n_axes = min(dim[0], 3)
    shape = tuple(int(n) for n in dim[1 : n_axes + 1])[::-1]
    start = int(offset) if math.isfinite(offset) and offset >= 348 else 352
    values = voxels(path, content[start:], shape, np.dtype(order + _TYPES[code]))
    if slope not in (0.0, 1.0) or intercept != 0.0:
        values = values * (np.float64(slope) or 1.0) + np.float64(intercept if slope else 0.0)
    unit = _UNITS.get(content[123] & 7, MILLIMETRE)
    return Volume(
        values,
        cube_side(path, list(pixdim[1 : n_axes + 1]), n_axes, unit),
        _affine(content, order, unit),
    )


def read_speeds(path: Path) -> Phantom:
    """Read a map of sound speed [m/s], one slice or a volume.

    Axes run left, back and up as in DICOM, which is how `usct export` writes a ring's x and y; those that run the
    other way are reversed. Without a place in the file the middle of the map becomes the origin.

    Raises:
        InputError: As `read_nifti`, if the axes are oblique, or if the values are no sound speeds.
    """
    try:
        volume = read_nifti(path)
    except (OSError, EOFError, struct.error, zlib.error) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split()) or "cut short"
        raise InputError(f"{path}: cannot be read ({reason}); check the path or copy it again.") from None
    values = volume.values if volume.values.ndim == 3 else volume.values[None]
    origin = None
    if volume.affine is not None:
        values, origin = _placed(values, volume, path)
    if values.shape[0] == 1:
        values, origin = values[0], None if origin is None else origin[1:]
    return map_on_grid(values, volume.spacing, origin, path)


def _placed(values: np.ndarray, volume: Volume, path: Path) -> tuple[np.ndarray, tuple[float, ...]]:
    """Values whose axes rise to up, back and left, and where the first lies along them."""
    assert volume.affine is not None
    toward = np.array([-1.0, -1.0, 1.0])[:, None] * volume.affine
    steps = np.diag(toward[:, :3])
    if np.abs(toward[:, :3] - np.diag(steps)).max() > _ALONG * volume.spacing:
        raise InputError(
            f"{path}: its axes are oblique or in another order; resample it along left, back and up."
        )
    origin = []
    for axis, step, first, n in zip((2, 1, 0), steps, toward[:, 3], values.shape[::-1], strict=True):
        values = values if step > 0 else np.flip(values, axis)
        origin.append(float(first if step > 0 else first + step * (n - 1)))
    return values, tuple(origin[::-1])


def _affine(content: bytes, order: str, unit: float) -> np.ndarray | None:
    """The place that a file tells by its matrix; quaternions are taken for none."""
    (code,) = struct.unpack_from(f"{order}h", content, 254)
    if code <= 0:
        return None
    rows = np.array(struct.unpack_from(f"{order}12f", content, 280), dtype=np.float64).reshape(3, 4)
    return unit * rows if np.isfinite(rows).all() else None
