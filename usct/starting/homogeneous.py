"""The simplest start models, found from the data alone: the water, and a disc of one sound speed in it."""

import math

import torch

from usct.acquisition import Spectra, TransducerArray
from usct.forward.analytic import point_source_field
from usct.misfit.spectra import LeastSquares

WATER_ANGLES = (math.radians(10), math.radians(60))
"""Opening angles whose chords pass far outside the object."""
WATER_SPEEDS = (1400.0, 1600.0)


def estimate_water_sound_speed(spectra: Spectra, array: TransducerArray) -> float:
    """Sound speed of the water from elements that are close together, whose direct paths miss the object.

    Chords with opening angles below 60 degrees stay beyond 87 % of the ring's radius. The misfit of
    Green's functions to these data, source weights eliminated, is scanned and its minimum refined; the
    lowest frequency alone decides where to look, since higher ones repeat after a cycle.

    Args:
        spectra: Data.
        array: Elements.

    Returns:
        Sound speed [m/s].

    Raises:
        ValueError: If no pair of elements has such an opening angle.
    """
    angles = array.opening_angles()
    near = ((angles >= WATER_ANGLES[0]) & (angles <= WATER_ANGLES[1])).double()
    if not (near * spectra.weights[0]).any():
        raise ValueError(
            "no pair of elements is close enough to estimate the water's sound speed; give it instead"
        )

    def misfit(sound_speed: float) -> float:
        wavenumber = 2 * math.pi * float(spectra.frequencies[0]) / sound_speed
        distances = torch.where(near > 0, array.distances(), 1.0)
        origin = torch.zeros(1, 2, dtype=torch.float64)
        along = torch.stack([distances.flatten(), torch.zeros(distances.numel())], dim=1).double()
        predicted = point_source_field(origin, along, wavenumber).reshape(distances.shape)
        return LeastSquares().residual(predicted, spectra.values[0], spectra.weights[0] * near).value

    low, high = WATER_SPEEDS
    for n_steps in (41, 21, 21):
        trials = torch.linspace(low, high, n_steps).tolist()
        best = min(trials, key=misfit)
        step = (high - low) / (n_steps - 1)
        low, high = best - step, best + step
    return best
