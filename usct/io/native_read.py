"""Reading scans, phantoms, results and diagnoses in the native HDF5 schema, version 1."""

import json
import math
from dataclasses import fields
from pathlib import Path

import h5py
import numpy as np
import torch

from usct.acquisition import Acquisition, TransducerArray
from usct.diagnosis import Diagnosis
from usct.errors import InputError
from usct.grid import Grid
from usct.io.checks import About, Scan, assemble
from usct.io.hdf5 import optional, text, values
from usct.io.native_field import read_field
from usct.io.native_kernels import read_kernels
from usct.io.native_write import FORMAT_VERSION, HISTORY_UNITS
from usct.medium import Medium
from usct.phantom.base import Phantom
from usct.reconstruction import CycleSkips, Reconstruction, Record, Status
from usct.travel_times import TravelTimes
from usct.units import ATTENUATION_REFERENCE_FREQUENCY

_MAPS = ("sound_speed", "attenuation", "density")


def read_native(
    file: h5py.File, path: Path
) -> tuple[Acquisition | TravelTimes | Phantom | Reconstruction | Diagnosis, tuple[str, ...]]:
    """Read an open native file of any kind.

    Args:
        file: From `hdf5.opened`.
        path: Its name, for the errors' sentences.

    Returns:
        The object, and for a scan what had to be masked, in sentences.

    Raises:
        InputError: If something is missing, damaged or contradictory.
    """
    version = text(file, "format_version", path)
    if version.split(".")[0] != FORMAT_VERSION.split(".")[0]:
        raise InputError(
            f"{path}: format version {version} is newer than {FORMAT_VERSION}; update usct to read it."
        )
    kind = text(file, "kind", path)
    try:
        if kind == "acquisition":
            return _read_acquisition(file, path)
        if kind == "phantom":
            return _read_phantom(file, path), ()
        if kind == "travel_times":
            return _read_travel_times(file, path), ()
        if kind == "reconstruction":
            return _read_reconstruction(file, path), ()
        if kind == "diagnosis":
            return read_kernels(file, path), ()
    except InputError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        # The nouns refuse what contradicts itself; theirs is the reason, the file's name is ours to add.
        raise InputError(f"{path}: {' '.join(str(error).split())}; write the file anew.") from error
    raise InputError(
        f"{path}: a file of kind '{kind}' is no scan, travel times, phantom, result or diagnosis."
    )


def _texts(file: h5py.File, name: str, path: Path) -> dict[str, str]:
    return {str(key): str(value) for key, value in json.loads(text(file, name, path, "{}")).items()}


def _read_acquisition(file: h5py.File, path: Path) -> tuple[Acquisition, tuple[str, ...]]:
    group = file.get("acquisition")
    if not isinstance(group, h5py.Group):
        raise InputError(
            f"{path}: /acquisition is missing; write the file anew with the recorded data in it."
        )
    speed = file["medium"].attrs.get("sound_speed") if "medium" in file else None
    about = About(
        None if speed is None else float(speed),
        read_medium(file, "truth", path),
        read_medium(file, "initial", path),
        text(file, "title", path, ""),
        _texts(file, "metadata", path),
    )
    domain = text(group, "domain", path)
    if domain not in ("time", "frequency"):
        raise InputError(f"{path}: /acquisition has the domain '{domain}'; use 'time' or 'frequency'.")
    scan = _spectra_scan(file, group, path) if domain == "frequency" else _traces_scan(file, group, path)
    return assemble(scan, about)


def _spectra_scan(file: h5py.File, group: h5py.Group, path: Path) -> Scan:
    weights = optional(group, "weights", path)
    reference, reference_weights = (
        optional(group, name, path) for name in ("reference", "reference_weights")
    )
    return Scan(
        path,
        values(file, "transducer/positions", path),
        np.moveaxis(values(group, "data", path), -1, 0),
        frequencies=values(group, "frequencies", path),
        transmits=optional(group, "tx/element", path),
        receives=optional(group, "rx/element", path),
        usable=None if weights is None else np.moveaxis(weights, -1, 0),
        damping=float(group.attrs.get("damping", 0.0)),
        names=_names(),
        notes=_notes(file, path),
        reference=None if reference is None else np.moveaxis(reference, -1, 0),
        reference_usable=None if reference_weights is None else np.moveaxis(reference_weights, -1, 0),
    )


def _traces_scan(file: h5py.File, group: h5py.Group, path: Path) -> Scan:
    start = float(values(group, "time_start", path))
    sampling_frequency = float(values(group, "sampling_frequency", path))
    if not (np.isfinite(sampling_frequency) and sampling_frequency > 0):
        raise InputError(
            f"{path}: sampling_frequency is {sampling_frequency:g}; store samples per second, above 0."
        )
    return Scan(
        path,
        values(file, "transducer/positions", path),
        _stretched(group, "data", path),
        sampling=(start, sampling_frequency),
        transmits=optional(group, "tx/element", path),
        receives=optional(group, "rx/element", path),
        usable=optional(group, "valid", path),
        names=_names(),
        notes=_notes(file, path),
        reference=_stretched(group, "reference", path) if "reference" in group else None,
        reference_usable=optional(group, "reference_valid", path),
    )


def _stretched(group: h5py.Group, name: str, path: Path) -> np.ndarray:
    """Samples as pressure, however they are counted in the file."""
    traces = values(group, name, path)
    about = group[name].attrs
    scale, offset = float(about.get("scale_factor", 1.0)), float(about.get("add_offset", 0.0))
    if (scale, offset) == (1.0, 0.0):
        return traces
    return traces.astype(np.float32) * np.float32(scale) + np.float32(offset)


def _names() -> dict[str, str]:
    return {
        "positions": "/transducer/positions",
        "values": "/acquisition/data",
        "reference": "/acquisition/reference",
        "frequencies": "/acquisition/frequencies",
    }


def _notes(file: h5py.File, path: Path) -> tuple[str, ...]:
    return tuple(str(note) for note in json.loads(text(file, "notes", path, "[]")))


def read_medium(file: h5py.File, name: str, path: Path) -> Medium | None:
    """Read the maps of a group, or None where the group is missing.

    Args:
        file: From `hdf5.opened`.
        name: Of the group: `truth`, `initial` or `result`.
        path: Of the file, for the errors' sentences.

    Raises:
        InputError: If the sound speed, its spacing or its origin is missing, or a value is impossible.
    """
    if name not in file:
        return None
    group = file[name]
    maps = {key: optional(group, key, path) for key in _MAPS}
    speed = maps["sound_speed"]
    if speed is None:
        raise InputError(f"{path}: /{name}/sound_speed is missing; write the file anew with the map in it.")
    about = {**group.attrs, **group["sound_speed"].attrs}
    if "spacing" not in about:
        raise InputError(
            f"{path}: /{name}/sound_speed has no attribute 'spacing'; store the distance of nodes in m."
        )
    spacing = np.unique(np.asarray(about["spacing"], dtype=np.float64))
    if len(spacing) != 1:
        raise InputError(f"{path}: /{name}/sound_speed has unequal spacings; resample it to square cells.")
    centred = Grid.centred(speed.shape, float(spacing[0]))
    grid = Grid(speed.shape, float(spacing[0]), tuple(about.get("origin", centred.origin)))
    tensors = {key: None if array is None else torch.from_numpy(array) for key, array in maps.items()}
    loss = dict(group["attenuation"].attrs) if "attenuation" in group else {}
    return Medium(
        grid,
        torch.from_numpy(speed),
        tensors["attenuation"],
        tensors["density"],
        float(loss.get("attenuation_exponent", 1.0)),
        float(loss.get("reference_frequency", ATTENUATION_REFERENCE_FREQUENCY)),
    )


def _required_medium(file: h5py.File, name: str, path: Path) -> Medium:
    medium = read_medium(file, name, path)
    if medium is None:
        raise InputError(f"{path}: /{name} is missing; write the file anew with the map in it.")
    return medium


def _read_travel_times(file: h5py.File, path: Path) -> TravelTimes:
    places = values(file, "transducer/positions", path)
    ends = (values(file, f"travel_times/{role}/element", path) for role in ("tx", "rx"))
    speed = file["medium"].attrs.get("sound_speed") if "medium" in file else None
    return TravelTimes(
        TransducerArray(torch.from_numpy(places), *(torch.from_numpy(end) for end in ends)),
        torch.from_numpy(values(file, "travel_times/delays", path)),
        None if speed is None else float(speed),
        text(file, "title", path, ""),
        _texts(file, "metadata", path),
        _notes(file, path),
    )


def _read_phantom(file: h5py.File, path: Path) -> Phantom:
    medium = _required_medium(file, "truth", path)
    labels = values(file, "truth/labels", path)
    names = file["truth/labels"].attrs.get("label_names", [])
    return Phantom(
        medium,
        torch.from_numpy(labels),
        tuple(str(name) for name in names),
        text(file, "title", path, ""),
        _texts(file, "provenance", path),
    )


def _read_reconstruction(file: h5py.File, path: Path) -> Reconstruction:
    status = text(file, "status", path)
    if status not in Status.__members__:
        raise InputError(
            f"{path}: the status '{status}' is unknown; use one of {', '.join(Status.__members__)}."
        )
    # Files of versions that did not look for cycle skips stage by stage lack that column.
    names = [name for name in HISTORY_UNITS if name != "skipped" or f"history/{name}" in file]
    columns = {name: values(file, f"history/{name}", path).tolist() for name in names}
    columns["stage"] = [stage.decode() for stage in columns["stage"]]
    if "skipped" in columns:
        columns["skipped"] = [None if math.isnan(share) else share for share in columns["skipped"]]
    rows = zip(*columns.values(), strict=True)
    return Reconstruction(
        _required_medium(file, "result", path),
        _required_medium(file, "initial", path),
        torch.from_numpy(values(file, "result/region", path)),
        tuple(Record(*row) for row in rows),
        Status[status],
        text(file, "message", path),
        _texts(file, "provenance", path),
        read_field(file, path),
        _read_skips(file),
    )


def _read_skips(file: h5py.File) -> CycleSkips | None:
    """What the run said of cycle skips; None in files of versions that did not look."""
    if "cycle_skips" not in file:
        return None
    found = file["cycle_skips"].attrs
    numbers = {f.name: float(found.get(f.name, math.nan)) for f in fields(CycleSkips) if f.name != "stage"}
    return CycleSkips(**numbers, stage=str(found.get("stage", "")))
