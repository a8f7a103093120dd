"""Saving what napari shows, in the files that hold all of it."""

import csv
from pathlib import Path
from typing import Any

import numpy as np

from usct_napari.sourcing import Source


def write_file(path: str, data: Any, facts: dict[str, Any]) -> list[str]:
    """Write the whole scan, result, diagnosis or phantom that an image belongs to, in the native format.

    Args:
        path: File to write.
        data: Of the layer; the file it came from has more, and is what is written.
        facts: About the layer.

    Returns:
        What was written.

    Raises:
        InputError: If the layer belongs to no file of usct.
    """
    from usct import io

    del data
    io.save(io.load(_source(path, facts).path), path)
    return [path]


def write_map(path: str, data: Any, facts: dict[str, Any]) -> list[str]:
    """Write the map that an image shows for other programs: NIfTI, OME-Zarr, or a DICOM Parametric Map.

    Args:
        path: File to write; its ending chooses the format.
        data: Of the layer; written is the map of its file, in full precision.
        facts: About the layer.

    Returns:
        What was written.

    Raises:
        InputError: If the layer belongs to no file of usct or shows no map, or a library is missing.
    """
    from usct import io
    from usct.errors import InputError
    from usct.io import export
    from usct.io.export_study import maps_of

    del data
    source = _source(path, facts)
    grid, maps = maps_of(io.load(source.path), source.path)
    if source.quantity not in maps:
        raise InputError(f"{path}: this layer is none of the maps {', '.join(maps)}; save one of those.")
    export.write_map(Path(path), maps[source.quantity], grid, source.quantity)
    return [path]


def _source(path: str, facts: dict[str, Any]) -> Source:
    from usct.errors import InputError

    source = facts.get("metadata", {}).get("usct")
    if not isinstance(source, Source) or source.kind in ("shown", "live", "dicom"):
        raise InputError(
            f"{path}: this layer comes from no file of usct; save a layer of a scan or a result."
        )
    return source


def write_regions(path: str, data: Any, facts: dict[str, Any]) -> list[str]:
    """Write the corners of regions that were drawn, or points, as a table in millimetres.

    Args:
        path: CSV file to write.
        data: Corners (n, dim) of every shape, or points (n, dim).
        facts: About the layer.

    Returns:
        What was written.
    """
    from usct.io.atomic import write_text

    scale = np.asarray(facts.get("scale", 1.0), dtype=float)
    shift = np.asarray(facts.get("translate", 0.0), dtype=float)
    kinds = facts.get("shape_type", "point")
    regions = [np.asarray(corners) for corners in data] if "shape_type" in facts else [np.asarray(data)]
    rows = [["region", "kind", *(f"{axis} [mm]" for axis in ("z", "y", "x")[-regions[0].shape[-1] :])]]
    for number, corners in enumerate(regions):
        kind = kinds if isinstance(kinds, str) else kinds[number]
        rows += [[str(number), kind, *(f"{v:.6g}" for v in corner * scale + shift)] for corner in corners]
    lines: list[str] = []
    csv.writer(_Lines(lines), lineterminator="\n").writerows(rows)
    write_text(Path(path), "".join(lines))
    return [path]


class _Lines:
    """Collects what csv writes."""

    def __init__(self, lines: list[str]) -> None:
        self.write = lines.append
