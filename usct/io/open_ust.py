"""Recordings of the open-UST ring, for MATLAB.

`rcvData` (transmit, receive, time), `settings` with `acqSamplingFrequency` [Hz], and often `temperature` of the water
[deg C]; the first sample is taken when the transmit fires. Element positions are in a file of their own,
`element_positions` (element, 2), columns (x, y) [m]. The layout is that which the scripts of
open-UST-imaging-and-evaluation read (Roberts et al., github.com/morganjroberts).
"""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from usct.acquisition import Acquisition
from usct.io.checks import About, RefusalError, Scan, assemble
from usct.units import water_sound_speed

DATA_VARIABLE = "rcvData"
SETTINGS = "settings"
SAMPLING = "acqSamplingFrequency"
TEMPERATURE = "temperature"
VARIABLES = (DATA_VARIABLE, TEMPERATURE)
VERASONICS = "RcvData"
"""A Verasonics buffer; MATLAB tells capitals apart."""
_BELIEVABLE = (5.0, 45.0)
"""Temperatures of a water bath [deg C]."""


def read_open_ust(
    variables: Mapping[str, np.ndarray],
    sampling: float | None,
    path: Path,
    elsewhere: tuple[np.ndarray, Path] | None,
) -> tuple[Acquisition, tuple[str, ...]]:
    """Build an acquisition from the variables of such a file.

    Args:
        variables: In MATLAB's shapes; `rcvData` is among them.
        sampling: `settings.acqSamplingFrequency` [Hz], or None where the file has none.
        path: The file, for the errors' sentences.
        elsewhere: Element positions (element, 2), columns (x, y) [m], and their file, or None.

    Raises:
        RefusalError: If positions or sampling frequency are missing, or sizes disagree.
    """
    faults = []
    if elsewhere is None:
        faults.append(
            f"{path}: {DATA_VARIABLE} without element positions; add --positions FILE, a .mat file with "
            "element_positions (element, 2) in metres."
        )
    if sampling is None:
        faults.append(
            f"{path}: {DATA_VARIABLE} without {SETTINGS}.{SAMPLING}; store the sampling frequency there, in Hz."
        )
    if elsewhere is None or sampling is None:
        raise RefusalError(faults)
    water, notes = _water(variables)
    notes += (
        f"Element positions come from {elsewhere[1].name}.",
        "The first sample was taken to be at time zero.",
    )
    scan = Scan(
        path,
        elsewhere[0][:, ::-1].astype(np.float64),
        variables[DATA_VARIABLE],
        sampling=(0.0, sampling),
        names={"positions": "element_positions", "values": DATA_VARIABLE},
        notes=notes,
    )
    return assemble(scan, About(water, title=path.stem, metadata={"layout": "open-UST"}))


def _water(variables: Mapping[str, np.ndarray]) -> tuple[float | None, tuple[str, ...]]:
    """Sound speed of the water [m/s] by its temperature, if a believable one is there, and what was done."""
    stored = variables.get(TEMPERATURE)
    degrees = float(stored.ravel()[0]) if stored is not None and stored.size == 1 else math.nan
    if not _BELIEVABLE[0] < degrees < _BELIEVABLE[1]:
        return None, ()
    return water_sound_speed(degrees), (f"The water's sound speed follows from its {degrees:g} deg C.",)
