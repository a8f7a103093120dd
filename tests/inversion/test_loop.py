"""The loop: it improves the image, goes on exactly where it stopped, and never keeps a bad value."""

import dataclasses
import math

import pytest
import torch

from tests.helpers import relative_error
from tests.inversion.conftest import FREQUENCIES, IMAGE, WATER, error, inversion
from usct import api
from usct.forward.helmholtz import ResonanceError
from usct.inversion import loop
from usct.inversion.loop import Inversion
from usct.inversion.objective import Objective
from usct.inversion.schedule import Stage, continuation, within_budget
from usct.inversion.state import Predicted, State
from usct.medium import Medium
from usct.misfit.selection import select
from usct.phantom import Phantom
from usct.reconstruction import Record, Status

OPTIMIZERS = ("gauss-newton", "conjugate-gradients", "l-bfgs")


def schedule(optimizer: str = "gauss-newton", n_iterations: int = 2) -> tuple[Stage, ...]:
    template = Stage((1.0,), optimizer=optimizer, n_inner=3, tolerance=1e-6)
    return continuation(FREQUENCIES, n_iterations, None, template)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_image_beats_its_start_on_data_from_another_grid(scan, observed, optimizer):
    stages = schedule(optimizer, 3 if optimizer == "gauss-newton" else 5)
    result = inversion(scan.array, stages).run(observed)
    assert result.status is Status.FINISHED
    assert error(result.medium, scan.truth) < 0.45 * error(result.start, scan.truth)
    for stage in {record.stage for record in result.history}:
        objectives = [record.objective for record in result.history if record.stage == stage]
        assert objectives == sorted(objectives, reverse=True)
    assert [record.iteration for record in result.history] == list(range(1, len(result.history) + 1))
    outside = ~result.region
    assert torch.equal(result.medium.sound_speed[outside], result.start.sound_speed[outside])


def test_iterates_tell_how_far_the_run_is(scan, observed):
    fractions = [i.fraction for i in inversion(scan.array, schedule(n_iterations=1)).iterate(observed)]
    assert fractions == sorted(fractions)
    assert fractions[-1] == pytest.approx(1.0)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("n_done", [1, 2, 3])
def test_a_resumed_run_ends_bit_for_bit_like_an_uninterrupted_one(scan, observed, optimizer, n_done):
    # Expected speeds narrower than the image's, so that the forward models depend on where a stage began.
    stages, expected = schedule(optimizer), (1495.0, 1505.0)

    def fresh() -> Inversion:
        made = inversion(scan.array, stages, expected)
        made.misses = lambda predicted: float(predicted.values.abs().mean()) * len(predicted.frequencies)
        return made

    whole = fresh().run(observed)
    iterates = fresh().iterate(observed)
    for _ in range(n_done):
        last = next(iterates)
    iterates.close()
    state = State.from_arrays(last.arrays, last.texts)
    resumed = fresh().run(observed, state)
    assert torch.equal(resumed.medium.sound_speed, whole.medium.sound_speed)
    assert [r.objective for r in resumed.history] == [r.objective for r in whole.history]
    assert [r.n_solves for r in resumed.history] == [r.n_solves for r in whole.history]
    assert [r.skipped for r in resumed.history] == [r.skipped for r in whole.history]
    assert resumed.status is whole.status is Status.FINISHED


def test_what_a_stage_left_is_told_from_its_image_alone(scan, observed):
    """The end of a stage and the opening of the next are one image's, whatever receives' weights were fitted."""
    asked: list[Predicted] = []
    made = inversion(scan.array, schedule(n_iterations=1))
    made.misses = lambda predicted: asked.append(predicted) or math.nan
    images = [iterate.medium for iterate in made.iterate(observed)]
    assert [predicted.frequencies.tolist() for predicted in asked] == [list(FREQUENCIES), [FREQUENCIES[1]]]
    for predicted, image in zip(asked, images, strict=True):
        for frequency, values in zip(predicted.frequencies, predicted.values, strict=True):
            speeds = float(made.start.sound_speed.min()), float(made.start.sound_speed.max())
            model = made.discretization.model(scan.array, speeds, float(frequency), 0.0)
            expected = model(image.resampled(model.grid), frequency[None])[0]
            assert relative_error(values, expected) < 0.02, "grids differ, the phase must not"
    assert all(record.skipped is None for record in made.run(observed).history)


def test_resuming_a_run_that_is_complete_changes_nothing(scan, observed):
    *_, last = inversion(scan.array, schedule(n_iterations=1)).iterate(observed)
    state = State.from_arrays(last.arrays, last.texts)
    again = inversion(scan.array, schedule(n_iterations=1)).run(observed, state)
    assert torch.equal(again.medium.sound_speed, last.medium.sound_speed)
    assert len(again.history) == 2


def spoiled(monkeypatch, first_bad: int, **values: object) -> None:
    """From one evaluation on, every point of the objective has other values."""
    honest, calls = Objective.at, []

    def at(self, parameters):
        calls.append(0)
        point = honest(self, parameters)
        bad = {name: make(point) for name, make in values.items()}
        return dataclasses.replace(point, **bad) if len(calls) >= first_bad else point

    monkeypatch.setattr(Objective, "at", at)


@pytest.mark.parametrize("first_bad", [1, 3])
@pytest.mark.parametrize(
    "values",
    [
        {"value": lambda point: float("nan")},  # noqa: ARG005
        {"value": lambda point: float("inf")},  # noqa: ARG005
        {"gradient": lambda point: torch.where(point.gradient > 0, torch.nan, point.gradient)},
    ],
    ids=["nan", "infinite", "gradient"],
)
def test_what_is_not_finite_ends_the_run_with_the_last_good_image(
    scan, observed, monkeypatch, values, first_bad
):
    good = inversion(scan.array, schedule(n_iterations=1)).run(observed)
    if first_bad == 1:
        good = dataclasses.replace(good, medium=good.start, history=())
    spoiled(monkeypatch, first_bad, **values)
    stages = schedule(n_iterations=1)
    result = inversion(scan.array, stages).run(observed)
    assert result.status is Status.NOT_FINITE
    assert result.message.startswith(Status.NOT_FINITE.value)
    assert "kHz" in result.message
    assert torch.isfinite(result.medium.sound_speed).all()
    kept = good.history[: len(result.history)]
    assert [r.objective for r in result.history] == [r.objective for r in kept]
    if first_bad == 1:
        assert torch.equal(result.medium.sound_speed, result.start.sound_speed)
    else:
        assert len(result.history) == 1


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_curvature_that_is_not_a_number_ends_the_run(scan, observed, monkeypatch, optimizer):
    from usct.inversion.objective import Point

    monkeypatch.setattr(Point, "quadratic", lambda self, direction: float("nan"))  # noqa: ARG005
    monkeypatch.setattr(Point, "curvature", lambda self, direction: direction * torch.nan)  # noqa: ARG005
    result = inversion(scan.array, schedule(optimizer)).run(observed)
    assert result.status is Status.NOT_FINITE
    assert torch.equal(result.medium.sound_speed, result.start.sound_speed)


def test_a_step_that_overshoots_is_shortened(scan, observed, monkeypatch):
    stages = schedule("conjugate-gradients", 2)
    plain = inversion(scan.array, stages[:1]).run(observed)
    chosen = type(loop.optimizer_for(stages[0]))
    step = chosen.step
    monkeypatch.setattr(chosen, "step", lambda *words: 4 * step(*words))
    result = inversion(scan.array, stages[:1]).run(observed)
    assert result.history[0].n_solves > plain.history[0].n_solves, "shorter steps must have been tried"
    assert result.history[0].step < 4 * plain.history[0].step
    assert error(result.medium, scan.truth) < error(result.start, scan.truth)


def test_a_step_into_a_resonance_of_the_grid_is_shortened(scan, observed, monkeypatch):
    at, calls = Objective.at, []

    def resonant(self, parameters):
        calls.append(1)
        if len(calls) == 2:  # the first whole step
            raise ResonanceError("the direct solver met a resonance")
        return at(self, parameters)

    monkeypatch.setattr(Objective, "at", resonant)
    result = inversion(scan.array, schedule("gauss-newton", 1)[:1]).run(observed)
    assert len(calls) == 3
    assert result.status is Status.FINISHED
    assert error(result.medium, scan.truth) < error(result.start, scan.truth)


def spent(history: list[Record]) -> list[int]:
    """Factorisations that each stage took."""
    last = {record.stage: record.n_solves for record in history}
    totals = [0, *last.values()]
    return [b - a for a, b in zip(totals, totals[1:], strict=False)]


@pytest.mark.parametrize("factor", [1, 6], ids=["plain", "overshooting"])
@pytest.mark.parametrize(("budget", "shares"), [(6, [2, 4]), (11, [4, 7])])
def test_a_budget_is_never_exceeded_and_spent_but_for_what_makes_no_update(
    scan, observed, monkeypatch, budget, shares, factor
):
    """A stage of one frequency, then one of two, whose updates cost two factorisations each."""
    template = Stage((1.0,), optimizer="conjugate-gradients")
    stages = (
        dataclasses.replace(template, frequencies=FREQUENCIES[:1]),
        dataclasses.replace(template, frequencies=FREQUENCIES),
    )
    stages, chosen = within_budget(stages, budget), type(loop.optimizer_for(template))
    step = chosen.step
    monkeypatch.setattr(chosen, "step", lambda *words: factor * step(*words))
    iterates = list(inversion(scan.array, stages).iterate(observed))
    history = [iterate.record for iterate in iterates]
    for stage, share, used in zip(stages, shares, spent(history), strict=True):
        assert stage.max_solves == share
        assert share - len(stage.frequencies) < used <= share
    assert history[-1].n_solves <= budget
    planned = sum(stage.n_iterations for stage in stages)
    if factor == 1:
        assert [record.step > 0 for record in history] == [True] * planned
    elif budget > 6:
        assert len(history) < planned, "shorter steps must have been tried"
    state = State.from_arrays(iterates[0].arrays, iterates[0].texts)
    resumed = inversion(scan.array, stages).run(observed, state)
    assert [r.n_solves for r in resumed.history] == [r.n_solves for r in history]


def test_bounds_hold_after_every_update(scan, observed):
    made = inversion(scan.array, schedule(n_iterations=2))
    made.parameterization.bounds = (1490.0, 1530.0)
    for iterate in made.iterate(observed):
        speeds = iterate.medium.sound_speed
        assert float(speeds.min()) >= 1490.0 - 1e-9
        assert float(speeds.max()) <= 1530.0 + 1e-9


def test_data_without_anything_to_learn_leave_the_start(scan):
    grid = IMAGE
    water = Phantom(Medium.homogeneous(grid, WATER), torch.zeros(grid.shape, dtype=torch.int16), ("water",))
    data = api.simulate(water, scan.array, FREQUENCIES[:1], snr_db=None).data
    stages = (Stage(FREQUENCIES[:1], n_iterations=2),)
    result = inversion(scan.array, stages).run(select(data, scan.array, 0.7, 0.0))
    assert result.status is Status.FINISHED
    assert float((result.medium.sound_speed - WATER).abs().max()) < 8.0


def test_an_empty_schedule_is_refused(scan):
    with pytest.raises(ValueError, match="schedule is empty"):
        inversion(scan.array, ())
