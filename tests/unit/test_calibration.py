"""Calibration from a water shot recovers what was planted; corrections for two dimensions are exact in water."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.unit import planted
from usct.acquisition import Acquisition, Spectra, Traces, TransducerArray
from usct.calibration.checking import check
from usct.calibration.geometry import fit_geometry
from usct.calibration.line_source import referenced_to_water, spread_as_lines
from usct.calibration.water import Calibrated, advanced, apply_calibration, calibrate, measure_water
from usct.errors import InputError
from usct.forward.analytic import point_source_field

SEED = 5
FREQUENCIES = torch.tensor([200e3, 300e3, 400e3], dtype=torch.float64)


def shots(with_gains: bool = False, noise_db: float | None = planted.NOISE_DB) -> list[Acquisition]:
    """A scan of a cylinder and a water shot with the same faults and other noise."""
    faults = replace(planted.many_faults(SEED), noise_db=noise_db)
    both = [planted.record(faults, number == 0, seed=number, stale=True) for number in range(2)]
    if not with_gains:
        return both
    sent, heard = gains()
    factor = (sent[:, None] * heard)[..., None].float()
    return [planted.with_data(one, one.data.values * factor) for one in both]


def gains() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(8)
    draws = torch.randn(2, planted.N_ELEMENTS, generator=generator, dtype=torch.float64)
    return tuple(torch.exp(0.2 * draw) for draw in draws)


@pytest.fixture(scope="module")
def made() -> Calibrated:
    return calibrate(*shots(with_gains=True), temperature=25.0)


@pytest.fixture(scope="module")
def alive() -> torch.Tensor:
    """Elements that are neither dead nor noisy."""
    faults = planted.many_faults(SEED)
    alive = torch.ones(planted.N_ELEMENTS, dtype=torch.bool)
    alive[[faults.dead_element, faults.noisy_element]] = False
    return alive


def rms(values: torch.Tensor | np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(np.asarray(values)))))


def turned_onto(positions: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Positions shifted and turned, not scaled, to lie as close to the truth as they can (Kabsch)."""
    here, there = positions.mean(axis=0), truth.mean(axis=0)
    left, _, right = np.linalg.svd((positions - here).T @ (truth - there))
    return (positions - here) @ (left @ right) + there


def position_error(made: Calibrated, alive: torch.Tensor) -> float:
    truth = (made.calibration.nominal.positions + planted.many_faults(SEED).shifts)[alive].numpy()
    found = made.calibration.array.positions[alive].numpy()
    return rms(np.linalg.norm(turned_onto(found, truth) - truth, axis=1))


def test_positions_come_back_to_a_fiftieth_of_what_was_planted(made, alive):
    planted_error = rms(planted.many_faults(SEED).shifts[alive].norm(dim=1))
    assert planted_error == pytest.approx(0.2e-3, rel=0.2)
    assert position_error(made, alive) < planted_error / 50


def test_without_a_temperature_the_size_is_kept_and_the_rest_comes_back(alive):
    made = calibrate(*shots())
    truth = (made.calibration.nominal.positions + planted.many_faults(SEED).shifts)[alive].numpy()
    found = made.calibration.array.positions[alive].numpy()
    assert made.calibration.array.radius == pytest.approx(planted.RADIUS, rel=1e-3)
    # Sound speed and size are wrong by the same small factor, that of the planted mean radius.
    factor = planted.WATER / made.calibration.sound_speed
    assert abs(factor - 1) < 1e-3
    about = found.mean(axis=0) + factor * (found - found.mean(axis=0))
    assert rms(np.linalg.norm(turned_onto(about, truth) - truth, axis=1)) < 0.2e-3 / 50


def test_delays_come_back_to_a_tenth_of_what_was_planted(made, alive):
    faults = planted.many_faults(SEED)
    for found, true in (
        (made.calibration.transmit_delays, faults.transmit_delays),
        (made.calibration.receive_delays, faults.receive_delays),
    ):
        error = (found - true)[alive]
        assert rms(error - error.mean()) < 0.1 * rms(true[alive])


def test_gains_and_polarities_come_back_within_two_per_cent(made, alive):
    signs = planted.many_faults(SEED).signs
    for found, true in zip(
        (made.calibration.transmit_gains, made.calibration.receive_gains), gains(), strict=True
    ):
        ratio = (found / (true * signs))[alive]
        assert float((ratio / ratio.median() - 1).abs().max()) < 0.02


def test_the_residual_falls_to_the_noise_and_is_reported(made):
    assert made.calibration.scatter_before > 100e-9
    assert made.calibration.scatter_after < 5e-9
    texts = dict(made.calibration.rows())
    assert f"{1e9 * made.calibration.scatter_after:.1f} ns after" in texts["residual"]
    assert made.calibration.as_dict()["sound_speed"] == made.calibration.sound_speed


def test_a_calibrated_scan_passes_its_check_and_keeps_its_masks(made):
    assert not made.report.faults, made.report.rows()
    faults = planted.many_faults(SEED)
    assert not made.scan.data.valid[faults.dead_channels].any()
    assert not made.scan.data.valid[faults.dead_element].any()
    assert not made.scan.data.valid[:, faults.noisy_element].any()
    assert made.scan.water_sound_speed == pytest.approx(planted.WATER)
    assert any("Calibrated in water" in note for note in made.scan.notes)


def test_calibrated_traces_are_those_of_a_perfect_ring_of_that_shape(made):
    faults = planted.many_faults(SEED)
    # The mean delay belongs to the pulse, of which nothing is known.
    mean = faults.transmit_delays.mean() + faults.receive_delays.mean() + torch.zeros(planted.N_ELEMENTS)
    still = replace(planted.no_faults(), shifts=faults.shifts, transmit_delays=mean, noise_db=None)
    perfect = planted.record(still, True)
    use = made.scan.data.valid & (made.scan.array.opening_angles() > 0.5)
    raw = shots(with_gains=True, noise_db=None)[0]
    ours, theirs, before = (
        one.data.values[use].double() for one in (apply_calibration(made.calibration, raw), perfect, raw)
    )
    assert difference(ours, theirs) < 0.02
    assert difference(before, theirs) > 0.5


def difference(one: torch.Tensor, other: torch.Tensor) -> float:
    """Relative rms difference, a common factor apart."""
    factor = float((one * other).sum() / one.square().sum())
    return rms(factor * one - other) / rms(other)


def test_another_day_has_its_own_water():
    _, water = shots()
    scan = planted.record(planted.many_faults(SEED), with_cylinder=True)
    stretch = 1.004  # water that is 6 m/s slower lengthens all times
    slower = replace(scan.data, sampling_frequency=scan.data.sampling_frequency / stretch)
    made = calibrate(replace(scan, data=slower), water, temperature=25.0)
    assert made.scan.water_sound_speed == pytest.approx(planted.WATER / stretch, abs=1.0)
    assert "taken from neighbours" in made.scan.notes[0]


def test_wild_arrival_times_pull_little():
    ring = TransducerArray.ring(24, 0.05)
    generator = np.random.default_rng(3)
    true = ring.positions.numpy() + 0.2e-3 * generator.standard_normal((24, 2))
    times = np.linalg.norm(true[:, None] - true[None], axis=2) / 1490.0 + 3e-6
    np.fill_diagonal(times, np.nan)
    wild = generator.random(times.shape) < 0.05
    times[wild] += generator.choice([-3e-6, 3e-6], wild.sum())
    index = np.arange(24)
    found = fit_geometry(times, ring.positions.numpy(), index, index, 1490.0, speed_is_known=True)
    assert rms(np.linalg.norm(turned_onto(found.positions, true) - true, axis=1)) < 0.01e-3
    assert found.common_delay == pytest.approx(3e-6, abs=20e-9)
    with pytest.raises(ValueError, match="too few for 96 positions and delays"):
        fit_geometry(
            np.where(index[:, None] < 3, times, np.nan), ring.positions.numpy(), index, index, 1490.0, True
        )


def test_a_perfect_ring_is_left_as_it_is():
    found = measure_water(planted.clean(with_cylinder=False), 25.0)
    assert found.moved < 5e-6
    assert float(found.transmit_delays.abs().max()) < 10e-9
    assert float((found.transmit_gains - 1).abs().max()) < 0.02


def test_advancing_moves_by_fractions_of_a_sample():
    times = torch.arange(400, dtype=torch.float64) / 1e6
    late = torch.tensor([0.0, 0.4e-6, -2.7e-6], dtype=torch.float64)

    def bump(t: torch.Tensor) -> torch.Tensor:
        return torch.exp(-(((t - 150e-6) / 5e-6) ** 2))

    got = advanced(bump(times - late[:, None]), 1e6, late)
    assert torch.allclose(got.double(), bump(times).expand(3, -1), atol=1e-5)


def spatial(sound_speed: float) -> Acquisition:
    """Spectra of point sources in space."""
    ring = TransducerArray.ring(12, 60e-3)
    away, k = ring.distances(), 2 * torch.pi * FREQUENCIES[:, None, None] / sound_speed
    values = torch.exp(-1j * k * away) / (4 * torch.pi * away)
    return Acquisition(ring, Spectra.of(values, FREQUENCIES), sound_speed)


def test_point_sources_become_line_sources():
    scan, apart = spatial(1490.0), ~torch.eye(12, dtype=torch.bool)
    got = spread_as_lines(scan, 1490.0).data.values
    positions = scan.array.positions
    for number, frequency in enumerate(FREQUENCIES.tolist()):
        k = 2 * math.pi * frequency / 1490.0
        exact = point_source_field(positions, positions + 1e-9, k)
        error = (got[number] - exact)[apart].abs() / exact[apart].abs()
        # The first term that the far field leaves out is 1 / (8 k r).
        assert float((error * 8 * k * scan.array.distances()[apart]).max()) < 1.1


def test_traces_are_spread_as_their_spectra_are():
    scan = planted.clean(with_cylinder=False)
    wide = scan.spectra(FREQUENCIES, window_speed=1700.0)
    direct = spread_as_lines(replace(scan, data=wide), planted.WATER).data
    there = spread_as_lines(scan, planted.WATER).spectra(FREQUENCIES, window_speed=1700.0)
    assert isinstance(direct, Spectra)
    use = direct.weights[0] > 0
    assert rms((direct.values - there.values)[:, use].abs()) < 0.03 * rms(direct.values[:, use].abs())


def test_referencing_to_water_leaves_the_model_alone():
    scan, water = shots(with_gains=True)
    made = calibrate(scan, water, temperature=25.0)
    positions = replace(water.array, positions=made.calibration.array.positions)
    spectra = [one.spectra(FREQUENCIES, window_speed=1700.0) for one in (scan, water)]
    same = referenced_to_water(spectra[1], spectra[1], positions, planted.WATER)
    away = positions.distances()
    use = same.weights[1] > 0
    model = point_source_field(
        torch.zeros(1, 2, dtype=torch.float64),
        torch.stack([away[use], torch.zeros_like(away[use])], dim=1),
        2 * math.pi * 300e3 / planted.WATER,
    )[0]
    assert torch.allclose(same.values[1][use], model)
    got = referenced_to_water(*spectra, positions, planted.WATER)
    clean = planted.record(replace(planted.no_faults(), noise_db=None), True)
    bare = planted.record(replace(planted.no_faults(), noise_db=None), False)
    exact = referenced_to_water(
        *(one.spectra(FREQUENCIES, window_speed=1700.0) for one in (clean, bare)), clean.array, planted.WATER
    )
    scattered = exact.values - same_model(clean.array)
    ours = got.values - same_model(positions)
    use = (got.weights[1] > 0) & made.scan.data.valid & (away > 0.04)
    assert rms((ours - scattered)[1][use].abs()) < 0.35 * rms(scattered[1][use].abs())


def same_model(array: TransducerArray) -> torch.Tensor:
    """Line sources in water at all frequencies, zero on the diagonal."""
    rows = [
        point_source_field(array.positions, array.positions + 1e-9, 2 * math.pi * f / planted.WATER)
        for f in FREQUENCIES.tolist()
    ]
    return torch.stack([row.fill_diagonal_(0) for row in rows])


def test_what_cannot_be_calibrated_is_refused_in_a_sentence():
    scan, water = shots()
    spectra = replace(scan, data=scan.spectra(FREQUENCIES))
    with pytest.raises(InputError, match="the scan holds spectra, which do not show delays"):
        calibrate(spectra, water)
    fewer = TransducerArray(water.array.positions, water.array.transmits[:-1], water.array.receives)
    data = water.data
    assert isinstance(data, Traces)
    short = replace(water, array=fewer, data=replace(data, values=data.values[:-1], valid=data.valid[:-1]))
    with pytest.raises(InputError, match="differ in their transmits or receives"):
        calibrate(scan, short)
    assert check(short).checks
