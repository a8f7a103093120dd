"""The panel that makes images: settings, a run in a process of its own, the image as it grows."""

import json
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib.ticker import MaxNLocator
from napari.utils.notifications import show_error
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import (
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from usct_napari.background import in_background
from usct_napari.form import SettingsForm
from usct_napari.layers import speed_layer
from usct_napari.opening import frame, frame_soon, open_later
from usct_napari.plots import COLOURS, Plot
from usct_napari.running import BUSY, Job, Run, Update, remaining
from usct_napari.sources import SourceBox, is_closed
from usct_napari.sourcing import LayerData, Source

if TYPE_CHECKING:
    from napari import Viewer

INTERVAL = 200
"""Between two looks at the run [ms]."""


class ReconstructPanel(QWidget):
    """Start, pause, cancel and resume a reconstruction, and watch it."""

    def __init__(self, napari_viewer: "Viewer") -> None:
        """Build the panel; a run of the chosen scan that is under way already is watched."""
        super().__init__()
        self.viewer = napari_viewer
        self.run: Run | None = None
        self._live_from, self._n_drawn, self._is_open = 0.0, -1, True
        self.scan = SourceBox(napari_viewer, "scan", empty="File > Open Sample > usct")
        self.form = SettingsForm()
        self.output = QLineEdit()
        self.output.setToolTip("File of the result; the run's own files go into a folder beside it.")
        self.complaint, self.status = QLabel(), QLabel("Ready.")
        self.command = QLineEdit()
        self.command.setReadOnly(True)
        self.command.setToolTip("The same on the command line.")
        self.start, self.pause, self.cancel = (
            QPushButton("Start"),
            QPushButton("Pause"),
            QPushButton("Cancel"),
        )
        self.bar = QProgressBar()
        self.plot = Plot(napari_viewer, height=220)
        self._lay_out()
        self._connect()
        self._choose(self.scan.path)
        frame_soon(napari_viewer)

    def _lay_out(self) -> None:
        for label in (self.complaint, self.status):
            label.setWordWrap(True)
        self.complaint.setStyleSheet("color: #ff7043")
        # Two lines, however little room is left: one is cut where the sentence needs both.
        self.status.setMinimumHeight(2 * self.status.fontMetrics().lineSpacing() + 4)
        top = QFormLayout()
        top.addRow("Scan", self.scan)
        settings = QScrollArea()
        settings.setWidgetResizable(True)
        settings.setFrameShape(QScrollArea.Shape.NoFrame)
        settings.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        settings.setWidget(self.form)
        settings.setMinimumHeight(110)
        files = QFormLayout()
        files.addRow("Save as", self.output)
        files.addRow("Command", self.command)
        buttons = QHBoxLayout()
        for button in (self.start, self.pause, self.cancel):
            buttons.addWidget(button)
        layout = QVBoxLayout(self)
        for part in (top, settings, files, self.complaint, buttons, self.bar, self.status, self.plot):
            layout.addWidget(part) if isinstance(part, QWidget) else layout.addLayout(part)
        layout.setStretch(1, 3)
        layout.setStretch(7, 2)
        self.setMinimumWidth(330)

    def _connect(self) -> None:
        self.scan.chosen.connect(self._choose)
        self.form.changed.connect(self._settings_changed)
        self.output.editingFinished.connect(self._watch)
        self.start.clicked.connect(self.begin)
        self.pause.clicked.connect(self._toggle_pause)
        self.cancel.clicked.connect(self._cancel)
        self.timer = QTimer(self)
        self.timer.setInterval(INTERVAL)
        self.timer.timeout.connect(self.refresh)
        self.timer.start()

    def begin(self) -> None:
        """Start the run, or go on with it."""
        from usct.errors import InputError

        job = self._job()
        if job is None:
            return
        self._watch()
        if self.run is not None:
            try:
                self.run.start(job)
            except InputError as error:
                show_error(str(error))
        self.refresh()

    def _toggle_pause(self) -> None:
        if self.run is not None:
            self.run.pause(not self.run.is_held)
        self.refresh()

    def _cancel(self) -> None:
        if self.run is not None:
            self.run.cancel()

    def refresh(self) -> None:
        """Show how the run is now."""
        if is_closed(self):
            self.timer.stop()
            return
        if self.run is None:
            return
        phase, message = self.run.state()
        updates = self.run.updates()
        busy = phase in BUSY
        job = self._job()
        self.start.setEnabled(not busy and job is not None)
        self.start.setText("Resume" if self.run.can_resume and job == self.run.job else "Start")
        self.pause.setEnabled(busy)
        self.pause.setText("Go on" if self.run.is_held else "Pause")
        self.cancel.setEnabled(busy)
        self.form.setEnabled(not busy)
        self._show_progress(phase, message, updates)
        self._show_live(self.run, phase)
        if phase == "finished" and not self._is_open:
            self._open_result(self.run)
        self._is_open = phase == "finished"
        if self._n_drawn != len(updates):
            self._draw(updates)

    def _show_progress(self, phase: str, message: str, updates: list[Update]) -> None:
        if phase == "starting":
            self.bar.setRange(0, 0)
        else:
            self.bar.setRange(0, 1000)
            share = 1.0 if phase == "finished" else updates[-1].fraction if updates else 0.0
            self.bar.setValue(round(1000 * share))
        left = remaining(updates) if phase == "running" else None
        if phase == "running" and updates:
            message = f"{message}: misfit {updates[-1].objective:.3g}"
        self.status.setText(message + (f", about {_duration(left)} left" if left else "") or "Ready.")

    def _show_live(self, run: Run, phase: str) -> None:
        """Put the newest image into its layer."""
        if phase == "finished" or not run.live.exists():
            return
        written = run.live.stat().st_mtime
        if written == self._live_from:
            return
        self._live_from = written

        def show(made: LayerData) -> None:
            if run is self.run and not self._is_open:
                self._put(*made)

        # A run that is begun anew takes its image away; the next one comes soon.
        in_background(lambda: _live_layer(run), show, lambda _: None)

    def _put(self, data: Any, facts: dict[str, Any], _: str) -> None:
        if facts["name"] in self.viewer.layers:
            self.viewer.layers[facts["name"]].data = data
        else:
            self.viewer.add_image(data, **facts)
            frame(self.viewer)

    def _open_result(self, run: Run) -> None:
        """Open the result in place of the image that grew."""
        name = _live_name(run)

        def take_away() -> None:
            if name in self.viewer.layers:
                self.viewer.layers.remove(name)

        job = run.job
        if job is not None and Path(job.output).exists():
            open_later(self.viewer, Path(job.output), take_away)

    def _draw(self, updates: list[Update]) -> None:
        """Draw how the misfit fell, a colour for each stage."""
        self._n_drawn = len(updates)
        self.plot.clear()
        ax = self.plot.axes[0]
        if not updates:
            self.plot.say(0, "The misfit is drawn here, update by update.")
        for number, stage in enumerate(dict.fromkeys(u.stage for u in updates)):
            mine = [(n, u.objective) for n, u in enumerate(updates, 1) if u.stage == stage]
            ax.semilogy(
                *zip(*mine, strict=True),
                "o-",
                color=COLOURS[number % len(COLOURS)],
                label=stage,
                markersize=4,
            )
        if updates:
            ax.set(xlabel="Update", ylabel="Misfit")
            ax.legend(
                loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4, handlelength=1.2, columnspacing=1
            )
            ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        self.plot.refresh()

    def _choose(self, path: Path | None) -> None:
        if path is not None:
            self._suggest(path)
        self._settings_changed()

    def _suggest(self, path: Path) -> None:
        """A name for the result: beside the scan, or at home where nothing can be written there."""
        folder = path.parent if os.access(path.parent, os.W_OK) else Path.home()
        name = self.form.config().parameterization.name
        self.output.setText(str(folder / f"{path.stem}-{name}.h5"))

    def _settings_changed(self) -> None:
        from usct.errors import InputError

        try:
            config = self.form.config()
            self.complaint.setText("")
        except InputError as error:
            self.complaint.setText(str(error))
            self.start.setEnabled(False)
            return
        path, output = self.scan.path, Path(self.output.text() or "result.h5")
        if path is not None and output.stem.startswith(f"{path.stem}-"):
            self.output.setText(str(output.with_name(f"{path.stem}-{config.parameterization.name}.h5")))
        self._watch()
        job = self._job()
        self.start.setEnabled(job is not None)
        self.command.setText("" if job is None else _command(job))
        for line in (self.command, self.output):
            line.setCursorPosition(0)

    def _watch(self) -> None:
        """Look at the run that writes the chosen result."""
        text = self.output.text()
        run = Run.of(Path(text)) if text else None
        if run is not None and (self.run is None or run.folder != self.run.folder):
            # The result of a run that ended earlier is a file like any other: only what is new is opened here.
            self.run, self._live_from, self._is_open = run, 0.0, run.state()[0] == "finished"
            self._draw(run.updates())

    def _job(self) -> Job | None:
        """What would be started, or None where something is missing or impossible."""
        if self.scan.path is None or not self.output.text() or self.complaint.text():
            return None
        return Job(
            str(self.scan.path), self.output.text(), self.form.preset.currentText(), self.form.overrides()
        )


def _live_name(run: Run) -> str:
    return f"sound speed [m/s] · {run.folder.stem} (live)"


def _live_layer(run: Run) -> LayerData:
    """The newest image of a run."""
    from usct import io
    from usct.grid import Grid
    from usct.medium import Medium

    arrays, texts = io.load_arrays(run.live)
    place, speed = json.loads(texts["grid"]), arrays["sound_speed"]
    medium = Medium(Grid(tuple(speed.shape), place["spacing"], tuple(place["origin"])), speed)
    return speed_layer(medium, _live_name(run), Source(run.live, "live", "sound_speed"))


def _command(job: Job) -> str:
    words = ["usct", "reconstruct", Path(job.scan).name, "-o", Path(job.output).name, "--preset", job.preset]
    for override in job.overrides:
        words += ["--set", override]
    return shlex.join(words)


def _duration(seconds: float) -> str:
    from usct.cli.progress import duration

    return duration(seconds)
