"""The group of a native result file that holds the trained field: attributes and plain arrays, no code."""

import json
from pathlib import Path

import h5py
import numpy as np
import torch

from usct.errors import InputError
from usct.grid import Grid
from usct.io import hdf5
from usct.reconstruction import TrainedField

GROUP = "field"


def write_field(file: h5py.File, field: TrainedField) -> None:
    """Write a trained field to `/field`: attributes, and one dataset for each array, marked if trained."""
    group = file.create_group(GROUP)
    about: dict[str, hdf5.Attribute] = {
        "name": field.name,
        "version": field.version,
        "bounds": list(field.bounds),
        "settings": json.dumps(dict(field.settings), allow_nan=False),
        "shape": list(field.grid.shape),
        "spacing": field.grid.spacing,
        "origin": list(field.grid.origin),
    }
    hdf5.set_attributes(group, about)
    arrays = group.create_group("arrays")
    for name, values in field.arrays.items():
        hdf5.put(arrays, name, values.detach().cpu().numpy(), {"trained": name in field.parameters})


def read_field(file: h5py.File, path: Path) -> TrainedField | None:
    """Read the trained field, or None where a file holds none; whether it fits its name is not checked here.

    Args:
        file: From `hdf5.opened`.
        path: Its name, for the errors' sentences.

    Raises:
        InputError: If something is missing, of the wrong type, or damaged.
    """
    if GROUP not in file:
        return None
    group = file[GROUP]
    if not isinstance(group, h5py.Group) or not isinstance(group.get("arrays"), h5py.Group):
        raise InputError(f"{path}: /{GROUP} holds no group 'arrays'; reconstruct again to write it anew.")
    arrays = group["arrays"]
    for name, item in arrays.items():
        if not isinstance(item, h5py.Dataset) or item.dtype.kind not in "biuf":
            raise InputError(f"{path}: {arrays.name}/{name} is no array of real numbers; reconstruct again.")
    low, high = _numbers(group, "bounds", path, 2)
    return TrainedField(
        name=_text(group, "name", path),
        version=_whole(group, "version", path, 1)[0],
        grid=_grid(group, path),
        bounds=(low, high),
        settings=_settings(group, path),
        arrays={name: torch.from_numpy(hdf5.read(item, path)) for name, item in arrays.items()},
        parameters=frozenset(name for name, item in arrays.items() if item.attrs.get("trained", False)),
    )


def _grid(group: h5py.Group, path: Path) -> Grid:
    (spacing,) = _numbers(group, "spacing", path, 1)
    return Grid(_whole(group, "shape", path), spacing, _numbers(group, "origin", path))


def _settings(group: h5py.Group, path: Path) -> dict[str, bool | int | float | str | None]:
    try:
        settings = json.loads(_text(group, "settings", path))
    except (json.JSONDecodeError, RecursionError) as error:
        raise _wrong(group, "settings", "settings in JSON", path) from error
    plain = bool | int | float | str | None
    if not isinstance(settings, dict) or not all(isinstance(value, plain) for value in settings.values()):
        raise _wrong(group, "settings", "a JSON object of plain values", path)
    return settings


def _text(group: h5py.Group, name: str, path: Path) -> str:
    value = group.attrs.get(name)
    value = value.decode() if isinstance(value, bytes) else value
    if not isinstance(value, str):
        raise _wrong(group, name, "text", path)
    return value


def _whole(group: h5py.Group, name: str, path: Path, count: int | None = None) -> tuple[int, ...]:
    numbers = _numbers(group, name, path, count)
    if any(number != int(number) for number in numbers):
        raise _wrong(group, name, "whole", path)
    return tuple(int(number) for number in numbers)


def _numbers(group: h5py.Group, name: str, path: Path, count: int | None = None) -> tuple[float, ...]:
    """Finite numbers of an attribute, as many as wanted."""
    value = np.atleast_1d(np.asarray(group.attrs.get(name, "")))
    if value.dtype.kind not in "iuf" or value.ndim != 1 or not np.isfinite(value).all():
        raise _wrong(group, name, "finite numbers", path)
    if count is not None and len(value) != count:
        raise _wrong(group, name, f"{count} number{'s' if count > 1 else ''}", path)
    return tuple(float(number) for number in value)


def _wrong(group: h5py.Group, name: str, wanted: str, path: Path) -> InputError:
    return InputError(f"{path}: {group.name} has no attribute '{name}' that is {wanted}; reconstruct again.")
