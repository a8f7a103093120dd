"""Scans in USTB's ultrasound file format (UFF): one element firing at a time, real traces.

A group of the class `uff.channel_data` with `data` (frame, wave, channel, sample), `sampling_frequency` [Hz],
`initial_time` [s], `sound_speed` [m/s], `probe/geometry` (7, element), rows x, y, z [m] and four more, and `sequence`
with one wave for each transmit, whose `source` has `distance` [m], `azimuth` and `elevation` [rad] and whose `delay`
[s] is the time of the first sample. MATLAB wrote it, so HDF5 lists all axes in reverse.
"""

from pathlib import Path

import h5py
import numpy as np

from usct.acquisition import Acquisition
from usct.io import hdf5
from usct.io.checks import About, RefusalError, Scan, assemble
from usct.io.zea import in_plane

_NEAREST = 1e-4
"""A wave's source must lie on an element to this [m]."""


def find_channel_data(file: h5py.File) -> h5py.Group | None:
    """The first group of channel data in an open file, or None."""
    for item in file.values():
        kind = item.attrs.get("class", "")
        if isinstance(item, h5py.Group) and _text(kind) == "uff.channel_data":
            return item
    return None


def read_uff(group: h5py.Group, path: Path) -> tuple[Acquisition, tuple[str, ...]]:
    """Build an acquisition from the first frame of channel data.

    Args:
        group: From `find_channel_data`.
        path: Of the file, for the errors' sentences.

    Raises:
        InputError: If the data are complex or no four axes, a wave starts from no single element, or waves start at
            different times.
    """
    if not isinstance(group.get("data"), h5py.Dataset):
        raise RefusalError([f"{path}: data are complex or missing; store real radio-frequency traces."])
    data = hdf5.values(group, "data", path)
    data = data.reshape((1,) * (4 - data.ndim) + data.shape) if data.ndim in (3, 4) else data
    if data.ndim != 4:
        raise RefusalError(
            [f"{path}: data have the shape {data.shape}; store (frame, wave, channel, sample)."]
        )
    geometry = hdf5.values(group, "probe/geometry", path)
    if geometry.ndim != 2 or geometry.shape[0] < 3:
        raise RefusalError([f"{path}: probe/geometry has the shape {geometry.shape}; store (7, element)."])
    xyz = geometry[:3].T.astype(np.float64)
    waves = [group["sequence"]] if "source" in group["sequence"] else list(group["sequence"].values())
    elements, starts = _firing(waves, xyz, path)
    if np.ptp(starts) > 1e-9:
        raise RefusalError(
            [f"{path}: waves start {np.ptp(starts):g} s apart; give all of them one time axis."]
        )
    positions, notes = in_plane(xyz, path)
    first = _number(group, "initial_time", path, 0.0) + float(starts[0])
    scan = Scan(
        path,
        positions,
        np.ascontiguousarray(data[0]),
        sampling=(first, _number(group, "sampling_frequency", path)),
        transmits=elements,
        names={"values": "data", "positions": "probe/geometry", "transmits": "sequence"},
        notes=notes + ((f"The first of {len(data)} frames was read.",) if len(data) > 1 else ()),
    )
    water = _number(group, "sound_speed", path) if "sound_speed" in group else None
    return assemble(scan, About(water, title=path.stem, metadata={"layout": "UFF"}))


def _firing(waves: list[h5py.Group], xyz: np.ndarray, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Element from which each wave starts, and when its first sample was taken [s]."""
    elements, starts = [], []
    for number, wave in enumerate(waves):
        distance, azimuth, elevation = (
            _number(wave, f"source/{name}", path) for name in ("distance", "azimuth", "elevation")
        )
        # A plane wave starts at infinity.
        reach, flat = (distance if np.isfinite(distance) else 1e9), np.cos(elevation)
        place = reach * np.array([np.sin(azimuth) * flat, np.sin(elevation), np.cos(azimuth) * flat])
        away = np.linalg.norm(xyz - place, axis=1)
        if away.min() > _NEAREST:
            raise RefusalError(
                [f"{path}: wave {number} starts from no element; give a scan that fires one at a time."]
            )
        elements.append(int(away.argmin()))
        starts.append(_number(wave, "delay", path, 0.0))
    return np.array(elements), np.array(starts)


def _number(group: h5py.Group, name: str, path: Path, default: float | None = None) -> float:
    if default is not None and name not in group:
        return default
    return float(np.ravel(hdf5.values(group, name, path))[0])


def _text(value: object) -> str:
    if isinstance(value, np.ndarray):
        value = value.ravel()[0] if value.size == 1 else "".join(chr(int(c)) for c in value.ravel())
    return value.decode() if isinstance(value, bytes) else str(value)
