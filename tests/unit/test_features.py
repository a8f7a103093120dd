"""Fourier features: kernels and spectra as prescribed, and what the instrument samples."""

import math

import pytest
import torch

from tests.helpers import relative_error
from usct.acquisition import TransducerArray
from usct.grid import Grid
from usct.parameterization.features import (
    FourierFeatures,
    PointCache,
    encode,
    gaussian_features,
    instrument_features,
    tailored_features,
)
from usct.parameterization.spectrum import RadialSpectrum, gaussian_spectrum, tailored_spectrum

WAVE = 500.0
DOUBLE = torch.float64
FLAT = RadialSpectrum(torch.tensor([0.0, 2 * WAVE], dtype=DOUBLE), torch.ones(2, dtype=DOUBLE))
RING = TransducerArray.ring(64, 0.1)
MIDDLE = Grid.covering(5e-3, 1e-3).points().reshape(-1, 2)


def points(count: int, seed: int) -> torch.Tensor:
    draw = torch.rand(count, 2, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)
    return 0.02 * (2 * draw - 1)


def encoded(features: FourierFeatures, at: torch.Tensor) -> torch.Tensor:
    return encode(at @ features.wavenumbers.T, features.amplitudes)


@pytest.mark.parametrize(
    "features",
    [
        gaussian_features(300.0, 40, seed=2),
        tailored_features(tailored_spectrum(WAVE), 40),
        instrument_features(FLAT, RING, torch.ones(64, 64), WAVE, MIDDLE, 40),
    ],
)
def test_tangent_kernel_of_a_linear_readout_is_the_sum_of_cosines(features):
    x, y = points(7, 1), points(5, 2)
    readout = torch.ones(80, dtype=DOUBLE)
    jacobians = [torch.func.jacrev(lambda w, at=at: encoded(features, at) @ w)(readout) for at in (x, y)]
    lags = (x[:, None] - y).reshape(-1, 2)
    assert relative_error((jacobians[0] @ jacobians[1].T).reshape(-1), features.kernel(lags)) < 1e-12
    assert torch.allclose(encoded(features, x).square().sum(dim=1), torch.ones(7, dtype=DOUBLE))


@pytest.mark.parametrize(
    "spectrum", [tailored_spectrum(WAVE), tailored_spectrum(WAVE, 1.0, 0.2, 0.75), gaussian_spectrum(200.0)]
)
def test_tailored_features_reproduce_their_spectrum(spectrum):
    features = tailored_features(spectrum, 2000)
    edges = torch.linspace(0, spectrum.highest, 21, dtype=DOUBLE)
    power = torch.stack(
        [
            features.amplitudes.square()[(features.magnitudes >= low) & (features.magnitudes < high)].sum()
            for low, high in zip(edges[:-1], edges[1:], strict=True)
        ]
    )
    fine = torch.linspace(0, spectrum.highest, 20_001, dtype=DOUBLE)
    expected = (spectrum(fine[:-1]) * fine[:-1]).reshape(20, -1).sum(dim=1)
    assert relative_error(power, expected / expected.sum()) < 0.01


def test_tailored_features_look_the_same_in_all_directions():
    features = tailored_features(tailored_spectrum(WAVE), 2000)
    angle = 0.5 * math.pi * torch.arange(12, dtype=DOUBLE) / 12
    for lag in (2e-3, 6e-3):
        values = features.kernel(lag * torch.stack([angle.sin(), angle.cos()], dim=1))
        assert float(values.std()) < 5e-3, "beside a kernel of one at no lag"


def test_tailored_features_reach_beyond_the_spectrum_where_a_later_stage_needs_them():
    spectrum = tailored_spectrum(0.5 * WAVE)
    features = tailored_features(spectrum, 100, highest=1.8 * WAVE)
    assert features.highest == pytest.approx(1.8 * WAVE, rel=0.01)
    beyond = features.amplitudes[features.magnitudes > spectrum.highest]
    assert len(beyond) > 40
    assert torch.allclose(beyond, 0.01 * features.amplitudes.max())


def test_gaussian_features_have_their_width_and_one_strength():
    features = gaussian_features(300.0, 4000, seed=1)
    # 4000 draws estimate a standard deviation to about one per cent.
    assert torch.allclose(features.wavenumbers.std(dim=0), torch.tensor([300.0, 300.0]).double(), rtol=0.05)
    assert torch.allclose(features.amplitudes, torch.full((4000,), 4000**-0.5, dtype=DOUBLE))
    assert features.highest <= 1200.0
    assert torch.equal(features.wavenumbers, gaussian_features(300.0, 4000, seed=1).wavenumbers)
    assert not torch.equal(features.wavenumbers, gaussian_features(300.0, 4000, seed=2).wavenumbers)


def test_gaussian_features_take_another_spectrum():
    target = tailored_spectrum(250.0, edge=0.9)
    features = gaussian_features(150.0, 40_000, seed=1).reshaped(target, 0.0)
    share = float(features.amplitudes.square()[features.magnitudes < 200.0].sum())
    fine = torch.linspace(0, 450, 4501, dtype=DOUBLE)
    power = target(fine) * fine
    assert share == pytest.approx(float(power[fine < 200].sum() / power.sum()), rel=0.05)


def test_a_full_ring_samples_with_the_density_of_its_symbol():
    """1 / (K sqrt(4 k^2 - K^2)) per area, so that 2 / pi asin(K / 2 k) of all samples lie below K."""
    features = instrument_features(FLAT, RING, torch.ones(64, 64), WAVE, MIDDLE, 4000, seed=1)
    radii = features.magnitudes.sort().values
    expected = 2 / math.pi * torch.asin((radii / (2 * WAVE)).clamp(max=1))
    found = (torch.arange(4000, dtype=DOUBLE) + 0.5) / 4000
    # Kolmogorov and Smirnov: at random, 4000 samples exceed 0.031 once in a thousand times.
    assert float((found - expected).abs().max()) < 0.031


def test_instrument_features_undo_the_density_of_their_instrument():
    """Whatever is sampled more often is weaker, so that the power per area is the spectrum asked for."""
    features = instrument_features(FLAT, RING, torch.ones(64, 64), WAVE, MIDDLE, 4000, seed=1)
    edges = 2 * WAVE * torch.linspace(0.15, 0.85, 8, dtype=DOUBLE)
    power = torch.stack(
        [
            features.amplitudes.square()[(features.magnitudes >= low) & (features.magnitudes < high)].sum()
            for low, high in zip(edges[:-1], edges[1:], strict=True)
        ]
    )
    density = power / (edges[1:].square() - edges[:-1].square())
    # About 300 features make each of the rings: 6 per cent at random, and the estimate of density smooths.
    assert float((density / density.mean() - 1).abs().max()) < 0.2


def test_a_limited_aperture_leaves_directions_out():
    """Transmits above and receives below, each over 60 degrees, see no steep detail of the finest kind."""
    angle = torch.deg2rad(torch.linspace(60, 120, 20, dtype=DOUBLE))
    upper = 0.1 * torch.stack([angle.sin(), angle.cos()], dim=1)
    array = TransducerArray(torch.cat([upper, -upper]), torch.arange(20), torch.arange(20, 40))
    features = instrument_features(FLAT, array, torch.ones(20, 20), WAVE, MIDDLE, 500)
    assert features.highest < 2 * WAVE * math.sin(math.radians(33.5)), "unit vectors at most 67 degrees apart"
    weights = torch.zeros(64, 64)
    weights[:, 5] = 1.0
    one = instrument_features(FLAT, RING, weights, WAVE, torch.zeros(1, 2, dtype=DOUBLE), 300)
    ray = -RING.positions[5] / 0.1 * WAVE
    off = [torch.linalg.vector_norm(s * one.wavenumbers + ray, dim=1) - WAVE for s in (1, -1)]
    assert float(torch.minimum(off[0].abs(), off[1].abs()).max()) < 1e-6 * WAVE, "one Ewald circle"


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda: gaussian_features(-1.0, 5), "width must be positive"),
        (lambda: gaussian_features(1.0, 0), "n must be positive"),
        (lambda: tailored_features(FLAT, 5, math.nan), "highest must be positive"),
        (
            lambda: instrument_features(FLAT, RING, torch.zeros(64, 64), WAVE, MIDDLE, 5),
            "at least one channel",
        ),
        (lambda: gaussian_features(9.0, 5).reshaped(lambda k: 0 * k), "must have power"),
        (
            lambda: FourierFeatures(torch.ones(2, 2), torch.ones(3), torch.ones(2)),
            "amplitudes must have shape",
        ),
        (lambda: FourierFeatures(torch.ones(2, 2), torch.ones(2), torch.ones(2)), "must sum to 1"),
        (lambda: FourierFeatures(torch.ones(2, 2), torch.ones(2), -torch.ones(2)), "areas must be finite"),
        (lambda: FourierFeatures(torch.ones(2), torch.ones(2), torch.ones(2)), "wavenumbers must have shape"),
    ],
)
def test_what_are_no_features_is_refused(build, sentence):
    with pytest.raises(ValueError, match=sentence):
        build()


def test_a_cache_remembers_by_value_and_drops_the_oldest():
    calls = []

    def double(at: torch.Tensor) -> tuple[torch.Tensor, ...]:
        calls.append(len(at))
        return (2 * at,)

    cache = PointCache(100)
    for at in (torch.ones(5, 2), torch.ones(5, 2), torch.zeros(5, 2), torch.ones(9, 2), torch.zeros(5, 2)):
        assert torch.equal(cache.get(at, double)[0], 2 * at)
    assert calls == [5, 5, 9, 5]
    cache.clear()
    cache.get(torch.ones(5, 2), double)
    assert len(calls) == 5
