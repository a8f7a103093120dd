"""A time-domain simulation: its settings, what follows from them, and firing elements into a medium."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch

from usct.acquisition import TransducerArray
from usct.errors import InputError
from usct.forward.parallel import compiled_code_runs
from usct.forward.sampling import Sampling
from usct.forward.solver import Executor
from usct.forward.time_domain import reference
from usct.forward.time_domain.elements import Faces, sample_band
from usct.forward.time_domain.layers import ZONE, layer
from usct.forward.time_domain.pulse import Drive, transform_kernel
from usct.forward.time_domain.relaxation import MOST_MECHANISMS, Relaxation, fit_relaxation
from usct.forward.time_domain.scheme import Scheme, assemble
from usct.forward.time_domain.shots import Records, Shots
from usct.forward.time_domain.stencil import (
    LEAST_POINTS_PER_WAVELENGTH,
    STABLE_SHARE,
    Stencil,
    fit_stencil,
)
from usct.grid import Grid
from usct.medium import Medium

CROSSINGS = 1.6
"""Default length of a record: so many times what the slowest wave needs along the grid's diagonal."""


@dataclass(frozen=True)
class Simulation:
    """Settings of leap-frog finite differences in two or three dimensions.

    Attributes:
        grid: Where the medium lives; `ZONE` absorbing nodes are added on every side.
        array: Elements; each must lie inside the grid.
        band: Lowest and highest frequency wanted; fixes pulse, stencil and attenuation [Hz].
        speed_range: Lowest and highest sound speed expected; fixes stencil and time step [m/s].
        water_sound_speed: Sound speed around the elements [m/s].
        damping: Transforms are taken at omega - i damping, to match damped data [1/s].
        duration: Length of the records; by default waves can cross the grid 1.6 times [s].
        time_step: By default 0.9 of what is stable at the highest sound speed expected [s].
        faces: Width and direction of elements that are not points.
        reference_frequency: Where the medium's sound speed holds if it attenuates; by default the geometric
            mean of the band [Hz].
        dtype: Real type of the fields.
        executor: `compiled` for a CPU with numba, `torch` for plain torch, or `auto`, which takes the first on a CPU
            and what proves right on a GPU, see `gpu`.
        device: Where to compute.
    """

    grid: Grid
    array: TransducerArray
    band: tuple[float, float]
    speed_range: tuple[float, float] = (1400.0, 1620.0)
    water_sound_speed: float = 1500.0
    damping: float = 0.0
    duration: float | None = None
    time_step: float | None = None
    faces: Faces | None = None
    reference_frequency: float | None = None
    dtype: torch.dtype = torch.float32
    executor: Executor = "auto"
    device: torch.device = torch.device("cpu")

    def __post_init__(self) -> None:
        """Check geometry and band."""
        if self.grid.n_dims != self.array.positions.shape[1]:
            dims = self.grid.n_dims, self.array.positions.shape[1]
            raise ValueError(f"the grid has {dims[0]} dimensions, the elements have {dims[1]}")
        for name in ("speed_range", "band"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise ValueError(f"{name} must be increasing and positive, got {low:g} to {high:g}")
        points = self.speed_range[0] / (self.band[1] * self.grid.spacing)
        if points < LEAST_POINTS_PER_WAVELENGTH:
            highest = self.speed_range[0] / (LEAST_POINTS_PER_WAVELENGTH * self.grid.spacing)
            raise InputError(
                f"frequency {self.band[1] / 1e6:g} MHz has only {points:.1f} points per wavelength on a grid of "
                f"{1e3 * self.grid.spacing:g} mm; use at most {highest / 1e6:.3g} MHz or a finer grid"
            )

    def on(self, device: torch.device) -> "Simulation":
        """The same on another device."""
        return replace(self, device=device)

    @property
    def padded(self) -> Grid:
        """The grid with its absorbing layers."""
        return self.grid.padded(ZONE)

    @property
    def stencil(self) -> Stencil:
        """Second difference for the shortest waves there are."""
        return fit_stencil(2 * math.pi * self.band[1] * self.grid.spacing / self.speed_range[0])

    @property
    def step(self) -> float:
        """Time step [s]."""
        if self.time_step is not None:
            return self.time_step
        return STABLE_SHARE * self.stencil.stable_step(
            self.speed_range[1], self.grid.spacing, self.grid.n_dims
        )

    @property
    def drive(self) -> Drive:
        """The pulse that every element is fired with."""
        return Drive.of(self.band, self.step, 1e-7 if self.dtype == torch.float32 else 1e-15)

    @property
    def n_steps(self) -> int:
        """Number of steps of a record, those of the drive included."""
        diagonal = math.dist(self.padded.origin, self.padded.last)
        duration = CROSSINGS * diagonal / self.speed_range[0] if self.duration is None else self.duration
        return math.ceil((duration + 2 * self.drive.delay) / self.step)

    def relaxation(self, medium: Medium) -> Relaxation | None:
        """Mechanisms of the medium's attenuation, with their fit error; None if it is lossless."""
        if medium.attenuation is None:
            return None
        return fit_relaxation(medium.attenuation_power, self.band, self.step)

    def slowness(
        self, medium: Medium, relaxation: Relaxation | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Squared slowness of the fastest waves [s^2/m^2] and strength of the attenuation, on `padded`.

        Raises:
            ValueError: If medium and grid differ.
        """
        if medium.grid != self.grid:
            raise ValueError("the medium must be on the forward model's grid; use Medium.resampled")
        speed = self.continued(medium.sound_speed.double())
        if relaxation is None or medium.attenuation is None:
            return speed**-2, None
        frequency = self.reference_frequency or math.sqrt(self.band[0] * self.band[1])
        omega = 2 * math.pi * frequency
        scale = (frequency / medium.reference_frequency) ** medium.attenuation_power
        loss = self.continued(medium.attenuation.double()) * scale
        strength = relaxation.strength(torch.atan(loss * speed / omega), omega)
        dispersion = torch.sqrt(1 + strength * relaxation.shape(omega)).real
        return (speed * dispersion) ** -2, strength

    def squared_slowness(self, medium: Medium, frequency: float) -> torch.Tensor:
        """Squared complex slowness that acts at a frequency, shape of `padded`, differentiable [s^2/m^2]."""
        relaxation = self.relaxation(medium)
        instant, strength = self.slowness(medium, relaxation)
        if strength is None or relaxation is None:
            return torch.complex(instant, torch.zeros_like(instant))
        return instant * (1 + strength * relaxation.shape(self.omega(frequency)))

    def omega(self, frequency: float) -> complex:
        """Complex angular frequency of transforms [rad/s]."""
        return complex(2 * math.pi * frequency, -self.damping)

    def scheme(self, medium: Medium) -> Scheme:
        """Coefficients of a step in a medium; density takes part, but not in derivatives.

        Raises:
            InputError: If the time step is unstable.
            ValueError: If medium and grid differ.
        """
        fastest = float(medium.sound_speed.detach().max())
        lossless = self.stencil.stable_step(fastest, self.grid.spacing, self.grid.n_dims)
        # Far above that the medium's relaxation cannot even be fitted.
        scheme = self._scheme(medium) if self.step <= lossless else None
        if scheme is not None and scheme.stable_share >= 1:
            return scheme
        # Losses quicken the fastest waves a little differently with another step, hence not to the very limit.
        most = min(self.step, lossless)
        most *= 0.99 * replace(self, time_step=most)._scheme(medium).stable_share
        raise InputError(
            f"the time step of {1e9 * self.step:.4g} ns is unstable on a grid of {1e3 * self.grid.spacing:g} mm "
            f"with sound speeds up to {fastest:.0f} m/s; use at most {1e9 * most:.4g} ns"
        )

    def stable_in(self, medium: Medium) -> "Simulation":
        """The same with a step that is stable in a medium, however lossy or dense."""
        share = self._scheme(medium).stable_share
        # Losses quicken the fastest waves a little differently with another step, hence not to the very limit.
        return self if share >= 1 else replace(self, time_step=0.97 * share * self.step)

    def _scheme(self, medium: Medium) -> Scheme:
        relaxation = self.relaxation(medium)
        instant, strength = self.slowness(medium, relaxation)
        density = None if medium.density is None else self.continued(medium.density.detach().double())
        grid, step = self.padded, self.step
        layers = tuple(layer(n, grid.spacing, step, self.water_sound_speed, self.band[0]) for n in grid.shape)
        return assemble(grid, step, self.stencil, layers, instant, strength, relaxation, density)

    @staticmethod
    def memory_of(grid: Grid, medium: Medium, n_threads: int) -> float:
        """Memory that maps on a grid and the fields of so many shots at once take in single precision [bytes]."""
        padded = grid.padded(ZONE)
        mechanisms = 0 if medium.attenuation is None else MOST_MECHANISMS
        maps = 1 + (medium.density is not None) + 3 * (mechanisms > 0)
        layers = sum(2 * 3 * ZONE / n for n in padded.shape)
        # The maps exist in double precision first, about twice over while they are made.
        return padded.n_cells * (maps * (2 * 8 + 4) + n_threads * 4 * (2 + mechanisms + layers))

    def sampling(self, medium: Medium) -> Sampling:
        """Nodes and weights of the elements in `padded`.

        Raises:
            InputError: If an element lies outside the grid.
        """
        low, high = (2 * math.pi * f / self.water_sound_speed for f in self.band)
        outside = ~self.grid.contains(self.array.positions)
        if outside.any():
            worst = int(outside.nonzero()[0])
            place = ", ".join(f"{1e3 * x:.1f}" for x in self.array.positions[worst].tolist())
            raise InputError(
                f"element {worst} at ({place}) mm lies outside the grid; use a larger grid, or check that the "
                "positions are in metres"
            )
        points = sample_band(self.padded, self.array.positions, (low, high), self.faces)
        if medium.density is None:
            return points
        # The field that is advanced is the pressure over the root of the density, relative to the water's.
        density = self.continued(medium.density.detach().double()).reshape(-1)[points.nodes]
        return Sampling(points.nodes, points.weights * (density / density.median()).sqrt())

    def propagate(self, scheme: Scheme, shots: Shots) -> Records:
        """Run shots with the executor that fits."""
        fits = self.device.type == "cpu" and compiled_code_runs()
        if self.executor == "compiled" and not fits:
            raise ValueError(f"executor 'compiled' needs numba and a CPU, got {self.device}")
        if self.device.type == "cuda" and self.executor == "auto":
            from usct.forward.time_domain import gpu

            return gpu.propagate(scheme, shots, self.dtype, self.device)
        if not fits or self.executor == "torch":
            return reference.propagate(scheme, shots, self.dtype, self.device)
        from usct.forward.time_domain import compiled

        return compiled.propagate(scheme, shots, self.dtype)

    def prepared(self, medium: Medium) -> Callable[[Shots], Records]:
        """What runs shots in a medium; see `scheme` for what it refuses."""
        return partial(self.propagate, self.scheme(medium))

    def kernel(self, frequencies: list[float], n_steps: int, every: int = 1) -> torch.Tensor:
        """Transform from steps to frequencies, shape (freq, time)."""
        omegas = [self.omega(frequency) for frequency in frequencies]
        return transform_kernel(omegas, self.step, n_steps, every)

    def continued(self, values: torch.Tensor) -> torch.Tensor:
        """Continue a map by its rim into the absorbing layers."""
        width = (ZONE,) * (2 * self.grid.n_dims)
        return torch.nn.functional.pad(values[None, None], width, mode="replicate")[0, 0]
