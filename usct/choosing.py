"""From settings to the stages of a run and the representation that they name, placed for the waves at hand."""

import math
from functools import partial

import torch

from usct.acquisition import Spectra, TransducerArray
from usct.config import RunConfig
from usct.errors import InputError
from usct.grid import Grid
from usct.inversion.schedule import (
    EDGE_SOLVES,
    Kernel,
    Schedule,
    Stage,
    continuation,
    with_attenuation,
    with_edges,
    with_misfits,
    within_budget,
)
from usct.inversion.skipping import n_solves
from usct.medium import Medium
from usct.parameterization.base import Parameterization
from usct.parameterization.features import instrument_features, instrument_share
from usct.parameterization.fourier import FourierNetwork
from usct.parameterization.hybrid import Hybrid
from usct.parameterization.lossy import Lossy, companion, companion_bounds
from usct.parameterization.multigrid import MultiGrid
from usct.parameterization.network import require_resolved
from usct.parameterization.pixel import PixelGrid
from usct.parameterization.siren import FITTED_LAYERS, Siren
from usct.parameterization.spectrum import EDGE, RadialSpectrum, fresnel_wavenumber, tailored_spectrum
from usct.parameterization.tailored import TailoredGrid
from usct.units import attenuation_from_db

N_POINTS = 400
"""Points of the field of view at which the instrument's own wavenumbers are looked at."""


def choose_parameterization(
    config: RunConfig,
    start: Medium,
    region: torch.Tensor,
    observed: Spectra,
    array: TransducerArray,
    water: float,
) -> Parameterization:
    """The representation that the settings name, standing at the start model.

    Raises:
        InputError: If its features would reach beyond what the image grid can hold.
    """
    ends = 2 * math.pi / water * torch.stack([observed.frequencies.min(), observed.frequencies.max()])
    waves = (float(ends[0]), float(ends[1]))
    try:
        speed = _build(config, start, region, waves, observed, array)
        return (
            _with_loss(speed, config, start, waves, observed, array) if config.attenuation.invert else speed
        )
    except ValueError as error:
        raise InputError(f"parameterization.name = {config.parameterization.name}: {error}") from None


def kernel_of(
    config: RunConfig, region_points: torch.Tensor, observed: Spectra, array: TransducerArray
) -> Kernel | None:
    """How tailored kernels come about: None for by the data."""
    settings = config.parameterization
    if settings.tailoring == "measured":
        return None
    share = None
    if settings.tailoring == "instrument":
        share = instrument_share(array, observed.weights.amax(dim=0), _some(region_points), settings.seed)
    return Kernel(settings.sharpness, settings.reach, share)


def capacity_warning(parameterization: Parameterization, image: Grid, wave: float, edge: float) -> str | None:
    """A sentence if there are fewer parameters than the data determine, (k a)^2 for a disc of radius a.

    Args:
        parameterization: What is trained.
        image: Grid of the image.
        wave: Wavenumber of the waves at the highest frequency [rad/m].
        edge: Share of the diffraction limit up to which detail is admitted.
    """
    area = float(parameterization.free_cells(image).sum()) * image.spacing**2
    needed = round((min(edge, 1.0) * wave) ** 2 * area / math.pi)
    count = sum(p.numel() for p in parameterization.parameters())
    if count >= needed:
        return None
    return (
        f"the representation has {count} parameters, but the data determine about {needed} numbers at the highest "
        "frequency; detail is lost, so use tailored or pixel, or lower frequencies"
    )


def _build(
    config: RunConfig,
    start: Medium,
    region: torch.Tensor,
    waves: tuple[float, float],
    observed: Spectra,
    array: TransducerArray,
) -> Parameterization:
    settings, bounds = config.parameterization, config.bounds.sound_speed
    edge = min(config.schedule.cutoff, 1.0)
    highest, seed = edge * 2 * waves[1], settings.seed
    shape = (settings.sharpness, settings.reach, edge)
    # Grids from detail that controls travel times to half the shortest wave that is admitted.
    scales = (2 * math.pi / fresnel_wavenumber(waves[0], 2 * array.radius), math.pi / highest)
    match settings.name:
        case "pixel":
            return PixelGrid(start, region, bounds)
        case "filtered":
            return PixelGrid(start, region, bounds, partial(_filter, *shape))
        case "fourier":
            return FourierNetwork(start, region, bounds, "gaussian", highest, seed=seed)
        case "siren":
            if settings.siren == "original":
                return Siren(start, region, bounds, seed=seed)
            middle = 0.5 * highest
            return Siren(
                start, region, bounds, rescaled=True, wavenumber=middle, n_layers=FITTED_LAYERS, seed=seed
            )
        case "multigrid":
            return MultiGrid(start, region, bounds, *scales, seed=seed)
        case "hybrid":
            return Hybrid(
                start, region, bounds, 0.5, *scales, rescaled=True, wavenumber=0.5 * highest, seed=seed
            )
    if settings.head == "linear":
        # What the last stage will need: better refused now than after the first ones have run.
        require_resolved(start.grid, highest * (1 + EDGE if settings.tailoring == "measured" else 1))
        return TailoredGrid(start, region, bounds, tailored_spectrum(waves[0], *shape))
    adaptive = settings.tailoring == "measured"
    network = FourierNetwork(
        start, region, bounds, "tailored", highest, None, *shape[:2], adaptive=adaptive, seed=seed
    )
    if settings.tailoring == "instrument":
        points, spectrum = _some(start.grid.points()[region]), tailored_spectrum(waves[1], *shape)
        weights, count = observed.weights[-1], network.n_features
        network.use(instrument_features(spectrum, array, weights, waves[1], points, count, seed))
    return network


def _with_loss(
    speed: Parameterization,
    config: RunConfig,
    start: Medium,
    waves: tuple[float, float],
    observed: Spectra,
    array: TransducerArray,
) -> Lossy:
    """The same with an attenuation, made by pixels or by another network of the same kind."""
    low, high = (attenuation_from_db(a) for a in config.attenuation.bounds_db_per_cm)
    nothing = companion(start, (low, high))
    bounds = config.bounds.model_copy(update={"sound_speed": companion_bounds((low, high))})
    kind = config.parameterization.name if config.is_network else "pixel"
    chosen = config.parameterization.model_copy(update={"name": kind, "tailoring": "analytic"})
    settings = config.model_copy(update={"bounds": bounds, "parameterization": chosen})
    loss = _build(settings, nothing, speed.region, waves, observed, array)
    return Lossy(speed, loss, (low, high), config.attenuation.power)


def _filter(sharpness: float, reach: float, edge: float, cutoff: float) -> RadialSpectrum:
    """The analytic kernel whose edge lies at a cutoff [rad/m]."""
    return tailored_spectrum(0.5 * cutoff / edge, sharpness, reach, edge)


def _some(points: torch.Tensor) -> torch.Tensor:
    """Points spread evenly over all of them."""
    return points[:: max(1, len(points) // N_POINTS)]


def schedule_of(observed: Spectra, config: RunConfig, kernel: Kernel | None = None) -> Schedule:
    """The stages that the settings describe.

    Args:
        observed: Data; the schedule follows their frequencies.
        config: Settings.
        kernel: What kernels that can be tailored are tailored to; None for the data.

    Raises:
        InputError: If misfits, attenuation, edges or budget do not suit the frequencies.
    """
    settings = config.schedule
    template = Stage(
        (1.0,),
        optimizer=config.optimizer,
        n_inner=settings.inner_iterations or (20 if config.optimizer == "adam" else 5),
        cutoff=settings.cutoff,
        learning_rate=config.parameterization.learning_rate,
        kernel=kernel,
    )
    weights = None if config.misfit.source_weights == "auto" else config.misfit.source_weights
    schedule = continuation(tuple(observed.frequencies.tolist()), settings.iterations, weights, template)
    try:
        schedule = with_misfits(schedule, config.misfit.name)
    except ValueError as error:
        raise InputError(f"misfit.name: {', '.join(config.misfit.name)} {error}") from None
    if config.attenuation.invert:
        if schedule[-1].is_band:
            raise InputError(
                f"misfit.name: {schedule[-1].misfit} does not show attenuation; let another follow it, such as "
                "least-squares"
            )
        schedule = with_attenuation(schedule)
    if settings.edges and schedule[-1].is_band:
        raise InputError(
            f"schedule.edges: follows misfits of single frequencies alone; let another follow {schedule[-1].misfit} in "
            "misfit.name, such as least-squares"
        )
    if settings.max_solves is not None:
        reserved = n_solves(observed) + (EDGE_SOLVES if settings.edges else 0)
        try:
            schedule = within_budget(schedule, settings.max_solves, reserved)
        except ValueError as error:
            raise InputError(f"schedule.max_solves: {error}") from None
    return with_edges(schedule) if settings.edges else schedule
