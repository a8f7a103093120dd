"""The disc as a start model."""

import math

import pytest
import torch

from usct.acquisition import Spectra, TransducerArray
from usct.forward.analytic import cylinder_field, point_source_field
from usct.grid import Grid
from usct.starting.disc import Disc, estimate_disc

WATER = 1500.0
RING = TransducerArray.ring(32, 50e-3)
FREQUENCIES = torch.tensor([60e3, 90e3], dtype=torch.float64)


def spectra_of(fields: list[torch.Tensor]) -> Spectra:
    """Fields with an unknown complex weight for each transmit; the diagonal counts nothing."""
    generator = torch.Generator().manual_seed(1)
    weights = torch.view_as_complex(torch.randn(2, 32, 1, 2, generator=generator, dtype=torch.float64))
    spectra = Spectra.of(weights * torch.stack(fields), FREQUENCIES)
    return Spectra(spectra.values, FREQUENCIES, spectra.weights * (1 - torch.eye(32)))


def test_a_disc_is_found_from_its_exact_field():
    receivers = RING.positions * (1 + 1e-9)
    fields = [
        cylinder_field(RING.positions, receivers, 2 * math.pi * f / WATER, 2 * math.pi * f / 1440.0, 30e-3)
        for f in FREQUENCIES.tolist()
    ]
    disc = estimate_disc(spectra_of(fields), RING, WATER)
    assert disc.convincing
    assert disc.radius == pytest.approx(30e-3, abs=2e-3)
    assert disc.sound_speed == pytest.approx(1440.0, abs=8.0)
    assert disc.misfit < 0.05 * disc.water_misfit


def test_water_alone_convinces_nobody_of_a_disc():
    distances = RING.distances() + torch.eye(32)
    origin = torch.zeros(1, 2, dtype=torch.float64)
    along = torch.stack([distances.flatten(), torch.zeros(32 * 32)], dim=1).double()
    fields = [
        point_source_field(origin, along, 2 * math.pi * f / WATER).reshape(32, 32)
        for f in FREQUENCIES.tolist()
    ]
    generator = torch.Generator().manual_seed(2)
    noisy = [f + 0.01 * f.abs() * torch.randn(32, 32, generator=generator) for f in fields]
    assert not estimate_disc(spectra_of(noisy), RING, WATER).convincing


def test_the_medium_has_the_two_speeds_and_a_soft_rim():
    grid = Grid.centred((81, 81), 1e-3)
    medium = Disc(20e-3, 1450.0, WATER, 0.1, 1.0).medium(grid, (0.0, 0.0), edge=8e-3)
    speed = medium.sound_speed
    assert float(speed[40, 40]) == pytest.approx(1450.0)
    assert float(speed[0, 0]) == pytest.approx(WATER)
    assert 1470.0 < float(speed[40, 60]) < 1480.0
    assert (speed[40, 40:].diff() >= 0).all()
