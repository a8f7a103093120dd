"""The ring of elements, and what they recorded, as layers: plain layer data, made without a window."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from usct.acquisition import Acquisition, Spectra, Traces, TransducerArray
from usct.errors import InputError
from usct.io.glance import ScanGlance, StoredTraces
from usct.travel_times import TravelTimes
from usct.units import KILOHERTZ, MICROSECOND, MILLIMETRE
from usct_napari.dressing import current_viewer
from usct_napari.sourcing import LayerData, Source, named

ALIVE, DEAD = "#4dd0e1", "#ff5252"
LOUDNESS_RANGE = 60.0
"""Spectra are shown from their loudest value down by this [dB]."""
TYPICAL_WATER = 1500.0
"""Turns time into path where the water's sound speed is unknown [m/s]."""
RECORDING_COLOURS = "gray"
TRANSMIT = "transmit"
"""Axis of traces behind each other."""


def ring_layer(array: TransducerArray, usable: torch.Tensor, path: Path, kind: str = "scan") -> LayerData:
    """The elements as points; those of whose channels none can be used are red.

    Args:
        array: Geometry.
        usable: Which channels can be used, shape (tx, rx).
        path: The file.
        kind: Of the file.
    """
    n = array.n_elements
    sends, hears, dead = np.zeros(n, bool), np.zeros(n, bool), np.zeros(n, bool)
    sends[array.transmits.numpy()], hears[array.receives.numpy()] = True, True
    for index, good in ((array.transmits, usable.any(dim=1)), (array.receives, usable.any(dim=0))):
        dead[index.numpy()[~good.numpy()]] = True
    roles = np.select(
        [sends & hears, sends, hears], ["transmit and receive", "transmit", "receive"], "unused"
    )
    positions = array.positions.numpy() / MILLIMETRE
    pitch = 2 * math.pi * array.radius / MILLIMETRE / n
    size = min(max(0.6 * pitch, 0.015 * array.radius / MILLIMETRE), 0.04 * array.radius / MILLIMETRE)
    dimensions = positions.shape[1]
    facts = {
        "name": named("elements", path),
        "features": {"index": np.arange(n), "role": roles, "dead": dead},
        "face_color": [DEAD if bad else ALIVE for bad in dead],
        "border_width": 0.0,
        "size": np.where(dead, 1.6, 1.0) * size,
        "units": ("mm",) * dimensions,
        "axis_labels": ("z", "y", "x")[-dimensions:],
        "metadata": {"usct": Source(path, kind, "elements", has_bar=False)},
    }
    return positions, facts, "points"


def _beside(array: TransducerArray) -> tuple[float, float, float]:
    """Top left corner (y, x) and height of what lies to the right of the ring [mm]."""
    low, high = array.positions.amin(dim=0), array.positions.amax(dim=0)
    height = float(high[0] - low[0]) / MILLIMETRE
    return float(low[0]) / MILLIMETRE, float(high[1]) / MILLIMETRE + 0.12 * height, height


def recording_layers(scan: Acquisition | ScanGlance, path: Path) -> list[LayerData]:
    """What was recorded, and to the right of it what was recorded in water alone where the file holds that too."""
    if isinstance(scan, ScanGlance):
        shots = [
            _traces(x, scan.sampling_frequency, scan, path)
            for x in (scan.traces, scan.water)
            if x is not None
        ]
    else:
        shots = [_recording(x, scan, path) for x in (scan.data, scan.water) if x is not None]
    for values, facts, _ in shots[1:]:
        transmit, top, left = facts["translate"]
        width = values.shape[-1] * facts["scale"][-1]
        source = facts["metadata"]["usct"]
        facts["translate"] = (transmit, top, left + 1.05 * width)
        facts["name"] = f"water: {facts['name']}"
        facts["metadata"]["usct"] = replace(source, quantity=f"water_{source.quantity}")
    return shots


def _recording(data: Traces | Spectra, scan: Acquisition, path: Path) -> LayerData:
    """Traces over (transmit, receive, path), or levels of spectra over (frequency, transmit, receive)."""
    if isinstance(data, Traces):
        return _traces(data.values.numpy(), data.sampling_frequency, scan, path)
    top, left, height = _beside(scan.array)
    amplitude = data.values.abs() * (data.weights > 0)
    level = 20 * torch.log10(amplitude.clamp(min=1e-300))
    level = (level - level.amax(dim=(1, 2), keepdim=True)).clamp(min=-2 * LOUDNESS_RANGE)
    _, n_tx, n_rx = level.shape
    facts = {
        "name": named("spectra [dB]", path),
        "scale": (1.0, height / n_tx, height / n_rx),
        "translate": (0.0, top, left),
        "units": ("", "mm", "mm"),
        "axis_labels": ("frequency", "y", "x"),
        "colormap": "magma",
        "contrast_limits": (-LOUDNESS_RANGE, 0.0),
        "metadata": {
            "usct": Source(path, "scan", "spectra"),
            "frequencies [kHz]": [f / KILOHERTZ for f in data.frequencies.tolist()],
            "axes": "frequency, transmit (down), receive (to the right)",
        },
    }
    return level.float().numpy(), facts, "image"


def _traces(values: Any, rate: float, scan: Acquisition | ScanGlance, path: Path) -> LayerData:
    top, left, height = _beside(scan.array)
    n_tx, n_rx, _ = values.shape
    loud = loudness(np.asarray(values[n_tx // 2]))
    if isinstance(values, StoredTraces):
        values = _Reported(values)
    step = (scan.water_sound_speed or TYPICAL_WATER) / rate / MILLIMETRE
    facts = {
        "name": named("traces", path),
        "scale": (1.0, height / n_rx, step),
        "translate": (0.0, top, left),
        "units": ("", "mm", "mm"),
        "axis_labels": (TRANSMIT, "y", "x"),
        "colormap": RECORDING_COLOURS,
        "contrast_limits": (-loud, loud),
        "metadata": {
            "usct": Source(path, "scan", "traces", has_bar=False),
            "axes": "transmit, receive (down), time (to the right, as path through water)",
            "sampling interval [us]": 1 / rate / MICROSECOND,
        },
    }
    return values, facts, "image"


class _Reported:
    """Traces in a file for a window: where they cannot be read any more it says so, once, and shows zeros.

    An array as napari wants it; one of dask's would load much more than the traces.
    """

    ndim = 3

    def __init__(self, traces: StoredTraces) -> None:
        self._traces, self.shape, self.dtype = traces, traces.shape, traces.dtype
        self.size = math.prod(traces.shape)
        self._is_told = False

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self[:], dtype=dtype)

    def __getitem__(self, index: Any) -> np.ndarray:
        try:
            values, self._is_told = self._traces[index], False
            return values
        except InputError as error:
            if current_viewer() is None:
                raise
            if not self._is_told:
                from napari.utils.notifications import show_error

                self._is_told = True
                show_error(str(error))
            return np.broadcast_to(np.zeros((), self.dtype), self.shape)[index]


def loudness(traces: np.ndarray) -> float:
    """What 99 of 100 samples stay below; one where there is none but zeros."""
    finite = traces[np.isfinite(traces)].astype(np.float32)
    return (float(np.percentile(np.abs(finite), 99.0)) if finite.size else 0.0) or 1.0


def travel_time_layers(times: TravelTimes, path: Path) -> list[LayerData]:
    """Delays as a picture beside the ring, and the ring; elements without any pick are red."""
    top, left, height = _beside(times.array)
    delays = times.delays.numpy() / MICROSECOND
    bound = float(np.nanpercentile(np.abs(delays), 98)) or 1.0
    n_tx, n_rx = delays.shape
    facts = {
        "name": named("delays [us]", path),
        "scale": (height / n_tx, height / n_rx),
        "translate": (top, left),
        "units": ("mm", "mm"),
        "axis_labels": ("y", "x"),
        "colormap": "coolwarm",
        "contrast_limits": (-bound, bound),
        "metadata": {"usct": Source(path, "travel times", "delays")},
    }
    return [
        (delays.astype(np.float32), facts, "image"),
        ring_layer(times.array, times.delays.isfinite(), path, "travel times"),
    ]
