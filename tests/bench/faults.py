"""Workers of a batch killed at random: `python -m tests.bench.faults [--kills 50]`.

A batch of small cases runs on two workers while one worker after another gets SIGKILL, each after a random time of its
life, until as many were killed as asked for; the batch is started again as long as there is work left. Then every run
must be there once, whole, with the image of a batch that was left alone.
"""

import argparse
import os
import random
import signal
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.batches import problems, small_dataset, small_settings
from usct.batch import CaseFile, run_batch
from usct.batch.processes import run_processes
from usct.batch.records import Task
from usct.batch.settings import BatchSettings
from usct.batch.working import work

PIDS = "pids"


def announced(task: Task) -> None:
    """Work on a case, in a process that can be found."""
    folder = task.folder.parent / PIDS
    folder.mkdir(exist_ok=True)
    (folder / str(os.getpid())).touch()
    work(task)


@dataclass
class Killer:
    """Kills the worker processes of a batch at random moments of their lives.

    Attributes:
        folder: Where workers leave their process numbers.
        kills: How many workers to kill.
        lifetime: Longest time that a worker is left alone [s].
        random: Chooses the times.
    """

    folder: Path
    kills: int
    lifetime: float
    random: random.Random
    done: int = 0
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Kill until enough are dead, or told to stop."""
        deadlines: dict[int, float] = {}
        while self.done < self.kills and not self.stop.is_set():
            time.sleep(0.01)
            for pid in self._living():
                due = deadlines.setdefault(pid, time.monotonic() + self.random.uniform(0, self.lifetime))
                if time.monotonic() >= due and self.done < self.kills:
                    self._kill(pid)

    def _living(self) -> list[int]:
        return [int(path.name) for path in self.folder.glob("*")] if self.folder.is_dir() else []

    def _kill(self, pid: int) -> None:
        (self.folder / str(pid)).unlink(missing_ok=True)
        # Only a child of this process: the number may have gone to somebody else.
        try:
            parent = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1]
            if int(parent) == os.getpid():
                os.kill(pid, signal.SIGKILL)
                self.done += 1
        except (OSError, IndexError):
            return


def disturbed(
    cases: tuple[CaseFile, ...],
    settings: BatchSettings,
    results: Path,
    kills: int,
    lifetime: float,
    seed: int = 0,
) -> tuple[int, int]:
    """Run a batch while its workers are killed.

    Args:
        cases: The phantoms.
        settings: With as many attempts as a case may need.
        results: Folder of the results.
        kills: How many workers to kill.
        lifetime: Longest time that a worker is left alone [s].
        seed: Of the times.

    Returns:
        How many workers were killed, and how often the batch was started.
    """
    killer = Killer(results / PIDS, kills, lifetime, random.Random(seed))
    thread = threading.Thread(target=killer.run)
    thread.start()
    starts, tasks = 0, [Task(case, results.resolve() / case.name, settings, 1) for case in cases]
    results.mkdir(parents=True, exist_ok=True)
    try:
        while any(task.unfinished() for task in tasks):
            starts += 1
            run_processes([t for t in tasks if t.unfinished()], 2, lambda _: None, announced)
    finally:
        killer.stop.set()
        thread.join()
    # Nothing is left to do: this only writes the manifest.
    run_batch(cases, settings, results, workers=1)
    return killer.done, starts


def main() -> int:
    """Kill, and say what was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--cases", type=int, default=12)
    parser.add_argument(
        "--lifetime", type=float, default=4.0, help="longest time that a worker is left alone [s]"
    )
    options = parser.parse_args()
    settings = small_settings(32, (0.06, 0.1), attempts=20)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cases = small_dataset(folder / "dataset", options.cases)
        run_batch(cases, settings, folder / "quiet", workers=2)
        began = time.monotonic()
        killed, starts = disturbed(cases, settings, folder / "killed", options.kills, options.lifetime)
        wrong = problems(folder / "killed", folder / "quiet", cases, settings)
        print(  # noqa: T201
            f"{options.cases} cases, {killed} workers killed, {starts} starts, {time.monotonic() - began:.0f} s: "
            + ("; ".join(wrong) or "nothing lost, nothing twice, every image the same")
        )
        return 1 if wrong or killed < options.kills else 0


if __name__ == "__main__":
    raise SystemExit(main())
