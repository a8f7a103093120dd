"""Elastic waves in a plane (P and SV): velocities and stresses on staggered grids, for skulls in water.

Stresses s_yy and s_xx live on the nodes, the velocities half a cell further along their own axis, and s_yx half a
cell further along both. Both halves of a step are leap-frog, so that eliminating the velocities leaves the second
difference in time alone: what `stencil` says of the time step's error holds here too, and transforms at
`scheme_frequency` are free of it. The absorbing layers are those of the acoustic scheme, a convolution for each
derivative.

Where nothing is solid this is the acoustic wave equation, sources and records included: pressure is minus the mean
of the normal stresses, and a source s of the pressure's wave equation adds -c^2 times its integral to both. Media
are lossless.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch

from usct.acquisition import TransducerArray
from usct.errors import InputError
from usct.forward.parallel import compiled_code_runs
from usct.forward.sampling import Sampling
from usct.forward.time_domain.layers import Layer, layer
from usct.forward.time_domain.pulse import Drive
from usct.forward.time_domain.shots import Records, Shots
from usct.forward.time_domain.simulation import Simulation
from usct.grid import Grid
from usct.medium import Medium

WEIGHTS = (1225 / 1024, -245 / 3072, 49 / 5120, -5 / 7168)
"""Of the first difference between nodes half a cell apart, eighth order."""

STABLE_SHARE = 0.9
"""Time step relative to the stability limit at the highest sound speed expected."""

BONE_SPEED = 2000.0
"""Sound speed above which a medium counts as solid [m/s]."""

SHEAR_SHARE = 0.5
"""Shear speed of bone as a share of its sound speed; 1400 of 2800 m/s in cortical bone."""


def shear_speed_of(medium: Medium, share: float = SHEAR_SHARE, above: float = BONE_SPEED) -> torch.Tensor:
    """Shear speed for a medium that states none: a share of the sound speed of bone, zero elsewhere.

    References:
        White, Clement & Hynynen, Ultrasound Med. Biol. 32 (2006) 1085.

    Returns:
        Shape medium.grid.shape [m/s].
    """
    return torch.where(medium.sound_speed > above, share * medium.sound_speed.double(), 0.0)


@dataclass(frozen=True)
class ElasticScheme:
    """Coefficients of a step, each divided by the spacing; maps have the shape of the padded grid, float64.

    Attributes:
        grid: Layers included.
        step: Time step [s].
        axial: (lambda + 2 mu) dt / h on the nodes.
        lateral: lambda dt / h on the nodes.
        shear: mu dt / h between four nodes, zero where one of them is fluid.
        mobility: dt / (rho h) between two nodes, for the velocities along y and x.
        on_nodes: Absorbing layers of both axes on the nodes.
        between: The same half a cell further.
    """

    grid: Grid
    step: float
    axial: torch.Tensor
    lateral: torch.Tensor
    shear: torch.Tensor
    mobility: tuple[torch.Tensor, torch.Tensor]
    on_nodes: tuple[Layer, ...]
    between: tuple[Layer, ...]


@dataclass(frozen=True)
class Elastic:
    """A simulation whose medium bears shear; fits wherever traces are recorded from a `Simulation`.

    Attributes:
        simulation: Settings; its stencil and executor are not used. The time step is the elastic one's.
        shear_speed: Of the medium, shape of the simulation's grid, zero in fluids [m/s].
    """

    simulation: Simulation
    shear_speed: torch.Tensor

    @classmethod
    def of(cls, simulation: Simulation, shear_speed: torch.Tensor) -> "Elastic":
        """With the longest step that is safe at the highest sound speed expected, unless one was asked for.

        Raises:
            InputError: If the simulation is not two-dimensional.
            ValueError: If the map does not have the grid's shape.
        """
        if simulation.grid.n_dims != 2:
            raise InputError("elastic waves are simulated in two dimensions; give a slice of the phantom")
        if tuple(shear_speed.shape) != simulation.grid.shape:
            raise ValueError(
                f"shear_speed has shape {tuple(shear_speed.shape)}, its grid {simulation.grid.shape}"
            )
        if simulation.time_step is None:
            longest = stable_step(simulation.grid.spacing, simulation.speed_range[1])
            simulation = replace(simulation, time_step=STABLE_SHARE * longest)
        return cls(simulation, shear_speed)

    def on(self, device: torch.device) -> "Elastic":
        """The same on another device."""
        return replace(self, simulation=self.simulation.on(device))

    @property
    def device(self) -> torch.device:
        """Where to compute."""
        return self.simulation.device

    @property
    def array(self) -> TransducerArray:
        """Elements."""
        return self.simulation.array

    @property
    def step(self) -> float:
        """Time step [s]."""
        return self.simulation.step

    @property
    def n_steps(self) -> int:
        """Number of steps of a record."""
        return self.simulation.n_steps

    @property
    def drive(self) -> Drive:
        """The pulse that every element is fired with."""
        return self.simulation.drive

    @property
    def water_sound_speed(self) -> float:
        """Sound speed around the elements [m/s]."""
        return self.simulation.water_sound_speed

    def prepared(self, medium: Medium) -> Callable[[Shots], Records]:
        """What runs shots in a medium; see `scheme` for what it refuses."""
        return partial(self.propagate, self.scheme(medium))

    def kernel(self, frequencies: list[float], n_steps: int, every: int = 1) -> torch.Tensor:
        """Transform from steps to frequencies, shape (freq, time)."""
        return self.simulation.kernel(frequencies, n_steps, every)

    def sampling(self, medium: Medium) -> Sampling:
        """Nodes and weights of the elements in the padded grid; pressure needs no scaling here."""
        return self.simulation.sampling(replace(medium, density=None))

    def scheme(self, medium: Medium) -> ElasticScheme:
        """Coefficients of a step in a medium, whose attenuation is left out.

        Raises:
            InputError: If the time step is unstable, or shear is too fast for a solid.
            ValueError: If medium and grid differ.
        """
        simulation = self.simulation
        if medium.grid != simulation.grid:
            raise ValueError("the medium must be on the forward model's grid; use Medium.resampled")
        longest = stable_step(medium.grid.spacing, float(medium.sound_speed.max()))
        if simulation.step > longest:
            raise InputError(
                f"the time step of {1e9 * simulation.step:.4g} ns is unstable for elastic waves on a grid of "
                f"{1e3 * medium.grid.spacing:g} mm with sound speeds up to {float(medium.sound_speed.max()):.0f} m/s; "
                f"use at most {1e9 * longest:.4g} ns"
            )
        if bool((self.shear_speed**2 > 0.75 * medium.sound_speed**2).any()):
            raise InputError(
                "the shear speed exceeds 0.866 of the sound speed somewhere, which no solid has; give lower ones"
            )
        density = torch.full(medium.grid.shape, 1000.0) if medium.density is None else medium.density
        pad = simulation.continued
        maps = (pad(m.double()) for m in (medium.sound_speed, self.shear_speed, density))
        return assemble(simulation, *maps)

    def propagate(self, scheme: ElasticScheme, shots: Shots) -> Records:
        """Run shots with the executor that fits.

        Raises:
            ValueError: If transforms of the field are asked for.
        """
        if shots.cells is not None:
            raise ValueError("elastic simulations record traces alone")
        simulation = self.simulation
        if simulation.device.type == "cpu" and compiled_code_runs() and simulation.executor != "torch":
            from usct.forward.time_domain import elastic_compiled

            return elastic_compiled.propagate(scheme, shots, simulation.dtype)
        from usct.forward.time_domain import elastic_reference

        return elastic_reference.propagate(scheme, shots, simulation.dtype, simulation.device)


def stable_step(spacing: float, sound_speed: float) -> float:
    """Longest stable step [s]."""
    return spacing / (sound_speed * 2**0.5 * sum(abs(weight) for weight in WEIGHTS))


def assemble(
    simulation: Simulation, sound_speed: torch.Tensor, shear_speed: torch.Tensor, density: torch.Tensor
) -> ElasticScheme:
    """Coefficients of a step from maps on the padded grid.

    Between nodes density is the mean and the shear modulus the harmonic mean of four, so that an edge between
    fluid and solid passes no shear stress.

    References:
        Virieux, Geophysics 51 (1986) 889; Levander, Geophysics 53 (1988) 1425; Moczo et al., Bull. Seismol. Soc.
        Am. 92 (2002) 3042.
    """
    grid, step = simulation.padded, simulation.step
    share = step / grid.spacing
    rigidity = density * shear_speed**2
    axial = density * sound_speed**2
    across = 0.5 * (density + _next(density, 0)), 0.5 * (density + _next(density, 1))
    four = torch.stack([rigidity, _next(rigidity, 0), _next(rigidity, 1), _next(_next(rigidity, 0), 1)])
    between = torch.where((four > 0).all(dim=0), 4 / (1 / four.clamp(min=1e-30)).sum(dim=0), 0.0)

    def layers(offset: float) -> tuple[Layer, ...]:
        settings = (grid.spacing, step, simulation.water_sound_speed, simulation.band[0], offset)
        return tuple(layer(n, *settings) for n in grid.shape)

    return ElasticScheme(
        grid,
        step,
        share * axial,
        share * (axial - 2 * rigidity),
        share * between,
        (share / across[0], share / across[1]),
        layers(0.0),
        layers(0.5),
    )


def pushes(scheme: ElasticScheme, shots: Shots) -> tuple[torch.Tensor, torch.Tensor]:
    """What senders take from the normal stresses, (shot, sender, patch), and when, (shot, sender, time), float64.

    A unit source of pressure is -c^2 times the integral of its signal; c^2 dt / h^2 is axial times mobility / dt.
    """
    nodes, weights = shots.sampling.nodes[shots.transmits], shots.sampling.weights[shots.transmits]
    push = (scheme.axial * scheme.mobility[0] / scheme.step).reshape(-1)[nodes]
    integrals = scheme.step * shots.signals.detach().double().cumsum(dim=-1)
    return push * weights, integrals.expand(shots.n_shots, -1, -1)


def _next(values: torch.Tensor, dim: int) -> torch.Tensor:
    """Values one node further along an axis, the last ones kept."""
    return torch.cat([values.narrow(dim, 1, values.shape[dim] - 1), values.narrow(dim, -1, 1)], dim=dim)
