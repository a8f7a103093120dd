"""What a ring senses: the symbol of J^H J, its edge, and the degrees of freedom that it leaves."""

import dataclasses
import math

import pytest
import torch

from tests.theory.conftest import linearized
from tests.theory.ring import symbol, wave_gain
from usct.inversion.tailoring import band_spectra

MUTED = math.radians(60.0)


@pytest.fixture(scope="module")
def muted(wide):
    return linearized(dataclasses.replace(wide.ring, muted=MUTED))


def gains(probed, shares) -> torch.Tensor:
    """Gain of plane waves whose wavenumbers are shares of twice the wave's."""
    ring = probed.ring
    return torch.tensor([wave_gain(ring, probed.derivative, 2 * s * ring.wave) for s in shares]).double()


def expected(probed, shares) -> torch.Tensor:
    return symbol(probed.ring, 2 * probed.ring.wave * torch.tensor(shares, dtype=torch.float64))


def unmuted(probed, shares) -> torch.Tensor:
    """What the same weights of all data would give."""
    ring = dataclasses.replace(probed.ring, muted=0.0)
    scale = float(ring.weights().sum() / probed.ring.weights().sum())
    return scale * symbol(ring, 2 * ring.wave * torch.tensor(shares, dtype=torch.float64))


def test_plane_waves_are_sensed_as_the_symbol_says(wide):
    """Constant included, within 5 % from 0.15 to 0.85 of the diffraction limit."""
    shares = [0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85]
    ratio = gains(wide, shares) / expected(wide, shares)
    assert float((ratio - 1).abs().max()) < 0.05, dict(zip(shares, ratio.tolist(), strict=True))


def test_nothing_is_sensed_beyond_the_diffraction_limit(wide):
    inside, beyond = gains(wide, [0.7]), gains(wide, [1.1, 1.15, 1.2])
    assert float(beyond.max() / inside) < 1e-2, beyond / inside


def test_muting_moves_the_edge(muted):
    """Within it nothing changes; at the edge half is left, as window and parallax blur it evenly.

    Off the centre a pair's opening angle differs, so that the end is less sharp than the diffraction limit's.
    """
    edge = math.cos(MUTED / 2)
    shares = [0.2, 0.4, 0.6, 0.75]
    ratio = gains(muted, shares) / expected(muted, shares)
    assert float((ratio - 1).abs().max()) < 0.05, ratio
    across = [edge * (0.9 + 0.01 * n) for n in range(21)]
    left = gains(muted, across) / unmuted(muted, across)
    half = across[int((left < 0.5).nonzero()[0])]
    assert half == pytest.approx(edge, rel=0.02)
    assert float(gains(muted, [1.15 * edge]) / gains(muted, [0.8 * edge])) < 1e-2


def test_random_probes_of_all_bands_measure_the_symbol(wide):
    """As the inversion does, with one product for all bands; each against the symbol's mean over the band."""
    ring, limit = wide.ring, 2 * wide.ring.wave
    found = band_spectra(wide.derivative, ring.region, 1.3 * limit, seed=0, n_probes=6)
    width = float(found.centres[1] - found.centres[0])
    mean = []
    for centre in found.centres.tolist():
        fine = centre + width * torch.linspace(-0.5, 0.5, 2001, dtype=torch.float64)
        mean.append(float((fine * symbol(ring, fine)).sum() / fine.sum()))
    ratio = found.gain / torch.tensor(mean, dtype=torch.float64)
    inside = (found.centres - width / 2 > 0.15 * limit) & (found.centres + width / 2 < 0.87 * limit)
    assert int(inside.sum()) >= 6
    assert float((ratio[inside] - 1).abs().max()) < 0.05, ratio[inside]
    beyond = found.centres - width / 2 > 1.05 * limit
    assert float(found.gain[beyond].max() / found.gain[inside].min()) < 1e-2


def test_degrees_of_freedom_follow_area_times_bandwidth(middling):
    """Eigenvalues above a hundredth of the largest number (k a)^2 within 15 %.

    The rim of the disc adds to them: 11 % at this k a = 24, 9 % at 30, 7 % at 36.
    """
    eigenvalues = torch.linalg.eigvalsh(middling.hessian)
    count = int((eigenvalues > 1e-2 * eigenvalues[-1]).sum())
    size = middling.ring.wave * middling.ring.object_radius
    assert count == pytest.approx(size**2, rel=0.15)
