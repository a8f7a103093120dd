"""Time stepping, side by side with deepwave and devito: nanoseconds per cell and step, forward and with a gradient.

All run the same uniform grid, layers included, with the same step, shots and receivers, at order eight in space.
usct's receivers are band-limited points between the nodes, the others' are nodes. Layers differ: devito's only damp.
The gradient is that of a misfit of spectra at two frequencies: deepwave runs backward through its stored fields; usct
transforms the fields of all elements while they pass and multiplies them.
"""

import gc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from tests.bench import devito_wave
from tests.bench.baselines import UnavailableError
from tests.bench.measure import Measured, measure
from usct.acquisition import TransducerArray
from usct.forward.time_domain.layers import ZONE
from usct.forward.time_domain.model import TimeDomain
from usct.forward.time_domain.simulation import Simulation
from usct.grid import Grid
from usct.medium import Medium

Row = dict[str, Any]

CPU = torch.device("cpu")
SPACING = 0.5e-3
BAND = (200e3, 500e3)
COURANT = 0.4
"""Within what deepwave steps without dividing the step."""
MISFIT = [250e3, 400e3]
FLOOR_BYTES = 12
"""A step of a cell reads the field and reads and writes the last one, in single precision; maps serve all shots."""


@dataclass(frozen=True)
class Case:
    """What both are asked to do.

    Attributes:
        n: Nodes along each side, layers included.
        n_steps: Time steps.
        n_shots: Shots.
        n_receivers: Receivers of the forward runs; gradients have as many receivers as shots.
    """

    n: int = 480
    n_steps: int = 200
    n_shots: int = 4
    n_receivers: int = 256

    @property
    def work(self) -> int:
        """Cells times steps times shots."""
        return self.n**2 * self.n_steps * self.n_shots

    @property
    def step(self) -> float:
        """Time step [s]."""
        return COURANT * SPACING / 1620.0

    def array(self, n_elements: int) -> TransducerArray:
        """A ring of which the first elements send."""
        ring = TransducerArray.ring(n_elements, 0.42 * (self.n - 2 * ZONE) * SPACING)
        index = torch.arange(n_elements)
        return TransducerArray(ring.positions, index[: self.n_shots], index)

    def model(self, n_elements: int) -> TimeDomain:
        """The case as usct sees it."""
        grid = Grid.centred((self.n - 2 * ZONE,) * 2, SPACING)
        probe = Simulation(grid, self.array(n_elements), BAND, time_step=self.step, duration=0.0)
        spare = self.n_steps * self.step - 2 * probe.drive.delay
        return TimeDomain(Simulation(grid, probe.array, BAND, time_step=self.step, duration=spare - 1e-12))


def rows(quick: bool, repeats: int) -> tuple[list[Row], list[str]]:
    """Rows of all that are here, usct's over each, and why others are absent.

    Args:
        quick: Take a small grid.
        repeats: Counted runs of each; the fastest counts, since others may use the machine.
    """
    case = Case(n=96, n_steps=120, n_receivers=32) if quick else Case()
    floor = FLOOR_BYTES / bandwidth()
    makers = {
        "forward": {"usct": _our_forward, "deepwave": _their_forward, "devito": _devito_forward},
        "gradient": {"usct": _our_gradient, "deepwave": _their_gradient},
    }
    found: list[Row] = []
    absent: list[str] = []
    for name, contenders in makers.items():
        calls = {}
        for who, maker in contenders.items():
            try:
                calls[who] = maker(case)
            except UnavailableError as reason:
                absent.append(f"time-domain {name}, {reason}")
        best = _fastest(calls, repeats)
        found += _rows(name, case, best, floor)
    return found, absent


def _fastest(calls: dict[str, Callable[[], torch.Tensor]], repeats: int) -> dict[str, Measured[torch.Tensor]]:
    """The fastest run of each, by turns; the first, which compiles, does not count."""
    best: dict[str, Measured[torch.Tensor]] = {}
    for turn in range(repeats + 1):
        for who, call in calls.items():
            gc.collect()
            run = measure(call, CPU)
            if turn > 0 and (who not in best or run.seconds < best[who].seconds):
                best[who] = run
    return best


def _rows(name: str, case: Case, best: dict[str, Measured[torch.Tensor]], floor: float) -> list[Row]:
    base = best["usct"].seconds
    found: list[Row] = []
    for who, run in best.items():
        pace = run.seconds / case.work
        found.append(
            {
                "name": f"time-domain {name}, {who}, {case.n}",
                "seconds": run.seconds,
                "ratio": run.seconds / base,
                "nanoseconds_per_cell_and_step": 1e9 * pace,
                "over_memory_floor": pace / floor,
                "peak_bytes": run.peak_bytes,
            }
        )
    for who, run in best.items():
        if who != "usct":
            found.append(
                {"name": f"time-domain {name} / {who}", "seconds": base, "ratio": base / run.seconds}
            )
    return found


def bandwidth(n_bytes: int = 2**28, repeats: int = 5) -> float:
    """What copying large arrays reads and writes, on all threads [bytes/s]."""
    source, target = (torch.ones(n_bytes // 4) for _ in range(2))
    seconds = min(measure(lambda: target.copy_(source), CPU).seconds for _ in range(repeats))
    return 2 * n_bytes / seconds


def _our_forward(case: Case) -> Callable[[], torch.Tensor]:
    model = case.model(case.n_receivers)
    medium = Medium.homogeneous(model.grid, 1500.0)
    return lambda: model(medium, torch.tensor(MISFIT))


def _our_gradient(case: Case) -> Callable[[], torch.Tensor]:
    model = case.model(case.n_shots)

    def gradient() -> torch.Tensor:
        speed = torch.full(model.grid.shape, 1500.0, dtype=torch.float64, requires_grad=True)
        data = model(Medium(model.grid, speed), torch.tensor(MISFIT))
        (slope,) = torch.autograd.grad(data.abs().square().sum(), speed)
        return slope

    return gradient


def _devito_forward(case: Case) -> Callable[[], torch.Tensor]:
    model = case.model(case.n_receivers)
    nodes = ZONE + model.grid.fractional_index(model.array.positions).round().long()
    signal = model.simulation.drive.signal(case.n_steps).float()
    return devito_wave.forward(case.n, SPACING, case.step, signal, nodes[: case.n_shots], nodes, ZONE)


def _their_run(case: Case, n_receivers: int) -> Callable[[torch.Tensor], torch.Tensor]:
    try:
        import deepwave
    except ImportError as error:
        raise UnavailableError(f"deepwave is not installed ({error})") from None

    model = case.model(n_receivers)
    nodes = model.grid.fractional_index(model.array.positions).round().long()
    signal = model.simulation.drive.signal(case.n_steps).float().expand(case.n_shots, 1, -1).contiguous()

    def run(speed: torch.Tensor) -> torch.Tensor:
        return deepwave.scalar(
            speed,
            SPACING,
            case.step,
            source_amplitudes=signal,
            source_locations=nodes[: case.n_shots, None],
            receiver_locations=nodes[None].expand(case.n_shots, -1, -1),
            accuracy=8,
            pml_width=ZONE,
            pml_freq=BAND[0],
            max_vel=1620.0,
        )[-1]

    return run


def _their_forward(case: Case) -> Callable[[], torch.Tensor]:
    run = _their_run(case, case.n_receivers)
    speed = torch.full((case.n - 2 * ZONE,) * 2, 1500.0)
    return lambda: run(speed)


def _their_gradient(case: Case) -> Callable[[], torch.Tensor]:
    run = _their_run(case, case.n_shots)
    kernel = case.model(case.n_shots).simulation.kernel(MISFIT, case.n_steps).to(torch.complex64)

    def gradient() -> torch.Tensor:
        speed = torch.full((case.n - 2 * ZONE,) * 2, 1500.0, requires_grad=True)
        data = run(speed).to(torch.complex64) @ kernel.T
        (slope,) = torch.autograd.grad(data.abs().square().sum(), speed)
        return slope

    return gradient
