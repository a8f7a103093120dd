"""Figures of a reconstruction; drawn without pyplot, so nothing global is touched and no window opens."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator

from usct.medium import Medium
from usct.reconstruction import Reconstruction, Record
from usct.report.drawing import (
    ACCENT,
    FAINT,
    INK,
    TRUTH,
    add_colour_bar,
    blank,
    extent,
    make_logarithmic,
    middle_slice,
    show,
    speed_window,
    tidy,
    write,
)
from usct.units import KILOHERTZ, MEGAHERTZ, MILLIMETRE, attenuation_to_db

ERROR_WINDOW = 50.0
"""Errors are shown from minus to plus this [m/s]."""


ATTENUATION_WINDOWS = (1.0, 2.0, 4.0, 10.0, 30.0)
"""Attenuations are shown from zero to one of these [dB/cm], the first that holds nearly all."""


@dataclass(frozen=True)
class _Panel:
    """One image of the top row."""

    title: str
    medium: Medium
    reference: Medium | None = None


def reconstruction_figure(
    reconstruction: Reconstruction, truth: Medium | None = None, title: str = ""
) -> Figure:
    """Draw start, reconstruction and, where known, truth and error; below them a profile and the convergence.

    Where the reconstruction has an attenuation, a row between the two shows it.

    The grey window is one of those in `drawing`, never fitted to the image, so that figures of different
    runs can be compared by eye. Of a volume the middle slice is shown.

    Args:
        reconstruction: The result.
        truth: The medium that made the data.
        title: A name for people, such as the name of the file.

    Returns:
        A figure that belongs to no window.
    """
    panels = [_Panel("Start", reconstruction.start), _Panel("Reconstruction", reconstruction.medium)]
    if truth is not None:
        panels += [_Panel("Truth", truth), _Panel("Error", reconstruction.medium, truth)]
    width, height = (12.8, 7.4) if len(panels) > 2 else (9.6, 8.6)
    heights = [1.45, 1.0]
    if reconstruction.medium.attenuation is not None:
        height, heights = height * (1 + heights[0] / sum(heights)), [heights[0], *heights]
    figure = blank(width, height, top=0.4, bottom=0.25)
    figure.get_layout_engine().set(h_pad=0.09)  # type: ignore[call-arg, union-attr] # between rows of bars and titles
    cells = figure.add_gridspec(len(heights), 1, height_ratios=heights)
    rows = [figure.add_subfigure(cells[number]) for number in range(len(heights))]
    _draw_images(rows[0], panels, speed_window([panel.medium for panel in panels]))
    if reconstruction.medium.attenuation is not None:
        _draw_attenuations(rows[1], panels)
    # Travel times need no iterations that could be drawn.
    left, *right = rows[-1].subplots(1, 2 if reconstruction.history else 1, squeeze=False)[0]
    _draw_profile(left, reconstruction, truth)
    for ax in right:
        _draw_convergence(ax, reconstruction.history)
    write(figure, 1 - 0.12 / height, title or "Sound-speed reconstruction", 14, bold=True)
    return figure


def _draw_images(figure: SubFigure, panels: Sequence[_Panel], window: tuple[float, float]) -> None:
    """Draw the top row: one colour bar for all sound speeds, another for the error."""
    axes = figure.subplots(1, len(panels), squeeze=False, sharex=True, sharey=True)[0]
    images = [_draw_panel(ax, panel, window) for ax, panel in zip(axes, panels, strict=True)]
    axes[0].set_ylabel("y [mm]")
    left, right, low, high = images[1].get_extent()
    axes[0].set(xlim=(left, right), ylim=(low, high))  # shared: every panel shows what was reconstructed
    n_speeds = sum(panel.reference is None for panel in panels)
    add_colour_bar(figure, images[0], axes[:n_speeds], "Sound speed [m/s]")
    if n_speeds < len(panels):
        add_colour_bar(figure, images[-1], axes[n_speeds:], "Reconstruction − truth [m/s]")


def _draw_attenuations(figure: SubFigure, panels: Sequence[_Panel]) -> None:
    """Draw the attenuation of image and truth below their sound speeds, in one window."""
    axes = figure.subplots(1, len(panels), squeeze=False, sharex=True, sharey=True)[0]
    drawn = [
        (ax, panel.medium.grid, attenuation_to_db(1.0) * panel.medium.attenuation_at(MEGAHERTZ), panel.title)
        for ax, panel in zip(axes, panels, strict=True)
        if panel.title in ("Reconstruction", "Truth")
    ]
    # Of single cells, the brightest are noise.
    highest = max(float(np.percentile(values, 99.9)) for _, _, values, _ in drawn)
    window = (0.0, next((w for w in ATTENUATION_WINDOWS if w >= highest), ATTENUATION_WINDOWS[-1]))
    for ax, grid, values, title in drawn:
        image = show(ax, values, grid, window, "magma")
        ax.set_title(f"{title}, attenuation", color=INK, fontsize=11)
        ax.set_xlabel("x [mm]")
        tidy(ax)
    left, right, low, high = extent(drawn[0][1])
    drawn[0][0].set(xlim=(left, right), ylim=(low, high), ylabel="y [mm]")
    drawn[0][0].tick_params(labelleft=True)
    shown = [ax for ax, *_ in drawn]
    for ax in axes:
        if ax not in shown:
            ax.set_axis_off()
    add_colour_bar(figure, image, shown, "Attenuation at 1 MHz [dB/cm]")


def _draw_panel(ax: Axes, panel: _Panel, window: tuple[float, float]) -> AxesImage:
    """Draw one map of sound speed, or of its error against a reference."""
    medium = panel.medium
    if panel.reference is None:
        image = show(ax, medium.sound_speed, medium.grid, window)
    else:
        grid = panel.reference.grid
        difference = medium.resampled(grid).sound_speed - panel.reference.sound_speed
        image = show(ax, difference, grid, (-ERROR_WINDOW, ERROR_WINDOW), "RdBu_r")
    ax.set_title(panel.title, color=INK, fontsize=11)
    ax.set_xlabel("x [mm]")
    tidy(ax)
    return image


def _draw_profile(ax: Axes, reconstruction: Reconstruction, truth: Medium | None) -> None:
    """Draw sound speed along the horizontal line through the middle of the image."""
    lines = [
        ("Start", reconstruction.start, FAINT, 1.2),
        ("Reconstruction", reconstruction.medium, ACCENT, 1.8),
    ]
    if truth is not None:
        lines.insert(1, ("Truth", truth, TRUTH, 1.2))
    image, grid = middle_slice(reconstruction.medium.sound_speed, reconstruction.medium.grid)
    height = float(grid.axis(0)[grid.shape[0] // 2])
    for label, medium, colour, width in lines:
        image, grid = middle_slice(medium.sound_speed, medium.grid)
        row = round((height - grid.origin[0]) / grid.spacing)
        if 0 <= row < grid.shape[0]:
            ax.plot(grid.axis(1).numpy() / MILLIMETRE, image[row], color=colour, linewidth=width, label=label)
    ax.set_title(f"Profile at y = {round(height / MILLIMETRE)} mm", color=INK, fontsize=11)
    ax.set_xlabel("x [mm]")
    ax.set_ylabel("Sound speed [m/s]")
    ax.margins(x=0)
    low, high = ax.get_ylim()
    ax.set_ylim(low, high + 0.16 * (high - low))  # room for the legend
    ax.legend(frameon=False, fontsize=8, labelcolor=INK, loc="upper center", ncols=3)
    tidy(ax)


def _draw_convergence(ax: Axes, history: Sequence[Record]) -> None:
    """Draw the objective over the iterations, with the stages as bands."""
    ax.set_title("Convergence", color=INK, fontsize=11)
    ax.set_xlabel("Iteration")
    ax.set_ylabel("Objective / energy of the data")
    tidy(ax)
    stages = [list(records) for _, records in groupby(history, lambda record: record.stage)]
    upright = len(stages) > 6
    for number, records in enumerate(stages):
        first, last = records[0].iteration - 0.5, records[-1].iteration + 0.5
        if number % 2 == 0:
            ax.axvspan(first, last, color=FAINT, alpha=0.13, linewidth=0)
        iterations = [record.iteration for record in records]
        ax.plot(
            iterations,
            [record.objective for record in records],
            "o-",
            color=ACCENT,
            markersize=3.5,
            linewidth=1.4,
        )
        if len(stages) <= 16:
            ax.annotate(
                _stage_label(records[0]),
                (0.5 * (first + last), 0.985),
                xycoords=("data", "axes fraction"),
                ha="center",
                va="top",
                fontsize=7.5,
                rotation=90 if upright else 0,
                color=INK,
            )
    if all(record.objective > 0 and math.isfinite(record.objective) for record in history):
        make_logarithmic(ax)
        low, high = ax.get_ylim()
        # Room for the names of stages, which are longer upright.
        ax.set_ylim(low, high * (high / low) ** (0.4 if upright else 0.25))
    ax.set_xlim(history[0].iteration - 0.5, history[-1].iteration + 0.5)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))


def _stage_label(record: Record) -> str:
    label = f"{record.frequency / KILOHERTZ:.0f} kHz"
    return f"{label}, α" if "attenuation" in record.stage else label
