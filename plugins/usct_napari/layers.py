"""What napari shows of each of the package's nouns: plain layer data, made without a window.

One frame of reference for everything: millimetres, axes (y, x) or (z, y, x) as in the files. Recordings, which have no
place in it, lie to the right of the ring, the time after a transmit as the path that waves run through water in it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from usct.acquisition import Acquisition, Spectra
from usct.diagnosis import Diagnosis
from usct.grid import Grid
from usct.io.glance import ScanGlance
from usct.medium import Medium
from usct.phantom.base import Phantom
from usct.reconstruction import Reconstruction
from usct.report.drawing import speed_window
from usct.report.figures import ATTENUATION_WINDOWS
from usct.travel_times import TravelTimes
from usct.units import KILOHERTZ, MILLIMETRE, attenuation_to_db
from usct_napari.recordings import recording_layers, ring_layer, travel_time_layers
from usct_napari.sourcing import LayerData, Source, named

Shown = Acquisition | ScanGlance | TravelTimes | Phantom | Reconstruction | Diagnosis

PATTERN = "pattern"
"""Axis of modes behind each other."""
SPEED_COLOURS, LOSS_COLOURS, DENSITY_COLOURS, SIGNED_COLOURS = "gray", "inferno", "bone", "berlin"


def layers_of(thing: Shown, path: Path) -> list[LayerData]:
    """All layers of what was read from a file, the lowest first.

    Args:
        thing: What was read.
        path: The file.
    """
    if isinstance(thing, Acquisition | ScanGlance):
        return _scan_layers(thing, path)
    if isinstance(thing, TravelTimes):
        return travel_time_layers(thing, path)
    if isinstance(thing, Phantom):
        return _phantom_layers(thing, path)
    if isinstance(thing, Reconstruction):
        return _result_layers(thing, path)
    return _diagnosis_layers(thing, path)


def spatial(grid: Grid) -> dict[str, Any]:
    """Where a map on a grid lies, as napari's layers take it [mm]."""
    axes = ("z", "y", "x")[-grid.n_dims :]
    return {
        "scale": (grid.spacing / MILLIMETRE,) * grid.n_dims,
        "translate": tuple(x / MILLIMETRE for x in grid.origin),
        "units": ("mm",) * grid.n_dims,
        "axis_labels": axes,
    }


def speed_layer(medium: Medium, name: str, source: Source, visible: bool = True) -> LayerData:
    """A sound speed in one of the package's fixed windows, so that images of different runs compare by eye."""
    return _map(medium.sound_speed, medium.grid, name, source, SPEED_COLOURS, speed_window([medium]), visible)


def _map(
    values: torch.Tensor,
    grid: Grid,
    name: str,
    source: Source,
    colours: str,
    window: tuple[float, float],
    visible: bool = True,
) -> LayerData:
    facts = {
        "name": name,
        "colormap": colours,
        "contrast_limits": window,
        "visible": visible,
        **spatial(grid),
    }
    return values.detach().cpu().float().numpy(), facts | {"metadata": {"usct": source}}, "image"


def _medium_layers(
    medium: Medium, title: str, kind: str, path: Path, visible: bool = True, prefix: str = ""
) -> list[LayerData]:
    """The maps of a medium; the sound speed on top. `prefix` tells its quantities from those of another one."""
    layers = []
    if medium.density is not None:
        window = (float(medium.density.min()), max(float(medium.density.max()), 1.0))
        source = Source(path, kind, f"{prefix}density")
        layers.append(
            _map(
                medium.density,
                medium.grid,
                named(f"{title}density [kg/m³]", path),
                source,
                DENSITY_COLOURS,
                window,
                False,
            )
        )
    if medium.attenuation is not None:
        loss = attenuation_to_db(1.0) * medium.attenuation
        highest = float(np.percentile(loss.numpy(), 99.5))
        top = next((w for w in ATTENUATION_WINDOWS if w >= highest), ATTENUATION_WINDOWS[-1])
        name, source = named(f"{title}attenuation [dB/cm]", path), Source(path, kind, f"{prefix}attenuation")
        layers.append(_map(loss, medium.grid, name, source, LOSS_COLOURS, (0.0, top), False))
    source = Source(path, kind, f"{prefix}sound_speed")
    return [
        *layers,
        speed_layer(medium, named(f"{title.strip(': ') or 'sound speed'} [m/s]", path), source, visible),
    ]


def _scan_layers(scan: Acquisition | ScanGlance, path: Path) -> list[LayerData]:
    layers: list[LayerData] = []
    for medium, name, prefix in ((scan.start, "start: ", "start_"), (scan.truth, "truth: ", "")):
        if medium is not None:
            # That of a shot in water alone would only hide another's.
            shown = medium is scan.truth and bool(
                (medium.sound_speed != medium.sound_speed.flatten()[0]).any()
            )
            layers += _medium_layers(medium, name, "scan", path, visible=shown, prefix=prefix)
    if isinstance(scan, ScanGlance):
        usable = scan.valid
    else:
        usable = (scan.data.weights > 0).any(dim=0) if isinstance(scan.data, Spectra) else scan.data.valid
    if scan.array.positions.shape[1] == 2:
        layers += recording_layers(scan, path)
    return [*layers, ring_layer(scan.array, usable, path)]


def _phantom_layers(phantom: Phantom, path: Path) -> list[LayerData]:
    facts = {
        "name": named("tissues", path),
        "features": {"index": np.arange(len(phantom.tissues)), "tissue": list(phantom.tissues)},
        "opacity": 0.6,
        "visible": False,
        "metadata": {"usct": Source(path, "phantom", "labels", has_bar=False)},
        **spatial(phantom.medium.grid),
    }
    labels: LayerData = (phantom.labels.numpy().astype(np.int32), facts, "labels")
    return [*_medium_layers(phantom.medium, "", "phantom", path), labels]


def _result_layers(result: Reconstruction, path: Path) -> list[LayerData]:
    start = speed_layer(
        result.start,
        named("start [m/s]", path),
        Source(path, "result", "start_sound_speed"),
        visible=False,
    )
    layers = [start, *_medium_layers(result.medium, "", "result", path)]
    layers[-1][1]["metadata"] |= {"message": result.message, "history": history_of(result)}
    return layers


def history_of(result: Reconstruction) -> Mapping[str, Sequence[float | str]]:
    """The run's progress in columns, as it lies in the image's metadata."""
    rows = result.history
    return {
        "stage": [r.stage for r in rows],
        "frequency [kHz]": [r.frequency / KILOHERTZ for r in rows],
        "objective": [r.objective for r in rows],
        "seconds": [r.seconds for r in rows],
    }


def _diagnosis_layers(diagnosis: Diagnosis, path: Path) -> list[LayerData]:
    """The image, how fine and how sure it is, rows of the kernels, and the modes as a stack."""
    grid = diagnosis.grid
    layers = [
        speed_layer(
            Medium(grid, diagnosis.sound_speed),
            named("image [m/s]", path),
            Source(path, "diagnosis", "sound_speed"),
        )
    ]
    for values, label, quantity, colours in (
        (diagnosis.standard_deviation, "uncertainty [m/s]", "standard_deviation", "magma"),
        (
            None if diagnosis.resolution is None else diagnosis.resolution / MILLIMETRE,
            "resolution [mm]",
            "resolution",
            "viridis",
        ),
    ):
        if values is not None:
            source = Source(path, "diagnosis", quantity)
            layers.append(_map(values, grid, named(label, path), source, colours, _window(values), False))
    if diagnosis.rows:
        answers = torch.stack([row.answer / row.answer.abs().max() for row in diagnosis.rows])
        layers.append(
            _stack(answers, diagnosis, "answers at places", "place", Source(path, "diagnosis", "rows"))
        )
    modes, source = diagnosis.image_kernel.modes, Source(path, "diagnosis", "modes")
    return [*layers, _data_patterns(diagnosis, path), _stack(modes, diagnosis, "patterns", PATTERN, source)]


def _stack(images: torch.Tensor, diagnosis: Diagnosis, name: str, axis: str, source: Source) -> LayerData:
    """Images between minus one and one behind each other; nothing is shown where the image could not change."""
    place = spatial(diagnosis.grid)
    facts = {
        "name": named(name, source.path),
        "scale": (1.0, *place["scale"]),
        "translate": (0.0, *place["translate"]),
        "units": ("", *place["units"]),
        "axis_labels": (axis, *place["axis_labels"]),
        "colormap": SIGNED_COLOURS,
        "contrast_limits": (-1.0, 1.0),
        "visible": False,
        "metadata": {"usct": source},
    }
    return torch.where(diagnosis.region, images, torch.nan).float().numpy(), facts, "image"


def _data_patterns(diagnosis: Diagnosis, path: Path) -> LayerData:
    """Modes of the data's kernel behind each other: transmits down, receives to the right, frequencies side by side.

    They have no place of their own, and take that of the image, so that one camera shows both.
    """
    modes = torch.cat(list(diagnosis.data_kernel.modes.real.float().movedim(1, 0)), dim=2)
    grid, (_, n_tx, n_rx) = diagnosis.grid, modes.shape
    height, width = (n * grid.spacing / MILLIMETRE for n in grid.shape[-2:])
    steps = height / n_tx, width / n_rx
    corner = [(x - 0.5 * grid.spacing) / MILLIMETRE for x in grid.origin[-2:]]
    facts = {
        "name": named("patterns in the data: transmits down, receives across", path),
        "colormap": SIGNED_COLOURS,
        "contrast_limits": (-1.0, 1.0),
        "visible": False,
        "scale": (1.0, *steps),
        "translate": (0.0, *(start + 0.5 * step for start, step in zip(corner, steps, strict=True))),
        "units": ("", "mm", "mm"),
        "axis_labels": (PATTERN, "y", "x"),
        "metadata": {"usct": Source(path, "diagnosis", "data_modes")},
    }
    largest = modes.abs().amax(dim=(1, 2), keepdim=True).clamp(min=torch.finfo(modes.dtype).tiny)
    return (modes / largest).numpy(), facts, "image"


def signed_layer(
    values: torch.Tensor,
    grid: Grid,
    name: str,
    source: Source,
    visible: bool = True,
    bound: float | None = None,
) -> LayerData:
    """A map of both signs, black where it is zero; by default its largest magnitude bounds the colours."""
    peak = bound or max(float(values.abs().nan_to_num().max()), 1e-300)
    return _map(values, grid, name, source, SIGNED_COLOURS, (-peak, peak), visible)


def _window(values: torch.Tensor) -> tuple[float, float]:
    finite = values[torch.isfinite(values)].numpy()
    if not finite.size:
        return 0.0, 1.0
    low, high = (float(v) for v in np.percentile(finite, (1, 99)))
    return min(low, 0.75 * high), max(high, low + 1e-9)
