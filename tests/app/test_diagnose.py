"""The verbs diagnose and compare-kernels on a tiny scan with the real physics: points of a run, files, refusals."""

import dataclasses
import json
import math
import re

import pytest
import torch

from usct import api, cli, io
from usct.acquisition import Acquisition, TransducerArray
from usct.config import load_config
from usct.diagnosis import Diagnosis
from usct.diagnostics.sides import Options
from usct.errors import InputError
from usct.grid import Grid, low_pass
from usct.kernel_comparison import compare_kernels
from usct.medium import Medium
from usct.phantom import Phantom
from usct.reconstruction import RESEARCH_USE_ONLY, Reconstruction
from usct.revisiting import settings_of, visit

SETTINGS = ("device=cpu", "misfit.mute_angle_deg=35", "start.sound_speed=1500", "precision=double")
FREQUENCIES = (40e3, 60e3)
RING = TransducerArray.ring(12, 40e-3)


def run(*words: object) -> int:
    with pytest.raises(SystemExit) as leaving:
        cli.main([str(word) for word in words])
    return leaving.value.code


def make_scan(speed: float = 1540.0, array: TransducerArray = RING, seed: int = 1) -> Acquisition:
    grid = Grid.covering(44e-3, 2e-3)
    tissue = torch.where(grid.disc(18e-3, (5e-3, -3e-3)), speed, 1500.0).double()
    phantom = Phantom(Medium(grid, tissue), (tissue > 1500).to(torch.int16), ("water", "tissue"))
    return api.simulate(phantom, array, FREQUENCIES, seed=seed)


def made_by(name: str, scan: Acquisition, *settings: str) -> Reconstruction:
    return api.reconstruct(
        scan, load_config(None, None, [*SETTINGS, *settings, f"parameterization.name={name}"])
    )


@pytest.fixture(scope="module")
def scan() -> Acquisition:
    return make_scan()


@pytest.fixture(scope="module")
def result(scan) -> Reconstruction:
    return made_by("pixel", scan)


@pytest.fixture(scope="module")
def folder(scan, result, tmp_path_factory):
    """A scan, its result, and the diagnosis that the command makes of them."""
    folder = tmp_path_factory.mktemp("diagnose")
    io.save(scan, folder / "scan.h5")
    io.save(result, folder / "result.h5")
    words = ("--scan", folder / "scan.h5", "-o", folder / "kernels.h5", "--csv", folder / "curves")
    assert (
        run("diagnose", folder / "result.h5", *words, "--modes", 6, "--steps", 2, "--snr-db", 35, "-q") == 0
    )
    return folder


@pytest.fixture(scope="module")
def diagnosis(folder) -> Diagnosis:
    return io.load(folder / "kernels.h5")


def test_the_end_of_a_run_is_rebuilt_from_the_result(scan, result):
    point = visit(result, scan, settings_of(result)).kernels.point
    # Stencils are fitted to speeds of the present image, not to those at which the last stage began.
    assert 2 * point.value == pytest.approx(result.history[-1].objective, rel=0.02)
    rebuilt = point.objective.parameterization(result.medium.grid).sound_speed
    assert torch.equal(rebuilt, result.medium.sound_speed)


def test_the_start_of_a_run_is_rebuilt_too(scan, result):
    place = visit(result, scan, settings_of(result), at="start")
    assert place.start is None
    assert place.stage.frequencies == FREQUENCIES[:1]
    rebuilt = place.kernels.point.objective.parameterization(result.start.grid).sound_speed
    assert torch.equal(rebuilt, result.start.sound_speed)
    end = visit(result, scan, settings_of(result), FREQUENCIES[0])
    assert float(end.start.residual().norm()) == pytest.approx(
        float(place.kernels.residual().norm()), rel=1e-3
    )
    assert end.kernels.point.value < 0.1 * place.kernels.point.value


def test_a_checkpoint_is_rebuilt_to_the_last_digit(scan, tmp_path):
    config = load_config(None, None, [*SETTINGS, "parameterization.name=siren"])

    def stop(iterate):
        if len(iterate.arrays["history.objective"]) == 4:
            raise KeyboardInterrupt

    broken_off = api.reconstruct(scan, config, stop, checkpoint=tmp_path / "run.checkpoint")
    place = visit(broken_off, scan, settings_of(broken_off), at=tmp_path / "run.checkpoint")
    assert 2 * place.kernels.point.value == pytest.approx(broken_off.history[-1].objective, rel=1e-9)
    assert place.optimizer == "Adam's steps"
    plain = visit(broken_off, scan, settings_of(broken_off), at=tmp_path / "run.checkpoint", plain=True)
    assert plain.kernels.preconditioner is None
    scaling = place.kernels.preconditioner
    assert float(scaling.max()) > 10 * float(scaling.min()) > 0


def test_a_tailored_kernel_at_the_end_covers_the_whole_change(scan):
    result = made_by("tailored", scan)
    place = visit(result, scan, settings_of(result))
    own = result.field.arrays["amplitude"].square().sum()
    amplitude = place.kernels.point.objective.parameterization.amplitude
    assert float(amplitude.square().sum()) > 2 * float(own)
    rebuilt = place.kernels.point.objective.parameterization(result.medium.grid).sound_speed.detach()
    torch.testing.assert_close(rebuilt, result.medium.sound_speed, rtol=1e-9, atol=0)


def test_files_are_written_and_the_diagnosis_makes_sense(folder, diagnosis, result):
    assert {path.name for path in folder.iterdir()} >= {"kernels.h5", "kernels.png", "curves"}
    assert (folder / "kernels.png").read_bytes()[1:4] == b"PNG"
    names = {path.stem for path in (folder / "curves").glob("*.csv")}
    assert names == {"spectrum", "density", "transfer", "decay", "maps", "modes", "data_modes", "rows"}
    assert {path.stem for path in (folder / "curves").glob("*.png")} == {
        "maps",
        "patterns",
        "rows",
        "curves",
        "data",
    }
    assert diagnosis.at == "end"
    assert diagnosis.frequencies == FREQUENCIES[1:]
    assert diagnosis.noise_db == pytest.approx(35)
    assert torch.equal(diagnosis.sound_speed, result.medium.sound_speed)
    for values in (diagnosis.resolution, diagnosis.standard_deviation):
        assert torch.equal(torch.isfinite(values), diagnosis.region)
        assert float(values[diagnosis.region].min()) > 0
    # A point cannot come out narrower than a tenth, or wider than one and a half wavelengths.
    wavelengths = diagnosis.resolution[diagnosis.region] * FREQUENCIES[1] / 1500
    assert 0.1 < float(wavelengths.min()) <= float(wavelengths.max()) < 1.5
    assert diagnosis.provenance["scan"] == "scan.h5"
    assert "note" not in diagnosis.provenance


def test_spectra_equal_those_of_the_dense_kernel(diagnosis, scan, result):
    kernels = visit(result, scan, settings_of(result)).kernels
    left, values, _ = torch.linalg.svd(kernels.dense(), full_matrices=False)
    values = values.square()
    found = diagnosis.data_kernel
    torch.testing.assert_close(found.eigenvalues, values[:6], rtol=1e-3, atol=0)
    # Four random probes: sums over the spectrum are right to a few per cent.
    assert found.trace == pytest.approx(float(values.sum()), rel=0.2)
    count = float((values / (values + diagnosis.threshold)).sum())
    assert found.degrees_of_freedom == pytest.approx(count, rel=0.1)
    # The modes that were stored hold as much of the residual as is said, to single precision.
    residual = kernels.as_matrix(kernels.residual(), 0)
    overlaps = (found.modes[:, 0].to(torch.complex128).conj() * residual).sum(dim=(1, 2)).real
    energy = overlaps.square() / residual.abs().square().sum()
    torch.testing.assert_close(found.energy, energy, rtol=1e-3, atol=1e-9)
    mode = found.modes[0, 0].to(torch.complex128)
    assert float(mode.abs().square().sum()) == pytest.approx(1.0, rel=1e-5)
    assert torch.equal(mode == 0, kernels.as_matrix(left.T[0], 0) == 0)


def test_decay_begins_at_one_and_falls_as_foretold(diagnosis):
    decay, values = diagnosis.decay, diagnosis.data_kernel.eigenvalues
    assert decay.predicted.shape == decay.measured.shape == (3, 6)
    expected = (1 - decay.rate * values) ** torch.arange(3)[:, None]
    torch.testing.assert_close(decay.predicted, expected, rtol=1e-9, atol=0)
    assert torch.equal(decay.measured[0], torch.ones(6).double())
    assert 0 <= decay.drift < 0.5


def test_at_the_start_theory_holds_and_much_can_be_learnt(scan, result):
    told = []
    made = api.diagnose(
        result,
        scan,
        at="start",
        options=Options(n_modes=4, n_steps=2),
        on_progress=lambda share, text: told.append((share, text)),
    )
    assert made.decay.error < 0.1
    assert math.isnan(made.decay.drift)
    text = " ".join(made.summary)
    assert re.search(r"Detail finer than [\d.]+ mm is not supported at 40 kHz and \d+ dB", text)
    assert "Go on: " in text
    shares = [share for share, _ in told]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_info_tells_the_findings(folder, diagnosis, capsys):
    assert run("info", folder / "kernels.h5") == 0
    out = " ".join(capsys.readouterr().out.split())
    assert all(sentence in out for sentence in diagnosis.summary)
    assert run("validate", folder / "kernels.h5") == 0


def test_the_command_prints_findings_files_and_progress(folder, capsys):
    words = ("--scan", folder / "scan.h5", "-o", folder / "other.h5", "--at", "start", "--frequency", "all")
    assert run("diagnose", folder / "result.h5", *words, "--modes", 3, "--steps", 0, "--no-maps") == 0
    heard = capsys.readouterr()
    assert "The data determine about" in heard.out
    assert "the lowest frequency acts" in heard.out
    assert str(folder / "other.png") in heard.out
    assert RESEARCH_USE_ONLY in heard.out
    assert "usct: Estimating the whole spectrum" in heard.err
    made = io.load(folder / "other.h5")
    assert made.frequencies == FREQUENCIES
    assert made.decay is made.resolution is made.standard_deviation is None


def test_the_constant_may_be_left_out_of_patterns(folder, diagnosis, scan, result):
    """Images of them have no mean then, and no steps are tried, which would move it."""
    words = (
        "--scan",
        folder / "scan.h5",
        "-o",
        folder / "bare-kernels.h5",
        "--modes",
        4,
        "--no-maps",
        "--quiet",
    )
    assert run("diagnose", folder / "result.h5", *words, "--no-constant") == 0
    made = io.load(folder / "bare-kernels.h5")
    assert "constant left out" in made.optimizer
    assert made.decay is None
    means = [mode[made.region].mean().abs() for mode in made.image_kernel.modes.double()]
    assert float(max(means)) < 1e-6
    kept = [mode[made.region].mean().abs() for mode in diagnosis.image_kernel.modes.double()]
    assert float(max(kept)) > 0.05
    dense = visit(result, scan, settings_of(result)).kernels
    exact = torch.linalg.svdvals(dense.at(dense.point, without_constant=True).dense()).square()
    found = made.data_kernel
    assert bool(((found.eigenvalues - exact[:4]).abs() <= found.errors + 1e-9 * exact[0]).all())


def test_coverage_counts_errors_against_the_truth(folder, diagnosis, capsys):
    """What is printed is what stands in the table, and was counted from the maps."""
    out = folder / "coverage.png"
    words = (folder / "kernels.h5", folder / "kernels.h5", "--truth", folder / "scan.h5", "-o", out)
    assert run("coverage", *words) == 0
    heard = capsys.readouterr().out
    assert out.read_bytes().startswith(b"\x89PNG")
    rows = [line.split(",") for line in out.with_suffix(".csv").read_text().splitlines()]
    assert rows[0] == ["announced", "found"]
    found = {float(n): float(e) for n, e in rows[1:]}
    assert list(found.values()) == sorted(found.values())
    assert f"{100 * found[0.68]:.0f} % of the errors" in heard
    truth = io.load(folder / "scan.h5").truth
    error = diagnosis.sound_speed - truth.resampled(diagnosis.grid).sound_speed
    limit = 0.9 * diagnosis.image_kernel.diffraction_limit
    error = low_pass(error.double() * diagnosis.region, diagnosis.grid.spacing, limit)
    inside = diagnosis.region & (truth.resampled(diagnosis.grid).sound_speed > 1520)
    share = (error.abs() <= diagnosis.standard_deviation)[inside].double().mean()
    assert found[0.68] == pytest.approx(float(share), abs=0.1)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("result.h5", "--truth", "scan.h5", "-o", "c.png"), "this is a result; give a diagnosis"),
        (("kernels.h5", "--truth", "kernels.h5", "-o", "c.png"), "holds no truth"),
        (("kernels.h5", "--truth", "scan.h5", "-o", "c.pdf"), "end its name with .png"),
        (("other.h5", "--truth", "scan.h5", "-o", "c.png"), "uncertainty was not mapped"),
    ],
)
def test_coverage_refuses_what_holds_no_uncertainty(words, expected, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    if "other.h5" in words:
        io.save(dataclasses.replace(io.load("kernels.h5"), standard_deviation=None), "other.h5")
    assert run("coverage", *words) == 2
    assert expected in capsys.readouterr().err


@pytest.fixture(scope="module")
def others(folder, result):
    """Files that do not belong together, beside those that do."""
    io.save(make_scan(array=TransducerArray.ring(12, 43e-3)), folder / "wider.h5")
    io.save(make_scan(speed=1450.0), folder / "another.h5")
    io.save(dataclasses.replace(result, field=None), folder / "old.h5")
    io.save(dataclasses.replace(result, provenance={}), folder / "bare.h5")
    return folder


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            ("result.h5", "--scan", "wider.h5"),
            r"array and frequencies make an image of .* the result has another",
        ),
        (("result.h5", "--scan", "another.h5"), r"unexplained, where the run .* give the scan that made"),
        (("result.h5", "--scan", "result.h5"), "result.h5: this is a result; give a scan"),
        (("scan.h5", "--scan", "scan.h5"), "scan.h5: this is a scan; give a result"),
        (("kernels.h5", "--scan", "scan.h5"), "kernels.h5: this is a diagnosis; give a result"),
        (("old.h5", "--scan", "scan.h5"), "holds no trained field.*ask for the start"),
        (("bare.h5", "--scan", "scan.h5"), "does not hold the settings.*reconstruct again"),
        (("result.h5", "--scan", "scan.h5", "--frequency", "50kHz"), "50 kHz took no part.*40, 60 kHz"),
        (("result.h5", "--scan", "scan.h5", "--frequency", "60"), "no frequency with its unit.*300kHz"),
        (("result.h5", "--scan", "scan.h5", "--frequency", "-1MHz"), "not above zero"),
        (("result.h5", "--scan", "scan.h5", "--modes", "4000"), r"modes is 4000, but there are only \d+"),
        (("result.h5", "--scan", "scan.h5", "--at", "middle"), "no file; give start, end, or a checkpoint"),
        (("result.h5", "--scan", "scan.h5", "--at", "scan.h5"), "no checkpoint"),
        (("result.h5", "--scan", "scan.h5", "-o", "new.txt"), r"end it with \.h5"),
    ],
)
def test_bad_input_is_one_sentence_and_nothing_is_written(words, expected, others, monkeypatch, capsys):
    monkeypatch.chdir(others)
    output = () if "-o" in words else ("-o", "new.h5")
    assert run("diagnose", *words, *output, "-q") == 2
    error = capsys.readouterr().err.splitlines()
    assert len(error) == 1
    assert re.search(expected, error[0])
    assert not (others / "new.h5").exists()


def test_kernels_are_laid_side_by_side(folder, capsys):
    words = [word for setting in SETTINGS for word in ("--set", setting)]
    command = ("compare-kernels", folder / "scan.h5", "--parameterizations", "pixel,tailored", "--modes", 4)
    assert run(*command, *words, "-o", folder / "side") == 0
    heard = capsys.readouterr()
    assert "decay exponent" in heard.out
    assert "usct: Looking at tailored" in heard.err
    facts = json.loads((folder / "side" / "kernels.json").read_text(encoding="utf-8"))
    assert facts["frequencies"] == [FREQUENCIES[0]]
    pixel, tailored = (facts["representations"][name] for name in ("pixel", "tailored"))
    # The tailored kernel passes less of fine detail than pixels, which pass everything alike.
    assert min(pixel["representation"][1:]) > 0.8
    assert min(tailored["representation"]) < 0.2
    assert tailored["decay_exponent"] > pixel["decay_exponent"]
    page = (folder / "side" / "kernels.html").read_text(encoding="utf-8")
    assert "<td>tailored</td>" in page
    assert RESEARCH_USE_ONLY in page


def test_a_representation_that_fails_is_kept_with_its_reason(scan, monkeypatch):
    import usct.kernel_comparison as verb

    real = verb.build_inversion

    def failing(acquisition, config, observed, water):
        if config.parameterization.name == "siren":
            raise InputError("the sines are on strike; ask another")
        return real(acquisition, config, observed, water)

    monkeypatch.setattr(verb, "build_inversion", failing)
    made = compare_kernels(scan, ("pixel", "siren"), settings=SETTINGS, options=Options(n_modes=2))
    assert [portrait.message for portrait in made.portraits] == ["", "the sines are on strike; ask another"]
    with pytest.raises(InputError, match="on strike"):
        compare_kernels(scan, ("siren",), settings=SETTINGS)


@pytest.mark.parametrize(
    ("names", "expected"),
    [(("pixel", "voxels"), "voxels"), (("pixel", "pixel"), "each once"), ((" ",), "one at least")],
)
def test_wrong_names_are_refused_before_anything_is_computed(names, expected, scan):
    with pytest.raises(InputError, match=expected):
        compare_kernels(scan, names, settings=SETTINGS)


def test_a_run_that_may_stop_leaves_data_that_teach_nothing_more(scan):
    """Without the question it goes through all its updates; the image is no worse without the last of them."""
    long = "schedule.iterations=8"
    full, short = (made_by("pixel", scan, long, f"schedule.stop={stop}") for stop in ("never", "auto"))
    assert len(FREQUENCIES) <= len(short.history) < len(full.history) == 8 * len(FREQUENCIES)
    truth, start = scan.truth, short.start
    errors = [
        float((r.medium.resampled(truth.grid).sound_speed - truth.sound_speed).square().mean().sqrt())
        for r in (dataclasses.replace(short, medium=start), full, short)
    ]
    assert errors[2] < min(1.1 * errors[1], errors[0]), errors


def test_the_kernel_is_followed_along_a_run(folder, scan, capsys):
    """What the file holds is what matrices say of a network's kernels at its checkpoints."""
    settings = [
        word
        for text in (*SETTINGS, "parameterization.name=siren", "schedule.iterations=5")
        for word in ("--set", text)
    ]
    words = ("-o", folder / "siren.h5", "--keep", folder / "kept", "-q")
    assert run("reconstruct", folder / "scan.h5", *words, *settings) == 0
    files, result = sorted((folder / "kept").glob("*.checkpoint")), io.load(folder / "siren.h5")
    assert len(files) == len(result.history) > 2
    words = ("--scan", folder / "scan.h5", "-o", folder / "along.h5", "--along", folder / "kept")
    assert run("diagnose", folder / "siren.h5", *words, "--no-maps", "--steps", 0, "--modes", 2) == 0
    assert "Along the run the kernel moved by up to" in capsys.readouterr().out
    drift = io.load(folder / "along.h5").drift
    assert len(drift.updates) == min(8, len(files))
    assert bool((drift.updates.diff() > 0).all())
    assert int(drift.updates[-1]) == len(files)
    end = visit(result, scan, settings_of(result), plain=True, at=files[-1])
    first = end.start.dense()
    modes = torch.linalg.svd(first).U[:, :4]
    before, after = (modes.T @ k @ k.T @ modes for k in (first, end.kernels.dense()))
    assert float(drift.total[-1]) == pytest.approx(float((after - before).norm() / before.norm()), rel=0.05)


def test_a_folder_without_checkpoints_is_refused(folder, capsys):
    words = ("--scan", folder / "scan.h5", "-o", folder / "none.h5", "--along", folder / "curves")
    assert run("diagnose", folder / "result.h5", *words, "-q") == 2
    assert "holds no checkpoints; give a folder of 'usct reconstruct --keep'" in capsys.readouterr().err
