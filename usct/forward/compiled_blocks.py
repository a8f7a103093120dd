"""Tiles of the Jacobian on a CPU, made and used while they are in cache; see block_products."""

import math
from typing import TYPE_CHECKING

import numba
import numpy as np
import scipy.sparse
import torch

from usct.forward.parallel import each, n_threads, shares

if TYPE_CHECKING:
    from usct.forward.block_products import BlockProducts

MOST_CELLS = 16_384
"""Cells whose fields are laid out at once where they are combined."""

BLOCK_CELLS, TILE_CELLS, PANEL = 960, 160, 48
"""Cells between two visits to the result, cells of a tile, and vectors that it meets at once.

BLAS libraries multiply fastest below a million operations, where they do not rearrange what they are given.
"""


def forward(products: "BlockProducts", changes: torch.Tensor) -> torch.Tensor:
    """Changes of cells, shape (row, n), to pairs, shape (part, n), float64; cells are shared among threads."""
    values, tiles = _panels(changes), products.tiles.numpy()
    rows, model = products.rows.numpy(), _arrays(products)

    def work(share: slice) -> np.ndarray:
        result = np.zeros((len(values), products.n_parts, values.shape[2]))
        some = np.ascontiguousarray(values[:, share])  # BLAS would copy every slice of it otherwise
        _forward(*model, rows[share], some, tiles, products.group, result)
        return result

    total, *others = each(work, shares(len(rows), math.ceil(len(rows) / n_threads())))
    for part in others:
        total += part
    return _joined(total, changes.shape[1])


def backward(products: "BlockProducts", pairs: torch.Tensor) -> torch.Tensor:
    """Transpose of `forward`: shape (part, n) to (row, n), float64; cells are shared among threads."""
    values, tiles = _panels(pairs), products.tiles.numpy()
    rows, model = products.rows.numpy(), _arrays(products)
    result = np.empty((len(values), len(rows), values.shape[2]))
    each(
        lambda share: _backward(*model, rows[share], values, tiles, products.group, result[:, share]),
        shares(len(rows)),
    )
    return _joined(result, pairs.shape[1])


def combined(products: "BlockProducts", weights: scipy.sparse.csr_array) -> torch.Tensor:
    """Combinations of cells by sparse weights, shape (row, n), to (n, part); tiles are shared among threads."""
    dtype = torch.zeros(0, dtype=products.dtype).numpy().dtype
    result = np.zeros((weights.shape[1], products.n_parts), dtype=dtype)
    tiles, rows, model = products.tiles.numpy(), products.rows.numpy(), _arrays(products)
    n, values = model[0].shape[1], weights.data.astype(dtype)
    for low in range(0, len(rows), MOST_CELLS):
        some = rows[low : low + MOST_CELLS]
        fields, pivots, _ = _workspace(n, products.group, result, len(some))
        each(
            lambda share: _split(*model, some[share], fields[:, :, share], pivots[:, :, share]),  # noqa: B023
            shares(len(some)),
        )
        ends = weights.indptr[low : low + len(some) + 1]
        each(
            lambda share: _combine(fields, pivots, tiles[share], ends, weights.indices, values, result),  # noqa: B023
            shares(len(tiles)),
        )
    return torch.from_numpy(result)


def _arrays(products: "BlockProducts") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    model = products.linearized
    return model.fields.numpy(), model.spread_fields.numpy(), model.sensitivity.numpy()


def _panels(values: torch.Tensor) -> np.ndarray:
    """Columns in groups, shape (panel, row, column); the last group is filled up with zeros."""
    n_panels = math.ceil(values.shape[1] / PANEL)
    width = math.ceil(values.shape[1] / n_panels)
    padded = torch.nn.functional.pad(values, (0, n_panels * width - values.shape[1]))
    return padded.reshape(len(values), n_panels, width).transpose(0, 1).contiguous().numpy()


def _joined(panels: np.ndarray, n: int) -> torch.Tensor:
    """Undo `_panels`."""
    return torch.from_numpy(panels).transpose(0, 1).flatten(1)[:, :n]


@numba.njit(cache=True, nogil=True)
def _forward(u, v, weights, rows, changes, tiles, group, result):  # type: ignore[no-untyped-def] # compiled
    n_panels, n, width = changes.shape
    fields, pivots, buffer = _workspace(u.shape[1], group, changes, BLOCK_CELLS)
    products = np.empty(2 * group * width, dtype=changes.dtype)
    sums = np.empty((n_panels, 2 * group, width), dtype=changes.dtype)
    for low in range(0, n, BLOCK_CELLS):
        count = min(BLOCK_CELLS, n - low)
        _split(u, v, weights, rows[low : low + count], fields, pivots)
        for t in range(len(tiles)):
            i, start, stop, end = tiles[t]
            size = 2 * (stop - start)
            product = products[: size * width].reshape(size, width)
            sums[:, :size] = 0
            for first in range(0, count, TILE_CELLS):
                cells = min(TILE_CELLS, count - first)
                tile = buffer[: cells * size].reshape(cells, size)
                _form(fields[start // group], pivots[i], first, start % group, tile)
                for panel in range(n_panels):
                    np.dot(tile.T, changes[panel, low + first : low + first + cells], product)
                    sums[panel, :size] += product
            result[:, end - size : end] += sums[:, :size]


@numba.njit(cache=True, nogil=True)
def _backward(u, v, weights, rows, pairs, tiles, group, result):  # type: ignore[no-untyped-def] # compiled
    n_panels, n, width = result.shape
    fields, pivots, buffer = _workspace(u.shape[1], group, pairs, BLOCK_CELLS)
    product = np.empty((TILE_CELLS, width), dtype=pairs.dtype)
    sums = np.empty((n_panels, TILE_CELLS, width), dtype=pairs.dtype)
    for low in range(0, n, BLOCK_CELLS):
        count = min(BLOCK_CELLS, n - low)
        _split(u, v, weights, rows[low : low + count], fields, pivots)
        for first in range(0, count, TILE_CELLS):
            cells = min(TILE_CELLS, count - first)
            sums[:] = 0
            for t in range(len(tiles)):
                i, start, stop, end = tiles[t]
                size = 2 * (stop - start)
                tile = buffer[: cells * size].reshape(cells, size)
                _form(fields[start // group], pivots[i], first, start % group, tile)
                for panel in range(n_panels):
                    np.dot(tile, pairs[panel, end - size : end], product[:cells])
                    sums[panel, :cells] += product[:cells]
            result[:, low + first : low + first + cells] = sums[:, :cells]


@numba.njit(cache=True, nogil=True, fastmath={"contract"})
def _combine(fields, pivots, tiles, ends, columns, weights, result):  # type: ignore[no-untyped-def] # compiled
    """Rows of each tile, made one after the other, times the weights between two ends."""
    group = fields.shape[3]
    sums = np.empty((len(result), 2 * group), dtype=result.dtype)
    row = np.empty((1, 2 * group), dtype=result.dtype)
    for t in range(len(tiles)):
        i, start, stop, end = tiles[t]
        size = 2 * (stop - start)
        made = row[:, :size]
        sums[:] = 0
        for k in range(len(ends) - 1):
            _form(fields[start // group], pivots[i], k, start % group, made)
            for entry in range(ends[k], ends[k + 1]):
                weight, total = weights[entry], sums[columns[entry]]
                for j in range(size):
                    total[j] += weight * made[0, j]
        result[:, end - size : end] += sums[:, :size]


@numba.njit(cache=True, nogil=True)
def _workspace(n, group, like, n_cells):  # type: ignore[no-untyped-def] # compiled
    """Fields of groups of partners, those of every element by itself, and a tile."""
    return (
        np.empty((-(-n // group), 4, n_cells, group), dtype=like.dtype),
        np.empty((n, 4, n_cells), dtype=like.dtype),
        np.empty(TILE_CELLS * 2 * group, dtype=like.dtype),
    )


@numba.njit(cache=True, nogil=True)
def _split(u, v, weights, rows, fields, pivots):  # type: ignore[no-untyped-def] # compiled
    """Real and imaginary parts of w u and of v in some cells."""
    group = fields.shape[3]
    for k in range(len(rows)):
        cell = rows[k]
        for j in range(u.shape[1]):
            weighted, spread = weights[cell] * u[cell, j], v[cell, j]
            pivots[j, 0, k] = weighted.real
            pivots[j, 1, k] = weighted.imag
            pivots[j, 2, k] = spread.real
            pivots[j, 3, k] = spread.imag
            for part in range(4):
                fields[j // group, part, k, j % group] = pivots[j, part, k]


@numba.njit(cache=True, nogil=True, fastmath={"contract"})
def _form(fields, pivot, first, start, tile):  # type: ignore[no-untyped-def] # compiled
    """(w u)_i v_j + v_i (w u)_j for one element i and some partners j: real parts, then imaginary ones."""
    size = tile.shape[1] // 2
    for k in range(tile.shape[0]):
        cell = first + k
        cr, ci, dr, di = pivot[0, cell], pivot[1, cell], pivot[2, cell], pivot[3, cell]
        ar, ai = fields[0, cell, start : start + size], fields[1, cell, start : start + size]
        br, bi = fields[2, cell, start : start + size], fields[3, cell, start : start + size]
        real, imaginary = tile[k, :size], tile[k, size:]
        for j in range(size):
            real[j] = cr * br[j] - ci * bi[j] + dr * ar[j] - di * ai[j]
        for j in range(size):
            imaginary[j] = cr * bi[j] + ci * br[j] + dr * ai[j] + di * ar[j]
