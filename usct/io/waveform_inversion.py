"""Ring-array scans in the layout of the WaveformInversionUST data sets, for MATLAB.

Time domain: `full_dataset` (time, receive, transmit), `time` [s], `transducerPositionsXY` (2, element) [m],
maybe `water_dataset`, a shot in water alone of the same shape, and for simulations `C` [m/s] and `atten`
[dB/(MHz cm)] on `xi_orig`, `yi_orig` [m].
Frequency domain: `REC_DATA` (transmit, receive) or (transmit, receive, frequency), `x_circ`, `y_circ` [m],
`f` [Hz], and `C` on `x`, `y`.

MATLAB's meshgrid makes maps (numel(y), numel(x)), which is the package's own order.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from usct.acquisition import Acquisition
from usct.errors import InputError
from usct.io import channels, maps
from usct.io.checks import About, RefusalError, Scan, assemble, position_faults
from usct.medium import Medium

VARIABLES = (
    "full_dataset", "water_dataset", "time", "transducerPositionsXY", "REC_DATA", "x_circ", "y_circ", "f",
    "C", "atten", "xi_orig", "yi_orig", "x", "y",
)  # fmt: skip
DATA_VARIABLES = ("full_dataset", "REC_DATA")
_CLEAR = 0.5
_VAGUE = 0.25


def read_scan(variables: Mapping[str, np.ndarray], path: Path) -> tuple[Acquisition, tuple[str, ...]]:
    """Build an acquisition from the variables of such a file.

    Args:
        variables: In MATLAB's shapes; `full_dataset` or `REC_DATA` is among them.
        path: The file, for the errors' sentences.

    Returns:
        The acquisition, and what had to be masked, in sentences.

    Raises:
        InputError: If a variable is missing, contradicts another, or looks to be in other units.
    """
    is_time = "full_dataset" in variables
    positions, notes = _positions(variables, path)
    scan = _traces(variables, positions, path) if is_time else _spectra(variables, positions, path)
    truth, more = truth_of(variables, path)
    metadata = {"layout": "WaveformInversionUST"}
    if truth is not None:
        border = np.concatenate([truth.sound_speed[0], truth.sound_speed[-1]])
        metadata["truth_border_sound_speed"] = f"{float(np.median(border)):g} m/s"
    scan = replace(scan, notes=(*notes, *scan.notes, *more))
    return assemble(scan, About(truth=truth, title=path.stem, metadata=metadata))


def _require(variables: Mapping[str, np.ndarray], name: str, path: Path) -> np.ndarray:
    if name not in variables:
        raise InputError(f"{path}: the variable {name} is missing; store it beside the data.")
    return variables[name]


def _positions(variables: Mapping[str, np.ndarray], path: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    """Element positions (y, x), shape (element, dim)."""
    if "transducerPositionsXY" not in variables and "x_circ" in variables:
        x, y = (_require(variables, name, path).ravel() for name in ("x_circ", "y_circ"))
        if len(x) != len(y):
            raise InputError(
                f"{path}: x_circ has {len(x)} values and y_circ {len(y)}; store one for each element."
            )
        return np.stack([y, x], axis=1).astype(np.float64), ()
    xy = _require(variables, "transducerPositionsXY", path).astype(np.float64)
    if xy.ndim == 2 and xy.shape[0] not in (2, 3) and xy.shape[1] in (2, 3):
        return xy[:, ::-1], ("transducerPositionsXY were stored (element, 2) and have been transposed.",)
    return xy.T[:, ::-1], ()


def _traces(variables: Mapping[str, np.ndarray], positions: np.ndarray, path: Path) -> Scan:
    data = _require(variables, "full_dataset", path)
    times = _require(variables, "time", path).ravel().astype(np.float64)
    water = variables.get("water_dataset")
    values = data
    notes: tuple[str, ...] = ()
    if data.ndim == 3:
        order, notes = _time_order(data.shape, len(times), len(positions))
        values = data.transpose(order)
        water = None if water is None or water.shape != data.shape else water.transpose(order)
    if water is None and "water_dataset" in variables:
        notes = (*notes, "water_dataset was left out, because its shape is not that of full_dataset.")
    names = {
        "positions": "transducerPositionsXY",
        "values": "full_dataset",
        "times": "time",
        "reference": "water_dataset",
    }
    return Scan(path, positions, values, times=times, names=names, notes=notes, reference=water)


def _time_order(
    shape: tuple[int, ...], n_times: int, n_elements: int
) -> tuple[tuple[int, int, int], tuple[str, ...]]:
    """The transposition to (tx, rx, time), by the sizes where only another order than MATLAB's fits."""
    orders = {
        "(time, receive, transmit)": (2, 1, 0),
        "(transmit, receive, time)": (0, 1, 2),
        "(transmit, time, receive)": (0, 2, 1),
    }
    for name, order in orders.items():
        if [shape[axis] for axis in order] == [n_elements, n_elements, n_times]:
            usual = name == "(time, receive, transmit)"
            note = f"The sizes of full_dataset show the axis order {name}; it was read so."
            return order, () if usual else (note,)
    return (2, 1, 0), ()


def _spectra(variables: Mapping[str, np.ndarray], positions: np.ndarray, path: Path) -> Scan:
    data = _require(variables, "REC_DATA", path)
    frequencies = _require(variables, "f", path).ravel().astype(np.float64)
    notes: tuple[str, ...] = ()
    if data.ndim == 2:
        data = data[:, :, np.newaxis]
    if data.ndim == 3:
        n = len(positions)
        only_first = data.shape == (len(frequencies), n, n) and data.shape != (n, n, len(frequencies))
        notes = ("REC_DATA has the frequencies on its first axis; it was read so.",) if only_first else ()
        data = data if only_first else np.moveaxis(data, 2, 0)
    if np.iscomplexobj(data):
        data = data.astype(np.complex128)
    names = {"positions": "x_circ, y_circ", "values": "REC_DATA", "frequencies": "f"}
    scan = Scan(path, positions, data, frequencies=frequencies, names=names, notes=notes)
    agrees = data.ndim == 3 and data.shape == (len(frequencies), len(positions), len(positions))
    if not agrees or not np.iscomplexobj(data) or position_faults(positions):
        return scan
    return _turned(scan, frequencies)


def _turned(scan: Scan, frequencies: np.ndarray) -> Scan:
    """Give the data the package's axis order and phase, judged by how phase grows along the receivers."""
    lowest = int(frequencies.argmin())
    arguments = (float(frequencies[lowest]), scan.positions, scan.positions)
    values, notes = scan.values, list(scan.notes)
    slope = channels.phase_slope(values[lowest], *arguments)
    swapped = channels.phase_slope(values[lowest].T, *arguments)
    if abs(slope) < _VAGUE and abs(swapped) > _CLEAR:
        # Source weights differ from transmit to transmit, so only one of the two axes is a wave front.
        values, slope = values.transpose(0, 2, 1), swapped
        notes.append("REC_DATA proved to be ordered (receive, transmit) and has been transposed.")
    if slope < -_VAGUE:
        values = values.conj()
        notes.append("REC_DATA was conjugated, because its waves run outwards as exp(+ikr).")
    elif slope < _VAGUE:
        notes.append("The phase of REC_DATA does not show which way waves run; exp(-ikr) was assumed.")
    return replace(scan, values=values, notes=tuple(notes))


def truth_of(variables: Mapping[str, np.ndarray], path: Path) -> tuple[Medium | None, tuple[str, ...]]:
    """The true medium where the file has one; one that cannot be used is left out with a note."""
    if "C" not in variables:
        return None, ()
    names = ("xi_orig", "yi_orig") if "xi_orig" in variables else ("x", "y")
    if not all(name in variables for name in names):
        return None, (f"C was left out, because {names[0]} or {names[1]} is missing.",)
    x, y = (variables[name].ravel().astype(np.float64) for name in names)
    try:
        return maps.medium_on_axes(variables["C"], x, y, path, variables.get("atten"))
    except RefusalError as error:
        return None, tuple(f"C was left out: {sentence}" for sentence in error.sentences)
