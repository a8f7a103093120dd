"""What all figures share: inks, grey windows, axes, and the frame about them; nothing global is touched."""

import io
from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colorbar import Colorbar
from matplotlib.figure import Figure, SubFigure
from matplotlib.image import AxesImage
from matplotlib.ticker import LogLocator, NullFormatter

from usct.grid import Grid
from usct.medium import Medium
from usct.reconstruction import RESEARCH_USE_ONLY
from usct.units import MILLIMETRE

SPEED_WINDOWS = ((1400.0, 1600.0), (1300.0, 1800.0), (1400.0, 3200.0))
"""Display windows [m/s]: soft tissue, wide soft tissue, everything; the first that holds the image is used."""

BRAIN_WINDOW, BONE_SPEED = (1480.0, 1640.0), 1750.0
"""Window of a head, whose bone is white, for the brain is sought, and the slowest speed of bone [m/s]."""

LEAST_BONE = 0.02
"""Share of an image that bone takes in a head."""

INK, FAINT, ACCENT, TRUTH = "#1f2933", "#9aa5b1", "#0b7285", "#e8590c"
"""Colours of text, of what stands back, of what matters, and of the truth."""

DOTS_PER_INCH = 150
SIDE = 0.012
"""Where text begins, as a share of the figure's width."""


def blank(width: float, height: float, top: float = 0.0, bottom: float = 0.0) -> Figure:
    """A figure that belongs to no window, of a width and height [inch].

    Args:
        width: Of the figure.
        height: Of the figure.
        top: Height of a strip above what the layout arranges, for a heading.
        bottom: Height of a strip below it; if there is one, it says that this is for research alone.
    """
    figure = Figure(figsize=(width, height), dpi=DOTS_PER_INCH, layout="constrained")
    FigureCanvasAgg(figure)
    if top or bottom:
        frame = (0, bottom / height, 1, 1 - (top + bottom) / height)
        figure.get_layout_engine().set(rect=frame)  # type: ignore[call-arg, union-attr]
    if bottom:
        at = 0.5 * bottom / height
        figure.text(0.5, at, RESEARCH_USE_ONLY, ha="center", va="center", color=INK, fontsize=8)
    return figure


def png(figure: Figure) -> bytes:
    """The figure as the bytes of a PNG file; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", facecolor="white", metadata={"Software": "usct"})
    return buffer.getvalue()


def middle_slice(values: torch.Tensor, grid: Grid) -> tuple[np.ndarray, Grid]:
    """The map itself, or the middle slice of a volume, with its two-dimensional grid."""
    image = values.detach().cpu().double().numpy()
    if grid.n_dims == 2:
        return image, grid
    return image[grid.shape[0] // 2], Grid(grid.shape[1:], grid.spacing, grid.origin[1:])


def speed_window(media: Sequence[Medium]) -> tuple[float, float]:
    """The narrowest window that holds all but one part in two hundred of every image, a head's bone left out [m/s]."""
    images = [middle_slice(medium.sound_speed, medium.grid)[0] for medium in media]
    if any((image > BONE_SPEED).mean() > LEAST_BONE for image in images):
        return BRAIN_WINDOW
    low = min(float(np.percentile(image, 0.5)) for image in images)
    high = max(float(np.percentile(image, 99.5)) for image in images)
    fitting = [window for window in SPEED_WINDOWS if window[0] <= low and high <= window[1]]
    return fitting[0] if fitting else SPEED_WINDOWS[-1]


def extent(grid: Grid) -> tuple[float, float, float, float]:
    """Outer edges of the cells as matplotlib wants them: left, right, bottom, top [mm]."""
    (y0, x0), (y1, x1), half = grid.origin, grid.last, 0.5 * grid.spacing
    edges = (x0 - half, x1 + half, y1 + half, y0 - half)
    return (edges[0] / MILLIMETRE, edges[1] / MILLIMETRE, edges[2] / MILLIMETRE, edges[3] / MILLIMETRE)


def show(
    ax: Axes, values: torch.Tensor, grid: Grid, window: tuple[float, float], colours: str = "gray"
) -> AxesImage:
    """Draw a map cell by cell between the ends of a window; of a volume, its middle slice."""
    image, grid = middle_slice(values, grid)
    low, high = window
    return ax.imshow(image, cmap=colours, vmin=low, vmax=high, extent=extent(grid), interpolation="nearest")


def add_colour_bar(figure: SubFigure, image: AxesImage, axes: Sequence[Axes], label: str) -> None:
    """Add one bar below a group of panels that share their window."""
    shrink = 0.9 if len(axes) == 1 else 1.4 / len(axes)
    bar = figure.colorbar(
        image,
        ax=list(axes),
        location="bottom",
        shrink=shrink,
        aspect=20 * shrink * len(axes),
        extend="both",
        pad=0.02,
    )
    _label(bar, label)


def add_upright_bar(figure: SubFigure, image: AxesImage, axes: Sequence[Axes], label: str) -> None:
    """Add one bar to the right of panels that share their window."""
    bar = figure.colorbar(
        image, ax=list(axes), location="right", shrink=0.6, aspect=30, extend="both", pad=0.01
    )
    _label(bar, label)


def _label(bar: Colorbar, label: str) -> None:
    bar.set_label(label, color=INK, fontsize=9)
    bar.outline.set(edgecolor=FAINT, linewidth=0.6)
    bar.ax.tick_params(labelsize=8, colors=INK)


def write(figure: Figure, height: float, text: str, size: float, bold: bool = False) -> None:
    """Write text from the left edge, downwards from a height as a share of the figure's."""
    weight = "bold" if bold else "normal"
    figure.text(SIDE, height, text, va="top", color=INK, fontsize=size, fontweight=weight, parse_math=False)


def make_logarithmic(ax: Axes) -> None:
    """Give an upright axis a logarithmic scale with plain numbers at 1, 2 and 5."""
    ax.set_yscale("log")
    ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_formatter(NullFormatter())


def tidy(ax: Axes) -> None:
    """Give an axis quiet lines and small labels."""
    ax.tick_params(labelsize=8, colors=INK)
    for label in (ax.xaxis.label, ax.yaxis.label):
        label.set(fontsize=9, color=INK)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        ax.spines[side].set_color(FAINT)


def bare(ax: Axes) -> None:
    """Give an axis no ticks and a quiet frame."""
    ax.set(xticks=[], yticks=[])
    for spine in ax.spines.values():
        spine.set_color(FAINT)
