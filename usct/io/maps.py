"""Sound-speed maps without a scan: stride models, and maps with their axes or spacing."""

from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np
import torch

from usct.errors import InputError
from usct.grid import Grid
from usct.io import hdf5
from usct.io.checks import RefusalError
from usct.medium import Medium
from usct.phantom.base import Phantom
from usct.units import attenuation_from_db

MAP_NAMES = ("sound_speed", "C", "sos", "c", "data")
AXIS_NAMES = (("x", "y"), ("xi", "yi"), ("xi_orig", "yi_orig"))
SPACING_NAMES = ("spacing", "dx")
VARIABLES = (*MAP_NAMES, *(name for pair in AXIS_NAMES for name in pair), *SPACING_NAMES, "atten")
_LARGEST_SPACING = 0.05
_SPEEDS = (200.0, 10_000.0)
_UNEVEN = 1e-3


def read_map(variables: Mapping[str, np.ndarray], path: Path) -> Phantom:
    """Build a phantom from a sound-speed map with its axes or spacing.

    Args:
        variables: One of `MAP_NAMES`, (y, x) or (z, y, x) [m/s], and either axes `x` and `y` or `spacing`
            [m]; `atten` [dB/(MHz cm)] may come with them.
        path: The file, for the errors' sentences.

    Raises:
        InputError: If the map or its spacing is missing, or a value is impossible.
    """
    name = next((name for name in MAP_NAMES if name in variables), None)
    if name is None:
        raise InputError(f"{path}: no sound-speed map was found; store it as 'sound_speed' [m/s].")
    values, attenuation = variables[name], variables.get("atten")
    for x, y in AXIS_NAMES:
        if x in variables and y in variables:
            axes = (variables[x].ravel().astype(np.float64), variables[y].ravel().astype(np.float64))
            medium, notes = medium_on_axes(values, *axes, path, attenuation)
            return phantom_of(medium, path, notes)
    spacing = next((variables[name] for name in SPACING_NAMES if name in variables), None)
    if spacing is None:
        raise InputError(f"{path}: the map {name} has no spacing; store its axes 'x' and 'y' [m] beside it.")
    grid = _grid(values.shape, np.asarray(spacing, dtype=np.float64).ravel(), path)
    return phantom_of(_medium(grid, values, attenuation, path), path, ())


def read_stride(file: h5py.File, path: Path) -> Phantom:
    """Build a phantom from a model in the HDF5 layout of stride, protocol 0.1.

    The rows and columns stay as they are in the file, and the middle of the map becomes the origin.

    Args:
        file: From `hdf5.opened`, with `data` [m/s] and `space/spacing` [m].
        path: Its name, for the errors' sentences.

    Raises:
        InputError: If the map cannot be read or holds impossible values.
    """
    values = hdf5.read(file["data"], path)
    spacing = hdf5.read(file["space/spacing"], path)
    grid = _grid(values.shape, np.asarray(spacing, dtype=np.float64).ravel(), path)
    return phantom_of(_medium(grid, values, None, path), path, ())


def map_on_grid(
    sound_speed: np.ndarray, spacing: float, origin: tuple[float, ...] | None, path: Path
) -> Phantom:
    """A phantom from a map (y, x) or (z, y, x) [m/s] on cubes of a side [m]; without an origin its middle is that.

    Raises:
        InputError: If it holds impossible values.
    """
    grid = _grid(sound_speed.shape, np.array([spacing]), path, origin)
    return phantom_of(_medium(grid, sound_speed, None, path), path, ())


def phantom_of(medium: Medium, path: Path, notes: tuple[str, ...]) -> Phantom:
    """Label a medium by what equals the commonest value on its border, the water, and what does not."""
    speed = medium.sound_speed.numpy()
    border = np.concatenate([speed.take(i, axis).ravel() for axis in range(speed.ndim) for i in (0, -1)])
    found, counts = np.unique(border, return_counts=True)
    labels = torch.from_numpy((speed != found[counts.argmax()]).astype(np.int16))
    provenance = {f"note {i}": note for i, note in enumerate(notes)}
    return Phantom(medium, labels, ("water", "tissue"), path.stem, provenance)


def medium_on_axes(
    sound_speed: np.ndarray, x: np.ndarray, y: np.ndarray, path: Path, attenuation: np.ndarray | None
) -> tuple[Medium, tuple[str, ...]]:
    """A medium from maps in MATLAB's meshgrid order (numel(y), numel(x)) and their axes.

    A map of (numel(x), numel(y)) that can be nothing else is transposed; falling axes are reversed.

    Args:
        sound_speed: Shape (y, x) [m/s].
        x: Coordinates of the columns [m].
        y: Coordinates of the rows [m].
        path: The file, for the errors' sentences.
        attenuation: Shape (y, x) [dB/(MHz cm)], taken to grow linearly with frequency.

    Returns:
        The medium, and what was changed, in sentences.

    Raises:
        RefusalError: If maps and axes disagree or look to be in other units.
    """
    if min(len(x), len(y)) < 2:
        raise RefusalError([f"{path}: a map has {len(y)} y and {len(x)} x; store two or more of each."])
    notes, maps = [], [sound_speed] if attenuation is None else [sound_speed, attenuation]
    if sound_speed.shape == (len(x), len(y)) and len(x) != len(y):
        maps = [values.T for values in maps]
        notes.append("The maps were stored (x, y) and have been transposed.")
    if any(values.shape != (len(y), len(x)) for values in maps):
        shapes = " and ".join(str(values.shape) for values in maps)
        raise RefusalError([f"{path}: maps of {shapes} do not fit {len(y)} y and {len(x)} x; store (y, x)."])
    for axis, points in enumerate((y, x)):
        if len(points) > 1 and points[0] > points[-1]:
            maps = [np.flip(values, axis) for values in maps]
    x, y = (points[::-1] if points[0] > points[-1] else points for points in (x, y))
    grid = _grid(
        (len(y), len(x)), np.array([_step(y, path), _step(x, path)]), path, (float(y[0]), float(x[0]))
    )
    if attenuation is not None:
        notes.append("The attenuation was taken as dB/(MHz cm), growing linearly with frequency.")
    return _medium(grid, maps[0], maps[1] if len(maps) > 1 else None, path), tuple(notes)


def _step(points: np.ndarray, path: Path) -> float:
    """The even step of an increasing axis [m]."""
    steps = np.diff(points)
    if not np.isfinite(points).all():
        raise RefusalError(
            [f"{path}: the axis of a map holds values that are not finite; store all of them."]
        )
    if np.abs(steps - steps.mean()).max() > _UNEVEN * abs(steps.mean()):
        raise RefusalError([f"{path}: the axis of a map is not evenly spaced; resample the map."])
    return float((points[-1] - points[0]) / (len(points) - 1))


def _grid(
    shape: tuple[int, ...], spacings: np.ndarray, path: Path, origin: tuple[float, ...] | None = None
) -> Grid:
    if len(shape) not in (2, 3) or min(shape) < 2:
        raise RefusalError([f"{path}: the map has the shape {shape}; store two or three axes of nodes."])
    spacing = float(spacings[0]) if spacings.size else 0.0
    if not (np.isfinite(spacings).all() and spacing > 0):
        raise RefusalError([f"{path}: the spacing is {spacing:g}; store a positive distance in metres."])
    if np.abs(spacings - spacing).max() > _UNEVEN * spacing:
        raise RefusalError([f"{path}: the spacings {spacings.tolist()} differ; resample to square cells."])
    if spacing > _LARGEST_SPACING:
        raise RefusalError([f"{path}: the spacing {spacing:g} looks like millimetres; divide it by 1000."])
    return Grid.centred(shape, spacing) if origin is None else Grid(shape, spacing, origin)


def _medium(grid: Grid, sound_speed: np.ndarray, attenuation: np.ndarray | None, path: Path) -> Medium:
    if sound_speed.dtype.kind not in "iuf" or not np.isfinite(sound_speed).all():
        raise RefusalError([f"{path}: the sound speed holds values that are not finite; fill them in."])
    low, high = float(sound_speed.min()), float(sound_speed.max())
    if low < _SPEEDS[0] or high > _SPEEDS[1]:
        raise RefusalError([f"{path}: the sound speed runs from {low:g} to {high:g}; store it in m/s."])
    speed = torch.from_numpy(np.array(sound_speed, dtype=np.float64, order="C"))
    if attenuation is None:
        return Medium(grid, speed)
    if not np.isfinite(attenuation).all() or float(attenuation.min()) < 0:
        raise RefusalError(
            [f"{path}: the attenuation holds impossible values; store it in dB/(MHz cm), above 0."]
        )
    loss = attenuation.astype(np.float64) * attenuation_from_db(1.0)
    return Medium(grid, speed, torch.from_numpy(np.ascontiguousarray(loss)))
