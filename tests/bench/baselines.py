"""General sparse direct solvers on the same operator: SciPy's SuperLU and MKL's PARDISO.

Each function factorises a complex symmetric matrix and solves blocks of right-hand sides, with nothing timed
but the library's own calls: conversions, ordering in memory and the symbolic analysis, which is needed once
per grid, are left out in their favour.
"""

import ctypes
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse
import scipy.sparse.linalg

COMPLEX_SYMMETRIC, COMPLEX_UNSYMMETRIC = 6, 13
ANALYSE, FACTORISE, SOLVE, RELEASE = 11, 22, 33, -1

Block = Any  # a NumPy array or a SciPy sparse matrix


class UnavailableError(Exception):
    """A library is missing; the message says which and how to get it."""


@dataclass(frozen=True)
class Timing:
    """What a solver took and found.

    Attributes:
        analysis_seconds: Symbolic analysis, once per grid [s]; None where the library cannot tell it apart.
        factor_seconds: Numerical factorisation [s].
        solve_seconds: Of each block [s].
        solutions: Of each block, shape (kept row, column), complex128, C order.
    """

    analysis_seconds: float | None
    factor_seconds: float
    solve_seconds: tuple[float, ...]
    solutions: tuple[np.ndarray, ...]


def superlu(
    matrix: scipy.sparse.spmatrix, blocks: Sequence[Block], keep: np.ndarray | None = None, chunk: int = 16
) -> Timing:
    """Time SciPy's SuperLU in its symmetric mode, the fastest of its orderings on these operators.

    Args:
        matrix: Complex symmetric, shape (n, n).
        blocks: Right-hand sides, each of shape (n, k), dense or sparse.
        keep: Rows of the solutions to return; all by default.
        chunk: Right-hand sides solved at once.
    """
    columns = scipy.sparse.csc_matrix(matrix)
    rows = slice(None) if keep is None else keep
    seconds, solutions = [], []
    with _one_blas_thread():
        start = time.perf_counter()
        factors = scipy.sparse.linalg.splu(
            columns, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.01, options={"SymmetricMode": True}
        )
        factor_seconds = time.perf_counter() - start
        for block in blocks:
            parts, spent = [], 0.0
            for first in range(0, block.shape[1], chunk):
                right = _dense(block[:, first : first + chunk])
                start = time.perf_counter()
                solution = factors.solve(right)
                spent += time.perf_counter() - start
                parts.append(solution[rows])
            seconds.append(spent)
            solutions.append(np.concatenate(parts, axis=1))
    return Timing(None, factor_seconds, tuple(seconds), tuple(solutions))


def _one_blas_thread() -> AbstractContextManager[object]:
    """Keep SciPy's BLAS from sharing out SuperLU's tiny blocks, which can cost it fifty-fold."""
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        return nullcontext()
    return threadpool_limits(1, user_api="blas")


def pardiso(
    matrix: scipy.sparse.spmatrix,
    blocks: Sequence[Block],
    keep: np.ndarray | None = None,
    symmetric: bool = True,
    threads: int = 1,
) -> Timing:
    """Time PARDISO of the MKL that pypardiso brings, in complex128 with the settings its callers get.

    Args:
        matrix: Complex symmetric, shape (n, n).
        blocks: Right-hand sides, each of shape (n, k), dense or sparse; each is solved in one call.
        keep: Rows of the solutions to return; all by default.
        symmetric: Tell PARDISO of the symmetry (matrix type 6), or not, as most callers do (13).
        threads: Threads of the MKL.

    Raises:
        UnavailableError: If pypardiso or its MKL is missing.
        RuntimeError: If PARDISO reports an error.
    """
    solver = _Pardiso(matrix, symmetric, threads)
    try:
        analysis_seconds = solver.run(ANALYSE)
        factor_seconds = solver.run(FACTORISE)
        seconds, solutions = [], []
        for block in blocks:
            right = _dense(block)
            solution = np.zeros_like(right, order="F")
            seconds.append(solver.run(SOLVE, right, solution))
            solutions.append(np.ascontiguousarray(solution if keep is None else solution[keep]))
    finally:
        solver.run(RELEASE)
    return Timing(analysis_seconds, factor_seconds, tuple(seconds), tuple(solutions))


class _Pardiso:
    """One matrix inside PARDISO."""

    def __init__(self, matrix: scipy.sparse.spmatrix, symmetric: bool, threads: int) -> None:
        library = _mkl()
        self.pardiso = library["pardiso"]  # by item: a handle of our own, free of pypardiso's argument types
        library.MKL_Set_Num_Threads(ctypes.c_int(threads))
        rows = scipy.sparse.csr_matrix(matrix, dtype=np.complex128)
        rows = scipy.sparse.csr_matrix(scipy.sparse.triu(rows)) if symmetric else rows
        rows.sort_indices()
        self.n = rows.shape[0]
        self.values = rows.data
        self.starts, self.columns = rows.indptr.astype(np.int32), rows.indices.astype(np.int32)
        self.kind = np.array([COMPLEX_SYMMETRIC if symmetric else COMPLEX_UNSYMMETRIC], np.int32)
        self.handle = np.zeros(64, np.int64)
        self.settings = np.zeros(64, np.int32)
        library.pardisoinit(_address(self.handle), _address(self.kind), _address(self.settings))
        self.settings[7] = (
            0  # refine only after perturbed pivots; the initial 2 doubles the time of every solve
        )
        self.settings[34] = 1  # indices count from zero

    def run(self, phase: int, right: np.ndarray | None = None, solution: np.ndarray | None = None) -> float:
        """Run one phase and return the seconds it took."""
        count = 1 if right is None else right.shape[1]
        numbers = [np.array([i], np.int32) for i in (1, 1, phase, self.n, count, 0, 0)]
        one, other, phase_number, order, columns, silent, error = numbers
        arguments = [self.handle, one, other, self.kind, phase_number, order, self.values, self.starts]
        arguments += [self.columns, None, columns, self.settings, silent, right, solution, error]
        start = time.perf_counter()
        self.pardiso(*[_address(argument) for argument in arguments])
        seconds = time.perf_counter() - start
        if error[0]:
            raise RuntimeError(f"PARDISO ended phase {phase} with error {error[0]}")
        return seconds


def _mkl() -> Any:
    """The MKL library that pypardiso has found."""
    try:
        import pypardiso
    except ImportError as error:
        raise UnavailableError(f"pypardiso is not usable ({error}); pip install usct[bench]") from error
    return pypardiso.PyPardisoSolver().libmkl


def _address(array: np.ndarray | None) -> ctypes.c_void_p:
    return ctypes.c_void_p(None if array is None else array.ctypes.data)


def _dense(block: Block) -> np.ndarray:
    values = block.toarray() if scipy.sparse.issparse(block) else block
    return np.asfortranarray(values, dtype=np.complex128)
