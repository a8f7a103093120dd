"""The verbs end to end on tiny files, with the real physics."""

import dataclasses
import json

import pytest
import torch

from usct import api, cli, io
from usct.acquisition import Acquisition, TransducerArray
from usct.config import load_config
from usct.errors import InputError
from usct.grid import Grid
from usct.medium import Medium
from usct.phantom import Phantom
from usct.reconstruction import Reconstruction, Status

SETTINGS = ["schedule.inner_iterations=3", "schedule.iterations=2", "device=cpu", "misfit.mute_angle_deg=35"]
FROM_WATER = "start.disc=false"
"""Saves the search for a disc where the start does not matter."""


def run(*words: object) -> int:
    with pytest.raises(SystemExit) as leaving:
        cli.main([str(word) for word in words])
    return leaving.value.code


def make_phantom() -> Phantom:
    grid = Grid.covering(45e-3, 1e-3)
    inside = grid.disc(16e-3, (5e-3, -3e-3))
    medium = Medium(grid, torch.where(inside, 1550.0, 1500.0).double())
    return Phantom(medium, inside.to(torch.int16), ("water", "tissue"), title="a disc")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A phantom, its scan and the result, all made by the commands."""
    folder = tmp_path_factory.mktemp("chain")
    io.save(make_phantom(), folder / "phantom.h5")
    ring = ("--elements", 32, "--radius-mm", 40, "--frequencies-mhz", "0.06,0.09", "--seed", 1, "-q")
    assert run("simulate", folder / "phantom.h5", "-o", folder / "scan.h5", *ring) == 0
    sets = [word for setting in SETTINGS for word in ("--set", setting)]
    assert run("reconstruct", folder / "scan.h5", "-o", folder / "result.h5", *sets, "-q") == 0
    return folder


@pytest.fixture
def scan(folder) -> Acquisition:
    return io.load(folder / "scan.h5")


def config(*more: str):
    return load_config(None, None, [*SETTINGS, *more])


def test_the_chain_ends_with_a_better_image_and_a_report(folder, capsys):
    assert run("info", folder / "scan.h5") == 0
    assert "32 x 32" in capsys.readouterr().out
    assert run("validate", folder / "scan.h5") == 0
    scores, page = folder / "scores.json", folder / "report.html"
    assert run("evaluate", folder / "result.h5", "--truth", folder / "phantom.h5", "--json", scores) == 0
    numbers = json.loads(scores.read_text(encoding="utf-8"))
    assert numbers["rmse"] < 0.5 * numbers["start_rmse"]
    assert run("report", folder / "result.h5", "--truth", folder / "scan.h5", "-o", page) == 0
    assert "data:image/png" in page.read_text(encoding="utf-8")


def test_the_result_says_where_it_came_from(folder):
    result = io.load(folder / "result.h5")
    assert isinstance(result, Reconstruction)
    assert result.status is Status.FINISHED
    assert len(result.history) == 4
    assert {"usct", "torch", "config", "scan_sha256", "water_sound_speed"} <= set(result.provenance)
    assert json.loads(result.provenance["config"])["schedule"]["iterations"] == 2
    assert not (folder / "result.checkpoint").exists()


def test_simulation_is_reproducible_and_its_noise_is_as_asked(scan):
    phantom, ring = make_phantom(), TransducerArray.ring(32, 40e-3)
    again = api.simulate(phantom, ring, [60e3, 90e3], seed=1)
    assert torch.equal(again.data.values, scan.data.values)
    clean = api.simulate(phantom, ring, [60e3, 90e3], snr_db=None, seed=1)
    noise = (again.data.values - clean.data.values).abs().square().mean()
    assert float(10 * torch.log10(clean.data.values.abs().square().mean() / noise)) == pytest.approx(
        40, abs=1
    )


@pytest.fixture(
    scope="module",
    params=[("gauss-newton",), ("conjugate-gradients", FROM_WATER), ("l-bfgs", FROM_WATER)],
    ids=lambda words: words[0],
)
def uninterrupted(folder, request):
    """Settings with an optimizer, and what comes of them."""
    optimizer, *more = request.param
    settings = config(f"schedule.optimizer={optimizer}", *more)
    return settings, api.reconstruct(io.load(folder / "scan.h5"), settings)


@pytest.mark.parametrize("n_done", [1, 2])
def test_a_cancelled_run_resumes_bit_for_bit(scan, tmp_path, uninterrupted, n_done):
    (settings, whole), checkpoint = uninterrupted, tmp_path / "run.checkpoint"

    def interrupt(iterate):
        if iterate.record.iteration == n_done:
            raise KeyboardInterrupt

    cancelled = api.reconstruct(scan, settings, interrupt, checkpoint)
    assert cancelled.status is Status.CANCELLED
    assert len(cancelled.history) == n_done
    resumed = api.reconstruct(scan, settings, checkpoint=checkpoint, resume=True)
    assert torch.equal(resumed.medium.sound_speed, whole.medium.sound_speed)
    assert torch.equal(resumed.start.sound_speed, whole.start.sound_speed)
    assert resumed.status is Status.FINISHED
    assert [r.objective for r in resumed.history] == [r.objective for r in whole.history]


def test_an_interrupt_in_a_resumed_run_keeps_what_was_done(scan, tmp_path, monkeypatch):
    checkpoint = tmp_path / "run.checkpoint"

    def interrupt(*_):
        raise KeyboardInterrupt

    cancelled = api.reconstruct(scan, config(FROM_WATER), interrupt, checkpoint)
    monkeypatch.setattr("usct.inversion.objective.Objective.at", interrupt)
    again = api.reconstruct(scan, config(FROM_WATER), None, checkpoint, resume=True)
    assert again.status is Status.CANCELLED
    assert torch.equal(again.medium.sound_speed, cancelled.medium.sound_speed)
    assert len(again.history) == 1


@pytest.mark.parametrize("setting", ["schedule.cutoff=0.8", "water.sound_speed=1501"])
def test_a_checkpoint_of_other_settings_is_refused(scan, tmp_path, setting):
    checkpoint = tmp_path / "run.checkpoint"

    def interrupt(iterate):  # noqa: ARG001
        raise KeyboardInterrupt

    api.reconstruct(scan, config(FROM_WATER), interrupt, checkpoint)
    with pytest.raises(InputError, match="run.checkpoint: was made from another scan or with other settings"):
        api.reconstruct(scan, config(FROM_WATER, setting), checkpoint=checkpoint, resume=True)


def test_the_water_is_estimated_where_the_file_does_not_say(scan):
    blind = dataclasses.replace(scan, water_sound_speed=None, truth=None)
    result = api.reconstruct(blind, config("schedule.iterations=1", FROM_WATER))
    assert result.provenance["water_sound_speed_source"].startswith("estimated")
    # The ring is only three wavelengths wide, so that the object reaches into the direct paths.
    assert float(result.provenance["water_sound_speed"].split()[0]) == pytest.approx(1500, abs=20)


def test_the_truth_is_not_looked_at(scan):
    blind = dataclasses.replace(scan, truth=None)
    settings = config("schedule.iterations=1")
    seen, unseen = (api.reconstruct(s, settings).medium.sound_speed for s in (scan, blind))
    assert torch.equal(seen, unseen)
