"""A small ring in water, linearised exactly: the reference against which the theory's formulas are held.

The object is a disc well inside the ring, because the formulas are for elements far away: seen from a point at
distance x from the centre of a ring of radius R, elements lie evenly in direction up to (x / R)^2 / 2.
"""

import math
from dataclasses import dataclass, replace

import torch
from torch.func import functional_call, vjp, vmap

from usct.acquisition import Spectra, TransducerArray
from usct.forward.helmholtz import Helmholtz
from usct.grid import Grid
from usct.inversion.objective import Objective, Point
from usct.inversion.tailoring import ImageDerivative
from usct.medium import Medium
from usct.misfit.spectra import LeastSquares
from usct.parameterization.base import Parameterization
from usct.parameterization.field import PointField
from usct.parameterization.pixel import PixelGrid
from usct.parameterization.spectrum import ring_symbol

WATER = 1500.0
BOUNDS = (1200.0, 1900.0)
CELLS_PER_WAVELENGTH = 5.5


@dataclass(frozen=True)
class Ring:
    """A ring around a disc that may change, at one frequency or several.

    Attributes:
        n_elements: On the ring.
        object_radius: Of the disc [m].
        radius: Of the ring [m].
        frequencies: Shape (freq,) [Hz].
        spacing: Of all grids [m].
        muted: Receivers closer to the transmit than this angle do not count [rad].
    """

    n_elements: int
    object_radius: float
    radius: float
    frequencies: tuple[float, ...]
    spacing: float
    muted: float = 0.0

    @classmethod
    def of(
        cls,
        size: float,
        n_elements: int,
        ratio: float = 3.0,
        muted: float = 0.0,
        lower: tuple[float, ...] = (),
    ) -> "Ring":
        """A ring by dimensionless numbers.

        Args:
            size: Wavenumber times the object's radius [1].
            n_elements: At least twice the size, lest the data alias.
            ratio: Of the ring's radius to the object's.
            muted: See the attribute.
            lower: Further frequencies, as shares of the first.
        """
        frequency, object_radius = 100e3, size * WATER / (2 * math.pi * 100e3)
        spacing = WATER / (frequency * CELLS_PER_WAVELENGTH)
        frequencies = (frequency, *(share * frequency for share in lower))
        return cls(n_elements, object_radius, ratio * object_radius, frequencies, spacing, muted)

    @property
    def wave(self) -> float:
        """Wavenumber in water at the first frequency [rad/m]."""
        return 2 * math.pi * self.frequencies[0] / WATER

    @property
    def array(self) -> TransducerArray:
        """Elements; all send and receive."""
        return TransducerArray.ring(self.n_elements, self.radius)

    @property
    def image(self) -> Grid:
        """Grid of images; its nodes are nodes of the wave's grid too, so that no interpolation blurs."""
        return Grid.covering(self.object_radius + 2 * self.spacing, self.spacing)

    @property
    def region(self) -> torch.Tensor:
        """The disc, boolean of image.shape."""
        return self.image.disc(self.object_radius)

    @property
    def water(self) -> Medium:
        """Water on the image's grid."""
        return Medium.homogeneous(self.image, WATER)

    def models(self) -> tuple[Helmholtz, ...]:
        """A forward model for every frequency, all on the same grid."""
        grid = Grid.covering(self.radius + 4 * self.spacing, self.spacing)
        return tuple(Helmholtz(grid, self.array, (1450.0, 1550.0), WATER) for _ in self.frequencies)

    def weights(self) -> torch.Tensor:
        """One for pairs that count, shape (tx, rx)."""
        return (self.array.opening_angles() >= self.muted - 1e-9).double()

    def pixels(self) -> PixelGrid:
        """Pixels that stand at water."""
        return PixelGrid(self.water, self.region, BOUNDS)


def point(ring: Ring, parameterization: Parameterization | None = None) -> Point:
    """The objective in water, against data that are one everywhere, so that every datum weighs the same.

    Args:
        ring: The geometry.
        parameterization: It must stand at water; pixels by default.
    """
    models = ring.models()
    shape = (len(models), ring.n_elements, ring.n_elements)
    frequencies = torch.tensor(ring.frequencies, dtype=torch.float64)
    observed = Spectra(torch.ones(shape, dtype=torch.complex128), frequencies, ring.weights().expand(shape))
    objective = Objective(models, observed, LeastSquares("none"), parameterization or ring.pixels())
    return objective.at(objective.parameterization.vector())


def derivative(ring: Ring, at: Point) -> ImageDerivative:
    """Derivative of the point's residuals with respect to the image's relative slowness."""
    return ImageDerivative(at, ring.image, ring.region.double())


def symbol(ring: Ring, wavenumbers: torch.Tensor) -> torch.Tensor:
    """Symbol of J^H J in full, constant included, at object wavenumbers [rad/m]; same shape.

    A far element's field is |G| = (8 pi k R)^(-1/2), a cell of relative slowness u scatters 2 (k h)^2 u, and the
    ring's (N / 2 pi)^2 pairs per squared radian lie 4 / (K sqrt(4 k^2 - K^2)) deep in the wavenumber plane.
    """
    constant = (ring.n_elements * ring.wave * ring.spacing / (2 * math.pi * ring.radius)) ** 2
    return constant / float(ring.weights().sum()) * ring_symbol(wavenumbers, ring.wave, ring.muted)


def wave_gain(ring: Ring, derivative: ImageDerivative, wavenumber: float, n_directions: int = 6) -> float:
    """|J v|^2 / |v|^2 of windowed plane waves of one wavenumber [rad/m], over directions and phases."""
    energy = total = 0.0
    for wave in windowed_waves(ring, wavenumber, n_directions):
        changes, residuals = derivative.apply(wave), derivative.point.residuals
        energy += sum(
            float((r.weights * c.abs().square()).sum()) for r, c in zip(residuals, changes, strict=True)
        )
        total += float(wave.square().sum())
    return energy / total


def windowed_waves(ring: Ring, wavenumber: float, n_directions: int = 6) -> torch.Tensor:
    """Cosines and sines of one wavenumber [rad/m] that fade to zero at the disc's rim, (n, *image.shape)."""
    points = ring.image.points()
    distance = torch.linalg.vector_norm(points, dim=-1) / ring.object_radius
    window = torch.cos(0.5 * math.pi * distance.clamp(max=1)) ** 2
    waves = []
    for number in range(n_directions):
        angle = math.pi * (number + 0.3) / n_directions
        phase = wavenumber * (points @ torch.tensor([math.sin(angle), math.cos(angle)], dtype=torch.float64))
        waves += [window * phase.cos(), window * phase.sin()]
    return torch.stack(waves)


def with_residuals(at: Point, differences: torch.Tensor) -> Point:
    """The same point with other residuals, shape (freq, tx, rx); no wave equation is solved."""
    residuals = []
    for residual, difference in zip(at.residuals, differences, strict=True):
        value = 0.5 * float((residual.weights * difference.abs().square()).sum())
        residuals.append(replace(residual, value=value, difference=difference))
    return at.objective.describe(tuple(residuals), at.linearizations)


def dense(at: Point, number: int = 0) -> torch.Tensor:
    """Weighted Jacobian of one frequency from products of fields, shape (2 tx rx, cell of the region).

    Columns are relative changes of slowness; rows real parts, then imaginary parts. The wave equation is
    linear in squared slowness, which changes by twice that share of itself.
    """
    waves, weights = at.linearizations[number], at.residuals[number].weights
    change = waves.sensitivity[:, None, None] * 2 / WATER**2
    one = waves.fields[:, :, None] * waves.spread_fields[:, None, :]
    rows = (change * (one + one.mT) * weights.sqrt()).reshape(len(waves.cells), -1).T
    return torch.cat([rows.real, rows.imag]) / math.sqrt(len(at.residuals))


class Tangent:
    """Derivative of log slowness on the image's grid with respect to all parameters, where they stand."""

    def __init__(self, parameterization: Parameterization, ring: Ring) -> None:
        names = [name for name, _ in parameterization.named_parameters()]
        shapes = [parameter.shape for parameter in parameterization.parameters()]

        def log_slowness(vector: torch.Tensor) -> torch.Tensor:
            parts = vector.split([shape.numel() for shape in shapes])
            named = {n: p.view(shape) for n, p, shape in zip(names, parts, shapes, strict=True)}
            return -functional_call(parameterization, named, (ring.image,)).sound_speed.log()

        # What networks fill their images with cannot be transposed for many images at once.
        self._one_by_one = isinstance(parameterization, PointField)
        self.region = ring.region
        self.value, self._pull, *_ = vjp(log_slowness, parameterization.vector())

    def adjoint(self, images: torch.Tensor) -> torch.Tensor:
        """Transposed derivative of images, shape (n, *image.shape); shape (n, parameter)."""
        if self._one_by_one:
            return torch.stack([self._pull(image)[0] for image in images])
        return torch.cat([vmap(lambda image: self._pull(image)[0])(part) for part in images.split(64)])

    def features(self) -> torch.Tensor:
        """The derivative in the region's cells, shape (cell, parameter)."""
        cells = self.region.reshape(-1).nonzero()[:, 0]
        units = torch.nn.functional.one_hot(cells, self.region.numel()).to(self.value)
        return self.adjoint(units.reshape(-1, *self.region.shape))

    def kernel(self) -> torch.Tensor:
        """Tangent kernel between the region's cells, shape (cell, cell)."""
        features = self.features()
        return features @ features.T

    def symbol(self, waves: torch.Tensor) -> float:
        """Energy of the adjoint over that of images, shape (n, *image.shape): the kernel's symbol there."""
        return float(self.adjoint(waves).square().sum() / waves.square().sum())
