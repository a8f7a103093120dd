"""The cycle-skip guard: delays are found whatever the pulses, wrong images are told from right ones by data alone."""

import dataclasses
import math
import re

import pytest
import torch

from tests.helpers import random_like
from tests.unit import planted
from usct import api, cli, io
from usct.acquisition import Spectra, TransducerArray
from usct.grid import Grid
from usct.inversion.skipping import (
    lowest,
    missed_by_arrivals,
    share_of_misses,
    some_picks,
    wave_delays,
)
from usct.medium import Medium
from usct.phantom import Phantom
from usct.reconstruction import CycleSkips

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


def test_shares_count_what_is_known():
    delays = torch.tensor([1e-6] * 60 + [3e-6] * 20 + [math.nan] * 40)
    assert share_of_misses(delays, 200e3) == pytest.approx(0.25)
    assert math.isnan(share_of_misses(delays[:40], 200e3))


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
