"""What the data tell, on linear data whose missing change and noise are known."""

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from tests.helpers import relative_error
from tests.theory.conftest import Linearized, linearized
from tests.theory.ring import BOUNDS, Ring, Tangent, dense, derivative, with_residuals
from usct.inversion.objective import Objective, Point
from usct.inversion.optimizers import GaussNewton
from usct.inversion.tailoring import EDGE, UNEXPLAINED, band_spectra, measure, tapering
from usct.parameterization.spectrum import RadialSpectrum, Tailoring, lattice_wavenumbers
from usct.parameterization.tailored import TailoredGrid

CUTOFF = 0.9
N_DRAWS = 16


def known_prior(ring: Ring) -> RadialSpectrum:
    """A change of about one per cent, mostly smooth."""
    wavenumbers = torch.linspace(0, 2 * CUTOFF, 200, dtype=torch.float64) * ring.wave
    return RadialSpectrum(wavenumbers, 1e-4 / (1 + (2 * wavenumbers / ring.wave) ** 2) ** 1.5)


def draw(ring: Ring, generator: torch.Generator) -> torch.Tensor:
    """A change of the image with the known spectrum, from a lattice so wide that it is stationary."""
    lattice = (96, 96)
    transfer = known_prior(ring)(lattice_wavenumbers(lattice, ring.spacing)).sqrt()
    white = torch.randn(lattice, generator=generator, dtype=torch.float64)
    change = torch.fft.irfft2(transfer * torch.fft.rfft2(white), s=lattice)
    return change[: ring.image.shape[0], : ring.image.shape[1]] * ring.region


def noisy(probed: Linearized, change: torch.Tensor, deviation: float, generator: torch.Generator) -> Point:
    """The point whose residual is J change plus noise of this standard deviation in every real number."""
    data = probed.derivative.apply(change)[0]
    parts = deviation * torch.randn(2, *data.shape, generator=generator, dtype=torch.float64)
    return with_residuals(probed.point, (data + torch.complex(parts[0], parts[1]))[None])


def measured(probed: Linearized, at: Point, seed: int) -> Tailoring:
    ring = probed.ring
    everywhere = torch.ones(ring.image.shape, dtype=torch.float64)
    return measure(at, ring.image, ring.region, everywhere, 2 * CUTOFF * ring.wave, seed)[0]


def deviation(probed: Linearized, ratio: float) -> float:
    """Noise whose energy is this square times what a drawn change makes of data."""
    generator = torch.Generator().manual_seed(99)
    energies = [
        probed.derivative.apply(draw(probed.ring, generator))[0].abs().square().mean() for _ in range(8)
    ]
    return ratio * float(torch.stack(energies).mean() / 2) ** 0.5


def scale(probed: Linearized) -> float:
    """Weight of one datum in the objective."""
    return float(probed.point.residuals[0].weights.max())


def expected_gain(probed: Linearized, centres: torch.Tensor, taper: torch.Tensor) -> torch.Tensor:
    """Expectation of the probes' gain from the dense J^H J, band by band."""
    ring = probed.ring
    shape = ring.image.shape
    wavenumbers = lattice_wavenumbers(shape, ring.spacing)
    width = float(centres[1] - centres[0])
    eye = torch.eye(ring.image.n_cells, dtype=torch.float64).reshape(-1, *shape)
    inside = wavenumbers < width * len(centres)
    probes = taper * torch.fft.irfft2(torch.fft.rfft2(eye) * inside, s=shape)
    products = torch.zeros_like(probes)
    products[:, ring.region] = probes[:, ring.region] @ probed.hessian
    spectra = [torch.fft.rfft2(v) for v in (probes, products)]
    twice = torch.full_like(wavenumbers, 2.0)
    twice[:, 0] = 1.0
    above, below = (twice * (spectra[0].conj() * s).real.sum(dim=0) for s in (spectra[1], spectra[0]))
    bands = [(wavenumbers / width).long() == n for n in range(len(centres))]
    return torch.stack([above[b].sum() / below[b].sum() for b in bands])


def test_the_image_derivative_is_made_of_products_of_fields():
    """Two frequencies, muted neighbours: curvature as by dense matrices, averaged over frequencies."""
    probed = linearized(Ring.of(8.0, 20, muted=0.5, lower=(0.6,)))
    generator = torch.Generator().manual_seed(7)
    change = probed.image(torch.randn(probed.ring.region.sum(), generator=generator, dtype=torch.float64))
    cells = change[probed.ring.region]
    jacobians = [dense(probed.point, number) for number in range(2)]
    expected = sum(jacobian.T @ (jacobian @ cells) for jacobian in jacobians)
    assert relative_error(probed.derivative.curvature(change), probed.image(expected)) < 1e-10


def test_probed_gains_are_those_of_the_dense_curvature(small):
    """Sixty probes leave two per cent of luck, and ten in the lowest band, which has but five modes."""
    region = small.ring.region
    found = band_spectra(small.derivative, region, 2 * CUTOFF * small.ring.wave, 0, n_probes=60)
    expected = expected_gain(small, found.centres, tapering(region))
    assert len(expected) >= 5
    ratio = found.gain / expected
    assert float(ratio[0]) == pytest.approx(1.0, abs=0.2)
    assert float((ratio[1:] - 1).abs().max()) < 0.04, ratio


def one_way(at: Point) -> Point:
    """The same point with each pair of elements used one way only."""
    residuals = tuple(replace(residual, weights=residual.weights.triu()) for residual in at.residuals)
    differences = torch.stack([residual.difference for residual in at.residuals])
    return with_residuals(replace(at, residuals=residuals), differences)


def found_in_draws(
    probed: Linearized, loudness: float, shown: Callable[[Point], Point] = lambda at: at
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Noise of every draw over the true one; mean prior over the true one, and true signal to noise, by band.

    Bands are those that the cutoff's edge leaves as they are.
    """
    sigma, generator = deviation(probed, loudness), torch.Generator().manual_seed(1)
    points = [shown(noisy(probed, draw(probed.ring, generator), sigma, generator)) for _ in range(N_DRAWS)]
    found = [measured(probed, at, seed) for seed, at in enumerate(points)]
    true_noise, centres = scale(probed) * sigma**2, found[0].gain.wavenumbers
    half = 0.5 * float(centres[1] - centres[0])
    centres = centres[centres + half < (1 - EDGE) * 2 * CUTOFF * probed.ring.wave]
    truth = known_prior(probed.ring)(centres)
    prior = torch.stack([f.prior(centres) for f in found]).mean(dim=0)
    gain = torch.stack([f.gain(centres) for f in found]).mean(dim=0)
    noise = torch.tensor([f.noise for f in found], dtype=torch.float64)
    return noise / true_noise, prior / truth, gain * truth / true_noise


@pytest.mark.parametrize("loudness", [3.5, 1.0])
def test_noise_and_prior_are_found_where_pairs_were_used_both_ways(middling, loudness):
    """The noise within 10 %, the prior within a factor of 1.5 in every band that noise does not hide."""
    noise, prior, ratio = found_in_draws(middling, loudness)
    assert float((noise - 1).abs().max()) < 0.10, noise
    heard = ratio > 0.3
    assert int(heard.sum()) >= 4
    assert float(prior[heard].log().abs().max()) < math.log(1.5), prior


def test_of_a_loud_change_a_share_counts_as_noise(middling):
    """What is left is ten times the noise: three tenths of that count, lest errors of the model be fitted."""
    noise, prior, ratio = found_in_draws(middling, 1 / 3)
    counted = UNEXPLAINED * (1 + 3**2)
    assert float(noise.mean()) == pytest.approx(counted, rel=0.10)
    loud = ratio > 5 * counted
    assert int(loud.sum()) >= 4
    assert float(prior[loud].log().abs().max()) < math.log(1.5), prior


def test_without_such_pairs_the_weakest_bands_tell_the_noise(middling):
    """Where the missing change is as loud as the noise, some of what the weakest band holds of it counts too.

    So bands open later, never early. The lowest bands lie above the truth by up to a half: what the taper lets
    through from steeper ones.
    """
    noise, prior, ratio = found_in_draws(middling, 1.0, one_way)
    assert float(noise.min()) > 1.0
    assert float(noise.mean()) < 1 + float(ratio.min())
    assert float(prior.max()) < 1.5, prior
    assert float(prior[ratio > 5].min()) > 1 / 1.5, prior


def test_nothing_is_expected_beyond_the_cutoffs_edge(middling):
    cutoff, generator = 2 * CUTOFF * middling.ring.wave, torch.Generator().manual_seed(1)
    found = measured(middling, noisy(middling, draw(middling.ring, generator), 1e-4, generator), 0)
    wavenumbers = torch.linspace(0, 2 * cutoff, 400, dtype=torch.float64)
    beyond = found.prior(wavenumbers)[wavenumbers > (1 + EDGE) * cutoff]
    assert found.prior.highest > 0.5 * cutoff
    assert float(beyond.max()) == 0.0
    assert found.prior.highest < (1 + EDGE) * cutoff


def tailored_point(probed: Linearized, at: Point, tailoring: Tailoring) -> tuple[TailoredGrid, Point]:
    """A field in water, tailored, and the point through it."""
    form = TailoredGrid(probed.ring.water, probed.ring.region, BOUNDS, known_prior(probed.ring))
    form.retailor(tailoring)
    objective = Objective(at.objective.models, at.objective.observed, at.objective.misfit, form)
    return form, objective.describe(at.residuals, at.linearizations)


def change_after(form: TailoredGrid, step: torch.Tensor) -> torch.Tensor:
    """Change of the image that a step of the parameters makes."""
    form.load(step)
    change = form.change(form.grid).detach()
    form.reset()
    return change


def test_noise_alone_opens_next_to_nothing(middling):
    """What luck opens is weak, and a step explains less than a hundredth of what there is to explain."""
    generator, opened = torch.Generator().manual_seed(1), []
    for seed in range(6):
        at = noisy(middling, torch.zeros(middling.ring.image.shape, dtype=torch.float64), 1e-3, generator)
        found = measured(middling, at, seed)
        assert found.noise == pytest.approx(scale(middling) * 1e-6, rel=0.05)
        centres = found.gain.wavenumbers
        opened.append(found.gain(centres) * found.prior(centres) / found.noise)
        form, tailored = tailored_point(middling, at, found)
        step = GaussNewton(5).step(tailored, lambda v, form=form: form.precondition(v, 0.0))
        explained = middling.derivative.apply(change_after(form, step))[0]
        share = float(explained.abs().square().sum() / at.residuals[0].difference.abs().square().sum())
        assert share < 0.01
    assert float(torch.stack(opened).mean()) < 0.2


def test_a_step_after_tailoring_is_the_most_probable_change(small):
    """(J^H J + noise S^-1)^-1 J^H r by dense matrices, S the prior covariance, and the filter halves the work."""
    ring, generator = small.ring, torch.Generator().manual_seed(5)
    sigma = deviation(small, 0.3)
    at = noisy(small, draw(ring, generator), sigma, generator)
    bands = band_spectra(small.derivative, ring.region, 2 * CUTOFF * ring.wave, 0)
    gain = RadialSpectrum(bands.centres, bands.gain)
    tailoring = Tailoring(gain, known_prior(ring), scale(small) * sigma**2)
    form, tailored = tailored_point(small, at, tailoring)
    covariance = Tangent(form, ring).kernel()
    gradient = derivative(ring, tailored).gradient()[ring.region]
    noise = tailoring.noise * torch.eye(len(gradient), dtype=torch.float64)
    probable = small.image(-covariance @ torch.linalg.solve(small.hessian @ covariance + noise, gradient))

    def error(n_inner: int, filtered: bool) -> float:
        step = GaussNewton(n_inner).step(tailored, lambda v: form.precondition(v, 0.0) if filtered else v)
        return relative_error(change_after(form, step), probable)

    assert error(80, filtered=True) < 0.01
    assert error(5, filtered=True) < 0.5 * error(5, filtered=False)
