"""Scans kept as a list of traces: a folder with `elementList.txt`, `elementRelas.txt` and the traces apart.

`elementList.txt`: EleID, x, y, z in metres or millimetres; `elementRelas.txt`: TraceID, Src, Rcv, counted from 1; both
with commas, semicolons or blanks, with or without a heading. The traces are `dataset` (trace, time), in either order of
axes, in an HDF5 or MATLAB file, with its `fs` or `sampling_frequency` [Hz], or `dt` or `time` [s]. Pairs that were not
recorded are masked.
"""

from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np

from usct.acquisition import Acquisition
from usct.io import hdf5, matlab
from usct.io.checks import About, RefusalError, Scan, assemble
from usct.units import MILLIMETRE

ELEMENTS, RELATIONS = "elementList.txt", "elementRelas.txt"
DATA_NAMES = ("dataset", "signal_filtered")
_RATES, _STEPS = ("fs", "sampling_frequency"), ("dt", "time")
_LARGEST_RING = 5.0


def holds_trace_list(folder: Path) -> bool:
    """Whether a folder has both lists."""
    return all((folder / name).is_file() for name in (ELEMENTS, RELATIONS))


def read_trace_list(folder: Path, chosen: Path | None = None) -> tuple[Acquisition, tuple[str, ...]]:
    """Build an acquisition from such a folder.

    Args:
        folder: Where the lists are, for which `holds_trace_list` is true.
        chosen: The file of the traces; None if the folder has one alone that could be.

    Raises:
        InputError: If there is no file of traces, or more than one, sampling is not told, or lists and traces disagree.
    """
    path = chosen or _only_file(folder)
    variables = _variables(path)
    name = next((name for name in DATA_NAMES if name in variables), None)
    if name is None:
        raise RefusalError(
            [f"{path}: holds none of {', '.join(DATA_NAMES)}; store the traces under one of them."]
        )
    places, relations = _table(folder / ELEMENTS, 3), _table(folder / RELATIONS, 3)
    positions, notes = _positions(places)
    row_of = {int(number): row for row, number in enumerate(places[:, 0])}
    sources, receivers = relations[:, 1].astype(int), relations[:, 2].astype(int)
    unknown = sorted({*sources.tolist(), *receivers.tolist()} - row_of.keys())
    if unknown:
        raise RefusalError(
            [f"{folder / RELATIONS}: names element {unknown[0]}, which {ELEMENTS} does not have."]
        )
    traces = _traces(variables[name], relations[:, 0].astype(int), path)
    transmits, tx = np.unique(sources, return_inverse=True)
    receives, rx = np.unique(receivers, return_inverse=True)
    values = np.full((len(transmits), len(receives), traces.shape[1]), np.nan, traces.dtype)
    values[tx, rx] = traces
    start, rate = _sampling(variables, path)
    scan = Scan(
        path,
        positions,
        values,
        sampling=(start, rate),
        transmits=np.array([row_of[n] for n in transmits]),
        receives=np.array([row_of[n] for n in receives]),
        names={"values": name, "positions": ELEMENTS},
        notes=notes,
    )
    return assemble(scan, About(title=folder.name, metadata={"layout": "list of traces"}))


def _only_file(folder: Path) -> Path:
    files = sorted(p for p in folder.iterdir() if p.suffix in (".h5", ".hdf5", ".mat"))
    if len(files) != 1:
        found = ", ".join(p.name for p in files) or "none"
        raise RefusalError(
            [f"{folder}: one file of traces is expected and {found} found; name the one to read."]
        )
    return files[0]


def _variables(path: Path) -> dict[str, np.ndarray]:
    names = (*DATA_NAMES, *_RATES, *_STEPS)
    if not h5py.is_hdf5(path):
        return matlab.variables_5(path, names)
    with hdf5.opened(path, sealed=False) as file:
        return {
            name: hdf5.read(file[name], path) for name in names if isinstance(file.get(name), h5py.Dataset)
        }


def _table(path: Path, least: int) -> np.ndarray:
    """The numbers of a text file, headings left out, shape (row, column)."""
    rows = []
    for line in path.read_text(encoding="utf-8-sig", errors="replace").splitlines():
        words = line.replace(",", " ").replace(";", " ").split()
        try:
            rows.append([float(word) for word in words])
        except ValueError:
            continue
    rows = [row for row in rows if row]
    widths = {len(row) for row in rows}
    if len(widths) != 1 or min(widths) < least:
        raise RefusalError(
            [f"{path}: has rows of {sorted(widths)} numbers; write {least} or more in every row."]
        )
    return np.array(rows)


def _positions(places: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Positions (y, x), or (z, y, x) of elements in no plane [m]."""
    xyz = places[:, 1:4]
    notes: tuple[str, ...] = ()
    if np.abs(xyz - xyz.mean(axis=0)).max() > _LARGEST_RING:
        xyz, notes = MILLIMETRE * xyz, (f"{ELEMENTS} was read as millimetres.",)
    flat = xyz.shape[1] == 2 or np.ptp(xyz[:, 2]) < 1e-6
    return xyz[:, 1::-1] if flat else xyz[:, ::-1], notes


def _traces(values: np.ndarray, numbers: np.ndarray, path: Path) -> np.ndarray:
    """Traces of the rows of relations, shape (row, time)."""
    if values.ndim == 2 and len(values) != numbers.max() == values.shape[1]:
        values = values.T
    if values.ndim != 2 or not 1 <= numbers.min() <= numbers.max() <= len(values):
        raise RefusalError(
            [
                f"{path}: holds traces of the shape {values.shape}, and {RELATIONS} names trace {numbers.max()}."
            ]
        )
    return values[numbers - 1]


def _sampling(variables: Mapping[str, np.ndarray], path: Path) -> tuple[float, float]:
    """Time of the first sample [s] and sampling frequency [Hz]."""
    for name in _RATES:
        if name in variables:
            return 0.0, float(np.ravel(variables[name])[0])
    if "dt" in variables:
        return 0.0, 1 / float(np.ravel(variables["dt"])[0])
    if "time" in variables and variables["time"].size > 1:
        times = np.ravel(variables["time"]).astype(np.float64)
        return float(times[0]), (len(times) - 1) / float(times[-1] - times[0])
    raise RefusalError([f"{path}: does not tell its sampling; store fs [Hz] or dt [s] beside the traces."])
