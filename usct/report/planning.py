"""The page of a plan: what arrays would see inside a medium."""

import math
import os
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from usct.io import atomic
from usct.plan import PLACES_PER_SIZE, Outlook, Plan
from usct.report.drawing import FAINT, INK, blank, png, tidy, write
from usct.report.html import embedded, render
from usct.units import KILOHERTZ, MILLIMETRE

COLUMNS = (
    "Elements",
    "Frequency [kHz]",
    "Attenuation",
    "Detail in the middle [mm]",
    "Near the rim [mm]",
    "Numbers determined",
    "Expected error [m/s]",
    "Crosses [dB]",
)
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9")


def write_plan(page: str | os.PathLike[str], picture: str | os.PathLike[str], made: Plan) -> None:
    """Write the page and, beside it, its figure.

    Raises:
        InputError: If a file cannot be written; what was there before is unchanged.
    """
    atomic.write_bytes(picture, png(plan_figure(made)))
    atomic.write_text(page, plan_page(made))


def plan_page(made: Plan) -> str:
    """Compose the page as text: HTML that needs no other file."""
    facts = {
        "title": heading(made),
        "lead": " ".join(verdict(made)),
        "columns": COLUMNS,
        "rows": [row(outlook) for outlook in made.outlooks],
        "curves": embedded(plan_figure(made, headed=False)),
        "snr": f"{made.snr_db:g}",
        "contrast": f"{made.contrast:g}",
        "correlation": f"{made.correlation / MILLIMETRE:g}",
        "size": f"{made.size / MILLIMETRE:g}",
        "before": f"{made.before:.1f}",
        "places": [f"({x / MILLIMETRE:.0f}, {y / MILLIMETRE:.0f}) mm" for y, x in made.places],
    }
    return render("plan.html.j2", facts)


def heading(made: Plan) -> str:
    """What was looked at, in a line."""
    radius, area = made.radius / MILLIMETRE, made.area / MILLIMETRE**2 / 100
    return f"What a ring of {radius:g} mm would see inside {made.medium or 'a medium'} ({area:.0f} cm²)"


def verdict(made: Plan) -> tuple[str, ...]:
    """The best that can be hoped for, and what attenuation takes of it, in plain sentences."""
    lossy = any(outlook.attenuation for outlook in made.outlooks)
    finals = [one for n in made.elements if (one := made.together(n, lossy)) is not None]
    if not finals:
        return ("Cancelled before it was done: the table holds what was found.",)
    best = min(finals, key=lambda outlook: outlook.deviation)
    several = len(best.frequencies) > 1
    data = "With all frequencies" if several else f"At {best.frequencies[0] / KILOHERTZ:g} kHz"
    sentences = [
        f"{data}, {best.n_elements} elements show detail of {_mm(best.detail)} mm in the middle and "
        f"determine {best.determined:.0f} numbers; in detail of {made.size / MILLIMETRE:g} mm and coarser the expected "
        f"error is {best.deviation:.2g} m/s, of {made.before:.2g} before any data."
    ]
    bare = made.together(best.n_elements, False)
    if lossy and bare is not None:
        sentences.append(
            f"Without attenuation it would be {bare.deviation:.2g} m/s and {_mm(bare.detail)} mm: attenuation costs "
            f"{bare.level - best.level:.0f} dB{' on average' * several} of what crosses the ring."
        )
    return tuple(sentences)


def row(outlook: Outlook) -> tuple[str, ...]:
    """One line of the table, as texts."""
    several = len(outlook.frequencies) > 1
    return (
        str(outlook.n_elements),
        "all" if several else f"{outlook.frequencies[0] / KILOHERTZ:g}",
        "yes" if outlook.attenuation else "no",
        _mm(outlook.detail),
        _mm(outlook.detail_near),
        f"{outlook.determined:.0f}",
        f"{outlook.deviation:.2f}",
        f"{outlook.level:.1f}",
    )


def plan_figure(made: Plan, headed: bool = True) -> Figure:
    """Draw detail, numbers and error against frequency, and the best ring's errors as maps.

    Full lines and the first map have the medium's attenuation, dashed lines and the second map have none. The heading
    is left to a page that has it already.
    """
    width, height = 15.0, 10.4
    figure = blank(width, height, top=0.5 if headed else 0.1, bottom=0.3)
    charts, maps = figure.subplots(2, 3)
    detail, numbers, error = charts
    _draw(detail, made, "detail", "Detail in the middle [mm]", 1 / MILLIMETRE)
    _draw(numbers, made, "determined", "Numbers determined", 1.0)
    size = f"{made.size / MILLIMETRE:g} mm"
    _draw(error, made, "deviation", f"Expected error in detail of {size} and coarser [m/s]", 1.0)
    error.set_ylim(0, 1.1 * made.before)
    error.axhline(made.before, color=FAINT, linewidth=0.8)
    error.annotate(
        "before any data",
        (1.0, made.before),
        xycoords=("axes fraction", "data"),
        xytext=(-2, -10),
        textcoords="offset points",
        ha="right",
        fontsize=8,
        color=FAINT,
    )
    detail.legend(frameon=False, fontsize=8, labelcolor=INK)
    _draw_maps(maps, made)
    if headed:
        write(figure, 1 - 0.12 / height, heading(made), 13, bold=True)
    return figure


def _draw_maps(axes: Sequence[Axes], made: Plan) -> None:
    """Where the error lies: the largest ring's, all frequencies, with and without attenuation, and the smallest's."""
    most, least = max(made.elements), min(made.elements)
    lossy = any(outlook.attenuation for outlook in made.outlooks)
    wanted = dict.fromkeys([(most, lossy), (most, False), (least, lossy)])
    shown = [one for case in wanted if (one := made.together(*case)) is not None and one.errors]
    top = max((max(one.errors) for one in shown), default=1.0)
    for ax in axes[len(shown) :]:
        ax.set_axis_off()
    for ax, one in zip(axes, shown, strict=False):
        words = "with attenuation" if one.attenuation else "without attenuation"
        frequencies = (
            "all frequencies" if len(one.frequencies) > 1 else f"{one.frequencies[0] / KILOHERTZ:g} kHz"
        )
        image, extent = _map(made, one.errors)
        drawn = ax.imshow(image, extent=extent, cmap="viridis", vmin=0, vmax=top)
        ax.set_title(f"{one.n_elements} elements, {words}, {frequencies}", color=INK, fontsize=10.5)
        ax.set_xlabel("x [mm]")
        ax.set_ylabel("y [mm]")
        tidy(ax)
        ax.grid(False)
        ax.figure.colorbar(drawn, ax=ax, shrink=0.85, label="Expected error [m/s]")


def _map(made: Plan, errors: Sequence[float]) -> tuple[np.ndarray, tuple[float, float, float, float]]:
    """Values of the plan's places as an image, NaN elsewhere, and where its edges lie [mm]."""
    where = np.array(made.where)
    step = made.size / PLACES_PER_SIZE
    index = np.rint((where - where.min(axis=0)) / step).astype(int)
    image = np.full(tuple(index.max(axis=0) + 1), np.nan)
    image[tuple(index.T)] = errors
    low = (where.min(axis=0) - 0.5 * step) / MILLIMETRE
    high = (where.max(axis=0) + 0.5 * step) / MILLIMETRE
    return image, (low[1], high[1], high[0], low[0])


def _draw(ax: Axes, made: Plan, name: str, title: str, factor: float) -> None:
    ax.set_title(title, color=INK, fontsize=10.5)
    ax.set_xlabel("Frequency [kHz]")
    for number, n_elements in enumerate(made.elements):
        for attenuation in (True, False):
            curve = made.curve(n_elements, attenuation)
            if not curve:
                continue
            words = f"{n_elements} elements" + ("" if attenuation else ", without attenuation")
            ax.plot(
                [o.frequencies[0] / KILOHERTZ for o in curve],
                [factor * getattr(o, name) for o in curve],
                color=_COLOURS[number % len(_COLOURS)],
                linestyle="-" if attenuation else (0, (4, 2)),
                marker="o" if attenuation else None,
                markersize=4,
                linewidth=1.6 if attenuation else 1.1,
                label=words,
            )
    ax.set_ylim(bottom=0)
    tidy(ax)


def _mm(length: float) -> str:
    return f"{length / MILLIMETRE:.1f}" if math.isfinite(length) else "–"
