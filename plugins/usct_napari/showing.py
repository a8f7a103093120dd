"""`usct view`: a napari window with files and the panels that suit them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari import Viewer

PANELS = {
    "scan": ("Scan", "Reconstruct"),
    "result": ("Compare",),
    "diagnosis": ("Kernels",),
}
"""Panels that open with a file of each kind; the last is in front."""


def show(files: Sequence[Path]) -> None:
    """Open files in a new window, and return when it is closed.

    Args:
        files: Whatever usct reads; a file that cannot be read opens no window at all.

    Raises:
        InputError: If a file cannot be read.
    """
    import napari

    open_window(files)
    napari.run()


def open_window(files: Sequence[Path]) -> "Viewer":
    """A new window with files and their panels; Qt's event loop is left to the caller.

    Raises:
        InputError: If a file cannot be read.
    """
    from napari import Viewer
    from napari.layers import Layer

    from usct_napari.dressing import dress, open_panel, tell_soon
    from usct_napari.reading import read

    left_out: list[str] = []
    made = [Layer.create(*data) for path in files for data in read(str(path), left_out)]
    viewer = Viewer(title="usct")
    dress(viewer)
    kinds = []
    for layer in made:
        viewer.add_layer(layer)
        kinds.append(layer.metadata["usct"].kind)
    viewer.reset_view()
    for name in dict.fromkeys(panel for kind in kinds for panel in PANELS.get(kind, ())):
        open_panel(viewer, name)
    for sentence in left_out:
        tell_soon(sentence)
    return viewer
