"""From what the elements of a ring send to what the line sources of a two-dimensional model send."""

import math
from dataclasses import replace

import torch

from usct.acquisition import Acquisition, Spectra, Traces, TransducerArray
from usct.calibration.arrivals import ITSELF
from usct.forward.analytic import point_source_field

_FAINTEST = 0.05
"""Share of the median water signal below which dividing by it would blow up noise."""


def spread_as_lines(scan: Acquisition, sound_speed: float) -> Acquisition:
    """Turn waves of point sources in space into those of line sources, as a two-dimensional model sends.

    In the far field the two Green's functions differ by sqrt(2 pi r / k) exp(-i pi / 4), r the distance and
    k = omega / c: half an integration over time, and amplitudes that fall as the root of the distance (Forbriger et
    al., Geophys. J. Int. 198 (2014) 422). Exact for the direct wave in water and nearly so for soft tissue.

    Args:
        scan: Traces or spectra; its water shot is left out.
        sound_speed: Of the water [m/s].
    """
    distances = scan.array.distances()
    if isinstance(scan.data, Spectra):
        factor = _factor(distances, scan.data.frequencies[:, None, None], sound_speed)
        return replace(scan, data=replace(scan.data, values=scan.data.values * factor), water=None)
    traces: Traces = scan.data
    n = 2 ** math.ceil(math.log2(2 * traces.values.shape[2]))
    frequencies = torch.fft.rfftfreq(n, 1 / traces.sampling_frequency, dtype=torch.float64)
    values = torch.empty(traces.values.shape, dtype=torch.float32)
    for row, distance in zip(range(len(distances)), distances, strict=True):
        factor = _factor(distance[:, None], frequencies[1:], sound_speed).to(torch.complex64)
        spectrum = torch.fft.rfft(traces.values[row].float(), n=n)
        # Half an integration has no bound at frequency zero, where there is no signal.
        spectrum[:, 0] = 0
        spectrum[:, 1:] *= factor
        values[row] = torch.fft.irfft(spectrum, n=n)[:, : values.shape[2]]
    return replace(scan, data=replace(traces, values=values), water=None)


def _factor(distances: torch.Tensor, frequencies: torch.Tensor, sound_speed: float) -> torch.Tensor:
    """Line over point source in the far field [m]."""
    size = (distances * sound_speed / frequencies).sqrt()
    return torch.polar(size, torch.full_like(size, -math.pi / 4))


def referenced_to_water(scan: Spectra, water: Spectra, array: TransducerArray, sound_speed: float) -> Spectra:
    """Divide spectra by those of a water shot and multiply by the model's water.

    Pulse, gains, delays, most of the elements' directivity and the spreading in space cancel along the direct path;
    errors of the positions do not.

    Args:
        scan: Spectra of the object.
        water: Spectra of the water shot at the same frequencies.
        array: Where.
        sound_speed: Of the water [m/s].

    Returns:
        Spectra of unit line sources, shape (freq, tx, rx); weight zero where the water shot is too faint.

    Raises:
        ValueError: If the two differ in shape or frequencies.
    """
    if scan.values.shape != water.values.shape or not torch.allclose(scan.frequencies, water.frequencies):
        raise ValueError("scan and water shot must have the same channels and frequencies")
    away = array.distances()
    apart = away > ITSELF
    origin = torch.zeros(1, 2, dtype=torch.float64)
    safe = torch.where(apart, away, 1.0).flatten()
    along = torch.stack([safe, torch.zeros_like(safe)], dim=1)
    values, weights = [], []
    for number, frequency in enumerate(scan.frequencies.tolist()):
        model = point_source_field(origin, along, 2 * math.pi * frequency / sound_speed).reshape(away.shape)
        known = apart & (scan.weights[number] > 0) & (water.weights[number] > 0)
        size = water.values[number].abs()
        typical = size[known].median() if known.any() else size.new_tensor(math.inf)
        known &= size > _FAINTEST * typical
        ratio = torch.where(known, scan.values[number] / torch.where(known, water.values[number], 1), 0)
        values.append(ratio * model)
        weights.append(torch.where(known, scan.weights[number], 0.0))
    return replace(scan, values=torch.stack(values), weights=torch.stack(weights))
