"""Rigid registration in the plane: landmarks, or points on a surface."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

_STEP = 1e-2
"""Of angles [rad], and of shifts as a share of the head's size: wider than the steps between outline's points."""


@dataclass(frozen=True)
class Rigid:
    """A rotation followed by a shift: p -> rotation p + shift.

    Attributes:
        rotation: Shape (2, 2) [1].
        shift: Shape (2,) [m].
        residual: Root-mean-square distance that is left between the points it was found from [m].
    """

    rotation: np.ndarray
    shift: np.ndarray
    residual: float = 0.0

    @classmethod
    def translation(cls, shift: np.ndarray) -> "Rigid":
        """A shift [m] alone."""
        return cls(np.eye(2), np.asarray(shift, dtype=np.float64))

    @property
    def angle(self) -> float:
        """Of the rotation from the first axis to the second [rad]."""
        return float(np.arctan2(self.rotation[1, 0], self.rotation[0, 0]))

    def apply(self, points: np.ndarray) -> np.ndarray:
        """Move points, shape (n, 2) [m]."""
        moved: np.ndarray = points @ self.rotation.T + self.shift
        return moved

    def undo(self, points: np.ndarray) -> np.ndarray:
        """Move points back, shape (n, 2) [m]."""
        moved: np.ndarray = (points - self.shift) @ self.rotation
        return moved


def register_landmarks(moving: np.ndarray, fixed: np.ndarray) -> Rigid:
    """The rigid motion that brings landmarks closest to their partners, without mirroring.

    Args:
        moving: Shape (n, 2) [m].
        fixed: Partners, shape (n, 2) [m].

    Raises:
        ValueError: If there are fewer than two pairs, or all of either lie in one place.

    References:
        Arun, Huang & Blostein, IEEE Trans. Pattern Anal. Mach. Intell. 9 (1987) 698.
    """
    moving, fixed = np.asarray(moving, dtype=np.float64), np.asarray(fixed, dtype=np.float64)
    if moving.shape != fixed.shape or moving.ndim != 2 or moving.shape[1] != 2 or len(moving) < 2:
        raise ValueError(f"landmarks need two pairs of points or more, got {moving.shape} and {fixed.shape}")
    centres = moving.mean(axis=0), fixed.mean(axis=0)
    here, there = moving - centres[0], fixed - centres[1]
    if min(np.abs(here).max(), np.abs(there).max()) == 0:
        raise ValueError("all landmarks lie in one place; a rotation cannot be told from them")
    u, _, v = np.linalg.svd(there.T @ here)
    rotation = u @ np.diag([1.0, np.linalg.det(u @ v)]) @ v
    motion = Rigid(rotation, centres[1] - rotation @ centres[0])
    left = np.sqrt(np.square(motion.apply(moving) - fixed).sum(axis=1).mean())
    return Rigid(motion.rotation, motion.shift, float(left))


def register_surface(surface: np.ndarray, points: np.ndarray, first: Rigid | None = None) -> Rigid:
    """The rigid motion that brings a surface to points measured on it, by least squares of radial distances.

    A head's outline has one radius in every direction. Heads are nearly round, so the angle is found only from a
    first guess within some 20 degrees.

    Args:
        surface: Points of the outline, shape (m, 2) [m].
        points: Measured, shape (n, 2) [m].
        first: Guess; by default the shift between the two centroids.

    Raises:
        ValueError: If there are fewer than three points of either.

    References:
        Fitzgibbon, Image Vis. Comput. 21 (2003) 1145.
    """
    if min(len(surface), len(points)) < 3:
        raise ValueError("a surface needs three points or more, and as many measured ones")
    first = first or Rigid.translation(points.mean(axis=0) - surface.mean(axis=0))
    middle = surface.mean(axis=0)
    angles, radii = _polar(surface - middle)
    size = float(radii.mean())

    def motion(numbers: np.ndarray) -> Rigid:
        angle = first.angle + numbers[0]
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        # About the middle, so that angle and shift hardly depend on each other.
        return Rigid(turn, first.apply(middle[None])[0] + size * numbers[1:] - turn @ middle)

    def distances(numbers: np.ndarray) -> np.ndarray:
        angle, radius = _polar(motion(numbers).undo(points) - middle)
        apart: np.ndarray = radius - np.interp(angle, angles, radii, period=2 * np.pi)
        return apart / size

    found = least_squares(distances, np.zeros(3), diff_step=_STEP, x_scale=_STEP)
    best = motion(found.x)
    return Rigid(best.rotation, best.shift, float(size * np.sqrt(np.square(found.fun).mean())))


def _polar(offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Angles [rad] and radii of offsets, shape (n, 2)."""
    return np.arctan2(offsets[:, 1], offsets[:, 0]), np.linalg.norm(offsets, axis=1)
