"""What a ring of transducers is and what it recorded."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch

from usct import signals
from usct.medium import Medium


@dataclass(frozen=True)
class TransducerArray:
    """Element positions and which elements transmit and receive.

    Attributes:
        positions: Element centres in the order (y, x) or (z, y, x), shape (element, dim) [m].
        transmits: Element index of every transmit, shape (tx,).
        receives: Element index of every receive channel, shape (rx,).
    """

    positions: torch.Tensor
    transmits: torch.Tensor
    receives: torch.Tensor

    def __post_init__(self) -> None:
        """Check that the indices point at elements."""
        if self.positions.ndim != 2 or self.positions.shape[1] not in (2, 3):
            raise ValueError(
                f"positions must have shape (element, 2 or 3), got {tuple(self.positions.shape)}"
            )
        if not torch.isfinite(self.positions).all():
            raise ValueError("positions hold values that are not finite")
        object.__setattr__(self, "positions", self.positions.double())
        for name in ("transmits", "receives"):
            index = torch.as_tensor(getattr(self, name)).long()
            if index.ndim != 1 or len(index) == 0:
                raise ValueError(f"{name} must be a non-empty list of element indices")
            if int(index.min()) < 0 or int(index.max()) >= self.n_elements:
                raise ValueError(
                    f"{name} holds element {int(index.max())}, but there are {self.n_elements} elements"
                )
            object.__setattr__(self, name, index)

    @classmethod
    def of(cls, positions: torch.Tensor) -> "TransducerArray":
        """An array whose every element transmits and receives."""
        index = torch.arange(len(positions))
        return cls(positions, index, index)

    @classmethod
    def ring(cls, n_elements: int, radius: float) -> "TransducerArray":
        """Elements evenly spaced on a circle of `radius` [m] about the origin, counter-clockwise from +x."""
        angle = 2 * torch.pi * torch.arange(n_elements, dtype=torch.float64) / n_elements
        return cls.of(radius * torch.stack([torch.sin(angle), torch.cos(angle)], dim=1))

    @classmethod
    def cylinder(cls, n_rings: int, n_elements: int, radius: float, height: float) -> "TransducerArray":
        """Rings of `n_elements` each about the z axis, their heights spread evenly over `height` [m] about zero.

        Every other ring is turned by half the distance of two elements.
        """
        across = cls.ring(n_elements, radius).positions
        half = math.pi / n_elements
        turn = torch.tensor([[math.cos(half), -math.sin(half)], [math.sin(half), math.cos(half)]])
        heights = height * ((torch.arange(n_rings, dtype=torch.float64) + 0.5) / n_rings - 0.5)
        rings = [
            torch.cat([z.expand(n_elements, 1), across @ turn.double() if number % 2 else across], dim=1)
            for number, z in enumerate(heights)
        ]
        return cls.of(torch.cat(rings))

    @classmethod
    def hemisphere(cls, n_elements: int, radius: float) -> "TransducerArray":
        """Elements evenly spread, by the golden angle, over the half z < 0 of a sphere of `radius` [m]."""
        number = torch.arange(n_elements, dtype=torch.float64)
        depth = (number + 0.5) / n_elements
        across = (1 - depth**2).sqrt()
        angle = math.pi * (3 - math.sqrt(5)) * number
        return cls.of(
            radius * torch.stack([-depth, across * torch.sin(angle), across * torch.cos(angle)], dim=1)
        )

    def with_transmits(self, count: int) -> "TransducerArray":
        """The same array with so many of its transmits, evenly chosen, or all if there are no more."""
        n = len(self.transmits)
        chosen = torch.arange(min(count, n)) * n // min(count, n)
        return replace(self, transmits=self.transmits[chosen])

    @property
    def n_elements(self) -> int:
        """Number of elements."""
        return len(self.positions)

    @property
    def centre(self) -> torch.Tensor:
        """Middle of the bounding box of the elements, shape (dim,) [m]."""
        return 0.5 * (self.positions.amin(dim=0) + self.positions.amax(dim=0))

    @property
    def radius(self) -> float:
        """Median distance of the elements from their centre [m]."""
        return float(torch.linalg.vector_norm(self.positions - self.centre, dim=1).median())

    def distances(self) -> torch.Tensor:
        """Distance from every transmit to every receive element, shape (tx, rx) [m]."""
        return torch.cdist(self.positions[self.transmits], self.positions[self.receives])

    def opening_angles(self) -> torch.Tensor:
        """Angle between transmit and receive as seen from the centre, shape (tx, rx) [rad]."""
        rays = torch.nn.functional.normalize(self.positions - self.centre, dim=1)
        return torch.acos((rays[self.transmits] @ rays[self.receives].T).clamp(-1, 1))


@dataclass(frozen=True)
class Spectra:
    """Pressure at chosen frequencies.

    Attributes:
        values: Shape (freq, tx, rx), complex128 [Pa s].
        frequencies: Shape (freq,) [Hz].
        weights: How much each value counts, 0 for unusable ones, shape (freq, tx, rx) [1].
        damping: The transform was taken at the complex frequency omega - i damping [1/s].
    """

    values: torch.Tensor
    frequencies: torch.Tensor
    weights: torch.Tensor
    damping: float = 0.0

    def __post_init__(self) -> None:
        """Check shapes and that every value which counts is finite."""
        object.__setattr__(self, "frequencies", self.frequencies.double())
        if len(self.frequencies) == 0:
            raise ValueError("frequencies must not be empty")
        if not (torch.isfinite(self.frequencies).all() and float(self.frequencies.min()) > 0):
            raise ValueError("frequencies must be positive and finite")
        if self.values.ndim != 3 or len(self.values) != len(self.frequencies):
            raise ValueError(
                f"values must have shape (freq, tx, rx) with {len(self.frequencies)} frequencies, "
                f"got {tuple(self.values.shape)}"
            )
        if self.weights.shape != self.values.shape:
            raise ValueError(
                f"weights have shape {tuple(self.weights.shape)}, values {tuple(self.values.shape)}"
            )
        if not torch.isfinite(torch.view_as_real(self.values[self.weights > 0])).all():
            raise ValueError("values with a positive weight must be finite")

    @classmethod
    def of(
        cls, values: torch.Tensor, frequencies: torch.Tensor, valid: torch.Tensor | None = None
    ) -> "Spectra":
        """Spectra in which every finite value of a valid (tx, rx) channel has weight one."""
        usable = torch.isfinite(values.real) & torch.isfinite(values.imag)
        usable = usable if valid is None else usable & valid
        return cls(torch.where(usable, values, 0).to(torch.complex128), frequencies, usable.double())

    def at(self, frequencies: torch.Tensor) -> "Spectra":
        """The spectra at some of their frequencies [Hz].

        Raises:
            ValueError: If a frequency is not among those recorded (to one part in a thousand).
        """
        index = []
        for frequency in frequencies.tolist():
            distance = (self.frequencies - frequency).abs()
            nearest = int(distance.argmin())
            if float(distance[nearest]) > 1e-3 * frequency:
                have = ", ".join(f"{f / 1e3:g}" for f in self.frequencies.tolist())
                raise ValueError(
                    f"frequency {frequency / 1e3:g} kHz was not recorded; the data hold {have} kHz"
                )
            index.append(nearest)
        return replace(
            self, values=self.values[index], frequencies=self.frequencies[index], weights=self.weights[index]
        )


@dataclass(frozen=True)
class Traces:
    """Recorded pressure over time.

    Attributes:
        values: Shape (tx, rx, time), any real type [Pa].
        start_time: Time of the first sample after the transmit [s].
        sampling_frequency: Samples per second [Hz].
        valid: Which channels can be used, shape (tx, rx).
    """

    values: torch.Tensor
    start_time: float
    sampling_frequency: float
    valid: torch.Tensor

    def __post_init__(self) -> None:
        """Check shapes and sampling."""
        if self.values.ndim != 3 or self.values.shape[2] < 2:
            raise ValueError(f"values must have shape (tx, rx, time), got {tuple(self.values.shape)}")
        if not (math.isfinite(self.sampling_frequency) and self.sampling_frequency > 0):
            raise ValueError(f"sampling_frequency must be > 0 Hz, got {self.sampling_frequency:g}")
        if self.valid.shape != self.values.shape[:2]:
            raise ValueError(
                f"valid must have shape {tuple(self.values.shape[:2])}, got {tuple(self.valid.shape)}"
            )

    @classmethod
    def of(cls, values: torch.Tensor, start_time: float, sampling_frequency: float) -> "Traces":
        """Traces in which every channel without NaN or infinity, and not all zero, is valid."""
        finite = values.isfinite().all(dim=-1) if values.is_floating_point() else None
        alive = (values != 0).any(dim=-1)
        valid = alive if finite is None else alive & finite
        return cls(torch.where(valid[..., None], values, 0), start_time, sampling_frequency, valid)

    @property
    def times(self) -> torch.Tensor:
        """Sample times, shape (time,) [s]."""
        return (
            self.start_time
            + torch.arange(self.values.shape[2], dtype=torch.float64) / self.sampling_frequency
        )


@dataclass(frozen=True)
class Acquisition:
    """One scan: the array, what it recorded, and what is known about it.

    Attributes:
        array: Geometry.
        data: Traces or spectra, transmit by receive.
        water_sound_speed: Sound speed of the coupling water [m/s], or None where unknown.
        truth: The medium that made the data, for phantoms.
        start: A start model that came with the data.
        title: A name for people.
        metadata: Further facts, text to text.
        notes: What the reader changed or masked, in sentences.
        water: What the same array recorded with nothing but water in it, where the file holds that too; on the same
            axes as the data, and as raw as they were. What uses it up to correct the data leaves it out.
    """

    array: TransducerArray
    data: Traces | Spectra
    water_sound_speed: float | None = None
    truth: Medium | None = None
    start: Medium | None = None
    title: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    water: Traces | Spectra | None = None

    def __post_init__(self) -> None:
        """Check that data, array and water shot agree."""
        n_tx, n_rx = (
            self.data.values.shape[1:] if isinstance(self.data, Spectra) else self.data.values.shape[:2]
        )
        if (n_tx, n_rx) != (len(self.array.transmits), len(self.array.receives)):
            raise ValueError(
                f"the data hold {n_tx} transmits x {n_rx} receives, "
                f"the array {len(self.array.transmits)} x {len(self.array.receives)}"
            )
        speed = self.water_sound_speed
        if speed is not None and not 1000 < speed < 2000:
            raise ValueError(f"water_sound_speed must lie in 1000 to 2000 m/s, got {speed:g}")
        if self.water is not None and not _recorded_alike(self.data, self.water):
            raise ValueError(
                "the water shot must have the channels and the samples or frequencies of the data"
            )

    @property
    def water_shot(self) -> "Acquisition | None":
        """The water shot as a scan of its own, or None where there is none."""
        if self.water is None:
            return None
        title = f"{self.title}: water" if self.title else "water"
        return replace(self, data=self.water, truth=None, start=None, title=title, notes=(), water=None)

    def spectra(
        self,
        frequencies: torch.Tensor,
        window_speed: float = 1540.0,
        damping: float = 0.0,
        before: float | None = None,
        after: float = math.inf,
    ) -> Spectra:
        """The data at chosen frequencies.

        Traces are first muted ahead of the geometric arrival at `window_speed` [m/s] by a Gaussian of
        5 % of the longest travel time, and nothing is muted behind it unless told so, so that the coda stays
        (Ali et al., IEEE Trans. Med. Imaging 43 (2024) 3988).

        Args:
            frequencies: Shape (freq,) [Hz].
            window_speed: Sound speed of the geometric arrivals [m/s].
            damping: For traces, transform at omega - i damping [1/s].
            before: Width of the Gaussian ahead of arrivals [s]; None for 5 % of the longest travel time.
            after: Width behind them [s].

        Raises:
            ValueError: If a frequency was not recorded or lies above the Nyquist frequency.
        """
        if isinstance(self.data, Spectra):
            return self.data.at(frequencies)
        arrivals = self.array.distances() / window_speed
        times, width = self.data.times, 0.05 * float(arrivals.max()) if before is None else before
        values = torch.stack(
            [
                signals.fourier_transform(
                    trace * signals.arrival_window(times, arrival, width, after).float(),
                    times,
                    frequencies,
                    damping,
                )
                for trace, arrival in zip(self.data.values, arrivals, strict=True)
            ],
            dim=1,
        )
        return replace(Spectra.of(values, frequencies, self.data.valid), damping=damping)


def _recorded_alike(one: Traces | Spectra, other: Traces | Spectra) -> bool:
    """Whether two recordings have the same channels, and samples or frequencies."""
    if one.values.shape != other.values.shape:
        return False
    if isinstance(one, Traces) and isinstance(other, Traces):
        apart = abs(one.start_time - other.start_time) * one.sampling_frequency
        return apart < 1e-3 and math.isclose(one.sampling_frequency, other.sampling_frequency, rel_tol=1e-9)
    if isinstance(one, Spectra) and isinstance(other, Spectra):
        return torch.allclose(one.frequencies, other.frequencies, rtol=1e-9) and one.damping == other.damping
    return False
