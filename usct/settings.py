"""Sections of the settings of a reconstruction, as `RunConfig` puts them together.

These models are the one description of every setting: names, defaults, limits and meaning. Lengths, angles and
frequencies are in the units that people type, and say so in their names.
"""

from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from usct.misfit.catalogue import MisfitName


def _increasing(limits: tuple[float, float]) -> tuple[float, float]:
    if not limits[0] < limits[1]:
        raise ValueError("the first must be below the second [m/s]")
    return limits


Speed = Annotated[float, Field(gt=300, lt=6000)]
Speeds = Annotated[tuple[Speed, Speed], AfterValidator(_increasing)]
Share = Annotated[float, Field(ge=0, le=1)]
Optimizer = Literal["gauss-newton", "conjugate-gradients", "l-bfgs", "adam"]

ALIASES = {
    "r0": "pixel",
    "grid": "pixel",
    "r1": "filtered",
    "r2": "fourier",
    "gaussian": "fourier",
    "r3": "tailored",
    "ktff": "tailored",
    "r4": "siren",
    "inr": "siren",
    "r5": "multigrid",
    "mpe": "multigrid",
    "r6": "hybrid",
    "ig": "hybrid",
}
"""Other names of representations."""


class Section(BaseModel):
    """A group of settings; unknown keys are errors, and `none` is for what need not be set."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _unset(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        optional = {n for n, field in cls.model_fields.items() if type(None) in get_args(field.annotation)}
        return {key: None if value == "none" and key in optional else value for key, value in values.items()}


class Start(Section):
    """Where the inversion starts."""

    sound_speed: Speed | None = Field(None, description="Uniform start [m/s]; none: the file's or found.")
    disc: bool = Field(True, description="Start from a disc of one sound speed where that explains the data.")
    travel_times: bool = Field(
        False, description="Start from an image of the first arrivals picked in the traces."
    )
    bone_freedom: Share = Field(
        1.0,
        description="How far bone of the start may change, as a share of soft tissue: 0 fixed, 1 free. Tailored "
        "features of a linear head vary by tissues.bone.deviation instead, if that is set and this is not 0.",
    )
    fit_bone: bool = Field(False, description="Find how much bone the start has: one factor, by the data.")


class Water(Section):
    """The coupling water."""

    sound_speed: Speed | None = Field(
        None, description="[m/s]; none: the file's, else estimated from the data."
    )


class TraceSettings(Section):
    """How traces are windowed about geometric arrivals before they become spectra; spectra are taken as they are."""

    sound_speed: Speed = Field(1540.0, description="Of the medium through which arrivals are expected [m/s].")
    before_us: float | None = Field(
        None, gt=0, description="Gaussian width ahead of them [us]; none: 5 % of the longest travel time."
    )
    after_us: float | None = Field(
        None, gt=0, description="Gaussian width behind them [us]; none: all stays."
    )


class ScheduleSettings(Section):
    """Frequency continuation."""

    frequencies_mhz: tuple[Annotated[float, Field(gt=0)], ...] | None = Field(
        None, min_length=1, description="None: those recorded, thinned out."
    )
    max_frequencies: int = Field(7, ge=1, description="How many recorded frequencies to use at most.")
    iterations: int | None = Field(
        None, ge=1, description="Updates per frequency; none: about six shared out."
    )
    max_solves: int | None = Field(
        None,
        ge=2,
        description="Factorisations of the wave operator in all, those of the look for cycle skips included, instead "
        "of iterations.",
    )
    optimizer: Literal["auto", Optimizer] = Field(
        "auto", description="auto: Adam for networks, Gauss-Newton for the rest."
    )
    inner_iterations: int | None = Field(
        None,
        ge=1,
        description="Steps that one solution of the wave equation serves: of conjugate gradients in Gauss-Newton "
        "(none: 5), of Adam (none: 20).",
    )
    cutoff: float = Field(
        0.9, gt=0, le=2, description="Low-pass of the image, as a share of the diffraction limit."
    )
    stop: Literal["never", "auto"] = Field(
        "never",
        description="auto: leave a frequency as soon as the kernels say that only noise is left of its data; each such "
        "question costs a fifth of an update, or half of one without tailored kernels.",
    )
    edges: bool = Field(
        False,
        description="Finish with the sharpest image (least total variation) that explains data as well.",
    )
    damping_time_us: float | None = Field(
        None, gt=0, description="Damp traces by exp(-t/tau) [us] and solve at the matching complex frequency."
    )


class ParameterizationSettings(Section):
    """What the image is made of."""

    name: Literal["pixel", "filtered", "fourier", "tailored", "siren", "multigrid", "hybrid"] = Field(
        "tailored",
        description="Fourier features tailored to the waves; or pixels; pixels with a Fourier filter; Gaussian "
        "Fourier features and a network; SIREN; grids of several resolutions; grids and sines.",
    )
    head: Literal["linear", "network"] = Field("linear", description="What follows tailored features.")
    tailoring: Literal["measured", "analytic", "instrument"] = Field(
        "measured",
        description="Tailored kernels: from the data, from the theory of a ring, or that theory where the "
        "instrument's own transmits and receives look.",
    )
    sharpness: float = Field(
        0.0, ge=0, le=1, description="Analytic kernels: 0 smooth and forgiving, 1 undoes the ring's symbol."
    )
    reach: float = Field(
        0.35, gt=0, le=2, description="Analytic kernels: roll-off as a share of the diffraction limit."
    )
    siren: Literal["original", "rescaled"] = Field(
        "rescaled",
        description="SIREN as published, with w0 = 30 and four layers, or two whose first frequencies are fitted to "
        "the field of view.",
    )
    learning_rate: float = Field(1e-3, gt=0, description="Of Adam.")
    seed: int = Field(0, ge=0, description="Of random features and weights.")

    @field_validator("name", mode="before")
    @classmethod
    def _known_by(cls, name: object) -> object:
        return ALIASES.get(name.lower(), name.lower()) if isinstance(name, str) else name


class AttenuationSettings(Section):
    """The second map."""

    invert: bool = Field(False, description="Seek attenuation as well, after the sound speed.")
    power: float = Field(1.0, ge=0, le=3, description="Exponent of its power law.")
    bounds_db_per_cm: tuple[float, float] = Field(
        (-0.5, 4.0),
        description="At 1 MHz [dB/cm]; from a little below zero, where noise takes it, to its highest.",
    )

    @field_validator("bounds_db_per_cm")
    @classmethod
    def _about_zero(cls, limits: tuple[float, float]) -> tuple[float, float]:
        if not -limits[1] < limits[0] <= 0 < limits[1] <= 100:
            raise ValueError(
                "the first must be zero or little below, the second above and at most 100 [dB/cm]"
            )
        return limits


class MisfitSettings(Section):
    """How data are compared."""

    name: Annotated[tuple[MisfitName, ...], Field(min_length=1)] = Field(
        ("least-squares",),
        description="How waves are compared; several names count for one stage each from the first on, the last for "
        "all the rest. Misfits of bands (envelope, transport, adaptive, difference) make one stage of all evenly "
        "spaced frequencies; give another after them, which sharpens.",
    )
    source_weights: Literal["auto", "transmit", "both", "none"] = Field(
        "auto",
        description="Fit a complex weight for each transmit, each receive too, or none; auto: receives later.",
    )
    mute_angle_deg: float = Field(
        44.0, ge=0, lt=180, description="Receivers closer to the transmitter are left out."
    )
    widest_angle_deg: float = Field(
        180.0,
        gt=0,
        le=180,
        description="Receivers farther round the ring from it too; below 90 reflections remain for the most part.",
    )
    outlier_fraction: float = Field(0.01, ge=0, lt=1, description="Share of largest data left out.")

    @field_validator("widest_angle_deg")
    @classmethod
    def _some_left(cls, widest: float, info: ValidationInfo) -> float:
        muted = info.data.get("mute_angle_deg", 0.0)
        if widest <= muted:
            raise ValueError(f"it must be above mute_angle_deg = {muted:g}")
        return widest

    @field_validator("name", mode="before")
    @classmethod
    def _listed(cls, names: object) -> object:
        if isinstance(names, str):
            return tuple(name.strip() for name in names.strip("[]").split(","))
        return names


class ForwardSettings(Section):
    """How waves are computed."""

    engine: Literal["helmholtz", "time"] = Field(
        "helmholtz",
        description="Direct solver, or time stepping, which is slower and shares nothing with it.",
    )


class GridSettings(Section):
    """Discretisation."""

    points_per_wavelength: float = Field(5.5, ge=4, le=20, description="Of the solver's grids.")
    coarsest_mm: float | None = Field(
        None,
        gt=0,
        description="Cells at most so wide, so that low frequencies see thin bone; none: no limit.",
    )
    pml_cells: int = Field(10, ge=4, le=60, description="Thickness of the absorbing layers.")
    image_spacing_mm: float | None = Field(
        None, gt=0, description="Pixel of the image; none: a sixth wavelength."
    )
    region_fraction: float = Field(0.91, gt=0, le=1, description="Radius that may change over the ring's.")


class Bounds(Section):
    """What sound speeds are possible, and which are expected."""

    sound_speed: Speeds = Field((1350.0, 1700.0), description="The image stays inside [m/s].")
    expected: Speeds = Field((1420.0, 1600.0), description="The solver is tuned to these [m/s].")


class Tissue(Section):
    """What is known beforehand of one tissue of the start model."""

    sound_speed: Speeds | None = Field(
        None, description="Where it alone fills cells, it stays inside [m/s]; none: as bounds.sound_speed."
    )
    deviation: float | None = Field(
        None, gt=0, le=1000, description="How far it is off in the start, rms [m/s]; none: as the data say."
    )
    correlation_mm: float | None = Field(
        None,
        gt=0,
        le=1000,
        description="Distance over which that is alike, to 1/e [mm]; goes with deviation, and shapes tailored features "
        "of a linear head alone.",
    )

    @model_validator(mode="after")
    def _complete(self) -> "Tissue":
        if (self.deviation is None) != (self.correlation_mm is None):
            raise ValueError("deviation and correlation_mm go together; give both or none")
        return self


class Tissues(Section):
    """Bounds and priors of the tissues that are told apart in a start model with bone."""

    bone: Tissue = Field(Tissue(), description="What is faster than 1750 m/s in the start.")
    inside: Tissue = Field(Tissue(), description="What bone encloses.")
    outside: Tissue = Field(Tissue(), description="The rest: water and scalp.")
