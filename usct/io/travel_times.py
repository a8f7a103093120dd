"""Travel times of ring arrays in the layout of ust-sart, for MATLAB.

`delta_tof` (transmit, receive) [s]: arrival with the object minus arrival in water, NaN where there is none.
`element_positions` (element, 2), columns (x, y) [m], in the same file or one of its own.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from usct.acquisition import TransducerArray
from usct.errors import InputError
from usct.io.checks import RefusalError, position_faults
from usct.travel_times import TravelTimes

DATA_VARIABLE = "delta_tof"
POSITION_VARIABLES = ("element_positions", "transducerPositionsXY")
VARIABLES = (DATA_VARIABLE, *POSITION_VARIABLES)
LARGEST_DELAY = 1e-3
"""No object in a ring delays waves by a millisecond."""
SLOWEST_MEAN = 0.3
"""Largest credible delay, as a share of the time through water."""


def read_travel_times(
    variables: Mapping[str, np.ndarray], path: Path, elsewhere: tuple[np.ndarray, Path] | None
) -> TravelTimes:
    """Build travel times from the variables of such a file.

    Args:
        variables: In MATLAB's shapes; `delta_tof` is among them.
        path: The file, for the errors' sentences.
        elsewhere: Element positions (element, 2), columns (x, y) [m], and their file; they come before those
            in the file itself.

    Raises:
        RefusalError: If positions are missing, sizes disagree, or a quantity looks to be in other units.
    """
    delays = variables[DATA_VARIABLE].astype(np.float64)
    name = next((name for name in POSITION_VARIABLES if name in variables), None)
    if elsewhere is not None:
        xy, source = elsewhere
    elif name is not None:
        xy, source = _columns(variables[name]), path
    else:
        raise RefusalError(
            [
                f"{path}: travel times without element positions; add --positions FILE, a .mat file with "
                f"{POSITION_VARIABLES[0]} (element, 2) in metres."
            ]
        )
    positions = xy[:, ::-1].astype(np.float64)
    faults = [f"{source}: {fault}" for fault in position_faults(positions, "element positions")]
    faults += [f"{path}: {fault}" for fault in delay_faults(delays, positions)]
    if faults:
        raise RefusalError(faults)
    array = TransducerArray.of(torch.from_numpy(positions.copy()))
    delays[~np.isfinite(delays)] = np.nan
    notes = () if source == path else (f"Element positions come from {source.name}.",)
    return TravelTimes(
        array, torch.from_numpy(delays), title=path.stem, metadata={"layout": "ust-sart"}, notes=notes
    )


def positions_of(variables: Mapping[str, np.ndarray], path: Path) -> np.ndarray:
    """Element positions of a file that holds them, shape (element, 2), columns (x, y) [m].

    Raises:
        InputError: If the file holds none.
    """
    for name in POSITION_VARIABLES:
        if name in variables:
            return _columns(variables[name])
    raise InputError(
        f"{path}: none of {', '.join(POSITION_VARIABLES)} is in the file; give --positions a .mat file with one."
    )


def delay_faults(delays: np.ndarray, positions: np.ndarray) -> list[str]:
    """What is wrong with delays (transmit, receive) [s] between elements at (element, 2) [m], in sentences."""
    n = len(positions)
    if delays.ndim != 2 or delays.shape != (n, n):
        return [
            f"{DATA_VARIABLE} has the shape {delays.shape} but there are {n} element positions; "
            "store one row and one column for each element."
        ]
    finite = delays[np.isfinite(delays)]
    if not len(finite) or not finite.any():
        return [f"{DATA_VARIABLE} holds no travel time; store arrival with object minus arrival in water."]
    largest, typical = (float(q) for q in np.quantile(np.abs(finite[finite != 0]), (0.99, 0.5)))
    if largest > LARGEST_DELAY:
        return [
            f"{DATA_VARIABLE} looks like microseconds (up to {largest:g}, read as seconds); divide it by 1e6."
        ]
    straight = np.linalg.norm(positions[:, None] - positions[None], axis=-1) / 1500.0
    if typical > SLOWEST_MEAN * float(straight.max()):
        return [
            f"{DATA_VARIABLE} looks like whole travel times (median {1e6 * typical:.0f} us); "
            "subtract those of a water shot."
        ]
    return []


def _columns(xy: np.ndarray) -> np.ndarray:
    """Positions with one row for each element."""
    return xy.T if xy.ndim == 2 and xy.shape[0] == 2 and xy.shape[1] != 2 else xy
