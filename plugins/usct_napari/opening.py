"""Opening a file without holding up the window: read in a thread, then shown layer by layer."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QTimer

from usct_napari.background import in_background, one_by_one
from usct_napari.dressing import dress
from usct_napari.sourcing import LayerData, source_of

if TYPE_CHECKING:
    from napari import Viewer

FILLED = 0.92
"""Share of the canvas that a framed picture takes."""


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
    from napari.layers import Layer

    for layer in [x for x in viewer.layers if getattr(source_of(x), "path", None) == path]:
        viewer.layers.remove(layer)
    dress(viewer)
    steps = [lambda data=data: viewer.add_layer(Layer.create(*data)) for data in layers]
    one_by_one([*steps, done])


def frame(viewer: "Viewer") -> None:
    """Point the camera at the visible layers.

    napari's own `fit_to_view` fails for layers of two dimensions while others have three.
    """
    boxes = [layer.extent.world[:, -2:] for layer in viewer.layers if layer.visible]
    if not boxes or viewer.dims.ndisplay != 2:
        return
    low, high = np.min([box[0] for box in boxes], axis=0), np.max([box[1] for box in boxes], axis=0)
    viewer.scene.camera.center = (0.0, *(0.5 * (low + high)))
    viewer.scene.camera.zoom = FILLED * float((np.array(viewer.canvas.size) / (high - low)).min())


def frame_soon(viewer: "Viewer") -> None:
    """Point the camera at the visible layers once a panel that is just being opened has taken its room."""
    QTimer.singleShot(300, lambda: frame(viewer))
