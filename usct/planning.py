"""The verb plan: what arrays would see inside a medium, by the linearised waves alone; nothing is inverted."""

import copy
import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage

from usct.acquisition import Spectra, TransducerArray
from usct.assembly import BONE_SPEED
from usct.diagnostics.belief import Belief, random_signs, solved
from usct.diagnostics.kernels import TangentKernels
from usct.diagnostics.resolution import deepest, impulse, width
from usct.diagnostics.uncertainty import deviation_map, error_draws, looking, prior_draws
from usct.errors import InputError
from usct.forward.parallel import single_threaded_blas
from usct.grid import Grid
from usct.inversion.discretization import Discretization
from usct.inversion.objective import Objective, Point
from usct.inversion.tailoring import ImageDerivative, band_spectra
from usct.medium import Medium
from usct.misfit.spectra import LeastSquares
from usct.parameterization.spectrum import RadialSpectrum, Tailoring
from usct.parameterization.tailored import TailoredGrid
from usct.plan import Outlook, Plan
from usct.preflight import OBJECT_CONTRAST, check_simulation, check_size, water_of
from usct.units import MILLIMETRE

N_DRAWS, N_PROBES = 3, 2
"""Random errors for the deviation and random vectors for the trace: right to about 5 %."""

REST, MOST_PRODUCTS = 0.05, 100
"""Share of an estimate that the last product may change, and products with K^T K at most."""

NEAR = 12 * MILLIMETRE
"""Depth below the rim of the inside at which detail near the rim is measured [m]."""

ACROSS = 2 * math.pi / 3
"""Least angle between transmit and receive, seen from the middle, of what has crossed the ring [rad]."""

N_SAMPLES = 64
"""Of the prior's spectrum."""


@dataclass(frozen=True)
class Wishes:
    """What a plan is to look at.

    Attributes:
        elements: Numbers of elements of the rings.
        frequencies: [Hz].
        radius: Of the rings [m].
        snr_db: Energy of what crosses the ring in water alone over that of the noise [dB].
        contrast: Standard deviation of the sound speed that is held before any data [m/s].
        correlation: Distance over which its covariance falls to 1 / e [m].
        size: Of the detail whose error is told [m].
        mute_angle: Receivers closer to the transmitter are left out [rad].
        points_per_wavelength: Of the solver's grids [1].
        seed: Of everything random.
    """

    elements: tuple[int, ...] = (64, 128)
    frequencies: tuple[float, ...] = (50e3, 100e3, 150e3, 200e3)
    radius: float = 0.11
    snr_db: float = 30.0
    contrast: float = 20.0
    correlation: float = 5 * MILLIMETRE
    size: float = 8 * MILLIMETRE
    mute_angle: float = math.pi / 6
    points_per_wavelength: float = 5.5
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse wishes that nothing can fulfil."""
        for name in ("radius", "contrast", "correlation", "size"):
            if not 0 < getattr(self, name) < math.inf:
                raise InputError(f"{name} is {getattr(self, name):g}; give one above zero")
        if not self.elements or min(self.elements) < 8 or len(set(self.elements)) < len(self.elements):
            raise InputError(f"elements are {self.elements}; give different numbers of 8 or more")
        if not self.frequencies or not all(0 < f < math.inf for f in self.frequencies):
            raise InputError(f"frequencies are {self.frequencies}; give at least one, each above 0 Hz")


def plan(
    medium: Medium,
    wishes: Wishes,
    name: str = "",
    on_progress: Callable[[float, str], None] | None = None,
) -> Plan:
    """Tell what rings of elements would see inside a medium.

    The inside is what bone encloses, or the whole object where there is no bone. Its sound speed is held to depart
    from the medium by a random field of exponential covariance; the waves are linear in that, and everything else is
    known: skull, density, attenuation and the places of the elements. So the forecast is a bound, not a promise. Noise
    is the same whatever the medium lets through: it is told from what crosses the ring in water alone.

    Args:
        medium: In two dimensions, with water along its rim.
        wishes: What to look at.
        name: Of the medium.
        on_progress: Called with the share done and a sentence.

    Raises:
        InputError: If elements lie inside the object, a frequency needs more memory than there is, or nothing differs
            from the water.
    """
    frequencies = tuple(sorted(set(wishes.frequencies)))
    check_simulation(medium, TransducerArray.ring(max(wishes.elements), wishes.radius), frequencies)
    image, inside = _inside(medium, max(frequencies))
    middle = deepest(image, inside)
    places = (middle, _near_rim(image, inside, middle))
    lossless = dataclasses.replace(medium, attenuation=None)
    media = [(False, lossless)] + ([(True, medium)] if medium.attenuation is not None else [])
    outlooks, before, done = [], 0.0, 0
    n_cases = len(wishes.elements) * len(media)
    for n_elements in wishes.elements:
        array = TransducerArray.ring(n_elements, wishes.radius)
        for absorbs, one in media:
            if on_progress is not None:
                words = "with" if absorbs else "without"
                on_progress(done / n_cases, f"Looking at {n_elements} elements, {words} attenuation")
            with single_threaded_blas():
                case = _Case(one, array, image, inside, wishes)
                points = [case.point(frequency) for frequency in frequencies]
                groups = [[n] for n in range(len(points))]
                groups += [list(range(len(points)))] if len(points) > 1 else []
                for group in groups:
                    outlook, before = case.outlook([points[n] for n in group], places)
                    outlooks.append(outlook)
            done += 1
    area = float(inside.sum()) * image.spacing**2
    w = wishes
    return Plan(
        name, w.radius, w.snr_db, w.contrast, w.correlation, w.size, before, places, area, tuple(outlooks)
    )


@dataclass(frozen=True)
class _Seen:
    """The waves of one frequency, and how strong they are behind the medium."""

    objective: Objective
    point: Point
    level: float


@dataclass(frozen=True)
class _Case:
    """One medium in one ring."""

    medium: Medium
    array: TransducerArray
    image: Grid
    inside: torch.Tensor
    wishes: Wishes

    def point(self, frequency: float) -> _Seen:
        """Solve for the waves at one frequency; noise has a variance of one on the scale of the objective."""
        speeds = (float(self.medium.sound_speed.min()), float(self.medium.sound_speed.max()))
        check_size(self.array, frequency, speeds[0], self.wishes.points_per_wavelength)
        water = water_of(self.medium)
        kept = (self.array.opening_angles() >= self.wishes.mute_angle).double()
        parameterization = TailoredGrid(
            Medium(self.image, self.medium.resampled(self.image).sound_speed),
            self.inside,
            (0.5 * speeds[0], 2 * speeds[1]),
            self._prior(),
        )
        ends = min(self.wishes.frequencies), max(self.wishes.frequencies)
        known = dataclasses.replace(self.medium, speed_frequency=math.sqrt(ends[0] * ends[1]))
        waves = Discretization(
            self.wishes.points_per_wavelength,
            speeds,
            water,
            known=known,
            start=copy.deepcopy(parameterization),
        )
        model = waves.model(self.array, speeds, frequency, 0.0)
        anything = torch.ones(1, *kept.shape, dtype=torch.complex128)
        data = Spectra(anything, torch.tensor([frequency]), kept[None])
        objective = Objective([model], data, LeastSquares("transmit"), parameterization)
        seen = objective.at(parameterization.vector())
        predicted = seen.linearizations[0].data.cpu()
        unaided = dataclasses.replace(waves, known=None, start=None).model(self.array, speeds, frequency, 0.0)
        nothing = torch.zeros(unaided.grid.shape, dtype=torch.bool)
        plain = unaided.linearize(Medium.homogeneous(unaided.grid, water), frequency, nothing).data.cpu()
        across = self.array.opening_angles() >= ACROSS
        energies = [float(values[across].abs().square().mean()) for values in (predicted, plain)]
        noise = energies[1] * 10 ** (-0.1 * self.wishes.snr_db)
        residual = LeastSquares("transmit").residual(predicted, predicted, kept)
        # A complex datum's noise is shared by its two parts.
        residual = dataclasses.replace(residual, weights=kept * (2.0 / noise))
        point = objective.describe((residual,), seen.linearizations)
        return _Seen(objective, point, 10 * math.log10(energies[0] / energies[1]))

    def outlook(self, seen: Sequence[_Seen], places: Sequence[tuple[float, float]]) -> tuple[Outlook, float]:
        """What the data of some frequencies tell, and the deviation before any data."""
        point = self._tailored(seen)
        kernels = TangentKernels(point, self.image, region=self.inside)
        belief = Belief(1.0 / len(seen))  # the objective averages over frequencies
        drawn = [draw(kernels, belief, N_DRAWS, self.wishes.seed) for draw in (error_draws, prior_draws)]
        generator = torch.Generator().manual_seed(self.wishes.seed)
        signs = torch.stack([random_signs(kernels.n_data, generator) for _ in range(N_PROBES)])
        points = kernels.wave_all(torch.stack([impulse(kernels, place) for place in places]))
        right = torch.cat([kernels.adjoint_all(torch.cat([points, signs])), drawn[0]])
        found, _ = solved(kernels, right, belief, REST, MOST_PRODUCTS, look=looking(kernels))
        spreads, answers, errors = found.split([len(points), N_PROBES, N_DRAWS])
        details = [
            width(kernels.image_of(one), self.image, place)
            for one, place in zip(spreads, places, strict=True)
        ]
        determined = float((signs * kernels.apply_all(answers)).sum()) / N_PROBES
        cutoff = math.pi / self.wishes.size
        maps = [deviation_map(kernels, one, cutoff) for one in (errors, drawn[1])]
        deviation, before = (float(m[self.inside].square().mean().sqrt()) for m in maps)
        frequencies = tuple(f for one in seen for f in one.objective.observed.frequencies.tolist())
        level = sum(one.level for one in seen) / len(seen)
        return Outlook(
            len(self.array.positions),
            frequencies,
            self.medium.attenuation is not None,
            details[0],
            details[1],
            determined,
            deviation,
            level,
        ), before

    def _tailored(self, seen: Sequence[_Seen]) -> Point:
        """The point of all these frequencies, its kernel the prior, and its steps shaped by what the waves see."""
        parts = [one.point for one in seen]
        first = seen[0].objective
        frequencies = torch.cat([one.objective.observed.frequencies for one in seen])
        nothing = torch.zeros(len(seen), 0, 0, dtype=torch.float64)
        objective = Objective(
            [one.objective.models[0] for one in seen],
            Spectra(nothing.to(torch.complex128), frequencies, nothing),
            LeastSquares("transmit"),
            first.parameterization,
        )
        residuals = tuple(part.residuals[0] for part in parts)
        linearizations = tuple(part.linearizations[0] for part in parts)
        point = objective.describe(residuals, linearizations)
        highest = min(
            4.4 * math.pi * float(frequencies.max()) / water_of(self.medium), math.pi / self.image.spacing
        )
        derivative = ImageDerivative(point, self.image, self.inside.double())
        bands = band_spectra(derivative, self.inside, highest, self.wishes.seed)
        ends = torch.tensor([highest], dtype=torch.float64)
        gain = RadialSpectrum(
            torch.cat([bands.centres, ends]),
            torch.cat([bands.gain / bands.cover, torch.zeros(1, dtype=torch.float64)]),
        )
        first.parameterization.retailor(Tailoring(gain, self._prior(), 1.0 / len(seen)))
        return point.again()

    def _prior(self) -> RadialSpectrum:
        """Variance of the Fourier coefficients of relative slowness for an exponential covariance.

        References:
            Tarantola, Inverse Problem Theory (SIAM 2005), example 5.6; its transform in the plane.
        """
        wishes, spacing = self.wishes, self.image.spacing
        wavenumbers = torch.linspace(0, math.pi / spacing, N_SAMPLES, dtype=torch.float64)
        relative = wishes.contrast / float(
            self.medium.resampled(self.image).sound_speed[self.inside].median()
        )
        shape = 2 * math.pi * wishes.correlation**2 / (1 + (wishes.correlation * wavenumbers).square()) ** 1.5
        return RadialSpectrum(wavenumbers, shape * relative**2 / spacing**2)


def _inside(medium: Medium, highest: float) -> tuple[Grid, torch.Tensor]:
    """Grid of the images, six points for the shortest wave, and what bone encloses on it, or the object.

    Raises:
        InputError: If nothing differs from the water.
    """
    water = water_of(medium)
    # Soft tissue alone is looked at: bone's waves are longer.
    image = Grid.covering(
        0.5 * min(n * medium.grid.spacing for n in medium.grid.shape), water / (6 * highest)
    )
    speed = medium.resampled(image).sound_speed
    bone = (speed > BONE_SPEED).numpy()
    inside = _largest(ndimage.binary_fill_holes(bone) & ~bone)
    if inside.sum() <= bone.sum() / 2:
        inside = _largest(np.asarray(ndimage.binary_fill_holes((speed - water).abs() > OBJECT_CONTRAST)))
    if not inside.any():
        raise InputError(
            "nothing in the medium differs from its water; give a head, a breast or another object"
        )
    return image, torch.from_numpy(inside)


def _largest(mask: np.ndarray) -> np.ndarray:
    parts, count = ndimage.label(mask)
    found: np.ndarray = parts == 1 + np.argmax(np.bincount(parts.ravel())[1:]) if count else mask
    return found


def _near_rim(grid: Grid, inside: torch.Tensor, middle: tuple[float, float]) -> tuple[float, float]:
    """The place beside the middle that lies `NEAR` below the rim, or as near that as there is [m]."""
    depth = ndimage.distance_transform_edt(inside.numpy()) * grid.spacing
    row = round(float(grid.fractional_index(torch.tensor([middle], dtype=torch.float64))[0, 0]))
    columns = np.flatnonzero(inside[row].numpy())
    column = int(columns[::-1][np.abs(depth[row, columns] - NEAR)[::-1].argmin()])
    return float(grid.axis(0)[row]), float(grid.axis(1)[column])
