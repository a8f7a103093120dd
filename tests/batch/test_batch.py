"""A batch from data set to scores, its settings, and that a rerun does only what is missing."""

import json
import tomllib

import pytest
import torch

from usct import io
from usct.batch import BatchSettings, batch_names, load_batch, make_dataset, read_dataset
from usct.batch.dataset import sha256
from usct.batch.records import Task
from usct.batch.settings import as_toml
from usct.batch.working import work
from usct.cli.app import _exit_code as usct
from usct.errors import InputError
from usct.phantom.population import recipe_of

SETTINGS = """
[scan]
elements = 24
frequencies_mhz = [0.06]
engine = "frequency"

[reconstruct]
schedule.iterations = 1

[methods.pixel]
parameterization.name = "pixel"

[methods.tailored]
parameterization = { name = "tailored", tailoring = "analytic" }
"""


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("batch") / "dataset"
    make_dataset(folder, "disk", 2, spacing=2e-3)
    return folder


@pytest.fixture
def settings(tmp_path):
    file = tmp_path / "batch.toml"
    file.write_text(SETTINGS)
    return load_batch(file=file)


@pytest.mark.parametrize("name", batch_names())
def test_the_batches_that_come_with_usct_are_sound(name):
    settings = load_batch(name)
    assert settings.population is not None
    assert len({settings.identity(method) for method in settings.methods}) == len(settings.methods) >= 2
    assert BatchSettings.model_validate(tomllib.loads(as_toml(settings.model_dump(mode="json")))) == settings


def test_wrong_settings_are_named_before_any_work(tmp_path):
    file = tmp_path / "batch.toml"
    for text, named in (
        ("[scan]\nelement = 3\n", "scan.element"),
        ("[methods.pixel]\nschedule.iterations = 0\n", "schedule.iterations"),
        ('[methods."../pixel"]\n', "methods"),
    ):
        file.write_text(text)
        with pytest.raises(InputError, match=named):
            load_batch(file=file)
    with pytest.raises(InputError, match="breast-gate"):
        load_batch("nonsense")


def test_threads_and_device_do_not_make_other_results(settings):
    same = settings.model_copy(update={"reconstruct": settings.reconstruct | {"threads": 3, "device": "cpu"}})
    other = settings.model_copy(update={"scan": settings.scan.model_copy(update={"snr_db": 20.0})})
    assert same.identity("pixel") == settings.identity("pixel")
    assert other.identity("pixel") != settings.identity("pixel")


def test_a_case_is_worked_on_once_and_only_what_is_missing_again(dataset, settings, tmp_path):
    case = read_dataset(dataset)[0]
    task = Task(case, tmp_path / "results" / case.name, settings)
    work(task)
    assert task.unfinished() == ()
    assert not (task.folder / "scan.h5").exists()
    result = io.load(task.folder / "pixel" / "result.h5")
    scores = json.loads((task.folder / "pixel" / "evaluation.json").read_text())
    assert scores["rmse"] > 0
    assert (scores["case"], scores["method"]) == (case.name, "pixel")
    kept = (task.folder / "pixel" / "result.h5").stat().st_mtime_ns
    (task.folder / "tailored" / "result.h5").unlink()
    work(task)
    assert task.unfinished() == ()
    assert (task.folder / "pixel" / "result.h5").stat().st_mtime_ns == kept
    # The same case anew gives the same bits.
    again = Task(case, tmp_path / "again" / case.name, settings)
    work(again)
    other = io.load(again.folder / "pixel" / "result.h5")
    assert torch.equal(result.medium.sound_speed, other.medium.sound_speed)


def test_a_file_that_is_no_phantom_fails_with_its_sentence(settings, tmp_path):
    folder = tmp_path / "bad"
    folder.mkdir()
    (folder / "noise.h5").write_bytes(b"noise")
    (case,) = read_dataset(folder)
    task = Task(case, tmp_path / "results" / "noise", settings)
    work(task)
    assert "noise.h5" in task.sentence("pixel")
    assert task.unfinished() == ("pixel", "tailored")


def test_the_command_keeps_what_is_done(tmp_path, capsys):
    config, results = tmp_path / "batch.toml", tmp_path / "results"
    config.write_text(SETTINGS.partition("[methods.tailored]")[0])
    few = tmp_path / "few"
    make_dataset(few, "disk", 1, spacing=2e-3)
    command = ["batch", str(few), "-o", str(results), "--config", str(config), "--threads", "1"]
    assert usct(command) == 0
    assert "1 of 1 runs" in capsys.readouterr().out
    manifest = json.loads((results / "manifest.json").read_text())
    assert [run["status"] for run in manifest["runs"]] == ["done"]
    before = sha256(results / "disk-0000" / "pixel" / "done.json")
    assert usct(command) == 0
    assert sha256(results / "disk-0000" / "pixel" / "done.json") == before


def test_a_data_set_is_made_once_and_checked(dataset, tmp_path):
    times = {path.name: path.stat().st_mtime_ns for path in dataset.glob("*.h5")}
    assert [case.name for case in make_dataset(dataset, "disk", 2, spacing=2e-3)] == [
        "disk-0000",
        "disk-0001",
    ]
    assert times == {path.name: path.stat().st_mtime_ns for path in dataset.glob("*.h5")}
    with pytest.raises(InputError, match="another population"):
        make_dataset(dataset, "two_disks", 2, spacing=2e-3)
    folder = tmp_path / "copy"
    make_dataset(folder, "disk", 1, spacing=2e-3)
    with (folder / "disk-0000.h5").open("ab") as stream:
        stream.write(b"x")
    with pytest.raises(InputError, match="not the one"):
        read_dataset(folder)
    (folder / "disk-0000.h5").unlink()
    with pytest.raises(InputError, match="missing"):
        read_dataset(folder)


def test_a_population_holds_the_classes_in_their_shares_whatever_the_seeds():
    for first in (0, 1000):
        recipes = [recipe_of("breast", first + i) for i in range(100)]
        for name, share in (
            ("breast_fatty", 10),
            ("breast_scattered", 40),
            ("breast", 40),
            ("breast_dense", 10),
        ):
            assert abs(recipes.count(name) - share) <= 2
    assert recipe_of("disk", 7) == "disk"
    with pytest.raises(InputError, match="breast_dense"):
        recipe_of("nonsense", 0)
