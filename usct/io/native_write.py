"""Writing scans, phantoms and results in the native HDF5 schema, version 1.0.

Root attributes: `format`, `format_version`, `kind`, `created`, `creator`, `notice`, `title`, and as JSON
`metadata`, `notes` or `provenance`. Units and the order of axes are attributes of every dataset.

Scan: `/acquisition/data` (tx, rx, time) or (tx, rx, freq), with `time_start`, `sampling_frequency` and
`valid`, or `frequencies` and `weights`; a shot in water alone as `/acquisition/reference` of the same shape, with
`reference_valid` or `reference_weights`; `/acquisition/tx/element`, `/acquisition/rx/element`;
`/transducer/positions` (element, (y, x)); `/medium`, attribute `sound_speed`; `/truth`; `/initial`.
Travel times: `/travel_times/delays` (tx, rx) against water, NaN where there is none, `/travel_times/tx/element`,
`/travel_times/rx/element`, `/transducer/positions`, `/medium`.
Phantom: `/truth/sound_speed`, `attenuation`, `density`, and `labels` with the attribute `label_names`.
Result: `/result/sound_speed`, `attenuation`, `density`, `region`; `/initial`; `/history/*`, one value for
each update (`skipped` NaN where not known); root attributes `status` and `message`; `/cycle_skips`, attributes
`frequency` [Hz], `start_waves`, `start_arrivals`, `end_waves`, `end_arrivals`, `stage_waves` (shares of pairs,
NaN where not known), `stage` (the name of the last of these) and `suspected`; and where the image was made by a
trained field, `/field` with the attributes `name`, `version`, `bounds` [m/s], `settings` (JSON), `shape`,
`spacing` and `origin` [m], and all that makes its values in `/field/arrays/*`, with the attribute `trained`.

Every map carries `spacing` and `origin` [m], the coordinates of element zero. Every dataset carries the
SHA-256 of its bytes, and the user block that of the whole file behind it.
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import h5py
import numpy as np
import torch

import usct
from usct.acquisition import Acquisition, Spectra, Traces, TransducerArray
from usct.io import hdf5
from usct.io.atomic import replacing
from usct.io.native_field import write_field
from usct.io.sink import Sink
from usct.medium import Medium
from usct.phantom.base import Phantom
from usct.reconstruction import RESEARCH_USE_ONLY, Reconstruction, Record
from usct.travel_times import TravelTimes

FORMAT = "usct"
FORMAT_VERSION = "1.0"
HISTORY_UNITS = {
    "stage": "",
    "frequency": "Hz",
    "iteration": "",
    "objective": "1",
    "step": "m/s",
    "solver_residual": "1",
    "n_solves": "",
    "seconds": "s",
    "skipped": "1",
}
_UNITS = {"sound_speed": "m/s", "attenuation": "Np/m", "density": "kg/m^3"}


def write_file(path: Path, kind: str, fill: Callable[[h5py.File], None]) -> None:
    """Write a native file in one step: fill it, seal it, and only then replace what was there.

    Args:
        path: The file to write or replace.
        kind: What the file holds: `acquisition`, `phantom`, `reconstruction` or `arrays`.
        fill: Writes the contents into the open file.

    Raises:
        InputError: If the file cannot be written; what was there before is unchanged.
    """
    about: dict[str, hdf5.Attribute] = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "kind": kind,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "creator": f"usct {usct.__version__}",
        "notice": RESEARCH_USE_ONLY,
    }
    with replacing(path) as temporary:
        _write_hdf5(temporary, about, fill)
        hdf5.seal(temporary)


def _write_hdf5(path: Path, about: dict[str, hdf5.Attribute], fill: Callable[[h5py.File], None]) -> None:
    # Not "latest": HDF5 1.14, and with it MATLAB, cannot open what HDF5 2.0 then writes.
    libver = ("earliest", "v114")
    with Sink(path) as sink:
        try:
            with h5py.File(sink, "w", libver=libver, userblock_size=hdf5.USER_BLOCK) as file:
                hdf5.set_attributes(file, about)
                fill(file)
        except (OSError, RuntimeError):
            # HDF5 stumbles over what the sink did not keep; the reason is the sink's.
            if sink.error is None:
                raise
        if sink.error is not None:
            raise sink.error


def write_acquisition(acquisition: Acquisition, path: Path) -> None:
    """Write a scan; the data in the order (tx, rx, time) or (tx, rx, freq), exactly as they are."""

    def fill(file: h5py.File) -> None:
        _write_texts(file, acquisition.title, acquisition.metadata, "metadata")
        file.attrs["notes"] = json.dumps(list(acquisition.notes))
        _write_array(file, acquisition.array)
        group = file.create_group("acquisition")
        _write_axes(group, acquisition.data)
        _write_data(group, acquisition.data)
        if acquisition.water is not None:
            _write_data(group, acquisition.water, "reference", "reference_")
        hdf5.put(file, "acquisition/tx/element", array_of(acquisition.array.transmits))
        hdf5.put(file, "acquisition/rx/element", array_of(acquisition.array.receives))
        if acquisition.water_sound_speed is not None:
            file.create_group("medium").attrs["sound_speed"] = float(acquisition.water_sound_speed)
        for name, medium in (("truth", acquisition.truth), ("initial", acquisition.start)):
            if medium is not None:
                _write_medium(file.create_group(name), medium)

    write_file(path, "acquisition", fill)


def write_phantom(phantom: Phantom, path: Path) -> None:
    """Write a phantom: its maps, the labels and the names of the labels."""

    def fill(file: h5py.File) -> None:
        _write_texts(file, phantom.title, phantom.provenance, "provenance")
        group = file.create_group("truth")
        _write_medium(group, phantom.medium)
        hdf5.put(group, "labels", array_of(phantom.labels), {"label_names": list(phantom.tissues)})

    write_file(path, "phantom", fill)


def write_travel_times(times: TravelTimes, path: Path) -> None:
    """Write travel times: delays against water [s], NaN where there is none, and the array."""

    def fill(file: h5py.File) -> None:
        _write_texts(file, times.title, times.metadata, "metadata")
        file.attrs["notes"] = json.dumps(list(times.notes))
        _write_array(file, times.array)
        hdf5.put(file, "travel_times/delays", array_of(times.delays), {"units": "s", "dims": "tx, rx"})
        hdf5.put(file, "travel_times/tx/element", array_of(times.array.transmits))
        hdf5.put(file, "travel_times/rx/element", array_of(times.array.receives))
        if times.water_sound_speed is not None:
            file.create_group("medium").attrs["sound_speed"] = float(times.water_sound_speed)

    write_file(path, "travel_times", fill)


def write_reconstruction(result: Reconstruction, path: Path) -> None:
    """Write a result: image, region, start model, history, status, provenance, and what made the image."""

    def fill(file: h5py.File) -> None:
        _write_texts(file, "", result.provenance, "provenance")
        hdf5.set_attributes(file, {"status": result.status.name, "message": result.message})
        group = file.create_group("result")
        _write_medium(group, result.medium)
        hdf5.put(group, "region", array_of(result.region))
        _write_medium(file.create_group("initial"), result.start)
        _write_history(file.create_group("history"), result.history)
        if result.skips is not None:
            about = asdict(result.skips) | {"suspected": result.skips.suspected}
            hdf5.set_attributes(file.create_group("cycle_skips"), about)
        if result.field is not None:
            write_field(file, result.field)

    write_file(path, "reconstruction", fill)


def array_of(tensor: torch.Tensor) -> np.ndarray:
    """The same values, to the bit, as a numpy array in host memory."""
    return tensor.detach().cpu().resolve_conj().resolve_neg().numpy()


def _write_texts(file: h5py.File, title: str, texts: Mapping[str, str], name: str) -> None:
    hdf5.set_attributes(file, {"title": title, name: json.dumps(dict(texts))})


def _write_array(file: h5py.File, array: TransducerArray) -> None:
    group = file.create_group("transducer")
    dims = "element, (y, x)" if array.positions.shape[1] == 2 else "element, (z, y, x)"
    hdf5.put(group, "positions", array_of(array.positions), {"units": "m", "dims": dims})
    group.attrs["radius"] = array.radius


def _write_axes(group: h5py.Group, data: Traces | Spectra) -> None:
    """What the samples of a recording are samples of."""
    if isinstance(data, Spectra):
        hdf5.set_attributes(group, {"domain": "frequency", "damping": float(data.damping)})
        hdf5.put(group, "frequencies", array_of(data.frequencies), {"units": "Hz"})
        return
    group.attrs["domain"] = "time"
    for name, value, units in (
        ("time_start", data.start_time, "s"),
        ("sampling_frequency", data.sampling_frequency, "Hz"),
    ):
        hdf5.put(group, name, np.array(value, dtype=np.float64), {"units": units})


def _write_data(group: h5py.Group, data: Traces | Spectra, name: str = "data", prefix: str = "") -> None:
    """The samples, and which of them can be used."""
    about: dict[str, hdf5.Attribute]
    if isinstance(data, Spectra):
        about = {"units": "Pa.s", "dims": "tx, rx, freq", "phase": "outgoing exp(-ikr)"}
        hdf5.put(group, name, np.moveaxis(array_of(data.values), 0, -1), about, rows_apart=True)
        weights = np.moveaxis(array_of(data.weights), 0, -1)
        hdf5.put(group, f"{prefix}weights", weights, {"dims": "tx, rx, freq"})
        return
    about = {"units": "Pa", "dims": "tx, rx, time", "scale_factor": 1.0, "add_offset": 0.0}
    hdf5.put(group, name, array_of(data.values), about, rows_apart=True)
    hdf5.put(group, f"{prefix}valid", array_of(data.valid))


def _write_medium(group: h5py.Group, medium: Medium) -> None:
    grid = medium.grid
    for name, units in _UNITS.items():
        values = getattr(medium, name)
        if values is None:
            continue
        about: dict[str, hdf5.Attribute] = {
            "units": units,
            "dims": ", ".join(("z", "y", "x")[-grid.n_dims :]),
            "spacing": grid.spacing,
            "origin": list(grid.origin),
        }
        if name == "attenuation":
            about["attenuation_exponent"] = float(medium.attenuation_power)
            about["reference_frequency"] = float(medium.reference_frequency)
        hdf5.put(group, name, array_of(values), about)


def _write_history(group: h5py.Group, history: tuple[Record, ...]) -> None:
    for name, units in HISTORY_UNITS.items():
        column = [getattr(record, name) for record in history]
        column = [math.nan if value is None else value for value in column]
        if name == "stage":
            values = np.array([text.encode() for text in column] or [], dtype="S" if column else "S1")
        else:
            values = np.array(column, dtype=np.int64 if name in ("iteration", "n_solves") else np.float64)
        hdf5.put(group, name, values, {"units": units} if units else None)
