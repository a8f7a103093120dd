"""The verb plan: what arrays would see inside a medium, by the linearised waves alone; nothing is inverted."""

import dataclasses
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import torch

from usct.acquisition import TransducerArray
from usct.diagnostics.forecast import Basis, Forecast, Lens, RandomField, information
from usct.enclosed import Inside
from usct.errors import InputError
from usct.forward.base import ForwardModel
from usct.forward.thinning import chessboard
from usct.grid import Grid
from usct.inversion.discretization import Discretization
from usct.medium import Medium
from usct.plan import PLACES_PER_SIZE, Outlook, Plan
from usct.preflight import check_simulation, check_size
from usct.units import KILOHERTZ, MILLIMETRE

POINTS_PER_WAVELENGTH, BAND = 5.9, 1.05
"""Of the solver's grids, and detail that is looked at, as a multiple of what waves see far from the elements.

Every second cell, as on a chessboard, holds just that.
"""

COARSEST = 2.5 * MILLIMETRE
"""Cells of the solver's grids at most: skulls are a few millimetres thick [m]."""

RIM_CELLS = 3
"""Cells from the rim of the inside to where the chessboard begins."""

ACROSS = 2 * math.pi / 3
"""Least angle between transmit and receive, seen from the middle, of what has crossed the ring [rad]."""

COPIES = 8
"""Matrices of the finest detail that are in memory at a time, about."""

LEAST_COST = 1e11
"""Operations that an outlook takes as long as, however little it has to compute."""

OnProgress = Callable[[float, str], None]


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
    """

    elements: tuple[int, ...] = (64, 128)
    frequencies: tuple[float, ...] = (50e3, 100e3, 150e3, 200e3)
    radius: float = 0.11
    snr_db: float = 30.0
    contrast: float = 20.0
    correlation: float = 5 * MILLIMETRE
    size: float = 8 * MILLIMETRE
    mute_angle: float = math.pi / 6

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
    on_progress: OnProgress | None = None,
    on_outlook: Callable[[Plan], None] | None = None,
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
        on_outlook: Called with the plan as far as it has come, whenever an outlook is added.

    Raises:
        InputError: If elements lie inside the object, a frequency needs more memory than there is, or nothing differs
            from the water.
    """
    frequencies = tuple(sorted(set(wishes.frequencies)))
    check_simulation(medium, TransducerArray.ring(max(wishes.elements), wishes.radius), frequencies)
    tables = _Tables(Inside.of(medium), wishes)
    tables.check(max(frequencies))
    media = [dataclasses.replace(medium, attenuation=None)] + [medium] * (medium.attenuation is not None)
    made = tables.empty_plan(name)
    groups = [(f,) for f in frequencies] + [frequencies] * (len(frequencies) > 1)
    cases = [(n, one, group) for n in wishes.elements for one in media for group in groups]
    costs = [tables.cost(n, group) for n, _, group in cases]
    seen: dict[float, _Sight] = {}
    for number, (n_elements, one, group) in enumerate(cases):
        if on_progress is not None:
            on_progress(sum(costs[:number]) / sum(costs), _sentence(n_elements, group, one))
        if len(group) == 1:
            array = TransducerArray.ring(n_elements, wishes.radius)
            seen[group[0]] = _sight(one, array, group[0], tables)
        case = Outlook(n_elements, group, one.attenuation is not None)
        outlook = _outlook([seen[f] for f in group], tables, case)
        if math.isnan(made.before):
            made = dataclasses.replace(made, before=tables.inside.speed * seen[group[-1]].points.basis.before)
        made = dataclasses.replace(made, outlooks=(*made.outlooks, outlook))
        if on_outlook is not None:
            on_outlook(made)
    return made


@dataclass(frozen=True)
class _Points:
    """Cells of a frequency's grid that stand for the field: which, what each weighs, and what is held of them."""

    rows: torch.Tensor
    weights: torch.Tensor
    basis: Basis


@dataclass(frozen=True)
class _Sight:
    """What one frequency tells of the field, and how strong its waves are behind the medium."""

    points: _Points
    information: np.ndarray
    level: float


class _Tables:
    """What all rings and media have in common, computed once."""

    def __init__(self, inside: Inside, wishes: Wishes) -> None:
        self.inside = inside
        self.wishes = wishes
        self.field = RandomField(wishes.contrast / inside.speed, wishes.correlation)
        self.lens = Lens(math.pi / wishes.size)
        self._points: dict[tuple[float, Grid], _Points] = {}
        self._water: dict[tuple[int, float], float] = {}
        self._told: dict[tuple[int, int], np.ndarray] = {}

    def empty_plan(self, name: str) -> Plan:
        """A plan without outlooks."""
        w, inside = self.wishes, self.inside
        head = (name, w.radius, w.snr_db, w.contrast, w.correlation, w.size)
        where = tuple((float(y), float(x)) for y, x in self.where)
        return Plan(*head, math.nan, inside.places, where, inside.area, ())

    def size(self, frequency: float) -> float:
        """Number of points that a frequency needs, about."""
        water = self.inside.water
        spacing = water / (frequency * _points_per_wavelength(frequency, water))
        return 0.6 * self.inside.area / spacing**2

    def cost(self, n_elements: int, frequencies: Sequence[float]) -> float:
        """Operations of an outlook, about."""
        n = self.size(frequencies[-1])
        if len(frequencies) == 1:
            return LEAST_COST + n**3 + 0.8 * n_elements**2 * n**2
        return LEAST_COST + n**3 + sum(4 * self.size(f) * self.size(g) ** 2 for f, g in pairwise(frequencies))

    def check(self, highest: float) -> None:
        """Refuse a frequency whose matrices do not fit in memory.

        Raises:
            InputError: If so.
        """
        n = self.size(highest)
        need, memory = COPIES * 8 * n**2, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        if need > memory:
            raise InputError(
                f"{highest / KILOHERTZ:g} kHz show so much detail inside ({n:.0f} numbers) that a plan needs "
                f"{need / 1e9:.0f} GB of the machine's {memory / 1e9:.0f} GB; choose lower frequencies"
            )

    def points(self, grid: Grid, frequency: float) -> _Points:
        """Of a frequency's grid."""
        key = frequency, grid
        if key not in self._points:
            cells = self.inside.on(grid)
            weights = chessboard(cells.reshape(-1).nonzero()[:, 0].numpy(), grid.shape, RIM_CELLS)
            rows = torch.from_numpy(weights.nonzero()[0])
            highest = BAND * 4 * math.pi * frequency / self.inside.water
            where = grid.points()[cells][rows].numpy()
            areas = weights[weights > 0] * grid.spacing**2
            basis = Basis(self.field, highest, where, areas, grid.spacing, self.lens, self.where)
            self._points[key] = _Points(rows, torch.from_numpy(weights)[rows], basis)
        return self._points[key]

    def through_water(self, model: ForwardModel, frequency: float) -> float:
        """Energy of what crosses a ring in water alone."""
        key = model.array.n_elements, frequency
        if key not in self._water:
            nothing = torch.zeros(model.grid.shape, dtype=torch.bool)
            water = Medium.homogeneous(model.grid, self.inside.water)
            self._water[key] = _crossing(model.linearize(water, frequency, nothing).data, model.array)
        return self._water[key]

    def told(self, some: _Points, by: _Points) -> np.ndarray:
        """Values in some points from those in others."""
        key = id(some), id(by)
        if key not in self._told:
            self._told[key] = some.basis.told_by(by.basis)
        return self._told[key]

    @cached_property
    def where(self) -> np.ndarray:
        """Places where the error is told, shape (place, 2) [m]."""
        grid, step = self.inside.grid, self.wishes.size / PLACES_PER_SIZE
        coarse = Grid.covering(0.5 * min(n * grid.spacing for n in grid.shape), step)
        found: np.ndarray = coarse.points()[self.inside.on(coarse)].numpy()
        return found


def _sight(medium: Medium, array: TransducerArray, frequency: float, tables: _Tables) -> _Sight:
    """Solve for the waves at one frequency, and gather what they tell."""
    wishes, water = tables.wishes, tables.inside.water
    speeds = (float(medium.sound_speed.min()), float(medium.sound_speed.max()))
    fine = _points_per_wavelength(frequency, speeds[0])
    check_size(array, frequency, speeds[0], fine)

    def start(grid: Grid) -> Medium:
        return Medium(grid, medium.resampled(grid).sound_speed)

    known = dataclasses.replace(
        medium, speed_frequency=math.sqrt(min(wishes.frequencies) * max(wishes.frequencies))
    )
    plain = Discretization(fine, speeds, water)
    model = dataclasses.replace(plain, known=known, start=start).model(array, speeds, frequency, 0.0)
    inside, points = tables.inside.on(model.grid), tables.points(model.grid, frequency)
    waves = model.linearize(start(model.grid), frequency, inside)
    through = tables.through_water(plain.model(array, speeds, frequency, 0.0), frequency)
    level = _crossing(waves.data, array) / through
    factors = _derivative(model, start(model.grid), frequency)[inside][points.rows] * points.weights
    counts = array.opening_angles() >= wishes.mute_angle
    noise = through * 10 ** (-0.1 * wishes.snr_db)
    told = information(waves, points.rows, factors, counts, noise)
    return _Sight(points, told, 10 * math.log10(level))


def _outlook(sights: Sequence[_Sight], tables: _Tables, case: Outlook) -> Outlook:
    """A case with its numbers, from the data of some frequencies."""
    finest = sights[-1].points
    total = sights[0].information
    for coarse, fine in pairwise(sights):
        told = tables.told(coarse.points, fine.points)
        total = fine.information + told.T @ (total @ told)
    forecast, inside = Forecast.of(finest.basis, total), tables.inside
    errors = inside.speed * forecast.deviations
    middle, near = (forecast.detail(place) for place in inside.places)
    return dataclasses.replace(
        case,
        detail=middle,
        detail_near=near,
        determined=forecast.determined,
        deviation=math.sqrt(float(np.square(errors).mean())),
        level=sum(one.level for one in sights) / len(sights),
        errors=tuple(float(f"{error:.3g}") for error in errors),
    )


def _points_per_wavelength(frequency: float, speed: float) -> float:
    """Of the solver's grid."""
    return max(POINTS_PER_WAVELENGTH, speed / (frequency * COARSEST))


def _derivative(model: ForwardModel, medium: Medium, frequency: float) -> torch.Tensor:
    """Change of a cell's squared slowness for a relative change of its slowness, shape of the model's grid."""
    change = torch.zeros(medium.grid.shape, dtype=torch.float64, requires_grad=True)
    squared = model.squared_slowness(Medium(medium.grid, medium.sound_speed * torch.exp(-change)), frequency)
    parts = [squared.real, squared.imag] if squared.is_complex() else [squared]
    found = [torch.autograd.grad(part.sum(), change, retain_graph=True)[0] for part in parts]
    return torch.complex(found[0], found[1] if len(found) > 1 else torch.zeros_like(found[0]))


def _crossing(data: torch.Tensor, array: TransducerArray) -> float:
    """Mean energy of what has crossed the ring."""
    return float(data[array.opening_angles() >= ACROSS].abs().square().mean())


def _sentence(n_elements: int, frequencies: Sequence[float], medium: Medium) -> str:
    which = "all frequencies" if len(frequencies) > 1 else f"{frequencies[0] / KILOHERTZ:g} kHz"
    return f"{n_elements} elements, {which}, with{'out' if medium.attenuation is None else ''} attenuation"
