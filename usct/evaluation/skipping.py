"""Cycle skipping: where an image's travel times are wrong by more than half a period."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

MOST_SKIPPED = 0.02
"""An image with a larger share of skipped rays than this counts as cycle-skipped."""

N_POINTS = 64
"""Ends of the rays, evenly on a circle about the object."""

LEAST_ANGLE = math.pi / 4
"""Rays subtend at least this angle at the middle: shorter ones hardly enter the object."""


def skipped_share(
    image: NDArray[np.float64],
    truth: NDArray[np.float64],
    inside: NDArray[np.bool_],
    spacing: float,
    frequency: float,
) -> float:
    """Share of straight rays across the object whose travel time is wrong by more than half a period.

    Waveforms whose arrival is off by more than half a period are matched to the wrong cycle. The error of the time
    is the integral of the error of the slowness along the straight ray (Fermat: bending changes it in second order).

    Args:
        image: Sound speed, shape (ny, nx) [m/s].
        truth: The same of the truth [m/s].
        inside: Cells of the object.
        spacing: Distance between neighbouring cells [m].
        frequency: At which a period counts [Hz].

    Returns:
        The share, of the rays between 64 points on a circle about the object that meet it; NaN for a volume, or
        without an object.

    References:
        Virieux & Operto, Geophysics 74 (2009) WCC1, section on the starting model.
    """
    if image.ndim != 2 or not inside.any():
        return math.nan
    times, lengths = chord_integrals(np.stack([1 / image - 1 / truth, inside]), inside, spacing)
    crossing = lengths > 0
    return float(np.mean(np.abs(times[crossing]) > 0.5 / frequency))


def chord_integrals(
    maps: NDArray[np.float64], inside: NDArray[np.bool_], spacing: float
) -> NDArray[np.float64]:
    """Integrals of maps along straight rays between points on a circle about an object.

    Args:
        maps: Shape (map, ny, nx); nothing lies beyond their borders.
        inside: Cells of the object.
        spacing: Distance between neighbouring cells [m].

    Returns:
        Shape (map, ray), in the unit of the map times [m].
    """
    cells = np.argwhere(inside)
    middle = 0.5 * (cells.min(axis=0) + cells.max(axis=0))
    radius = float(np.linalg.norm(cells - middle, axis=1).max()) + 1.0
    angle = 2 * math.pi * np.arange(N_POINTS) / N_POINTS
    ends = middle + radius * np.stack([np.sin(angle), np.cos(angle)], axis=1)
    first, second = np.triu_indices(N_POINTS, 1)
    apart = np.abs(second - first)
    far = np.minimum(apart, N_POINTS - apart) * 2 * math.pi / N_POINTS >= LEAST_ANGLE
    a, b = ends[first[far]], ends[second[far]]
    n = int(2 * radius) + 1
    share = (np.arange(n) + 0.5) / n
    points = a[:, None] + share[None, :, None] * (b - a)[:, None]
    step = spacing * np.linalg.norm(b - a, axis=1) / n
    values = [ndimage.map_coordinates(m, points.transpose(2, 0, 1), order=1, cval=0.0) for m in maps]
    return np.stack([v.sum(axis=1) * step for v in values])
