"""Fourier features: which wavenumbers a network may use, and how strongly.

A linear readout of a_j cos(k_j x), a_j sin(k_j x) has the tangent kernel sum a_j^2 cos(k_j (x - y)). Each feature
stands for a patch of the wavenumber plane, so a kernel of spectrum T needs a_j^2 = T(k_j) times the patch's area.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import torch
from scipy.spatial import cKDTree

from usct.acquisition import TransducerArray
from usct.parameterization.spectrum import RadialSpectrum

GOLDEN = math.pi * (math.sqrt(5) - 1) / 2
"""Golden section of the half circle [rad]: angles that are multiples of it never cluster."""

WIDEST = 4.0
"""Gaussian features end here, in widths; what lies beyond has a share of 3e-4."""

FAINTEST = 1e-2
"""Least amplitude of a feature as a share of the strongest: a closed one can still be opened again."""


SHARE_DRAWS, SHARE_BINS = 400_000, 48
"""Random pairs, and bins along each axis, from which an instrument's density is counted."""


@dataclass(frozen=True)
class FourierFeatures:
    """Wavenumbers with amplitudes whose squares sum to one.

    Attributes:
        wavenumbers: Shape (feature, dim) [rad/m].
        amplitudes: Shape (feature,) [1].
        areas: Of the patch of the wavenumber plane that each feature stands for, up to a common factor, shape
            (feature,).
    """

    wavenumbers: torch.Tensor
    amplitudes: torch.Tensor
    areas: torch.Tensor

    def __post_init__(self) -> None:
        """Refuse what are no features."""
        count = len(self.wavenumbers)
        if self.wavenumbers.ndim != 2 or not count:
            raise ValueError(
                f"wavenumbers must have shape (feature, dim), got {tuple(self.wavenumbers.shape)}"
            )
        for name, values in (("amplitudes", self.amplitudes), ("areas", self.areas)):
            if values.shape != (count,):
                raise ValueError(f"{name} must have shape ({count},), got {tuple(values.shape)}")
            if not bool((torch.isfinite(values) & (values >= 0)).all()):
                raise ValueError(f"{name} must be finite and not negative")
        power = float(self.amplitudes.square().sum())
        if abs(power - 1) > 1e-6:
            raise ValueError(f"the squares of the amplitudes must sum to 1, got {power:.6g}")

    @classmethod
    def with_power(cls, wavenumbers: torch.Tensor, power: torch.Tensor, areas: torch.Tensor) -> Self:
        """Features with these squared amplitudes, up to a common factor.

        Raises:
            ValueError: If no feature has any power.
        """
        if not float(power.sum()) > 0:
            raise ValueError("at least one feature must have power")
        return cls(wavenumbers, (power / power.sum()).sqrt(), areas)

    def reshaped(self, spectrum: Callable[[torch.Tensor], torch.Tensor], floor: float = FAINTEST) -> Self:
        """The same wavenumbers with the amplitudes of another spectrum.

        Args:
            spectrum: Function of the wavenumber's magnitude [rad/m].
            floor: Least amplitude as a share of the largest.

        Raises:
            ValueError: If the spectrum is zero at every feature.
        """
        power = spectrum(self.magnitudes) * self.areas
        power = torch.maximum(power, floor**2 * power.max())
        return self.with_power(self.wavenumbers, power, self.areas)

    @property
    def magnitudes(self) -> torch.Tensor:
        """Magnitudes of the wavenumbers, shape (feature,) [rad/m]."""
        return torch.linalg.vector_norm(self.wavenumbers, dim=1)

    @property
    def highest(self) -> float:
        """Highest wavenumber [rad/m]."""
        return float(self.magnitudes.max())

    def kernel(self, lags: torch.Tensor) -> torch.Tensor:
        """Tangent kernel of a linear readout at lags [m], shape (lag, dim); shape (lag,)."""
        return torch.cos(lags @ self.wavenumbers.T) @ self.amplitudes.square()


def encode(phases: torch.Tensor, amplitudes: torch.Tensor) -> torch.Tensor:
    """Amplitude times cosines, then sines, of phases of shape (point, feature) [rad]; (point, 2 feature).

    With squared amplitudes that sum to one every point's features have unit norm, so that what is built on
    them has a stationary kernel and needs neither a bias nor normalisation.
    """
    n = len(amplitudes)
    encoded = phases.new_empty(len(phases), 2 * n)
    torch.cos(phases, out=encoded[:, :n])
    torch.sin(phases, out=encoded[:, n:])
    return encoded.mul_(amplitudes.repeat(2))


def gaussian_features(width: float, n: int, seed: int = 0) -> FourierFeatures:
    """Random wavenumbers of a normal distribution, all equally strong, in two dimensions.

    Args:
        width: Standard deviation along each axis [rad/m].
        n: How many.
        seed: Of the draw.

    Raises:
        ValueError: If width or n is not positive.

    References:
        Tancik et al., NeurIPS 33 (2020) 7537; Rahimi & Recht, NeurIPS 20 (2007) 1177.
    """
    _require(n, width=width)
    draw = torch.rand(2, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    inside = 1 - math.exp(-0.5 * WIDEST**2)
    radii = width * (-2 * torch.log1p(-inside * draw[0])).sqrt()
    areas = torch.exp(0.5 * (radii / width) ** 2)
    return FourierFeatures.with_power(_polar(radii, 2 * math.pi * draw[1]), torch.ones_like(radii), areas)


def tailored_features(spectrum: RadialSpectrum, n: int, highest: float | None = None) -> FourierFeatures:
    """Features that follow a spectrum: evenly spaced radii, golden angles on the half plane, a^2 = T(k) k dk.

    Args:
        spectrum: T, the kernel's spectrum.
        n: How many features.
        highest: Where they end [rad/m]; by default where the spectrum does. What the spectrum leaves out there
            gets a small amplitude, so that a later stage can open it.

    Raises:
        ValueError: If n or highest is not positive, or the spectrum is zero at every feature.
    """
    end = spectrum.highest if highest is None else highest
    _require(n, highest=end)
    number = torch.arange(n, dtype=torch.float64)
    radii = end * (number + 0.5) / n
    wavenumbers = _polar(radii, (GOLDEN * number) % math.pi)
    blank = FourierFeatures.with_power(wavenumbers, torch.ones_like(radii), radii)
    return blank.reshaped(spectrum, 0.0 if highest is None else FAINTEST)


def instrument_features(
    spectrum: RadialSpectrum,
    array: TransducerArray,
    weights: torch.Tensor,
    wave: float,
    points: torch.Tensor,
    n: int,
    seed: int = 0,
) -> FourierFeatures:
    """Features drawn from what the instrument itself samples: k (s + r), unit vectors to transmit and receive.

    Their density is the symbol of J^H J, whatever the aperture and the muted channels; dividing by it gives the
    kernel the spectrum asked for where the instrument looks, and nothing where it does not.

    Args:
        spectrum: T, the kernel's spectrum.
        array: The transducers.
        weights: How much each channel counts; those with zero are left out, shape (tx, rx).
        wave: Wavenumber k of the waves [rad/m].
        points: Of the field of view, shape (point, 2) [m].
        n: How many features.
        seed: Of the draw.

    Raises:
        ValueError: If n or wave is not positive, if no channel or point is usable, or if the spectrum is zero
            wherever the instrument looks.
    """
    _require(n, wave=wave)
    pairs = (weights > 0).nonzero()
    if not len(pairs) or not len(points):
        raise ValueError("instrument features need at least one channel with a weight and one point")
    if array.positions.shape[1] != 2 or points.shape[1] != 2:
        raise ValueError("instrument features exist in two dimensions alone")
    generator = torch.Generator().manual_seed(seed)
    pool = _sampled(array, pairs, wave, points, max(8 * n, 20_000), generator)
    chosen = pool[torch.randperm(len(pool), generator=generator)[:n]]
    blank = FourierFeatures.with_power(
        chosen, torch.ones(len(chosen), dtype=torch.float64), _areas(chosen, pool, 0.05 * wave)
    )
    return blank.reshaped(spectrum)


def instrument_share(
    array: TransducerArray, weights: torch.Tensor, points: torch.Tensor, seed: int = 0
) -> Callable[[torch.Tensor], torch.Tensor]:
    """How densely an instrument samples each object wavenumber, as a share of what a full ring would.

    Args:
        array: The transducers, two-dimensional.
        weights: How much each channel counts; those with zero are left out, shape (tx, rx).
        points: Of the field of view, shape (point, 2) [m].
        seed: Of the draw.

    Returns:
        Function of object wavenumbers over the waves' wavenumber, shape (..., 2) in the order (y, x), giving shares
        from 0 to 1, shape (...).
    """
    generator = torch.Generator().manual_seed(seed)
    here = _sampled(array, (weights > 0).nonzero(), 1.0, points, SHARE_DRAWS, generator)
    angles = 2 * math.pi * torch.rand(2, SHARE_DRAWS, generator=generator, dtype=torch.float64)
    ring = _polar(torch.ones_like(angles[0]), angles[0]) + _polar(torch.ones_like(angles[1]), angles[1])
    edges = torch.linspace(-2, 2, SHARE_BINS + 1, dtype=torch.float64)
    counts = [
        torch.histogramdd(torch.cat([k, -k]), [edges, edges]).hist.clamp(min=low)
        for k, low in ((here, 0.0), (ring, 1.0))
    ]
    share = (counts[0] / counts[1]).clamp(max=1.0)

    def sampled(wavenumbers: torch.Tensor) -> torch.Tensor:
        # grid_sample wants (x, y) from -1 to 1 over the outer edges of the bins.
        at = (0.5 * wavenumbers.flip(-1)).reshape(1, -1, 1, 2)
        values = torch.nn.functional.grid_sample(
            share[None, None], at, padding_mode="zeros", align_corners=False
        )
        return values.reshape(wavenumbers.shape[:-1])

    return sampled


def _sampled(
    array: TransducerArray,
    pairs: torch.Tensor,
    wave: float,
    points: torch.Tensor,
    count: int,
    generator: torch.Generator,
) -> torch.Tensor:
    """Object wavenumbers of random pairs at random points, brought to the upper half plane, shape (count, 2)."""
    pair = pairs[torch.randint(len(pairs), (count,), generator=generator)]
    at = points.double()[torch.randint(len(points), (count,), generator=generator)]
    rays = [
        torch.nn.functional.normalize(array.positions[index] - at, dim=1)
        for index in (array.transmits[pair[:, 0]], array.receives[pair[:, 1]])
    ]
    sampled = wave * (rays[0] + rays[1])
    return torch.where(sampled[:, :1] < 0, -sampled, sampled)


def _areas(chosen: torch.Tensor, pool: torch.Tensor, reach: float) -> torch.Tensor:
    """One over the density of a pool of wavenumbers, and of their negatives, about the chosen ones [rad^2/m^2].

    Counted in discs small enough to follow the density and wide enough to hold dozens where it matters.
    """
    tree = cKDTree(torch.cat([pool, -pool]).numpy())
    counts = tree.query_ball_point(chosen.numpy(), reach, return_length=True)
    return math.pi * reach**2 * len(pool) / torch.as_tensor(counts, dtype=torch.float64)


def _polar(radii: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
    return torch.stack([radii * angles.sin(), radii * angles.cos()], dim=1)


def _require(n: int, **positive: float) -> None:
    for name, value in {"n": float(n), **positive}.items():
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name} must be positive, got {value:g}")


class PointCache:
    """What was computed for sets of points, found again by the points themselves; the oldest is dropped.

    Copies of it start empty, since what it holds can always be computed again.

    Args:
        n_bytes: Most memory to use.
    """

    def __init__(self, n_bytes: int) -> None:
        self.n_bytes = n_bytes
        self._held: list[tuple[torch.Tensor, tuple[torch.Tensor, ...]]] = []

    def get(
        self, points: torch.Tensor, compute: Callable[[torch.Tensor], tuple[torch.Tensor, ...]]
    ) -> tuple[torch.Tensor, ...]:
        """What belongs to these points, computed if it is not there; not differentiated."""
        for known, values in self._held:
            if known.device == points.device and known.dtype == points.dtype and torch.equal(known, points):
                return values
        with torch.no_grad():
            values = compute(points)
        self._held.append((points, values))
        while sum(v.nbytes for _, kept in self._held for v in kept) > self.n_bytes:
            self._held.pop(0)
        return values

    def clear(self) -> None:
        """Forget everything."""
        self._held.clear()

    def __deepcopy__(self, memo: dict[int, object]) -> "PointCache":
        return PointCache(self.n_bytes)
