"""Elastic waves against exact fields: the acoustic limit, and a line source above a fluid-solid interface."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.helpers import assert_reciprocal, random_like, relative_error
from usct.acquisition import TransducerArray
from usct.errors import InputError
from usct.forward.analytic import point_source_field
from usct.forward.time_domain.elastic import Elastic, shear_speed_of, stable_step
from usct.forward.time_domain.shots import Shots
from usct.forward.time_domain.simulation import Simulation
from usct.grid import Grid
from usct.medium import Medium

WATER, BONE, SHEAR = 1500.0, 2800.0, 1500.0
WATER_DENSITY, BONE_DENSITY = 1000.0, 1850.0
FREQUENCY = 300e3
WAVELENGTH = WATER / FREQUENCY


def spectra(elastic, medium, n_transmits=1):
    """Spectra of unit sources at the frequency, shape (tx, rx)."""
    n_steps = elastic.n_steps
    signal = elastic.drive.signal(n_steps)[None, None]
    senders = torch.arange(n_transmits)[:, None]
    shots = Shots(elastic.sampling(medium), senders, signal, elastic.array.receives)
    traces = elastic.propagate(elastic.scheme(medium), shots).traces
    kernel = elastic.kernel([FREQUENCY], n_steps)[0]
    return (traces.to(kernel) @ kernel) / (signal[0, 0].to(kernel) @ kernel)


def elastic_of(grid, positions, speeds=(WATER, WATER), shear=None, **settings):
    array = TransducerArray.of(torch.as_tensor(positions, dtype=torch.float64))
    settings = {"dtype": torch.float64} | settings
    simulation = Simulation(grid, array, (FREQUENCY, FREQUENCY), speeds, **settings)
    return Elastic.of(simulation, torch.zeros(grid.shape) if shear is None else shear)


def reflection(kx, omega):
    """Of plane waves of pressure at a solid half-space, by their wavenumber along it (Brekhovskikh)."""
    k, kl, kt = omega / WATER, omega / BONE, omega / SHEAR
    # exp(-i kz z) must fade with distance.
    kz, kzl, kzt = (np.sqrt(own**2 - kx**2 + 0j) for own in (k, kl, kt))
    kz, kzl, kzt = (np.where(root.imag > 0, -root, root) for root in (kz, kzl, kzt))
    impedance = WATER_DENSITY * omega / kz
    solid = (BONE_DENSITY * omega / kzl) * (1 - 2 * kx**2 / kt**2) ** 2
    solid = solid + (BONE_DENSITY * omega / kzt) * 4 * kx**2 * kzt**2 / kt**4
    return (solid - impedance) / (solid + impedance), kz


def half_space_field(source, receivers, omega):
    """Exact pressure of a line source above a solid in y > 0, as an integral over plane waves."""
    limit = 12 * abs(omega) / WATER
    kx = np.linspace(-limit, limit, 200001)
    ratio, kz = reflection(kx, omega)
    wavenumber = torch.tensor(omega / WATER)
    direct = point_source_field(source[None], receivers, wavenumber)[0]
    found = []
    for y, x in (receivers - source).tolist():
        depth = -(y + 2 * float(source[0]))
        waves = ratio * np.exp(-1j * kx * x - 1j * kz * depth) / kz
        found.append(-0.25j / math.pi * np.trapezoid(waves, kx))
    return direct, torch.tensor(np.array(found))


def test_no_shear_is_the_acoustic_wave():
    grid = Grid.covering(2.4 * WAVELENGTH, WAVELENGTH / 8)
    elastic = elastic_of(grid, TransducerArray.ring(6, 2 * WAVELENGTH).positions)
    data = spectra(elastic, Medium.homogeneous(grid, WATER))[0, 1:]
    positions = elastic.array.positions
    exact = point_source_field(positions[:1], positions[1:], 2 * math.pi / WAVELENGTH)[0]
    assert relative_error(data, exact) < 2e-3


def interface(points):
    """A source and receivers in water above bone, whose edge lies midway between two rows of nodes."""
    n, spacing = 6 * points, WAVELENGTH / points
    grid = Grid((n, n), spacing, (-(n // 2 - 0.5) * spacing, -(n // 2) * spacing))
    solid = grid.points()[..., 0] > 0
    speed, density = (
        torch.where(solid, a, b).double() for a, b in ((BONE, WATER), (BONE_DENSITY, WATER_DENSITY))
    )
    places = WAVELENGTH * torch.tensor([[-1.0, x] for x in (-1.5, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0)])
    shear = torch.where(solid, SHEAR, 0.0).double()
    # Damping moves the waves that cling to the interface away from the integral's path.
    elastic = elastic_of(grid, places, (WATER, BONE), shear, damping=2e4, duration=60e-6)
    return elastic, Medium(grid, speed, None, density)


def test_a_solid_reflects_as_it_should():
    omega, errors = complex(2 * math.pi * FREQUENCY, -2e4), []
    for points in (8, 16):
        elastic, medium = interface(points)
        places = elastic.array.positions
        direct, reflected = half_space_field(places[0], places[1:], omega)
        found = spectra(elastic, medium)[0, 1:] - direct
        errors.append(relative_error(found, reflected))
    # A fluid as fast and dense as bone would be off by more than the reflection itself.
    acoustic = replace(elastic, shear_speed=torch.zeros_like(elastic.shear_speed))
    assert relative_error(spectra(acoustic, medium)[0, 1:] - direct, reflected) > 1
    assert errors[0] < 0.06
    assert errors[1] < 0.7 * errors[0]


def test_exchanging_source_and_receiver_changes_nothing():
    elastic, medium = interface(8)
    assert_reciprocal(spectra(elastic, medium, 7), 1e-9)


def test_energy_leaves_and_nothing_grows():
    grid = Grid.centred((40, 36), 1e-3)
    rough = random_like(grid.shape, 1, False).clamp(-2, 2)
    bone = grid.disc(12e-3)
    medium = Medium(
        grid, torch.where(bone, 2700 + 100 * rough, WATER), None, torch.where(bone, 1800.0, 1000.0).double()
    )
    elastic = elastic_of(grid, [[-15e-3, 0.3e-3], [14e-3, 2e-3]], (WATER, 2900.0), shear_speed_of(medium))
    n_steps = 3500
    signal = torch.zeros(1, 1, n_steps, dtype=torch.float64)
    signal[..., :200] = elastic.drive.signal(200)
    shots = Shots(elastic.sampling(medium), torch.tensor([[0]]), signal, torch.tensor([0, 1]))
    traces = elastic.propagate(elastic.scheme(medium), shots).traces
    # Bone rings on for long, ever weaker.
    parts = [float(part.abs().max()) for part in traces.chunk(5, dim=-1)]
    assert all(later < earlier for earlier, later in zip(parts[:-1], parts[1:], strict=True))
    assert parts[-1] < 0.02 * parts[0]


def test_what_cannot_be_simulated_is_refused():
    grid = Grid.centred((20, 20), 1e-3)
    medium = Medium.homogeneous(grid, WATER)
    places = [[0.0, -5e-3], [0.0, 5e-3]]
    longest = stable_step(1e-3, WATER)
    with pytest.raises(InputError, match=r"unstable for elastic waves .* use at most 3\d\d\.\d ns"):
        elastic_of(grid, places, time_step=1.01 * longest).scheme(medium)
    with pytest.raises(InputError, match="shear speed exceeds"):
        elastic_of(grid, places, shear=torch.full(grid.shape, 1400.0)).scheme(medium)
    volume = Grid.centred((9, 9, 9), 1e-3)
    with pytest.raises(InputError, match="two dimensions"):
        elastic_of(volume, [[0.0, 0.0, 0.0]])
    with pytest.raises(ValueError, match="its grid"):
        elastic_of(grid, places, shear=torch.zeros(3, 3))


def test_only_bone_bears_shear():
    grid = Grid.centred((3, 3), 1e-3)
    medium = Medium(
        grid, torch.tensor([[1500.0, 1600.0, 1999.0], [2300.0, 2800.0, 3000.0], [1450.0, 1500.0, 1540.0]])
    )
    shear = shear_speed_of(medium)
    assert torch.equal(shear > 0, medium.sound_speed > 2000)
    assert float(shear[1, 1]) == pytest.approx(1400.0)


def test_compiled_equals_plain():
    grid = Grid.centred((31, 26), 1e-3)
    rough = random_like(grid.shape, 1, False).clamp(-2, 2)
    speed, shear = 2300 + 200 * rough, (900 + 300 * rough).clamp(min=600).where(rough > -0.5, 0.0)
    medium = Medium(grid, speed, None, 1500 + 100 * rough)
    places = [[-6.3e-3, 0.3e-3], [4.1e-3, 2e-3], [0.2e-3, -7e-3]]
    plain, fast = (
        elastic_of(grid, places, (WATER, 2800.0), shear, executor=executor)
        for executor in ("torch", "compiled")
    )
    signals = random_like((2, 2, 80), 3, False)
    shots = Shots(plain.sampling(medium), torch.tensor([[0, 2], [1, 0]]), signals, torch.tensor([2, 1]))
    one, other = (each.propagate(each.scheme(medium), shots) for each in (plain, fast))
    assert one.traces.abs().max() > 0
    assert relative_error(other.traces, one.traces) < 1e-12
    assert relative_error(other.rest, one.rest) < 1e-12
    with pytest.raises(ValueError, match="traces alone"):
        fast.propagate(fast.scheme(medium), replace(shots, cells=torch.tensor([0])))
