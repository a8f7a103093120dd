"""The direct solver: one factorisation of the Helmholtz operator, then fields of many sources for little more."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Literal

import numpy as np
import torch

from usct.forward import elimination, memory, stencil
from usct.forward.dissection import STANDARD, Layout, Plan, dissect
from usct.forward.parallel import compiled_code_runs
from usct.forward.sources import Activity, SparseSources, trace

Executor = Literal["auto", "torch", "compiled"]


@dataclass(frozen=True)
class Factorization:
    """An eliminated operator at one or more frequencies, ready to solve.

    Attributes:
        plan: Elimination plan of the grid.
        couplings: The operator, shape (freq, 5, ny, nx).
        factors: The eliminated operator.
        executor: Module that carries solutions down the tree.
    """

    plan: Plan
    couplings: torch.Tensor
    factors: elimination.Factors
    executor: ModuleType

    def solve(
        self,
        sources: SparseSources,
        weights: torch.Tensor | None = None,
        region: np.ndarray | None = None,
        activities: Sequence[Activity] | None = None,
    ) -> torch.Tensor:
        """Solve A u = f for every column.

        Args:
            sources: Right-hand sides; `weights` replace their values, per frequency, shape (freq, n_entries).
            weights: See there.
            region: Where the solution is wanted, boolean of shape (ny, nx); everywhere by default. Other
                nodes hold arbitrary numbers.
            activities: Result of `trace` for these sources, where known from before.

        Returns:
            Shape (freq, node, column), the operator's type and device.
        """
        if weights is None:
            weights = torch.from_numpy(sources.weights).expand(len(self.couplings), -1)
        weights = weights.to(self.couplings)
        activities = activities or trace(self.plan, sources)
        solved = elimination.gather(self.plan, activities, self.factors, weights)
        shape = (len(self.couplings), math.prod(self.plan.shape), sources.n_columns)
        fields = _empty(shape, self.couplings)
        needed = elimination.fronts_needed(
            self.plan, np.ones(self.plan.shape, dtype=bool) if region is None else region
        )
        self.executor.substitute(self.plan, activities, self.factors, solved, fields, needed)
        return fields

    def residual(self, sources: SparseSources, weights: torch.Tensor) -> float:
        """Relative residual |A u - f| / |f| over the whole grid, for two random mixtures of the sources.

        Mixing is linear, so a front that amplifies rounding shows in every mixture; checking two columns on
        all nodes is cheaper than checking all columns on some.
        """
        generator = torch.Generator().manual_seed(0)
        mixture = torch.randn(2, sources.n_columns, generator=generator, dtype=torch.float64)
        mixed_weights = torch.cat([weights * mixture[i, sources.columns] for i in range(2)], dim=1)
        mixed = SparseSources(
            np.tile(sources.nodes, 2), np.repeat([0, 1], len(sources.nodes)), np.tile(sources.weights, 2), 2
        )
        fields = self.solve(mixed, mixed_weights)
        worst = 0.0
        for operator, field, weight in zip(
            self.couplings, fields, mixed_weights.to(self.couplings), strict=True
        ):
            wanted = torch.zeros_like(field)
            where = tuple(torch.from_numpy(index).to(field.device) for index in (mixed.nodes, mixed.columns))
            wanted.index_put_(where, weight, accumulate=True)
            ny, nx = self.plan.shape
            got = stencil.apply_operator(operator, field.reshape(ny, nx, 2)).reshape_as(wanted)
            worst = max(worst, float((got - wanted).norm() / wanted.norm()))
        return worst


def factorise(
    couplings: torch.Tensor, executor: Executor = "auto", layout: Layout = STANDARD
) -> Factorization:
    """Factorise operators on one grid.

    Args:
        couplings: Shape (freq, 5, ny, nx), complex.
        executor: `torch` runs anywhere; `compiled` needs a CPU and complex128; `auto` picks.
        layout: Where the dissection puts its separators.

    Raises:
        ValueError: If the compiled executor is asked for what it cannot do.
    """
    fits = couplings.device.type == "cpu" and couplings.dtype == torch.complex128 and compiled_code_runs()
    if executor == "compiled" and not fits:
        raise ValueError(
            f"executor 'compiled' needs numba and complex128 on a CPU, got {couplings.dtype} on {couplings.device}"
        )
    module: ModuleType = elimination
    if fits and executor != "torch":
        from usct.forward import compiled

        module = compiled
    plan = dissect((int(couplings.shape[2]), int(couplings.shape[3])), layout)
    return Factorization(plan, couplings, module.eliminate(plan, couplings), module)


def _empty(shape: tuple[int, ...], like: torch.Tensor) -> torch.Tensor:
    """Uninitialised memory, on a CPU used again."""
    if like.device.type == "cpu" and like.dtype == torch.complex128:
        return torch.from_numpy(memory.empty(shape, np.complex128))
    return torch.empty(shape, dtype=like.dtype, device=like.device)
