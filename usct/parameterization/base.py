"""What every parameterization promises: trainable numbers in, a bounded medium on any grid out."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal, Self

import torch
from torch import nn
from torch.nn.utils import parameters_to_vector

from usct.grid import Grid
from usct.medium import Medium
from usct.parameterization.spectrum import Tailoring, TissuePrior

Unknown = Literal["sound_speed", "attenuation"]


class Parameterization(nn.Module, ABC):
    """Trainable numbers that make a medium.

    Everything that a run changes is a parameter or a buffer, so that `state_dict` is the whole field.

    Args:
        start: The image to start from, on the grid of the image.
        region: Cells of that grid that may change, boolean.
        bounds: Lowest and highest sound speed that the medium may take [m/s].

    Attributes:
        tailored: When an inversion reshapes the kernel by what the data tell: never, at the start of each
            stage, or before each update.
        attenuation_power: Exponent of the power law of its media, where they absorb [1].

    Raises:
        ValueError: If the region does not fit the grid, or the bounds are not increasing and positive.
    """

    tailored: Literal["never", "stage", "update"] = "never"
    attenuation_power: float = 1.0
    region: torch.Tensor
    freedom: torch.Tensor
    cell_bounds: torch.Tensor | None

    def __init__(self, start: Medium, region: torch.Tensor, bounds: tuple[float, float]) -> None:
        super().__init__()
        if tuple(region.shape) != start.grid.shape:
            raise ValueError(f"region has shape {tuple(region.shape)}, the grid {start.grid.shape}")
        if not 0 < bounds[0] < bounds[1]:
            raise ValueError(f"bounds must be increasing and positive, got {bounds}")
        self.grid = start.grid
        self.bounds = (float(bounds[0]), float(bounds[1]))
        self.register_buffer("cell_bounds", None)
        self.register_buffer("region", region.clone())
        # Where it shapes updates alone, and not the image, it need not be saved with the field.
        self.register_buffer("freedom", torch.ones(start.grid.shape, dtype=torch.float64), persistent=False)

    @abstractmethod
    def forward(self, grid: Grid) -> Medium:
        """The medium on a grid, differentiable with respect to the parameters."""

    @abstractmethod
    def fitted_to(self, medium: Medium) -> Self:
        """A copy whose medium is as close to the given one as it can come."""

    @abstractmethod
    def free_cells(self, grid: Grid) -> torch.Tensor:
        """Boolean map of the cells of a grid that the parameters can change."""

    def seek(self, unknown: Unknown) -> None:
        """Make a map what the parameters stand for.

        Raises:
            ValueError: If the representation makes no such map.
        """
        if unknown != "sound_speed":
            raise ValueError(f"a {type(self).__name__} makes the sound speed alone, not the {unknown}")

    def hold(self, freedom: torch.Tensor) -> None:
        """Say how far each cell may change as a share of what others may: 0 keeps it, 1 sets it free.

        It multiplies the prior's standard deviation, and with it every update.

        Args:
            freedom: Shape of the image, or with an axis before it for tissues that change independently of each
                other: then each has its own, which is zero outside the tissue [1].

        Raises:
            ValueError: If it has another shape, or it or its sum over tissues leaves 0 to 1.
        """
        shape = tuple(freedom.shape)
        if shape[-len(self.grid.shape) :] != self.grid.shape or len(shape) > len(self.grid.shape) + 1:
            raise ValueError(f"freedom has shape {shape}, the grid {self.grid.shape}")
        total = freedom.reshape(-1, *self.grid.shape).sum(dim=0)
        if not bool((freedom >= 0).all()) or not bool((total <= 1 + 1e-9).all()):
            raise ValueError("freedom must lie in 0 to 1")
        self.freedom.copy_(total.clamp(max=1))

    def bound(self, limits: torch.Tensor) -> None:
        """Narrow the bounds cell by cell; the image stays as far as it lies within them, with room for their soft ends.

        Args:
            limits: Lowest and highest sound speed of every cell, shape (2, *grid.shape) [m/s].

        Raises:
            ValueError: If they have another shape, do not increase, or leave `bounds`.
        """
        if tuple(limits.shape) != (2, *self.grid.shape):
            raise ValueError(f"limits have shape {tuple(limits.shape)}, the grid {self.grid.shape}")
        low, high = limits
        if not bool(((self.bounds[0] <= low) & (low < high) & (high <= self.bounds[1])).all()):
            raise ValueError(f"limits must increase within {self.bounds[0]:g} to {self.bounds[1]:g} m/s")
        self.cell_bounds = limits.to(self.region.device, torch.float64)

    def settle(self) -> None:  # noqa: B027 # for overriding
        """Count departures from the start from the present image on; by default they do not count."""

    def expect(self, priors: Sequence[TissuePrior]) -> None:  # noqa: B027 # for overriding
        """Take up what is known of the tissues that `hold` told apart, in its order; by default it is of no use."""

    @property
    def is_held(self) -> bool:
        """Whether some cells may change less than others, by more than rounding."""
        return bool((self.freedom < 1 - 1e-9).any())

    def constrain(self) -> None:
        """Bring the parameters back inside the bounds, in place; by default they cannot leave them."""

    def precondition(self, gradient: torch.Tensor, cutoff: float) -> torch.Tensor:  # noqa: ARG002 # for overriding
        """Apply a symmetric positive semi-definite filter to a gradient, shape (parameter,).

        Args:
            gradient: With respect to the flattened parameters.
            cutoff: Highest spatial wavenumber that the data support [rad/m].
        """
        return gradient

    def retailor(self, tailoring: Tailoring) -> None:  # noqa: ARG002 # for overriding
        """Reshape the kernel in place; the medium stays as it is."""

    @property
    def damping(self) -> float:
        """Weight of the squared norm of the parameters' step in a Gauss-Newton update."""
        return 0.0

    def vector(self) -> torch.Tensor:
        """A copy of all parameters, flattened, shape (parameter,)."""
        return parameters_to_vector(self.parameters()).detach().clone()

    def named(self, vector: torch.Tensor) -> dict[str, torch.Tensor]:
        """All parameters by name, as views of a vector, shape (parameter,)."""
        sizes = [parameter.numel() for parameter in self.parameters()]
        parts = zip(self.named_parameters(), vector.split(sizes), strict=True)
        return {name: part.view_as(parameter) for (name, parameter), part in parts}

    @torch.no_grad()
    def load(self, vector: torch.Tensor) -> None:
        """Set all parameters from a vector, shape (parameter,)."""
        for parameter, values in zip(self.parameters(), self.named(vector).values(), strict=True):
            parameter.copy_(values)

    def learning_rates(self) -> torch.Tensor:
        """Rate of every parameter as a share of the optimizer's, shape (parameter,)."""
        return torch.ones(sum(p.numel() for p in self.parameters()), dtype=torch.float64)
