"""The compiled propagator computes what the plain one defines."""

from dataclasses import replace

import pytest
import torch

from tests.helpers import random_like, relative_error
from tests.unit.time_cases import rough_medium, simulation
from usct.forward.time_domain import compiled, reference
from usct.forward.time_domain.shots import Shots

KINDS = ("uniform", "dense", "lossy")


def busy_shots(model, medium, n_steps, every=1):
    """Two shots of two senders each with signals of their own, a patchy region, and two frequencies."""
    signals = random_like((2, 2, n_steps), 3, False)
    cells = (random_like((model.padded.n_cells,), 4, False) > 0.3).nonzero()[:, 0]
    kernel = model.kernel([200e3, 300e3], n_steps, every)
    senders = torch.tensor([[0, 2], [1, 0]])
    return Shots(model.sampling(medium), senders, signals, torch.tensor([2, 1]), cells, kernel, every)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n_dims", "n_steps"), [(2, 90), (3, 25)])
def test_compiled_equals_plain(n_dims, n_steps, kind):
    model = simulation(n_dims, n_steps)
    medium = rough_medium(model.grid, kind)
    scheme = model.scheme(medium)
    shots = busy_shots(model, medium, n_steps)
    one = reference.propagate(scheme, shots)
    other = compiled.propagate(scheme, shots, torch.float64)
    assert one.traces.abs().max() > 0
    for name in ("traces", "fields", "rest"):
        assert relative_error(getattr(other, name), getattr(one, name)) < 1e-12, name


def test_single_precision_stays_close_to_double():
    model = simulation(2, 90)
    medium = rough_medium(model.grid)
    scheme, shots = model.scheme(medium), busy_shots(model, medium, 90, every=2)
    wanted = compiled.propagate(scheme, shots, torch.float64)
    for propagate in (compiled.propagate, reference.propagate):
        single = propagate(scheme, shots, torch.float32)
        assert single.traces.dtype == torch.float32
        assert single.fields.dtype == torch.complex64
        assert relative_error(single.traces, wanted.traces) < 1e-5
        assert relative_error(single.fields, wanted.fields) < 1e-5


def test_shots_do_not_disturb_each_other():
    model = simulation(2, 60)
    medium = rough_medium(model.grid)
    scheme, shots = model.scheme(medium), busy_shots(model, medium, 60)
    both = compiled.propagate(scheme, shots, torch.float64)
    alone = compiled.propagate(
        scheme, replace(shots, transmits=shots.transmits[1:], signals=shots.signals[1:]), torch.float64
    )
    assert torch.equal(alone.traces[0], both.traces[1])
    assert torch.equal(alone.fields[:, 0], both.fields[:, 1])


def test_transform_is_that_of_the_field():
    # Transforming the record at an element equals sampling the transformed field there.
    model = simulation(2, 90)
    medium = rough_medium(model.grid)
    scheme, shots = model.scheme(medium), busy_shots(model, medium, 90)
    everywhere = replace(shots, cells=torch.arange(model.padded.n_cells))
    records = compiled.propagate(scheme, everywhere, torch.float64)
    transformed = records.traces.to(torch.complex128) @ shots.kernel.T
    sampled = shots.sampling.sample(records.fields[0].T)[shots.receives]
    assert relative_error(transformed[:, :, 0].T, sampled) < 1e-12


def test_a_long_run_stays_bounded():
    # Growing modes of the layers or of the step near its limit would show after thousands of steps.
    model = simulation(2, 6000, time_step=2.35e-7)
    medium = rough_medium(model.grid, "uniform")
    signals = torch.zeros(1, 1, 6000, dtype=torch.float64)
    signals[..., 0] = 1.0
    shots = Shots(model.sampling(medium), torch.tensor([[0]]), signals, torch.tensor([0, 2]))
    traces = compiled.propagate(model.scheme(medium), shots, torch.float64).traces
    assert traces[..., 4000:].abs().max() < 1e-3 * traces.abs().max()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("kind", KINDS)
def test_cuda_equals_cpu(kind):
    model = simulation(2, 60)
    medium = rough_medium(model.grid, kind)
    scheme, shots = model.scheme(medium), busy_shots(model, medium, 60)
    one = reference.propagate(scheme, shots)
    other = reference.propagate(scheme, shots, device=torch.device("cuda"))
    assert other.traces.is_cuda
    assert relative_error(other.traces.cpu(), one.traces) < 1e-10
    assert relative_error(other.fields.cpu(), one.fields) < 1e-10
