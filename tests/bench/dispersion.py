"""Remove the numerical dispersion of leap-frog, eighth-order finite differences from recorded traces.

Time. Leap-frog replaces -omega^2 by -(2/dt)^2 sin^2(omega' dt / 2), and nothing else: the record at the
scheme's frequency omega' is exactly the record of continuous time at omega = (2/dt) sin(omega' dt / 2).
So the corrected trace is the inverse transform, over omega, of the raw trace's transform at
omega' = (2/dt) asin(omega dt / 2) (Wang & Xu, Geophys. J. Int. 201 (2015) 1662). Sampling at the lower
output rate and the anti-alias filter are part of the same matrix.

Space. Eighth-order differences lower the phase speed by (k h)^8 / 6300 along an axis and a sixteenth of
that along a diagonal, 0.1 rad over 220 mm at 0.65 MHz and 0.36 mm. The phase along the straight path
from transmit to receive, at the sound speed of water, is put back for each pair. What stays is second
order: that error times the relative departure from water speed and path (below 0.02 rad in a breast).
"""

from dataclasses import dataclass

import numpy as np

from usct.acquisition import TransducerArray

RECORD_TAIL = 12e-6  # simulated beyond the wanted record, so that its end does not ring into the data [s]
HIGHEST_FREQUENCY = 1.8e6  # [Hz]
LAPLACIAN_ORDER_8 = (205 / 72, -8 / 5, 1 / 5, -8 / 315, 1 / 560)


@dataclass(frozen=True)
class Correction:
    """Linear map from raw traces to corrected ones.

    Attributes:
        raw_times: Times of the raw samples [s].
        frequencies: Frequencies of the intermediate spectrum, shape (freq,) [Hz].
        n_samples: Length of a corrected trace.
        to_spectra: Raw trace to spectrum, shape (raw time, freq), complex64.
        to_traces: Spectrum to corrected trace, its real part to be taken, shape (freq, time), complex64.
    """

    raw_times: np.ndarray
    frequencies: np.ndarray
    n_samples: int
    to_spectra: np.ndarray
    to_traces: np.ndarray

    @classmethod
    def of(cls, duration: float, sampling_frequency: float, step: float) -> "Correction":
        """Prepare for records of a duration [s] at a sampling frequency [Hz], simulated with a step [s]."""
        raw_times = step * np.arange(int(np.ceil((duration + RECORD_TAIL) / step)))
        times = np.arange(round(duration * sampling_frequency)) / sampling_frequency
        # One period of the discrete spectrum exceeds the record by half, so that nothing wraps around.
        frequency_step = 1 / (1.5 * (duration + RECORD_TAIL))
        highest = min(HIGHEST_FREQUENCY, 0.45 * sampling_frequency)
        frequencies = frequency_step * np.arange(1, int(highest / frequency_step))
        weights = 2 * frequency_step * _taper(frequencies / highest)
        omega = 2 * np.pi * frequencies
        to_spectra = step * np.exp(-1j * np.outer(raw_times, scheme_frequency(omega, step)))
        to_traces = weights[:, None] * np.exp(1j * np.outer(omega, times))
        kernels = to_spectra.astype(np.complex64), to_traces.astype(np.complex64)
        return cls(raw_times, frequencies, len(times), *kernels)

    def apply(self, raw: np.ndarray, phases: np.ndarray) -> np.ndarray:
        """Correct raw traces (tx, rx, raw time) by phase factors (tx, rx, freq); returns (tx, rx, time)."""
        spectra = raw.astype(np.complex64) @ self.to_spectra
        return ((spectra * phases) @ self.to_traces).real


def scheme_frequency(omega: np.ndarray, step: float) -> np.ndarray:
    """Angular frequency at which leap-frog with a step [s] acts as continuous time does at omega [rad/s]."""
    return 2 / step * np.arcsin(omega * step / 2)


def direct_path_phase(
    array: TransducerArray, rows: np.ndarray, sound_speed: float, spacing: float, frequencies: np.ndarray
) -> np.ndarray:
    """Factors that undo the spatial dispersion along the straight paths.

    Args:
        array: Elements.
        rows: Transmits wanted, as indices into array.transmits.
        sound_speed: Of the water [m/s].
        spacing: Of the finite-difference nodes [m].
        frequencies: Shape (freq,) [Hz].

    Returns:
        Shape (row, rx, freq), complex64.
    """
    transmitters = array.positions[array.transmits[rows]]
    offsets = (array.positions[array.receives][None] - transmitters[:, None]).numpy()
    distance = np.linalg.norm(offsets, axis=-1)
    direction = offsets / np.maximum(distance, spacing)[..., None]
    wavenumber = 2 * np.pi * frequencies / sound_speed
    factors = np.empty((*distance.shape, len(frequencies)), np.complex64)
    for i, (one_way, path) in enumerate(zip(direction, distance, strict=True)):
        excess = _scheme_wavenumber(wavenumber[None, :], one_way, spacing) - wavenumber
        factors[i] = np.exp(1j * excess * path[:, None])
    return factors


def _scheme_wavenumber(wavenumber: np.ndarray, direction: np.ndarray, spacing: float) -> np.ndarray:
    """Wavenumber at which the eighth-order Laplacian along a direction (n, 2) equals -wavenumber^2."""
    estimate = np.broadcast_to(wavenumber, (len(direction), wavenumber.shape[1]))
    for _ in range(2):
        symbol = sum(_symbol(estimate * spacing * axis[:, None]) for axis in direction.T) / spacing**2
        # No direction, no path: an element's own trace is left as it is.
        ratio = wavenumber / np.sqrt(np.where(symbol > 0, symbol, wavenumber**2))
        estimate = estimate * ratio
    return estimate


def _symbol(phase: np.ndarray) -> np.ndarray:
    """Fourier symbol of minus the eighth-order second difference."""
    return LAPLACIAN_ORDER_8[0] + 2 * sum(
        weight * np.cos(n * phase) for n, weight in enumerate(LAPLACIAN_ORDER_8) if n
    )


def _taper(x: np.ndarray) -> np.ndarray:
    """One up to 0.8, then a cosine down to zero at 1."""
    return np.where(x < 0.8, 1.0, 0.5 * (1 + np.cos(np.pi * (x - 0.8) / 0.2)))
