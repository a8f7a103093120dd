"""Picking first arrivals: the onset by Akaike's information criterion, the shift against water by correlation."""

import numpy as np
import torch

from usct.acquisition import Acquisition, Traces
from usct.travel_times import TravelTimes

SLOWEST, FASTEST = 1380.0, 1620.0
"""Mean sound speeds along a ray between which its arrival is sought [m/s]."""
LEAST_ANGLE = np.pi / 4
"""Receivers closer to the transmitter, as seen from the centre, are not picked [rad]."""
LEAST_STEP = 4.0
"""Least ratio of the amplitude behind a pick to that ahead of it."""
WATER_QUANTILE = 1 / 3
"""Share of the shortest rays, taken to run through water alone, that tell the pulse's own delay."""
DEFAULT_WATER = 1500.0
N_HEARD = 8
"""Transmits that tell the pulse's centre frequency."""


def onset(trace: np.ndarray) -> float:
    """Sample at which a trace splits best into noise and signal, with a parabola between samples.

    Minimises k log var(trace[:k]) + (n - k) log var(trace[k:]), up to the largest amplitude; NaN where the
    amplitude does not rise.

    Args:
        trace: Shape (time,), with noise alone at its beginning.

    References:
        Li et al., Ultrasonics 49 (2009) 61, section 2.
    """
    n = int(np.abs(trace).argmax()) + 1
    if n < 8:
        return float("nan")
    x = trace[:n].astype(np.float64)
    k = np.arange(2, n - 2)
    sums, squares = np.cumsum(x), np.cumsum(x**2)
    floor = 1e-12 * squares[-1] / n
    ahead = squares[k - 1] / k - (sums[k - 1] / k) ** 2
    behind = (squares[-1] - squares[k - 1]) / (n - k) - ((sums[-1] - sums[k - 1]) / (n - k)) ** 2
    ahead, behind = np.maximum(ahead, floor), np.maximum(behind, floor)
    criterion = k * np.log(ahead) + (n - k) * np.log(behind)
    best = int(criterion.argmin())
    if behind[best] < LEAST_STEP**2 * ahead[best]:
        return float("nan")
    return float(k[best]) + _vertex(criterion, best)


def shift(trace: np.ndarray, reference: np.ndarray) -> float:
    """By how many samples a trace lags a reference of the same length: the peak of their correlation."""
    correlation = np.correlate(trace, reference, mode="full")
    best = int(correlation.argmax())
    return best - (len(reference) - 1) + _vertex(correlation, best)


def pick(scan: Acquisition, water: Acquisition | None = None) -> TravelTimes:
    """Pick the first arrivals of a scan.

    Each is sought between the arrivals through uniform media of 1380 and 1620 m/s. With a water shot the
    difference of two onsets is refined by the correlation of the two first cycles; without one, the arrival in
    water is computed, and the pulse's own delay taken from the rays that pass farthest from the centre. Picks that
    no medium in these bounds explains are left out, and so are pairs whose two directions differ by more than half a
    period of the pulse: one of them is a wrong cycle, or noise.

    Args:
        scan: Traces.
        water: The same array in water alone, sampled alike.

    Raises:
        ValueError: If the scan or the water shot holds no traces, or the two are sampled differently.
    """
    traces, speed = _traces(scan), scan.water_sound_speed or DEFAULT_WATER
    onsets = _onsets(scan, traces)
    if water is None:
        expected = scan.array.distances().numpy() / speed
        delays = onsets - expected
        angle = scan.array.opening_angles().numpy()
        known = np.isfinite(delays)
        if not known.any():
            raise ValueError("no first arrival can be picked; check time zero and units of the traces")
        near = known & (angle <= np.quantile(angle[known], WATER_QUANTILE))
        delays = delays - np.median(delays[near])
        note = "Travel times were picked without a water shot; the arrivals in water were computed."
    else:
        reference = _traces(water)
        if reference.values.shape != traces.values.shape or (
            reference.start_time,
            reference.sampling_frequency,
        ) != (traces.start_time, traces.sampling_frequency):
            raise ValueError("scan and water shot are sampled differently; record both alike")
        delays = _refined(onsets, _onsets(water, reference), traces, reference)
        note = "Travel times were picked against a water shot."
    delays = _confirmed(delays, scan)
    return TravelTimes(
        scan.array, torch.from_numpy(delays), scan.water_sound_speed, scan.title, notes=(note,)
    )


def _traces(scan: Acquisition) -> Traces:
    if not isinstance(scan.data, Traces):
        raise ValueError("first arrivals can be picked in traces alone, not in spectra")
    return scan.data


def _onsets(scan: Acquisition, traces: Traces) -> np.ndarray:
    """Onset of every channel that is far enough from its transmitter, shape (tx, rx) [s]."""
    distance, angle = scan.array.distances().numpy(), scan.array.opening_angles().numpy()
    rate, n = traces.sampling_frequency, traces.values.shape[2]
    picks = np.full(distance.shape, np.nan)
    wanted = traces.valid.numpy() & (angle >= LEAST_ANGLE)
    for tx, rx in np.argwhere(wanted):
        first, last = (distance[tx, rx] / c - traces.start_time for c in (FASTEST, SLOWEST))
        low, high = max(0, int(first * rate)), min(n, int(last * rate) + 1)
        if high - low >= 8:
            sample = onset(traces.values[tx, rx, low:high].numpy())
            picks[tx, rx] = traces.start_time + (low + sample) / rate
    return picks


def _refined(onsets: np.ndarray, reference: np.ndarray, traces: Traces, water: Traces) -> np.ndarray:
    """Differences of onsets, made finer by correlating what follows them [s]."""
    rate = traces.sampling_frequency
    delays = onsets - reference
    for tx, rx in np.argwhere(np.isfinite(delays)):
        starts = [int((p[tx, rx] - traces.start_time) * rate) for p in (onsets, reference)]
        width = min(int(0.1 * traces.values.shape[2]) + 8, *(traces.values.shape[2] - s for s in starts))
        pieces = [
            t.values[tx, rx, s : s + width].numpy().astype(np.float64)
            for t, s in zip((traces, water), starts, strict=True)
        ]
        delays[tx, rx] = (starts[0] - starts[1] + shift(*pieces)) / rate
    return delays


def _confirmed(delays: np.ndarray, scan: Acquisition) -> np.ndarray:
    """Delays (tx, rx) without those that no medium explains, or whose other direction is half a period away [s]."""
    array, water = scan.array, 1 / (scan.water_sound_speed or DEFAULT_WATER)
    distance = array.distances().numpy()
    possible = (delays >= distance * (1 / FASTEST - water)) & (delays <= distance * (1 / SLOWEST - water))
    delays = np.where(possible, delays, np.nan)
    ends = np.ix_(array.transmits.numpy(), array.receives.numpy())
    both = np.full((array.n_elements, array.n_elements), np.nan)
    both[ends] = delays
    apart = np.abs(both - both.T)[ends]
    return np.where(apart > 0.5 / _centre_frequency(_traces(scan)), np.nan, delays)


def _centre_frequency(traces: Traces) -> float:
    """Mean frequency of the energy of some traces [Hz]."""
    every = slice(None, None, max(1, len(traces.values) // N_HEARD))
    values = traces.values[every][traces.valid[every]].double()
    power = torch.fft.rfft(values - values.mean(dim=1, keepdim=True)).abs().square().sum(dim=0)
    frequencies = torch.fft.rfftfreq(values.shape[1], 1 / traces.sampling_frequency, dtype=torch.float64)
    return float((power * frequencies).sum() / power.sum())


def _vertex(values: np.ndarray, best: int) -> float:
    """Offset of the extremum of the parabola through a sample and its neighbours, within half a sample."""
    if not 0 < best < len(values) - 1:
        return 0.0
    left, middle, right = values[best - 1 : best + 2]
    bend = left - 2 * middle + right
    return float(np.clip(0.5 * (left - right) / bend, -0.5, 0.5)) if bend != 0 else 0.0
