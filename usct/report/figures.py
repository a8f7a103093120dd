"""Figures of a reconstruction; drawn without pyplot, so nothing global is touched and no window opens."""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure, SubFigure
from matplotlib.image import AxesImage
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from usct.grid import Grid
from usct.medium import Medium
from usct.reconstruction import RESEARCH_USE_ONLY, Reconstruction, Record
from usct.units import KILOHERTZ, MILLIMETRE

SPEED_WINDOWS = ((1400.0, 1600.0), (1300.0, 1800.0), (1400.0, 3200.0))
"""Display windows [m/s]: soft tissue, wide soft tissue, bone; the first that holds the image is used."""

ERROR_WINDOW = 50.0
"""Errors are shown from minus to plus this [m/s]."""

_INK, _FAINT, _ACCENT, _TRUTH = "#1f2933", "#9aa5b1", "#0b7285", "#e8590c"
_DOTS_PER_INCH = 150


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

    The grey window is one of `SPEED_WINDOWS`, never fitted to the image, so that figures of different
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
    size = (12.8, 7.4) if len(panels) > 2 else (9.6, 8.6)
    figure = Figure(figsize=size, dpi=_DOTS_PER_INCH, layout="constrained")
    FigureCanvasAgg(figure)
    # The title and the notice keep strips of their own above and below what the layout arranges.
    figure.get_layout_engine().set(rect=(0, 0.03, 1, 0.915))  # type: ignore[call-arg, union-attr]
    rows = figure.add_gridspec(2, 1, height_ratios=(1.45, 1.0))
    top, bottom = figure.add_subfigure(rows[0]), figure.add_subfigure(rows[1])
    _draw_images(top, panels, _speed_window([panel.medium for panel in panels]))
    left, right = bottom.subplots(1, 2)
    _draw_profile(left, reconstruction, truth)
    _draw_convergence(right, reconstruction.history)
    heading = title or "Sound-speed reconstruction"
    figure.text(0.012, 0.968, heading, va="center", color=_INK, fontsize=14, fontweight="bold")
    figure.text(0.5, 0.014, RESEARCH_USE_ONLY, ha="center", va="center", color=_INK, fontsize=8)
    return figure


def png(figure: Figure) -> bytes:
    """The figure as the bytes of a PNG file; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", facecolor="white", metadata={"Software": "usct"})
    return buffer.getvalue()


def _slice(values: torch.Tensor, grid: Grid) -> tuple[np.ndarray, Grid]:
    """The map itself, or the middle slice of a volume, with its two-dimensional grid."""
    image = values.detach().cpu().double().numpy()
    if grid.n_dims == 2:
        return image, grid
    return image[grid.shape[0] // 2], Grid(grid.shape[1:], grid.spacing, grid.origin[1:])


def _speed_window(media: Sequence[Medium]) -> tuple[float, float]:
    """The narrowest window that holds all but one part in two hundred of every image [m/s]."""
    images = [_slice(medium.sound_speed, medium.grid)[0] for medium in media]
    low = min(float(np.percentile(image, 0.5)) for image in images)
    high = max(float(np.percentile(image, 99.5)) for image in images)
    fitting = [window for window in SPEED_WINDOWS if window[0] <= low and high <= window[1]]
    return fitting[0] if fitting else SPEED_WINDOWS[-1]


def _extent(grid: Grid) -> tuple[float, float, float, float]:
    """Outer edges of the cells as matplotlib wants them: left, right, bottom, top [mm]."""
    (y0, x0), (y1, x1), half = grid.origin, grid.last, 0.5 * grid.spacing
    edges = (x0 - half, x1 + half, y1 + half, y0 - half)
    return (edges[0] / MILLIMETRE, edges[1] / MILLIMETRE, edges[2] / MILLIMETRE, edges[3] / MILLIMETRE)


def _draw_images(figure: SubFigure, panels: Sequence[_Panel], window: tuple[float, float]) -> None:
    """Draw the top row: one colour bar for all sound speeds, another for the error."""
    axes = figure.subplots(1, len(panels), squeeze=False, sharex=True, sharey=True)[0]
    images = [_draw_panel(ax, panel, window) for ax, panel in zip(axes, panels, strict=True)]
    axes[0].set_ylabel("y [mm]")
    left, right, low, high = images[1].get_extent()
    axes[0].set(xlim=(left, right), ylim=(low, high))  # shared: every panel shows what was reconstructed
    n_speeds = sum(panel.reference is None for panel in panels)
    _add_colour_bar(figure, images[0], axes[:n_speeds], "Sound speed [m/s]")
    if n_speeds < len(panels):
        _add_colour_bar(figure, images[-1], axes[n_speeds:], "Reconstruction − truth [m/s]")


def _draw_panel(ax: Axes, panel: _Panel, window: tuple[float, float]) -> AxesImage:
    """Draw one map of sound speed, or of its error against a reference."""
    if panel.reference is None:
        values, grid = _slice(panel.medium.sound_speed, panel.medium.grid)
        low, high, colours = *window, "gray"
    else:
        grid = panel.reference.grid
        difference = panel.medium.resampled(grid).sound_speed - panel.reference.sound_speed
        values, grid = _slice(difference, grid)
        low, high, colours = -ERROR_WINDOW, ERROR_WINDOW, "RdBu_r"
    image = ax.imshow(
        values, cmap=colours, vmin=low, vmax=high, extent=_extent(grid), interpolation="nearest"
    )
    ax.set_title(panel.title, color=_INK, fontsize=11)
    ax.set_xlabel("x [mm]")
    _tidy(ax)
    return image


def _add_colour_bar(figure: SubFigure, image: AxesImage, axes: Sequence[Axes], label: str) -> None:
    """Add one horizontal bar under a group of panels that share their window."""
    n_axes = len(axes)
    shrink = 0.9 if n_axes == 1 else 1.4 / n_axes
    bar = figure.colorbar(
        image,
        ax=list(axes),
        location="bottom",
        shrink=shrink,
        aspect=20 * shrink * n_axes,
        extend="both",
        pad=0.02,
    )
    bar.set_label(label, color=_INK, fontsize=9)
    bar.outline.set(edgecolor=_FAINT, linewidth=0.6)
    bar.ax.tick_params(labelsize=8, colors=_INK)


def _draw_profile(ax: Axes, reconstruction: Reconstruction, truth: Medium | None) -> None:
    """Draw sound speed along the horizontal line through the middle of the image."""
    lines = [
        ("Start", reconstruction.start, _FAINT, 1.2),
        ("Reconstruction", reconstruction.medium, _ACCENT, 1.8),
    ]
    if truth is not None:
        lines.insert(1, ("Truth", truth, _TRUTH, 1.2))
    image, grid = _slice(reconstruction.medium.sound_speed, reconstruction.medium.grid)
    height = float(grid.axis(0)[grid.shape[0] // 2])
    for label, medium, colour, width in lines:
        image, grid = _slice(medium.sound_speed, medium.grid)
        row = round((height - grid.origin[0]) / grid.spacing)
        if 0 <= row < grid.shape[0]:
            ax.plot(grid.axis(1).numpy() / MILLIMETRE, image[row], color=colour, linewidth=width, label=label)
    ax.set_title(f"Profile at y = {height / MILLIMETRE:.0f} mm", color=_INK, fontsize=11)
    ax.set_xlabel("x [mm]")
    ax.set_ylabel("Sound speed [m/s]")
    ax.margins(x=0)
    low, high = ax.get_ylim()
    ax.set_ylim(low, high + 0.16 * (high - low))  # room for the legend
    ax.legend(frameon=False, fontsize=8, labelcolor=_INK, loc="upper center", ncols=3)
    _tidy(ax)


def _draw_convergence(ax: Axes, history: Sequence[Record]) -> None:
    """Draw the objective over the iterations, with the stages as bands."""
    ax.set_title("Convergence", color=_INK, fontsize=11)
    ax.set_xlabel("Iteration")
    ax.set_ylabel("Objective / energy of the data")
    _tidy(ax)
    if not history:
        ax.text(
            0.5, 0.5, "No iteration was made", ha="center", va="center", transform=ax.transAxes, color=_INK
        )
        return
    stages = _stages(history)
    for number, records in enumerate(stages):
        first, last = records[0].iteration - 0.5, records[-1].iteration + 0.5
        if number % 2 == 0:
            ax.axvspan(first, last, color=_FAINT, alpha=0.13, linewidth=0)
        iterations = [record.iteration for record in records]
        ax.plot(
            iterations,
            [record.objective for record in records],
            "o-",
            color=_ACCENT,
            markersize=3.5,
            linewidth=1.4,
        )
        if len(stages) <= 16:
            ax.annotate(
                _frequency_label(records[0].frequency),
                (0.5 * (first + last), 0.985),
                xycoords=("data", "axes fraction"),
                ha="center",
                va="top",
                fontsize=7.5,
                rotation=0 if len(stages) <= 6 else 90,
                color=_INK,
            )
    if all(record.objective > 0 and math.isfinite(record.objective) for record in history):
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_formatter(NullFormatter())
        low, high = ax.get_ylim()
        ax.set_ylim(low, high * (high / low) ** 0.25)
    ax.set_xlim(history[0].iteration - 0.5, history[-1].iteration + 0.5)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))


def _stages(history: Sequence[Record]) -> list[list[Record]]:
    """Consecutive records of one stage together."""
    stages: list[list[Record]] = []
    for record in history:
        if stages and stages[-1][-1].stage == record.stage:
            stages[-1].append(record)
        else:
            stages.append([record])
    return stages


def _frequency_label(frequency: float) -> str:
    return f"{frequency / KILOHERTZ:.0f} kHz"


def _tidy(ax: Axes) -> None:
    """Give an axis quiet lines and small labels."""
    ax.tick_params(labelsize=8, colors=_INK)
    for label in (ax.xaxis.label, ax.yaxis.label):
        label.set(fontsize=9, color=_INK)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        ax.spines[side].set_color(_FAINT)
