"""Errors by tissue and by depth."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from usct.phantom import Phantom
from usct.units import MILLIMETRE

DEPTHS = (0.0, 3 * MILLIMETRE, 10 * MILLIMETRE, 20 * MILLIMETRE, 40 * MILLIMETRE, math.inf)
"""Edges of the layers under the surface in which errors are also taken [m]."""


@dataclass(frozen=True)
class PartScores:
    """Errors in one part of the object; NaN where it has no cells.

    Attributes:
        name: Of the tissue or layer.
        n_cells: How many cells it has.
        mean: Mean sound speed of the image [m/s].
        true_mean: Of the truth [m/s].
        rmse: Root-mean-square error [m/s].
        mae: Mean absolute error [m/s].
        bias: Mean of image minus truth [m/s].
    """

    name: str
    n_cells: int
    mean: float
    true_mean: float
    rmse: float
    mae: float
    bias: float


def score_part(
    name: str, image: NDArray[np.float64], truth: NDArray[np.float64], cells: NDArray[np.bool_]
) -> PartScores:
    """Errors in some cells.

    Args:
        name: For people.
        image: Sound speed [m/s].
        truth: The same of the truth [m/s].
        cells: Which ones count.

    Returns:
        The errors; those of no cells are NaN, never zero.

    References:
        Willmott & Matsuura, Clim. Res. 30 (2005) 79: bias, mean absolute and root-mean-square error.
    """
    if not cells.any():
        return PartScores(name, 0, *(math.nan,) * 5)
    got, expected = image[cells], truth[cells]
    error = got - expected
    return PartScores(
        name=name,
        n_cells=int(cells.sum()),
        mean=float(got.mean()),
        true_mean=float(expected.mean()),
        rmse=math.sqrt(float(np.mean(error**2))),
        mae=float(np.abs(error).mean()),
        bias=float(error.mean()),
    )


def score_tissues(
    image: NDArray[np.float64], phantom: Phantom, inside: NDArray[np.bool_]
) -> tuple[PartScores, ...]:
    """Errors in each tissue of a phantom.

    Args:
        image: Sound speed on the phantom's grid [m/s].
        phantom: What made the data.
        inside: Cells of the object; tissue elsewhere does not count.

    Returns:
        One score for each tissue that the object has, in the phantom's order; water has none.
    """
    truth, labels = phantom.medium.sound_speed.detach().cpu().double().numpy(), phantom.labels.cpu().numpy()
    parts = (
        score_part(tissue, image, truth, inside & (labels == i))
        for i, tissue in enumerate(phantom.tissues)
        if i > 0
    )
    return tuple(part for part in parts if part.n_cells)


def score_depths(
    image: NDArray[np.float64], truth: NDArray[np.float64], inside: NDArray[np.bool_], spacing: float
) -> tuple[PartScores, ...]:
    """Errors in layers under the object's surface.

    Args:
        image: Sound speed [m/s].
        truth: The same of the truth [m/s].
        inside: Cells of the object.
        spacing: Distance between neighbouring cells [m].

    Returns:
        One score for each layer, from the surface inwards, named by its depths in millimetres.
    """
    padded = np.pad(inside, 1)
    depth = ndimage.distance_transform_edt(padded, sampling=spacing)[(slice(1, -1),) * inside.ndim]
    scores = []
    for low, high in zip(DEPTHS[:-1], DEPTHS[1:], strict=True):
        name = f"{low / MILLIMETRE:g} to {high / MILLIMETRE:g} mm"
        name = name if math.isfinite(high) else f"over {low / MILLIMETRE:g} mm"
        scores.append(score_part(name, image, truth, inside & (depth > low) & (depth <= high)))
    return tuple(scores)
