"""Fields: media that depart from a base image by a trained function of position."""

import copy
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Self

import torch

from usct.grid import Grid, resample
from usct.medium import Medium
from usct.parameterization.base import Parameterization

SOFT_SHARE = 0.05
"""Share of the range between the bounds, at each end, in which they are approached smoothly."""

FAINTEST_SHARE = 1e-9
"""Cells of which less than this share may change stay as they are."""

MOST_GRIDS = 12
"""Grids for which windows and points are kept: those of an inversion's frequencies, and that of its image."""


Limits = tuple[float, float] | tuple[torch.Tensor, torch.Tensor]
"""Lowest and highest sound speed, of all cells or of each [m/s]."""


class GridCache:
    """What was computed for the last few grids; copies start empty, since it can be computed again."""

    def __init__(self) -> None:
        self._held: dict[Grid, torch.Tensor] = {}

    def get(self, grid: Grid, compute: Callable[[Grid], torch.Tensor]) -> torch.Tensor:
        """What belongs to this grid, computed if it is not there; not differentiated."""
        if grid not in self._held:
            with torch.no_grad():
                self._held[grid] = compute(grid)
            if len(self._held) > MOST_GRIDS:
                del self._held[next(iter(self._held))]
        return self._held[grid]

    def clear(self) -> None:
        """Forget everything."""
        self._held.clear()

    def __deepcopy__(self, memo: dict[int, object]) -> "GridCache":
        return GridCache()


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

    def __init__(self, start: Medium, region: torch.Tensor, bounds: tuple[float, float]) -> None:
        super().__init__(start, region, bounds)
        self.register_buffer("base", _unbounded(-start.sound_speed.double().log(), self.bounds))
        self._windows = GridCache()

    @abstractmethod
    def change(self, grid: Grid) -> torch.Tensor:
        """Change of log slowness, zero outside the region, shape grid.shape."""

    @abstractmethod
    def reset(self) -> None:
        """Set the parameters so that the change is zero everywhere, in place."""

    def forward(self, grid: Grid) -> Medium:
        """The medium on a grid."""
        return Medium(grid, torch.exp(-_bounded(self._log_slowness(grid), self._limits_on(grid))))

    def window(self, grid: Grid) -> torch.Tensor:
        """Share of the change that counts, 0 outside the region and 1 inside, shape grid.shape."""
        free = self.region * self.freedom
        return self._windows.get(grid, lambda g: resample(free, self.grid, g).clamp(0, 1))

    @torch.no_grad()
    def bound(self, limits: torch.Tensor) -> None:
        """See Parameterization; the limits are approached as smoothly as the bounds."""
        before = self._limits_on(self.grid)
        super().bound(limits)
        change = self._log_slowness(self.grid) - self.base
        log_slowness = _bounded(self.base + change, before)
        self.base.copy_(_unbounded(log_slowness, self._limits_on(self.grid)) - change)

    def free_cells(self, grid: Grid) -> torch.Tensor:
        """Cells of a grid that the window reaches."""
        return self.window(grid).cpu() > FAINTEST_SHARE

    @torch.no_grad()
    def bake(self) -> None:
        """Take the change into the base image, and set it to zero; the medium stays as it is."""
        self.base.copy_(self._log_slowness(self.grid))
        self.reset()

    @torch.no_grad()
    def fitted_to(self, medium: Medium) -> Self:
        """A copy whose base image is the medium, inside the region."""
        other = copy.deepcopy(self)
        log_slowness = -medium.resampled(self.grid).sound_speed.double().log().to(self.base.device)
        wanted = _unbounded(log_slowness, self._limits_on(self.grid))
        other.base.copy_(torch.where(self.region, wanted, self.base))
        other.reset()
        return other

    def _apply(self, *arguments: Any) -> Self:
        """Forget what belongs to another device."""
        self._windows.clear()
        return super()._apply(*arguments)

    def _limits_on(self, grid: Grid) -> Limits:
        """Bounds on a grid; narrower ones are those of the nearest cell, as what lies between two has none."""
        if self.cell_bounds is None:
            return self.bounds
        low, high = self.cell_bounds
        for axis, (own, wanted) in enumerate(zip(self.grid.axes(), grid.axes(), strict=True)):
            index = ((wanted - own[0]) / self.grid.spacing).round().long().clamp(0, len(own) - 1)
            low, high = (ends.index_select(axis, index.to(ends.device)) for ends in (low, high))
        return low, high

    def _log_slowness(self, grid: Grid) -> torch.Tensor:
        base = resample(self.base, self.grid, grid)
        return base + self.change(grid).to(base)


class PointField(Field):
    """A field whose change is evaluated point by point, on any grid, without interpolation."""

    def __init__(self, start: Medium, region: torch.Tensor, bounds: tuple[float, float]) -> None:
        super().__init__(start, region, bounds)
        self._points = GridCache()

    def hold(self, freedom: torch.Tensor) -> None:
        """See Parameterization; the share enters the window, and with it the image, so that it is saved."""
        super().hold(freedom)
        self.register_buffer("freedom", self.freedom, persistent=self.is_held)
        self._windows.clear()
        self._points.clear()

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
        values = self.at(self._points.get(grid, self._inside))
        scattered = values.new_zeros(grid.shape).masked_scatter(window > FAINTEST_SHARE, values)
        return window * scattered.to(window)

    def _apply(self, *arguments: Any) -> Self:
        """Forget what belongs to another device."""
        self._points.clear()
        return super()._apply(*arguments)

    def _inside(self, grid: Grid) -> torch.Tensor:
        """Points of a grid that the window reaches, about the middle of the image in units of `unit`."""
        ends = torch.tensor([self.grid.origin, self.grid.last], dtype=torch.float64)
        inside = (grid.points()[self.free_cells(grid)] - ends.mean(dim=0)) / self.unit
        return inside.to(self.base.device)


def _ends(bounds: Limits) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Lowest and highest log slowness, and the width of the soft ends."""
    high, low = (-torch.as_tensor(end, dtype=torch.float64).log() for end in bounds)
    return low, high, SOFT_SHARE * (high - low)


def _bounded(log_slowness: torch.Tensor, bounds: Limits) -> torch.Tensor:
    """The same values inside, and smoothly towards the bounds beyond."""
    low, high, soft = (end.to(log_slowness) for end in _ends(bounds))
    clipped = log_slowness.clamp(low + soft, high - soft)
    return clipped + soft * torch.tanh((log_slowness - clipped) / soft)


def _unbounded(log_slowness: torch.Tensor, bounds: Limits) -> torch.Tensor:
    """Undo `_bounded`; what lies on the bounds or beyond comes from three soft widths away."""
    low, high, soft = (end.to(log_slowness) for end in _ends(bounds))
    clipped = log_slowness.clamp(low + soft, high - soft)
    return clipped + soft * torch.atanh(((log_slowness - clipped) / soft).clamp(-0.995, 0.995))
