"""The benchmark of a bowl in front of a skull: its exact field, its geometry, and another solver's field."""

import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.bench import itrusst
from tests.bench.bowl_exact import axis_pressure
from usct.grid import Grid

OMEGA = 2 * math.pi * itrusst.FREQUENCY


def test_in_water_the_exact_field_is_oneils():
    # O'Neil, J. Acoust. Soc. Am. 21 (1949) 516, on the axis away from the focus.
    water = (1500.0, 1000.0, 0.0)
    radius, depths = itrusst.FOCAL_LENGTH, np.array([45e-3, 60e-3, 70e-3, 90e-3])
    layers = [(30e-3, *water), (5e-3, *water), (1.0, *water)]
    found = axis_pressure(depths, layers, OMEGA, radius, itrusst.APERTURE, 1.0)
    height = radius - math.sqrt(radius**2 - 0.25 * itrusst.APERTURE**2)
    rim = np.sqrt((depths - height) ** 2 + 0.25 * itrusst.APERTURE**2)
    gain = 2 / (1 - depths / radius) * np.sin(OMEGA / 1500.0 * (rim - depths) / 2)
    assert np.allclose(np.abs(found), 1.5e6 * np.abs(gain), rtol=1e-3)


def test_in_front_of_layers_the_exact_field_is_oneils_and_an_echo():
    water = (1500.0, 1000.0, 0.0)
    bowl = OMEGA, itrusst.FOCAL_LENGTH, itrusst.APERTURE, 1.0
    depths = np.array([15e-3, 20e-3, 25e-3])
    alone, wall = (
        axis_pressure(depths, [(30e-3, *water), (5e-3, *water), (1.0, *last)], *bowl)
        for last in (water, (1500.0, 1e9, 0.0))
    )
    behind = axis_pressure(np.array([31e-3]), [(30.9e-3, *water), (1e-4, *water), (1.0, *water)], *bowl)
    before = axis_pressure(np.array([31e-3]), [(40e-3, *water), (5e-3, *water), (1.0, *water)], *bowl)
    assert np.allclose(behind, before, rtol=2e-3)
    # A rigid wall at 35 mm mirrors the field: at 70 - d mm without it is what comes back at d.
    mirrored = axis_pressure(70e-3 - depths, [(30e-3, *water), (5e-3, *water), (1.0, *water)], *bowl)
    assert np.allclose(wall - alone, mirrored, rtol=5e-3, atol=5e-3 * abs(mirrored).max())


def test_layers_and_bowl_are_as_described():
    grid = Grid((240, 3, 3), 0.5e-3, (0.25e-3, 0.0, 0.0))
    medium = itrusst.layered(grid)
    assert float(medium.sound_speed[45, 0, 0]) == pytest.approx(1500.0, rel=1e-4)
    assert float(medium.sound_speed[56, 0, 0]) == pytest.approx(1610.0, rel=2e-3)
    assert float(medium.sound_speed[66, 1, 1]) == pytest.approx(2300.0, rel=2e-3)
    assert float(medium.attenuation[66, 1, 1]) == pytest.approx(8.0 * 100 / 8.685889638, rel=5e-3)
    assert float(medium.density[-1, 2, 2]) == pytest.approx(1040.0)
    # Whatever the cells, the layers weigh what they weigh and give way as much as they do.
    thick, fast, dense, _ = np.array(itrusst.LAYERS).T
    thick[-1] = 120e-3 - thick[:-1].sum()
    density, speed = (m[:, 0, 0].numpy() for m in (medium.density, medium.sound_speed))
    assert 0.5e-3 * density.sum() == pytest.approx((thick * dense).sum(), rel=1e-3)
    assert 0.5e-3 * (1 / (density * speed**2)).sum() == pytest.approx(
        (thick / (dense * fast**2)).sum(), rel=1e-3
    )
    points, area = itrusst.bowl(2e-3)
    centre = torch.tensor([itrusst.FOCAL_LENGTH, 0.0, 0.0])
    assert torch.allclose(
        (points - centre).norm(dim=1), torch.tensor(itrusst.FOCAL_LENGTH).double(), rtol=1e-9
    )
    assert float(points[:, 1:].norm(dim=1).max()) < 0.5 * itrusst.APERTURE
    cap = 2 * math.pi * itrusst.FOCAL_LENGTH**2 * (1 - math.cos(math.radians(30)))
    assert len(points) * area == pytest.approx(cap)


def test_scores_see_what_is_wrong():
    amplitude = torch.rand(141, 241, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    amplitude[70, 120] = 5.0
    same = itrusst.compare(amplitude, amplitude, 0.0)
    assert (same.error, same.peak, same.position) == (0.0, 0.0, 0.0)
    moved = itrusst.compare(1.1 * amplitude.roll(2, dims=1), amplitude, 0.0)
    assert moved.peak == pytest.approx(0.1)
    assert moved.position == pytest.approx(1e-3)


@pytest.mark.data
def test_the_other_solver_agrees_with_the_exact_field():
    folder = os.environ.get("USCT_DATA")
    path = Path(folder or "") / "neurotechdevkit" / "PH1-BM4-SC1_STRIDE.mat"
    if folder is None or not path.exists():
        pytest.skip("USCT_DATA holds no PH1-BM4-SC1_STRIDE.mat")
    assert itrusst.axis_errors(itrusst.read(path))[1] < 0.02
