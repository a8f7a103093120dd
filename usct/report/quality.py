"""The figure of a quality control."""

import textwrap

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from usct.calibration.quality import ChannelQuality, QualityReport, Verdict
from usct.report.drawing import ACCENT, FAINT, INK, TRUTH, blank, tidy, write
from usct.units import KILOHERTZ, MICROSECOND

_LEVEL_WINDOW = 20.0
_ANSWER_WIDTH = 54
_NEEDS_TRACES = "not checked: needs traces"


def quality_figure(report: QualityReport, title: str = "") -> Figure:
    """Draw what a quality control measured: levels, lags, noise, pulse, bands, and the verdicts.

    Args:
        report: Of a scan.
        title: A name for people, such as the name of the file.

    Returns:
        A figure that belongs to no window.
    """
    width, height = 12.8, 7.8
    figure = blank(width, height, top=0.4, bottom=0.25)
    (levels, lags, verdicts), (noise, pulse, bands) = figure.subplots(2, 3)
    channels = report.channels
    masked = ~report.usable.numpy()
    _map(levels, channels.levels, masked, _LEVEL_WINDOW, "Level against others of its angle [dB]")
    if channels.pulse is None:
        _say(lags, "Arrival against water", _NEEDS_TRACES)
        _say(noise, "Noise", _NEEDS_TRACES)
        _say(pulse, "Pulse", _NEEDS_TRACES)
    else:
        late = channels.lags / MICROSECOND
        window = float(late[report.usable].abs().nan_to_num().quantile(0.99)) if report.usable.any() else 1.0
        _map(lags, late, masked, max(window, 1e-3), "Arrival against water [us]")
        _draw_noise(noise, channels)
        _draw_pulse(pulse, channels)
    _draw_bands(bands, channels)
    _draw_verdicts(verdicts, report)
    write(figure, 1 - 0.12 / height, title or "Quality control", 14, bold=True)
    return figure


def _say(ax: Axes, title: str, text: str) -> None:
    ax.set_title(title, color=INK, fontsize=11)
    ax.text(0.5, 0.5, text, ha="center", va="center", transform=ax.transAxes, color=INK, fontsize=9)
    ax.set_axis_off()


def _map(ax: Axes, values: torch.Tensor, masked: np.ndarray, window: float, title: str) -> None:
    """Draw a table over (transmit, receive); masked channels are black."""
    image = ax.imshow(
        np.ma.masked_invalid(values.numpy()),
        cmap="RdBu_r",
        vmin=-window,
        vmax=window,
        interpolation="nearest",
        origin="lower",
        aspect="auto",
    )
    ax.set_facecolor(FAINT)
    cover = np.zeros((*masked.shape, 4))
    cover[masked, 3] = 1.0
    ax.imshow(cover, interpolation="nearest", origin="lower", aspect="auto")
    ax.set_title(title + ", masked: black", color=INK, fontsize=10)
    ax.set(xlabel="Receive", ylabel="Transmit")
    tidy(ax)
    bar = ax.figure.colorbar(image, ax=ax, extend="both", shrink=0.9, pad=0.01)
    bar.ax.tick_params(labelsize=8, colors=INK)


def _draw_noise(ax: Axes, channels: ChannelQuality) -> None:
    ax.set_title("Noise against the direct wave", color=INK, fontsize=10)
    if not channels.noise.isfinite().any():
        _say(ax, "Noise", "not checked: no time ahead of the arrivals")
        return
    for axis, colour, label in ((0, ACCENT, "of receives"), (1, TRUTH, "of transmits")):
        middle = channels.noise.nanmedian(dim=axis).values.numpy()
        ax.plot(middle, ".", markersize=4, color=colour, label=label)
    low, high = ax.get_ylim()
    ax.set(xlabel="Element", ylabel="Median [dB]", ylim=(min(low, high - 10), high + 2))
    ax.legend(frameon=False, fontsize=8, labelcolor=INK)
    tidy(ax)


def _draw_pulse(ax: Axes, channels: ChannelQuality) -> None:
    assert channels.pulse is not None
    shape = channels.pulse.shape.numpy()
    times = (np.arange(len(shape)) - channels.pulse.half) / channels.sampling_frequency / MICROSECOND
    ax.plot(times, shape / np.abs(shape).max(), color=ACCENT, linewidth=1.4)
    ax.set_title("Pulse that the channels share", color=INK, fontsize=10)
    ax.set(xlabel="Time after arrival [us]", ylabel="Pressure [1]")
    ax.margins(x=0)
    tidy(ax)


def _draw_bands(ax: Axes, channels: ChannelQuality) -> None:
    signal, noise = channels.signal.numpy(), channels.background.numpy()
    edges = channels.bands.numpy() / KILOHERTZ
    ax.set_title("Level of the bands", color=INK, fontsize=10)
    if len(edges) == len(signal):
        ax.plot(edges, signal, "o-", color=ACCENT, label="data")
    else:
        ax.stairs(signal, edges, baseline=None, color=ACCENT, linewidth=1.6, label="direct wave")
        if np.isfinite(noise).any():
            ax.stairs(noise, edges, baseline=None, color=TRUTH, linewidth=1.6, label="noise")
    lowest = min(-20.0, float(np.nanmin(np.concatenate([signal, noise]))))
    ax.set(xlabel="Frequency [kHz]", ylabel="[dB]", ylim=(max(-80.0, lowest) - 5, 5))
    ax.legend(frameon=False, fontsize=8, labelcolor=INK)
    tidy(ax)


def _draw_verdicts(ax: Axes, report: QualityReport) -> None:
    """Every question with its answer, coloured by the verdict; long answers are cut after two lines."""
    ax.set_axis_off()
    colours = {Verdict.GOOD: ACCENT, Verdict.FAULT: TRUTH, Verdict.UNKNOWN: FAINT}
    for place, verdict in zip((0.0, 0.2, 0.38), colours, strict=True):
        ax.text(place, 1.02, verdict.value, fontsize=9, color=colours[verdict], fontweight="bold")
    step = 1.0 / max(len(report.checks), 1)
    for number, check in enumerate(report.checks):
        middle, colour = 1 - (number + 0.5) * step, colours[check.verdict]
        ax.text(0.0, middle, check.name, va="center", fontsize=8, color=colour, fontweight="bold")
        if check.verdict is not Verdict.UNKNOWN:
            first = check.text.splitlines()[0]
            lines = textwrap.wrap(first, _ANSWER_WIDTH, max_lines=2, placeholder=" ...")
            ax.text(0.34, middle, "\n".join(lines), va="center", fontsize=6.2, linespacing=1.0, color=INK)
