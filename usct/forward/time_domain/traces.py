"""Differentiable raw traces: the exact gradient of any misfit of traces, within a bound on memory.

A step is m (D + kappa R) u = L u - Q u + f with m = 1 / C, where D is the second difference in time, R what relaxing
does to its past, and L is symmetric but for the layers, whose stretching is one where the medium may change. D and R
look the same at all times. So the adjoint field is the same scheme fed with the derivative with respect to the traces
in reversed time, and the derivatives with respect to m and kappa are

    - sum over steps of (D + kappa R) u times the adjoint field,    - sum of m R u times the adjoint field,

to rounding. The forward field is computed again, backwards in time; see `replay`.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from usct.forward.parallel import each, n_threads
from usct.forward.time_domain import compiled, steps
from usct.forward.time_domain.replay import Region, Replay, Segment, plan_of
from usct.forward.time_domain.scheme import Scheme
from usct.forward.time_domain.shots import Shots
from usct.forward.time_domain.simulation import Simulation
from usct.forward.time_domain.tables import Tables
from usct.medium import Medium

COPIES_LOSSLESS, COPIES_LOSSY = 2, 4
"""Fields that a segment of the gradient holds for every step."""


def raw_traces(
    simulation: Simulation, medium: Medium, transmits: torch.Tensor, largest_memory: float = 4e9
) -> torch.Tensor:
    """Traces of the drive at every step, differentiable with respect to sound speed and attenuation.

    The absorbing layers, which continue the medium, count as given.

    Args:
        simulation: Settings; the compiled executor is used.
        medium: On the simulation's grid.
        transmits: Elements that send, one after the other, shape (tx,).
        largest_memory: For the gradient, all threads together [bytes].

    Returns:
        Shape (tx, rx, step) with the type of the simulation.

    Raises:
        InputError: If the time step is unstable, or the gradient would not fit in memory.
    """
    signal = simulation.drive.signal(simulation.n_steps)[None, None]
    shots = Shots(simulation.sampling(medium), transmits[:, None], signal, simulation.array.receives)
    squared, strength = simulation.slowness(medium, simulation.relaxation(medium))
    result: torch.Tensor = _Traces.apply(
        squared, strength, simulation, simulation.scheme(medium), shots, largest_memory
    )
    return result


class _Traces(torch.autograd.Function):
    """Squared slowness and strength of the attenuation on the padded grid to raw traces."""

    @staticmethod
    def forward(
        ctx: Any,
        squared: torch.Tensor,
        strength: torch.Tensor | None,
        simulation: Simulation,
        scheme: Scheme,
        shots: Shots,
        largest: float,
    ) -> torch.Tensor:
        """Simulate; the gradient simulates again."""
        if squared.requires_grad or (strength is not None and strength.requires_grad):
            region = Region(Tables.of(scheme, simulation.dtype), simulation.grid, scheme.grid)
            copies = COPIES_LOSSLESS if strength is None else COPIES_LOSSY
            plan = plan_of(region, shots, min(n_threads(), shots.n_shots), largest, copies)
            ctx.replay = Replay(region, shots, plan)
        ctx.scheme, ctx.squared, ctx.strength = scheme, squared, strength
        return compiled.propagate(scheme, shots, simulation.dtype).traces

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[Any, ...]:
        """Correlate forward and adjoint fields."""
        scheme, cells = ctx.scheme, ctx.replay.region.cells
        strength = None if ctx.strength is None else ctx.strength.detach().reshape(-1)[cells].numpy()
        worker = _Gradient(ctx.replay, strength)
        residual = gradients[0].numpy() / scheme.source_gain
        total = sum(each(lambda shot: worker.of_shot(shot, residual[shot]), range(len(residual))))
        factor = -((scheme.grid.spacing / scheme.step) ** 2)
        parts = factor * torch.from_numpy(np.asarray(total)).reshape(-1, len(cells))
        slopes = torch.zeros(len(parts), scheme.grid.n_cells, dtype=torch.float64)
        slopes[:, cells] = parts
        slopes = slopes.reshape(-1, *scheme.grid.shape)
        on_strength = None if strength is None else slopes[1] * ctx.squared.detach()
        return slopes[0], on_strength, None, None, None, None


@dataclass(frozen=True)
class _Gradient:
    """The sums over steps for one shot.

    Attributes:
        replay: The forward field.
        strength: Of the attenuation in the region, shape (cell,), or None.
    """

    replay: Replay
    strength: np.ndarray | None

    def of_shot(self, shot: int, residual: np.ndarray) -> np.ndarray:
        """Sums for a residual (rx, step): (D + kappa R) u times the adjoint field, and R u times it, if lossy."""
        replay = self.replay
        tables, cells = replay.region.tables, replay.region.cells
        receives = replay.shots.receives.numpy()
        adjoint = tables.silence()
        both = cells if self.strength is None else np.concatenate([cells, cells])
        sums = np.zeros(len(both))
        for segment in replay.segments(shot):
            echo = np.ascontiguousarray(residual[:, segment.first : segment.last][:, ::-1])
            tape = both, -1, self._bends(segment), sums
            adjoint = replay.advance(adjoint, receives, echo, tape)
        return sums

    def _bends(self, segment: Segment) -> np.ndarray:
        """What is multiplied with the adjoint field, shape (time, cell or 2 cell)."""
        fields = segment.fields
        if self.strength is None:
            bends = fields[2:] - fields[1:-1]
            bends -= fields[1:-1]
            bends += fields[:-2]
            return bends
        tables = self.replay.region.tables
        shape = len(fields) - 2, 2 * fields.shape[1]
        both: np.ndarray = np.empty(shape, dtype=tables.real)
        steps.relax(fields, segment.memories, tables.medium[4], self.strength.astype(tables.real), both)
        return both
