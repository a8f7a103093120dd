"""Who takes part in the comparison, and what each is asked to do."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch

from tests.bench import baselines
from tests.bench.engine import Problem, Run, run_usct
from tests.bench.measure import measure

CPU = torch.device("cpu")
SUPERLU_LARGEST = 480  # beyond, it takes minutes and more than ten gigabytes
TORCH_CPU_LARGEST = 480


@dataclass(frozen=True)
class Contender:
    """A solver in one configuration.

    Attributes:
        name: For the table.
        largest: Largest grid that it is asked to do; None for no limit.
        repeats: Whether it runs as often as the others, or once.
        run: Runs the standard case; may raise `baselines.UnavailableError`.
    """

    name: str
    largest: int | None
    repeats: bool
    run: Callable[[Problem], Run]


def contenders(threads: int) -> list[Contender]:
    """All contenders, usct's main executor first; it is what the ratios refer to."""
    ours = [
        Contender("usct compiled", None, True, lambda problem: _compiled(problem)),
        Contender(
            "usct torch cpu", TORCH_CPU_LARGEST, False, lambda problem: run_usct(problem, "torch", CPU)
        ),
    ]
    if torch.cuda.is_available():
        cuda = torch.device("cuda:0")
        name = f"usct torch {torch.cuda.get_device_name(cuda)}"
        ours.insert(0, Contender(name, None, True, partial(run_usct, executor="torch", device=cuda)))
    return [
        *ours,
        Contender("PARDISO symmetric", None, True, partial(_pardiso, symmetric=True, threads=threads)),
        Contender("PARDISO unsymmetric", None, True, partial(_pardiso, symmetric=False, threads=threads)),
        Contender("SuperLU", SUPERLU_LARGEST, False, _superlu),
    ]


def _compiled(problem: Problem) -> Run:
    try:
        import usct.forward.compiled  # noqa: F401 # only to learn whether numba is there
    except ImportError as error:
        raise baselines.UnavailableError(f"the compiled executor is not usable ({error})") from error
    return run_usct(problem, "compiled", CPU)


def _pardiso(problem: Problem, symmetric: bool, threads: int) -> Run:
    return _baseline(problem, partial(baselines.pardiso, symmetric=symmetric, threads=threads))


def _superlu(problem: Problem) -> Run:
    return _baseline(problem, baselines.superlu)


def _baseline(problem: Problem, solve: Callable[..., baselines.Timing]) -> Run:
    """Let another solver do the same work, both with usct's adjoint products and with a second solve."""
    matrix, right = problem.matrix(), problem.right_sides()
    keep = np.flatnonzero(problem.wanted().ravel())
    # The adjoint's right-hand sides: the residuals of every transmit, at the receiving elements.
    adjoint = right @ problem.residual.numpy()
    run = measure(lambda: solve(matrix, [right, adjoint], keep), CPU)
    timing = run.result
    # Other nodes are never read; their pages are not even touched.
    fields = torch.empty(problem.grid.n_cells, right.shape[1], dtype=torch.complex128)
    fields[keep] = torch.from_numpy(timing.solutions[0])
    gradient = measure(lambda: problem.linearized(fields).adjoint(problem.residual), CPU)
    forward_seconds, adjoint_seconds = timing.solve_seconds
    result = Run(
        timing.factor_seconds,
        forward_seconds,
        gradient.seconds,
        adjoint_seconds,
        run.peak_bytes,
        fields[problem.region].numpy(),
    )
    return replace(result, analysis_seconds=timing.analysis_seconds)
