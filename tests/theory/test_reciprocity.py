"""The noise that pairs of elements tell when they are used both ways."""

from dataclasses import replace

import pytest
import torch

from tests.theory.conftest import Linearized, linearized
from tests.theory.ring import Ring
from usct.inversion.objective import Point
from usct.inversion.tailoring import LEAST_PAIRS, reciprocity_noise

SIGMA = 2e-3
"""Standard deviation of the noise in each real number."""


@pytest.fixture(scope="module")
def ring() -> Linearized:
    """Two frequencies, neighbours muted: 928 pairs in all, so that luck is three per cent."""
    return linearized(Ring.of(8.0, 32, muted=0.25, lower=(0.6,)))


def weighed(at: Point, seed: int) -> Point:
    """The point with other weights of transmits and receives, between a half and twice as strong."""
    generator = torch.Generator().manual_seed(seed)

    def gains(n: int) -> torch.Tensor:
        size = 0.5 * 4 ** torch.rand(n, generator=generator, dtype=torch.float64)
        return torch.polar(size, 6.3 * torch.rand(n, generator=generator, dtype=torch.float64))

    residuals = []
    for residual in at.residuals:
        n_tx, n_rx = residual.weights.shape
        residuals.append(replace(residual, source=gains(n_tx)[:, None], receive=gains(n_rx)[None]))
    return replace(at, residuals=tuple(residuals))


def noisy(at: Point, symmetric: float, seed: int) -> Point:
    """The point whose residual is noise, and errors of this size that are the same in both directions."""
    generator = torch.Generator().manual_seed(seed)
    residuals = []
    for residual in at.residuals:
        shape = residual.weights.shape
        noise, error = (torch.randn(2, *shape, generator=generator, dtype=torch.float64) for _ in range(2))
        wrong = symmetric * torch.complex(error[0] + error[0].mT, error[1] + error[1].mT)
        gain = residual.source * residual.receive
        residuals.append(
            replace(residual, difference=gain * wrong + SIGMA * torch.complex(noise[0], noise[1]))
        )
    return replace(at, residuals=tuple(residuals))


def expected(at: Point) -> float:
    """Noise of one real datum on the scale of the objective, the mean over frequencies."""
    return SIGMA**2 * sum(float(r.weights.max()) for r in at.residuals) / len(at.residuals) ** 2


@pytest.mark.parametrize("seed", range(3))
def test_the_noise_is_found_whatever_the_weights_of_transmits_and_receives(ring, seed):
    for at in (ring.point, weighed(ring.point, seed)):
        assert reciprocity_noise(noisy(at, 0.0, seed)) == pytest.approx(expected(at), rel=0.10)


@pytest.mark.parametrize("seed", range(3))
def test_errors_that_are_the_same_both_ways_do_not_count(ring, seed):
    """A thousand times the noise; what is left of it is rounding."""
    at = weighed(ring.point, seed)
    plain, wrong = (reciprocity_noise(noisy(at, symmetric, seed)) for symmetric in (0.0, 1e3 * SIGMA))
    assert plain is not None
    assert wrong == pytest.approx(plain, rel=1e-9)


def test_data_of_one_direction_tell_nothing(ring):
    at = noisy(ring.point, 0.0, 0)
    residuals = tuple(replace(residual, weights=residual.weights.triu()) for residual in at.residuals)
    assert reciprocity_noise(replace(at, residuals=residuals)) is None


def test_few_pairs_tell_nothing():
    """Five elements have ten pairs at each of two frequencies."""
    few = linearized(Ring.of(2.0, 5, lower=(0.6,)))
    assert LEAST_PAIRS > 2 * 10
    assert reciprocity_noise(noisy(few.point, 0.0, 0)) is None


def test_channels_without_weight_do_not_count(ring):
    """Muted ones may hold anything."""
    at = noisy(ring.point, 0.0, 0)
    loud = tuple(replace(r, difference=torch.where(r.weights > 0, r.difference, 1e6)) for r in at.residuals)
    assert any(bool((r.weights == 0).any()) for r in at.residuals)
    assert reciprocity_noise(replace(at, residuals=loud)) == reciprocity_noise(at)
