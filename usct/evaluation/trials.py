"""What became of several representations of one scan, run from the same start on the same budget."""

import math
from dataclasses import dataclass, field
from typing import Any, Literal

from usct.evaluation.image_metrics import Scores
from usct.evaluation.spots import Spot
from usct.medium import Medium

Outcome = Literal["finished", "not_finite", "cancelled", "failed", "not_run"]


@dataclass(frozen=True)
class Mark:
    """How far a run had come after one model update.

    Attributes:
        solves: Factorisations of the wave operator so far.
        seconds: Wall time of the inversion so far, scoring left out [s].
        frequency: Highest frequency of the stage [Hz].
        residual: Amplitude of the residual relative to that of the stage's data [1].
        rmse: Root-mean-square error inside the object [m/s].
        rmse_resolved: The same in detail that the data can resolve, see `evaluate` [m/s].
    """

    solves: int
    seconds: float
    frequency: float
    residual: float
    rmse: float
    rmse_resolved: float


@dataclass(frozen=True)
class Trial:
    """One representation's run.

    Attributes:
        name: As it is shown, NAME or NAME:OPTIMIZER.
        outcome: How the run ended, in a word.
        message: How the run ended, in a sentence.
        optimizer: How updates were found; empty if the run never began.
        n_parameters: Trainable numbers, or None if the run never began.
        start_rmse: Error of the representation's start [m/s]; NaN if it has none.
        marks: One for each update.
        scores: Of the last image, or None where there is none.
        medium: The last image, or None.
    """

    name: str
    outcome: Outcome
    message: str
    optimizer: str = ""
    n_parameters: int | None = None
    start_rmse: float = math.nan
    marks: tuple[Mark, ...] = ()
    scores: Scores | None = None
    medium: Medium | None = None

    @property
    def last(self) -> Mark | None:
        """Where the run ended, or None if it made no update."""
        return self.marks[-1] if self.marks else None

    def as_dict(self) -> dict[str, Any]:
        """The run for JSON: an array for each quantity, None for what is not finite."""
        quantities = ("solves", "seconds", "frequency", "residual", "rmse", "rmse_resolved")
        arrays = {name: [_finite(getattr(mark, name)) for mark in self.marks] for name in quantities}
        return {
            **arrays,
            "ssim": None if self.scores is None else _finite(self.scores.ssim),
            "start_rmse": _finite(self.start_rmse),
            "n_parameters": self.n_parameters,
            "optimizer": self.optimizer or None,
            "status": self.outcome,
            "message": self.message,
        }


@dataclass(frozen=True)
class Comparison:
    """Runs of several representations, and what they are measured by.

    Attributes:
        scan: Name of the scan.
        budget: Factorisations of the wave operator that each run might use.
        truth: The medium that made the data.
        start: Where all runs started, or None if none began.
        start_rmse: Its error inside the object [m/s]; NaN without a start.
        trials: In the order asked for.
        spots: Places worth a close-up.
    """

    scan: str
    budget: int
    truth: Medium
    start: Medium | None
    start_rmse: float
    trials: tuple[Trial, ...]
    spots: tuple[Spot, ...] = field(default=())

    @property
    def ranking(self) -> tuple[Trial, ...]:
        """The runs with an image whose error is finite, the most accurate first."""
        scored = [trial for trial in self.trials if trial.last and math.isfinite(trial.last.rmse)]
        return tuple(sorted(scored, key=_last_rmse))

    def as_dict(self) -> dict[str, Any]:
        """The comparison for JSON; every number is finite or None."""
        return {
            "budget": self.budget,
            "scan": self.scan,
            "start_rmse": _finite(self.start_rmse),
            "representations": {trial.name: trial.as_dict() for trial in self.trials},
        }


def _last_rmse(trial: Trial) -> float:
    return trial.marks[-1].rmse


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
