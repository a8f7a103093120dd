"""The benchmark: `python -m tests.bench [--sizes 240 480 960] [--quick]`.

Factorisation, fields of 256 elements and one gradient, for usct's direct solver and others, side by side in
one process: the contenders take turns and the median counts. Prints a table and writes build/bench.json, a
list of rows. `ratio` is a row's seconds over those of usct at the same size. Then come a whole reconstruction,
and time stepping against deepwave and devito, in nanoseconds a cell and step,
and over what the memory traffic of such a step takes at the speed of a large copy.
"""

import argparse
import json
import math
import os
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch

from tests.bench import time_domain
from tests.bench.baselines import UnavailableError
from tests.bench.contenders import Contender, contenders
from tests.bench.engine import Problem, Run, standard_problem
from tests.bench.whole import reconstruction

Row = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    options = _parser().parse_args(arguments)
    sizes = options.sizes or ([120] if options.quick else [240, 480, 960])
    repeats = options.repeats or (1 if options.quick else 3)
    n_elements = options.elements or (64 if options.quick else 256)
    torch.set_num_threads(options.threads)
    rows: list[Row] = []
    for size in sizes:
        problem = standard_problem(size, n_elements)
        runs, absent = _compete(problem, contenders(options.threads), repeats)
        for reason in absent:
            _say(f"left out: {reason}")
        rows += _rows(problem, runs, options.threads)
    rows += _growth(rows)
    quick = options.quick or max(sizes) < 240
    try:
        rows.append(reconstruction(quick))
    except UnavailableError as reason:
        _say(f"left out: the reconstruction, {reason}")
    stepping, absent = time_domain.rows(quick, repeats)
    for reason in absent:
        _say(f"left out: {reason}")
    rows += stepping
    _say(table(rows))
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(rows, indent=1) + "\n")
    return 0


def _compete(
    problem: Problem, solvers: Sequence[Contender], repeats: int
) -> tuple[dict[str, list[Run]], list[str]]:
    """Let the solvers take turns; returns the runs of each and why others are absent.

    A first round on each grid, which compiles, plans and analyses, is not counted for those that repeat.
    """
    runs: dict[str, list[Run]] = {}
    absent: list[str] = []
    size = problem.grid.shape[0]
    taking_part = [solver for solver in solvers if solver.largest is None or size <= solver.largest]
    absent += [f"{s.name} at {size}, too slow or too large" for s in solvers if s not in taking_part]
    for turn in range(repeats + 1):
        for solver in list(taking_part):
            if turn != 1 and not solver.repeats:
                continue
            try:
                run = solver.run(problem)
            except (UnavailableError, MemoryError, torch.cuda.OutOfMemoryError) as error:
                absent.append(f"{solver.name} at {size}, {error}")
                taking_part.remove(solver)
                continue
            _say(f"{size} {solver.name}: {_total(run, shared=True):.3g} s{' (warm-up)' if turn == 0 else ''}")
            if turn > 0:
                runs.setdefault(solver.name, []).append(run)
    return runs, absent


def _total(run: Run, shared: bool) -> float:
    """Seconds for factorisation, fields and gradient."""
    return run.factor_seconds + run.solve_seconds + _last(run, shared)


def _last(run: Run, shared: bool) -> float:
    """Seconds for the gradient; `shared`: by products over the fields at hand instead of a second solve."""
    return run.gradient_seconds if shared or run.adjoint_seconds is None else run.adjoint_seconds


def _rows(problem: Problem, runs: dict[str, list[Run]], threads: int) -> list[Row]:
    """One row per solver and way to the gradient; fields are compared with the first solver's."""
    if not runs:
        return []
    first = next(iter(runs.values()))
    reference, base = first[0].fields, statistics.median(_total(run, True) for run in first)
    rows: list[Row] = []
    for name, each in runs.items():
        for shared in (True,) if each[0].adjoint_seconds is None else (True, False):
            row = _row(each, shared)
            row["name"] = f"{name}, {problem.grid.shape[0]}" + ("" if shared else ", second solve")
            row["ratio"] = row["seconds"] / base
            row["field_difference"] = _difference(each[0].fields, reference)
            row |= {"n": problem.grid.n_cells, "elements": len(problem.residual), "threads": threads}
            rows.append(row)
    return rows


def _row(runs: Sequence[Run], shared: bool) -> Row:
    """Medians over the runs of one solver."""
    peaks = [run.peak_bytes for run in runs if run.peak_bytes is not None]
    return {
        "name": "",
        "seconds": statistics.median(_total(run, shared) for run in runs),
        "ratio": None,
        "factor_seconds": statistics.median(run.factor_seconds for run in runs),
        "solve_seconds": statistics.median(run.solve_seconds for run in runs),
        "gradient_seconds": statistics.median(_last(run, shared) for run in runs),
        "analysis_seconds": runs[0].analysis_seconds,
        "peak_bytes": max(peaks, default=None),
        "runs": len(runs),
    }


def _difference(fields: np.ndarray, reference: np.ndarray) -> float:
    return float(np.linalg.norm(fields - reference) / np.linalg.norm(reference))


def _growth(rows: Sequence[Row]) -> list[Row]:
    """How the time of the reference solver grows from one size to the next."""
    ours = [row for row in rows if row["ratio"] == 1.0]
    growth: list[Row] = []
    for small, large in zip(ours, ours[1:], strict=False):
        ratio, nodes = large["seconds"] / small["seconds"], large["n"] / small["n"]
        name = f"growth of {small['name']} to {math.isqrt(large['n'])}"
        exponent = math.log(ratio) / math.log(nodes)
        growth.append({"name": name, "seconds": large["seconds"], "ratio": ratio, "exponent_of_n": exponent})
    return growth


def table(rows: Sequence[Row]) -> str:
    """Rows as aligned text."""
    columns = {"seconds": "seconds", "ratio": "ratio", "factor_seconds": "factor", "solve_seconds": "solve"}
    columns |= {"gradient_seconds": "gradient", "peak_bytes": "peak GB", "field_difference": "difference"}
    columns |= {"nanoseconds_per_cell_and_step": "ns a step", "over_memory_floor": "over floor"}
    width = max(len(str(row["name"])) for row in rows) if rows else 4
    lines = [f"{'':{width}}" + "".join(f"{title:>12}" for title in columns.values())]
    for row in rows:
        cells = []
        for column in columns:
            value = row.get(column)
            value = value / 1e9 if column == "peak_bytes" and value is not None else value
            cells.append(f"{'' if value is None else format(value, '.3g'):>12}")
        lines.append(f"{row['name']:{width}}" + "".join(cells))
    return "\n".join(lines)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", help="nodes along each side")
    parser.add_argument("--elements", type=int, help="elements of the ring (256)")
    parser.add_argument("--repeats", type=int, help="counted runs of each solver (3)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--quick", action="store_true", help="one small size, to see that it works")
    parser.add_argument("--output", type=Path, default=Path("build/bench.json"))
    return parser


if __name__ == "__main__":
    sys.exit(main())
