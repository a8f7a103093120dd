"""Small rings with planted faults: exact traces of a pulse in water, with or without a cylinder in it."""

import math
from dataclasses import dataclass, replace
from functools import cache

import torch

from usct.acquisition import Acquisition, Traces, TransducerArray
from usct.forward.analytic import cylinder_field, point_source_field
from usct.units import water_sound_speed

N_ELEMENTS, RADIUS = 48, 60e-3
CENTRE, WIDTH = 300e3, 60e3
"""Of the pulse's spectrum [Hz]."""
SAMPLING, N_SAMPLES = 3e6, 512
WATER, STALE_WATER = water_sound_speed(25.0), water_sound_speed(20.0)
CYLINDER_RADIUS, CYLINDER_SPEED = 20e-3, 1530.0
NOISE_DB = -30.0


@dataclass(frozen=True)
class Faults:
    """What is wrong with a ring: all in element order.

    Attributes:
        shifts: Of the elements against where they should be, shape (element, 2) [m].
        transmit_delays: [s].
        receive_delays: [s].
        signs: Polarity of every element, 1 or -1.
        dead_channels: Shape (tx, rx) bool; they hold noise alone.
        dead_element: One that neither sends nor hears, or None.
        noisy_element: One whose own noise is 20 dB up, or None.
        noise_db: Of white noise against what arrives straight, or None.
    """

    shifts: torch.Tensor
    transmit_delays: torch.Tensor
    receive_delays: torch.Tensor
    signs: torch.Tensor
    dead_channels: torch.Tensor
    dead_element: int | None = None
    noisy_element: int | None = None
    noise_db: float | None = NOISE_DB


def no_faults() -> Faults:
    """A perfect ring with 30 dB of noise."""
    zeros, pairs = torch.zeros(N_ELEMENTS, dtype=torch.float64), (N_ELEMENTS, N_ELEMENTS)
    return Faults(
        torch.zeros(N_ELEMENTS, 2, dtype=torch.float64),
        zeros,
        zeros,
        zeros + 1,
        torch.zeros(pairs, dtype=torch.bool),
    )


def many_faults(seed: int = 0) -> Faults:
    """3 % dead channels, 0.2 mm of position errors, 50 ns of delays, five elements turned, one dead, one noisy."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    signs = torch.ones(N_ELEMENTS, dtype=torch.float64)
    signs[[3, 11, 12, 30, 41]] = -1
    dead = torch.rand(N_ELEMENTS, N_ELEMENTS, generator=generator) < 0.03
    shifts = 0.2e-3 * normal(N_ELEMENTS, 2) / math.sqrt(2)
    return Faults(shifts, 50e-9 * normal(N_ELEMENTS), 50e-9 * normal(N_ELEMENTS), signs, dead, 20, 35)


def record(faults: Faults, with_cylinder: bool, seed: int = 0, stale: bool = False) -> Acquisition:
    """What the ring records; the scan says nothing of its faults.

    Args:
        faults: What is wrong.
        with_cylinder: Whether there is an object.
        seed: Of the noise.
        stale: Whether the scan claims the sound speed of water that is 5 degrees colder.
    """
    nominal = TransducerArray.ring(N_ELEMENTS, RADIUS)
    frequencies, spectra = _unit_spectra(tuple(map(tuple, faults.shifts.tolist())), with_cylinder)
    delays = faults.transmit_delays[:, None] + faults.receive_delays
    turn = torch.exp(-2j * torch.pi * frequencies * delays[..., None])
    values = (
        torch.fft.irfft(spectra * turn, n=N_SAMPLES).float()
        * faults.signs[:, None, None]
        * faults.signs[:, None]
    )
    level = float(values[nominal.opening_angles() > 0.3].abs().amax(dim=-1).median())
    values[faults.dead_channels] = 0.0
    if faults.dead_element is not None:
        values[faults.dead_element] = 0.0
        values[:, faults.dead_element] = 0.0
    if faults.noise_db is not None:
        noise = torch.randn(values.shape, generator=torch.Generator().manual_seed(seed + 100))
        noise *= 0.35 * level * 10 ** (faults.noise_db / 20)
        if faults.noisy_element is not None:
            noise[:, faults.noisy_element] *= 10
        values += noise
    valid = ~torch.eye(N_ELEMENTS, dtype=torch.bool)
    return Acquisition(nominal, Traces(values, 0.0, SAMPLING, valid), STALE_WATER if stale else WATER)


def clean(with_cylinder: bool) -> Acquisition:
    """The same ring without a fault."""
    return record(no_faults(), with_cylinder)


def with_data(scan: Acquisition, values: torch.Tensor) -> Acquisition:
    """The scan with other traces."""
    return replace(scan, data=replace(scan.data, values=values))


@cache
def _unit_spectra(
    shifts: tuple[tuple[float, float], ...], with_cylinder: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Frequencies [Hz] and spectra (tx, rx, freq) of a Gaussian pulse that leaves at 4 microseconds."""
    nominal = TransducerArray.ring(N_ELEMENTS, RADIUS).positions
    positions = nominal + torch.tensor(shifts, dtype=torch.float64)
    frequencies = torch.fft.rfftfreq(N_SAMPLES, 1 / SAMPLING).double()
    # No element hears itself: its own channel is given another's place and left out later.
    spectra = torch.zeros(N_ELEMENTS, N_ELEMENTS, len(frequencies), dtype=torch.complex128)
    for number, frequency in enumerate(frequencies.tolist()):
        strength = math.exp(-0.5 * ((frequency - CENTRE) / WIDTH) ** 2)
        if strength < 1e-5 or frequency == 0:
            continue
        k = 2 * math.pi * frequency / WATER
        # No element hears itself, where the field is infinite: a receiver slightly off stands in.
        receivers = positions + 1e-6
        field = (
            cylinder_field(positions, receivers, k, 2 * math.pi * frequency / CYLINDER_SPEED, CYLINDER_RADIUS)
            if with_cylinder
            else point_source_field(positions, receivers, k)
        )
        field.fill_diagonal_(0)
        late = torch.exp(torch.tensor(-2j * math.pi * frequency * 4e-6, dtype=torch.complex128))
        spectra[..., number] = strength * late * field
    return frequencies, spectra
