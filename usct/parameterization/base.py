"""What every parameterization promises: trainable numbers in, a bounded medium on any grid out."""

from abc import ABC, abstractmethod
from typing import Self

import torch
from torch import nn

from usct.grid import Grid
from usct.medium import Medium


class Parameterization(nn.Module, ABC):
    """Trainable numbers that make a medium.

    Attributes:
        bounds: Lowest and highest sound speed that the medium may take [m/s].
    """

    bounds: tuple[float, float]

    @abstractmethod
    def forward(self, grid: Grid) -> Medium:
        """The medium on a grid, differentiable with respect to the parameters."""

    @abstractmethod
    def fitted_to(self, medium: Medium) -> Self:
        """A copy whose medium is as close to the given one as it can come."""

    @abstractmethod
    def free_cells(self, grid: Grid) -> torch.Tensor:
        """Boolean map of the cells of a grid that the parameters can change."""

    def constrain(self) -> None:
        """Bring the parameters back inside the bounds, in place; by default they cannot leave them."""

    def precondition(self, gradient: torch.Tensor, cutoff: float) -> torch.Tensor:  # noqa: ARG002 # for overriding
        """Apply a symmetric positive semi-definite filter to a gradient, shape (parameter,).

        Args:
            gradient: With respect to the flattened parameters.
            cutoff: Highest spatial wavenumber that the data support [rad/m].
        """
        return gradient
