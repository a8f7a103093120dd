"""Jacobian products with the smooth part of changes alone, by a Jacobian for few splines."""

import math
from typing import final

import numpy as np
import scipy.linalg
import scipy.sparse
import torch

from usct.forward.block_products import BlockProducts
from usct.forward.parallel import each, shares
from usct.forward.thinning import every_other
from usct.grid import Grid

RIDGE = 1e-6
"""Share of a spline's energy that is added to it, so that what is left of one at the rim does no harm."""


@final
class SmoothProducts:
    """Products with what cubic splines of a certain spacing hold of a change, in the least-squares sense.

    The Jacobian with respect to the splines is computed once and kept: n_parts x n_splines numbers. Its integrals
    take every other cell along each axis, since products of two fields hold no detail finer than half a
    wavelength. Right to a hundredth or better, in single precision, and consistent: `adjoint` is the transpose of
    `apply`.

    Args:
        products: With changes of all cells.
        grid: Padded grid that the cells belong to.
        spacing: Of the splines [m].
    """

    def __init__(self, products: BlockProducts, grid: Grid, spacing: float) -> None:
        self._products = products = products.single()  # the rest is off by far more than its rounding
        cells = products.linearized.cells.numpy()
        place = np.divmod(cells, grid.shape[1])
        width = max(1.0, spacing / grid.spacing)
        along = [_splines(n, width)[index] for n, index in zip(grid.shape, place, strict=True)]
        splines = _row_products(*along)
        splines = splines[:, splines.max(axis=0).toarray().reshape(-1) > 0]
        self._splines = scipy.sparse.csr_array(splines)
        gram = (self._splines.T @ self._splines).toarray()
        gram[np.diag_indices_from(gram)] += RIDGE * gram.max()
        self._gram = scipy.linalg.cho_factor(gram, lower=True)
        self._jacobian = self._integrals(cells, grid.shape)

    def apply(self, changes: torch.Tensor) -> torch.Tensor:
        """J of changes of squared slowness, shape (n, cell), real or complex; shape (n, tx, rx), complex128."""
        if changes.is_complex():
            real = self.apply(changes.real)
            return real + 1j * self.apply(changes.imag) if changes.imag.any() else real
        coefficients = scipy.linalg.cho_solve(self._gram, self._splines.T @ changes.T.numpy())
        wanted = torch.from_numpy(coefficients.T).to(self._jacobian)
        seen = each(lambda share: wanted @ self._jacobian[:, share], shares(self._jacobian.shape[1]))
        return self._products.unpacked(torch.cat(seen, dim=1).T)

    def adjoint(self, residuals: torch.Tensor) -> torch.Tensor:
        """Real part of J^H of residuals, shape (n, tx, rx), zero where nothing counts; shape (n, cell), float64."""
        parts = self._products.packed(residuals).to(self._jacobian)
        seen = torch.cat(each(lambda share: self._jacobian[share] @ parts, shares(len(self._jacobian))))
        coefficients = scipy.linalg.cho_solve(self._gram, seen.double().numpy())
        return torch.from_numpy(self._splines @ coefficients).T

    def _integrals(self, cells: np.ndarray, shape: tuple[int, ...]) -> torch.Tensor:
        """Jacobian with respect to the splines, shape (spline, n_parts)."""
        weights = every_other(cells, shape)
        kept = np.flatnonzero(weights)
        return self._products.some(torch.from_numpy(kept)).combined(
            scipy.sparse.csr_array(self._splines[kept] * weights[kept, None])
        )


def _splines(n: int, width: float) -> scipy.sparse.csr_array:
    """Cubic B-splines, `width` nodes apart, at n nodes; shape (n, spline)."""
    place = np.arange(n) / width
    taps = np.floor(place).astype(int)[:, None] + np.arange(-1, 3)
    distance = np.abs(place[:, None] - taps)
    inner, outer = 2 / 3 - distance**2 + distance**3 / 2, (2 - distance).clip(0) ** 3 / 6
    values = np.where(distance < 1, inner, outer)
    rows = np.repeat(np.arange(n), 4)
    shape = (n, math.floor((n - 1) / width) + 4)
    return scipy.sparse.csr_array((values.reshape(-1), (rows, taps.reshape(-1) + 1)), shape=shape)


def _row_products(a: scipy.sparse.csr_array, b: scipy.sparse.csr_array) -> scipy.sparse.csc_array:
    """Products of all entries of each row of two matrices, shape (row, columns of a x columns of b)."""
    n = a.shape[0]
    values = a.data.reshape(n, -1, 1) * b.data.reshape(n, 1, -1)
    columns = a.indices.reshape(n, -1, 1) * b.shape[1] + b.indices.reshape(n, 1, -1)
    rows = np.repeat(np.arange(n), values.shape[1] * values.shape[2])
    shape = (n, a.shape[1] * b.shape[1])
    return scipy.sparse.csc_array((values.reshape(-1), (rows, columns.reshape(-1))), shape=shape)
