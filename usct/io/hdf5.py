"""HDF5 with the safety catches on: no link is followed, no claim believed, every byte checksummed."""

import contextlib
import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import h5py
import numpy as np

from usct.errors import InputError

Attribute = str | float | int | bool | list[float] | list[int] | list[str]

# Everything that damaged bytes have been seen to raise in h5py, numpy and scipy.
READ_ERRORS = (
    OSError, ValueError, TypeError, KeyError, IndexError, RuntimeError, EOFError, OverflowError,
    MemoryError, NotImplementedError, AttributeError, AssertionError,
)  # fmt: skip
USER_BLOCK = 512
SEAL = b"usct-sha256 "
"""What a file of the native format begins with."""
_SHA256 = "sha256"
_LARGEST_CHUNK = 8 * 2**20
_ALWAYS_FINE = 256 * 2**20
_LARGEST_RATIO = 200
_MOST_OBJECTS = 100_000
_LARGEST_ATTRIBUTE = 2**20


@contextlib.contextmanager
def opened(path: Path, sealed: bool = True) -> Iterator[h5py.File]:
    """Open a file for reading after a look at every link and layout in it.

    h5py follows external links, external raw storage and virtual datasets without a word, so a file can
    make it read other files; such files are refused before anything is followed.

    Args:
        path: An HDF5 file.
        sealed: Compare the file with its checksum, for which all of it is read.

    Raises:
        InputError: If the file is damaged, points outside itself, or differs from its checksum.
    """
    if sealed and _broken_seal(path):
        raise InputError(
            f"{path}: its checksum does not match, so it is truncated, damaged, or was edited after it was "
            "written; copy it again or write it anew."
        )
    try:
        file = h5py.File(path, "r")
    except READ_ERRORS as error:
        raise _damaged(path, error) from error
    with file:
        try:
            complaint = _escape(file)
            if complaint:
                raise InputError(f"{path}: {complaint}")
            yield file
        except InputError:
            raise
        except READ_ERRORS as error:
            # Any access, even a look at an attribute's name, may be the one that meets the damaged bytes.
            raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> InputError:
    reason = " ".join(str(error).split())[:160]
    return InputError(f"{path}: the file is truncated or damaged ({reason}); copy it again or write it anew.")


def _escape(file: h5py.File) -> str | None:
    """What in the file points outside of it or claims an absurd attribute, as a sentence, or None."""
    stack, seen = [file], set()
    if _has_huge_attribute(file):
        return "/ has an attribute of impossible size; copy the file again or write it anew."
    while stack:
        group = stack.pop()
        for name in group:
            where = f"{group.name.rstrip('/')}/{name}"
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                return f"{where} is a link and links are not followed; store the data itself in this file."
            item = group[name]
            if isinstance(item, h5py.Dataset) and (item.external or item.is_virtual):
                return f"{where} keeps its values in other files; store the data itself in this file."
            if _has_huge_attribute(item):
                return f"{where} has an attribute of impossible size; copy the file again or write it anew."
            address = h5py.h5o.get_info(item.id).addr
            if isinstance(item, h5py.Group) and address not in seen:
                stack.append(item)
            seen.add(address)
            if len(seen) > _MOST_OBJECTS:
                return f"it holds more than {_MOST_OBJECTS} objects; store only what the scan needs."
    return None


def _has_huge_attribute(node: h5py.Group | h5py.Dataset | h5py.Datatype) -> bool:
    """Whether an attribute claims a size that reading it would run away with."""
    for name in node.attrs:
        attribute = node.attrs.get_id(name)
        if int(np.prod(attribute.shape, dtype=object)) * attribute.dtype.itemsize > _LARGEST_ATTRIBUTE:
            return True
    return False


def seal(path: Path) -> None:
    """Write the checksum of everything behind the user block into the user block of a closed file.

    The sum covers the file's whole structure, so that damage is found before HDF5, which has been seen
    to crash on damaged bytes, is asked to make sense of them.

    Args:
        path: An HDF5 file created with a user block of `USER_BLOCK` bytes.
    """
    total = _file_digest(path)
    with path.open("r+b") as stream:
        stream.write(SEAL + total.encode() + b"\n")


def _broken_seal(path: Path) -> bool:
    """Whether a sealed file differs from its checksum."""
    with path.open("rb") as stream:
        head = stream.read(USER_BLOCK)
    return head.startswith(SEAL) and head[len(SEAL) :].split(b"\n")[0] != _file_digest(path).encode()


def _file_digest(path: Path) -> str:
    """SHA-256 of what follows the user block."""
    with path.open("rb") as stream:
        stream.seek(USER_BLOCK)
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read(dataset: h5py.Dataset, path: Path) -> np.ndarray:
    """Read a dataset of plain numbers, or of fixed-length strings, and check its sum.

    A compound of `real` and `imag`, as MATLAB writes it, becomes complex.

    Args:
        dataset: What to read, from a file that `opened` let pass.
        path: Its file, for the error's sentence.

    Returns:
        The values in the order of the file.

    Raises:
        InputError: If the type is not plain, the size not credible, or the bytes are damaged.
    """
    name, kind = dataset.name, dataset.dtype
    is_complex_pair = kind.names is not None and {n.lower() for n in kind.names} == {"real", "imag"}
    if kind.kind not in "biufcS" and not is_complex_pair:
        raise InputError(f"{path}: {name} has the type {kind}; store plain numbers.")
    refuse_claim(path, name, dataset.nbytes, dataset.id.get_storage_size())
    try:
        values = dataset[()] if dataset.ndim else np.asarray(dataset[()])
    except READ_ERRORS as error:
        raise _damaged(path, error) from error
    stored = dataset.attrs.get(_SHA256)
    if stored is not None and stored != _digest(values):
        raise InputError(
            f"{path}: {name} does not match its checksum; the file is damaged, so copy it again."
        )
    if is_complex_pair:
        real, imaginary = (next(n for n in kind.names if n.lower() == part) for part in ("real", "imag"))
        values = values[real] + 1j * values[imaginary]
    return values


def text(node: h5py.Group | h5py.Dataset, name: str, path: Path, default: str | None = None) -> str:
    """A text attribute of an open file.

    Raises:
        InputError: If it is missing and has no default, or is no text.
    """
    value = node.attrs.get(name, default)
    value = value.decode() if isinstance(value, bytes) else value
    if not isinstance(value, str):
        raise InputError(f"{path}: {node.name} has no text attribute '{name}'; write the file anew.")
    return value


def values(group: h5py.Group, name: str, path: Path) -> np.ndarray:
    """Read a dataset that has to be there.

    Raises:
        InputError: If it is missing or cannot be read.
    """
    item = group.get(name)
    if not isinstance(item, h5py.Dataset):
        where = f"{group.name.rstrip('/')}/{name}"
        raise InputError(f"{path}: {where} is missing; write the file anew with the dataset in it.")
    return read(item, path)


def optional(group: h5py.Group, name: str, path: Path) -> np.ndarray | None:
    """Read a dataset that may be missing."""
    return values(group, name, path) if name in group else None


def refuse_claim(path: Path, name: str, n_bytes: int, n_stored: int) -> None:
    """Refuse an array that says it is far larger than its file, or than the machine's memory.

    Args:
        path: The file, for the error's sentence.
        name: The array, for the error's sentence.
        n_bytes: Size in memory that the file claims.
        n_stored: Size that the array takes in the file.

    Raises:
        InputError: If the claim is not credible or cannot be met.
    """
    refuse_hollow(path, name, n_bytes, n_stored)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if n_bytes > memory:
        raise InputError(
            f"{path}: {name} claims {n_bytes / 1e9:.3g} GB and this machine has {memory / 1e9:.3g} GB; "
            "keep fewer transmits or samples."
        )


def refuse_hollow(path: Path, name: str, n_bytes: int, n_stored: int) -> None:
    """Refuse an array that says it is far larger than what the file stores of it; arguments as `refuse_claim`.

    Raises:
        InputError: If the claim is not credible.
    """
    if n_bytes > _ALWAYS_FINE and n_bytes > _LARGEST_RATIO * max(n_stored, 1):
        raise InputError(
            f"{path}: {name} claims {n_bytes / 1e9:.3g} GB but stores {n_stored / 1e3:.3g} kB; "
            "write the file anew from its source."
        )


def put(
    group: h5py.Group,
    name: str,
    values: np.ndarray,
    attributes: Mapping[str, Attribute] | None = None,
    rows_apart: bool = False,
) -> None:
    """Write an array with its checksum; small integers are compressed, everything has Fletcher sums.

    Args:
        group: Where to write.
        name: Name of the dataset, which may hold slashes.
        values: What to write, with their exact type.
        attributes: Units and the like.
        rows_apart: Keep every index of the first axis in chunks of its own.
    """
    values = np.ascontiguousarray(values).reshape(np.shape(values))
    chunks = _chunks(values.shape, values.dtype.itemsize, rows_apart) if values.size and values.ndim else None
    compression = "gzip" if chunks and values.dtype.kind in "biu" else None
    dataset = group.create_dataset(
        name,
        data=values,
        chunks=chunks,
        fletcher32=chunks is not None,
        shuffle=compression is not None,
        compression=compression,
        compression_opts=1 if compression else None,
    )
    dataset.attrs[_SHA256] = _digest(values)
    set_attributes(dataset, attributes or {})


def set_attributes(node: h5py.Group | h5py.Dataset, attributes: Mapping[str, Attribute]) -> None:
    """Write attributes; texts as UTF-8."""
    for key, value in attributes.items():
        node.attrs[key] = value


def _digest(values: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(values).reshape(-1).view(np.uint8).data).hexdigest()


def _chunks(shape: tuple[int, ...], item_size: int, rows_apart: bool) -> tuple[int, ...]:
    """Split along the first axes until a chunk fits."""
    chunk = list(shape)
    if rows_apart:
        chunk[0] = 1
    for axis, length in enumerate(chunk):
        row = item_size * int(np.prod(chunk[axis + 1 :]))
        chunk[axis] = max(1, min(length, _LARGEST_CHUNK // row))
        if chunk[axis] > 1:
            break
    return tuple(chunk)
