"""Envelopes of traces: when how much arrives, whatever the phase."""

from dataclasses import dataclass

import torch

from usct.misfit.band import BandMisfit, middle, traces

FLOOR = 1e-2
"""Share of the rms below which envelopes are rounded off, where they are not smooth."""


@dataclass(frozen=True)
class Envelope(BandMisfit):
    """Least squares of envelopes.

    References:
        Bozdag, Trampert & Tromp, Geophys. J. Int. 185 (2011) 845; Wu, Luo & Wu, Geophysics 79 (2014) WA13.
    """

    def compare(self, predicted: torch.Tensor, observed: torch.Tensor) -> torch.Tensor:
        """Predicted minus observed envelopes, shape (time, tx, rx)."""
        centre, floor = middle(observed), FLOOR * observed.abs().square().sum(dim=0).sqrt()
        first, second = (
            (traces(x, centre).abs().square() + floor.square()).sqrt() for x in (predicted, observed)
        )
        return first - second

    def reference(self, observed: torch.Tensor) -> torch.Tensor:
        """The observed envelopes."""
        return traces(observed, middle(observed)).abs()
