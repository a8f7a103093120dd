"""Voxels of volumes in files: raw bytes checked for their number, and cubes for their sides."""

import math
import zlib
from pathlib import Path

import numpy as np

from usct.errors import InputError
from usct.units import MILLIMETRE

LARGEST_BYTES = 2**34


def size_of(path: Path, shape: tuple[int, ...], dtype: np.dtype) -> int:
    """How many bytes the voxels take.

    Raises:
        InputError: If the shape is none that is read, or too large.
    """
    size = dtype.itemsize * math.prod(shape)
    if len(shape) not in (2, 3) or min(shape) < 1 or size > LARGEST_BYTES:
        raise InputError(
            f"{path}: the shape {shape} is not read; store two or three axes, {LARGEST_BYTES >> 30} GiB at most."
        )
    return size


def unzip(raw: bytes, most: int, window: int) -> bytes:
    """Unpack no more than so many bytes."""
    return zlib.decompressobj(window).decompress(raw, most)


def voxels(path: Path, raw: bytes, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Numbers of a shape, C order, from raw bytes.

    Raises:
        InputError: If there are too few.
    """
    size = size_of(path, shape, dtype)
    if len(raw) < size:
        raise InputError(
            f"{path}: {len(raw)} bytes of voxels are there and {size} are needed; copy it again."
        )
    return np.frombuffer(raw, dtype, math.prod(shape)).reshape(shape).astype(dtype.newbyteorder("="))


def cube_side(path: Path, spacings: list[float], n_axes: int, unit: float) -> float:
    """The side of the cubes [m].

    Args:
        path: The file, for the errors' sentences.
        spacings: Of the axes, in units of the file.
        n_axes: How many of them count.
        unit: Of the file [m].

    Raises:
        InputError: If there is none, or the voxels are no cubes.
    """
    sides = [s * unit for s in spacings[:n_axes]]
    if len(sides) < n_axes or not all(math.isfinite(s) and s > 0 for s in sides):
        raise InputError(f"{path}: the distance between voxels is missing; store it in millimetres.")
    if max(sides) - min(sides) > 1e-3 * sides[0]:
        text = " x ".join(f"{s / MILLIMETRE:g}" for s in sides)
        raise InputError(f"{path}: voxels of {text} mm are no cubes; resample them.")
    return sides[0]
