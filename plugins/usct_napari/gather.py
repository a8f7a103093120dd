"""What the ring heard of one element, drawn into a panel."""

import numpy as np
from matplotlib.axes import Axes

from usct.acquisition import Acquisition, Spectra
from usct.calibration.quality import QualityReport
from usct.io.glance import ScanGlance
from usct.units import KILOHERTZ, MICROSECOND
from usct_napari.plots import COLOURS, Plot
from usct_napari.recordings import loudness


def draw_element(
    plot: Plot, scan: Acquisition | ScanGlance, element: int, report: QualityReport | None
) -> str | None:
    """Draw the traces, or the levels of the spectra, of the transmit of an element.

    Args:
        plot: Where; its first axes.
        scan: What was recorded.
        element: Number of the element.
        report: Tells when the direct wave arrived, where the scan was checked.

    Returns:
        A sentence about what is drawn.
    """
    plot.clear()
    transmit = np.flatnonzero(scan.array.transmits.numpy() == element)
    if not len(transmit):
        plot.say(0, f"element {element} only receives")
        return None
    tx = int(transmit[0])
    if isinstance(scan, ScanGlance):
        values, start, rate = np.asarray(scan.traces[tx]), scan.start_time, scan.sampling_frequency
    elif isinstance(scan.data, Spectra):
        _draw_levels(plot, scan, scan.data, tx)
        return f"Element {element} sent: levels at every receiver."
    else:
        values, start, rate = scan.data.values[tx].numpy(), scan.data.start_time, scan.data.sampling_frequency
    ax = plot.axes[0]
    loud = loudness(values)
    n_rx, n_samples = values.shape
    ends = start / MICROSECOND, (start + n_samples / rate) / MICROSECOND
    ax.imshow(
        values,
        cmap="gray",
        vmin=-loud,
        vmax=loud,
        aspect="auto",
        extent=(*ends, n_rx - 0.5, -0.5),
        interpolation="nearest",
    )
    _draw_arrivals(plot, scan, tx, report)
    ax.set(xlabel="Time [µs]", ylabel="Receive channel", xlim=ends, ylim=(n_rx - 0.5, -0.5))
    return f"Element {element} sent: the traces of every receiver."


def _draw_arrivals(plot: Plot, scan: Acquisition | ScanGlance, tx: int, report: QualityReport | None) -> None:
    """Draw when waves through water would arrive, and when they did."""
    ax, distances = plot.axes[0], scan.array.distances()[tx]
    channels = np.arange(len(distances))
    if report is not None and report.channels.pulse is not None:
        expected = report.channels.pulse.arrival(distances)
        arrived = (expected + report.channels.lags[tx]).numpy() / MICROSECOND
        good = report.usable[tx].numpy()
        ax.plot(
            expected.numpy() / MICROSECOND,
            channels,
            "--",
            color=COLOURS[0],
            linewidth=1,
            label="through water",
        )
        ax.plot(arrived[good], channels[good], ".", color=COLOURS[1], markersize=4, label="first arrival")
        ax.plot(arrived[~good], channels[~good], "x", color=COLOURS[3], markersize=4, label="not usable")
        _explain(ax)
    elif scan.water_sound_speed is not None:
        times = distances.numpy() / scan.water_sound_speed / MICROSECOND
        ax.plot(times, channels, "--", color=COLOURS[0], linewidth=1, label="through water")
        _explain(ax)


def _explain(ax: Axes) -> None:
    """Put the legend above the traces, none of which it may cover."""
    ax.legend(loc="lower center", bbox_to_anchor=(0.45, 1.0), ncols=3, handlelength=1.2, columnspacing=1)


def _draw_levels(plot: Plot, scan: Acquisition, spectra: Spectra, tx: int) -> None:
    ax, angle = plot.axes[0], np.degrees(scan.array.opening_angles()[tx].numpy())
    order = np.argsort(angle)
    for number, frequency in enumerate(spectra.frequencies.tolist()):
        usable = spectra.weights[number, tx].numpy()[order] > 0
        amplitude = spectra.values[number, tx].abs().numpy()[order]
        level = 20 * np.log10(np.maximum(amplitude, 1e-300))
        colour = COLOURS[number % len(COLOURS)]
        shown = usable & (angle[order] > 1.0)
        label = f"{frequency / KILOHERTZ:.0f} kHz"
        ax.plot(
            angle[order][shown], (level - level.max())[shown], ".", markersize=4, color=colour, label=label
        )
    ax.set(xlabel="Opening angle, seen from the centre [°]", ylabel="Level below the loudest [dB]")
    ax.legend(loc="upper right")
