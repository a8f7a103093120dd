"""Figures of a comparison: curves, images, and close-ups of lesions."""

import math
import textwrap
from collections.abc import Callable

from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.image import AxesImage

from usct.evaluation.regions import object_mask
from usct.evaluation.spots import Spot
from usct.evaluation.trials import Comparison, Trial
from usct.medium import Medium
from usct.report.comparison_curves import draw_curves
from usct.report.drawing import (
    INK,
    TRUTH,
    add_upright_bar,
    bare,
    blank,
    extent,
    middle_slice,
    show,
    speed_window,
    tidy,
    write,
)
from usct.units import MILLIMETRE

_WIDTH = 12.8
_CURVES_HEIGHT, _IMAGE_HEIGHT = 4.4, 2.75
_IMAGES_PER_ROW = 5
_LONGEST_NAME = 16
_WATER_AROUND = 0.2  # on each side of an image, as a share of the object's size


def curves_figure(comparison: Comparison) -> Figure:
    """Draw error and residual of all runs against factorisations and seconds."""
    return _alone(lambda part: draw_curves(part, comparison), _CURVES_HEIGHT)


def images_figure(comparison: Comparison) -> Figure:
    """Draw truth, start and every representation's last image in one grey window."""
    return _alone(lambda part: _draw_images(part, comparison), _images_height(comparison))


def close_ups_figure(comparison: Comparison) -> Figure:
    """Draw close-ups: a row for each place, a column for the truth and each representation."""
    return _alone(lambda part: _draw_close_ups(part, comparison), _close_ups_height(comparison))


def comparison_figure(comparison: Comparison, title: str = "", caption: str = "") -> Figure:
    """Draw curves, images and close-ups under one another, with the notice.

    Args:
        comparison: What became of the runs.
        title: A name for people.
        caption: What is to be seen, in a few sentences.

    Returns:
        A figure that belongs to no window.
    """
    parts: list[tuple[float, str, Callable[[SubFigure, Comparison], None]]] = [
        (_CURVES_HEIGHT, "", draw_curves),
        (_images_height(comparison), "Sound speed", _draw_images),
    ]
    if comparison.spots:
        parts.append((_close_ups_height(comparison), _close_ups_title(comparison), _draw_close_ups))
    lines = textwrap.wrap(caption, 165)
    top, bottom = 0.6 + 0.2 * len(lines), 0.3
    total = sum(height for height, *_ in parts) + top + bottom
    figure = blank(_WIDTH, total, top, bottom)
    rows = figure.add_gridspec(len(parts), 1, height_ratios=[height for height, *_ in parts])
    for number, (_, name, draw) in enumerate(parts):
        part = figure.add_subfigure(rows[number])
        draw(part, comparison)
        if name:
            part.suptitle(name, x=0.012, ha="left", color=INK, fontsize=12, fontweight="bold")
    heading = title or "Representations compared"
    write(figure, 1 - 0.15 / total, heading, 14, bold=True)
    write(figure, 1 - 0.5 / total, "\n".join(lines), 9.5)
    return figure


def _alone(draw: Callable[[SubFigure], None], height: float) -> Figure:
    figure = blank(_WIDTH, height)
    draw(figure.add_subfigure(figure.add_gridspec(1, 1)[0]))
    return figure


def _images_height(comparison: Comparison) -> float:
    return _IMAGE_HEIGHT * math.ceil(len(_panels(comparison)) / _IMAGES_PER_ROW) + 0.5


def _close_ups_height(comparison: Comparison) -> float:
    columns = 1 + len(_imaged(comparison))
    return max(1, len(comparison.spots)) * min(2.4, 0.9 * _WIDTH / columns + 0.25) + 0.4


def _close_ups_title(comparison: Comparison) -> str:
    outlined = any(spot.outline is not None for spot in comparison.spots)
    return (
        "Close-ups of lesions, outlined where they truly are, in the grey window above"
        if outlined
        else "Close-ups"
    )


def _imaged(comparison: Comparison) -> list[Trial]:
    return [trial for trial in comparison.trials if trial.medium is not None]


def _broken(name: str) -> str:
    """A long NAME:OPTIMIZER in two lines."""
    return name.replace(":", ":\n") if len(name) > _LONGEST_NAME else name


def _panels(comparison: Comparison) -> list[tuple[str, Medium | None, str]]:
    """Title, image and, where there is no image, the reason."""
    panels: list[tuple[str, Medium | None, str]] = [("Truth", comparison.truth, "")]
    if comparison.start is not None:
        panels.append((f"Start\nRMSE {comparison.start_rmse:.1f} m/s", comparison.start, ""))
    for trial in comparison.trials:
        error = f"\nRMSE {trial.last.rmse:.1f} m/s" if trial.last else "\nno image"
        panels.append((_broken(trial.name) + error, trial.medium, trial.message))
    return panels


def _window(comparison: Comparison) -> tuple[float, float]:
    """The grey window of all images [m/s]: it is the truth's, so that no failure makes the others pale."""
    return speed_window([comparison.truth])


def _draw_images(figure: SubFigure, comparison: Comparison) -> None:
    """Draw a panel each, all in one window and one frame."""
    panels = _panels(comparison)
    n_rows = math.ceil(len(panels) / _IMAGES_PER_ROW)
    n_columns = min(_IMAGES_PER_ROW, len(panels))
    axes = figure.subplots(n_rows, n_columns, squeeze=False)
    shown: list[AxesImage] = []
    for ax, (title, medium, reason) in zip(axes.flat, panels, strict=False):
        ax.set_title(title, color=INK, fontsize=9.5)
        if medium is None:
            _write_reason(ax, reason)
        else:
            shown.append(show(ax, medium.sound_speed, medium.grid, _window(comparison)))
            tidy(ax)
    for ax in axes[:, 0]:
        ax.set_ylabel("y [mm]", fontsize=9, color=INK)
    for ax in axes[-1]:
        ax.set_xlabel("x [mm]", fontsize=9, color=INK)
    left, right, low, high = _frame_of_object(comparison.truth)
    for image in shown:
        image.axes.set(xlim=(left, right), ylim=(low, high))
    for ax in axes.flat[len(panels) :]:
        ax.set_visible(False)
    add_upright_bar(figure, shown[0], axes.ravel().tolist(), "Sound speed [m/s]")


def _frame_of_object(truth: Medium) -> tuple[float, float, float, float]:
    """Left, right, bottom and top of a square about the object, with water around it [mm]."""
    points = truth.grid.points()[object_mask(truth)][:, -2:]
    if not len(points):
        return extent(middle_slice(truth.sound_speed, truth.grid)[1])
    first, last = points.amin(dim=0), points.amax(dim=0)
    half = (0.5 + _WATER_AROUND) * float((last - first).max())
    y, x = (0.5 * (first + last)).tolist()
    return (
        (x - half) / MILLIMETRE,
        (x + half) / MILLIMETRE,
        (y + half) / MILLIMETRE,
        (y - half) / MILLIMETRE,
    )


def _write_reason(ax: Axes, reason: str) -> None:
    """Say in an empty panel why there is no image."""
    ax.text(
        0.5,
        0.5,
        textwrap.fill(textwrap.shorten(reason, 180), 26),
        ha="center",
        va="center",
        transform=ax.transAxes,
        color=INK,
        fontsize=7.5,
        parse_math=False,
    )
    ax.set(aspect="equal")
    bare(ax)


def _draw_close_ups(figure: SubFigure, comparison: Comparison) -> None:
    """Draw a row for each spot, the truth first."""
    trials = _imaged(comparison)
    columns = [
        ("Truth", comparison.truth),
        *((_broken(t.name), t.medium) for t in trials if t.medium is not None),
    ]
    axes = figure.subplots(max(1, len(comparison.spots)), len(columns), squeeze=False)
    for row, spot in zip(axes, comparison.spots, strict=True):
        for ax, (name, medium) in zip(row, columns, strict=True):
            show(ax, medium.sound_speed, medium.grid, _window(comparison))
            _frame(ax, spot, comparison.truth)
            if ax in axes[0]:
                ax.set_title(name, color=INK, fontsize=9.5)
            if medium is not comparison.truth:
                error = _local_error(medium, comparison.truth, spot)
                ax.set_xlabel(f"RMSE {error:.1f} m/s", fontsize=8, color=INK)
        row[0].set_ylabel(
            f"{spot.name}\n{2 * spot.half_width / MILLIMETRE:.0f} mm wide", fontsize=9, color=INK
        )


def _frame(ax: Axes, spot: Spot, truth: Medium) -> None:
    """Cut out the spot and outline its lesion."""
    (y, x), half = spot.centre, spot.half_width
    if spot.outline is not None:
        ax.contour(
            truth.grid.axis(1).numpy() / MILLIMETRE,
            truth.grid.axis(0).numpy() / MILLIMETRE,
            spot.outline.double().numpy(),
            levels=[0.5],
            colors=[TRUTH],
            linewidths=0.9,
        )
    edges = ((x - half, x + half), (y + half, y - half))
    ax.set(xlim=[v / MILLIMETRE for v in edges[0]], ylim=[v / MILLIMETRE for v in edges[1]])
    bare(ax)


def _local_error(medium: Medium, truth: Medium, spot: Spot) -> float:
    """Root-mean-square error inside a close-up [m/s]."""
    difference = medium.resampled(truth.grid).sound_speed.double() - truth.sound_speed.double()
    return float(difference[spot.cells(truth.grid)].square().mean().sqrt())
