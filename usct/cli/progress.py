"""Telling how far a run has come: a live bar on a terminal, about one plain line a stage elsewhere."""

import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)

from usct.units import KILOHERTZ

if TYPE_CHECKING:
    from usct.reconstruction import Iterate


SILENCE = 20.0
"""Seconds after which a step that goes on is told of again."""


class Narrator:
    """Shows progress on stderr, so that stdout holds the results alone.

    Use as a context manager. Quiet narrators say nothing.
    """

    def __init__(self, quiet: bool = False, console: Console | None = None) -> None:
        """Choose between bar, lines and silence; `console` is where they go."""
        self._console = console or Console(stderr=True, quiet=quiet, highlight=False, soft_wrap=True)
        self._began = time.monotonic()
        self._last: Iterate | None = None
        self._told, self._told_at = "", self._began
        self._bar: Progress | None = None
        if self._console.is_terminal and not quiet:
            self._bar = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}"),
                BarColumn(bar_width=28),
                TaskProgressColumn(),
                TimeElapsedColumn(),
                TextColumn("[dim]{task.fields[left]}"),
                console=self._console,
                transient=True,
            )

    def __enter__(self) -> Self:
        """Start the clock and the bar."""
        self._began = time.monotonic()
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Tell how the last stage went, and take the bar away."""
        if self._bar is not None:
            self._bar.stop()
        elif self._last is not None and error is None:
            self._tell_stage(self._last)

    def step(self, fraction: float, text: str) -> None:
        """Show a step of a computation without stages: the share that is done, and what is being done."""
        if self._bar is not None:
            self._update(text, fraction)
        elif text != self._told or time.monotonic() - self._told_at > SILENCE:
            long = text == self._told or time.monotonic() - self._began > SILENCE
            left = f", about {self._remaining(fraction)} left" if long and 0 < fraction < 1 else ""
            self._console.print(f"usct: {text}{left}", markup=False)
            self._told, self._told_at = text, time.monotonic()

    def iterate(self, iterate: "Iterate") -> None:
        """Show one model update of an inversion."""
        record = iterate.record
        if self._bar is not None:
            text = (
                f"{record.stage}  {record.frequency / KILOHERTZ:.0f} kHz  "
                f"iteration {record.iteration}  objective {record.objective:.3g}"
            )
            self._update(text, iterate.fraction)
        elif self._last is not None and self._last.record.stage != record.stage:
            # Only the next stage's waves tell what the one before it left.
            told = iterate.history[-2].skipped if len(iterate.history) > 1 else None
            self._tell_stage(self._last, told)
        self._last = iterate

    def _update(self, text: str, fraction: float) -> None:
        assert self._bar is not None
        if not self._bar.task_ids:
            self._bar.add_task("", total=1.0, left="")
        left = f"about {self._remaining(fraction)} left" if 0 < fraction < 1 else ""
        self._bar.update(self._bar.task_ids[0], description=text, completed=fraction, left=left)

    def _tell_stage(self, iterate: "Iterate", skipped: float | None = None) -> None:
        """Print one line about a stage that has ended."""
        record = iterate.record
        skips = f", {100 * skipped:.1f} % of pairs skip cycles" if skipped is not None else ""
        left = f", about {self._remaining(iterate.fraction)} left" if 0 < iterate.fraction < 1 else ""
        self._console.print(
            f"usct: {record.stage}, {record.frequency / KILOHERTZ:.0f} kHz: objective {record.objective:.4g} "
            f"at iteration {record.iteration}{skips}, {duration(time.monotonic() - self._began)} elapsed{left}",
            markup=False,
        )

    def _remaining(self, fraction: float) -> str:
        """Time that is left if the rest goes as the share before it."""
        return duration((time.monotonic() - self._began) * (1 - fraction) / fraction)


def duration(seconds: float) -> str:
    """A length of time for people, such as 42 s, 3 min 05 s or 1 h 02 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
