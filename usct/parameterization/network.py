"""What all neural fields share: seeded weights, a change that starts at zero, a mean of its own."""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Self

import torch
from torch import nn

from usct.grid import Grid
from usct.medium import Medium
from usct.parameterization.features import PointCache
from usct.parameterization.field import PointField

CACHE_BYTES = 300_000_000
"""Most memory for what is computed once for the points of a grid."""

STRIP = 4096
"""Points to evaluate at once: what a hundred units make of them stays in a processor's cache."""

MEAN_GAIN = 0.1
"""Output for a mean of one; with one, the constant would hold half of the kernel's trace."""

MEAN_RATE = 100.0
"""Learning rate of the mean as a share of the optimizer's: 0.75 m/s a step at Adam's usual 1e-3."""

Weights = Mapping[str, torch.Tensor]


class NetworkField(PointField):
    """change = scale x (network(weights) - network(first weights) + 0.1 mean).

    Subtracting what the network gave at first, rather than setting its last layer to zero, keeps the tangent
    kernel of all layers at work from the first step. The constant, which would otherwise dominate the kernel,
    has one parameter of its own.

    Args:
        start: The base image.
        region: Cells that may change.
        bounds: Lowest and highest sound speed [m/s].
        scale: Relative change of slowness for an output of one.
        seed: Of the first weights.
        dtype: Of the parameters and of the arithmetic.
    """

    mean: nn.Parameter

    def __init__(
        self,
        start: Medium,
        region: torch.Tensor,
        bounds: tuple[float, float],
        scale: float,
        seed: int,
        dtype: torch.dtype,
    ) -> None:
        super().__init__(start, region, bounds)
        if start.grid.n_dims != 2:
            raise ValueError(f"networks are made for two dimensions, got {start.grid.n_dims}")
        if not scale > 0:
            raise ValueError(f"scale must be positive, got {scale:g}")
        self.scale = scale
        self.seed = seed
        self.register_parameter("mean", nn.Parameter(torch.zeros((), dtype=dtype)))
        self._names: tuple[str, ...] = ()
        self._cache = PointCache(CACHE_BYTES)

    @property
    def dtype(self) -> torch.dtype:
        """Of the parameters and of the arithmetic."""
        return self.mean.dtype

    @abstractmethod
    def draw(self, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """First weights, by name; the same from the same generator."""

    @abstractmethod
    def prepare(self, points: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """What the network needs of points, whatever its weights; kept from one evaluation to the next."""

    @abstractmethod
    def evaluate(self, prepared: tuple[torch.Tensor, ...], weights: Weights) -> torch.Tensor:
        """Output of the network, shape (point,) [1]."""

    @abstractmethod
    def rates(self) -> dict[str, torch.Tensor]:
        """Learning rates that fit the weights, by name, each to be expanded to its weight's shape."""

    def at(self, points: torch.Tensor) -> torch.Tensor:
        """Change of log slowness at points, shape (point, dim) in units of `unit`; shape (point,)."""
        *prepared, at_first = self._cache.get(points, self._prepare)
        output = self.evaluate(tuple(prepared), self._weights(""))
        return self.scale * (output - at_first + MEAN_GAIN * self.mean)

    @torch.no_grad()
    def reset(self) -> None:
        """Take the first weights again."""
        weights = self.draw(torch.Generator().manual_seed(self.seed))
        for name, values in weights.items():
            getattr(self, name).copy_(values)
            getattr(self, f"initial_{name}").copy_(values)
        self.mean.zero_()
        self._cache.clear()

    def is_fresh(self) -> bool:
        """Whether the change is zero because no weight has moved from where it was at first."""
        pairs = zip(self._weights("").values(), self._weights("initial_").values(), strict=True)
        return not self.mean.any() and all(torch.equal(now, first) for now, first in pairs)

    def learning_rates(self) -> torch.Tensor:
        """Rate of every parameter as a share of the optimizer's, shape (parameter,)."""
        rates = {**self.rates(), "mean": torch.tensor(MEAN_RATE)}
        return torch.cat(
            [rates[name].cpu().double().expand(p.shape).reshape(-1) for name, p in self.named_parameters()]
        )

    def _register(self) -> None:
        """Create the weights; to be called once all that `draw` needs is there."""
        weights = self.draw(torch.Generator().manual_seed(self.seed))
        self._names = tuple(weights)
        for name, values in weights.items():
            self.register_parameter(name, nn.Parameter(values.to(self.dtype, copy=True)))
            self.register_buffer(f"initial_{name}", values.to(self.dtype, copy=True))

    def _prepare(self, points: torch.Tensor) -> tuple[torch.Tensor, ...]:
        prepared = self.prepare(points)
        return (*prepared, self.evaluate(prepared, self._weights("initial_")))

    def _weights(self, prefix: str) -> dict[str, torch.Tensor]:
        """Weights in memory of their own: sums depend, in their last bit, on where in memory numbers lie.

        So the change is exactly zero at first, and the same after a resume as without one.
        """
        return {name: getattr(self, prefix + name).clone() for name in self._names}

    def _apply(self, *arguments: Any) -> Self:
        """Forget what belongs to another device or type."""
        self._cache.clear()
        return super()._apply(*arguments)

    def _load_from_state_dict(self, *arguments: Any) -> None:
        """Forget what belongs to the old weights and features."""
        self._cache.clear()
        super()._load_from_state_dict(*arguments)


def require_resolved(grid: Grid, highest: float) -> None:
    """Refuse wavenumbers [rad/m] that a grid cannot hold.

    Raises:
        ValueError: If the highest is not positive, or beyond the grid's Nyquist wavenumber.
    """
    nyquist = torch.pi / grid.spacing
    if not 0 < highest <= nyquist * (1 + 1e-9):
        raise ValueError(
            f"the features reach {highest:.4g} rad/m, which is not between 0 and the {nyquist:.4g} rad/m of a grid "
            f"of {1e3 * grid.spacing:g} mm; use a finer image grid or a lower frequency"
        )


def in_strips(function: Callable[..., torch.Tensor], *inputs: torch.Tensor) -> torch.Tensor:
    """Apply a function that treats every point alike, on processors to a strip of points after another.

    Activations of all points at once would be written to memory and read again; from the cache, a network of a
    hundred units is three times as fast. Other devices work on all points together.
    """
    if inputs[0].device.type != "cpu":
        return function(*inputs)
    return torch.cat([function(*strip) for strip in zip(*(v.split(STRIP) for v in inputs), strict=True)])


def normal(generator: torch.Generator, shape: tuple[int, ...]) -> torch.Tensor:
    """Standard normal numbers, float64."""
    return torch.randn(*shape, generator=generator, dtype=torch.float64)
