"""Quality control of a scan with spectra, which do not show noise or arrivals."""

import math

import torch

from usct.acquisition import Acquisition, Spectra
from usct.calibration.arrivals import near_channels
from usct.calibration.elements import outstanding, separate
from usct.calibration.quality import ChannelQuality, Check, QualityReport, named, plural, roles
from usct.forward.analytic import point_source_field
from usct.units import KILOHERTZ

_DEAD_DB, _SILENT_DB = 20.0, 40.0
_TURNED = math.radians(120)
_SIMILAR = 0.8
_USUAL_WATER = 1500.0
_QUIETEST_DB = -40.0
_NEEDS_TRACES = "the file holds spectra, and this shows in traces alone"


def check_spectra(scan: Acquisition) -> QualityReport:
    """Check a scan of spectra; what spectra do not show is said to be not checked.

    Args:
        scan: With spectra.
    """
    spectra, angles = scan.data, scan.array.opening_angles()
    assert isinstance(spectra, Spectra)
    valid = (spectra.weights > 0).all(dim=0)
    power = spectra.values.abs().square()
    typical = torch.stack([p[valid].mean() if valid.any() else p.mean() for p in power]).clamp(min=1e-300)
    level = 10 * torch.log10((power / typical[:, None, None]).mean(dim=0).clamp(min=1e-30))
    apart = separate(torch.where(valid, level, math.nan), angles, valid)
    dead, usable = _dead(scan, valid, apart.transmits, apart.receives, apart.rest)
    turned, polarity = _polarity(scan, usable)
    strength = 10 * torch.log10(typical / typical.max())
    missing = [
        Check.missing(name, _NEEDS_TRACES)
        for name in (
            "noisy",
            "noise floor",
            "clipping",
            "offset",
            "crosstalk",
            "sampling",
            "record length",
            "water",
            "synchronisation",
        )
    ]
    more = [Check.missing(name, _NEEDS_TRACES) for name in ("positions", "cycle skips")]
    checks = (
        dead,
        *missing[:7],
        polarity,
        missing[7],
        _reciprocity(scan, usable),
        missing[8],
        *more,
        _bands(spectra, strength),
    )
    unknown = torch.full_like(level, math.nan)
    relative = apart.rest + apart.transmits[:, None] + apart.receives
    nothing = torch.full_like(strength, math.nan)
    channels = ChannelQuality(relative, unknown, unknown, None, spectra.frequencies, strength, nothing)
    return QualityReport(checks, usable, torch.ones(len(angles)).double(), turned, channels)


def _dead(
    scan: Acquisition,
    valid: torch.Tensor,
    transmits: torch.Tensor,
    receives: torch.Tensor,
    rest: torch.Tensor,
) -> tuple[Check, torch.Tensor]:
    silent = [outstanding(part, _DEAD_DB) < 0 for part in (transmits, receives)]
    lists = [
        index[flag].tolist()
        for index, flag in zip((scan.array.transmits, scan.array.receives), silent, strict=True)
    ]
    whole = silent[0][:, None] | silent[1]
    # Interference alone can make a channel weak at one frequency; it takes more to call it dead.
    single = valid & ~whole & (rest < -_SILENT_DB)
    parts = roles(*lists)
    parts += [f"{plural(int(single.sum()), 'single channel')} of {single.numel()}"] if single.any() else []
    text = f"{' and '.join(parts)} hold next to nothing" if parts else "none"
    masked = int((~valid).sum())
    text += f"; {plural(masked, 'channel')} were masked in the file" if masked else ""
    pairs = [
        [int(scan.array.transmits[t]), int(scan.array.receives[r])] for t, r in single.nonzero().tolist()
    ]
    numbers = {"transmits": lists[0], "receives": lists[1], "channels": pairs, "masked_in_file": masked}
    return Check.of("dead", bool(parts), text, numbers), valid & ~whole & ~single


def _polarity(scan: Acquisition, usable: torch.Tensor) -> tuple[torch.Tensor, Check]:
    """Receives whose phase is turned against the others', at the lowest frequency, between neighbours.

    Every transmit has a phase of its own that nothing is known of, so that turned transmits do not matter.
    """
    spectra, array = scan.data, scan.array
    assert isinstance(spectra, Spectra)
    upright = torch.ones(len(array.receives), dtype=torch.float64)
    near = usable & near_channels(array)
    if array.positions.shape[1] != 2 or int(near.sum()) < 8:
        return upright, Check.missing("polarity", "too few channels between neighbours can be used")
    lowest = int(spectra.frequencies.argmin())
    wavenumber = 2 * math.pi * float(spectra.frequencies[lowest]) / (scan.water_sound_speed or _USUAL_WATER)
    away = torch.where(near, array.distances(), 1.0)
    origin = torch.zeros(1, 2, dtype=torch.float64)
    along = torch.stack([away.flatten(), torch.zeros(away.numel())], dim=1).double()
    water = point_source_field(origin, along, wavenumber).reshape(away.shape)
    ratio = torch.where(near, spectra.values[lowest] * water.conj(), 0)
    ratio = ratio / ratio.abs().clamp(min=1e-300)
    phases = torch.linalg.svd(ratio).Vh[0]
    phases = phases / phases.abs().clamp(min=1e-300)
    off = (phases * phases.mean().conj()).angle().abs() * near.any(dim=0)
    signs = torch.where(off > _TURNED, -1.0, upright)
    turned = array.receives[signs < 0].tolist()
    text = f"receives of element {named(turned)} turned" if turned else "no receive turned"
    numbers = {"receives": turned}
    return signs, Check.of("polarity", bool(turned), text, numbers)


def _reciprocity(scan: Acquisition, usable: torch.Tensor) -> Check:
    """Whether phases agree in both directions once every element has a phase of its own for either role."""
    spectra, array = scan.data, scan.array
    assert isinstance(spectra, Spectra)
    if not torch.equal(array.transmits, array.receives):
        return Check.missing("reciprocity", "transmits and receives are not the same elements")
    values = spectra.values[int(spectra.frequencies.argmin())]
    both = usable & usable.T
    ratio = torch.where(both, values * values.T.conj(), 0)
    ratio = ratio / ratio.abs().clamp(min=1e-300)
    count = both.sum(dim=1).double().clamp(min=1).sqrt()
    # The largest eigenvalue is one if all phases are differences of one phase per element.
    agreement = float(torch.linalg.eigvalsh(ratio / count[:, None] / count)[-1])
    text = f"phases of both directions correlate to {agreement:.3f} at the lowest frequency"
    return Check.of("reciprocity", agreement < _SIMILAR, text, {"correlation": agreement})


def _bands(spectra: Spectra, strength: torch.Tensor) -> Check:
    frequencies = spectra.frequencies.tolist()
    listed = zip(frequencies, strength.tolist(), strict=True)
    text = "\n".join(f"{frequency / KILOHERTZ:g} kHz: {db:.0f} dB" for frequency, db in listed)
    weak = [f for f, db in zip(frequencies, strength.tolist(), strict=True) if db < _QUIETEST_DB]
    numbers = {"frequencies": frequencies, "signal_db": strength.tolist(), "too_weak": weak}
    return Check.of("bands", bool(weak), f"noise not checked\n{text}", numbers)
