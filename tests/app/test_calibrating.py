"""The verbs for measured scans, from file to file."""

import json
from dataclasses import replace

import pytest
import torch

from tests.bench.repair import SETTINGS
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


def image_error(path) -> float:
    """Sound-speed error of a result within 1.5 radii of the cylinder [m/s]."""
    medium = io.load(path).medium
    inside, near = (medium.grid.disc(share * planted.CYLINDER_RADIUS) for share in (1.0, 1.5))
    truth = torch.where(inside, planted.CYLINDER_SPEED, planted.WATER)
    return float((medium.sound_speed - truth)[near].square().mean().sqrt())


def test_faulty_scans_become_images_as_good_as_clean_ones(folder):
    """As a user does it, with dead, noisy, turned, late and misplaced elements, and a stale temperature."""
    settings = [word for setting in SETTINGS for word in ("--set", setting)]
    mended, made = folder / "first.h5", folder / "then.h5"
    assert run("check", folder / "scan.h5", "-o", mended) == 1
    words = ("--water", folder / "water.h5", "--water-temperature", 25)
    assert run("calibrate", mended, *words, "-o", made) == 0
    errors = {}
    for name, scan in (("clean", folder / "clean.h5"), ("faulty", folder / "scan.h5"), ("calibrated", made)):
        assert run("reconstruct", scan, "-o", folder / f"{name}_image.h5", "--quiet", *settings) == 0
        errors[name] = image_error(folder / f"{name}_image.h5")
    assert errors["calibrated"] < 1.2 * errors["clean"]
    assert errors["faulty"] > 2 * errors["clean"]


def test_spectra_over_those_of_a_water_shot_need_no_delays(tmp_path):
    """Late triggers, gains and turned elements cancel; their places are taken as they are."""
    faults = replace(planted.many_faults(), shifts=planted.no_faults().shifts, dead_element=None)
    faults = replace(
        faults, transmit_delays=10 * faults.transmit_delays, receive_delays=10 * faults.receive_delays
    )
    io.save(planted.record(faults, with_cylinder=True), tmp_path / "scan.h5")
    io.save(planted.record(faults, with_cylinder=False, seed=1), tmp_path / "water.h5")
    settings = [word for setting in SETTINGS for word in ("--set", setting)]
    settings += ["--set", "misfit.source_weights=none"]
    errors = []
    for words in ((), ("--water", tmp_path / "water.h5")):
        out = tmp_path / f"image{len(words)}.h5"
        assert run("reconstruct", tmp_path / "scan.h5", "-o", out, "--quiet", *settings, *words) == 0
        errors.append(image_error(out))
    assert errors[1] < 6.0
    assert errors[0] > 2 * errors[1]
    assert io.load(out).provenance["water_shot"] == "water.h5"


def test_arrivals_are_picked_against_a_water_shot_and_kept(tmp_path, capsys):
    io.save(planted.record(planted.no_faults(), with_cylinder=True), tmp_path / "scan.h5")
    io.save(planted.record(planted.no_faults(), with_cylinder=False, seed=1), tmp_path / "water.h5")
    out = tmp_path / "times.h5"
    assert run("pick", tmp_path / "scan.h5", "--water", tmp_path / "water.h5", "-o", out) == 0
    assert "arrivals" in capsys.readouterr().out
    times = io.load(out)
    across = times.array.opening_angles() > 2.9
    expected = 2 * planted.CYLINDER_RADIUS * (1 / planted.CYLINDER_SPEED - 1 / planted.WATER)
    assert float(times.delays[across].nanmedian()) == pytest.approx(expected, rel=0.2)
    assert run("info", out) == 0
    assert "travel times" in capsys.readouterr().out
    assert run("reconstruct", out, "-o", tmp_path / "image.h5", "--quiet") == 0
    inside = (medium := io.load(tmp_path / "image.h5").medium).grid.disc(0.7 * planted.CYLINDER_RADIUS)
    assert float(medium.sound_speed[inside].mean()) == pytest.approx(planted.CYLINDER_SPEED, abs=8)


def test_a_water_shot_in_the_file_of_the_scan_serves_as_one_beside_it(folder, capsys):
    both, made = folder / "both.h5", [folder / f"made{n}.h5" for n in (0, 1)]
    assert run("convert", folder / "scan.h5", both, "--water", folder / "water.h5") == 0
    assert torch.equal(io.load(both).water.values, io.load(folder / "water.h5").data.values)
    for scan, water, out in ((folder / "scan.h5", folder / "water.h5", made[0]), (both, both, made[1])):
        assert run("calibrate", scan, "--water", water, "-o", out) == 0
    one, other = (io.load(out) for out in made)
    assert torch.equal(one.data.values, other.data.values)
    # It is used up; as it was recorded it would not fit what was calibrated.
    assert other.water is None
    assert run("check", both, "-o", folder / "mended.h5") == 1
    mended = io.load(folder / "mended.h5")
    assert not mended.water.valid[20].any()
    capsys.readouterr()
    assert run("calibrate", folder / "scan.h5", "--water", folder / "scan.h5", "-o", made[0]) == 2
    assert "this scan holds no water shot" in capsys.readouterr().err


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
