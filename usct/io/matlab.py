"""Variables of MATLAB files: version 5 to 7 through SciPy, version 7.3 through HDF5."""

import zlib
from collections.abc import Collection
from pathlib import Path

import h5py
import numpy as np
import scipy.io

from usct.errors import InputError
from usct.io import hdf5

_NUMERIC = {"double", "single", "logical"} | {
    f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)
}
_LARGEST_ITEM = 16


def is_matlab_5(head: bytes) -> bool:
    """Whether the first 128 bytes of a file are those of a MATLAB file of version 5 to 7."""
    return head.startswith(b"MATLAB 5.0 MAT-file") or head[124:128] in (b"\x00\x01IM", b"\x01\x00MI")


def listing_5(path: Path, names: Collection[str]) -> list[str]:
    """Which of some variables a version 5 to 7 file holds.

    Raises:
        InputError: If the file is damaged.
    """
    try:
        return [name for name, _, _ in scipy.io.whosmat(path) if name in names]
    except (*hdf5.READ_ERRORS, zlib.error) as error:
        raise InputError(f"{path}: the MATLAB file is truncated or damaged; copy it again.") from error


def variables_5(path: Path, names: Collection[str]) -> dict[str, np.ndarray]:
    """Read some variables of a version 5 to 7 file.

    Args:
        path: The file.
        names: The variables wanted; all others are left unread.

    Returns:
        Those that exist, in MATLAB's shapes.

    Raises:
        InputError: If the file is damaged, or a variable is not numeric or not credible in size.
    """
    try:
        listing = {name: (shape, kind) for name, shape, kind in scipy.io.whosmat(path) if name in names}
        for name, (shape, kind) in listing.items():
            if kind not in _NUMERIC:
                raise InputError(f"{path}: {name} is a MATLAB {kind}; store a numeric array.")
            hdf5.refuse_claim(
                path, name, _LARGEST_ITEM * int(np.prod(shape, dtype=object)), path.stat().st_size
            )
        content = scipy.io.loadmat(path, variable_names=list(listing), mat_dtype=False) if listing else {}
    except InputError:
        raise
    except (*hdf5.READ_ERRORS, zlib.error) as error:
        reason = " ".join(str(error).split())[:160]
        raise InputError(
            f"{path}: the MATLAB file is truncated or damaged ({reason}); copy it again."
        ) from error
    return {name: np.asarray(content[name]) for name in listing if name in content}


def variables_73(file: h5py.File, path: Path, names: Collection[str]) -> dict[str, np.ndarray]:
    """Read some variables of a version 7.3 file, or of any HDF5 file with MATLAB's order of axes.

    HDF5 lists the axes in reverse; they are turned back, so that shapes are those seen in MATLAB.

    Args:
        file: From `hdf5.opened`.
        path: Its name, for the errors' sentences.
        names: The variables wanted; all others are left unread.

    Returns:
        Those that exist, in MATLAB's shapes.

    Raises:
        InputError: If a variable is damaged, not numeric, or not credible in size.
    """
    found = {}
    for name in names:
        item = file.get(name)
        if item is None:
            continue
        if not isinstance(item, h5py.Dataset):
            raise InputError(
                f"{path}: {name} is a MATLAB struct or sparse matrix; store a full numeric array."
            )
        kind = item.attrs.get("MATLAB_class", b"double")
        kind = kind.decode() if isinstance(kind, bytes) else str(kind)
        if kind not in _NUMERIC:
            raise InputError(f"{path}: {name} is a MATLAB {kind}; store a numeric array.")
        values = hdf5.read(item, path)
        # MATLAB stores the shape of an empty array in place of its values.
        is_empty = bool(item.attrs.get("MATLAB_empty", 0))
        found[name] = np.empty([int(n) for n in values.ravel()]) if is_empty else values.T
    return found


def number_in_struct(path: Path, struct: str, field: str) -> float | None:
    """One number in a struct of a MATLAB file of any version; None where there is none.

    Raises:
        InputError: If the file is damaged.
    """
    if h5py.is_hdf5(path):
        with hdf5.opened(path) as file:
            item = file.get(f"{struct}/{field}")
            value = hdf5.read(item, path) if isinstance(item, h5py.Dataset) else None
    else:
        try:
            found = scipy.io.loadmat(path, variable_names=[struct]).get(struct)
        except (*hdf5.READ_ERRORS, zlib.error) as error:
            raise InputError(f"{path}: the MATLAB file is truncated or damaged; copy it again.") from error
        has = found is not None and found.size == 1 and field in (found.dtype.names or ())
        value = np.asarray(found.ravel()[0][field]) if has else None
    is_number = value is not None and value.size == 1 and value.dtype.kind in "iuf"
    return float(value.ravel()[0]) if value is not None and is_number else None
