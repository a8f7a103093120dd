"""The objective of one stage: misfit, gradient and Gauss-Newton curvature as functions of the parameters."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from usct.acquisition import Spectra
from usct.forward.born import LinearizedForward
from usct.forward.helmholtz import Helmholtz
from usct.medium import Medium
from usct.misfit.spectra import LeastSquares, Residual
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

    @property
    def solver_residual(self) -> float:
        """Largest relative residual of the wave equation [1]."""
        return max(linearized.residual for linearized in self.linearizations)

    def curvature(self, direction: torch.Tensor) -> torch.Tensor:
        """Gauss-Newton product with a change of the parameters, shape (parameter,)."""
        return self._pull(
            tuple(r.adjoint(change) for r, change in zip(self.residuals, self._push(direction), strict=True))
        )

    def quadratic(self, direction: torch.Tensor) -> float:
        """Curvature along a direction, direction^T H direction; half the price of the product."""
        return sum(
            float((r.weights * change.abs().square()).sum())
            for r, change in zip(self.residuals, self._push(direction), strict=True)
        ) / len(self.residuals)

    def _push(self, direction: torch.Tensor) -> list[torch.Tensor]:
        """Changes of the residuals for a change of the parameters."""
        return [
            residual.apply(linearized.apply(self.objective.change(self.parameters, direction, number)).cpu())
            for number, (residual, linearized) in enumerate(
                zip(self.residuals, self.linearizations, strict=True)
            )
        ]

    def _pull(self, adjoint_sources: Sequence[torch.Tensor]) -> torch.Tensor:
        """Adjoint of `_push`, from the predictions' side."""
        return self.objective.pull(self.parameters, self.linearizations, adjoint_sources)


class Objective:
    """Misfit of a parameterization's medium at some frequencies.

    Args:
        models: A forward model for each frequency; their grids may differ.
        observed: Data at these frequencies.
        misfit: How data are compared.
        parameterization: Its parameters are overwritten by `at`.
    """

    def __init__(
        self,
        models: Sequence[Helmholtz],
        observed: Spectra,
        misfit: LeastSquares,
        parameterization: Parameterization,
    ) -> None:
        self.models = tuple(models)
        self.observed = observed
        self.misfit = misfit
        self.parameterization = parameterization
        self.n_solves = 0
        self._regions = [parameterization.free_cells(model.grid) for model in self.models]
        self._cells: list[torch.Tensor] = [torch.empty(0)] * len(self.models)

    def at(self, parameters: torch.Tensor) -> Point:
        """Evaluate the objective and its gradient: one factorisation per frequency."""
        vector_to_parameters(parameters, self.parameterization.parameters())
        residuals, linearizations, sources = [], [], []
        for number, model in enumerate(self.models):
            with torch.no_grad():
                medium = self.parameterization(model.grid)
            frequency = float(self.observed.frequencies[number])
            linearized = model.linearize(medium, frequency, self._regions[number])
            self.n_solves += 1
            self._cells[number] = linearized.cells
            residual = self.misfit.residual(
                linearized.data.cpu(), self.observed.values[number], self.observed.weights[number]
            )
            residuals.append(residual)
            linearizations.append(linearized)
            sources.append(residual.adjoint(residual.difference))
        value = sum(r.value for r in residuals) / len(residuals)
        gradient = self.pull(parameters, linearizations, sources)
        return Point(parameters.clone(), value, gradient, tuple(residuals), tuple(linearizations), self)

    def medium(self, parameters: torch.Tensor, number: int) -> Medium:
        """The medium on the grid of one of the frequencies."""
        vector_to_parameters(parameters, self.parameterization.parameters())
        return self.parameterization(self.models[number].grid)

    def change(self, parameters: torch.Tensor, direction: torch.Tensor, number: int) -> torch.Tensor:
        """Change of the squared slowness of one frequency's cells, shape (cell,): forward derivative."""
        cells, dummy = self._squared_slowness(parameters, number)
        # The derivative of the transposed product with respect to its argument is the forward product.
        seed = torch.zeros_like(cells, requires_grad=True)
        pulled = torch.autograd.grad(cells, dummy, seed, create_graph=True)
        (pushed,) = torch.autograd.grad(parameters_to_vector(pulled), seed, direction)
        return pushed

    def pull(
        self,
        parameters: torch.Tensor,
        linearizations: Sequence[LinearizedForward],
        adjoint_sources: Sequence[torch.Tensor],
    ) -> torch.Tensor:
        """Gradient with respect to the parameters for given adjoint sources, shape (tx, rx) each."""
        total = torch.zeros_like(parameters)
        for number, (linearized, source) in enumerate(zip(linearizations, adjoint_sources, strict=True)):
            cells, inputs = self._squared_slowness(parameters, number)
            sensitivity = linearized.adjoint(source).cpu()
            pulled = torch.autograd.grad(cells, inputs, sensitivity)
            total += parameters_to_vector(pulled)
        return total / len(linearizations)

    def _squared_slowness(
        self, parameters: torch.Tensor, number: int
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        vector_to_parameters(parameters, self.parameterization.parameters())
        model = self.models[number]
        medium = self.parameterization(model.grid)
        squared = model.squared_slowness(medium, float(self.observed.frequencies[number]))
        return squared.reshape(-1)[self._cells[number]], list(self.parameterization.parameters())
