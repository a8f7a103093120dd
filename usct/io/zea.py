"""Scans in the HDF5 layout of zea, and media in that of k-Wave's input files.

zea: `data/raw_data` (frame, tx, time, element, 1), `scan/probe_geometry` (element, 3) columns (x, y, z) [m],
`scan/sampling_frequency` [Hz], `scan/initial_times` (tx) [s], `scan/tx_apodizations` (tx, element),
`scan/t0_delays` (tx, element) [s], `scan/sound_speed` [m/s]. Newer files keep all of it under `tracks/<name>`, and
`probe_geometry` under `probe`. A ring fires one element at a time: each row of apodizations has one element.
"""

from pathlib import Path

import h5py
import numpy as np

from usct.acquisition import Acquisition
from usct.io import hdf5
from usct.io.checks import About, RefusalError, Scan, assemble

_FLAT = 1e-6


def holds_zea(file: h5py.File) -> bool:
    """Whether an open file has the layout of zea."""
    return _root(file) is not None


def _root(file: h5py.File) -> h5py.Group | None:
    """The group of the first scan in the file."""
    tracks = file.get("tracks")
    found = list(tracks.values()) if isinstance(tracks, h5py.Group) else []
    for group in (file, *found):
        if isinstance(group, h5py.Group) and "data/raw_data" in group and "scan" in group:
            return group
    return None


def read_zea(file: h5py.File, path: Path) -> tuple[Acquisition, tuple[str, ...]]:
    """Build an acquisition from the first frame of a zea file.

    Args:
        file: From `hdf5.opened`, for which `holds_zea` is true.
        path: Its name, for the errors' sentences.

    Returns:
        The acquisition, and what had to be masked, in sentences.

    Raises:
        InputError: If several elements fire at once, transmits start at different times, the elements lie in no
            plane, or sizes disagree.
    """
    root = _root(file)
    if root is None:
        raise RefusalError([f"{path}: there is no data/raw_data in the file; give a zea file of raw data."])
    data = hdf5.values(root, "data/raw_data", path)
    if data.ndim == 4:
        data = data[..., np.newaxis]
    if data.ndim != 5 or data.shape[-1] != 1:
        raise RefusalError(
            [f"{path}: raw_data has the shape {data.shape}; store real traces (frame, tx, time, element, 1)."]
        )
    scan = root["scan"]
    geometry = scan if "probe_geometry" in scan else root.get("probe", scan)
    positions, notes = in_plane(hdf5.values(geometry, "probe_geometry", path), path)
    elements, delays = _firing(scan, data.shape[1], len(positions), path)
    starts = np.ravel(hdf5.values(scan, "initial_times", path)).astype(np.float64) - delays
    if float(np.ptp(starts)) > 1e-9:
        raise RefusalError(
            [f"{path}: transmits start {np.ptp(starts):g} s apart; give all of them one time axis."]
        )
    rate = float(np.ravel(hdf5.values(scan, "sampling_frequency", path))[0])
    if len(data) > 1:
        notes += (f"The first of {len(data)} frames was read.",)
    speed = hdf5.optional(scan, "sound_speed", path)
    names = {"values": "raw_data", "positions": "probe_geometry", "transmits": "tx_apodizations"}
    content = Scan(
        path,
        positions,
        np.ascontiguousarray(data[0, ..., 0].transpose(0, 2, 1)),
        sampling=(float(starts[0]), rate),
        transmits=elements,
        names=names,
        notes=notes,
    )
    water = None if speed is None else float(np.ravel(speed)[0])
    return assemble(content, About(water, title=path.stem, metadata={"layout": "zea"}))


def in_plane(xyz: np.ndarray, path: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    """Positions (y, x) of elements that lie in a plane of constant z, or of constant y."""
    if xyz.ndim != 2 or xyz.shape[1] != 3:
        raise RefusalError(
            [f"{path}: probe_geometry has the shape {xyz.shape}; store (element, 3) in metres."]
        )
    x, y, z = xyz.astype(np.float64).T
    if np.ptp(z) < _FLAT:
        return np.stack([y, x], axis=1), ()
    if np.ptp(y) < _FLAT:
        return np.stack([z, x], axis=1), ("The ring lies in the plane of x and z, and z was taken as y.",)
    return np.stack([z, y, x], axis=1), ()


def _firing(scan: h5py.Group, n_tx: int, n_elements: int, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Which element fires in each transmit, and when [s]."""
    apodizations = np.abs(hdf5.values(scan, "tx_apodizations", path))
    if apodizations.shape != (n_tx, n_elements):
        raise RefusalError(
            [f"{path}: tx_apodizations has the shape {apodizations.shape}; store ({n_tx}, {n_elements})."]
        )
    counts = (apodizations > 0).sum(axis=1)
    if (counts != 1).any():
        worst = int(np.argmax(counts != 1))
        raise RefusalError(
            [
                f"{path}: transmit {worst} fires {counts[worst]} elements; give a scan that fires one at a time."
            ]
        )
    elements = apodizations.argmax(axis=1)
    delays = hdf5.optional(scan, "t0_delays", path)
    if delays is None or delays.shape != apodizations.shape:
        return elements, np.zeros(n_tx)
    return elements, delays[np.arange(n_tx), elements].astype(np.float64)
