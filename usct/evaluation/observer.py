"""A numerical observer that looks for lesions: what it sees of a place, and how it decides."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, special

from usct.evaluation.lesions import LESIONS, find_lesions
from usct.evaluation.regions import object_mask
from usct.phantom import Phantom
from usct.units import MILLIMETRE

N_CHANNELS = 6
CHANNEL_WIDTH = 12 * MILLIMETRE
"""Width of the Gaussian of all channels [m]: its full width at half maximum is 0.94 of it."""

LEAST_DEPTH = 6 * MILLIMETRE
"""Places without a lesion lie at least so deep in the object [m] ..."""

LEAST_DISTANCE = 12 * MILLIMETRE
"""... and so far from any lesion's edge and from each other [m]."""

N_ABSENT = 2
"""Places without a lesion for each with one."""


@dataclass(frozen=True)
class Patch:
    """What the channels answer at one place.

    Attributes:
        kind: The lesion's tissue, or "" where there is none.
        centre: (y, x) [m].
        responses: Of each channel in the image, shape (channel,) [m/s].
        true_responses: The same in the truth [m/s].
    """

    kind: str
    centre: tuple[float, float]
    responses: tuple[float, ...]
    true_responses: tuple[float, ...]


def channels(distance: NDArray[np.float64], width: float = CHANNEL_WIDTH) -> NDArray[np.float64]:
    """Laguerre-Gauss channels, of unit energy over the plane in units of their width.

    Args:
        distance: From the middle, shape (n,) [m].
        width: Of the Gaussian [m].

    Returns:
        sqrt(2) exp(-pi r^2) L_j(2 pi r^2), r in units of the width, shape (channel, n) [1].

    References:
        Gallas & Barrett, J. Opt. Soc. Am. A 20 (2003) 1725.
    """
    square = 2 * math.pi * (np.asarray(distance) / width) ** 2
    laguerre = np.stack([special.eval_laguerre(j, square) for j in range(N_CHANNELS)])
    return math.sqrt(2) * np.exp(-0.5 * square) * laguerre


def look(image: NDArray[np.float64], phantom: Phantom, seed: int = 0) -> tuple[Patch, ...]:
    """Answers of the channels at every lesion and at places like theirs without one.

    Places without a lesion are drawn in the tissue that surrounds the lesions (in gland, or the commonest tissue,
    where there are none), by a seed and the truth alone, so that all images of a phantom are looked at alike.

    Args:
        image: Sound speed on the phantom's grid [m/s].
        phantom: What made the data; a plane.
        seed: Of the places.

    Returns:
        Two places without a lesion for each with one, where there is room; nothing for a volume.
    """
    if image.ndim != 2:
        return ()
    grid, lesions = phantom.medium.grid, list(find_lesions(phantom))
    truth = phantom.medium.sound_speed.detach().cpu().double().numpy()
    places = [(lesion.kind, ndimage.center_of_mass(lesion.inside)) for lesion in lesions]
    rings = [lesion.ring for lesion in lesions]
    places += [("", place) for place in _absent_places(phantom, rings, N_ABSENT * max(1, len(lesions)), seed)]
    patches = []
    for kind, (row, column) in places:
        answers = [_answers(values, (row, column), grid.spacing) for values in (image, truth)]
        centre = (grid.origin[0] + row * grid.spacing, grid.origin[1] + column * grid.spacing)
        patches.append(Patch(kind, (float(centre[0]), float(centre[1])), *answers))
    return tuple(patches)


def _answers(values: NDArray[np.float64], place: tuple[float, float], spacing: float) -> tuple[float, ...]:
    """Channels times what departs from the mean about a place."""
    rows, columns = (np.arange(n) - p for n, p in zip(values.shape, place, strict=True))
    distance = spacing * np.hypot(rows[:, None], columns)
    near = distance <= 1.5 * CHANNEL_WIDTH
    departure = values[near] - values[near].mean()
    cell = (spacing / CHANNEL_WIDTH) ** 2
    return tuple(float(v) for v in channels(distance[near]) @ departure * cell)


def _absent_places(
    phantom: Phantom, rings: list[NDArray[np.bool_]], n: int, seed: int
) -> list[tuple[float, float]]:
    """Up to n places without a lesion, each drawn from what the last ones left."""
    labels, spacing = phantom.labels.cpu().numpy(), phantom.medium.grid.spacing
    deep = _depth(object_mask(phantom.medium).numpy(), spacing) >= LEAST_DEPTH
    sick = np.isin(labels, [i for i, tissue in enumerate(phantom.tissues) if tissue in LESIONS])
    free = deep & (
        ndimage.distance_transform_edt(~sick, sampling=spacing) >= LEAST_DISTANCE if sick.any() else True
    )
    wanted = {int(np.bincount(labels[ring]).argmax()) for ring in rings if ring.any()}
    if not wanted and "gland" in phantom.tissues:
        wanted = {phantom.tissues.index("gland")}
    if not wanted and free.any():
        wanted = {int(np.bincount(labels[free]).argmax())}
    free &= np.isin(labels, sorted(wanted))
    rng, places = np.random.default_rng(seed), list[tuple[float, float]]()
    rows, columns = np.indices(labels.shape)
    while len(places) < n and free.any():
        cells = np.argwhere(free)
        row, column = (float(v) for v in cells[rng.integers(len(cells))])
        places.append((row, column))
        free &= spacing * np.hypot(rows - row, columns - column) >= LEAST_DISTANCE
    return places


def _depth(mask: NDArray[np.bool_], spacing: float) -> NDArray[np.float64]:
    return ndimage.distance_transform_edt(np.pad(mask, 1), sampling=spacing)[1:-1, 1:-1]


@dataclass(frozen=True)
class Hotelling:
    """A channelized Hotelling observer's decisions.

    Attributes:
        ratings: Of each place, by a template from the other cases, shape (n,); higher for a lesion.
        detectability: d' of the template from all cases on these same cases, which flatters it [1].
    """

    ratings: NDArray[np.float64]
    detectability: float


def hotelling(
    responses: NDArray[np.float64], present: NDArray[np.bool_], cases: NDArray[np.int64]
) -> Hotelling | None:
    """Rate places by the channelized Hotelling observer, trained on all cases but the one it rates.

    Args:
        responses: Shape (place, channel).
        present: Where there is a lesion, shape (place,).
        cases: Which case each place belongs to, shape (place,).

    Returns:
        The ratings, or None where leaving out a case leaves fewer than two places in a class, or fewer than two for
        each channel in all.

    References:
        Barrett & Myers, Foundations of Image Science (2004), section 13.2.12; Gallas & Barrett, J. Opt. Soc. Am. A
        20 (2003) 1725; leaving out: Fukunaga & Hayes, IEEE Trans. Pattern Anal. Mach. Intell. 11 (1989) 1087.
    """
    ratings = np.full(len(present), math.nan)
    for case in np.unique(cases):
        kept = cases != case
        trained = _template(responses[kept], present[kept])
        if trained is None:
            return None
        template, middle = trained
        ratings[~kept] = (responses[~kept] - middle) @ template
    trained = _template(responses, present)
    if trained is None:
        return None
    template, _ = trained
    difference = responses[present].mean(axis=0) - responses[~present].mean(axis=0)
    return Hotelling(ratings, math.sqrt(max(float(difference @ template), 0.0)))


def _template(
    responses: NDArray[np.float64], present: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """S^-1 times the difference of the means, S pooled, and the point half way between them."""
    classes = [responses[present], responses[~present]]
    if min(len(c) for c in classes) < 2 or len(responses) - 2 < 2 * responses.shape[1]:
        return None
    means = [c.mean(axis=0) for c in classes]
    rest = np.concatenate([c - m for c, m in zip(classes, means, strict=True)])
    covariance = rest.T @ rest / (len(responses) - 2)
    return np.linalg.solve(covariance, means[0] - means[1]), 0.5 * (means[0] + means[1])
