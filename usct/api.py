"""The verbs of usct as Python functions: the one place where the parts are put together."""

import hashlib
import math
import platform
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import scipy
import torch

import usct
from usct import io, signals
from usct.acquisition import Acquisition, Spectra, TransducerArray
from usct.config import RunConfig
from usct.errors import InputError
from usct.forward.parallel import single_threaded_blas
from usct.grid import Grid
from usct.inversion.loop import Discretization, Inversion
from usct.inversion.schedule import Schedule, Stage, continuation
from usct.inversion.state import State
from usct.medium import Medium
from usct.misfit.selection import select
from usct.parameterization.pixel import PixelGrid
from usct.phantom import Phantom
from usct.preflight import below_nyquist, check_simulation, check_size, check_start, usable_device, water_of
from usct.reconstruction import Iterate, Reconstruction
from usct.starting.homogeneous import estimate_water_sound_speed

SIMULATION_POINTS_PER_WAVELENGTH = 8.0
SIMULATION_PML_CELLS = 14
DEFAULT_FREQUENCIES = tuple(1e3 * f for f in range(200, 651, 50))
QUIETEST_BAND_DB = -40.0
LARGEST_IMAGE_CELLS = 2**25


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
    speeds = phantom.medium.sound_speed
    slowest, fastest = float(speeds.min()), float(speeds.max())
    discretization = Discretization(
        SIMULATION_POINTS_PER_WAVELENGTH, (slowest, fastest), water_of(phantom.medium), SIMULATION_PML_CELLS
    )
    rows = []
    for number, frequency in enumerate(frequencies):
        if on_progress:
            on_progress(number / len(frequencies), f"Simulating {frequency / 1e3:g} kHz")
        if spacing is not None:
            discretization = replace(discretization, points_per_wavelength=slowest / (frequency * spacing))
        check_size(array, frequency, slowest, discretization.points_per_wavelength)
        model = discretization.model(array, phantom.medium, frequency, 0.0)
        nothing = torch.zeros(model.grid.shape, dtype=torch.bool)
        try:
            rows.append(
                model.linearize(phantom.medium.resampled(model.grid), frequency, nothing, check=False).data
            )
        except ValueError as error:
            raise InputError(str(error)) from None
    if on_progress:
        on_progress(1.0, "Adding noise")
    values = torch.stack(rows)
    generator = torch.Generator().manual_seed(seed)
    draws = torch.randn((len(values), values.shape[1], 2), generator=generator, dtype=torch.float64)
    weights = torch.polar(torch.exp(0.2 * draws[..., 0]), 2 * torch.pi * draws[..., 1])
    values = weights[..., None] * values
    if snr_db is not None:
        values = values + signals.complex_noise(values, snr_db, generator)
    spectra = Spectra.of(values, torch.tensor(list(frequencies), dtype=torch.float64))
    metadata = {"snr_db": str(snr_db), "seed": str(seed), "simulated_by": f"usct {usct.__version__}"}
    return Acquisition(
        array,
        spectra,
        discretization.water_sound_speed,
        truth=phantom.medium,
        title=phantom.title,
        metadata=metadata,
    )


def reconstruct(
    acquisition: Acquisition,
    config: RunConfig,
    on_iterate: Callable[[Iterate], None] | None = None,
    checkpoint: Path | None = None,
    resume: bool = False,
) -> Reconstruction:
    """Reconstruct the sound speed by full-waveform inversion. The scan's truth is not looked at.

    Args:
        acquisition: Scan.
        config: Settings.
        on_iterate: Called after every update; an interrupt from within it, or Ctrl-C, cancels the run.
        checkpoint: File that is brought up to date after every update.
        resume: Go on from the checkpoint; the result equals that of an uninterrupted run bit for bit.

    Raises:
        InputError: If scan, settings and checkpoint do not fit together.
    """
    began = time.perf_counter()
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    observed, water, notes = _prepare(acquisition, config)
    inversion = _inversion(acquisition, config, observed, water)
    fingerprint = _fingerprint(config, acquisition, observed, water)
    state = _load_state(checkpoint, fingerprint) if resume else None
    iterates = inversion.iterate(observed, state)
    try:
        with _termination_as_interrupt(), single_threaded_blas():
            while True:
                iterate = next(iterates)
                if checkpoint is not None:
                    io.save_arrays(
                        checkpoint, dict(iterate.arrays), dict(iterate.texts) | {"fingerprint": fingerprint}
                    )
                if on_iterate is not None:
                    on_iterate(iterate)
    except StopIteration as end:
        result: Reconstruction = end.value
    except KeyboardInterrupt:
        result = inversion.cancelled()
    facts = _provenance(config, water, time.perf_counter() - began) | notes
    return replace(result, provenance=facts)


def _prepare(acquisition: Acquisition, config: RunConfig) -> tuple[Spectra, float, dict[str, str]]:
    """Data to invert, the water's sound speed, and remarks."""
    if acquisition.array.positions.shape[1] != 2:
        raise InputError("the scan's elements have three coordinates; give a two-dimensional slice of it")
    frequencies = _frequencies(acquisition, config)
    tau = config.schedule.damping_time_us
    if tau is not None and isinstance(acquisition.data, Spectra):
        raise InputError("schedule.damping_time_us needs traces, but the scan holds spectra; leave it out")
    damping = 0.0 if tau is None else 1e6 / tau
    try:
        spectra = acquisition.spectra(torch.tensor(frequencies, dtype=torch.float64), damping=damping)
    except ValueError as error:
        raise InputError(f"schedule.frequencies_mhz: {error}") from None
    try:
        spectra, notes = _audible(spectra, config)
        water = config.water.sound_speed or acquisition.water_sound_speed
        if water is None:
            water = estimate_water_sound_speed(spectra, acquisition.array)
            notes["water_sound_speed_source"] = "estimated from neighbouring elements"
        misfit = config.misfit
        observed = select(
            spectra, acquisition.array, math.radians(misfit.mute_angle_deg), misfit.outlier_fraction
        )
    except ValueError as error:
        raise InputError(str(error)) from None
    return observed, water, notes


def _frequencies(acquisition: Acquisition, config: RunConfig) -> list[float]:
    """The frequencies asked for, or those recorded, thinned out evenly."""
    if config.schedule.frequencies_mhz is not None:
        return sorted(1e6 * f for f in config.schedule.frequencies_mhz)
    have = (
        sorted(acquisition.data.frequencies.tolist())
        if isinstance(acquisition.data, Spectra)
        else below_nyquist(acquisition.data, DEFAULT_FREQUENCIES)
    )
    most = config.schedule.max_frequencies
    picked = np.unique(np.linspace(0, len(have) - 1, min(most, len(have))).round().astype(int))
    return [have[i] for i in picked]


def _audible(spectra: Spectra, config: RunConfig) -> tuple[Spectra, dict[str, str]]:
    """Leave out frequencies at which the source sent next to nothing, or refuse if they were asked for."""
    level = 20 * torch.log10(spectra.values.abs().square().mean(dim=(1, 2)).sqrt().clamp(min=1e-300))
    level = level - level.max()
    quiet = [
        f for f, db in zip(spectra.frequencies.tolist(), level.tolist(), strict=True) if db < QUIETEST_BAND_DB
    ]
    if not quiet:
        return spectra, {}
    names = ", ".join(f"{f / 1e3:g}" for f in quiet)
    if config.schedule.frequencies_mhz is not None:
        raise InputError(
            f"the data hold next to nothing at {names} kHz ({-QUIETEST_BAND_DB:g} dB below their strongest frequency); "
            "leave these out of schedule.frequencies_mhz"
        )
    kept = torch.tensor([f for f in spectra.frequencies.tolist() if f not in quiet], dtype=torch.float64)
    return spectra.at(kept), {"frequencies_left_out": f"{names} kHz: too weak in the data"}


def _inversion(acquisition: Acquisition, config: RunConfig, observed: Spectra, water: float) -> Inversion:
    array, grid, bounds = acquisition.array, config.grid, config.bounds
    highest = float(observed.frequencies.max())
    spacing = bounds.expected[0] / (6 * highest)
    if grid.image_spacing_mm is not None:
        spacing = 1e-3 * grid.image_spacing_mm
    centre = array.centre
    radius = grid.region_fraction * float(torch.linalg.vector_norm(array.positions - centre, dim=1).min())
    if (2 * radius / spacing) ** 2 > LARGEST_IMAGE_CELLS:
        raise InputError(
            f"grid.image_spacing_mm = {1e3 * spacing:g} makes an image of {2 * radius / spacing:.0f} cells each way; "
            "choose a larger one"
        )
    check_size(array, highest, bounds.expected[0], grid.points_per_wavelength)
    centred = Grid.covering(radius + spacing, spacing)
    image = Grid(centred.shape, spacing, tuple((torch.tensor(centred.origin) + centre).tolist()))
    start = Medium.homogeneous(image, config.start.sound_speed or water)
    if config.start.sound_speed is None and acquisition.start is not None:
        start = acquisition.start.resampled(image)
    check_start(start, bounds.sound_speed)
    region = image.disc(radius, tuple(centre.tolist()))
    # Outside the region there is water, whatever the start inside it.
    background = replace(start, sound_speed=torch.where(region, start.sound_speed, water))
    parameterization = PixelGrid(background, region, bounds.sound_speed)
    discretization = Discretization(
        grid.points_per_wavelength,
        bounds.expected,
        water,
        grid.pml_cells,
        usable_device(config.device),
        torch.complex64 if config.precision == "mixed" else torch.complex128,
    )
    return Inversion(array, discretization, parameterization, _schedule(observed, config), image)


def _schedule(observed: Spectra, config: RunConfig) -> Schedule:
    settings = config.schedule
    template = Stage(
        (1.0,), optimizer=settings.optimizer, n_inner=settings.inner_iterations, cutoff=settings.cutoff
    )
    weights = None if config.misfit.source_weights == "auto" else config.misfit.source_weights
    return continuation(tuple(observed.frequencies.tolist()), settings.iterations, weights, template)


def _fingerprint(config: RunConfig, acquisition: Acquisition, observed: Spectra, water: float) -> str:
    """Hash of everything that a checkpoint depends on; where to compute and with how many threads is not part."""
    digest = hashlib.sha256(config.model_dump_json(exclude={"device", "threads", "description"}).encode())
    start = None if acquisition.start is None else acquisition.start.sound_speed
    array = acquisition.array
    for values in (
        observed.values,
        observed.weights,
        array.positions,
        array.transmits,
        array.receives,
        start,
    ):
        digest.update(b"" if values is None else values.detach().cpu().contiguous().numpy().tobytes())
    digest.update(f"{water!r} {observed.damping!r} {observed.frequencies.tolist()}".encode())
    return digest.hexdigest()


def _load_state(checkpoint: Path | None, fingerprint: str) -> State:
    if checkpoint is None or not checkpoint.exists():
        raise InputError(f"{checkpoint}: there is no checkpoint to resume from; start without --resume")
    arrays, texts = io.load_arrays(checkpoint)
    if texts.get("fingerprint") != fingerprint:
        raise InputError(
            f"{checkpoint}: was made from another scan or with other settings; "
            "use those, or start afresh without --resume"
        )
    return State.from_arrays(arrays, texts)


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
