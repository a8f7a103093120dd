"""The acoustic medium: sound speed, attenuation with its power law, and density on a grid."""

from dataclasses import dataclass, replace

import torch

from usct.grid import Grid, resample
from usct.units import ATTENUATION_REFERENCE_FREQUENCY


@dataclass(frozen=True)
class Medium:
    """Acoustic properties on a grid; scalars are expanded, missing maps mean lossless and uniform.

    The attenuation is always the triple (value, reference frequency, power):
    alpha(f) = attenuation * (f / reference_frequency) ** attenuation_power.

    Attributes:
        grid: Where the values are.
        sound_speed: Shape grid.shape [m/s].
        attenuation: Shape grid.shape, at `reference_frequency` [Np/m], or None for a lossless medium.
        density: Shape grid.shape [kg/m^3], or None for a uniform density.
        attenuation_power: Exponent of the power law [1].
        reference_frequency: Frequency at which `attenuation` holds [Hz].
    """

    grid: Grid
    sound_speed: torch.Tensor
    attenuation: torch.Tensor | None = None
    density: torch.Tensor | None = None
    attenuation_power: float = 1.0
    reference_frequency: float = ATTENUATION_REFERENCE_FREQUENCY

    def __post_init__(self) -> None:
        """Expand scalars and refuse values that are not physical."""
        for name, lowest in (("sound_speed", 1.0), ("attenuation", None), ("density", 1e-3)):
            values = getattr(self, name)
            if values is None:
                continue
            values = torch.as_tensor(values)
            values = values.expand(self.grid.shape) if values.ndim == 0 else values
            if tuple(values.shape) != self.grid.shape:
                raise ValueError(f"{name} has shape {tuple(values.shape)}, its grid {self.grid.shape}")
            if not torch.isfinite(values.detach()).all():
                raise ValueError(f"{name} holds values that are not finite")
            if lowest is not None and float(values.detach().min()) < lowest:
                smallest = float(values.detach().min())
                raise ValueError(f"{name} must be at least {lowest:g} in SI units, got {smallest:g}")
            object.__setattr__(self, name, values)

    @classmethod
    def homogeneous(cls, grid: Grid, sound_speed: float) -> "Medium":
        """A lossless medium of one sound speed [m/s]."""
        return cls(grid, torch.full(grid.shape, float(sound_speed), dtype=torch.float64))

    def slowness(self, frequency: float) -> torch.Tensor:
        """Complex slowness 1/c - i alpha/omega at a frequency [Hz], shape grid.shape [s/m].

        The imaginary part is negative because the time factor is exp(+i omega t): waves then decay as
        they travel. The velocity dispersion that goes with attenuation is neglected.
        """
        real = 1.0 / self.sound_speed
        if self.attenuation is None:
            return torch.complex(real, torch.zeros_like(real))
        return torch.complex(
            real, -self._lost(self.attenuation, frequency).to(real) / (2 * torch.pi * frequency)
        )

    def attenuation_at(self, frequency: float) -> torch.Tensor:
        """Attenuation at a frequency [Hz], zero where the medium is lossless, shape grid.shape [Np/m]."""
        if self.attenuation is None:
            return torch.zeros_like(self.sound_speed)
        return self._lost(self.attenuation, frequency)

    def _lost(self, attenuation: torch.Tensor, frequency: float) -> torch.Tensor:
        return attenuation * (frequency / self.reference_frequency) ** self.attenuation_power

    def to(self, device: torch.device) -> "Medium":
        """The same medium on a device; itself if it is there."""
        if self.sound_speed.device == device:
            return self
        speed = self.sound_speed.to(device)
        attenuation, density = (
            None if values is None else values.to(device) for values in (self.attenuation, self.density)
        )
        return replace(self, sound_speed=speed, attenuation=attenuation, density=density)

    def resampled(self, grid: Grid) -> "Medium":
        """The same medium on another grid; slowness is interpolated, since travel times add up."""
        if grid == self.grid:
            return self
        speed = 1.0 / resample(1.0 / self.sound_speed, self.grid, grid)
        attenuation, density = (
            None if values is None else resample(values, self.grid, grid)
            for values in (self.attenuation, self.density)
        )
        return replace(self, grid=grid, sound_speed=speed, attenuation=attenuation, density=density)
