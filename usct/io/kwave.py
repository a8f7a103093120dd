"""Media in the layout of k-Wave's HDF5 input files: `c0`, `rho0`, `alpha_coeff`, `alpha_power`, `dx`, on (z, y, x).

k-Wave's first axis x is MATLAB's rows, which HDF5 lists last; like its own pictures, rows run downwards: its x is
the package's y, and its y the package's x. A plane has one z.
"""

from pathlib import Path

import h5py
import numpy as np
import torch

from usct.grid import Grid
from usct.io import hdf5, maps
from usct.io.checks import RefusalError
from usct.medium import Medium
from usct.phantom.base import Phantom
from usct.units import attenuation_from_db


def holds_kwave(file: h5py.File) -> bool:
    """Whether an open file is one of k-Wave's input files."""
    return "c0" in file and "dx" in file and "Nx" in file


def read_kwave(file: h5py.File, path: Path) -> Phantom:
    """Build a phantom from the medium of a k-Wave input file.

    The grid's middle becomes the origin. Attenuation counts at 1 MHz with the file's own power.

    Args:
        file: From `hdf5.opened`, for which `holds_kwave` is true.
        path: Its name, for the errors' sentences.

    Raises:
        InputError: If the cells are not square, sizes disagree or values are impossible.
    """
    size = tuple(int(np.ravel(hdf5.values(file, name, path))[0]) for name in ("Nz", "Ny", "Nx"))
    steps = [float(np.ravel(hdf5.values(file, f"d{axis}", path))[0]) for axis in "xyz" if f"d{axis}" in file]
    flat = size[0] == 1
    if max(steps[: 2 if flat else 3]) - min(steps[: 2 if flat else 3]) > 1e-6 * steps[0]:
        raise RefusalError([f"{path}: the cells are {steps} m wide; resample to square ones."])
    speed = _map(file, "c0", size, path)
    if speed is None or float(speed.min()) < 200 or float(speed.max()) > 10_000:
        raise RefusalError([f"{path}: c0 is no sound speed in m/s; store 200 to 10000."])
    loss, density = _map(file, "alpha_coeff", size, path), _map(file, "rho0", size, path)
    power = float(np.ravel(hdf5.values(file, "alpha_power", path))[0]) if "alpha_power" in file else 1.0
    medium = Medium(
        Grid.centred(tuple(speed.shape), steps[0]),
        speed,
        None if loss is None else loss * attenuation_from_db(1.0),
        density,
        power,
    )
    return maps.phantom_of(medium, path, ())


def _map(file: h5py.File, name: str, size: tuple[int, ...], path: Path) -> torch.Tensor | None:
    """A map in the package's order, expanded where the file holds one number."""
    values = hdf5.optional(file, name, path)
    if values is None:
        return None
    if values.size == 1:
        values = np.broadcast_to(np.ravel(values)[0], size)
    if values.shape != size or not np.isfinite(values).all():
        raise RefusalError([f"{path}: {name} has the shape {values.shape}; store finite values on {size}."])
    turned = values[0].T if size[0] == 1 else values.transpose(0, 2, 1)
    return torch.from_numpy(np.array(turned, dtype=np.float64, order="C"))
