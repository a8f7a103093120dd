"""Optimal transport: how far energy must be carried in time to make one trace the other."""

from dataclasses import dataclass

import torch

from usct.misfit.band import BandMisfit, middle, traces

FLOOR = 1e-3
"""Energy density added everywhere, over its mean, so that quantiles exist."""
N_QUANTILES = 64


@dataclass(frozen=True)
class Transport(BandMisfit):
    """Quadratic Wasserstein distance between the traces' energies over time.

    In one dimension the squared distance is that of the quantile functions. Energies are positive, so that no map
    of signed traces is needed, and grow quadratically apart with a delay: the misfit is convex in it.

    References:
        Engquist & Froese, Commun. Math. Sci. 12 (2014) 979; Metivier et al., Geophys. J. Int. 205 (2016) 345.
    """

    def compare(self, predicted: torch.Tensor, observed: torch.Tensor) -> torch.Tensor:
        """Predicted minus observed quantiles of arrival, shape (quantile, tx, rx) [period]."""
        centre = middle(observed)
        return quantiles(traces(predicted, centre)) - quantiles(traces(observed, centre))

    def reference(self, observed: torch.Tensor) -> torch.Tensor:
        """Half a period."""
        return torch.full((N_QUANTILES, *observed.shape[1:]), 0.5, dtype=torch.float64)


def quantiles(signal: torch.Tensor) -> torch.Tensor:
    """Times by which shares of the energy have come, shape (quantile, tx, rx) [period].

    Energy runs linearly between samples, so that times are smooth functions of the trace.

    Args:
        signal: Analytic, shape (time, tx, rx).
    """
    energy = signal.abs().square()
    energy = energy / energy.mean(dim=0) + FLOOR
    ends = torch.cat([energy, energy[:1]])
    parts = 0.5 * (ends[1:] + ends[:-1])
    total = parts.sum(dim=0)
    come = (torch.cumsum(parts, dim=0) / total).movedim(0, -1).contiguous()
    share = (torch.arange(N_QUANTILES, dtype=torch.float64) + 0.5) / N_QUANTILES
    wanted = share.expand(*come.shape[:-1], -1).contiguous()
    index = torch.searchsorted(come.detach(), wanted).clamp(max=come.shape[-1] - 1)
    before = torch.gather(torch.nn.functional.pad(come, (1, 0)), -1, index)
    density = (ends / total).movedim(0, -1)
    left, right = torch.gather(density, -1, index), torch.gather(density, -1, index + 1)
    # The root of left x + (right - left) x^2 / 2 = rest, written so that equal ends do no harm.
    rest = wanted - before
    x = 2 * rest / (left + (left.square() + 2 * (right - left) * rest).clamp(min=1e-300).sqrt())
    return ((index + x) / come.shape[-1]).movedim(-1, 0)
