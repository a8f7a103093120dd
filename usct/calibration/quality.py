"""What a quality control says of a scan, and the scan without the channels that it condemns."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import final

import torch

from usct.acquisition import Acquisition, Spectra, Traces
from usct.calibration.arrivals import Pulse

MOST_NAMED = 8


@final
class Verdict(Enum):
    """Outcome of one check."""

    GOOD = "good"
    FAULT = "fault"
    UNKNOWN = "not checked"


@dataclass(frozen=True)
class Check:
    """One question about a scan and its answer.

    Attributes:
        name: Of the question, for people.
        verdict: Whether something is wrong.
        text: The answer; where nothing was checked, why.
        numbers: The answer for machines, in SI units.
    """

    name: str
    verdict: Verdict
    text: str
    numbers: Mapping[str, object] = field(default_factory=dict)

    @classmethod
    def of(cls, name: str, is_bad: bool, text: str, numbers: Mapping[str, object]) -> "Check":
        """A check that was made."""
        return cls(name, Verdict.FAULT if is_bad else Verdict.GOOD, text, numbers)

    @classmethod
    def missing(cls, name: str, reason: str) -> "Check":
        """A check that could not be made."""
        return cls(name, Verdict.UNKNOWN, reason)


@dataclass(frozen=True)
class ChannelQuality:
    """What was measured in every channel; NaN where it could not be.

    Attributes:
        levels: Of the direct wave, against what its opening angle makes expect, shape (tx, rx) [dB].
        lags: Of the direct wave against water, shape (tx, rx) [s]; all NaN for spectra.
        noise: Against the typical direct wave, shape (tx, rx) [dB]; all NaN for spectra.
        pulse: Of the direct wave, for traces.
        bands: Edges of the bands, or frequencies of spectra, shape (band + 1,) or (freq,) [Hz].
        signal: Level of the direct wave in each band against the strongest, shape (band,) or (freq,) [dB].
        background: Level of the noise in each band on the same scale; all NaN for spectra.
        sampling_frequency: Of the pulse [Hz].
    """

    levels: torch.Tensor
    lags: torch.Tensor
    noise: torch.Tensor
    pulse: Pulse | None
    bands: torch.Tensor
    signal: torch.Tensor
    background: torch.Tensor
    sampling_frequency: float = 0.0


@dataclass(frozen=True)
class QualityReport:
    """Outcome of a quality control.

    Attributes:
        checks: All questions, those that could not be answered too.
        usable: Channels that can be used, shape (tx, rx) bool.
        transmit_signs: 1, or -1 for transmits whose polarity is turned, shape (tx,).
        receive_signs: The same for receives, shape (rx,).
        channels: What was measured.
    """

    checks: tuple[Check, ...]
    usable: torch.Tensor
    transmit_signs: torch.Tensor
    receive_signs: torch.Tensor
    channels: ChannelQuality

    @property
    def faults(self) -> tuple[Check, ...]:
        """Checks that found something wrong."""
        return tuple(check for check in self.checks if check.verdict is Verdict.FAULT)

    def __getitem__(self, name: str) -> Check:
        """The check of a name."""
        return next(check for check in self.checks if check.name == name)

    def rows(self) -> list[tuple[str, str]]:
        """Names and answers for people; faults are marked."""
        marks = {Verdict.GOOD: "", Verdict.FAULT: "FAULT: ", Verdict.UNKNOWN: "not checked: "}
        return [(check.name, marks[check.verdict] + check.text) for check in self.checks]

    def as_dict(self) -> dict[str, object]:
        """Everything for machines: verdict, sentence and numbers of every check; NaN become null."""
        return {
            check.name: {"verdict": check.verdict.value, "text": check.text}
            | {key: _finite(value) for key, value in check.numbers.items()}
            for check in self.checks
        }


def _finite(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return [_finite(item) for item in value] if isinstance(value, list) else value


def mend(scan: Acquisition, report: QualityReport) -> Acquisition:
    """The scan, and its water shot, with the condemned channels masked and turned polarities turned back.

    Masked channels keep their values and count nothing; none becomes zero data.

    Args:
        scan: The scan that was checked.
        report: What was found.
    """
    notes = [f"{check.name}: {check.text}" for check in report.faults]
    water = None if scan.water is None else _mended(scan.water, report)
    return replace(scan, data=_mended(scan.data, report), notes=(*scan.notes, *notes), water=water)


def _mended(data: Traces | Spectra, report: QualityReport) -> Traces | Spectra:
    turn = report.transmit_signs[:, None] * report.receive_signs
    if isinstance(data, Spectra):
        weights = torch.where(report.usable, data.weights, 0.0)
        return replace(data, values=data.values * turn, weights=weights)
    values = data.values
    if bool((turn < 0).any()):
        values = torch.where((turn < 0)[..., None], -values, values)
    return replace(data, values=values, valid=data.valid & report.usable)


def named(numbers: Iterable[int]) -> str:
    """Some numbers for people, the first few of many."""
    listed = list(numbers)
    more = f" and {len(listed) - MOST_NAMED} more" if len(listed) > MOST_NAMED else ""
    return ", ".join(str(number) for number in listed[:MOST_NAMED]) + more


def plural(count: int, noun: str) -> str:
    """A count with its noun."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def roles(transmits: list[int], receives: list[int]) -> list[str]:
    """Elements for people, by what of them is meant; nothing where there is none."""
    if transmits == receives:
        return [f"element{'s' if len(transmits) > 1 else ''} {named(transmits)}"] if transmits else []
    parts = (("transmits", transmits), ("receives", receives))
    return [f"{role} of element {named(elements)}" for role, elements in parts if elements]
