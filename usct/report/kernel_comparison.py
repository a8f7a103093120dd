"""The page that lays the kernels of several representations side by side."""

import math
import os

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from usct.diagnosis import Portrait, Portraits
from usct.io import atomic
from usct.report.comparison import GLOSSARY
from usct.report.comparison_curves import draw_line, label_ends
from usct.report.drawing import INK, TRUTH, blank, png, tidy, write
from usct.report.html import embedded, render
from usct.units import KILOHERTZ, MILLIMETRE

_WARN = TRUTH
_LOWEST, _FAINTEST = 1e-4, 1e-4
COLUMNS = (
    "Representation",
    "Parameters",
    "Steps of",
    "Numbers determined",
    "Effective rank",
    "Decay exponent",
    "Share of the constant",
)


def write_portraits(
    page: str | os.PathLike[str], picture: str | os.PathLike[str], portraits: Portraits
) -> None:
    """Write the page and, beside it, its figure.

    Raises:
        InputError: If a file cannot be written; what was there before is unchanged.
    """
    atomic.write_bytes(picture, png(portraits_figure(portraits)))
    atomic.write_text(page, portraits_page(portraits))


def portraits_page(portraits: Portraits) -> str:
    """Compose the page as text: HTML that needs no other file."""
    shown = [portrait for portrait in portraits.portraits if portrait.data_kernel is not None]
    facts = {
        "title": heading(portraits),
        "lead": " ".join(verdict(portraits)),
        "columns": COLUMNS,
        "rows": [row(portrait) for portrait in shown],
        "troubles": [(p.name, p.message) for p in portraits.portraits if p.message],
        "curves": embedded(portraits_figure(portraits)),
        "glossary": [(p.name, GLOSSARY[p.name]) for p in shown if p.name in GLOSSARY],
    }
    return render("kernels.html.j2", facts)


def heading(portraits: Portraits) -> str:
    """What was looked at, in a line."""
    frequencies = " + ".join(f"{f / KILOHERTZ:g}" for f in portraits.frequencies)
    return f"What representations would learn from {portraits.scan or 'a scan'} at {frequencies} kHz"


def verdict(portraits: Portraits) -> tuple[str, ...]:
    """Who would learn evenly and who one thing after another, in plain sentences."""
    known = [(p.name, p.data_kernel) for p in portraits.portraits if p.data_kernel is not None]
    flat = [(kernel.decay_exponent, name) for name, kernel in known if math.isfinite(kernel.decay_exponent)]
    if not flat:
        return ()
    (lowest, evenest), (highest, steepest) = min(flat), max(flat)
    sentences = [f"Strengths fall off slowest for {evenest}, as number^-{lowest:.2g}."]
    if steepest != evenest:
        sentences = [
            f"Strengths fall off slowest for {evenest} (as number^-{lowest:.2g}): it learns coarse and fine most "
            f"evenly. They fall off fastest for {steepest} (as number^-{highest:.2g}): it learns one pattern after "
            "another, and stopped early it is the most robust to noise."
        ]
    constant = [f"{name} ({100 * k.constant_share:.0f} %)" for name, k in known if k.constant_share >= 0.1]
    if constant:
        sentences.append(
            f"Much of the kernel goes to the image's mean, left out in all curves, for {', '.join(constant)}."
        )
    return tuple(sentences)


def row(portrait: Portrait) -> tuple[str, ...]:
    """One line of the table, as texts."""
    kernel = portrait.data_kernel
    assert kernel is not None
    values = (kernel.degrees_of_freedom, kernel.effective_rank)
    return (
        portrait.name,
        str(portrait.n_parameters),
        "Adam" if portrait.optimizer.startswith("Adam") else "plain gradient",
        *(f"{value:.0f}" for value in values),
        f"{kernel.decay_exponent:.2f}",
        f"{100 * kernel.constant_share:.1f} %",
    )


def portraits_figure(portraits: Portraits) -> Figure:
    """Draw spectra, what each representation lets through, and what waves and representation do together."""
    width, height = 15.0, 5.6
    figure = blank(width, height, top=0.5, bottom=0.3)
    spectrum, response, product = figure.subplots(1, 3)
    _draw_spectra(spectrum, portraits)
    _draw_bands(response, portraits, with_waves=False)
    _draw_bands(product, portraits, with_waves=True)
    for ax in (spectrum, response, product):
        tidy(ax)
    write(figure, 1 - 0.12 / height, heading(portraits), 13, bold=True)
    return figure


def _draw_spectra(ax: Axes, portraits: Portraits) -> None:
    """Draw all eigenvalues over the largest, by rank."""
    ax.set_title("How fast each pattern is learnt (WTK spectrum)", color=INK, fontsize=10.5)
    ax.set(xscale="log", yscale="log", ylim=(_LOWEST, 2))
    ax.set_xlabel("Number of the pattern")
    ax.set_ylabel("Strength over that of the first")
    ends = []
    for number, portrait in enumerate(portraits.portraits):
        if portrait.data_kernel is None:
            continue
        kernel = portrait.data_kernel
        order = kernel.nodes.argsort(descending=True)
        rank = kernel.weights[order].cumsum(0) - 0.5 * kernel.weights[order]
        count, top = len(kernel.eigenvalues), float(kernel.eigenvalues[0])
        # Beyond the number determined, few probes do not tell eigenvalues apart.
        later = (rank > count) & (rank <= kernel.degrees_of_freedom)
        across = [*range(1, count + 1), *rank[later].tolist()]
        up = [v / top for v in (*kernel.eigenvalues.tolist(), *kernel.nodes[order][later].tolist())]
        drawn = [(x, y) for x, y in zip(across, up, strict=True) if y > _LOWEST]
        _draw_line(ax, number, [x for x, _ in drawn], [y for _, y in drawn])
        ends.append((number, portrait.name, *drawn[-1]))
    ax.set_xlim(0.8, 1.2 * max((end[2] for end in ends), default=1.0))
    label_ends(ax, ends)


def _draw_bands(ax: Axes, portraits: Portraits, with_waves: bool) -> None:
    """Draw what the representation passes at each wavenumber, alone or times what the waves see."""
    title = "Strength at each size of detail" if with_waves else "What each representation lets through"
    ax.set_title(f"{title} ({'waves x NTK' if with_waves else 'NTK'})", color=INK, fontsize=10.5)
    ax.set(yscale="log", ylim=(_FAINTEST, 2))
    ends, limit = [], 0.0
    for number, portrait in enumerate(portraits.portraits):
        kernel = portrait.image_kernel
        if kernel is None:
            continue
        values = kernel.representation * (kernel.gain if with_waves else 1.0)
        shown = values > _FAINTEST * values.max()
        up, across = (values / values.max())[shown], kernel.wavenumbers[shown] * MILLIMETRE
        limit = kernel.diffraction_limit * MILLIMETRE
        _draw_line(ax, number, across.tolist(), up.tolist())
        ends.append((number, portrait.name, float(across[-1]), float(up[-1])))
    highest = max((end[2] for end in ends), default=1.0)
    ax.set_xlim(0, highest)
    if limit < highest:
        ax.axvspan(limit, highest, color=_WARN, alpha=0.1, linewidth=0)
        ax.text(limit, 1.2 * _FAINTEST, "invisible ", ha="right", fontsize=8, color=_WARN, rotation=90)
    ticks = [t for t in ax.xaxis.get_major_locator().tick_values(0, highest) if 0 < t <= highest]
    ax.set_xticks(ticks, [f"{tick:.3g}\n{math.pi / tick:.2g}" for tick in ticks])
    ax.set_xlabel("Wavenumber [rad/mm], below it half a wave [mm]")
    ax.set_ylabel("Relative to the largest")
    label_ends(ax, ends)


def _draw_line(ax: Axes, number: int, across: list[float], up: list[float]) -> None:
    draw_line(ax, number, across, up)
    ax.lines[-1].set_marker("")
