"""The water's sound speed from Green's functions."""

import pytest
import torch

from usct import signals
from usct.acquisition import Spectra, TransducerArray
from usct.forward.analytic import point_source_field
from usct.starting.homogeneous import estimate_water_sound_speed


def record(sound_speed: float, frequencies: list[float], n_elements: int = 48) -> tuple:
    array = TransducerArray.ring(n_elements, 0.1)
    generator = torch.Generator().manual_seed(3)
    rows = []
    for frequency in frequencies:
        # Receivers are moved a hair so that no field is taken where it is infinite; those values are masked.
        moved = array.positions + 1e-9
        wave = point_source_field(array.positions, moved, 2 * torch.pi * frequency / sound_speed)
        draws = torch.randn(n_elements, 2, generator=generator, dtype=torch.float64)
        rows.append(torch.polar(torch.exp(draws[:, 0]), 6 * draws[:, 1])[:, None] * wave)
    values = torch.stack(rows)
    values = values + signals.complex_noise(values, 40, generator)
    valid = ~torch.eye(n_elements, dtype=torch.bool)
    return Spectra.of(values, torch.tensor(frequencies, dtype=torch.float64), valid), array


@pytest.mark.parametrize("sound_speed", [1450.0, 1482.3, 1521.7])
@pytest.mark.parametrize("frequencies", [[1e5], [2e5, 4e5]])
def test_water_is_found_to_a_metre_per_second(sound_speed, frequencies):
    spectra, array = record(sound_speed, frequencies)
    assert estimate_water_sound_speed(spectra, array) == pytest.approx(sound_speed, abs=1.0)


def test_too_few_elements_are_refused():
    spectra, array = record(1500.0, [1e5], n_elements=4)
    with pytest.raises(ValueError, match="no pair of elements is close enough"):
        estimate_water_sound_speed(spectra, array)
