"""Workers killed at random, and a disk that fills up, lose nothing that is finished."""

import resource

import pytest

from tests.bench.batches import problems, small_dataset, small_settings
from tests.bench.faults import disturbed
from usct.batch.dataset import sha256
from usct.batch.records import Task
from usct.batch.working import work


@pytest.fixture(scope="module")
def quiet(tmp_path_factory):
    """A small batch that was left alone: cases, settings and results."""
    folder = tmp_path_factory.mktemp("quiet")
    cases, settings = small_dataset(folder / "dataset", 2), small_settings(16, (0.05,), attempts=20)
    for case in cases:
        work(Task(case, folder / "results" / case.name, settings, threads=1))
    return cases, settings, folder / "results"


def test_five_workers_killed_at_random_lose_and_double_nothing(quiet, tmp_path):
    cases, settings, undisturbed = quiet
    killed, _ = disturbed(cases, settings, tmp_path / "results", kills=5, lifetime=0.2, seed=1)
    assert killed == 5
    assert problems(tmp_path / "results", undisturbed, cases, settings) == []


def test_a_full_disk_loses_nothing_that_is_finished(quiet, tmp_path):
    # Files may not grow beyond a limit, which ends writes as a full disk does.
    cases, settings, undisturbed = quiet
    first, second = (Task(case, tmp_path / case.name, settings, threads=1) for case in cases)
    work(first)
    result = first.folder / "pixel" / "result.h5"
    whole = sha256(result)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (result.stat().st_size // 2, before[1]))
    try:
        work(second)
        work(first)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "could not be written (File too large)" in second.sentence("pixel")
    assert first.is_done("pixel")
    assert not list(tmp_path.rglob("*.tmp"))
    found = problems(tmp_path, undisturbed, cases, settings)
    assert len(found) == 1, found
    assert "disk-0001, pixel: lost" in found[0]
    work(second)
    assert sha256(result) == whole
    assert problems(tmp_path, undisturbed, cases, settings) == []
