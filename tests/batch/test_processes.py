"""Whatever becomes of workers, what is finished stays, what is missing is done, and failures have a sentence."""

import json
import multiprocessing
import os
import signal
import threading
import time
from dataclasses import replace

import pytest

from tests.batch import jobs
from usct.batch.dataset import CaseFile, sha256
from usct.batch.processes import run_processes
from usct.batch.records import Task, alone
from usct.batch.settings import BatchSettings


@pytest.fixture
def tasks(tmp_path):
    settings = BatchSettings(methods={"pixel": {"parameterization": {"name": "pixel"}}})
    made = []
    for number in range(3):
        file = tmp_path / f"case{number}.h5"
        file.write_text(f"phantom {number}")
        case = CaseFile(file.stem, file, sha256(file))
        made.append(Task(case, tmp_path / "results" / file.stem, settings, threads=1))
    return made


def tries(task):
    file = task.folder / "tries"
    return len(file.read_text()) if file.exists() else 0


def once(task):
    return replace(task, settings=task.settings.model_copy(update={"attempts": 1}))


def test_killed_workers_lose_nothing_and_failures_are_retried_within_limits(tasks):
    ended = []
    run_processes(tasks, 2, ended.append, jobs.die_or_fail)
    assert sorted(task.case.name for task in ended) == [task.case.name for task in tasks]
    killed, failing, sound = tasks
    for task in (killed, sound):
        assert task.is_done("pixel")
        assert (task.folder / "pixel" / "result.h5").read_text() == f"{task.case.name} pixel"
        assert not (task.folder / "pixel" / "failed.json").exists()
        assert tries(task) == 1
    assert not failing.is_done("pixel")
    assert tries(failing) == 2
    assert failing.sentence("pixel") == "case1: odd things fail; take an even one."


def test_a_worker_that_always_dies_is_named_with_its_signal(tasks):
    run_processes([once(tasks[0])], 1, lambda _: None, jobs.die_always)
    assert "SIGKILL" in tasks[0].sentence("pixel")
    assert not tasks[0].is_done("pixel")


def test_cancelling_ends_the_workers(tasks):
    pids = []

    def interrupt():
        file = tasks[0].folder / "pid"
        until = time.monotonic() + 60
        while not file.exists() or not file.read_text():
            assert time.monotonic() < until
            time.sleep(0.05)
        pids.append(int(file.read_text()))
        os.kill(os.getpid(), signal.SIGINT)

    # A run in the background may have been started with interrupts ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        run_processes(tasks[:1], 1, lambda _: None, jobs.wait_long)
    signal.signal(signal.SIGINT, before)
    assert not multiprocessing.active_children()
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


def test_a_record_counts_only_for_its_settings_input_and_files(tasks):
    task = tasks[0]
    jobs.write_result(task)
    assert task.unfinished() == ()
    result = task.folder / "pixel" / "result.h5"
    whole = result.read_text()
    result.write_text("damaged")
    assert task.unfinished() == ("pixel",)
    result.write_text(whole)
    assert task.unfinished() == ()
    record = task.folder / "pixel" / "done.json"
    facts = json.loads(record.read_text())
    for name in ("config_sha256", "input_sha256"):
        record.write_text(json.dumps(facts | {name: "another"}))
        assert task.unfinished() == ("pixel",)
    record.write_text('{"torn')
    assert task.unfinished() == ("pixel",)


def test_one_folder_has_one_worker(tasks, monkeypatch):
    monkeypatch.setattr("usct.batch.records._PATIENCE", 0.0)
    with alone(tasks[0].folder) as first, alone(tasks[0].folder) as second:
        assert first
        assert not second
    with alone(tasks[0].folder) as again:
        assert again
