"""Arrays, spectra, traces and scans."""

import math

import pytest
import torch

from usct import signals
from usct.acquisition import Acquisition, Spectra, Traces, TransducerArray

FREQUENCIES = torch.tensor([2e5, 3e5], dtype=torch.float64)
RING = TransducerArray.ring(8, 0.05)


def values(n_frequencies: int = 2) -> torch.Tensor:
    return torch.ones(n_frequencies, 8, 8, dtype=torch.complex128)


@pytest.mark.parametrize(
    ("positions", "transmits", "sentence"),
    [
        (torch.zeros(4), [0], r"positions must have shape \(element, 2 or 3\), got \(4,\)"),
        (torch.full((4, 2), math.nan), [0], "positions hold values that are not finite"),
        (torch.zeros(4, 2), [], "transmits must be a non-empty list"),
        (torch.zeros(4, 2), [0, 4], "transmits holds element 4, but there are 4 elements"),
    ],
)
def test_impossible_arrays_are_refused(positions, transmits, sentence):
    with pytest.raises(ValueError, match=sentence):
        TransducerArray(positions, torch.tensor(transmits), torch.tensor([0]))


def test_ring_geometry():
    assert RING.positions[0].tolist() == pytest.approx([0.0, 0.05])
    assert RING.positions[2].tolist() == pytest.approx([0.05, 0.0])
    assert RING.radius == pytest.approx(0.05)
    assert float(RING.distances()[0, 4]) == pytest.approx(0.1)
    assert float(RING.opening_angles()[1, 3]) == pytest.approx(math.pi / 2)


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        (lambda: Spectra.of(values(), torch.tensor([])), "frequencies must not be empty"),
        (lambda: Spectra.of(values(), torch.tensor([1e5, -1.0])), "frequencies must be positive and finite"),
        (lambda: Spectra.of(values(3), FREQUENCIES), r"\(freq, tx, rx\) with 2 frequencies, got \(3, 8, 8\)"),
        (lambda: Spectra(values(), FREQUENCIES, torch.ones(2, 8)), "weights have shape"),
        (
            lambda: Spectra(values() * math.nan, FREQUENCIES, torch.ones(2, 8, 8)),
            "values with a positive weight must be finite",
        ),
        (lambda: Traces.of(torch.zeros(8, 8), 0.0, 1e6), r"values must have shape \(tx, rx, time\)"),
        (lambda: Traces.of(torch.zeros(8, 8, 9), 0.0, 0.0), "sampling_frequency must be > 0 Hz, got 0"),
        (lambda: Traces(torch.zeros(8, 8, 9), 0.0, 1e6, torch.ones(8)), "valid must have shape"),
        (
            lambda: Acquisition(TransducerArray.ring(7, 0.05), Spectra.of(values(), FREQUENCIES)),
            "the data hold 8 transmits x 8 receives, the array 7 x 7",
        ),
        (
            lambda: Acquisition(RING, Spectra.of(values(), FREQUENCIES), 1.5),
            "water_sound_speed must lie in 1000 to 2000 m/s, got 1.5",
        ),
    ],
)
def test_what_cannot_be_is_refused(made, sentence):
    with pytest.raises(ValueError, match=sentence):
        made()


def test_values_that_are_not_finite_count_nothing():
    spoiled = values()
    spoiled[0, 1, 2], spoiled[1, 3, 3] = math.nan, complex(0, math.inf)
    spectra = Spectra.of(spoiled, FREQUENCIES)
    assert int((spectra.weights == 0).sum()) == 2
    assert spectra.values[0, 1, 2] == spectra.values[1, 3, 3] == 0


def test_frequencies_are_picked_in_the_order_asked():
    data = Spectra.of(values() * torch.tensor([1.0, 2.0])[:, None, None], FREQUENCIES)
    picked = data.at(torch.tensor([300.1e3, 2e5]))
    assert picked.values[:, 0, 0].tolist() == [2, 1]
    assert picked.frequencies.tolist() == [3e5, 2e5]
    with pytest.raises(ValueError, match="frequency 250 kHz was not recorded; the data hold 200, 300 kHz"):
        data.at(torch.tensor([2.5e5]))


def test_traces_become_spectra_of_valid_channels_with_damping_noted():
    times = torch.arange(1500, dtype=torch.float64) / 5e6
    delays = RING.distances()[..., None] / 1500.0
    samples = signals.tone_burst(times - delays, 2.5e5, 3)
    samples[2, 3, 7], samples[5, 1] = math.nan, 0.0
    scan = Acquisition(RING, Traces.of(samples, 0.0, 5e6))
    assert scan.data.times[1] == pytest.approx(2e-7)
    damped = scan.spectra(FREQUENCIES, damping=1e4)
    assert damped.damping == 1e4
    assert float(damped.weights[:, 2, 3].sum() + damped.weights[:, 5, 1].sum()) == 0
    assert float(damped.weights.sum()) == 2 * 62
    spectra = scan.spectra(FREQUENCIES)
    far = spectra.values[:, 0, 4] / spectra.values[:, 0, 2]
    lag = float(RING.distances()[0, 4] - RING.distances()[0, 2]) / 1500.0
    expected = torch.exp(-2j * torch.pi * FREQUENCIES * lag)
    assert torch.allclose(far, expected, atol=2e-2)


def test_what_arrives_too_early_is_muted():
    n = 2000
    samples = torch.zeros(8, 8, n)
    samples[..., 5] = 1.0
    scan = Acquisition(RING, Traces.of(samples, 0.0, 10e6))
    spectra = scan.spectra(FREQUENCIES)
    opposite = spectra.values[:, 0, 4].abs() / spectra.values[:, 0, 0].abs()
    assert float(opposite.max()) < 1e-6


def test_above_nyquist_is_refused():
    scan = Acquisition(RING, Traces.of(torch.ones(8, 8, 50), 0.0, 5e5))
    with pytest.raises(ValueError, match="Nyquist"):
        scan.spectra(FREQUENCIES[1:])
