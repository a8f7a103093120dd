"""Calibration from a water shot: where the elements are, when and how strongly they send and hear."""

import math
from dataclasses import dataclass, replace

import torch

from usct.acquisition import Acquisition, Traces, TransducerArray
from usct.calibration.arrivals import Pulse, find_pulse, measure_arrivals, near_channels, robust_spread
from usct.calibration.checking import check
from usct.calibration.elements import Separated, separate
from usct.calibration.geometry import fit_geometry
from usct.calibration.quality import QualityReport, mend
from usct.calibration.timing import water_temperature
from usct.errors import InputError
from usct.units import MICROSECOND, MILLIMETRE, water_sound_speed

LEAST_ANGLE = math.radians(25)
"""Closer neighbours hear each other off their axes and through the wall of the ring."""
_HEARD = 0.7
_DRIFT = 1.0


@dataclass(frozen=True)
class Calibration:
    """What a water shot tells of a ring.

    Attributes:
        array: Elements where they are.
        nominal: Elements where they were thought to be.
        transmit_delays: How late each transmit fires, mean zero, shape (tx,) [s].
        receive_delays: How late each receive records, mean zero, shape (rx,) [s].
        transmit_gains: Against the median, negative where the polarity is turned, shape (tx,) [1].
        receive_gains: The same for receives, shape (rx,) [1].
        sound_speed: Of the water in the water shot [m/s].
        speed_is_known: Whether it was given by the temperature, so that the ring's size was found.
        pulse_delay: From the trigger to the middle of the pulse [s].
        scatter_before: Of the arrival times about the ring as it was given [s].
        scatter_after: About the calibrated ring [s].
        report: Quality control of the water shot.
    """

    array: TransducerArray
    nominal: TransducerArray
    transmit_delays: torch.Tensor
    receive_delays: torch.Tensor
    transmit_gains: torch.Tensor
    receive_gains: torch.Tensor
    sound_speed: float
    speed_is_known: bool
    pulse_delay: float
    scatter_before: float
    scatter_after: float
    report: QualityReport

    @property
    def moved(self) -> float:
        """Root mean square distance between where the elements are and where they were thought to be [m]."""
        return float((self.array.positions - self.nominal.positions).square().sum(dim=1).mean().sqrt())

    def rows(self) -> list[tuple[str, str]]:
        """Names and findings for people."""
        size = self.array.radius / self.nominal.radius - 1
        gains = torch.cat([self.transmit_gains, self.receive_gains])
        warm = water_temperature(self.sound_speed)
        how = "given; the ring's size was found" if self.speed_is_known else "found; the ring's size was kept"
        celsius = "" if warm is None else f", {warm:.1f} degrees Celsius"
        delays = 1e9 * self.transmit_delays.std(), 1e9 * self.receive_delays.std()
        return [
            ("water", f"{self.sound_speed:.2f} m/s{celsius} ({how})"),
            ("positions", f"moved by {self.moved / MILLIMETRE:.3f} mm (rms), radius by {100 * size:+.3f} %"),
            (
                "delays",
                f"{delays[0]:.0f} ns of transmits, {delays[1]:.0f} ns of receives (standard deviation)",
            ),
            ("gains", f"{20 * float(gains.abs().log10().std()):.1f} dB; {int((gains < 0).sum())} turned"),
            ("pulse", f"its middle leaves {self.pulse_delay / MICROSECOND:.3f} us after the trigger"),
            (
                "residual",
                f"{1e9 * self.scatter_before:.1f} ns before, {1e9 * self.scatter_after:.1f} ns after",
            ),
        ]

    def as_dict(self) -> dict[str, object]:
        """Everything for machines, in SI units; positions in the order (y, x)."""
        tables = ("transmit_delays", "receive_delays", "transmit_gains", "receive_gains")
        numbers = ("sound_speed", "speed_is_known", "pulse_delay", "scatter_before", "scatter_after", "moved")
        return {
            "positions": self.array.positions.tolist(),
            **{name: getattr(self, name).tolist() for name in tables},
            **{name: getattr(self, name) for name in numbers},
        }


@dataclass(frozen=True)
class Calibrated:
    """A scan made ready for an inversion.

    Attributes:
        scan: Calibrated and masked.
        calibration: What was put right.
        report: Quality control of the scan after that.
    """

    scan: Acquisition
    calibration: Calibration
    report: QualityReport


def calibrate(scan: Acquisition, water: Acquisition, temperature: float | None = None) -> Calibrated:
    """Put a scan right by a shot with the same ring in water alone, and mask what remains unusable.

    Args:
        scan: With traces.
        water: With traces of the same transmits and receives.
        temperature: Of the water in the water shot [degrees Celsius]. Size of the ring and sound speed cannot both
            be found; where it is None the size is kept, which is right if the ring was measured better than the
            temperature.

    Raises:
        InputError: If the scans hold no traces, differ in their elements, or show no direct wave.
    """
    for name, one in (("scan", scan), ("water shot", water)):
        if not isinstance(one.data, Traces):
            raise InputError(f"the {name} holds spectra, which do not show delays; give traces")
    same = scan.data.values.shape[:2] == water.data.values.shape[:2]
    if not (
        same
        and torch.equal(scan.array.transmits, water.array.transmits)
        and torch.equal(scan.array.receives, water.array.receives)
    ):
        raise InputError(
            "scan and water shot differ in their transmits or receives; record both with the same settings"
        )
    calibration = measure_water(water, temperature)
    corrected = apply_calibration(calibration, scan)
    report = check(corrected)
    return Calibrated(mend(corrected, report), calibration, report)


def measure_water(water: Acquisition, temperature: float | None = None) -> Calibration:
    """Find positions, delays, gains and sound speed from a shot in water alone.

    Args:
        water: With traces.
        temperature: As for `calibrate`.

    Raises:
        InputError: If no direct wave is found, or too few channels are left.
    """
    report = check(water, water_only=True)
    pulse = report.channels.pulse
    assert pulse is not None
    assert isinstance(water.data, Traces)
    array, angles = water.array, water.array.opening_angles()
    signs = report.transmit_signs, report.receive_signs
    arrivals = measure_arrivals(water.data, array, pulse, signs[0][:, None] * signs[1])
    use = report.usable & (angles >= LEAST_ANGLE) & (arrivals.correlations.abs() > _HEARD)
    times = torch.where(use, pulse.arrival(array.distances()) + arrivals.lags, math.nan)
    speed = pulse.sound_speed if temperature is None else water_sound_speed(temperature)
    try:
        found = fit_geometry(
            times.numpy(),
            array.positions.numpy(),
            array.transmits.numpy(),
            array.receives.numpy(),
            speed,
            temperature is not None,
        )
    except ValueError as error:
        raise InputError(str(error)) from None
    strength = separate(20 * torch.log10(arrivals.amplitudes.abs().clamp(min=1e-300)), angles, use)
    return Calibration(
        replace(array, positions=torch.from_numpy(found.positions)),
        array,
        torch.from_numpy(found.transmit_delays),
        torch.from_numpy(found.receive_delays),
        signs[0] * _gain(strength, 0),
        signs[1] * _gain(strength, 1),
        found.sound_speed,
        temperature is not None,
        found.common_delay,
        robust_spread(arrivals.lags[use]),
        found.scatter,
        report,
    )


def _gain(strength: Separated, role: int) -> torch.Tensor:
    """Ratio of amplitudes from levels [dB]; one where nothing is known."""
    levels = (strength.transmits, strength.receives)[role]
    return 10 ** (levels.nan_to_num() / 20)


def apply_calibration(calibration: Calibration, scan: Acquisition) -> Acquisition:
    """The scan with its traces shifted and scaled, its elements where they are, and the water of its own day.

    Args:
        calibration: Of the same ring.
        scan: With traces; its water shot is left out.
    """
    traces = scan.data
    assert isinstance(traces, Traces)
    values = torch.empty(traces.values.shape, dtype=torch.float32)
    for row, (late, gain) in enumerate(
        zip(calibration.transmit_delays, calibration.transmit_gains, strict=True)
    ):
        moved = advanced(traces.values[row], traces.sampling_frequency, late + calibration.receive_delays)
        values[row] = moved / (gain * calibration.receive_gains)[:, None].float()
    data = replace(traces, values=values, valid=traces.valid & calibration.report.usable)
    speed, note = calibration.sound_speed, "its sound speed is that of the water shot"
    corrected = replace(scan, array=calibration.array, data=data, water_sound_speed=speed, water=None)
    own = _own_pulse(corrected)
    if own is not None and abs(own.sound_speed - speed) > _DRIFT:
        note = f"its sound speed differs from the {speed:.1f} m/s of the water shot, so it was taken from neighbours"
        corrected = replace(corrected, water_sound_speed=own.sound_speed)
    return replace(corrected, notes=(*scan.notes, f"Calibrated in water; {note}."))


def _own_pulse(scan: Acquisition) -> Pulse | None:
    assert isinstance(scan.data, Traces)
    try:
        return find_pulse(scan.data, scan.array, near_channels(scan.array))
    except ValueError:
        return None


def advanced(values: torch.Tensor, sampling_frequency: float, delays: torch.Tensor) -> torch.Tensor:
    """Traces moved to earlier times, exactly within their band.

    Args:
        values: Shape (rx, time) [Pa].
        sampling_frequency: [Hz].
        delays: How late each trace is, shape (rx,) [s].
    """
    longest = math.ceil(float(delays.abs().max()) * sampling_frequency)
    n = 2 ** math.ceil(math.log2(values.shape[1] + 2 * longest + 64))
    frequencies = torch.fft.rfftfreq(n, 1 / sampling_frequency, dtype=torch.float64)
    turn = 2 * math.pi * delays[:, None] * frequencies
    ramp = torch.polar(torch.ones_like(turn), turn).to(torch.complex64)
    return torch.fft.irfft(torch.fft.rfft(values.float(), n=n) * ramp, n=n)[:, : values.shape[1]]
