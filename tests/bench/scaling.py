"""What a second worker brings to a batch: `python -m tests.bench.scaling [--cases 4]`.

The same small cases on one worker process of one thread, on two, and on two Dask workers that are started by hand
on this machine and share its disk; and on one process of two threads, which share out the transmits and frequencies of
every case. Prints seconds, speed-up, and the processor seconds of all processes; checks that
all images are the same but for rounding. Seconds mean something on a quiet machine alone; processor
seconds tell on any what more workers cost.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.batches import problems, small_dataset, small_settings
from usct.batch import run_batch
from usct.batch.cluster import connected


@contextmanager
def dask_workers(folder: Path, count: int) -> Iterator[str]:
    """Start a scheduler and workers of one thread each on loopback, as a user would from a shell.

    Yields:
        The scheduler's address.
    """
    where = folder / "scheduler.json"
    local = ["--host", "127.0.0.1"]
    environment = os.environ | dict.fromkeys(
        ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"
    )
    commands = [
        ["scheduler", *local, "--port", "0", "--dashboard-address", ":0", "--scheduler-file", str(where)]
    ]
    worker = [
        "worker",
        *local,
        "--scheduler-file",
        str(where),
        "--nthreads",
        "1",
        "--nanny",
        "--no-dashboard",
    ]
    commands += [[*worker, "--local-directory", str(folder / f"worker{number}")] for number in range(count)]
    started = []
    try:
        for command in commands:
            log = (folder / f"{command[0]}{len(started)}.log").open("w")
            started.append(
                subprocess.Popen(
                    [sys.executable, "-m", "dask", *command], stdout=log, stderr=log, env=environment
                )
            )
            while not where.is_file():
                time.sleep(0.1)
        from distributed import Client

        with Client(scheduler_file=str(where), set_as_default=False) as client:
            client.wait_for_workers(count, timeout=120)
            yield client.scheduler.address
    finally:
        for process in reversed(started):
            process.terminate()
            process.wait(20)


def _spent() -> float:
    """Processor time of this process and of children that have ended [s]."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=4)
    parser.add_argument("--elements", type=int, default=128)
    options = parser.parse_args()
    settings = small_settings(options.elements, (0.1, 0.15, 0.2), attempts=1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cases = small_dataset(folder / "dataset", options.cases)
        seconds, spent = {}, {}
        before = _spent()
        for workers, threads in ((1, 1), (2, 1), (1, 2)):
            kind = f"local{workers}x{threads}"
            summary = run_batch(cases, settings, folder / kind, workers, threads)
            label = f"{workers} process{'es' * (workers - 1)}, {threads} thread{'s' * (threads - 1)}"
            seconds[label], spent[label] = summary.seconds, _spent() - before
            before = _spent()
        with dask_workers(folder, 2) as address:
            summary = run_batch(cases, settings, folder / "dask", client=connected(address), threads=1)
            seconds["2 Dask workers"] = summary.seconds
        spent["2 Dask workers"] = _spent() - before
        print(f"{options.cases} cases, {options.elements} elements")  # noqa: T201
        for label, taken in seconds.items():
            ratio = seconds["1 process, 1 thread"] / taken
            line = (
                f"{label:20s} {taken:7.1f} s, {ratio:4.2f} times as fast; {spent[label]:6.1f} s of processors"
            )
            print(line)  # noqa: T201
        wrong = [
            text
            for kind in ("local2x1", "local1x2", "dask")
            for text in problems(folder / kind, folder / "local1x1", cases, settings)
        ]
        print("; ".join(wrong) or "every image the same")  # noqa: T201
        return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
