"""How descent goes: gradients filtered by the kernel, residuals that decay mode by mode, low frequencies first."""

import math

import pytest
import torch
from scipy.special import i0e

from tests.helpers import relative_error
from tests.theory.conftest import Linearized, linearized
from tests.theory.ring import BOUNDS, Ring, Tangent, dense, derivative, with_residuals
from usct.inversion.objective import Objective
from usct.parameterization.base import Parameterization
from usct.parameterization.fourier import FourierNetwork
from usct.parameterization.spectrum import gaussian_spectrum, lattice_wavenumbers, tailored_spectrum
from usct.parameterization.tailored import TailoredGrid

N_STEPS = 100
N_MODES = 60
SHARES = (1.0, 0.8, 0.6, 0.4, 0.2)
"""Frequencies of the joint inversion."""


def network(ring: Ring) -> FourierNetwork:
    return FourierNetwork(
        ring.water,
        ring.region,
        BOUNDS,
        width=0.5 * ring.wave,
        n_features=128,
        n_hidden=48,
        dtype=torch.float64,
    )


def tailored(ring: Ring) -> TailoredGrid:
    return TailoredGrid(ring.water, ring.region, BOUNDS, tailored_spectrum(ring.wave))


def phantom(ring: Ring, amplitude: float) -> torch.Tensor:
    """Relative slowness of some soft discs, shape image.shape."""
    change, points = (
        torch.zeros(ring.image.shape, dtype=torch.float64),
        ring.image.points() / ring.object_radius,
    )
    for y, x, radius, height in ((0.1, -0.3, 0.3, 1.0), (-0.4, 0.2, 0.2, -0.7), (0.4, 0.45, 0.12, 1.0)):
        distance = torch.linalg.vector_norm(points - torch.tensor([y, x], dtype=torch.float64), dim=-1)
        change += amplitude * height * torch.sigmoid((radius - distance) / 0.04)
    return change * ring.region


def seen(probed: Linearized, parameterization: Parameterization, error: torch.Tensor):
    """The point where the image lacks an error, through a parameterization that stands at water."""
    at = probed.point.objective
    objective = Objective(at.models, at.observed, at.misfit, parameterization)
    point = objective.describe(probed.point.residuals, probed.point.linearizations)
    return with_residuals(point, torch.stack(probed.derivative.apply(error)))


def radial(image: torch.Tensor, spacing: float, edges: torch.Tensor) -> torch.Tensor:
    """Root of an image's energy in rings of wavenumbers, shape (ring,)."""
    wavenumbers = lattice_wavenumbers(tuple(image.shape), spacing).reshape(-1)
    energy = torch.fft.rfft2(image).abs().square().reshape(-1)
    index = torch.bucketize(wavenumbers, edges) - 1
    inside = (index >= 0) & (index < len(edges) - 1)
    return torch.zeros(len(edges) - 1).double().index_add_(0, index[inside], energy[inside]).sqrt()


def test_the_kernel_filters_the_gradient_by_its_spectrum(wide):
    """Theta g over g follows the spectrum where the data speak; both are faded to the rim before.

    The missing image holds all detail alike, lest what leaks from strong wavenumbers hides weak ones.
    """
    ring, form = wide.ring, tailored(wide.ring)
    error = torch.randn(ring.image.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    at = seen(wide, form, 0.01 * error)
    raw = derivative(ring, at).gradient()
    moved = form.vector() + at.gradient
    form.load(moved)
    filtered = form.change(ring.image).detach()
    distance = torch.linalg.vector_norm(ring.image.points(), dim=-1) / ring.object_radius
    window = torch.cos(0.5 * math.pi * distance.clamp(max=1)) ** 2
    edges = ring.wave * torch.linspace(0.2, 1.7, 16, dtype=torch.float64)
    ratio = radial(window * filtered, ring.spacing, edges) / radial(window * raw, ring.spacing, edges)
    prescribed = tailored_spectrum(ring.wave)(0.5 * (edges[1:] + edges[:-1]))
    assert float(prescribed.max() / prescribed.min()) > 2
    pair = torch.stack([ratio.log(), prescribed.log()])
    assert float(torch.corrcoef(pair)[0, 1]) > 0.99
    assert float((ratio / prescribed).log().std()) < 0.05


def test_one_small_step_of_a_network_is_the_filtered_gradient(small):
    """Through the inversion's own objective: m(theta - eta grad) - m = -eta Theta g, g the image's gradient."""
    ring, form = small.ring, network(small.ring)
    at = seen(small, form, phantom(ring, 0.02))
    raw = derivative(ring, at).gradient()
    tangent = Tangent(form, ring)
    assert relative_error(at.gradient, tangent.adjoint(raw[None])[0]) < 1e-8
    filtered = tangent.kernel() @ raw[ring.region]
    rate = 1e-4 / float(filtered.abs().max())
    before = form(ring.image).sound_speed.detach().log()
    form.load(at.parameters - rate * at.gradient)
    change = -(form(ring.image).sound_speed.detach().log() - before)[ring.region]
    assert relative_error(change, -rate * filtered) < 1e-2


@pytest.mark.parametrize(("make", "amplitude"), [(tailored, 0.01), (network, 0.01)])
def test_residuals_decay_mode_by_mode(small, make, amplitude):
    """By (1 - eta lambda)^t, in the sixty modes of most energy, while the network is in its lazy window.

    The data are linear in the image. The target is a change of one per cent, a fifth of the network's unit.
    """
    ring, form, jacobian = small.ring, make(small.ring), small.jacobian
    target = jacobian @ phantom(ring, amplitude)[ring.region]
    values, vectors = torch.linalg.eigh(Tangent(form, ring).kernel())
    shaped = jacobian @ (vectors * values.clamp(min=0).sqrt())
    modes, singular, _ = torch.linalg.svd(shaped, full_matrices=False)
    eigenvalues, rate = singular.square(), 0.5 / float(singular[0] ** 2)
    start = modes.T @ -target
    top = start.abs().argsort(descending=True)[:N_MODES]
    vector, errors = form.vector(), []
    begin = form(ring.image).sound_speed.detach().log()
    for step in range(N_STEPS + 1):
        form.load(vector)
        tangent = Tangent(form, ring)
        residual = jacobian @ (tangent.value + begin)[ring.region] - target
        predicted = (1 - rate * eigenvalues[top]) ** step * start[top]
        errors.append((modes.T @ residual)[top].abs().log10() - predicted.abs().log10())
        vector = vector - rate * tangent.adjoint(small.image(jacobian.T @ residual)[None])[0]
    assert float(residual.norm() / target.norm()) < 0.7, "hardly anything has decayed"
    assert float(torch.stack(errors)[1:].abs().median()) < 0.02


@pytest.fixture(scope="module")
def joint():
    """A ring at five frequencies, and J^H J of each, scaled so that pixels would see them equally."""
    probed = linearized(Ring.of(20.0, 48, lower=SHARES[1:]))
    curvatures = []
    for number in range(len(SHARES)):
        jacobian = dense(probed.point, number)
        curvature = jacobian.T @ jacobian
        curvatures.append(curvature / curvature.trace())
    return probed.ring, curvatures


def gaussian_kernel(ring: Ring, share: float) -> torch.Tensor:
    """Tangent kernel whose spectrum's width is a share of the highest frequency's wavenumber."""
    return Tangent(
        TailoredGrid(ring.water, ring.region, BOUNDS, gaussian_spectrum(share * ring.wave)), ring
    ).kernel()


@pytest.mark.parametrize("share", [0.4, 0.6])
def test_low_frequencies_have_the_larger_mean_eigenvalue(joint, share):
    """tr J Theta J^H / tr J J^H is the mean of the spectrum over all pairs, e^-z I0(z), z = (k / width)^2.

    Within 10 %, most of which is the disc's rim, where a part of the kernel lies outside.
    """
    ring, curvatures = joint
    kernel = gaussian_kernel(ring, share)
    measured = torch.stack([(kernel * curvature).sum() for curvature in curvatures])
    waves = ring.wave * torch.tensor(SHARES, dtype=torch.float64)
    angles = (torch.arange(2000, dtype=torch.float64) + 0.5) / 2000 * (math.pi / 2)
    spectrum = gaussian_spectrum(share * ring.wave)
    expected = torch.stack([spectrum(2 * wave * torch.sin(angles)).mean() for wave in waves])
    assert torch.allclose(
        expected, torch.from_numpy(i0e(((waves / share / ring.wave) ** 2).numpy())), rtol=1e-3
    )
    assert float((measured / expected - 1).abs().max()) < 0.10, measured / expected
    assert bool((measured.diff() > 0).all()), measured


def test_low_frequencies_are_fitted_first(joint):
    """In a joint descent, on linear data, from an error that holds all detail alike.

    By pixels too, since a low frequency has few modes among which to share its trace, but far less clearly.
    """
    ring, curvatures = joint
    error = torch.randn(len(curvatures[0]), generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    tailored_left = descend(gaussian_kernel(ring, 0.4), curvatures, error, 30)
    pixel_left = descend(torch.eye(len(error), dtype=torch.float64), curvatures, error, 30)
    assert bool((tailored_left.diff() < 0).all()), tailored_left
    lead = {
        name: left.log()[-1] / left.log()[0]
        for name, left in (("tailored", tailored_left), ("pixels", pixel_left))
    }
    assert float(lead["tailored"]) > 1.7 * float(lead["pixels"]) > 1.7, lead


def descend(
    kernel: torch.Tensor, curvatures: list[torch.Tensor], error: torch.Tensor, n_steps: int
) -> torch.Tensor:
    """Share of each frequency's residual that is left after gradient steps of the joint misfit."""
    total, begin = sum(curvatures), error
    direction = error
    for _ in range(50):
        direction = kernel @ (total @ direction)
        largest = float(direction.norm())
        direction = direction / largest
    for _ in range(n_steps):
        error = error - kernel @ (total @ error) / largest
    return torch.stack([((error @ c @ error) / (begin @ c @ begin)).sqrt() for c in curvatures])
