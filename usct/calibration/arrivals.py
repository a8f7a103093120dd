"""The direct wave: its pulse, and when, how strongly and with which sign it arrives in every channel."""

import math
from dataclasses import dataclass

import numpy as np
import torch

from usct.acquisition import Traces, TransducerArray

NEAR_ANGLES = (math.radians(15), math.radians(60))
"""Opening angles whose chords pass outside the object: beyond 87 % of the ring's radius."""
FASTEST = 1700.0
"""No direct wave in water or soft tissue is faster than this [m/s]."""
CYCLES = 3
"""The pulse is cut this many cycles before and behind its middle."""
OVERSAMPLING = 8
ITSELF = 1e-6
"""A channel this short is an element that hears itself; distances are rounded [m]."""
_MOST_ROWS = 32


@dataclass(frozen=True)
class Pulse:
    """What the channels of a scan have in common.

    Attributes:
        shape: The wave that arrives, of unit energy, its middle at the arrival, shape (time,) [1].
        sound_speed: Of the medium along the channels it was taken from [m/s].
        delay: When the middle of the pulse leaves a transmitter [s].
        frequency: Mean of its spectrum [Hz].
    """

    shape: torch.Tensor
    sound_speed: float
    delay: float
    frequency: float

    @property
    def half(self) -> int:
        """Samples on either side of the middle."""
        return len(self.shape) // 2

    def arrival(self, distances: torch.Tensor) -> torch.Tensor:
        """When the middle of the pulse arrives through water at distances [m], in their shape [s]."""
        return distances / self.sound_speed + self.delay


@dataclass(frozen=True)
class Arrivals:
    """The direct wave in every channel; NaN where a channel cannot be used; all of shape (tx, rx).

    Attributes:
        lags: Arrival minus what the pulse's line expects [s].
        correlations: With the pulse, negative where the polarity is turned [1].
        amplitudes: Along the pulse, negative where the polarity is turned [Pa].
        levels: Root mean square of the trace while the pulse lasts [Pa].
    """

    lags: torch.Tensor
    correlations: torch.Tensor
    amplitudes: torch.Tensor
    levels: torch.Tensor


def near_channels(array: TransducerArray) -> torch.Tensor:
    """Which channels see water alone, whatever is in the middle of the ring, shape (tx, rx) bool."""
    angles = array.opening_angles()
    return (angles >= NEAR_ANGLES[0]) & (angles <= NEAR_ANGLES[1])


def centred(row: torch.Tensor) -> torch.Tensor:
    """Traces (rx, time) in single precision, without their mean."""
    values = row.float()
    return values - values.mean(dim=1, keepdim=True)


def sample_rows(use: torch.Tensor, most: int = _MOST_ROWS) -> list[int]:
    """At most so many transmits, evenly spaced among those with channels to use (tx, rx)."""
    rows = use.any(dim=1).nonzero()[:, 0]
    picked = torch.linspace(0, len(rows) - 1, min(most, len(rows))).round().long()
    return rows[picked].tolist()


def find_pulse(traces: Traces, array: TransducerArray, use: torch.Tensor) -> Pulse:
    """The pulse and the line on which it arrives, from channels that see water alone.

    The line goes through the peaks of the envelopes by the median of the slopes between the
    nearer and the farther half (Theil). The pulse is the
    leading principal component of the traces cut out along the line, found again after they have been
    shifted to agree with it: the sign of single traces does not matter.

    Args:
        traces: Recording.
        array: Where.
        use: Channels that see water alone, shape (tx, rx) bool.

    Raises:
        ValueError: If too few channels are left to find a line.
    """
    use = use & traces.valid
    if int(use.sum()) < 8:
        raise ValueError("fewer than eight usable channels see water alone; the direct wave cannot be found")
    rows, distances = sample_rows(use), array.distances()
    peaks, power = _envelope_peaks(traces, distances, use, rows)
    away = [distances[row][use[row]] for row in rows]
    slope, delay = _line(torch.cat(away), peaks)
    frequency = _mean_frequency(power, traces.sampling_frequency)
    half = math.ceil(CYCLES * traces.sampling_frequency / frequency)
    centres = [slope * distance + delay for distance in away]
    for _ in range(3):
        windows = []
        for row, centre in zip(rows, centres, strict=True):
            cut_out, inside = cut(centred(traces.values[row])[use[row]], traces, centre, half)
            windows.append(cut_out[inside])
        pulse = Pulse(_principal(torch.cat(windows)), 1 / slope, delay, frequency)
        found = [_measure_row(traces, pulse, row, use[row], distances[row], None) for row in rows]
        centres = [
            pulse.arrival(distance) + torch.where(lag.isfinite(), lag, 0.0)
            for distance, (lag, *_) in zip(away, found, strict=True)
        ]
        slope, delay = _line(torch.cat(away), torch.cat(centres))
    return Pulse(pulse.shape, 1 / slope, delay, frequency)


def _envelope_peaks(
    traces: Traces, distances: torch.Tensor, use: torch.Tensor, rows: list[int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Times of the highest envelope behind the earliest possible arrival [s], and the mean power spectrum."""
    peaks, power = [], torch.zeros(traces.values.shape[2] // 2 + 1, dtype=torch.float64)
    for row in rows:
        values = centred(traces.values[row])[use[row]]
        early = traces.times < distances[row][use[row]][:, None] / FASTEST
        values = torch.where(early, 0.0, values)
        spectrum = torch.fft.rfft(values)
        power += (spectrum.abs().square() / values.square().sum(1, keepdim=True).clamp(min=1e-300)).sum(0)
        whole = torch.zeros(values.shape, dtype=torch.complex64)
        whole[:, : spectrum.shape[1]] = 2 * spectrum
        peaks.append(traces.times[torch.fft.ifft(whole).abs().argmax(dim=1)])
    return torch.cat(peaks), power


def _line(distances: torch.Tensor, times: torch.Tensor) -> tuple[float, float]:
    """Slope [s/m] and intercept [s] of arrival times over distance."""
    order = distances.argsort()
    half = len(order) // 2
    near, far = order[:half], order[-half:]
    slope = float(((times[far] - times[near]) / (distances[far] - distances[near])).median())
    if not 1 / 2000 < slope < 1 / 1000:
        raise ValueError(
            "the direct waves do not arrive later with distance as in water; check the order of the axes and the "
            "element positions"
        )
    return slope, float((times - slope * distances).median())


def _mean_frequency(power: torch.Tensor, sampling_frequency: float) -> float:
    """Mean frequency of what stands well above the noise [Hz]."""
    frequencies = torch.linspace(0, 0.5 * sampling_frequency, len(power), dtype=torch.float64)
    loud = torch.where(power > 0.1 * power.max(), power, 0.0)
    return float((loud * frequencies).sum() / loud.sum())


def _principal(windows: torch.Tensor) -> torch.Tensor:
    """Leading principal component of traces of equal weight, tapered, of unit energy."""
    taper = torch.hann_window(windows.shape[1], periodic=False).sqrt()
    wide = (windows * taper).double()
    wide = wide / torch.linalg.vector_norm(wide, dim=1, keepdim=True).clamp(min=1e-300)
    leading = torch.linalg.eigh(wide.T @ wide).eigenvectors[:, -1]
    # The sign is free; most traces are taken to be upright.
    upright = float((wide @ leading).sign().sum()) >= 0
    return (leading if upright else -leading).float()


def cut(
    values: torch.Tensor, traces: Traces, centres: torch.Tensor, half: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Windows about centres that lie between samples, by a phase ramp.

    Args:
        values: Traces, shape (rx, time) [Pa].
        traces: The recording, for its time axis.
        centres: Middle of every window, shape (rx,) [s].
        half: Samples on either side of the middle.

    Returns:
        Windows, shape (rx, 2 half + 1) [Pa], zero beyond the record, and whose middle third lies within the record,
        shape (rx,) bool.
    """
    place = (centres - traces.start_time) * traces.sampling_frequency
    whole = place.floor().long()
    index = whole[:, None] + torch.arange(-half, half + 2)
    inside = (whole - half // 3 >= 0) & (whole + half // 3 < values.shape[1])
    recorded = (index >= 0) & (index < values.shape[1])
    windows = torch.where(recorded, values.gather(1, index.clamp(0, values.shape[1] - 1)), 0.0)
    turn = 2 * math.pi * torch.fft.rfftfreq(windows.shape[1], dtype=torch.float64)
    ramp = torch.polar(torch.ones(len(centres), len(turn)), ((place - whole)[:, None] * turn).float())
    return torch.fft.irfft(torch.fft.rfft(windows) * ramp, n=windows.shape[1])[:, :-1], inside


def measure_arrivals(
    traces: Traces, array: TransducerArray, pulse: Pulse, signs: torch.Tensor | None = None
) -> Arrivals:
    """Find the pulse in every usable channel by cross-correlation.

    Lags are searched up to one cycle or 7 % of the travel time, whichever is more: soft tissue differs from water
    by less. The correlation is sampled eight times as finely as the traces, and its peak refined by a parabola.

    Args:
        traces: Recording.
        array: Where.
        pulse: What to look for.
        signs: Polarity of every channel, shape (tx, rx); where None, either is looked for.
    """
    distances = array.distances()
    rows = []
    for row in range(len(distances)):
        use = traces.valid[row] & (distances[row] > ITSELF)
        found = torch.full((4, distances.shape[1]), math.nan, dtype=torch.float64)
        if use.any():
            sign = None if signs is None else signs[row][use]
            found[:, use] = torch.stack(_measure_row(traces, pulse, row, use, distances[row], sign))
        rows.append(found)
    return Arrivals(*torch.stack(rows, dim=1))


def _measure_row(
    traces: Traces,
    pulse: Pulse,
    row: int,
    use: torch.Tensor,
    distances: torch.Tensor,
    sign: torch.Tensor | None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Lags, correlations, amplitudes and levels of the used channels of a transmit."""
    sampling, away = traces.sampling_frequency, distances[use]
    widest = torch.clamp(0.07 * away / pulse.sound_speed, min=1 / pulse.frequency)
    reach = math.ceil(float(widest.max()) * sampling)
    windows, inside = cut(centred(traces.values[row])[use], traces, pulse.arrival(away), pulse.half + reach)
    n = windows.shape[1] + pulse.half + 1
    product = torch.fft.rfft(windows, n=n) * torch.fft.rfft(pulse.shape, n=n).conj()
    fine = OVERSAMPLING * torch.fft.irfft(product, n=OVERSAMPLING * n)[:, : 2 * OVERSAMPLING * reach + 1]
    lags = (torch.arange(fine.shape[1]) - OVERSAMPLING * reach).double() / (OVERSAMPLING * sampling)
    height = fine.abs() if sign is None else fine * sign[:, None].float()
    height = torch.where(lags.abs() <= widest[:, None], height, -torch.inf)
    best = height[:, 1:-1].argmax(dim=1) + 1
    left, peak, right = (fine.gather(1, (best + step)[:, None])[:, 0].double() for step in (-1, 0, 1))
    bend = left - 2 * peak + right
    shift = torch.where(bend != 0, 0.5 * (left - right) / bend, 0.0).clamp(-0.5, 0.5)
    lag = lags[best] + shift / (OVERSAMPLING * sampling)
    energy = _energy_at((best / OVERSAMPLING).round().long(), windows, len(pulse.shape))
    found = (lag, peak / energy.sqrt().clamp(min=1e-300), peak, (energy / len(pulse.shape)).sqrt())
    lag, correlation, amplitude, level = (torch.where(inside, x, math.nan) for x in found)
    return lag, correlation, amplitude, level


def _energy_at(first: torch.Tensor, windows: torch.Tensor, length: int) -> torch.Tensor:
    """Energy of so many samples of every window from a first one on."""
    running = torch.nn.functional.pad(windows.double().square().cumsum(dim=1), (1, 0))
    return (running.gather(1, (first + length)[:, None]) - running.gather(1, first[:, None]))[:, 0].clamp(
        min=0
    )


def robust_spread(values: torch.Tensor | np.ndarray) -> float:
    """Standard deviation from the median absolute deviation; NaN are left out."""
    array = np.asarray(values, dtype=np.float64)
    array = array[np.isfinite(array)]
    return float(1.4826 * np.median(np.abs(array - np.median(array)))) if len(array) else math.nan
