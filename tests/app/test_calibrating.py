"""The verbs for measured scans, from file to file."""

import json

import pytest
import torch

from tests.unit import planted
from usct import cli, io
from usct.acquisition import Spectra, Traces


def run(*words: object) -> int:
    with pytest.raises(SystemExit) as leaving:
        cli.main([str(word) for word in words])
    return leaving.value.code


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("measured")
    faults = planted.many_faults()
    io.save(planted.record(faults, with_cylinder=True, stale=True), folder / "scan.h5")
    io.save(planted.record(faults, with_cylinder=False, seed=1, stale=True), folder / "water.h5")
    io.save(planted.clean(with_cylinder=True), folder / "clean.h5")
    return folder


def test_check_tells_faults_and_writes_what_is_asked_for(folder, capsys):
    numbers, figure, mended = (folder / name for name in ("check.json", "check.png", "mended.h5"))
    code = run("check", folder / "scan.h5", "--json", numbers, "--figure", figure, "-o", mended)
    assert code == 1
    out = capsys.readouterr().out
    assert "FAULT: elements 3, 11, 12, 30, 41 turned" in out
    assert json.loads(numbers.read_text(encoding="utf-8"))["noisy"]["receives"] == [35]
    assert figure.read_bytes().startswith(b"\x89PNG")
    scan = io.load(mended)
    assert not scan.data.valid[20].any()
    assert not scan.data.valid[:, 35].any()


def test_check_of_a_clean_scan_is_silent_about_faults(folder, capsys):
    assert run("check", folder / "clean.h5") == 0
    assert "FAULT" not in capsys.readouterr().out


def test_calibrate_writes_a_scan_that_passes(folder, capsys):
    numbers, made = folder / "calibration.json", folder / "calibrated.h5"
    words = ("--water", folder / "water.h5", "--water-temperature", 25, "--json", numbers)
    assert run("calibrate", folder / "scan.h5", *words, "-o", made) == 0
    assert "ns before" in capsys.readouterr().out
    facts = json.loads(numbers.read_text(encoding="utf-8"))
    assert facts["sound_speed"] == pytest.approx(planted.WATER)
    assert facts["scatter_after"] < 0.1 * facts["scatter_before"]
    assert run("check", made) == 0
    spherical = folder / "spherical.h5"
    assert run("calibrate", folder / "scan.h5", *words, "--spherical", "-o", spherical) == 0
    plain, spread = (io.load(path).data for path in (made, spherical))
    assert isinstance(spread, Traces)
    assert not torch.equal(plain.values, spread.values)


def test_calibrate_writes_spectra_over_those_of_water(folder):
    made = folder / "referenced.h5"
    words = ("--water", folder / "water.h5", "--reference-mhz", "0.2,0.3", "-o", made)
    assert run("calibrate", folder / "scan.h5", *words) == 0
    data = io.load(made).data
    assert isinstance(data, Spectra)
    assert data.frequencies.tolist() == [200e3, 300e3]
    assert not data.weights[:, 20].any()


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--spherical", "--reference-mhz", "0.2"), "give one of them"),
        (("--reference-mhz", "5"), "--reference-mhz: frequency 5 MHz is above"),
        (("--reference-mhz", "x"), "--reference-mhz is 'x'"),
    ],
)
def test_wrong_words_are_one_line(folder, words, text, capsys):
    out = folder / "never.h5"
    assert run("calibrate", folder / "scan.h5", "--water", folder / "water.h5", *words, "-o", out) == 2
    error = capsys.readouterr().err
    assert text in error
    assert error.count("\n") == 1
    assert not out.exists()


def test_an_output_that_is_an_input_is_refused(folder, capsys):
    assert run("check", folder / "scan.h5", "-o", folder / "scan.h5") == 2
    assert "also an input" in capsys.readouterr().err
