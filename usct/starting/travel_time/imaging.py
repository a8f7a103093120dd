"""An image of sound speed from travel times; every choice on the way is made by how well left-out rays are foretold.

Waves of finite length do not follow the thin rays of their medium: they average it over a Fresnel zone. So rays are
traced through a smoothed image, and how smooth is chosen like the rest, straight rays being the limit.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.ndimage import gaussian_filter

from usct.acquisition import Acquisition
from usct.grid import Grid
from usct.medium import Medium
from usct.starting.travel_time import rays
from usct.starting.travel_time.eikonal import solve as solve_eikonal
from usct.starting.travel_time.pairs import LARGEST_DEVIATION, Pairs, pair_up
from usct.starting.travel_time.picking import pick
from usct.starting.travel_time.tomography import (
    RayProblem,
    RaySolution,
    choose_weight,
    held_out_error,
    solve,
)
from usct.travel_times import TravelTimes

Progress = Callable[[float, str], None]

RAY_SMOOTHINGS = (1 / 3, 1 / 6, 1 / 12)
"""Widths of the image's smoothing for tracing rays, as a share of the object's radius."""
COARSENESS = 2
"""Cells of the image along one cell of the grid on which choices are made."""
FARTHEST_SHARE = 0.999
"""Share of the delayed rays that hit the region in which the object is taken to lie."""
SMALLEST_REGION = 4
"""Cells that the region's radius measures at least."""
FINEST_START = 1e-3
"""Spacing of a start model made from travel times, at the finest [m]."""
N_TRACINGS = 2
"""How often the rays are traced anew in the final image."""


@dataclass(frozen=True)
class TravelTimeImage:
    """The image and how it came about.

    Attributes:
        medium: Sound speed; water outside the region.
        region: Cells that could differ from water, shape grid.shape.
        pairs: The travel times that took part.
        smoothing: Width of the Gaussian through which rays saw the image [m], or None for straight rays.
        weight: Of total variation.
        residual: Root mean square of the delays left unexplained, of all pairs that took part [s].
        held_out: Mean absolute error of foretold delays, for straight rays and each smoothing [s].
    """

    medium: Medium
    region: torch.Tensor
    pairs: Pairs
    smoothing: float | None
    weight: float
    residual: float
    held_out: dict[str, float]


@dataclass(frozen=True)
class _Scene:
    """What stays the same while rays and image are found."""

    pairs: Pairs
    water_slowness: float
    centre: np.ndarray
    radius: float

    def grid(self, spacing: float) -> tuple[Grid, np.ndarray]:
        """A grid about the object and the region in which it lies."""
        centred = Grid.covering(self.radius + spacing, spacing)
        origin = tuple(float(o + c) for o, c in zip(centred.origin, self.centre, strict=True))
        grid = Grid(centred.shape, spacing, origin)
        return grid, grid.disc(self.radius, tuple(self.centre.tolist())).numpy()

    def straight(self, spacing: float) -> RayProblem:
        """Delays along straight rays."""
        grid, region = self.grid(spacing)
        pairs = self.pairs
        ends = pairs.positions[pairs.first], pairs.positions[pairs.second]
        return self._problem(rays.straight(*ends, region, grid), pairs.delays, grid, region)

    def bent(self, slowness: np.ndarray, source: float, spacing: float, smoothing: float) -> RayProblem:
        """Delays along the rays of a smoothed image.

        Args:
            slowness: Excess over water in the region of the grid of the spacing `source`, shape (cell,) [s/m].
            source: Spacing of that grid [m].
            spacing: Of the grid wanted [m].
            smoothing: Standard deviation [m].
        """
        pairs, (grid, region) = self.pairs, self.grid(source)
        n_pad = int(np.ceil(3 * smoothing / source))
        image = np.zeros(region.shape)
        image[region] = slowness
        smooth = gaussian_filter(np.pad(image, n_pad), smoothing / source)
        fields = solve_eikonal(
            self.water_slowness + smooth, grid.padded(n_pad), self.water_slowness, pairs.positions
        )
        grid, region = self.grid(spacing)
        matrix, lengths = rays.bent(fields, pairs.first, pairs.positions[pairs.second], region, grid)
        delays = pairs.delays - (lengths - pairs.distances) * self.water_slowness
        return self._problem(matrix, delays, grid, region)

    def _problem(self, matrix: rays.Matrix, delays: np.ndarray, grid: Grid, region: np.ndarray) -> RayProblem:
        ends = np.stack([self.pairs.first, self.pairs.second], axis=1)
        found = np.isfinite(delays)
        return RayProblem(
            matrix[found],
            delays[found],
            ends[found],
            self.pairs.blocks[found],
            self.pairs.noise,
            region,
            grid.spacing,
        )


def image_travel_times(
    times: TravelTimes, water_sound_speed: float, image: Grid, on_progress: Progress | None = None
) -> TravelTimeImage:
    """Reconstruct sound speed from travel times.

    Args:
        times: Delays.
        water_sound_speed: [m/s].
        image: Grid of the image; no cell beyond the disc that delayed rays cross will differ from water.
        on_progress: Called with the share done and a sentence.

    Raises:
        ValueError: If no travel time can be used, or none differs from water's.
    """
    tell = on_progress or (lambda _fraction, _text: None)
    tell(0.0, "Leaving out travel times that do not fit")
    pairs = pair_up(times)
    scene = _Scene(pairs, 1 / water_sound_speed, times.array.centre.numpy(), 0.0)
    scene = replace(scene, radius=max(object_radius(pairs, scene.centre), SMALLEST_REGION * image.spacing))
    coarse = COARSENESS * image.spacing
    tell(0.02, "Choosing the weight by leaving out straight rays")
    problem = scene.straight(coarse)
    weight, error = choose_weight(problem)
    best, straight, smoothing = error, solve(problem, weight), None
    start, held_out = straight, {"straight": error * pairs.noise}
    for number, share in enumerate(RAY_SMOOTHINGS):
        width = share * scene.radius
        tell(0.2 + 0.15 * number, f"Bending rays in an image smoothed over {1e3 * width:.1f} mm")
        trial = scene.bent(straight.slowness, coarse, coarse, width)
        error = held_out_error(trial, weight, straight)
        held_out[f"{1e3 * width:.1f} mm"] = error * pairs.noise
        if error < best:
            best, smoothing, start = error, width, solve(trial, weight, start=straight)
    solution, problem = _refine(scene, image.spacing, weight, smoothing, start, tell)
    tell(1.0, "Done")
    residual = float(np.sqrt(np.mean(solution.residuals**2)))
    medium, region = _on_grid(scene, solution, problem, image)
    return TravelTimeImage(medium, region, pairs, smoothing, weight, residual, held_out)


def travel_time_start(scan: Acquisition, water_sound_speed: float, image: Grid, wavelength: float) -> Medium:
    """A start model for waveforms: an image of the first arrivals, smoothed so far that waves can remove its edges.

    Args:
        scan: Traces; the water shot is computed.
        water_sound_speed: [m/s].
        image: Grid of the start.
        wavelength: The longest, of which a quarter is the width of the smoothing [m].

    Raises:
        ValueError: If the scan holds no traces, or no arrival can be used.
    """
    times = pick(replace(scan, water_sound_speed=water_sound_speed))
    cells = max(1, round(FINEST_START / image.spacing))
    shape = tuple(-(-n // cells) + 1 for n in image.shape)
    medium = image_travel_times(
        times, water_sound_speed, Grid(shape, cells * image.spacing, image.origin)
    ).medium
    excess = 1 / medium.sound_speed.numpy() - 1 / water_sound_speed
    smooth = gaussian_filter(excess, 0.25 * wavelength / medium.grid.spacing, mode="constant")
    return Medium(medium.grid, 1 / (1 / water_sound_speed + torch.from_numpy(smooth))).resampled(image)


def object_radius(pairs: Pairs, centre: np.ndarray) -> float:
    """Distance from the centre at which straight rays begin to be delayed, as seen from outside [m].

    Raises:
        ValueError: If no delay rises above the noise.
    """
    start = pairs.positions[pairs.first] - centre
    along = (pairs.positions[pairs.second] - pairs.positions[pairs.first]) / pairs.distances[:, None]
    nearest = np.abs(start[:, 0] * along[:, 1] - start[:, 1] * along[:, 0])
    delayed = np.abs(pairs.delays) > LARGEST_DEVIATION * pairs.noise
    if not delayed.any():
        raise ValueError("no travel time differs from that in water by more than the noise")
    return float(np.quantile(nearest[delayed], FARTHEST_SHARE))


def _refine(
    scene: _Scene,
    spacing: float,
    weight: float,
    smoothing: float | None,
    start: RaySolution,
    tell: Progress,
) -> tuple[RaySolution, RayProblem]:
    """The image at its full resolution, its rays traced anew as it changes."""
    if smoothing is None:
        tell(0.7, "Straight rays, at full resolution")
        problem = scene.straight(spacing)
        return solve(problem, weight), problem
    solution, at = start, COARSENESS * spacing
    for number in range(N_TRACINGS):
        tell(0.65 + 0.35 * number / N_TRACINGS, f"Bent rays at full resolution, round {number + 1}")
        problem = scene.bent(solution.slowness, at, spacing, smoothing)
        solution, at = solve(problem, weight, start=solution if at == spacing else None), spacing
    return solution, problem


def _on_grid(
    scene: _Scene, solution: RaySolution, problem: RayProblem, image: Grid
) -> tuple[Medium, torch.Tensor]:
    """The image on the grid wanted, water around it."""
    grid, region = scene.grid(problem.spacing)
    excess = torch.zeros(grid.shape, dtype=torch.float64)
    excess[torch.from_numpy(region)] = torch.from_numpy(solution.slowness)
    medium = Medium(grid, 1 / (scene.water_slowness + excess)).resampled(image)
    inside = image.disc(scene.radius, tuple(scene.centre.tolist()))
    speed = torch.where(inside, medium.sound_speed, 1 / scene.water_slowness)
    return replace(medium, sound_speed=speed), inside
