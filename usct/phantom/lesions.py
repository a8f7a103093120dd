"""Lesions: closed curves about a centre, and where they may lie."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_ANGLES = np.linspace(0.0, 2 * np.pi, 720, endpoint=False)
# A lesion is this much likelier per area in gland than in fat.
_GLAND_PREFERENCE = 8.0


@dataclass(frozen=True)
class Lesion:
    """A region bounded by a curve r(theta) about its centre.

    Attributes:
        kind: Name of its tissue.
        centre: (y, x) [m].
        boundary: Distance of the curve from the centre at 720 even angles from +x [m].
    """

    kind: str
    centre: tuple[float, float]
    boundary: np.ndarray

    @property
    def diameter(self) -> float:
        """Diameter of the circle of equal area [m]."""
        return 2 * float(np.sqrt(np.mean(self.boundary**2)))

    def paint(self, labels: np.ndarray, y: np.ndarray, x: np.ndarray, label: int) -> None:
        """Write `label` into a map of shape (ny, nx) at axes [m]."""
        reach = self.boundary.max()
        rows, columns = (
            slice(*np.searchsorted(axis, [middle - reach, middle + reach]))
            for axis, middle in zip((y, x), self.centre, strict=True)
        )
        dy, dx = y[rows, None] - self.centre[0], x[None, columns] - self.centre[1]
        edge = np.interp(np.arctan2(dy, dx), _ANGLES, self.boundary, period=2 * np.pi)
        labels[rows, columns][np.hypot(dy, dx) < edge] = label


def place_lesions(
    kinds: Sequence[str],
    median_diameter: float,
    spread: float,
    maps: tuple[np.ndarray, np.ndarray, np.ndarray],
    rng: np.random.Generator,
) -> tuple[Lesion, ...]:
    """Draw lesions that lie under the skin, apart from each other, and rather in gland than in fat.

    Args:
        kinds: "cyst" (a circle), "fibroadenoma" (an ellipse) or "malignant" (spiculated), one for each.
        median_diameter: Of the log-normal distribution of the diameter [m].
        spread: Standard deviation of the logarithm of the diameter [1].
        maps: Node coordinates (n,), depth under the skin (n, n) [m], and whether a node is gland (n, n).
        rng: Source of random numbers.

    Returns:
        The lesions; one that finds no room after it was halved in size three times is left out.
    """
    axis, depth, gland = maps
    room = depth.copy()
    lesions = []
    for kind in kinds:
        diameter = median_diameter * np.exp(spread * np.clip(rng.standard_normal(), -2.0, 2.0))
        choice, shape = rng.random(), _boundary(kind, rng)
        for radius in 0.5 * diameter * 0.5 ** np.arange(4):
            weight = np.where(gland, _GLAND_PREFERENCE, 1.0) * (room > 1.6 * radius + 3e-3)
            if weight.any():
                total = np.cumsum(weight)
                row, column = divmod(int(np.searchsorted(total, choice * total[-1], side="right")), len(axis))
                lesion = Lesion(kind, (float(axis[row]), float(axis[column])), radius * shape)
                distance = np.hypot(axis[:, None] - lesion.centre[0], axis - lesion.centre[1])
                room = np.minimum(room, distance - lesion.boundary.max())
                lesions.append(lesion)
                break
    return tuple(lesions)


def _boundary(kind: str, rng: np.random.Generator) -> np.ndarray:
    """Boundary of a lesion whose circle of equal area has radius one."""
    turn = rng.uniform(0, 2 * np.pi)
    if kind == "fibroadenoma":
        aspect = rng.uniform(0.6, 0.9)
        curve = 1.0 / np.hypot(np.cos(_ANGLES - turn), np.sin(_ANGLES - turn) / aspect)
    elif kind in ("haemorrhage", "ischaemia"):
        curve = np.ones_like(_ANGLES)
        for order in range(2, 7):
            curve += rng.normal(0.0, 0.25 / order) * np.cos(order * _ANGLES + rng.uniform(0, 2 * np.pi))
        curve = np.maximum(curve, 0.4)
    elif kind == "malignant":
        curve = _spiculated(rng)
    else:
        curve = np.ones_like(_ANGLES)
    return curve / np.sqrt(np.mean(curve**2))


def _spiculated(rng: np.random.Generator) -> np.ndarray:
    """An uneven core with 8 to 14 pointed spicules."""
    curve = np.ones_like(_ANGLES)
    for order in range(2, 6):
        curve += rng.normal(0.0, 0.16 / order) * np.cos(order * _ANGLES + rng.uniform(0, 2 * np.pi))
    n_spicules = int(rng.integers(8, 15))
    middles = (np.arange(n_spicules) + rng.uniform(-0.3, 0.3, n_spicules)) * 2 * np.pi / n_spicules
    heights, widths = rng.uniform(0.15, 0.6, n_spicules), rng.uniform(0.08, 0.16, n_spicules)
    for middle, height, width in zip(middles, heights, widths, strict=True):
        offset = np.abs(np.mod(_ANGLES - middle + np.pi, 2 * np.pi) - np.pi)
        curve += height * np.exp(-offset / width)
    return curve
