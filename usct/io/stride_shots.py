"""Scans in the HDF5 layout of stride, protocol 0.1: `NAME-Acquisitions.h5`, with `NAME-Geometry.h5` beside it.

Acquisitions: `shots/<id>/` with `source_ids`, `receiver_ids` and `observed/data` (receive, time), and `time/start`,
`time/step` [s]. Geometry: `locations/<id>/` with `id` and `coordinates` [m]. As in stride's maps the first coordinate
is taken as y.
"""

from pathlib import Path

import h5py
import numpy as np

from usct.acquisition import Acquisition
from usct.io import hdf5
from usct.io.checks import About, RefusalError, Scan, assemble


def holds_shots(file: h5py.File) -> bool:
    """Whether an open file is one of stride's acquisitions."""
    return "protocol" in file.attrs and isinstance(file.get("shots"), h5py.Group)


def read_stride_shots(
    file: h5py.File, path: Path, geometry: Path | None = None
) -> tuple[Acquisition, tuple[str, ...]]:
    """Build an acquisition from the observed traces of all shots.

    Args:
        file: From `hdf5.opened`, for which `holds_shots` is true.
        path: Its name, for the errors' sentences.
        geometry: The file of the geometry; by default the one beside it whose name ends in Geometry.

    Raises:
        InputError: If the geometry is missing, a shot has several sources or no observed traces, or sizes disagree.
    """
    geometry = geometry or path.with_name(path.name.replace("Acquisitions", "Geometry"))
    if geometry == path or not geometry.exists():
        raise RefusalError(
            [f"{path}: there is no {geometry.name} beside it; add --positions with stride's geometry."]
        )
    names, positions = _locations(geometry)
    shots = [file["shots"][key] for key in sorted(file["shots"], key=_number)]
    sources, traces = [], []
    for shot in shots:
        source, receivers = (
            np.ravel(hdf5.values(shot, f"{end}_ids", path)).tolist() for end in ("source", "receiver")
        )
        where = f"{path}: {shot.name.lstrip('/')}"
        if len(source) != 1:
            raise RefusalError([f"{where} fires {len(source)} sources; give shots of one element each."])
        if not isinstance(shot.get("observed/data"), h5py.Dataset):
            raise RefusalError(
                [f"{where} has no observed traces; run the simulation or store the recording."]
            )
        unknown = sorted({*source, *receivers} - names.keys())
        if unknown:
            raise RefusalError([f"{where} names location {unknown[0]}, which {geometry.name} does not have."])
        observed = hdf5.read(shot["observed/data"], path)
        if observed.ndim != 2 or len(observed) != len(receivers):
            raise RefusalError(
                [f"{where} has traces of the shape {observed.shape} for {len(receivers)} receivers."]
            )
        sources.append(names[source[0]])
        # A location that did not listen to this shot has no data, which is not the same as silence.
        row = np.full((len(positions), observed.shape[1]), np.nan, observed.dtype)
        row[[names[name] for name in receivers]] = observed
        traces.append(row)
    if len({row.shape for row in traces}) != 1:
        raise RefusalError(
            [f"{path}: shots have different numbers of samples; resample them to one time axis."]
        )
    start, step = (float(np.ravel(hdf5.values(file, f"time/{name}", path))[0]) for name in ("start", "step"))
    scan = Scan(
        path,
        positions,
        np.stack(traces),
        sampling=(start, 1 / step),
        transmits=np.array(sources),
        names={"values": "observed traces", "positions": "locations"},
        notes=(f"Element positions come from {geometry.name}.",),
    )
    return assemble(scan, About(title=path.stem.removesuffix("-Acquisitions"), metadata={"layout": "stride"}))


def _locations(path: Path) -> tuple[dict[int, int], np.ndarray]:
    """Row of every location's name, and positions (y, x), shape (location, 2) [m]."""
    with hdf5.opened(path, sealed=False) as file:
        group = file.get("locations")
        if not isinstance(group, h5py.Group):
            raise RefusalError([f"{path}: there are no locations in it; give stride's geometry."])
        places = {}
        for key in group:
            name = int(np.ravel(hdf5.values(group[key], "id", path))[0])
            places[name] = np.ravel(hdf5.values(group[key], "coordinates", path)).astype(np.float64)
    names = sorted(places)
    return {name: row for row, name in enumerate(names)}, np.stack([places[name] for name in names])


def _number(key: str) -> int:
    digits = "".join(letter for letter in key if letter.isdigit())
    return int(digits or 0)
