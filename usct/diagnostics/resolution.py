"""How fine the detail is that the data support at every place: point spreads and their widths.

An impulse of the image, seen by the waves and estimated from those data without noise, comes back spread out. Its
width at half height is the local resolution. One estimate shows many impulses at once as long as they stand so far
apart that their spreads do not overlap (as in the checkerboard tests of seismic tomography, but with points, whose
width can be read: Rickers et al., Earth Planet. Sci. Lett. 367 (2013) 39).
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from usct.diagnostics.belief import Belief, most_probable
from usct.diagnostics.kernels import TangentKernels
from usct.grid import Grid

REST = 1e-2
"""Share of an estimate that the last product may change; widths change by less."""

DISTANCE = 6.0
"""Between the impulses of a comb, in widths of the point spread in the middle."""

N_SHIFTS, N_ACROSS = (2, 4), 8
"""Fewest and most shifts of the comb along each axis, and places to measure across the region."""

ZOOM = 6
"""Factor by which spreads are interpolated before they are measured."""


def point_spread(kernels: TangentKernels, position: tuple[float, float], belief: Belief) -> torch.Tensor:
    """What the data would make of an impulse of the image.

    Args:
        kernels: At the point in question.
        position: Of the impulse, (y, x) [m]; the nearest pixel of the region takes it.
        belief: Variances of noise and image.

    Returns:
        Estimate of a change of one in that pixel and zero elsewhere, shape of the image.

    Raises:
        ValueError: If there is no pixel of the region within one and a half cells.
    """
    return _spreads(kernels, impulse(kernels, position)[None], belief, REST / 10)[0]


def impulse(kernels: TangentKernels, position: tuple[float, float]) -> torch.Tensor:
    """One in the region's pixel nearest to a position, (y, x) [m], and zero elsewhere; shape of the image.

    Raises:
        ValueError: If there is no pixel of the region within one and a half cells.
    """
    image = torch.zeros(kernels.image.shape, dtype=torch.float64)
    image[pixel(kernels, position)] = 1.0
    return image


@dataclass(frozen=True)
class Combs:
    """Impulses that stand so far apart that their spreads can be told apart, in several images.

    Attributes:
        images: Shape (n, *image.shape), one where there is an impulse.
        pitch: Between the impulses of an image, in cells.
        n_shifts: Of the comb along each axis.
    """

    images: torch.Tensor
    pitch: int
    n_shifts: int

    @classmethod
    def of(cls, kernels: TangentKernels, distance: float, n_shifts: int | None = None) -> "Combs":
        """For impulses at a distance [m]; by default with two shifts, and up to four in regions of few widths."""
        grid, region = kernels.image, kernels.region
        pitch = max(4, round(distance / grid.spacing))
        if n_shifts is None:
            across = 2 * grid.spacing * math.sqrt(float(region.sum()) / math.pi)
            n_shifts = min(max(math.ceil(N_ACROSS * distance / across), N_SHIFTS[0]), N_SHIFTS[1])
        starts = [pitch * n // n_shifts for n in range(n_shifts)]
        images = torch.zeros(n_shifts**2, *grid.shape, dtype=torch.float64)
        for image, (down, right) in zip(images, product(starts, starts), strict=True):
            image[down::pitch, right::pitch] = 1.0
        return cls(images * region, pitch, n_shifts)

    def widths(self, kernels: TangentKernels, spreads: Iterable[torch.Tensor]) -> torch.Tensor:
        """Map of the widths of these impulses' spreads, shape of the image [m]; NaN outside the region."""
        grid, region = kernels.image, kernels.region
        depth, reach = _depth(region), 0.5 * self.pitch * grid.spacing
        places, widths, inner = [], [], []
        for comb, spread in zip(self.images, spreads, strict=True):
            for row, column in comb.nonzero().tolist():
                place = (float(grid.axis(0)[row]), float(grid.axis(1)[column]))
                places.append(place)
                widths.append(width(spread, grid, place, reach))
                inner.append(depth[row, column] * grid.spacing > 0.75 * widths[-1])
        found = torch.tensor(widths).double()
        counts = torch.isfinite(found) & (torch.tensor(inner) if any(inner) else True)
        where = torch.tensor(places).double().reshape(-1, 2)[counts]
        smooth = _between(grid, where, found[counts], reach / self.n_shifts)
        return torch.where(region, smooth, torch.nan)


def resolution_map(
    kernels: TangentKernels, belief: Belief, distance: float | None = None, n_shifts: int | None = None
) -> torch.Tensor:
    """Width of the point spread at half its height, everywhere.

    A comb of impulses is estimated with one solution, and again for every shift of it; widths in between are
    averages of those around. At the region's rim spreads are cut off; what was measured
    within three quarters of a width of it does not count.

    Args:
        kernels: At the point in question.
        belief: Variances of noise and image.
        distance: Between the impulses of a comb [m]; by default six widths of the spread in the middle.
        n_shifts: Along each axis; widths are measured at every distance / n_shifts. By default two, and up to four
            in regions of few widths, where that costs little.

    Returns:
        Width, shape of the image [m]; NaN outside the region, and all over where nothing comes back. Detail smaller
        than this is shown as if it had this size.
    """
    if distance is None:
        middle = deepest(kernels.image, kernels.region)
        distance = DISTANCE * width(point_spread(kernels, middle, belief), kernels.image, middle)
        if math.isnan(distance):
            return torch.full(kernels.image.shape, torch.nan, dtype=torch.float64)
    combs = Combs.of(kernels, distance, n_shifts)
    return combs.widths(kernels, _spreads(kernels, combs.images, belief, REST))


def filtered_width(wavenumbers: torch.Tensor, passed: torch.Tensor) -> float:
    """Width at half height of the point spread of a radial filter: a guess at the resolution, without a solution.

    Args:
        wavenumbers: Evenly spaced, shape (band,) [rad/m].
        passed: Share that passes at each, shape (band,) [1].

    Returns:
        Its diameter [m]; NaN where nothing passes.
    """
    if not float(passed.max()) > 0:
        return math.nan
    radius = torch.linspace(0, math.pi / float(wavenumbers[0]), 4000, dtype=torch.float64)
    waves = torch.special.bessel_j0(radius[:, None] * wavenumbers)
    spread = waves @ (wavenumbers * passed)  # inverse Hankel transform, but for a factor
    below = (spread < 0.5 * spread[0]).nonzero()
    return 2 * float(radius[int(below[0])]) if len(below) else math.nan


def width(
    spread: torch.Tensor, grid: Grid, position: tuple[float, float], reach: float | None = None
) -> float:
    """Diameter of the disc as large as the area where a spread is at least half its peak.

    Args:
        spread: Shape grid.shape.
        grid: Of the spread.
        position: Of the impulse, (y, x) [m]; the peak is looked for within a cell and a half of it.
        reach: Half the width of the square that belongs to this impulse [m]; by default all of the grid.

    Returns:
        The diameter [m]; NaN where nothing comes back.
    """
    centre = [(p - o) / grid.spacing for p, o in zip(position, grid.origin, strict=True)]
    cells = max(grid.shape) if reach is None else max(2, int(reach / grid.spacing))
    low = [max(0, round(c) - cells) for c in centre]
    high = [min(n, round(c) + cells + 1) for c, n in zip(centre, grid.shape, strict=True)]
    patch = spread[low[0] : high[0], low[1] : high[1]].numpy()
    # Each sample stays where it is, and as many new ones come between as the zoom says.
    fine = ndimage.zoom(patch, [(ZOOM * (n - 1) + 1) / n for n in patch.shape], order=3, grid_mode=False)
    own = [round(ZOOM * (c - a)) for c, a in zip(centre, low, strict=True)]
    return _diameter(fine, own) * grid.spacing / ZOOM


def _diameter(fine: NDArray[np.float64], own: list[int]) -> float:
    """Diameter of the part above half the peak that holds the peak, in samples."""
    around = tuple(slice(max(0, n - 3 * ZOOM // 2), n + 3 * ZOOM // 2 + 1) for n in own)
    peak = float(fine[around].max())
    if not peak > 0:
        return math.nan
    parts, _ = ndimage.label(fine >= 0.5 * peak)
    inside = parts[around][fine[around] == peak][0]
    return 2 * math.sqrt(float((parts == inside).sum()) / math.pi)


def pixel(kernels: TangentKernels, position: tuple[float, float]) -> tuple[int, int]:
    """Row and column of the region's pixel nearest to a position, (y, x) [m].

    Raises:
        ValueError: If there is none within one and a half cells.
    """
    grid = kernels.image
    cells = kernels.region.nonzero()
    offset = cells - grid.fractional_index(torch.tensor(position, dtype=torch.float64))
    away = torch.linalg.vector_norm(offset, dim=1)
    if not float(away.min()) <= 1.5:
        raise ValueError(f"({position[0]:g}, {position[1]:g}) m lies outside the region that may change")
    row, column = cells[int(away.argmin())].tolist()
    return row, column


def _spreads(
    kernels: TangentKernels, changes: torch.Tensor, belief: Belief, rest: float
) -> list[torch.Tensor]:
    """Estimates of changes of the image from their data."""
    found = most_probable(kernels, kernels.wave_all(changes), belief, rest)
    return [kernels.image_of(one) for one in found]


def deepest(grid: Grid, region: torch.Tensor) -> tuple[float, float]:
    """The place deepest inside the region [m]."""
    depth = _depth(region)
    row, column = np.unravel_index(int(depth.argmax()), depth.shape)
    return float(grid.axis(0)[int(row)]), float(grid.axis(1)[int(column)])


def _depth(region: torch.Tensor) -> NDArray[np.float64]:
    """Distance of every pixel of a region to the nearest one outside it, in cells."""
    return ndimage.distance_transform_edt(np.pad(region.numpy(), 1))[1:-1, 1:-1]


def _between(grid: Grid, places: torch.Tensor, values: torch.Tensor, reach: float) -> torch.Tensor:
    """Average of the values around, by weights that fall with the distance, shape grid.shape.

    Logarithms are averaged, for widths differ by factors.
    """
    weights, total = torch.zeros(grid.shape).double(), torch.zeros(grid.shape).double()
    for place, value in zip(places, values.log(), strict=True):
        squared = (grid.points() - place).square().sum(dim=-1)
        one = torch.exp(-0.5 * squared / reach**2) + 1e-12
        weights += one
        total += one * value
    return torch.exp(total / weights)
