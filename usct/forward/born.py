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
from usct.forward.parallel import compiled_code_runs
from usct.forward.stencil import Stencil

CHUNK_CELLS = 65536
"""Cells treated at once on a GPU; bounds the temporaries to this many times the number of elements."""


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
        kept, spread = restrict(fields, cells, shape, stencil, storage)
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
        if _compiled(weight):
            from usct.forward import compiled_products

            product = compiled_products.apply(self.fields, self.spread_fields, weight)
        else:
            product = torch.zeros(2 * (self.fields.shape[1],), dtype=torch.complex128, device=weight.device)
            for part in _chunks(len(weight)):
                product += (weight[part, None] * self.fields[part]).mT @ self.spread_fields[part]
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
        if _compiled(mixed):
            from usct.forward import compiled_products

            result = compiled_products.adjoint(self.fields, self.spread_fields, mixed)
        else:
            parts = [
                ((self.fields[part] @ mixed) * self.spread_fields[part]).sum(dim=1, dtype=torch.complex128)
                for part in _chunks(len(self.cells))
            ]
            result = torch.cat(parts) if parts else mixed.new_zeros(0, dtype=torch.complex128)
        return (result * self.sensitivity).conj().resolve_conj()

    def gauss_newton(self, change: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
        """J^H W J v with W = diag(weights), shape (tx, rx); returns shape (cell,)."""
        predicted = self.apply(change)
        return self.adjoint(predicted if weights is None else weights.to(predicted.device) * predicted)


def restrict(
    fields: torch.Tensor, cells: torch.Tensor, shape: tuple[int, ...], stencil: Stencil, storage: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor]:
    """Fields and mass-weighted fields at some cells.

    Args:
        fields: On the whole padded grid, shape (node, element).
        cells: Flat node indices, shape (cell,).
        shape: Size of the padded grid.
        stencil: Mass weights.
        storage: Complex type of the results.

    Returns:
        U and M U, each of shape (cell, element).
    """
    ny, nx = shape
    if _compiled(fields):
        from usct.forward import compiled_products

        return compiled_products.restrict(
            fields, cells, nx, (stencil.centre, stencil.edge, stencil.corner), storage
        )
    index = cells.to(fields.device)
    y, x = index // nx, index % nx
    spread = torch.zeros(len(index), fields.shape[1], dtype=fields.dtype, device=fields.device)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            inside = ((y + dy >= 0) & (y + dy < ny) & (x + dx >= 0) & (x + dx < nx))[:, None]
            weight = (stencil.centre, stencil.edge, stencil.corner)[abs(dy) + abs(dx)]
            spread += weight * inside * fields[(index + dy * nx + dx).clamp(0, ny * nx - 1)]
    return fields[index].to(storage), spread.to(storage)


def _compiled(values: torch.Tensor) -> bool:
    return values.device.type == "cpu" and compiled_code_runs()


def _chunks(n: int) -> list[slice]:
    return [slice(first, first + CHUNK_CELLS) for first in range(0, n, CHUNK_CELLS)]
