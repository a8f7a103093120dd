"""Conversions between SI, which everything inside usct uses, and the units people write.

A name without a unit suffix is SI. These are the only conversion factors in the package.
"""

import math

MILLIMETRE = 1e-3
MICROSECOND = 1e-6
KILOHERTZ = 1e3
MEGAHERTZ = 1e6
DECIBELS_PER_NEPER = 20.0 / math.log(10.0)
ATTENUATION_REFERENCE_FREQUENCY = MEGAHERTZ


def attenuation_from_db(value_db_per_cm: float) -> float:
    """Convert an attenuation from dB/cm to Np/m at the same frequency."""
    return value_db_per_cm * 100.0 / DECIBELS_PER_NEPER


def attenuation_to_db(value: float) -> float:
    """Convert an attenuation from Np/m to dB/cm at the same frequency."""
    return value * DECIBELS_PER_NEPER / 100.0


def amplitude_ratio_from_db(level_db: float) -> float:
    """Convert a level in dB to a ratio of amplitudes."""
    return 10.0 ** (level_db / 20.0)


def water_sound_speed(temperature_celsius: float) -> float:
    """Sound speed of pure water [m/s] at 0 to 95 degrees Celsius.

    Raises:
        ValueError: If the temperature lies outside 0 to 95 degrees Celsius.

    References:
        Marczak, J. Acoust. Soc. Am. 102 (1997) 2776, eq. (1).
    """
    if not 0.0 <= temperature_celsius <= 95.0:
        raise ValueError(f"temperature must lie in 0 to 95 degrees Celsius, got {temperature_celsius:g}")
    coefficients = (1.402385e3, 5.038813, -5.799136e-2, 3.287156e-4, -1.398845e-6, 2.787860e-9)
    return sum(c * temperature_celsius**n for n, c in enumerate(coefficients))
