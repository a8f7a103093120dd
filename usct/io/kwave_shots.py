"""Scans in k-Wave's HDF5 files: a folder with an input and an output file for every transmit.

Output: `p` (1, time, sensor), `dt`, `Nx`, `Ny`, and `sensor_mask_index` where it was copied; input:
`sensor_mask_index`, `p_source_index` or `u_source_index`, `c0`. Indices count from 1, x first. As in `kwave`, k-Wave's
x is the package's y, and the grid's middle becomes the origin. A source of many nodes is an element in their middle.
"""

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from usct.acquisition import Acquisition
from usct.io import hdf5, kwave
from usct.io.checks import About, RefusalError, Scan, assemble

_SOURCES = ("p_source_index", "u_source_index")


@dataclass(frozen=True)
class _Shot:
    """One transmit: its place (y, x) [m], those of the sensors (sensor, 2), traces (sensor, time), interval [s]."""

    source: np.ndarray
    sensors: np.ndarray
    traces: np.ndarray
    interval: float


def is_output(file: h5py.File) -> bool:
    """Whether an open file is one of k-Wave's output files with a pressure over time."""
    return "p" in file and "dt" in file and "Nx" in file and not kwave.holds_kwave(file)


def read_kwave_shots(folder: Path, files: list[Path]) -> tuple[Acquisition, tuple[str, ...]] | None:
    """Build an acquisition from the shots in a folder; None if there is no output file of k-Wave.

    Inputs and outputs belong together in the order of their names. The medium of the first input is the truth.

    Args:
        folder: Which one.
        files: Its HDF5 files, sorted by name.

    Raises:
        InputError: If there is not one input for each output, or shots disagree in sensors or sampling.
    """
    inputs, outputs = [], []
    for path in files:
        with hdf5.opened(path, sealed=False) as file:
            inputs += [path] if kwave.holds_kwave(file) else []
            outputs += [path] if is_output(file) else []
    if not outputs:
        return None
    if len(inputs) != len(outputs):
        raise RefusalError(
            [
                f"{folder}: {len(outputs)} outputs of k-Wave but {len(inputs)} inputs; keep one of each per transmit."
            ]
        )
    shots = [_shot(*pair) for pair in zip(inputs, outputs, strict=True)]
    first = shots[0]
    for path, shot in zip(outputs, shots, strict=True):
        if not np.array_equal(shot.sensors, first.sensors) or shot.traces.shape != first.traces.shape:
            raise RefusalError(
                [f"{path}: has other sensors or samples than {outputs[0].name}; record all alike."]
            )
        if shot.interval != first.interval:
            raise RefusalError([f"{path}: dt differs from that in {outputs[0].name}; use one time step."])
    positions, transmits = _elements(first.sensors, np.stack([shot.source for shot in shots]))
    with hdf5.opened(inputs[0], sealed=False) as file:
        truth = kwave.read_kwave(file, inputs[0]).medium
    rim = np.concatenate([truth.sound_speed.numpy()[0], truth.sound_speed.numpy()[-1]])
    scan = Scan(
        outputs[0],
        positions,
        np.stack([shot.traces for shot in shots]),
        sampling=(0.0, 1 / first.interval),
        transmits=transmits,
        receives=np.arange(len(first.sensors)),
        names={"values": "p", "positions": "sensor_mask_index"},
        notes=("Elements are grid nodes; a source of many nodes counts as one in their middle.",),
    )
    return assemble(
        scan, About(float(np.median(rim)), truth, title=folder.name, metadata={"layout": "k-Wave"})
    )


def _shot(source: Path, record: Path) -> _Shot:
    with hdf5.opened(source, sealed=False) as put, hdf5.opened(record, sealed=False) as got:
        name = next((name for name in _SOURCES if name in put), None)
        if name is None:
            raise RefusalError(
                [f"{source}: holds none of {', '.join(_SOURCES)}; give shots of sources in time."]
            )
        sensor = got if "sensor_mask_index" in got else put
        traces = hdf5.values(got, "p", record)
        if traces.ndim != 3 or traces.shape[0] != 1:
            raise RefusalError([f"{record}: p has the shape {traces.shape}; record (1, time, sensor)."])
        return _Shot(
            _places(put, hdf5.values(put, name, source), source).mean(axis=0),
            _places(put, hdf5.values(sensor, "sensor_mask_index", record), source),
            np.ascontiguousarray(traces[0].T),
            float(np.ravel(hdf5.values(got, "dt", record))[0]),
        )


def _places(file: h5py.File, index: np.ndarray, path: Path) -> np.ndarray:
    """Positions (y, x) of nodes numbered from 1, x first, shape (node, 2) [m]."""
    n_x, n_y, n_z = (int(np.ravel(hdf5.values(file, f"N{axis}", path))[0]) for axis in "xyz")
    if n_z != 1:
        raise RefusalError([f"{path}: the grid has {n_z} layers; give a simulation in two dimensions."])
    steps = [float(np.ravel(hdf5.values(file, f"d{axis}", path))[0]) for axis in "xy"]
    y, x = np.unravel_index(np.ravel(index).astype(np.int64) - 1, (n_y, n_x))[::-1]
    return np.stack([(y - 0.5 * (n_x - 1)) * steps[0], (x - 0.5 * (n_y - 1)) * steps[1]], axis=1)


def _elements(sensors: np.ndarray, sources: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All elements: the sensors, then sources that are no sensor; and the element of every source."""
    positions, transmits = list(sensors), []
    for source in sources:
        away = np.linalg.norm(np.array(positions) - source, axis=1)
        if away.min() > 1e-9:
            positions.append(source)
        transmits.append(int(away.argmin()) if away.min() <= 1e-9 else len(positions) - 1)
    return np.array(positions), np.array(transmits)
