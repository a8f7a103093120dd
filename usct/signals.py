"""Signal processing on recorded traces: windows, Fourier transforms at chosen frequencies, wavelets, noise."""

import math

import torch


def fourier_transform(
    traces: torch.Tensor, times: torch.Tensor, frequencies: torch.Tensor, damping: float = 0.0
) -> torch.Tensor:
    """Transform traces to chosen frequencies exactly, without a frequency grid.

    Computes sum_t traces(t) exp(-i omega t) exp(-damping t) dt. A positive damping evaluates the
    transform at the complex frequency omega - i damping, which tames records that end before their
    echoes do (Brenders & Pratt, Geophys. J. Int. 168 (2007) 133).

    Args:
        traces: Shape (..., time) [Pa], any real type.
        times: Evenly spaced sample times, shape (time,) [s].
        frequencies: Shape (freq,) [Hz].
        damping: 1/tau [1/s].

    Returns:
        Shape (freq, ...), complex128 [Pa s].

    Raises:
        ValueError: If a frequency lies at or above the Nyquist frequency of the traces.
    """
    interval = float(times[1] - times[0])
    highest = float(frequencies.max())
    if highest * interval >= 0.5:
        raise ValueError(
            f"frequency {highest / 1e6:g} MHz is above the traces' Nyquist frequency "
            f"{0.5e-6 / interval:g} MHz; choose lower frequencies"
        )
    phase = -2 * torch.pi * times.double()[:, None] * frequencies.double()[None, :]
    kernel = torch.polar(torch.exp(-damping * times.double())[:, None].expand_as(phase) * interval, phase)
    kernel = torch.cat([kernel.real, kernel.imag], dim=1).float()
    rows = [chunk.float() @ kernel for chunk in traces.reshape(-1, traces.shape[-1]).split(4096)]
    real, imaginary = torch.cat(rows).double().chunk(2, dim=1)
    return torch.complex(real, imaginary).T.reshape(len(frequencies), *traces.shape[:-1])


def arrival_window(
    times: torch.Tensor, arrivals: torch.Tensor, before: float, after: float = math.inf
) -> torch.Tensor:
    """Gaussian window about expected arrival times, one width before and another after.

    Args:
        times: Shape (time,) [s].
        arrivals: Expected arrival times, shape (...) [s].
        before: Standard deviation ahead of the arrival [s].
        after: Standard deviation behind it [s]; infinite keeps everything that follows.

    Returns:
        Weights in 0 to 1, shape (..., time).
    """
    lag = times - arrivals[..., None]
    return torch.where(lag < 0, torch.exp(-0.5 * (lag / before) ** 2), torch.exp(-0.5 * (lag / after) ** 2))


def loud_band(
    traces: torch.Tensor, sampling_frequency: float, lowest: float, highest: float
) -> tuple[float, float]:
    """First and last frequency at which traces are at least half as strong as at their strongest.

    Args:
        traces: Shape (..., time), any real type.
        sampling_frequency: Samples per second [Hz].
        lowest: Frequency below which nothing counts, such as an offset or its drift [Hz].
        highest: Frequency above which nothing counts [Hz].

    Returns:
        Frequencies [Hz].

    Raises:
        ValueError: If the traces hold nothing between the two.
    """
    frequencies = torch.fft.rfftfreq(traces.shape[-1], 1 / sampling_frequency, dtype=torch.float64)
    power = torch.zeros_like(frequencies)
    rows = traces.reshape(-1, traces.shape[-1])
    for first in range(0, len(rows), 1024):
        power += torch.fft.rfft(rows[first : first + 1024].double()).abs().square().sum(dim=0)
    power = torch.where((frequencies >= lowest) & (frequencies <= highest), power, 0.0)
    if not float(power.max()) > 0:
        raise ValueError(f"the traces hold nothing between {lowest / 1e6:g} and {highest / 1e6:g} MHz")
    loud = frequencies[power >= 0.25 * power.max()]
    return float(loud[0]), float(loud[-1])


def tone_burst(times: torch.Tensor, frequency: float, n_cycles: float) -> torch.Tensor:
    """Gaussian-windowed burst of `n_cycles` at `frequency` [Hz], starting near time zero; shape of `times`."""
    centre = n_cycles / frequency
    width = n_cycles / (2.355 * frequency)
    return torch.exp(-0.5 * ((times - centre) / width) ** 2) * torch.sin(
        2 * torch.pi * frequency * (times - centre)
    )


def complex_noise(values: torch.Tensor, snr_db: float, generator: torch.Generator) -> torch.Tensor:
    """White circular complex noise at `snr_db` below the rms of `values` (freq, tx, rx), per frequency."""
    rms = values.abs().square().mean(dim=(1, 2), keepdim=True).sqrt()
    unit = torch.randn((*values.shape, 2), generator=generator, dtype=torch.float64)
    return torch.view_as_complex(unit) * rms * 10 ** (-snr_db / 20) / math.sqrt(2.0)
