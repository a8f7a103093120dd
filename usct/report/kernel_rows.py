"""Rows of the kernels around a few places, enlarged, and patterns of the data."""

import math

import torch
from matplotlib.figure import SubFigure

from usct.diagnosis import Diagnosis
from usct.report.drawing import INK, bare, show
from usct.units import KILOHERTZ, MILLIMETRE

_MOST_PLACES, _MOST_PATTERNS = 4, 7
_REACH = 8.0
"""Half the width of what is shown, in the shortest waves of image that the data could see."""


def draw_rows(figure: SubFigure, diagnosis: Diagnosis) -> None:
    """Draw for each place what moves with it, and what a step makes of an error there, all scaled to one."""
    half = _REACH * 2 * math.pi / diagnosis.image_kernel.diffraction_limit / MILLIMETRE
    figure.suptitle(
        "Around a place: what else moves with it (left), and how one step answers an error at it alone (right, NSK); "
        f"each {2 * half:.0f} mm wide",
        color=INK,
        fontsize=10.5,
    )
    rows = diagnosis.rows[:_MOST_PLACES]
    axes = figure.subplots(1, 2 * len(rows), squeeze=False)[0]
    for number, row in enumerate(rows):
        y, x = (value / MILLIMETRE for value in row.position)
        pairs = zip(
            axes[2 * number : 2 * number + 2],
            (row.moved, row.answer),
            ("moves with", "step for"),
            strict=True,
        )
        for ax, values, word in pairs:
            peak = max(float(values.abs().max()), 1e-300)
            show(ax, values / peak, diagnosis.grid, (-1, 1), "RdBu_r")
            ax.set(xlim=(x - half, x + half), ylim=(y + half, y - half))
            ax.set_title(f"{word} ({x:.0f}, {y:.0f}) mm", color=INK, fontsize=8.5)
            ax.set_xlabel(f"half height: {_width(values, diagnosis.grid.spacing):.2g} mm", fontsize=8)
            bare(ax)


def draw_data_modes(figure: SubFigure, diagnosis: Diagnosis) -> None:
    """Draw the strongest patterns of the data over transmits and receives, of the first frequency, scaled to one."""
    figure.suptitle(
        f"Patterns of the data (WTK modes) at {diagnosis.frequencies[0] / KILOHERTZ:g} kHz: how strongly each pair of "
        "elements takes part; transmits down, receives across",
        color=INK,
        fontsize=10.5,
    )
    modes = diagnosis.data_kernel.modes[:_MOST_PATTERNS, 0].abs()
    for number, (ax, mode) in enumerate(
        zip(figure.subplots(1, len(modes), squeeze=False)[0], modes, strict=True)
    ):
        peak = max(float(mode.max()), 1e-300)
        ax.imshow((mode / peak).numpy(), cmap="magma_r", vmin=0, vmax=1)
        ax.set_title(f"no. {number + 1}", color=INK, fontsize=9)
        bare(ax)


def _width(values: torch.Tensor, spacing: float) -> float:
    """Diameter of the disc as large as the area above half the largest value [mm]."""
    area = float((values >= 0.5 * values.max()).sum()) * (spacing / MILLIMETRE) ** 2
    return 2 * math.sqrt(area / math.pi)
