"""Gradients of misfits of traces: exact, however the field is replayed, and bounded in memory."""

import math
from dataclasses import replace

import pytest
import torch

from tests.helpers import assert_adjoint, assert_taylor, random_like, relative_error
from tests.unit.time_cases import rough_medium, simulation
from usct.errors import InputError
from usct.forward.time_domain import reference
from usct.forward.time_domain.replay import Plan
from usct.forward.time_domain.shots import Shots
from usct.forward.time_domain.traces import raw_traces

N_STEPS = 181
TRANSMITS = torch.tensor([0, 2])
KINDS = ("uniform", "dense", "lossy")


def case(n_dims=2, kind="dense", n_steps=N_STEPS):
    model = simulation(n_dims, n_steps, time_step=2.2e-7 if n_dims == 2 else 1.8e-7)
    return model, rough_medium(model.grid, kind)


def changed(medium, maps):
    """The medium with another sound speed, and another attenuation if there is one."""
    speed, loss = (*maps, None)[:2]
    return replace(medium, sound_speed=speed, attenuation=loss)


def maps_of(medium):
    """What can be sought in a medium, stacked."""
    return torch.stack([m for m in (medium.sound_speed, medium.attenuation) if m is not None])


def plain(model, medium, maps):
    """Traces by the plain propagator, which torch differentiates by itself."""
    signal = model.drive.signal(model.n_steps)[None, None]
    shots = Shots(model.sampling(medium), TRANSMITS[:, None], signal, model.array.receives)
    return reference.propagate(model.scheme(changed(medium, maps)), shots).traces


def pulled_back(model, medium, residual, largest_memory=4e9):
    """The transposed derivative of the traces, applied to a residual."""
    maps = maps_of(medium).requires_grad_(True)
    traces = raw_traces(model, changed(medium, maps), TRANSMITS, largest_memory)
    return torch.autograd.grad((traces * residual).sum(), maps)[0]


def direction(model, medium, seed=9):
    """A change that leaves the rim, which the layers continue, as it is."""
    maps = maps_of(medium)
    result = torch.zeros_like(maps)
    core = (..., *(slice(1, -1),) * model.grid.n_dims)
    scale = torch.tensor([1.0, 0.3], dtype=torch.float64)[: len(maps)]
    result[core] = random_like(result[core].shape, seed, False)
    return result * scale.reshape(-1, *(1,) * model.grid.n_dims)


@pytest.fixture(params=["whole", "checkpoints", "boundary"])
def replayed(request, monkeypatch):
    """Ways of going through the field backwards in time."""
    lengths = {"whole": N_STEPS, "checkpoints": 40, "boundary": 23}
    how = request.param

    def fitting(cls, n_steps, *_, **__):
        return cls(n_steps, min(n_steps, lengths[how]), 0.0, how == "boundary")

    monkeypatch.setattr(Plan, "fitting", classmethod(fitting))
    return how


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")  # torch's own forward mode
@pytest.mark.parametrize("kind", KINDS)
def test_adjoint(kind, replayed):
    # The derivative itself comes from another way: forward differentiation of the plain propagator.
    if replayed == "boundary" and kind == "lossy":
        pytest.skip("a lossy medium cannot be stepped backwards")
    model, medium = case(kind=kind)
    residual = random_like((2, 3, model.n_steps), 4, False)
    change = direction(model, medium)
    assert_adjoint(
        lambda v: torch.func.jvp(lambda m: plain(model, medium, m), (maps_of(medium),), (v,))[1],
        lambda w: pulled_back(model, medium, w),
        change,
        residual,
    )


@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_is_that_of_the_plain_propagator(kind):
    model, medium = case(kind=kind, n_steps=110)
    residual = random_like((2, 3, model.n_steps), 4, False)
    found = pulled_back(model, medium, residual)
    maps = maps_of(medium).requires_grad_(True)
    traces = plain(model, medium, maps)
    assert relative_error(raw_traces(model, medium, TRANSMITS), traces.detach()) < 1e-12
    expected = torch.autograd.grad((traces * residual).sum(), maps)[0]
    for one, other in zip(found, expected, strict=True):
        assert relative_error(one[1:-1, 1:-1], other[1:-1, 1:-1]) < 1e-10


@pytest.mark.parametrize("kind", KINDS)
def test_taylor(kind, replayed):
    if replayed == "boundary" and kind == "lossy":
        pytest.skip("a lossy medium cannot be stepped backwards")
    model, medium = case(kind=kind)
    observed = raw_traces(model, rough_medium(model.grid, kind, seed=5), TRANSMITS)

    def misfit(maps):
        return (raw_traces(model, changed(medium, maps), TRANSMITS) - observed).square().sum()

    maps = maps_of(medium).requires_grad_(True)
    gradient = torch.autograd.grad(misfit(maps), maps)[0]
    change = direction(model, medium)
    assert_taylor(misfit, maps.detach(), change, (gradient * change).sum(), start=1.0)


@pytest.mark.parametrize("kind", ["dense", "lossy"])
def test_three_dimensions(kind, replayed):
    if replayed == "boundary" and kind == "lossy":
        pytest.skip("a lossy medium cannot be stepped backwards")
    model, medium = case(3, kind, n_steps=46)
    residual = random_like((2, 3, model.n_steps), 4, False)
    change = direction(model, medium)
    found = float((pulled_back(model, medium, residual) * change).sum())
    traces = [
        raw_traces(model, changed(medium, maps_of(medium) + s * change), TRANSMITS) for s in (-0.5, 0.5)
    ]
    assert abs(found / float(((traces[1] - traces[0]) * residual).sum()) - 1) < 1e-3


def test_memory_is_used_as_far_as_it_goes():
    # A plane of 480 x 480 nodes in single precision, 2500 steps; the boundary is four nodes deep.
    field, state, boundary = 0.92e6, 2.2e6, 2.9e4
    plans = [Plan.fitting(2500, field, state, size, boundary) for size in (6e9, 1e9, 1.2e8)]
    assert [plan.saves_boundary for plan in plans] == [False, True, True]
    assert plans[0].length == 2500
    assert plans[1].length > plans[2].length > 8
    for size in (6e9, 1e9, 2.2e8):
        plan = Plan.fitting(2500, field, state, size, math.inf)
        n_segments = -(-2500 // plan.length)
        assert not plan.saves_boundary
        assert plan.n_bytes == 2 * (plan.length + 2) * field + (n_segments + 1) * state <= size
    with pytest.raises(InputError, match="use fewer threads"):
        Plan.fitting(2500, field, state, 8e7, boundary)


def test_little_memory_is_enough():
    model, medium = case(kind="lossy")
    residual = random_like((2, 3, model.n_steps), 4, False)
    whole = pulled_back(model, medium, residual)
    assert relative_error(pulled_back(model, medium, residual, 2.5e6), whole) < 1e-10


def test_too_little_memory_is_refused_before_any_work():
    model, medium = case()
    maps = maps_of(medium).requires_grad_(True)
    with pytest.raises(InputError, match=r"needs .* GB for every shot at once and 1e-06 GB are allowed"):
        raw_traces(model, changed(medium, maps), TRANSMITS[:1], 1e3)
