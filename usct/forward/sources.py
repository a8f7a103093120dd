"""Which fronts a set of point-like sources passes through on its way up the elimination tree."""

from dataclasses import dataclass

import numpy as np

from usct.forward.dissection import Group, Plan


@dataclass(frozen=True)
class SparseSources:
    """Columns of a right-hand side of which few entries are not zero.

    Attributes:
        nodes: Flat node index of every entry, shape (n_entries,).
        columns: Column of every entry, shape (n_entries,).
        weights: Value of every entry, shape (n_entries,).
        n_columns: Number of columns.
    """

    nodes: np.ndarray
    columns: np.ndarray
    weights: np.ndarray
    n_columns: int


@dataclass(frozen=True)
class Inflow:
    """What the active fronts of one child group hand to their parents.

    Attributes:
        child: Index of the child group.
        places: Places of the child's outer nodes in the parent front, shape (b_child,).
        picked: Which of the child group's active fronts belong here, shape (n,).
        parents: Index of each one's parent among the active fronts, shape (n,).
        slots: Slot of each of its columns in the parent; the last slot catches the unused ones, shape (n, k_child).
    """

    child: int
    places: np.ndarray
    picked: np.ndarray
    parents: np.ndarray
    slots: np.ndarray


@dataclass(frozen=True)
class Activity:
    """The fronts of one group that sources pass through; each column takes a slot in its front.

    Attributes:
        fronts: Active fronts, shape (n_active,).
        columns: Column in every slot, -1 where unused, shape (n_active, n_slots).
        entries: Sources that enter here: active front, inner node, slot, and index into the weights, shape (4, n).
        inflows: What comes from the children.
    """

    fronts: np.ndarray
    columns: np.ndarray
    entries: np.ndarray
    inflows: tuple[Inflow, ...]


def trace(plan: Plan, sources: SparseSources) -> tuple[Activity, ...]:
    """Follow sources through a plan; returns the activity of each of its groups."""
    owner_group, owner_front, owner_place = _owners(plan)
    activities: list[Activity] = []
    pairs: list[np.ndarray] = []
    k = sources.n_columns
    groups_of_entries = owner_group[sources.nodes]
    for number, group in enumerate(plan.groups):
        own = np.flatnonzero(groups_of_entries == number)
        own_pairs = owner_front[sources.nodes[own]] * k + sources.columns[own]
        arriving = [_arriving(pairs[child.group], child.start, group, k) for child in group.children]
        here = np.unique(np.concatenate([own_pairs, *arriving])).astype(np.int64)
        fronts, first, counts = np.unique(here // k, return_index=True, return_counts=True)
        slot = np.arange(len(here)) - np.repeat(first, counts)
        columns = np.full((len(fronts), int(counts.max(initial=0))), -1, dtype=np.int64)
        columns[np.repeat(np.arange(len(fronts)), counts), slot] = here % k
        at = np.searchsorted(here, own_pairs)
        active = np.searchsorted(fronts, own_pairs // k)
        entries = np.stack([active, owner_place[sources.nodes[own]], slot[at], own])
        inflows = tuple(
            _inflow(
                activities[child.group], child.group, child.start, child.places, group, fronts, here, slot, k
            )
            for child in group.children
        )
        pairs.append(here)
        activities.append(Activity(fronts, columns, entries, inflows))
    return tuple(activities)


def _owners(plan: Plan) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Group, front and place among the inner nodes by which every node is eliminated."""
    n = plan.shape[0] * plan.shape[1]
    group_of, front_of, place_of = (np.empty(n, dtype=np.int64) for _ in range(3))
    for number, group in enumerate(plan.groups):
        nodes = group.offsets[:, None] + group.inner
        group_of[nodes] = number
        front_of[nodes] = np.arange(group.n_fronts)[:, None]
        place_of[nodes] = np.arange(len(group.inner))
    return group_of, front_of, place_of


def _arriving(child_pairs: np.ndarray, start: int, group: Group, k: int) -> np.ndarray:
    inside = (child_pairs >= start * k) & (child_pairs < (start + group.n_fronts) * k)
    return child_pairs[inside] - start * k


def _inflow(
    child: Activity,
    number: int,
    start: int,
    places: np.ndarray,
    group: Group,
    fronts: np.ndarray,
    pairs: np.ndarray,
    slot: np.ndarray,
    k: int,
) -> Inflow:
    picked = np.flatnonzero((child.fronts >= start) & (child.fronts < start + group.n_fronts))
    parent_front = child.fronts[picked] - start
    columns = child.columns[picked]
    at = np.searchsorted(pairs, parent_front[:, None] * k + np.maximum(columns, 0))
    unused = int(np.bincount(np.searchsorted(fronts, pairs // k)).max(initial=0))
    slots = np.where(columns < 0, unused, slot[np.minimum(at, len(slot) - 1)] if len(slot) else unused)
    return Inflow(number, places, picked, np.searchsorted(fronts, parent_front), slots)
