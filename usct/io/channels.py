"""Which channels of a recording can be used, and which way its phase turns."""

from dataclasses import dataclass

import numpy as np

_WATER_SOUND_SPEED = 1500.0
_MOST_NAMED = 8


@dataclass(frozen=True)
class Masks:
    """The outcome of looking at every channel.

    Attributes:
        valid: Usable channels, shape (tx, rx) bool, or weights (freq, tx, rx) float64.
        faults: One sentence for each kind of masked channel that should have held data.
        remarks: Masked channels that are no fault, in sentences.
    """

    valid: np.ndarray
    faults: tuple[str, ...]
    remarks: tuple[str, ...]


def examine(
    values: np.ndarray,
    usable: np.ndarray | None,
    is_spectra: bool,
    transmits: np.ndarray | None,
    receives: np.ndarray | None,
) -> Masks:
    """Mask channels with NaN or infinity, dead elements, and all-zero channels.

    A file that says itself which values are usable is believed about single all-zero channels.

    Args:
        values: Traces (tx, rx, time) or spectra (freq, tx, rx).
        usable: The file's own mask (tx, rx) or weights (freq, tx, rx), or None.
        is_spectra: Which of the two the values are.
        transmits: Element of each transmit, or None for all in order.
        receives: Element of each receive channel, or None for all in order.
    """
    finite, alive = _finite_and_alive(values, is_spectra)
    transmits = np.arange(finite.shape[0]) if transmits is None else transmits
    receives = np.arange(finite.shape[1]) if receives is None else receives
    declared = np.ones(finite.shape, dtype=bool) if usable is None else _declared(usable, is_spectra)
    dead_tx, dead_rx = np.all(~alive, axis=1), np.all(~alive, axis=0)
    dead = np.logical_or.outer(dead_tx, dead_rx)
    zero = ~alive & ~dead if usable is None else np.zeros_like(dead)
    itself = transmits[:, np.newaxis] == receives[np.newaxis, :]
    news = declared & ~dead
    faults = [
        *_dead_elements("transmit", transmits[dead_tx & declared.any(axis=1)]),
        *_dead_elements("receive", receives[dead_rx & declared.any(axis=0)]),
        *_channels("NaN or infinite samples", ~finite & news, transmits, receives),
        *_channels("nothing but zeros", zero & ~itself & news, transmits, receives),
    ]
    n_itself = int((zero & itself).sum())
    remarks = (f"Masked {n_itself} all-zero channels in which an element hears itself.",) if n_itself else ()
    keep = finite & ~dead & ~zero
    if not is_spectra:
        return Masks(keep & declared, tuple(faults), remarks)
    weights = np.ones(values.shape) if usable is None else usable
    return Masks(np.where(keep, weights, 0), tuple(faults), remarks)


def _declared(usable: np.ndarray, is_spectra: bool) -> np.ndarray:
    """Which (tx, rx) channels the file itself declares usable."""
    return np.any(usable > 0, axis=0) if is_spectra else usable.astype(bool)


def _dead_elements(role: str, elements: np.ndarray) -> list[str]:
    if len(elements) == 0:
        return []
    more = f" and {len(elements) - _MOST_NAMED} more" if len(elements) > _MOST_NAMED else ""
    names = ", ".join(str(element) for element in elements[:_MOST_NAMED])
    return [f"Masked every {role} channel of element {names}{more}, because all are zero."]


def _channels(reason: str, flags: np.ndarray, transmits: np.ndarray, receives: np.ndarray) -> list[str]:
    pairs = [f"{transmits[t]}-{receives[r]}" for t, r in np.argwhere(flags)]
    if not pairs:
        return []
    named = ", ".join(pairs[:_MOST_NAMED]) + (", ..." if len(pairs) > _MOST_NAMED else "")
    count = "1 channel" if len(pairs) == 1 else f"{len(pairs)} channels"
    return [f"Masked {count} with {reason} (transmit-receive {named})."]


def _finite_and_alive(values: np.ndarray, is_spectra: bool) -> tuple[np.ndarray, np.ndarray]:
    """Which (tx, rx) channels are finite throughout, and which are anything but zero."""
    shape = values.shape[1:] if is_spectra else values.shape[:2]
    finite, alive = np.ones(shape, dtype=bool), np.zeros(shape, dtype=bool)
    for i, block in enumerate(values):
        if is_spectra:
            finite &= np.isfinite(block)
            alive |= block != 0
        else:
            finite[i] = np.isfinite(block).all(axis=-1)
            alive[i] = (block != 0).any(axis=-1)
    return finite, alive


def any_alive(values: np.ndarray) -> bool:
    """Whether at least one value is finite and not zero."""
    return any(bool((np.isfinite(block) & (block != 0)).any()) for block in values)


def cleaned(values: np.ndarray) -> np.ndarray:
    """Put the values in native byte order and set NaN and infinity to zero, in place where possible."""
    values = np.require(values, dtype=values.dtype.newbyteorder("="), requirements=["C", "W"])
    if values.dtype.kind in "fc":
        for block in values:
            block[~np.isfinite(block)] = 0
    return values


def phase_slope(spectrum: np.ndarray, frequency: float, transmits: np.ndarray, receives: np.ndarray) -> float:
    """How the phase runs along the receivers, compared with an outgoing wave exp(-ikr) in water.

    For each transmit, the phase steps between receivers that are neighbours in angle are set against
    -k times the steps in distance. Unknown source weights drop out, and what lies in the water shifts
    the steps only a little. Receivers within half the median distance of the transmit are left out.

    Args:
        spectrum: Shape (tx, rx), complex; zeros and values that are not finite are skipped.
        frequency: [Hz].
        transmits: Positions, shape (tx, dim) [m].
        receives: Positions, shape (rx, dim) [m].

    Returns:
        Near 1 for exp(-ikr), near -1 for its conjugate, near 0 if the receivers do not follow a wave.
    """
    centre = receives.mean(axis=0)
    order = np.argsort(np.arctan2(receives[:, -2] - centre[-2], receives[:, -1] - centre[-1]))
    distance = np.linalg.norm(transmits[:, None] - receives[None, order], axis=-1)
    data = np.where(np.isfinite(spectrum), spectrum, 0)[:, order]
    nxt_distance, nxt = np.roll(distance, -1, axis=1), np.roll(data, -1, axis=1)
    near = 0.5 * np.median(distance)
    use = (data != 0) & (nxt != 0) & (np.minimum(distance, nxt_distance) > near)
    measured = np.sin(np.angle(nxt * data.conj()))[use]
    expected = np.sin(-2 * np.pi * frequency / _WATER_SOUND_SPEED * (nxt_distance - distance))[use]
    energy = float(expected @ expected)
    return float(measured @ expected) / energy if energy > 0 else 0.0
