"""Lesions: whether an image gives them their contrast, their size and their place."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from usct.evaluation.resolution import edge_spread
from usct.phantom import Phantom
from usct.units import MILLIMETRE

LESIONS = frozenset({"cyst", "fibroadenoma", "malignant", "target", "haemorrhage", "ischaemia"})
"""Tissues of phantoms that are lesions or stand for them."""

RING = (2 * MILLIMETRE, 6 * MILLIMETRE)
"""The background lies between these distances from a lesion's edge [m]."""

LEAST_CONTRAST = 5.0
"""True contrasts below this are too small to divide by [m/s]."""

LEAST_EDGE = 8 * MILLIMETRE
"""Edges are measured on lesions of at least this diameter [m]; across smaller ones both edges overlap."""


@dataclass(frozen=True)
class LesionScores:
    """How an image shows one lesion; NaN where undefined.

    Attributes:
        kind: Its tissue.
        centre: Of its cells [m].
        diameter: Of the circle (sphere) of equal area (volume) [m].
        mean: Mean sound speed of the image inside it [m/s].
        true_mean: The same of the truth [m/s].
        contrast: Image inside less image in the background [m/s].
        true_contrast: The same of the truth [m/s].
        recovery: contrast / true_contrast [1]; NaN where the truth's is below 5 m/s.
        cnr: Contrast over the root-mean-square of the two standard deviations [1].
        measured_diameter: Of what exceeds half the image's contrast there [m].
        centroid_error: Distance of its centroid from the lesion's [m].
        dice: Overlap of the two [1].
        edge_width: Distance over which the image rises from 10 to 90 % at the edge [m].
        true_edge_width: The same in the truth, whose cells are a mixture at the edge [m].
    """

    kind: str
    centre: tuple[float, ...]
    diameter: float
    mean: float
    true_mean: float
    contrast: float
    true_contrast: float
    recovery: float
    cnr: float
    measured_diameter: float
    centroid_error: float
    dice: float
    edge_width: float
    true_edge_width: float


@dataclass(frozen=True)
class Lesion:
    """One lesion of a phantom and what surrounds it.

    Attributes:
        kind: Its tissue.
        inside: Boolean map.
        ring: Boolean map of the background: 2 to 6 mm from the edge, of the tissue most frequent there.
        distance: From the edge, positive inside [m].
    """

    kind: str
    inside: NDArray[np.bool_]
    ring: NDArray[np.bool_]
    distance: NDArray[np.float64]

    def diameter(self, spacing: float) -> float:
        """Of the circle or sphere of equal content [m]."""
        return equal_diameter(int(self.inside.sum()), self.inside.ndim, spacing)


def find_lesions(phantom: Phantom) -> Iterator[Lesion]:
    """All connected lesions of a phantom, by kind and then in the order of their first cell."""
    labels, spacing = phantom.labels.cpu().numpy(), phantom.medium.grid.spacing
    kinds = [i for i, tissue in enumerate(phantom.tissues) if tissue in LESIONS]
    shut_out = np.isin(labels, [*kinds, 0, *(i for i, t in enumerate(phantom.tissues) if t == "skin")])
    for index in kinds:
        parts, n_parts = ndimage.label(labels == index)
        for part in range(1, n_parts + 1):
            inside = parts == part
            outwards = ndimage.distance_transform_edt(~inside, sampling=spacing)
            inwards = ndimage.distance_transform_edt(inside, sampling=spacing)
            # Half a cell lies between the edge and the middle of the nearest cell on either side.
            distance = np.where(inside, inwards - 0.5 * spacing, 0.5 * spacing - outwards)
            near = (-distance >= RING[0]) & (-distance <= RING[1]) & ~shut_out
            ring = near
            if near.any():
                ring = near & (labels == np.bincount(labels[near]).argmax())
            yield Lesion(phantom.tissues[index], inside, ring, distance)


def score_lesions(image: NDArray[np.float64], phantom: Phantom) -> tuple[LesionScores, ...]:
    """Score how an image shows each lesion of a phantom.

    The background is the ring 2 to 6 mm outside the lesion's edge, of the one tissue that is most frequent there.
    What the image shows of a lesion is the connected region above half of its contrast within 6 mm of the edge
    that overlaps the lesion most.

    Args:
        image: Sound speed on the phantom's grid [m/s].
        phantom: What made the data.

    Returns:
        One score for each lesion.

    References:
        Contrast recovery: NEMA standard NU 2 (2018), image quality, without its percentage. Contrast to noise:
        Patterson & Foster, Ultrason. Imaging 5 (1983) 195, with the mean of the two variances for their sum.
        Overlap: Dice, Ecology 26 (1945) 297.
    """
    truth = phantom.medium.sound_speed.detach().cpu().double().numpy()
    return tuple(_score(image, truth, lesion, phantom) for lesion in find_lesions(phantom))


def _score(
    image: NDArray[np.float64], truth: NDArray[np.float64], lesion: Lesion, phantom: Phantom
) -> LesionScores:
    grid, inside, ring = phantom.medium.grid, lesion.inside, lesion.ring
    diameter = lesion.diameter(grid.spacing)
    contrast, noise = _contrast(image, inside, ring)
    true_contrast, _ = _contrast(truth, inside, ring)
    shown = _shown(image, lesion, contrast)
    middle = ndimage.center_of_mass(inside)
    edges = [math.nan, math.nan]
    if diameter >= LEAST_EDGE and ring.any():
        cells = (inside | ring | (np.abs(lesion.distance) < RING[0])) & (np.abs(lesion.distance) <= RING[1])
        edges = [edge_spread(v[cells], lesion.distance[cells], grid.spacing) for v in (image, truth)]
    return LesionScores(
        kind=lesion.kind,
        centre=tuple(float(o + i * grid.spacing) for o, i in zip(grid.origin, middle, strict=True)),
        diameter=diameter,
        mean=float(image[inside].mean()),
        true_mean=float(truth[inside].mean()),
        contrast=contrast,
        true_contrast=true_contrast,
        recovery=contrast / true_contrast if abs(true_contrast) >= LEAST_CONTRAST else math.nan,
        cnr=contrast / noise if noise > 0 else math.nan,
        measured_diameter=equal_diameter(int(shown.sum()), shown.ndim, grid.spacing),
        centroid_error=grid.spacing * math.dist(ndimage.center_of_mass(shown), middle)
        if shown.any()
        else math.nan,
        dice=2 * float((shown & inside).sum()) / float(shown.sum() + inside.sum()),
        edge_width=edges[0],
        true_edge_width=edges[1],
    )


def _contrast(
    speed: NDArray[np.float64], inside: NDArray[np.bool_], ring: NDArray[np.bool_]
) -> tuple[float, float]:
    """Mean inside less mean of the background, and the noise of the two; NaN without a background."""
    if not ring.any():
        return math.nan, math.nan
    difference = float(speed[inside].mean() - speed[ring].mean())
    return difference, math.sqrt(0.5 * float(speed[inside].var() + speed[ring].var()))


def _shown(image: NDArray[np.float64], lesion: Lesion, contrast: float) -> NDArray[np.bool_]:
    """What the image shows of a lesion; nothing if it has no contrast there."""
    if not math.isfinite(contrast) or contrast == 0:
        return np.zeros_like(lesion.inside)
    middle = float(image[lesion.ring].mean()) + 0.5 * contrast
    above = (np.sign(contrast) * (image - middle) > 0) & (lesion.distance >= -RING[1])
    parts, n_parts = ndimage.label(above)
    overlaps = np.bincount(parts[lesion.inside], minlength=n_parts + 1)
    overlaps[0] = 0
    return parts == overlaps.argmax() if overlaps.any() else np.zeros_like(lesion.inside)


def equal_diameter(n_cells: int, n_dims: int, spacing: float) -> float:
    """Diameter of the circle or sphere that holds as much as so many cells [m]."""
    content = n_cells * spacing**n_dims
    return 2 * math.sqrt(content / math.pi) if n_dims == 2 else (6 * content / math.pi) ** (1 / 3)
