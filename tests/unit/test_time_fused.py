"""The kernels for GPUs compute what the plain propagator defines; without a GPU, in Triton's interpreter."""

import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from tests.helpers import random_like, relative_error
from tests.unit.time_cases import rough_medium, simulation
from usct.forward.sampling import Sampling
from usct.forward.time_domain import gpu, layers, reference
from usct.forward.time_domain.relaxation import fit_relaxation
from usct.forward.time_domain.scheme import assemble
from usct.forward.time_domain.shots import Shots
from usct.forward.time_domain.stencil import fit_stencil
from usct.grid import Grid

KINDS = ("uniform", "dense", "lossy")


STEP = 1.5e-7


def tiny_scheme(n_dims, kind):
    """As few rows as there can be about thin layers: each is a program, and the interpreter is slow."""
    grid = Grid.centred((9, 8, 10)[3 - n_dims :], 1e-3)
    speed, loss, dense = (random_like(grid.shape, n, False).clamp(-2, 2) for n in range(3))
    relaxation = fit_relaxation(1.3, (150e3, 300e3), STEP) if kind == "lossy" else None
    axes = tuple(layers.layer(n, grid.spacing, STEP, 1500.0, 150e3) for n in grid.shape)
    return assemble(
        grid,
        STEP,
        fit_stencil(1.2),
        axes,
        (1500 + 40 * speed) ** -2,
        0.02 * loss.abs() if kind == "lossy" else None,
        relaxation,
        None if kind == "uniform" else 1000 + 40 * dense,
    )


def busy_shots(grid, n_shots, n_steps):
    """Shots of two senders each with signals of their own, a patchy region, every second step transformed."""
    nodes = torch.stack(
        [torch.randperm(grid.n_cells, generator=torch.Generator().manual_seed(n))[:3] for n in range(3)]
    )
    sampling = Sampling(nodes, random_like((3, 3), 2, False))
    cells = (random_like((grid.n_cells,), 4, False) > 0.3).nonzero()[:, 0]
    senders = torch.tensor([[0, 2], [1, 0], [2, 1]])[:n_shots]
    signals = random_like((n_shots, 2, n_steps), 3, False)
    kernel = random_like((2, n_steps), 5, True)
    return Shots(sampling, senders, signals, torch.tensor([2, 1]), cells, kernel, 2)


@pytest.fixture
def fused(monkeypatch):
    """The module, to be interpreted, with thin layers."""
    pytest.importorskip("triton", reason="needs triton: pip install 'usct[gpu]'")
    if torch.cuda.is_available():
        pytest.skip("a GPU is here, which runs the same comparisons itself")
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    from usct.forward.time_domain import fused

    for module in (fused, layers):
        monkeypatch.setattr(module, "ZONE", 4)
    return fused


def compare(propagate, device, scheme, shots, tolerance):
    one = reference.propagate(scheme, shots)
    other = propagate(scheme, shots, torch.float64, device, 2)
    assert one.traces.abs().max() > 0
    for name in ("traces", "fields", "rest"):
        assert relative_error(getattr(other, name).cpu(), getattr(one, name)) < tolerance, name


@pytest.mark.parametrize("kind", KINDS)
def test_fused_equals_plain(fused, kind):
    scheme = tiny_scheme(2, kind)
    compare(fused.propagate, torch.device("cpu"), scheme, busy_shots(scheme.grid, 1, 8), 1e-12)


def test_fused_equals_plain_batch_by_batch(fused):
    scheme = tiny_scheme(2, "uniform")
    compare(fused.propagate, torch.device("cpu"), scheme, busy_shots(scheme.grid, 3, 3), 1e-12)


@pytest.mark.slow
def test_fused_equals_plain_in_three_dimensions(fused):
    scheme = tiny_scheme(3, "lossy")
    compare(fused.propagate, torch.device("cpu"), scheme, busy_shots(scheme.grid, 1, 3), 1e-12)


COMPILE = """
import inspect
import triton
from triton.backends.compiler import GPUTarget
from usct.forward.time_domain import kernels
names = list(inspect.signature(kernels.advance.fn).parameters)
numbers = dict(zone=16, halo=4, spot_count=72, patch=36, ear_patch=36, width=128)
types = dict.fromkeys(("spots", "reach", "ears"), "*i64") | {"counter": "*i32"}
types |= dict.fromkeys(("nz", "ny", "nx", "n_shots", "n_steps", "n_signals", "n_receivers"), "i32")
for is_volume, n_mechanisms in ((False, 0), (True, 2)):
    fixed = numbers | dict(is_volume=is_volume, is_dense=is_volume, n_mechanisms=n_mechanisms)
    signature = {name: "constexpr" if name in fixed else types.get(name, "*fp32") for name in names}
    constants = {(names.index(name),): value for name, value in fixed.items()}
    source = triton.compiler.ASTSource(kernels.advance, signature, constants)
    assert "cubin" in triton.compile(source, target=GPUTarget("cuda", 90, 32)).asm
"""


def test_the_kernel_compiles_for_a_gpu_without_one():
    # The interpreter forgives what the compiler does not; a process of its own, since this one may interpret.
    pytest.importorskip("triton", reason="needs triton: pip install 'usct[gpu]'")
    words = [sys.executable, "-W", "ignore", "-c", COMPILE]
    done = subprocess.run(words, capture_output=True, text=True, timeout=250, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_batches_fill_the_cache(fused):
    # 50 MB of cache hold the two fields of 19 shots of 480 x 480 nodes in single precision.
    assert fused.shots_in_cache(50 * 2**20, 480**2, 0) == 19
    assert fused.shots_in_cache(50 * 2**20, 480**2, 3) == 7
    assert fused.shots_in_cache(50 * 2**20, 480**2, 0, 8) == 9
    assert fused.shots_in_cache(4 * 2**20, 300**3, 0) == 1


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.filterwarnings("ignore:.*TRITON_DEFAULT_FP_FUSION.*")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n_dims", "n_steps"), [(2, 91), (3, 24)])
def test_fused_equals_plain_on_a_gpu(kind, n_dims, n_steps):
    from usct.forward.time_domain import fused

    model = simulation(n_dims, n_steps)
    medium = rough_medium(model.grid, kind)
    shots = replace(busy_shots(model.padded, 3, n_steps), sampling=model.sampling(medium))
    compare(fused.propagate, torch.device("cuda"), model.scheme(medium), shots, 1e-10)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.filterwarnings("ignore:.*TRITON_DEFAULT_FP_FUSION.*")
@pytest.mark.parametrize("n_dims", [2, 3])
@pytest.mark.parametrize(("is_dense", "n_mechanisms"), [(False, 0), (True, 0), (True, 2)])
def test_graphs_prove_right_on_a_gpu(n_dims, is_dense, n_mechanisms):
    gpu.proven.cache_clear()
    assert gpu.proven(torch.device("cuda"), torch.float32, n_dims, is_dense, n_mechanisms) == gpu.GRAPH
