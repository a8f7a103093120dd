"""Jacobian products with many vectors at once: the Jacobian is formed, tile by tile, and used while in cache.

One entry, u_i v_j + v_i u_j for a pair of elements and a cell, costs a few operations, however many vectors it then
meets. A product with one vector alone is cheaper by `LinearizedForward`, which never forms it: that takes 8 N^2
operations a cell for N elements, this 2 N^2 a vector once there are many, because exchanging two elements changes
nothing, changes of a lossless medium are real, and pairs that do not count are left out.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.sparse
import torch

from usct.forward.born import LinearizedForward
from usct.forward.parallel import compiled_code_runs
from usct.grid import Grid, resampling_matrix

GROUP = 64
"""Most partners of an element in a tile."""

CHUNK_BYTES = 2**28
"""Size of a tile where there is no cache to keep to."""


@dataclass(frozen=True)
class BlockProducts:
    """Products of a linearised forward model with real changes of its cells, for the pairs that count.

    Attributes:
        linearized: The model; its fields are used where they are.
        tiles: An element, its first partner, one beyond its last, and one beyond the last of their numbers, of
            which each pair has a real and an imaginary one, shape (tile, 4).
        rows: Which of the model's cells take part, shape (row,).
        between: Interpolation from these to all cells, shape (cell, row), sparse; None where all take part.
        group: Most partners of a tile; those of one are between two multiples of it.
    """

    linearized: LinearizedForward
    tiles: torch.Tensor
    rows: torch.Tensor
    between: scipy.sparse.csr_array | None
    group: int = GROUP

    @classmethod
    def of(
        cls, linearized: LinearizedForward, counts: torch.Tensor, coarse: Grid | None = None
    ) -> "BlockProducts":
        """Products for the data that count.

        Args:
            linearized: The model.
            counts: Boolean, shape (tx, rx).
            coarse: The model's padded grid, to sum over every other cell along each axis: four times cheaper, and
                nearly right for changes that vary slowly, because products of two fields hold no detail finer
                than half a wavelength.
        """
        n = linearized.array.n_elements
        where = (linearized.array.transmits[:, None], linearized.array.receives[None])
        wanted = torch.zeros(n, n).index_put_(where, counts.cpu().float(), accumulate=True)
        wanted = (wanted + wanted.T).triu() > 0
        tiles, end = [], 0
        for low in range(0, n, GROUP):
            for element, partners in enumerate(wanted[:, low : low + GROUP]):
                if bool(partners.any()):
                    some = partners.nonzero()[:, 0] + low
                    start, stop = int(some[0]), int(some[-1]) + 1
                    end += 2 * (stop - start)
                    tiles.append((element, start, stop, end))
        pairs, rows, between = torch.tensor(tiles).reshape(-1, 4), torch.arange(len(linearized.cells)), None
        if coarse is not None:
            rows, between = _every_other(linearized.cells, coarse)
        return cls(linearized, pairs, rows, between)

    def apply(self, changes: torch.Tensor) -> torch.Tensor:
        """J of changes of squared slowness, shape (n, cell), real or complex; shape (n, tx, rx), complex128.

        Entries that do not count are not meaningful.
        """
        if changes.is_complex():
            real = self.apply(changes.real)
            return real + 1j * self.apply(changes.imag) if changes.imag.any() else real
        array, n = self.linearized.array, self.linearized.array.n_elements
        if self.between is not None:
            changes = torch.from_numpy(changes.numpy() @ self.between)
        packed = self._forward(changes.to(self._real).T.contiguous()).cpu()
        full = torch.zeros(len(changes), n, n, dtype=torch.complex128)
        for i, start, stop, end in self.tiles.tolist():
            real, imaginary = packed[end - 2 * (stop - start) : end].chunk(2)
            full[:, i, start:stop] = full[:, start:stop, i] = torch.complex(real, imaginary).T
        return full[:, array.transmits][:, :, array.receives]

    def adjoint(self, residuals: torch.Tensor) -> torch.Tensor:
        """Real part of J^H of residuals, shape (n, tx, rx), zero where nothing counts; shape (n, cell), float64."""
        array, n = self.linearized.array, self.linearized.array.n_elements
        full = torch.zeros(n, n, len(residuals), dtype=torch.complex128)
        where = (array.transmits[:, None], array.receives[None])
        full.index_put_(where, residuals.cpu().to(full).permute(1, 2, 0), accumulate=True)
        full = full + full.transpose(0, 1)
        full[torch.arange(n), torch.arange(n)] *= 0.5
        parts = []
        for i, start, stop, _ in self.tiles.tolist():
            parts += [full[i, start:stop].real, full[i, start:stop].imag]
        result = self._backward(torch.cat(parts).to(self._real)).T.cpu()
        return result if self.between is None else torch.from_numpy(result.numpy() @ self.between.T)

    @property
    def _real(self) -> torch.dtype:
        return torch.float32 if self.linearized.fields.dtype == torch.complex64 else torch.float64

    def _compiled(self) -> bool:
        return self.linearized.fields.device.type == "cpu" and compiled_code_runs()

    def _forward(self, changes: torch.Tensor) -> torch.Tensor:
        """Changes of shape (row, n) to parts of pairs, shape (part, n), float64."""
        if self._compiled():
            from usct.forward import compiled_blocks

            return compiled_blocks.forward(self, changes)
        changes = changes.to(self.linearized.fields.device)
        shape = (int(self.tiles[-1, 3]), changes.shape[1])
        result = torch.zeros(shape, dtype=torch.float64, device=changes.device)
        for cells, part, tile in self._formed():
            result[part] += tile.T @ changes[cells]
        return result

    def _backward(self, pairs: torch.Tensor) -> torch.Tensor:
        """Transpose of `_forward`: shape (part, n) to (row, n), float64."""
        if self._compiled():
            from usct.forward import compiled_blocks

            return compiled_blocks.backward(self, pairs)
        pairs = pairs.to(self.linearized.fields.device)
        shape = (len(self.rows), pairs.shape[1])
        result = torch.zeros(shape, dtype=torch.float64, device=pairs.device)
        for cells, part, tile in self._formed():
            result[cells] += tile @ pairs[part]
        return result

    def _formed(self) -> Iterator[tuple[slice, slice, torch.Tensor]]:
        """Tiles of the Jacobian: their rows, their parts of pairs, and shape (row, part)."""
        model = self.linearized
        n_bytes = 2 * model.fields.element_size() * model.fields.shape[1]
        for some in torch.arange(len(self.rows)).split(max(1, CHUNK_BYTES // n_bytes)):
            cells = slice(int(some[0]), int(some[-1]) + 1)
            rows = self.rows[cells].to(model.fields.device)
            weighted = model.fields[rows] * model.sensitivity[rows, None].to(model.fields)
            spread = model.spread_fields[rows]
            for i, start, stop, end in self.tiles.tolist():
                others = slice(start, stop)
                tile = weighted[:, i, None] * spread[:, others] + spread[:, i, None] * weighted[:, others]
                part = slice(end - 2 * (stop - start), end)
                yield cells, part, torch.cat([tile.real, tile.imag], dim=1)


def _every_other(cells: torch.Tensor, grid: Grid) -> tuple[torch.Tensor, scipy.sparse.csr_array]:
    """Every other cell along each axis, and cubic interpolation from these to all.

    Cells whose interpolation would need others than those given, at the rim, stand for themselves.

    Args:
        cells: Flat indices into a grid, increasing, shape (cell,).
        grid: The grid.

    Returns:
        Which cells are kept, shape (row,), and a sparse matrix of shape (cell, row).
    """
    axes = [
        scipy.sparse.csr_array(
            resampling_matrix(axis[::2], axis).numpy() if len(axis) > 2 else np.eye(len(axis))
        )
        for axis in grid.axes()
    ]
    nodes = torch.arange(grid.n_cells).reshape(grid.shape)[::2, ::2].reshape(-1)
    weights = scipy.sparse.kron(*axes).tocsr()[cells.numpy()]
    place = torch.full((grid.n_cells,), -1).index_put_((cells,), torch.arange(len(cells)))
    known = place[nodes].numpy() >= 0
    alone = abs(weights[:, ~known]).sum(axis=1) > 0
    kept = np.zeros(len(cells), dtype=bool)
    kept[place[nodes].numpy()[known]] = True
    kept |= alone
    # Rows of the interpolation in the numbering of kept cells.
    column = np.cumsum(kept) - 1
    part = weights[:, known].multiply(~alone[:, None]).tocoo()
    columns = column[place[nodes].numpy()[known]][part.col]
    own = np.flatnonzero(alone)
    matrix = scipy.sparse.coo_array(
        (
            np.concatenate([part.data, np.ones(len(own))]),
            (np.concatenate([part.row, own]), np.concatenate([columns, column[own]])),
        ),
        shape=(len(cells), int(kept.sum())),
    )
    return torch.from_numpy(np.flatnonzero(kept)), matrix.tocsr()
