"""The linearised forward model: gradient, Jacobian and Gauss-Newton products without a further solve.

The operator A is symmetric and every element both sends and receives, so the fields U of all elements give
data as P^T U, and the change of the data for a change v of the squared slowness is

    J v = s (V^T diag(w v) U + U^T diag(w v) V),      V = M U,

with the mass stencil M, which couples neighbours through the mean of their squared slownesses; w holds
(omega h)^2 / 2 and the stretching of the absorbing layers. This is exact for the discrete operator. J v,
its adjoint and the Gauss-Newton product are one or two matrix products over U and V.
"""

from dataclasses import dataclass

import torch

from usct.acquisition import TransducerArray
from usct.forward.stencil import Stencil, apply_mass

CHUNK_CELLS = 16384
"""Cells treated at once; bounds the temporaries to this many times the number of elements."""


@dataclass(frozen=True)
class LinearizedForward:
    """The forward model at one medium and frequency, and its derivative there.

    The unknown is the squared slowness of `cells`; it may be complex. J is complex-linear. For changes
    that are real, take the real part of `adjoint`.

    Attributes:
        data: Predicted data of unit sources, shape (tx, rx).
        cells: Flat indices into the padded grid of the cells that may change, shape (cell,).
        residual: Relative residual of the wave equation over the whole grid, NaN if unchecked [1].
        fields: Fields U of all elements in these cells, shape (cell, element).
        spread_fields: M U, shape (cell, element).
        sensitivity: Weight w of each cell, shape (cell,).
        array: Elements, transmits and receives.
    """

    data: torch.Tensor
    cells: torch.Tensor
    residual: float
    fields: torch.Tensor
    spread_fields: torch.Tensor
    sensitivity: torch.Tensor
    array: TransducerArray

    @classmethod
    def of(
        cls,
        fields: torch.Tensor,
        stencil: Stencil,
        shape: tuple[int, ...],
        cells: torch.Tensor,
        sensitivity: torch.Tensor,
        all_data: torch.Tensor,
        array: TransducerArray,
        residual: float,
        storage: torch.dtype,
    ) -> "LinearizedForward":
        """Keep what products need of full-grid fields, shape (node, element)."""
        ny, nx = shape
        index = cells.to(fields.device)
        kept = fields[index].to(storage)
        spread = torch.empty_like(kept)
        # Whole grid rows at a time, with one more on either side for the stencil.
        rows = max(1, CHUNK_CELLS // nx)
        for top in range(0, ny, rows):
            first, last = max(0, top - 1), min(ny, top + rows + 1)
            inside = (index >= top * nx) & (index < min(ny, top + rows) * nx)
            if inside.any():
                slab = fields[first * nx : last * nx].reshape(last - first, nx, -1)
                product = apply_mass(stencil, slab).reshape((last - first) * nx, -1)
                spread[inside] = product[index[inside] - first * nx].to(storage)
        data = all_data[array.transmits][:, array.receives]
        return cls(data, cells, residual, kept, spread, sensitivity, array)

    def apply(self, change: torch.Tensor) -> torch.Tensor:
        """J v: change of the data for a change of squared slowness.

        Args:
            change: Shape (cell,), real or complex [s^2/m^2].

        Returns:
            Shape (tx, rx), complex128.
        """
        weight = (self.sensitivity * change.to(self.sensitivity.device)).to(self.fields.dtype)
        n_elements = self.fields.shape[1]
        product = torch.zeros(n_elements, n_elements, dtype=torch.complex128, device=self.fields.device)
        for part in _chunks(len(weight)):
            product += multiply((weight[part, None] * self.fields[part]).mT, self.spread_fields[part])
        product = product + product.mT
        return product[self.array.transmits][:, self.array.receives]

    def adjoint(self, residual: torch.Tensor) -> torch.Tensor:
        """J^H w, the gradient of the misfit where w is its derivative with respect to the data.

        Args:
            residual: Shape (tx, rx), complex.

        Returns:
            Shape (cell,), complex128.
        """
        n_elements = self.fields.shape[1]
        full = torch.zeros(n_elements, n_elements, dtype=torch.complex128, device=self.fields.device)
        where = (self.array.transmits[:, None].to(full.device), self.array.receives[None, :].to(full.device))
        full.index_put_(where, residual.to(full), accumulate=True)
        mixed = (full + full.mT).conj().resolve_conj().to(self.fields.dtype)
        result = torch.empty(len(self.cells), dtype=torch.complex128, device=self.fields.device)
        for part in _chunks(len(result)):
            result[part] = (multiply(self.fields[part], mixed) * self.spread_fields[part]).sum(dim=1)
        return (result * self.sensitivity).conj().resolve_conj()

    def gauss_newton(self, change: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
        """J^H W J v with W = diag(weights), shape (tx, rx); returns shape (cell,)."""
        predicted = self.apply(change)
        return self.adjoint(predicted if weights is None else weights.to(predicted.device) * predicted)


def _chunks(n: int) -> list[slice]:
    return [slice(start, start + CHUNK_CELLS) for start in range(0, n, CHUNK_CELLS)]


def multiply(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Matrix product; on a CPU by NumPy's BLAS, which is up to three times torch's speed in complex types."""
    if left.device.type == "cpu":
        return torch.from_numpy(left.numpy() @ right.numpy())
    return left @ right
