"""Power-law attenuation by relaxing compressibility: a few local memory variables, fitted over a band.

Every mechanism delays a share of the compression, r' = (p - r) / tau, which multiplies the squared slowness by
1 + kappa(x) chi(omega), chi = sum_l k_l h_l(omega), h_l -> 1 / (1 + i omega tau_l). The shape chi is common to the
medium and fitted so that the attenuation follows f^power; kappa(x) makes it the medium's at a reference frequency.
Causality comes with it: the sound speed is the medium's at the reference frequency and rises slowly above it.

The memory variables are advanced by the trapezoidal rule, for which h_l = g_l (z + 1) / (z - e_l) exactly, with
z = exp(i omega' dt); the fit uses that, so the time step adds no error here either.
"""

import cmath
import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import least_squares

from usct.forward.time_domain.stencil import scheme_frequency

LARGEST_FIT_ERROR = 0.02
MOST_MECHANISMS = 3
_N_FITTED = 40


@dataclass(frozen=True)
class Relaxation:
    """The mechanisms, common to the whole medium.

    Attributes:
        decays: e_l, what is left of a memory after one step [1].
        gains: g_l, what a change of pressure adds to it [1].
        weights: k_l [1].
        step: Time step [s].
        fit_error: Largest relative error of the attenuation over the band [1].
    """

    decays: tuple[float, ...]
    gains: tuple[float, ...]
    weights: tuple[float, ...]
    step: float
    fit_error: float

    def shape(self, omega: complex) -> complex:
        """Shape chi at the angular frequency omega [rad/s]."""
        z = cmath.exp(1j * scheme_frequency(omega, self.step) * self.step)
        terms = zip(self.decays, self.gains, self.weights, strict=True)
        return sum((k * g * (z + 1) / (z - e) for e, g, k in terms), 0j)

    @property
    def instant(self) -> float:
        """Share of kappa with which the mechanisms act within one step."""
        return sum(k * g for k, g in zip(self.weights, self.gains, strict=True))

    def strength(self, loss_angle: torch.Tensor, omega: float) -> torch.Tensor:
        """Strength kappa for which the slowness has the argument -loss_angle [rad] at omega [rad/s]."""
        chi = self.shape(omega)
        tangent = torch.tan(2 * loss_angle)
        return tangent / (-chi.imag - tangent * chi.real)


def fit_relaxation(power: float, band: tuple[float, float], step: float) -> Relaxation:
    """The fewest mechanisms whose attenuation follows f^power over a band to `LARGEST_FIT_ERROR`.

    Args:
        power: Exponent of the attenuation's power law [1].
        band: Lowest and highest frequency [Hz].
        step: Time step [s].

    Returns:
        Mechanisms with -Im chi = 1 at the geometric mean of the band, and their fit error; the error is larger
        than wanted where even the most mechanisms do not reach it.

    References:
        Nachman, Smith & Waag, J. Acoust. Soc. Am. 88 (1990) 1584; Blanch, Robertsson & Symes, Geophysics 60
        (1995) 176.
    """
    # A single frequency is fitted as a narrow band, so that the slope is right as well.
    low, high = band[0] * (0.98 if band[0] == band[1] else 1), band[1] * (1.02 if band[0] == band[1] else 1)
    frequencies = np.geomspace(low, high, _N_FITTED)
    wanted = (frequencies / math.sqrt(low * high)) ** (power - 1)
    best = None
    for n in range(1, MOST_MECHANISMS + 1):
        found = _fit(n, frequencies, wanted, step)
        best = found if best is None or found.fit_error < best.fit_error else best
        if best.fit_error <= 0.5 * LARGEST_FIT_ERROR:
            break
    assert best is not None
    return best


def _fit(n: int, frequencies: np.ndarray, wanted: np.ndarray, step: float) -> Relaxation:
    omega = 2 * math.pi * frequencies
    z = np.exp(2j * np.arcsin(0.5 * omega * step))

    def columns(log_times: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        half = 0.5 * step / np.exp(log_times)
        decays, gains = (1 - half) / (1 + half), half / (1 + half)
        return decays, gains, -(gains * (z[:, None] + 1) / (z[:, None] - decays)).imag

    def misfit(unknown: np.ndarray) -> np.ndarray:
        return columns(unknown[:n])[2] @ np.exp(unknown[n:]) / wanted - 1

    spread = np.geomspace(omega[0], omega[-1], 2 * n + 1)[1::2]
    start = np.concatenate([-np.log(spread), np.full(n, math.log(2 / n))])
    found = least_squares(misfit, start, x_scale=1.0, max_nfev=400)
    decays, gains, _ = columns(found.x[:n])
    error = float(np.abs(found.fun).max())
    weights = np.exp(found.x[n:])
    return Relaxation(tuple(decays.tolist()), tuple(gains.tolist()), tuple(weights.tolist()), step, error)
