"""The time-domain engine as a forward model: spectra and their exact derivatives.

At a frequency the scheme is A v = -f with A = L - E / C + (omega h)^2 s^2, and A times the stretching S of the
layers is symmetric. So with U = the transformed fields of all elements, the data are P^T U and change by

    U^T diag(w v) U + transposed,    w = S (omega h)^2 h^(dim - 2) / 2,

for a change v of the squared slowness: the same products as the direct solver's, and no adjoint simulation.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from usct.acquisition import TransducerArray
from usct.errors import InputError
from usct.forward.base import ForwardModel
from usct.forward.born import LinearizedForward
from usct.forward.sampling import Sampling
from usct.forward.time_domain.layers import ZONE
from usct.forward.time_domain.scheme import Scheme
from usct.forward.time_domain.shots import Records, Shots
from usct.forward.time_domain.simulation import Simulation
from usct.grid import Grid
from usct.medium import Medium

BATCH = 16
"""Shots whose records are held at once."""


@dataclass(frozen=True)
class TimeDomain(ForwardModel):
    """Spectra by time-domain simulation; every element is fired once for all frequencies.

    Attributes:
        simulation: Settings.
        largest_memory: What stored fields may take [bytes].
    """

    simulation: Simulation
    largest_memory: float = 4e9
    grid: Grid = field(init=False)
    array: TransducerArray = field(init=False)
    water_sound_speed: float = field(init=False)
    pml_cells: int = field(init=False)

    def __post_init__(self) -> None:
        """Show grid and elements as every forward model does."""
        for name in ("grid", "array", "water_sound_speed"):
            object.__setattr__(self, name, getattr(self.simulation, name))
        object.__setattr__(self, "pml_cells", ZONE)

    def squared_slowness(self, medium: Medium, frequency: float) -> torch.Tensor:
        """See `Simulation.squared_slowness`."""
        return self.simulation.squared_slowness(medium, frequency)

    def __call__(self, medium: Medium, frequencies: torch.Tensor) -> torch.Tensor:
        """Predict the spectra of unit sources; see ForwardModel."""
        stable = self._stable_in(medium)
        if stable is not self:
            return stable(medium, frequencies)
        wanted = frequencies.tolist()
        squared = [self.squared_slowness(medium, frequency) for frequency in wanted]
        if torch.is_grad_enabled() and any(values.requires_grad for values in squared):
            result: torch.Tensor = _Data.apply(self, medium, wanted, *squared)
            return result
        self._check_frequencies(wanted)
        scheme, sampling = self.simulation.scheme(medium), self.simulation.sampling(medium)
        batches = self.array.transmits.split(BATCH)
        records = (self._fire(scheme, sampling, batch, self.array.receives, [], None) for batch in batches)
        return torch.cat([self._spectra(record.traces, wanted) for record in records], dim=1)

    def linearize(
        self, medium: Medium, frequency: float, region: torch.Tensor | None = None, check: bool = True
    ) -> LinearizedForward:
        """Fields of all elements at one frequency; see `linearize_all`. Checking costs nothing here."""
        del check
        return self.linearize_all(medium, [frequency], region)[0]

    def linearize_all(
        self,
        medium: Medium,
        frequencies: list[float],
        region: torch.Tensor | None = None,
        on_progress: Callable[[float], None] | None = None,
    ) -> list[LinearizedForward]:
        """Fire every element, and transform the fields at all frequencies while they pass.

        Args:
            medium: On `grid`.
            frequencies: Within the band [Hz].
            region: Where the medium may change, boolean of grid.shape; by default everywhere, absorbing layers
                included.
            on_progress: Called with the share done.

        Returns:
            For each frequency the data and their derivative; `residual` bounds what the end of the records cut
            off, as the relative residual of the wave equation at that frequency.

        Raises:
            InputError: If frequencies lie outside the band, the time step is unstable, or the fields would not
                fit into `largest_memory`.
        """
        stable = self._stable_in(medium)
        if stable is not self:
            return stable.linearize_all(medium, frequencies, region, on_progress)
        self._check_frequencies(frequencies)
        cells = self._cells(region)
        self._check_memory(len(frequencies), len(cells))
        scheme = self.simulation.scheme(medium)
        sampling = self.simulation.sampling(medium)
        everyone = torch.arange(self.array.n_elements)
        single = self.simulation.dtype == torch.float32
        shape = (len(frequencies), len(cells), len(everyone))
        fields = torch.empty(shape, dtype=torch.complex64 if single else torch.complex128)
        data, residual = [], torch.zeros(len(frequencies), dtype=torch.float64)
        spectrum = self._spectrum(frequencies)
        for batch in everyone.split(BATCH):
            records = self._fire(scheme, sampling, batch, everyone, frequencies, cells)
            assert records.fields is not None
            data.append(self._spectra(records.traces, frequencies))
            fields[:, :, batch] = (records.fields.cpu() / spectrum[:, None, None]).to(fields).mT
            cut = self._cut_off(scheme, sampling, records, batch, frequencies)
            residual = torch.maximum(residual, cut.amax(dim=1))
            if on_progress:
                on_progress(float(batch[-1] + 1) / len(everyone))
        everything = torch.cat(data, dim=1)[:, self.array.transmits][:, :, self.array.receives]
        weight = [self._sensitivity(scheme, frequency)[cells] for frequency in frequencies]
        return [
            LinearizedForward(everything[n], cells, float(residual[n]), own, own, weight[n], self.array)
            for n, own in enumerate(fields)
        ]

    def _stable_in(self, medium: Medium) -> "TimeDomain":
        """The same model with a step that suits the medium, unless a step was asked for."""
        if self.simulation.time_step is not None:
            return self
        simulation = self.simulation.stable_in(medium)
        return self if simulation is self.simulation else replace(self, simulation=simulation)

    def _fire(
        self,
        scheme: Scheme,
        sampling: Sampling,
        transmits: torch.Tensor,
        receives: torch.Tensor,
        frequencies: list[float],
        cells: torch.Tensor | None,
    ) -> Records:
        """Fire some elements, one a shot, with the drive."""
        simulation = self.simulation
        n_steps, drive = simulation.n_steps, simulation.drive
        signal = drive.signal(n_steps)[None, None]
        kernel, every = None, 1
        if cells is not None:
            every = drive.every(max(frequencies))
            kernel = simulation.kernel(frequencies, n_steps, every)
        shots = Shots(sampling, transmits[:, None], signal, receives, cells, kernel, every)
        return simulation.propagate(scheme, shots)

    def _spectrum(self, frequencies: list[float]) -> torch.Tensor:
        """Of the drive, shape (freq,)."""
        n_steps = self.simulation.n_steps
        return self.simulation.kernel(frequencies, n_steps) @ self.simulation.drive.signal(n_steps).to(
            torch.complex128
        )

    def _spectra(self, traces: torch.Tensor, frequencies: list[float]) -> torch.Tensor:
        """Spectra of unit sources from traces (shot, rx, time), shape (freq, shot, rx)."""
        kernel = self.simulation.kernel(frequencies, traces.shape[-1])
        kernel = (kernel / self._spectrum(frequencies)[:, None]).T
        spectra = torch.complex(
            *(traces.cpu().double() @ part.contiguous() for part in (kernel.real, kernel.imag))
        )
        return spectra.movedim(-1, 0)

    def _cut_off(
        self,
        scheme: Scheme,
        sampling: Sampling,
        records: Records,
        batch: torch.Tensor,
        frequencies: list[float],
    ) -> torch.Tensor:
        """Bound of the wave equation's relative residual for each frequency and shot, shape (freq, shot).

        A sum over time that ends turns the second difference in time into boundary terms of its last two fields.
        """
        push = scheme.gain.detach().reshape(-1)[sampling.nodes[batch]] * sampling.weights[batch]
        sent = scheme.source_gain * push.norm(dim=1) * self._spectrum(frequencies).abs()[:, None]
        last = self.simulation.kernel(frequencies, self.simulation.n_steps)[:, -1].abs()
        return last[:, None] * records.rest.cpu() / sent

    def _sensitivity(self, scheme: Scheme, frequency: float) -> torch.Tensor:
        omega = self.simulation.omega(frequency)
        factor = 0.5 * (omega * scheme.grid.spacing) ** 2 / scheme.source_gain
        return (factor * scheme.stretching(omega)).reshape(-1)

    def _cells(self, region: torch.Tensor | None) -> torch.Tensor:
        """Flat padded indices of the region."""
        if region is None:
            return torch.arange(self.padded.n_cells)
        inside = torch.nn.functional.pad(region, (ZONE,) * (2 * region.ndim))
        return inside.reshape(-1).nonzero()[:, 0]

    def _check_frequencies(self, frequencies: list[float]) -> None:
        low, high = self.simulation.band
        for frequency in frequencies:
            if not 0.999 * low <= frequency <= 1.001 * high:
                raise InputError(
                    f"frequency {frequency / 1e6:g} MHz lies outside the simulated band of {low / 1e6:g} to "
                    f"{high / 1e6:g} MHz; choose another frequency or a wider band"
                )

    def _check_memory(self, n_frequencies: int, n_cells: int) -> None:
        per_value = 8 if self.simulation.dtype == torch.float32 else 16
        need = (n_frequencies * self.array.n_elements + BATCH) * n_cells * per_value
        if need > self.largest_memory:
            raise InputError(
                f"the fields of {self.array.n_elements} elements at {n_frequencies} frequencies in {n_cells} cells "
                f"need {need / 1e9:.3g} GB and {self.largest_memory / 1e9:.3g} GB are allowed; take fewer "
                "frequencies at a time, a smaller region or a coarser grid"
            )


class _Data(torch.autograd.Function):
    """Squared slownesses at all frequencies to data, with the exact gradient."""

    @staticmethod
    def forward(
        ctx: Any, model: TimeDomain, medium: Medium, frequencies: list[float], *squared: torch.Tensor
    ) -> torch.Tensor:
        """Simulate and keep the fields."""
        ctx.linearized = model.linearize_all(medium, frequencies)
        ctx.shapes = [values.shape for values in squared]
        return torch.stack([each.data for each in ctx.linearized])

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[Any, ...]:
        """Apply the adjoint of the linearised forward model, frequency by frequency."""
        triples = zip(ctx.linearized, gradients[0], ctx.shapes, strict=True)
        return None, None, None, *(each.adjoint(own).reshape(shape) for each, own, shape in triples)
