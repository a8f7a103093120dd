"""The line along which images are compared: a layer over them; Shift and the mouse draw it anew, also side by side."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from usct.grid import Grid
from usct.units import MILLIMETRE
from usct_napari.sources import stop_hearing
from usct_napari.sourcing import Source

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Layer

LINE = "profile"


class ProfileLine:
    """A line in a viewer, and who follows it."""

    def __init__(self, viewer: "Viewer", moved: Callable[[], None]) -> None:
        """Listen to the mouse; `moved` is called whenever the line was."""
        self._viewer, self._moved = viewer, moved
        self._heard: Layer | None = None
        viewer.mouse_drag_callbacks.append(self._drag)

    def stop(self) -> None:
        """Listen no longer."""
        stop_hearing(self._viewer, self._drag)

    @property
    def ends(self) -> np.ndarray | None:
        """Both ends (y, x) [m], or None where there is no line."""
        if LINE not in self._viewer.layers or not self._viewer.layers[LINE].data:
            return None
        return np.asarray(self._viewer.layers[LINE].data[0])[[0, -1], -2:] * MILLIMETRE

    def make(self, grid: Grid, path: Path) -> None:
        """Add the layer, through the middle of a grid, unless it is there; follow it in either case."""
        if LINE not in self._viewer.layers:
            self._add(grid, path)
        layer = self._viewer.layers[LINE]
        # It may be the line of a panel that was closed.
        if layer is not self._heard:
            layer.events.data.connect(lambda _: self._moved())
            self._heard = layer

    def _add(self, grid: Grid, path: Path) -> None:
        low, high = (np.array(corner[-2:]) / MILLIMETRE for corner in (grid.origin, grid.last))
        middle, active = 0.5 * (low[0] + high[0]), self._viewer.layers.selection.active
        self._viewer.add_shapes(
            [np.array([[middle, low[1]], [middle, high[1]]])],
            shape_type="line",
            name=LINE,
            edge_color="#ffb74d",
            edge_width=0.01 * (high[1] - low[1]),
            visible=not self._viewer.canvas.grid.enabled,
            units=("mm", "mm"),
            axis_labels=("y", "x"),
            metadata={"usct": Source(path, "shown", "profile", has_bar=False)},
        )
        self._viewer.layers.selection.active = active

    def _drag(self, _: object, event: Any) -> Iterator[None]:
        """Draw the line from where the mouse was pressed to where it is."""
        if "Shift" not in event.modifiers or LINE not in self._viewer.layers:
            return
        start = np.array(event.position[-2:])
        yield
        while event.type == "mouse_move":
            ends = np.array([start, event.position[-2:]])
            if np.ptp(ends, axis=0).any():
                self._viewer.layers[LINE].data = [ends]
            yield
