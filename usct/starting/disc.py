"""A start model for a whole object: the disc of one sound speed that explains the lowest frequencies best.

From plain water, waves through a large fatty breast arrive more than half a cycle late, and an inversion
settles on the wrong cycle. Two numbers, radius and sound speed, are enough to bring most of them within half a
cycle, and can be searched for exhaustively because the field around a disc is known in closed form.
"""

import math
from dataclasses import dataclass

import torch

from usct.acquisition import Spectra, TransducerArray
from usct.forward.analytic import cylinder_field
from usct.forward.parallel import single_threaded_blas
from usct.grid import Grid
from usct.medium import Medium
from usct.misfit.spectra import LeastSquares

N_FREQUENCIES = 2
N_TRANSMITS = 32
RADII = (0.25, 0.85)
"""Range of the radius as a share of the smallest distance from an element to the centre."""
SPEEDS = (1400.0, 1620.0)
CONVINCING = 0.6
"""A disc is believed in if it leaves at most this share of the misfit that water leaves."""


@dataclass(frozen=True)
class Disc:
    """A disc in water, about the centre of the array.

    Attributes:
        radius: [m].
        sound_speed: Inside [m/s].
        water_sound_speed: Outside [m/s].
        misfit: Share of the data's energy that it leaves unexplained [1].
        water_misfit: The same for plain water [1].
    """

    radius: float
    sound_speed: float
    water_sound_speed: float
    misfit: float
    water_misfit: float

    @property
    def convincing(self) -> bool:
        """Whether it explains so much more than plain water that it is a safer start."""
        return self.misfit <= CONVINCING * self.water_misfit

    def medium(self, grid: Grid, centre: tuple[float, ...], edge: float) -> Medium:
        """The disc on a grid, its rim softened by a cosine over `edge` [m] so that it leaves no false skin."""
        offset = grid.points() - torch.tensor(centre, dtype=torch.float64)
        depth = (self.radius - torch.linalg.vector_norm(offset, dim=-1)) / edge
        share = 0.5 * (1 + torch.sin(torch.pi * depth.clamp(-0.5, 0.5)))
        slowness = (1 - share) / self.water_sound_speed + share / self.sound_speed
        return Medium(grid, 1.0 / slowness)


@single_threaded_blas()  # hundreds of small products: to share each among threads takes longer than to make it
def estimate_disc(spectra: Spectra, array: TransducerArray, water_sound_speed: float) -> Disc:
    """Find the disc that fits the lowest frequencies best, source weights eliminated.

    Radius and sound speed are scanned on a coarse grid and again on a finer one around its minimum. Two
    frequencies and some of the transmits are enough for two unknowns.

    Args:
        spectra: Data and weights.
        array: Elements.
        water_sound_speed: Around the disc [m/s].

    Returns:
        The best disc, convincing or not.
    """
    positions = array.positions - array.centre
    nearest = float(torch.linalg.vector_norm(positions, dim=1).min())
    picked = torch.arange(0, len(array.transmits), max(1, len(array.transmits) // N_TRANSMITS))
    sources = positions[array.transmits[picked]]
    # A receiver at the very place of a source would see infinity; those data carry no weight.
    receivers = positions[array.receives] * (1 + 1e-9)

    def misfit(radius: float, sound_speed: float) -> float:
        total = 0.0
        for number in range(min(N_FREQUENCIES, len(spectra.frequencies))):
            omega = 2 * math.pi * float(spectra.frequencies[number])
            wavenumbers = omega / water_sound_speed, omega / sound_speed
            predicted = cylinder_field(sources, receivers, *wavenumbers, radius)
            observed, weights = spectra.values[number][picked], spectra.weights[number][picked]
            total += 2 * LeastSquares().residual(predicted, observed, weights).value
        return total / min(N_FREQUENCIES, len(spectra.frequencies))

    radii = torch.linspace(RADII[0] * nearest, RADII[1] * nearest, 7).tolist()
    speeds = torch.linspace(*SPEEDS, 23).tolist()
    _, radius, speed = min((misfit(r, c), r, c) for r in radii for c in speeds)
    radii = [radius + step * (radii[1] - radii[0]) / 3 for step in (-2, -1, 0, 1, 2)]
    speeds = [speed + step * (speeds[1] - speeds[0]) / 3 for step in (-2, -1, 0, 1, 2)]
    best, radius, speed = min((misfit(r, c), r, c) for r in radii for c in speeds)
    return Disc(radius, speed, water_sound_speed, best, misfit(radius, water_sound_speed))
