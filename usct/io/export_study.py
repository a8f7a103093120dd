"""All of a result, a phantom, a diagnosis or a scan as one DICOM study in a folder."""

from pathlib import Path

import numpy as np

from usct.acquisition import Acquisition
from usct.diagnosis import Diagnosis
from usct.errors import InputError
from usct.grid import Grid
from usct.io.atomic import prepare_folder
from usct.io.dicom.report import write_report
from usct.io.dicom.ring import write_ring
from usct.io.dicom.study import Study
from usct.io.dicom.writing import write_parametric_map, write_picture, write_segmentation
from usct.io.dispatch import Loaded
from usct.io.export import picture
from usct.io.native_write import array_of
from usct.io.quantities import QUANTITIES
from usct.medium import Medium
from usct.phantom.base import Phantom
from usct.reconstruction import Reconstruction
from usct.travel_times import TravelTimes


def maps_of(thing: Loaded, path: Path) -> tuple[Grid, dict[str, np.ndarray]]:
    """The maps that something holds, in SI units by quantity, and their grid.

    Raises:
        InputError: If it holds none.
    """
    if isinstance(thing, Diagnosis):
        maps = {"sound_speed": array_of(thing.sound_speed)}
        if thing.standard_deviation is not None:
            maps["standard_deviation"] = array_of(thing.standard_deviation)
        return thing.grid, maps
    if isinstance(thing, Acquisition | TravelTimes):
        raise InputError(
            f"{path}: this is a scan and holds no map; reconstruct it first, or export to DICOM."
        )
    medium: Medium = thing.medium
    named = {name: getattr(medium, name) for name in ("sound_speed", "attenuation", "density")}
    return medium.grid, {name: array_of(values) for name, values in named.items() if values is not None}


def labels_of(thing: Loaded) -> tuple[np.ndarray, tuple[str, ...]] | None:
    """Labels above zero and their names: a phantom's tissues, or the region that an inversion could change."""
    if isinstance(thing, Phantom):
        return array_of(thing.labels), thing.tissues[1:]
    if isinstance(thing, Reconstruction | Diagnosis):
        return array_of(thing.region).astype(np.int16), ("region of interest",)
    return None


def write_study(thing: Loaded, folder: Path, study: Study, source: Path) -> tuple[Path, ...]:
    """Write maps, labels, a report and a picture, or a scan's channel data, as DICOM files.

    Args:
        thing: What to write.
        folder: For the files; made where there is none.
        study: What they share, and whose they are.
        source: Where it came from, for errors' sentences.

    Returns:
        The files.

    Raises:
        InputError: If it cannot be written.
    """
    prepare_folder(folder)
    if isinstance(thing, Acquisition):
        return write_ring(thing, folder / "scan.dcm", study)
    grid, maps = maps_of(thing, source)
    written, images = [], {}
    for name, values in maps.items():
        if np.isfinite(values).all():
            written.append(folder / f"{name}.dcm")
            images[name] = write_parametric_map(values, grid, QUANTITIES[name], written[-1], study)
    found = labels_of(thing)
    if found is not None and (found[0] > 0).any():
        labels, names = found
        image, quantity = images["sound_speed"], QUANTITIES["sound_speed"]
        segmentation = write_segmentation(labels, names, grid, folder / "labels.dcm", study, image)
        write_report(
            maps["sound_speed"],
            labels,
            names,
            grid,
            quantity,
            folder / "report.dcm",
            study,
            image,
            segmentation,
        )
        written += [folder / "labels.dcm", folder / "report.dcm"]
    write_picture(picture(maps["sound_speed"]), folder / "picture.dcm", study, "Speed of sound")
    return (*written, folder / "picture.dcm")
