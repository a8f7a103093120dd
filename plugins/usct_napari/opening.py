"""Opening a file without holding up the window: read in a thread, then shown layer by layer."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QTimer

from usct_napari.background import in_background
from usct_napari.dressing import dress
from usct_napari.sourcing import LayerData, source_of

if TYPE_CHECKING:
    from napari import Viewer


def open_later(viewer: "Viewer", path: Path, done: Callable[[], None] = lambda: None) -> None:
    """Show a file that this window has made, in place of an older one of its name.

    Args:
        viewer: Where.
        path: The file.
        done: Called when all its layers are there.
    """
    from usct_napari.reading import read

    in_background(lambda: read(str(path)), lambda layers: _add(viewer, path, layers, done))


def _add(viewer: "Viewer", path: Path, layers: list[LayerData], done: Callable[[], None]) -> None:
    for layer in [x for x in viewer.layers if getattr(source_of(x), "path", None) == path]:
        viewer.layers.remove(layer)
    dress(viewer)

    def add_next() -> None:
        if not layers:
            done()
            return
        from napari.layers import Layer

        viewer.add_layer(Layer.create(*layers.pop(0)))
        # Each layer costs a moment; between them the window answers.
        QTimer.singleShot(0, add_next)

    add_next()


def frame(viewer: "Viewer") -> None:
    """Point the camera at the visible layers."""
    visible = [layer for layer in viewer.layers if layer.visible]
    if visible:
        viewer.fit_to_view(layers=visible)
