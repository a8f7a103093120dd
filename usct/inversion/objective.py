"""The objective of one stage: misfit, gradient and Gauss-Newton curvature as functions of the parameters."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.func import functional_call, vjp

from usct.acquisition import Spectra
from usct.forward.base import ForwardModel
from usct.forward.born import LinearizedForward
from usct.inversion.band import BandData
from usct.medium import Medium
from usct.misfit.base import Misfit, Residual
from usct.parameterization.base import Parameterization


@dataclass(frozen=True)
class Point:
    """The objective at one set of parameters.

    Attributes:
        parameters: Flattened parameters, shape (parameter,).
        value: Mean misfit over the stage's frequencies [1].
        gradient: Shape (parameter,).
        residuals: Per frequency.
        linearizations: Per frequency.
        objective: What this is a point of.
    """

    parameters: torch.Tensor
    value: float
    gradient: torch.Tensor
    residuals: tuple[Residual, ...]
    linearizations: tuple[LinearizedForward, ...]
    objective: "Objective"
    _tangents: dict[int, "Tangent"] = field(default_factory=dict, repr=False, compare=False)

    @property
    def solver_residual(self) -> float:
        """Largest relative residual of the wave equation [1]."""
        return max(linearized.residual for linearized in self.linearizations)

    @property
    def damping(self) -> float:
        """Weight of the squared norm of a Gauss-Newton step."""
        return self.objective.parameterization.damping

    @property
    def learning_rates(self) -> torch.Tensor:
        """Rate of every parameter as a share of the optimizer's, shape (parameter,)."""
        return self.objective.parameterization.learning_rates().to(self.parameters)

    def curvature(self, direction: torch.Tensor) -> torch.Tensor:
        """Gauss-Newton product with a change of the parameters, shape (parameter,)."""
        return self.adjoint(self.apply(direction))

    def quadratic(self, direction: torch.Tensor) -> float:
        """Curvature along a direction, direction^T H direction; half the price of the product."""
        return sum(
            float((r.weights * change.abs().square()).sum())
            for r, change in zip(self.residuals, self.apply(direction), strict=True)
        ) / len(self.residuals)

    def apply(self, direction: torch.Tensor) -> list[torch.Tensor]:
        """Change of each frequency's residual for a change of the parameters, shape (tx, rx) each."""
        return [
            self.change_data(number, self.tangent(number).apply(direction))
            for number in range(len(self.residuals))
        ]

    def adjoint(self, changes: Sequence[torch.Tensor]) -> torch.Tensor:
        """Adjoint of `apply` in the weighted inner product, averaged over frequencies, shape (parameter,)."""
        total = torch.zeros_like(self.parameters)
        for number, change in enumerate(changes):
            total += self.tangent(number).adjoint(self.sensitivity(number, change))
        return total / len(self.residuals)

    def change_data(self, number: int, change: torch.Tensor) -> torch.Tensor:
        """Change of one frequency's residual for a change of its cells' squared slowness, shape (tx, rx)."""
        return self.residuals[number].apply(self.linearizations[number].apply(change).cpu())

    def sensitivity(self, number: int, change: torch.Tensor) -> torch.Tensor:
        """Adjoint of `change_data`, shape (cell,), complex."""
        return self.linearizations[number].adjoint(self.residuals[number].adjoint(change))

    def cells(self, number: int) -> torch.Tensor:
        """Squared slowness of one frequency's free cells, shape (cell,) [s^2/m^2]."""
        return self.tangent(number).value

    def nearby(self, parameters: torch.Tensor) -> tuple[float, torch.Tensor]:
        """Value and gradient at other parameters, waves linearised about this point, the medium exact.

        So one solution of the wave equation serves several steps of the parameters.
        """
        value, total = 0.0, torch.zeros_like(self.parameters)
        for number, residual in enumerate(self.residuals):
            tangent = self.objective.tangent(parameters, self.linearizations[number].cells, number)
            difference = residual.difference + self.change_data(number, tangent.value - self.cells(number))
            value += 0.5 * float((residual.weights * difference.abs().square()).sum())
            total += tangent.adjoint(self.sensitivity(number, difference))
        return value / len(self.residuals), total / len(self.residuals)

    def again(self) -> "Point":
        """The same point after the parameterization has been reshaped: no wave equation is solved."""
        return self.objective.describe(self.residuals, self.linearizations)

    def tangent(self, number: int) -> "Tangent":
        """Derivative of one frequency's squared slowness with respect to the parameters."""
        if number not in self._tangents:
            cells = self.linearizations[number].cells
            self._tangents[number] = self.objective.tangent(self.parameters, cells, number)
        return self._tangents[number]


class Objective:
    """Misfit of a parameterization's medium at some frequencies.

    Args:
        models: A forward model for each frequency; their grids may differ.
        observed: Data at these frequencies.
        misfit: How data are compared, or how at each frequency.
        parameterization: Its parameters are overwritten by `at`.
    """

    def __init__(
        self,
        models: Sequence[ForwardModel],
        observed: Spectra | BandData,
        misfit: Misfit | Sequence[Misfit],
        parameterization: Parameterization,
    ) -> None:
        self.models = tuple(models)
        self.observed = observed
        self.misfit = misfit
        self._misfits = (misfit,) * len(self.models) if isinstance(misfit, Misfit) else tuple(misfit)
        self.parameterization = parameterization
        self.n_solves = 0
        self.max_solves: int | None = None
        self._regions = [parameterization.free_cells(model.grid) for model in self.models]
        self._cells = [
            torch.nn.functional.pad(region, (model.pml_cells,) * 4).reshape(-1).nonzero()[:, 0]
            for region, model in zip(self._regions, self.models, strict=True)
        ]

    @property
    def n_left(self) -> int:
        """Evaluations that are left of the budget."""
        if self.max_solves is None:
            return sys.maxsize
        return max(0, self.max_solves - self.n_solves) // sum(model.n_frequencies for model in self.models)

    def at(self, parameters: torch.Tensor) -> Point:
        """Evaluate the objective and its gradient: one factorisation per frequency."""
        self.parameterization.load(parameters)
        vector = self.parameterization.vector()
        residuals, linearizations, tangents = [], [], {}
        for number, model in enumerate(self.models):
            frequency = float(self.observed.frequencies[number])
            # One evaluation for both: a network costs a good part of what the waves do.
            tangents[number] = self.tangent(vector, self._cells[number], number)
            maps = tangents[number].beside
            power = self.parameterization.attenuation_power
            loss = maps[1] if len(maps) > 1 else None
            medium = Medium(model.grid, maps[0], loss, attenuation_power=power)
            linearized = model.linearize(medium, frequency, self._regions[number])
            self.n_solves += model.n_frequencies
            residual = self._misfits[number].residual(
                linearized.data.cpu(), self.observed.values[number], self.observed.weights[number]
            )
            residuals.append(residual)
            linearizations.append(linearized)
        return self.describe(tuple(residuals), tuple(linearizations), tangents)

    def describe(
        self,
        residuals: tuple[Residual, ...],
        linearizations: tuple[LinearizedForward, ...],
        tangents: "dict[int, Tangent] | None" = None,
    ) -> Point:
        """The point where the parameterization stands, from what its medium predicts.

        Args:
            residuals: Per frequency.
            linearizations: Per frequency.
            tangents: What is known already of the parameterization's derivative there, by frequency.
        """
        parameters = self.parameterization.vector()
        value = sum(r.value for r in residuals) / len(residuals)
        point = Point(parameters, value, torch.empty(0), residuals, linearizations, self, tangents or {})
        gradient = point.adjoint([r.difference for r in residuals])
        return Point(parameters, value, gradient, residuals, linearizations, self, point._tangents)

    def tangent(self, parameters: torch.Tensor, cells: torch.Tensor, number: int) -> "Tangent":
        """Derivative of one frequency's squared slowness in some cells with respect to the parameters.

        Beside it stand the maps that parameterizations make, on the frequency's grid: sound speed [m/s] and, where
        there is one, attenuation [Np/m].
        """
        model, frequency = self.models[number], float(self.observed.frequencies[number])
        cells = cells.to(parameters.device)

        def squared_slowness(vector: torch.Tensor) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
            medium = functional_call(self.parameterization, self.named(vector), (model.grid,))
            maps = (
                (medium.sound_speed,)
                if medium.attenuation is None
                else (medium.sound_speed, medium.attenuation)
            )
            return model.squared_slowness(medium, frequency).reshape(-1)[cells], maps

        return Tangent(squared_slowness, parameters, beside=True)

    def named(self, vector: torch.Tensor) -> dict[str, torch.Tensor]:
        """Views of a vector of parameters, by name."""
        return self.parameterization.named(vector)


class Tangent:
    """A function's value and derivative at one point, with products in both directions.

    The transposed product is linear in what it is applied to, so its own transpose is the forward product; that
    needs no second evaluation of the function, which forward differentiation would. Recording it costs as much as
    a transposed product, so it waits until a forward product is asked for: first-order optimizers never do.

    Args:
        function: Of the parameters.
        point: The parameters.
        beside: Whether the function gives, beside its value, tensors that are kept but not differentiated.
    """

    def __init__(
        self, function: Callable[[torch.Tensor], Any], point: torch.Tensor, beside: bool = False
    ) -> None:
        value, pull, *others = vjp(function, point, has_aux=beside)
        self.device = point.device
        self.value = value.detach()
        self.beside = tuple(other.detach() for other in others[0]) if others else ()
        self._pull: Callable[[torch.Tensor], tuple[torch.Tensor]] = pull
        self._push: Callable[[torch.Tensor], tuple[torch.Tensor]] | None = None

    def apply(self, direction: torch.Tensor) -> torch.Tensor:
        """Derivative along a direction."""
        if self._push is None:
            _, self._push, *_ = vjp(lambda c: self._pull(c)[0], torch.zeros_like(self.value))
        return self._push(direction.to(self.device))[0].detach()

    def adjoint(self, cotangent: torch.Tensor) -> torch.Tensor:
        """Transposed derivative, real part."""
        return self._pull(cotangent.to(self.value))[0].detach()
