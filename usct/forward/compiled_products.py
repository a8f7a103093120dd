"""Products over element fields on a CPU, block by block so that every block is used while it is in cache."""

import numba
import numpy as np
import torch

from usct.forward import memory
from usct.forward.parallel import each, shares

BLOCK_CELLS = 512


def restrict(
    fields: torch.Tensor,
    cells: torch.Tensor,
    n_columns: int,
    weights: tuple[float, float, float],
    storage: torch.dtype,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Fields and mass-weighted fields at some cells; see born.restrict."""
    shape = (len(cells), fields.shape[1])
    dtype = np.complex64 if storage == torch.complex64 else np.complex128
    kept, spread = memory.empty(shape, dtype), memory.empty(shape, dtype)
    field, index = fields.numpy(), cells.numpy()
    each(
        lambda share: _restrict_cells(
            field, index, n_columns, *weights, kept, spread, share.start, share.stop
        ),
        shares(len(index)),
    )
    return torch.from_numpy(kept), torch.from_numpy(spread)


@numba.njit(cache=True, nogil=True)
def _restrict_cells(field, cells, nx, centre, edge, corner, kept, spread, first, last):  # type: ignore[no-untyped-def] # compiled
    n, columns = field.shape
    for number in range(first, last):
        cell = cells[number]
        y, x = cell // nx, cell % nx
        total = np.zeros(columns, dtype=np.complex128)
        for dy in range(-1, 2):
            for dx in range(-1, 2):
                if 0 <= y + dy < n // nx and 0 <= x + dx < nx:
                    row = field[cell + dy * nx + dx]
                    steps = abs(dy) + abs(dx)
                    weight = centre if steps == 0 else (edge if steps == 1 else corner)
                    for j in range(columns):
                        total[j] += weight * row[j]
        row = field[cell]
        for j in range(columns):
            kept[number, j] = row[j]
            spread[number, j] = total[j]


def apply(fields: torch.Tensor, spread: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """U^T diag(weights) V for fields U and V of shape (cell, element); returns complex128 (element, element)."""
    u, v, w = fields.numpy(), spread.numpy(), weights.numpy()

    def work(share: slice) -> np.ndarray:
        return _apply(u[share], v[share], w[share])

    total = np.zeros((u.shape[1], u.shape[1]), dtype=np.complex128)
    for part in each(work, shares(len(u))):
        total += part
    return torch.from_numpy(total)


def adjoint(fields: torch.Tensor, spread: torch.Tensor, mixing: torch.Tensor) -> torch.Tensor:
    """Row sums of (U mixing) * V, complex128 of shape (cell,)."""
    u, v, m = fields.numpy(), spread.numpy(), mixing.numpy()
    result = np.empty(len(u), dtype=np.complex128)

    def work(share: slice) -> None:
        _adjoint(u[share], v[share], m, result[share])

    each(work, shares(len(u)))
    return torch.from_numpy(result)


@numba.njit(cache=True, nogil=True)
def _apply(u, v, weights):  # type: ignore[no-untyped-def] # compiled
    n, columns = u.shape
    total = np.zeros((columns, columns), dtype=np.complex128)
    product = np.empty((columns, columns), dtype=u.dtype)
    weighted = np.empty((BLOCK_CELLS, columns), dtype=u.dtype)
    for first in range(0, n, BLOCK_CELLS):
        last = min(n, first + BLOCK_CELLS)
        for cell in range(first, last):
            weight = weights[cell]
            for j in range(columns):
                weighted[cell - first, j] = weight * u[cell, j]
        np.dot(weighted[: last - first].T, v[first:last], product)
        total += product
    return total


@numba.njit(cache=True, nogil=True)
def _adjoint(u, v, mixing, result):  # type: ignore[no-untyped-def] # compiled
    n, columns = u.shape
    mixed = np.empty((BLOCK_CELLS, columns), dtype=u.dtype)
    for first in range(0, n, BLOCK_CELLS):
        last = min(n, first + BLOCK_CELLS)
        np.dot(u[first:last], mixing, mixed[: last - first])
        for cell in range(first, last):
            total = 0j
            for j in range(columns):
                total += mixed[cell - first, j] * v[cell, j]
            result[cell] = total
