"""Figures of a cohort's report: each small enough to be read on a phone."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from usct.diagnosis import Diagnosis
from usct.medium import Medium
from usct.report.cohort import Cohort, Run
from usct.report.cohort_tables import Agreement, Detection
from usct.report.drawing import FAINT, INK, bare, blank, extent, show, speed_window, tidy
from usct.report.figures import ERROR_WINDOW

# Colours of Okabe and Ito, which people with colour-blindness tell apart; markers and dashes differ as well.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00")
_MARKERS = ("o", "s", "^", "D", "v", "P")
_DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)))
_WIDTH, _HEIGHT = 4.6, 3.5


def distribution_figure(cohort: Cohort, label: str, values: Sequence[np.ndarray]) -> Figure:
    """Every case as a point, with quartiles, one column for each method."""
    figure, ax = _small()
    rng = np.random.default_rng(0)
    for number, column in enumerate(values):
        known = column[np.isfinite(column)]
        if not len(known):
            continue
        across = number + rng.uniform(-0.16, 0.16, len(known))
        ax.plot(across, known, _MARKERS[number % 6], color=COLOURS[number % 6], markersize=4, alpha=0.75)
        low, middle, high = np.percentile(known, (25, 50, 75))
        ax.plot([number - 0.3, number + 0.3], [middle, middle], color=INK, linewidth=2)
        ax.plot([number, number], [low, high], color=INK, linewidth=1)
    names = [f"{m}\nn = {int(np.isfinite(v).sum())}" for m, v in zip(cohort.methods, values, strict=True)]
    ax.set_xticks(range(len(names)), names)
    ax.set(ylabel=label, xlim=(-0.6, len(names) - 0.4))
    tidy(ax)
    return figure


def pairs_figure(cohort: Cohort, label: str, values: Sequence[np.ndarray]) -> Figure:
    """Each case as a line from method to method."""
    figure, ax = _small()
    table = np.stack(values)
    ax.plot(np.arange(len(values)), table, color=FAINT, linewidth=0.8, alpha=0.8)
    for number, row in enumerate(table):
        ax.plot(np.full(len(row), number), row, _MARKERS[number % 6], color=COLOURS[number % 6], markersize=4)
    ax.set_xticks(range(len(values)), cohort.methods)
    ax.set(ylabel=label, xlim=(-0.4, len(values) - 0.6))
    tidy(ax)
    return figure


def roc_figure(found: Sequence[Detection]) -> Figure:
    """Hits against false alarms, one line for each method that could be judged."""
    figure, ax = _small(height=4.2)
    ax.plot([0, 1], [0, 1], color=FAINT, linewidth=0.8)
    for number, detection in enumerate(found):
        if detection.curve is None:
            continue
        text = f"{detection.name}: AUC {detection.area.value:.2f}"
        ax.step(
            detection.curve.false_alarms,
            detection.curve.hits,
            where="post",
            color=COLOURS[number % 6],
            linestyle=_DASHES[number % 6],
            linewidth=1.8,
            label=text,
        )
    ax.set(
        xlabel="False alarms", ylabel="Lesions found", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal"
    )
    ax.legend(frameon=False, fontsize=8, loc="lower right", labelcolor=INK)
    tidy(ax)
    return figure


def bland_altman_figure(agreements: Sequence[Agreement]) -> Figure:
    """Difference against mean of one quantity, one marker for each method, with bias and limits."""
    figure, ax = _small()
    for number, found in enumerate(agreements):
        colour = COLOURS[number % 6]
        middle, difference = 0.5 * (found.measured + found.reference), found.measured - found.reference
        marker = _MARKERS[number % 6]
        ax.plot(middle, difference, marker, color=colour, markersize=4, alpha=0.75, label=found.method)
        if found.analysis is None:
            continue
        ax.axhline(found.analysis.bias.value, color=colour, linewidth=1.5, linestyle="-")
        for limit in (found.analysis.lower, found.analysis.upper):
            ax.axhline(limit.value, color=colour, linewidth=1, linestyle="--")
            ax.axhspan(limit.low, limit.high, color=colour, alpha=0.08, linewidth=0)
    quantity = agreements[0].quantity
    unit = quantity[quantity.rindex("[") :]
    ax.set(xlabel=f"Mean of image and truth {unit}", ylabel=f"Image − truth {unit}")
    ax.set_title(quantity, fontsize=9, color=INK)
    ax.legend(frameon=False, fontsize=8, labelcolor=INK)
    tidy(ax)
    return figure


def correlation_figure(cohort: Cohort) -> Figure:
    """Fourier ring correlation of images with the truth: median and quartiles over cases."""
    figure, ax = _small()
    for number, method in enumerate(cohort.methods):
        curves = [run.scores["correlation"] for run in cohort.of(method) if run.scores.get("correlation")]
        if not curves:
            continue
        longest = max((c["frequencies"] for c in curves), key=len)
        at = np.linspace(longest[0], longest[-1], 120)
        values = np.array([_interpolated(at, c["frequencies"], c["correlation"]) for c in curves])
        low, middle, high = np.nanpercentile(values, (25, 50, 75), axis=0)
        colour, dashes = COLOURS[number % 6], _DASHES[number % 6]
        ax.plot(
            at / 1e3,
            middle,
            linewidth=1.8,
            label=f"{method}, n = {len(curves)}",
            color=colour,
            linestyle=dashes,
        )
        ax.fill_between(at / 1e3, low, high, color=COLOURS[number % 6], alpha=0.15, linewidth=0)
    ax.axhline(0.5, color=FAINT, linewidth=0.8)
    ax.set(
        xlabel="Spatial frequency [1/mm]",
        ylabel="Correlation with the truth",
        ylim=(-0.1, 1.03),
        xlim=(0, 0.6),
    )
    ax.legend(frameon=False, fontsize=8, labelcolor=INK)
    tidy(ax)
    return figure


def scatter_figure(cohort: Cohort, label: str, values: Sequence[np.ndarray]) -> Figure:
    """Error of each case against what may explain it."""
    figure, ax = _small()
    for number, (method, across) in enumerate(zip(cohort.methods, values, strict=True)):
        up = cohort.values(method, "rmse")
        ax.plot(
            across,
            up,
            _MARKERS[number % 6],
            color=COLOURS[number % 6],
            markersize=4,
            alpha=0.75,
            label=method,
        )
    ax.set(xlabel=label, ylabel="RMSE [m/s]")
    ax.legend(frameon=False, fontsize=8, labelcolor=INK)
    tidy(ax)
    return figure


def kernel_figure(diagnoses: Sequence[tuple[str, str, Diagnosis]]) -> Figure:
    """Spectra of the data's kernel, one line for each diagnosed run, coloured by method."""
    figure, ax = _small()
    methods = list(dict.fromkeys(method for _, method, _ in diagnoses))
    for _, method, diagnosis in diagnoses:
        number, values = methods.index(method), diagnosis.data_kernel.eigenvalues.clamp(min=0).numpy()
        label = None if any(line.get_label() == method for line in ax.lines) else method
        colour, dashes = COLOURS[number % 6], _DASHES[number % 6]
        ax.plot(
            np.arange(1, len(values) + 1),
            values / values.max(),
            linewidth=0.9,
            label=label,
            alpha=0.7,
            color=colour,
            linestyle=dashes,
        )
    ax.set(xlabel="Rank of the mode", ylabel="Eigenvalue / largest", xscale="log", yscale="log")
    ax.legend(frameon=False, fontsize=8, labelcolor=INK)
    tidy(ax)
    return figure


def case_figure(run: Run, image: Medium, truth: Medium | None) -> Figure:
    """One case of the montage: image, and truth and error where the truth is known."""
    panels = 1 if truth is None else 3
    figure = blank(1.0 + 1.9 * panels, 2.35)
    axes = figure.subplots(1, panels, squeeze=False)[0]
    window = speed_window([image] if truth is None else [image, truth])
    axes_of_box = extent(image.grid) if image.grid.n_dims == 2 else None
    low, high = window
    _panel(axes[0], image, window, f"{run.method}")
    if truth is not None:
        _panel(axes[1], truth, window, f"truth, {low:g} to {high:g} m/s")
        error = image.resampled(truth.grid).sound_speed - truth.sound_speed
        show(axes[2], error, truth.grid, (-ERROR_WINDOW, ERROR_WINDOW), "RdBu_r")
        axes[2].set_title(f"error, ±{ERROR_WINDOW:g} m/s", fontsize=8, color=INK)
    for ax in axes:
        bare(ax)
        if axes_of_box is not None:
            ax.set(xlim=axes_of_box[:2], ylim=axes_of_box[2:])
    return figure


def _panel(ax: Axes, medium: Medium, window: tuple[float, float], title: str) -> None:
    show(ax, medium.sound_speed, medium.grid, window)
    ax.set_title(title, fontsize=8, color=INK)


def _interpolated(at: np.ndarray, across: Sequence[float], up: Sequence[float | None]) -> np.ndarray:
    values = np.array([np.nan if v is None else v for v in up])
    return np.interp(at, across, values, right=np.nan)


def _small(height: float = _HEIGHT) -> tuple[Figure, Axes]:
    figure = blank(_WIDTH, height)
    return figure, figure.subplots()
