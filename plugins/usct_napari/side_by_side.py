"""Layers side by side in napari's grid, whose cells have one camera: who moves one image moves all of them."""

import math
from collections.abc import Sequence
from functools import partial
from itertools import takewhile, zip_longest
from typing import TYPE_CHECKING

from usct_napari.background import one_by_one
from usct_napari.dressing import fitting_size, is_mark
from usct_napari.opening import frame
from usct_napari.placing import show_one_ring

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Layer

GAP = 4
"""Between two cells [pixels]."""
NAME_SIZE = 8.0
"""Of the layers' names in the cells, where they fit [points]."""
_TURN = "usct_turn"
"""Attribute of a list of layers: what `spread` was called last, whose later steps alone are done."""


def spread(viewer: "Viewer", rows: Sequence[Sequence["Layer"]]) -> None:
    """Show some layers alone, each in a cell with its name; those of one column stay neighbours.

    Args:
        viewer: Where; its list of layers begins with these afterwards, because the grid is filled in its order.
        rows: One row of layers, or several; the last may be shorter, which leaves cells free at its end.
    """
    layers, n_columns = _laid_out(rows, viewer.canvas.size)
    grid, shape, turn = viewer.canvas.grid, (math.ceil(len(layers) / n_columns), n_columns), object()
    if grid.enabled and grid.shape == shape and [x for x in viewer.layers if x.visible] == layers:
        return
    setattr(viewer.layers, _TURN, turn)
    font_size = fitting_size(
        [layer.name for layer in layers], viewer.canvas.size[1] / n_columns - 4 * GAP, NAME_SIZE
    )

    def show(layer: "Layer") -> None:
        layer.visible = layer.name_overlay.visible = True

    def is_wanted(_: object) -> bool:
        return getattr(viewer.layers, _TURN) is turn and all(layer in viewer.layers for layer in layers)

    # The window is laid out anew with every change that it hears of, and drawing a layer in a cell for the first time
    # takes up to a tenth of a second: so they come one by one.
    with viewer.layers.batched_update():
        active = viewer.layers.selection.active
        viewer.layers.move_multiple([viewer.layers.index(layer) for layer in layers], 0)
        viewer.layers.selection.active = active
        for layer in viewer.layers:
            layer.visible = layer.name_overlay.visible = layer is layers[0]
            layer.name_overlay.font_size = font_size
        grid.stride, grid.shape, grid.spacing, grid.enabled = 1, shape, GAP, True
    steps = [partial(show, layer) for layer in layers[1:]]
    one_by_one(takewhile(is_wanted, [lambda: frame(viewer), *steps, lambda: frame(viewer)]))


def _laid_out(rows: Sequence[Sequence["Layer"]], size: tuple[float, float]) -> tuple[list["Layer"], int]:
    """Layers in the order of cells, and how many columns make cells of a canvas (height, width) largest."""
    by_row, by_column = (
        [x for line in lines for x in line if x is not None] for lines in (rows, zip_longest(*rows))
    )
    n_across = len(rows[0])
    ways = [(by_row, n_across), *((by_column, n * len(rows)) for n in range(1, n_across + 1))]
    return max(ways, key=lambda way: min(size[0] / math.ceil(len(by_row) / way[1]), size[1] / way[1]))


def pile(viewer: "Viewer") -> None:
    """Show layers one above the other again: those that are visible, and elements and lines over them."""
    if not viewer.canvas.grid.enabled:
        return
    setattr(viewer.layers, _TURN, None)
    with viewer.layers.batched_update():
        viewer.canvas.grid.enabled = False
        for layer in viewer.layers:
            layer.name_overlay.visible = False
            layer.visible = layer.visible or is_mark(layer)
        show_one_ring(viewer)
    frame(viewer)
