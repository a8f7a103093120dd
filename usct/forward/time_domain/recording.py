"""Traces of a scan: the record of a pulse, at the wanted sampling rate, without the time step's error."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch

from usct.forward.parallel import n_threads
from usct.forward.time_domain.elastic import Elastic
from usct.forward.time_domain.shots import Records, Shots
from usct.forward.time_domain.simulation import Simulation
from usct.medium import Medium

LOWER_EDGE, UPPER_EDGE = 0.5, 0.15
"""Widths of the pulse's spectral edges, relative to the frequency there; the upper one costs a finer grid."""

TAIL = 1.2
"""Length simulated and then dropped, so that the record's end does not ring into it, in pulse lengths."""

SHOTS_ON_GPU = 16
"""Shots whose records a GPU holds at once; how many fields it steps side by side is a matter of its cache."""

TRIAL_TIME = 0.3
"""What a trial takes at least that foretells the time of a simulation [s]."""

Propagate = Callable[[Shots], Records]


@dataclass(frozen=True)
class Pulse:
    """A band-limited pulse: a flat spectrum between two frequencies, with cosine edges outside them.

    Attributes:
        low: Lower end of the flat part [Hz].
        high: Upper end of the flat part [Hz].
        phase: Carrier phase [rad].
    """

    low: float
    high: float
    phase: float = 0.0

    @property
    def band(self) -> tuple[float, float]:
        """Lowest and highest frequency in it [Hz]."""
        return self.low * (1 - LOWER_EDGE), self.high * (1 + UPPER_EDGE)

    @property
    def length(self) -> float:
        """Time within which nearly all of its energy comes [s]; its middle is at half of it."""
        return 1.5 / min(LOWER_EDGE * self.low, UPPER_EDGE * self.high)

    def spectrum(self, frequencies: torch.Tensor) -> torch.Tensor:
        """Amplitude and phase at some frequencies [Hz], complex128 [1/Hz]; the energy comes about `length` / 2."""
        lowest, highest = self.band
        rise = ((frequencies - lowest) / (self.low - lowest)).clamp(0, 1)
        fall = ((highest - frequencies) / (highest - self.high)).clamp(0, 1)
        size = 0.25 * (1 - torch.cos(torch.pi * rise)) * (1 - torch.cos(torch.pi * fall)) / (highest - lowest)
        return torch.polar(size, self.phase - torch.pi * frequencies * self.length)


@dataclass(frozen=True)
class Recorder:
    """Records a scan transmit by transmit.

    Attributes:
        simulation: Settings; its band must hold the pulse's, its duration be `record_length`.
        pulse: Sent by every element.
        duration: Length of the traces [s].
        sampling_frequency: Of the traces [Hz].
    """

    simulation: Simulation | Elastic
    pulse: Pulse
    duration: float
    sampling_frequency: float

    @staticmethod
    def record_length(pulse: Pulse, duration: float) -> float:
        """Length of the simulation that traces of some duration need [s]."""
        return duration + TAIL * pulse.length

    def on(self, device: torch.device) -> "Recorder":
        """The same on another device."""
        return replace(self, simulation=self.simulation.on(device))

    @property
    def n_samples(self) -> int:
        """Samples of a trace."""
        return round(self.duration * self.sampling_frequency)

    @property
    def at_once(self) -> int:
        """Transmits that are simulated side by side."""
        return n_threads() if self.simulation.device.type == "cpu" else SHOTS_ON_GPU

    def forecast(self, medium: Medium, propagate: Propagate, n_transmits: int) -> float:
        """Time that so many transmits will take here, from a trial of a few steps [s].

        Args:
            medium: On the simulation's grid.
            propagate: `simulation.prepared(medium)`.
            n_transmits: How many.
        """
        n_steps, size = self.simulation.n_steps, min(n_transmits, self.at_once)
        if size == 0:
            return 0.0
        signal = self.simulation.drive.signal(n_steps)[None, None]
        senders = self.simulation.array.transmits[:size, None]
        sampling, ears = self.simulation.sampling(medium), self.simulation.array.receives

        def seconds(n: int) -> float:
            began = time.perf_counter()
            propagate(Shots(sampling, senders, signal[..., :n], ears)).traces.cpu()
            return time.perf_counter() - began

        # The first run compiles, and the second tells what a run costs whatever its steps.
        seconds(1)
        none, some, n = seconds(1), 0.0, 1
        while n < n_steps and some < none + TRIAL_TIME:
            n = min(8 * n, n_steps)
            some = seconds(n)
        each = none + max(0.0, some - none) * (n_steps - 1) / max(1, n - 1)
        return each * math.ceil(n_transmits / size)

    def record(
        self,
        medium: Medium,
        transmits: torch.Tensor,
        delays: torch.Tensor,
        amplitudes: torch.Tensor,
        propagate: Propagate | None = None,
    ) -> Iterator[tuple[slice, torch.Tensor]]:
        """Simulate some transmits, a few at a time.

        Args:
            medium: On the simulation's grid.
            transmits: Elements that send, one after the other, shape (tx,).
            delays: By which each sends late, shape (tx,) [s].
            amplitudes: How strongly each sends, shape (tx,).
            propagate: `simulation.prepared(medium)` if it is at hand.

        Yields:
            Which transmits, and their traces, shape (some, rx, time), float32 [Pa].

        Raises:
            InputError: If the time step is unstable or an element lies outside the grid.
        """
        sampling = self.simulation.sampling(medium)
        propagate = propagate or self.simulation.prepared(medium)
        n_steps = self.simulation.n_steps
        signal = self.simulation.drive.signal(n_steps)[None, None]
        frequencies = self._frequencies()
        to_spectra, to_traces = self._transforms(frequencies, signal[0, 0])
        size = self.at_once
        for first in range(0, len(transmits), size):
            some = slice(first, min(first + size, len(transmits)))
            shots = Shots(sampling, transmits[some, None], signal, self.simulation.array.receives)
            raw = propagate(shots).traces.cpu()
            turn = torch.polar(
                amplitudes[some, None].double(), -2 * torch.pi * delays[some, None] * frequencies
            )
            spectra = torch.complex(*(raw.float() @ part for part in to_spectra)) * turn[:, None].to(
                torch.complex64
            )
            yield some, spectra.real @ to_traces[0] + spectra.imag @ to_traces[1]

    def _frequencies(self) -> torch.Tensor:
        """Those in the pulse, so dense that nothing wraps around in time, shape (freq,) [Hz]."""
        step = 1 / (1.25 * self.simulation.n_steps * self.simulation.step)
        low, high = self.pulse.band
        return step * torch.arange(math.ceil(low / step), math.floor(high / step) + 1, dtype=torch.float64)

    def _transforms(
        self, frequencies: torch.Tensor, signal: torch.Tensor
    ) -> tuple[tuple[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]:
        """Real and imaginary parts of raw trace to the pulse's spectrum (raw, freq), and that to trace (freq, time)."""
        kernel = self.simulation.kernel(frequencies.tolist(), len(signal))
        sent = kernel @ signal.to(torch.complex128)
        to_spectra = (kernel / sent[:, None] * self.pulse.spectrum(frequencies)[:, None]).T.to(
            torch.complex64
        )
        times = torch.arange(self.n_samples, dtype=torch.float64) / self.sampling_frequency
        spacing = 1 / (1.25 * self.simulation.n_steps * self.simulation.step)
        angle = 2 * torch.pi * frequencies[:, None] * times
        back = 2 * spacing * torch.cos(angle), -2 * spacing * torch.sin(angle)
        parts = to_spectra.real.contiguous(), to_spectra.imag.contiguous()
        return parts, (back[0].float(), back[1].float())
