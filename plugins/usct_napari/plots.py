"""Curves beside the image, in the colours of napari's theme."""

from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator
from qtpy.QtCore import QSize
from qtpy.QtGui import QShowEvent

if TYPE_CHECKING:
    from napari import Viewer

COLOURS = ("#4dd0e1", "#ffb74d", "#81c784", "#f06292", "#ba68c8", "#fff176", "#90a4ae")
"""Of curves, light enough for napari's dark theme and dark enough for its light one."""


LEAST_HEIGHT = 130
"""Of a canvas [pixels]."""


class Plot(FigureCanvasQTAgg):
    """A canvas with axes side by side that follows the theme of a viewer."""

    def __init__(self, viewer: "Viewer", n_axes: int = 1, height: int = 210) -> None:
        """Make a canvas of a height [pixels] with some axes side by side; on a small screen it gets lower."""
        super().__init__(Figure(layout="constrained"))
        self._viewer, self._height = viewer, height
        self.setMinimumHeight(LEAST_HEIGHT)
        self.figure.set_layout_engine("constrained", w_pad=0.06, h_pad=0.06)
        self.axes: list[Axes] = list(self.figure.subplots(1, n_axes, squeeze=False)[0])
        self._is_stale = True
        viewer.events.theme.connect(self._theme_changed)
        self.refresh()

    def _theme_changed(self, _: object) -> None:
        self.refresh()

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802 - Qt's name
        """Draw what changed while nobody saw it."""
        super().showEvent(event)
        if self._is_stale:
            self._is_stale = False
            self.draw_idle()

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """As narrow as a panel."""
        return QSize(320, self._height)

    @property
    def ink(self) -> str:
        """Colour of text."""
        return self._theme("text")

    def clear(self) -> None:
        """Take everything off all axes."""
        for ax in self.axes:
            ax.clear()
            ax.set_axis_on()

    def say(self, number: int, text: str) -> None:
        """Write a sentence in place of axes."""
        ax = self.axes[number]
        ax.clear()
        ax.set_axis_off()
        ax.text(
            0.5,
            0.5,
            text,
            ha="center",
            va="center",
            fontsize=9,
            transform=ax.transAxes,
            wrap=True,
        )

    def refresh(self) -> None:
        """Put on the theme's colours and draw."""
        paper, ink, faint = self._theme("background"), self.ink, self._theme("secondary")
        self.figure.set_facecolor(paper)
        for ax in self.axes:
            ax.set_facecolor(self._theme("canvas"))
            for axis in (ax.xaxis, ax.yaxis):
                if axis.get_scale() == "log":
                    # Powers of ten as formulas, and marks between them, take most of the time of drawing.
                    low, high = sorted(axis.get_view_interval())
                    few = high < 300 * max(low, 1e-300)
                    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if few else (1.0,)))
                    axis.set_minor_locator(NullLocator())
                    axis.set_major_formatter("{x:g}")
            ax.tick_params(colors=ink, labelsize=8, which="both")
            ax.title.set(color=ink, fontsize=9)
            for label in (ax.xaxis.label, ax.yaxis.label):
                label.set(color=ink, fontsize=8.5)
            for sentence in ax.texts:
                sentence.set_color(ink)
            for spine in ax.spines.values():
                spine.set_color(faint)
            ax.grid(visible=True, color=faint, linewidth=0.4, alpha=0.5)
            legend = ax.get_legend()
            if legend is not None:
                legend.get_frame().set(facecolor=paper, edgecolor=faint, alpha=0.8)
                for text in legend.get_texts():
                    text.set(color=ink, fontsize=7.5)
        # Drawing takes a tenth of a second, too much for curves that are not seen.
        self._is_stale = not self.isVisible()
        if not self._is_stale:
            self.draw_idle()

    def _theme(self, name: str) -> str:
        from napari.utils.theme import get_theme

        return getattr(get_theme(self._viewer.theme), name).as_hex()
