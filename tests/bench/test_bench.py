"""The benchmark compares like with like: every solver gets the same operator and finds the same fields."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.bench import __main__ as bench
from tests.bench import baselines
from tests.bench.engine import Problem, standard_problem
from usct.forward.stencil import apply_operator


@pytest.fixture(scope="module")
def problem() -> Problem:
    return standard_problem(44, 6)


def test_matrix_is_the_operator(problem: Problem) -> None:
    field = torch.randn(
        *problem.grid.shape, 2, dtype=torch.complex128, generator=torch.Generator().manual_seed(0)
    )
    expected = apply_operator(problem.couplings, field).reshape(-1, 2).numpy()
    got = problem.matrix() @ field.reshape(-1, 2).numpy()
    np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", ["SuperLU", "PARDISO symmetric", "PARDISO unsymmetric"])
def test_baselines_solve(problem: Problem, kind: str) -> None:
    matrix, right = problem.matrix(), problem.right_sides()
    keep = np.arange(0, problem.grid.n_cells, 7)
    try:
        if kind == "SuperLU":
            timing = baselines.superlu(matrix, [right, right.toarray()], keep, chunk=4)
        else:
            timing = baselines.pardiso(
                matrix, [right, right.toarray()], keep, symmetric=kind.endswith(" symmetric")
            )
    except baselines.UnavailableError as error:
        pytest.skip(str(error))
    expected = np.linalg.solve(matrix.toarray(), right.toarray())[keep]
    for solution in timing.solutions:
        np.testing.assert_allclose(solution, expected, atol=1e-10 * np.abs(expected).max())
    assert min(timing.factor_seconds, *timing.solve_seconds) > 0


def test_table_and_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "bench.json"
    arguments = ["--sizes", "40", "48", "--elements", "6", "--repeats", "1", "--output", str(output)]
    assert bench.main(arguments) == 0
    rows = json.loads(output.read_text())
    assert all({"name", "seconds", "ratio"} <= row.keys() for row in rows)
    solved = [row for row in rows if "field_difference" in row]
    assert max(row["field_difference"] for row in solved) < 1e-10
    assert sum(row["ratio"] == 1.0 for row in solved) == 2
    assert sum(row["name"].startswith("growth") for row in rows) == 1
    assert "difference" in capsys.readouterr().out
