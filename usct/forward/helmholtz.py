"""The frequency-domain forward model: finite differences and a direct solver."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from usct.acquisition import TransducerArray
from usct.errors import InputError
from usct.forward import stencil
from usct.forward.base import ForwardModel
from usct.forward.born import LinearizedForward
from usct.forward.dissection import Layout
from usct.forward.parallel import single_threaded_blas
from usct.forward.pml import stretching
from usct.forward.sampling import Sampling, sample_elements
from usct.forward.solver import Executor, factorise
from usct.forward.sources import SparseSources
from usct.grid import Grid
from usct.medium import Medium

LEAST_POINTS_PER_WAVELENGTH = 3.5
LARGEST_RESIDUAL = 1e-8
USELESS_RESIDUAL = 1e-4
OTHER_LAYOUTS = (Layout(9, 0.42), Layout(7, 0.37), Layout(5, 0.45))
"""Dissections to try after the standard one; all differ in the size of boxes from the first cut to the leaves."""


class ResonanceError(InputError):
    """The grid resonates so sharply in this medium that fields cannot be trusted; a slightly different one will do."""


@dataclass(frozen=True)
class Helmholtz(ForwardModel):
    """Dispersion-optimised finite differences with absorbing layers, solved directly.

    Attributes:
        grid: Where the medium lives; the absorbing layers are added outside it.
        array: Two-dimensional array; every element must lie inside the grid.
        speed_range: Lowest and highest sound speed that the stencil is fitted to [m/s]. Fixed while a medium
            is inverted for, so that the derivative is exact.
        water_sound_speed: Sound speed around the elements [m/s].
        pml_cells: Thickness of the absorbing layers.
        damping: Solve at the complex frequency omega - i damping, to match damped data [1/s].
        device: Where to compute.
        executor: See `factorise`.
        storage: Type in which the fields for linearised products are kept; complex64 halves memory and
            time and limits adjoint exactness to about 1e-6.
    """

    grid: Grid
    array: TransducerArray
    speed_range: tuple[float, float] = (1400.0, 1620.0)
    water_sound_speed: float = 1500.0
    pml_cells: int = 10
    damping: float = 0.0
    device: torch.device = torch.device("cpu")
    executor: Executor = "auto"
    storage: torch.dtype = torch.complex128

    def __post_init__(self) -> None:
        """Check the geometry."""
        if self.grid.n_dims != 2 or self.array.positions.shape[1] != 2:
            raise ValueError("the frequency-domain solver is two-dimensional; give a 2-D grid and array")
        slowest, fastest = self.speed_range
        if not 0 < slowest <= fastest:
            raise ValueError(f"speed_range must be increasing and positive, got {self.speed_range}")
        outside = ~self.grid.contains(self.array.positions)
        if outside.any():
            worst = int(outside.nonzero()[0])
            y, x = (1e3 * self.array.positions[worst]).tolist()
            raise InputError(
                f"element {worst} at (y, x) = ({y:.1f}, {x:.1f}) mm lies outside the grid; use a larger grid, "
                "or check that the positions are in metres"
            )

    def linearize(
        self, medium: Medium, frequency: float, region: torch.Tensor | None = None, check: bool = True
    ) -> LinearizedForward:
        """Solve for the fields of all elements; see ForwardModel."""
        squared = self.squared_slowness(medium, frequency).detach()
        with single_threaded_blas():
            return self._linearize(squared, self._buoyancy(medium), frequency, region, check)

    def squared_slowness(self, medium: Medium, frequency: float) -> torch.Tensor:
        """See ForwardModel."""
        if medium.grid != self.grid:
            raise ValueError("the medium must be on the forward model's grid; use Medium.resampled")
        return self._pad(medium.slowness(frequency) ** 2)

    def __call__(self, medium: Medium, frequencies: torch.Tensor) -> torch.Tensor:
        """Predict the spectra of unit sources; see ForwardModel."""
        squared = [self.squared_slowness(medium, f) for f in frequencies.tolist()]
        buoyancy = self._buoyancy(medium)
        rows = [_Data.apply(s, buoyancy, f, self) for s, f in zip(squared, frequencies.tolist(), strict=True)]
        return torch.stack(rows)

    def _pad(self, values: torch.Tensor) -> torch.Tensor:
        width = (self.pml_cells,) * 4
        if values.is_complex():
            return torch.complex(self._pad(values.real), self._pad(values.imag))
        return torch.nn.functional.pad(values[None], width, mode="replicate")[0]

    def _buoyancy(self, medium: Medium) -> torch.Tensor | None:
        """Water density over density; the water's is taken where the elements are."""
        if medium.density is None:
            return None
        nodes = self.grid.fractional_index(self.array.positions).round().long()
        reference = medium.density[nodes[:, 0], nodes[:, 1]].median()
        return self._pad(reference / medium.density.detach())

    def _check_sampling(self, frequency: float) -> None:
        points = self.speed_range[0] / (frequency * self.grid.spacing)
        if points < LEAST_POINTS_PER_WAVELENGTH:
            highest = self.speed_range[0] / (LEAST_POINTS_PER_WAVELENGTH * self.grid.spacing)
            raise InputError(
                f"frequency {frequency / 1e6:g} MHz has only {points:.1f} points per wavelength on a grid of "
                f"{1e3 * self.grid.spacing:g} mm; use at most {highest / 1e6:.3g} MHz or a finer grid"
            )

    def _linearize(
        self,
        squared_slowness: torch.Tensor,
        buoyancy: torch.Tensor | None,
        frequency: float,
        region: torch.Tensor | None,
        check: bool,
    ) -> LinearizedForward:
        self._check_sampling(frequency)
        omega = complex(2 * math.pi * frequency, -self.damping)
        phase = omega * self.grid.spacing
        scheme = stencil.fit_stencil(*self.speed_range, frequency, self.grid.spacing)
        stretch_y, stretch_x = (
            stretching(n, self.pml_cells, self.grid.spacing, omega, self.water_sound_speed)
            for n in self.padded.shape
        )
        squared_phase = (squared_slowness.to(torch.complex128) * phase**2).to(self.device)
        buoyancy = None if buoyancy is None else buoyancy.to(squared_phase)
        couplings = stencil.assemble(scheme, squared_phase, (stretch_y, stretch_x), buoyancy)
        wavenumber = 2 * math.pi * frequency / self.water_sound_speed
        sampling = sample_elements(self.padded, self.array.positions, wavenumber)
        cells, wanted = self._cells(region)
        wanted.reshape(-1)[sampling.nodes.reshape(-1)] = True
        fields, residual = self._solve(couplings, sampling, wanted.numpy(), check)
        factor = scheme.source_factor(wavenumber * self.grid.spacing)
        weight = (stretch_y[1::2, None] * stretch_x[None, 1::2]).to(squared_phase) * (0.5 * factor * phase**2)
        weight = (weight if buoyancy is None else weight * buoyancy).reshape(-1)[cells.to(self.device)]
        data = factor * sampling.sample(fields)
        return LinearizedForward.of(
            fields, scheme, self.padded.shape, cells, weight, data, self.array, residual, self.storage
        )

    def _solve(
        self, couplings: torch.Tensor, sampling: Sampling, wanted: np.ndarray, check: bool
    ) -> tuple[torch.Tensor, float]:
        """Fields of all elements, and the relative residual of the wave equation.

        A front whose box resonates at this frequency amplifies rounding. That shows in the residual, and boxes of
        other sizes help.

        Raises:
            InputError: If the residual stays so large that the fields are worthless, whatever the boxes.
        """
        n_elements, width = sampling.nodes.shape
        # The operator stands for h^2 (laplacian + k^2) and a point source for a delta over one cell, hence -1.
        sources = SparseSources(
            sampling.nodes.reshape(-1).numpy(),
            np.repeat(np.arange(n_elements), width),
            -sampling.weights.reshape(-1).numpy(),
            n_elements,
        )
        factorization, residual = factorise(couplings[None], self.executor), math.nan
        if check:
            weights = torch.from_numpy(sources.weights)[None]
            residual = factorization.residual(sources, weights)
            for layout in OTHER_LAYOUTS:
                if residual <= LARGEST_RESIDUAL:
                    break
                other = factorise(couplings[None], self.executor, layout)
                # Written so that a better one also replaces one that is not finite.
                if not (own := other.residual(sources, weights)) >= residual:
                    factorization, residual = other, own
        if check and not residual <= USELESS_RESIDUAL:
            raise ResonanceError(
                f"the direct solver met a resonance of the grid of {1e3 * self.grid.spacing:g} mm (relative residual "
                f"{residual:.1e}); change the grid's points per wavelength or the frequency by a per cent"
            )
        return factorization.solve(sources, None, wanted)[0], residual

    def _cells(self, region: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        """Flat padded indices of the region, and a padded map of where fields are needed for it."""
        if region is None:
            return torch.arange(self.padded.n_cells), torch.ones(self.padded.shape, dtype=torch.bool)
        inside = torch.nn.functional.pad(region[None].float(), (self.pml_cells,) * 4)[0]
        around = torch.nn.functional.max_pool2d(inside[None], 3, stride=1, padding=1)[0] > 0
        return (inside > 0).reshape(-1).nonzero()[:, 0], around


class _Data(torch.autograd.Function):
    """Squared slowness to data, with the adjoint-state gradient."""

    @staticmethod
    def forward(
        ctx: Any,
        squared_slowness: torch.Tensor,
        buoyancy: torch.Tensor | None,
        frequency: float,
        model: Helmholtz,
    ) -> torch.Tensor:
        """Solve and keep the fields."""
        ctx.linearized = model._linearize(squared_slowness.detach(), buoyancy, frequency, None, check=True)
        ctx.shape = squared_slowness.shape
        return ctx.linearized.data.cpu()

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None, None]:
        """Apply the adjoint of the linearised forward model."""
        return ctx.linearized.adjoint(gradients[0]).cpu().reshape(ctx.shape), None, None, None
