"""The standard case of the direct solvers, and usct's own run of it.

A ring of elements in water about a smooth random medium, at six points per wavelength whatever the size:
the operator, the elements' right-hand sides, and a region of interest in which the gradient is wanted.
"""

import math
from dataclasses import dataclass

import numpy as np
import scipy.sparse
import torch

from tests.bench.measure import measure
from usct.acquisition import TransducerArray
from usct.forward.born import LinearizedForward
from usct.forward.dissection import dissect
from usct.forward.pml import stretching
from usct.forward.sampling import Sampling, sample_elements
from usct.forward.solver import Executor, factorise
from usct.forward.sources import SparseSources, trace
from usct.forward.stencil import NEIGHBOURS, Stencil, assemble, fit_stencil
from usct.grid import Grid

WATER, SLOWEST, FASTEST = 1500.0, 1440.0, 1560.0
POINTS_PER_WAVELENGTH = 6.0
PML_CELLS = 10


@dataclass(frozen=True)
class Problem:
    """One operator and what is asked of it.

    Attributes:
        grid: Absorbing layers included.
        array: The ring.
        scheme: Stencil weights.
        couplings: The operator, shape (5, ny, nx).
        sampling: Nodes and weights of the elements.
        region: Flat indices of the cells in which the gradient is wanted, shape (cell,).
        sensitivity: Their weights in the derivative, shape (cell,).
        residual: Residual of the data that the adjoint starts from, shape (element, element).
    """

    grid: Grid
    array: TransducerArray
    scheme: Stencil
    couplings: torch.Tensor
    sampling: Sampling
    region: torch.Tensor
    sensitivity: torch.Tensor
    residual: torch.Tensor

    def matrix(self) -> scipy.sparse.csc_matrix:
        """The operator as SciPy knows it."""
        ny, nx = self.grid.shape
        index = np.arange(ny * nx).reshape(ny, nx)
        result = scipy.sparse.csc_matrix((ny * nx, ny * nx), dtype=np.complex128)
        for coupling, (dy, dx) in zip(self.couplings.numpy(), NEIGHBOURS, strict=True):
            here = (slice(0, ny - dy), slice(max(0, -dx), nx - max(0, dx)))
            there = (slice(dy, ny), slice(max(0, dx), nx + min(0, dx)))
            places = (index[here].ravel(), index[there].ravel())
            part = scipy.sparse.coo_matrix((coupling[here].ravel(), places), shape=result.shape)
            result = result + (part if (dy, dx) == (0, 0) else part + part.T)
        return result.tocsc()

    def sources(self) -> SparseSources:
        """Unit sources of all elements, for usct."""
        n_elements, width = self.sampling.nodes.shape
        columns = np.repeat(np.arange(n_elements), width)
        nodes, weights = (t.reshape(-1).numpy() for t in (self.sampling.nodes, self.sampling.weights))
        return SparseSources(nodes, columns, -weights, n_elements)

    def right_sides(self) -> scipy.sparse.csc_matrix:
        """The same, shape (node, element)."""
        sources = self.sources()
        shape = (self.grid.n_cells, sources.n_columns)
        return scipy.sparse.csc_matrix((sources.weights, (sources.nodes, sources.columns)), shape=shape)

    def wanted(self) -> np.ndarray:
        """Rows where fields are needed: the region, its neighbours and the elements; boolean (ny, nx)."""
        inside = torch.zeros(self.grid.n_cells)
        inside[self.region] = 1.0
        around = torch.nn.functional.max_pool2d(
            inside.reshape(1, 1, *self.grid.shape), 3, stride=1, padding=1
        )
        rows = around.reshape(-1) > 0
        rows[self.sampling.nodes.reshape(-1)] = True
        return rows.reshape(self.grid.shape).numpy()

    def linearized(self, fields: torch.Tensor) -> LinearizedForward:
        """What the gradient needs, from the fields of all elements on the whole grid."""
        data = self.sampling.sample(fields)
        sensitivity = self.sensitivity.to(fields.device)
        shape, none = self.grid.shape, math.nan
        return LinearizedForward.of(
            fields, self.scheme, shape, self.region, sensitivity, data, self.array, none, torch.complex128
        )


@dataclass(frozen=True)
class Run:
    """One factorisation, the fields of all elements and a gradient.

    Attributes:
        factor_seconds: Numerical factorisation [s].
        solve_seconds: Fields of all elements [s].
        gradient_seconds: Gradient from fields and residual by the shared-adjoint products [s].
        adjoint_seconds: Adjoint fields by a second solve instead [s]; None where it was not asked for.
        peak_bytes: Most memory beyond the operator's.
        fields: Fields in the region, shape (cell, element).
        analysis_seconds: Symbolic work, once per grid and not counted elsewhere [s]; None where unknown.
    """

    factor_seconds: float
    solve_seconds: float
    gradient_seconds: float
    adjoint_seconds: float | None
    peak_bytes: int | None
    fields: np.ndarray
    analysis_seconds: float | None = None


def standard_problem(size: int, n_elements: int, seed: int = 0) -> Problem:
    """The standard case on size x size nodes, absorbing layers included."""
    spacing = 1e-3
    frequency = SLOWEST / (POINTS_PER_WAVELENGTH * spacing)
    grid = Grid.centred((size, size), spacing)
    half_width = (0.5 * (size - 1) - PML_CELLS) * spacing
    array = TransducerArray.ring(n_elements, half_width - 5 * spacing)
    speed = torch.where(grid.disc(0.7 * half_width), _smooth_speed(size, seed), WATER)
    scheme = fit_stencil(SLOWEST, FASTEST, frequency, spacing)
    omega = 2 * math.pi * frequency
    stretch = stretching(size, PML_CELLS, spacing, complex(omega), WATER)
    squared = ((omega * spacing / speed) ** 2).to(torch.complex128)
    region = grid.disc(0.7 * half_width).reshape(-1).nonzero()[:, 0]
    sensitivity = torch.full((len(region),), 0.5 * (omega * spacing) ** 2, dtype=torch.complex128)
    generator = torch.Generator().manual_seed(seed)
    residual = torch.randn(n_elements, n_elements, dtype=torch.complex128, generator=generator)
    sampling = sample_elements(grid, array.positions, omega / WATER)
    couplings = assemble(scheme, squared, (stretch, stretch))
    return Problem(grid, array, scheme, couplings, sampling, region, sensitivity, residual)


def run_usct(problem: Problem, executor: Executor, device: torch.device) -> Run:
    """Run the standard case on usct's solver; plans are known from an earlier run, as in an inversion."""
    couplings = problem.couplings[None].to(device)
    sources, wanted = problem.sources(), problem.wanted()
    activities = trace(dissect(problem.grid.shape), sources)
    factor = measure(lambda: factorise(couplings, executor), device)
    solve = measure(lambda: factor.result.solve(sources, None, wanted, activities)[0], device)
    linearize = measure(lambda: problem.linearized(solve.result), device)
    gradient = measure(lambda: linearize.result.adjoint(problem.residual), device)
    peaks = [step.peak_bytes for step in (factor, solve) if step.peak_bytes is not None]
    return Run(
        factor.seconds,
        solve.seconds,
        linearize.seconds + gradient.seconds,
        None,
        sum(peaks) if peaks else None,
        solve.result[problem.region.to(device)].cpu().numpy(),
    )


def _smooth_speed(size: int, seed: int) -> torch.Tensor:
    """Random sound speed between the slowest and the fastest, with structure of an eighth of the grid."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 1, 9, 9, dtype=torch.float64, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, size=(size, size), mode="bicubic")[0, 0].clamp(0, 1)
    return SLOWEST + (FASTEST - SLOWEST) * smooth
