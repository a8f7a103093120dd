"""Eigenvalues of the tangent kernels: the largest with their modes, and how all of them are distributed."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch

from usct.diagnostics.kernels import TangentKernels, WaveProducts
from usct.diagnostics.lanczos import Products, Subspace, largest, ritz_measure
from usct.forward.parallel import single_threaded_blas

N_BLOCK = 16
"""Vectors that the subspace grows by."""

N_SPARE = 8
"""Modes that are sought beyond those wanted: the last converge slowest."""

N_SPLINES = 8
"""Splines for each mode sought, in the search among smooth changes."""

SMOOTH_TOLERANCE = 0.7
"""Share of the tolerance that this search may use up."""

MOST_STEPS = 10
"""Products for each mode sought that it may take."""

SINGLE_TOLERANCE = 1e-4
"""Tolerance from which on single precision is enough: it adds a hundredth of this to the residuals at most."""

FITTED_RANKS = (10, 500)
"""Ranks between which the decay of eigenvalues is fitted, where there are as many."""


@dataclass(frozen=True)
class Eigenpairs:
    """The largest eigenvalues of the wave tangent kernel K K^T, and their modes.

    Attributes:
        values: Largest first, shape (k,) [1].
        data_modes: Orthonormal eigenvectors of K K^T, shape (k, n_data).
        parameter_modes: Orthonormal eigenvectors of K^T K in scaled parameters, shape (k, n_parameters); K takes
            each to its data mode times the root of its value. Zero where the value is.
        errors: An eigenvalue lies within this distance of each value, shape (k,) [1].
    """

    values: torch.Tensor
    data_modes: torch.Tensor
    parameter_modes: torch.Tensor
    errors: torch.Tensor


def top_eigenpairs(
    kernels: TangentKernels,
    k: int,
    seed: int = 0,
    tolerance: float = 1e-2,
    max_products: int | None = None,
    report: Callable[[float], None] | None = None,
) -> Eigenpairs:
    """The largest eigenvalues of the wave tangent kernel and their modes, by block Lanczos.

    Large kernels are searched among smooth changes first, on a fraction of the cells, which is right to a hundredth for
    the strongest modes. What comes out is where the search with all cells starts; its residuals are exact, or right to
    six digits of the largest eigenvalue where the tolerance allows for single precision.

    Args:
        kernels: Of a stage, or of one frequency.
        k: Number of pairs, at most the number of data or of parameters; fewer come if there are no more.
        seed: Of the first vectors.
        tolerance: Largest norm of a pair's residual, |K K^T u - value u|, as a share of the largest value. Values
            themselves are usually far better, by about its square over their distance to the rest.
        max_products: Most vectors that K or K^T may be applied to, those on fewer cells counted by their share; six
            for each pair by default. What is reached by then is returned, with its errors.
        report: Told the largest norm of a residual so far as a share of the largest value.

    Returns:
        Pairs whose errors are norms of residuals, computed and not inferred.

    Raises:
        ValueError: If k is not positive.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    size, other = sorted((kernels.n_data, kernels.n_parameters))
    k, wanted = min(k, size), min(k + N_SPARE, size)
    n_left, dim = max_products or 6 * wanted, max(3 * wanted, wanted + 4 * N_BLOCK)
    start = torch.randn(N_BLOCK, other, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    subspace, smooth = Subspace(dim, size, other), kernels.smooth(N_SPLINES * wanted)
    waves = kernels.single() if tolerance >= SINGLE_TOLERANCE else None
    with single_threaded_blas():
        start = _products(kernels, smooth)[1](start)
        if smooth is not None:
            enough, most = SMOOTH_TOLERANCE * tolerance, MOST_STEPS * wanted
            largest(*_products(kernels, smooth), start, k, N_BLOCK, enough, most, subspace, report)
            start, smooth = subspace.ritz(wanted)[0], None
            subspace = Subspace(dim, size, other)
        largest(*_products(kernels, waves), start, k, N_BLOCK, tolerance, n_left, subspace, report)
    values, errors = subspace.values[:k].clamp(min=0), subspace.residuals(k).norm(dim=1)
    vectors, images = subspace.ritz(k)
    images *= torch.where(values > 0, values.clamp(min=1e-300).rsqrt(), 0)[:, None]
    on_data = kernels.n_data <= kernels.n_parameters
    return Eigenpairs(values, *((vectors, images) if on_data else (images, vectors)), errors)


def _products(kernels: TangentKernels, waves: WaveProducts | None = None) -> tuple[Products, Products]:
    """An operator from the smaller of both spaces to the other, and its transpose."""
    apply, adjoint = partial(kernels.apply_all, waves=waves), partial(kernels.adjoint_all, waves=waves)
    return (adjoint, apply) if kernels.n_data <= kernels.n_parameters else (apply, adjoint)


@dataclass(frozen=True)
class Density:
    """How the eigenvalues of a kernel are distributed, from random probes.

    Attributes:
        nodes: Eigenvalues that stand for others, shape (node,) [1].
        weights: How many each stands for, shape (node,); their sum is the smaller number of data and parameters.
        trace: Estimate of the sum of all eigenvalues [1].
        trace_error: Its standard error [1]; not finite from a single probe.
    """

    nodes: torch.Tensor
    weights: torch.Tensor
    trace: float
    trace_error: float


def spectral_density(
    kernels: TangentKernels,
    n_probes: int = 10,
    n_steps: int = 40,
    seed: int = 0,
) -> Density:
    """Stochastic Lanczos quadrature of the spectrum of K K^T and K^T K, zeros that only one of them has left out.

    Args:
        kernels: Of a stage, or of one frequency.
        n_probes: Number of random vectors; the error of sums over the spectrum falls with its root.
        n_steps: Lanczos steps for each, which resolve the spectrum's ends first.
        seed: Of the probes.

    Raises:
        ValueError: If there are no probes or no steps.

    References:
        Ubaru, Chen & Saad, SIAM J. Matrix Anal. Appl. 38 (2017) 1075; Hutchinson, Commun. Stat. 18 (1989) 1059.
    """
    if n_probes < 1 or n_steps < 1:
        raise ValueError(f"at least one probe and one step are needed, got {n_probes} and {n_steps}")
    forward, backward = _products(kernels)
    size = min(kernels.n_data, kernels.n_parameters)
    generator = torch.Generator().manual_seed(seed)
    signs = 2.0 * torch.randint(0, 2, (n_probes, size), generator=generator).double() - 1.0
    with single_threaded_blas():
        nodes, weights = ritz_measure(forward, backward, signs / math.sqrt(size), n_steps)
    traces = size * (nodes * weights).sum(dim=1)
    error = float(traces.std() / math.sqrt(n_probes)) if n_probes > 1 else math.inf
    return Density(nodes.reshape(-1), (size / n_probes * weights).reshape(-1), float(traces.mean()), error)


def effective_rank(density: Density) -> float:
    """Number of eigenvalues that carry the trace: exp of the entropy of their shares.

    References:
        Roy & Vetterli, Proc. EUSIPCO (2007) 606.
    """
    shares = (density.nodes / density.trace).clamp(min=1e-300)
    return math.exp(-float((density.weights * shares * shares.log()).sum()))


def degrees_of_freedom(density: Density, noise: float) -> float:
    """Numbers that data with noise of this variance determine: sum of l / (l + noise) over eigenvalues l.

    Raises:
        ValueError: If the noise is not positive.
    """
    if not noise > 0:
        raise ValueError(f"noise must be a positive variance, got {noise:g}")
    return float((density.weights * density.nodes / (density.nodes + noise)).sum())


def count_above(density: Density, share: float) -> float:
    """Number of eigenvalues above a share of the largest."""
    return float(density.weights[density.nodes > share * density.nodes.max()].sum())


def decay_exponent(spectrum: Density | torch.Tensor) -> float:
    """Exponent p of l_j ~ j^-p, by least squares on logarithms over the tenth to the five hundredth eigenvalue.

    Args:
        spectrum: All or the largest eigenvalues, shape (k,), or their density; of fewer than a hundred all but
            the first tenth count.

    Raises:
        ValueError: If fewer than three eigenvalues are positive.
    """
    if isinstance(spectrum, Density):
        order = spectrum.nodes.argsort(descending=True)
        values, weights = spectrum.nodes[order], spectrum.weights[order]
        ranks = weights.cumsum(0) - 0.5 * weights
    else:
        values = spectrum.double().sort(descending=True).values
        weights = torch.ones_like(values)
        ranks = torch.arange(len(values), dtype=torch.float64) + 1.0
    positive = values > 1e-12 * values.max().clamp(min=0)
    values, weights, ranks = values[positive], weights[positive], ranks[positive]
    if len(values) < 3:
        raise ValueError(f"a decay needs at least three positive eigenvalues, got {len(values)}")
    last = min(FITTED_RANKS[1], float(ranks[-1]))
    first = min(FITTED_RANKS[0], 0.1 * last)
    inside = (ranks >= first) & (ranks <= last)
    # Every decade of ranks counts alike, however many eigenvalues it has.
    share = (weights / ranks)[inside]
    x, y = ranks[inside].log(), values[inside].log()
    x, y = x - (share * x).sum() / share.sum(), y - (share * y).sum() / share.sum()
    return -float((share * x * y).sum() / (share * x * x).sum())
