"""Assertions about operators, gradients and convergence that many tests share; they print what they saw."""

import math
from collections.abc import Callable, Sequence

import torch

Map = Callable[[torch.Tensor], torch.Tensor]


def relative_error(value: torch.Tensor, expected: torch.Tensor) -> float:
    """Relative error in the 2-norm, phase and amplitude included."""
    return float(torch.linalg.vector_norm(value - expected) / torch.linalg.vector_norm(expected))


def dot(a: torch.Tensor, b: torch.Tensor) -> complex:
    """Inner product, conjugated in the first argument."""
    wide = (x.detach().cpu().to(torch.complex128).reshape(-1) for x in (a, b))
    return complex(torch.vdot(*wide))


def random_like(shape: Sequence[int], seed: int, is_complex: bool) -> torch.Tensor:
    """Normal numbers from a seed, float64 or complex128."""
    generator = torch.Generator().manual_seed(seed)
    dtype = torch.complex128 if is_complex else torch.float64
    return torch.randn(*shape, generator=generator, dtype=dtype)


def assert_adjoint(
    apply: Map,
    adjoint: Map,
    change: torch.Tensor,
    residual: torch.Tensor,
    tolerance: float = 1e-10,
    real: bool = False,
) -> None:
    """Check <J v, w> = <v, J^H w>, normalised by |J v| |w|.

    Args:
        apply: J.
        adjoint: J^H.
        change: v; random, independent of w.
        residual: w.
        tolerance: Largest normalised difference.
        real: Compare real parts alone, for maps between real spaces.
    """
    forward, backward = apply(change), adjoint(residual)
    left, right = dot(forward, residual), dot(change, backward)
    scale = float(torch.linalg.vector_norm(forward) * torch.linalg.vector_norm(residual))
    assert scale > 0, "J v or w is zero, so the test shows nothing"
    difference = abs(left.real - right.real if real else left - right) / scale
    assert difference <= tolerance, (
        f"\n<Jv, w>   {left:.15e}\n<v, J^Hw> {right:.15e}\n|difference| / (|Jv| |w|) {difference:.3e}"
        f" > {tolerance:.1e}"
    )


def assert_taylor(
    function: Map,
    point: torch.Tensor,
    direction: torch.Tensor,
    slope: torch.Tensor,
    start: float = 1.0,
    n_halvings: int = 6,
) -> None:
    """Check that |f(x + t d) - f(x)| falls with slope 1, and with slope 2 less the derivative, +- 0.1.

    Args:
        function: f.
        point: x.
        direction: d.
        slope: Claimed derivative of f at x along d, the shape of f(x).
        start: First t.
        n_halvings: How often t is halved; at least five.
    """
    assert n_halvings >= 5, "five halvings at least"
    at_point = function(point)
    steps = [start * 0.5**n for n in range(n_halvings + 1)]
    changes = [function(point + t * direction) - at_point for t in steps]
    zeroth = [float(torch.linalg.vector_norm(change)) for change in changes]
    first = [
        float(torch.linalg.vector_norm(change - t * slope)) for t, change in zip(steps, changes, strict=True)
    ]
    for name, values, expected in (("zeroth", zeroth, 1.0), ("first", first, 2.0)):
        assert min(values) > 0, f"the {name} remainder vanishes, so the test shows nothing: {values}"
        orders = [math.log2(a / b) for a, b in zip(values[:-1], values[1:], strict=True)]
        assert all(abs(order - expected) <= 0.1 for order in orders), (
            f"\n{name} remainder, expected slope {expected:g} +- 0.1" + _table("t", steps, values, orders)
        )


def assert_order(
    sizes: Sequence[float], errors: Sequence[float], expected: float, tolerance: float = 0.2
) -> None:
    """Check that errors fall as size^expected, by a straight line through their logarithms."""
    x, y = (torch.tensor(v, dtype=torch.float64).log() for v in (sizes, errors))
    order = float(((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum())
    orders = [
        math.log(errors[i] / errors[i + 1]) / math.log(sizes[i] / sizes[i + 1]) for i in range(len(sizes) - 1)
    ]
    assert abs(order - expected) <= tolerance, (
        f"\norder {order:.3f}, expected {expected:g} +- {tolerance:g}" + _table("size", sizes, errors, orders)
    )


def assert_reciprocal(data: torch.Tensor, tolerance: float = 1e-12) -> None:
    """Check that exchanging transmitter and receiver changes nothing, shape (..., element, element)."""
    difference = (data - data.mT).abs() / data.abs().amax()
    where = int(difference.argmax())
    worst = float(difference.reshape(-1)[where])
    assert worst <= tolerance, (
        f"\nlargest |d(i, j) - d(j, i)| / max |d| is {worst:.3e} > {tolerance:.1e} at flat index {where}"
    )


def _table(name: str, sizes: Sequence[float], errors: Sequence[float], orders: Sequence[float]) -> str:
    lines = [f"\n{name:>12} {'error':>12} {'order':>8}"]
    for number, (size, error) in enumerate(zip(sizes, errors, strict=True)):
        order = f"{orders[number - 1]:8.3f}" if number else " " * 8
        lines.append(f"{size:12.4g} {error:12.4e} {order}")
    return "\n".join(lines)
