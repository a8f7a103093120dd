"""A GPU's fast ways are taken once they prove right; else a sentence tells why, and a slower one is taken."""

import importlib.util
import warnings
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from tests.helpers import random_like, relative_error
from tests.other_device import second_device
from tests.unit.test_time_recording import SETTINGS, small_array, small_phantom
from tests.unit.time_cases import rough_medium, simulation
from usct.errors import InputError
from usct.forward import time_domain
from usct.forward.time_domain import gpu, reference
from usct.forward.time_domain.elastic import Elastic, shear_speed_of
from usct.forward.time_domain.shots import Shots
from usct.sharing import device_of
from usct.simulating import simulate_traces

CPU = torch.device("cpu")
KIND = (torch.float64, 2, True, 1)


def plain(*arguments, **_):
    return reference.propagate(*arguments)


def broken_graph(*arguments, in_graph):
    if in_graph:
        raise RuntimeError("operation not permitted when stream is capturing\nand more")
    return plain(*arguments)


def wrong(*arguments, in_graph):
    found = plain(*arguments)
    return replace(found, traces=found.traces * (torch.nan if in_graph else 1.001))


def no_compiler(*_, **__):
    raise AssertionError("no C compiler")


@pytest.fixture
def kernels_are(monkeypatch):
    """Takes a function in the kernels' place, as on a machine with triton."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: "here")
    gpu.proven.cache_clear()

    def put(propagate):
        monkeypatch.setattr(time_domain, "fused", SimpleNamespace(propagate=propagate), raising=False)

    yield put
    gpu.proven.cache_clear()


@pytest.mark.parametrize(
    ("propagate", "way", "says"),
    [
        (broken_graph, gpu.KERNELS, "RuntimeError, operation not permitted when stream is capturing)$"),
        (wrong, None, "CUDA graph: off by nan in a trial; kernels one by one: off by .*e-0[34] in a trial"),
        (no_compiler, None, "no C compiler; kernels one by one: AssertionError, no C compiler"),
    ],
)
def test_what_fails_is_told_once_and_left(kernels_are, propagate, way, says):
    kernels_are(propagate)
    model = simulation(2, 30)
    medium = rough_medium(model.grid, "dense")
    shots = Shots(model.sampling(medium), torch.tensor([[0]]), torch.ones(1, 1, 30), torch.tensor([1, 2]))
    with pytest.warns(RuntimeWarning, match=says.replace(")$", r"\)$")) as told:
        found = [gpu.propagate(model.scheme(medium), shots, torch.float64, CPU) for _ in range(2)]
    assert len(told) == 1
    wanted = reference.propagate(model.scheme(medium), shots, torch.float64)
    assert all(torch.equal(one.traces, wanted.traces) for one in found)
    assert gpu.proven(CPU, torch.float64, 2, True, 0) == way


@pytest.mark.parametrize("n_dims", [2, 3])
@pytest.mark.parametrize(("is_dense", "n_mechanisms"), [(False, 0), (True, 0), (True, 2)])
def test_what_is_right_is_taken_without_a_word(kernels_are, n_dims, is_dense, n_mechanisms):
    kernels_are(plain)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert gpu.proven(CPU, torch.float64, n_dims, is_dense, n_mechanisms) == gpu.GRAPH
        assert gpu.proven(CPU, torch.float32, n_dims, is_dense, n_mechanisms) == gpu.GRAPH


def test_without_triton_the_plain_way_is_taken(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    gpu.proven.cache_clear()
    with pytest.warns(
        RuntimeWarning, match=r"triton is not installed; get it with pip install 'usct\[gpu\]'"
    ):
        assert gpu.proven(CPU, *KIND) is None
    gpu.proven.cache_clear()


@pytest.mark.parametrize("kind", [torch.OutOfMemoryError, torch.AcceleratorError])
def test_a_device_that_fails_is_told_in_a_sentence(kernels_are, monkeypatch, kind):
    kernels_are(plain)
    model = simulation(2, 4)
    scheme = model.scheme(rough_medium(model.grid, "dense"))
    gpu.proven(CPU, torch.float64, 2, True, 0)

    def fail(*_):
        raise kind("CUDA out of memory.\nTried to allocate")

    monkeypatch.setattr(gpu, "_run", fail)
    with pytest.raises(InputError, match=r"cpu failed \(CUDA out of memory.\); take a coarser grid"):
        gpu.propagate(scheme, None, torch.float64, CPU)


def test_the_kernels_prove_right_in_the_interpreter(monkeypatch):
    pytest.importorskip("triton", reason="needs triton: pip install 'usct[gpu]'")
    if torch.cuda.is_available():
        pytest.skip("a GPU is here, where every run proves it")
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    from usct.forward.time_domain import fused, layers

    for module in (fused, layers):
        monkeypatch.setattr(module, "ZONE", 4)
    gpu.proven.cache_clear()
    assert gpu.proven(CPU, *KIND) == gpu.GRAPH
    gpu.proven.cache_clear()


@pytest.mark.parametrize("elastic", [False, True])
def test_traces_from_another_device_are_the_same(elastic):
    model = simulation(2, 40, time_step=1e-7, dtype=torch.float64, executor="torch")
    medium = replace(rough_medium(model.grid, "dense"), attenuation=None)
    if elastic:
        solid = torch.where(medium.sound_speed > 1510, 2500.0, 1500.0).double()
        medium = replace(medium, sound_speed=solid)
        model = Elastic.of(model, shear_speed_of(medium))
    signals = random_like((1, 1, 40), 3, False)
    shots = Shots(model.sampling(medium), torch.tensor([[0], [1]]), signals, torch.tensor([1, 2]))
    here = model.prepared(medium)(shots).traces
    with second_device() as device:
        there = model.on(device).prepared(medium)(shots).traces
        assert there.device == device
        there = there.cpu()
    assert float(here.abs().max()) > 0
    assert relative_error(there, here) < 1e-12


def test_a_device_that_is_not_there_is_refused(tmp_path):
    if torch.cuda.is_available():
        pytest.skip("a GPU is here")
    with pytest.raises(InputError, match=r"device 'cuda:7' cannot be used .*; choose auto, cpu or"):
        simulate_traces(small_phantom(), small_array(), SETTINGS, tmp_path / "scan.part", device="cuda:7")


def test_gpus_are_dealt_out_in_turn(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(
        "usct.sharing.usable_device", lambda name: torch.device("cuda" if name == "auto" else name)
    )
    assert [device_of("auto", slot).index for slot in range(4)] == [0, 1, 0, 1]
    assert device_of("cuda", 3) == torch.device("cuda:1")
    assert device_of("cuda:0", 3) == torch.device("cuda:0")
    assert device_of("cpu", 1) == CPU
