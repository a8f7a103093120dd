"""A batch from beginning to end: what is missing, who does it, and what came of it."""

import contextlib
import os
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from usct.batch import cluster
from usct.batch.dataset import CaseFile
from usct.batch.processes import run_processes
from usct.batch.records import Task, write_manifest
from usct.batch.settings import BatchSettings, as_toml
from usct.errors import InputError
from usct.io import atomic

if TYPE_CHECKING:
    from distributed import Client

Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class Summary:
    """What came of a batch.

    Attributes:
        done: Runs with a valid completion record, of all.
        total: Cases times methods.
        failures: Case and method to the sentence why there is no result.
        seconds: Wall time of this command [s].
    """

    done: int
    total: int
    failures: dict[tuple[str, str], str]
    seconds: float


@dataclass
class _Book:
    """Keeps account while cases end."""

    results: Path
    tasks: list[Task]
    dataset: str
    on_progress: Progress | None
    statuses: dict[tuple[str, str], str] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)
    n_ended: int = 0
    n_to_do: int = 0

    def open(self) -> list[Task]:
        """Look at all records; the tasks with work left."""
        for task in self.tasks:
            self._look(task)
        rest = [task for task in self.tasks if "missing" in self._of(task)]
        self.n_to_do = len(rest)
        self._tell()
        return rest

    def ended(self, task: Task) -> None:
        """Note that the last try of a case has ended."""
        self._look(task)
        for method in task.settings.methods:
            if self.statuses[task.case.name, method] == "missing":
                self.statuses[task.case.name, method] = "failed"
        self.n_ended += 1
        self._tell()

    def write(self) -> None:
        """Bring the manifest of the results up to date."""
        write_manifest(self.results, self.tasks, self.statuses, self.dataset)

    def _look(self, task: Task) -> None:
        missing = task.unfinished()
        for method in task.settings.methods:
            self.statuses[task.case.name, method] = "missing" if method in missing else "done"

    def _of(self, task: Task) -> list[str]:
        return [self.statuses[task.case.name, method] for method in task.settings.methods]

    def _tell(self) -> None:
        # A full disk: the end of the batch says so, and what is finished stays.
        with contextlib.suppress(InputError):
            self.write()
        if self.on_progress is None:
            return
        failed = sum("failed" in self._of(task) for task in self.tasks)
        n_cases = len(self.tasks)
        n_done = n_cases - self.n_to_do + self.n_ended
        text = f"{n_done} of {n_cases} cases" + (f", {failed} failed" if failed else "")
        if 0 < self.n_ended < self.n_to_do:
            left = (time.monotonic() - self.began) / self.n_ended * (self.n_to_do - self.n_ended)
            text += f", about {left / 60:.0f} min left"
        self.on_progress(n_done / n_cases, text)


def run_batch(
    cases: Sequence[CaseFile],
    settings: BatchSettings,
    results: Path,
    workers: int = 1,
    threads: int | None = None,
    client: "AbstractContextManager[Client] | None" = None,
    gpu: bool = False,
    dataset: str = "",
    on_progress: Progress | None = None,
    on_dashboard: Callable[[str], None] | None = None,
) -> Summary:
    """Do what is missing of a batch, here or on a cluster.

    Args:
        cases: From `read_dataset` or `make_dataset`.
        settings: Of simulation, methods and diagnosis.
        results: Folder of the results, on a disk that all workers share.
        workers: Processes on this machine; of no effect with a client.
        threads: Threads of each worker; by default this machine's, shared out. None leaves it to Dask's workers.
        client: Of a cluster, from `cluster.connected` or `cluster.slurm`.
        gpu: On a cluster, give tasks to workers with the resource GPU.
        dataset: Name of the dataset, for the manifest.
        on_progress: Called with the share done and a sentence.
        on_dashboard: Called with the address of Dask's dashboard.

    Raises:
        InputError: If the results cannot be written or the cluster cannot be reached.
        KeyboardInterrupt: If cancelled; a rerun goes on where this one stopped.
    """
    began = time.monotonic()
    if len({case.name for case in cases}) < len(cases):
        raise InputError("two cases of the dataset have the same name; rename one of their files.")
    results.mkdir(parents=True, exist_ok=True)
    atomic.write_text(results / "config.toml", as_toml(settings.model_dump(mode="json")))
    if threads is None and client is None:
        threads = max(1, len(os.sched_getaffinity(0)) // workers)
    tasks = [Task(case, results.resolve() / case.name, settings, threads) for case in cases]
    book = _Book(results, tasks, dataset, on_progress)
    rest = book.open()
    try:
        if client is None:
            run_processes(rest, workers, book.ended)
        elif rest:
            with client as connection:
                if on_dashboard is not None:
                    on_dashboard(connection.dashboard_link)
                cluster.run_cluster(rest, connection, book.ended, gpu)
    finally:
        book.write()
    failures = {key: "" for key, status in book.statuses.items() if status == "failed"}
    by_name = {task.case.name: task for task in tasks}
    sentences = {(case, method): by_name[case].sentence(method) for case, method in failures}
    done = sum(status == "done" for status in book.statuses.values())
    return Summary(done, len(book.statuses), sentences, time.monotonic() - began)
