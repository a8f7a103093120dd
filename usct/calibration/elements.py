"""What of a table over (transmit, receive) belongs to its transmits, what to its receives, and which stand out."""

import math
from dataclasses import dataclass

import torch

from usct.calibration.arrivals import robust_spread

LARGEST_SCORE = 4.0
"""Robust standard deviations from the median beyond which an element stands out."""
_N_BINS = 24


@dataclass(frozen=True)
class Separated:
    """A table as transmit plus receive plus a trend over the opening angle plus rest.

    Attributes:
        transmits: Shape (tx,), median zero; NaN where nothing is known.
        receives: Shape (rx,), median zero.
        rest: Shape (tx, rx).
    """

    transmits: torch.Tensor
    receives: torch.Tensor
    rest: torch.Tensor


def separate(table: torch.Tensor, angles: torch.Tensor, use: torch.Tensor) -> Separated:
    """Split a table by medians, so that single wild channels change nothing (Tukey's median polish).

    Args:
        table: Shape (tx, rx); NaN are left out.
        angles: Opening angle of every channel, shape (tx, rx) [rad].
        use: Channels to learn from, shape (tx, rx) bool; the rest is told for all.
    """
    bins = (angles / math.pi * _N_BINS).long().clamp(0, _N_BINS - 1)
    rest = table.clone()
    transmits, receives = torch.zeros(len(table)), torch.zeros(table.shape[1])
    transmits, receives = transmits.double(), receives.double()
    for _ in range(6):
        for number in range(_N_BINS):
            here = bins == number
            known = rest[here & use & rest.isfinite()]
            if len(known):
                rest = torch.where(here, rest - known.median(), rest)
        for axis, part in ((1, transmits), (0, receives)):
            margin = torch.where(use, rest, math.nan).nanmedian(dim=axis).values
            margin = margin - margin.nanmedian()
            part += margin
            rest = rest - margin.nan_to_num().unsqueeze(axis)
    return Separated(transmits, receives, rest)


def outstanding(margins: torch.Tensor, least: float) -> torch.Tensor:
    """Signed direction in which margins stand out, shape of `margins`: -1, 0 or 1.

    Args:
        margins: One for each element; NaN never stand out.
        least: What does not differ by more than this never stands out.
    """
    middle = margins.nanmedian()
    away = (margins - middle).nan_to_num()
    limit = max(least, LARGEST_SCORE * robust_spread(margins))
    return torch.where(away.abs() > limit, away.sign(), 0.0)


def polarities(correlations: torch.Tensor, use: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Signs of transmits and receives, from the leading singular vectors of their correlations with one pulse.

    The common sign is free: most elements are taken to be upright, receives first.

    Args:
        correlations: Signed, shape (tx, rx); NaN are left out.
        use: Channels to learn from, shape (tx, rx) bool.

    Returns:
        1 or -1, shapes (tx,) and (rx,); 1 where nothing is known.
    """
    known = torch.where(use, correlations, 0.0).nan_to_num()
    left, _, right = torch.linalg.svd(known)
    transmits, receives = left[:, 0], right[0]
    if float(receives.sign().sum()) < 0:
        transmits, receives = -transmits, -receives
    quiet = [0.05 * float(part.abs().max()) for part in (transmits, receives)]
    signs = [
        torch.where(part < -limit, -1.0, 1.0)
        for part, limit in zip((transmits, receives), quiet, strict=True)
    ]
    return signs[0], signs[1]
