"""Opening files in napari: a cheap look first, and the reading only where the look says that usct can."""

from collections.abc import Callable, Sequence
from pathlib import Path

from usct_napari.sourcing import LayerData

LARGE = 64 * 2**20
"""Traces larger than this stay in their file until somebody looks at them [bytes]."""

Paths = str | Sequence[str]


def get_reader(path: Paths) -> Callable[[Paths], list[LayerData]] | None:
    """The reader, or None where a file is none of usct's, so that other plug-ins get it.

    Args:
        path: One file, or several; a folder counts if it holds DICOM files.
    """
    from usct.io.dicom import is_dicom
    from usct.io.glance import is_readable

    paths = [Path(p) for p in _listed(path)]
    return read if all(is_dicom(p) or is_readable(p) for p in paths) else None


def read(path: Paths) -> list[LayerData]:
    """Read one file or several.

    Args:
        path: Files for which `get_reader` gave this function.

    Returns:
        Layer data; all of them, or none at all where one file cannot be read.

    Raises:
        InputError: If a file is damaged or contradicts itself; napari shows the sentence.
    """
    from usct_napari.dressing import dress_current_viewer

    layers = [layer for one in _listed(path) for layer in _read_one(Path(one))]
    dress_current_viewer()
    return layers


def _read_one(path: Path) -> list[LayerData]:
    from usct import io
    from usct.io.dicom import is_dicom, read_dicom
    from usct.io.dicom.opening import open_file
    from usct.io.dicom.ring import holds_ring
    from usct.io.glance import glance
    from usct_napari.dicom import dicom_layers
    from usct_napari.layers import layers_of

    if is_dicom(path):
        if path.is_file() and holds_ring(open_file(path)):
            return layers_of(io.load(path), path)
        return dicom_layers(read_dicom(path), path)

    if path.stat().st_size > LARGE:
        seen = glance(path)
        if seen is not None:
            return layers_of(seen, path)
    return layers_of(io.load(path), path)


def _listed(path: Paths) -> list[str]:
    return [path] if isinstance(path, str) else list(path)
