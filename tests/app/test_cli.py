"""The verbs, run as a user runs them: exit codes, one-line errors, files left behind."""

import dataclasses
import json
import types
from pathlib import Path

import pytest
import torch

import usct
from usct import cli, io
from usct.acquisition import Acquisition, Spectra, TransducerArray
from usct.errors import InputError
from usct.grid import Grid
from usct.medium import Medium
from usct.phantom import Phantom
from usct.reconstruction import RESEARCH_USE_ONLY, Iterate, Reconstruction, Record, Status

GRID = Grid.centred((41, 41), 1e-3)


def make_phantom() -> Phantom:
    inside = GRID.disc(12e-3)
    medium = Medium(GRID, torch.where(inside, 1540.0, 1480.0).double())
    return Phantom(medium, inside.to(torch.int16), ("water", "tissue"), title="a disc")


def make_scan(truth: Medium | None) -> Acquisition:
    array = TransducerArray.ring(8, 18e-3)
    frequencies = torch.tensor([2e5, 3e5])
    phase = -2 * torch.pi * frequencies[:, None, None] * array.distances() / 1480.0
    values = torch.polar(torch.ones_like(phase), phase)
    return Acquisition(array, Spectra.of(values, frequencies), 1480.0, truth=truth, title="tiny")


class FakeApi:
    """Stands in for the physics, and remembers what it was asked."""

    def __init__(self, status: Status = Status.FINISHED) -> None:
        self.status = status
        self.scan: Acquisition | None = None
        self.resume: bool | None = None
        self.simulated: dict[str, object] = {}

    def reconstruct(self, acquisition, config, on_iterate=None, checkpoint=None, resume=False, keep=None):  # noqa: ARG002
        self.scan, self.resume = acquisition, resume
        start = Medium.homogeneous(GRID, 1480.0)
        medium = Medium(GRID, make_phantom().medium.sound_speed + 2.0)
        history = []
        for number, stage in enumerate(("low", "low", "high"), 1):
            history.append(
                Record(stage, 1e5 * number, number, 0.3 / number, 5.0, 1e-12, number, 0.1 * number)
            )
            on_iterate(Iterate(history[-1], medium, number / 3))
        checkpoint.write_bytes(b"checkpoint")
        region = torch.ones(GRID.shape, dtype=torch.bool)
        return Reconstruction(
            medium, start, region, tuple(history), self.status, self.status.value, {"usct": usct.__version__}
        )

    def simulate(self, phantom, array, frequencies, snr_db=40, seed=0, spacing=None, on_progress=None):
        self.simulated = {"frequencies": frequencies, "snr_db": snr_db, "seed": seed, "spacing": spacing}
        on_progress(0.5, "solving")
        on_progress(1.0, "solving")
        scan = make_scan(phantom.medium)
        return Acquisition(array, scan.data, 1480.0, truth=phantom.medium) if array.n_elements == 8 else scan


def use(monkeypatch: pytest.MonkeyPatch, api: FakeApi) -> list[tuple]:
    """Put the stand-in in place of the physics; return the list of configurations asked for."""
    asked: list[tuple] = []

    def load_config(preset, file, overrides):
        asked.append((preset, file, overrides))
        if preset == "unknown":
            raise InputError("--preset is 'unknown'; choose from breast.")
        return object()

    config = types.ModuleType("usct.config")
    config.load_config = load_config
    for name, module in (("api", api), ("config", config)):
        monkeypatch.setitem(__import__("sys").modules, f"usct.{name}", module)
        monkeypatch.setattr(usct, name, module, raising=False)
    return asked


def run(*words: object) -> int:
    """Run one command in this process and return its exit code."""
    with pytest.raises(SystemExit) as leaving:
        cli.main([str(word) for word in words])
    return leaving.value.code


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a phantom and two scans of it, of which one carries the truth."""
    phantom = make_phantom()
    io.save(phantom, tmp_path / "phantom.h5")
    io.save(make_scan(phantom.medium), tmp_path / "scan.h5")
    io.save(make_scan(None), tmp_path / "blind.h5")
    return tmp_path


def test_version_and_help(capsys):
    assert run("--version") == 0
    assert capsys.readouterr().out == f"usct {usct.__version__}\n"
    assert run("--help") == 0
    text = capsys.readouterr().out
    for verb in (
        "phantom",
        "simulate",
        "reconstruct",
        "info",
        "validate",
        "convert",
        "evaluate",
        "report",
        "demo",
    ):
        assert verb in text
    assert run() == 2


@pytest.mark.parametrize(
    "words",
    [
        ("nonsense",),
        ("reconstruct", "scan.h5"),
        ("reconstruct", "missing.h5", "-o", "result.h5", "--nonsense"),
        ("info", "missing.h5"),
        ("simulate", "phantom.h5", "-o", "new.h5", "--elements", "two"),
        ("simulate", "phantom.h5", "-o", "new.h5", "--frequencies-mhz", ""),
        ("simulate", "phantom.h5", "-o", "new.h5", "--snr-db", "nan"),
        ("simulate", "scan.h5", "-o", "new.h5"),
        ("simulate", "phantom.h5", "-o", "phantom.h5"),
        ("reconstruct", "scan.h5", "-o", "scan.h5"),
        ("reconstruct", "scan.h5", "-o", "."),
        ("reconstruct", "scan.h5", "-o", "new.png"),
        ("reconstruct", "phantom.h5", "-o", "new.h5"),
        ("reconstruct", "scan.h5", "-o", "new.h5", "--preset", "unknown"),
        ("reconstruct", "blind.h5", "-o", "new.h5", "--truth", "blind.h5"),
        ("evaluate", "scan.h5", "--truth", "phantom.h5"),
        ("report", "scan.h5", "-o", "new.html"),
        ("convert", "scan.h5", "scan.h5"),
        ("convert", "scan.h5", "new.mat"),
        ("phantom", "no-such-phantom", "-o", "new.h5"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(words, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    use(monkeypatch, FakeApi())
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert run(*words) == 2
    error = capsys.readouterr().err
    assert error.startswith("usct: error: ")
    assert error.count("\n") == 1
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_output_in_a_folder_that_cannot_be_made(folder, capsys):
    assert run("convert", folder / "scan.h5", folder / "phantom.h5" / "new.h5") == 2
    assert "cannot be made" in capsys.readouterr().err


def test_phantom_is_written_into_a_new_folder(tmp_path, capsys):
    path = tmp_path / "new" / "disk.h5"
    assert run("phantom", "disk", "--seed", 4, "--spacing-mm", 2, "-o", path) == 0
    made = io.load(path)
    assert isinstance(made, Phantom)
    assert made.medium.grid.spacing == pytest.approx(2e-3)
    assert str(path) in capsys.readouterr().out


def test_simulate_passes_si_units_on(folder, monkeypatch):
    api = FakeApi()
    use(monkeypatch, api)
    words = (
        "--elements",
        8,
        "--radius-mm",
        18,
        "--frequencies-mhz",
        "0.3,0.2",
        "--snr-db",
        "inf",
        "--seed",
        5,
    )
    assert run("simulate", folder / "phantom.h5", "-o", folder / "new.h5", *words) == 0
    assert api.simulated == {"frequencies": [2e5, 3e5], "snr_db": None, "seed": 5, "spacing": None}
    made = io.load(folder / "new.h5")
    assert isinstance(made, Acquisition)
    assert made.array.radius == pytest.approx(18e-3)


def test_reconstruct_writes_result_and_figure_and_prints_scores(folder, monkeypatch, capsys):
    api = FakeApi()
    asked = use(monkeypatch, api)
    output = folder / "out" / "result.h5"
    words = ("--preset", "breast", "--set", "a.b=1", "--set", "c=2", "--edges", "--device", "cpu")
    assert run("reconstruct", folder / "scan.h5", "-o", output, *words) == 0
    assert asked == [("breast", None, ["a.b=1", "c=2", "schedule.edges=true", "device=cpu"])]
    assert api.scan is not None
    assert api.scan.truth is None, "what makes the image must not see the truth"
    assert output.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    assert not output.with_suffix(".checkpoint").exists()
    result = io.load(output)
    assert isinstance(result, Reconstruction)
    assert result.provenance["scan"] == "scan.h5"
    assert len(result.provenance["scan_sha256"]) == 64
    captured = capsys.readouterr()
    assert "RMSE in the object" in captured.out
    assert "2.00 m/s" in captured.out
    assert RESEARCH_USE_ONLY in captured.out
    assert Status.FINISHED.value in captured.out
    assert captured.err.splitlines()[0].startswith("usct: low, 200 kHz: objective 0.15 at iteration 2")
    assert len(captured.err.splitlines()) == 2


def test_quiet_says_nothing(folder, monkeypatch, capsys):
    use(monkeypatch, FakeApi())
    assert run("reconstruct", folder / "scan.h5", "-o", folder / "result.h5", "--quiet") == 0
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


def test_reconstruct_without_truth_scores_nothing(folder, monkeypatch, capsys):
    use(monkeypatch, FakeApi())
    assert run("reconstruct", folder / "blind.h5", "-o", folder / "result.h5") == 0
    assert "RMSE" not in capsys.readouterr().out


def test_reconstruct_with_the_truth_from_another_file(folder, monkeypatch, capsys):
    use(monkeypatch, FakeApi())
    words = ("--truth", folder / "phantom.h5", "--resume")
    assert run("reconstruct", folder / "blind.h5", "-o", folder / "result.h5", *words) == 0
    assert "RMSE in the object" in capsys.readouterr().out


def test_cancelled_run_keeps_checkpoint_and_old_result(folder, monkeypatch, capsys):
    use(monkeypatch, FakeApi(Status.CANCELLED))
    output = folder / "result.h5"
    output.write_bytes(b"old")
    assert run("reconstruct", folder / "scan.h5", "-o", output) == 130
    assert output.read_bytes() == b"old"
    assert output.with_suffix(".checkpoint").exists()
    assert "--resume" in capsys.readouterr().err
    api = FakeApi()
    use(monkeypatch, api)
    assert run("reconstruct", folder / "scan.h5", "-o", output, "--resume") == 0
    assert api.resume is True


def test_broken_down_run_is_written_and_fails(folder, monkeypatch):
    use(monkeypatch, FakeApi(Status.NOT_FINITE))
    assert run("reconstruct", folder / "scan.h5", "-o", folder / "result.h5") == 1
    assert isinstance(io.load(folder / "result.h5"), Reconstruction)


def test_interrupted_command_leaves_with_130(folder, monkeypatch, capsys):
    def interrupted(path, *_):
        raise KeyboardInterrupt(path)

    monkeypatch.setattr(io, "describe", interrupted)
    assert run("info", folder / "scan.h5") == 130
    assert "Traceback" not in capsys.readouterr().err


def test_evaluate_and_report(folder, monkeypatch, capsys):
    use(monkeypatch, FakeApi())
    result, scores, report = folder / "result.h5", folder / "deep" / "scores.json", folder / "report.html"
    assert run("reconstruct", folder / "scan.h5", "-o", result, "-q") == 0
    assert run("evaluate", result, "--truth", folder / "scan.h5", "--json", scores) == 0
    numbers = json.loads(scores.read_text(encoding="utf-8"))
    assert numbers["rmse"] == pytest.approx(2)
    assert numbers["start_rmse"] == pytest.approx(60)
    assert numbers["truth"] == "scan.h5"
    assert run("report", result, "--truth", folder / "phantom.h5", "-o", report) == 0
    assert "2.00 m/s" in report.read_text(encoding="utf-8")
    assert run("report", result, "-o", report) == 0
    assert "No truth was given" in report.read_text(encoding="utf-8")
    assert "Traceback" not in capsys.readouterr().err


def test_evaluate_refuses_a_truth_without_an_object(folder, monkeypatch, capsys):
    use(monkeypatch, FakeApi())
    assert run("reconstruct", folder / "scan.h5", "-o", folder / "result.h5", "-q") == 0
    water = Phantom(Medium.homogeneous(GRID, 1480.0), torch.zeros(GRID.shape, dtype=torch.int16), ("water",))
    io.save(water, folder / "water.h5")
    assert run("evaluate", folder / "result.h5", "--truth", folder / "water.h5") == 2
    assert "more than 2 m/s" in capsys.readouterr().err


def test_info_and_validate(folder, capsys):
    assert run("info", folder / "scan.h5") == 0
    assert "8 x 8" in capsys.readouterr().out
    assert run("validate", folder / "scan.h5") == 0
    broken = folder / "broken.h5"
    broken.write_bytes((folder / "scan.h5").read_bytes()[:3000])
    assert run("validate", broken) == 2
    assert "broken.h5" in capsys.readouterr().out


def test_convert_keeps_every_value(folder):
    assert run("convert", folder / "scan.h5", folder / "copy.h5") == 0
    copy, scan = io.load(folder / "copy.h5"), io.load(folder / "scan.h5")
    assert torch.equal(copy.data.values, scan.data.values)


def test_sysinfo_names_versions_but_no_folder(capsys):
    assert run("sysinfo") == 0
    text = capsys.readouterr().out
    assert torch.__version__ in text
    assert str(Path.home()) not in text


def test_demo_leaves_everything(tmp_path, monkeypatch, capsys):
    from usct import phantom as phantoms

    use(monkeypatch, FakeApi())
    monkeypatch.setattr(phantoms, "make", lambda name, seed, spacing, tissue_preset=None: make_phantom())  # noqa: ARG005
    assert run("demo", "-o", tmp_path / "demo") == 0
    names = {path.name for path in (tmp_path / "demo").iterdir()}
    assert names == {"phantom.h5", "scan.h5", "result.h5", "result.png", "report.html"}
    assert "RMSE in the object" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.2:0.65:0.05", [2e5 + 5e4 * n for n in range(10)]),
        ("0.2:0.3:0.04", [2e5, 2.4e5, 2.8e5]),
        ("0.5", [5e5]),
        ("0.5, 0.2,0.2", [2e5, 5e5]),
    ],
)
def test_frequencies_are_read(text, expected):
    from usct.cli.making import parse_frequencies

    assert parse_frequencies(text) == pytest.approx(expected)


@pytest.mark.parametrize(
    "text", ["", "a", "0.2:0.1:0.05", "0.2:0.6", "0:1:0", "-0.1", "nan", "0.1:1:0.00001", ","]
)
def test_frequencies_are_refused(text):
    from usct.cli.making import parse_frequencies

    with pytest.raises(InputError, match="--frequencies-mhz"):
        parse_frequencies(text)


def test_narrator_draws_a_bar_on_a_terminal():
    from io import StringIO

    from rich.console import Console

    from usct.cli.progress import Narrator

    stream = StringIO()
    console = Console(file=stream, force_terminal=True, width=120)
    record = Record("stage 2", 3e5, 7, 0.0123, 1.0, 1e-12, 14, 9.0)
    with Narrator(console=console) as narrator:
        narrator.iterate(Iterate(record, Medium.homogeneous(GRID, 1480.0), 0.25))
    text = stream.getvalue()
    assert "300 kHz" in text
    assert "objective 0.0123" in text
    assert "25%" in text
    assert "left" in text


def test_narrator_tells_what_a_stage_left_when_the_next_begins():
    from io import StringIO

    from rich.console import Console

    from usct.cli.progress import Narrator

    stream, image = StringIO(), Medium.homogeneous(GRID, 1480.0)
    first = Record("200 kHz", 2e5, 1, 0.5, 1.0, 1e-12, 2, 1.0)
    history = (dataclasses.replace(first, skipped=0.123), Record("300 kHz", 3e5, 2, 0.4, 1.0, 1e-12, 4, 2.0))
    with Narrator(console=Console(file=stream, width=200)) as narrator:
        narrator.iterate(Iterate(first, image, 0.5, history=(first,)))
        narrator.iterate(Iterate(history[1], image, 1.0, history=history))
    told = stream.getvalue().splitlines()
    assert "12.3 % of pairs skip cycles" in told[0]
    assert "skip" not in told[1]


@pytest.mark.parametrize(("seconds", "text"), [(42.4, "42 s"), (185, "3 min 05 s"), (3725, "1 h 02 min")])
def test_duration(seconds, text):
    from usct.cli.progress import duration

    assert duration(seconds) == text
