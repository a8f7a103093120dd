"""What an inversion yields while it runs and returns when it ends."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

import torch

from usct.grid import Grid
from usct.medium import Medium

RESEARCH_USE_ONLY = "Research use only. Not a medical device. Not for diagnosis."


class Status(Enum):
    """How an inversion ended, as a sentence."""

    RUNNING = "The inversion has not ended yet."
    FINISHED = "Every stage of the schedule was completed."
    NOT_FINITE = (
        "The inversion stopped because a value became infinite or undefined; the last good image is kept."
    )
    CANCELLED = "The inversion was cancelled; the image of the last complete iteration is kept."


@dataclass(frozen=True)
class Record:
    """One model update.

    Attributes:
        stage: Name of the stage.
        frequency: Highest frequency of the stage [Hz].
        iteration: Number of the update since the start of the run, from 1.
        objective: Energy of the residual relative to that of the data, after the update [1].
        step: Root-mean-square change of sound speed by the update [m/s].
        solver_residual: Relative residual of the wave equation over the whole grid [1].
        n_solves: Factorisations of the wave operator so far.
        seconds: Wall time since the start of the run [s].
        skipped: Of a stage's last update, share of the pairs of elements whose waves the stage's image misses by more
            than half a period of the stage's frequency; None where that cannot be told [1].
    """

    stage: str
    frequency: float
    iteration: int
    objective: float
    step: float
    solver_residual: float
    n_solves: int
    seconds: float
    skipped: float | None = None


@dataclass(frozen=True)
class Iterate:
    """The state after one model update: its record, the image, and how far the run has come.

    Attributes:
        record: Numbers of this update.
        medium: The image.
        fraction: Share of the schedule's estimated work that is done, 0 to 1.
        arrays: The state of the run as arrays, for a checkpoint.
        texts: The rest of the state.
        history: One record for each update so far.
    """

    record: Record
    medium: Medium
    fraction: float
    arrays: Mapping[str, torch.Tensor] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    history: tuple[Record, ...] = ()


@dataclass(frozen=True)
class TrainedField:
    """What made the image, so that it can be sampled on any grid.

    Attributes:
        name: Of the representation.
        version: Of what its settings and arrays mean.
        grid: Of the image it was trained for.
        bounds: Lowest and highest sound speed that it may take [m/s].
        settings: What it was built with, as JSON can hold it.
        arrays: All that makes its values, by name: parameters, and what was fixed beside them.
        parameters: Names of those arrays that were trained.
    """

    name: str
    version: int
    grid: Grid
    bounds: tuple[float, float]
    settings: Mapping[str, bool | int | float | str | None]
    arrays: Mapping[str, torch.Tensor]
    parameters: frozenset[str]

    @property
    def n_parameters(self) -> int:
        """How many numbers were trained."""
        return sum(self.arrays[name].numel() for name in self.parameters)


MOST_SKIPPED = 0.02
"""Share of pairs off by more than half a period beyond which an image counts as cycle-skipped."""


@dataclass(frozen=True)
class CycleSkips:
    """Shares of pairs of elements whose waves come more than half a period off a model's [1]; NaN where not known.

    Attributes:
        frequency: The lowest of the run, whose period counts [Hz].
        start_waves: For the start model, by beats of the lowest frequencies.
        start_arrivals: The same by picked first arrivals.
        end_waves: For the image, by beats.
        end_arrivals: For the image, by first arrivals.
        stage_waves: For the image that the worst stage left, by periods of that stage's own lowest frequency.
        stage: Name of that stage.
    """

    frequency: float
    start_waves: float = math.nan
    start_arrivals: float = math.nan
    end_waves: float = math.nan
    end_arrivals: float = math.nan
    stage_waves: float = math.nan
    stage: str = ""

    @property
    def suspected(self) -> bool:
        """Whether the image seems to have matched waves to the wrong cycle, at the end or on the way."""
        return max(self.end_waves, self.end_arrivals, self.stage_waves, key=_known) > MOST_SKIPPED

    @property
    def known(self) -> bool:
        """Whether anything could be told of the image."""
        return not all(math.isnan(v) for v in (self.end_waves, self.end_arrivals, self.stage_waves))

    @property
    def warning(self) -> str:
        """A sentence with a remedy if waves seem to be skipped, else nothing."""
        return f"Cycle skips {self.sentence()}." if self.suspected else ""

    def sentence(self) -> str:
        """What was found, and if waves seem to be skipped, what to do."""
        if not self.known:
            return "not known: it takes two neighbouring frequencies well above the noise, or traces"
        found = [text for text in (self._at_the_end(), self._on_the_way()) if text]
        return f"suspected: {'; '.join(found)}; {SKIP_REMEDY}" if self.suspected else f"none seen: {found[0]}"

    @property
    def _end(self) -> float:
        return max(self.end_waves, self.end_arrivals, key=_known)

    def _at_the_end(self) -> str:
        """What was found at the end, and before it; nothing where that is not known."""
        if math.isnan(self._end):
            return ""
        start = max(self.start_waves, self.start_arrivals, key=_known)
        before = "" if math.isnan(start) else f" ({100 * start:.1f} % at the start)"
        return (
            f"{100 * self._end:.1f} % of the pairs of elements are off by more than half a period at "
            f"{self.frequency / 1e3:g} kHz{before}"
        )

    def _on_the_way(self) -> str:
        """What the worst stage left; nothing where that is not known, or where it was harmless and the end is known."""
        if math.isnan(self.stage_waves) or (self.stage_waves <= MOST_SKIPPED and not math.isnan(self._end)):
            return ""
        return (
            f"after the stage of {self.stage}, {100 * self.stage_waves:.1f} % of the pairs of elements were off by "
            "more than half a period of its lowest frequency"
        )


SKIP_REMEDY = (
    "the image may be wrong altogether: start from lower frequencies, from --misfit envelope,least-squares, or from "
    "travel times (start.travel_times=true)"
)


def _known(share: float) -> float:
    return -1.0 if math.isnan(share) else share


@dataclass(frozen=True)
class Reconstruction:
    """The result of an inversion.

    Attributes:
        medium: The image.
        start: The model it started from.
        region: Boolean map of the cells that were free to change, shape grid.shape.
        history: One record for each update.
        status: How it ended.
        message: The status with its particulars, in a sentence.
        provenance: Configuration, versions, seeds and input hashes, text to text.
        field: What made the image, or None where only the image is known.
        skips: How many waves start model and image miss by more than half a period, or None where nobody looked.
    """

    medium: Medium
    start: Medium
    region: torch.Tensor
    history: tuple[Record, ...]
    status: Status
    message: str
    provenance: Mapping[str, str] = field(default_factory=dict)
    field: TrainedField | None = None
    skips: CycleSkips | None = None

    @property
    def highest_frequency(self) -> float | None:
        """Highest frequency that took part [Hz], or None before the first update."""
        return max((record.frequency for record in self.history), default=None)
