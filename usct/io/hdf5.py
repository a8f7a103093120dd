"""HDF5 with the safety catches on: no link is followed, no claim believed, every byte checksummed."""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import h5py
import numpy as np

from usct.errors import InputError

Attribute = str | float | int | bool | list[float] | list[str]

# Everything that damaged bytes have been seen to raise in h5py, numpy and scipy.
READ_ERRORS = (
    OSError, ValueError, TypeError, KeyError, IndexError, RuntimeError, EOFError, OverflowError,
    MemoryError, NotImplementedError, AttributeError, AssertionError,
)  # fmt: skip
_MANIFEST = "manifest_sha256"
_SHA256 = "sha256"
_LARGEST_CHUNK = 8 * 2**20
_ALWAYS_FINE = 256 * 2**20
_LARGEST_RATIO = 200
_MOST_OBJECTS = 100_000


@contextlib.contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """Open a file for reading after a look at every link and layout in it.

    h5py follows external links, external raw storage and virtual datasets without a word, so a file can
    make it read other files; such files are refused before anything is followed.

    Args:
        path: An HDF5 file.

    Raises:
        InputError: If the file is damaged, points outside itself, or differs from its checksum.
    """
    try:
        file = h5py.File(path, "r")
    except READ_ERRORS as error:
        raise _damaged(path, error) from error
    with file:
        try:
            complaint = _escape(file) or _changed(file)
        except READ_ERRORS as error:
            raise _damaged(path, error) from error
        if complaint:
            raise InputError(f"{path}: {complaint}")
        yield file


def _damaged(path: Path, error: Exception) -> InputError:
    reason = " ".join(str(error).split())[:160]
    return InputError(f"{path}: the file is truncated or damaged ({reason}); copy it again or write it anew.")


def _escape(file: h5py.File) -> str | None:
    """What in the file points outside of it, as a sentence, or None."""
    stack, seen = [file], set()
    while stack:
        group = stack.pop()
        for name in group:
            where = f"{group.name.rstrip('/')}/{name}"
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                return f"{where} is a link and links are not followed; store the data itself in this file."
            item = group[name]
            if isinstance(item, h5py.Dataset) and (item.external or item.is_virtual):
                return f"{where} keeps its values in other files; store the data itself in this file."
            address = h5py.h5o.get_info(item.id).addr
            if isinstance(item, h5py.Group) and address not in seen:
                stack.append(item)
            seen.add(address)
            if len(seen) > _MOST_OBJECTS:
                return f"it holds more than {_MOST_OBJECTS} objects; store only what the scan needs."
    return None


def _changed(file: h5py.File) -> str | None:
    """Complain, in a sentence, if names, shapes or attributes differ from the file's own manifest."""
    stored = file.attrs.get(_MANIFEST)
    if stored is None or stored == _manifest(file):
        return None
    return "its checksum does not match, so it was damaged or edited after it was written; write it anew."


def _manifest(file: h5py.File) -> str:
    """SHA-256 over every name, type, shape and attribute; the datasets' own sums are among the attributes."""
    lines = [_describe_node("/", file)]
    file.visititems(lambda name, node: lines.append(_describe_node(f"/{name}", node)))
    return hashlib.sha256("\n".join(sorted(lines)).encode("utf-8", "surrogateescape")).hexdigest()


def _describe_node(name: str, node: h5py.Group | h5py.Dataset) -> str:
    layout = [node.dtype.str, list(node.shape)] if isinstance(node, h5py.Dataset) else ["group", []]
    attributes = {}
    for key, value in node.attrs.items():
        if key == _MANIFEST:
            continue
        array = np.asarray(value)
        is_text = array.dtype.kind in "OUS"
        attributes[key] = array.astype(str).tolist() if is_text else [array.dtype.str, array.tobytes().hex()]
    return json.dumps([name, layout, attributes], sort_keys=True)


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


def damaged_datasets(file: h5py.File, path: Path) -> list[str]:
    """Read every checksummed dataset and return a sentence for each one that is damaged."""
    sentences = []
    datasets: list[h5py.Dataset] = []
    file.visititems(lambda _, node: datasets.append(node) if isinstance(node, h5py.Dataset) else None)
    for dataset in datasets:
        if _SHA256 in dataset.attrs:
            try:
                read(dataset, path)
            except InputError as error:
                sentences.append(str(error))
    return sentences


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
    size = f"{path}: {name} claims {n_bytes / 1e9:.3g} GB"
    if n_bytes > _ALWAYS_FINE and n_bytes > _LARGEST_RATIO * max(n_stored, 1):
        raise InputError(f"{size} but stores {n_stored / 1e3:.3g} kB; write the file anew from its source.")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if n_bytes > memory:
        raise InputError(
            f"{size} and this machine has {memory / 1e9:.3g} GB; keep fewer transmits or samples."
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


def seal(file: h5py.File) -> None:
    """Write the checksum over names, types, shapes and attributes; the last thing before closing."""
    file.attrs[_MANIFEST] = _manifest(file)


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
