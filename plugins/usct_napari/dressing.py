"""What layer data cannot carry: colour bars beside maps, and a scale bar."""

import sys
from typing import TYPE_CHECKING, Any

from usct_napari.sourcing import source_of

if TYPE_CHECKING:
    from napari import Viewer

SETTLED = 500
"""By when a window that is being opened has taken its room [ms]."""
_DRESSED = "usct_dressed"


def current_viewer() -> "Viewer | None":
    """The viewer that is open, or None; napari is not loaded for it."""
    if "napari" not in sys.modules:
        return None
    import napari

    return napari.current_viewer()


def tell_soon(sentence: str) -> None:
    """Show a sentence in napari's notification once the window stands, which may not be up yet."""
    from napari.utils.notifications import show_error
    from qtpy.QtCore import QTimer

    QTimer.singleShot(SETTLED, lambda: show_error(sentence))


def dress(viewer: "Viewer") -> None:
    """Give every map of usct, now and later, a colour bar, and the viewer a scale bar.

    Args:
        viewer: Dressed only once.
    """
    if getattr(viewer.layers, _DRESSED, False):
        return
    setattr(viewer.layers, _DRESSED, True)

    def arrange(_: Any = None) -> None:
        _arrange_bars(viewer)

    def inserted(event: Any) -> None:
        event.value.events.visible.connect(arrange)
        viewer.canvas.overlays.scale_bar.visible = True
        arrange()
        if source_of(event.value) is not None and "Image" in type(event.value).__name__:
            # Not now: the list is in the middle of growing.
            QTimer.singleShot(0, lambda: _raise_marks(viewer))

    from qtpy.QtCore import QTimer

    viewer.layers.events.inserted.connect(inserted)
    viewer.layers.events.removed.connect(arrange)
    for layer in viewer.layers:
        layer.events.visible.connect(arrange)
    arrange()


def _arrange_bars(viewer: "Viewer") -> None:
    """One bar for each window of colours, at the topmost visible layer that has it."""
    have = set()
    for layer in reversed(viewer.layers):
        source = source_of(layer)
        if source is None or not source.has_bar or not hasattr(layer, "colorbar"):
            continue
        key = (layer.colormap.name, tuple(layer.contrast_limits))
        wanted = layer.visible and key not in have
        # Setting what holds already would draw the bar anew, which takes longer than all else here.
        if layer.colorbar.visible != wanted:
            layer.colorbar.position = "bottom_left"
            layer.colorbar.visible = wanted
        if layer.visible:
            have.add(key)


def _raise_marks(viewer: "Viewer") -> None:
    """Put elements and other marks above the images."""
    marks = [
        x for x in viewer.layers if source_of(x) is not None and type(x).__name__ in ("Points", "Shapes")
    ]
    top = list(viewer.layers)[len(viewer.layers) - len(marks) :]
    if marks and top != marks:
        active = viewer.layers.selection.active
        viewer.layers.move_multiple([viewer.layers.index(mark) for mark in marks], len(viewer.layers))
        viewer.layers.selection.active = active
