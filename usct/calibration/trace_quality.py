"""Quality control of a scan with traces."""

import math
from dataclasses import dataclass

import torch

from usct.acquisition import Acquisition, Traces, TransducerArray
from usct.calibration import timing
from usct.calibration.arrivals import (
    NEAR_ANGLES,
    Arrivals,
    Pulse,
    centred,
    find_pulse,
    measure_arrivals,
    near_channels,
    sample_rows,
)
from usct.calibration.elements import outstanding, polarities, separate
from usct.calibration.levels import FASTEST_ARRIVAL, Levels, measure_levels, spectra_of_wave_and_noise
from usct.calibration.quality import ChannelQuality, Check, QualityReport, named, plural, roles
from usct.units import KILOHERTZ, MEGAHERTZ, MICROSECOND

_DEAD_DB, _NOISY_DB = 10.0, 10.0
_DEAD_CORRELATION = 0.6
_NOISE_ALONE = 1.5
_LARGEST_OFFSET = 0.05
_AUDIBLE_DB, _CLEAR_DB = -30.0, 10.0
_N_BANDS = 8
_EDGE, _FOLDED_DB = 0.9, -20.0
"""Share of the Nyquist frequency beyond which a recording should hold next to nothing, and how much that is."""
_TAIL, _ENDED_DB = 0.05, -30.0
"""Last share of a record, and how far below the direct wave waves should be by then, where noise does not hide them."""


@dataclass(frozen=True)
class Measured:
    """All that the checks look at.

    Attributes:
        array: Where.
        traces: The recording.
        pulse: Of the direct wave.
        arrivals: In every channel, with the elements' polarities known.
        levels: What is not signal.
        water: Channels that see water alone, shape (tx, rx) bool.
        scale: Typical level of the direct wave in those [Pa].
    """

    array: TransducerArray
    traces: Traces
    pulse: Pulse
    arrivals: Arrivals
    levels: Levels
    water: torch.Tensor
    scale: float

    @property
    def angles(self) -> torch.Tensor:
        """Opening angle of every channel, shape (tx, rx) [rad]."""
        return self.array.opening_angles()

    @property
    def noise(self) -> torch.Tensor:
        """Noise of every channel: its own or its receive element's, whichever is more, shape (tx, rx) [Pa]."""
        typical = self.levels.noise.nanmedian(dim=0).values.expand(self.levels.noise.shape)
        return torch.fmax(self.levels.noise, typical)


def check_traces(scan: Acquisition, water_only: bool = False) -> QualityReport:
    """Check a scan of traces.

    Args:
        scan: With traces.
        water_only: There is nothing in the ring, so that every channel shows the water's direct wave.

    Raises:
        ValueError: If no direct wave can be found at all.
    """
    traces, array = scan.data, scan.array
    assert isinstance(traces, Traces)
    far_enough = array.opening_angles() >= math.radians(15)
    water = traces.valid & (far_enough if water_only else near_channels(array))
    pulse = find_pulse(traces, array, water)
    blind = measure_arrivals(traces, array, pulse)
    heard = water & (blind.correlations.abs() > 0.5)
    signs = polarities(blind.correlations, heard)
    arrivals = measure_arrivals(traces, array, pulse, signs[0][:, None] * signs[1])
    scale = float(arrivals.levels[water].nanmedian())
    found = Measured(
        array, traces, pulse, arrivals, measure_levels(traces, array, pulse, scale), water, scale
    )
    level = 20 * torch.log10(arrivals.levels.clamp(min=1e-300))
    apart = separate(level, found.angles, traces.valid)
    noise = 20 * torch.log10(found.levels.noise / scale)
    noisy_check, noisy = _noisy(found, noise)
    dead_check, dead = _dead(found, apart.rest + apart.transmits[:, None] + apart.receives)
    usable = traces.valid & ~dead & ~noisy
    bands, signal, background, band_check = _bands(found, usable)
    checks = (
        dead_check,
        noisy_check,
        _noise_floor(found, noise),
        _clipping(found),
        _offset(found),
        _crosstalk(found),
        _sampling(found, usable),
        _record_length(found, usable),
        _polarity(array, signs),
        *timing.checks(scan, pulse, arrivals, found.noise, usable, water, _lowest(bands, signal, background)),
        band_check,
    )
    relative = apart.rest + apart.transmits[:, None] + apart.receives
    channels = ChannelQuality(
        relative, arrivals.lags, noise, pulse, bands, signal, background, traces.sampling_frequency
    )
    return QualityReport(checks, usable, *signs, channels)


def _dead(found: Measured, relative: torch.Tensor) -> tuple[Check, torch.Tensor]:
    """Elements that neither send or hear, and single channels that hold noise alone."""
    correlation = torch.where(found.water & found.traces.valid, found.arrivals.correlations.abs(), math.nan)
    typical = float(correlation.nanmedian())
    silent, elements = [], []
    for axis, index in ((1, found.array.transmits), (0, found.array.receives)):
        weak = correlation.nanmedian(dim=axis).values < _DEAD_CORRELATION * typical
        quiet = relative.nanmedian(dim=axis).values < -_DEAD_DB
        silent.append(weak & quiet)
        elements.append(index[weak & quiet].tolist())
    whole = silent[0][:, None] | silent[1]
    noise_alone = torch.where(
        found.noise.isfinite(),
        found.arrivals.levels < _NOISE_ALONE * found.noise,
        found.arrivals.correlations.abs() < 0.5,
    )
    single = (relative < -_DEAD_DB) & noise_alone & ~whole & found.traces.valid
    n_single, masked = int(single.sum()), int((~found.traces.valid).sum())
    parts = roles(*elements)
    parts += [f"{plural(n_single, 'single channel')} of {single.numel()}"] if n_single else []
    text = f"{' and '.join(parts)} hold noise alone" if parts else "none"
    text += f"; {plural(masked, 'channel')} were masked in the file" if masked else ""
    pairs = [
        [int(found.array.transmits[t]), int(found.array.receives[r])] for t, r in single.nonzero().tolist()
    ]
    numbers = {"transmits": elements[0], "receives": elements[1], "channels": pairs, "masked_in_file": masked}
    return Check.of("dead", bool(parts), text, numbers), whole | single


def _noisy(found: Measured, noise: torch.Tensor) -> tuple[Check, torch.Tensor]:
    """Elements far noisier than the others."""
    nowhere = torch.zeros_like(found.traces.valid)
    if not noise.isfinite().any():
        return Check.missing("noisy", "the record shows no time ahead of the arrivals"), nowhere
    apart = separate(noise.clamp(min=-120), found.angles, found.traces.valid)
    flags = [outstanding(part, _NOISY_DB) > 0 for part in (apart.transmits, apart.receives)]
    lists = [
        index[flag].tolist()
        for index, flag in zip((found.array.transmits, found.array.receives), flags, strict=True)
    ]
    parts = roles(*lists)
    numbers = {"transmits": lists[0], "receives": lists[1]}
    text = f"{' and '.join(parts)}, more than {_NOISY_DB:g} dB above the others" if parts else "none"
    check = Check.of("noisy", bool(parts), text, numbers)
    return check, flags[0][:, None] | flags[1]


def _noise_floor(found: Measured, noise: torch.Tensor) -> Check:
    typical = float(noise.nanmedian())
    if math.isnan(typical):
        return Check.missing("noise floor", "the record shows no time ahead of the arrivals")
    numbers = {"noise_db": typical, "noise_pa": found.scale * 10 ** (typical / 20)}
    return Check.of(
        "noise floor", typical > -_CLEAR_DB, f"{-typical:.0f} dB below the direct wave in water", numbers
    )


def _clipping(found: Measured) -> Check:
    clipped = found.levels.clipped
    count = int(clipped.sum())
    share = count / max(1, int(found.traces.valid.sum()))
    text = (
        f"{plural(count, 'channel')} ({100 * share:.2g} %) stay at their largest value" if count else "none"
    )
    return Check.of("clipping", bool(count), text, {"channels": count, "share": share})


def _offset(found: Measured) -> Check:
    offset = found.levels.offset.abs().nanmedian(dim=0).values / found.scale
    if not offset.isfinite().any():
        return Check.missing("offset", "the record shows no time ahead of the arrivals")
    limit = torch.clamp(found.levels.noise.nanmedian(dim=0).values / found.scale, min=_LARGEST_OFFSET)
    high = found.array.receives[offset.nan_to_num() > limit].tolist()
    largest = float(offset.nan_to_num().max())
    text = f"at most {100 * largest:.1f} % of the direct wave"
    text += f"; receives of element {named(high)}" if high else ""
    numbers = {"largest": largest, "receives": high}
    return Check.of("offset", bool(high), text, numbers)


def _crosstalk(found: Measured) -> Check:
    end, level = found.levels.crosstalk_end, found.levels.crosstalk_level / found.scale
    if end is None:
        return Check.missing("crosstalk", "the record shows no time ahead of the arrivals")
    numbers = {"ends": end, "level": level}
    if level == 0:
        return Check.of("crosstalk", False, "none", numbers)
    text = f"in all channels until {end / MICROSECOND:.1f} us, {20 * math.log10(level):.0f} dB against the direct wave"
    return Check.of("crosstalk", True, text, numbers)


def _sampling(found: Measured, usable: torch.Tensor) -> Check:
    """Whether the spectrum has fallen off where sampling ends; if not, higher frequencies were folded into it."""
    use, traces = usable & (found.angles > NEAR_ANGLES[1]), found.traces
    if not use.any():
        return Check.missing("sampling", "no channel across the ring can be used")
    power, n, count = (
        torch.zeros(traces.values.shape[2] // 2 + 1, dtype=torch.float64),
        traces.values.shape[2],
        0,
    )
    for row in sample_rows(use):
        # What comes before all waves is crosstalk, which has no edge.
        waves = traces.times >= (found.array.distances()[row][use[row]] / FASTEST_ARRIVAL)[:, None]
        values = torch.where(waves, centred(traces.values[row])[use[row]].double(), 0.0)
        power += torch.fft.rfft(values).abs().square().sum(dim=0) / n
        count += int(use[row].sum())
    edge = float(power[int(_EDGE * len(power)) :].mean()) / count
    level = 10 * math.log10(max(edge, 1e-300) / max(float(power.max()) / count, 1e-300))
    # White noise does not fall off either.
    floor = float(found.levels.noise[use].square().nanmean())
    nyquist = 0.5 * traces.sampling_frequency
    folded = level > _FOLDED_DB and not edge < 10 * floor
    text = f"traces hold {level:.0f} dB of their strongest frequency close to their Nyquist frequency, "
    text += f"{nyquist / MEGAHERTZ:.3g} MHz"
    text += "; higher frequencies were folded into them: record faster, or filter before samples are dropped"
    numbers = {"nyquist": nyquist, "edge_db": level}
    return Check.of("sampling", folded, text if folded else text.split(";")[0], numbers)


def _record_length(found: Measured, usable: torch.Tensor) -> Check:
    """Whether waves had died away when the record ended; what came later is missing from every frequency."""
    traces, energy, noise, count = found.traces, 0.0, 0.0, 0
    last = max(4, round(_TAIL * traces.values.shape[2]))
    for row in sample_rows(usable):
        tail = centred(traces.values[row])[usable[row]][:, -last:].double()
        energy += float(tail.square().mean(dim=1).sum())
        noise += float(found.noise[row][usable[row]].square().nan_to_num().sum())
        count += len(tail)
    if not count:
        return Check.missing("record length", "no channel can be used")
    level = 10 * math.log10(max(energy - noise, 1e-300) / count / found.scale**2)
    cut = level > _ENDED_DB and energy > 2 * noise
    end = traces.start_time + traces.values.shape[2] / traces.sampling_frequency
    text = f"waves are {-level:.0f} dB below the direct wave when it ends, at {end / MICROSECOND:.0f} us"
    text += "; what comes later is missing from the spectra: record longer, or set schedule.damping_time_us"
    numbers = {"end": end, "tail_db": level}
    return Check.of("record length", cut, text if cut else "waves have died away when it ends", numbers)


def _polarity(array: TransducerArray, signs: tuple[torch.Tensor, torch.Tensor]) -> Check:
    turned = [
        index[sign < 0].tolist() for index, sign in zip((array.transmits, array.receives), signs, strict=True)
    ]
    numbers: dict[str, list[int]] = {"transmits": turned[0], "receives": turned[1]}
    text = f"{' and '.join(roles(*turned))} turned"
    found = bool(turned[0] or turned[1])
    return Check.of("polarity", bool(found), text if found else "none turned", dict(numbers))


def _bands(found: Measured, usable: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, Check]:
    """Edges, level of wave and noise against the strongest band [dB], and the check."""
    highest = min(2 * found.pulse.frequency, 0.5 * found.traces.sampling_frequency)
    edges = torch.linspace(highest / _N_BANDS / 2, highest, _N_BANDS + 1, dtype=torch.float64)
    after = found.levels.crosstalk_end
    start = found.traces.start_time if after is None else after
    heard = usable & found.arrivals.lags.isfinite()
    measured = spectra_of_wave_and_noise(found.traces, found.array, found.pulse, heard, found.water, start)
    number = torch.bucketize(measured[0], edges) - 1
    wave, noise = (
        torch.stack([power[number == band].mean() for band in range(_N_BANDS)]) for power in measured[1:]
    )
    top = wave.max()
    background = 10 * torch.log10((noise / top).clamp(min=1e-18))
    alone = torch.maximum(wave - noise.nan_to_num(), 0.1 * noise.nan_to_num())
    signal = 10 * torch.log10((alone / top).clamp(min=1e-18))
    low, high = edges[:-1] / KILOHERTZ, edges[1:] / KILOHERTZ
    known = background.isfinite()
    snr = signal - background
    text = "\n".join(
        f"{a:.0f} to {b:.0f} kHz: {s:.0f} dB" + (f", {r:.0f} dB above noise" if k else ", noise not checked")
        for a, b, s, r, k in zip(
            low.tolist(), high.tolist(), signal.tolist(), snr.tolist(), known.tolist(), strict=True
        )
    )
    good = _audible(signal, background)
    numbers: dict[str, object] = {
        "edges": edges.tolist(),
        "signal_db": signal.tolist(),
        "snr_db": snr.tolist(),
    }
    if not good.any():
        return (
            edges,
            signal,
            background,
            Check.of("bands", True, f"none stands clear of noise\n{text}", numbers),
        )
    first, last = int(good.nonzero().min()), int(good.nonzero().max())
    numbers |= {"lowest": float(edges[first]), "highest": float(edges[last + 1])}
    text = f"use {low[first]:.0f} to {high[last]:.0f} kHz\n{text}"
    return edges, signal, background, Check.of("bands", False, text, numbers)


def _audible(signal: torch.Tensor, background: torch.Tensor) -> torch.Tensor:
    """Bands in which the source is heard well."""
    return (signal > _AUDIBLE_DB) & ~(signal - background < _CLEAR_DB)


def _lowest(edges: torch.Tensor, signal: torch.Tensor, background: torch.Tensor) -> float:
    """Lower edge of the lowest audible band, or the pulse's lowest [Hz]."""
    good = _audible(signal, background).nonzero()
    return float(edges[int(good.min())] if len(good) else edges[0])
