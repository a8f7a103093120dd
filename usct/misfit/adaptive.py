"""Adaptive waveform inversion: the filter that turns one trace into the other is pressed towards a spike at zero."""

from dataclasses import dataclass

import torch

from usct.misfit.band import OVERSAMPLING, BandMisfit, traces

WATER_LEVEL = 1e-2
"""Added to the predicted power, as a share of its mean, lest the filter divide by nothing."""


@dataclass(frozen=True)
class Adaptive(BandMisfit):
    """Energy of the matching filter, weighted by the square of its lag, over its energy.

    A delay moves the filter as a whole, however many cycles long, so that the misfit grows with it up to half the
    period of the traces. Several arrivals in one trace make several spikes and weaken it.

    References:
        Warner & Guasch, Geophysics 81 (2016) R429.
    """

    def compare(self, predicted: torch.Tensor, observed: torch.Tensor) -> torch.Tensor:
        """Lag times normalised filter, shape (lag, tx, rx), complex [half a period]."""
        power = predicted.abs().square()
        wiener = predicted.conj() * observed / (power + WATER_LEVEL * power.mean(dim=0))
        # Lag zero in the middle.
        shape = traces(wiener, torch.zeros_like(power[0]))
        norm = shape.abs().square().sum(dim=0).clamp(min=1e-300).sqrt()
        n = OVERSAMPLING * len(predicted)
        lag = torch.arange(n, dtype=torch.float64) * (2 / n) - 1
        return lag[:, None, None] * shape / norm

    def reference(self, observed: torch.Tensor) -> torch.Tensor:
        """A filter that is off by half a period."""
        return observed.new_ones(1, *observed.shape[1:])
