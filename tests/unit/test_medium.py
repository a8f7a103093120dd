"""The acoustic medium."""

import math

import pytest
import torch

from usct.acquisition import TransducerArray
from usct.forward.time_domain.simulation import Simulation
from usct.grid import Grid
from usct.medium import Medium

GRID = Grid.centred((5, 6), 1e-3)


@pytest.mark.parametrize(
    ("speed", "more", "sentence"),
    [
        (torch.ones(3, 3), {}, r"sound_speed has shape \(3, 3\), its grid \(5, 6\)"),
        (torch.tensor(math.nan), {}, "sound_speed holds values that are not finite"),
        (torch.tensor(0.5), {}, "sound_speed must be at least 1 in SI units, got 0.5"),
        (torch.tensor(1.5e3), {"density": torch.tensor(0.0)}, "density must be at least 0.001"),
        (torch.tensor(1.5e3), {"attenuation": torch.tensor(math.inf)}, "attenuation holds values that"),
    ],
)
def test_what_is_not_physical_is_refused(speed, more, sentence):
    with pytest.raises(ValueError, match=sentence):
        Medium(GRID, speed, **more)


def test_scalars_are_expanded():
    medium = Medium(GRID, torch.tensor(1500.0), attenuation=torch.tensor(2.0))
    assert medium.sound_speed.shape == medium.attenuation.shape == GRID.shape
    assert Medium.homogeneous(GRID, 1480).sound_speed.unique().tolist() == [1480.0]


def test_lossless_slowness_is_real():
    slowness = Medium.homogeneous(GRID, 1500.0).slowness(5e5)
    assert torch.equal(slowness.imag, torch.zeros(GRID.shape, dtype=torch.float64))
    assert float(slowness.real[0, 0]) == pytest.approx(1 / 1500)


def test_waves_decay_by_the_power_law():
    medium = Medium(
        GRID,
        torch.tensor(1500.0).double(),
        torch.tensor(10.0),
        attenuation_power=1.5,
        reference_frequency=1e6,
    )
    frequency, distance = 5e5, 0.03
    phase = -1j * 2 * math.pi * frequency * complex(medium.slowness(frequency)[0, 0]) * distance
    expected = math.exp(-10.0 * 0.5**1.5 * distance)
    assert abs(torch.exp(torch.tensor(phase))) == pytest.approx(expected, rel=1e-6)


def test_resampling_keeps_travel_times_and_the_law():
    grid = Grid.centred((41, 41), 1e-3)
    speed = 1500 + 60 * torch.exp(-grid.points().square().sum(dim=-1) / 1e-4)
    medium = Medium(grid, speed, torch.tensor(3.0), torch.tensor(1000.0), 1.3, 5e5)
    coarse = medium.resampled(Grid.centred((14, 14), 3e-3))
    assert (coarse.attenuation_power, coarse.reference_frequency) == (1.3, 5e5)
    torch.testing.assert_close(coarse.attenuation, torch.full((14, 14), 3.0), rtol=1e-3, atol=0.0)
    times = [float((1 / m.sound_speed).mean()) for m in (medium, coarse)]
    assert times[0] == pytest.approx(times[1], rel=2e-3)


def test_cells_below_the_wavelength_hold_mean_density_and_compressibility():
    fine, coarse = Grid.centred((65, 65), 0.25e-3), Grid.centred((17, 17), 1e-3)
    bone = (torch.arange(65) % 4 < 2).double().expand(65, 65)
    speed, density = 1500 + 1300 * bone, 1000 + 850 * bone
    medium = Medium(fine, speed, 100 * bone, density).resampled(coarse)
    # Backus: layers much thinner than a wave are one medium of the mean of both.
    expected = (0.5 * (1 / (1500**2 * 1000) + 1 / (2800**2 * 1850)) * 1425) ** -0.5
    inner = (slice(4, -4), slice(4, -4))
    assert float(medium.sound_speed[inner].mean()) == pytest.approx(expected, rel=0.02)
    assert float(medium.density[inner].mean()) == pytest.approx(1425, rel=0.02)
    assert expected < 0.9 * 2 / (1 / 1500 + 1 / 2800)
    assert float(medium.sound_speed.min()) >= 1500 and float(medium.density.max()) <= 1850


@pytest.mark.parametrize("power", [1.0, 1.4, 0.7])
def test_lost_waves_are_dispersed_as_relaxation_has_it(power):
    grid, band = Grid.centred((16, 16), 1e-3), (80e3, 250e3)
    middle = (band[0] * band[1]) ** 0.5
    medium = Medium(
        grid, torch.tensor(2300.0).double(), torch.tensor(60.0).double(), None, power, 3e5, middle
    )
    ring = TransducerArray.ring(4, 5e-3)
    engine = Simulation(grid, ring, band, (1500.0, 2800.0), 1500.0, time_step=1e-8, dtype=torch.float64)
    for frequency in (90e3, middle, 230e3):
        causal = engine.squared_slowness(medium, frequency)[20, 20].sqrt()
        found = medium.slowness(frequency)[0, 0]
        loss = -float(causal.imag)
        assert float(found.imag) == pytest.approx(-loss, rel=0.05)
        # The wave's loss is not small against its wavenumber: a power of it is left over.
        assert abs(float(found.real - causal.real)) < 0.08 * loss
    slow, fast = (float(medium.slowness(f)[0, 0].real) for f in band)
    assert slow - fast > 0.3 * loss
