"""Frequency differencing: beats of neighbouring frequencies stand in for a low band that was not recorded."""

from dataclasses import dataclass

import torch

from usct.misfit.band import BandMisfit, beats


@dataclass(frozen=True)
class FrequencyDifference(BandMisfit):
    """Least squares of beats, whose phases turn as slowly as those of waves at the difference of frequencies.

    Where several arrivals interfere, beats hold cross terms that no low-frequency wave has.

    References:
        Worthmann, Song & Dowling, J. Acoust. Soc. Am. 138 (2015) 3549.
    """

    def compare(self, predicted: torch.Tensor, observed: torch.Tensor) -> torch.Tensor:
        """Predicted minus observed beats, shape (freq - 1, tx, rx)."""
        return beats(predicted) - beats(observed)

    def reference(self, observed: torch.Tensor) -> torch.Tensor:
        """The observed beats."""
        return beats(observed)
