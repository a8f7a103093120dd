"""Back to a point of a run: the objective there, rebuilt from the result, its scan, and nothing else."""

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from pydantic import ValidationError

from usct.acquisition import Acquisition, Spectra
from usct.assembly import build_inversion, fingerprint, load_state, prepare
from usct.config import RunConfig
from usct.diagnostics.kernels import TangentKernels
from usct.diagnostics.preconditioning import adam_preconditioner
from usct.errors import InputError
from usct.inversion.loop import Inversion
from usct.inversion.objective import Objective, Point
from usct.inversion.optimizers import Adam
from usct.inversion.schedule import Schedule, Stage
from usct.inversion.state import State
from usct.inversion.tailoring import ImageDerivative
from usct.medium import Medium
from usct.misfit.catalogue import misfit_of
from usct.parameterization.lossy import Lossy, companion
from usct.reconstruction import Reconstruction

MOST_GROWTH = 2.0
"""Factor by which the misfit may exceed what the run recorded; models are fitted to speeds a little different."""

Frequency = float | Literal["all"] | None
Place = Literal["start", "end"] | Path


@dataclass(frozen=True)
class Visit:
    """A point of a run, ready to be looked at.

    Attributes:
        kernels: There.
        start: At the start of the run, of the same data; None at the start itself.
        stage: Whose frequencies and weights the data have.
        optimizer: Whose steps the kernels describe, in words.
        later: Points along the run, updates done and the kernels then, solved for one after the other.
    """

    kernels: TangentKernels
    start: TangentKernels | None
    stage: Stage
    optimizer: str
    later: Iterator[tuple[int, TangentKernels]]


def visit(
    result: Reconstruction,
    scan: Acquisition,
    config: RunConfig,
    frequency: Frequency = None,
    at: Place = "end",
    plain: bool = False,
    along: Sequence[Path] = (),
) -> Visit:
    """Rebuild a point of a run: one factorisation for each frequency, and as many again for the start.

    Args:
        result: What the run made.
        scan: What it made it from.
        config: Its settings, see `settings_of`.
        frequency: Whose data to look at [Hz], or all; None for the last that the run had come to, for the first
            at its start.
        at: Start or end, or a checkpoint's file.
        plain: Describe plain gradient steps even where Adam made the image.
        along: Checkpoints along the run, to be visited later.

    Raises:
        InputError: If result, scan, checkpoints and frequency do not fit together.
    """
    observed, water, _ = prepare(scan, config)
    inversion = build_inversion(scan, config, observed, water)
    beginning = deepcopy(inversion)  # making another would look for the start anew
    identity = fingerprint(config, scan, observed, water) if isinstance(at, Path) or along else ""
    state = load_state(at, identity) if isinstance(at, Path) else None
    states = [load_state(path, identity) for path in along]
    field = None
    if at != "start":
        field = _arrays(result, inversion) if state is None else state.field
    stage = _stage(inversion, result, state, frequency, at)
    opening = state.opening if state is not None and stage == inversion.schedule[state.stage] else None
    point = revisit(inversion, observed, stage, field, opening)
    if at == "end":
        _check_misfit(result, stage, point)
    start = None
    if field is not None:
        start = TangentKernels(revisit(beginning, observed, stage), beginning.grid)
        point = _tailored_to_all(point, inversion, beginning.start, stage)
    memory = state.memory if opening is not None and state is not None else {}
    scaling = None if plain or stage.optimizer != "adam" else adam_scaling(point, stage, memory)
    words = "plain gradient steps" if scaling is None else "Adam's steps"
    kernels = TangentKernels(point, inversion.grid, preconditioner=scaling)
    return Visit(kernels, start, stage, words, _later(states, beginning, observed, stage))


def _later(
    states: Sequence[State], beginning: Inversion, observed: Spectra, stage: Stage
) -> Iterator[tuple[int, TangentKernels]]:
    """Updates done and the kernels then, of the stage's data: one factorisation for each of its frequencies."""
    for state in states:
        inversion = deepcopy(beginning)
        point = revisit(inversion, observed, stage, state.field)
        point = _tailored_to_all(point, inversion, beginning.start, stage)
        yield len(state.history), TangentKernels(point, inversion.grid)


def settings_of(result: Reconstruction) -> RunConfig:
    """The settings that a run was made with.

    Raises:
        InputError: If the result does not hold them.
    """
    text = result.provenance.get("config", "")
    try:
        return RunConfig.model_validate_json(text)
    except ValidationError:
        raise InputError(
            "the result does not hold the settings that made it, or those of another version; reconstruct again"
        ) from None


def steps_of(result: Reconstruction, stage: Stage) -> tuple[int, ...]:
    """Steps of least squares that each update of a stage took, or would have if the run made none; none for Adam."""
    name = replace(stage, frequencies=(max(stage.frequencies),)).name
    n_updates = sum(record.stage == name for record in result.history) or stage.n_iterations
    if stage.optimizer == "adam":
        return ()
    return (stage.n_inner,) * n_updates if stage.optimizer == "gauss-newton" else (n_updates,)


def adam_scaling(point: Point, stage: Stage, memory: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """How Adam scales the gradient at a point, shape (parameter,).

    Without a memory it is what Adam learns in the first update from here on, as in every new stage.
    """
    if not memory:
        adam = Adam(stage.learning_rate, stage.n_inner)
        adam.step(point, lambda gradient: gradient)
        memory = adam.memory()
    return adam_preconditioner(memory, stage.learning_rate, point.learning_rates)


def stage_of(inversion: Inversion, frequency: Frequency, last: bool) -> Stage:
    """The stage of a schedule that used a frequency, for that frequency alone.

    Args:
        inversion: Whose schedule.
        frequency: One of its frequencies [Hz], to one part in a thousand; all for all of them at once; None for
            that of the first or last stage.
        last: Take the last stage with it rather than the first.

    Raises:
        InputError: If no stage used the frequency.
    """
    schedule = _of_speed(inversion.schedule[::-1] if last else inversion.schedule)
    have = tuple(sorted({f for stage in schedule for f in stage.frequencies}))
    if frequency is None:
        return schedule[0]
    if frequency == "all":
        return replace(schedule[0], frequencies=have)
    for stage in schedule:
        for used in stage.frequencies:
            if abs(used - frequency) <= 1e-3 * used:
                return replace(stage, frequencies=(used,))
    raise InputError(
        f"frequency {frequency / 1e3:g} kHz took no part in the run; choose from "
        f"{', '.join(f'{f / 1e3:g}' for f in have)} kHz"
    )


def revisit(
    inversion: Inversion,
    observed: Spectra,
    stage: Stage,
    field: Mapping[str, torch.Tensor] | None = None,
    opening: tuple[float, float] | None = None,
) -> Point:
    """The objective at one point of a run: one factorisation for each frequency of the stage.

    Where the run tailors its kernel before an update, so does this at the run's start; a field from later on
    carries the kernel that made it.

    Args:
        inversion: From `build_inversion`; its parameterization is overwritten.
        observed: Data that hold the stage's frequencies.
        stage: Frequencies and source weights.
        field: State of the parameterization there; None for the start.
        opening: Sound speeds that the stage's models were fitted to [m/s]; None for those of the image.

    Raises:
        InputError: If the field does not fit the inversion.
    """
    parameterization = inversion.parameterization
    if field is not None:
        try:
            parameterization.load_state_dict(dict(field))
        except RuntimeError:
            raise InputError(
                "the trained field does not fit the run's settings; give the scan that made the result, or "
                "reconstruct again if another version did"
            ) from None
    with torch.no_grad():
        speeds = parameterization(inversion.grid).sound_speed
    opening = opening or (float(speeds.min()), float(speeds.max()))
    data = observed.at(torch.tensor(stage.frequencies, dtype=torch.float64))
    models = [
        inversion.discretization.model(inversion.array, opening, f, data.damping) for f in stage.frequencies
    ]
    objective = Objective(models, data, misfit_of(stage.misfit, stage.source_weights), parameterization)
    point = objective.at(parameterization.vector())
    return inversion.tailored_at(point, stage, 0) if field is None else point


def _tailored_to_all(point: Point, inversion: Inversion, start: Medium, stage: Stage) -> Point:
    """The point with a kernel that is tailored before every update tailored to the change since the start.

    The one that the field carries was made for what its last update still missed, which at the end of a run is next
    to nothing: by that measure no detail of the image would be supported.
    """
    if inversion.parameterization.tailored != "update":
        return point
    region = inversion.parameterization.free_cells(inversion.grid).double()
    with torch.no_grad():
        speed = inversion.parameterization(inversion.grid).sound_speed.cpu()
    changes = ImageDerivative(point, inversion.grid, region).apply((start.sound_speed / speed).log())
    told = tuple(
        replace(residual, difference=residual.difference - change)
        for residual, change in zip(point.residuals, changes, strict=True)
    )
    inversion.parameterization.settle()
    inversion.tailored_at(replace(point, residuals=told), stage, 0)
    return point.again()


def _stage(
    inversion: Inversion, result: Reconstruction, state: State | None, frequency: Frequency, at: Place
) -> Stage:
    """The stage asked for, or the one that the run had come to."""
    if frequency is not None or at == "start":
        return stage_of(inversion, frequency, last=at != "start")
    if state is not None:
        return _of_speed(inversion.schedule[: state.stage + 1])[-1]
    stages, names = _of_speed(inversion.schedule), [record.stage for record in result.history]
    reached = [stage for stage in stages if stage.name in names]
    return reached[-1] if reached else stages[-1]


def _of_speed(schedule: Schedule) -> Schedule:
    """The stages that seek the sound speed by its kernel, which is what is told of."""
    return tuple(
        stage
        for stage in schedule
        if stage.unknown == "sound_speed" and not stage.is_band and not stage.sharpens
    )


def _arrays(result: Reconstruction, inversion: Inversion) -> Mapping[str, torch.Tensor]:
    """State of the parameterization at the end of a run, from its field and, where there is one, its attenuation.

    Raises:
        InputError: If there is none, or it is of another grid.
    """
    field, parameterization = result.field, inversion.parameterization
    if field is None:
        raise InputError(
            "the result holds no trained field, as those of older versions do not; reconstruct again, or ask "
            "for the start"
        )
    region = parameterization.region
    if field.grid != inversion.grid or not torch.equal(
        field.arrays.get("region", region.new_zeros(0)), region
    ):
        image = " x ".join(map(str, inversion.grid.shape))
        raise InputError(
            f"the scan's array and frequencies make an image of {image} cells of "
            f"{1e3 * inversion.grid.spacing:.4g} mm, of which {int(region.sum())} may change, and the result has "
            "another; give the scan that made the result"
        )
    if not isinstance(parameterization, Lossy):
        return field.arrays
    loss = parameterization.loss.fitted_to(companion(result.medium, parameterization.limits)).state_dict()
    parts = {"speed": field.arrays, "loss": loss}
    arrays = {f"{part}.{name}": values for part, of_part in parts.items() for name, values in of_part.items()}
    return {"region": region, **arrays}


def _check_misfit(result: Reconstruction, stage: Stage, point: Point) -> None:
    """Refuse a scan of the same array that is not the one the image was made from."""
    if not result.history or result.history[-1].stage != stage.name:
        return
    recorded, found = result.history[-1].objective, 2 * point.value
    if found > MOST_GROWTH * recorded + 1e-3:
        raise InputError(
            f"the image leaves {100 * found**0.5:.1f} % of the scan's amplitude unexplained, where the run that made "
            f"it left {100 * recorded**0.5:.1f} %; give the scan that made the result"
        )
