"""Transforms at chosen frequencies, windows, wavelets, noise."""

import math

import pytest
import torch

from usct import signals

TIMES = 3e-6 + torch.arange(2000, dtype=torch.float64) / 10e6


def test_transform_agrees_with_the_fast_one_where_both_exist():
    traces = torch.randn(3, 2, 2000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    bins = torch.tensor([20, 57, 400])
    frequencies = bins / (2000 / 10e6)
    shift = torch.exp(-2j * torch.pi * frequencies * TIMES[0])
    expected = (torch.fft.rfft(traces)[..., bins] * shift / 10e6).movedim(-1, 0)
    got = signals.fourier_transform(traces, TIMES, frequencies)
    assert got.dtype == torch.complex128
    assert float((got - expected).abs().max() / expected.abs().max()) < 1e-5


@pytest.mark.parametrize("damping", [0.0, 2e4])
def test_transform_of_a_gaussian_at_complex_frequencies(damping):
    centre, width, frequencies = 80e-6, 4e-6, torch.tensor([1.03e4, 4.7e4], dtype=torch.float64)
    trace = torch.exp(-0.5 * ((TIMES - centre) / width) ** 2)
    omega = 2 * torch.pi * frequencies - 1j * damping
    expected = width * math.sqrt(2 * torch.pi) * torch.exp(-0.5 * (omega * width) ** 2 - 1j * omega * centre)
    got = signals.fourier_transform(trace, TIMES, frequencies, damping)
    assert float(((got - expected).abs() / expected.abs().max()).max()) < 1e-5


def test_delay_turns_the_phase_backwards():
    frequency, delay = torch.tensor([5e5]), 1e-7
    here = signals.fourier_transform(signals.tone_burst(TIMES, 5e5, 5), TIMES, frequency)
    late = signals.fourier_transform(signals.tone_burst(TIMES - delay, 5e5, 5), TIMES, frequency)
    assert float(torch.angle(late / here)) == pytest.approx(-2 * math.pi * 5e5 * delay, abs=2e-3)


def test_integers_are_transformed_too():
    traces = torch.arange(2000, dtype=torch.int16)[None]
    frequencies = torch.tensor([1e5])
    got = signals.fourier_transform(traces, TIMES, frequencies)
    assert torch.allclose(got, signals.fourier_transform(traces.double(), TIMES, frequencies))


@pytest.mark.parametrize("frequency", [5.01e6, 7e6])
def test_above_nyquist_is_refused(frequency):
    with pytest.raises(ValueError, match="above the traces' Nyquist frequency 5 MHz; choose lower"):
        signals.fourier_transform(torch.zeros(1, 2000), TIMES, torch.tensor([1e5, frequency]))


def test_window_opens_before_the_arrival_and_stays_open():
    window = signals.arrival_window(TIMES, torch.tensor([50e-6, 100e-6]), 5e-6)
    assert window.shape == (2, 2000)
    late = TIMES >= 100e-6
    assert window[1, late].unique().tolist() == [1.0]
    at = int((TIMES - 45e-6).abs().argmin())
    assert float(window[0, at]) == pytest.approx(math.exp(-0.5), rel=1e-6)
    closing = signals.arrival_window(TIMES, torch.tensor(50e-6), 5e-6, 10e-6)
    assert float(closing[-1]) < 1e-10


def test_tone_burst_has_its_energy_at_its_frequency():
    times = torch.arange(4000, dtype=torch.float64) / 40e6
    level = signals.fourier_transform(
        signals.tone_burst(times, 5e5, 4), times, torch.linspace(2e5, 8e5, 61, dtype=torch.float64)
    ).abs()
    assert 2e5 + 1e4 * int(level.argmax()) == pytest.approx(5e5, abs=1.1e4)


def test_noise_has_the_level_asked_for_at_each_frequency():
    values = torch.ones(2, 60, 60, dtype=torch.complex128) * torch.tensor([1.0, 100.0])[:, None, None]
    noise = signals.complex_noise(values, 30.0, torch.Generator().manual_seed(0))
    level = noise.abs().square().mean(dim=(1, 2)).sqrt() / values.abs().mean(dim=(1, 2))
    assert (20 * torch.log10(level)).tolist() == pytest.approx([-30.0, -30.0], abs=0.3)
    again = signals.complex_noise(values, 30.0, torch.Generator().manual_seed(0))
    assert torch.equal(noise, again)
