"""The page of a plan: what arrays would see inside a medium."""

import math
import os

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from usct.io import atomic
from usct.plan import Outlook, Plan
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
        "curves": embedded(plan_figure(made)),
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
    finals = [made.together(n, lossy) for n in made.elements]
    best = min(finals, key=lambda outlook: outlook.deviation)
    sentences = [
        f"With all frequencies, {best.n_elements} elements show detail of {_mm(best.detail)} mm in the middle and "
        f"determine {best.determined:.0f} numbers; in detail of {made.size / MILLIMETRE:g} mm and coarser the expected "
        f"error is {best.deviation:.2g} m/s, of {made.before:.2g} before any data."
    ]
    if lossy:
        bare = made.together(best.n_elements, False)
        sentences.append(
            f"Without attenuation it would be {bare.deviation:.2g} m/s and {_mm(bare.detail)} mm: attenuation costs "
            f"{bare.level - best.level:.0f} dB on average of what crosses the ring."
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


def plan_figure(made: Plan) -> Figure:
    """Draw detail, numbers and error against frequency; with attenuation in full, without it dashed."""
    width, height = 15.0, 5.4
    figure = blank(width, height, top=0.5, bottom=0.3)
    detail, numbers, error = figure.subplots(1, 3)
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
    write(figure, 1 - 0.12 / height, heading(made), 13, bold=True)
    return figure


def _draw(ax: Axes, made: Plan, name: str, title: str, factor: float) -> None:
    ax.set_title(title, color=INK, fontsize=10.5)
    ax.set_xlabel("Frequency [kHz]")
    for number, n_elements in enumerate(made.elements):
        for attenuation in (True, False):
            curve = made.curve(n_elements, attenuation)
            if not curve:
                continue
            words = f"{n_elements} elements" + ("" if attenuation else ", lossless")
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
