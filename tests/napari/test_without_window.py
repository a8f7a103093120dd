"""Runs, writers and the command, none of which needs a window."""

import dataclasses
import importlib.util
import json
import os
import subprocess
import sys

import numpy as np
import pydicom
import pytest
from typer.testing import CliRunner
from usct_napari import running, writing
from usct_napari.running import Job, Run, Update
from usct_napari.sourcing import Source

from tests.diagnosis_cases import make_diagnosis
from usct import io
from usct.cli.app import app
from usct.errors import InputError
from usct.io.dicom import read_dicom
from usct.io.dicom.layers import Space


def updates(*progress: tuple[float, float]) -> list[Update]:
    return [Update("200 kHz", 2e5, n, 0.1, share, elapsed) for n, (share, elapsed) in enumerate(progress, 1)]


def test_time_left_is_told_by_what_was_done_since_the_last_start():
    assert running.remaining(updates((0.1, 5.0))) is None
    assert running.remaining(updates((0.1, 5.0), (0.3, 9.0))) == pytest.approx(14.0)
    # After a pause of the whole process its clock begins anew.
    resumed = updates((0.1, 5.0), (0.3, 9.0), (0.5, 4.0), (0.7, 5.0))
    assert running.remaining(resumed) == pytest.approx(1.5)


def test_updates_are_read_as_they_come_and_anew_when_a_run_begins_anew(tmp_path):
    run, lines = (
        Run(tmp_path),
        [json.dumps(dataclasses.asdict(u)) + "\n" for u in updates((0.1, 5.0), (0.3, 9.0))],
    )
    file = tmp_path / "progress.jsonl"
    assert run.updates() == []
    # The second is being written.
    file.write_text(lines[0] + lines[1][:20])
    assert run.updates() == updates((0.1, 5.0))
    file.write_text("".join(lines))
    assert run.updates() == run.updates() == updates((0.1, 5.0), (0.3, 9.0))
    file.write_text(lines[1])
    assert [update.fraction for update in run.updates()] == [0.3]
    run.discard()
    assert run.updates() == []


def test_a_run_whose_process_is_gone_is_said_to_have_failed_with_its_last_words(tmp_path):
    run = Run.of(tmp_path / "result.h5")
    assert run.state() == ("new", "")
    run.folder.mkdir()
    run.tell("running", "update 3", pid=0)
    (run.folder / "log.txt").write_text("warming up\nout of memory\n")
    phase, sentence = Run(run.folder).state()
    assert phase == "failed"
    assert "out of memory" in sentence
    assert not run.can_resume
    run.checkpoint.touch()
    assert run.can_resume


def test_a_run_that_is_alive_is_found_by_whoever_looks(tmp_path):
    code = "import sys, time; sys.stdout.write('up\\n'); sys.stdout.flush(); time.sleep(60)"
    command = [sys.executable, "-c", code, running.WORKER]
    run = Run(tmp_path)
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"up\n"
        run.tell("running", "update 3", pid=process.pid)
        assert Run(tmp_path).state() == ("running", "update 3")
        # Whoever looks may also end it.
        Run(tmp_path).cancel()
        process.wait(timeout=10)
    assert Run(tmp_path).state() == ("cancelled", "Cancelled.")


def test_the_number_of_a_process_that_is_not_a_run_is_left_alone(tmp_path):
    run = Run(tmp_path)
    run.tell("running", "update 3", pid=os.getpid())
    assert not run.is_alive()
    run.cancel()


def test_a_run_that_is_at_work_is_not_started_twice(tmp_path, monkeypatch):
    run, job = Run.of(tmp_path / "result.h5"), Job("scan.h5", str(tmp_path / "result.h5"), "breast")
    code = "import time; time.sleep(60)"
    monkeypatch.setattr(running, "WORKER", "a_run_of_this_test")
    with subprocess.Popen([sys.executable, "-c", code, running.WORKER]) as process:
        run.folder.mkdir()
        run.tell("running", "update 3", pid=process.pid)
        # Another window, and another job for the same result.
        Run(run.folder).start(job)
        assert run.state() == ("running", "update 3")
        assert run.job is None
        process.kill()


def test_a_run_s_folder_that_was_spoilt_or_cannot_be_written_costs_no_more_than_a_sentence(tmp_path):
    run = Run(tmp_path)
    for name in ("job.json", "state.json", "progress.jsonl"):
        for text in ("{", "[1]\n", '{"other": 1}\n', "\0\n"):
            (tmp_path / name).write_text(text)
            assert run.job is None
            assert run.state()[0] in ("new", "failed")
            assert run.updates() == []
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="the run's folder cannot be written"):
        Run(tmp_path / "file" / "result.run").start(Job("scan.h5", "result.h5", "breast"))


def test_a_bad_scan_ends_a_run_with_a_sentence(tmp_path):
    from usct_napari.worker import main

    scan = tmp_path / "scan.h5"
    scan.write_text("no scan")
    run = Run.of(tmp_path / "result.h5")
    run.folder.mkdir()
    facts = {"scan": str(scan), "output": str(tmp_path / "result.h5"), "preset": "breast", "overrides": []}
    (run.folder / "job.json").write_text(json.dumps(facts))
    assert run.job == Job(**facts)
    main(run.folder)
    phase, sentence = run.state()
    assert phase == "failed"
    assert "scan.h5" in sentence
    assert not (tmp_path / "result.h5").exists()


def test_saving_a_layer_saves_its_whole_file(tmp_path):
    made, path, copy = make_diagnosis(), tmp_path / "kernels.h5", tmp_path / "copy.h5"
    io.save(made, path)
    facts = {"metadata": {"usct": Source(path, "diagnosis", "modes")}}
    assert writing.write_file(str(copy), None, facts) == [str(copy)]
    assert io.load(copy).summary == made.summary
    with pytest.raises(InputError, match="no file of usct"):
        writing.write_file(str(tmp_path / "other.h5"), None, {"metadata": {}})
    assert not (tmp_path / "other.h5").exists()


def test_a_map_is_saved_for_other_programs_in_full(tmp_path):
    made, path, copy = make_diagnosis(), tmp_path / "kernels.h5", tmp_path / "map.dcm"
    io.save(made, path)
    writing.write_map(str(copy), None, {"metadata": {"usct": Source(path, "diagnosis", "sound_speed")}})
    (layer,) = read_dicom(copy)
    np.testing.assert_allclose(layer.values, made.sound_speed.numpy(), rtol=1e-6)
    assert layer.spacing == pytest.approx((made.grid.spacing,) * 2)
    with pytest.raises(InputError, match="none of the maps"):
        writing.write_map(str(copy), None, {"metadata": {"usct": Source(path, "diagnosis", "modes")}})


def test_regions_are_saved_in_millimetres(tmp_path):
    path = tmp_path / "regions.csv"
    line, square = [[0, 0], [1, 2]], [[0, 0], [0, 4], [4, 4], [4, 0]]
    facts = {"scale": (0.5, 0.5), "translate": (-10, 10), "shape_type": ["line", "rectangle"]}
    writing.write_regions(str(path), [line, square], facts)
    lines = path.read_text().splitlines()
    assert lines[:3] == ["region,kind,y [mm],x [mm]", "0,line,-10,10", "0,line,-9.5,11"]
    assert lines[-1] == "1,rectangle,-8,10"


def test_drawn_labels_are_saved_with_their_names_in_millimetres(tmp_path):
    path, labels = tmp_path / "drawn.dcm", np.zeros((2, 4, 5), int)
    labels[0, 1:3, 1:4], labels[1, 2, 2] = 7, 300
    features = {"index": [0, 7], "name": ["nothing", "lesion"]}
    facts = {"scale": (2.0, 0.5, 0.5), "translate": (-3.0, 10.0, 20.0), "metadata": {}, "features": features}
    assert writing.write_labels(str(path), labels, facts) == [str(path)]
    (layer,) = read_dicom(path)
    np.testing.assert_array_equal(layer.values, np.searchsorted([0, 7, 300], labels))
    assert layer.segments == ((1, "lesion"), (2, "label 300"))
    assert layer.spacing == pytest.approx((2e-3, 0.5e-3, 0.5e-3))
    assert layer.origin == pytest.approx((-3e-3, 10e-3, 20e-3))
    with pytest.raises(InputError, match="neither turned nor sheared"):
        writing.write_labels(str(tmp_path / "no.dcm"), labels, facts | {"shear": (0.1, 0, 0)})
    with pytest.raises(InputError, match="nothing is labelled"):
        writing.write_labels(str(tmp_path / "no.dcm"), 0 * labels, facts)
    assert not (tmp_path / "no.dcm").exists()


def test_labels_of_an_image_stay_in_the_coordinates_of_the_patient(tmp_path):
    tilted = ((0.0, 1.0, 0.0), (0.0, 0.0, -1.0), (-1.0, 0.0, 0.0))
    source = Source(tmp_path, "dicom", "labels", space=Space(tilted, "1.2.3", depth=5e-3))
    facts = {"scale": (0.5, 0.5), "translate": (10.0, 20.0), "metadata": {"usct": source}}
    writing.write_labels(str(tmp_path / "plane.dcm"), np.eye(4, dtype=int), facts)
    (layer,) = read_dicom(tmp_path / "plane.dcm")
    assert layer.space.uid == "1.2.3"
    assert layer.space.axes == tilted
    assert layer.space.depth == pytest.approx(5e-3)
    assert layer.origin == pytest.approx((10e-3, 20e-3))
    made = pydicom.dcmread(tmp_path / "plane.dcm")
    position = made.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0].ImagePositionPatient
    # x' = 20 along (0, 1, 0), y' = 10 along (0, 0, -1), depth 5 along (-1, 0, 0).
    assert list(position) == pytest.approx([-5, 20, -10])
    assert made.PatientIdentityRemoved == "YES"


def test_view_says_what_is_missing(monkeypatch):
    there = importlib.util.find_spec

    def find(name: str) -> object:
        return None if name == "napari" else there(name)

    monkeypatch.setattr(importlib.util, "find_spec", find)
    outcome = CliRunner().invoke(app, ["view", "scan.h5"])
    assert isinstance(outcome.exception, InputError)
    assert "pip install 'usct[napari]'" in str(outcome.exception)


def test_view_says_that_there_is_no_screen(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: object())
    monkeypatch.setattr("sys.platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    outcome = CliRunner().invoke(app, ["view", "scan.h5"])
    assert "needs a screen" in str(outcome.exception)
