"""Every misfit: its derivative and adjoint, what it does not see, and how wide its basin is."""

import pytest
import torch

from tests.bench.basins import basin
from tests.helpers import assert_taylor, random_like
from usct.misfit.catalogue import BAND_NAMES, SINGLE_NAMES, misfit_of

NAMES = SINGLE_NAMES + BAND_NAMES
N_TX, N_RX, N_FREQ = 5, 7, 6


def draw(name: str, seed: int, spread: float = 0.02) -> torch.Tensor:
    """Spectra of an arrival for each channel, and something random about it."""
    frequencies = torch.arange(5, 5 + N_FREQ, dtype=torch.float64)[:, None, None]
    late = spread * random_like((N_TX, N_RX), seed, False)
    band = torch.exp(-2j * torch.pi * frequencies * (0.3 + late)) + 0.05 * random_like(
        (N_FREQ, N_TX, N_RX), seed + 50, True
    )
    return band[0] if name in SINGLE_NAMES else band


def weights(name: str) -> torch.Tensor:
    kept = torch.rand(N_TX, N_RX, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    kept = torch.where(kept > 0.2, kept, 0.0)
    return kept if name in SINGLE_NAMES else kept.expand(N_FREQ, N_TX, N_RX)


def residual(name: str, kind: str = "transmit", predicted: torch.Tensor | None = None):
    predicted = draw(name, 0) if predicted is None else predicted
    return misfit_of(name, kind).residual(predicted, draw(name, 1), weights(name))


@pytest.mark.parametrize("kind", ["none", "transmit"])
@pytest.mark.parametrize("name", NAMES)
def test_derivative_leaves_a_second_order_remainder(name, kind):
    at, random = residual(name, kind), random_like(draw(name, 0).shape, 2, True)
    uphill = at.adjoint(at.difference)
    # Uphill and sideways alike: across the slope alone, the first remainder would be of second order as well.
    change = uphill / uphill.norm() + random / random.norm()
    slope = (change.conj() * at.adjoint(at.difference)).sum().real

    def value(predicted):
        return torch.tensor(residual(name, kind, predicted).value, dtype=torch.float64)

    assert_taylor(value, draw(name, 0), change, slope, start=0.05, n_halvings=5)


@pytest.mark.parametrize("kind", ["none", "transmit", "both"])
@pytest.mark.parametrize("name", NAMES)
def test_products_are_adjoint(name, kind):
    at = residual(name, kind)
    change = random_like(draw(name, 0).shape, 5, True)
    other = random_like(at.difference.shape, 6, at.difference.is_complex())
    there = (at.weights * at.apply(change).conj() * other).sum().real
    back = (change.conj() * at.adjoint(other)).sum().real
    assert float(there) == pytest.approx(float(back), rel=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_the_change_is_that_of_the_difference(name):
    """Without pulses to fit, the derivative of what is squared is what finite differences say."""
    kind = "transmit" if name == "normalised" else "none"
    change, h = random_like(draw(name, 0).shape, 7, True), 1e-5
    ahead, behind = (residual(name, kind, draw(name, 0) + s * h * change) for s in (1, -1))
    # A weight that is projected out stays where it is to first order only at the truth.
    if name != "normalised":
        expected = (ahead.difference - behind.difference) / (2 * h)
        found = residual(name, kind).apply(change)
        assert float((found - expected).norm()) < 1e-5 * float(expected.norm())


@pytest.mark.parametrize("name", NAMES)
def test_unknown_pulses_are_found(name):
    """Data of every transmit's own pulse leave nothing to explain, but for the adaptive filter's own width."""
    predicted = draw(name, 0)
    shape = (N_TX, 1) if name in SINGLE_NAMES else (N_FREQ, N_TX, 1)
    pulse = 2 * random_like(shape, 8, True)
    misfit = misfit_of(name, "transmit")
    left = misfit.residual(predicted, pulse * predicted, weights(name)).value
    wrong = misfit.residual(predicted, draw(name, 1, spread=0.1), weights(name)).value
    if name == "adaptive":
        assert left < wrong
    else:
        assert left < 1e-6 < wrong


def test_phase_does_not_see_amplitudes():
    gains = random_like((N_TX, N_RX), 3, False).exp()
    one, other = residual("phase"), residual("phase", predicted=gains * draw("phase", 0))
    assert one.value == pytest.approx(other.value, rel=1e-12)
    assert residual("least-squares", predicted=gains * draw("phase", 0)).value > 2 * one.value


def test_normalised_correlation_is_what_it_says():
    predicted, observed, w = draw("phase", 0), draw("phase", 1), weights("phase")
    overlap = (w * predicted.conj() * observed).sum(dim=1).abs().square()
    energies = [(w * x.abs().square()).sum(dim=1) for x in (predicted, observed)]
    expected = 0.5 * float((1 - overlap / energies[0] / energies[1]).mean())
    assert residual("normalised").value == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_channels_without_data_count_nothing(name):
    predicted, observed, w = draw(name, 0), draw(name, 1), weights(name).clone()
    observed[..., 2, 3], w[..., 2, 3], predicted[..., 4, 1] = 0.0, 0.0, 0.0
    at = misfit_of(name, "transmit").residual(predicted, observed, w)
    back = at.adjoint(at.difference)
    assert at.value > 0
    assert torch.isfinite(torch.view_as_real(back)).all()
    assert float(back[..., 2, 3].abs().max()) == 0


def test_a_band_has_two_frequencies():
    with pytest.raises(ValueError, match="two frequencies"):
        misfit_of("envelope", "none").residual(
            draw("phase", 0)[None], draw("phase", 1)[None], weights("phase")[None]
        )


def test_basins():
    """Least squares and phases lead back from half a cycle; bands from cycles, in noise as well."""
    for name in SINGLE_NAMES:
        assert basin(name).width == pytest.approx(0.5, abs=0.05)
    for name in BAND_NAMES:
        found = basin(name)
        assert found.width > 2, name
        assert found.noisy_width > 1.5, name
