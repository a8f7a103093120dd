"""What data would tell of a random field, in matrices: nothing iterates, and nothing is drawn but signs for a trace.

The relative change u of slowness in a region is taken as a normal random field of exponential covariance, a datum's
noise as normal. Data see a band of wavenumbers alone, so u stands by its values in the points of a chessboard that
holds this band. With the data's information G = J^T J / noise and the prior covariance C of these values, what is
left unknown of them has the covariance P = (G + C^-1)^-1 (Tarantola, Inverse Problem Theory, SIAM 2005, eq. 3.38),
and everything else follows from that matrix.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import scipy.linalg.blas
import torch
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.special import j0, j1

from usct.diagnostics.resolution import width
from usct.forward.born import LinearizedForward
from usct.grid import Grid

Array = NDArray[np.float64]

UNEVEN = 1e-6
"""Share of the variance that is added on the diagonal: points at the rim stand closer than the band needs."""

COLUMNS = 2048
"""Real data whose rows of the Jacobian are held at a time."""

PATCH = 31
"""Nodes along each side of the square on which a point's spread is looked at."""

N_SIGNS = 64
"""Random vectors for the trace: right to half a per cent with a thousand numbers determined."""

FEW = 1000
"""Points up to which all of the trace is summed."""


@dataclass(frozen=True)
class RandomField:
    """A stationary field of exponential covariance.

    Attributes:
        deviation: Standard deviation of the relative slowness [1].
        length: Distance over which the covariance falls to 1 / e [m].
    """

    deviation: float
    length: float

    def spectrum(self, wavenumbers: Array) -> Array:
        """Power at wavenumbers of any shape [rad/m] [m^2].

        References:
            Tarantola, Inverse Problem Theory (SIAM 2005), example 5.6; its transform in the plane.
        """
        energy = 2 * math.pi * (self.deviation * self.length) ** 2
        found: Array = energy / (1 + (self.length * wavenumbers) ** 2) ** 1.5
        return found

    def covariance(self, distances: Array, highest: float) -> Array:
        """Of places at distances of any shape [m], detail beyond a wavenumber [rad/m] left out [1]."""
        return hankel(self.spectrum, highest, distances)


@dataclass(frozen=True)
class Lens:
    """What passes of detail: all that is coarser than a cutoff, with an edge a tenth of it wide, as `grid.low_pass`.

    Attributes:
        cutoff: Where half passes [rad/m].
    """

    cutoff: float

    @property
    def highest(self) -> float:
        """Wavenumber beyond which nothing passes [rad/m]."""
        return 1.05 * self.cutoff

    def __call__(self, wavenumbers: Array) -> Array:
        """Share that passes, shape of the wavenumbers [1]."""
        edge = ((wavenumbers / self.cutoff - 1) / 0.1 + 0.5).clip(0, 1)
        found: Array = 0.5 * (1 + np.cos(np.pi * edge))
        return found

    def beyond(self, field: RandomField, highest: float) -> float:
        """Variance that passes of a field's detail finer than a wavenumber [rad/m] [1]."""
        waves = np.linspace(min(highest, self.highest), self.highest, 1024)
        return float(np.trapezoid(field.spectrum(waves) * self(waves) ** 2 * waves, waves)) / (2 * math.pi)


@dataclass(frozen=True, eq=False)
class Basis:
    """Points whose values stand for the field, and what is held of them before any data.

    Attributes:
        field: Of relative slowness.
        highest: Wavenumber of the finest detail that the points hold [rad/m].
        points: Shape (point, 2), (y, x) [m].
        areas: That the points stand for in integrals, shape (point,) [m^2].
        spacing: Of the cells that they are some of [m].
        lens: What passes of the detail whose error is told.
        places: Where that is told, shape (place, 2) [m].
    """

    field: RandomField
    highest: float
    points: Array
    areas: Array
    spacing: float
    lens: Lens
    places: Array

    @cached_property
    def root(self) -> torch.Tensor:
        """Cholesky factor of the prior covariance of the values, lower, shape (point, point)."""
        found = self.field.covariance(_apart(self.points, self.points), self.highest)
        found[np.diag_indices_from(found)] += UNEVEN * self.field.deviation**2
        return torch.linalg.cholesky(torch.from_numpy(found))

    @cached_property
    def precision(self) -> Array:
        """Inverse of that covariance."""
        found: Array = torch.cholesky_inverse(self.root).numpy()
        return found

    @cached_property
    def white(self) -> Array:
        """Vectors whose squares tell a trace, turned so that the prior is white, shape (point, vector)."""
        n = len(self.points)
        signs = np.random.default_rng(0).choice([-1.0, 1.0], (n, N_SIGNS)) / math.sqrt(N_SIGNS)
        return _solved(self.root.mT, np.eye(n) if n <= FEW else signs, upper=True)

    @cached_property
    def looking(self) -> Array:
        """From values to the detail that is looked at, the field being zero elsewhere, shape (place, point)."""
        apart = _apart(self.places, self.points)
        return self.areas * hankel(self.lens, self.lens.highest, apart)

    @cached_property
    def before(self) -> float:
        """Deviation of that detail before any data, root mean square over the places [1]."""
        return float(np.sqrt(np.square(self.deviations(self.looking @ self.root.numpy())).mean()))

    def deviations(self, parts: Array) -> Array:
        """The same in each place, from independent parts that add up to the detail, shape (place, part) [1]."""
        found: Array = np.sqrt(np.square(parts).sum(axis=1) + self.lens.beyond(self.field, self.highest))
        return found

    @cache  # noqa: B019 # lives as long as the basis
    def view(self, place: tuple[float, float]) -> tuple[Grid, Array]:
        """The square around a place, (y, x) [m], and the field on it from values, shape (node, point)."""
        corner = 0.5 * (PATCH - 1) * self.spacing
        patch = Grid((PATCH, PATCH), self.spacing, (place[0] - corner, place[1] - corner))
        apart = _apart(patch.points().reshape(-1, 2).numpy(), self.points)
        return patch, self.field.covariance(apart, self.highest) @ self.precision

    def told_by(self, other: "Basis") -> Array:
        """Values here from values in the points of a basis of more detail, shape (point, other's point)."""
        seen = self.field.covariance(_apart(self.points, other.points), self.highest)
        found: Array = seen @ other.precision
        return found


@dataclass(frozen=True)
class Forecast:
    """What some data leave unknown.

    Attributes:
        basis: Of the field.
        root: Cholesky factor of the information that data and prior give together, lower, shape (point, point).
    """

    basis: Basis
    root: torch.Tensor

    @classmethod
    def of(cls, basis: Basis, information: Array) -> "Forecast":
        """Given the data's information, shape (point, point)."""
        return cls(basis, torch.linalg.cholesky(torch.from_numpy(information + basis.precision)))

    @cached_property
    def determined(self) -> float:
        """Numbers that the data determine, the sum of l / (l + 1) over the wave tangent kernel's l over the noise."""
        left = np.square(_solved(self.root, self.basis.white)).sum()
        return len(self.root) - float(left)

    @property
    def deviations(self) -> Array:
        """Of the detail that is looked at, given the data, shape (place,) [1]."""
        return self.basis.deviations(_solved(self.root, self.basis.looking.T).T)

    def detail(self, place: tuple[float, float]) -> float:
        """Width at half height with which a point comes back: the diameter of a disc of that area [m].

        Args:
            place: Of the point, (y, x) [m].

        Returns:
            NaN if nothing comes back.
        """
        basis = self.basis
        point = impulse(_apart(basis.points, np.array([place]))[:, 0], basis.highest)
        told = basis.precision @ point
        lost = _solved(self.root.mT, _solved(self.root, told[:, None]), upper=True)[:, 0]
        patch, seen = basis.view(place)
        spread = torch.from_numpy(seen @ (point - lost)).reshape(patch.shape)
        return width(spread, patch, place)


def information(
    waves: LinearizedForward,
    rows: torch.Tensor,
    factors: torch.Tensor,
    counts: torch.Tensor,
    noise: float,
) -> Array:
    """What data of a ring tell of the values in some points, J^T J / noise, shape (row, row).

    Each transmit has one unknown complex weight, which is fitted. Every element sends and receives, and the two
    directions of a pair tell the same.

    Args:
        waves: At one frequency.
        rows: Which of the waves' cells the points are, shape (row,).
        factors: Change of the squared slowness for a change of the value, shape (row,), complex [s^2/m^2].
        counts: Which data count, symmetric, boolean, shape (element, element).
        noise: Variance of a complex datum.
    """
    fields, spread = (
        f[rows].to(torch.complex128).T.contiguous().numpy() for f in (waves.fields, waves.spread_fields)
    )
    weighted = fields * (waves.sensitivity[rows] * factors).numpy()
    kept, data = counts.numpy(), waves.data.numpy()
    total = np.zeros((len(rows), len(rows)), order="F")
    lines: list[Array] = []
    absorbed: list[Array] = []
    for element, partners in enumerate(kept):
        others = np.flatnonzero(partners)
        seen = weighted[element] * spread[others] + spread[element] * weighted[others]
        own = data[element, others]
        weight = (own.conj() @ seen) / max(float(np.linalg.norm(own)), 1e-300)
        absorbed += [weight.real[None], weight.imag[None]]
        later = seen[others > element]
        lines += [later.real, later.imag]
        if sum(map(len, lines)) >= COLUMNS or element == len(kept) - 1:
            total = _added(total, lines, 2.0)
            lines = []
    # A complex datum's noise is shared by its two parts.
    total = _added(total, absorbed, -1.0) * (2.0 / noise)
    lower = torch.from_numpy(total)
    found: Array = (lower.tril() + lower.tril(-1).mT).numpy()
    return found


def hankel(spectrum: Callable[[Array], Array], highest: float, distances: Array) -> Array:
    """A function of the distance from its spectrum, by the inverse Hankel transform.

    Args:
        spectrum: At wavenumbers [rad/m].
        highest: Beyond which it is zero [rad/m].
        distances: Any shape [m].
    """
    turns = highest * float(distances.max(initial=0.0))
    waves = np.linspace(0, highest, 256 + int(4 * turns))
    energy = spectrum(waves) * waves / (2 * math.pi)
    radii = np.linspace(0, turns / highest, 256 + int(12 * turns))
    table = [np.trapezoid(energy * j0(waves * radius), waves) for radius in radii]
    found: Array = CubicSpline(radii, table)(distances)
    return found


def impulse(distances: Array, highest: float) -> Array:
    """What is left of a point without detail beyond a wavenumber [rad/m], at distances from it [m]; its peak is one."""
    turns = np.maximum(highest * distances, 1e-9)
    found: Array = 2 * j1(turns) / turns
    return found


def _solved(triangle: torch.Tensor, right: Array, upper: bool = False) -> Array:
    found: Array = torch.linalg.solve_triangular(triangle, torch.from_numpy(right), upper=upper).numpy()
    return found


def _added(total: Array, lines: list[Array], weight: float) -> Array:
    """The lower triangle of a sum of squares, some more of them added."""
    some = np.concatenate(lines)
    found: Array = scipy.linalg.blas.dsyrk(weight, some.T, beta=1.0, c=total, lower=1, overwrite_c=1)
    return found


def _apart(some: Array, others: Array) -> Array:
    """Distances, shape (some, others) [m]."""
    found: Array = np.hypot(some[:, None, 0] - others[None, :, 0], some[:, None, 1] - others[None, :, 1])
    return found
