"""Gradients of misfits of traces: exact, whatever the checkpoints, and bounded in memory."""

from dataclasses import replace

import pytest
import torch

from tests.helpers import assert_taylor, random_like, relative_error
from tests.unit.time_cases import rough_medium, simulation
from usct.errors import InputError
from usct.forward.time_domain import reference
from usct.forward.time_domain.shots import Shots
from usct.forward.time_domain.traces import Checkpoints, raw_traces

N_STEPS = 181
TRANSMITS = torch.tensor([0, 2])


def case(n_dims=2, kind="dense", n_steps=N_STEPS):
    model = simulation(n_dims, n_steps, time_step=2.2e-7)
    return model, rough_medium(model.grid, kind)


def gradient_of(model, medium, observed, largest_memory=4e9):
    speed = medium.sound_speed.clone().requires_grad_(True)
    traces = raw_traces(model, replace(medium, sound_speed=speed), TRANSMITS, largest_memory)
    misfit = (traces - observed).square().sum()
    return torch.autograd.grad(misfit, speed)[0]


def inside(model):
    """Directions that leave the rim, which the layers continue, as it is."""
    direction = torch.zeros(model.grid.shape, dtype=torch.float64)
    core = (slice(1, -1),) * model.grid.n_dims
    direction[core] = random_like(direction[core].shape, 9, False)
    return direction


def test_the_gradient_is_that_of_the_plain_propagator():
    # Automatic differentiation of the plain propagator is an independent way to the same numbers.
    model, medium = case(n_steps=110)
    observed = raw_traces(model, rough_medium(model.grid, "dense", seed=5), TRANSMITS)
    found = gradient_of(model, medium, observed)
    speed = medium.sound_speed.clone().requires_grad_(True)
    changed = replace(medium, sound_speed=speed)
    signal = model.drive.signal(model.n_steps)[None, None]
    shots = Shots(model.sampling(medium), TRANSMITS[:, None], signal, model.array.receives)
    traces = reference.propagate(model.scheme(changed), shots).traces
    assert relative_error(raw_traces(model, medium, TRANSMITS), traces.detach()) < 1e-12
    expected = torch.autograd.grad((traces - observed).square().sum(), speed)[0]
    assert relative_error(found[1:-1, 1:-1], expected[1:-1, 1:-1]) < 1e-11


def test_three_dimensions():
    model, medium = case(3, n_steps=60)
    observed = torch.zeros(2, 3, model.n_steps, dtype=torch.float64)
    direction, step = inside(model), 1.0
    slope = float((gradient_of(model, medium, observed) * direction).sum())
    values = []
    for side in (-step, step):
        changed = replace(medium, sound_speed=medium.sound_speed + side * direction)
        values.append(float(raw_traces(model, changed, TRANSMITS).square().sum()))
    assert abs(slope / ((values[1] - values[0]) / (2 * step)) - 1) < 1e-4


@pytest.mark.parametrize("kind", ["uniform", "dense"])
def test_taylor(kind):
    model, medium = case(kind=kind)
    observed = raw_traces(model, rough_medium(model.grid, kind, seed=5), TRANSMITS)
    direction = inside(model)

    def misfit(speed):
        traces = raw_traces(model, replace(medium, sound_speed=speed), TRANSMITS)
        return (traces - observed).square().sum()

    slope = (gradient_of(model, medium, observed) * direction).sum()
    assert_taylor(misfit, medium.sound_speed, direction, slope, start=1.0)


@pytest.mark.parametrize("length", [N_STEPS - 1, 40, 13])
def test_checkpoints_change_nothing_but_memory(length, monkeypatch):
    model, medium = case()
    observed = torch.zeros(2, 3, model.n_steps, dtype=torch.float64)
    whole = gradient_of(model, medium, observed)

    def fitting(cls, n_steps, *_):
        return cls(n_steps, length, 0.0)

    monkeypatch.setattr(Checkpoints, "fitting", classmethod(fitting))
    assert relative_error(gradient_of(model, medium, observed), whole) < 1e-13


def test_segments_are_as_few_as_memory_allows():
    # A plane of 480 x 480 nodes in single precision, 2500 steps.
    field, state = 0.92e6, 2.2e6
    lengths = [Checkpoints.fitting(2500, field, state, size).length for size in (6e9, 1e9, 2.2e8)]
    assert lengths[0] == 2500
    assert lengths[0] > lengths[1] > lengths[2] > 20
    for size in (6e9, 1e9, 2.2e8):
        plan = Checkpoints.fitting(2500, field, state, size)
        n_segments = -(-2500 // plan.length)
        assert plan.n_bytes == 2 * (plan.length + 2) * field + (n_segments + 1) * state <= size
    with pytest.raises(InputError, match="use fewer threads"):
        Checkpoints.fitting(2500, field, state, 1e8)


def test_too_little_memory_is_refused_before_any_work():
    model, medium = case()
    speed = medium.sound_speed.clone().requires_grad_(True)
    with pytest.raises(InputError, match=r"needs .* GB for every shot at once and 1e-06 GB are allowed"):
        raw_traces(model, replace(medium, sound_speed=speed), TRANSMITS[:1], 1e3)


def test_lossy_media_are_refused():
    model, medium = case(kind="lossy")
    with pytest.raises(ValueError, match="lossless"):
        raw_traces(model, medium, TRANSMITS)
