"""Simulated breasts of public data sets, as a user has them: NBPslices2D, and stacks of sound-speed maps.

NBPslices2D: one slice a file, MATLAB 7.3, with `sos` [mm/us], `den` [g/mm^3], `att` [dB/(MHz^y mm)], `y`, `label` (as
VICTRE) and `type` (A to D), cells of 0.1 mm. Stacks: `breast_train_speed.mat` and the like of OpenBreastUS, MATLAB 7.3,
(y, x, number) [m/s]; or plain HDF5 files (number, y, x). They do not say how large a cell is.
"""

from pathlib import Path

import h5py
import numpy as np
import torch

from usct.grid import Grid
from usct.io import hdf5
from usct.io.checks import RefusalError
from usct.io.maps import phantom_of
from usct.medium import Medium
from usct.phantom.base import Phantom
from usct.phantom.label_maps import VICTRE
from usct.units import MILLIMETRE, attenuation_from_db

_NBP = ("sos", "den", "att", "label")
_NBP_SPACING = 0.1 * MILLIMETRE
_SPEEDS = (200.0, 10_000.0)


def holds_nbp(file: h5py.File) -> bool:
    """Whether an open file is a slice of NBPslices2D."""
    return all(isinstance(file.get(name), h5py.Dataset) for name in _NBP)


def read_nbp(file: h5py.File, path: Path) -> Phantom:
    """Build a phantom from a slice of NBPslices2D; its labels and maps stay as they are.

    Args:
        file: From `hdf5.opened`, for which `holds_nbp` is true.
        path: Its name, for the errors' sentences.

    Raises:
        InputError: If maps disagree, hold impossible values, or a label is not one of VICTRE's.
    """
    speed, density, loss, numbers = (np.atleast_2d(hdf5.values(file, name, path)).T for name in _NBP)
    if speed.ndim != 2 or {density.shape, loss.shape, numbers.shape} != {speed.shape}:
        raise RefusalError([f"{path}: sos, den, att and label have different shapes; copy the file again."])
    _refuse_impossible(path, "sos", speed * 1e3, *_SPEEDS)
    _refuse_impossible(path, "den", density * 1e6, 1.0, 2e4)
    _refuse_impossible(path, "att", loss, 0.0, 1e3)
    found = [int(n) for n in np.unique(numbers)]
    for number in found:
        if number not in VICTRE:
            raise RefusalError(
                [f"{path}: label {number} is none of VICTRE's ({sorted(VICTRE)}); correct it."]
            )
    tissues = ("water", *sorted({VICTRE[n] for n in found} - {"water"}))
    labels = np.zeros(numbers.shape, dtype=np.int16)
    for number in found:
        labels[numbers == number] = tissues.index(VICTRE[number])
    power = float(np.ravel(hdf5.values(file, "y", path))[0]) if "y" in file else 1.0
    medium = Medium(
        Grid.centred(speed.shape, _NBP_SPACING),
        torch.from_numpy(np.array(speed * 1e3, dtype=np.float64, order="C")),
        torch.from_numpy(np.array(loss * 10 * attenuation_from_db(1.0), dtype=np.float64, order="C")),
        torch.from_numpy(np.array(density * 1e6, dtype=np.float64, order="C")),
        power,
    )
    kind = f"type {chr(int(np.ravel(hdf5.values(file, 'type', path))[0]))}" if "type" in file else ""
    provenance = {"tissue_preset": "of the file", "density_class": kind} if kind else {}
    return Phantom(medium, torch.from_numpy(labels), tissues, path.stem, provenance)


def read_slice(path: Path, number: int, spacing: float, variable: str = "") -> Phantom:
    """Build a phantom from one map of a stack.

    Args:
        path: An HDF5 or MATLAB 7.3 file.
        number: Which map, from 0.
        spacing: Side of its cells [m].
        variable: Its name; empty where the file has but one array of three axes.

    Raises:
        InputError: If the file, the variable or the map is missing, or holds no sound speeds in m/s.
    """
    with path.open("rb") as stream:
        is_matlab = stream.read(6) == b"MATLAB"
    with hdf5.opened(path) as file:
        stacks = [n for n, item in file.items() if isinstance(item, h5py.Dataset) and item.ndim == 3]
        name = variable or (stacks[0] if len(stacks) == 1 else "")
        if name not in stacks:
            have = ", ".join(stacks) or "none"
            raise RefusalError([f"{path}: name the array of three axes with --variable; there are: {have}."])
        stack = file[name]
        if not 0 <= number < stack.shape[0]:
            raise RefusalError(
                [f"{path}: {name} holds maps 0 to {stack.shape[0] - 1}, not {number}; choose one."]
            )
        try:
            values = np.asarray(stack[number], dtype=np.float64)
        except hdf5.READ_ERRORS as error:
            raise RefusalError([f"{path}: {name} cannot be read ({error}); copy it again."]) from None
    _refuse_impossible(path, name, values, *_SPEEDS)
    # HDF5 lists MATLAB's axes in reverse.
    speed = torch.from_numpy(np.ascontiguousarray(values.T if is_matlab else values))
    made = phantom_of(Medium(Grid.centred(tuple(speed.shape), spacing), speed), path, ())
    return Phantom(made.medium, made.labels, made.tissues, f"{path.stem}, {name} {number}", made.provenance)


def _refuse_impossible(path: Path, name: str, values: np.ndarray, low: float, high: float) -> None:
    """Refuse values outside what is possible; NaN is."""
    least, most = float(values.min(initial=np.inf)), float(values.max(initial=-np.inf))
    if not (low <= least and most <= high):
        raise RefusalError(
            [f"{path}: {name} runs from {least:g} to {most:g} in SI units; give a possible map."]
        )
