"""Quantities that leave the package as images: their names, codes and the units that others expect."""

from dataclasses import dataclass

from usct.units import attenuation_to_db


@dataclass(frozen=True)
class Quantity:
    """What the values of a map mean to other programs.

    Attributes:
        short: Name in capitals, at most 16 characters.
        name: For people.
        code: DICOM's code of it: value, scheme, meaning.
        unit: UCUM code of the unit in which it is written.
        factor: What turns SI units into that one.
    """

    short: str
    name: str
    code: tuple[str, str, str]
    unit: str
    factor: float = 1.0


_SOUND_SPEED = ("110832", "DCM", "Speed of sound")
QUANTITIES = {
    "sound_speed": Quantity("SOUND_SPEED", "Speed of sound", _SOUND_SPEED, "m/s"),
    "attenuation": Quantity(
        "ATTENUATION",
        "Ultrasound attenuation at the reference frequency",
        ("110833", "DCM", "Ultrasound Attenuation"),
        "dB/cm",
        attenuation_to_db(1.0),
    ),
    "density": Quantity("DENSITY", "Mass density", ("DENSITY", "99USCT", "Mass density"), "kg/m3"),
    "standard_deviation": Quantity(
        "UNCERTAINTY",
        "Standard deviation of the speed of sound",
        ("SOS_SD", "99USCT", "Standard deviation of speed of sound"),
        "m/s",
    ),
}
