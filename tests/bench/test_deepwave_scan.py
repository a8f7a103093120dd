"""The scans made by another solver are what they claim to be."""

import numpy as np
import pytest
import torch
from scipy.special import hankel2

from tests.bench import dispersion
from tests.bench.deepwave_scan import Settings, border_sound_speed, firing, simulate, spread
from usct.acquisition import Acquisition, Traces, TransducerArray
from usct.errors import InputError
from usct.grid import Grid
from usct.medium import Medium
from usct.units import MEGAHERTZ, MICROSECOND

WATER = 1500.0
QUIET = Settings(duration=60 * MICROSECOND, snr_db=None)


def _water() -> Medium:
    return Medium.homogeneous(Grid.centred((5, 5), 1e-3), WATER)


def _ring(n_transmits: int) -> TransducerArray:
    """A ring turned off the grid's axes, of which the first few elements transmit."""
    ring = TransducerArray.ring(18, 0.025)
    turn = torch.tensor([[np.cos(0.2), -np.sin(0.2)], [np.sin(0.2), np.cos(0.2)]])
    return TransducerArray(ring.positions @ turn, ring.transmits[:n_transmits], ring.receives)


def _simulate(medium: Medium, array: TransducerArray, settings: Settings) -> Acquisition:
    pytest.importorskip("deepwave", reason="deepwave (extra bench) is not installed")
    return simulate(medium, array, settings)


def _water_error(scan: Acquisition, settings: Settings, frequencies: list[float]) -> np.ndarray:
    """Complex relative error of a noiseless scan of water against the two-dimensional Green's function.

    Args:
        scan: Made by `simulate` from a homogeneous medium, without noise.
        settings: The settings of that simulation.
        frequencies: [Hz].

    Returns:
        Relative L2 error over all pairs of different elements, one per frequency.
    """
    step = settings.courant_number * settings.spacing / WATER
    correction = dispersion.Correction.of(settings.duration, settings.sampling_frequency, step)
    assert isinstance(scan.data, Traces)
    times = scan.data.times.numpy()
    distance = scan.array.distances().numpy()
    other = distance > 0
    errors = []
    for frequency in frequencies:
        omega = 2 * np.pi * frequency
        measured = scan.data.values.numpy() @ np.exp(-1j * omega * times) / settings.sampling_frequency
        pulse = firing(len(distance), settings).pulses(correction.raw_times)
        kernel = np.exp(-1j * dispersion.scheme_frequency(np.array(omega), step) * correction.raw_times)
        source = pulse @ kernel * step
        wavenumber = omega / WATER
        exact = -0.25j * hankel2(0, wavenumber * np.where(other, distance, 1.0)) * source[:, None]
        errors.append(np.linalg.norm((measured - exact)[other]) / np.linalg.norm(exact[other]))
    return np.array(errors)


def test_scan_of_water_is_the_greens_function() -> None:
    # Off-grid sampling costs 1e-3 at 0.65 MHz, absorbing layers and single precision the rest.
    scan = _simulate(_water(), _ring(2), QUIET)
    errors = _water_error(scan, QUIET, [0.2e6, 0.35e6, 0.5e6, 0.65e6])
    assert errors.max() < 3e-3, errors


def test_noise_has_the_stated_level_and_the_seed_fixes_it() -> None:
    settings = Settings(duration=60 * MICROSECOND, snr_db=20.0)
    noisy, again = (_simulate(_water(), _ring(1), settings).data.values for _ in range(2))
    clean = _simulate(_water(), _ring(1), QUIET)
    assert torch.equal(noisy, again)
    assert isinstance(clean.data, Traces)
    times, arrival = clean.data.times, clean.array.distances()[..., None] / WATER
    inside = (times > arrival - 2 * MICROSECOND) & (times < arrival + 12 * MICROSECOND) & (arrival > 0)
    signal = clean.data.values[inside].double().square().mean().sqrt()
    noise = (noisy - clean.data.values).double().square().mean().sqrt()
    assert float(signal / noise) == pytest.approx(10.0, rel=0.05)


def test_pulses_are_broadband_and_differ_within_bounds() -> None:
    shots = firing(200, Settings())
    assert np.abs(shots.delays).max() <= 0.1 * MICROSECOND
    assert np.abs(shots.amplitudes - 1).max() <= 0.1
    times = np.arange(0, 40e-6, 0.05e-6)
    spectrum = np.abs(np.fft.rfft(shots.pulses(times)[0], 8192))
    frequencies = np.fft.rfftfreq(8192, 0.05e-6)
    band = (frequencies > 0.2 * MEGAHERTZ) & (frequencies < 0.65 * MEGAHERTZ)
    assert spectrum[band].min() > 0.2 * spectrum.max()
    assert spectrum[frequencies > 1.3 * MEGAHERTZ].max() < 1e-3 * spectrum.max()
    assert spectrum[0] < 1e-2 * spectrum.max()


def test_spread_samples_plane_waves_off_the_grid() -> None:
    points = 20 + 5 * torch.rand(50, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    nodes, weights = spread(points)
    wave = torch.tensor([0.7, 0.5], dtype=torch.float64)
    sampled = (weights * torch.cos((nodes * wave).sum(dim=-1))).sum(dim=1)
    torch.testing.assert_close(sampled, torch.cos(points @ wave), atol=1e-3, rtol=0)


def test_leap_frog_at_its_own_frequency_is_continuous_time() -> None:
    # u'' = -omega^2 u stepped by leap-frog oscillates at exactly the scheme's frequency.
    step, omega = 0.1e-6, 2 * np.pi * 0.8e6
    scheme = dispersion.scheme_frequency(np.array(omega), step)
    before, now, after = np.cos(scheme * step * np.array([4, 5, 6]))
    assert after - 2 * now + before == pytest.approx(-((omega * step) ** 2) * now, rel=1e-12)


def test_contents_must_lie_inside_the_ring_and_the_border_be_water() -> None:
    grid = Grid.centred((61, 61), 1e-3)
    array = TransducerArray.ring(8, 0.025)
    disk = torch.where(grid.disc(0.022), 1550.0, WATER)
    with pytest.raises(InputError, match="choose a larger --radius-mm"):
        border_sound_speed(Medium(grid, disk), array)
    slope = torch.linspace(1500, 1520, 61, dtype=torch.float64).expand(61, 61)
    with pytest.raises(InputError, match="border is not uniform"):
        border_sound_speed(Medium(grid, slope), array)
    assert border_sound_speed(Medium(grid, torch.where(grid.disc(0.01), 1550.0, WATER)), array) == WATER
