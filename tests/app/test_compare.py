"""The verb compare on a tiny scan with the real physics: what is written, scored, refused and kept."""

import dataclasses
import json
import math
import re

import pytest
import torch

from usct import api, cli, io
from usct.acquisition import Acquisition, TransducerArray
from usct.comparison import REPRESENTATIONS, compare
from usct.config import load_config
from usct.errors import InputError
from usct.evaluation import evaluate
from usct.grid import Grid
from usct.medium import Medium
from usct.phantom import Phantom
from usct.reconstruction import RESEARCH_USE_ONLY, Status

SETTINGS = ("schedule.inner_iterations=2", "device=cpu", "misfit.mute_angle_deg=35")
SETS = [word for setting in SETTINGS for word in ("--set", setting)]
NAMES = ("pixel", "tailored", "siren:adam")
BUDGET = 9


def run(*words: object) -> int:
    with pytest.raises(SystemExit) as leaving:
        cli.main([str(word) for word in words])
    return leaving.value.code


def make_phantom() -> Phantom:
    grid = Grid.covering(45e-3, 1.5e-3)
    tissue, cyst = grid.disc(18e-3, (5e-3, -3e-3)), grid.disc(6e-3, (8e-3, 0.0))
    speed = torch.where(tissue, 1540.0, 1500.0).double()
    medium = Medium(grid, torch.where(cyst, 1575.0, speed))
    labels = tissue.to(torch.int16) + cyst.to(torch.int16)
    return Phantom(medium, labels, ("water", "tissue", "cyst"), title="a disc with a cyst")


PHANTOM = make_phantom()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A phantom, its scan with and without the truth, and the comparison that the command makes of it."""
    folder = tmp_path_factory.mktemp("compare")
    scan = api.simulate(PHANTOM, TransducerArray.ring(24, 40e-3), [60e3, 90e3], seed=1)
    io.save(PHANTOM, folder / "phantom.h5")
    io.save(scan, folder / "scan.h5")
    io.save(dataclasses.replace(scan, truth=None), folder / "blind.h5")
    words = ("--truth", folder / "phantom.h5", "--parameterizations", ",".join(NAMES), "--start", 1500)
    code = run("compare", folder / "blind.h5", *words, "--budget", BUDGET, *SETS, "-o", folder / "out", "-q")
    assert code == 0
    return folder


@pytest.fixture(scope="module")
def facts(folder):
    return json.loads((folder / "out" / "compare.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def scan(folder) -> Acquisition:
    return io.load(folder / "scan.h5")


def test_three_files_are_written_and_the_page_names_every_run(folder):
    assert sorted(path.name for path in (folder / "out").iterdir()) == [
        "compare.html",
        "compare.json",
        "compare.png",
    ]
    page = (folder / "out" / "compare.html").read_text(encoding="utf-8")
    assert all(f"<td>{name}</td>" in page for name in NAMES)
    assert RESEARCH_USE_ONLY in page
    assert "blind.h5" in page


def test_the_json_holds_aligned_arrays_of_finite_numbers(facts):
    assert facts["budget"] == BUDGET
    assert facts["scan"] == "blind.h5"
    assert list(facts["representations"]) == list(NAMES)
    for trial in facts["representations"].values():
        arrays = [trial[key] for key in ("solves", "seconds", "residual", "rmse", "rmse_resolved")]
        assert len({len(array) for array in arrays}) == 1
        assert all(math.isfinite(value) and value >= 0 for array in arrays for value in array)
        assert trial["solves"] == sorted(trial["solves"])
        assert trial["seconds"] == sorted(trial["seconds"])
        assert 0 < trial["solves"][-1] <= BUDGET - 4, "two frequencies of start and image are looked at"
        assert trial["n_parameters"] > 100
        assert trial["ssim"] <= 1
        assert trial["status"] == "finished"


def test_each_run_uses_its_own_optimizer(facts):
    trials = facts["representations"]
    assert [trials[name]["optimizer"] for name in NAMES] == ["gauss-newton", "gauss-newton", "adam"]


@pytest.mark.parametrize("name", [*REPRESENTATIONS, "siren:l-bfgs"])
def test_the_optimizer_shown_is_the_one_that_runs(name, scan):
    from usct.assembly import build_inversion, prepare
    from usct.comparison import _config

    config = _config(name, None, [*SETTINGS, "start.sound_speed=1500"])
    observed, water, _ = prepare(scan, config)
    assert config.optimizer == build_inversion(scan, config, observed, water).schedule[0].optimizer


def test_the_start_is_searched_for_once_and_is_that_of_a_run_alone(scan, monkeypatch):
    import usct.assembly as assembly

    real, searches = assembly.estimate_disc, []

    def counted(*args):
        searches.append(real(*args))
        return searches[-1]

    monkeypatch.setattr(assembly, "estimate_disc", counted)
    made = compare(scan, PHANTOM, ("pixel",), 8, settings=SETTINGS)
    assert len(searches) == 1
    config = load_config(None, None, [*SETTINGS, "schedule.iterations=1"])
    alone = api.reconstruct(dataclasses.replace(scan, truth=None), config).start
    assert torch.equal(made.start.sound_speed, alone.sound_speed.float())


def test_all_begin_at_the_start_asked_for(facts):
    expected = evaluate(Medium.homogeneous(PHANTOM.medium.grid, 1500.0), PHANTOM.medium).rmse
    assert facts["start_rmse"] == pytest.approx(expected, rel=1e-6)
    for trial in facts["representations"].values():
        assert trial["start_rmse"] == pytest.approx(expected, rel=1e-3)


def test_a_run_equals_the_same_reconstruction_made_alone(facts, scan):
    settings = ("parameterization.name=tailored", f"schedule.max_solves={BUDGET}", "start.sound_speed=1500")
    alone = api.reconstruct(scan, load_config(None, None, [*SETTINGS, *settings]))
    trial = facts["representations"]["tailored"]
    assert trial["solves"] == [record.n_solves for record in alone.history]
    assert trial["residual"] == pytest.approx([math.sqrt(r.objective) for r in alone.history], rel=1e-9)
    # Images on the way are kept in single precision, a part in ten million.
    assert trial["rmse"][-1] == pytest.approx(evaluate(alone.medium, PHANTOM.medium).rmse, abs=1e-3)
    assert trial["rmse"][-1] < 0.7 * facts["start_rmse"]


def test_the_inversion_never_sees_the_truth_and_waits_for_no_scoring(scan, monkeypatch):
    import usct.comparison as verb

    seen, scored_during = [], []
    real, running = api.reconstruct, []

    def watched(acquisition, config, on_iterate=None):
        seen.append(acquisition.truth)
        running.append(True)
        result = real(acquisition, config, on_iterate)
        running.clear()
        return result

    def watching_scores(*args, **named):
        scored_during.append(bool(running))
        return evaluate(*args, **named)

    monkeypatch.setattr(verb.api, "reconstruct", watched)
    monkeypatch.setattr(verb, "evaluate", watching_scores)
    compare(scan, scan.truth, ("pixel",), 8, 1500.0, settings=SETTINGS)
    assert seen == [None, None]
    assert scored_during
    assert not any(scored_during)


def test_a_run_that_fails_is_kept_with_its_reason(scan, monkeypatch):
    import usct.comparison as verb

    real = api.reconstruct

    def failing(acquisition, config, on_iterate=None):
        if config.parameterization.name == "pixel":
            raise InputError("the pixels are on strike; ask another")
        return real(acquisition, config, on_iterate)

    monkeypatch.setattr(verb.api, "reconstruct", failing)
    made = compare(scan, PHANTOM, ("pixel", "tailored"), 8, 1500.0, settings=SETTINGS)
    assert [trial.outcome for trial in made.trials] == ["failed", "finished"]
    assert made.trials[0].message == "the pixels are on strike; ask another"
    assert [trial.name for trial in made.ranking] == ["tailored"]
    assert [spot.name for spot in made.spots] == ["cyst"]


def test_a_run_that_breaks_down_keeps_its_last_good_image(scan, monkeypatch):
    import usct.inversion.optimizers as optimizers

    real, calls = optimizers.GaussNewton.step, []

    def step(self, point, precondition):
        calls.append(True)
        found = real(self, point, precondition)
        # One update per stage warms up; then the second update of the run itself is spoilt.
        return found * math.nan if len(calls) == 4 else found

    monkeypatch.setattr(optimizers.GaussNewton, "step", step)
    made = compare(scan, PHANTOM, ("pixel",), BUDGET, 1500.0, settings=SETTINGS)
    trial = made.trials[0]
    assert trial.outcome == "not_finite"
    assert trial.message.startswith(Status.NOT_FINITE.value)
    assert len(trial.marks) == 1
    assert trial.scores.rmse == pytest.approx(trial.marks[0].rmse)


def test_an_interrupt_keeps_the_runs_that_were_made(folder, monkeypatch, tmp_path, capsys):
    import usct.comparison as verb

    real, names = api.reconstruct, []

    def interrupted(acquisition, config, on_iterate=None):
        names.append(config.parameterization.name)
        if names[-1] == "filtered":
            return real(acquisition, config, _interrupt)
        return real(acquisition, config, on_iterate)

    def _interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(verb.api, "reconstruct", interrupted)
    words = ("--parameterizations", "pixel,filtered,siren", "--budget", 8, "--start", 1500)
    assert run("compare", folder / "scan.h5", *words, *SETS, "-o", tmp_path) == 130
    facts = json.loads((tmp_path / "compare.json").read_text(encoding="utf-8"))["representations"]
    assert [facts[name]["status"] for name in ("pixel", "filtered", "siren")] == [
        "finished",
        "cancelled",
        "not_run",
    ]
    assert "siren" not in names
    assert len(facts["pixel"]["rmse"]) == 2
    assert "cancelled" in (tmp_path / "compare.html").read_text(encoding="utf-8")
    heard = capsys.readouterr()
    assert "1 of 3: pixel" in heard.err
    assert "2 of 3: filtered, about" in heard.err
    assert "Page" in heard.out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--parameterizations", "pixel,voxels"), r"voxels.*'pixel'.*'hybrid'"),
        (("--parameterizations", "pixel:magic"), r"schedule.optimizer.*magic.*'gauss-newton'"),
        (("--parameterizations", "pixel,siren,pixel"), "'pixel' is named twice"),
        (("--parameterizations", ","), "no representation is named; choose from pixel"),
        (("--budget", 7), r"budget of 7 factorisations.*4 to look for cycle skips; give at least 8"),
        (("--truth", "blind.h5"), "holds no truth"),
        (("--truth", "water.h5"), "nothing in the truth differs"),
        (("--set", "grid.colour=red"), "unknown setting 'grid.colour'"),
        (("--start", 10), "start.sound_speed"),
    ],
)
def test_bad_input_is_one_sentence_and_nothing_is_written(words, expected, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    water = Medium.homogeneous(PHANTOM.medium.grid, 1500.0)
    io.save(dataclasses.replace(PHANTOM, medium=water), folder / "water.h5")
    base = ("compare", "scan.h5", "--budget", 8, "--start", 1500, "--parameterizations", "pixel,siren")
    assert run(*base, "-o", "new", *SETS, *words) == 2
    error = capsys.readouterr().err.splitlines()
    assert [line for line in error if line.startswith("usct: error: ")] == error[-1:]
    assert re.search(expected, error[-1])
    assert not (folder / "new" / "compare.html").exists()


def test_a_budget_counts_stages_of_every_misfit_before_any_run(monkeypatch):
    """A band of three frequencies, these one by one, and three for the look at start and image each."""
    scan = api.simulate(PHANTOM, TransducerArray.ring(24, 40e-3), [60e3, 75e3, 90e3], seed=1)
    monkeypatch.setattr(api, "reconstruct", lambda *_: pytest.fail("nothing may run"))
    settings = (*SETTINGS, 'misfit.name=["envelope","least-squares"]')
    with pytest.raises(InputError, match="budget of 17 .*4 stages of 6 .*6 to look .*give at least 18"):
        compare(scan, PHANTOM, ("pixel",), 17, 1500.0, settings=settings)


def test_without_any_truth_the_remedy_is_named(folder, capsys):
    assert run("compare", folder / "blind.h5", "--budget", 8, "-o", folder / "new") == 2
    assert "give its phantom with --truth" in capsys.readouterr().err


def test_every_known_representation_is_compared_unless_told_otherwise():
    from usct.cli.comparing import ALL
    from usct.settings import ParameterizationSettings

    known = ParameterizationSettings.model_json_schema()["properties"]["name"]["enum"]
    assert list(REPRESENTATIONS) == known == ALL.split(",")
