"""How many waves an image has matched to the wrong cycle, told from data alone.

A residual is no witness: a wrong image can explain a frequency to a few per cent. What gives it away is time. Waves
that are off by n cycles at one frequency are off by n periods, which phases at one frequency do not show and beats of
neighbouring frequencies do: a beat's phase is that of a wave at their difference, unambiguous for delays up to half
a period of that. First arrivals, where there are traces, tell the same without any wave.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch

from usct.acquisition import Acquisition, Spectra, Traces, TransducerArray
from usct.inversion.discretization import Discretization
from usct.medium import Medium
from usct.misfit.band import beats
from usct.reconstruction import CycleSkips
from usct.starting.travel_time import rays
from usct.starting.travel_time.picking import pick
from usct.travel_times import TravelTimes

STEPS = (0.25, 0.5)
"""How far above the lowest frequency the others are wanted, as shares of it. Half a period then turns a beat by 45
degrees, which noise does not in all but the faintest pairs, and delays up to two periods are told apart."""
FAINTEST = 0.1
"""Pairs weaker than this share of the median show no arrival: waves cancel there."""
N_ENDS = 48
"""Transmits, and receives, whose arrivals are picked, at most."""
LEAST_PAIRS = 50
"""Fewer pairs tell nothing."""


@dataclass(frozen=True)
class Watch:
    """Data that tell whether an image has matched waves to the wrong cycle.

    Attributes:
        scan: Where they come from; its truth is not looked at.
        observed: What takes part of them.
        discretization: How waves are computed.
        water: Sound speed of the water [m/s].
    """

    scan: Acquisition
    observed: Spectra
    discretization: Discretization
    water: float

    def compare(self, start: Medium, image: Medium) -> CycleSkips:
        """Look at the start model and at the image."""
        frequency, picks = float(self.observed.frequencies.min()), some_picks(self.scan)
        shares = []
        for medium in (start, image):
            shares.append(missed_by_waves(medium, self.scan.array, self.observed, self.discretization))
            shares.append(
                math.nan if picks is None else missed_by_arrivals(medium, picks, self.water, frequency)
            )
        return CycleSkips(frequency, *shares)


def lowest(observed: Spectra) -> Spectra | None:
    """The lowest frequency and up to two above it, by steps that show a delay of half its period; None for one."""
    have = observed.frequencies.sort().values
    chosen = [have[0]]
    for step in STEPS:
        above = have[(have > chosen[-1]) & (have - chosen[-1] < have[0])]
        if len(above):
            chosen.append(above[(above - (1 + step) * have[0]).abs().argmin()])
    return observed.at(torch.stack(chosen)) if len(chosen) > 1 else None


def wave_delays(predicted: torch.Tensor, observed: Spectra) -> torch.Tensor:
    """How much later waves were observed than predicted, shape (tx, rx) [s]; NaN where nothing can be told.

    Every transmit's delay is its own, so that its mean is free. Delays are known up to the period of the beat.

    Args:
        predicted: For unit sources, shape (freq, tx, rx).
        observed: At the same frequencies, rising.

    References:
        Worthmann, Song & Dowling, J. Acoust. Soc. Am. 138 (2015) 3549.
    """
    usable = (observed.weights > 0).all(dim=0)
    ratio = torch.where(usable, observed.values * predicted.conj(), 0)
    beat, total = beats(ratio), torch.zeros(usable.shape, dtype=torch.float64)
    weight = torch.zeros_like(total)
    for one, step in zip(beat, observed.frequencies.diff().tolist(), strict=True):
        own = one.sum(dim=1, keepdim=True)
        # Wider steps tell delays better, in proportion.
        total -= step * (one * own.conj()).angle() / (2 * math.pi)
        weight += step * step
    strength = beat.abs().mean(dim=0)
    heard = usable & (strength > FAINTEST * strength[usable].median()) if usable.any() else usable
    return torch.where(heard, total / weight, math.nan)


def share_of_misses(delays: torch.Tensor, frequency: float) -> float:
    """Share of pairs with a delay beyond half a period of a frequency [Hz]; NaN if fewer than fifty have one."""
    known = delays[delays.isfinite()].abs()
    return float((known > 0.5 / frequency).double().mean()) if len(known) >= LEAST_PAIRS else math.nan


def missed_by_waves(
    medium: Medium, array: TransducerArray, observed: Spectra, discretization: Discretization
) -> float:
    """Share of pairs whose waves an image is off by more than half a period of the lowest frequency.

    It costs one solution of the wave equation for each of two or three low frequencies.

    Args:
        medium: The image.
        array: Elements.
        observed: All data that take part.
        discretization: How waves are computed; the direct solver does it.

    Returns:
        The share; NaN for a single frequency, or where frequencies are too far apart.
    """
    some = lowest(observed)
    if some is None:
        return math.nan
    direct = replace(discretization, engine="helmholtz")
    speeds = float(medium.sound_speed.min()), float(medium.sound_speed.max())
    rows = []
    for frequency in some.frequencies:
        model = direct.model(array, speeds, float(frequency), observed.damping)
        rows.append(model(medium.resampled(model.grid), frequency[None])[0].cpu())
    return share_of_misses(wave_delays(torch.stack(rows), some), float(some.frequencies[0]))


def some_picks(scan: Acquisition) -> TravelTimes | None:
    """First arrivals of some pairs, spread over all transmits and receives; None without traces or arrivals."""
    traces, array = scan.data, scan.array
    if not isinstance(traces, Traces):
        return None
    tx, rx = (slice(None, None, max(1, -(-n // N_ENDS))) for n in traces.valid.shape)
    some = replace(traces, values=traces.values[tx, rx], valid=traces.valid[tx, rx])
    fewer = replace(array, transmits=array.transmits[tx], receives=array.receives[rx])
    try:
        return pick(replace(scan, array=fewer, data=some, truth=None, start=None))
    except ValueError:
        return None


def missed_by_arrivals(medium: Medium, picks: TravelTimes, water: float, frequency: float) -> float:
    """Share of picked pairs whose arrival an image foretells wrong by more than half a period.

    Straight rays through the image foretell it; bending changes times in second order.

    Args:
        medium: The image.
        picks: Delays against water.
        water: Its sound speed [m/s].
        frequency: Whose half period counts [Hz].
    """
    array, known = picks.array, picks.delays.isfinite().numpy()
    tx, rx = np.nonzero(known)
    if len(tx) < LEAST_PAIRS:
        return math.nan
    positions = array.positions.numpy()
    ends = positions[array.transmits.numpy()[tx]], positions[array.receives.numpy()[rx]]
    everywhere = np.ones(medium.grid.shape, dtype=bool)
    excess = 1 / medium.sound_speed.detach().cpu().double().numpy() - 1 / water
    foretold = rays.straight(*ends, everywhere, medium.grid) @ excess.ravel()
    return share_of_misses(picks.delays[known] - torch.from_numpy(foretold), frequency)
