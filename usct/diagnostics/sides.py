"""The parts of a diagnosis: the data's side, the image's side, rows of the kernels, and the steps that are tried."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

import torch

from usct.diagnosis import DataKernel, Decay, ImageKernel, KernelDrift, KernelRow
from usct.diagnostics.convergence import (
    descend,
    drift,
    measured_decay,
    predicted_decay,
    steepest_rate,
)
from usct.diagnostics.data_side import frequency_bias, mode_energy
from usct.diagnostics.eigen import (
    Density,
    Eigenpairs,
    decay_exponent,
    effective_rank,
    top_eigenpairs,
)
from usct.diagnostics.kernels import TangentKernels
from usct.diagnostics.model_side import Transfer, answer_row, kernel_row, mode_images
from usct.diagnostics.resolution import deepest, pixel
from usct.errors import InputError
from usct.units import MILLIMETRE

N_DRIFT_MODES = 4
"""Patterns by which the drift of the kernel is judged; each costs four adjoint products."""

ROWS_AT = (0.0, 0.45, 0.85)
"""Where rows are looked at unless told otherwise: shares of the way from the middle to the rim."""


@dataclass(frozen=True)
class Options:
    """How thorough a diagnosis is.

    Attributes:
        n_modes: Patterns to find one by one.
        n_steps: Gradient steps to try, each with a solution of the wave equation; 0 for none.
        n_probes: Random vectors for the density of eigenvalues.
        n_lanczos: Products for each of them.
        maps: Whether to map resolution and uncertainty, which takes a third of the time.
        snr_db: Energy of the data over that of the noise [dB]; None to find it in the data.
        seed: Of everything random.
        points: Where to look at rows of the kernels, (y, x) [m]; by default in the middle, halfway and at the rim.
        constant: Whether patterns, spectra and what passes hold changes of the whole image alike; maps, gain and steps
            always do.
    """

    n_modes: int = 16
    n_steps: int = 3
    n_probes: int = 2
    n_lanczos: int = 10
    maps: bool = True
    snr_db: float | None = None
    seed: int = 0
    points: tuple[tuple[float, float], ...] = ()
    constant: bool = True


def data_side(
    kernels: TangentKernels, pairs: Eigenpairs, density: Density, determined: float, seed: int = 0
) -> DataKernel:
    """The wave tangent kernel.

    Args:
        kernels: At the point in question.
        pairs: Its largest eigenvalues with their modes.
        density: Of all eigenvalues.
        determined: Numbers that the data determine, from `remaining_gain`: Lanczos quadrature would count
            eigenvalues of zero as large as its few steps can tell from zero.
        seed: Of random probes.
    """
    numbers = kernels.frequencies
    modes = [torch.stack([kernels.as_matrix(mode, n) for n in numbers]) for mode in pairs.data_modes]
    return DataKernel(
        eigenvalues=pairs.values,
        errors=pairs.errors,
        modes=torch.stack(modes).to(torch.complex64),
        nodes=density.nodes,
        weights=density.weights,
        trace=density.trace,
        trace_error=density.trace_error,
        effective_rank=effective_rank(density),
        degrees_of_freedom=determined,
        decay_exponent=decay_exponent(density),
        constant_share=constant_share(kernels, density.trace),
        energy=mode_energy(kernels, pairs).share,
        frequency_bias=frequency_bias(kernels, seed=seed).measured,
    )


def image_side(kernels: TangentKernels, pairs: Eigenpairs, passed: Transfer) -> ImageKernel:
    """The neural sensitivity kernel: its modes, and what passes at each wavenumber."""
    responses = (passed.ntk, passed.gain, passed.gradient_raw, passed.gradient_filtered)
    representation, gain, raw, filtered = (values / values.max().clamp(min=1e-300) for values in responses)
    images = mode_images(kernels, pairs).float()
    return ImageKernel(images, passed.wavenumber, representation, gain, raw, filtered, passed.limit)


def constant_share(kernels: TangentKernels, trace: float) -> float:
    """Share of the wave tangent kernel's trace that goes to changing the whole image alike, 0 to 1.

    Without the constant K is K - J c (P^1/2 J_theta^T c)^T, c the constant of unit norm, which takes an exactly
    known part of the trace away.

    Args:
        kernels: At the point in question, with the constant or without.
        trace: Of theirs.
    """
    bare = kernels.at(kernels.point, without_constant=False)
    constant = kernels.region.double() / float(kernels.region.sum()) ** 0.5
    seen, makes = bare.wave(constant), bare.from_image(constant)
    taken = 2 * torch.dot(seen, bare.apply(makes)) - seen.square().sum() * makes.square().sum()
    whole = trace + (float(taken) if kernels.without_constant else 0.0)
    return min(1.0, max(0.0, float(taken) / whole)) if whole > 0 else math.nan


def rows_at(kernels: TangentKernels, points: Sequence[tuple[float, float]] = ()) -> tuple[KernelRow, ...]:
    """Rows of both kernels of the image at some places.

    Args:
        kernels: At the point in question.
        points: Places, (y, x) [m]; by default in the middle of the region, halfway to its rim and near it.

    Raises:
        InputError: If a place lies outside the region.
    """
    rows = []
    for point in points or _usual_points(kernels):
        try:
            row, column = pixel(kernels, point)
        except ValueError:
            y, x = (value / MILLIMETRE for value in point)
            raise InputError(
                f"the point ({x:g}, {y:g}) mm lies outside the part of the image that may change; choose another"
            ) from None
        place = (float(kernels.image.axis(0)[row]), float(kernels.image.axis(1)[column]))
        rows.append(KernelRow(place, kernel_row(kernels, place).float(), answer_row(kernels, place).float()))
    return tuple(rows)


def _usual_points(kernels: TangentKernels) -> list[tuple[float, float]]:
    """In the middle, and on the way from there to the rim along a row."""
    y, x = deepest(kernels.image, kernels.region)
    row, _ = pixel(kernels, (y, x))
    columns = kernels.region[row].nonzero()[:, 0]
    rim = float(kernels.image.axis(1)[int(columns.max())])
    return [(y, x + share * (rim - x)) for share in ROWS_AT]


def try_steps(
    kernels: TangentKernels, pairs: Eigenpairs, start: TangentKernels | None, options: Options
) -> Decay:
    """Predicted and measured decay over a few plain gradient steps from the point."""
    rate = steepest_rate(pairs.values)
    measured = measured_decay(descend(kernels, rate, options.n_steps), pairs)
    predicted = predicted_decay(pairs.values, measured[0], rate, options.n_steps)
    few = Eigenpairs(*(getattr(pairs, f.name)[:N_DRIFT_MODES] for f in fields(pairs)))
    moved = math.nan if start is None else drift(start, _bare(kernels), few).total
    scale = torch.where(measured[0] == 0, 1.0, measured[0])
    foretold = (predicted[-1] - measured[0]).norm()
    error = float((measured[-1] - predicted[-1]).norm() / foretold) if foretold > 0 else math.nan
    return Decay(rate, predicted / scale, measured / scale, error, moved)


def drift_along(
    start: TangentKernels, later: Iterable[tuple[int, TangentKernels]], seed: int = 0
) -> KernelDrift:
    """Drift of the kernel from the start of a run to points along it, as its strongest patterns at the start see it.

    Args:
        start: At the start.
        later: Updates done, and the kernels then, of the same data; taken one after the other.
        seed: Of the search for the patterns.
    """
    start = _bare(start)
    pairs = top_eigenpairs(start, N_DRIFT_MODES, seed)
    found = [(n, drift(start, _bare(kernels), pairs)) for n, kernels in later]
    moved = [(d.total, d.representation, d.waves) for _, d in found]
    updates = torch.tensor([n for n, _ in found], dtype=torch.int64)
    return KernelDrift(updates, *torch.tensor(moved, dtype=torch.float64).reshape(-1, 3).T)


def _bare(kernels: TangentKernels) -> TangentKernels:
    """Without an optimizer's scaling, which follows the gradient's size and says nothing of the kernel's own change."""
    return TangentKernels(
        kernels.point, kernels.image, region=kernels.region, frequencies=kernels.frequencies
    )
