"""Which frequencies of traces are worth inverting: told by the source's own spectrum, noise, and the sampling."""

import math
from collections.abc import Sequence

import torch

from usct import signals
from usct.acquisition import Acquisition, Traces
from usct.errors import InputError

NYQUIST_SHARE = 0.9
"""Share of the traces' Nyquist frequency up to which default frequencies go."""
N_TRANSMITS_HEARD = 16
"""Transmits from which pulse and noise are told."""
LEAST_SPEED = 1500.0
"""Speed over the array's radius is the lowest default frequency: two waves must fit in the array [m/s]."""
FASTEST = 1700.0
"""Nothing arrives sooner than through this [m/s]."""
LEAST_CLEAR_DB = 6.0
"""Default frequencies stand this far above the noise [dB]."""
LEAST_QUIET = 32
"""Samples ahead of an arrival that are needed to tell the noise."""


def loud_frequencies(acquisition: Acquisition, wanted: Sequence[float]) -> list[float]:
    """The default frequencies, or as many of the traces' own where these end below them [Hz].

    Raises:
        InputError: If no usable trace holds anything.
    """
    traces, heard = _traces(acquisition), _across(acquisition)[0]
    lowest, highest = LEAST_SPEED / acquisition.array.radius, NYQUIST_SHARE * 0.5 * traces.sampling_frequency
    try:
        low, high = signals.loud_band(heard, traces.sampling_frequency, lowest, highest)
    except ValueError as error:
        raise InputError(
            f"{error}; give schedule.frequencies_mhz, or a scan whose channels are usable"
        ) from None
    if high >= wanted[-1]:
        return list(wanted)
    return sorted(
        {round(f, -3) for f in torch.linspace(low, high, len(wanted), dtype=torch.float64).tolist()}
    )


def clearance(acquisition: Acquisition, frequencies: Sequence[float]) -> torch.Tensor | None:
    """How far the waves that cross the array stand above noise, shape (freq,) [dB]; None where that is not known."""
    found = _powers(acquisition, frequencies)
    if found is None:
        return None
    whole, noise = found
    return 10 * torch.log10((whole - noise).clamp(min=1e-3 * noise) / noise)


def noise_power(acquisition: Acquisition, frequencies: Sequence[float]) -> torch.Tensor | None:
    """Mean square of the noise in whole traces' spectra, shape (freq,) [Pa^2 s^2]; None where that is not known."""
    found = _powers(acquisition, frequencies) if isinstance(acquisition.data, Traces) else None
    return None if found is None else found[1]


def _powers(
    acquisition: Acquisition, frequencies: Sequence[float]
) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Mean square of spectra of what crosses the array, and of the noise in them, shape (freq,) each [Pa^2 s^2].

    The noise is what traces hold in the last half of the time before anything can arrive, where crosstalk has faded.
    """
    traces, (heard, arrivals) = _traces(acquisition), _across(acquisition)
    quiet = (traces.times >= 0.5 * arrivals[:, None]) & (traces.times < arrivals[:, None])
    count = quiet.sum(dim=1)
    usable = count >= LEAST_QUIET
    if int(usable.sum()) < N_TRANSMITS_HEARD:
        return None
    values, quiet, count = heard[usable].double(), quiet[usable], count[usable]
    values = values - (values * quiet).sum(dim=1, keepdim=True) / count[:, None]
    wanted = torch.tensor(list(frequencies), dtype=torch.float64)
    whole, before = (
        signals.fourier_transform(part, traces.times, wanted).abs().square()
        for part in (values * (traces.times >= arrivals[usable][:, None]), values * quiet)
    )
    length = (traces.times >= arrivals[usable][:, None]).sum(dim=1) / count
    noise = (before * length).median(dim=1).values.clamp(min=1e-300) / math.log(2.0)
    return whole.mean(dim=1), noise


def clear_frequencies(acquisition: Acquisition, frequencies: Sequence[float]) -> list[float]:
    """Those of some frequencies at which waves stand clear of the noise [Hz]; all of them where that is not known."""
    known = clearance(acquisition, frequencies)
    if known is None or not bool((known >= LEAST_CLEAR_DB).any()):
        return list(frequencies)
    return [f for f, db in zip(frequencies, known.tolist(), strict=True) if db >= LEAST_CLEAR_DB]


def _traces(acquisition: Acquisition) -> Traces:
    assert isinstance(acquisition.data, Traces), "spectra have frequencies of their own"
    return acquisition.data


def _across(acquisition: Acquisition) -> tuple[torch.Tensor, torch.Tensor]:
    """Traces that cross the array, of some transmits (channel, time), and the earliest they can arrive [s]."""
    traces, distances = _traces(acquisition), acquisition.array.distances()
    # What crosses the ring tells the pulse; neighbours hear their transmitter ring.
    across = (distances >= 0.5 * distances.max()) & traces.valid
    every = slice(None, None, max(1, len(across) // N_TRANSMITS_HEARD))
    return traces.values[every][across[every]], distances[every][across[every]] / FASTEST
