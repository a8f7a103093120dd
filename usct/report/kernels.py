"""One page about what the data support: image and its limits, patterns, spectra, and whether theory holds."""

import math
import textwrap
from collections.abc import Callable

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import MaxNLocator

from usct.diagnosis import Decay, Diagnosis, KernelDrift
from usct.grid import Grid
from usct.medium import Medium
from usct.report.drawing import (
    ACCENT,
    FAINT,
    INK,
    TRUTH,
    add_colour_bar,
    bare,
    blank,
    show,
    speed_window,
    tidy,
    write,
)
from usct.report.kernel_rows import draw_data_modes, draw_rows
from usct.units import KILOHERTZ, MILLIMETRE

_WARN = TRUTH
_OVER_CURVES = {"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 1}
"""Behind words that may lie on a curve."""
_WIDTH = 12.8
_MODES_SHOWN = 7
_DECAYS_SHOWN = 5
_CAUTIONS = (
    "How this can mislead.  How fine, how sure: for these frequencies, this noise and right models of the waves; blind "
    "to places where waves skipped a cycle.  Patterns: a few of thousands, no summary.",
    "Around a place: one plain step, where many sharpen; wide or ringing means blurred or false neighbours.  Strength: "
    "relative to noise and prior, both estimated; the thin curve is from a few random probes.",
    "Which detail: averages over places and directions.  Does the theory hold: of plain gradient steps, receivers' "
    "gains held; Adam and Gauss-Newton take others.",
)
_DECAY_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000")


def kernels_figure(diagnosis: Diagnosis, title: str = "") -> Figure:
    """Draw a diagnosis on one page.

    Args:
        diagnosis: What was found.
        title: A name for people, such as the name of the file.

    Returns:
        A figure that belongs to no window.
    """
    lines = [
        part
        for sentence in diagnosis.summary
        for part in textwrap.wrap(sentence, 150, initial_indent="•  ", subsequent_indent="    ")
    ]
    top, bottom = 0.85 + 0.205 * len(lines), 0.25 + 0.33 * len(_CAUTIONS)
    drawn = [(height, draw) for name, height, draw in _PANELS if _is_there(name, diagnosis)]
    heights = [height for height, _ in drawn]
    total = sum(heights) + top + bottom
    figure = blank(_WIDTH, total, top, bottom)
    strips = figure.add_gridspec(len(drawn), 1, height_ratios=heights)
    for number, (_, draw) in enumerate(drawn):
        draw(figure.add_subfigure(strips[number]), diagnosis)
    _write_heading(figure, diagnosis, title, lines, total)
    height = (0.5 * bottom - 0.1) / total  # below the line that every figure ends with
    figure.text(0.018, height, "\n".join(_CAUTIONS), va="top", color=INK, fontsize=7.5, linespacing=1.3)
    return figure


def panels(diagnosis: Diagnosis) -> dict[str, Figure]:
    """Each strip of the page as a figure of its own, by name, and one of the data's patterns."""
    figures = {}
    for name, height, draw in (*_PANELS, ("data", 2.6, draw_data_modes)):
        if not _is_there(name, diagnosis):
            continue
        figures[name] = blank(_WIDTH, height + 0.3, 0.0, 0.3)
        draw(figures[name].add_subfigure(figures[name].add_gridspec(1, 1)[0]), diagnosis)
    return figures


def _is_there(name: str, diagnosis: Diagnosis) -> bool:
    """Whether there is something to draw on a strip."""
    return bool(diagnosis.rows) if name == "rows" else name != "drift" or diagnosis.drift is not None


def _write_heading(figure: Figure, diagnosis: Diagnosis, title: str, lines: list[str], total: float) -> None:
    """Write what was looked at, and the findings in a box."""
    heading = "What the data support" + (f": {title}" if title else "")
    frequencies = ", ".join(f"{f / KILOHERTZ:g}" for f in diagnosis.frequencies)
    about = (
        f"{diagnosis.at.capitalize()} of the run, {frequencies} kHz, noise and model errors "
        f"{diagnosis.noise_db:.0f} dB below the data; "
        f"{diagnosis.representation}, {diagnosis.n_parameters} parameters, {diagnosis.n_data} data, "
        f"{diagnosis.optimizer}"
    )
    write(figure, 1 - 0.14 / total, heading, 14, bold=True)
    write(figure, 1 - 0.42 / total, about, 9)
    figure.text(
        0.018,
        1 - 0.76 / total,
        "\n".join(lines),
        va="top",
        color=INK,
        fontsize=10,
        linespacing=1.35,
        parse_math=False,
        bbox={"boxstyle": "round,pad=0.5", "facecolor": "#eef9fb", "edgecolor": ACCENT, "linewidth": 0.8},
    )


def _draw_maps(figure: SubFigure, diagnosis: Diagnosis) -> None:
    """Draw the image, and beside it how fine and how sure it is."""
    image = speed_window([Medium(diagnosis.grid, diagnosis.sound_speed)])
    resolution = None if diagnosis.resolution is None else diagnosis.resolution / MILLIMETRE
    panels = (
        ("The image", diagnosis.sound_speed, "gray", "Sound speed [m/s]"),
        (
            "How fine: smallest detail that is supported",
            resolution,
            "viridis_r",
            "Width of a point after reconstruction [mm]",
        ),
        (
            "How sure: standard deviation of the sound speed",
            diagnosis.standard_deviation,
            "magma_r",
            "One standard deviation [m/s]",
        ),
    )
    axes = figure.subplots(1, 3, sharex=True, sharey=True)
    for ax, (title, values, colours, label) in zip(axes, panels, strict=True):
        ax.set_title(title, color=INK, fontsize=10.5)
        ax.set_xlabel("x [mm]")
        tidy(ax)
        if values is None:
            _write_inside(ax, "was not mapped")
            continue
        shown = show(ax, values, diagnosis.grid, image if ax is axes[0] else _window(values), colours)
        add_colour_bar(figure, shown, [ax], label)
    axes[0].set_ylabel("y [mm]", fontsize=9, color=INK)


def _write_inside(ax: Axes, text: str) -> None:
    ax.text(0.5, 0.5, text, ha="center", va="center", transform=ax.transAxes, color=INK, fontsize=9)


def _window(values: torch.Tensor) -> tuple[float, float]:
    """Values between which all but one part in fifty lie, wide enough for small differences to look small."""
    finite = values[torch.isfinite(values)].double().numpy()
    if not finite.size:
        return 0.0, 1.0
    low, middle, high = (float(np.percentile(finite, share)) for share in (1, 50, 99))
    return min(low, 0.75 * middle), max(high, 1.25 * middle)


def _draw_modes(figure: SubFigure, diagnosis: Diagnosis) -> None:
    """Draw patterns of the image, evenly picked from those that were found."""
    figure.suptitle(
        "Patterns that the data see (NSK modes), the strongest first, and how many plain gradient steps take each "
        "to 37 % of what was missing",
        color=INK,
        fontsize=10.5,
    )
    modes, eigenvalues = diagnosis.image_kernel.modes, diagnosis.data_kernel.eigenvalues
    axes = figure.subplots(1, _MODES_SHOWN, sharex=True, sharey=True)
    shown = np.unique(np.geomspace(1, max(1, len(modes)), _MODES_SHOWN).round().astype(int)) - 1
    for ax, number in zip(axes, shown[shown < len(modes)], strict=False):
        _draw_mode(ax, modes[number], diagnosis.grid)
        strength = 100 * float(eigenvalues[number] / eigenvalues[0])
        ax.set_title(f"no. {number + 1}", color=INK, fontsize=9)
        steps = float(diagnosis.data_kernel.effective_steps[number])
        ax.set_xlabel(f"strength {strength:.{0 if strength >= 10 else 1}f} %\n{steps:.2g} steps", fontsize=8)
    for ax in axes[len(shown[shown < len(modes)]) :]:
        ax.set_visible(False)


def _draw_mode(ax: Axes, mode: torch.Tensor, grid: Grid) -> None:
    peak = max(float(mode.abs().max()), 1e-300)
    show(ax, mode / peak, grid, (-1, 1), "RdBu_r")
    bare(ax)


def _draw_curves(figure: SubFigure, diagnosis: Diagnosis) -> None:
    spectrum, transfer, decay = figure.subplots(1, 3)
    _draw_spectrum(spectrum, diagnosis)
    _draw_transfer(transfer, diagnosis)
    _draw_decay(decay, diagnosis.decay, diagnosis.data_kernel.energy)
    for ax in (spectrum, transfer, decay):
        tidy(ax)


def _draw_spectrum(ax: Axes, diagnosis: Diagnosis) -> None:
    """Draw all eigenvalues by rank: those that were found as dots, the others from their density."""
    kernel, level = diagnosis.data_kernel, diagnosis.threshold
    ax.set_title("How much the data say of each pattern (WTK spectrum)", color=INK, fontsize=10.5)
    ax.set_xlabel("Number of the pattern")
    ax.set_ylabel("Strength (eigenvalue)")
    order = kernel.nodes.argsort(descending=True)
    nodes, rank = kernel.nodes[order], kernel.weights[order].cumsum(0) - 0.5 * kernel.weights[order]
    # A few probes do not tell small eigenvalues apart; where these sink to the noise follows from their number.
    usable = (nodes > 0) & (rank >= len(kernel.eigenvalues)) & (rank <= kernel.degrees_of_freedom)
    ax.plot(rank[usable], nodes[usable], color=FAINT, linewidth=1.6, label="the others, estimated")
    if bool(usable.any()) and level > 0:
        ends = ([float(rank[usable][-1]), kernel.degrees_of_freedom], [float(nodes[usable][-1]), level])
        ax.plot(*ends, color=FAINT, linewidth=1.2, linestyle=":", label="not told apart by the estimate")
    found = torch.arange(1, len(kernel.eigenvalues) + 1)
    ax.plot(found, kernel.eigenvalues, ".", color=ACCENT, markersize=4.5, label="found one by one")
    ax.set(xscale="log", yscale="log")
    top = float(kernel.eigenvalues.max())
    ax.set_ylim(max(min(level, 1e-2 * top) / 30, 1e-7 * top), 3 * top)
    low = ax.get_ylim()[0]
    if level > low:
        ax.axhspan(low, level, color=_WARN, alpha=0.1, linewidth=0)
        ax.axhline(level, color=_WARN, linewidth=1)
        ax.text(1.15, 1.15 * level, "below, noise says more than data", va="bottom", fontsize=8, color=_WARN)
    count = kernel.degrees_of_freedom
    if count >= 1:
        ax.axvline(count, color=_WARN, linewidth=1, linestyle=(0, (4, 2)))
        ax.text(
            count,
            2.2 * top,
            f"{count:.0f} numbers determined, \neffective rank {kernel.effective_rank:.0f} ",
            ha="right",
            va="top",
            fontsize=8,
            color=_WARN,
        )
    ax.legend(frameon=False, fontsize=8, labelcolor=INK, loc="lower left")


def _draw_transfer(ax: Axes, diagnosis: Diagnosis) -> None:
    """Draw what is in the gradient at each size of detail, and what the representation lets through."""
    kernel = diagnosis.image_kernel
    ax.set_title("Which detail an update can make", color=INK, fontsize=10.5)
    across = kernel.wavenumbers * MILLIMETRE
    lines = (
        (kernel.raw, "gradient, as the data ask", FAINT, "-"),
        (kernel.filtered, "gradient, as the representation grants", ACCENT, "-"),
        (kernel.representation, "what the representation lets through", ACCENT, (0, (1.2, 1.2))),
        (kernel.gain, "what the waves see", INK, (0, (5, 2))),
    )
    for values, label, colour, dashes in lines:
        ax.plot(across, values.clamp(min=1e-12), color=colour, linestyle=dashes, linewidth=1.6, label=label)
    ax.set_yscale("log")
    ax.set_ylim(1e-4, 30)
    ax.set_xlim(0, float(across.max()))
    limit = kernel.diffraction_limit * MILLIMETRE
    if limit < float(across.max()):
        ax.axvspan(limit, float(across.max()), color=_WARN, alpha=0.1, linewidth=0)
        middle = 0.5 * (limit + float(across.max()))
        label = "invisible to these waves"
        words = ax.text(middle, 5e-3, label, fontsize=8, color=_WARN, ha="center", va="center", rotation=90)
        words.set_bbox(_OVER_CURVES)
    ticks = [tick for tick in ax.xaxis.get_major_locator().tick_values(0, float(across.max())) if tick > 0]
    ticks = [tick for tick in ticks if tick <= float(across.max())]
    ax.set_xticks(ticks, [f"{tick:.3g}\n{math.pi / tick:.2g}" for tick in ticks])
    ax.set_xlabel("Wavenumber [rad/mm], below it half a wave of this pattern [mm]")
    ax.set_ylabel("Relative to the largest")
    ax.legend(framealpha=0.8, edgecolor="none", fontsize=7.5, labelcolor=INK, loc="upper right")


def _draw_decay(ax: Axes, decay: Decay | None, energy: torch.Tensor) -> None:
    """Draw predicted decay as lines and measured as dots, for the patterns that hold most of the residual."""
    ax.set_title("Does the theory hold? Lines foretold, dots tried", color=INK, fontsize=10.5)
    if decay is None:
        _write_inside(ax, "no steps were tried")
        return
    steps = len(decay.predicted)
    shown = energy.argsort(descending=True)[:_DECAYS_SHOWN].sort().values.tolist()
    for number, colour in zip(shown, _DECAY_COLOURS, strict=False):
        ax.plot(decay.predicted[:, number], color=colour, linewidth=1.4, label=f"pattern {number + 1}")
        ax.plot(decay.measured[:, number], "o", color=colour, markersize=4)
    ax.set_ylim(min(0.0, 1.05 * float(decay.measured[:, shown].min())), None)
    ax.set_xlim(-0.1, steps - 0.9)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("Plain gradient steps")
    ax.set_ylabel("Share of the pattern left in the residual")
    ax.legend(frameon=False, fontsize=8, labelcolor=INK)


def _draw_drift(figure: SubFigure, diagnosis: Diagnosis) -> None:
    """Draw how far the kernel had moved after each update that was looked at."""
    drift = diagnosis.drift
    assert drift is not None
    ax = figure.subplots()
    ax.set_title(
        "How far the kernel moved along the run, on the strongest patterns at its start", fontsize=10.5
    )
    updates = [0, *drift.updates.tolist()]
    for values, label, colour, marker in _drift_lines(drift):
        ax.plot(updates, [0.0, *(100 * values).tolist()], marker, color=colour, label=label, linewidth=1.6)
    ax.set_ylim(0, None)
    ax.set_xlim(0, max(updates) * 1.02)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("Updates")
    ax.set_ylabel("Change over what it was [%]")
    ax.legend(frameon=False, fontsize=8, labelcolor=INK, loc="center left", bbox_to_anchor=(1.0, 0.5))
    tidy(ax)


def _drift_lines(drift: KernelDrift) -> tuple[tuple[torch.Tensor, str, str, str], ...]:
    return (
        (drift.total, "the data's kernel (WTK)", ACCENT, "o-"),
        (drift.representation, "had only the representation's\nkernel (NTK) changed", _WARN, "s--"),
        (drift.waves, "had only the waves changed", INK, "^:"),
    )


_PANELS: tuple[tuple[str, float, Callable[[SubFigure, Diagnosis], None]], ...] = (
    ("maps", 4.2, _draw_maps),
    ("patterns", 2.6, _draw_modes),
    ("rows", 3.1, draw_rows),
    ("curves", 4.3, _draw_curves),
    ("drift", 2.8, _draw_drift),
)
"""Strips of the page from the top downwards: name, height [inch], and what draws it."""
