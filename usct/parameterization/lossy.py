"""A medium of two unknown maps, sound speed and attenuation, of which one at a time is inverted for."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Self, final

import torch

from usct.grid import Grid
from usct.medium import Medium
from usct.parameterization.base import Parameterization, Unknown
from usct.parameterization.spectrum import Tailoring, TissuePrior

SPAN = 0.1
"""Relative change of the companion's slowness that stands for the whole range of attenuations.

It is about that of sound speeds in tissue, which every representation's scales are made for.
"""

COMPANION_SPEED = 1500.0
"""Sound speed of a companion where nothing is absorbed [m/s]; any would do."""


@final
class Lossy(Parameterization):
    """Sound speed and attenuation, each by a representation of its own.

    A complex slowness 1/c - i alpha/omega has two parts of one kind, so that what makes the first can make the
    second: the attenuation is a multiple of what its representation, the companion, has in slowness beyond that of
    `COMPANION_SPEED`. Parameters are those of the map that is sought; the other one holds.

    Args:
        speed: Makes the sound speed.
        loss: Makes the companion, on the same grid and region, within `companion_bounds`.
        limits: Lowest and highest attenuation at the reference frequency of `Medium` [Np/m].
        power: Exponent of the attenuation's power law [1].

    Raises:
        ValueError: If the two have different grids, or the limits do not contain zero.

    References:
        Ali et al., IEEE Trans. Med. Imaging 43 (2024) 3988: sound speed first, then both in turn.
    """

    def __init__(
        self, speed: Parameterization, loss: Parameterization, limits: tuple[float, float], power: float = 1.0
    ) -> None:
        start = Medium.homogeneous(speed.grid, COMPANION_SPEED)
        super().__init__(start, speed.region, speed.bounds)
        if loss.grid != speed.grid:
            raise ValueError("sound speed and attenuation must be made on the same grid")
        if loss.bounds != companion_bounds(limits):
            raise ValueError(f"the companion's bounds must be {companion_bounds(limits)}, got {loss.bounds}")
        self.speed = speed
        self.loss = loss
        self.limits = limits
        self.attenuation_power = power
        self.sought: Unknown = "sound_speed"
        self.seek("sound_speed")

    def seek(self, unknown: Unknown) -> None:
        """Make one of both maps what the parameters stand for."""
        self.sought = unknown
        self.tailored = self.part.tailored

    @property
    def part(self) -> Parameterization:
        """What makes the map that is sought."""
        return self.speed if self.sought == "sound_speed" else self.loss

    def forward(self, grid: Grid) -> Medium:
        """The medium on a grid."""
        excess = COMPANION_SPEED / self.loss(grid).sound_speed - 1.0
        attenuation = excess * (self.limits[1] / SPAN)
        return replace(self.speed(grid), attenuation=attenuation, attenuation_power=self.attenuation_power)

    def fitted_to(self, medium: Medium) -> Self:
        """A copy whose two maps are as close to the given ones as they can come."""
        loss = self.loss.fitted_to(companion(medium, self.limits))
        return type(self)(self.speed.fitted_to(medium), loss, self.limits, self.attenuation_power)

    def free_cells(self, grid: Grid) -> torch.Tensor:
        """Boolean map of the cells of a grid that the map that is sought can change."""
        return self.part.free_cells(grid)

    def hold(self, freedom: torch.Tensor) -> None:
        """See Parameterization; for both maps."""
        super().hold(freedom)
        self.speed.hold(freedom)
        self.loss.hold(freedom)

    def bound(self, limits: torch.Tensor) -> None:
        """See Parameterization; for the sound speed, which keeps them."""
        self.speed.bound(limits)

    def expect(self, priors: Sequence[TissuePrior]) -> None:
        """See Parameterization; for the sound speed."""
        self.speed.expect(priors)

    def settle(self) -> None:
        """See Parameterization."""
        self.part.settle()

    @property
    def is_held(self) -> bool:
        """As the part that is sought is."""
        return self.part.is_held

    def constrain(self) -> None:
        """Bring both maps back inside their bounds."""
        self.speed.constrain()
        self.loss.constrain()

    def precondition(self, gradient: torch.Tensor, cutoff: float) -> torch.Tensor:
        """As the part that is sought does."""
        return self.part.precondition(gradient, cutoff)

    def retailor(self, tailoring: Tailoring) -> None:
        """Reshape the kernel of the part that is sought."""
        self.part.retailor(tailoring)

    @property
    def damping(self) -> float:
        """Weight of the squared norm of a step."""
        return self.part.damping

    def vector(self) -> torch.Tensor:
        """A copy of the parameters of the part that is sought, flattened, shape (parameter,)."""
        return self.part.vector()

    def named(self, vector: torch.Tensor) -> dict[str, torch.Tensor]:
        """The same by name, as views of a vector, shape (parameter,)."""
        prefix = "speed" if self.sought == "sound_speed" else "loss"
        return {f"{prefix}.{name}": value for name, value in self.part.named(vector).items()}

    def load(self, vector: torch.Tensor) -> None:
        """Set the parameters of the part that is sought, shape (parameter,)."""
        self.part.load(vector)

    def learning_rates(self) -> torch.Tensor:
        """Rate of every parameter as a share of the optimizer's, shape (parameter,)."""
        return self.part.learning_rates()


def companion_bounds(limits: tuple[float, float]) -> tuple[float, float]:
    """Bounds of the companion's sound speed [m/s] for limits of the attenuation [Np/m].

    Raises:
        ValueError: If the limits do not run from zero or a little less to something above.
    """
    low, high = limits
    if not -high < low <= 0 < high:
        raise ValueError(f"attenuation must run from zero or little below to something above, got {limits}")
    return COMPANION_SPEED / (1 + SPAN), COMPANION_SPEED / (1 + SPAN * low / high)


def companion(medium: Medium, limits: tuple[float, float]) -> Medium:
    """The medium whose sound speed stands for another's attenuation, clipped to limits [Np/m]."""
    if medium.attenuation is None:
        return Medium.homogeneous(medium.grid, COMPANION_SPEED)
    excess = medium.attenuation.clamp(*limits) * (SPAN / limits[1])
    return Medium(medium.grid, COMPANION_SPEED / (1 + excess))
