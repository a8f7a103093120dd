"""Images along a line, and how runs came to them, drawn into a panel."""

from collections.abc import Sequence

import numpy as np
import torch
from scipy.ndimage import map_coordinates

from usct.medium import Medium
from usct.report.drawing import middle_slice
from usct.units import MILLIMETRE
from usct_napari.comparing import Image
from usct_napari.plots import COLOURS, Plot

N_SAMPLES = 400
"""Of a profile."""


def draw_profiles(plot: Plot, images: Sequence[tuple[str, Medium]], ends: np.ndarray) -> None:
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
    (top, left), (bottom, right) = np.round(ends / MILLIMETRE).astype(int).tolist()
    ax.set(
        xlabel=f"Line from (x, y) = ({left}, {top}) to ({right}, {bottom}) [mm]",
        ylabel="Sound speed [m/s]",
    )
    ax.legend(loc="lower center", bbox_to_anchor=(0.45, 1.0), ncols=2, handlelength=1.2, columnspacing=1)
    plot.refresh()


def draw_histories(plot: Plot, images: Sequence[tuple[str, Image]]) -> None:
    """Draw how the misfit of each result fell, update by update; a tick marks the end of a stage.

    Args:
        plot: Where.
        images: Names and images, in the order of their profiles' colours.
    """
    plot.clear()
    ax, drawn = plot.axes[0], False
    for number, (name, image) in enumerate(images):
        history = image.result.history if image.result is not None else ()
        if not history:
            continue
        colour, misfit = COLOURS[(number - 1) % len(COLOURS)], [record.objective for record in history]
        ax.semilogy(range(1, len(misfit) + 1), misfit, color=colour, linewidth=1.2, label=name)
        stages = [record.stage for record in history]
        ends = [n for n, stage in enumerate(stages) if stages[n + 1 : n + 2] != [stage]]
        ax.plot([n + 1 for n in ends], [misfit[n] for n in ends], "|", color=colour, markersize=10)
        drawn = True
    if drawn:
        ax.set(xlabel="Update; a tick ends a frequency", ylabel="Misfit")
        ax.legend(loc="upper right")
    else:
        plot.say(0, "tick a result to see how its misfit fell")
    plot.refresh()
