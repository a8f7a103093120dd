"""Noise of spectra, told from reciprocal pairs without any model, and of traces, from what precedes arrivals."""

import dataclasses
import math

import pytest
import torch

from tests.helpers import random_like
from tests.unit import planted
from usct.acquisition import Spectra, TransducerArray
from usct.inversion.reciprocity import noise_power
from usct.listening import noise_power as noise_ahead

FREQUENCIES = torch.tensor([2e5, 3e5], dtype=torch.float64)
RING = TransducerArray.ring(40, 0.1)


def recorded(noise: float, seed: int) -> Spectra:
    """Symmetric waves of unlike strength, sent and heard with unlike pulses and gains, and noise of a mean square."""
    waves = random_like((2, 40, 40), seed, True)
    waves = waves + waves.mT
    strength, phase = 0.5 * random_like((4, 40), seed + 1, False), random_like((4, 40), seed + 2, True).sgn()
    pulses, gains = (strength.exp() * phase).split(2)
    values = pulses[:, :, None] * waves * gains[:, None, :]
    return Spectra.of(values + math.sqrt(noise) * random_like((2, 40, 40), seed + 3, True), FREQUENCIES)


@pytest.mark.parametrize("noise", [1e-6, 1e-2, 1.0])
def test_noise_is_found_whatever_medium_pulses_and_gains(noise):
    observed = recorded(noise, 7)
    assert float(observed.values.abs().square().mean()) > 2 * noise
    found = noise_power(observed, RING)
    assert found is not None
    assert found.tolist() == pytest.approx([noise, noise], rel=0.1)


def test_masked_pairs_take_no_part_and_elements_may_only_send_or_hear():
    observed = recorded(1e-2, 8)
    values, weights = observed.values.clone(), observed.weights.clone()
    values[:, 3], weights[:, 3] = 1e3, 0.0
    weights[:, :, 5] = 0.0
    values[:, :, 5] = -1e3
    found = noise_power(dataclasses.replace(observed, values=values, weights=weights), RING)
    assert found.tolist() == pytest.approx([1e-2, 1e-2], rel=0.1)
    some = dataclasses.replace(RING, transmits=torch.arange(30), receives=torch.arange(10, 40))
    part = dataclasses.replace(
        observed, values=observed.values[:, :30, 10:], weights=observed.weights[:, :30, 10:]
    )
    assert noise_power(part, some).tolist() == pytest.approx([1e-2, 1e-2], rel=0.2)


@pytest.mark.parametrize("n_shared", [0, 1, 4])
def test_too_few_pairs_tell_nothing(n_shared):
    some = dataclasses.replace(RING, transmits=torch.arange(20), receives=torch.arange(20 - n_shared, 40))
    observed = recorded(1e-2, 9)
    part = dataclasses.replace(
        observed,
        values=observed.values[:, :20, 20 - n_shared :],
        weights=observed.weights[:, :20, 20 - n_shared :],
    )
    assert noise_power(part, some) is None


def test_both_ways_to_tell_noise_agree():
    """30 dB of white noise in traces of a cylinder, of a ring that fires and hears with every element."""
    scan = planted.record(planted.no_faults(), with_cylinder=True, seed=1)
    frequencies = torch.tensor([0.25e6, 0.3e6, 0.4e6], dtype=torch.float64)
    ahead = noise_ahead(scan, frequencies.tolist())
    pairs = noise_power(scan.spectra(frequencies), scan.array)
    assert ahead is not None
    assert pairs is not None
    assert (pairs / ahead).tolist() == pytest.approx([1.0] * 3, rel=0.3)
    assert (
        noise_ahead(dataclasses.replace(scan, data=scan.spectra(frequencies)), frequencies.tolist()) is None
    )
