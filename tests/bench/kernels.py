"""What the largest modes of a tangent kernel cost, in gradients: `python -m tests.bench.kernels [--sizes 240 480]`.

One evaluation of the gradient is what `python -m tests.bench` times: factorisation, fields of 256 elements and
the exact gradient. The modes are the top 64 of the pixels' wave tangent kernel of one frequency on the same grid.
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch

from tests.bench.engine import (
    FASTEST,
    PML_CELLS,
    POINTS_PER_WAVELENGTH,
    SLOWEST,
    WATER,
    Problem,
    standard_problem,
)
from tests.bench.measure import measure
from usct.acquisition import Spectra
from usct.diagnostics.eigen import top_eigenpairs
from usct.diagnostics.kernels import TangentKernels
from usct.forward.helmholtz import Helmholtz
from usct.forward.parallel import single_threaded_blas
from usct.grid import Grid
from usct.inversion.objective import Objective
from usct.medium import Medium
from usct.misfit.spectra import LeastSquares
from usct.parameterization.pixel import PixelGrid

N_PAIRS = 64


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and write the rows."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.kernels", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[240, 480], help="nodes along each side")
    parser.add_argument("--elements", type=int, default=256)
    parser.add_argument("--pairs", type=int, default=N_PAIRS)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--output", type=Path, default=Path("build/bench-kernels.json"))
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    rows = []
    for size in options.sizes:
        rows.append(row(standard_problem(size, options.elements), options.pairs, options.repeats))
        sys.stdout.write(json.dumps(rows[-1]) + "\n")
        sys.stdout.flush()
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(rows, indent=1) + "\n")
    return 0


def row(problem: Problem, n_pairs: int, repeats: int) -> dict[str, Any]:
    """Seconds of a gradient and of the largest modes in turns; medians, and their ratios.

    On a busy machine the ratio of processor seconds is what can be trusted; it leaves out how well threads are used.
    """
    device, objective, region = torch.device("cpu"), _objective(problem), _region(problem)
    vector = objective.parameterization.vector()
    runs, processor = [], []
    for turn in range(repeats + 1):
        with single_threaded_blas():
            clocks = [time.process_time()]
            gradient = measure(lambda: objective.at(vector), device)
            clocks.append(time.process_time())
            kernels = TangentKernels(gradient.result, _inner(problem), region=region)
            modes = measure(lambda: top_eigenpairs(kernels, n_pairs, tolerance=1e-2), device)  # noqa: B023
            clocks.append(time.process_time())
        if turn > 0 or repeats == 0:
            runs.append((gradient.seconds, modes.seconds))
            processor.append((clocks[2] - clocks[1]) / (clocks[1] - clocks[0]))
    ratios = [seconds / base for base, seconds in runs]
    errors = modes.result.errors
    return {
        "name": f"top {n_pairs} modes, {problem.grid.shape[0]}",
        "seconds": statistics.median(seconds for _, seconds in runs),
        "gradient_seconds": statistics.median(base for base, _ in runs),
        "ratio": statistics.median(ratios),
        "ratios": [round(ratio, 2) for ratio in ratios],
        "processor_ratios": [round(ratio, 2) for ratio in processor],
        "peak_bytes": modes.peak_bytes,
        "worst_residual": float(errors.max() / modes.result.values[0]),
        "n_cells": int(region.sum()),
        "n_data": kernels.n_data,
        "runs": len(runs),
    }


def _inner(problem: Problem) -> Grid:
    """The grid without its absorbing layers."""
    return Grid.centred(tuple(n - 2 * PML_CELLS for n in problem.grid.shape), problem.grid.spacing)


def _region(problem: Problem) -> torch.Tensor:
    return _inner(problem).disc(0.7 * (0.5 * (problem.grid.shape[0] - 1) - PML_CELLS) * problem.grid.spacing)


def _objective(problem: Problem) -> Objective:
    """Pixels in water, and data of a medium a little faster."""
    grid, frequency = _inner(problem), SLOWEST / (POINTS_PER_WAVELENGTH * problem.grid.spacing)
    region = _region(problem)
    model = Helmholtz(grid, problem.array, (SLOWEST, FASTEST), WATER, PML_CELLS)
    clean = model.linearize(Medium(grid, torch.where(region, 1.01 * WATER, WATER)), frequency).data[None]
    weights = (problem.array.opening_angles() > 0.5).double()[None]
    observed = Spectra(clean, torch.tensor([frequency], dtype=torch.float64), weights)
    form = PixelGrid(Medium.homogeneous(grid, WATER), region, (SLOWEST, FASTEST))
    return Objective((model,), observed, LeastSquares(), form)


if __name__ == "__main__":
    sys.exit(main())
