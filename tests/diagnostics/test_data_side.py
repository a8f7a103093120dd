"""What residuals hold: energies by mode, frequencies' shares, and what is left to learn, against dense matrices."""

from dataclasses import replace

import pytest
import torch
from scipy.special import i0e

from tests.diagnostics import rings
from tests.diagnostics.rings import Known
from tests.helpers import relative_error
from tests.theory.ring import BOUNDS, Ring, Tangent, dense, point
from usct.diagnostics.belief import Belief
from usct.diagnostics.data_side import (
    Gain,
    frequency_bias,
    mode_energy,
    nothing_left,
    recoverable_modes,
    remaining_gain,
    ring_mean,
    stop_suggestion,
)
from usct.diagnostics.eigen import Eigenpairs, top_eigenpairs
from usct.diagnostics.kernels import TangentKernels
from usct.diagnostics.model_side import transfer
from usct.parameterization.spectrum import gaussian_spectrum
from usct.parameterization.tailored import TailoredGrid


@pytest.fixture(scope="module")
def tailored() -> Known:
    """A tailored kernel where a drawn change is missing, its strongest eigenvalue forty times the noise."""
    known = rings.tailored(rings.pixels(Ring.of(9.0, 22, ratio=2.5)), 40.0)
    return known.lacking(known.draw(belief(known), torch.Generator().manual_seed(1))[1])


def belief(known: Known) -> Belief:
    return Belief(known.kernels.point.damping)


def every_pair(known: Known) -> Eigenpairs:
    """All pairs whose eigenvalue is not nothing, by dense matrices."""
    values, modes = torch.linalg.eigh(known.jacobian @ known.tangent @ known.jacobian.T)
    kept = values > 1e-12 * values[-1]
    count = int(kept.sum())
    return Eigenpairs(values[kept], modes.T[kept], torch.zeros(count, 0), torch.zeros(count))


def test_modes_share_the_residuals_energy(tailored):
    pairs = top_eigenpairs(tailored.kernels, 6, tolerance=1e-8)
    found, residual = mode_energy(tailored.kernels, pairs), tailored.kernels.residual()
    modes = every_pair(tailored).data_modes[-6:]
    expected = (modes @ residual).square() / residual.square().sum()
    # Modes of equal eigenvalues may be turned against each other, their sum may not.
    assert float(found.share.sum()) == pytest.approx(float(expected.sum()), rel=1e-4)
    assert found.rest == pytest.approx(1 - float(found.share.sum()))
    assert relative_error(found.coefficients, pairs.data_modes @ residual) < 1e-12


def test_what_is_left_to_learn_is_what_the_modes_say(tailored):
    """One random draw of noise in place of its expectation makes a few per cent of difference."""
    known, told = tailored, belief(tailored)
    found = remaining_gain(known.kernels, told)
    by_modes = recoverable_modes(mode_energy(known.kernels, every_pair(known)), told)
    assert found.recoverable == pytest.approx(float(by_modes.sum()), rel=0.05)
    assert found.energy == pytest.approx(2 * known.kernels.point.value)
    assert found.noise == pytest.approx(known.kernels.n_data * told.noise)
    assert found.left is None


def test_before_the_step_one_should_go_on_and_after_it_stop(tailored):
    told = belief(tailored)
    before = stop_suggestion(remaining_gain(tailored.kernels, told))
    assert not before.stop
    assert before.sentence.startswith("Go on: ")
    data = -tailored.kernels.residual()
    after = tailored.lacking(data - tailored.jacobian @ tailored.estimator(told) @ data)
    gain = remaining_gain(after.kernels, told, start=tailored.kernels.residual())
    assert gain.left is not None
    assert gain.left < 0.1
    advice = stop_suggestion(gain)
    assert advice.stop
    assert f"{100 * (1 - gain.left):.0f} % of the recoverable residual is gone" in advice.sentence


def test_a_cheap_question_answers_as_the_thorough_one(tailored, monkeypatch):
    """Go on before the step and after half of it, stop after it; from three products."""
    told, data = belief(tailored), -tailored.kernels.residual()
    step = tailored.jacobian @ tailored.estimator(told) @ data
    cases = [
        tailored,
        *(tailored.lacking(d) for d in (data - 0.5 * step, data - step)),
    ]
    points = [known.kernels.point for known in cases]
    count = []
    for name in ("apply", "adjoint"):
        real = getattr(TangentKernels, name)
        monkeypatch.setattr(TangentKernels, name, lambda *a, real=real: count.append(1) or real(*a))
    assert [nothing_left(point, tailored.ring.image) for point in points] == [False, False, True]
    assert len(count) == 3 * len(points)


def test_of_noise_alone_there_is_nothing_to_learn(tailored):
    told, generator = belief(tailored), torch.Generator().manual_seed(5)
    noise = torch.randn(tailored.kernels.n_data, generator=generator, dtype=torch.float64)
    gain = remaining_gain(tailored.lacking(told.noise**0.5 * noise).kernels, told)
    assert gain.share < 0.02
    assert stop_suggestion(gain).stop


def test_half_a_step_leaves_a_share_that_says_go_on(tailored):
    told, data = belief(tailored), -tailored.kernels.residual()
    half = tailored.lacking(data - 0.5 * tailored.jacobian @ tailored.estimator(told) @ data)
    gain = remaining_gain(half.kernels, told, start=tailored.kernels.residual())
    assert gain.left is not None
    assert 0.2 < gain.left < 0.4, "a quarter of the energy, if all had been explained by the whole step"
    assert not stop_suggestion(gain).stop


def test_sentences_say_what_was_measured():
    gain = Gain(energy=1.0, noise=0.1, recoverable=0.5, determined=20.0)
    assert "50 % of what the data still differ by can be learnt" in stop_suggestion(gain).sentence
    start = replace(gain, at_start=0.6)
    assert not stop_suggestion(start).stop
    assert "17 % of the recoverable residual is gone" in stop_suggestion(start).sentence
    assert replace(gain, at_start=0.0).left == 0.0
    assert replace(gain, at_start=0.25).left == 1.0


def test_the_mean_over_a_rings_pairs_of_a_gaussian_is_known():
    """e^-z I0(z), z = (k / width)^2 (theory 1.3)."""
    waves = torch.tensor([100.0, 300.0, 900.0], dtype=torch.float64)
    expected = torch.from_numpy(i0e(((waves / 400) ** 2).numpy()))
    assert torch.allclose(ring_mean(gaussian_spectrum(400.0), waves), expected, rtol=1e-3)


def test_low_frequencies_act_more_strongly_as_the_formula_says():
    """Check 8: probes as dense traces within 10 %, the formula with the measured response within 15 %."""
    ring = Ring.of(14.0, 32, ratio=2.5, lower=(0.6, 0.3))
    at = point(ring)
    form = TailoredGrid(ring.water, ring.region, BOUNDS, gaussian_spectrum(0.5 * ring.wave))
    known = rings.known(ring, form, at)
    found = frequency_bias(known.kernels, transfer(known.kernels, n_probes=4).spectrum, n_probes=16)
    theta, exact = Tangent(form, ring).kernel(), []
    for number in range(3):
        jacobian = dense(at, number)
        exact.append((theta * (jacobian.T @ jacobian)).sum() / jacobian.square().sum())
    assert found.frequency.tolist() == pytest.approx(ring.frequencies)
    assert float((found.measured / torch.stack(exact) - 1).abs().max()) < 0.10, found
    assert float((found.expected / torch.stack(exact) - 1).abs().max()) < 0.15, found
    assert bool((found.measured.diff() > 0).all()), "frequencies fall"


def test_without_a_spectrum_no_bias_is_expected(tailored):
    found = frequency_bias(tailored.kernels, n_probes=1)
    assert bool(found.expected.isnan().all())
    assert float(found.measured) > 0
