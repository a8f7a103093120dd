"""What an array would be able to see of a medium: a forecast for those who design it."""

import csv
import io
import math
from dataclasses import asdict, dataclass, fields
from typing import Any

PLACES_PER_SIZE = 2
"""Places where the error is told, along the size of the detail that it is told of."""


@dataclass(frozen=True)
class Outlook:
    """What one array sees of the inside at one frequency, or at all of a plan's together.

    Attributes:
        n_elements: Of the ring.
        frequencies: Whose data there are [Hz].
        attenuation: Whether the medium absorbs.
        detail: Width at half height with which a point in the middle comes back [m]; NaN if nothing does.
        detail_near: The same near the rim of the inside [m].
        determined: Numbers that the data determine [1].
        deviation: Expected error of the sound speed, in detail of the plan's size and coarser; root mean square over
            the inside [m/s].
        level: Energy of what has crossed the ring over that in water alone [dB].
        errors: The expected error in each of the plan's places, three digits of it [m/s].
    """

    n_elements: int
    frequencies: tuple[float, ...]
    attenuation: bool
    detail: float = math.nan
    detail_near: float = math.nan
    determined: float = math.nan
    deviation: float = math.nan
    level: float = math.nan
    errors: tuple[float, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """All of it for JSON; what is undefined becomes None."""
        values = asdict(self) | {"frequencies": list(self.frequencies)}
        return {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in values.items()
        }


@dataclass(frozen=True)
class Plan:
    """Outlooks for several arrays and frequencies, with and without attenuation.

    Attributes:
        medium: Its name.
        radius: Of the rings [m].
        snr_db: Energy of what crosses water alone over that of the noise, for each frequency [dB].
        contrast: Standard deviation that the sound speed is held to have before any data [m/s].
        correlation: Distance over which it is alike [m].
        size: Of the detail, and all that is coarser, whose error is told [m].
        before: Deviation of that detail before any data [m/s].
        places: Where detail is measured: in the middle, and near the rim, (y, x) each [m].
        where: Places where the error is told, (y, x) each [m].
        area: Of the inside [m^2].
        outlooks: In the order of elements, frequencies and attenuation; all frequencies together come last.
    """

    medium: str
    radius: float
    snr_db: float
    contrast: float
    correlation: float
    size: float
    before: float
    places: tuple[tuple[float, float], ...]
    where: tuple[tuple[float, float], ...]
    area: float
    outlooks: tuple[Outlook, ...]

    def curve(self, n_elements: int, attenuation: bool) -> tuple[Outlook, ...]:
        """The outlooks of single frequencies, from the lowest up."""
        return tuple(
            o
            for o in self.outlooks
            if (o.n_elements, o.attenuation, len(o.frequencies)) == (n_elements, attenuation, 1)
        )

    def together(self, n_elements: int, attenuation: bool) -> Outlook | None:
        """The outlook with the data of all frequencies; None where a plan was cancelled before."""
        most = max(len(o.frequencies) for o in self.outlooks)
        same = [o for o in self.outlooks if (o.n_elements, o.attenuation) == (n_elements, attenuation)]
        return next((o for o in same if len(o.frequencies) == most), None)

    @property
    def elements(self) -> tuple[int, ...]:
        """Numbers of elements that were looked at."""
        return tuple(dict.fromkeys(o.n_elements for o in self.outlooks))

    def as_dict(self) -> dict[str, Any]:
        """All of it for JSON, in SI units."""
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "outlooks"}
        return own | {"outlooks": [outlook.as_dict() for outlook in self.outlooks]}

    def as_csv(self) -> str:
        """One line for each outlook, under a line of names with their units."""
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(
            ["n_elements", "frequencies_hz", "attenuation", "detail_m", "detail_near_m", "determined"]
            + ["deviation_m_per_s", "level_db"]
        )
        for o in self.outlooks:
            frequencies = " ".join(f"{f:g}" for f in o.frequencies)
            numbers = (o.detail, o.detail_near, o.determined, o.deviation, o.level)
            table.writerow(
                [o.n_elements, frequencies, str(o.attenuation).lower(), *(f"{v:.6g}" for v in numbers)]
            )
        return text.getvalue()
