"""A small ring in water whose kernels are known as matrices, and draws of images and data from their beliefs."""

from dataclasses import dataclass
from functools import cached_property

import torch

from tests.theory.ring import BOUNDS, Ring, Tangent, dense, derivative, point, with_residuals
from usct.diagnostics.belief import Belief
from usct.diagnostics.kernels import TangentKernels
from usct.inversion.objective import Objective, Point
from usct.inversion.tailoring import band_spectra
from usct.parameterization.base import Parameterization
from usct.parameterization.spectrum import RadialSpectrum, Tailoring
from usct.parameterization.tailored import TailoredGrid

CUTOFF = 0.9


@dataclass(frozen=True)
class Known:
    """Kernels of a representation on a ring, and the same as matrices over the region's cells."""

    ring: Ring
    form: Parameterization
    kernels: TangentKernels

    @cached_property
    def jacobian(self) -> torch.Tensor:
        """Of the data with respect to the region's cells, shape (n_data, cell)."""
        return dense(self.kernels.point)

    @cached_property
    def tangent(self) -> torch.Tensor:
        """Theta, shape (cell, cell)."""
        return Tangent(self.form, self.ring).kernel()

    def posterior(self, belief: Belief) -> torch.Tensor:
        """Covariance of the errors, (J^T J / noise + Theta^-1 / scale)^-1 without inverting Theta, (cell, cell)."""
        prior = belief.scale * self.tangent
        curvature = self.jacobian.T @ (self.jacobian @ prior) / belief.noise
        return torch.linalg.solve(curvature + torch.eye(len(prior), dtype=torch.float64), prior, left=False)

    def estimator(self, belief: Belief) -> torch.Tensor:
        """Map from data to the most probable change, shape (cell, n_data)."""
        return self.posterior(belief) @ self.jacobian.T / belief.noise

    def image(self, cells: torch.Tensor) -> torch.Tensor:
        """An image that is zero outside the region."""
        return torch.zeros(self.ring.image.shape, dtype=torch.float64).masked_scatter(self.ring.region, cells)

    def draw(self, belief: Belief, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """A change of the image, shape (cell,), and noisy data of it, shape (n_data,)."""
        white = torch.randn(self.kernels.n_parameters, generator=generator, dtype=torch.float64)
        change = belief.scale**0.5 * self.kernels.image_of(white)[self.ring.region]
        noise = torch.randn(self.kernels.n_data, generator=generator, dtype=torch.float64)
        return change, self.jacobian @ change + belief.noise**0.5 * noise

    def lacking(self, data: torch.Tensor) -> "Known":
        """The same where these data are still to be explained: residuals are minus them."""
        at = self.kernels.point
        n_tx, n_rx = at.residuals[0].difference.shape
        real, imaginary = -data.reshape(2, n_tx, n_rx)
        difference = torch.complex(real, imaginary) / at.residuals[0].weights.sqrt()
        return known(self.ring, self.form, with_residuals(at, difference[None]))


def known(ring: Ring, form: Parameterization, at: Point) -> Known:
    """The kernels of a representation in water, from a point there of any other."""
    objective = at.objective
    mine = Objective(objective.models, objective.observed, objective.misfit, form)
    return Known(ring, form, TangentKernels(mine.describe(at.residuals, at.linearizations), ring.image))


def pixels(ring: Ring, at: Point | None = None) -> Known:
    """Pixels, whose prior is white."""
    return known(ring, ring.pixels(), at or point(ring))


def tailored(known_ring: Known, loudness: float, envelope: torch.Tensor | None = None) -> Known:
    """Kernel-tailored features with a smooth prior, and noise this many times below the strongest band."""
    ring, at = known_ring.ring, known_ring.kernels.point
    form = TailoredGrid(ring.water, ring.region, BOUNDS, smooth_prior(ring))
    form.retailor(tailoring(known_ring, loudness, envelope))
    return known(ring, form, at)


def tailoring(known_ring: Known, loudness: float, envelope: torch.Tensor | None = None) -> Tailoring:
    """The smooth prior with the ring's measured gain."""
    ring, prior = known_ring.ring, smooth_prior(known_ring.ring)
    bands = band_spectra(
        derivative(ring, known_ring.kernels.point), ring.region, 2 * CUTOFF * ring.wave, 0, n_probes=2
    )
    noise = float((bands.gain * prior(bands.centres)).max()) / loudness
    return Tailoring(RadialSpectrum(bands.centres, bands.gain), prior, noise, envelope)


def smooth_prior(ring: Ring) -> RadialSpectrum:
    """A change of about a per cent, mostly smooth, that ends within what the waves see."""
    wavenumbers = torch.linspace(0, 2 * CUTOFF, 200, dtype=torch.float64) * ring.wave
    return RadialSpectrum(wavenumbers, 1e-4 / (1 + (2 * wavenumbers / ring.wave) ** 2) ** 1.5)


def one_sided_envelope(ring: Ring) -> torch.Tensor:
    """A change that is expected in one half of the disc above all."""
    across = ring.image.points()[..., 0] / ring.object_radius
    return 0.3 + 0.7 * torch.sigmoid((across + 0.2) / 0.15)
