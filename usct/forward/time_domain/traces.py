"""Differentiable raw traces: the exact gradient of any misfit of traces, within a bound on memory.

In a lossless medium a step is m (u_next - 2 u + u_last) = L u - Q u + f with m = 1 / C, and L is symmetric but for the
layers, whose stretching is one where the medium may change. So the adjoint field is the same scheme fed with the
derivative with respect to the traces in reversed time, and the derivative with respect to m is

    - sum over steps of (u_next - 2 u + u_last) times the adjoint field,

to rounding. The forward field is computed again, from checkpoints, segment by segment, backwards in time. Segments
are as long as memory allows, and no longer than needed: one if all fits.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from usct.errors import InputError
from usct.forward.parallel import each, n_threads
from usct.forward.time_domain import compiled
from usct.forward.time_domain.layers import ZONE
from usct.forward.time_domain.scheme import Scheme
from usct.forward.time_domain.shots import Shots
from usct.forward.time_domain.simulation import Simulation
from usct.forward.time_domain.tables import Tables
from usct.medium import Medium


@dataclass(frozen=True)
class Checkpoints:
    """How a record is cut so that its gradient fits in memory.

    Attributes:
        n_steps: Of the record.
        length: Steps in a segment.
        n_bytes: Memory for every shot that runs at once [bytes].
    """

    n_steps: int
    length: int
    n_bytes: float

    @classmethod
    def fitting(cls, n_steps: int, field_bytes: float, state_bytes: float, largest: float) -> "Checkpoints":
        """The fewest segments that fit.

        Raises:
            InputError: If none do.
        """
        need = math.inf
        for n_segments in range(1, n_steps + 1):
            length = math.ceil(n_steps / n_segments)
            need = min(need, 2 * (length + 2) * field_bytes + (n_segments + 1) * state_bytes)
            if need <= largest:
                return cls(n_steps, length, need)
        raise InputError(
            f"the gradient of traces of {n_steps} steps needs {need / 1e9:.3g} GB for every shot at once and "
            f"{largest / 1e9:.3g} GB are allowed; use fewer threads, a coarser grid or shorter records"
        )


def raw_traces(
    simulation: Simulation, medium: Medium, transmits: torch.Tensor, largest_memory: float = 4e9
) -> torch.Tensor:
    """Traces of the drive at every step, differentiable with respect to the medium's sound speed.

    The absorbing layers, which continue the medium, count as given.

    Args:
        simulation: Settings; the compiled executor is used.
        medium: Lossless, on the simulation's grid.
        transmits: Elements that send, one after the other, shape (tx,).
        largest_memory: For the gradient, all threads together [bytes].

    Returns:
        Shape (tx, rx, step) with the type of the simulation.

    Raises:
        InputError: If the time step is unstable, or the gradient would not fit in memory.
        ValueError: If the medium attenuates.
    """
    if medium.attenuation is not None:
        raise ValueError("gradients of traces are for lossless media; leave out the attenuation")
    signal = simulation.drive.signal(simulation.n_steps)[None, None]
    shots = Shots(simulation.sampling(medium), transmits[:, None], signal, simulation.array.receives)
    squared, _ = simulation.slowness(medium, None)
    result: torch.Tensor = _Traces.apply(
        squared, simulation, simulation.scheme(medium), shots, largest_memory
    )
    return result


class _Traces(torch.autograd.Function):
    """Squared slowness on the padded grid to raw traces."""

    @staticmethod
    def forward(
        ctx: Any, squared: torch.Tensor, simulation: Simulation, scheme: Scheme, shots: Shots, largest: float
    ) -> torch.Tensor:
        """Simulate; the gradient simulates again."""
        if squared.requires_grad:
            per_value = torch.finfo(simulation.dtype).bits // 8
            field = per_value * simulation.grid.n_cells
            state = sum(part.nbytes for part in Tables.of(scheme, simulation.dtype).silence())
            share = largest / min(n_threads(), shots.n_shots)
            ctx.checkpoints = Checkpoints.fitting(shots.signals.shape[-1], field, state, share)
        ctx.simulation, ctx.scheme, ctx.shots = simulation, scheme, shots
        return compiled.propagate(scheme, shots, simulation.dtype).traces

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[Any, ...]:
        """Correlate forward and adjoint fields."""
        grid, scheme = ctx.simulation.grid, ctx.scheme
        inside = torch.zeros(scheme.grid.shape, dtype=torch.bool)
        inside[tuple(slice(ZONE, ZONE + n) for n in grid.shape)] = True
        cells = inside.reshape(-1).nonzero()[:, 0]
        worker = _Gradient(Tables.of(scheme, ctx.simulation.dtype), ctx.shots, cells.numpy(), ctx.checkpoints)
        residual = gradients[0].numpy() / scheme.source_gain
        total = sum(each(lambda shot: worker.of_shot(shot, residual[shot]), range(len(residual))))
        slope = torch.zeros(scheme.grid.n_cells, dtype=torch.float64)
        slope[cells] = torch.from_numpy(np.asarray(total)) * -((scheme.grid.spacing / scheme.step) ** 2)
        return slope.reshape(scheme.grid.shape), None, None, None, None


@dataclass(frozen=True)
class _Gradient:
    """The sum over steps for one shot."""

    tables: Tables
    shots: Shots
    cells: np.ndarray
    checkpoints: Checkpoints

    def of_shot(self, shot: int, residual: np.ndarray) -> np.ndarray:
        """Sum of second differences times the adjoint field, for a residual (rx, step); shape (cell,)."""
        n_steps, length = self.checkpoints.n_steps, self.checkpoints.length
        signals = self.shots.signals[shot if len(self.shots.signals) > 1 else 0].numpy()
        senders, receives = self.shots.transmits[shot].numpy(), self.shots.receives.numpy()
        starts = list(range(0, n_steps, length))
        state = self.tables.silence()
        saved = [tuple(part.copy() for part in state)]
        for first in starts[:-1]:
            state = self._run(state, senders, signals[:, first : first + length], self.tables.no_tape())
            saved.append(tuple(part.copy() for part in state))
        sums = np.zeros(len(self.cells))
        adjoint = self.tables.silence()
        places = self.tables.in_halo(self.cells)
        for first in reversed(starts):
            last = min(first + length, n_steps)
            state = saved.pop()
            kept: np.ndarray = np.empty((last - first + 2, len(self.cells)), dtype=self.tables.real)
            kept[0] = state[1].reshape(-1)[places]
            inner = kept[1:-1]
            state = self._run(state, senders, signals[:, first:last], (1, inner, sums))
            kept[-1] = state[0].reshape(-1)[places]
            bend = kept[2:] - inner
            bend -= inner
            bend += kept[:-2]
            echo = np.ascontiguousarray(residual[:, first:last][:, ::-1])
            adjoint = self._run(adjoint, receives, echo, (-1, bend, sums))
        return sums

    def _run(
        self, state: tuple[np.ndarray, ...], elements: np.ndarray, signals: np.ndarray, tape: tuple[Any, ...]
    ) -> tuple[np.ndarray, ...]:
        """Advance a state by as many steps as there are signals (sender, time)."""
        nodes, weights = self.shots.sampling.nodes.numpy(), self.shots.sampling.weights.numpy()
        sources = self.tables.sources(nodes[elements], weights[elements], signals)
        deaf = self.tables.ears(nodes[:0], weights[:0])
        nothing: np.ndarray = np.empty((0, signals.shape[1]), dtype=self.tables.real)
        runs = self.tables.runs(self.cells)
        compiled.run(self.tables, state, sources, deaf, nothing, runs, self.tables.no_transform(), tape)
        return state if signals.shape[1] % 2 == 0 else (state[1], state[0], *state[2:])
