"""Checks of when things happen: water, reciprocity, synchronisation, positions, and the danger of cycle skips."""

import math

import torch

from usct.acquisition import Acquisition, Traces
from usct.calibration.arrivals import Arrivals, Pulse, centred, robust_spread, sample_rows
from usct.calibration.elements import separate
from usct.calibration.levels import FASTEST_ARRIVAL
from usct.calibration.quality import Check
from usct.units import KILOHERTZ, MICROSECOND, MILLIMETRE, water_sound_speed

_LARGEST_SHARE = 0.01
"""Of a cycle: arrivals that scatter more are worth calibrating."""
_WATER_DIFFERENCE = 2.0
_HEARD = 0.7
_SIMILAR = 0.8


def checks(
    scan: Acquisition,
    pulse: Pulse,
    arrivals: Arrivals,
    noise: torch.Tensor,
    usable: torch.Tensor,
    water: torch.Tensor,
    lowest: float,
) -> tuple[Check, ...]:
    """Water, reciprocity, synchronisation, positions and cycle skips.

    Args:
        scan: With traces.
        pulse: Of the direct wave.
        arrivals: In every channel.
        noise: Of every channel, shape (tx, rx); NaN where it is not known [Pa].
        usable: Channels to trust, shape (tx, rx) bool.
        water: Channels that see water alone, shape (tx, rx) bool.
        lowest: Lowest frequency at which the source is heard [Hz].
    """
    heard = usable & (arrivals.correlations > _HEARD)
    return (
        _water(scan, pulse),
        _reciprocity(scan, arrivals, noise, heard, pulse),
        *_delays(scan, pulse, arrivals, heard & water),
        _cycle_skips(arrivals, usable & (arrivals.correlations > 0.5), lowest),
    )


def _water(scan: Acquisition, pulse: Pulse) -> Check:
    speed, claimed = pulse.sound_speed, scan.water_sound_speed
    warm = water_temperature(speed)
    text = f"{speed:.1f} m/s between neighbours" + (
        "" if warm is None else f", as of {warm:.1f} degrees Celsius"
    )
    numbers = {
        "sound_speed": speed,
        "temperature": warm,
        "sound_speed_of_file": claimed,
        "pulse_delay": pulse.delay,
    }
    if claimed is None or abs(claimed - speed) <= _WATER_DIFFERENCE:
        return Check.of("water", False, text, numbers)
    return Check.of("water", True, f"{text}; the scan says {claimed:.1f} m/s", numbers)


def water_temperature(speed: float) -> float | None:
    """Temperature of pure water with a sound speed [degrees Celsius]; None beyond 0 to 70 degrees."""
    low, high = 0.0, 70.0
    if not water_sound_speed(low) <= speed <= water_sound_speed(high):
        return None
    for _ in range(40):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if water_sound_speed(middle) < speed else (low, middle)
    return low


def _reciprocity(
    scan: Acquisition, arrivals: Arrivals, noise: torch.Tensor, heard: torch.Tensor, pulse: Pulse
) -> Check:
    """Whether exchanging the ends of a channel leaves it as it is."""
    pairs = _counterparts(scan)
    if pairs is None:
        return Check.missing("reciprocity", "no pair of elements was recorded in both directions")
    back_t, back_r = pairs
    known = back_t >= 0
    there = known & heard & heard[back_t.clamp(min=0), back_r.clamp(min=0)]
    if not there.any():
        return Check.missing("reciprocity", "no pair of elements can be used in both directions")
    difference = arrivals.lags - arrivals.lags[back_t.clamp(min=0), back_r.clamp(min=0)]
    delay = robust_spread(difference[there])
    correlation, rms = _compare_traces(scan, noise.nan_to_num(), there, (back_t, back_r))
    text = (
        f"traces differ by {100 * rms:.0f} % (rms) and, noise apart, correlate to {correlation:.3f}; "
        f"their arrivals differ by {1e9 * delay:.0f} ns"
    )
    numbers = {"correlation": correlation, "relative_rms": rms, "delay_rms": delay}
    bad = correlation < _SIMILAR or delay > 5 * _LARGEST_SHARE / pulse.frequency
    return Check.of("reciprocity", bad, text, numbers)


def _counterparts(scan: Acquisition) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Transmit and receive index of every channel's exchange, shape (tx, rx), -1 where there is none."""
    array = scan.array
    as_transmit = torch.full((array.n_elements,), -1)
    as_receive = as_transmit.clone()
    as_transmit[array.transmits] = torch.arange(len(array.transmits))
    as_receive[array.receives] = torch.arange(len(array.receives))
    back_t, back_r = torch.broadcast_tensors(
        as_transmit[array.receives], as_receive[array.transmits][:, None]
    )
    there = (back_t >= 0) & (back_r >= 0)
    if not there.any():
        return None
    return torch.where(there, back_t, -1), torch.where(there, back_r, -1)


def _compare_traces(
    scan: Acquisition, noise: torch.Tensor, there: torch.Tensor, back: tuple[torch.Tensor, torch.Tensor]
) -> tuple[float, float]:
    """Median correlation, noise taken out of the energies, and relative rms difference of traces in both directions."""
    assert isinstance(scan.data, Traces)
    traces, correlations, differences = scan.data, [], []
    expected = scan.array.distances() / FASTEST_ARRIVAL
    for row in sample_rows(there):
        use = there[row]
        other_way = back[0][row][use], back[1][row][use]
        late = traces.times >= expected[row][use][:, None]
        one = torch.where(late, centred(traces.values[row][use]), 0.0)
        other = torch.where(late, centred(traces.values[other_way]), 0.0)
        energies = one.square().sum(1), other.square().sum(1)
        shares = [
            (energy - late.sum(1) * level.square()).clamp(min=1e-3 * energy)
            for energy, level in zip(energies, (noise[row][use], noise[other_way]), strict=True)
        ]
        correlations.append((one * other).sum(1) / (shares[0] * shares[1]).sqrt())
        differences.append((one - other).square().sum(1) / (0.5 * (energies[0] + energies[1])))
    return float(torch.cat(correlations).median()), float(torch.cat(differences).median().sqrt())


def _delays(scan: Acquisition, pulse: Pulse, arrivals: Arrivals, use: torch.Tensor) -> tuple[Check, Check]:
    """Whether transmits fire together, and whether the elements are where the file says."""
    if int(use.sum()) < 8:
        reason = "too few channels between neighbours can be used"
        return Check.missing("synchronisation", reason), Check.missing("positions", reason)
    apart = separate(arrivals.lags, scan.array.opening_angles(), use)
    limit = max(_LARGEST_SHARE / pulse.frequency, _noise_of_lags(arrivals, use, pulse))
    sent, heard = (torch.full((scan.array.n_elements,), math.nan, dtype=torch.float64) for _ in range(2))
    sent[scan.array.transmits], heard[scan.array.receives] = apart.transmits, apart.receives
    # A misplaced element is early or late in both roles, a late trigger in one.
    jitter = robust_spread(sent - heard)
    if math.isnan(jitter):
        reason = "no element both transmits and receives, so that positions mix with delays"
        synchronisation = Check.missing("synchronisation", reason)
        own = robust_spread(torch.cat([sent, heard]))
    else:
        text = f"transmit minus receive delays scatter by {1e9 * jitter:.0f} ns"
        synchronisation = Check.of("synchronisation", jitter > limit, text, {"delay_sd": jitter})
        own = robust_spread(0.5 * (sent + heard))
    scatter = math.hypot(robust_spread(apart.rest[use]), own)
    error = scatter * pulse.sound_speed
    text = f"arrivals between neighbours scatter by {1e9 * scatter:.0f} ns, {error / MILLIMETRE:.2f} mm"
    positions = Check.of("positions", scatter > limit, text, {"lag_sd": scatter, "distance_sd": error})
    return synchronisation, positions


def _noise_of_lags(arrivals: Arrivals, use: torch.Tensor, pulse: Pulse) -> float:
    """Three times the scatter of lags that noise alone explains [s].

    What does not correlate is spread over all samples of the pulse; only its share along the pulse's slope moves the
    peak.
    """
    correlation = float(arrivals.correlations[use].median())
    ratio = max(0.0, 1 / correlation**2 - 1) / len(pulse.shape)
    return 3 * math.sqrt(ratio) / (2 * math.pi * pulse.frequency)


def _cycle_skips(arrivals: Arrivals, use: torch.Tensor, lowest: float) -> Check:
    """How far the object's arrivals are from water's, against half a cycle."""
    if not use.any():
        return Check.missing("cycle skips", "no channel can be compared with water")
    latest = float(arrivals.lags[use].abs().quantile(0.99))
    safe = 0.5 / max(latest, 1e-12)
    text = f"arrivals are up to {latest / MICROSECOND:.2f} us from water's; "
    text += f"from water, start below {safe / KILOHERTZ:.0f} kHz"
    text += "" if safe >= lowest else f", but the source is heard from {lowest / KILOHERTZ:.0f} kHz on"
    margin = 0.5 / lowest - latest
    numbers = {"lag_p99": latest, "safe_frequency": safe, "margin_at_lowest": margin, "lowest": lowest}
    return Check.of("cycle skips", safe < lowest, text, numbers)
