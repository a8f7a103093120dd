"""What is known to be finished, what failed, and why: small JSON files, each written in one step."""

import contextlib
import fcntl
import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import usct
from usct.batch.dataset import CaseFile, sha256
from usct.batch.settings import BatchSettings
from usct.io import atomic

FORMAT, VERSION = "usct-results", 1
DONE, FAILED, LOCK = "done.json", "failed.json", ".lock"
_PATIENCE = 10.0


@dataclass(frozen=True)
class Task:
    """All that a worker needs to know to work on a case; it travels between machines that share a disk.

    Attributes:
        case: Phantom or scan.
        folder: Results of this case.
        settings: Of the batch.
        threads: CPU threads to use; None for all.
        device: Where to compute.
    """

    case: CaseFile
    folder: Path
    settings: BatchSettings
    threads: int | None = None
    device: str = "auto"

    def unfinished(self) -> tuple[str, ...]:
        """Methods that have no valid completion record."""
        return tuple(method for method in self.settings.methods if not self.is_done(method))

    def is_done(self, method: str) -> bool:
        """Whether the record of a method is there and fits settings, input and files."""
        record = _read(self.folder / method / DONE)
        if record is None:
            return False
        wanted = (self.settings.identity(method), self.case.sha256)
        if (record.get("config_sha256"), record.get("input_sha256")) != wanted:
            return False
        files = record.get("files", {})
        paths = {self.folder / method / name: digest for name, digest in files.items()}
        return bool(files) and all(
            path.is_file() and sha256(path) == digest for path, digest in paths.items()
        )

    def clear(self, method: str) -> None:
        """Take away what an earlier try of a method left, but for its checkpoint."""
        for name in (DONE, FAILED, "evaluation.json", "kernels.h5", "result.h5"):
            (self.folder / method / name).unlink(missing_ok=True)

    def finish(self, method: str, seconds: float) -> None:
        """Record that a method is done: the last thing that is written."""
        folder = self.folder / method
        names = [name for name in ("result.h5", "kernels.h5", "evaluation.json") if (folder / name).is_file()]
        record = {
            "case": self.case.name,
            "method": method,
            "config_sha256": self.settings.identity(method),
            "input": str(self.case.path.resolve()),
            "input_sha256": self.case.sha256,
            "files": {name: sha256(folder / name) for name in names},
            "seconds": round(seconds, 2),
            "usct": usct.__version__,
        }
        (folder / FAILED).unlink(missing_ok=True)
        _write(folder / DONE, record)

    def fail(self, method: str, sentence: str) -> None:
        """Record why a method has no result."""
        (self.folder / method).mkdir(parents=True, exist_ok=True)
        _write(
            self.folder / method / FAILED,
            {"case": self.case.name, "method": method, "sentence": " ".join(sentence.split())},
        )

    def sentence(self, method: str) -> str:
        """Why a method failed, as far as it is known."""
        return str((_read(self.folder / method / FAILED) or {}).get("sentence", ""))


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[bool]:
    """Hold the folder of a case; the lock goes with the process, however it ends.

    Yields:
        Whether it could be had; another batch may be at work there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("w") as stream:
        patience = time.monotonic() + _PATIENCE
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > patience:
                    yield False
                    return
                time.sleep(0.1)
                continue
            yield True
            return


def write_manifest(
    results: Path, tasks: list[Task], statuses: Mapping[tuple[str, str], str], dataset: str
) -> None:
    """Write the list of all runs, for reports.

    Args:
        results: Folder of the results.
        tasks: All cases.
        statuses: "done", "failed" or "missing" for each case and method.
        dataset: Name of what was reconstructed.
    """
    settings = tasks[0].settings
    runs = [
        {
            "case": task.case.name,
            "method": method,
            "folder": f"{task.case.name}/{method}",
            "status": statuses[task.case.name, method],
            "sentence": task.sentence(method) if statuses[task.case.name, method] == "failed" else "",
        }
        for task in tasks
        for method in settings.methods
    ]
    cases = [
        {
            "name": task.case.name,
            "phantom": str(task.case.path.resolve()),
            "sha256": task.case.sha256,
            "facts": dict(task.case.facts),
        }
        for task in tasks
    ]
    presets = sorted({task.case.facts.get("tissue_preset", "") for task in tasks} - {""})
    contents = {
        "format": FORMAT,
        "version": VERSION,
        "dataset": dataset,
        "config_sha256": hashlib.sha256(settings.model_dump_json().encode()).hexdigest(),
        "tissue_preset": ", ".join(presets),
        "methods": list(settings.methods),
        "runs": runs,
        "cases": cases,
    }
    _write(results / "manifest.json", contents)


def _write(path: Path, contents: Mapping[str, Any]) -> None:
    atomic.write_text(path, json.dumps(contents, indent=1, allow_nan=False) + "\n")


def _read(path: Path) -> dict[str, Any] | None:
    try:
        contents = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return contents if isinstance(contents, dict) else None
