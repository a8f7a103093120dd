"""A run that began from a start model, or was taken over a water shot, is diagnosed as it was made."""

import json
import re
import shutil

import pytest
import torch

from tests.app.test_diagnose import make_scan, run
from usct import io
from usct.diagnosis import Diagnosis
from usct.grid import Grid
from usct.medium import Medium
from usct.phantom import Phantom

SETTINGS = ("--set", "device=cpu", "--set", "misfit.mute_angle_deg=35", "--set", "start.disc=false")
QUICK = ("--modes", 3, "--steps", 0, "--no-maps", "-q")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A scan, a start model with a bony rim, a water shot, and a result made with both."""
    folder = tmp_path_factory.mktemp("rerunning")
    io.save(make_scan(), folder / "scan.h5")
    io.save(make_scan(speed=1500.0), folder / "water.h5")
    grid = Grid.covering(44e-3, 2e-3)
    rim = grid.disc(24e-3) & ~grid.disc(20e-3)
    speed = torch.where(rim, 1900.0, torch.where(grid.disc(20e-3), 1520.0, 1500.0)).double()
    io.save(Phantom(Medium(grid, speed), rim.to(torch.int16), ("water", "skull")), folder / "start.h5")
    words = ("--start", folder / "start.h5", "--water", folder / "water.h5", "--preset", "head")
    words = (*words, "--set", "schedule.frequencies_mhz=[0.04,0.06]", "--set", "tissues.bone.deviation=60")
    words = (
        *words,
        "--set",
        "tissues.bone.correlation_mm=5",
        "--set",
        "tissues.inside.sound_speed=[1400,1600]",
    )
    assert run("reconstruct", folder / "scan.h5", *words, *SETTINGS, "-o", folder / "result.h5", "-q") == 0
    return folder


def test_files_beside_the_result_are_found(folder) -> None:
    words = ("--scan", folder / "scan.h5", "-o", folder / "kernels.h5")
    assert run("diagnose", folder / "result.h5", *words, *QUICK) == 0
    assert isinstance(io.load(folder / "kernels.h5"), Diagnosis)


def test_files_elsewhere_are_asked_for_and_others_refused(folder, tmp_path, capsys) -> None:
    result = shutil.copy(folder / "result.h5", tmp_path / "result.h5")
    words = ("diagnose", result, "--scan", folder / "scan.h5", "-o", tmp_path / "kernels.h5", *QUICK)
    assert run(*words) == 2
    assert re.search(
        r"was made with --start start.h5, which is not at .*; give it with --start", capsys.readouterr().err
    )
    assert run(*words, "--start", folder / "start.h5") == 2
    assert re.search(r"was made with --water water.h5, .*give it with --water", capsys.readouterr().err)
    assert run(*words, "--start", folder / "water.h5", "--water", folder / "water.h5") == 2
    assert re.search(r"water.h5: is not the start.h5 that .* was made with", capsys.readouterr().err)
    assert run(*words, "--start", folder / "start.h5", "--water", folder / "water.h5") == 0


def test_attenuation_edges_and_bounds_by_tissue_go_together(folder) -> None:
    words = (
        "--start",
        folder / "start.h5",
        "--preset",
        "head",
        "--set",
        "schedule.frequencies_mhz=[0.04,0.06]",
    )
    words = (*words, "--set", "tissues.inside.sound_speed=[1400,1600]", "--set", "attenuation.invert=true")
    words = (*words, "--set", "schedule.edges=true", *SETTINGS, "-o", folder / "both.h5", "-q")
    assert run("reconstruct", folder / "scan.h5", *words) == 0
    words = ("--scan", folder / "scan.h5", "-o", folder / "both-kernels.h5")
    assert run("diagnose", folder / "both.h5", *words, *QUICK) == 0


def test_kernels_are_compared_behind_a_start_model(folder, capsys) -> None:
    words = (
        "compare-kernels",
        folder / "scan.h5",
        "--preset",
        "head",
        "--parameterizations",
        "tailored",
        *SETTINGS,
    )
    words = (*words, "--set", "schedule.frequencies_mhz=[0.04,0.06]", "--modes", 3, "-q")
    assert run(*words, "--start", folder / "start.h5", "-o", folder / "bone") == 0
    assert run(*words, "--start", 1520, "-o", folder / "uniform") == 0
    found = [json.loads((folder / name / "kernels.json").read_text()) for name in ("bone", "uniform")]
    traces = [facts["representations"]["tailored"]["trace"] for facts in found]
    assert abs(traces[0] / traces[1] - 1) > 0.02
    assert run(*words, "--start", "15x0", "-o", folder / "none") == 2
    assert "15x0" in capsys.readouterr().err
