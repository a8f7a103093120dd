"""Jacobian products with changes that hold no fine detail, by every other cell in the manner of a chessboard."""

import math
from typing import final

import torch

from usct.forward.block_products import BlockProducts
from usct.forward.thinning import chessboard
from usct.grid import Grid


@final
class HalfProducts:
    """Products by half of the cells, each for two.

    Products of two fields hold detail up to the wavenumber 2 k, a change up to some other. A chessboard of cells h
    apart repeats spectra every 2 pi / (sqrt(2) h) at the nearest, so a sum over it equals that over all cells where
    that exceeds the sum of both; at the rim all cells are taken. `adjoint` is the transpose of `apply`.

    Args:
        products: With changes of all cells.
        grid: Padded grid that the cells belong to.
    """

    def __init__(self, products: BlockProducts, grid: Grid) -> None:
        weights = chessboard(products.linearized.cells.cpu().numpy(), grid.shape)
        self._n_cells = len(weights)
        self._rows = torch.from_numpy(weights.nonzero()[0])
        self._weights = torch.from_numpy(weights)[self._rows]
        self._products = products.some(self._rows)

    @staticmethod
    def suffices(spacing: float, wave: float, detail: float) -> bool:
        """Whether cells are near enough for waves and changes up to these wavenumbers [m, rad/m, rad/m]."""
        return 2 * math.pi / (math.sqrt(2) * spacing) >= 2 * wave + detail

    def apply(self, changes: torch.Tensor) -> torch.Tensor:
        """J of changes of squared slowness, shape (n, cell), real or complex; shape (n, tx, rx), complex128."""
        return self._products.apply(self._weights * changes[:, self._rows])

    def adjoint(self, residuals: torch.Tensor) -> torch.Tensor:
        """Real part of J^H of residuals, shape (n, tx, rx), zero where nothing counts; shape (n, cell), float64."""
        found = torch.zeros(len(residuals), self._n_cells, dtype=torch.float64)
        found[:, self._rows] = self._weights * self._products.adjoint(residuals)
        return found
