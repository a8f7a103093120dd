"""Jacobian products with many vectors at once: the Jacobian is formed, tile by tile, and used while in cache.

One entry, u_i v_j + v_i u_j for a pair of elements and a cell, costs a few operations, however many vectors it then
meets. A product with one vector alone is cheaper by `LinearizedForward`, which never forms it: that takes 8 N^2
operations a cell for N elements, this 2 N^2 a vector once there are many, because exchanging two elements changes
nothing, changes of a lossless medium are real, and pairs that do not count are left out.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import scipy.sparse
import torch

from usct.forward.born import LinearizedForward
from usct.forward.parallel import compiled_code_runs

GROUP = 64
"""Most partners of an element in a tile."""

CHUNK_BYTES = 2**28
"""Size of a tile where there is no cache to keep to."""


@dataclass(frozen=True)
class BlockProducts:
    """Products of a linearised forward model with changes of its cells, for the pairs that count.

    Attributes:
        linearized: The model; its fields are used where they are.
        tiles: An element, its first partner, one beyond its last, and one beyond the last of their parts: each
            pair has a real and an imaginary one, shape (tile, 4).
        rows: Which of the model's cells may change, shape (row,).
        dtype: Real type of the arithmetic, whatever that of the fields is.
        group: Most partners of a tile; those of one are between two multiples of it.
    """

    linearized: LinearizedForward
    tiles: torch.Tensor
    rows: torch.Tensor
    dtype: torch.dtype
    group: int = GROUP

    @classmethod
    def of(cls, linearized: LinearizedForward, counts: torch.Tensor) -> "BlockProducts":
        """Products with changes of all cells, for the data that count, boolean of shape (tx, rx)."""
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
        cells = torch.arange(len(linearized.cells))
        dtype = torch.float32 if linearized.fields.dtype == torch.complex64 else torch.float64
        return cls(linearized, torch.tensor(tiles, dtype=torch.int64).reshape(-1, 4), cells, dtype)

    @property
    def n_parts(self) -> int:
        """Number of real and imaginary parts of pairs."""
        return int(self.tiles[-1, 3]) if len(self.tiles) else 0

    def single(self) -> "BlockProducts":
        """The same to six digits, in half the time."""
        return replace(self, dtype=torch.float32)

    def some(self, rows: torch.Tensor) -> "BlockProducts":
        """Products with changes of some cells alone, shape (row,)."""
        return replace(self, rows=rows)

    def apply(self, changes: torch.Tensor) -> torch.Tensor:
        """J of changes of squared slowness, shape (n, row), real or complex; shape (n, tx, rx), complex128.

        Entries that do not count are not meaningful.
        """
        if changes.is_complex():
            real = self.apply(changes.real)
            return real + 1j * self.apply(changes.imag) if changes.imag.any() else real
        return self.unpacked(self.forward(changes.T))

    def adjoint(self, residuals: torch.Tensor) -> torch.Tensor:
        """Real part of J^H of residuals, shape (n, tx, rx), zero where nothing counts; shape (n, row), float64."""
        return self.backward(self.packed(residuals)).T.cpu()

    def unpacked(self, parts: torch.Tensor) -> torch.Tensor:
        """Data from parts of pairs, shape (n_parts, n); shape (n, tx, rx), complex128."""
        array, n = self.linearized.array, self.linearized.array.n_elements
        parts = parts.cpu()
        full = torch.zeros(parts.shape[1], n, n, dtype=torch.complex128)
        for i, start, stop, end in self.tiles.tolist():
            real, imaginary = parts[end - 2 * (stop - start) : end].double().chunk(2)
            full[:, i, start:stop] = full[:, start:stop, i] = torch.complex(real, imaginary).T
        return full[:, array.transmits][:, :, array.receives]

    def packed(self, residuals: torch.Tensor) -> torch.Tensor:
        """Adjoint of `unpacked`, shape (n_parts, n)."""
        array, n = self.linearized.array, self.linearized.array.n_elements
        full = torch.zeros(n, n, len(residuals), dtype=torch.complex128)
        where = (array.transmits[:, None], array.receives[None])
        full.index_put_(where, residuals.cpu().to(full).permute(1, 2, 0), accumulate=True)
        full = full + full.transpose(0, 1)
        full[torch.arange(n), torch.arange(n)] *= 0.5
        parts = [torch.zeros(0, len(residuals), dtype=torch.float64)]
        for i, start, stop, _ in self.tiles.tolist():
            parts += [full[i, start:stop].real, full[i, start:stop].imag]
        return torch.cat(parts)

    def forward(self, changes: torch.Tensor) -> torch.Tensor:
        """Parts of pairs from real changes of cells, shape (row, n); shape (n_parts, n), float64."""
        changes = changes.to(self.dtype).contiguous()
        if self._compiled():
            from usct.forward import compiled_blocks

            return compiled_blocks.forward(self, changes)
        changes = changes.to(self.linearized.fields.device)
        result = torch.zeros(self.n_parts, changes.shape[1], dtype=torch.float64, device=changes.device)
        for cells, part, tile in self._formed():
            result[part] += tile.T @ changes[cells]
        return result

    def backward(self, parts: torch.Tensor) -> torch.Tensor:
        """Transpose of `forward`: shape (n_parts, n) to (row, n), float64."""
        parts = parts.to(self.dtype).contiguous()
        if self._compiled():
            from usct.forward import compiled_blocks

            return compiled_blocks.backward(self, parts)
        parts = parts.to(self.linearized.fields.device)
        result = torch.zeros(len(self.rows), parts.shape[1], dtype=torch.float64, device=parts.device)
        for cells, part, tile in self._formed():
            result[cells] += tile @ parts[part]
        return result

    def combined(self, weights: scipy.sparse.csr_array) -> torch.Tensor:
        """Jacobian for combinations of cells: sparse weights, shape (row, n), to (n, n_parts) of this dtype."""
        if self._compiled():
            from usct.forward import compiled_blocks

            return compiled_blocks.combined(self, weights)
        device = self.linearized.fields.device
        result = torch.zeros(weights.shape[1], self.n_parts, dtype=self.dtype, device=device)
        for cells, part, tile in self._formed():
            result[:, part] += torch.from_numpy(weights[cells].toarray()).to(tile).T @ tile
        return result

    def _compiled(self) -> bool:
        return self.linearized.fields.device.type == "cpu" and compiled_code_runs()

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
                yield cells, part, torch.cat([tile.real, tile.imag], dim=1).to(self.dtype)
