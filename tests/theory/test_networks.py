"""Tangent kernels of Fourier-feature networks: a Gaussian mixture, whose tail the activation decides."""

import math

import numpy as np
import pytest
import torch
from scipy.special import j0

from tests.theory.ring import BOUNDS, Ring, Tangent, windowed_waves
from tests.theory.test_kernels import tailoring
from usct.parameterization.fourier import FourierNetwork

QUADRATURE = 40


def network(ring: Ring, width: float, activation: str, seed: int) -> FourierNetwork:
    return FourierNetwork(
        ring.water,
        ring.region,
        BOUNDS,
        width=width,
        n_features=1024,
        n_hidden=96,
        activation=activation,
        scale=1.0,
        seed=seed,
        dtype=torch.float64,
    )


def symbols(
    ring: Ring, width: float, activation: str, wavenumbers: torch.Tensor, n_seeds: int
) -> torch.Tensor:
    """Mean over seeds of the kernel's symbol, same shape as the wavenumbers."""
    total = torch.zeros_like(wavenumbers)
    for seed in range(n_seeds):
        tangent = Tangent(network(ring, width, activation, seed), ring)
        found = [tangent.symbol(windowed_waves(ring, k, 3)) for k in wavenumbers.tolist()]
        total += torch.tensor(found, dtype=torch.float64)
    return total / n_seeds


def infinitely_wide(correlation: torch.Tensor, n_layers: int) -> torch.Tensor:
    """Tangent kernel of tanh layers of infinite width as a function of the features' kernel.

    References:
        Jacot et al., NeurIPS 31 (2018) 8571, theorem 1.
    """
    nodes, weights = (torch.from_numpy(v) for v in np.polynomial.hermite_e.hermegauss(QUADRATURE))
    weights = weights / math.sqrt(2 * math.pi)

    def mean(function, variance: float, covariance: torch.Tensor) -> torch.Tensor:
        """E f(u) f(v) of normal u and v."""
        rho = (covariance / variance)[:, None, None]
        u = math.sqrt(variance) * nodes
        mixed = rho * nodes[:, None] + (1 - rho**2).clamp(min=0).sqrt() * nodes
        return torch.einsum(
            "i,j,i,tij->t", weights, weights, function(u), function(math.sqrt(variance) * mixed)
        )

    covariance, kernel, variance = correlation, correlation, 1.0
    for _ in range(n_layers):
        slopes = mean(lambda x: 1 - torch.tanh(x) ** 2, variance, covariance)
        outputs = mean(torch.tanh, variance, covariance)
        variance = float(mean(torch.tanh, variance, torch.tensor([variance], dtype=torch.float64)))
        covariance, kernel = outputs, outputs + slopes * kernel
    return kernel


def mixture(width: float, wavenumbers: torch.Tensor) -> torch.Tensor:
    """Two-dimensional spectrum of the kernel that Gaussian features make."""
    lags = torch.linspace(0, 12 / width, 2000, dtype=torch.float64)
    kernel = infinitely_wide(torch.exp(-0.5 * (width * lags) ** 2), 2)
    bessel = torch.from_numpy(j0((wavenumbers[:, None] * lags).numpy()))
    return 2 * math.pi * torch.trapezoid(kernel * lags * bessel, lags)


@pytest.mark.parametrize("width", [8.0, 12.0])
def test_symbol_is_the_gaussian_mixture(middling, width):
    """Constant included, from the passband, as wide as the features', down to a thousandth of its height.

    Within 15 %, of which most is the luck of a thousand random features: few of them make one wavenumber.
    """
    ring, width = middling.ring, width / middling.ring.object_radius
    wavenumbers = width * torch.tensor([1.0, 1.5, 2.0, 2.5, 4.5], dtype=torch.float64)
    expected = mixture(width, wavenumbers) / ring.spacing**2
    assert float(expected[0] / expected[-1]) > 100
    ratio = symbols(ring, width, "tanh", wavenumbers, 3) / expected
    assert float((ratio - 1).abs().max()) < 0.15, ratio


def test_tail_of_a_rectifier_falls_with_the_cube_and_a_smooth_one_faster(middling):
    """Beyond seven widths, where what is left of the passband no longer matters, to half the grid's Nyquist."""
    ring, width = middling.ring, 2.6 / middling.ring.object_radius
    wavenumbers = width * torch.tensor([7.0, 8.5, 10.5, 12.5], dtype=torch.float64)
    assert float(wavenumbers[-1]) < 0.5 * math.pi / ring.spacing
    x, slopes = wavenumbers.log(), {}
    for activation in ("relu", "tanh"):
        y = symbols(ring, width, activation, wavenumbers, 2).log()
        slopes[activation] = float(((x - x.mean()) * y).sum() / ((x - x.mean()) ** 2).sum())
    assert slopes["relu"] == pytest.approx(-3.0, abs=0.3)
    assert slopes["tanh"] < -6, slopes


def test_retailoring_leaves_the_image_and_scales_each_feature_by_what_it_gains(small):
    ring = small.ring
    net = FourierNetwork(
        ring.water,
        ring.region,
        BOUNDS,
        "tailored",
        highest=1.8 * ring.wave,
        n_features=64,
        n_hidden=32,
        adaptive=True,
        dtype=torch.float64,
    )
    generator = torch.Generator().manual_seed(2)
    vector = net.vector()
    net.load(vector + 0.2 * torch.randn(vector.shape, generator=generator, dtype=torch.float64))
    image, amplitudes = net(ring.image).sound_speed.detach(), net.amplitudes.clone()
    before = Tangent(net, ring).features()
    net.retailor(tailoring(ring))
    after, gain = Tangent(net, ring).features(), net.amplitudes / amplitudes
    assert float(image.std()) > 1
    changed = net(ring.image).sound_speed.detach()
    assert float(((changed - image) / image).abs().max()) < 1e-5
    assert float(gain.max() / gain.min()) > 3
    expected = torch.cat(
        [
            (gain.repeat(2)[:, None] if len(p) == 128 else torch.ones(1)).expand_as(p).reshape(-1)
            for p in (p.reshape(-1, 1) if p.ndim == 0 else p for p in net.parameters())
        ]
    )
    assert int((expected != 1).sum()) == 128 * 32, "the first layer's, one row for every cosine and sine"
    assert torch.allclose(after, before * expected, rtol=1e-9, atol=1e-12)
