"""A forward field once more, backwards in time, within a bound on memory: what gradients of traces need.

Either from checkpoints, segment by segment; or, in a lossless medium, by stepping backwards, which leap-frog does
exactly but for rounding, once the nodes just outside the region are known at every step (boundary saving).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch

from usct.errors import InputError
from usct.forward.time_domain import compiled, steps
from usct.forward.time_domain.layers import ZONE
from usct.forward.time_domain.rows import HALO
from usct.forward.time_domain.shots import Shots
from usct.forward.time_domain.tables import State, Tables
from usct.grid import Grid

SHORTEST = 8
"""Steps in a segment between saved boundaries, which cost nothing more if they are few."""


@dataclass(frozen=True)
class Plan:
    """How a record is cut so that its gradient fits in memory.

    Attributes:
        n_steps: Of the record.
        length: Steps in a segment.
        n_bytes: Memory for every shot that runs at once [bytes].
        saves_boundary: Step backwards between saved boundaries instead of forwards from checkpoints.
    """

    n_steps: int
    length: int
    n_bytes: float
    saves_boundary: bool = False

    @classmethod
    def fitting(
        cls,
        n_steps: int,
        field_bytes: float,
        state_bytes: float,
        largest: float,
        boundary_bytes: float = math.inf,
        copies: int = 2,
    ) -> "Plan":
        """All steps at once if they fit; else saved boundaries; else the fewest segments between checkpoints.

        Args:
            n_steps: Of the record.
            field_bytes: Of one field in the region.
            state_bytes: Of all that a step changes.
            largest: What there is.
            boundary_bytes: Of the boundary at one step; infinite where stepping backwards is not possible.
            copies: Fields kept for every step of a segment.

        Raises:
            InputError: If nothing fits.
        """

        def rows(length: int) -> float:
            return copies * (length + 2) * field_bytes

        if rows(n_steps) + 2 * state_bytes <= largest:
            return cls(n_steps, n_steps, rows(n_steps) + 2 * state_bytes)
        fixed = n_steps * boundary_bytes + 3 * state_bytes
        if fixed + rows(SHORTEST) <= largest:
            length = min(n_steps, int((largest - fixed) / (copies * field_bytes)) - 2)
            return cls(n_steps, length, fixed + rows(length), saves_boundary=True)
        need = fixed + rows(SHORTEST)
        for n_segments in range(1, n_steps + 1):
            length = math.ceil(n_steps / n_segments)
            cost = rows(length) + (n_segments + 1) * state_bytes
            need = min(need, cost)
            if cost <= largest:
                return cls(n_steps, length, cost)
        raise InputError(
            f"the gradient of traces of {n_steps} steps needs {need / 1e9:.3g} GB for every shot at once and "
            f"{largest / 1e9:.3g} GB are allowed; use fewer threads, a coarser grid or shorter records"
        )


@dataclass(frozen=True)
class Segment:
    """Some steps in a row.

    Attributes:
        first: The first.
        last: One past the last.
        fields: In the region before each of them, one more on either side, shape (last - first + 2, cell).
        memories: Of the attenuation before the first, shape (mechanism, cell).
    """

    first: int
    last: int
    fields: np.ndarray
    memories: np.ndarray


@dataclass(frozen=True)
class Region:
    """The grid within its layers, where media may change.

    Attributes:
        tables: The scheme, layers included.
        grid: Without layers.
        padded: With them.
        cells: Flat nodes in `padded`.
    """

    tables: Tables
    grid: Grid
    padded: Grid
    cells: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        """List the cells."""
        object.__setattr__(self, "cells", np.flatnonzero(self.box(0)))

    def boundary(self) -> np.ndarray:
        """Flat nodes in `padded` that a step within reads from without: `HALO` deep, edges and corners left out."""
        out = np.zeros(self.padded.shape, dtype=bool)
        for axis in range(self.grid.n_dims):
            out |= self.box(HALO, axis)
        return np.flatnonzero(out & ~self.box(0))

    def box(self, wider: int, axis: int | None = None) -> np.ndarray:
        """Which nodes of `padded` lie in the region made wider along one axis or all."""
        box = np.zeros(self.padded.shape, dtype=bool)
        more = [wider if axis is None or dim == axis else 0 for dim in range(self.grid.n_dims)]
        pairs = zip(self.grid.shape, more, strict=True)
        box[tuple(slice(ZONE - m, ZONE + n + m) for n, m in pairs)] = True
        return box

    def holds(self, nodes: np.ndarray) -> bool:
        """Whether nodes of `padded` lie in the region or in a halo around it."""
        return bool(self.box(HALO).reshape(-1)[nodes].all())

    def cut(self, nodes: np.ndarray) -> np.ndarray:
        """Flat indices of nodes of `padded` in an array of the region and a halo."""
        index = np.unravel_index(nodes, self.padded.shape)
        shape = tuple(n + 2 * HALO for n in self.grid.shape)
        return np.ravel_multi_index(tuple(i - ZONE + HALO for i in index), shape)


@dataclass(frozen=True)
class Replay:
    """The field of a shot.

    Attributes:
        region: Where it is wanted.
        shots: What is sent.
        plan: How.
    """

    region: Region
    shots: Shots
    plan: Plan

    def segments(self, shot: int) -> Iterator[Segment]:
        """The field of a shot, last segment first."""
        signals = self.shots.signals[shot if len(self.shots.signals) > 1 else 0].numpy()
        senders = self.shots.transmits[shot].numpy()
        if self.plan.saves_boundary:
            yield from self._backwards(senders, signals)
        else:
            yield from self._from_checkpoints(senders, signals)

    def advance(self, state: State, elements: np.ndarray, signals: np.ndarray, tape: tuple) -> State:
        """Advance a state by as many steps as there are signals (sender, time); see `steps.run` for the tape."""
        cells, *rest_of_tape = tape
        tables = self.region.tables
        nodes, weights = self.shots.sampling.nodes.numpy(), self.shots.sampling.weights.numpy()
        sources = tables.sources(nodes[elements], weights[elements], signals)
        nothing: np.ndarray = np.empty((0, signals.shape[1]), dtype=tables.real)
        rest = (tables.ears(nodes[:0], weights[:0]), nothing, tables.runs(cells), tables.no_transform())
        compiled.run(tables, state, sources, *rest, tuple(rest_of_tape))
        return state if signals.shape[1] % 2 == 0 else (state[1], state[0], *state[2:])

    def _from_checkpoints(self, senders: np.ndarray, signals: np.ndarray) -> Iterator[Segment]:
        tables, cells = self.region.tables, self.region.cells
        places, nowhere = tables.in_halo(cells), (cells[:0], *tables.no_tape())
        starts = list(range(0, self.plan.n_steps, self.plan.length))
        state = tables.silence()
        saved = [tuple(part.copy() for part in state)]
        for first in starts[:-1]:
            state = self.advance(state, senders, signals[:, first : first + self.plan.length], nowhere)
            saved.append(tuple(part.copy() for part in state))
        for first in reversed(starts):
            last = min(first + self.plan.length, self.plan.n_steps)
            state = saved.pop()
            memories = state[-1].reshape(len(state[-1]), self.region.padded.n_cells)[:, cells]
            kept: np.ndarray = np.empty((last - first + 2, len(cells)), dtype=tables.real)
            kept[0] = state[1].reshape(-1)[places]
            state = self.advance(state, senders, signals[:, first:last], (cells, 1, kept[1:-1], np.empty(0)))
            kept[-1] = state[0].reshape(-1)[places]
            yield Segment(first, last, kept, memories)

    def _backwards(self, senders: np.ndarray, signals: np.ndarray) -> Iterator[Segment]:
        region, n_steps = self.region, self.plan.n_steps
        tables, boundary = region.tables, region.boundary()
        rim: np.ndarray = np.empty((n_steps, len(boundary)), dtype=tables.real)
        state = self.advance(tables.silence(), senders, signals, (boundary, 1, rim, np.empty(0)))
        shape = tuple(n + 2 * HALO for n in region.grid.shape)
        wave = shape if len(shape) == 3 else (shape[0], 1, shape[1])
        everything = np.flatnonzero(region.box(HALO))
        u, v = (part.reshape(-1)[tables.in_halo(everything)].reshape(wave).copy() for part in state[:2])
        medium = tables.within(ZONE)
        nodes, weights = self.shots.sampling.nodes.numpy()[senders], self.shots.sampling.weights.numpy()
        _, heights, sent = tables.sources(nodes, weights[senders], signals)
        places = region.cut(boundary), region.cut(region.cells)
        for last in range(n_steps, 0, -self.plan.length):
            first = max(0, last - self.plan.length)
            kept: np.ndarray = np.empty((last - first + 2, len(region.cells)), dtype=tables.real)
            sources = region.cut(nodes), heights, sent[:, first:last]
            steps.retreat(medium, u, v, sources, places, rim[first:last], kept)
            u, v = (u, v) if (last - first) % 2 == 0 else (v, u)
            yield Segment(first, last, kept, np.empty((0, len(region.cells)), dtype=tables.real))


def plan_of(region: Region, shots: Shots, n_at_once: int, largest: float, copies: int) -> Plan:
    """How to replay shots of which some run at once; see `Plan.fitting`."""
    tables = region.tables
    per_value = np.dtype(tables.real).itemsize
    state = sum(part.nbytes for part in tables.silence())
    elements = torch.unique(shots.transmits).numpy()
    can = len(tables.medium[4]) == 0 and region.holds(shots.sampling.nodes.numpy()[elements])
    boundary = per_value * len(region.boundary()) if can else math.inf
    sizes = per_value * len(region.cells), state, largest / n_at_once
    return Plan.fitting(shots.signals.shape[-1], *sizes, boundary, copies)
