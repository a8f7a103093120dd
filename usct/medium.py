"""The acoustic medium: sound speed, attenuation with its power law, and density on a grid."""

import math
from dataclasses import dataclass, replace

import torch

from usct.grid import Grid, resample
from usct.units import ATTENUATION_REFERENCE_FREQUENCY

OVERSHOOT = 1.25
"""Factor by which band-limited maps may leave the range of their values; more would shorten time steps."""


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
        speed_frequency: Frequency at which `sound_speed` holds: where waves are lost, causality makes higher
            frequencies faster [Hz]; None neglects that.
    """

    grid: Grid
    sound_speed: torch.Tensor
    attenuation: torch.Tensor | None = None
    density: torch.Tensor | None = None
    attenuation_power: float = 1.0
    reference_frequency: float = ATTENUATION_REFERENCE_FREQUENCY
    speed_frequency: float | None = None

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

        The imaginary part is negative because the time factor is exp(+i omega t): waves then decay as they travel.

        References:
            Waters, Mobley & Miller, IEEE Trans. Ultrason. 52 (2005) 822, eq. (14) and (15): velocity dispersion of a
            power law.
        """
        real = 1.0 / self.sound_speed
        if self.attenuation is None:
            return torch.complex(real, torch.zeros_like(real))
        loss = self._lost(self.attenuation, frequency).to(real) / (2 * torch.pi * frequency)
        if self.speed_frequency is not None:
            real = real + self._dispersion(frequency / self.speed_frequency) * loss
        return torch.complex(real, -loss)

    def _dispersion(self, ratio: float) -> float:
        """Change of slowness, over alpha/omega, at a frequency over the one at which the speed holds [1]."""
        power = self.attenuation_power
        if abs(power - 1) < 1e-3:  # the limit; the formula below would divide zero by zero
            return -2 / math.pi * math.log(ratio)
        return math.tan(0.5 * math.pi * power) * (1 - ratio ** (1 - power))

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

    def resampled(self, grid: Grid, band_limited: bool = False) -> "Medium":
        """The same medium on another grid.

        Slowness is averaged, since travel times add up. Where the density is known, waves that are long against the
        cells see their mean density and mean compressibility instead: bone that half fills a cell slows it down more.

        Args:
            grid: The grid wanted.
            band_limited: Keep of density and compressibility (also where the density is uniform) all that the grid can
                hold. Finite differences of high order then find edges where they are, between nodes as well, and
                reflections are right within a few per cent at five points per wavelength. Next to edges the maps
                overshoot, sound speed and density to a quarter beyond their extremes at most.

        References:
            Backus, J. Geophys. Res. 67 (1962) 4427; Mittet, On the internal interfaces in finite-difference schemes,
            Geophysics 82 (2017); Koene, Wittsten & Robertsson, arXiv:2104.08206.
        """
        if grid == self.grid:
            return self
        if self.density is None and not band_limited:
            speed = 1.0 / resample(1.0 / self.sound_speed, self.grid, grid)
            loss = None if self.attenuation is None else resample(self.attenuation, self.grid, grid)
            return replace(self, grid=grid, sound_speed=speed, attenuation=loss)
        plain = torch.ones((), dtype=torch.float64).expand(self.grid.shape)
        dense = plain if self.density is None else self.density
        density = self._averaged(dense, grid, band_limited)
        admittance = 1.0 / (self.sound_speed * dense)
        softness = admittance / self.sound_speed
        compressibility = resample(softness, self.grid, grid, band_limited)
        compressibility = _within(compressibility, softness, OVERSHOOT**3 if band_limited else 1.0)
        speed = _within((compressibility * density).rsqrt().to(self.sound_speed), self.sound_speed, OVERSHOOT)
        loss = None
        if self.attenuation is not None:
            loss = self._averaged(admittance * self.attenuation, grid, band_limited) * density * speed
            loss = _within(loss.to(self.attenuation), self.attenuation, 1.0)
        kept = None if self.density is None else density
        return replace(self, grid=grid, sound_speed=speed, attenuation=loss, density=kept)

    def _averaged(self, values: torch.Tensor, grid: Grid, band_limited: bool) -> torch.Tensor:
        """Values on another grid, where overshoot is kept back."""
        return _within(
            resample(values, self.grid, grid, band_limited), values, OVERSHOOT if band_limited else 1.0
        )


def _within(values: torch.Tensor, source: torch.Tensor, beyond: float) -> torch.Tensor:
    """Values that are positive, and beyond those of a source by a factor at most."""
    low, high = (end.item() for end in (source.detach().min(), source.detach().max()))
    return values.clamp(low / beyond, high * beyond)
