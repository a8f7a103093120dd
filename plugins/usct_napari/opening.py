"""Opening a file without holding up the window: read in a thread, then shown layer by layer."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QTimer

from usct_napari.background import in_background, one_by_one
from usct_napari.dressing import dress, is_mark
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
    side_by_side = viewer.canvas.grid.enabled
    shown = [layer for layer in viewer.layers if layer.visible and not (side_by_side and is_mark(layer))]
    if not shown or viewer.dims.ndisplay != 2:
        return
    lows, highs = (np.array([layer.extent.world[end, -2:] for layer in shown]) for end in (0, 1))
    low, high = lows.min(axis=0), highs.max(axis=0)
    if side_by_side and (lows.max(axis=0) < highs.min(axis=0)).all():
        # What one of them shows alone is nothing to compare.
        low, high = lows.max(axis=0), highs.min(axis=0)
    viewer.scene.camera.center = (0.0, *(0.5 * (low + high)))
    cell = np.array(viewer.canvas.size) / viewer.canvas.grid.actual_shape(viewer.layers)
    viewer.scene.camera.zoom = FILLED * float((cell / (high - low)).min())


def frame_soon(viewer: "Viewer") -> None:
    """Point the camera at the visible layers once a panel or file that is just being opened has taken its room."""
    QTimer.singleShot(300, lambda: frame(viewer))
