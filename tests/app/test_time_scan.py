"""From a phantom through traces in the time domain to an image, with no setting given but the scan's own."""

import math
from dataclasses import replace

import pytest
import torch

from tests.helpers import random_like
from tests.unit import planted
from usct import api, cli, io, phantom, signals
from usct.acquisition import Acquisition, Traces, TransducerArray
from usct.assembly import DEFAULT_FREQUENCIES, prepare
from usct.config import load_config
from usct.diagnostics.sides import Options
from usct.errors import InputError
from usct.evaluation import evaluate
from usct.listening import clear_frequencies, clearance, loud_frequencies

RING = TransducerArray.ring(8, 60e-3)
TIMES = torch.arange(600, dtype=torch.float64) / 3e6


def scan_of(low, high, noise=0.0, offset=0.0):
    """Traces of a pulse with a flat spectrum between two frequencies, late by the path through water."""
    lag = TIMES - 30e-6 - (RING.distances() / 1500.0)[..., None]
    values = 2 * high * torch.sinc(2 * high * lag) - 2 * low * torch.sinc(2 * low * lag)
    values = values / values.abs().max() + noise * random_like(values.shape, 1, False) + offset
    return Acquisition(RING, Traces.of(values.float(), 0.0, 3e6), 1500.0)


def run(*words):
    with pytest.raises(SystemExit) as outcome:
        cli.main([str(word) for word in words])
    return outcome.value.code


@pytest.mark.parametrize("disturbed", [{}, {"noise": 0.02}, {"offset": 10.0}])
def test_the_band_of_a_pulse_is_found(disturbed):
    found = loud_frequencies(scan_of(100e3, 200e3, **disturbed), DEFAULT_FREQUENCIES)
    assert found[0] == pytest.approx(100e3, abs=10e3)
    assert found[-1] == pytest.approx(200e3, abs=10e3)
    assert len(found) == len(DEFAULT_FREQUENCIES)


@pytest.mark.parametrize("band", [(150e3, 700e3), (900e3, 1300e3)])
def test_a_pulse_that_reaches_higher_leaves_the_defaults(band):
    assert loud_frequencies(scan_of(*band), DEFAULT_FREQUENCIES) == list(DEFAULT_FREQUENCIES)


def test_frequencies_that_noise_hides_are_left_out():
    scan = planted.record(planted.no_faults(), with_cylinder=True)
    wanted = [150e3, 250e3, 300e3, 350e3, 600e3, 900e3]
    clear = clearance(scan, wanted)
    assert (clear[1:4] > 20).all()
    assert (clear[4:] < 3).all()
    assert clear_frequencies(scan, wanted) == [
        f for f, db in zip(wanted, clear.tolist(), strict=True) if db >= 6
    ]
    cut = replace(scan, data=replace(scan.data, values=scan.data.values[..., 200:], start_time=200 / 3e6))
    assert clearance(cut, wanted) is None, "nothing is recorded before the arrivals"
    assert clear_frequencies(cut, wanted) == wanted


def test_the_noise_alone_is_not_clear():
    scan = planted.record(planted.no_faults(), with_cylinder=True)
    noise = random_like(scan.data.values.shape, 3, False).float()
    silent = replace(scan, data=replace(scan.data, values=noise))
    assert float(clearance(silent, [200e3, 300e3, 400e3]).max()) < 0


def test_windows_follow_the_settings():
    """An echo long after the arrival stays by default and goes with a window that ends before it."""
    scan = scan_of(100e3, 200e3)
    late = replace(scan, data=replace(scan.data, values=scan.data.values.roll(150, dims=-1)))
    both = replace(scan, data=replace(scan.data, values=scan.data.values + late.data.values))
    frequency = torch.tensor([150e3], dtype=torch.float64)
    kept, windowed, alone = (
        acquisition.spectra(frequency, window_speed=1500.0, after=after).values
        for acquisition, after in ((both, math.inf), (both, 15e-6), (scan, 15e-6))
    )
    apart = RING.distances() > 0
    assert float((windowed - alone)[:, apart].abs().max()) < 0.2 * float(alone[:, apart].abs().max())
    assert float((kept - alone)[:, apart].abs().max()) > 0.5 * float(alone[:, apart].abs().max())
    settings = ["schedule.frequencies_mhz=[0.15]", "water.sound_speed=1500"]
    short, usual = (load_config(None, None, [*more, *settings]) for more in (["traces.after_us=15"], []))
    assert not torch.equal(prepare(both, short)[0].values, prepare(both, usual)[0].values)


def test_traces_that_hold_nothing_are_refused():
    scan = scan_of(100e3, 200e3)
    dead = Acquisition(RING, Traces.of(torch.zeros_like(scan.data.values), 0.0, 3e6), 1500.0)
    with pytest.raises(InputError, match=r"the traces hold nothing .*; give schedule.frequencies_mhz"):
        loud_frequencies(dead, DEFAULT_FREQUENCIES)


def test_the_band_ends_where_amplitudes_are_half():
    # The transform of a Gaussian of unit width sigma is a Gaussian; half of it is at sqrt(2 log 2) / sigma.
    width, middle = 4e-6, 250e3
    lag = TIMES - 100e-6
    trace = torch.exp(-0.5 * (lag / width) ** 2) * torch.cos(2 * torch.pi * middle * lag)
    half = math.sqrt(2 * math.log(2)) / (2 * math.pi * width)
    low, high = signals.loud_band(trace[None], 3e6, 10e3, 1.4e6)
    step = 3e6 / len(TIMES)
    assert low == pytest.approx(middle - half, abs=step)
    assert high == pytest.approx(middle + half, abs=step)


def test_a_low_pulse_is_simulated_and_inverted_by_defaults(tmp_path):
    # The pulse ends far below the default frequencies, which held nothing but noise.
    made = phantom.make("two_disks", spacing=3e-3)
    io.save(made, tmp_path / "phantom.h5")
    words = ("--engine", "time", "--frequencies-mhz", "0.05,0.1", "--elements", 16, "--quiet")
    assert run("simulate", tmp_path / "phantom.h5", "-o", tmp_path / "scan.h5", *words) == 0
    scan = io.load(tmp_path / "scan.h5")
    few = ["schedule.max_frequencies=2", "schedule.iterations=2"]
    result = api.reconstruct(scan, load_config(None, None, few))
    frequencies = sorted({record.frequency for record in result.history})
    assert frequencies[0] < 60e3
    assert 100e3 <= frequencies[-1] < 120e3
    scores = evaluate(result.medium, truth=made.medium, start=result.start)
    assert scores.rmse < 0.5 * scores.start_rmse
    # The same scan inverted by time stepping, and looked into, which every part of usct does by one contract.
    fewest = ["schedule.max_frequencies=1", "schedule.iterations=1", "forward.engine=time"]
    other = api.reconstruct(scan, load_config(None, None, fewest))
    scores = evaluate(other.medium, truth=made.medium, start=other.start)
    assert scores.rmse < 0.7 * scores.start_rmse
    found = api.diagnose(other, scan, options=Options(n_modes=1, n_steps=1, maps=False))
    assert found.summary
