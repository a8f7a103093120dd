"""Ring scans made by another solver: time-domain finite differences of deepwave (extra `bench`).

    python -m tests.bench.deepwave_scan PHANTOM.h5 -o scan.h5 --elements 256 --radius-mm 110 --snr-db 40

The data share nothing with the solvers of usct: second order in time, eighth order in space, another
grid, off-grid elements by a windowed sinc, an unknown broadband pulse whose delay and amplitude differ
from transmit to transmit, and white noise. `tests.bench.dispersion` removes what the finite differences
add to the travel times. The medium is lossless and of uniform density: attenuation and density of the
phantom are ignored, and the scan's truth holds the sound speed alone.
"""

import argparse
import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from unittest import mock

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import scipy.sparse
import torch

from tests.bench import dispersion
from usct.acquisition import Acquisition, Traces, TransducerArray
from usct.errors import InputError
from usct.grid import Grid
from usct.medium import Medium
from usct.phantom.base import Phantom
from usct.units import MEGAHERTZ, MICROSECOND, MILLIMETRE

PML_NODES = 20
PML_REFLECTION = 1e-6  # deepwave's 1e-3 returns 1.5 % of waves that graze the boundary beside the ring
PML_FREQUENCY = 0.12 * MEGAHERTZ
MARGIN_NODES = 8
BATCH = 4  # transmits at once: two per core, 130 MB of raw records each
REACH = 4  # the windowed sinc spreads an element over 8 x 8 nodes
KAISER_SHAPE = 7.6  # least error (4e-4) up to 1.25 rad per node, that is 0.8 MHz in water at 0.36 mm


@dataclass(frozen=True)
class Settings:
    """How to simulate.

    Attributes:
        spacing: Distance of the finite-difference nodes [m].
        courant_number: Largest speed times time step over spacing; eighth order is stable to 0.55.
        duration: Length of the records [s].
        sampling_frequency: Of the records [Hz].
        snr_db: Level of the rms in the arrival window above the white noise [dB]; None for no noise.
        seed: Of pulse phase, delays, amplitudes and noise.
        jitter: Whether delay and amplitude differ from transmit to transmit.
    """

    spacing: float = 0.36 * MILLIMETRE
    courant_number: float = 0.53
    duration: float = 260 * MICROSECOND
    sampling_frequency: float = 4 * MEGAHERTZ
    snr_db: float | None = 40.0
    seed: int = 1
    jitter: bool = True


@dataclass(frozen=True)
class Firing:
    """The pulse of every transmit.

    Attributes:
        phase: Carrier phase [rad].
        delays: Shape (tx,) [s].
        amplitudes: Shape (tx,) [1].
    """

    phase: float
    delays: np.ndarray
    amplitudes: np.ndarray

    def pulses(self, times: np.ndarray) -> np.ndarray:
        """Pulses at given times, shape (tx, time); useful from 0.15 to 0.8 MHz, without a mean."""
        centre, width = 0.4 * MEGAHERTZ, 0.18 * MEGAHERTZ
        lag = times - 5 / (2 * np.pi * width) - self.delays[:, None]
        carrier = 2 * np.pi * centre * lag + self.phase
        envelope = np.exp(-0.5 * (2 * np.pi * width * lag) ** 2)
        slope = -((2 * np.pi * width) ** 2) * lag * np.cos(carrier) - 2 * np.pi * centre * np.sin(carrier)
        return self.amplitudes[:, None] * envelope * slope / MEGAHERTZ


def firing(n_transmits: int, settings: Settings) -> Firing:
    """Draw the pulse phase and, with jitter, +-0.1 us of delay and +-10 % of amplitude per transmit."""
    random = np.random.default_rng([settings.seed, 0])
    phase = random.uniform(0, 2 * np.pi)
    spread = float(settings.jitter)
    delays = spread * random.uniform(-0.1, 0.1, n_transmits) * MICROSECOND
    return Firing(phase, delays, 1.0 + spread * random.uniform(-0.1, 0.1, n_transmits))


def simulate(
    medium: Medium,
    array: TransducerArray,
    settings: Settings,
    progress: Callable[[int, int], None] | None = None,
) -> Acquisition:
    """Simulate a scan of a medium.

    Args:
        medium: Phantom, uniform towards its border; only its sound speed counts.
        array: Ring whose centre is the middle of the simulated square.
        settings: How to simulate.
        progress: Called with the number of transmits done and their total.

    Returns:
        Traces, the truth and the border's sound speed.

    Raises:
        InputError: If the phantom's border is not uniform or the ring cuts through its contents.
    """
    water = border_sound_speed(medium, array)
    reach = float(array.positions.abs().max()) + MARGIN_NODES * settings.spacing
    grid = Grid.covering(reach, settings.spacing)
    speed = medium.resampled(grid).sound_speed.float()
    step = settings.courant_number * settings.spacing / float(speed.max())
    shots = firing(len(array.transmits), settings)
    correction = dispersion.Correction.of(settings.duration, settings.sampling_frequency, step)
    values = np.empty((len(array.transmits), len(array.receives), correction.n_samples), np.float32)
    for first in range(0, len(values), BATCH):
        rows = np.arange(first, min(first + BATCH, len(values)))
        raw = _propagate(speed, grid, array, rows, shots, correction)
        paths = dispersion.direct_path_phase(array, rows, water, settings.spacing, correction.frequencies)
        values[rows] = correction.apply(raw, paths)
        if progress is not None:
            progress(int(rows[-1]) + 1, len(values))
    _add_noise(values, array, water, settings)
    traces = Traces.of(torch.from_numpy(values), 0.0, settings.sampling_frequency)
    truth = Medium(medium.grid, medium.sound_speed)
    facts = {"solver": "deepwave, scalar, order 8", "spacing_mm": f"{settings.spacing / MILLIMETRE:g}"}
    facts |= {"snr_db": str(settings.snr_db), "seed": str(settings.seed)}
    return Acquisition(array, traces, water, truth=truth, metadata=facts)


def border_sound_speed(medium: Medium, array: TransducerArray) -> float:
    """Sound speed at the phantom's border [m/s], after checking that all contents lie inside the ring.

    Raises:
        InputError: If the border is not uniform or the ring cuts through the contents.
    """
    speed = medium.sound_speed
    border = torch.cat([speed[0], speed[-1], speed[:, 0], speed[:, -1]])
    water = float(border.median())
    if float((border - water).abs().max()) > 0.5:
        span = f"{float(border.min()):g} to {float(border.max()):g} m/s"
        raise InputError(f"the phantom's border is not uniform ({span}); surround it with water")
    distance = torch.linalg.vector_norm(medium.grid.points() - array.centre, dim=-1)
    contents = float(torch.where((speed - water).abs() > 1.0, distance, 0.0).max())
    if contents > array.radius - 5 * MILLIMETRE:
        raise InputError(
            f"the phantom reaches {contents / MILLIMETRE:.0f} mm from the centre of the ring of radius "
            f"{array.radius / MILLIMETRE:.0f} mm; choose a larger --radius-mm"
        )
    return water


def _propagate(
    speed: torch.Tensor,
    grid: Grid,
    array: TransducerArray,
    rows: np.ndarray,
    shots: Firing,
    correction: dispersion.Correction,
) -> np.ndarray:
    """Raw traces of some transmits, shape (row, rx, raw time), as the finite differences give them."""
    import deepwave

    index = grid.fractional_index(array.positions)
    source_nodes, source_weights = spread(index[array.transmits[rows]])
    receive_nodes, receive_weights = spread(index[array.receives])
    nodes, position = torch.unique(receive_nodes.reshape(-1, 2), dim=0, return_inverse=True)
    pulses = torch.from_numpy(shots.pulses(correction.raw_times)[rows]).float()
    # A point source of unit strength per area; deepwave adds -c^2 times its source to the second derivative.
    amplitudes = -source_weights.float()[:, :, None] * pulses[:, None, :] / grid.spacing**2
    with _strong_absorption():
        records = deepwave.scalar(
            speed,
            grid.spacing,
            float(correction.raw_times[1]),
            source_amplitudes=amplitudes,
            source_locations=source_nodes,
            receiver_locations=nodes.expand(len(rows), -1, -1),
            accuracy=8,
            pml_width=PML_NODES,
            pml_freq=PML_FREQUENCY,
            courant_number=0.78,  # of the cell's diagonal; keeps deepwave from dividing the step
        )[-1]
    owners = np.repeat(np.arange(len(receive_nodes)), receive_nodes.shape[1])
    gather = scipy.sparse.csr_matrix(
        (receive_weights.float().flatten().numpy(), (owners, position.numpy())),
        shape=(len(receive_nodes), len(nodes)),
    )
    return np.stack([gather @ record for record in records.numpy()])


def _strong_absorption() -> AbstractContextManager[object]:
    """Have deepwave absorb more at its boundary than its interface can ask for."""
    from deepwave import _common

    return mock.patch.object(_common, "setup_pml", partial(_common.setup_pml, r_val=PML_REFLECTION))


def spread(index: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Nodes and weights of a Kaiser-windowed sinc about points off the grid.

    Args:
        index: Index coordinates, shape (point, 2).

    Returns:
        Nodes (point, 64, 2) and weights (point, 64).

    References:
        Hicks, Geophysics 67 (2002) 156.
    """
    taps = torch.floor(index)[:, :, None].long() + torch.arange(1 - REACH, REACH + 1)
    lag = taps - index[:, :, None]
    window = torch.special.i0(KAISER_SHAPE * (1 - (lag / REACH) ** 2).clamp(min=0).sqrt())
    weights = torch.sinc(lag) * window / torch.special.i0(torch.tensor(KAISER_SHAPE, dtype=torch.float64))
    shape = (len(index), 2 * REACH, 2 * REACH)
    nodes = torch.stack([taps[:, 0, :, None].expand(shape), taps[:, 1, None, :].expand(shape)], dim=-1)
    return nodes.flatten(1, 2), (weights[:, 0, :, None] * weights[:, 1, None, :]).flatten(1)


def _add_noise(values: np.ndarray, array: TransducerArray, water: float, settings: Settings) -> None:
    """Add white noise in place; one level for the scan, from the rms of all arrivals but an element's own."""
    if settings.snr_db is None:
        return
    times = np.arange(values.shape[2]) / settings.sampling_frequency
    arrival = array.distances().numpy() / water
    power, count = 0.0, 0
    for trace, delay in zip(values, arrival, strict=True):
        inside = (times > delay[:, None] - 2 * MICROSECOND) & (times < delay[:, None] + 12 * MICROSECOND)
        inside &= delay[:, None] > 0
        power += float(np.square(trace[inside], dtype=np.float64).sum())
        count += int(inside.sum())
    level = math.sqrt(power / count) * 10 ** (-settings.snr_db / 20)
    random = np.random.default_rng([settings.seed, 1])
    for trace in values:
        trace += level * random.standard_normal(trace.shape, dtype=np.float32)


def main(arguments: Sequence[str] | None = None) -> int:
    """Simulate a scan of a phantom file and save it; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        _simulate_file(options)
    except InputError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


def _simulate_file(options: argparse.Namespace) -> None:
    import usct.io

    phantom = usct.io.load(options.phantom)
    if not isinstance(phantom, Phantom):
        raise InputError(f"{options.phantom} holds no phantom; give a file with a sound-speed map")
    settings = Settings(spacing=options.spacing_mm * MILLIMETRE, snr_db=options.snr_db, seed=options.seed)
    array = TransducerArray.ring(options.elements, options.radius_mm * MILLIMETRE)
    scan = simulate(phantom.medium, array, settings, _reporter())
    usct.io.save(replace(scan, title=f"deepwave scan of {options.phantom.stem}"), options.output)


def _reporter() -> Callable[[int, int], None]:
    """A progress line on standard error."""
    start = time.perf_counter()

    def report(done: int, total: int) -> None:
        seconds = time.perf_counter() - start
        left = seconds * (total - done) / done
        sys.stderr.write(f"\rtransmit {done}/{total}, {seconds:.0f} s, {left:.0f} s left ")
        sys.stderr.write("\n" if done == total else "")
        sys.stderr.flush()

    return report


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.deepwave_scan", description=__doc__)
    parser.add_argument("phantom", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--elements", type=int, default=256)
    parser.add_argument("--radius-mm", type=float, default=110.0)
    parser.add_argument("--snr-db", type=float, default=40.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--spacing-mm", type=float, default=Settings.spacing / MILLIMETRE)
    return parser


if __name__ == "__main__":
    sys.exit(main())
