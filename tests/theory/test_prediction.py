"""Where the kernels predict descent and where they fail: drift, optimizers, order, sufficiency, adaptivity.

All on data that are linear in the image unless said otherwise, with the Jacobian as a matrix.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
import torch

from tests.theory.conftest import Linearized, linearized
from tests.theory.ring import BOUNDS, WATER, Ring, Tangent, dense, derivative, point, with_residuals
from tests.theory.test_dynamics import phantom
from usct.diagnostics.kernels import TangentKernels
from usct.diagnostics.model_side import transfer
from usct.diagnostics.preconditioning import adam_preconditioner
from usct.inversion.objective import Objective, Point
from usct.inversion.optimizers import Adam
from usct.inversion.tailoring import measure
from usct.parameterization.base import Parameterization
from usct.parameterization.fourier import FourierNetwork
from usct.parameterization.hybrid import Hybrid
from usct.parameterization.multigrid import MultiGrid
from usct.parameterization.siren import Siren
from usct.parameterization.spectrum import (
    RadialSpectrum,
    Tailoring,
    lattice_wavenumbers,
    tailored_spectrum,
)
from usct.parameterization.tailored import TailoredGrid

N_STEPS, N_MODES = 60, 30
Make = Callable[[Ring], Parameterization]


@pytest.fixture(scope="module")
def tiny() -> Linearized:
    """So small that a descent takes a second."""
    return linearized(Ring.of(7.0, 18, ratio=2.5))


def features(ring: Ring, n_hidden: int = 32, seed: int = 0) -> FourierNetwork:
    return FourierNetwork(
        ring.water,
        ring.region,
        BOUNDS,
        width=0.35 * ring.wave,
        n_features=32,
        n_hidden=n_hidden,
        seed=seed,
        dtype=torch.float64,
    )


def siren(ring: Ring, share: float = 0.25) -> Siren:
    """Its first layer's wavenumbers are this share of the diffraction limit."""
    return Siren(
        ring.water,
        ring.region,
        BOUNDS,
        rescaled=True,
        wavenumber=2 * share * ring.wave,
        n_hidden=32,
        n_layers=3,
        dtype=torch.float64,
    )


@dataclass(frozen=True)
class Modes:
    """The wave tangent kernel's modes over some starting residual."""

    values: torch.Tensor
    vectors: torch.Tensor

    @classmethod
    def of(cls, kernel: torch.Tensor, jacobian: torch.Tensor) -> "Modes":
        # Only what the image can make decays, and it has fewer cells than there are data.
        basis, rest = torch.linalg.qr(jacobian)
        values, vectors = torch.linalg.eigh(rest @ kernel @ rest.T)
        return cls(values.flip(0).clamp(min=0), basis @ vectors.flip(1))

    def decades(self, residuals: torch.Tensor, share: float) -> float:
        """Median of |log10 measured - log10 predicted| over the modes of most energy and all steps."""
        amplitudes = residuals @ self.vectors
        top = amplitudes[0].abs().argsort(descending=True)[:N_MODES]
        steps = torch.arange(len(residuals), dtype=torch.float64)[:, None]
        factors = (1 - share * self.values[top] / self.values[0]) ** steps
        errors = amplitudes[1:, top].abs().log10() - (factors * amplitudes[0, top])[1:].abs().log10()
        return float(errors.abs().median())

    def left(self, residual: torch.Tensor, share: float, n_steps: int) -> float:
        """Share of a residual's energy that gradient steps are predicted to leave."""
        factors = (1 - share * self.values / self.values[0]) ** n_steps
        return float((factors * (residual @ self.vectors)).square().sum() / residual.square().sum())


@dataclass(frozen=True)
class Descent:
    """Residuals of all steps, kernels of the image before and after, and where the parameters ended."""

    residuals: torch.Tensor
    before: torch.Tensor
    after: torch.Tensor
    parameters: torch.Tensor

    def drift(self, jacobian: torch.Tensor, later: torch.Tensor | None = None) -> float:
        """Relative change of the wave tangent kernel on its first modes, the waves' too if they are given."""
        modes = Modes.of(self.before, jacobian).vectors[:, :N_MODES].T
        first, second = modes @ jacobian, modes @ (jacobian if later is None else later)
        start = first @ self.before @ first.T
        return float((second @ self.after @ second.T - start).norm() / start.norm())


def descend(
    probed: Linearized,
    form: Parameterization,
    target: torch.Tensor,
    n_steps: int = N_STEPS,
    preconditioner: torch.Tensor | float = 1.0,
    share: float = 0.5,
) -> Descent:
    """Gradient steps of a representation from water towards data; it is left where it was."""
    ring, jacobian, start = probed.ring, probed.jacobian, form.vector()
    tangent, vector, residuals = Tangent(form, ring), start, []
    scaled = tangent.features() * torch.as_tensor(preconditioner).sqrt()
    before = scaled @ scaled.T
    rate = share / float(Modes.of(before, jacobian).values[0])
    for step in range(n_steps + 1):
        residuals.append(jacobian @ (tangent.value + math.log(WATER))[ring.region] - target)
        if step < n_steps:
            gradient = tangent.adjoint(probed.image(jacobian.T @ residuals[-1])[None])[0]
            vector = vector - rate * preconditioner * gradient
            form.load(vector)
            tangent = Tangent(form, ring)
    scaled = tangent.features() * torch.as_tensor(preconditioner).sqrt()
    form.load(start)
    return Descent(torch.stack(residuals), before, scaled @ scaled.T, vector)


def data_of(probed: Linearized, amplitude: float) -> torch.Tensor:
    return probed.jacobian @ phantom(probed.ring, amplitude)[probed.ring.region]


def test_drift_grows_with_the_change_and_ruins_the_prediction(tiny):
    """Check 7: changes of 0.5 and 15 %. Measured: drift .006 to .06 for features, .04 to 4 for sines.

    Modes are then off by .0004 to .008 decades for features, which stay almost lazy, and by .003 to .07 for sines.
    """
    drift, error = {}, {}
    for name, make in (("features", features), ("sines", siren)):
        for amplitude in (0.005, 0.15):
            run = descend(tiny, make(tiny.ring), data_of(tiny, amplitude))
            drift[name, amplitude] = run.drift(tiny.jacobian)
            error[name, amplitude] = Modes.of(run.before, tiny.jacobian).decades(run.residuals, 0.5)
    for name in ("features", "sines"):
        assert drift[name, 0.15] > 5 * drift[name, 0.005], drift
        assert error[name, 0.15] > 5 * error[name, 0.005], error
        assert error[name, 0.005] < 0.01, error
    assert drift["sines", 0.15] > 10 * drift["features", 0.15], drift
    assert error["sines", 0.15] > 0.05, error


@pytest.mark.parametrize(("make", "window"), [(features, 20), (siren, 5)])
def test_a_fresh_kernel_restores_the_prediction(tiny, make, window):
    """Check 7: recomputed after every twenty steps for features; sines, whose kernel grows fourfold, need five.

    What check 6 asks for, .02 decades, holds again in every window.
    """
    form, target = make(tiny.ring), data_of(tiny, 0.15)
    begin, errors = form.vector(), []
    for _ in range(N_STEPS // window):
        run = descend(tiny, form, target, window)
        errors.append(Modes.of(run.before, tiny.jacobian).decades(run.residuals, 0.5))
        form.load(run.parameters)
    form.load(begin)
    assert sum(errors) / len(errors) < 0.02, errors


def test_the_networks_part_of_the_drift_falls_with_width_and_the_waves_does_not(tiny):
    """Check 7, with the wave equation linearised anew at the image that was reached.

    In the neural-tangent parametrization widths 8, 32 and 128 give drifts of .17, .05 and .01 by the network alone
    (medians of three seeds, which differ up to eightfold for the narrowest); that of the waves, which see another
    image, stays at .05 (theorem 4.1 of arXiv 2603.22362).
    """
    target, network, waves = data_of(tiny, 0.1), [], []
    for n_hidden in (8, 32, 128):
        forms = [features(tiny.ring, n_hidden, seed) for seed in range(3)]
        runs = [descend(tiny, form, target, 40) for form in forms]
        network.append(sorted(run.drift(tiny.jacobian) for run in runs)[1])
        forms[0].load(runs[0].parameters)
        speed = forms[0](tiny.ring.image).sound_speed.detach()[tiny.ring.region]
        later = dense(point(tiny.ring, forms[0])) * (WATER / speed) ** 2
        kernel = runs[0].before
        waves.append(replace(runs[0], after=kernel).drift(tiny.jacobian, later))
    assert network[0] > 2 * network[1] > 4 * network[2], network
    assert min(waves) > 0.8 * max(waves) > 0.03, waves
    assert waves[-1] > 2 * network[-1], (waves, network)


def seen(probed: Linearized, form: Parameterization, target: torch.Tensor) -> Point:
    """The point in water through a representation, these linear data to be explained."""
    at, n = probed.point.objective, probed.ring.n_elements
    objective = Objective(at.models, at.observed, at.misfit, form)
    real, imaginary = -target.reshape(2, n, n)
    differences = torch.complex(real, imaginary) / probed.point.residuals[0].weights.sqrt()
    return with_residuals(
        objective.describe(probed.point.residuals, probed.point.linearizations), differences[None]
    )


def frozen_adam(at: Point, n_steps: int = 20) -> torch.Tensor:
    """Adam's preconditioner after some steps."""
    optimizer = Adam(1e-3, n_steps)
    optimizer.step(at, lambda vector: vector)
    return adam_preconditioner(optimizer.memory(), 1.0, at.learning_rates)


@pytest.mark.parametrize(("make", "bound"), [(features, 0.005), (siren, 0.02)])
def test_the_preconditioned_kernel_predicts_adam_and_the_plain_one_does_not(tiny, make, bound):
    """Check 10, Adam's memory held and no momentum, for a change so small that its kernel hardly drifts.

    Each kernel may choose the length of steps by its own largest eigenvalue. The first step alone would not tell:
    both point along the strongest modes (cosines of 1.00 and .99).
    """
    form, target = make(tiny.ring), data_of(tiny, 0.001)
    at = seen(tiny, form, target)
    held = frozen_adam(at)
    kernels = TangentKernels(at, tiny.ring.image, preconditioner=held)
    residual = kernels.residual()
    one = descend(tiny, form, target, 1, held, 0.01).residuals.diff(dim=0)[0]
    foretold = -kernels.wtk(residual)
    assert float(one @ foretold / one.norm() / foretold.norm()) > 0.999
    run, plain = descend(tiny, form, target, N_STEPS, held), Tangent(form, tiny.ring).kernel()
    modes = {name: Modes.of(k, tiny.jacobian) for name, k in (("adam", run.before), ("plain", plain))}
    error = {name: m.decades(run.residuals, 0.5) for name, m in modes.items()}
    assert error["adam"] < bound < 2 * bound < error["plain"], error
    measured = float(run.residuals[-1].square().sum() / residual.square().sum())
    left = {name: m.left(residual, 0.5, N_STEPS) / measured for name, m in modes.items()}
    assert left["adam"] == pytest.approx(1.0, abs=0.10), left
    assert left["plain"] > 1.5, left


def test_plain_kernels_are_useless_for_adam_itself(tiny):
    """Check 10: with momentum and a memory that moves, a tenth of the energy that plain descent would leave is left."""
    form, target = features(tiny.ring), data_of(tiny, 0.01)
    at = seen(tiny, form, target)
    moved = Adam(1e-3, N_STEPS).step(at, lambda vector: vector)
    measured = at.nearby(at.parameters + moved)[0] / at.value
    plain = Modes.of(Tangent(form, tiny.ring).kernel(), tiny.jacobian).left(target, 0.5, N_STEPS)
    assert measured < 0.3 * plain, (measured, plain)


def representations(ring: Ring) -> dict[str, Parameterization]:
    """Pixels, grids, grids with sines, sines; the latter as narrow as in the published runs, .18 of the band."""
    narrow = 0.36 * ring.wave
    size = {"dtype": torch.float64}
    hybrid = Hybrid(
        ring.water, ring.region, BOUNDS, rescaled=True, wavenumber=narrow, n_sines=32, n_sine_layers=2, **size
    )
    return {
        "pixels": ring.pixels(),
        "grids": MultiGrid(ring.water, ring.region, BOUNDS, **size),
        "both": hybrid,
        "sines": siren(ring, 0.18),
    }


@pytest.mark.parametrize("adam", [True, False])
def test_pixels_decay_slowest_then_grids_then_both_then_sines(tiny, adam):
    """Check 9: the sixtieth eigenvalue over the first, the constant mode left out, by Adam's kernel and the plain one.

    The order of Chen et al. holds by both, since means are apart and features of unit power here. It hangs on how
    wide the sines' passband is: with w0 = 30 as published, in a field of three wavelengths, it fails (.27, .10,
    .12 and .13, while rescaled sines have .001).
    """
    found, n_cells = [], int(tiny.ring.region.sum())
    centred = torch.eye(n_cells, dtype=torch.float64) - 1 / n_cells
    target = data_of(tiny, 0.03)
    for form in representations(tiny.ring).values():
        matrix = Tangent(form, tiny.ring).features()
        if adam:
            matrix = matrix * frozen_adam(seen(tiny, form, target), 10).sqrt()
        matrix = tiny.jacobian @ (centred @ matrix)
        values = torch.linalg.eigvalsh(matrix @ matrix.T).flip(0)
        found.append(float(values[40] / values[0]))
    assert found[0] > 1.3 * found[1] > 1.3**2 * found[2] > 1.3**3 * found[3], found


@pytest.mark.parametrize("make", [features, siren])
def test_a_filter_with_the_networks_spectrum_does_what_the_network_does(make):
    """Check 11: 80 % of the network's gain in image error at least, in the linear problem with 20 % noise.

    Measured: 120 % of features', 133 % of sines', which learn slowly at first. So here the benefit is the kernel;
    and plain pixels beat both (error .12 at best against .38 and .42; .25 and .23 by the filters).
    """
    probed = linearized(Ring.of(10.0, 24, ratio=2.5))
    ring, form = probed.ring, make(probed.ring)
    truth = phantom(ring, 0.02)[ring.region]
    target = probed.jacobian @ truth
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(len(target), generator=generator, dtype=torch.float64)
    target = target + 0.2 * target.norm() / len(target) ** 0.5 * noise
    kernels = TangentKernels(seen(probed, form, target), ring.image)
    spectrum = transfer(kernels, n_probes=4).spectrum
    lattice = tuple(2 * n for n in ring.image.shape)
    response = spectrum(lattice_wavenumbers(lattice, ring.spacing))

    def filtered(cells: torch.Tensor) -> torch.Tensor:
        values = torch.fft.irfft2(response * torch.fft.rfft2(probed.image(cells), s=lattice), s=lattice)
        return values[tuple(slice(n) for n in ring.image.shape)][ring.region]

    direction, largest = truth, 1.0
    for _ in range(30):
        direction = filtered(probed.hessian @ direction)
        largest = float(direction.norm())
        direction = direction / largest
    image, by_filter = torch.zeros_like(truth), 1.0
    for _ in range(N_STEPS):
        image = image - filtered(probed.jacobian.T @ (probed.jacobian @ image - target)) / largest
        by_filter = min(by_filter, float((image - truth).norm() / truth.norm()))
    form.load(descend(probed, form, target, N_STEPS, share=1.0).parameters)
    image = (math.log(WATER) - form(ring.image).sound_speed.detach().log())[ring.region]
    by_network = float((image - truth).norm() / truth.norm())
    assert by_network < 0.7, "the network has learnt hardly anything"
    assert 1 - by_filter > 0.8 * (1 - by_network), (by_filter, by_network)


def prior_covariance(ring: Ring, spectrum: RadialSpectrum) -> torch.Tensor:
    return Tangent(TailoredGrid(ring.water, ring.region, BOUNDS, spectrum), ring).kernel()


@pytest.fixture(scope="module")
def bank(small) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Twenty-one priors, smooth ones and those that undo the ring's symbol, by eigenvalues l and images B.

    The estimate of a prior S for data d is S (H S + r)^-1 J^T d = B (l + r)^-1 B^T J^T d.
    """
    ring, made = small.ring, []
    spectra = [tailored_spectrum(ring.wave, b, c) for b in (0.0, 0.5, 1.0) for c in (0.1, 0.2, 0.35, 0.5)]
    wavenumbers = torch.linspace(0, 1.8 * ring.wave, 200, dtype=torch.float64)
    for corner in (0.05, 0.15, 0.4):
        for power in (1.0, 1.5, 2.0):
            values = (1 + (wavenumbers / (2 * ring.wave * corner)) ** 2) ** -power
            spectra.append(RadialSpectrum(wavenumbers, values))
    for spectrum in spectra:
        variances, vectors = torch.linalg.eigh(prior_covariance(ring, spectrum))
        root = vectors * variances.clamp(min=0).sqrt()
        values, vectors = torch.linalg.eigh(root.T @ small.hessian @ root)
        made.append((values.clamp(min=0), root @ vectors))
    return made


def oracle(
    probed: Linearized,
    bank: list[tuple[torch.Tensor, torch.Tensor]],
    data: torch.Tensor,
    truth: torch.Tensor,
) -> float:
    """Least error by any of the priors with any weight of the noise, chosen by looking at the truth."""
    gradient, errors = probed.jacobian.T @ data, []
    for values, images in bank:
        for ratio in values.mean() * 10.0 ** torch.arange(-5, 0.6, 0.25, dtype=torch.float64):
            image = images @ ((images.T @ gradient) / (values + ratio))
            errors.append(float((image - truth).norm() / truth.norm()))
    return min(errors)


@pytest.mark.parametrize(("loudness", "bound"), [(0.02, 1.10), (0.2, 1.05), (0.6, 1.15)])
def test_what_the_data_choose_is_nearly_what_the_truth_would(small, bank, loudness, bound):
    """Check 13, two steps with the kernel tailored to the data alone, against the best of a bank of kernels.

    The theory asks for 5 %. Measured over three draws of the noise: 8 to 12 % above the oracle at 2 % noise, 2 to
    5 % at 20 %, 7 to 21 % at 60 % (`python -m tests.bench.theory choices`); so it is missed at both ends. On smaller
    rings, whose bands hold but a few coefficients, it is missed by up to a third.
    """
    ring, region = small.ring, small.ring.region
    truth = phantom(ring, 0.01)[region]
    clean = small.jacobian @ truth
    noise = torch.randn(len(clean), generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    data = clean + loudness * clean.norm() / len(clean) ** 0.5 * noise
    image, unfitted = torch.zeros_like(truth), None
    everywhere = torch.ones(ring.image.shape, dtype=torch.float64)
    for seed in range(2):
        rest = data - small.jacobian @ image
        at = seen(small, ring.pixels(), rest)
        found, unfitted = measure(at, ring.image, region, everywhere, 1.8 * ring.wave, seed, unfitted)
        image = image + most_probable(small, found, rest)
    error, least = float((image - truth).norm() / truth.norm()), oracle(small, bank, data, truth)
    assert least < 0.3
    assert error < bound * least, (error, least)


def most_probable(probed: Linearized, tailoring: Tailoring, data: torch.Tensor) -> torch.Tensor:
    """Estimate of the change that data call for, by dense matrices."""
    kernel = prior_covariance(probed.ring, tailoring.prior)
    curvature = probed.hessian @ kernel + tailoring.noise * torch.eye(len(kernel), dtype=torch.float64)
    return kernel @ torch.linalg.solve(curvature, probed.jacobian.T @ data)


def test_the_image_derivative_is_what_these_tests_take_for_it(tiny):
    """The matrices here and the inversion's own products agree."""
    change = phantom(tiny.ring, 0.01)
    products = derivative(tiny.ring, tiny.point).apply(change)[0]
    kernels = TangentKernels(tiny.point, tiny.ring.image)
    assert torch.allclose(kernels.wave(change), data_of(tiny, 0.01), rtol=1e-9, atol=1e-12)
    assert torch.allclose(
        torch.view_as_real(products).movedim(-1, 0).reshape(-1)
        * tiny.point.residuals[0].weights.max().sqrt(),
        data_of(tiny, 0.01),
        rtol=1e-9,
        atol=1e-12,
    )
