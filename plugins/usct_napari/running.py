"""Reconstructions in a process of their own, watched through the files of a run's folder.

The process neither needs the window nor ends with it: whoever looks into the folder later finds the run as it is then.
Nothing here needs Qt.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import psutil

Phase = Literal["new", "starting", "running", "paused", "cancelled", "finished", "failed"]

BUSY: tuple[Phase, ...] = ("starting", "running", "paused")
"""Phases of a run that is at work."""

WORKER = "usct_napari.worker"
"""Module that a run's process runs."""


@dataclass(frozen=True)
class Job:
    """What is to be reconstructed.

    Attributes:
        scan: File of the scan.
        output: File of the result; the run's folder lies beside it.
        preset: Name of the preset.
        overrides: Settings over it, as key=value.
    """

    scan: str
    output: str
    preset: str
    overrides: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Update:
    """One update of the image; as `usct.reconstruction.Record`, and how far the run has come."""

    stage: str
    frequency: float
    iteration: int
    objective: float
    fraction: float
    elapsed: float


class Run:
    """A run's folder, and what can be done with the run."""

    def __init__(self, folder: Path) -> None:
        """Look at a folder, which need not exist yet."""
        self.folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._heard: tuple[int, list[Update]] = 0, []

    @classmethod
    def of(cls, output: Path) -> "Run":
        """The run that writes a result."""
        return cls(output.with_suffix(".run"))

    @property
    def live(self) -> Path:
        """File of the newest image."""
        return self.folder / "live.h5"

    @property
    def checkpoint(self) -> Path:
        """File from which the run goes on."""
        return self.folder / "run.checkpoint"

    @property
    def job(self) -> Job | None:
        """What the run is to do, or None where there is no run."""
        facts = self._facts("job.json")
        try:
            return None if facts is None else Job(**facts)
        except TypeError:
            return None

    @property
    def is_held(self) -> bool:
        """Whether a pause is wanted."""
        return (self.folder / "pause").exists()

    @property
    def can_resume(self) -> bool:
        """Whether the run stopped on its way, and can go on."""
        return self.checkpoint.exists() and self.state()[0] in ("cancelled", "failed")

    def start(self, job: Job) -> None:
        """Start afresh, or go on where there is a checkpoint of the same job; a run that is at work is left at it.

        Args:
            job: What is to be done.

        Raises:
            InputError: If the run's folder cannot be written.
        """
        from usct.errors import InputError

        # A process that has told its end and is about to leave is in nobody's way.
        if self.state()[0] in BUSY:
            return
        try:
            self._start(job)
        except OSError as error:
            raise InputError(
                f"{self.folder}: the run's folder cannot be written ({error.strerror}); save the result elsewhere."
            ) from error

    def _start(self, job: Job) -> None:
        if job != self.job or not self.checkpoint.exists():
            self.discard()
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in ("pause", "cancel"):
            (self.folder / name).unlink(missing_ok=True)
        (self.folder / "job.json").write_text(json.dumps(asdict(job)), encoding="utf-8")
        self.tell("starting", "Starting…", 0)
        command = [sys.executable, "-m", WORKER, str(self.folder)]
        with (self.folder / "log.txt").open("wb") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
            )

    def pause(self, wanted: bool = True) -> None:
        """Hold the run after its next update, or let it go on."""
        flag = self.folder / "pause"
        if wanted:
            flag.touch()
        else:
            flag.unlink(missing_ok=True)

    def cancel(self) -> None:
        """Stop the run; what is complete stays in the checkpoint."""
        (self.folder / "cancel").touch()
        pid = self._pid()
        if pid and self.is_alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    def discard(self) -> None:
        """Forget a run that has ended."""
        self._heard = 0, []
        if self.folder.exists():
            for path in self.folder.iterdir():
                path.unlink()

    def is_alive(self) -> bool:
        """Whether the run's process is there."""
        if self._process is not None and self._process.poll() is None:
            return True
        # Another window may have gone on with it.
        pid = self._pid()
        with contextlib.suppress(psutil.Error):
            # Numbers of processes are used again: another program's must not be taken for the run's.
            process = psutil.Process(pid) if pid else None
            return process is not None and WORKER in process.cmdline()
        return False

    def state(self) -> tuple[Phase, str]:
        """How the run is, and a sentence about it."""
        # In this order: what is written when the process is gone is its last word.
        alive = self.is_alive()
        facts = self._facts("state.json")
        if facts is None:
            return "new", ""
        phase, message = facts.get("phase", "new"), facts.get("message", "")
        if phase in ("finished", "failed", "cancelled") or alive:
            return phase, message
        if (self.folder / "cancel").exists():
            return "cancelled", "Cancelled."
        lines = (self._read("log.txt") or "").strip().splitlines() or ["nothing"]
        return "failed", f"The process ended by itself; the last it said was: {lines[-1]}"

    def updates(self) -> list[Update]:
        """All updates since the run began; only what was not there when this was asked last is read."""
        path, (done, found) = self.folder / "progress.jsonl", self._heard
        with contextlib.suppress(OSError, ValueError, TypeError), path.open("rb") as stream:
            if path.stat().st_size < done:
                done, found = 0, []
            stream.seek(done)
            whole, end, _ = stream.read().rpartition(b"\n")
            new = [Update(**json.loads(line)) for line in whole.splitlines()]
            self._heard = done + len(whole) + len(end), [*found, *new]
            return self._heard[1]
        return []

    def tell(self, phase: Phase, message: str, pid: int | None = None) -> None:
        """Write how the run is, in one step.

        Args:
            phase: Of the run.
            message: A sentence.
            pid: Of the process; this one by default.
        """
        facts = {"phase": phase, "message": message, "pid": os.getpid() if pid is None else pid}
        temporary = self.folder / "state.part"
        temporary.write_text(json.dumps(facts), encoding="utf-8")
        temporary.replace(self.folder / "state.json")

    def _pid(self) -> int:
        if self._process is not None and self._process.poll() is None:
            return self._process.pid
        return int((self._facts("state.json") or {}).get("pid", 0))

    def _facts(self, name: str) -> dict[str, Any] | None:
        """What a file of facts holds, or None where it is missing or no such file."""
        try:
            facts = json.loads(self._read(name) or "null")
        except ValueError:
            return None
        return facts if isinstance(facts, dict) else None

    def _read(self, name: str) -> str | None:
        try:
            return (self.folder / name).read_text(encoding="utf-8")
        except OSError:
            return None


def remaining(updates: list[Update]) -> float | None:
    """Seconds that are left if the rest goes as what is done, or None where that cannot be told yet."""
    # A run that went on began to count its time anew.
    begins = [n for n in range(1, len(updates)) if updates[n].elapsed < updates[n - 1].elapsed]
    since = updates[begins[-1] :] if begins else updates
    if len(since) < 2 or since[-1].fraction <= since[0].fraction:
        return None
    first, last = since[0], since[-1]
    return (1 - last.fraction) * (last.elapsed - first.elapsed) / (last.fraction - first.fraction)
