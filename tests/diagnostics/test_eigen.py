"""Eigenvalues and densities from products against those of matrices, and against another library's."""

import math

import pytest
import torch

from tests.diagnostics.conftest import IMAGE
from tests.helpers import relative_error
from usct.diagnostics.eigen import (
    Density,
    count_above,
    decay_exponent,
    degrees_of_freedom,
    effective_rank,
    spectral_density,
    top_eigenpairs,
)
from usct.diagnostics.kernels import TangentKernels


@pytest.fixture(scope="module")
def kernels(point) -> TangentKernels:
    return TangentKernels(point, IMAGE)


@pytest.fixture(scope="module")
def matrix(kernels) -> torch.Tensor:
    return kernels.dense()


@pytest.fixture(scope="module")
def spectrum(matrix) -> torch.Tensor:
    """All eigenvalues that both kernels share, largest first."""
    return torch.linalg.eigvalsh(matrix.T @ matrix).flip(0).clamp(min=0)


@pytest.mark.parametrize("name", ["pixel", "tailored", "fourier"])
def test_largest_pairs_are_those_of_the_matrix(point_of, name):
    """Fewer parameters than data and, with one frequency alone and many Fourier features, more."""
    kernels = TangentKernels(point_of(name), IMAGE, frequencies=(0,))
    matrix = kernels.dense()
    pairs = top_eigenpairs(kernels, 8, tolerance=1e-9, max_products=10**4)
    values, vectors = torch.linalg.eigh(matrix @ matrix.T)
    assert relative_error(pairs.values, values.flip(0)[:8]) < 1e-8
    overlaps = (pairs.data_modes @ vectors.flip(1)[:, :8]).abs()
    assert float((overlaps - torch.eye(8)).abs().max()) < 1e-5
    assert relative_error(pairs.data_modes @ pairs.data_modes.T, torch.eye(8)) < 1e-7
    assert relative_error(pairs.parameter_modes @ pairs.parameter_modes.T, torch.eye(8)) < 1e-7
    scaled = pairs.values.sqrt()[:, None] * pairs.data_modes
    assert relative_error(pairs.parameter_modes @ matrix.T, scaled) < 1e-7


def test_errors_bound_what_is_left_when_products_run_out(kernels, matrix, spectrum):
    """They are the residuals' norms, and an eigenvalue lies within each."""
    seen = []
    pairs = top_eigenpairs(kernels, 10, tolerance=1e-12, max_products=64, report=seen.append)
    modes = pairs.parameter_modes  # the smaller side, where the search goes on
    rest = (modes @ matrix.T) @ matrix - pairs.values[:, None] * modes
    assert relative_error(pairs.errors, rest.norm(dim=1)) < 1e-6
    assert seen[-1] == pytest.approx(float(pairs.errors.max() / pairs.values[0]), rel=1e-6)
    assert float(pairs.errors.max()) > 1e-3 * float(pairs.values[0]), (
        "converged, so the bounds are not tested"
    )
    nearest = (pairs.values[:, None] - spectrum).abs().amin(dim=1)
    assert bool((nearest <= pairs.errors).all())


def test_a_looser_tolerance_is_kept_too(kernels, spectrum):
    pairs = top_eigenpairs(kernels, 6, tolerance=0.02)
    assert float(pairs.errors.max()) <= 0.02 * float(pairs.values[0])
    assert bool(((pairs.values - spectrum[:6]).abs() <= pairs.errors).all())


def test_there_are_no_more_pairs_than_numbers(point_of):
    kernels = TangentKernels(point_of("siren"), IMAGE)
    pairs = top_eigenpairs(kernels, 10**6, tolerance=1e-9, max_products=10**4)
    assert len(pairs.values) == kernels.n_parameters
    expected = torch.linalg.svdvals(kernels.dense()).square()
    assert float((pairs.values - expected).abs().max()) < 1e-9 * float(expected[0])


def test_same_seed_same_pairs(kernels):
    first, again = (top_eigenpairs(kernels, 4, seed=5) for _ in range(2))
    assert torch.equal(first.data_modes, again.data_modes)


def test_smooth_search_only_saves_work(point, kernels, spectrum, monkeypatch):
    """Started among smooth changes the search ends at the same pairs."""
    monkeypatch.setattr("usct.diagnostics.kernels.LEAST_CELLS", 1)
    assert kernels.smooth(40) is not None
    pairs = top_eigenpairs(TangentKernels(point, IMAGE), 2, tolerance=1e-8, max_products=10**4)
    assert relative_error(pairs.values, spectrum[:2]) < 1e-7


def test_density_has_the_moments_of_the_spectrum(kernels, spectrum):
    """Within four standard errors for the trace, and all eigenvalues are counted."""
    density = spectral_density(kernels, n_probes=24, n_steps=25, seed=1)
    assert float(density.weights.sum()) == pytest.approx(len(spectrum), rel=1e-9)
    assert abs(density.trace - float(spectrum.sum())) < 4 * density.trace_error
    assert density.trace_error < 0.1 * density.trace
    assert float(density.nodes.max()) == pytest.approx(float(spectrum[0]), rel=1e-3)
    assert float((density.nodes * density.weights).sum()) == pytest.approx(density.trace, rel=1e-9)


def test_estimators_converge_to_those_of_the_matrix(kernels, spectrum):
    """Sixteen times the probes, a quarter of the error; within five per cent."""
    noise = 0.02 * float(spectrum[0])
    shares = spectrum / spectrum.sum()
    expected = [
        float(spectrum.sum()),
        math.exp(-float((shares * shares.clamp(min=1e-300).log()).sum())),
        float((spectrum / (spectrum + noise)).sum()),
        float((spectrum > 0.1 * spectrum[0]).sum()),
    ]

    def errors(n_probes: int, seeds: range) -> torch.Tensor:
        """Root mean square over the seeds of the relative errors."""
        found = []
        for seed in seeds:
            density = spectral_density(kernels, n_probes, 20, seed)
            freedom, count = degrees_of_freedom(density, noise), count_above(density, 0.1)
            found.append([density.trace, effective_rank(density), freedom, count])
        return (torch.tensor(found) / torch.tensor(expected) - 1).square().mean(dim=0).sqrt()

    many, few = errors(48, range(2)), errors(3, range(12))
    assert float(many.max()) < 0.05, many
    assert bool((many < 0.5 * few).all()), (many, few)


def test_functionals_of_known_spectra():
    """Equal eigenvalues, and a power law whose density is the law itself."""
    flat = Density(torch.tensor([2.0, 0.0]).double(), torch.tensor([5.0, 3.0]).double(), 10.0, 0.0)
    assert effective_rank(flat) == pytest.approx(5.0)
    assert degrees_of_freedom(flat, 2.0) == pytest.approx(2.5)
    assert count_above(flat, 0.5) == 5.0
    values = torch.arange(1, 1001, dtype=torch.float64) ** -1.5
    law = Density(values, torch.ones_like(values), float(values.sum()), 0.0)
    assert decay_exponent(values) == pytest.approx(1.5, abs=1e-9)
    assert decay_exponent(law) == pytest.approx(1.5, abs=0.02)
    assert decay_exponent(values[:64]) == pytest.approx(1.5, abs=1e-9)


def test_another_library_agrees(kernels, spectrum):
    """The largest eigenvalues and the trace by its estimators, from the same operator."""
    curvlinops = pytest.importorskip("curvlinops", reason="curvlinops-for-pytorch is not installed")
    from curvlinops._torch_base import PyTorchLinearOperator
    from scipy.sparse.linalg import eigsh

    class Operator(PyTorchLinearOperator):
        """K^T K as that library knows operators."""

        SELF_ADJOINT = True

        def __init__(self) -> None:
            shape = [(kernels.n_parameters,)]
            super().__init__(shape, shape)

        @property
        def device(self) -> torch.device:
            return torch.device("cpu")

        @property
        def dtype(self) -> torch.dtype:
            return torch.float64

        def _matmat(self, columns: list[torch.Tensor]) -> list[torch.Tensor]:
            return [kernels.adjoint_all(kernels.apply_all(columns[0].T)).T]

    operator = Operator()
    values = eigsh(operator.to_scipy(), k=6, return_eigenvectors=False)
    ours = top_eigenpairs(kernels, 6, tolerance=1e-9, max_products=10**4)
    assert relative_error(ours.values, torch.from_numpy(values.copy()).flip(0)) < 1e-7
    torch.manual_seed(0)
    trace = float(curvlinops.hutchpp_trace(operator, num_matvecs=90))
    density = spectral_density(kernels, 24, 10)
    assert abs(density.trace - trace) < 4 * density.trace_error + 0.02 * float(spectrum.sum())


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda kernels: top_eigenpairs(kernels, 0), "at least 1"),
        (lambda kernels: spectral_density(kernels, 0), "at least one probe"),
        (lambda kernels: spectral_density(kernels, 2, 0), "at least one probe"),
        (lambda _: degrees_of_freedom(Density(*torch.ones(2, 1), 1.0, 0.0), 0.0), "positive variance"),
        (lambda _: decay_exponent(torch.tensor([1.0, 0.0, 0.0])), "at least three positive"),
    ],
)
def test_refuses_what_means_nothing(kernels, call, words):
    with pytest.raises(ValueError, match=words):
        call(kernels)
