"""The direct solver's reference executor: nested dissection as batched dense algebra in torch, on CPU or CUDA.

All fronts of a group, at all frequencies, are eliminated in one batch. Per front, with the inner nodes i and
the outer nodes o: gain = A_ii^-1 A_io, and the outer nodes see the Schur complement A_oo - A_oi gain. The
complements are mirrored, since rounding would otherwise destroy the symmetry that the adjoint relies on.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from usct.forward.dissection import Plan
from usct.forward.sources import Activity

CHUNK_BYTES = 256 * 2**20
"""Largest temporary block of field values during back substitution."""


@dataclass(frozen=True)
class Factors:
    """An eliminated operator, per group of the plan.

    Attributes:
        inverses: A_ii^-1, shape (freq, n_fronts, s, s).
        gains: A_ii^-1 A_io, shape (freq, n_fronts, s, b).
    """

    inverses: Sequence[torch.Tensor]
    gains: Sequence[torch.Tensor]


def eliminate(plan: Plan, couplings: torch.Tensor) -> Factors:
    """Factorise operators that share a grid.

    Args:
        plan: Elimination plan of the grid.
        couplings: Shape (freq, 5, ny, nx), complex.

    Raises:
        torch.linalg.LinAlgError: If a front is singular to working precision.
    """
    n_frequencies = len(couplings)
    values = couplings.reshape(n_frequencies, -1)
    device, dtype = couplings.device, couplings.dtype
    inverses: list[torch.Tensor] = []
    gains: list[torch.Tensor] = []
    complements: list[torch.Tensor] = []
    last_use = {child.group: number for number, group in enumerate(plan.groups) for child in group.children}
    for number, group in enumerate(plan.groups):
        s, b = len(group.inner), len(group.outer)
        front = torch.zeros(n_frequencies, group.n_fronts, s + b, s + b, dtype=dtype, device=device)
        rows, columns = _index(group.rows, device), _index(group.columns, device)
        entries = values[:, _index(group.offsets[:, None] + group.couplings, device)]
        front[:, :, rows, columns] = entries
        outside = columns >= s
        front[:, :, columns[outside], rows[outside]] = entries[..., outside]
        for child in group.children:
            handed = complements[child.group]
            places = _index(child.places, device)
            front[:, :, places[:, None], places] += handed[:, child.start : child.start + group.n_fronts]
        # Both boxes may be of one group, so that it is dropped after them.
        for child in group.children:
            if last_use[child.group] == number:
                complements[child.group] = couplings.new_empty(0)
        inverse = torch.linalg.inv(front[..., :s, :s])
        coupling = front[..., :s, s:]
        gain = inverse @ coupling
        complement = front[..., s:, s:] - coupling.mT @ gain
        complements.append(0.5 * (complement + complement.mT))
        inverses.append(inverse)
        gains.append(gain)
    return Factors(inverses, gains)


def gather(
    plan: Plan, activities: Sequence[Activity], factors: Factors, weights: torch.Tensor
) -> list[torch.Tensor]:
    """Carry sources up the tree, through active fronts only.

    Args:
        plan: Elimination plan.
        activities: Where the sources pass, from `trace`.
        factors: Eliminated operator.
        weights: Source values, shape (freq, n_entries).

    Returns:
        Per group A_ii^-1 f_i of its active fronts, shape (freq, n_active, s, n_slots).
    """
    solved: list[torch.Tensor] = []
    handed: list[torch.Tensor] = []
    device = weights.device
    for group, activity, inverse, gain in zip(
        plan.groups, activities, factors.inverses, factors.gains, strict=True
    ):
        s, b = len(group.inner), len(group.outer)
        n_active, n_slots = activity.columns.shape
        load = weights.new_zeros(len(weights), n_active, s + b, n_slots + 1)
        front, place, slot, entry = (_index(row, device) for row in activity.entries)
        frequency = torch.arange(len(weights), device=device)[:, None].expand(-1, len(entry))
        load.index_put_((frequency, front, place, slot), weights[:, entry], accumulate=True)
        for inflow in activity.inflows:
            parents, places, slots = (
                _index(i, device) for i in (inflow.parents, inflow.places, inflow.slots)
            )
            where = (slice(None), parents[:, None, None], places[None, :, None], slots[:, None, :])
            load[where] = load[where] + handed[inflow.child][:, _index(inflow.picked, device)]
        fronts = _index(activity.fronts, device)
        arrived = load[:, :, :s, :n_slots]
        solved.append(inverse[:, fronts] @ arrived)
        handed.append(load[:, :, s:, :n_slots] - gain[:, fronts].mT @ arrived)
    return solved


def substitute(
    plan: Plan,
    activities: Sequence[Activity],
    factors: Factors,
    solved: Sequence[torch.Tensor],
    fields: torch.Tensor,
    needed: Sequence[np.ndarray],
) -> None:
    """Carry solutions down the tree into `fields`, where they are needed.

    Args:
        plan: Elimination plan.
        activities: Where the sources passed.
        factors: Eliminated operator.
        solved: Result of `gather`.
        fields: Overwritten at the inner nodes of needed fronts, shape (freq, node, column).
        needed: Per group the fronts to fill, from `fronts_needed`.
    """
    device, n_columns = fields.device, fields.shape[2]
    for number in reversed(range(len(plan.groups))):
        group, activity = plan.groups[number], activities[number]
        per_front = 16 * len(fields) * n_columns * max(len(group.outer), len(group.inner))
        for fronts in np.array_split(needed[number], 1 + len(needed[number]) * per_front // CHUNK_BYTES):
            if not len(fronts):
                continue
            inner = _index(group.offsets[fronts, None] + group.inner, device)
            outer = _index(group.offsets[fronts, None] + group.outer, device)
            fields[:, inner] = -(factors.gains[number][:, _index(fronts, device)] @ fields[:, outer])
        active, slot = np.nonzero((activity.columns >= 0) & np.isin(activity.fronts, needed[number])[:, None])
        nodes = _index(group.offsets[activity.fronts[active], None] + group.inner, device)
        columns = _index(activity.columns[active, slot], device)
        picked = solved[number].movedim(2, 3)[:, _index(active, device), _index(slot, device)]
        fields[:, nodes, columns[:, None]] += picked


def fronts_needed(plan: Plan, region: np.ndarray) -> list[np.ndarray]:
    """Fronts of each group whose box meets a region, boolean of shape (ny, nx)."""
    total = np.zeros((region.shape[0] + 1, region.shape[1] + 1), dtype=np.int64)
    total[1:, 1:] = region.cumsum(axis=0).cumsum(axis=1)
    result = []
    for group in plan.groups:
        top, left = np.divmod(group.offsets, plan.shape[1])
        bottom, right = top + group.shape[0], left + group.shape[1]
        count = total[bottom, right] - total[top, right] - total[bottom, left] + total[top, left]
        result.append(np.flatnonzero(count))
    return result


def _index(array: np.ndarray, device: torch.device) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).to(device)
