"""Images side by side, their errors, and their values along a line, drawn into a panel."""

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from scipy.ndimage import map_coordinates

from usct.medium import Medium
from usct.report.drawing import extent, middle_slice, speed_window
from usct.units import MILLIMETRE
from usct_napari.plots import COLOURS, Plot

ERROR_WINDOWS = (10.0, 25.0, 50.0)
"""[m/s]."""
N_SAMPLES = 400
"""Of a profile."""
Named = Sequence[tuple[str, Medium]]


def draw_images(plot: Plot, images: Named, truth: Medium | None) -> None:
    """Draw images in one window of colours, and below each its error; zooming one zooms all.

    Args:
        plot: Its axes are made anew.
        images: Names and images.
        truth: What errors are against, or None to draw none.
    """
    n_rows = 1 if truth is None or len(images) < 2 else 2
    plot.figure.clear()
    grid = plot.figure.subplots(n_rows, len(images), squeeze=False, sharex=True, sharey=True)
    plot.axes = list(grid.flat)
    window = speed_window([medium for _, medium in images])
    differences = (
        [] if truth is None else [m.sound_speed - truth.resampled(m.grid).sound_speed for _, m in images]
    )
    bound = error_window(differences)
    for number, (name, medium) in enumerate(images):
        shown, flat = middle_slice(medium.sound_speed, medium.grid)
        image = grid[0, number].imshow(
            shown, cmap="gray", vmin=window[0], vmax=window[1], extent=extent(flat), interpolation="nearest"
        )
        grid[0, number].set_title(name)
        if n_rows == 2:
            error = grid[1, number].imshow(
                middle_slice(differences[number], medium.grid)[0],
                cmap="berlin",
                vmin=-bound,
                vmax=bound,
                extent=extent(flat),
                interpolation="nearest",
            )
    _add_bar(plot, image, list(grid[0]), "m/s")
    if n_rows == 2:
        _add_bar(plot, error, list(grid[1]), "error [m/s]")
    for ax in plot.axes:
        ax.set(xticks=[], yticks=[])
    plot.refresh()
    for ax in plot.axes:
        ax.grid(visible=False)


def error_window(errors: Sequence[torch.Tensor]) -> float:
    """Errors are shown from minus to plus this: the least of a few windows that holds 98 % of them [m/s]."""
    largest = max((float(np.percentile(error.abs().numpy(), 98)) for error in errors), default=0.0)
    return next((bound for bound in ERROR_WINDOWS if bound >= largest), ERROR_WINDOWS[-1])


def _add_bar(plot: Plot, image: ScalarMappable, axes: list[Axes], label: str) -> None:
    bar = plot.figure.colorbar(image, ax=axes, shrink=0.9, pad=0.01, aspect=16)
    bar.set_label(label, color=plot.ink, fontsize=8)
    bar.ax.tick_params(colors=plot.ink, labelsize=7)


def draw_profiles(plot: Plot, images: Named, ends: np.ndarray) -> None:
    """Draw images along a straight line.

    Args:
        plot: Where.
        images: Names and images.
        ends: Of the line, shape (2, 2), (y, x) [m].
    """
    plot.clear()
    ax, share = plot.axes[0], np.linspace(0, 1, N_SAMPLES)[:, None]
    points = ends[0] + share * (ends[1] - ends[0])
    along = share[:, 0] * float(np.linalg.norm(ends[1] - ends[0])) / MILLIMETRE
    for number, (name, medium) in enumerate(images):
        values, grid = middle_slice(medium.sound_speed, medium.grid)
        index = grid.fractional_index(torch.from_numpy(points)).numpy().T
        speeds = map_coordinates(values, index, order=1, mode="constant", cval=np.nan)
        colour = plot.ink if number == 0 else COLOURS[(number - 1) % len(COLOURS)]
        ax.plot(along, speeds, color=colour, linewidth=1.8 if number == 0 else 1.2, label=name)
    ax.set(xlabel="Along the line in the image [mm]", ylabel="Sound speed [m/s]")
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4, handlelength=1.2, columnspacing=1)
    plot.refresh()
