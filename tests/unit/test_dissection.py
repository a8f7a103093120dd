"""The direct solver: its plan, and its solutions against SciPy's sparse LU, on every executor."""

import numpy as np
import pytest
import scipy.sparse as sp
import scipy.sparse.linalg as spl
import torch

from tests.helpers import random_like, relative_error
from usct.forward import solver
from usct.forward.dissection import Layout, dissect
from usct.forward.pml import stretching
from usct.forward.solver import factorise
from usct.forward.sources import SparseSources, trace
from usct.forward.stencil import NEIGHBOURS, assemble, fit_stencil

SHAPES = [(1, 1), (1, 7), (9, 1), (2, 3), (3, 2), (5, 64), (17, 40), (31, 31), (40, 33)]
EXECUTORS = ["torch", "compiled"]


def sparse(couplings):
    """The operator as SciPy's sparse matrix, built from its definition alone."""
    _, ny, nx = couplings.shape
    number = np.arange(ny * nx).reshape(ny, nx)
    rows, columns, values = [], [], []
    for coupling, (dy, dx) in zip(couplings.numpy(), NEIGHBOURS, strict=True):
        y, x = np.nonzero((np.arange(ny)[:, None] + dy < ny) & ((np.arange(nx) + dx) % (nx + 1) < nx))
        inside = (x + dx >= 0) & (x + dx < nx)
        y, x = y[inside], x[inside]
        here, there = number[y, x], number[y + dy, x + dx]
        for a, b in ((here, there), (there, here))[: 2 if (dy, dx) != (0, 0) else 1]:
            rows.append(a), columns.append(b), values.append(coupling[y, x])
    entries = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
    return sp.csc_matrix(entries, shape=(ny * nx, ny * nx))


def helmholtz(shape, phase, seed=0, roughness=0.2, n_cells=0, loss=0.02):
    """A random medium with (omega h / c)^2 about phase^2."""
    rough = 1 + roughness * (torch.rand(shape, generator=torch.Generator().manual_seed(seed)).double() - 0.5)
    squared = phase**2 * rough * (1 - 1j * loss)
    stretch = tuple(stretching(n, min(n_cells, n // 3), 1e-3, 1500 * phase / 1e-3, 1500.0) for n in shape)
    scheme = fit_stencil(1500.0, 1500.0, 1500 * phase / (2 * np.pi * 1e-3), 1e-3)
    return assemble(scheme, squared, stretch)


def sources_at(shape, n_columns=3, per_column=4, seed=0):
    generator = np.random.default_rng(seed)
    nodes = generator.integers(0, shape[0] * shape[1], n_columns * per_column)
    columns = np.repeat(np.arange(n_columns), per_column)
    return SparseSources(nodes, columns, generator.standard_normal(len(nodes)), n_columns)


def right_hand_side(sources, n_nodes, weights=None):
    dense = np.zeros((n_nodes, sources.n_columns), dtype=complex)
    np.add.at(dense, (sources.nodes, sources.columns), sources.weights if weights is None else weights)
    return dense


def by_superlu(couplings, sources):
    n_nodes = couplings.shape[1] * couplings.shape[2]
    return torch.from_numpy(spl.splu(sparse(couplings)).solve(right_hand_side(sources, n_nodes)))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("layout", [Layout(1), Layout(), Layout(9), Layout(5, 0.3), Layout(1, 0.01)], ids=str)
def test_every_node_is_eliminated_once(shape, layout):
    plan = dissect(shape, layout)
    nodes = np.concatenate([(g.offsets[:, None] + g.inner).ravel() for g in plan.groups])
    assert np.array_equal(np.sort(nodes), np.arange(shape[0] * shape[1]))
    assert plan.groups[-1].n_fronts == 1
    assert len(plan.groups[-1].outer) == 0


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_coupling_is_used_once(shape):
    # Within a front both directions are listed, towards nodes further up only one.
    used = np.zeros(5 * shape[0] * shape[1], dtype=int)
    for group in dissect(shape).groups:
        share = np.where(group.columns < len(group.inner), 1, 2)
        diagonal = group.couplings < 0
        assert not diagonal.any()
        np.add.at(used, (group.offsets[:, None] + group.couplings).ravel(), np.tile(share, group.n_fronts))
    n = shape[0] * shape[1]
    assert (used[:n] == 1).all()
    exists = np.zeros((4, *shape), dtype=int)
    for number, (dy, dx) in enumerate(NEIGHBOURS[1:]):
        exists[number, : shape[0] - dy, max(0, -dx) : shape[1] - max(0, dx)] = 2
    assert np.array_equal(used[n:], exists.ravel())


def test_plans_are_shared_and_waves_hold_children_before_parents():
    plan = dissect((40, 33))
    assert dissect((40, 33)) is plan
    done = set()
    for wave in plan.waves:
        for number in wave:
            assert all(child.group in done for child in plan.groups[number].children)
        done |= set(wave)
    assert done == set(range(len(plan.groups)))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("n_cells", [0, 8])
def test_solution_equals_that_of_sparse_lu(shape, executor, n_cells):
    couplings = helmholtz(shape, 1.1, n_cells=n_cells)
    sources = sources_at(shape)
    fields = factorise(couplings[None], executor).solve(sources)
    assert fields.shape == (1, shape[0] * shape[1], 3)
    assert relative_error(fields[0], by_superlu(couplings, sources)) < 1e-10


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("seed", range(4))
def test_operators_of_independent_random_couplings(executor, seed):
    # No wave equation at all: nothing but the pattern and the symmetry may be assumed.
    shape = (23, 19)
    pattern = helmholtz(shape, 1.1) != 0
    couplings = random_like((5, *shape), seed, True) * pattern
    sources = sources_at(shape, seed=seed)
    fields = factorise(couplings[None], executor).solve(sources)[0]
    assert relative_error(fields, by_superlu(couplings, sources)) < 1e-8


def near_resonance(shape, offset):
    """A lossless closed box whose squared phase lies a relative `offset` from one of its eigenvalues."""
    stretch = tuple(torch.ones(2 * n + 1, dtype=torch.complex128) for n in shape)
    scheme = fit_stencil(1500.0, 1500.0, 250e3, 1e-3)
    stiffness, unit = (
        assemble(scheme, torch.full(shape, v, dtype=torch.complex128), stretch) for v in (0.0, 1.0)
    )
    mass = sparse(unit) - sparse(stiffness)
    values = spl.eigsh(-sparse(stiffness).real, M=mass.real, k=1, sigma=1.1, return_eigenvectors=False)
    squared = torch.full(shape, float(values[0]) * (1 + offset), dtype=torch.complex128)
    return assemble(scheme, squared, stretch)


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("offset", [1e-3, 1e-6, 1e-9])
def test_near_resonant_boxes(executor, offset):
    couplings = near_resonance((21, 26), offset)
    sources = sources_at((21, 26))
    factorization = factorise(couplings[None], executor)
    fields, expected = factorization.solve(sources)[0], by_superlu(couplings, sources)
    # The condition grows as one over the offset, and with it what any solver can promise.
    assert relative_error(fields, expected) < max(1e-10, 1e-14 / offset * 10)
    # Backward error: |A u - f| is small against |A| |u|, however large u is.
    load = torch.from_numpy(right_hand_side(sources, 21 * 26))
    got = torch.from_numpy(sparse(couplings) @ fields.numpy())
    assert float((got - load).norm() / fields.norm()) < 1e-11


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("layout", [Layout(5), Layout(), Layout(7, 0.37), Layout(9, 0.42)], ids=str)
def test_the_dissection_does_not_matter(executor, layout):
    couplings, sources = helmholtz((30, 37), 1.2, n_cells=6), sources_at((30, 37))
    fields = factorise(couplings[None], executor, layout).solve(sources)[0]
    assert relative_error(fields, by_superlu(couplings, sources)) < 1e-10


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_batch_of_frequencies_is_each_alone(executor):
    shape = (17, 22)
    batch = torch.stack(
        [helmholtz(shape, phase, seed, n_cells=5) for seed, phase in enumerate((0.6, 1.0, 1.2))]
    )
    sources = sources_at(shape)
    weights = random_like((3, len(sources.nodes)), 1, True)
    together = factorise(batch, executor).solve(sources, weights)
    for number in range(3):
        alone = factorise(batch[number : number + 1], executor).solve(sources, weights[number : number + 1])
        assert relative_error(together[number], alone[0]) < 1e-13
        load = right_hand_side(sources, 17 * 22, weights[number].numpy())
        expected = spl.splu(sparse(batch[number])).solve(load)
        assert relative_error(together[number], torch.from_numpy(expected)) < 1e-10


@pytest.mark.parametrize("shape", [(2, 3), (17, 40), (31, 31)], ids=str)
def test_compiled_equals_torch(shape):
    couplings, sources = helmholtz(shape, 1.1, n_cells=4)[None], sources_at(shape)
    one, other = (factorise(couplings, executor) for executor in EXECUTORS)
    for a, b in zip(one.factors.inverses, other.factors.inverses, strict=True):
        assert relative_error(b, a) < 1e-10
    assert relative_error(other.solve(sources), one.solve(sources)) < 1e-11
    assert factorise(couplings).executor is other.executor


@pytest.mark.parametrize("executor", EXECUTORS)
def test_fields_are_right_wherever_the_region_asks(executor):
    shape = (33, 28)
    factorization, sources = factorise(helmholtz(shape, 1.1, n_cells=5)[None], executor), sources_at(shape)
    whole = factorization.solve(sources)[0]
    for region in (np.eye(*shape, dtype=bool), np.zeros(shape, dtype=bool)):
        region[3:5, 7:20] = True
        part = factorization.solve(sources, region=region)[0]
        assert relative_error(part[region.ravel()], whole[region.ravel()]) < 1e-13


@pytest.mark.parametrize("executor", EXECUTORS)
def test_many_sources_in_one_node_one_column_or_none(executor):
    shape = (12, 15)
    couplings = helmholtz(shape, 1.1)
    # Twice the same entry, a shared node, an empty column 2, and columns out of order.
    sources = SparseSources(
        np.array([5, 5, 5, 100, 179]), np.array([1, 1, 3, 0, 1]), np.array([1.0, 0.5, 2.0, -1.0, 3.0]), 4
    )
    fields = factorise(couplings[None], executor).solve(sources)[0]
    assert relative_error(fields, by_superlu(couplings, sources)) < 1e-12
    assert not fields[:, 2].any()


@pytest.mark.parametrize("executor", EXECUTORS)
def test_every_node_can_be_a_source(executor):
    shape = (8, 11)
    couplings, n = helmholtz(shape, 1.1), 88
    sources = SparseSources(np.arange(n), np.arange(n), np.ones(n), n)
    inverse = factorise(couplings[None], executor).solve(sources)[0]
    assert relative_error(inverse, torch.from_numpy(np.linalg.inv(sparse(couplings).toarray()))) < 1e-11
    assert relative_error(inverse.mT, inverse) < 1e-12


def test_activities_can_be_traced_beforehand():
    couplings, sources = helmholtz((20, 20), 1.1)[None], sources_at((20, 20))
    factorization = factorise(couplings)
    activities = trace(factorization.plan, sources)
    again = factorization.solve(sources, activities=activities)
    assert torch.equal(again, factorization.solve(sources))


@pytest.mark.parametrize("executor", EXECUTORS)
def test_residual_tells_right_from_wrong(executor):
    couplings, sources = helmholtz((25, 20), 1.1, n_cells=5)[None], sources_at((25, 20))
    weights = torch.from_numpy(sources.weights)[None]
    factorization = factorise(couplings, executor)
    assert factorization.residual(sources, weights) < 1e-12
    factorization.factors.gains[0][0, 1] *= 1 + 1e-5
    assert 1e-9 < factorization.residual(sources, weights) < 1e-2


def test_single_precision_on_the_torch_executor():
    couplings, sources = helmholtz((25, 20), 1.1, n_cells=5), sources_at((25, 20))
    single = factorise(couplings[None].to(torch.complex64), "torch")
    fields = single.solve(sources)[0]
    assert fields.dtype == torch.complex64
    assert relative_error(fields.to(torch.complex128), by_superlu(couplings, sources)) < 1e-3


def test_compiled_executor_refuses_what_it_cannot_do():
    couplings = helmholtz((4, 4), 1.1)[None].to(torch.complex64)
    with pytest.raises(ValueError, match="complex128 on a CPU"):
        factorise(couplings, "compiled")
    assert factorise(couplings).executor is solver.elimination


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("shape", [(2, 3), (17, 40), (31, 31)], ids=str)
def test_cuda_equals_cpu(shape):
    couplings = torch.stack([helmholtz(shape, phase, n_cells=4) for phase in (0.7, 1.1)])
    sources = sources_at(shape)
    expected = factorise(couplings, "torch").solve(sources)
    fields = factorise(couplings.cuda()).solve(sources)
    assert fields.is_cuda
    assert relative_error(fields.cpu(), expected) < 1e-10
