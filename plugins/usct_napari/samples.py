"""Sample data for File > Open Sample: made on the first demand, kept for later.

Where there is a window they are made in a process of their own, `python -m usct_napari.samples FILE`.
"""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from platformdirs import user_cache_path

from usct_napari.dressing import current_viewer, open_panel
from usct_napari.reading import Found, read_or_tell

if TYPE_CHECKING:
    from usct.acquisition import Acquisition, TransducerArray

VERSION = "5"
"""Of what the samples hold; another one makes them anew."""
BREAST, HEAD, TRACES = "breast.h5", "head.h5", "disc-traces.h5"
GAPS, DEAD = (7, 8, 9, 30, 31, 54), (5, 20)
"""Places of the ring of traces where no element is, and elements that hear and send nothing."""


def breast() -> Found:
    """A breast phantom in a ring of 128 elements, spectra at 150, 200 and 250 kHz, 40 dB."""
    return _with_panel("Reconstruct", layers_of(_kept(BREAST)))


def layers_of(scan: Path) -> Found:
    """All layers of a sample's scan and of the phantom beside it, which shows the truth already."""
    found = read_or_tell([str(_phantom(scan)), str(scan)])
    layers: Any = [data for data in found if not _is_truth(data, scan)]
    return layers


def _phantom(scan: Path) -> Path:
    """What a sample's scan was made of; it lies beside the scan, and knows tissues and lesions."""
    return scan.with_name(f"{scan.stem}-phantom.h5")


def _is_truth(data: Any, scan: Path) -> bool:
    source = data[1]["metadata"]["usct"] if len(data) == 3 else None
    return source is not None and source.path == scan and source.quantity in ("sound_speed", "attenuation")


def head() -> Found:
    """A head with a bleeding in a ring of 64 elements, spectra from 50 to 250 kHz, 30 dB; the skull is known."""
    return _with_panel("Reconstruct", layers_of(_kept(HEAD)), preset="head")


def traces() -> Found:
    """Traces in the layout of measured data: a ring with gaps, dead elements, and a shot in water alone."""
    return _with_panel("Scan", read_or_tell(str(_kept(TRACES))))


def _with_panel(name: str, found: Any, preset: str = "") -> Found:
    """What was opened, and beside it, once it is there, the panel with which to go on, its preset chosen."""
    viewer = current_viewer()
    if viewer is None or found == [(None,)]:
        return found
    from qtpy.QtCore import QTimer

    def show() -> None:
        open_panel(viewer, name)
        if preset:
            panel: Any = viewer.window.dock_widgets[f"{name} (usct)"]
            panel.form.preset.setCurrentText(preset)

    QTimer.singleShot(0, show)
    return found


def breast_file(folder: Path | None = None) -> Path:
    """The breast scan's file, made where it is missing."""
    return _kept(BREAST, folder)


def traces_file(folder: Path | None = None) -> Path:
    """The traces' file, made where it is missing."""
    return _kept(TRACES, folder)


def make_sample(path: Path) -> None:
    """Make one sample.

    Args:
        path: File to write; its name says which sample.
    """
    _MAKERS[path.name](path)


def _kept(name: str, folder: Path | None = None) -> Path:
    viewer = current_viewer()
    folder = folder or user_cache_path("usct") / f"samples-{VERSION}"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    if path.exists():
        return path
    if viewer is None:
        make_sample(path)
    else:
        from napari.utils.notifications import show_info

        from usct_napari.commanding import wait_for

        show_info(f"Making {path.stem}; it is kept for the next time.")
        wait_for(["-m", "usct_napari.samples", str(path)])
    return path


def _make_breast(path: Path) -> None:
    from usct import io, phantom
    from usct.acquisition import TransducerArray
    from usct.api import simulate

    made = phantom.make("breast", seed=3, spacing=0.8e-3)
    # The inversion knows no density yet: contrasts of it would appear as edges in the sound speed.
    made = replace(made, medium=replace(made.medium, density=None))
    io.save(made, _phantom(path))
    io.save(simulate(made, TransducerArray.ring(128, 0.1), (1.5e5, 2e5, 2.5e5), seed=3), path)


def _make_head(path: Path) -> None:
    import numpy as np

    from usct import io, phantom
    from usct.acquisition import TransducerArray
    from usct.api import simulate
    from usct.preflight import water_of
    from usct.starting.skull.labels import skull_of
    from usct.starting.skull.model import placed
    from usct.starting.skull.registration import Rigid

    made = phantom.make("head_haemorrhage", seed=3, spacing=1e-3)
    io.save(made, _phantom(path))
    frequencies = (5e4, 7.5e4, 1e5, 1.25e5, 1.5e5, 2e5, 2.5e5)
    scan = simulate(made, TransducerArray.ring(64, 0.11), frequencies, snr_db=30, seed=3)
    start = placed(skull_of(made), Rigid.translation(np.zeros(2)), made.medium.grid, water_of(made.medium))
    io.save(replace(scan, start=start.medium), path)


def _make_traces(path: Path) -> None:
    from usct import io

    scan, water = (_recorded(path.with_suffix(".part"), with_object) for with_object in (True, False))
    io.save(replace(scan, water=water.data), path)


def _recorded(store: Path, with_object: bool) -> "Acquisition":
    """Traces of a disc, or of water alone by the same pulse; noise is 1 % of the rms of each transmit.

    Args:
        store: For the simulation, removed in the end.
        with_object: Whether there is more than water.
    """
    import torch

    from usct import phantom
    from usct.acquisition import Traces
    from usct.preflight import water_of
    from usct.simulating import TraceSettings, simulate_traces

    made = phantom.make("disk", spacing=1e-3)
    if not with_object:
        speed = torch.full_like(made.medium.sound_speed, water_of(made.medium))
        made = replace(made, medium=replace(made.medium, sound_speed=speed))
    # Both shots last equally long, whatever is the slowest in them.
    settings = TraceSettings((1e5, 2.5e5), snr_db=None, seed=1, duration=190e-6)
    scan = simulate_traces(made, _ring_with_gaps(), settings, store)
    assert isinstance(scan.data, Traces)
    values = scan.data.values.clone()
    store.unlink()
    values[list(DEAD)], values[:, list(DEAD)] = 0, 0
    level = 0.01 * values.square().mean(dim=(1, 2), keepdim=True).sqrt()
    # What sends nothing is listened to all the same, by amplifiers that hum as ever.
    level = torch.where(level > 0, level, level.median())
    noise = torch.randn(values.shape, generator=torch.Generator().manual_seed(1 + with_object))
    values = (values + level * noise).to(values.dtype)
    valid = torch.ones(values.shape[:2], dtype=torch.bool)
    valid[list(DEAD)], valid[:, list(DEAD)] = False, False
    return replace(scan, data=replace(scan.data, values=values, valid=valid))


def _ring_with_gaps() -> "TransducerArray":
    from usct.acquisition import TransducerArray

    ring = TransducerArray.ring(64, 0.1).positions
    return TransducerArray.of(ring[[n for n in range(64) if n not in GAPS]])


_MAKERS: dict[str, Callable[[Path], None]] = {
    BREAST: _make_breast,
    HEAD: _make_head,
    TRACES: _make_traces,
}

if __name__ == "__main__":
    make_sample(Path(sys.argv[1]))
