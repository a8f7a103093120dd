"""From travel times to the pairs of elements whose rays take part: reciprocals merged, outliers left out."""

from dataclasses import dataclass

import numpy as np

from usct.travel_times import TravelTimes

LARGEST_DEVIATION = 3.0
"""A pick is left out if it differs by more than this many times the noise from its reciprocal or neighbours."""
NEIGHBOURHOOD = 2
"""The median is taken over pairs up to so many elements away, at either end."""
LEAST_NOISE = 1e-9
"""Below this [s] nobody picks."""
N_BLOCKS = 16
"""Arcs of the ring; rays between the same two arcs share their errors."""


@dataclass(frozen=True)
class Pairs:
    """Delays between pairs of elements, each pair once.

    Attributes:
        positions: Elements, sorted by angle, shape (element, 2) [m].
        first: Element at one end, shape (pair,).
        second: Element at the other end, shape (pair,).
        delays: Later than in water, shape (pair,) [s].
        noise: Root mean square by which the two directions of a pair differ [s].
        n_picks: Travel times that were given.
        n_unlike: Pairs left out because the two directions disagree.
        n_outlying: Pairs left out because their neighbours disagree.
    """

    positions: np.ndarray
    first: np.ndarray
    second: np.ndarray
    delays: np.ndarray
    noise: float
    n_picks: int
    n_unlike: int
    n_outlying: int

    @property
    def distances(self) -> np.ndarray:
        """Length of the straight way, shape (pair,) [m]."""
        return np.linalg.norm(self.positions[self.first] - self.positions[self.second], axis=1)

    @property
    def blocks(self) -> np.ndarray:
        """Number of the pair of arcs between which each ray runs, shape (pair,)."""
        width = -(-len(self.positions) // N_BLOCKS)
        return (self.first // width) * N_BLOCKS + self.second // width


def pair_up(times: TravelTimes) -> Pairs:
    """Merge the two directions of every pair, and leave out what neither they nor the neighbours confirm.

    Picking errors are mostly whole or half cycles: rare but large, and different in the two directions. The local
    median catches those that are not (Li et al., Ultrasonics 49 (2009) 61).

    Raises:
        ValueError: If no pair is left.
    """
    positions, delays = _by_angle(times)
    both = np.isfinite(delays) & np.isfinite(delays.T)
    difference = np.where(both, delays - delays.T, 0.0)
    merged = np.where(both, 0.5 * (delays + delays.T), np.where(np.isfinite(delays), delays, delays.T))
    valid = np.triu(np.isfinite(merged), 1)
    deviation = _deviation_from_neighbours(merged, valid)
    off_diagonal = both & ~np.eye(len(delays), dtype=bool)
    noise = (
        float(np.sqrt(np.mean(difference[off_diagonal] ** 2)))
        if off_diagonal.any()
        else 1.4826 * float(np.median(deviation[valid]))
        if valid.any()
        else 0.0
    )
    noise = max(noise, LEAST_NOISE)
    unlike = valid & (np.abs(difference) > LARGEST_DEVIATION * noise)
    outlying = valid & ~unlike & (deviation > LARGEST_DEVIATION * noise)
    first, second = np.nonzero(valid & ~unlike & ~outlying)
    if not len(first):
        raise ValueError("no pair of elements has a travel time that its reciprocal and neighbours confirm")
    return Pairs(
        positions,
        first,
        second,
        merged[first, second],
        noise,
        times.n_picks,
        int(unlike.sum()),
        int(outlying.sum()),
    )


def _by_angle(times: TravelTimes) -> tuple[np.ndarray, np.ndarray]:
    """Element positions in order of their angle, and delays as a matrix (element, element) in that order."""
    array = times.array
    positions = array.positions.numpy()
    offset = positions - array.centre.numpy()
    order = np.argsort(np.arctan2(offset[:, 0], offset[:, 1]), kind="stable")
    delays = np.full((len(positions), len(positions)), np.nan)
    delays[np.ix_(array.transmits.numpy(), array.receives.numpy())] = times.delays.numpy()
    np.fill_diagonal(delays, np.nan)
    return positions[order], delays[np.ix_(order, order)]


def _deviation_from_neighbours(delays: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """How far each valid pair lies from the median of its neighbourhood on the ring, shape of the matrix [s]."""
    n, reach = len(delays), range(-NEIGHBOURHOOD, NEIGHBOURHOOD + 1)
    first, second = np.nonzero(valid)
    around = np.stack([delays[(first + a) % n, (second + a + b) % n] for a in reach for b in reach])
    deviation = np.zeros_like(delays)
    deviation[first, second] = np.abs(delays[first, second] - np.nanmedian(around, axis=0))
    return deviation
