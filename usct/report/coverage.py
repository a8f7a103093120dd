"""Whether errors stay within what was announced: a calibration plot."""

import torch
from matplotlib.figure import Figure

from usct.diagnostics.uncertainty import Calibration
from usct.report.drawing import ACCENT, FAINT, INK, blank, tidy, write

_HEIGHT = 6.6
_CAUTION = (
    "Neighbouring places err alike, so one image leaves this curve to luck: pool several noise draws.\n"
    "Below the diagonal: too sure. Above it: too careful. Detail finer than the waves see is left out."
)


def coverage_figure(found: Calibration, title: str = "") -> Figure:
    """Draw which share of the errors lay within the interval that should hold a given share.

    Args:
        found: Announced and found shares.
        title: A name for people.

    Returns:
        A figure that belongs to no window.
    """
    figure = blank(5.6, _HEIGHT, 0.55, 0.95)
    write(figure, 1 - 0.12 / _HEIGHT, "Do errors stay within what was announced?", 12, bold=True)
    write(figure, 1 - 0.36 / _HEIGHT, title, 8.5)
    ax = figure.subplots()
    ax.plot([0, 1], [0, 1], color=FAINT, linewidth=1.2, label="perfectly calibrated")
    ends = torch.tensor([0.0, 1.0], dtype=torch.float64)
    nominal, empirical = (torch.cat([ends[:1], v, ends[1:]]) for v in (found.nominal, found.empirical))
    ax.plot(nominal, empirical, "o-", color=ACCENT, linewidth=1.6, markersize=4, label="found")
    ax.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    ax.set_xlabel("Share of errors announced to lie within")
    ax.set_ylabel("Share that did")
    ax.legend(frameon=False, fontsize=8.5, labelcolor=INK, loc="upper left")
    tidy(ax)
    figure.text(0.03, 0.58 / _HEIGHT, _CAUTION, va="bottom", color=INK, fontsize=7.5, linespacing=1.3)
    return figure
