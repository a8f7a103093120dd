"""How forward models are built for each frequency: on a grid that follows it."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch

from usct.acquisition import TransducerArray
from usct.forward.base import ForwardModel
from usct.forward.helmholtz import Helmholtz
from usct.forward.known import KnownProperties
from usct.forward.time_domain.model import TimeDomain
from usct.forward.time_domain.simulation import Simulation
from usct.grid import Grid
from usct.medium import Medium

ELEMENT_MARGIN_CELLS = 5

FITTED_UP_TO = 1650.0
"""Highest sound speed to which the direct solver's stencil is fitted [m/s]: that of soft tissue.

Bone is thin, and waves gather nearly all of their phase beside it. Weights that follow the local speed were tried and
did no better than this, since what is left of the error comes from bone's edge.
"""


@dataclass(frozen=True)
class Discretization:
    """How a forward model is built for a frequency; its grid follows the frequency.

    Attributes:
        points_per_wavelength: At the lowest sound speed [1].
        speed_range: Sound speeds that are expected at least [m/s].
        water_sound_speed: Around the elements [m/s].
        pml_cells: Thickness of the direct solver's absorbing layers.
        device: Where to compute.
        storage: Type of the stored fields.
        engine: `helmholtz`, the direct solver, or `time`, simulations that are transformed while they run.
        known: Density, and attenuation unless it is sought, that are taken as they are; None for water's.
        start: What the parameterization makes of the known medium's sound speed on a grid, before it has changed
            anything; with it, what the known medium holds below the size of the grid's cells takes part.
        coarsest: Spacing of grids at most, however long the waves [m].
    """

    points_per_wavelength: float = 5.5
    speed_range: tuple[float, float] = (1420.0, 1600.0)
    water_sound_speed: float = 1500.0
    pml_cells: int = 10
    device: torch.device = torch.device("cpu")
    storage: torch.dtype = torch.complex64
    engine: Literal["helmholtz", "time"] = "helmholtz"
    known: Medium | None = None
    start: Callable[[Grid], Medium] | None = None
    coarsest: float = math.inf

    def model(
        self,
        array: TransducerArray,
        speeds: tuple[float, float],
        frequency: float,
        damping: float,
        grid_frequency: float | None = None,
    ) -> ForwardModel:
        """Forward model for one frequency, fitted to the expected and the present sound speeds.

        Args:
            array: Elements.
            speeds: Least and greatest sound speed of the medium [m/s].
            frequency: [Hz].
            damping: Of the waves in time [1/s].
            grid_frequency: The frequency whose grid it has [Hz]; its own without one.
        """
        model = self._unaided(array, speeds, frequency, damping, grid_frequency or frequency)
        if self.known is None:
            return model
        with torch.no_grad():
            plain = None if self.start is None else self.start(model.grid).sound_speed
        return KnownProperties(model, self.known.resampled(model.grid), plain)

    def _unaided(
        self,
        array: TransducerArray,
        speeds: tuple[float, float],
        frequency: float,
        damping: float,
        grid_frequency: float,
    ) -> ForwardModel:
        slowest, fastest = min(self.speed_range[0], speeds[0]), max(self.speed_range[1], speeds[1])
        spacing = min(slowest / (grid_frequency * self.points_per_wavelength), self.coarsest)
        low, high = (edge.tolist() for edge in (array.positions.amin(dim=0), array.positions.amax(dim=0)))
        margin = ELEMENT_MARGIN_CELLS * spacing
        shape = tuple(math.ceil((b - a + 2 * margin) / spacing) + 1 for a, b in zip(low, high, strict=True))
        grid = Grid(
            shape,
            spacing,
            tuple(0.5 * (a + b - (n - 1) * spacing) for a, b, n in zip(low, high, shape, strict=True)),
        )
        if self.engine == "time":
            single = self.storage == torch.complex64
            return TimeDomain(
                Simulation(
                    grid,
                    array,
                    (frequency, frequency),
                    (slowest, fastest),
                    self.water_sound_speed,
                    damping,
                    dtype=torch.float32 if single else torch.float64,
                    device=self.device,
                )
            )
        return Helmholtz(
            grid,
            array,
            (slowest, max(slowest, min(fastest, FITTED_UP_TO))),
            self.water_sound_speed,
            self.pml_cells,
            damping,
            self.device,
            storage=self.storage,
        )
