"""The verbs of usct as Python functions: the one place where the parts are put together."""

import json
import math
import platform
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import scipy
import torch

import usct
from usct import io, signals
from usct.acquisition import Acquisition, Spectra, TransducerArray
from usct.assembly import build_inversion, fingerprint, load_state, prepare
from usct.choosing import capacity_warning
from usct.config import DEFAULT_PRESET, RunConfig, load_config
from usct.diagnosis import Diagnosis
from usct.diagnostics.compose import Facts, Progress
from usct.diagnostics.compose import diagnose as compose_diagnosis
from usct.diagnostics.data_side import nothing_left
from usct.diagnostics.sides import Options
from usct.errors import InputError
from usct.forward.parallel import single_threaded_blas
from usct.given_start import told_of_tissues
from usct.inversion.discretization import Discretization
from usct.inversion.reciprocity import noise_power as reciprocity_noise
from usct.inversion.skipping import Watch, n_solves
from usct.listening import noise_power
from usct.medium import Medium
from usct.phantom import Phantom
from usct.preflight import check_simulation, check_size, water_of
from usct.reconstruction import Iterate, Reconstruction, Status
from usct.revisiting import Frequency, Place, settings_of, steps_of, visit

SIMULATION_POINTS_PER_WAVELENGTH = 8.0
SIMULATION_PML_CELLS = 14
RELATIVE_ATTENUATION = (
    "relative: strengths of transmits and receives are fitted to the same data, and take part of the loss"
)


def simulate(
    phantom: Phantom,
    array: TransducerArray,
    frequencies: Sequence[float],
    snr_db: float | None = 40.0,
    seed: int = 0,
    spacing: float | None = None,
    on_progress: Callable[[float, str], None] | None = None,
) -> Acquisition:
    """Simulate the spectra that a ring records from a phantom, with an unknown pulse and noise.

    The phantom's attenuation and density take part. The grid is finer than an inversion's, so that data and
    inversion do not share their discretisation; every transmit has an unknown complex weight.

    Args:
        phantom: What is scanned.
        array: Elements.
        frequencies: Frequencies [Hz].
        snr_db: Signal-to-noise ratio per frequency, against the rms of the data; None for no noise [dB].
        seed: Seed of weights and noise.
        spacing: Grid spacing for all frequencies [m]; by default 8 points per wavelength at each.
        on_progress: Called with the share done and a sentence.

    Raises:
        InputError: If elements lie inside the object, or the grid is too coarse for a frequency.
    """
    check_simulation(phantom.medium, array, frequencies)
    rows = []
    for number, frequency in enumerate(frequencies):
        if on_progress:
            on_progress(number / len(frequencies), f"Simulating {frequency / 1e3:g} kHz")
        rows.append(_unit_source_data(phantom.medium, array, frequency, spacing))
    if on_progress:
        on_progress(1.0, "Adding noise")
    values = _disguised(torch.stack(rows), snr_db, seed)
    spectra = Spectra.of(values, torch.tensor(list(frequencies), dtype=torch.float64))
    metadata = {"snr_db": str(snr_db), "seed": str(seed), "simulated_by": f"usct {usct.__version__}"}
    water = water_of(phantom.medium)
    return Acquisition(array, spectra, water, truth=phantom.medium, title=phantom.title, metadata=metadata)


def _unit_source_data(
    medium: Medium, array: TransducerArray, frequency: float, spacing: float | None
) -> torch.Tensor:
    """Data of unit sources at one frequency, shape (tx, rx)."""
    speeds = medium.sound_speed
    slowest, fastest = float(speeds.min()), float(speeds.max())
    points = SIMULATION_POINTS_PER_WAVELENGTH if spacing is None else slowest / (frequency * spacing)
    check_size(array, frequency, slowest, points)
    discretization = Discretization(points, (slowest, fastest), water_of(medium), SIMULATION_PML_CELLS)
    model = discretization.model(array, (slowest, fastest), frequency, damping=0.0)
    nothing = torch.zeros(model.grid.shape, dtype=torch.bool)
    try:
        return model.linearize(medium.resampled(model.grid), frequency, nothing).data
    except ValueError as error:
        raise InputError(str(error)) from None


def _disguised(values: torch.Tensor, snr_db: float | None, seed: int) -> torch.Tensor:
    """Data (freq, tx, rx) times an unknown complex weight for each frequency and transmit, plus noise."""
    generator = torch.Generator().manual_seed(seed)
    draws = torch.randn((len(values), values.shape[1], 2), generator=generator, dtype=torch.float64)
    weights = torch.polar(torch.exp(0.2 * draws[..., 0]), 2 * torch.pi * draws[..., 1])
    values = weights[..., None] * values
    return values if snr_db is None else values + signals.complex_noise(values, snr_db, generator)


def reconstruct(
    acquisition: Acquisition,
    config: RunConfig | str = DEFAULT_PRESET,
    on_iterate: Callable[[Iterate], None] | None = None,
    checkpoint: Path | None = None,
    resume: bool = False,
    keep: Path | None = None,
) -> Reconstruction:
    """Reconstruct the sound speed by full-waveform inversion. The scan's truth is not looked at.

    Args:
        acquisition: Scan.
        config: Settings, or the name of a preset.
        on_iterate: Called after every update; an interrupt from within it, or Ctrl-C, cancels the run.
        checkpoint: File that is brought up to date after every update.
        resume: Go on from the checkpoint; the result equals that of an uninterrupted run bit for bit.
        keep: Folder in which a checkpoint of every update stays, for `diagnose` to follow the run.

    Raises:
        InputError: If scan, settings and checkpoint do not fit together.
    """
    began = time.perf_counter()
    if isinstance(config, str):
        config = load_config(config, None, [])
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    observed, water, notes = prepare(acquisition, config)
    inversion = build_inversion(acquisition, config, observed, water)
    notes |= told_of_tissues(acquisition, config, inversion.start)
    if config.schedule.stop == "auto":
        inversion.enough = lambda point: nothing_left(point, inversion.grid)
    watch = watch_of(acquisition, observed, inversion.discretization, water)
    inversion.misses = watch.missed
    highest = 2 * math.pi * float(observed.frequencies.max()) / water
    warning = capacity_warning(inversion.parameterization, inversion.grid, highest, config.schedule.cutoff)
    notes |= {"warning": warning} if warning else {}
    if config.attenuation.invert and config.misfit.source_weights != "none":
        notes["attenuation"] = RELATIVE_ATTENUATION
    identity = fingerprint(config, acquisition, observed, water)
    state = load_state(checkpoint, identity) if resume else None
    iterates = inversion.iterate(observed, state)
    try:
        with _termination_as_interrupt(), single_threaded_blas():
            while True:
                iterate = next(iterates)
                _save(iterate, identity, checkpoint, keep)
                if on_iterate is not None:
                    on_iterate(iterate)
    except StopIteration as end:
        result: Reconstruction = end.value
    except KeyboardInterrupt:
        result = inversion.cancelled()
    result = _watched(result, watch)
    facts = _provenance(config, water, time.perf_counter() - began) | notes
    return replace(result, provenance=facts | dict(result.provenance))


def watch_of(
    acquisition: Acquisition, observed: Spectra, discretization: Discretization, water: float
) -> Watch:
    """What tells cycle skips, with the noise as reciprocal pairs show it, or else what precedes arrivals in traces."""
    noise = reciprocity_noise(observed, acquisition.array)
    if noise is None:
        noise = noise_power(acquisition, observed.frequencies.tolist())
    return Watch(acquisition, observed, discretization, water, noise)


def _save(iterate: Iterate, identity: str, checkpoint: Path | None, folder: Path | None) -> None:
    """Write where a run stands to its checkpoint, and to one of its own in a folder that keeps them all."""
    kept = None if folder is None else folder / f"{iterate.record.iteration:03d}.checkpoint"
    for file in (checkpoint, kept):
        if file is not None:
            io.save_arrays(file, dict(iterate.arrays), dict(iterate.texts) | {"fingerprint": identity})


def _watched(result: Reconstruction, watch: Watch) -> Reconstruction:
    """The result with what the data say of cycle skips, if the run came to its end."""
    if result.status is not Status.FINISHED:
        return result
    skips = watch.compare(result.start, result.medium, result.history)
    message, solves = f"{result.message} {skips.warning}".rstrip(), str(n_solves(watch.observed))
    return replace(result, skips=skips, message=message, provenance={"solves_for_cycle_skips": solves})


def diagnose(
    result: Reconstruction,
    scan: Acquisition,
    frequency: Frequency = None,
    at: Place = "end",
    options: Options | None = None,
    plain: bool = False,
    device: str = "auto",
    on_progress: Progress | None = None,
    along: Sequence[Path] = (),
) -> Diagnosis:
    """Tell what a scan's data support at one point of a run: detail, certainty, and what is left to learn.

    Args:
        result: What `reconstruct` made of the scan.
        scan: The same scan; its truth is not looked at.
        frequency: Whose data to look at [Hz], or "all" for those of the whole run; None for the last that the
            run had come to, and for the first at its start.
        at: "start" or "end" of the run, or the file of a checkpoint.
        options: How thorough to be.
        plain: Describe plain gradient steps even where Adam made the image.
        device: Where to compute: auto, cpu or cuda:0.
        on_progress: Called with the share done and a sentence.
        along: Checkpoints that the run left, see `reconstruct`, to follow the kernel's drift; each takes a solution of
            the wave equation.

    Raises:
        InputError: If result, scan, checkpoints and frequency do not fit together.
    """
    began, options = time.perf_counter(), options or Options()
    config = settings_of(result).model_copy(update={"device": device})
    if on_progress is not None:
        on_progress(0.0, "Solving the wave equation")
    with single_threaded_blas():
        place = visit(result, scan, config, frequency, at, plain, along)
        most = min(place.kernels.n_data, place.kernels.n_parameters)
        if options.n_modes > most:
            raise InputError(
                f"modes is {options.n_modes}, but there are only {most}: {place.kernels.n_data} data and "
                f"{place.kernels.n_parameters} parameters; ask for fewer"
            )
        name, stage = at.name if isinstance(at, Path) else at, place.stage
        steps = steps_of(result, stage) if place.kernels.point.damping == 0 else ()
        facts = Facts(name, config.parameterization.name, place.optimizer, min(stage.cutoff, 1.0), steps)
        later = place.later if along else None
        made = compose_diagnosis(place.kernels, facts, place.start, options, on_progress, later)
    provenance = {"usct": usct.__version__, "seconds": f"{time.perf_counter() - began:.1f}"}
    return replace(made, provenance=provenance | {"options": json.dumps(asdict(options))})


@contextmanager
def _termination_as_interrupt() -> Iterator[None]:
    """Let SIGTERM, which batch systems send, cancel like Ctrl-C; only a main thread may ask for that."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _provenance(config: RunConfig, water: float, seconds: float) -> dict[str, str]:
    return {
        "usct": usct.__version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {torch.get_num_threads()} threads",
        "config": config.model_dump_json(),
        "water_sound_speed": f"{water:.2f} m/s",
        "seconds": f"{seconds:.1f}",
    }
