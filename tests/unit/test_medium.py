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


@pytest.mark.parametrize("shift", [0.0, 0.3, 0.5, 0.8])
def test_band_limited_maps_know_where_edges_are(shift):
    """A plate a cell and a half thick weighs what it weighs, has its middle where it is, and stays physical."""
    fine = Grid((641, 2), 1e-3 / 16, (0.0, 0.0))
    depth = fine.axis(0)
    inside = (depth > 20e-3) & (depth < 21.5e-3)
    plate = inside.double()[:, None].expand(fine.shape)
    thickness, middle = fine.spacing * int(inside.sum()), float(depth[inside].mean())
    medium = Medium(fine, 1500 + 1300 * plate, 100 * plate, 1000 + 850 * plate)
    coarse = Grid((40, 2), 1e-3, (1e-3 * shift, 0.0))
    told = medium.resampled(coarse, band_limited=True)
    places = coarse.axis(0)
    compressible = (told.density * told.sound_speed**2).reciprocal()[:, 0]
    for values, step in (
        (told.density[:, 0] - 1000, 850.0),
        (compressible - 1 / (1000 * 1500**2), 1 / (1850 * 2800**2) - 1 / (1000 * 1500**2)),
    ):
        weight = values / step
        assert 1e-3 * float(weight.sum()) == pytest.approx(thickness, rel=0.02)
        assert float((weight * places).sum() / weight.sum()) == pytest.approx(middle, abs=0.02e-3)
    assert float(told.attenuation.min()) >= 0
    assert float(told.sound_speed.max()) < 1.26 * 2800
    uniform = Medium(fine, 1500 + 1300 * plate).resampled(coarse, band_limited=True)
    assert uniform.density is None
    slow = (uniform.sound_speed[:, 0] ** -2 - 1500**-2) / (2800**-2 - 1500**-2)
    assert 1e-3 * float(slow.sum()) == pytest.approx(thickness, rel=0.02)


def test_band_limited_maps_of_extreme_contrast_stay_physical():
    fine = Grid((65, 2), 0.25e-3, (0.0, 0.0))
    gas = (fine.axis(0) > 8e-3).double()[:, None].expand(fine.shape)
    medium = Medium(fine, 1500 - 1160 * gas, 10 * gas, 1000 - 998.8 * gas)
    told = medium.resampled(Grid((16, 2), 1e-3, (0.0, 0.0)), band_limited=True)
    assert float(told.density.min()) > 0.9
    assert float(told.sound_speed.min()) > 0 and bool(torch.isfinite(told.sound_speed).all())


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
