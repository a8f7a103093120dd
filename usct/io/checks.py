"""What can be wrong with a scan, said in sentences, and the step from what a file says to an Acquisition."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import final

import numpy as np
import torch

from usct.acquisition import Acquisition, Spectra, Traces, TransducerArray
from usct.errors import InputError
from usct.io import channels
from usct.medium import Medium

_LARGEST_RADIUS = 5.0
_LOWEST_FREQUENCY = 1e3
_LOWEST_SAMPLING = 1e4
_COINCIDENT = 1e-6


@final
class RefusalError(InputError):
    """Several reasons not to accept a file; its message is the first one.

    Attributes:
        sentences: Every reason, one sentence each.
    """

    def __init__(self, sentences: Sequence[str]) -> None:
        super().__init__(sentences[0])
        self.sentences = tuple(sentences)


@dataclass(frozen=True)
class Scan:
    """What a file says about a scan, in the package's axis order and units, not yet checked.

    Attributes:
        path: The file.
        positions: Shape (element, dim), order (y, x) [m].
        values: Traces (tx, rx, time) or spectra (freq, tx, rx).
        times: Sample times, shape (time,) [s], for traces of a file that lists them.
        sampling: Time of the first sample [s] and sampling frequency [Hz], for traces of other files.
        frequencies: Shape (freq,) [Hz], for spectra.
        transmits: Element of each transmit, or None where every element transmits in turn.
        receives: Element of each channel, or None where every element receives.
        usable: Which values the file declares usable: (tx, rx) for traces, weights (freq, tx, rx) for
            spectra, or None where it says nothing.
        damping: Of the transform that made the spectra [1/s].
        names: What the file calls `positions`, `values`, `times` and `frequencies`.
        notes: What the reader changed, in sentences.
        reference: What was recorded in water alone, of the shape of the values, or None.
        reference_usable: As `usable`, of the reference.
    """

    path: Path
    positions: np.ndarray
    values: np.ndarray
    times: np.ndarray | None = None
    sampling: tuple[float, float] | None = None
    frequencies: np.ndarray | None = None
    transmits: np.ndarray | None = None
    receives: np.ndarray | None = None
    usable: np.ndarray | None = None
    damping: float = 0.0
    names: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    reference: np.ndarray | None = None
    reference_usable: np.ndarray | None = None

    @property
    def is_spectra(self) -> bool:
        """Whether the values are spectra rather than traces."""
        return self.frequencies is not None

    def name(self, quantity: str) -> str:
        """What the file calls a quantity."""
        return self.names.get(quantity, quantity)


@dataclass(frozen=True)
class About:
    """What else is known of a scan; the attributes are those of `Acquisition`."""

    water_sound_speed: float | None = None
    truth: Medium | None = None
    start: Medium | None = None
    title: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)


def assemble(scan: Scan, about: About) -> tuple[Acquisition, tuple[str, ...]]:
    """Check a scan, mask what cannot be used, and build the acquisition.

    Args:
        scan: What the file says.
        about: What else is known.

    Returns:
        The acquisition, whose notes list every mask, and the masks that point at a fault.

    Raises:
        RefusalError: If the scan cannot be used; it carries every reason.
    """
    faults = scan_faults(scan)
    if faults:
        raise RefusalError(faults)
    masks = channels.examine(scan.values, scan.usable, scan.is_spectra, scan.transmits, scan.receives)
    n_elements = len(scan.positions)
    array = TransducerArray(
        torch.from_numpy(np.array(scan.positions, dtype=np.float64)),
        _index(scan.transmits, n_elements),
        _index(scan.receives, n_elements),
    )
    water, remarks = _water(scan)
    acquisition = Acquisition(
        array,
        _data(scan, masks.valid),
        about.water_sound_speed,
        about.truth,
        about.start,
        about.title,
        dict(about.metadata),
        (*scan.notes, *masks.remarks, *masks.faults, *remarks),
        water,
    )
    return acquisition, tuple(f"{scan.path}: {sentence}" for sentence in masks.faults)


def _index(elements: np.ndarray | None, n_elements: int) -> torch.Tensor:
    return torch.arange(n_elements) if elements is None else torch.from_numpy(elements.astype(np.int64))


def _water(scan: Scan) -> tuple[Traces | Spectra | None, tuple[str, ...]]:
    """The water shot, and what was masked in it."""
    if scan.reference is None:
        return None, ()
    shot = replace(scan, values=scan.reference, usable=scan.reference_usable)
    masks = channels.examine(shot.values, shot.usable, shot.is_spectra, shot.transmits, shot.receives)
    return _data(shot, masks.valid), tuple(f"Water shot: {sentence}" for sentence in masks.faults)


def _data(scan: Scan, valid: np.ndarray) -> Traces | Spectra:
    return _spectra(scan, valid) if scan.is_spectra else _traces(scan, valid)


def _traces(scan: Scan, valid: np.ndarray) -> Traces:
    start, sampling_frequency = scan.sampling or _sampling(np.asarray(scan.times, dtype=np.float64))
    values = torch.from_numpy(channels.cleaned(scan.values))
    return Traces(values, start, sampling_frequency, torch.from_numpy(valid))


def _sampling(times: np.ndarray) -> tuple[float, float]:
    """Time of the first sample [s] and sampling frequency [Hz]."""
    return float(times[0]), float((len(times) - 1) / (times[-1] - times[0]))


def _spectra(scan: Scan, weights: np.ndarray) -> Spectra:
    values = torch.from_numpy(channels.cleaned(scan.values))
    frequencies = torch.from_numpy(np.array(scan.frequencies, dtype=np.float64))
    return Spectra(values, frequencies, torch.from_numpy(weights), scan.damping)


def scan_faults(scan: Scan) -> list[str]:
    """Everything that makes a scan unusable, one sentence each, with file, value and remedy."""
    faults = position_faults(scan.positions, scan.name("positions"))
    if scan.times is not None:
        faults += time_faults(scan.times, scan.name("times"))
    if scan.frequencies is not None:
        faults += frequency_faults(scan.frequencies, scan.name("frequencies"))
    faults += _size_faults(scan)
    if not faults and not channels.any_alive(scan.values):
        faults.append(f"{scan.name('values')} hold no usable sample; record the scan again.")
    faults += _reference_faults(scan)
    return [f"{scan.path}: {fault}" for fault in faults]


def _reference_faults(scan: Scan) -> list[str]:
    """What is wrong with the water shot, without the file's name."""
    reference, usable, name = scan.reference, scan.reference_usable, scan.name("reference")
    if reference is None:
        return []
    kinds = "c" if scan.is_spectra else "iuf"
    if reference.shape != scan.values.shape or reference.dtype.kind not in kinds:
        return [
            f"{name} holds {reference.dtype} of shape {reference.shape} and the data have {scan.values.shape}; "
            "store a water shot with the same channels and samples, or keep it in a file of its own."
        ]
    if usable is not None and usable.shape != (reference.shape if scan.is_spectra else reference.shape[:2]):
        return [f"the mask of {name} has the shape {usable.shape}; store one value for each channel."]
    return []


def position_faults(positions: np.ndarray, name: str = "positions") -> list[str]:
    """What is wrong with element positions, shape (element, dim) [m], without the file's name."""
    if positions.ndim != 2 or positions.shape[1] not in (2, 3) or len(positions) < 2:
        return [
            f"{name} have shape {positions.shape}; store two or three coordinates for each of the elements."
        ]
    bad = np.flatnonzero(~np.isfinite(positions).all(axis=1))
    if len(bad):
        return [f"{name} of element {bad[0]} are not finite; store the coordinates of every element."]
    centre = 0.5 * (positions.min(axis=0) + positions.max(axis=0))
    radius = float(np.median(np.linalg.norm(positions - centre, axis=1)))
    if radius > _LARGEST_RADIUS:
        return [f"{name} look like millimetres (radius {radius:g}, read as metres); divide them by 1000."]
    order = np.lexsort(positions.T)
    steps = np.linalg.norm(np.diff(positions[order], axis=0), axis=1)
    if steps.min() < _COINCIDENT:
        pair = sorted(order[[steps.argmin(), steps.argmin() + 1]].tolist())
        return [f"{name} of elements {pair[0]} and {pair[1]} coincide; give every element its own place."]
    return []


def time_faults(times: np.ndarray, name: str = "time") -> list[str]:
    """What is wrong with sample times, shape (time,) [s], without the file's name."""
    if times.ndim != 1 or len(times) < 2 or not np.isfinite(times).all():
        return [f"{name} must hold at least two finite sample times; store one for each sample."]
    steps = np.diff(times)
    interval = float(times[-1] - times[0]) / len(steps)
    if steps.min() <= 0:
        where = int(steps.argmin()) + 1
        return [f"{name} does not increase at sample {where}; store evenly spaced sample times in seconds."]
    # Times kept in single precision jitter by their own rounding, which is no fault.
    slack = 0.01 * interval + 4 * np.finfo(np.float32).eps * float(np.abs(times).max())
    if np.abs(steps - interval).max() > slack:
        where = int(np.abs(steps - interval).argmax()) + 1
        return [f"{name} is not evenly spaced at sample {where}; resample the traces to one interval."]
    if 1 / interval < _LOWEST_SAMPLING:
        return [f"{name} looks like microseconds (interval {interval:g}, read as seconds); divide it by 1e6."]
    return []


def frequency_faults(frequencies: np.ndarray, name: str = "frequencies") -> list[str]:
    """What is wrong with frequencies, shape (freq,) [Hz], without the file's name."""
    if frequencies.size == 0:
        return [f"{name} is empty; store the frequencies of the spectra in hertz."]
    if not np.isfinite(frequencies).all() or frequencies.min() <= 0:
        return [f"{name} holds {float(frequencies.min()):g}; store positive, finite frequencies in hertz."]
    if frequencies.min() < _LOWEST_FREQUENCY:
        lowest = float(frequencies.min())
        return [f"{name} holds {lowest:g}, which looks like kHz or MHz; store the frequencies in hertz."]
    if len(np.unique(frequencies)) < len(frequencies):
        return [f"{name} holds a frequency twice; store each frequency once."]
    return []


def _size_faults(scan: Scan) -> list[str]:
    """Disagreements between the data and the axes that they should have, without the file's name."""
    name, shape = scan.name("values"), scan.values.shape
    if scan.values.ndim != 3:
        return [f"{name} have the shape {shape}; store transmits, receives and samples on three axes."]
    if 0 in shape:
        return [f"{name} are empty, of shape {shape}; record the scan again."]
    if scan.is_spectra and not np.iscomplexobj(scan.values):
        return [f"{name} are real; store complex spectra, or time traces with their sample times."]
    if not scan.is_spectra and scan.values.dtype.kind not in "iuf":
        return [f"{name} have the type {scan.values.dtype}; store traces as real numbers."]
    n_samples, n_tx, n_rx = shape if scan.is_spectra else (shape[2], *shape[:2])
    axis = "frequencies" if scan.is_spectra else "times"
    listed = scan.frequencies if scan.is_spectra else scan.times
    faults = _role_faults(scan, "transmits", n_tx, scan.transmits)
    faults += _role_faults(scan, "receives", n_rx, scan.receives)
    if listed is not None and n_samples != len(listed):
        faults.append(
            f"{name} have {n_samples} samples but {scan.name(axis)} has {len(listed)}; "
            "store one for each and check the order of the axes."
        )
    return faults


def _role_faults(scan: Scan, role: str, size: int, elements: np.ndarray | None) -> list[str]:
    """Disagreements between the transmits or receives and the elements."""
    n_elements = len(scan.positions)
    expected = n_elements if elements is None else len(elements)
    if size != expected:
        listed = f"{scan.name('positions')} list" if elements is None else f"their list of {role} names"
        return [
            f"{scan.name('values')} have {size} {role} but {listed} {expected} elements; "
            "store one for each and check the order of the axes."
        ]
    if elements is not None and not 0 <= int(elements.min()) <= int(elements.max()) < n_elements:
        worst = int(elements.min()) if elements.min() < 0 else int(elements.max())
        return [f"{role} name element {worst} of {n_elements}; number the elements from 0."]
    return []
