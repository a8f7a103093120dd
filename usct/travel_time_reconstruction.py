"""From travel times and settings to a result: the counterpart of `usct.api.reconstruct` for first arrivals."""

import time
from collections.abc import Callable

import numpy as np
import torch

import usct
from usct.config import DEFAULT_PRESET, RunConfig, load_config
from usct.errors import InputError
from usct.grid import Grid
from usct.medium import Medium
from usct.reconstruction import Reconstruction, Status
from usct.starting.travel_time.imaging import TravelTimeImage, image_travel_times
from usct.starting.travel_time.pairs import Pairs
from usct.travel_times import TravelTimes
from usct.units import MILLIMETRE, water_sound_speed

DEFAULT_SPACING = 1e-3
"""Of the image where the settings say nothing [m]: finer than travel times can resolve."""
LARGEST_IMAGE_CELLS = 2**22
LEAST_PAIRS = 100
UNCERTAIN_WATER = (
    "The water's sound speed is a guess (1500 m/s), which shifts the whole image; give --water-temperature."
)


def reconstruct_travel_times(
    times: TravelTimes,
    config: RunConfig | str = DEFAULT_PRESET,
    water_temperature: float | None = None,
    on_progress: Callable[[float, str], None] | None = None,
) -> Reconstruction:
    """Reconstruct the sound speed from travel times; all weights are chosen by the data.

    Args:
        times: Delays against water.
        config: Settings, or the name of a preset; of them the water's sound speed and those of the image grid
            count.
        water_temperature: [degree Celsius]; gives the water's sound speed, before settings and file.
        on_progress: Called with the share done and a sentence.

    Raises:
        InputError: If travel times and settings do not fit together.
    """
    began = time.perf_counter()
    if isinstance(config, str):
        config = load_config(config, None, [])
    if times.array.positions.shape[1] != 2:
        raise InputError("the elements have three coordinates; give a two-dimensional slice of the scan")
    water, source = _water(times, config, water_temperature)
    grid = _image_grid(times, config)
    try:
        image = image_travel_times(times, water, grid, on_progress)
    except ValueError as error:
        raise InputError(f"{times.title or 'travel times'}: {error}; check element order and units") from None
    if len(image.pairs.delays) < LEAST_PAIRS:
        raise InputError(
            f"{times.title or 'travel times'}: only {len(image.pairs.delays)} pairs of elements have a usable travel "
            f"time; at least {LEAST_PAIRS} are needed"
        )
    facts = _facts(image, config) | {
        "water_sound_speed": f"{water:.2f} m/s",
        "water_sound_speed_source": source,
        "seconds": f"{time.perf_counter() - began:.1f}",
    }
    if source == "guess":
        facts["warning"] = UNCERTAIN_WATER
    start = Medium.homogeneous(grid, water)
    return Reconstruction(image.medium, start, image.region, (), Status.FINISHED, _message(image), facts)


def _water(times: TravelTimes, config: RunConfig, temperature: float | None) -> tuple[float, str]:
    """The water's sound speed [m/s] and where it comes from."""
    if temperature is not None:
        try:
            return water_sound_speed(temperature), f"temperature, {temperature:g} degrees Celsius"
        except ValueError as error:
            raise InputError(f"--water-temperature: {error}") from None
    if config.water.sound_speed is not None:
        return config.water.sound_speed, "settings"
    if times.water_sound_speed is not None:
        return times.water_sound_speed, "file"
    return 1500.0, "guess"


def _image_grid(times: TravelTimes, config: RunConfig) -> Grid:
    """Grid about the array's centre that covers the field of view."""
    array, spacing = times.array, DEFAULT_SPACING
    if config.grid.image_spacing_mm is not None:
        spacing = MILLIMETRE * config.grid.image_spacing_mm
    nearest = float(torch.linalg.vector_norm(array.positions - array.centre, dim=1).min())
    radius = config.grid.region_fraction * nearest
    if (2 * radius / spacing) ** 2 > LARGEST_IMAGE_CELLS:
        raise InputError(
            f"grid.image_spacing_mm = {spacing / MILLIMETRE:g} makes an image of {2 * radius / spacing:.0f} cells each "
            "way; choose a larger one"
        )
    centred = Grid.covering(radius, spacing)
    origin = (torch.tensor(centred.origin, dtype=torch.float64) + array.centre).tolist()
    return Grid(centred.shape, spacing, tuple(origin))


def _message(image: TravelTimeImage) -> str:
    delays = image.pairs.delays
    before = float(np.sqrt(np.mean(delays**2)))
    rays = "Straight rays" if image.smoothing is None else "Bent rays"
    return (
        f"{rays} explain {len(delays)} travel times to {1e9 * image.residual:.0f} ns rms; "
        f"water alone leaves {1e9 * before:.0f} ns."
    )


def _facts(image: TravelTimeImage, config: RunConfig) -> dict[str, str]:
    """How the image came about, text to text."""
    smoothing = image.smoothing
    rays = "straight" if smoothing is None else f"bent, in the image smoothed over {1e3 * smoothing:.1f} mm"
    foretold = ", ".join(f"{name} {1e9 * error:.1f} ns" for name, error in image.held_out.items())
    return {
        "usct": usct.__version__,
        "method": "travel-time",
        "rays": rays,
        "regularization": f"total variation, weight {image.weight:.3g}, chosen by leaving out rays",
        "left_out_rays_foretold_to": foretold,
        "residual": f"{1e9 * image.residual:.1f} ns rms",
        "noise": f"{1e9 * image.pairs.noise:.1f} ns rms between the two directions of a pair",
        "picks": _counts(image.pairs),
        "config": config.model_dump_json(),
    }


def _counts(pairs: Pairs) -> str:
    return (
        f"{pairs.n_picks} given, {len(pairs.delays)} pairs used; left out: {pairs.n_unlike} whose directions disagree, "
        f"{pairs.n_outlying} unlike their neighbours"
    )
