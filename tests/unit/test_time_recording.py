"""Traces in the time domain: against the exact field, row by row, after interruptions, and refusals."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import hankel2

from usct import phantom as phantoms
from usct.acquisition import TransducerArray
from usct.cli import main
from usct.errors import InputError
from usct.forward.time_domain import recording
from usct.forward.time_domain.recording import Pulse, Recorder
from usct.forward.time_domain.shots import Records
from usct.forward.time_domain.simulation import Simulation
from usct.grid import Grid
from usct.io import load
from usct.io.rows import RowFile
from usct.medium import Medium
from usct.phantom import Phantom
from usct.sharing import processes
from usct.simulating import TraceSettings, _inward, plan, simulate_traces

SPEED = 1500.0
SETTINGS = TraceSettings((40e3, 60e3), snr_db=None, seed=4)


def small_phantom(n_dims=2):
    grid = Grid.centred((25,) * n_dims, 4e-3)
    inside = torch.linalg.vector_norm(grid.points(), dim=-1) < 0.02
    speed = torch.where(inside, 1540.0, SPEED).double()
    return Phantom(Medium(grid, speed), inside.byte(), ("water", "ball"), "ball")


def small_array(n_dims=2, n=5):
    positions = TransducerArray.ring(n, 0.045).positions
    return TransducerArray.of(torch.nn.functional.pad(positions, (n_dims - 2, 0)))


def run(*words):
    with pytest.raises(SystemExit) as outcome:
        main([str(word) for word in words])
    return outcome.value.code


def test_traces_are_those_of_the_exact_field():
    pulse = Pulse(200e3, 400e3, 0.7)
    grid = Grid.covering(0.018, 1450 / (4.5 * pulse.band[1]))
    array = TransducerArray.ring(4, 0.014)
    duration = 60e-6
    length = Recorder.record_length(pulse, duration)
    recorder = Recorder(
        Simulation(grid, array, pulse.band, (1450.0, SPEED), duration=length), pulse, duration, 4e6
    )
    late, strong = torch.tensor([0.0, 1e-6]), torch.tensor([1.0, 1.5])
    medium = Medium.homogeneous(grid, SPEED)
    parts = recorder.record(medium, array.transmits[:2], late, strong)
    traces = torch.cat([part for _, part in parts]).double().numpy()
    times = np.arange(recorder.n_samples) / 4e6
    # A Fourier integral so dense in frequency that it does not repeat within the record.
    step = 1 / 8e-4
    frequencies = step * torch.arange(1, math.ceil(pulse.band[1] / step) + 1, dtype=torch.float64)
    for row, receive in ((0, 2), (1, 0)):
        wavenumber = (2 * math.pi * frequencies / SPEED).numpy()
        distance = float(array.distances()[row, receive])
        spectrum = pulse.spectrum(frequencies).numpy() * -0.25j * hankel2(0, wavenumber * distance)
        lag = times - float(late[row])
        waves = np.exp(2j * np.pi * frequencies.numpy()[:, None] * lag)
        exact = 2 * step * float(strong[row]) * (spectrum @ waves).real
        assert np.linalg.norm(traces[row, receive] - exact) < 1e-2 * np.linalg.norm(exact)


def test_a_pulse_lies_in_its_band():
    pulse = Pulse(200e3, 500e3)
    low, high = pulse.band
    outside = torch.tensor([0.9 * low, 1.01 * high, 2e6], dtype=torch.float64)
    assert float(pulse.spectrum(outside).abs().max()) == 0
    inside = pulse.spectrum(torch.tensor([200e3, 350e3, 500e3], dtype=torch.float64)).abs()
    assert float(inside.min()) == float(inside.max()) > 0


def test_an_interrupted_simulation_goes_on_to_the_same_bits(tmp_path):
    made, array = small_phantom(), small_array()
    settings = replace(SETTINGS, snr_db=30.0)
    whole = simulate_traces(made, array, settings, tmp_path / "whole.part").data.values.clone()

    class StopError(Exception):
        pass

    def stop(share, _):
        if share >= 0.4:
            raise StopError

    store = tmp_path / "scan.part"
    with pytest.raises(StopError):
        simulate_traces(made, array, settings, store, on_progress=stop)
    shares = []
    again = simulate_traces(made, array, settings, store, True, lambda share, _: shares.append(share))
    assert shares[0] == pytest.approx(0.4)
    assert shares[-1] == 1
    assert torch.equal(again.data.values, whole)
    assert torch.equal(simulate_traces(made, array, settings, store, True).data.values, whole)
    with pytest.raises(InputError, match="other settings; use those, or start afresh"):
        simulate_traces(made, array, replace(settings, seed=5), store, resume=True)
    with pytest.raises(InputError, match="nothing to resume from"):
        simulate_traces(made, array, settings, tmp_path / "none.part", resume=True)


def test_memory_and_time_are_told_before(tmp_path):
    told = []
    simulate_traces(
        small_phantom(),
        small_array(),
        SETTINGS,
        tmp_path / "a.part",
        on_progress=lambda *step: told.append(step),
    )
    assert told[0][0] == 0
    assert re.fullmatch(
        r"Simulating 5 transmits on \d+ x \d+ cells, \d+ steps; 0\.\d+ GB, about 0:00:\d\d h:min:s",
        told[0][1],
    )
    assert {text for _, text in told} == {told[0][1]}


def test_the_forecast_counts_batches_and_steps(monkeypatch):
    """A clock that moves by a millisecond for every step and by ten for every run."""
    recorder, medium = plan(small_phantom().medium, small_array(), SETTINGS)
    clock = [0.0]
    monkeypatch.setattr(recording.time, "perf_counter", lambda: clock[0])

    def propagate(shots):
        clock[0] += 1e-3 * (10 + shots.signals.shape[-1])
        return Records(torch.zeros(1, 1, 1), None, torch.zeros(1))

    batches = -(-5 // min(5, recorder.at_once))
    assert recorder.forecast(medium, propagate, 5) == pytest.approx(
        1e-3 * batches * (10 + recorder.simulation.n_steps)
    )
    assert recorder.forecast(medium, propagate, 0) == 0


def test_noise_has_the_level_asked_for(tmp_path):
    made, array = small_phantom(), small_array()
    clean = simulate_traces(made, array, SETTINGS, tmp_path / "a.part").data.values
    noisy = simulate_traces(made, array, replace(SETTINGS, snr_db=20.0), tmp_path / "b.part").data.values
    noise = (noisy - clean).double()
    recorder, _ = plan(made.medium, array, SETTINGS)
    times = torch.arange(clean.shape[2], dtype=torch.float64) / recorder.sampling_frequency
    arrival = (array.distances() / SPEED)[..., None]
    straight = (times >= arrival) & (times < arrival + recorder.pulse.length) & (arrival > 0)
    for row in range(5):
        signal = clean[row][straight[row]].double().square().mean()
        ratio = 10 * math.log10(float(signal / noise[row].square().mean()))
        assert abs(ratio - 20) < 1


def test_three_dimensions(tmp_path):
    made, array = small_phantom(3), small_array(3, n=3)
    scan = simulate_traces(made, array, replace(SETTINGS, duration=1.2e-4), tmp_path / "scan.part")
    traces = scan.data.values.double()
    assert scan.water_sound_speed == SPEED
    assert torch.isfinite(traces).all()
    # Reciprocal pairs agree but for what each transmit adds, and the ball hastens what goes through it.
    ratio = traces[0, 1].norm() / traces[1, 0].norm()
    assert 0.8 < float(ratio) < 1.25


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"time_step": 1e-4}, "time step of 1e+05 ns is unstable"),
        ({"spacing": 0.02}, r"has only .* points per wavelength on a grid of 20 mm"),
        ({"spacing": 2e-7}, "GB of memory"),
        ({"sampling_frequency": 1e5}, "sampling frequency of 0.1 MHz"),
    ],
)
def test_what_cannot_be_simulated_is_refused_before_any_work(tmp_path, change, says):
    with pytest.raises(InputError, match=says.replace("+", r"\+")):
        simulate_traces(small_phantom(), small_array(), replace(SETTINGS, **change), tmp_path / "scan.part")
    assert not list(tmp_path.iterdir())


def test_the_command_line_writes_a_scan(tmp_path, capsys):
    from usct import io

    io.save(phantoms.make("two_disks", spacing=4e-3), tmp_path / "phantom.h5")
    words = ("simulate", tmp_path / "phantom.h5", "-o", tmp_path / "scan.h5", "--engine", "time")
    words += ("--elements", 3, "--frequencies-mhz", "0.04,0.06", "--duration-us", 150)
    assert run(*words) == 0
    assert "3 elements, traces of 36 samples" in capsys.readouterr().out
    scan = load(tmp_path / "scan.h5")
    assert tuple(scan.data.values.shape) == (3, 3, 36)
    assert scan.truth is not None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["phantom.h5", "scan.h5"]
    assert run(*words, "--resume") == 2
    assert "nothing to resume from" in capsys.readouterr().err
    assert run(*words, "--time-step-ns", 50000) == 2
    assert "unstable" in capsys.readouterr().err
    assert run(*words[:4], "--spacing-mm", 1) == 2
    assert "add --engine time" in capsys.readouterr().err
    elastic = ("elastic" if word == "time" else word for word in words)
    assert run(*elastic, "--workers", 2) == 0
    assert "elastic waves" in load(tmp_path / "scan.h5").metadata["simulated_by"]


@pytest.mark.parametrize("step", [2e-6, 3.4e-6, 1e-5, 1e-4])
def test_the_time_step_told_is_stable(step):
    """However far from stable a step is, and lossy and dense the phantom: what the sentence says works."""
    made = small_phantom()
    ball = made.labels.double()
    made = replace(made, medium=replace(made.medium, attenuation=40 * ball, density=1000 + 400 * ball))
    with pytest.raises(InputError, match="is unstable .* use at most") as told:
        plan(made.medium, small_array(), replace(SETTINGS, time_step=step))
    most = 1e-9 * float(re.search(r"use at most ([\d.e+]+) ns", str(told.value)).group(1))
    plan(made.medium, small_array(), replace(SETTINGS, time_step=most))
    with pytest.raises(InputError):
        plan(made.medium, small_array(), replace(SETTINGS, time_step=1.1 * most))


def test_rows_that_do_not_fit_on_the_disk_are_refused(tmp_path):
    with pytest.raises(InputError, match="could not be set aside"):
        RowFile(tmp_path / "rows", (2**40, 2**10), "mark", resume=False)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("n_dims", [2, 3])
def test_wide_elements_send_straight_ahead(tmp_path, n_dims):
    """Of a ring in water, the wave to the other side keeps its size, and that to a neighbour is fainter by far."""
    grid = Grid.centred((15,) * n_dims, 8e-3)
    made = Phantom(
        Medium.homogeneous(grid, SPEED), torch.zeros(grid.shape, dtype=torch.uint8), ("water",), "water"
    )
    array = small_array(n_dims, 8).with_transmits(1)
    settings = replace(SETTINGS, spacing=4.5e-3, duration=1.2e-4)
    points, wide = (
        simulate_traces(made, array, replace(settings, element_width=width), tmp_path / f"{width}.part")
        .data.values[0]
        .double()
        .norm(dim=1)
        for width in (None, 20e-3)
    )
    ratio = wide / points
    # A piston across the path adds its own directivity where it looks past the receiver, and so does the receiver.
    assert float(ratio[4]) > 0.85
    assert float(ratio[1]) < 0.75 * float(ratio[4])
    assert float((ratio[1:4] - ratio[5:].flip(0)).abs().max()) < 0.02


def test_elements_look_inward():
    cylinder, bowl = TransducerArray.cylinder(3, 6, 0.1, 0.06), TransducerArray.hemisphere(9, 0.1)
    assert float(_inward(cylinder)[:, 0].abs().max()) == 0
    assert torch.equal(_inward(bowl), -bowl.positions)
    assert torch.equal(_inward(TransducerArray.ring(5, 0.1)), -TransducerArray.ring(5, 0.1).positions)


def test_processes_simulate_the_same(tmp_path):
    made, array = small_phantom(), small_array()
    wanted = simulate_traces(made, array, SETTINGS, tmp_path / "here.part").data.values.clone()
    shares = []
    with processes(2) as pool:
        found = simulate_traces(
            made, array, SETTINGS, tmp_path / "there.part", False, lambda share, _: shares.append(share), pool
        ).data.values
    assert np.allclose(found, wanted, rtol=0, atol=1e-6 * float(wanted.abs().max()))
    assert sorted(shares) == shares
    assert shares[-1] == 1


def test_bone_that_bears_shear_sounds_otherwise(tmp_path):
    made, array = small_phantom(), small_array()
    bone = torch.where(made.medium.sound_speed > SPEED, 2600.0, SPEED).double()
    skull = replace(made, medium=replace(made.medium, sound_speed=bone))
    settings = replace(SETTINGS, duration=2e-4, spacing=2.5e-3)

    def difference(what, name):
        traces = []
        for elastic in (False, True):
            store = tmp_path / f"{name} {elastic}.part"
            scan = simulate_traces(what, array, replace(settings, elastic=elastic), store)
            assert ("elastic waves" in scan.metadata["simulated_by"]) is elastic
            traces.append(scan.data.values.double())
        return float((traces[1] - traces[0]).norm() / traces[0].norm())

    assert difference(made, "soft") < 5e-3
    assert difference(skull, "hard") > 0.1
