"""Simulating the traces of a scan in the time domain, row by row, so that it can be interrupted."""

import hashlib
import math
import os
import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, as_completed
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
import torch

import usct
from usct.acquisition import Acquisition, Traces, TransducerArray
from usct.errors import InputError
from usct.forward.parallel import n_threads
from usct.forward.time_domain.elastic import Elastic, shear_speed_of
from usct.forward.time_domain.elements import Faces
from usct.forward.time_domain.recording import Pulse, Recorder
from usct.forward.time_domain.simulation import Simulation
from usct.grid import Grid
from usct.io.rows import RowFile
from usct.medium import Medium
from usct.phantom import Phantom
from usct.preflight import OBJECT_CONTRAST, check_elements, usable_device, water_of
from usct.sharing import own_device

POINTS_PER_WAVELENGTH = 4.5
CROSSINGS = 1.6
"""Of the array by the slowest wave, which a record lasts. A breast's spectra up to 0.65 MHz lack 0.2 to 0.7 % of their
amplitude then, and 1.8 to 2.6 % with 1.3 crossings; a longer record holds more noise."""
MARGIN_CELLS = 6
MEMORY_SHARE = 0.8
"""Of the machine's memory, what a simulation may take."""
DELAY_SPREAD = 0.1e-6
"""Transmits fire late or early by up to this [s]."""
AMPLITUDE_SPREAD = 0.1
TASK_SIZE, TASK_SIZE_GPU = 4, 32
"""Transmits that another process is given at a time."""


@dataclass(frozen=True)
class TraceSettings:
    """How traces are simulated.

    Attributes:
        band: Lowest and highest frequency that the pulse fills [Hz].
        snr_db: Signal-to-noise ratio of every transmit, against the rms of what arrives straight; None for no
            noise [dB].
        seed: Of pulse, delays, amplitudes and noise.
        spacing: Of the grid; by default 4.5 points per wavelength at the highest frequency in the pulse [m].
        duration: Of the traces; by default `CROSSINGS` times what the slowest wave needs across the array [s].
        sampling_frequency: By default four times the highest frequency of the band [Hz].
        time_step: By default as long as is stable [s].
        elastic: Let bone bear shear waves, in two dimensions, and leave attenuation out.
        element_width: Of strips (in two dimensions) or diameter of discs (in three) that look at the origin, or at the
            z axis if they lie on a cylinder about it; by default elements are points [m].
    """

    band: tuple[float, float]
    snr_db: float | None = 40.0
    seed: int = 0
    spacing: float | None = None
    duration: float | None = None
    sampling_frequency: float | None = None
    time_step: float | None = None
    elastic: bool = False
    element_width: float | None = None


def simulate_traces(
    phantom: Phantom,
    array: TransducerArray,
    settings: TraceSettings,
    store: Path,
    resume: bool = False,
    on_progress: Callable[[float, str], None] | None = None,
    executor: Executor | None = None,
    device: str = "auto",
) -> Acquisition:
    """Simulate the traces that elements record from a phantom, with an unknown pulse and noise.

    Attenuation and density take part. Every transmit is written to `store` as soon as it is there; the traces
    returned are read from that file, which must stay until they are saved or dropped.

    Args:
        phantom: What is scanned, in two or three dimensions.
        array: Elements.
        settings: See there.
        store: File for the rows.
        resume: Go on with that file; the result equals that of an uninterrupted run on the same device.
        on_progress: Called with the share done and a sentence.
        executor: Where to simulate, such as a pool of processes or a Dask client's `get_executor()`; by default
            here, on all threads.
        device: auto, cpu or cuda:N; every worker of an executor settles for itself what `auto` and `cuda` are.

    Raises:
        InputError: If elements lie inside the object, the time step is unstable, the pulse lies above the grid's
            band, memory or disk do not suffice, the device cannot be used, or there is nothing to go on with.
    """
    recorder, medium = plan(phantom.medium, array, settings)
    if executor is None:
        recorder = recorder.on(usable_device(device))
        _check_device_memory(medium, recorder.simulation.device)
    n_tx, n_rx = len(array.transmits), len(array.receives)
    mark = _fingerprint(phantom.medium, array, settings)
    rows = RowFile(store, (n_tx, n_rx, recorder.n_samples), mark, resume)
    missing = torch.tensor(rows.missing, dtype=torch.long)
    delays, amplitudes = _firing(n_tx, settings.seed)
    firing = array.transmits[missing], delays[missing], amplitudes[missing]
    text, n_done = f"Simulating {n_tx} transmits", n_tx - len(missing)
    if executor is None:
        propagate = recorder.simulation.prepared(medium)
        if on_progress:
            text += f" {_forecast(recorder, medium, recorder.forecast(medium, propagate, len(missing)))}"
            on_progress(n_done / n_tx, text)
        parts = recorder.record(medium, *firing, propagate) if len(missing) else iter(())
    else:
        parts = _recorded(recorder, medium, firing, executor, device)
    for some, traces in parts:
        for row, own in zip(missing[some].tolist(), traces.numpy(), strict=True):
            rows.put(row, own + _noise(own, row, array, recorder, settings))
        n_done += len(traces)
        if on_progress:
            on_progress(n_done / n_tx, text)
    usable = torch.ones(n_tx, n_rx, dtype=torch.bool)
    data = Traces(torch.from_numpy(rows.values), 0.0, recorder.sampling_frequency, usable)
    low, high = settings.band
    kind = "elastic" if settings.elastic else "acoustic"
    facts = {
        "snr_db": str(settings.snr_db),
        "seed": str(settings.seed),
        "band": f"{low:g} to {high:g} Hz",
        "simulated_by": f"usct {usct.__version__}, {kind} waves, time domain, {1e3 * medium.grid.spacing:.4g} mm",
    }
    if settings.element_width is not None:
        facts["element_width"] = f"{1e3 * settings.element_width:g} mm"
    water = water_of(phantom.medium)
    return Acquisition(array, data, water, truth=phantom.medium, title=phantom.title, metadata=facts)


def _recorded(
    recorder: Recorder,
    medium: Medium,
    firing: tuple[torch.Tensor, ...],
    executor: Executor,
    device: str,
) -> Iterator[tuple[slice, torch.Tensor]]:
    """Which of some transmits, and their traces, in whatever order they come."""
    n = len(firing[0])
    # Plain bytes: tensors that travel between processes on their own take up shared memory.
    common = pickle.dumps((recorder, medium))
    tasks = {}
    # Where GPUs are, each takes many transmits at a time.
    size = TASK_SIZE_GPU if device.startswith("cuda") else TASK_SIZE
    for first in range(0, n, size):
        some = slice(first, min(first + size, n))
        own = pickle.dumps(tuple(values[some] for values in firing))
        tasks[executor.submit(_record, common, own, device)] = some
    for future in as_completed(tasks):
        yield tasks[future], torch.from_numpy(future.result())


def _record(common: bytes, own: bytes, device: str) -> np.ndarray:
    """Traces of a task, in another process."""
    recorder, medium = pickle.loads(common)
    recorder = recorder.on(own_device(device))
    return torch.cat([traces for _, traces in recorder.record(medium, *pickle.loads(own))]).numpy()


def plan(medium: Medium, array: TransducerArray, settings: TraceSettings) -> tuple[Recorder, Medium]:
    """The simulation that settings ask for, and the medium on its grid.

    Raises:
        InputError: As `simulate_traces`.
    """
    check_elements(medium, array)
    slowest, fastest = float(medium.sound_speed.min()), float(medium.sound_speed.max())
    if settings.elastic:
        shear = shear_speed_of(medium)
        slowest = min([slowest, *shear[shear > 0].tolist()])
    pulse = Pulse(
        *settings.band, phase=float(np.random.default_rng([settings.seed, 0]).uniform(0, 2 * math.pi))
    )
    spacing = settings.spacing or slowest / (POINTS_PER_WAVELENGTH * pulse.band[1])
    size = torch.linalg.vector_norm(array.positions.amax(dim=0) - array.positions.amin(dim=0))
    duration = settings.duration or CROSSINGS * float(size) / math.sqrt(2) / slowest + pulse.length
    grid = _around(array, medium, spacing, 0.5 * (settings.element_width or 0.0))
    _check_memory(grid, medium)
    simulation = Simulation(
        grid,
        array,
        pulse.band,
        (slowest, fastest),
        water_of(medium),
        duration=Recorder.record_length(pulse, duration),
        time_step=settings.time_step,
        faces=None if settings.element_width is None else Faces(settings.element_width, _inward(array)),
    )
    # The elastic scheme averages between nodes itself.
    fine = medium.resampled(grid, band_limited=not settings.elastic)
    chosen: Simulation | Elastic = simulation
    if settings.elastic:
        chosen = Elastic.of(simulation, shear_speed_of(fine))
    elif settings.time_step is None:
        chosen = simulation.stable_in(fine)
    chosen.scheme(fine)
    sampling_frequency = settings.sampling_frequency or 4 * settings.band[1]
    if sampling_frequency < 2 * pulse.band[1]:
        raise InputError(
            f"the sampling frequency of {sampling_frequency / 1e6:g} MHz is below twice the pulse's highest frequency "
            f"of {pulse.band[1] / 1e6:g} MHz; choose a higher one or a lower band"
        )
    return Recorder(chosen, pulse, duration, sampling_frequency), fine


def _inward(array: TransducerArray) -> torch.Tensor:
    """Where elements look, shape (element, dim)."""
    inward = -array.positions
    radius = torch.linalg.vector_norm(array.positions[:, -2:], dim=1)
    if float(radius.max() - radius.min()) < 1e-6 * float(radius.max()):
        inward[:, :-2] = 0
    return inward


def _around(array: TransducerArray, medium: Medium, spacing: float, reach: float) -> Grid:
    """The smallest grid about the object and the elements, which reach so far, its middle theirs.

    What lies above and below the elements bends and scatters waves as well.
    """
    places = [array.positions - reach, array.positions + reach]
    inside = (medium.sound_speed - water_of(medium)).abs() > OBJECT_CONTRAST
    for dim in range(inside.ndim):
        filled = inside.movedim(dim, 0).flatten(1).any(dim=1).nonzero()[:, 0]
        if len(filled):
            ends = torch.full((2, inside.ndim), torch.nan, dtype=torch.float64)
            ends[:, dim] = medium.grid.axis(dim)[filled[[0, -1]]]
            places.append(ends)
    each = torch.cat(places)
    low, high = each.nan_to_num(torch.inf).amin(dim=0), each.nan_to_num(-torch.inf).amax(dim=0)
    shape = tuple(math.ceil(x) + 2 * MARGIN_CELLS for x in ((high - low) / spacing).tolist())
    centre = (0.5 * (low + high)).tolist()
    return Grid(
        shape, spacing, tuple(c - 0.5 * (n - 1) * spacing for c, n in zip(centre, shape, strict=True))
    )


def _check_memory(grid: Grid, medium: Medium) -> None:
    need = Simulation.memory_of(grid, medium, n_threads())
    have = MEMORY_SHARE * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if need > have:
        shape = " x ".join(map(str, grid.shape))
        raise InputError(
            f"a grid of {shape} cells needs {need / 1e9:.3g} GB of memory and {have / 1e9:.3g} GB can be used; choose "
            "lower frequencies, a larger spacing or fewer threads"
        )


def _check_device_memory(medium: Medium, device: torch.device) -> None:
    if device.type != "cuda":
        return
    need, (have, _) = Simulation.memory_of(medium.grid, medium, 1), torch.cuda.mem_get_info(device)
    if need > have:
        shape = " x ".join(map(str, medium.grid.shape))
        raise InputError(
            f"a grid of {shape} cells needs {need / 1e9:.3g} GB and {device} has {have / 1e9:.3g} GB free; choose "
            "lower frequencies, a larger spacing or --device cpu"
        )


def _forecast(recorder: Recorder, medium: Medium, seconds: float) -> str:
    """What is about to be simulated, in words."""
    shape = " x ".join(map(str, medium.grid.shape))
    need = Simulation.memory_of(medium.grid, medium, recorder.at_once)
    whole = timedelta(seconds=round(seconds))
    return (
        f"on {shape} cells, {recorder.simulation.n_steps} steps; {need / 1e9:.2g} GB, about {whole} h:min:s"
    )


def _firing(n_transmits: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Delays [s] and amplitudes of the transmits."""
    random = np.random.default_rng([seed, 1])
    delays = random.uniform(-DELAY_SPREAD, DELAY_SPREAD, n_transmits)
    amplitudes = 1 + random.uniform(-AMPLITUDE_SPREAD, AMPLITUDE_SPREAD, n_transmits)
    return torch.from_numpy(delays), torch.from_numpy(amplitudes)


def _noise(
    own: np.ndarray, row: int, array: TransducerArray, recorder: Recorder, settings: TraceSettings
) -> np.ndarray:
    """White noise for the traces (rx, time) of a transmit, of a level set by what arrives straight."""
    if settings.snr_db is None:
        return np.zeros_like(own)
    times = np.arange(own.shape[1]) / recorder.sampling_frequency
    paths = torch.linalg.vector_norm(
        array.positions[array.receives] - array.positions[array.transmits[row]], dim=1
    ).numpy()
    arrival = paths[:, None] / recorder.simulation.water_sound_speed
    straight = (times >= arrival) & (times < arrival + recorder.pulse.length) & (arrival > 0)
    power = float(np.square(own[straight], dtype=np.float64).mean()) if straight.any() else 0.0
    level = math.sqrt(power) * 10 ** (-settings.snr_db / 20)
    random = np.random.default_rng([settings.seed, 2, row])
    return (level * random.standard_normal(own.shape, dtype=np.float32)).astype(np.float32)


def _fingerprint(medium: Medium, array: TransducerArray, settings: TraceSettings) -> str:
    """Hash of all that the traces depend on."""
    digest = hashlib.sha256(repr((settings, medium.grid)).encode())
    maps = (medium.sound_speed, medium.attenuation, medium.density)
    for values in (*maps, array.positions, array.transmits, array.receives):
        digest.update(b"" if values is None else values.contiguous().numpy().tobytes())
    digest.update(repr((medium.attenuation_power, medium.reference_frequency)).encode())
    return digest.hexdigest()
