"""Curves of a comparison: error and residual on the way, each line with its name at its end."""

import math
from collections.abc import Sequence
from itertools import groupby
from statistics import fmean

from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import SubFigure
from matplotlib.ticker import MaxNLocator

from usct.evaluation.trials import Comparison
from usct.report.drawing import FAINT, INK, make_logarithmic, tidy

# Colours of Okabe and Ito, which people with colour-blindness tell apart; the dashes differ as well.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9", "#8C8C8C")
_DASHES: tuple[tuple[int, tuple[float, ...]], ...] = (
    (0, ()),
    (0, (5, 1.6)),
    (0, (1.2, 1.2)),
    (0, (7, 1.6, 1.2, 1.6)),
    (0, (3, 1.2, 1, 1.2, 1, 1.2)),
    (0, (9, 2.5)),
    (0, (2.5, 2.5)),
    (0, (6, 1.2, 1.2, 1.2, 1.2, 1.2)),
)

_LABEL_GAP = 0.062
_LABEL_SHADE = 0.7
"""Names take this share of their line's brightness, so that yellow and light blue can be read."""


def draw_curves(figure: SubFigure, comparison: Comparison) -> None:
    """Draw error and residual of all runs against factorisations and seconds, in three panels."""
    by_solves, by_seconds, residual = figure.subplots(1, 3)
    for ax, against in ((by_solves, "solves"), (by_seconds, "seconds")):
        _draw_errors(ax, comparison, against)
    _draw_residuals(residual, comparison)
    by_solves.set_title("Error against work", color=INK, fontsize=11)
    by_seconds.set_title("Error against time", color=INK, fontsize=11)
    residual.set_title("Data left unexplained", color=INK, fontsize=11)
    for ax in (by_solves, residual):
        ax.set_xlabel("Factorisations of the wave operator")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    by_seconds.set_xlabel("Wall time of the inversion [s]")
    for ax in (by_solves, by_seconds):
        ax.set_ylabel("RMSE inside the object [m/s]")
    residual.set_ylabel("Amplitude of residual / of data")
    for ax in (by_solves, by_seconds, residual):
        tidy(ax)


def _draw_errors(ax: Axes, comparison: Comparison, against: str) -> None:
    """Draw error curves from the start on."""
    lines = []
    for number, trial in enumerate(comparison.trials):
        if not trial.marks:
            continue
        across = [0.0, *(float(getattr(mark, against)) for mark in trial.marks)]
        errors = [trial.start_rmse, *(mark.rmse for mark in trial.marks)]
        draw_line(ax, number, across, errors)
        lines.append((number, f"{trial.name}  {errors[-1]:.1f}", across[-1], errors[-1]))
    ax.set_xlim(left=0)
    ax.set_ylim(bottom=0)
    if math.isfinite(comparison.start_rmse):
        ax.axhline(comparison.start_rmse, color=FAINT, linewidth=0.8, zorder=0)
        ax.annotate(
            "start",
            (1.0, comparison.start_rmse),
            xycoords=("axes fraction", "data"),
            xytext=(-2, 2),
            textcoords="offset points",
            ha="right",
            fontsize=8,
            color=FAINT,
        )
    label_ends(ax, lines)


def _draw_residuals(ax: Axes, comparison: Comparison) -> None:
    """Draw the residual, each stage for itself: another frequency means other data."""
    lines = []
    for number, trial in enumerate(comparison.trials):
        for _, stage in groupby(trial.marks, lambda mark: mark.frequency):
            marks = list(stage)
            draw_line(ax, number, [mark.solves for mark in marks], [mark.residual for mark in marks])
        if trial.last:
            lines.append((number, trial.name, trial.last.solves, trial.last.residual))
    drawn = [mark.residual for trial in comparison.trials for mark in trial.marks]
    if any(math.isfinite(value) and value > 0 for value in drawn):
        make_logarithmic(ax)
    ax.set_xlim(left=0)
    label_ends(ax, lines)


def draw_line(ax: Axes, number: int, across: Sequence[float], up: Sequence[float]) -> None:
    """Draw a run's line in its own colour and dashes."""
    ax.plot(
        across,
        up,
        color=_COLOURS[number % len(_COLOURS)],
        linestyle=_DASHES[number % len(_DASHES)],
        linewidth=1.7,
        marker="o",
        markersize=3 if len(up) < 30 else 0,
    )


def label_ends(ax: Axes, lines: Sequence[tuple[int, str, float, float]]) -> None:
    """Write each line's name to the right of the axes, as near to its end as the others let it."""
    lines = [line for line in lines if math.isfinite(line[3])]
    at_ends = [tuple(ax.transAxes.inverted().transform(ax.transData.transform(line[2:]))) for line in lines]
    heights = spread([float(height) for _, height in at_ends], _LABEL_GAP)
    for (number, text, *_), end, height in zip(lines, at_ends, heights, strict=True):
        colour = _COLOURS[number % len(_COLOURS)]
        ax.annotate(
            text,
            end,
            xycoords="axes fraction",
            xytext=(1.04, height),
            textcoords="axes fraction",
            va="center",
            fontsize=8,
            color=[_LABEL_SHADE * part for part in to_rgb(colour)],
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.6, "alpha": 0.35, "shrinkB": 2},
        )


def spread(wanted: Sequence[float], gap: float) -> list[float]:
    """Heights as near to those wanted as a gap between any two, and the ends of the axes, allow."""
    order = sorted(range(len(wanted)), key=wanted.__getitem__)
    # Less the gaps below them, names that would overlap form blocks, each at the mean of what its members want.
    blocks: list[list[float]] = []
    for rank, index in enumerate(order):
        blocks.append([wanted[index] - rank * gap])
        while len(blocks) > 1 and fmean(blocks[-2]) > fmean(blocks[-1]):
            blocks[-2:] = [blocks[-2] + blocks[-1]]
    heights = [fmean(block) for block in blocks for _ in block]
    highest = 1 - (len(wanted) - 1) * gap
    placed = [0.0] * len(wanted)
    for rank, index in enumerate(order):
        placed[index] = min(max(heights[rank], 0.0), highest) + rank * gap
    return placed
