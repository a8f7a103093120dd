"""Breast density from sound speed: the mean of the whole breast, and the share that is dense."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DENSE_SPEED = 1490.0
"""Faster tissue under the skin counts as dense [m/s]: half way from fat, 1440, to gland, 1540 m/s, as tabulated by
Park et al., J. Biomed. Opt. 28 (2023) 066002."""

CLASSES = ("fatty", "scattered", "heterogeneous", "dense")
CLASS_LIMITS = (0.10, 0.245, 0.47)
"""Dense shares between two classes: half way between those of the digital breasts of Badano et al., JAMA Netw. Open 1
(2018) e185474, whose shares of fat are 0.95, 0.85, 0.66 and 0.40."""


@dataclass(frozen=True)
class Density:
    """Density of one breast; NaN where there is none.

    Attributes:
        mean_speed: Volume-averaged sound speed of the whole breast, skin included [m/s].
        dense_share: Share of the interior, the skin left out, that is faster than 1490 m/s [1].
    """

    mean_speed: float
    dense_share: float

    @property
    def density_class(self) -> str:
        """The class with the nearest share; empty where there is no share."""
        if not math.isfinite(self.dense_share):
            return ""
        return CLASSES[sum(self.dense_share > limit for limit in CLASS_LIMITS)]


def density(speed: NDArray[np.float64], inside: NDArray[np.bool_], interior: NDArray[np.bool_]) -> Density:
    """Volume-averaged sound speed and dense share of a breast.

    Args:
        speed: Sound speed [m/s].
        inside: Cells of the breast.
        interior: Cells of the breast under its skin.

    Returns:
        Both numbers.

    References:
        Volume-averaged sound speed: O'Flynn et al., Invest. Radiol. 52 (2017) 343; Duric et al., Med. Phys. 40
        (2013) 013501.
    """
    mean = float(speed[inside].mean()) if inside.any() else math.nan
    share = float((speed[interior] > DENSE_SPEED).mean()) if interior.any() else math.nan
    return Density(mean, share)
