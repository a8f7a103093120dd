"""Edges: of all images that explain the data as well as a finished one, the one of least total variation.

Waves tell nothing of detail finer than about half their wavelength, so that a sharp border comes out blurred, with
ripples beside it. Tissue is made of pieces with borders: what the data leave open is better filled by few large steps
than by many small ones. How well the data must be explained is known, as well as before, so no weight is to be chosen.

References:
    Rudin, Osher & Fatemi, Physica D 60 (1992) 259: total variation under a constraint; Goldstein & Osher, SIAM J.
    Imaging Sci. 2 (2009) 323: the splitting; Esser et al., SIAM J. Imaging Sci. 11 (2018) 376: in waveform inversion.
"""

from dataclasses import dataclass

import torch

from usct.inversion.objective import Point
from usct.inversion.tailoring import ImageDerivative, band_spectra
from usct.medium import Medium
from usct.parameterization.spectrum import RadialSpectrum, lattice_wavenumbers

N_ROUNDS = 18
"""Of shrinking steps, fitting data, and weighing the two against each other."""

N_INNER = 2
"""Steps of conjugate gradients in each round, which goes on from the one before."""

N_PRODUCTS = N_ROUNDS * N_INNER
"""Products with the linearised waves, each about a fifth of a factorisation."""

FLATTEST = 1e-7
"""Mean step between neighbouring cells below which an image shows nothing to sharpen (relative slowness)."""

FASTEST = 1.3
"""Factor by which the weight changes in a round at most."""


def sharpest_step(point: Point, image: Medium, window: torch.Tensor, cutoff: float) -> torch.Tensor:
    """Change of an image's log slowness to the sharpest one that explains a point's data as well.

    Args:
        point: The objective at the image, of single frequencies.
        image: On the grid of the result.
        window: How far each cell may change as a share of others, 0 where not at all, shape of the image.
        cutoff: Highest object wavenumber that the data tell of [rad/m].

    Returns:
        Shape of the image.
    """
    derivative = ImageDerivative(point, image.grid, window)
    bands = band_spectra(derivative, window > 0, cutoff, seed=0)
    gain = RadialSpectrum(bands.centres, bands.gain)
    return sharpened(derivative, -image.sound_speed.log(), point.value, gain)


def sharpened(
    derivative: ImageDerivative, log_slowness: torch.Tensor, misfit: float, gain: RadialSpectrum
) -> torch.Tensor:
    """Change of log slowness that makes its total variation least, the linearised waves being explained alike.

    Minimises |r + J d|^2 / 2 + w TV(u + d) by alternating directions; w follows from |r + J d| = |r|. No wave equation
    is solved.

    Args:
        derivative: J and r, on the image's grid; its window says where, and how far, the image may change.
        log_slowness: The image u, shape (ny, nx).
        misfit: |r|^2 / 2, in the norm that the derivative's products have.
        gain: Symbol of J^H J, for the preconditioner alone.

    Returns:
        d, zero outside the window, same shape.
    """
    window = derivative.window
    typical = float((window * steepness(steps(log_slowness))).sum() / window.sum().clamp(min=1))
    change = torch.zeros_like(log_slowness)
    if not (typical > FLATTEST and misfit > 0):
        return change
    wavenumbers = lattice_wavenumbers(tuple(log_slowness.shape), derivative.image.spacing)
    bend = (wavenumbers * derivative.image.spacing).square()
    slope, start, expected = derivative.gradient(), steps(log_slowness), gain(wavenumbers)
    # At first total variation is as heavy as the misfit. The splitting's threshold is always a typical step, so that
    # borders move in few rounds and ripples vanish; its stiffness follows the weight.
    weight = misfit / (float(window.sum()) * typical)
    fitted, force = torch.zeros_like(log_slowness), torch.zeros_like(start)
    for _ in range(N_ROUNDS):
        stiffness = weight / typical
        apart = start + steps(window * change) + force / stiffness
        wanted = apart * (1 - typical / steepness(apart).clamp(min=typical))
        force = stiffness * (apart - wanted)
        target = window * steps_adjoint(stiffness * (wanted - start) - force) - slope
        system = _System(derivative, stiffness, 1 / (expected + stiffness * bend + 1e-6 * expected.max()))
        change, fitted = system.descend(target, change, fitted)
        left = misfit + float((change * (slope + 0.5 * fitted)).sum())
        weight *= min(max(misfit / max(left, 1e-300), 1 / FASTEST), FASTEST)
    return window * change


@dataclass(frozen=True)
class _System:
    """J^T J + stiffness D^T D, D the steps, inside the window; nearly diagonal in Fourier space.

    Attributes:
        derivative: J.
        stiffness: Of the splitting.
        inverse: One over what is expected of the system at each wavenumber, as of rfft2.
    """

    derivative: ImageDerivative
    stiffness: float
    inverse: torch.Tensor

    def descend(
        self, target: torch.Tensor, solution: torch.Tensor, fitted: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """A few steps of preconditioned conjugate gradients; the solution and J^T J times it, which is handed on."""
        rest = target - fitted - self.stiff(solution)
        shaped = self.precondition(rest)
        direction, power = shaped, float((rest * shaped).sum())
        for _ in range(N_INNER):
            if not power > 0:
                break
            product = self.derivative.curvature(direction)
            bent = product + self.stiff(direction)
            length = power / float((direction * bent).sum())
            solution, fitted = solution + length * direction, fitted + length * product
            rest = rest - length * bent
            shaped = self.precondition(rest)
            power, before = float((rest * shaped).sum()), power
            direction = shaped + (power / before) * direction
        return solution, fitted

    def stiff(self, change: torch.Tensor) -> torch.Tensor:
        """The splitting's part."""
        window = self.derivative.window
        return self.stiffness * window * steps_adjoint(steps(window * change))

    def precondition(self, rest: torch.Tensor) -> torch.Tensor:
        """Divide by what is expected."""
        window = self.derivative.window
        return window * torch.fft.irfft2(self.inverse * torch.fft.rfft2(window * rest), s=rest.shape)


def steps(image: torch.Tensor) -> torch.Tensor:
    """Differences to the next cell along each axis, zero at the far rims, shape (2, ny, nx)."""
    result = image.new_zeros((2, *image.shape))
    result[0, :-1] = image.diff(dim=0)
    result[1, :, :-1] = image.diff(dim=1)
    return result


def steps_adjoint(values: torch.Tensor) -> torch.Tensor:
    """Adjoint of `steps`, shape (ny, nx)."""
    result = torch.zeros_like(values[0])
    result[1:] += values[0, :-1]
    result[:-1] -= values[0, :-1]
    result[:, 1:] += values[1, :, :-1]
    result[:, :-1] -= values[1, :, :-1]
    return result


def steepness(differences: torch.Tensor) -> torch.Tensor:
    """Length of each cell's step, shape (ny, nx)."""
    return torch.linalg.vector_norm(differences, dim=0)
