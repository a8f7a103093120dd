"""The direct solver's executor for CPUs: the same elimination, front by front in compiled code.

A CPU wants the opposite of a GPU: no large batches but one front at a time, small enough to stay in cache.
Groups that do not depend on each other form a wave; the fronts of a wave are shared out to the threads.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np
import torch

from usct.forward import memory
from usct.forward.dissection import Child, Group, Plan
from usct.forward.elimination import Factors
from usct.forward.parallel import each, shares
from usct.forward.sources import Activity

NO_PLACES = np.empty(0, dtype=np.int64)
NOTHING = np.empty((0, 0, 0), dtype=np.complex128)


@dataclass(frozen=True)
class _Fronts:
    """The dense blocks of one group: inverses (n, s, s), gains (n, s, b), complements (n, b, b)."""

    inverse: np.ndarray
    gain: np.ndarray
    complement: np.ndarray


def eliminate(plan: Plan, couplings: torch.Tensor) -> Factors:
    """Factorise operators that share a grid, shape (freq, 5, ny, nx); see elimination.eliminate."""
    values = couplings.reshape(len(couplings), -1).numpy()
    sizes = [(g.n_fronts, len(g.inner), len(g.outer)) for g in plan.groups]
    inverses = _carved([(len(values), n, s, s) for n, s, _ in sizes], values.dtype)
    gains = _carved([(len(values), n, s, b) for n, s, b in sizes], values.dtype)
    complements = _carved([(n, b, b) for n, _, b in sizes], values.dtype)
    for number, operator in enumerate(values):
        fronts = [
            _Fronts(*blocks)
            for blocks in zip(
                (i[number] for i in inverses), (g[number] for g in gains), complements, strict=True
            )
        ]
        _eliminate_one(plan, operator, fronts)
    return Factors([torch.from_numpy(a) for a in inverses], [torch.from_numpy(a) for a in gains])


def _carved(shapes: Sequence[tuple[int, ...]], dtype: np.dtype) -> list[np.ndarray]:
    """Arrays of the given shapes, carved from one block of memory."""
    bounds = np.cumsum([0] + [math.prod(shape) for shape in shapes])
    block = memory.empty((int(bounds[-1]),), dtype)
    return [block[a:b].reshape(shape) for a, b, shape in zip(bounds[:-1], bounds[1:], shapes, strict=True)]


def _eliminate_one(plan: Plan, operator: np.ndarray, fronts: list[_Fronts]) -> None:
    def work(piece: tuple[int, slice]) -> None:
        number, share = piece
        group, mine = plan.groups[number], fronts[number]
        children = [_handed(fronts, child, group.n_fronts) for child in group.children]
        one, two = (*children, (NOTHING, NO_PLACES), (NOTHING, NO_PLACES))[:2]
        _eliminate_fronts(
            operator,
            group.rows,
            group.columns,
            group.couplings,
            group.offsets,
            *one,
            *two,
            mine.inverse,
            mine.gain,
            mine.complement,
            share.start,
            share.stop,
        )

    for wave in plan.waves:
        each(work, _pieces(plan, wave, [np.arange(plan.groups[n].n_fronts) for n in wave]))


def _handed(fronts: list[_Fronts], child: Child, n_fronts: int) -> tuple[np.ndarray, np.ndarray]:
    return fronts[child.group].complement[child.start : child.start + n_fronts], child.places


def _pieces(plan: Plan, wave: Sequence[int], fronts: Sequence[np.ndarray]) -> list[tuple[int, slice]]:
    """Shares of the fronts of a wave, the most laborious first."""

    def labour(number: int) -> int:
        s, b = len(plan.groups[number].inner), len(plan.groups[number].outer)
        return s * (s + b) ** 2

    pieces = [(n, share) for n, mine in zip(wave, fronts, strict=True) for share in shares(len(mine))]
    return sorted(pieces, key=lambda piece: -labour(piece[0]) * (piece[1].stop - piece[1].start))


@numba.njit(cache=True, nogil=True)
def _add_child(complement, places, s, own, coupling, outer):  # type: ignore[no-untyped-def] # compiled
    for i in range(len(places)):
        row = places[i]
        for j in range(len(places)):
            column = places[j]
            if row < s:
                if column < s:
                    own[row, column] += complement[i, j]
                else:
                    coupling[row, column - s] += complement[i, j]
            elif column >= s:
                outer[row - s, column - s] += complement[i, j]


@numba.njit(cache=True, nogil=True)
def _eliminate_fronts(  # type: ignore[no-untyped-def] # compiled
    values,
    rows,
    columns,
    couplings,
    offsets,
    child_1,
    places_1,
    child_2,
    places_2,
    inverse,
    gain,
    complement,
    first,
    last,
):
    s, b = gain.shape[1], gain.shape[2]
    own = np.empty((s, s), dtype=np.complex128)
    coupling = np.empty((s, b), dtype=np.complex128)
    product = np.empty((b, b), dtype=np.complex128)
    for front in range(first, last):
        outer = complement[front]
        own[:] = 0.0
        coupling[:] = 0.0
        outer[:] = 0.0
        for entry in range(len(rows)):
            value = values[couplings[entry] + offsets[front]]
            if columns[entry] < s:
                own[rows[entry], columns[entry]] = value
            else:
                coupling[rows[entry], columns[entry] - s] = value
        if len(places_1) > 0:
            _add_child(child_1[front], places_1, s, own, coupling, outer)
        if len(places_2) > 0:
            _add_child(child_2[front], places_2, s, own, coupling, outer)
        inverse[front] = np.linalg.inv(own)
        if b > 0:
            np.dot(inverse[front], coupling, gain[front])
            np.dot(coupling.T, gain[front], product)
            for i in range(b):
                for j in range(i + 1):
                    mean = 0.5 * (outer[i, j] + outer[j, i] - product[i, j] - product[j, i])
                    outer[i, j] = mean
                    outer[j, i] = mean


def substitute(
    plan: Plan,
    activities: Sequence[Activity],
    factors: Factors,
    solved: Sequence[torch.Tensor],
    fields: torch.Tensor,
    needed: Sequence[np.ndarray],
) -> None:
    """Carry solutions down the tree into `fields` (freq, node, column); see elimination.substitute."""
    for frequency in range(len(fields)):
        field = fields[frequency].numpy()

        def work(piece: tuple[int, slice], frequency: int = frequency, field: np.ndarray = field) -> None:
            number, share = piece
            group, fronts = plan.groups[number], needed[number][share]
            gain = factors.gains[number][frequency].numpy()
            _substitute_fronts(gain, group.inner, group.outer, group.offsets, fronts, field)
            _add(group, activities[number], solved[number][frequency], fronts, field)

        for wave in reversed(plan.waves):
            each(work, _pieces(plan, wave, [needed[number] for number in wave]))


def _add(
    group: Group, activity: Activity, solved: torch.Tensor, fronts: np.ndarray, field: np.ndarray
) -> None:
    active = np.flatnonzero(np.isin(activity.fronts, fronts))
    if len(active):
        _add_solved(
            solved.numpy(), activity.columns, group.offsets[activity.fronts], group.inner, active, field
        )


@numba.njit(cache=True, nogil=True)
def _substitute_fronts(gain, inner, outer, offsets, fronts, field):  # type: ignore[no-untyped-def] # compiled
    around = np.empty((len(outer), field.shape[1]), dtype=np.complex128)
    inside = np.empty((len(inner), field.shape[1]), dtype=np.complex128)
    for front in fronts:
        if len(outer) == 0:
            for i in range(len(inner)):
                field[offsets[front] + inner[i]] = 0.0
            continue
        for i in range(len(outer)):
            around[i] = field[offsets[front] + outer[i]]
        np.dot(gain[front], around, inside)
        for i in range(len(inner)):
            row = field[offsets[front] + inner[i]]
            for j in range(len(row)):
                row[j] = -inside[i, j]


@numba.njit(cache=True, nogil=True)
def _add_solved(values, columns, offsets, inner, active, field):  # type: ignore[no-untyped-def] # compiled
    for front in active:
        for slot in range(columns.shape[1]):
            column = columns[front, slot]
            if column >= 0:
                for i in range(len(inner)):
                    field[offsets[front] + inner[i], column] += values[front, i, slot]
