"""Sample data for File > Open Sample: made on the first demand, kept for later."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from platformdirs import user_cache_path

from usct_napari.reading import Found, read_or_tell

VERSION = "1"
"""Of what the samples hold; another one makes them anew."""


def breast() -> Found:
    """A breast phantom in a ring of 128 elements, spectra at 150, 200 and 250 kHz, 40 dB."""
    return read_or_tell(str(breast_file()))


def head() -> Found:
    """A head phantom: sound speed, attenuation, density and tissues."""
    return read_or_tell(str(_made("head-phantom.h5", _make_head)))


def traces() -> Found:
    """Traces of a disc in a ring of 32 elements in the layout of measured data, two elements dead."""
    return read_or_tell(str(traces_file()))


def breast_file(folder: Path | None = None) -> Path:
    """The breast scan's file, made where it is missing."""
    return _made("breast-scan.h5", _make_breast, folder)


def traces_file(folder: Path | None = None) -> Path:
    """The traces' file, made where it is missing."""
    return _made("disc-traces.h5", _make_traces, folder)


def _made(name: str, make: Callable[[Path], None], folder: Path | None = None) -> Path:
    folder = folder or user_cache_path("usct") / f"samples-{VERSION}"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    if not path.exists():
        make(path)
    return path


def _make_breast(path: Path) -> None:
    from usct import io, phantom
    from usct.acquisition import TransducerArray
    from usct.api import simulate

    made = phantom.make("breast", seed=3, spacing=0.8e-3)
    # The inversion knows no density yet: contrasts of it would appear as edges in the sound speed.
    made = replace(made, medium=replace(made.medium, density=None))
    io.save(simulate(made, TransducerArray.ring(128, 0.1), (1.5e5, 2e5, 2.5e5), seed=3), path)


def _make_head(path: Path) -> None:
    from usct import io, phantom

    io.save(phantom.make("head", seed=1, spacing=1e-3), path)


def _make_traces(path: Path) -> None:
    from usct import io, phantom
    from usct.acquisition import Traces, TransducerArray
    from usct.simulating import TraceSettings, simulate_traces

    made = phantom.make("disk", spacing=1e-3)
    settings = TraceSettings((1e5, 2.5e5), snr_db=40.0, seed=1)
    store = path.with_suffix(".part")
    scan = simulate_traces(made, TransducerArray.ring(32, 0.1), settings, store)
    assert isinstance(scan.data, Traces)
    values = scan.data.values.clone()
    values[[5, 20]], values[:, [5, 20]] = 0, 0
    valid = (values != 0).any(dim=-1)
    io.save(replace(scan, data=replace(scan.data, values=values, valid=valid)), path)
    store.unlink()
