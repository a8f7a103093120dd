"""Verbs of the command line, run beside the window."""

import sys
from collections.abc import Callable, Sequence

from qtpy.QtCore import QEventLoop, QObject, QProcess, Signal


class Command(QObject):
    """One verb at a time, in a process of its own.

    Signals:
        said: A sentence about how it goes, or why it failed.
    """

    said = Signal(str)

    def __init__(self, parent: QObject) -> None:
        """Belong to a panel, with which the process ends."""
        super().__init__(parent)
        self._process = QProcess(self)
        self._process.readyReadStandardError.connect(self._listen)
        self._process.finished.connect(self._finished)
        self._done: Callable[[], None] | None = None
        self._last = ""

    @property
    def is_running(self) -> bool:
        """Whether a verb is at work."""
        return self._process.state() != QProcess.ProcessState.NotRunning

    def start(self, words: Sequence[str], done: Callable[[], None]) -> None:
        """Run a verb, unless one is at work.

        Args:
            words: As on the command line, without `usct`.
            done: Called once it has succeeded.
        """
        if self.is_running:
            return
        self._done, self._last = done, ""
        self.said.emit("Starting…")
        self._process.start(sys.executable, ["-m", "usct.cli", *words])

    def _listen(self) -> None:
        text = bytes(self._process.readAllStandardError().data()).decode(errors="replace")
        lines = [line.removeprefix("usct: ") for line in text.splitlines() if line.strip()]
        if lines:
            self._last = lines[-1].removeprefix("error: ")
            self.said.emit(self._last)

    def _finished(self, code: int) -> None:
        self._listen()
        if code == 0 and self._done is not None:
            self._done()
        elif code:
            self.said.emit(self._last or f"It ended with code {code}.")


def wait_for(words: Sequence[str]) -> None:
    """Let a process of Python end while the window goes on answering.

    Args:
        words: After `python`.

    Raises:
        InputError: If it fails, with the last that it said, or if the window is closed before its end.
    """
    from usct.errors import InputError

    process, loop = QProcess(), QEventLoop()
    process.finished.connect(lambda *_: loop.quit())
    process.errorOccurred.connect(lambda *_: loop.quit())
    process.start(sys.executable, list(words))
    loop.exec()
    if process.state() != QProcess.ProcessState.NotRunning:
        process.kill()
        process.waitForFinished()
        raise InputError("The window was closed before the sample was made.")
    if process.exitCode() or process.exitStatus() != QProcess.ExitStatus.NormalExit:
        said = bytes(process.readAllStandardError().data()).decode(errors="replace").strip().splitlines()
        raise InputError(f"The sample could not be made: {said[-1] if said else 'it said nothing'}")
