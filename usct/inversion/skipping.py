"""How many waves an image has matched to the wrong cycle, told from data alone.

A residual is no witness: a wrong image can explain a frequency to a few per cent. What gives it away is time. Waves
that are off by n cycles at one frequency are off by n periods, which phases at one frequency do not show and beats of
neighbouring frequencies do: a beat's phase is that of a wave at their difference, unambiguous for delays up to half
a period of that. First arrivals, where there are traces, tell the same without any wave.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from usct.acquisition import Acquisition, Spectra, Traces
from usct.inversion.discretization import Discretization
from usct.inversion.state import Predicted
from usct.medium import Medium
from usct.misfit.band import beats
from usct.reconstruction import CycleSkips, Record
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
STRAIGHTEST = 1750.0
"""Faster than any soft tissue [m/s]: where it is faster, rays bend so much that straight ones foretell no arrival."""
LEAST_PAIRS = 50
"""Fewer pairs tell nothing."""
CLEAR = 2.0
"""Noise may turn a pair's delay by half a period over this, in standard deviations, for it to be asked."""
LEAST_HEARD = 0.5
"""If noise leaves a smaller share of the pairs, those that it leaves do not speak for the rest."""


@dataclass(frozen=True)
class Watch:
    """Data that tell whether an image has matched waves to the wrong cycle.

    Attributes:
        scan: Where they come from; its truth is not looked at.
        observed: What takes part of them.
        discretization: How waves are computed.
        water: Sound speed of the water [m/s].
        noise: Mean square of the noise at every frequency observed, shape (freq,), or None where it is not known.
    """

    scan: Acquisition
    observed: Spectra
    discretization: Discretization
    water: float
    noise: torch.Tensor | None = None

    def compare(self, start: Medium, image: Medium, history: Sequence[Record]) -> CycleSkips:
        """Look at the start model, at the image, and at what was told on the way between them."""
        frequency, picks = float(self.observed.frequencies.min()), some_picks(self.scan)
        waves = [self.missed_by(medium) for medium in (start, image)]
        arrivals = [
            math.nan if picks is None else missed_by_arrivals(medium, picks, self.water, frequency)
            for medium in (start, image)
        ]
        told = [(record.skipped, record.stage) for record in history if record.skipped is not None]
        worst, stage = max(told, default=(math.nan, ""))
        return CycleSkips(frequency, waves[0], arrivals[0], waves[1], arrivals[1], worst, stage)

    def missed_by(self, medium: Medium) -> float:
        """Share of pairs whose waves an image is off by more than half a period of the lowest frequency.

        It costs one solution of the wave equation for each of two or three low frequencies, see `n_solves`.

        Returns:
            The share; NaN for a single frequency, or where frequencies are too far apart or too close for the noise.
        """
        some = lowest(self.observed)
        if some is None:
            return math.nan
        direct = replace(self.discretization, engine="helmholtz")
        speeds = float(medium.sound_speed.min()), float(medium.sound_speed.max())
        rows = []
        for frequency in some.frequencies:
            model = direct.model(self.scan.array, speeds, float(frequency), some.damping)
            rows.append(model(medium.resampled(model.grid), frequency[None])[0].cpu())
        return self.missed(Predicted(some.frequencies, torch.stack(rows)))

    def missed(self, predicted: Predicted) -> float:
        """The same from what an image predicts, by periods of the lowest frequency of that; no equation is solved."""
        some = lowest(self.observed.at(predicted.frequencies))
        if some is None:
            return math.nan
        values = predicted.values[_nearest(predicted.frequencies, some.frequencies)]
        noise = (
            None if self.noise is None else self.noise[_nearest(self.observed.frequencies, some.frequencies)]
        )
        delays = wave_delays(values.to(torch.complex128), some)
        spread = None if noise is None else spread_by_noise(some, noise)
        return share_of_misses(delays, float(some.frequencies[0]), spread)


def _nearest(have: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Where frequencies stand among others, shape of the wanted."""
    return (have - wanted[:, None]).abs().argmin(dim=1)


def n_solves(observed: Spectra) -> int:
    """Solutions of the wave equation that looking at a start model and an image costs."""
    some = lowest(observed)
    return 0 if some is None else 2 * len(some.frequencies)


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
    for one, turn in zip(beat, _turns(observed.frequencies).tolist(), strict=True):
        own = one.sum(dim=1, keepdim=True)
        total += turn * (one * own.conj()).angle()
    strength = beat.abs().mean(dim=0)
    heard = usable & (strength > FAINTEST * strength[usable].median()) if usable.any() else usable
    return torch.where(heard, total, math.nan)


def _turns(frequencies: torch.Tensor) -> torch.Tensor:
    """Delay for each radian of every beat's phase, shape (freq - 1,) [s]; wider steps tell it better, in proportion."""
    steps = frequencies.diff()
    return -steps / (2 * math.pi * steps.square().sum())


def spread_by_noise(observed: Spectra, noise: torch.Tensor) -> torch.Tensor:
    """Standard deviation of `wave_delays` by noise, shape (tx, rx) [s].

    Args:
        observed: At rising frequencies.
        noise: Mean square of their noise, shape (freq,).
    """
    turns = _turns(observed.frequencies)
    none = turns.new_zeros(1)
    share = torch.cat([none, turns]) - torch.cat([turns, none])
    # Half of the noise turns the phase, the other half changes the amplitude.
    phase = 0.5 * noise[:, None, None] / observed.values.abs().square().clamp(min=1e-300)
    return (share.square()[:, None, None] * phase).sum(dim=0).sqrt()


def share_of_misses(delays: torch.Tensor, frequency: float, spread: torch.Tensor | None = None) -> float:
    """Share of pairs with a delay beyond half a period of a frequency, without those that noise alone would feign.

    Args:
        delays: Any shape; NaN where not known [s].
        frequency: Whose half period counts [Hz].
        spread: Standard deviation of the delays by noise, same shape [s]; None for none.

    Returns:
        The share; NaN if fewer than fifty pairs have a delay, or noise hides half of them.
    """
    known, half = delays.isfinite(), 0.5 / frequency
    spread = torch.zeros_like(delays) if spread is None else spread
    heard = known & (spread < half / CLEAR)
    if int(heard.sum()) < max(LEAST_PAIRS, LEAST_HEARD * int(known.sum())):
        return math.nan
    # Probability that noise takes a pair without delay beyond half a period.
    feigned = torch.special.erfc(half / (math.sqrt(2) * spread[heard].clamp(min=1e-12 * half)))
    missed = (delays[heard].abs() > half).double()
    return max(0.0, float((missed - feigned).sum() / (1 - feigned).sum()))


def some_picks(scan: Acquisition) -> TravelTimes | None:
    """First arrivals of some pairs, spread over all transmits and receives; None without traces or arrivals."""
    traces, array = scan.data, scan.array
    if not isinstance(traces, Traces):
        return None
    tx, rx = (slice(None, None, max(1, -(-n // N_ENDS))) for n in traces.valid.shape)
    some = replace(traces, values=traces.values[tx, rx], valid=traces.valid[tx, rx])
    fewer = replace(array, transmits=array.transmits[tx], receives=array.receives[rx])
    try:
        return pick(replace(scan, array=fewer, data=some, truth=None, start=None, water=None))
    except ValueError:
        return None


def missed_by_arrivals(medium: Medium, picks: TravelTimes, water: float, frequency: float) -> float:
    """Share of picked pairs whose arrival an image foretells wrong by more than half a period.

    Straight rays through the image foretell it; bending changes times in second order, but not where it is strong:
    of rays that meet bone nothing is foretold.

    Args:
        medium: The image.
        picks: Delays against water.
        water: Its sound speed [m/s].
        frequency: Whose half period counts [Hz].

    Returns:
        The share; NaN if it is told of too few pairs.
    """
    array, known = picks.array, picks.delays.isfinite().numpy()
    tx, rx = np.nonzero(known)
    if len(tx) < LEAST_PAIRS:
        return math.nan
    positions = array.positions.numpy()
    ends = positions[array.transmits.numpy()[tx]], positions[array.receives.numpy()[rx]]
    speed = medium.sound_speed.detach().cpu().double().numpy().ravel()
    ways = rays.straight(*ends, np.ones(medium.grid.shape, dtype=bool), medium.grid)
    foretold, bent = ways @ (1 / speed - 1 / water), ways @ (speed > STRAIGHTEST) > 0
    if bent.mean() > 1 - LEAST_HEARD:
        return math.nan
    return share_of_misses(
        (picks.delays[known] - torch.from_numpy(foretold))[~torch.from_numpy(bent)], frequency
    )
