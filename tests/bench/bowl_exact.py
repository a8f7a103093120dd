"""Exact pressure on the axis of a focused bowl behind flat lossy fluid layers, as an integral over plane waves."""

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import jv

Layer = tuple[float, float, float, float]
"""Thickness [m], sound speed [m/s], density [kg/m^3], loss [Np/m]."""


def axis_pressure(
    depths: np.ndarray,
    layers: Sequence[Layer],
    omega: float,
    focal_length: float,
    aperture: float,
    velocity: float,
    n_rings: int = 400,
    n_waves: int = 6000,
) -> np.ndarray:
    """Complex pressure in the first or the last layer, shape of `depths` [Pa].

    The bowl, its apex at depth zero in the first layer, is a sum of rings of sources i omega rho 2 v. Waves across
    the axis up to 1.3 wavenumbers of the first layer count; their path leaves the real axis, where the layers'
    resonances lie.

    Args:
        depths: From the apex on, all beyond the bowl in the first layer or all in the last [m].
        layers: From the bowl on; the first and the last go on for ever.
        omega: Angular frequency [rad/s].
        focal_length: Radius of the bowl's sphere [m].
        aperture: Diameter of its rim [m].
        velocity: Normal velocity of its face [m/s].
        n_rings: Rings of the bowl.
        n_waves: Points of the integral.

    References:
        Brekhovskikh, Waves in Layered Media (1980), chapter 1.
    """
    wavenumbers = [omega / speed - 1j * loss for _, speed, _, loss in layers]
    ends = np.linspace(0, 1.3 * omega / layers[0][1], n_waves)
    across = ends + 0.02j * wavenumbers[0].real * np.sin(np.pi * ends / ends[-1])
    along = [_decaying(np.sqrt(k**2 - across**2 + 0j)) for k in wavenumbers]
    impedances = [density * omega / kz for (_, _, density, _), kz in zip(layers, along, strict=True)]
    pressure, flow = np.ones_like(across), 1 / impedances[-1]
    for number in range(len(layers) - 2, 0, -1):
        phase, z = along[number] * layers[number][0], impedances[number]
        pressure, flow = (
            np.cos(phase) * pressure + 1j * z * np.sin(phase) * flow,
            1j * np.sin(phase) / z * pressure + np.cos(phase) * flow,
        )
    height = focal_length - math.sqrt(focal_length**2 - 0.25 * aperture**2)
    depth = height * (np.arange(n_rings) + 0.5) / n_rings
    radius = np.sqrt(2 * focal_length * depth - depth**2)
    sent = sum(
        jv(0, across * r) * np.exp(-1j * along[0] * (layers[0][0] - d))
        for d, r in zip(depth, radius, strict=True)
    )
    strength = 1j * omega * layers[0][2] * 2 * velocity * 2 * np.pi * focal_length * height / n_rings
    waves = strength * sent * across / (4j * np.pi * along[0]) * np.gradient(across, ends)
    waves = waves / (pressure + impedances[0] * flow)
    if depths.max() < layers[0][0]:
        waves = waves * (pressure - impedances[0] * flow)
        echoes = [np.trapezoid(waves * np.exp(-1j * along[0] * (layers[0][0] - d)), ends) for d in depths]
        paths = np.hypot(radius, depths[:, None] - depth)
        direct = np.exp(-1j * wavenumbers[0] * paths) / (4 * np.pi * paths)
        return np.array(echoes) + strength * direct.sum(axis=1)
    last = sum(layer[0] for layer in layers[:-1])
    return np.array([np.trapezoid(2 * waves * np.exp(-1j * along[-1] * (d - last)), ends) for d in depths])


def _decaying(roots: np.ndarray) -> np.ndarray:
    """The roots whose waves exp(-i k z) fade with z."""
    return np.where(roots.imag > 0, -roots, roots)
