"""A first look at a file: what kind it is, and the traces of a large scan without reading them."""

import math
import zlib
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import torch

from usct.acquisition import TransducerArray
from usct.errors import InputError
from usct.io import (
    breast_slices,
    hdf5,
    kwave,
    kwave_shots,
    maps,
    matlab,
    native_write,
    open_ust,
    stride_shots,
    trace_list,
    travel_times,
    uff,
    waveform_inversion,
    zea,
)
from usct.io.checks import position_faults
from usct.io.native_read import read_medium
from usct.medium import Medium

_SCAN = (*waveform_inversion.DATA_VARIABLES, travel_times.DATA_VARIABLE, open_ust.DATA_VARIABLE)
_MAPS = ("C", "atten", *(name for pair in maps.AXIS_NAMES for name in pair))
_HDF5 = b"\x89HDF\r\n\x1a\n"
_KINDS = ("acquisition", "phantom", "reconstruction", "diagnosis", "travel_times")


def is_readable(path: Path) -> bool:
    """Whether `load` would try to make sense of a file or folder, told by its first bytes and the names in it.

    No value is read, so that it is quick for files of any size; files of other programs that are HDF5 or MATLAB too
    are told apart by their names.

    Args:
        path: Any file or folder; missing or unreadable ones are not readable.
    """
    head = b""
    try:
        if path.is_dir():
            return trace_list.holds_trace_list(path) or _holds_shots(path)
        with path.open("rb") as stream:
            head = stream.read(2048)
        if matlab.is_matlab_5(head):
            return bool(matlab.listing_5(path, (*_SCAN, *maps.MAP_NAMES)))
        if not any(head[at : at + 8] == _HDF5 for at in (0, 512, 1024)):
            return False
        with h5py.File(path, "r") as file:
            listed = trace_list.holds_trace_list(path.parent)
            return _is_ours(file) or (listed and any(name in file for name in trace_list.DATA_NAMES))
    except (InputError, zlib.error, *hdf5.READ_ERRORS):
        # Of a native file that is cut short nobody else can say what is wrong with it.
        return head.startswith(hdf5.SEAL)


def _holds_shots(folder: Path) -> bool:
    """Whether the first HDF5 file of a folder is one of k-Wave's."""
    for path in sorted(folder.iterdir()):
        if path.is_file() and h5py.is_hdf5(path):
            with h5py.File(path, "r") as file:
                return kwave.holds_kwave(file) or kwave_shots.is_output(file)
    return False


def _is_ours(file: h5py.File) -> bool:
    if file.attrs.get("format") == native_write.FORMAT:
        return file.attrs.get("kind") in _KINDS
    if any(name in file for name in _SCAN) or ("protocol" in file.attrs and "space/spacing" in file):
        return True
    told_by = (
        zea.holds_zea,
        uff.find_channel_data,
        kwave.holds_kwave,
        kwave_shots.is_output,
        stride_shots.holds_shots,
        breast_slices.holds_nbp,
    )
    if any(holds(file) for holds in told_by):
        return True
    placed = any(x in file and y in file for x, y in maps.AXIS_NAMES)
    return any(
        name in file
        and (placed or "spacing" in file[name].attrs or any(s in file for s in maps.SPACING_NAMES))
        for name in maps.MAP_NAMES
    )


class StoredTraces:
    """Traces that stay in their file until somebody looks at them; sliced like an array (tx, rx, time).

    Attributes:
        shape: (tx, rx, time).
        dtype: Of the samples.
        ndim: Three.
    """

    ndim = 3

    def __init__(self, path: Path, name: str, scale: float = 1.0, offset: float = 0.0) -> None:
        """Look at the dataset of a name in an HDF5 file; its samples count times `scale` plus `offset`.

        Raises:
            InputError: If it is no array of traces, or claims to be far larger than what is stored of it.
        """
        self._path, self._name, self._line = path, name, (scale, offset)
        with h5py.File(path, "r") as file:
            dataset = file[name]
            if not (isinstance(dataset, h5py.Dataset) and dataset.ndim == 3 and dataset.dtype.kind in "iuf"):
                raise InputError(
                    f"{path}: {name} is no array of real numbers (tx, rx, time); write the file anew."
                )
            if 0 in dataset.shape:
                raise InputError(f"{path}: {name} is empty, {dataset.shape}; record the scan again.")
            hdf5.refuse_hollow(path, name, dataset.nbytes, dataset.id.get_storage_size())
            self.shape: tuple[int, ...] = dataset.shape
            plain = self._line == (1.0, 0.0)
            self.dtype: np.dtype = dataset.dtype if plain else np.dtype(np.float32)

    def __getitem__(self, index: object) -> np.ndarray:
        """Read a part of the traces.

        Raises:
            InputError: If the file has gone or is damaged there.
        """
        try:
            with h5py.File(self._path, "r") as file:
                values = np.asarray(file[self._name][index])
        except hdf5.READ_ERRORS as error:
            raise InputError(
                f"{self._path}: the traces cannot be read; check that the file is whole."
            ) from error
        scale, offset = self._line
        plain = (scale, offset) == (1.0, 0.0)
        return values if plain else values.astype(np.float32) * np.float32(scale) + np.float32(offset)


@dataclass(frozen=True)
class ScanGlance:
    """A scan of traces at a first look; its traces have not been checked.

    Attributes:
        array: Geometry.
        traces: Still in the file, (tx, rx, time) [Pa].
        start_time: Time of the first sample after the transmit [s].
        sampling_frequency: [Hz].
        valid: Channels that the file itself says can be used, shape (tx, rx).
        water_sound_speed: Of the coupling water [m/s], or None where unknown.
        truth: The medium that made the data, for phantoms.
        start: A start model that came with the data.
        title: A name for people.
        water: The traces of a water shot, still in the file too, or None where there is none.
    """

    array: TransducerArray
    traces: StoredTraces
    start_time: float
    sampling_frequency: float
    valid: torch.Tensor
    water_sound_speed: float | None = None
    truth: Medium | None = None
    start: Medium | None = None
    title: str = ""
    water: StoredTraces | None = None

    def __post_init__(self) -> None:
        """Check that traces, array and mask agree, as far as that can be told without reading the traces."""
        channels = (len(self.array.transmits), len(self.array.receives))
        for name, shape in (("traces", self.traces.shape[:2]), ("valid", tuple(self.valid.shape))):
            if shape != channels:
                raise ValueError(f"{name} have {shape} channels and the array {channels}")
        if not (math.isfinite(self.sampling_frequency) and self.sampling_frequency > 0):
            raise ValueError(f"sampling_frequency must be > 0 Hz, got {self.sampling_frequency:g}")


def glance(path: Path) -> ScanGlance | None:
    """Look at a scan of traces in an HDF5 file without reading these, however large.

    The file's checksum is not taken either, which would read all of it; `load` does both.

    Args:
        path: Any file.

    Returns:
        The scan, or None for any other file, and for scans whose order of axes only `load` can tell.

    Raises:
        InputError: If it is such a scan but its geometry is damaged or impossible.
    """
    try:
        if not h5py.is_hdf5(path):
            return None
        with hdf5.opened(path, sealed=False) as file:
            if file.attrs.get("format") == native_write.FORMAT:
                return _native(file, path)
            return _waveform_inversion(file, path)
    except OSError:
        return None
    except InputError:
        raise
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"{path}: {str(error).strip(chr(39))}; write the file anew.") from error


def _native(file: h5py.File, path: Path) -> ScanGlance | None:
    group = file.get("acquisition")
    if not isinstance(group, h5py.Group) or group.attrs.get("domain") != "time":
        return None
    traces = _stored(group, "data", path)
    water = _stored(group, "reference", path) if "reference" in group else None
    transmits, receives = (
        torch.from_numpy(hdf5.values(group, f"{role}/element", path).astype(np.int64))
        for role in ("tx", "rx")
    )
    valid = hdf5.optional(group, "valid", path)
    speed = file["medium"].attrs.get("sound_speed") if "medium" in file else None
    return ScanGlance(
        TransducerArray(
            _positions(hdf5.values(file, "transducer/positions", path), path), transmits, receives
        ),
        traces,
        float(hdf5.values(group, "time_start", path)),
        float(hdf5.values(group, "sampling_frequency", path)),
        torch.ones(traces.shape[:2], dtype=torch.bool) if valid is None else torch.from_numpy(valid).bool(),
        None if speed is None else float(speed),
        read_medium(file, "truth", path),
        read_medium(file, "initial", path),
        hdf5.text(file, "title", path, ""),
        water if water is not None and water.shape == traces.shape else None,
    )


def _stored(group: h5py.Group, name: str, path: Path) -> StoredTraces:
    about = group[name].attrs
    line = (float(about.get("scale_factor", 1.0)), float(about.get("add_offset", 0.0)))
    return StoredTraces(path, f"acquisition/{name}", *line)


def _waveform_inversion(file: h5py.File, path: Path) -> ScanGlance | None:
    """MATLAB 7.3, where HDF5 lists (time, receive, transmit) in reverse."""
    names = ("full_dataset", "time", "transducerPositionsXY")
    if not all(isinstance(file.get(name), h5py.Dataset) for name in names):
        return None
    traces = StoredTraces(path, "full_dataset")
    times = hdf5.values(file, "time", path).ravel().astype(np.float64)
    xy = hdf5.values(file, "transducerPositionsXY", path).astype(np.float64)
    n = len(xy)
    if traces.shape != (n, n, len(times)) or xy.shape[1] not in (2, 3):
        return None
    rate = (len(times) - 1) / float(times[-1] - times[0])
    if not math.isfinite(rate) or rate <= 0:
        return None
    array = TransducerArray.of(_positions(xy[:, ::-1], path))
    valid = torch.ones(n, n, dtype=torch.bool)
    truth, _ = waveform_inversion.truth_of(matlab.variables_73(file, path, _MAPS), path)
    water = StoredTraces(path, "water_dataset") if "water_dataset" in file else None
    water = water if water is not None and water.shape == traces.shape else None
    return ScanGlance(array, traces, float(times[0]), rate, valid, truth=truth, title=path.stem, water=water)


def _positions(positions: np.ndarray, path: Path) -> torch.Tensor:
    faults = position_faults(positions)
    if faults:
        raise InputError(f"{path}: {faults[0]}")
    return torch.from_numpy(np.array(positions, dtype=np.float64))
