"""Sums over some of the cells in place of all of them, where what is summed holds no fine detail.

A sum over a coarser lattice differs from that over all cells by what repeats of the summand's spectrum hold at zero.
The summand ends at the region's rim, though, and a sharp rim has a spectrum without end. So the weights go smoothly
from the coarse lattice inside to all cells at the rim.
"""

import numpy as np
import scipy.ndimage

RIM_CELLS = 6
"""Cells from the rim to where the coarse lattice begins."""

NOTHING = 1e-9
"""Weights below this are none."""


def every_other(cells: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Weights of a sum over every other cell along each axis, for summands up to the wavenumber pi / spacing.

    Args:
        cells: Flat indices, shape (cell,).
        shape: Of the grid.

    Returns:
        Shape (cell,); four inside, one at the rim, zero for cells that are left out.
    """
    y, x = np.divmod(cells, shape[1])
    share = _share(cells, shape)
    return _clean((1 + share * (-1.0) ** y) * (1 + share * (-1.0) ** x))


def chessboard(cells: np.ndarray, shape: tuple[int, ...], rim: int = RIM_CELLS) -> np.ndarray:
    """Weights of a sum over every second cell as on a chessboard, for summands up to sqrt(2) pi / spacing.

    Args:
        cells: Flat indices, shape (cell,).
        shape: Of the grid.
        rim: Cells from the rim to where the chessboard begins.

    Returns:
        Shape (cell,); two inside, one at the rim, zero for cells that are left out.
    """
    y, x = np.divmod(cells, shape[1])
    return _clean(1 + _share(cells, shape, rim) * (-1.0) ** (y + x))


def _share(cells: np.ndarray, shape: tuple[int, ...], rim: int = RIM_CELLS) -> np.ndarray:
    """Share that the coarse lattice has in the weight of each cell, zero at the rim to one inside."""
    inside = np.zeros(shape)
    inside.reshape(-1)[cells] = 1
    depth = scipy.ndimage.distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1].reshape(-1)[cells]
    return np.sin(0.5 * np.pi * np.clip((depth - 1) / rim, 0, 1)) ** 2


def _clean(weights: np.ndarray) -> np.ndarray:
    return np.where(weights > NOTHING, weights, 0)
