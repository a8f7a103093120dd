"""The linearised forward model: gradient, Jacobian and Gauss-Newton products without a further solve.

The operator A is symmetric and every element both sends and receives, so the fields U of all elements give
data as P^T U, and the change of the data for a change v of the squared slowness is

    J v = s (V^T diag(w v) U + U^T diag(w v) V),      V = M U,

with the mass stencil M, which couples neighbours through the mean of their squared slownesses; w holds
(omega h)^2 / 2 and the stretching of the absorbing layers. This is exact for the discrete operator. J v,
its adjoint and the Gauss-Newton product are one or two matrix products over U and V.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch

from usct.acquisition import TransducerArray
from usct.forward.parallel import each, shares
from usct.forward.stencil import Stencil

Result = TypeVar("Result")

CHUNK_CELLS = 4096
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
        n_elements = self.fields.shape[1]

        def work(part: slice) -> torch.Tensor:
            return multiply((weight[part, None] * self.fields[part]).mT, self.spread_fields[part]).to(torch.complex128)

        parts = shares(len(weight), CHUNK_CELLS)
        product = torch.zeros(n_elements, n_elements, dtype=torch.complex128, device=self.fields.device)
        for partial in self._each(work, parts):
            product += partial
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

        def work(part: slice) -> None:
            result[part] = torch.einsum("ce,ce->c", multiply(self.fields[part], mixed), self.spread_fields[part])

        self._each(work, shares(len(result), CHUNK_CELLS))
        return (result * self.sensitivity).conj().resolve_conj()

    def _each(self, work: Callable[[slice], Result], parts: list[slice]) -> list[Result]:
        """Do the parts in parallel on a CPU, one after the other on a GPU, which is parallel by itself."""
        return each(work, parts) if self.fields.device.type == "cpu" else [work(part) for part in parts]

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
    if fields.device.type == "cpu":
        from usct.forward import compiled

        return compiled.restrict(fields, cells, nx, (stencil.centre, stencil.edge, stencil.corner), storage)
    index = cells.to(fields.device)
    y, x = index // nx, index % nx
    spread = torch.zeros(len(index), fields.shape[1], dtype=fields.dtype, device=fields.device)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            inside = ((y + dy >= 0) & (y + dy < ny) & (x + dx >= 0) & (x + dx < nx))[:, None]
            weight = (stencil.centre, stencil.edge, stencil.corner)[abs(dy) + abs(dx)]
            spread += weight * inside * fields[(index + dy * nx + dx).clamp(0, ny * nx - 1)]
    return fields[index].to(storage), spread.to(storage)


def multiply(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Matrix product; on a CPU by NumPy's BLAS, which is up to three times torch's speed in complex types."""
    if left.device.type == "cpu":
        return torch.from_numpy(left.numpy() @ right.numpy())
    return left @ right
