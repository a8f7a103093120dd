"""Maps of media as bytes, for elements of DICOM objects."""

from typing import Any

import numpy as np
import torch

from usct.grid import Grid
from usct.io.native_write import array_of
from usct.medium import Medium

_MAPS = ("sound_speed", "attenuation", "density")


def even(content: bytes) -> bytes:
    """Bytes, with one more where their number is odd, which DICOM forbids."""
    return content + b"\0" * (len(content) % 2)


def packed(medium: Medium) -> tuple[dict[str, Any], bytes]:
    """The grid and types of a medium's maps, and their bytes one after the other."""
    maps = {name: array_of(getattr(medium, name)) for name in _MAPS if getattr(medium, name) is not None}
    grid = medium.grid
    facts: dict[str, Any] = {
        "shape": grid.shape,
        "spacing": grid.spacing,
        "origin": grid.origin,
        "attenuation_power": medium.attenuation_power,
        "reference_frequency": medium.reference_frequency,
        "maps": {name: values.dtype.newbyteorder("<").str for name, values in maps.items()},
    }
    return facts, b"".join(values.astype(facts["maps"][name]).tobytes() for name, values in maps.items())


def unpacked(facts: dict[str, Any], content: bytes) -> Medium:
    """The medium that `packed` made bytes of."""
    grid = Grid(tuple(facts["shape"]), facts["spacing"], tuple(facts["origin"]))
    maps, at, size = {}, 0, int(np.prod(grid.shape))
    for name in _MAPS:
        if name in facts["maps"]:
            values = np.frombuffer(content, np.dtype(facts["maps"][name]), size, at)
            maps[name] = torch.from_numpy(values.reshape(grid.shape).copy())
            at += values.nbytes
    return Medium(
        grid,
        maps["sound_speed"],
        maps.get("attenuation"),
        maps.get("density"),
        facts["attenuation_power"],
        facts["reference_frequency"],
    )
