"""Curves of what the data support, drawn into a panel's axes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes

from usct.diagnosis import Diagnosis
from usct.units import MILLIMETRE
from usct_napari.plots import COLOURS
from usct_napari.probing import Answer

DECAYS = 4
"""Modes whose decay is drawn: those that hold most of the residual."""


def draw_spectra(ax: Axes, spectra: Mapping[str, Mapping[str, Any]]) -> None:
    """Draw eigenvalues by their number, dots where they were found and lines where only their density is known.

    Args:
        ax: Where.
        spectra: By name: `eigenvalues`, `nodes` and `weights` as in `DataKernel`, and maybe `threshold`.
    """
    for number, (name, spectrum) in enumerate(spectra.items()):
        colour = COLOURS[number % len(COLOURS)]
        found = np.asarray(spectrum["eigenvalues"], dtype=float)
        top = float(found[0]) if len(spectra) > 1 else 1.0
        nodes, weights = (np.asarray(spectrum[key], dtype=float) for key in ("nodes", "weights"))
        order = np.argsort(nodes)[::-1]
        rank = np.cumsum(weights[order]) - 0.5 * weights[order]
        shown = (rank > len(found)) & (nodes[order] > 0)
        ax.plot(np.arange(1, len(found) + 1), found / top, "o", color=colour, markersize=3.5, label=name)
        ax.plot(rank[shown], nodes[order][shown] / top, "-", color=colour, linewidth=1.3)
        if "threshold" in spectrum and len(spectra) == 1:
            ax.axhline(
                spectrum["threshold"], color=COLOURS[3], linestyle="--", linewidth=1, label="noise's level"
            )
    ax.set(xscale="log", yscale="log", xlabel="Number of the pattern")
    ax.set_ylabel("Over the largest" if len(spectra) > 1 else "Eigenvalue")
    bottom, top = ax.get_ylim()
    ax.set_ylim(max(bottom, 1e-9 * top), top)
    if len(spectra) > 2:
        ax.legend(loc="upper center", bbox_to_anchor=(0.45, -0.24), ncols=4, handlelength=1, columnspacing=1)
    else:
        ax.legend(loc="lower left")


def draw_transfer(ax: Axes, diagnosis: Diagnosis) -> None:
    """Draw which detail waves and representation let through, against its wavenumber."""
    kernel = diagnosis.image_kernel
    across = kernel.wavenumbers.numpy() * MILLIMETRE
    curves = (
        ("waves", kernel.gain),
        ("representation", kernel.representation),
        ("one step", kernel.filtered),
    )
    for (name, values), colour in zip(curves, COLOURS, strict=False):
        ax.semilogy(across, values.numpy(), color=colour, linewidth=1.4, label=name)
    limit = kernel.diffraction_limit * MILLIMETRE
    ax.axvline(limit, color=COLOURS[3], linestyle="--", linewidth=1, label="diffraction limit")
    ax.set(ylim=(1e-4, 3), xlabel="Wavenumber [rad/mm]", ylabel="Over the largest")
    ax.legend(loc="lower left")


def draw_place(ax: Axes, answer: Answer) -> None:
    """Draw how wide a point gets, and how one step answers an error, along the two lines through a place."""
    axes = [axis.numpy() / MILLIMETRE for axis in answer.grid.axes()]
    y, x = (int(n) for n in answer.grid.fractional_index(torch.tensor(answer.position)).round())
    lines = (
        ("across", "-", axes[1] - axes[1][x], (y, slice(None))),
        ("down", ":", axes[0] - axes[0][y], (slice(None), x)),
    )
    for (name, values), colour in zip(
        (("point spread", answer.spread), ("answer", answer.row)), COLOURS, strict=False
    ):
        peak = float(values.abs().max())
        for way, style, where, index in lines:
            ax.plot(where, values[index] / peak, style, color=colour, label=f"{name}, {way}", linewidth=1.4)
    ax.set(xlim=(-15, 15), xlabel="Distance from the place [mm]", ylabel="Over the largest")
    ax.legend(loc="upper right")


def draw_decay(ax: Axes, diagnosis: Diagnosis) -> bool:
    """Draw predicted decay as lines and measured as dots; False where no step was tried."""
    decay = diagnosis.decay
    if decay is None:
        return False
    energy = diagnosis.data_kernel.energy
    modes: Sequence[int] = energy.argsort(descending=True)[:DECAYS].sort().values.tolist()
    for mode, colour in zip(modes, COLOURS, strict=False):
        ax.plot(decay.predicted[:, mode].numpy(), color=colour, label=f"pattern {mode + 1}")
        ax.plot(decay.measured[:, mode].numpy(), "o", color=colour, markersize=4)
    ax.set(xlabel="Gradient steps: lines foretold, dots tried", ylabel="Share left")
    ax.set_xticks(range(len(decay.predicted)))
    ax.legend(loc="best")
    return True
