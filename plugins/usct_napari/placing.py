"""Several scans in one window, as a scan and a shot in water alone: no file knows what else is open."""

from typing import TYPE_CHECKING

import numpy as np

from usct_napari.opening import frame_soon
from usct_napari.sourcing import source_of

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Layer

GAP = 0.05
"""Between two recordings, over the width of the right one."""


def make_room(viewer: "Viewer", layer: "Layer") -> None:
    """Keep a layer that was just added from hiding what another file shows in the same place.

    Recordings go to the right of those that they would cover, and of rings in one place one is seen.
    """
    source = source_of(layer)
    if source is not None and source.is_recording:
        others = ((x, source_of(x)) for x in viewer.layers if x is not layer)
        _go_right(viewer, layer, [other for other, s in others if s is not None and s.is_recording])
    elif source is not None and source.quantity == "elements":
        show_one_ring(viewer)


def show_one_ring(viewer: "Viewer") -> None:
    """Of visible rings in one place leave the one with most dead elements, the newest of several."""
    rings = [x for x in viewer.layers if x.visible and (s := source_of(x)) and s.quantity == "elements"]
    rings.sort(key=lambda ring: int(ring.features["dead"].sum()))
    for number, ring in enumerate(rings):
        ring.visible = not any(np.array_equal(ring.data, other.data) for other in rings[number + 1 :])


def _go_right(viewer: "Viewer", layer: "Layer", others: list["Layer"]) -> None:
    low, high = layer.extent.world[:, -2:]
    spans = [other.extent.world[:, -2:] for other in others]
    if not any((low < end).all() and (begin < high).all() for begin, end in spans):
        return
    left = max(end[1] for _, end in spans) + GAP * (high[1] - low[1])
    layer.translate = (*layer.translate[:-1], layer.translate[-1] + left - low[1])
    frame_soon(viewer)
