"""What layer data cannot carry: colour bars beside maps, a scale bar, panels, and sentences for people."""

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from usct_napari.planes import planes
from usct_napari.sourcing import source_of

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Layer

Result = TypeVar("Result")

SETTLED = 500
"""By when a window that is being opened has taken its room [ms]."""
SOON = 30
"""By when bars and marks follow a change of the layers [ms]."""
LARGE_BAR, SMALL_BAR = ((25, 150), 10), ((12, 90), 8)
"""Width and height [pixels] of colour bars, and their font size [points]; small in the cells of a grid."""
NAME_SIZE, LEAST_NAME_SIZE = 10.0, 6.0
"""Of what tells what is seen, where it fits and at least [points]."""
LETTER = 0.97
"""Width of a typical letter over the size of its font [pixels / point]."""
MARGIN = 16
"""Around a name [pixels]."""
_DRESSED = "usct_dressed"


def current_viewer() -> "Viewer | None":
    """The viewer that is open, or None; napari is not loaded for it."""
    if "napari" not in sys.modules:
        return None
    import napari

    return napari.current_viewer()


def answering(work: Callable[[], Result]) -> Result:
    """Do some work, in a thread where there is a window, which goes on answering meanwhile; return what it returned."""
    if current_viewer() is None:
        return work()
    from usct_napari.background import waited

    return waited(work)


def tell_soon(sentence: str) -> None:
    """Show a sentence in napari's notification once the window stands, which may not be up yet."""
    from napari.utils.notifications import show_error
    from qtpy.QtCore import QTimer

    QTimer.singleShot(SETTLED, lambda: show_error(sentence))


def open_panel(viewer: "Viewer", name: str) -> None:
    """Open one of usct's panels, unless it is open."""
    if f"{name} (usct)" not in viewer.window.dock_widgets:
        viewer.window.add_plugin_dock_widget("usct", name)


def dress(viewer: "Viewer") -> None:
    """Give every map of usct, now and later, a colour bar, and the viewer a scale bar and a slider for what is seen.

    Args:
        viewer: Dressed only once.
    """
    if hasattr(viewer.layers, _DRESSED):
        return
    from qtpy.QtCore import QTimer

    from usct_napari.placing import make_room

    # Later, and once for several layers: a bar takes longer to make than a layer, and the list is still growing.
    soon = QTimer()
    setattr(viewer.layers, _DRESSED, soon)
    soon.setSingleShot(True)
    soon.setInterval(SOON)
    soon.timeout.connect(lambda: _arrange(viewer))

    def arrange(_: Any = None) -> None:
        soon.start()

    fit = planes(viewer).fit

    def watch(layer: "Layer") -> None:
        layer.events.visible.connect(arrange)
        layer.events.visible.connect(fit)

    def inserted(event: Any) -> None:
        watch(event.value)
        make_room(viewer, event.value)
        fit()
        soon.start()

    viewer.layers.events.inserted.connect(inserted)
    viewer.layers.events.removed.connect(arrange)
    viewer.layers.events.removed.connect(fit)
    viewer.canvas.grid.events.enabled.connect(arrange)
    for layer in viewer.layers:
        watch(layer)
    fit()
    soon.start()


def _arrange(viewer: "Viewer") -> None:
    if len(viewer.layers):
        viewer.canvas.overlays.scale_bar.visible = True
    if not viewer.canvas.grid.enabled:
        _raise_marks(viewer)
    _arrange_bars(viewer)
    if not viewer.canvas.grid.enabled:
        _arrange_names(viewer)


def _arrange_bars(viewer: "Viewer") -> None:
    """One bar for each window of colours, at the topmost visible layer that has it; one in every cell of a grid."""
    in_grid = viewer.canvas.grid.enabled
    size, font_size = SMALL_BAR if in_grid else LARGE_BAR
    have = set()
    for layer in reversed(viewer.layers):
        source = source_of(layer)
        if source is None or not source.has_bar or not layer.visible or not hasattr(layer, "colorbar"):
            continue
        key = (layer.colormap.name, tuple(layer.contrast_limits))
        # In a grid no bar is ever hidden: napari fails on one that comes back after its cell is gone.
        wanted = in_grid or key not in have
        have.add(key)
        # Setting what holds already would draw the bar anew, which takes longer than all else here.
        if wanted and layer.colorbar.size != size:
            layer.colorbar.size, layer.colorbar.font_size = size, font_size
        if layer.colorbar.visible != wanted:
            layer.colorbar.position = "bottom_left"
            layer.colorbar.visible = wanted


def _arrange_names(viewer: "Viewer") -> None:
    """Tell at the canvas's upper edge what is seen: at the left maps, with the bars' units; to the right recordings."""
    sources = {layer: source for layer in viewer.layers if (source := source_of(layer)) is not None}
    beside = [layer for layer, source in sources.items() if source.is_recording and layer.visible]
    beside.sort(key=lambda layer: float(layer.extent.world[0, -1]))
    # There are two places for them; more names would be put in another order than what they name.
    places = {1: ("top_right",), 2: ("top_center", "top_right")}.get(len(beside), ())
    wanted = dict(zip(beside, places, strict=False))
    for layer, source in sources.items():
        if layer not in beside and layer.visible and source.has_bar and getattr(layer, "colorbar", None):
            wanted |= {layer: "top_left"} if layer.colorbar.visible else {}
    room = viewer.canvas.size[1] / (1 + len(places)) - MARGIN
    size = fitting_size([layer.name for layer in wanted], room, NAME_SIZE)
    for layer in sources:
        name, place = layer.name_overlay, wanted.get(layer)
        if place is None:
            name.visible = False
        elif (name.visible, name.position, name.font_size) != (True, place, size):
            name.position, name.font_size, name.visible = place, size, True


def fitting_size(names: Sequence[str], room: float, wished: float) -> float:
    """Size of a font in which each of some names fits into a room [pixels], if one that can be read does [points]."""
    longest = max((len(name) for name in names), default=1)
    return max(min(room / (LETTER * longest), wished), LEAST_NAME_SIZE)


def is_mark(layer: object) -> bool:
    """Whether a layer of usct shows elements, places or lines, which belong above images."""
    return source_of(layer) is not None and type(layer).__name__ in ("Points", "Shapes")


def _raise_marks(viewer: "Viewer") -> None:
    """Put elements and other marks above the images."""
    marks = [layer for layer in viewer.layers if is_mark(layer)]
    top = list(viewer.layers)[len(viewer.layers) - len(marks) :]
    if marks and top != marks:
        active = viewer.layers.selection.active
        viewer.layers.move_multiple([viewer.layers.index(mark) for mark in marks], len(viewer.layers))
        viewer.layers.selection.active = active
