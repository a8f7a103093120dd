"""Opening a file by what is in it, whatever its name, and writing any of the package's objects."""

import os
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from usct.acquisition import Acquisition
from usct.diagnosis import Diagnosis
from usct.errors import InputError
from usct.io import (
    breast_slices,
    hdf5,
    kwave,
    kwave_shots,
    maps,
    matlab,
    native_write,
    nifti,
    open_ust,
    stride_shots,
    trace_list,
    travel_times,
    uff,
    waveform_inversion,
    zea,
)
from usct.io.dicom.ring import read_ring
from usct.io.hdf5 import text
from usct.io.native_kernels import write_kernels
from usct.io.native_read import read_native
from usct.phantom.base import Phantom
from usct.reconstruction import Reconstruction
from usct.travel_times import TravelTimes

Loaded = Acquisition | Phantom | Reconstruction | Diagnosis | TravelTimes
_PLACED = (travel_times.DATA_VARIABLE, open_ust.DATA_VARIABLE)
"""What comes with a file of element positions."""
_READERS = (waveform_inversion, maps, travel_times, open_ust)
_NAMES = tuple(dict.fromkeys(name for reader in _READERS for name in reader.VARIABLES))
_KNOWN = (
    "give a usct file, a WaveformInversionUST or open-UST .mat file, travel times, a zea or UFF scan, stride's shots, "
    "a folder of k-Wave's or of a list of traces, a stride or k-Wave model, or a sound-speed map"
)


@dataclass(frozen=True)
class Contents:
    """What a file holds.

    Attributes:
        thing: The scan, travel times, phantom, result or diagnosis.
        masks: What had to be masked in a scan although it should hold data, in sentences.
        file_format: Name of the format, for people.
    """

    thing: Loaded
    masks: tuple[str, ...]
    file_format: str


def load(path: str | os.PathLike[str], positions: str | os.PathLike[str] | None = None) -> Loaded:
    """Read a scan, travel times, a phantom, a result or a diagnosis; the contents decide, not the suffix.

    Args:
        path: A native file, a WaveformInversionUST or open-UST file (MATLAB 5 to 7.3), travel times, a zea or UFF scan,
            stride's shots or model, a sound-speed map with its axes or spacing, also in NIfTI; or a folder of k-Wave's
            shots or of a list of traces.
        positions: For travel times, open-UST recordings and stride's shots, the file of the element positions where it
            is another one.

    Returns:
        The object; for scans from other programs `notes` lists what was converted and masked.

    Raises:
        InputError: If the file is missing, damaged, unsafe, of an unknown kind, or contradicts itself.
    """
    return read(Path(path), None if positions is None else Path(positions)).thing


def holds_travel_times(path: Path) -> bool:
    """Whether a file is one of travel times, by the names in it; False for any file that cannot be read."""
    try:
        if h5py.is_hdf5(path):
            with hdf5.opened(path) as file:
                return travel_times.DATA_VARIABLE in file or (
                    _is_native(file) and text(file, "kind", path) == "travel_times"
                )
        return matlab.is_matlab_5(_head(path)) and bool(matlab.listing_5(path, (travel_times.DATA_VARIABLE,)))
    except InputError:
        return False


def save(thing: Loaded, path: str | os.PathLike[str]) -> None:
    """Write a scan, a phantom, a result or a diagnosis in the native HDF5 schema, in one step.

    Args:
        thing: What to write; every array keeps its exact values and type.
        path: The file to write or replace.

    Raises:
        InputError: If the file cannot be written; what was there before is unchanged.
    """
    if isinstance(thing, TravelTimes):
        native_write.write_travel_times(thing, Path(path))
    elif isinstance(thing, Acquisition):
        native_write.write_acquisition(thing, Path(path))
    elif isinstance(thing, Phantom):
        native_write.write_phantom(thing, Path(path))
    elif isinstance(thing, Diagnosis):
        write_kernels(thing, Path(path))
    else:
        native_write.write_reconstruction(thing, Path(path))


def read(path: Path, positions: Path | None = None) -> Contents:
    """Read a file as `load` does, and tell what was found on the way.

    Raises:
        InputError: As `load`.
    """
    if path.is_dir():
        return _read_folder(path)
    head = _head(path)
    if head[128:132] == b"DICM":
        return Contents(read_ring(path), (), "channel data, DICOM Raw Data")
    if nifti.looks_like(head, path.name):
        return Contents(nifti.read_speeds(path), (), "sound-speed map (NIfTI-1)")
    if not h5py.is_hdf5(path):
        if not matlab.is_matlab_5(head):
            raise InputError(f"{path}: {_guess(head)}; {_KNOWN}.")
        variables = matlab.variables_5(path, _NAMES)
        if any(name in variables for name in _PLACED):
            return _read_placed(variables, path, positions, "MATLAB 5 to 7")
        _refuse_buffers(matlab.listing_5(path, (open_ust.VERASONICS,)), path)
        return _read_variables(variables, path, "MATLAB 5 to 7")
    with hdf5.opened(path) as file:
        if any(name in file for name in _PLACED):
            variables = matlab.variables_73(file, path, _NAMES)
            return _read_placed(variables, path, positions, "MATLAB 7.3 (HDF5)")
        _refuse_buffers(file, path)
        if stride_shots.holds_shots(file):
            return Contents(*stride_shots.read_stride_shots(file, path, positions), "stride shots (HDF5)")
        if trace_list.holds_trace_list(path.parent) and any(name in file for name in trace_list.DATA_NAMES):
            return Contents(*trace_list.read_trace_list(path.parent, path), "list of traces")
        return _read_hdf5(file, path, head.startswith(b"MATLAB"))


def _read_folder(folder: Path) -> Contents:
    """A scan that is spread over the files of a folder."""
    if trace_list.holds_trace_list(folder):
        return Contents(*trace_list.read_trace_list(folder), "list of traces")
    files = sorted(p for p in folder.iterdir() if p.is_file() and h5py.is_hdf5(p))
    shots = kwave_shots.read_kwave_shots(folder, files) if files else None
    if shots is None:
        raise InputError(f"{folder}: this is a folder; give the name of a file.")
    return Contents(*shots, "k-Wave shots (HDF5)")


def _read_placed(
    variables: dict[str, np.ndarray], path: Path, positions: Path | None, file_format: str
) -> Contents:
    """Travel times or a recording of the open-UST ring, with the element positions of another file if one is named."""
    elsewhere = None
    if positions is not None:
        elsewhere = travel_times.positions_of(_variables_of(positions), positions), positions
    if travel_times.DATA_VARIABLE in variables:
        thing = travel_times.read_travel_times(variables, path, elsewhere)
        return Contents(thing, (), f"ust-sart travel times, {file_format}")
    sampling = matlab.number_in_struct(path, open_ust.SETTINGS, open_ust.SAMPLING)
    found = open_ust.read_open_ust(variables, sampling, path, elsewhere)
    return Contents(*found, f"open-UST, {file_format}")


def _refuse_buffers(names: Container[str], path: Path) -> None:
    """Refuse a Verasonics buffer: what a sample in it is, is not in the file."""
    if open_ust.VERASONICS in names:
        raise InputError(
            f"{path}: {open_ust.VERASONICS} is a Verasonics buffer, whose order only its sequence tells; cut it into "
            "full_dataset (time, receive, transmit) and store that with time in s and transducerPositionsXY in m."
        )


def _variables_of(path: Path) -> dict[str, np.ndarray]:
    """The known variables of a MATLAB file of any version."""
    head = _head(path)
    if h5py.is_hdf5(path):
        with hdf5.opened(path) as file:
            return matlab.variables_73(file, path, _NAMES)
    if matlab.is_matlab_5(head):
        return matlab.variables_5(path, _NAMES)
    raise InputError(f"{path}: {_guess(head)}; give --positions a .mat file.")


def _head(path: Path) -> bytes:
    """The first bytes of a file that exists and can be opened."""
    if path.is_dir():
        raise InputError(f"{path}: this is a folder; give the name of a file.")
    try:
        with path.open("rb") as stream:
            head = stream.read(512)
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such file; check the path.") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be opened ({error.strerror}); check its permissions.") from error
    if not head:
        raise InputError(f"{path}: the file is empty; copy it again.")
    return head


def _guess(head: bytes) -> str:
    """Say what an unknown file seems to be."""
    if head.startswith(b"MATLAB 7.3"):
        return "this MATLAB 7.3 file is truncated or damaged"
    is_text = all(byte >= 32 or byte in (9, 10, 12, 13) for byte in head)
    return "this is a text file" if is_text else "the format is unknown or the file damaged"


def _is_native(file: h5py.File) -> bool:
    return "format" in file.attrs and file.attrs["format"] == native_write.FORMAT


def _is_stride(file: h5py.File) -> bool:
    return "protocol" in file.attrs and all(
        isinstance(file.get(name), h5py.Dataset) for name in ("data", "space/spacing")
    )


def _read_hdf5(file: h5py.File, path: Path, is_matlab: bool) -> Contents:
    if _is_native(file):
        thing, masks = read_native(file, path)
        return Contents(thing, masks, f"usct {text(file, 'format_version', path)} (HDF5)")
    if _is_stride(file):
        return Contents(maps.read_stride(file, path), (), "stride model (HDF5)")
    if zea.holds_zea(file):
        return Contents(*zea.read_zea(file, path), "zea (HDF5)")
    channel_data = uff.find_channel_data(file)
    if channel_data is not None:
        return Contents(*uff.read_uff(channel_data, path), "UFF (HDF5)")
    if kwave_shots.is_output(file):
        raise InputError(f"{path}: is one shot of k-Wave's; give the folder with all inputs and outputs.")
    if kwave.holds_kwave(file):
        return Contents(kwave.read_kwave(file, path), (), "k-Wave input (HDF5)")
    if breast_slices.holds_nbp(file):
        return Contents(breast_slices.read_nbp(file, path), (), "NBPslices2D (MATLAB 7.3)")
    if is_matlab or any(name in file for name in waveform_inversion.DATA_VARIABLES):
        return _read_variables(
            matlab.variables_73(file, path, _NAMES), path, "MATLAB 7.3 (HDF5)", tuple(file)
        )
    return _read_variables(_plain_variables(file, path), path, "HDF5", tuple(file))


def _plain_variables(file: h5py.File, path: Path) -> dict[str, np.ndarray]:
    """Datasets of an HDF5 file that is not MATLAB's, axes as they are; a map may carry its own spacing."""
    items = {name: file[name] for name in _NAMES if isinstance(file.get(name), h5py.Dataset)}
    variables = {name: hdf5.read(item, path) for name, item in items.items()}
    for name in maps.MAP_NAMES:
        if name in items and "spacing" in items[name].attrs:
            variables.setdefault("spacing", np.asarray(items[name].attrs["spacing"]))
    return variables


def _read_variables(
    variables: dict[str, np.ndarray], path: Path, file_format: str, found: tuple[str, ...] = ()
) -> Contents:
    if any(name in variables for name in waveform_inversion.DATA_VARIABLES):
        return Contents(*waveform_inversion.read_scan(variables, path), file_format)
    if any(name in variables for name in maps.MAP_NAMES):
        return Contents(maps.read_map(variables, path), (), file_format)
    listed = f" (it holds {', '.join(sorted(found)[:8])})" if found else ""
    wanted = ", ".join((*waveform_inversion.DATA_VARIABLES, travel_times.DATA_VARIABLE, *maps.MAP_NAMES[:2]))
    raise InputError(f"{path}: none of {wanted} is in the file{listed}; {_KNOWN}.")
