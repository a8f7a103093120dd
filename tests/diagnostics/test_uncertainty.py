"""The standard deviation equals that of dense matrices, and errors of drawn images stay within it as often as told."""

import math
from dataclasses import replace

import pytest
import torch

from tests.diagnostics import rings
from tests.diagnostics.rings import CUTOFF, Known
from tests.helpers import relative_error
from tests.theory.ring import WATER, Ring
from usct.diagnostics.belief import Belief, believe, most_probable
from usct.diagnostics.uncertainty import (
    calibration,
    fitted_errors,
    prior_draws,
    sound_speed,
    standard_deviation,
)
from usct.grid import low_pass
from usct.inversion.optimizers import GaussNewton

N_DRAWS = 20


@pytest.fixture(scope="module")
def pixels() -> Known:
    return rings.pixels(Ring.of(9.0, 22, ratio=2.5))


@pytest.fixture(scope="module")
def tailored(pixels) -> Known:
    return rings.tailored(pixels, 40.0, rings.one_sided_envelope(pixels.ring))


@pytest.fixture(scope="module")
def cases(pixels, tailored) -> dict[str, tuple[Known, Belief]]:
    strongest = float(torch.linalg.matrix_norm(pixels.jacobian, 2)) ** 2
    return {
        "pixels": (pixels, Belief(strongest / 40 * 1e-4, 1e-4)),
        "tailored": (tailored, Belief(tailored.kernels.point.damping)),
    }


def cutoff(known: Known, name: str) -> float | None:
    """Pixels hold detail that no wave sees; the tailored prior ends before."""
    return 2 * CUTOFF * known.ring.wave if name == "pixels" else None


def filtered(known: Known, name: str) -> torch.Tensor:
    """Matrix that takes out detail beyond the cutoff, shape (cell, cell)."""
    limit, n_cells = cutoff(known, name), int(known.ring.region.sum())
    units = torch.eye(n_cells, dtype=torch.float64)
    if limit is None:
        return units
    columns = [low_pass(known.image(unit), known.ring.spacing, limit)[known.ring.region] for unit in units]
    return torch.stack(columns, dim=1)


@pytest.mark.parametrize("name", ["pixels", "tailored"])
def test_standard_deviation_is_that_of_dense_matrices(cases, name):
    """Within 3 % on average, and within 13 % at nine of ten places.

    The luck of 64 draws alone is 9 % at each place, which would leave nine of ten within 15 %; averaging over
    neighbours takes some of it away.
    """
    known, belief = cases[name]
    matrix = filtered(known, name)
    exact = WATER * (matrix @ known.posterior(belief) @ matrix.T).diagonal().sqrt()
    found = standard_deviation(known.kernels, belief, cutoff(known, name), n_draws=64)
    assert torch.equal(torch.isfinite(found), known.ring.region)
    ratio = found[known.ring.region] / exact
    assert float(ratio.mean()) == pytest.approx(1.0, abs=0.03)
    assert float(ratio.sub(1).abs().quantile(0.9)) < 0.13
    if name == "tailored":
        assert float(exact.max() / exact.min()) > 1.5, "a map that is even shows nothing"


@pytest.mark.parametrize("name", ["pixels", "tailored"])
def test_errors_stay_within_the_deviation_as_often_as_announced(cases, name):
    """Twenty images with noise: 68 % within one deviation and 95 % within two, but for luck.

    Neighbours err alike. As many of a draw's errors are independent as its covariance has eigenvalues that count,
    (tr C)^2 / tr C^2, and three deviations of a binomial distribution of so many are allowed.
    """
    known, belief = cases[name]
    deviation = standard_deviation(known.kernels, belief, cutoff(known, name), seed=3)
    errors = drawn_errors(known, belief, name)
    found = calibration(errors, deviation)
    matrix = filtered(known, name)
    covariance = matrix @ known.posterior(belief) @ matrix.T
    n_free = N_DRAWS * float(covariance.trace() ** 2 / covariance.square().sum())
    assert n_free > 300
    luck = 3 * (found.nominal * (1 - found.nominal) / n_free).sqrt()
    assert bool(((found.empirical - found.nominal).abs() < luck).all()), (found, luck)


def drawn_errors(known: Known, belief: Belief, name: str, told: Belief | None = None) -> torch.Tensor:
    """Estimated minus true sound speed of drawn images, shape (draw, *image.shape) [m/s]."""
    generator = torch.Generator().manual_seed(7)
    changes, data = zip(*(known.draw(belief, generator) for _ in range(N_DRAWS)), strict=True)
    found, errors = most_probable(known.kernels, torch.stack(data), told or belief), []
    for change, parameters in zip(changes, found, strict=True):
        error = -WATER * (known.kernels.image_of(parameters) - known.image(change))
        limit = cutoff(known, name)
        errors.append(error if limit is None else low_pass(error, known.ring.spacing, limit))
    return torch.stack(errors)


def test_belief_in_too_little_noise_shows_as_too_much_confidence(cases):
    """A tenth of the noise: only half of the errors lie within what should hold 68 %."""
    known, belief = cases["tailored"]
    wrong = replace(belief, noise=belief.noise / 10)
    deviation = standard_deviation(known.kernels, wrong, n_draws=8)
    found = calibration(drawn_errors(known, belief, "tailored", wrong), deviation, (0.68, 0.95))
    assert float(found.empirical[0]) < 0.55
    assert float(found.empirical[1]) < 0.85


def test_drawn_data_are_fitted_as_a_run_would_fit_them(cases):
    """As two Gauss-Newton updates by the run's own optimizer; without noise, and of data that stay linear."""
    known, scale = cases["pixels"][0], 1e-4
    limit = cutoff(known, "pixels")
    belief = Belief(1e-30, scale)
    (truth,) = prior_draws(known.kernels, belief, 1, seed=5)
    (found,) = truth + fitted_errors(known.kernels, belief, -truth[None], (3, 2), limit, seed=5)
    fitted = torch.zeros_like(truth)
    for n_inner in (3, 2):
        point = known.lacking(known.kernels.apply(truth - fitted)).kernels.point
        fitted = fitted + GaussNewton(n_inner).step(point, lambda g: known.form.precondition(g, limit))
    assert relative_error(found, fitted) < 1e-8
    assert relative_error(found, truth) > 0.05, "nothing was left to be fitted"


def test_calibration_counts_what_lies_within():
    """Of normal errors the nominal share; of twice as large ones that within half as many deviations."""
    errors = torch.randn(200_000, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    errors[:100] = torch.nan
    good = calibration(errors, torch.ones_like(errors))
    assert float((good.empirical - good.nominal).abs().max()) < 0.005
    bold = calibration(2 * errors, torch.ones_like(errors), (0.6827,))
    assert float(bold.empirical[0]) == pytest.approx(math.erf(0.5 / math.sqrt(2)), abs=0.005)


@pytest.mark.parametrize("explained", [0.0, 0.8])
def test_the_scale_of_the_image_is_found_from_the_data(pixels, explained):
    """Within 15 % of that of the draws, wherever the image stands by now, if the noise is known.

    Four draws of some eighty numbers that the data determine leave 8 % of luck.
    """
    belief = Belief(1e-9, 1e-4)
    generator, scales = torch.Generator().manual_seed(2), []
    for _ in range(4):
        change, data = pixels.draw(belief, generator)
        known = explained * change
        left = pixels.lacking(data - pixels.jacobian @ known)
        since = pixels.image(known) if explained else None
        scales.append(believe(left.kernels, noise=belief.noise, change=since).scale)
    assert sum(scales) / 4 == pytest.approx(belief.scale, rel=0.15)
    assert max(scales) < 2 * min(scales)


def test_the_noise_is_found_from_reciprocal_pairs(pixels):
    """Where the change that is still missing is about as loud as the noise."""
    loud = float((pixels.jacobian @ pixels.draw(Belief(1e-12, 1e-4), torch.Generator())[0]).square().mean())
    _, data = pixels.draw(Belief(loud, 1e-4), torch.Generator().manual_seed(3))
    found = believe(pixels.lacking(data).kernels)
    assert found.noise == pytest.approx(loud, rel=0.10)
    assert found.scale == pytest.approx(1e-4, rel=0.3)


def test_noise_alone_leaves_the_scale_at_what_its_luck_could_hide(pixels):
    _, data = pixels.draw(Belief(1e-8, 1e-30), torch.Generator().manual_seed(3))
    found = believe(pixels.lacking(data).kernels, noise=1e-8)
    energy = found.scale * float(pixels.jacobian.square().sum())
    assert energy < 4 * 1e-8 * math.sqrt(2 * pixels.kernels.n_data)


def test_a_tailored_kernel_brings_its_own_belief(tailored):
    assert believe(tailored.kernels) == Belief(tailored.kernels.point.damping, 1.0)
    assert believe(tailored.kernels, noise=3.0) == Belief(3.0, 1.0)


def test_the_sound_speed_is_the_points_whatever_was_loaded_since(tailored):
    form, vector = tailored.form, tailored.form.vector()
    form.load(vector + 1.0)
    found = sound_speed(tailored.kernels)
    form.load(vector)
    assert float((found - WATER).abs().max()) < 1e-9
