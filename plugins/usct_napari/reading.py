"""Opening files in napari: a cheap look first, and the reading only where the look says that usct can."""

from collections.abc import Callable, Sequence
from pathlib import Path

from usct_napari.dressing import answering, current_viewer, dress, tell_soon
from usct_napari.preferring import next_reader
from usct_napari.preparing import prepare
from usct_napari.sourcing import LayerData

LARGE = 64 * 2**20
"""Traces larger than this stay in their file until somebody looks at them [bytes]."""

Paths = str | Sequence[str]
Found = list[LayerData] | list[tuple[None]]
"""Layers, or what napari takes as said already."""


def get_reader(path: Paths) -> Callable[[Paths], Found] | None:
    """The reader, or None where a file is none of usct's, so that other plug-ins get it.

    A window that asked usct first gets the reader of the plug-in that is next.

    Args:
        path: One file, or several; a folder counts if it holds DICOM files.
    """
    if answering(lambda: _are_ours(path)):
        return read_or_tell
    return next_reader(path) if current_viewer() is not None else None


def _are_ours(path: Paths) -> bool:
    """Whether usct would try to make sense of each of some files."""
    from usct.io.dicom import is_dicom
    from usct.io.glance import is_readable

    return all(is_dicom(p) or is_readable(p) for p in map(Path, _listed(path)))


def read_or_tell(path: Paths) -> Found:
    """Read for a window: what cannot be read is said in a notification of it, and nothing is opened.

    Raises:
        InputError: As `read`, where there is no window.
    """
    from usct.errors import InputError

    viewer = current_viewer()
    if viewer is None:
        return read(path)
    dress(viewer)
    left_out: list[str] = []
    try:
        layers: Found = answering(lambda: _prepare_and_read(path, left_out))
    except InputError as error:
        layers, left_out = [(None,)], [str(error)]
    if not viewer.layers:
        # napari points its camera at the first layer alone.
        from usct_napari.opening import frame_soon

        frame_soon(viewer)
    for one in _listed(path):
        # A notification shows its beginning alone, of which a folder would take all.
        left_out = [" ".join(sentence.split()).replace(one, Path(one).name) for sentence in left_out]
    if left_out:
        more = f" And {len(left_out) - 1} more." if len(left_out) > 1 else ""
        tell_soon(left_out[0] + more)
    return layers


def _prepare_and_read(path: Paths, left_out: list[str]) -> list[LayerData]:
    """Read for a window, and make napari ready for the layers."""
    layers = read(path, left_out)
    prepare(*(kind for _, _, kind in layers))
    return layers


def read(path: Paths, left_out: list[str] | None = None) -> list[LayerData]:
    """Read one file or several.

    Args:
        path: Files for which `get_reader` gave this function.
        left_out: Where a sentence goes for each series of a DICOM folder that cannot be shown while others can.

    Returns:
        Layer data; all of them, or none at all where one file cannot be read.

    Raises:
        InputError: If a file is damaged or contradicts itself.
    """
    return [layer for one in _listed(path) for layer in _read_one(Path(one), left_out)]


def _read_one(path: Path, left_out: list[str] | None) -> list[LayerData]:
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
        return dicom_layers(read_dicom(path, left_out), path)

    if path.stat().st_size > LARGE:
        seen = glance(path)
        if seen is not None:
            return layers_of(seen, path)
    return layers_of(io.load(path), path)


def _listed(path: Paths) -> list[str]:
    return [path] if isinstance(path, str) else list(path)
