"""napari's slider below the picture, made to belong to the stack that is seen.

napari has one slider for all stacks, seen or not: as long as the longest, named for the newest. Here it is as long as
what is seen and named for it, returns to its place when that kind of stack is seen again, and is gone where nothing
that is seen has planes.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal

if TYPE_CHECKING:
    from napari import Viewer

_PLANES = "usct_planes"
"""Attribute of a list of layers: its `Planes`."""
_AXIS = 0
"""The only one that is looked after; with more of them, or turned about, napari's sliders are left alone."""


class Planes:
    """Which plane of the stacks is seen.

    Attributes:
        axis: Name of the slider's axis, such as frequency; empty where nothing that is seen has planes.

    Signals:
        moved: Somebody moved the slider; carries the name of its axis, and its place.
    """

    moved = Signal(str, float)

    def __init__(self, viewer: "Viewer") -> None:
        """Look after the slider of a viewer."""
        self._viewer, self.axis = viewer, ""
        self._places: dict[str, float] = {}
        self._is_fitting = False
        events = viewer.dims.events
        for event in (events.range, events.axis_labels, events.order, events.ndisplay):
            event.connect(self.fit)
        events.point.connect(self._remember)

    def go_to(self, axis: str, place: float) -> None:
        """Show a plane, at once or as soon as a stack with planes along this axis is seen."""
        self._places[axis] = place
        if axis == self.axis:
            self._viewer.dims.set_point(_AXIS, place)

    def fit(self, _: Any = None) -> None:
        """Fit the slider to the layers that are visible."""
        if self._is_fitting:
            return
        self._is_fitting = True
        self.axis = self._fitted() if self._is_ours() else ""
        self._is_fitting = False

    def _is_ours(self) -> bool:
        return tuple(self._viewer.dims.not_displayed) == (_AXIS,)

    def _fitted(self) -> str:
        """Name of the axis, after all was fitted to it."""
        dims = self._viewer.dims
        seen = [layer for layer in self._viewer.layers if layer.visible and layer.ndim == dims.ndim]
        axis, wanted = (seen[-1].axis_labels[_AXIS], self._range(seen)) if seen else ("", (0.0, 0.0, 1.0))
        if tuple(dims.range[_AXIS]) != wanted:
            dims.set_range(_AXIS, wanted)
        if axis and dims.axis_labels[_AXIS] != axis:
            dims.set_axis_label(_AXIS, axis)
        if axis and axis != self.axis:
            dims.set_point(_AXIS, self._places.setdefault(axis, _first(axis, wanted)))
        return axis

    def _range(self, seen: list[Any]) -> tuple[float, float, float]:
        lows, highs = (np.array([layer.extent.world[end, _AXIS] for layer in seen]) for end in (0, 1))
        return float(lows.min()), float(highs.max()), float(min(layer.extent.step[_AXIS] for layer in seen))

    def _remember(self, _: object) -> None:
        if not self.axis or self._is_fitting or not self._is_ours():
            return
        place = self._viewer.dims.point[_AXIS]
        if place != self._places.get(self.axis):
            self._places[self.axis] = place
            self.moved.emit(self.axis, place)


def planes(viewer: "Viewer") -> Planes:
    """Those of a viewer, whose slider is looked after from now on."""
    if not hasattr(viewer.layers, _PLANES):
        setattr(viewer.layers, _PLANES, Planes(viewer))
    found: Planes = getattr(viewer.layers, _PLANES)
    return found


def _first(axis: str, limits: tuple[float, float, float]) -> float:
    """Where a slider begins: a volume in its middle, a stack with its first plane."""
    low, high, step = limits
    return low + step * round(0.5 * (high - low) / step) if axis == "z" else low
