"""The direct solver's executor for CPUs: the same elimination, front by front in compiled code.

A CPU wants the opposite of a GPU: no large batches but one front at a time, small enough to stay in cache.
Each thread takes its share of a group's fronts and calls single-threaded BLAS; the few large fronts near the
root are shared out by BLAS instead.
"""

import functools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
import threadpoolctl
import torch

from usct.forward.dissection import Group, Plan
from usct.forward.elimination import Factors
from usct.forward.sources import Activity

NO_PLACES = np.empty(0, dtype=np.int64)
NO_COMPLEMENT = np.empty((0, 0, 0), dtype=np.complex128)


@functools.cache
def n_threads() -> int:
    """Threads to use: as many as torch, which honours OMP_NUM_THREADS."""
    return max(1, min(torch.get_num_threads(), len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 64))


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(n_threads())


@functools.cache
def _blas() -> threadpoolctl.ThreadpoolController:
    return threadpoolctl.ThreadpoolController()


def _share(n_fronts: int, work: Callable[[int, int], None]) -> None:
    """Run work(first, last) over all fronts, in parallel where there are enough of them."""
    threads = n_threads()
    if n_fronts < threads or threads == 1:
        with _blas().limit(limits=threads, user_api="blas"):
            work(0, n_fronts)
        return
    bounds = np.linspace(0, n_fronts, min(n_fronts, 4 * threads) + 1).astype(int)
    with _blas().limit(limits=1, user_api="blas"):
        list(_pool().map(work, bounds[:-1], bounds[1:]))


def eliminate(plan: Plan, couplings: torch.Tensor) -> Factors:
    """Factorise operators that share a grid, shape (freq, 5, ny, nx); see elimination.eliminate."""
    values = couplings.reshape(len(couplings), -1).to(torch.complex128).numpy()
    per_frequency = [_eliminate_one(plan, row) for row in values]
    inverses = [torch.from_numpy(np.stack(group)) if len(group) > 1 else torch.from_numpy(group[0])[None]
                for group in zip(*(f[0] for f in per_frequency), strict=True)]
    gains = [torch.from_numpy(np.stack(group)) if len(group) > 1 else torch.from_numpy(group[0])[None]
             for group in zip(*(f[1] for f in per_frequency), strict=True)]
    return Factors(inverses, gains)


def _eliminate_one(plan: Plan, values: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
    inverses: list[np.ndarray] = []
    gains: list[np.ndarray] = []
    complements: list[np.ndarray] = []
    last_use = {child.group: number for number, group in enumerate(plan.groups) for child in group.children}
    for number, group in enumerate(plan.groups):
        s, b = len(group.inner), len(group.outer)
        inverse = np.empty((group.n_fronts, s, s), dtype=np.complex128)
        gain = np.empty((group.n_fronts, s, b), dtype=np.complex128)
        complement = np.empty((group.n_fronts, b, b), dtype=np.complex128)
        handed = [
            (complements[child.group][child.start : child.start + group.n_fronts], child.places)
            for child in group.children
        ]
        one, two = (*handed, (NO_COMPLEMENT, NO_PLACES), (NO_COMPLEMENT, NO_PLACES))[:2]
        structure = (group.rows, group.columns, group.couplings, group.offsets)
        outputs = (inverse, gain, complement)
        _share(group.n_fronts, functools.partial(_run_elimination, values, structure, one, two, outputs))
        inverses.append(inverse)
        gains.append(gain)
        complements.append(complement)
        for child in group.children:
            if last_use[child.group] == number:
                complements[child.group] = NO_COMPLEMENT
    return inverses, gains


def _run_elimination(
    values: np.ndarray,
    structure: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    one: tuple[np.ndarray, np.ndarray],
    two: tuple[np.ndarray, np.ndarray],
    outputs: tuple[np.ndarray, np.ndarray, np.ndarray],
    first: int,
    last: int,
) -> None:
    _eliminate_fronts(values, *structure, *one, *two, *outputs, first, last)


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
    values, rows, columns, couplings, offsets, child_1, places_1, child_2, places_2, inverse, gain, complement, first, last
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
        for number in reversed(range(len(plan.groups))):
            group, activity, fronts = plan.groups[number], activities[number], needed[number]
            gain = factors.gains[number][frequency].numpy()
            _share(len(fronts), functools.partial(_run_substitution, gain, group, fronts, field))
            active = np.flatnonzero(np.isin(activity.fronts, fronts))
            if len(active):
                values = solved[number][frequency].numpy()
                offsets = group.offsets[activity.fronts]
                _add_solved(values, activity.columns, offsets, group.inner, active, field)


def _run_substitution(
    gain: np.ndarray, group: Group, fronts: np.ndarray, field: np.ndarray, first: int, last: int
) -> None:
    _substitute_fronts(gain, group.inner, group.outer, group.offsets, fronts, field, first, last)


@numba.njit(cache=True, nogil=True)
def _substitute_fronts(gain, inner, outer, offsets, fronts, field, first, last):  # type: ignore[no-untyped-def] # compiled
    around = np.empty((len(outer), field.shape[1]), dtype=np.complex128)
    inside = np.empty((len(inner), field.shape[1]), dtype=np.complex128)
    for number in range(first, last):
        front = fronts[number]
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
