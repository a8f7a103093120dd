"""Element positions, delays and the water's sound speed from arrival times in water."""

from dataclasses import dataclass

import numpy as np
import scipy.linalg
import scipy.sparse

from usct.calibration.arrivals import robust_spread

POSITION_PRIOR, DELAY_PRIOR = 1e-3, 1e-6
"""What positions [m] and delays [s] may well be off by; wide enough to matter only where the data say nothing."""
SMALLEST_SCATTER = 1e-9
_MOST_STEPS = 30
_CONVERGED = 1e-6


@dataclass(frozen=True)
class Geometry:
    """A ring that explains its arrival times.

    Attributes:
        positions: Shape (element, dim) [m].
        transmit_delays: Shape (tx,) [s].
        receive_delays: Shape (rx,) [s].
        common_delay: Of all channels: the time from the trigger to the middle of the pulse [s].
        sound_speed: Of the water [m/s].
        residuals: Modelled minus measured arrival of every channel used, shape (channel,) [s].
    """

    positions: np.ndarray
    transmit_delays: np.ndarray
    receive_delays: np.ndarray
    common_delay: float
    sound_speed: float
    residuals: np.ndarray

    @property
    def scatter(self) -> float:
        """Robust standard deviation of the residuals [s]."""
        return robust_spread(self.residuals)


def fit_geometry(
    times: np.ndarray,
    positions: np.ndarray,
    transmits: np.ndarray,
    receives: np.ndarray,
    sound_speed: float,
    speed_is_known: bool,
) -> Geometry:
    """Fit positions, delays and sound speed to arrival times by robust nonlinear least squares.

    The model is |x_i - x_j| / c + e_i + r_j + t0. Of it the data leave open a shift and a turn of the whole ring,
    a constant between the e and the r, and, unless the sound speed is known, the ring's size against it. Weak
    priors on positions and delays settle these and nothing else: of all rings that explain the data equally well, the
    one nearest to that given is taken. Residuals count by the soft L1 loss, so that wrong picks pull little;
    Gauss-Newton steps with its weights are repeated until nothing moves.

    Args:
        times: Arrival times, shape (tx, rx) [s]; NaN are left out.
        positions: Where the elements are thought to be, shape (element, dim) [m].
        transmits: Element of every transmit, shape (tx,).
        receives: Element of every receive, shape (rx,).
        sound_speed: Of the water, or a first guess of it [m/s].
        speed_is_known: Whether to keep it and let the ring's size follow.

    Raises:
        ValueError: If there are fewer arrival times than unknowns.
    """
    fit = _Fit(times, positions, transmits, receives)
    n_unknowns = positions.size + len(transmits) + len(receives)
    if len(fit.measured) < n_unknowns:
        raise ValueError(
            f"{len(fit.measured)} arrival times are too few for {n_unknowns} positions and delays; "
            "give a water shot in which more elements hear each other"
        )
    state = fit.start(sound_speed)
    for _ in range(_MOST_STEPS):
        change = fit.step(state, speed_is_known)
        state = state + change
        if np.abs(change[: positions.size]).max() < _CONVERGED * POSITION_PRIOR:
            break
    return fit.geometry(state)


class _Fit:
    """The least-squares problem; a state holds positions, transmit and receive delays, t0 and slowness."""

    def __init__(
        self, times: np.ndarray, positions: np.ndarray, transmits: np.ndarray, receives: np.ndarray
    ) -> None:
        self.rows, self.columns = np.nonzero(np.isfinite(times))
        self.measured = times[self.rows, self.columns]
        self.nominal, self.shape = positions, times.shape
        self.sender, self.hearer = transmits[self.rows], receives[self.columns]
        self.n_positions, (self.n_tx, self.n_rx) = positions.size, times.shape

    def start(self, sound_speed: float) -> np.ndarray:
        """The ring as given, its common delay the median."""
        delays = np.zeros(self.n_tx + self.n_rx)
        state = np.concatenate([self.nominal.ravel(), delays, [0.0, 1 / sound_speed]])
        state[-2] = -np.median(self.residuals(state))
        return state

    def residuals(self, state: np.ndarray) -> np.ndarray:
        """Modelled minus measured times [s]."""
        offset, _ = self._offsets(state)
        delays = state[self.n_positions : -2]
        late = delays[self.rows] + delays[self.n_tx + self.columns] + state[-2]
        return np.linalg.norm(offset, axis=1) * state[-1] + late - self.measured

    def _offsets(self, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """From receive to transmit element, shape (channel, dim) [m], and the positions."""
        positions = state[: self.n_positions].reshape(self.nominal.shape)
        return positions[self.sender] - positions[self.hearer], positions

    def _jacobian(self, state: np.ndarray) -> scipy.sparse.csr_array:
        """Derivative of the residuals, shape (channel, unknown)."""
        offset, _ = self._offsets(state)
        distance = np.linalg.norm(offset, axis=1)
        pull = offset / distance[:, None] * state[-1]
        n, dim = offset.shape
        axes = np.arange(dim)
        ones = np.ones((n, 1))
        values = np.hstack([pull, -pull, ones, ones, ones, distance[:, None]])
        first = self.n_positions
        places = np.hstack(
            [
                dim * self.sender[:, None] + axes,
                dim * self.hearer[:, None] + axes,
                first + self.rows[:, None],
                first + self.n_tx + self.columns[:, None],
                np.full((n, 1), len(state) - 2),
                np.full((n, 1), len(state) - 1),
            ]
        )
        numbers = np.repeat(np.arange(n), values.shape[1])
        return scipy.sparse.csr_array((values.ravel(), (numbers, places.ravel())), shape=(n, len(state)))

    def step(self, state: np.ndarray, speed_is_known: bool) -> np.ndarray:
        """One Gauss-Newton step with the weights of the soft L1 loss."""
        residuals = self.residuals(state)
        scale = max(robust_spread(residuals), SMALLEST_SCATTER)
        weights = 1 / np.sqrt(1 + (residuals / scale) ** 2) / scale**2
        jacobian = self._jacobian(state)
        prior = np.concatenate(
            [
                np.full(self.n_positions, POSITION_PRIOR**-2),
                np.full(self.n_tx + self.n_rx, DELAY_PRIOR**-2),
                [0.0, 1e30 if speed_is_known else 0.0],
            ]
        )
        away = state - np.concatenate([self.nominal.ravel(), np.zeros(self.n_tx + self.n_rx), state[-2:]])
        normal = (jacobian.T @ (jacobian * weights[:, None])).toarray() + np.diag(prior)
        right = -(jacobian.T @ (weights * residuals)) - prior * away
        # Metres, seconds and seconds per metre differ by many orders of magnitude.
        size = 1 / np.sqrt(np.diag(normal))
        scaled = normal * size[:, None] * size
        return size * scipy.linalg.solve(scaled, size * right, assume_a="pos")

    def geometry(self, state: np.ndarray) -> Geometry:
        """The state as a ring; what transmits and receives have in common goes to the common delay."""
        delays = state[self.n_positions : -2]
        sent, heard = delays[: self.n_tx], delays[self.n_tx :]
        _, positions = self._offsets(state)
        common = state[-2] + sent.mean() + heard.mean()
        return Geometry(
            positions,
            sent - sent.mean(),
            heard - heard.mean(),
            float(common),
            float(1 / state[-1]),
            self.residuals(state),
        )
