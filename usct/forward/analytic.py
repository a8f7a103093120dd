"""Exact 2-D wave fields against which the solvers are judged: line source, and line source near a cylinder.

All fields solve (laplacian + k^2) g = -delta for the time factor exp(+i omega t): waves leave the source as
exp(-i k r), and a lossy medium has a wavenumber with a negative imaginary part.
"""

import math

import numpy as np
import torch
from scipy.special import hankel2, hankel2e, jve

# Terms of a series smaller than this share of the first are left away.
_SMALLEST_TERM = 1e-18
_MOST_ORDERS = 200_000


def point_source_field(sources: torch.Tensor, receivers: torch.Tensor, wavenumber: complex) -> torch.Tensor:
    """Field of a unit line source in a homogeneous medium, g = -(i/4) H0^(2)(k r).

    Args:
        sources: Source positions (y, x), shape (n_src, 2) [m].
        receivers: Receiver positions (y, x), shape (n_rec, 2) [m].
        wavenumber: k = omega / c, with a negative imaginary part where waves are damped [rad/m].

    Returns:
        Pressure for a source of unit strength, shape (n_src, n_rec), complex128 [1].

    Raises:
        ValueError: If a source and a receiver coincide, where the field is infinite, or a shape is wrong.

    References:
        Morse & Ingard, Theoretical Acoustics (1968), section 7.3.
    """
    distance = np.linalg.norm(_points(sources, "sources")[:, None] - _points(receivers, "receivers"), axis=-1)
    if distance.size and distance.min() == 0:
        raise ValueError("a source and a receiver coincide, where the field of a line source is infinite")
    return torch.from_numpy(-0.25j * hankel2(0, complex(wavenumber) * distance))


def cylinder_field(
    sources: torch.Tensor,
    receivers: torch.Tensor,
    wavenumber_outside: complex,
    wavenumber_inside: complex,
    radius: float,
    density_ratio: float = 1.0,
) -> torch.Tensor:
    """Total field of a unit line source near a fluid cylinder centred at the origin.

    With s the distance of the source, r that of the receiver and phi the angle between them, all three
    fields are series -(i/4) sum_n eps_n (...) cos(n phi), eps_0 = 1, eps_n = 2:
    incident J_n(k min(r, s)) H_n(k max(r, s)), scattered R_n H_n(k s) H_n(k r), inside
    T_n H_n(k s) J_n(k' r), H = H^(2). R_n and T_n follow from the continuity of the pressure and of its
    normal derivative divided by density. Only ratios of Bessel functions of neighbouring orders and of
    neighbouring radii are formed, so that no order overflows; the incident field is added in closed form.

    Args:
        sources: Source positions (y, x) outside the cylinder, shape (n_src, 2) [m].
        receivers: Receiver positions (y, x) outside or inside, shape (n_rec, 2) [m].
        wavenumber_outside: k [rad/m].
        wavenumber_inside: k', which may be complex [rad/m].
        radius: Radius of the cylinder [m].
        density_ratio: Density inside divided by density outside [1].

    Returns:
        Pressure for a source of unit strength, shape (n_src, n_rec), complex128 [1].

    Raises:
        ValueError: If a source is not outside the cylinder, coincides with a receiver, or lies so close to
            the cylinder that the series would need more than 200000 orders.

    References:
        Morse & Ingard, Theoretical Acoustics (1968), section 8.2; Olver et al., NIST Handbook of
        Mathematical Functions (2010), sections 10.6, 10.23 and 10.74.
    """
    source, receiver = _points(sources, "sources"), _points(receivers, "receivers")
    source_radius, receiver_radius = np.hypot(*source.T), np.hypot(*receiver.T)
    outside, inside = complex(wavenumber_outside), complex(wavenumber_inside)
    if radius <= 0 or (source_radius <= radius).any():
        raise ValueError(f"radius must be > 0 m and every source outside it, got a radius of {radius:g} m")
    is_outside = receiver_radius > radius
    n_orders = _count_orders(source_radius, receiver_radius, max(abs(outside), abs(inside)), radius)
    reflected, transmitted = _coefficients(outside, inside, radius, density_ratio, n_orders)
    to_surface = _hankel_relative(outside, source_radius, radius, n_orders)
    from_surface = np.empty((n_orders, len(receiver)), dtype=complex)
    from_surface[:, is_outside] = reflected * _hankel_relative(
        outside, receiver_radius[is_outside], radius, n_orders
    )
    from_surface[:, ~is_outside] = transmitted * _bessel_relative(
        inside, receiver_radius[~is_outside], radius, n_orders
    )
    field = torch.from_numpy(-0.25j * _sum_over_angles(source, receiver, to_surface, from_surface))
    if is_outside.any():
        outer = torch.from_numpy(is_outside)
        field[:, outer] += point_source_field(sources, receivers[outer], outside)
    return field


def _points(positions: torch.Tensor, name: str) -> np.ndarray:
    """Positions as an array of shape (n, 2)."""
    if positions.ndim != 2 or positions.shape[1] != 2:
        raise ValueError(f"{name} must have shape (n, 2), got {tuple(positions.shape)}")
    return positions.detach().cpu().double().numpy()


def _count_orders(source: np.ndarray, receiver: np.ndarray, wavenumber: float, radius: float) -> int:
    """Number of orders after which every term is negligible."""
    # Beyond the argument of the Bessel functions the terms fall like this ratio to the power n.
    nearest = np.where(receiver > radius, radius / np.maximum(receiver, radius), receiver / radius)
    ratio = float(nearest.max(initial=0.0)) * radius / float(source.min(initial=math.inf))
    tail = math.log(_SMALLEST_TERM) / math.log(max(ratio, 1e-6)) if ratio < 1 else math.inf
    argument = wavenumber * radius
    n_orders = argument + 8.0 * argument ** (1 / 3) + tail + 20.0
    if not n_orders < _MOST_ORDERS:
        raise ValueError("a source lies too close to the cylinder for its series; move it away")
    return math.ceil(n_orders)


def _bessel_ratios(z: np.ndarray, n_orders: int) -> np.ndarray:
    """J_n(z) / J_{n-1}(z) for n = 1 ... n_orders by backward recurrence, shape (n_orders, *z.shape)."""
    largest = float(np.abs(z).max(initial=0.0))
    start = math.ceil(max(n_orders, largest) + 40 + 8 * largest ** (1 / 3))
    ratio = z / (2.0 * (start + 1))
    ratios = np.empty((n_orders, *z.shape), dtype=complex)
    for n in range(start, 0, -1):
        ratio = z / (2.0 * n - z * ratio)
        if n <= n_orders:
            ratios[n - 1] = ratio
    return ratios


def _hankel_ratios(z: np.ndarray, n_orders: int) -> np.ndarray:
    """H_n(z) / H_{n-1}(z) for n = 1 ... n_orders by forward recurrence, shape (n_orders, *z.shape)."""
    ratios = np.empty((n_orders, *z.shape), dtype=complex)
    ratios[0] = hankel2e(1, z) / hankel2e(0, z)
    for n in range(1, n_orders):
        ratios[n] = 2.0 * n / z - 1.0 / ratios[n - 1]
    return ratios


def _hankel_relative(wavenumber: complex, at: np.ndarray, radius: float, n_orders: int) -> np.ndarray:
    """H_n(k r) / H_n(k a) at distances r, shape (n_orders, len(at))."""
    z, surface = wavenumber * at, np.array([wavenumber * radius])
    first = hankel2e(0, z) / hankel2e(0, surface) * np.exp(-1j * (z - surface))
    steps = _hankel_ratios(z, n_orders - 1) / _hankel_ratios(surface, n_orders - 1)
    return np.concatenate([first[None], first * np.cumprod(steps, axis=0)])


def _bessel_relative(wavenumber: complex, at: np.ndarray, radius: float, n_orders: int) -> np.ndarray:
    """J_n(k r) / J_n(k a) at distances r, shape (n_orders, len(at))."""
    z, surface = wavenumber * at, np.array([wavenumber * radius])
    growth = np.abs(z.imag) - np.abs(surface.imag)
    first = jve(0, z) / jve(0, surface) * np.exp(growth)
    steps = _bessel_ratios(z, n_orders - 1) / _bessel_ratios(surface, n_orders - 1)
    return np.concatenate([first[None], first * np.cumprod(steps, axis=0)])


def _coefficients(
    outside: complex, inside: complex, radius: float, density_ratio: float, n_orders: int
) -> tuple[np.ndarray, np.ndarray]:
    """R_n H_n(k a)^2 and T_n H_n(k a) J_n(k' a), each of shape (n_orders, 1).

    With j, h and l the logarithmic derivatives of J_n(k r), H_n(k r) and of J_n(k' r) over the density
    ratio, at r = a, the Wronskian J H' - J' H = -2i / (pi a) turns the boundary conditions into
    R H^2 = (2i / (pi a)) (j - l) / ((h - j) (h - l)) and T H J(k' a) = (-2i / (pi a)) / (h - l).
    """
    orders = np.arange(n_orders)
    bessel = _bessel_ratios(np.array([outside * radius, inside * radius]), n_orders)
    hankel = _hankel_ratios(np.array([outside * radius]), n_orders)[:, 0]
    # F_n' = n F_n / z - F_{n+1} for every Bessel function.
    bessel_out = orders / radius - outside * bessel[:, 0]
    bessel_in = (orders / radius - inside * bessel[:, 1]) / density_ratio
    hankel_out = orders / radius - outside * hankel
    wronskian = 2j / (np.pi * radius)
    transmitted = -wronskian / (hankel_out - bessel_in)
    reflected = -transmitted * (bessel_out - bessel_in) / (hankel_out - bessel_out)
    return reflected[:, None], transmitted[:, None]


def _sum_over_angles(
    source: np.ndarray, receiver: np.ndarray, from_source: np.ndarray, to_receiver: np.ndarray
) -> np.ndarray:
    """Sum eps_n A_n B_n cos(n (phi_s - phi_r)) over n as two matrix products, shape (n_src, n_rec)."""
    orders = np.arange(len(from_source))[:, None]
    source_angle = orders * np.arctan2(source[:, 0], source[:, 1])
    receiver_angle = orders * np.arctan2(receiver[:, 0], receiver[:, 1])
    weighted = np.where(orders == 0, 1.0, 2.0) * to_receiver
    even = (from_source * np.cos(source_angle)).T @ (weighted * np.cos(receiver_angle))
    odd = (from_source * np.sin(source_angle)).T @ (weighted * np.sin(receiver_angle))
    return even + odd
