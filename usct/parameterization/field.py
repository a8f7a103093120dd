"""Fields: media that depart from a base image by a trained function of position."""

import copy
import math
from abc import abstractmethod
from typing import Self

import torch

from usct.grid import Grid, resample
from usct.medium import Medium
from usct.parameterization.base import Parameterization

SOFT_SHARE = 0.05
"""Share of the range between the bounds, at each end, in which they are approached smoothly."""


class Field(Parameterization):
    """log slowness = base + change(position), brought smoothly within the bounds.

    The logarithm keeps slowness positive, and its change is the relative change of slowness. Inside the
    bounds but for their last twentieth the output is linear, so that no kernel is squeezed there.

    Args:
        start: The base image; outside the region it is never changed.
        region: Cells of the start's grid that may change, boolean.
        bounds: Lowest and highest sound speed [m/s].
    """

    base: torch.Tensor
    region: torch.Tensor

    def __init__(self, start: Medium, region: torch.Tensor, bounds: tuple[float, float]) -> None:
        super().__init__()
        if tuple(region.shape) != start.grid.shape:
            raise ValueError(f"region has shape {tuple(region.shape)}, the grid {start.grid.shape}")
        if not 0 < bounds[0] < bounds[1]:
            raise ValueError(f"bounds must be increasing and positive, got {bounds}")
        self.grid = start.grid
        self.bounds = (float(bounds[0]), float(bounds[1]))
        self.register_buffer("base", _unbounded(-start.sound_speed.double().log(), self.bounds))
        self.register_buffer("region", region.clone())
        self._windows: dict[Grid, torch.Tensor] = {}

    @abstractmethod
    def change(self, grid: Grid) -> torch.Tensor:
        """Change of log slowness, zero outside the region, shape grid.shape."""

    @abstractmethod
    def reset(self) -> None:
        """Set the parameters so that the change is zero everywhere, in place."""

    def forward(self, grid: Grid) -> Medium:
        """The medium on a grid."""
        return Medium(grid, torch.exp(-_bounded(self._log_slowness(grid), self.bounds)))

    def window(self, grid: Grid) -> torch.Tensor:
        """Share of the change that counts, 0 outside the region and 1 inside, shape grid.shape."""
        if grid not in self._windows:
            self._windows[grid] = resample(self.region.double(), self.grid, grid).clamp(0, 1)
        return self._windows[grid].to(self.base.device)

    def free_cells(self, grid: Grid) -> torch.Tensor:
        """Cells of a grid that the window reaches."""
        return self.window(grid).cpu() > 1e-9

    @torch.no_grad()
    def bake(self) -> None:
        """Take the change into the base image, and set it to zero; the medium stays as it is."""
        self.base.copy_(self._log_slowness(self.grid))
        self.reset()

    @torch.no_grad()
    def fitted_to(self, medium: Medium) -> Self:
        """A copy whose base image is the medium, inside the region."""
        other = self._copy()
        wanted = _unbounded(-medium.resampled(self.grid).sound_speed.double().log(), self.bounds)
        other.base.copy_(torch.where(self.region, wanted.to(self.base.device), self.base))
        other.reset()
        return other

    def _copy(self) -> Self:
        """The same field with memory of its own."""
        self._windows.clear()  # made inside a transformed function, they could not be copied
        return copy.deepcopy(self)

    def _log_slowness(self, grid: Grid) -> torch.Tensor:
        base = resample(self.base, self.grid, grid)
        return base + self.change(grid).to(base)


class PointField(Field):
    """A field whose change is evaluated point by point, on any grid, without interpolation."""

    @abstractmethod
    def at(self, points: torch.Tensor) -> torch.Tensor:
        """Change of log slowness at points, shape (point, n_dims) in units of `unit`; shape (point,)."""

    @property
    def unit(self) -> float:
        """Half the widest extent of the region [m]: coordinates run from about -1 to 1."""
        return 0.5 * (max(self.grid.shape) - 1) * self.grid.spacing

    def change(self, grid: Grid) -> torch.Tensor:
        """Change of log slowness, evaluated inside the region alone."""
        window = self.window(grid)
        inside = window > 1e-9
        centre = torch.tensor(
            [0.5 * (a + b) for a, b in zip(self.grid.origin, self.grid.last, strict=True)],
            dtype=torch.float64,
        )
        points = ((grid.points()[inside.cpu()] - centre) / self.unit).to(self.base.device)
        values = self.at(points)
        return window * values.new_zeros(grid.shape).masked_scatter(inside, values).to(window)


def _limits(bounds: tuple[float, float]) -> tuple[float, float, float]:
    """Lowest and highest log slowness, and the width of the soft ends."""
    low, high = -math.log(bounds[1]), -math.log(bounds[0])
    return low, high, SOFT_SHARE * (high - low)


def _bounded(log_slowness: torch.Tensor, bounds: tuple[float, float]) -> torch.Tensor:
    """The same values inside, and smoothly towards the bounds beyond."""
    low, high, soft = _limits(bounds)
    clipped = log_slowness.clamp(low + soft, high - soft)
    return clipped + soft * torch.tanh((log_slowness - clipped) / soft)


def _unbounded(log_slowness: torch.Tensor, bounds: tuple[float, float]) -> torch.Tensor:
    """Undo `_bounded`; what lies on the bounds or beyond comes from three soft widths away."""
    low, high, soft = _limits(bounds)
    clipped = log_slowness.clamp(low + soft, high - soft)
    return clipped + soft * torch.atanh(((log_slowness - clipped) / soft).clamp(-0.995, 0.995))
