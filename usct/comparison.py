"""The verb compare: several representations of one scan, from the same start, on the same budget."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from usct import api
from usct.acquisition import Acquisition
from usct.assembly import prepare, start_model
from usct.choosing import schedule_of
from usct.config import RunConfig, load_config
from usct.errors import InputError
from usct.evaluation import Scores, evaluate
from usct.evaluation.spots import find_spots
from usct.evaluation.trials import Comparison, Mark, Outcome, Trial
from usct.medium import Medium
from usct.phantom import Phantom
from usct.reconstruction import Iterate, Reconstruction, Record, Status

REPRESENTATIONS = ("pixel", "filtered", "fourier", "tailored", "siren", "multigrid", "hybrid")
"""What is compared unless told otherwise."""

_OUTCOMES: dict[Status, Outcome] = {
    Status.FINISHED: "finished",
    Status.NOT_FINITE: "not_finite",
    Status.CANCELLED: "cancelled",
}

_TROUBLES = (InputError, ArithmeticError, MemoryError, torch.OutOfMemoryError)
"""What may stop one run without stopping the others."""


@dataclass(frozen=True)
class _Entry:
    """One representation with its settings."""

    name: str
    config: RunConfig


@dataclass(frozen=True)
class _Yardstick:
    """What all images are scored against, alike: the truth, and what the data can resolve of it."""

    truth: Medium
    highest_frequency: float

    def scores(self, image: Medium) -> Scores:
        return evaluate(image, self.truth, highest_frequency=self.highest_frequency)


def compare(
    scan: Acquisition,
    truth: Medium | Phantom,
    representations: Sequence[str] = REPRESENTATIONS,
    budget: int = 60,
    start: float | None = None,
    preset: str | None = None,
    settings: Sequence[str] = (),
    on_trial: Callable[[int, str], None] | None = None,
    on_iterate: Callable[[Iterate], None] | None = None,
) -> Comparison:
    """Reconstruct a scan with several representations and score every image on the way.

    All start from the same model and may factorise the wave operator equally often. The truth is for scoring:
    no inversion sees it. A representation that fails is kept with its reason. An interrupt ends the run at
    hand and leaves out those that follow.

    Args:
        scan: The scan; a truth that it carries is not looked at.
        truth: What made the data; a phantom's lesions are looked at closely.
        representations: Names, each alone or as NAME:OPTIMIZER.
        budget: Factorisations of the wave operator that each may use.
        start: Uniform sound speed to start from [m/s]; None as `reconstruct` would.
        preset: Name of a preset.
        settings: Settings over it for all runs, as `section.key=value`.
        on_trial: Called before each run with its number, from 0, and name.
        on_iterate: Called after every update of every run.

    Raises:
        InputError: If a name, setting, the budget or the truth is at fault, or every single representation failed so.
        KeyboardInterrupt: If interrupted before the first update.
    """
    shared = [*settings, f"schedule.max_solves={budget}"]
    shared += [] if start is None else [f"start.sound_speed={start!r}"]
    entries = [_Entry(name, _config(name, preset, shared)) for name in _distinct(representations)]
    medium = truth.medium if isinstance(truth, Phantom) else truth
    _check_truth(medium, scan)
    blind, common = replace(scan, truth=None), entries[0].config
    observed, water, _ = prepare(blind, common)
    schedule_of(
        observed, common
    )  # refuses a budget that is too small for all alike before any of them begins
    # Found once for all: the same start to the last bit, and no run spends time on a search.
    blind = replace(blind, start=start_model(blind, common, observed, water))
    yardstick = _Yardstick(medium, float(observed.frequencies.max()))
    trials: list[Trial] = []
    starts: list[Medium] = []
    for number, entry in enumerate(entries):
        if trials and trials[-1].outcome in ("cancelled", "not_run"):
            trials.append(Trial(entry.name, "not_run", "The comparison was cancelled before its turn."))
            continue
        if on_trial is not None:
            on_trial(number, entry.name)
        if number == 0:
            _warm_up(entry, blind)
        trial, began = _run(entry, blind, yardstick, on_iterate)
        trials.append(trial)
        starts += [] if began is None else [began]
    _check_outcome(trials)
    first = starts[0] if starts else None
    start_rmse = math.nan if first is None else yardstick.scores(first).rmse
    return Comparison(scan.title, budget, medium, first, start_rmse, tuple(trials), find_spots(truth))


def _distinct(representations: Sequence[str]) -> list[str]:
    """The names without blanks.

    Raises:
        InputError: If there is none, or one twice.
    """
    names = [name.strip() for name in representations if name.strip()]
    if not names:
        raise InputError(f"no representation is named; choose from {', '.join(REPRESENTATIONS)}")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"representation {twice[0]!r} is named twice; name each once")
    return names


def _config(name: str, preset: str | None, settings: Sequence[str]) -> RunConfig:
    """Settings of one run; an unknown name is an error that lists the known ones."""
    representation, colon, optimizer = name.partition(":")
    own = [f"parameterization.name={representation}"]
    if colon:
        own.append(f"schedule.optimizer={optimizer}")
    return load_config(preset, None, [*settings, *own])


def _check_truth(truth: Medium, scan: Acquisition) -> None:
    """Refuse a truth that nothing can be scored against."""
    n_dims = scan.array.positions.shape[1]
    if truth.grid.n_dims != n_dims:
        raise InputError(f"the truth has {truth.grid.n_dims} axes, the scan {n_dims}; give the scan's truth")
    if evaluate(truth, truth).n_cells == 0:
        raise InputError(
            "nothing in the truth differs from the water by more than 2 m/s; give another with --truth"
        )


def _check_outcome(trials: Sequence[Trial]) -> None:
    """Raise what stopped all runs alike: there is nothing to show then."""
    if all(trial.outcome == "failed" for trial in trials):
        raise InputError(trials[0].message)
    if all(trial.outcome in ("cancelled", "not_run", "failed") and not trial.marks for trial in trials):
        raise KeyboardInterrupt


def _warm_up(entry: _Entry, scan: Acquisition) -> None:
    """Make one update per stage and forget it: plans and compiled code then cost the first run no time."""
    schedule = entry.config.schedule.model_copy(update={"iterations": 1, "max_solves": None})
    try:
        result = api.reconstruct(scan, entry.config.model_copy(update={"schedule": schedule}))
    except _TROUBLES:
        return  # the run itself will tell
    if result.status is Status.CANCELLED:
        raise KeyboardInterrupt


def _run(
    entry: _Entry, scan: Acquisition, yardstick: _Yardstick, on_iterate: Callable[[Iterate], None] | None
) -> tuple[Trial, Medium | None]:
    """One representation's run with the model it started from, whatever became of it."""
    kept: list[tuple[Record, Medium]] = []

    def keep(iterate: Iterate) -> None:
        # Scoring waits until the run has ended, so that its clock does not count it.
        kept.append((iterate.record, _compact(iterate.medium)))
        if on_iterate is not None:
            on_iterate(iterate)

    try:
        result = api.reconstruct(scan, entry.config, keep)
        return _scored(entry, result, kept, yardstick), _compact(result.start)
    except KeyboardInterrupt:
        return Trial(entry.name, "cancelled", Status.CANCELLED.value), None
    except _TROUBLES as error:
        return Trial(entry.name, "failed", str(error) or type(error).__name__), None


def _scored(
    entry: _Entry, result: Reconstruction, kept: Sequence[tuple[Record, Medium]], yardstick: _Yardstick
) -> Trial:
    """The run with every image on the way scored."""
    marks, scores = [], None
    for record, medium in kept:
        scores = yardstick.scores(medium)
        residual = math.sqrt(record.objective) if record.objective >= 0 else math.nan
        marks.append(
            Mark(
                record.n_solves,
                record.seconds,
                record.frequency,
                residual,
                scores.rmse,
                scores.rmse_resolved,
            )
        )
    return Trial(
        entry.name,
        _OUTCOMES[result.status],
        " ".join((result.message, _sentence(result.provenance.get("warning", "")))).strip(),
        entry.config.optimizer,
        None if result.field is None else result.field.n_parameters,
        yardstick.scores(result.start).rmse,
        tuple(marks),
        scores,
        kept[-1][1] if kept else None,
    )


def _sentence(text: str) -> str:
    return text and f"{text[0].upper()}{text[1:]}."


def _compact(medium: Medium) -> Medium:
    """The sound speed alone, in single precision: a run may make hundreds of images."""
    return Medium(medium.grid, medium.sound_speed.detach().cpu().float())
