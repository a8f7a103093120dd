"""Slowness from delays along given rays, with edges kept and the weight of the penalty found from the data.

Minimises the robust misfit of the delays plus total variation: sum_i rho((d - G s)_i / noise) / n
+ weight * (integral of |grad s|) / noise. Total variation leaves edges between tissues and flattens noise in between.
A picking error is as likely as a Student-t number, so that half a cycle too much does not pull the image.
One delay for each element is solved for too, of which a deviation by the noise is expected.
"""

from dataclasses import dataclass

import numpy as np
import scipy.sparse
from scipy.sparse.linalg import LinearOperator, cg

DEGREES_OF_FREEDOM = 4.0
"""Of the Student-t distribution of the errors."""
GENTLEST_SLOPE = 1e-4
"""Slopes of slowness below this [s/m^2] count as smooth: a quarter of a metre per second in a millimetre."""
N_REWEIGHTINGS = 8
N_INNER = 60
INNER_TOLERANCE = 1e-3
N_FOLDS = 4
FIRST_WEIGHT = 4e-4
STEP = 2.0
"""Factor between the weights that are tried."""
MOST_STEPS = 8


@dataclass(frozen=True)
class RayProblem:
    """Delays and the rays along which they came about.

    Attributes:
        matrix: Lengths of the rays in the cells of a region, shape (ray, cell) [m].
        delays: Shape (ray,) [s].
        ends: Numbers of the two elements of each ray, shape (ray, 2).
        blocks: Rays of the same block share their errors, shape (ray,).
        noise: Of the delays [s].
        region: Boolean map of the cells.
        spacing: Of the cells [m].
    """

    matrix: scipy.sparse.csr_matrix
    delays: np.ndarray
    ends: np.ndarray
    blocks: np.ndarray
    noise: float
    region: np.ndarray
    spacing: float


@dataclass(frozen=True)
class RaySolution:
    """What explains the delays.

    Attributes:
        slowness: Excess over water in the cells of the region, shape (cell,) [s/m].
        element_delays: Shape (element,) [s].
        residuals: Delays left unexplained, of all rays, shape (ray,) [s].
    """

    slowness: np.ndarray
    element_delays: np.ndarray
    residuals: np.ndarray


def solve(
    problem: RayProblem, weight: float, used: np.ndarray | None = None, start: RaySolution | None = None
) -> RaySolution:
    """Find the slowness that explains the delays, by iteratively reweighted least squares.

    Args:
        problem: Rays and delays.
        weight: Of the total variation [1].
        used: Which rays take part, shape (ray,); all by default.
        start: Where to start.

    References:
        Vogel & Oman, SIAM J. Sci. Comput. 17 (1996) 227 (lagged diffusivity).
    """
    n_cells, noise = problem.matrix.shape[1], problem.noise
    system = _with_element_delays(problem)
    used = np.ones(len(problem.delays), dtype=bool) if used is None else used
    rays, delays = system[used], problem.delays[used]
    back = rays.T.tocsr()
    squares = back.multiply(back)
    differences = gradient(problem.region)
    unknowns = np.zeros(system.shape[1])
    if start is not None:
        unknowns[:] = np.concatenate([start.slowness, start.element_delays])
    variation = weight * problem.spacing / noise * len(delays)
    steadiness = scipy.sparse.identity(len(unknowns) - n_cells) / noise**2
    for _ in range(N_REWEIGHTINGS):
        errors = (delays - rays @ unknowns) / noise
        trust = (DEGREES_OF_FREEDOM + 1) / (DEGREES_OF_FREEDOM + errors**2) / noise**2
        tension = _tension(differences, unknowns[:n_cells], GENTLEST_SLOPE * problem.spacing)
        penalty = scipy.sparse.block_diag([variation * tension, steadiness]).tocsr()
        normal = LinearOperator(
            (len(unknowns),) * 2,
            matvec=lambda v, trust=trust, penalty=penalty: back @ (trust * (rays @ v)) + penalty @ v,
            dtype=np.float64,
        )
        diagonal = 1 / (squares @ trust + penalty.diagonal())
        unknowns, _ = cg(
            normal,
            back @ (trust * delays),
            x0=unknowns,
            rtol=INNER_TOLERANCE,
            maxiter=N_INNER,
            M=scipy.sparse.diags(diagonal),
        )
    return RaySolution(unknowns[:n_cells], unknowns[n_cells:], problem.delays - system @ unknowns)


def gradient(region: np.ndarray) -> scipy.sparse.csr_matrix:
    """Differences between neighbouring cells of a region, outside of which lies nothing.

    Args:
        region: Boolean map, shape (y, x).

    Returns:
        Matrix (2 nodes, cell): first all differences along y, then all along x, over a map that is one node larger
        at its low ends.
    """
    padded = np.pad(region, 1)
    numbers = np.full(padded.shape, -1, dtype=np.int64)
    numbers[padded] = np.arange(int(region.sum()))
    shape, here = tuple(n - 1 for n in padded.shape), numbers[:-1, :-1]
    parts = []
    for there in (numbers[1:, :-1], numbers[:-1, 1:]):
        rows, columns, values = [], [], []
        for cells, sign in ((there, 1.0), (here, -1.0)):
            flat = cells.ravel()
            at = np.flatnonzero(flat >= 0)
            rows.append(at)
            columns.append(flat[at])
            values.append(np.full(len(at), sign))
        entries = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
        parts.append(scipy.sparse.csr_matrix(entries, shape=(shape[0] * shape[1], int(region.sum()))))
    return scipy.sparse.vstack(parts).tocsr()


def held_out_error(problem: RayProblem, weight: float, start: RaySolution | None = None) -> float:
    """Mean absolute error with which delays are predicted that took no part, in units of the noise [1].

    Whole blocks of rays are left out: the errors of neighbouring rays are alike, and would be learned from
    each other.
    """
    blocks, numbers = np.unique(problem.blocks, return_inverse=True)
    folds = np.random.default_rng(0).permutation(len(blocks)) % N_FOLDS
    errors = []
    for fold in range(N_FOLDS):
        left_out = folds[numbers] == fold
        if left_out.any() and not left_out.all():
            errors.append(np.abs(solve(problem, weight, ~left_out, start).residuals[left_out]))
    return float(np.concatenate(errors).mean()) / problem.noise


def choose_weight(problem: RayProblem) -> tuple[float, float]:
    """The weight of the penalty that predicts left-out rays best, and the error of that prediction.

    Walks downhill in factors of two from a usual weight.
    """
    errors = {FIRST_WEIGHT: held_out_error(problem, FIRST_WEIGHT)}
    for factor in (STEP, 1 / STEP):
        weight = FIRST_WEIGHT * factor
        for _ in range(MOST_STEPS):
            errors[weight] = held_out_error(problem, weight)
            if errors[weight] >= errors[weight / factor]:
                break
            weight *= factor
        if min(errors, key=lambda w: errors[w]) != FIRST_WEIGHT:
            break
    best = min(errors, key=lambda w: errors[w])
    return best, errors[best]


def _with_element_delays(problem: RayProblem) -> scipy.sparse.csr_matrix:
    """The matrix with one more column for the delay of each element."""
    rows = np.repeat(np.arange(len(problem.ends)), 2)
    shape = (len(problem.ends), int(problem.ends.max()) + 1)
    ends = scipy.sparse.csr_matrix((np.ones(len(rows)), (rows, problem.ends.ravel())), shape=shape)
    return scipy.sparse.hstack([problem.matrix, ends]).tocsr()


def _tension(
    differences: scipy.sparse.csr_matrix, slowness: np.ndarray, gentlest: float
) -> scipy.sparse.csr_matrix:
    """The quadratic form that touches total variation, in units of a difference between cells, at a slowness."""
    along_y, along_x = (differences @ slowness).reshape(2, -1)
    flatness = 1 / np.sqrt(along_y**2 + along_x**2 + gentlest**2)
    return differences.T @ scipy.sparse.diags(np.tile(flatness, 2)) @ differences
