"""What every representation costs beside the wave solve: `python -m tests.bench.fields [--size 480] [--quick]`.

A field is asked for a medium, for products with the transposed derivative (a vjp) and with the derivative (the vjp of
that vjp), at the cells in which the solver wants the gradient. What its own optimizer asks for:

- a step: of Adam, which networks take, a medium and a transposed product; of the conjugate gradients inside a
  Gauss-Newton update, which pixels and tailored features take, a product and a transposed product. Its time stands
  against that of the solver's factorisation, fields and gradient.
- an update, for which the waves are solved once: twenty steps of Adam; or a medium, a gradient and five steps of
  conjugate gradients. Its time stands against that of the waves in it: the solver's, and a product with the linearised
  waves and one with their transpose for every step.

All take turns in one process, and medians count. Prints a table and writes build/fields.json, a list of rows.
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
from torch.func import functional_call

from tests.bench.__main__ import _say, _total
from tests.bench.contenders import contenders
from tests.bench.engine import SLOWEST, Problem, standard_problem
from tests.bench.measure import synchronise
from usct.acquisition import Spectra
from usct.choosing import choose_parameterization
from usct.config import load_config
from usct.forward.born import LinearizedForward
from usct.grid import Grid
from usct.inversion.objective import Tangent
from usct.medium import Medium
from usct.parameterization.base import Parameterization
from usct.parameterization.network import NetworkField

REPRESENTATIONS = {
    "pixel": (),
    "filtered": (),
    "tailored": (),
    "tailored network": ("parameterization.head=network",),
    "fourier": (),
    "siren": (),
    "multigrid": (),
    "hybrid": (),
}
"""Names, with settings beside the name."""

PIXELS_PER_WAVELENGTH = 6
ADAM_STEPS, INNER_STEPS = 20, 5
Row = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    options = _parser().parse_args(arguments)
    size = options.size or (120 if options.quick else 480)
    n_elements = options.elements or (64 if options.quick else 256)
    repeats = options.repeats or (1 if options.quick else 5)
    torch.set_num_threads(options.threads)
    problem, solver = standard_problem(size, n_elements), contenders(options.threads)[0]
    device = torch.device("cuda:0" if "cuda" in solver.name else "cpu")
    fields = {name: _field(name, problem).to(device) for name in REPRESENTATIONS}
    solves: list[float] = []
    products: list[float] = []
    costs: dict[str, list[tuple[float, ...]]] = {name: [] for name in fields}
    for turn in range(repeats + 1):  # the first compiles and plans
        solve = _total(solver.run(problem), shared=True)
        _say(f"{solver.name}, {size} x {size}: {solve:.3g} s{' (warm-up)' if turn == 0 else ''}")
        taken = {name: _cost(field, problem, device) for name, field in fields.items()}
        waves = _wave_products(problem, device)
        if turn > 0:
            solves.append(solve)
            products.append(waves)
            for name, seconds in taken.items():
                costs[name].append(seconds)
    base = (statistics.median(solves), statistics.median(products))
    rows = [_row(name, fields[name], costs[name], *base) for name in fields]
    _say(table(rows))
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(rows, indent=1) + "\n")
    return 0


def _field(name: str, problem: Problem) -> Parameterization:
    """A representation as a reconstruction of the problem's data would choose it."""
    frequency = SLOWEST / (6 * problem.grid.spacing)
    spacing = SLOWEST / (PIXELS_PER_WAVELENGTH * frequency)
    radius = float(problem.grid.points().reshape(-1, 2)[problem.region].square().sum(dim=1).max().sqrt())
    image = Grid.covering(radius + spacing, spacing)
    settings = [f"parameterization.name={name.split()[0]}", *REPRESENTATIONS[name]]
    nothing = torch.zeros(1, *problem.residual.shape, dtype=torch.complex128)
    return choose_parameterization(
        load_config(None, None, settings),
        Medium.homogeneous(image, 1500.0),
        image.disc(radius),
        Spectra.of(nothing, torch.tensor([frequency], dtype=torch.float64)),
        problem.array,
        1500.0,
    )


def _cost(field: Parameterization, problem: Problem, device: torch.device) -> tuple[float, float, float]:
    """Seconds for the medium, for the transposed product and for the product."""
    frequency, grid = SLOWEST / (6 * problem.grid.spacing), problem.grid
    cells, vector = problem.region.to(device), field.vector()
    generator = torch.Generator().manual_seed(0)
    cotangent = torch.randn(len(cells), dtype=torch.complex128, generator=generator).to(device)

    def squared_slowness(parameters: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        medium = functional_call(field, field.named(parameters), (grid,))
        return (medium.slowness(frequency) ** 2).reshape(-1)[cells], medium.sound_speed

    tangents: list[Tangent] = []
    medium = _seconds(lambda: tangents.append(Tangent(squared_slowness, vector, beside=True)), device)
    transposed = _seconds(lambda: tangents[0].adjoint(cotangent), device)
    ones = torch.ones_like(vector)
    if not isinstance(field, NetworkField):
        tangents[0].apply(ones)  # records the product, once for all steps of an update
    return medium, transposed, _seconds(lambda: tangents[0].apply(ones), device)


def _wave_products(problem: Problem, device: torch.device) -> float:
    """Seconds for a product with the linearised waves and one with their transpose, as inversions store fields."""
    shape = (len(problem.region), len(problem.residual))
    fields = torch.full(shape, 0.5 + 0.5j, dtype=torch.complex64, device=device)
    sensitivity = problem.sensitivity.to(device)
    waves = LinearizedForward(
        problem.residual.to(device), problem.region, 0.0, fields, fields.clone(), sensitivity, problem.array
    )
    return _seconds(lambda: waves.adjoint(waves.apply(sensitivity)), device)


def _seconds(call: Callable[[], object], device: torch.device) -> float:
    # Not `measure`: it empties the allocator, which an inversion never does.
    synchronise(device)
    start = time.perf_counter()
    call()
    synchronise(device)
    return time.perf_counter() - start


def _row(
    name: str, field: Parameterization, costs: Sequence[tuple[float, ...]], solve: float, waves: float
) -> Row:
    """Medians over the turns of one representation."""
    medium, transposed, product = (statistics.median(part) for part in zip(*costs, strict=True))
    if isinstance(field, NetworkField):
        step, update, n_steps = medium + transposed, ADAM_STEPS * (medium + transposed), ADAM_STEPS
    else:
        step, n_steps = product + transposed, INNER_STEPS
        update = medium + transposed + n_steps * step
    return {
        "name": name,
        "parameters": len(field.vector()),
        "medium_seconds": medium,
        "transposed_seconds": transposed,
        "product_seconds": product,
        "seconds": step,
        "ratio": step / solve,
        "update_ratio": update / (solve + n_steps * waves),
        "solve_seconds": solve,
        "wave_product_seconds": waves,
    }


def table(rows: Sequence[Row]) -> str:
    """Rows as aligned text."""
    columns = ("parameters", "medium", "transposed", "product", "step", "step/solve", "update/waves")
    lines = [f"{'':16}" + "".join(f"{title:>13}" for title in columns)]
    for row in rows:
        parts = (row[f"{column}_seconds"] for column in columns[1:4])
        numbers = "".join(f"{seconds:13.3f}" for seconds in (*parts, row["seconds"]))
        shares = f"{row['ratio']:13.1%}{row['update_ratio']:13.1%}"
        lines.append(f"{row['name']:16}{row['parameters']:13d}{numbers}{shares}")
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.fields", description=__doc__)
    parser.add_argument("--size", type=int, help="nodes along each side (480)")
    parser.add_argument("--elements", type=int, help="elements of the ring (256)")
    parser.add_argument("--repeats", type=int, help="counted turns (5)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--quick", action="store_true", help="one small size, to see that it works")
    parser.add_argument("--output", type=Path, default=Path("build/fields.json"))
    return parser


if __name__ == "__main__":
    sys.exit(main())
