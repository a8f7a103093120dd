"""How late a trace may be before each misfit leads away from the truth: `python -m tests.bench.basins`.

A burst of three cycles is shifted against itself. A misfit leads back as long as it grows with the shift; the largest
shift up to which it does is its basin, in cycles of the burst's centre.
"""

import math
from dataclasses import dataclass

import torch

from usct.misfit.base import Misfit
from usct.misfit.catalogue import BAND_NAMES, SINGLE_NAMES, misfit_of

N_CYCLES = 3
HIGHEST_SHIFT = 5.0
SHIFTS = torch.linspace(0, HIGHEST_SHIFT, 101, dtype=torch.float64)
LEAST_GROWTH = 0.02
"""What counts as growth, per cycle and over the highest value: a plateau leads nowhere."""
N_FIRST = 5
"""Steps before growth is asked for, since every misfit is flat at the truth."""
N_TRACES = 64


@dataclass(frozen=True)
class Basin:
    """What a shift test found.

    Attributes:
        name: Of the misfit.
        width: Shift up to which the misfit grows [cycle].
        noisy_width: The same of the mean over traces with 10 dB of noise [cycle].
        floor: Misfit at the truth with that noise, over its largest value.
    """

    name: str
    width: float
    noisy_width: float
    floor: float


def burst(shift: torch.Tensor, frequencies: torch.Tensor) -> torch.Tensor:
    """Spectrum of a Gaussian burst of three cycles, at frequencies over its own, (freq, *shift.shape)."""
    spread = 1 / (2 * math.pi * N_CYCLES / 4)  # four standard deviations in time hold the cycles
    shape = torch.exp(-0.5 * ((frequencies - 1) / spread).square())
    lead = frequencies.reshape(-1, *[1] * shift.ndim)
    return shape.reshape(lead.shape) * torch.exp(-2j * math.pi * lead * shift)


def values(misfit: Misfit, frequencies: torch.Tensor, noise: float, seed: int = 0) -> torch.Tensor:
    """Misfit of a shifted burst with one without, averaged over noise, shape of SHIFTS."""
    observed = burst(torch.zeros(1, N_TRACES, dtype=torch.float64), frequencies)
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(*observed.shape, 2, generator=generator, dtype=torch.float64)
    rms = observed.abs().square().mean().sqrt()
    observed = observed + noise * rms * torch.view_as_complex(drawn) / math.sqrt(2)
    found = []
    for shift in SHIFTS:
        predicted = burst(shift.expand(1, N_TRACES), frequencies)
        if len(frequencies) == 1:
            predicted, data = predicted[0], observed[0]
        else:
            data = observed
        found.append(misfit.residual(predicted, data, torch.ones_like(data.real)).value)
    return torch.tensor(found, dtype=torch.float64)


def width(found: torch.Tensor) -> float:
    """Shift up to which values grow [cycle]."""
    least = LEAST_GROWTH * float(found.max()) * float(SHIFTS[1])
    ends = (found.diff()[N_FIRST:] < least).nonzero()
    return float(SHIFTS[N_FIRST + int(ends[0])]) if len(ends) else HIGHEST_SHIFT


def basin(name: str, noise: float = 10 ** (-10 / 20)) -> Basin:
    """The shift test of one misfit; of single frequencies at the burst's own, of bands over the burst's."""
    single = name in SINGLE_NAMES
    # A period of twelve cycles, in which shifts of five cycles are not ambiguous.
    band = torch.arange(7, 18, dtype=torch.float64) / 12
    frequencies = torch.ones(1, dtype=torch.float64) if single else band
    misfit = misfit_of(name, "none")  # type: ignore[arg-type]
    if name == "normalised":
        # Its weight of a transmit would take up the one delay that all traces share here.
        return _of_pair(name, misfit, noise)
    clean, noisy = (values(misfit, frequencies, level) for level in (0.0, noise))
    return Basin(name, width(clean), width(noisy), float(noisy[0] / noisy.max()))


def _of_pair(name: str, misfit: Misfit, noise: float) -> Basin:
    """Half of the traces late, the other half in time, so that no common phase explains it."""
    found = []
    for level in (0.0, noise):
        generator = torch.Generator().manual_seed(0)
        drawn = torch.randn(1, N_TRACES, 2, generator=generator, dtype=torch.float64)
        data = torch.ones(1, N_TRACES) + level * torch.view_as_complex(drawn) / math.sqrt(2)
        late = torch.arange(N_TRACES) < N_TRACES // 2
        rows = [torch.exp(-2j * math.pi * shift * late)[None] for shift in SHIFTS]
        weights = torch.ones(1, N_TRACES, dtype=torch.float64)
        found.append(torch.tensor([misfit.residual(row, data, weights).value for row in rows]))
    return Basin(name, width(found[0]), width(found[1]), float(found[1][0] / found[1].max()))


def table() -> str:
    """Every misfit's basin, as Markdown."""
    rows = ["| misfit | basin [cycles] | basin at 10 dB | floor at 10 dB |", "| --- | --- | --- | --- |"]
    for name in SINGLE_NAMES + BAND_NAMES:
        found = basin(name)
        rows.append(f"| {name} | {found.width:.2f} | {found.noisy_width:.2f} | {found.floor:.3f} |")
    return "\n".join(rows)


if __name__ == "__main__":
    print(table())  # noqa: T201
