"""The cycle-skip guard: delays are found whatever the pulses, wrong images are told from right ones by data alone."""

import dataclasses
import math
import re

import pytest
import torch

from tests.bench.heads import start_of
from tests.helpers import random_like
from tests.unit import planted
from usct import api, cli, io, phantom
from usct.acquisition import Acquisition, Spectra, TransducerArray
from usct.assembly import build_inversion, prepare
from usct.config import load_config
from usct.grid import Grid
from usct.inversion.skipping import (
    Watch,
    lowest,
    missed_by_arrivals,
    share_of_misses,
    some_picks,
    wave_delays,
)
from usct.medium import Medium
from usct.phantom import Phantom
from usct.reconstruction import MOST_SKIPPED, CycleSkips

FREQUENCIES = torch.tensor([200e3, 230e3, 260e3], dtype=torch.float64)


def test_delays_are_found_whatever_the_pulses():
    """Beyond a period at any one frequency, to the mean of each transmit, which its own pulse may hide."""
    late = 4e-6 * random_like((9, 30), 1, False).clamp(-1.5, 1.5)
    pulses = random_like((3, 9, 1), 2, True)
    pulses[1:] = pulses[:1] * random_like((2, 9, 1), 3, False).exp()  # amplitudes alone differ over the band
    predicted = random_like((1, 9, 30), 4, True).expand(3, 9, 30)
    turn = torch.exp(-2j * torch.pi * FREQUENCIES[:, None, None] * late)
    found = wave_delays(predicted, Spectra.of(pulses * predicted * turn, FREQUENCIES))
    known = found.isfinite()
    assert known.double().mean() > 0.9
    off = torch.where(known, found - late, math.nan)
    assert float((off - off.nanmean(dim=1, keepdim=True))[known].abs().max()) < 1e-12
    assert float(late.abs().max()) > 1 / 200e3


def test_frequencies_too_far_apart_tell_nothing():
    values = torch.ones(3, 4, 4, dtype=torch.complex128)
    assert lowest(Spectra.of(values[:1], FREQUENCIES[:1])) is None
    assert lowest(Spectra.of(values[:2], torch.tensor([1e5, 2e5]))) is None
    assert lowest(Spectra.of(values, torch.tensor([1e5, 1.9e5, 3e5]))).frequencies.tolist() == [1e5, 1.9e5]


def test_frequencies_are_far_enough_apart_for_noise():
    dense = torch.arange(300e3, 500e3, 10e3, dtype=torch.float64)
    values = torch.ones(len(dense), 4, 4, dtype=torch.complex128)
    assert lowest(Spectra.of(values, dense)).frequencies.tolist() == [300e3, 370e3, 450e3]
    assert lowest(Spectra.of(values[:3], dense[:3])).frequencies.tolist() == [300e3, 320e3]


def watch_over(scan: Acquisition, *settings: str) -> Watch:
    """The guard as a run has it."""
    scan, config = dataclasses.replace(scan, truth=None), load_config("head", None, list(settings))
    observed, water, _ = prepare(scan, config)
    return api.watch_of(scan, observed, build_inversion(scan, config, observed, water).discretization, water)


def missed(scan: Acquisition, image: Medium, *settings: str) -> float:
    """Share of misses that the guard sees, as a run would."""
    return watch_over(scan, *settings).missed_by(image)


@pytest.mark.parametrize("every", [1, 8])
def test_noise_and_few_transmits_raise_no_alarm(every):
    """20 dB and close frequencies; the image is the truth on coarser cells, the wrong one water."""
    ring, grid = TransducerArray.ring(48, 40e-3), Grid.covering(45e-3, 0.7e-3)
    ring = dataclasses.replace(ring, transmits=ring.transmits[::every])
    disc, band = fast_disc(180.0), (0.33e6, 0.34e6, 0.35e6, 0.4e6, 0.46e6)
    scan = api.simulate(disc, ring, band, snr_db=20, seed=2)
    settings = "schedule.frequencies_mhz=[0.33,0.34,0.35,0.4,0.46]", "bounds.sound_speed=[1400,1720]"
    settings += ("start.disc=false",)
    assert missed(scan, disc.medium.resampled(grid), *settings) < 0.5 * MOST_SKIPPED
    assert missed(scan, Medium.homogeneous(grid, 1500.0), *settings) > 5 * MOST_SKIPPED


@pytest.mark.parametrize(
    ("band", "snr_db"),
    [((0.33, 0.335, 0.34), 40), ((0.33, 0.34, 0.35), 30), ((0.33, 0.36, 0.39), 20)],
)
def test_frequencies_within_a_few_per_cent_raise_no_alarm(band, snr_db):
    """Noise is told from reciprocal pairs; blind to it, the right image would be told in two of the three."""
    disc, grid = fast_disc(180.0), Grid.covering(45e-3, 0.7e-3)
    scan = api.simulate(disc, TransducerArray.ring(48, 40e-3), [1e6 * f for f in band], snr_db=snr_db, seed=2)
    watch = watch_over(
        scan, f"schedule.frequencies_mhz={list(band)}", "bounds.sound_speed=[1400,1720]", "start.disc=false"
    )
    assert watch.missed_by(disc.medium.resampled(grid)) < 0.5 * MOST_SKIPPED
    assert watch.missed_by(Medium.homogeneous(grid, 1500.0)) > 5 * MOST_SKIPPED


def test_traces_of_few_transmits_tell_noise_by_what_precedes_arrivals():
    scan = planted.record(planted.no_faults(), with_cylinder=True, seed=1)
    some = slice(None, None, 8)
    array = dataclasses.replace(scan.array, transmits=scan.array.transmits[some])
    traces = dataclasses.replace(scan.data, values=scan.data.values[some], valid=scan.data.valid[some])
    few = dataclasses.replace(scan, array=array, data=traces)
    settings = "schedule.frequencies_mhz=[0.25,0.3]", "start.disc=false"
    noise = watch_over(few, *settings).noise
    assert (noise / watch_over(scan, *settings).noise).tolist() == pytest.approx([1.0, 1.0], rel=0.3)
    spectra = dataclasses.replace(few, data=few.spectra(torch.tensor([0.25e6, 0.3e6])))
    assert watch_over(spectra, *settings).noise is None


def test_what_noise_hides_is_not_known():
    scan = api.simulate(fast_disc(180.0), TransducerArray.ring(48, 40e-3), (330e3, 335e3), snr_db=20, seed=2)
    watch = watch_over(scan, "schedule.frequencies_mhz=[0.33,0.335]", "start.disc=false")
    assert math.isnan(watch.missed_by(Medium.homogeneous(Grid.covering(45e-3, 0.7e-3), 1500.0)))


@pytest.mark.parametrize("snr_db", [30, 20])
def test_a_head_behind_its_true_skull_raises_no_alarm(snr_db):
    """Against the rms of all pairs, of which the skull leaves those behind it far less."""
    head = phantom.make("head_haemorrhage", seed=1, spacing=1e-3)
    band = [50e3, 54e3, 58e3, 65e3, 75e3]
    scan = api.simulate(head, TransducerArray.ring(64, 0.11), band, snr_db=snr_db)
    scan = dataclasses.replace(scan, start=start_of(head, 0.0))
    settings = "schedule.frequencies_mhz=[0.05,0.054,0.058,0.065,0.075]", "bounds.sound_speed=[1350,3600]"
    watch = watch_over(scan, *settings, "grid.image_spacing_mm=1.2")
    right = Medium(head.medium.grid, head.medium.sound_speed)
    assert watch.missed_by(right) < 0.6 * MOST_SKIPPED
    assert watch.missed_by(Medium.homogeneous(right.grid, 1500.0)) > 2 * MOST_SKIPPED


def test_shares_count_what_is_known():
    delays = torch.tensor([1e-6] * 60 + [3e-6] * 20 + [math.nan] * 40)
    assert share_of_misses(delays, 200e3) == pytest.approx(0.25)
    assert math.isnan(share_of_misses(delays[:40], 200e3))


def test_what_noise_feigns_does_not_count():
    """Half a period is 2.5 us; of delays with a deviation of 1.2 us noise takes 3.7 % beyond it."""
    noise = 1.2e-6 * random_like((4000,), 5, False)
    spread = torch.full_like(noise, 1.2e-6)
    assert share_of_misses(noise, 200e3) == pytest.approx(0.037, abs=0.006)
    assert share_of_misses(noise, 200e3, spread) < 0.005
    late = torch.where(torch.arange(4000) % 5 == 0, noise + 6e-6, noise)
    assert share_of_misses(late, 200e3, spread) == pytest.approx(0.2, abs=0.01)
    assert math.isnan(share_of_misses(noise, 200e3, 1.1 * spread))
    loud = torch.where(torch.arange(4000) % 5 < 2, 9 * spread, spread)
    assert share_of_misses(late, 200e3, loud) == pytest.approx(0.0, abs=0.005), "the louder ones are left out"


@pytest.mark.parametrize(
    ("skips", "suspected", "words"),
    [
        (
            CycleSkips(2e5, 0.4, math.nan, 0.001, math.nan),
            False,
            "none seen: 0.1 % .* 200 kHz .40.0 % at the start",
        ),
        (CycleSkips(2e5, 0.4, 0.1, 0.001, 0.05), True, "suspected: 5.0 % .* start from lower frequencies"),
        (CycleSkips(2e5, math.nan, math.nan, 0.2, math.nan), True, "suspected: 20.0 %"),
        (CycleSkips(2e5), False, "not known"),
        (
            CycleSkips(2e5, 0.4, math.nan, 0.001, math.nan, 0.07, "400 kHz"),
            True,
            "suspected: 0.1 % .*; after the stage of 400 kHz, 7.0 % .* half a period of its lowest .* start from lower",
        ),
        (
            CycleSkips(2e5, 0.4, math.nan, 0.001, math.nan, 0.01, "400 kHz"),
            False,
            "none seen: 0.1 % .* start.$",
        ),
        (
            CycleSkips(2e5, stage_waves=0.01, stage="400 kHz"),
            False,
            "none seen: after the stage of 400 kHz, 1.0 %",
        ),
    ],
)
def test_what_is_said(skips, suspected, words):
    assert skips.suspected is suspected
    assert re.search(words, skips.sentence())
    assert bool(skips.warning) is suspected


def run(*words: object) -> int:
    with pytest.raises(SystemExit) as end:
        cli.main([str(word) for word in words])
    return end.value.code


def fast_disc(excess: float) -> Phantom:
    grid = Grid.covering(45e-3, 0.5e-3)
    away = torch.linalg.vector_norm(grid.points(), dim=-1)
    bump = torch.sigmoid((18e-3 - away) / 1e-3)
    bump = torch.where(bump > 1e-3, bump, 0.0)
    return Phantom(Medium(grid, 1500 + excess * bump), (bump > 0.5).to(torch.int16), ("water", "tissue"))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Scans of a disc whose waves are early by 1.3 and by 0.5 half periods, and images from water."""
    folder = tmp_path_factory.mktemp("skipping")
    for name, excess in (("skipped", 180.0), ("safe", 60.0)):
        ring = TransducerArray.ring(48, 40e-3)
        scan = api.simulate(fast_disc(excess), ring, (0.33e6, 0.36e6, 0.39e6), snr_db=40, seed=2)
        io.save(dataclasses.replace(scan, truth=None), folder / f"{name}.h5")
    return folder


@pytest.mark.parametrize("name", ["skipped", "safe"])
def test_a_wrong_image_is_flagged_everywhere(files, name, capsys):
    settings = ["--set", "start.disc=false", "--set", "bounds.sound_speed=[1400, 1720]", "--strict"]
    out = files / f"{name}_result.h5"
    code = run("reconstruct", files / f"{name}.h5", "-o", out, *settings)
    said = capsys.readouterr().out
    result = io.load(out)
    is_bad = name == "skipped"
    middle = result.medium.sound_speed[result.medium.grid.disc(12e-3)].mean()
    assert (abs(float(middle) - (1680 if is_bad else 1560)) > 30) is is_bad, "what the guard is to tell"
    assert result.skips.suspected is is_bad
    told = [record.skipped for record in result.history]
    ends = [n for n, r in enumerate(result.history[1:]) if r.stage != result.history[n].stage]
    assert [n for n, share in enumerate(told) if share is not None] == ends, (
        "the last stage has no next to tell"
    )
    assert [told[n] > MOST_SKIPPED for n in ends] == [is_bad] * 2
    assert result.skips.stage_waves == max(told[n] for n in ends)
    assert code == (1 if is_bad else 0)
    assert ("suspected" in said) is is_bad
    assert ("--misfit envelope" in result.message) is is_bad
    assert run("info", out) == 0
    assert ("suspected" if is_bad else "none seen") in capsys.readouterr().out
    assert run("report", out, "-o", out.with_suffix(".html")) == 0
    assert ("suspected" if is_bad else "none seen") in out.with_suffix(".html").read_text(encoding="utf-8")


def test_arrivals_tell_the_right_image_from_water():
    scan = planted.record(planted.no_faults(), with_cylinder=True, seed=1)
    picks, grid = some_picks(scan), Grid.covering(60e-3, 0.5e-3)
    inside = grid.disc(planted.CYLINDER_RADIUS)
    right = Medium(grid, torch.where(inside, planted.CYLINDER_SPEED, planted.WATER).double())
    water = Medium.homogeneous(grid, planted.WATER)
    latest = 2 * planted.CYLINDER_RADIUS * abs(1 / planted.CYLINDER_SPEED - 1 / planted.WATER)
    frequency = 1 / latest  # half a period is half of the largest delay, three tenths of a microsecond
    shares = [missed_by_arrivals(medium, picks, planted.WATER, frequency) for medium in (right, water)]
    assert shares[0] < 0.06
    assert shares[1] > 4 * shares[0]
    assert some_picks(dataclasses.replace(scan, data=scan.spectra(torch.tensor([2e5])))) is None


def test_arrivals_through_bone_are_not_asked_of_straight_rays():
    """Where most rays meet something faster than any soft tissue, nothing is told; where few do, the rest tells."""
    scan = planted.record(planted.no_faults(), with_cylinder=True, seed=1)
    picks, grid = some_picks(scan), Grid.covering(60e-3, 0.5e-3)
    inside = grid.disc(planted.CYLINDER_RADIUS)
    right = torch.where(inside, planted.CYLINDER_SPEED, planted.WATER).double()
    frequency = 1 / (2 * planted.CYLINDER_RADIUS * abs(1 / planted.CYLINDER_SPEED - 1 / planted.WATER))
    ring = grid.disc(45e-3) & ~grid.disc(40e-3)
    skull = Medium(grid, torch.where(ring, 2800.0, right))
    assert math.isnan(missed_by_arrivals(skull, picks, planted.WATER, frequency))
    chip = Medium(grid, torch.where(grid.disc(2e-3, (30e-3, 0.0)), 2800.0, right))
    assert missed_by_arrivals(chip, picks, planted.WATER, frequency) < 0.06
