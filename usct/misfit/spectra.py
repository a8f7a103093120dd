"""Least squares between spectra, with the unknown weights of transmits and receives eliminated.

The pulse that a transmit sends is one unknown complex number per transmit and frequency. For a given prediction
p the best weight is s = p^H w d / p^H w p, and the misfit is a function of the medium alone (variable projection:
Golub & Pereyra, Inverse Problems 19 (2003) R1; Kaufman, BIT 15 (1975) 49). Receiving elements differ in gain and
delay as well: one more complex number each, found by alternating with the transmits' and held while the medium
changes.
"""

from dataclasses import dataclass
from typing import Literal

import torch

from usct.misfit.base import Misfit, Residual

SourceWeights = Literal["both", "transmit", "none"]
N_ALTERNATIONS = 8


@dataclass(frozen=True)
class SpectralResidual(Residual):
    """Predicted minus observed data at one frequency, and how it changes with the prediction.

    Attributes:
        projects: Whether source weights adapt to the prediction.
    """

    projects: bool

    def apply(self, change: torch.Tensor) -> torch.Tensor:
        """Change of the residual when the prediction changes, without what new source weights absorb.

        Args:
            change: Change of the prediction for unit sources, shape (tx, rx).
        """
        change = self.receive * change
        if self.projects:
            weighted = self.predicted.conj() * self.weights
            energy = (weighted * self.predicted).sum(dim=1, keepdim=True).real.clamp(min=1e-300)
            change = change - self.predicted * ((weighted * change).sum(dim=1, keepdim=True) / energy)
        return self.source * change

    def adjoint(self, residual: torch.Tensor) -> torch.Tensor:
        """Adjoint of `apply` in the weighted inner product: maps residuals to predictions' side."""
        weighted = self.weights * residual
        if self.projects:
            energy = (self.predicted.abs().square() * self.weights).sum(dim=1, keepdim=True).clamp(min=1e-300)
            overlap = (self.predicted.conj() * weighted).sum(dim=1, keepdim=True)
            weighted = weighted - self.weights * self.predicted * (overlap / energy)
        return (self.source * self.receive).conj() * weighted


@dataclass(frozen=True)
class LeastSquares(Misfit):
    """Weighted least squares.

    Attributes:
        source_weights: `transmit` fits one complex weight per transmit and frequency, `both` one per receive as
            well, `none` trusts the data's scale.
        receive: Receives' weights to hold rather than to fit, shape (1, rx), of one frequency; for `both`.
    """

    source_weights: SourceWeights = "transmit"
    receive: torch.Tensor | None = None

    def residual(
        self, predicted: torch.Tensor, observed: torch.Tensor, weights: torch.Tensor
    ) -> SpectralResidual:
        """Compare predicted and observed data at one frequency, each of shape (tx, rx)."""
        observed, weights = observed.to(predicted), weights.to(predicted.device)
        source = torch.ones(len(predicted), 1, dtype=predicted.dtype, device=predicted.device)
        receive = source.new_ones(1, predicted.shape[1])
        if self.source_weights == "both":
            held = self.receive
            receive = _receive_weights(predicted, observed, weights) if held is None else held
            predicted = receive * predicted
        projects = self.source_weights != "none"
        if projects:
            source = _best_weights(predicted, observed, weights)
        difference = source * predicted - observed
        relative = weights / (weights * observed.abs().square()).sum()
        value = 0.5 * float((relative * difference.abs().square()).sum())
        return SpectralResidual(value, difference, relative, source, receive, predicted, projects)


def _best_weights(predicted: torch.Tensor, observed: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Complex weight of every row that fits `predicted` to `observed` best, shape (row, 1); 0 for empty rows."""
    energy = (weights * predicted.abs().square()).sum(dim=1, keepdim=True)
    overlap = (weights * predicted.conj() * observed).sum(dim=1, keepdim=True)
    return torch.where(energy > 0, overlap / energy.clamp(min=1e-300), 0)


def _receive_weights(predicted: torch.Tensor, observed: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Receives' weights of unit mean, by alternating least squares with the transmits', shape (1, rx)."""
    receive = predicted.new_ones(1, predicted.shape[1])
    for _ in range(N_ALTERNATIONS):
        source = _best_weights(receive * predicted, observed, weights)
        receive = _best_weights((source * predicted).T, observed.T, weights.T).T
        receive = torch.where(receive == 0, 1, receive)
        receive = receive / receive.mean()
    return receive
