"""Phases alone: predicted amplitudes are replaced by those observed."""

from dataclasses import dataclass

import torch

from usct.misfit.base import Misfit, Residual
from usct.misfit.spectra import LeastSquares, SourceWeights, SpectralResidual


@dataclass(frozen=True)
class PhaseResidual(Residual):
    """Least squares of predictions that have the observed amplitudes.

    Attributes:
        inner: That least-squares residual; its receives' weights bring amplitudes from predicted to observed.
        phasor: Predictions over their amplitudes, shape (tx, rx).
    """

    inner: SpectralResidual
    phasor: torch.Tensor

    def apply(self, change: torch.Tensor) -> torch.Tensor:
        """Change of the difference; what changes amplitudes alone changes nothing."""
        return self.inner.apply(self._turning(change))

    def adjoint(self, residual: torch.Tensor) -> torch.Tensor:
        """Adjoint of `apply` in the real part of the weighted inner product."""
        return self._turning(self.inner.adjoint(residual))

    def _turning(self, change: torch.Tensor) -> torch.Tensor:
        """The part of a change that turns phases, which is a projection."""
        return 1j * self.phasor * (self.phasor.conj() * change).imag


@dataclass(frozen=True)
class Phase(Misfit):
    """Least squares after every prediction has been given the amplitude of its datum.

    So transmission loss, directivity and gains of single channels do not matter. Phases of weak data, which noise
    turns most, count least.

    Attributes:
        source_weights: As of least squares.

    References:
        Bednar et al., Geophys. Prospect. 55 (2007) 449; Kamei et al., Geophys. Prospect. 62 (2014) 1291.
    """

    source_weights: SourceWeights = "transmit"

    def residual(
        self, predicted: torch.Tensor, observed: torch.Tensor, weights: torch.Tensor
    ) -> PhaseResidual:
        """Compare predicted and observed data at one frequency, each of shape (tx, rx)."""
        amplitude = predicted.abs()
        silent = amplitude == 0
        phasor = torch.where(silent, 0, predicted / amplitude.masked_fill(silent, 1.0))
        ratio = torch.where(silent, 0, observed.abs().to(amplitude) / amplitude.masked_fill(silent, 1.0))
        made = LeastSquares(self.source_weights).residual(ratio * predicted, observed, weights)
        # From here on the weight of a receive includes the change of its amplitude.
        receive = made.receive * ratio
        inner = SpectralResidual(
            made.value, made.difference, made.weights, made.source, receive, made.predicted, made.projects
        )
        return PhaseResidual(
            made.value, made.difference, made.weights, made.source, receive, made.predicted, inner, phasor
        )
