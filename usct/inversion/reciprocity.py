"""Noise of spectra from pairs of elements that were used both ways, whatever medium and pulses are."""

import math

import torch

from usct.acquisition import Spectra, TransducerArray

MOST_ELEMENTS = 128
"""Elements that are compared with each other at most, evenly chosen."""
LEAST_SHARE = 4
"""At least so many pairs for each element tell its gain and the noise apart."""


def noise_power(observed: Spectra, array: TransducerArray) -> torch.Tensor | None:
    """Mean square of the noise in a datum, shape (freq,); None where too few pairs were used both ways.

    Waves between two elements do not depend on which of them sends, so that d_ij / g_i = d_ji / g_j but for noise, g
    being what an element sends over how well it hears. The factors a = 1 / g which make data most alike are the
    eigenvector of the smallest eigenvalue of the quadratic form sum |a_i d_ij - a_j d_ji|^2.

    Args:
        observed: Spectra and their weights; data of weight zero take no part.
        array: Elements.
    """
    sides = [torch.full((array.n_elements,), -1) for _ in range(2)]
    for side, elements in zip(sides, (array.transmits, array.receives), strict=True):
        side[elements] = torch.arange(len(elements))
    both = ((sides[0] >= 0) & (sides[1] >= 0)).nonzero()[:, 0]
    both = both[:: max(1, math.ceil(len(both) / MOST_ELEMENTS))]
    where = sides[0][both][:, None], sides[1][both][None, :]
    found = [_noise(v[where], w[where] > 0) for v, w in zip(observed.values, observed.weights, strict=True)]
    return torch.tensor(found, dtype=torch.float64) if found and not any(map(math.isnan, found)) else None


def _noise(data: torch.Tensor, usable: torch.Tensor) -> float:
    """Mean square of the noise of one frequency's data, shape (element, element); NaN if too few can be used."""
    usable = usable & usable.T & ~torch.eye(len(data), dtype=torch.bool)
    kept = usable.any(dim=1)
    data, usable = data[kept][:, kept], usable[kept][:, kept]
    n_pairs, n = int(usable.sum()) // 2, len(data)
    if n < 2 or n_pairs < LEAST_SHARE * n:
        return math.nan
    data = torch.where(usable, data, 0)
    form = torch.diag(data.abs().square().sum(dim=1)).to(data.dtype) - data.conj() * data.T
    values, vectors = torch.linalg.eigh(form)
    spread = float((usable.sum(dim=1) * vectors[:, 0].abs().square()).sum())
    return max(0.0, float(values[0])) / spread * n_pairs / (n_pairs - n + 1)
