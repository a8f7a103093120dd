"""Misfits that compare whole bands of evenly spaced frequencies, or the traces made of them.

The frequencies f_0 + k df of a band are the Fourier series of a trace with the period 1 / df, so that envelopes,
transport and matching filters need no time stepping: they act on traces synthesised from the spectra that are at hand.
Arrivals must not differ by more than half that period. Derivatives are automatic, and products with the derivative
and its adjoint make Gauss-Newton steps of all of them.
"""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.func import vjp

from usct.misfit.base import Misfit, Residual
from usct.misfit.spectra import SourceWeights

OVERSAMPLING = 4
"""Samples of a synthesised trace for each frequency."""


@dataclass(frozen=True)
class BandResidual(Residual):
    """A difference between bands, shape (feature, tx, rx), with its derivative by automatic differentiation.

    Attributes:
        pull: Adjoint of the derivative.
        push: The derivative.
    """

    pull: Callable[[torch.Tensor], torch.Tensor]
    push: Callable[[torch.Tensor], torch.Tensor]

    def apply(self, change: torch.Tensor) -> torch.Tensor:
        """Change of the difference for a change of the spectra, shape (freq, tx, rx)."""
        return self.push(change)

    def adjoint(self, residual: torch.Tensor) -> torch.Tensor:
        """Adjoint of `apply` in the real part of the weighted inner product, shape (freq, tx, rx)."""
        return self.pull(self.weights * residual)


@dataclass(frozen=True)
class BandMisfit(Misfit):
    """A misfit of bands.

    Attributes:
        source_weights: `none` trusts the data's pulse; anything else fits one of every transmit. Pulses follow from
            beats of neighbouring frequencies, which a start that is off by cycles does not mislead.
    """

    source_weights: SourceWeights = "transmit"

    @abstractmethod
    def compare(self, predicted: torch.Tensor, observed: torch.Tensor) -> torch.Tensor:
        """What is squared, shape (feature, tx, rx), for bands (freq, tx, rx); smooth in the first."""

    @abstractmethod
    def reference(self, observed: torch.Tensor) -> torch.Tensor:
        """What differences are relative to, shape (feature, tx, rx)."""

    def residual(
        self, predicted: torch.Tensor, observed: torch.Tensor, weights: torch.Tensor
    ) -> BandResidual:
        """Compare bands, each of shape (freq, tx, rx); channels that miss a frequency do not count."""
        if len(predicted) < 2:
            raise ValueError("a misfit of bands needs two frequencies at least")
        usable = (weights > 0).all(dim=0) & (observed.abs() > 0).all(dim=0) & (predicted.abs() > 0).all(dim=0)
        weight = torch.where(usable, weights.mean(dim=0), 0.0)
        observed = torch.where(usable, observed.to(predicted), 1.0)
        projects = self.source_weights != "none"

        def difference(values: torch.Tensor) -> torch.Tensor:
            values = torch.where(usable, values, 1.0)
            if projects:
                values = pulses(values, observed, weight) * values
            return self.compare(values, observed)

        value, pull, *_ = vjp(difference, predicted)
        _, push, *_ = vjp(lambda cotangent: pull(cotangent)[0], torch.zeros_like(value))
        weight = weight / (weight * self.reference(observed).abs().square()).sum()
        total = 0.5 * float((weight * value.abs().square()).sum())
        one = torch.ones(predicted.shape[1], 1, dtype=predicted.dtype)
        return BandResidual(
            total,
            value.detach(),
            weight,
            one,
            predicted.new_ones(1, predicted.shape[2]),
            predicted,
            lambda residual: pull(residual.to(value.dtype))[0].detach(),
            lambda change: push(change.to(predicted.dtype))[0].detach(),
        )


def pulses(predicted: torch.Tensor, observed: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Weight of every transmit and frequency, shape (freq, tx, 1), but for one phase of all its frequencies.

    Amplitudes follow from energies, phases from those of beats: sums over receives of products of neighbouring
    frequencies, one conjugated.

    Args:
        predicted: For unit sources, shape (freq, tx, rx).
        observed: Same shape.
        weights: Shape (tx, rx).
    """
    energies = [(weights * part.abs().square()).sum(dim=-1, keepdim=True) for part in (observed, predicted)]
    amplitude = (energies[0] / energies[1].clamp(min=1e-300)).sqrt()
    overlap = (weights * beats(predicted).conj() * beats(observed)).sum(dim=-1, keepdim=True)
    empty = overlap.abs() == 0
    turn = torch.where(empty, 1.0, overlap / torch.where(empty, 1.0, overlap).abs())
    phase = torch.cat([torch.ones_like(turn[:1]), torch.cumprod(turn, dim=0)])
    return amplitude * phase


def beats(spectra: torch.Tensor) -> torch.Tensor:
    """Products of neighbouring frequencies, the lower conjugated, shape (freq - 1, ...).

    Their amplitudes are geometric means, so that they have the unit of the spectra. Their phases are those of waves
    at the difference of the frequencies (Worthmann, Song & Dowling, J. Acoust. Soc. Am. 138 (2015) 3549).
    """
    product = spectra[1:] * spectra[:-1].conj()
    return product / product.abs().clamp(min=1e-300).sqrt()


def traces(spectra: torch.Tensor, centre: torch.Tensor) -> torch.Tensor:
    """Analytic traces of a band, one period long, shape (time, tx, rx).

    Args:
        spectra: Shape (freq, tx, rx).
        centre: What to have in the middle, see `middle`, shape (tx, rx).
    """
    n = len(spectra)
    # A window, lest the ends of the band ring through the whole period.
    window = torch.sin(torch.pi * (torch.arange(n, dtype=torch.float64) + 0.5) / n)
    number = torch.arange(n, dtype=torch.float64)[:, None, None]
    shifted = window[:, None, None] * spectra * torch.exp(1j * number * (centre - torch.pi))
    return torch.fft.ifft(shifted, OVERSAMPLING * n, dim=0) * OVERSAMPLING * n


def middle(observed: torch.Tensor) -> torch.Tensor:
    """Circular mean of each trace's energy over the period [rad], shape (tx, rx); later is positive."""
    return -(observed[1:] * observed[:-1].conj()).sum(dim=0).angle()
