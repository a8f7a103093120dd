"""From a scan and settings to an inversion that is ready to run."""

import copy
import hashlib
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from usct import io
from usct.acquisition import Acquisition, Spectra, TransducerArray
from usct.calibration.line_source import referenced_to_water
from usct.choosing import choose_parameterization, kernel_of, schedule_of
from usct.config import RunConfig
from usct.errors import InputError
from usct.given_start import BONE_SPEED as BONE_SPEED
from usct.given_start import inform, known_properties, with_fitted_bone
from usct.grid import Grid
from usct.inversion.discretization import Discretization
from usct.inversion.loop import Inversion
from usct.inversion.state import State
from usct.listening import clear_frequencies, loud_frequencies
from usct.medium import Medium
from usct.misfit.selection import select
from usct.preflight import check_size, check_start, usable_device
from usct.starting.disc import estimate_disc
from usct.starting.homogeneous import estimate_water_sound_speed
from usct.starting.travel_time.imaging import travel_time_start

DEFAULT_FREQUENCIES = tuple(1e3 * f for f in range(200, 651, 50))
QUIETEST_BAND_DB = -40.0
LARGEST_IMAGE_CELLS = 2**25


def prepare(acquisition: Acquisition, config: RunConfig) -> tuple[Spectra, float, dict[str, str]]:
    """Data to invert, the water's sound speed, and remarks."""
    if acquisition.array.positions.shape[1] != 2:
        raise InputError("the scan's elements have three coordinates; give a two-dimensional slice of it")
    frequencies = _frequencies(acquisition, config)
    tau = config.schedule.damping_time_us
    if tau is not None and isinstance(acquisition.data, Spectra):
        raise InputError("schedule.damping_time_us needs traces, but the scan holds spectra; leave it out")
    damping = 0.0 if tau is None else 1e6 / tau
    try:
        spectra = _spectra(acquisition, config, frequencies, damping)
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
            spectra,
            acquisition.array,
            math.radians(misfit.mute_angle_deg),
            misfit.outlier_fraction,
            math.radians(misfit.widest_angle_deg),
        )
    except ValueError as error:
        raise InputError(str(error)) from None
    return observed, water, notes


def _spectra(
    acquisition: Acquisition, config: RunConfig, frequencies: list[float], damping: float
) -> Spectra:
    """Spectra as the settings window the traces."""
    window = config.traces
    before, after = (None if us is None else 1e-6 * us for us in (window.before_us, window.after_us))
    wanted = torch.tensor(frequencies, dtype=torch.float64)
    return acquisition.spectra(
        wanted, window.sound_speed, damping, before, math.inf if after is None else after
    )


def referenced(acquisition: Acquisition, shot: Acquisition, config: RunConfig) -> Acquisition:
    """The scan's spectra over those of a water shot, times the model's water, at the frequencies of the settings.

    Raises:
        InputError: If the two were not recorded alike, or a frequency is in neither.
    """
    frequencies = _frequencies(acquisition, config)
    try:
        over, under = (_spectra(scan, config, frequencies, 0.0) for scan in (acquisition, shot))
        water = config.water.sound_speed or shot.water_sound_speed or acquisition.water_sound_speed
        water = water or estimate_water_sound_speed(under, shot.array)
        data = referenced_to_water(over, under, acquisition.array, water)
    except ValueError as error:
        raise InputError(str(error)) from None
    note = "Spectra are over those of a water shot, times the model's water."
    notes = (*acquisition.notes, note)
    return replace(acquisition, data=data, water_sound_speed=water, notes=notes, water=None)


def _frequencies(acquisition: Acquisition, config: RunConfig) -> list[float]:
    """The frequencies asked for, or those recorded, thinned out evenly."""
    if config.schedule.frequencies_mhz is not None:
        return sorted(1e6 * f for f in config.schedule.frequencies_mhz)
    have = (
        sorted(acquisition.data.frequencies.tolist())
        if isinstance(acquisition.data, Spectra)
        else clear_frequencies(acquisition, loud_frequencies(acquisition, DEFAULT_FREQUENCIES))
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


def build_inversion(
    acquisition: Acquisition, config: RunConfig, observed: Spectra, water: float
) -> Inversion:
    """The inversion that the settings describe, its image centred on the array.

    Raises:
        InputError: If image or solver would be too large, or the start lies outside the bounds.
    """
    acquisition = with_fitted_bone(
        acquisition,
        config,
        observed,
        water,
        lambda scan, trial, data: build_inversion(scan, trial, data, water).run(data).history[-1].objective,
    )
    array, grid, bounds = acquisition.array, config.grid, config.bounds
    check_size(array, float(observed.frequencies.max()), bounds.expected[0], grid.points_per_wavelength)
    start = start_model(acquisition, config, observed, water)
    check_start(start, bounds.sound_speed)
    centre, image, radius = array.centre, start.grid, _radius(array, config)
    region = image.disc(radius, tuple(centre.tolist()))
    background = _surrounded(start, tuple(centre.tolist()), radius, water, float(observed.frequencies.min()))
    parameterization = choose_parameterization(config, background, region, observed, array, water)
    inform(parameterization, acquisition, config, start, water)
    known = known_properties(acquisition, config, observed)
    if known is not None:
        known = _surrounded(known, tuple(centre.tolist()), radius, water, float(observed.frequencies.min()))
    discretization = Discretization(
        grid.points_per_wavelength,
        bounds.expected,
        water,
        grid.pml_cells,
        usable_device(config.device),
        torch.complex64 if config.precision == "mixed" else torch.complex128,
        config.forward.engine,
        known,
        copy.deepcopy(parameterization),
        math.inf if grid.coarsest_mm is None else 1e-3 * grid.coarsest_mm,
    )
    kernel = kernel_of(config, image.points()[region], observed, array)
    return Inversion(array, discretization, parameterization, schedule_of(observed, config, kernel), image)


def start_model(acquisition: Acquisition, config: RunConfig, observed: Spectra, water: float) -> Medium:
    """The uniform start or travel times asked for, else the file's, else a convincing disc, else water.

    Returns:
        The start on the grid of the image.

    Raises:
        InputError: If the image would be too large, or no travel times can be picked although they are asked for.
    """
    image = _image(acquisition.array, config, float(observed.frequencies.max()))
    if config.start.sound_speed is not None:
        return Medium.homogeneous(image, config.start.sound_speed)
    if config.start.travel_times:
        try:
            return travel_time_start(acquisition, water, image, water / float(observed.frequencies.min()))
        except ValueError as error:
            raise InputError(f"start.travel_times: {error}; set it to false") from None
    if acquisition.start is not None:
        return acquisition.start.resampled(image)
    if config.start.disc:
        disc = estimate_disc(observed, acquisition.array, water)
        low, high = config.bounds.sound_speed
        if disc.convincing and low <= disc.sound_speed <= high:
            edge = water / float(observed.frequencies[0])
            return disc.medium(image, tuple(acquisition.array.centre.tolist()), edge)
    return Medium.homogeneous(image, water)


def _radius(array: TransducerArray, config: RunConfig) -> float:
    """Radius about the array's centre within which the image may change [m]."""
    nearest = torch.linalg.vector_norm(array.positions - array.centre, dim=1).min()
    return config.grid.region_fraction * float(nearest)


def _image(array: TransducerArray, config: RunConfig, highest: float) -> Grid:
    """Grid of the image, fine enough for the highest frequency [Hz]."""
    radius, spacing = _radius(array, config), config.bounds.expected[0] / (6 * highest)
    if config.grid.image_spacing_mm is not None:
        spacing = 1e-3 * config.grid.image_spacing_mm
    if (2 * radius / spacing) ** 2 > LARGEST_IMAGE_CELLS:
        raise InputError(
            f"grid.image_spacing_mm = {1e3 * spacing:g} makes an image of {2 * radius / spacing:.0f} cells each way; "
            "choose a larger one"
        )
    centred = Grid.covering(radius + spacing, spacing)
    return Grid(centred.shape, spacing, tuple((torch.tensor(centred.origin) + array.centre).tolist()))


def _surrounded(
    start: Medium, centre: tuple[float, ...], radius: float, water: float, frequency: float
) -> Medium:
    """The start with water outside a radius [m], whatever it holds there.

    Between the two lies a slope half of the longest wavelength wide: updates have no detail finer than half a
    wavelength, and could never remove an edge. Where the start has bone close to the radius, the slope is as narrow as
    that leaves it, but for two cells.
    """
    offset = start.grid.points() - torch.tensor(centre, dtype=torch.float64)
    distance = torch.linalg.vector_norm(offset, dim=-1)
    bone = start.sound_speed > BONE_SPEED
    gap = radius - float(distance[bone].max()) if bool(bone.any()) else math.inf
    width = min(0.5 * water / frequency, max(gap, 2 * start.grid.spacing))
    share = torch.sin(0.5 * torch.pi * ((radius - distance) / width).clamp(0, 1)).square()
    slowness = (1 - share) / water + share / start.sound_speed
    return replace(start, sound_speed=1.0 / slowness)


def fingerprint(config: RunConfig, acquisition: Acquisition, observed: Spectra, water: float) -> str:
    """Hash of everything that a checkpoint depends on; where to compute and with how many threads is not part."""
    digest = hashlib.sha256(config.model_dump_json(exclude={"device", "threads", "description"}).encode())
    start, known = acquisition.start, known_properties(acquisition, config, observed)
    array = acquisition.array
    for values in (
        observed.values,
        observed.weights,
        array.positions,
        array.transmits,
        array.receives,
        None if start is None else start.sound_speed,
        None if known is None else known.density,
        None if known is None else known.attenuation,
    ):
        digest.update(b"" if values is None else values.detach().cpu().contiguous().numpy().tobytes())
    digest.update(f"{water!r} {observed.damping!r} {observed.frequencies.tolist()}".encode())
    return digest.hexdigest()


def load_state(checkpoint: Path | None, expected: str) -> State:
    """Where a checkpoint stands.

    Args:
        checkpoint: Its file.
        expected: Fingerprint of the run that it must belong to.

    Raises:
        InputError: If there is none, or it is another run's.
    """
    if checkpoint is None or not checkpoint.exists():
        raise InputError(f"{checkpoint}: there is no checkpoint to resume from; start without --resume")
    arrays, texts = io.load_arrays(checkpoint)
    if texts.get("fingerprint") != expected:
        raise InputError(
            f"{checkpoint}: was made from another scan or with other settings; "
            "use those, or start afresh without --resume"
        )
    return State.from_arrays(arrays, texts)
