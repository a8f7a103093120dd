"""What every channel holds besides the direct wave: noise, offset, crosstalk, and samples cut off."""

import math
from dataclasses import dataclass

import torch

from usct.acquisition import Traces, TransducerArray
from usct.calibration.arrivals import CYCLES, Pulse, centred, cut, sample_rows

FASTEST_ARRIVAL = 3000.0
"""Ahead of this nothing arrives, through bone either [m/s]."""
_FEWEST_SAMPLES = 16
_CROSSTALK_RATIO = 2.0
_FAINTEST_CROSSTALK = 1e-3
_CUT_RUN = 4
_COARSEST = 16


@dataclass(frozen=True)
class Levels:
    """What is in the record ahead of all arrivals, and at its rails; NaN where nothing can be said.

    Attributes:
        noise: Standard deviation ahead of the arrivals, shape (tx, rx) [Pa].
        offset: Mean ahead of the arrivals, shape (tx, rx) [Pa].
        power: Mean square of the whole trace, without its mean, shape (tx, rx) [Pa^2].
        clipped: Whether several samples in a row stay at the trace's largest or smallest value, (tx, rx) bool.
        crosstalk_end: Until when all channels hold more than noise before anything can arrive, or None where the
            record does not show it [s].
        crosstalk_level: Its root mean square [Pa].
    """

    noise: torch.Tensor
    offset: torch.Tensor
    power: torch.Tensor
    clipped: torch.Tensor
    crosstalk_end: float | None
    crosstalk_level: float


def measure_levels(traces: Traces, array: TransducerArray, pulse: Pulse, arrival_level: float) -> Levels:
    """Look at what is not signal.

    Args:
        traces: Recording.
        array: Where.
        pulse: Of the direct wave, for when it can begin.
        arrival_level: Of the direct wave, below a thousandth of which crosstalk does not matter [Pa].
    """
    distances = array.distances()
    first = distances / FASTEST_ARRIVAL + pulse.delay - CYCLES / pulse.frequency
    end, level = _crosstalk(traces, distances, first, arrival_level)
    after = traces.start_time if end is None else end
    rows = [_row(traces, row, first[row], after) for row in range(len(distances))]
    noise, offset, power, clipped = (torch.stack(parts) for parts in zip(*rows, strict=True))
    return Levels(noise, offset, power, clipped.bool(), end, level)


def _row(traces: Traces, row: int, first: torch.Tensor, after: float) -> tuple[torch.Tensor, ...]:
    values = traces.values[row].double()
    quiet = (traces.times < first[:, None]) & (traces.times >= after)
    count = quiet.sum(dim=1)
    usable = traces.valid[row] & (count >= _FEWEST_SAMPLES)
    offset = torch.where(quiet, values, 0.0).sum(dim=1) / count.clamp(min=1)
    spread = torch.where(quiet, values - offset[:, None], 0.0).square().sum(dim=1) / count.clamp(min=1)
    unknown = torch.full_like(offset, math.nan)
    return (
        torch.where(usable, spread.sqrt(), unknown),
        torch.where(usable, offset, unknown),
        torch.where(traces.valid[row], values.var(dim=1), unknown),
        (is_clipped(traces.values[row]) & traces.valid[row]).double(),
    )


def is_clipped(values: torch.Tensor) -> torch.Tensor:
    """Which traces (..., time) stay at their largest or smallest value for four samples in a row, shape (...).

    Integers of a few counts do so by nature and are not judged.
    """
    wide = values.double()
    high, low = wide.amax(dim=-1, keepdim=True), wide.amin(dim=-1, keepdim=True)
    slack = 1e-4 * (high - low)
    found = torch.zeros(values.shape[:-1], dtype=torch.bool)
    for at_rail in (wide >= high - slack, wide <= low + slack):
        runs = (
            at_rail.unfold(-1, _CUT_RUN, 1).all(dim=-1).any(dim=-1) if values.shape[-1] >= _CUT_RUN else found
        )
        found = found | runs
    fine = (high - low)[..., 0] > (0.0 if values.is_floating_point() else _COARSEST)
    return found & fine


def _crosstalk(
    traces: Traces, distances: torch.Tensor, first: torch.Tensor, arrival_level: float
) -> tuple[float | None, float]:
    """When crosstalk ends, and its level, from the far channels, where nothing can arrive for long."""
    far = traces.valid & (distances > 0.5 * distances.max())
    times = traces.times
    n_quiet = int((times < first[far].min()).sum()) if far.any() else 0
    if n_quiet < _FEWEST_SAMPLES:
        return None, math.nan
    rows = sample_rows(far)
    square = sum(centred(traces.values[row])[far[row], :n_quiet].double().square().sum(0) for row in rows)
    profile = (torch.as_tensor(square) / sum(int(far[row].sum()) for row in rows)).sqrt()
    limit = max(_CROSSTALK_RATIO * float(profile.median()), _FAINTEST_CROSSTALK * arrival_level)
    # Crosstalk comes with the firing; what grows towards the end of the quiet time is no crosstalk.
    loud = (profile[: n_quiet // 2] > limit).nonzero()[:, 0]
    if not len(loud):
        return float(times[0]), 0.0
    last = int(loud.max())
    return float(times[last + 1]), float(profile[: last + 1].square().mean().sqrt())


def spectra_of_wave_and_noise(
    traces: Traces,
    array: TransducerArray,
    pulse: Pulse,
    usable: torch.Tensor,
    water: torch.Tensor,
    after: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Power spectra of the direct wave in water, and of noise in as many samples ahead of arrivals.

    Args:
        traces: Recording.
        array: Where.
        pulse: Of the direct wave.
        usable: Channels to trust, shape (tx, rx) bool; the noise comes from those that are quiet for long enough.
        water: Channels that see water alone, shape (tx, rx) bool.
        after: When crosstalk has ended [s].

    Returns:
        Frequencies, shape (freq,) [Hz], and mean powers of wave and noise, each of shape (freq,); the noise is NaN
        where the record shows none.
    """
    length = len(pulse.shape)
    first = array.distances() / FASTEST_ARRIVAL + pulse.delay - CYCLES / pulse.frequency
    wait = (length + 2) / traces.sampling_frequency
    kinds = (
        (usable & water, pulse.arrival(array.distances())),
        (usable & (first - wait > after), first - 0.5 * wait),
    )
    taper = torch.hann_window(length, periodic=False)
    powers = []
    for use, centres in kinds:
        total, count = torch.zeros(2 * length + 1, dtype=torch.float64), 0
        for row in sample_rows(use):
            windows, inside = cut(
                centred(traces.values[row])[use[row]], traces, centres[row][use[row]], pulse.half
            )
            spectra = torch.fft.rfft(windows * taper, n=4 * length).abs().square().double()
            total += spectra[inside].sum(dim=0)
            count += int(inside.sum())
        powers.append(total / count if count else torch.full_like(total, math.nan))
    return torch.fft.rfftfreq(4 * length, 1 / traces.sampling_frequency).double(), powers[0], powers[1]
