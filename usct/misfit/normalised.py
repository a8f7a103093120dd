"""Normalised correlation: every transmit counts alike, however strong it is."""

from dataclasses import dataclass

import torch

from usct.misfit.base import Misfit
from usct.misfit.spectra import LeastSquares, SourceWeights, SpectralResidual


@dataclass(frozen=True)
class NormalisedCorrelation(Misfit):
    """One minus the squared normalised correlation of predicted and observed data, averaged over transmits.

    With the best weight of every transmit, least squares leave 1 - |p^H W d|^2 / (p^H W p  d^H W d) of its energy, so
    this misfit is least squares with every transmit's data divided by their own norm.

    Attributes:
        source_weights: As of least squares; transmits' weights are fitted in any case.

    References:
        Choi & Alkhalifah, Geophysics 77 (2012) R185.
    """

    source_weights: SourceWeights = "transmit"

    def residual(
        self, predicted: torch.Tensor, observed: torch.Tensor, weights: torch.Tensor
    ) -> SpectralResidual:
        """Compare predicted and observed data at one frequency, each of shape (tx, rx)."""
        energy = (weights * observed.abs().square()).sum(dim=1, keepdim=True)
        alike = torch.where(energy > 0, weights / energy.clamp(min=1e-300), 0.0)
        kind: SourceWeights = "both" if self.source_weights == "both" else "transmit"
        return LeastSquares(kind).residual(predicted, observed, alike)
