"""Saving what napari shows, in the files that hold all of it."""

import csv
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from usct.io.dicom.layers import Space
from usct.units import MILLIMETRE
from usct_napari.dressing import answering, current_viewer
from usct_napari.sourcing import Source, source_of


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
    source = _source(path, facts)
    answering(lambda: io.save(io.load(source.path), path))
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

    def write() -> None:
        grid, maps = maps_of(io.load(source.path), source.path)
        if source.quantity not in maps:
            raise InputError(f"{path}: this layer is none of the maps {', '.join(maps)}; save one of those.")
        export.write_map(Path(path), maps[source.quantity], grid, source.quantity)

    answering(write)
    return [path]


def write_labels(path: str, data: Any, facts: dict[str, Any]) -> list[str]:
    """Write labels, read or drawn, as a DICOM Segmentation with a segment for each number that is used.

    Segments keep the names that the layer's features give them. Labels drawn over DICOM images lie in the patient's
    coordinates of those.

    Args:
        path: File to write.
        data: Whole numbers, shape (y, x) or (z, y, x); 0 is outside.
        facts: About the layer.

    Returns:
        What was written.

    Raises:
        InputError: If nothing is labelled, the layer is turned or sheared, or highdicom is missing.
    """
    from usct.errors import InputError
    from usct.io.dicom.placing import Lattice
    from usct.io.dicom.study import Study
    from usct.io.dicom.writing import write_segmentation

    labels = np.asarray(data)
    if labels.ndim not in (2, 3) or not _is_upright(facts, labels.ndim):
        raise InputError(f"{path}: the labels must have two or three axes, neither turned nor sheared.")
    used = [int(n) for n in np.unique(labels) if n != 0]
    source = facts.get("metadata", {}).get("usct")
    by_hand = not isinstance(source, Source)
    space = _space_shown() if by_hand else source.space
    steps, start = (
        tuple(float(v) * MILLIMETRE for v in np.broadcast_to(facts.get(key, plain), labels.ndim))
        for key, plain in (("scale", 1.0), ("translate", 0.0))
    )
    lattice, study = Lattice(steps, start, space or Space()), Study()
    if space is not None:
        study = replace(study, space=space.uid)
    names = _names(facts.get("features"), used)
    # Numbers of segments run without a gap.
    numbered = np.searchsorted([0, *used], labels) if min(used, default=1) > 0 else labels
    answering(lambda: write_segmentation(numbered, names, lattice, Path(path), study, by_hand=by_hand))
    return [path]


def _is_upright(facts: dict[str, Any], n_axes: int) -> bool:
    """Whether a layer is only scaled and shifted."""
    turned = np.allclose(facts.get("rotate", np.eye(n_axes)), np.eye(n_axes))
    moved = np.allclose(facts.get("affine", np.eye(n_axes + 1)), np.eye(n_axes + 1))
    return turned and moved and not np.any(facts.get("shear", 0.0))


def _space_shown() -> Space | None:
    """The patient's coordinates of the topmost visible layer that has them."""
    viewer = current_viewer()
    layers = reversed(viewer.layers) if viewer is not None else ()
    sources = (source_of(layer) for layer in layers if layer.visible)
    return next((s.space for s in sources if s is not None and s.space is not None), None)


def _names(features: Any, numbers: Sequence[int]) -> list[str]:
    """Names of labels: the first column of words beside the column `index`, or the number."""
    table = {} if features is None else {str(key): list(features[key]) for key in features}
    words = next((c for c in table.values() if c and all(isinstance(v, str) for v in c)), [])
    index = table.get("index", range(len(words)))
    known = dict(zip(map(int, index), words, strict=False))
    return [known.get(number) or f"label {number}" for number in numbers]


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
