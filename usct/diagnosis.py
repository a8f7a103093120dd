"""What the data of a scan support at one point of an inversion: spectra, modes, resolution, uncertainty, decay.

Two kernels hold it all. With the Jacobian K of the weighted residuals r with respect to the parameters, the wave
tangent kernel K K^T lives on the data and decides how fast each pattern of the residuals decays; the neural
sensitivity kernel, the representation's tangent kernel times the waves' sensitivity, lives on the image and decides
which detail an update can make. Both have the same eigenvalues.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from usct.grid import Grid


@dataclass(frozen=True)
class DataKernel:
    """Spectrum and modes of the wave tangent kernel; modes and data are real, so n_data counts real numbers.

    Attributes:
        eigenvalues: The largest, decreasing, shape (mode,) [1].
        errors: Bounds on their errors, shape (mode,) [1].
        modes: Unit patterns of the weighted residuals, shape (mode, frequency, tx, rx), complex.
        nodes: Where the density of all eigenvalues was found, shape (node,) [1].
        weights: How many eigenvalues each node stands for, shape (node,); their sum is the kernel's size.
        trace: Sum of all eigenvalues [1].
        trace_error: Standard error of it [1].
        effective_rank: How many eigenvalues carry the trace [1].
        degrees_of_freedom: Numbers that the data determine, sum of l / (l + threshold) [1].
        decay_exponent: Exponent p of l_k ~ k^-p [1].
        constant_share: Share of the trace that goes to making the whole image faster or slower [1].
        energy: Share of the residuals' energy in each mode, shape (mode,) [1].
        frequency_bias: Mean eigenvalue of each frequency over that of pixels, shape (frequency,) [1].
    """

    eigenvalues: torch.Tensor
    errors: torch.Tensor
    modes: torch.Tensor
    nodes: torch.Tensor
    weights: torch.Tensor
    trace: float
    trace_error: float
    effective_rank: float
    degrees_of_freedom: float
    decay_exponent: float
    constant_share: float
    energy: torch.Tensor
    frequency_bias: torch.Tensor

    @property
    def effective_steps(self) -> torch.Tensor:
        """Plain gradient steps, each of which halves the first mode, that bring each to 1 / e, shape (mode,)."""
        return -1 / torch.log1p(-0.5 * self.eigenvalues / self.eigenvalues[0])


@dataclass(frozen=True)
class ImageKernel:
    """Modes of the neural sensitivity kernel, and what it passes at each spatial wavenumber.

    Attributes:
        modes: Relative changes of slowness, each of largest value one, shape (mode, ny, nx) [1].
        wavenumbers: Shape (band,) [rad/m].
        representation: Response of the representation's tangent kernel, of largest value one, shape (band,) [1].
        gain: Response of the waves, J^T J, of largest value one, shape (band,) [1].
        raw: Amplitude of the plain gradient, of largest value one, shape (band,) [1].
        filtered: Amplitude of the gradient after the tangent kernel, of largest value one, shape (band,) [1].
        diffraction_limit: Wavenumber beyond which these waves see nothing, 2 omega / c [rad/m].
    """

    modes: torch.Tensor
    wavenumbers: torch.Tensor
    representation: torch.Tensor
    gain: torch.Tensor
    raw: torch.Tensor
    filtered: torch.Tensor
    diffraction_limit: float


@dataclass(frozen=True)
class KernelRow:
    """What a step does around one place of the image.

    Attributes:
        position: (y, x) [m].
        moved: Row of the representation's tangent kernel: what else moves when this place is moved, shape (ny, nx) [1].
        answer: Row of the neural sensitivity kernel times J: how a step answers an error at this place alone, shape
            (ny, nx) [1].
    """

    position: tuple[float, float]
    moved: torch.Tensor
    answer: torch.Tensor


@dataclass(frozen=True)
class Decay:
    """How a few plain gradient steps lower each mode of the residuals, predicted and measured.

    Attributes:
        rate: Length of a step, as a factor of the gradient [1].
        predicted: Amplitude of each mode over that before the first step, (1 - rate l)^t, shape (step + 1, mode).
        measured: The same with the wave equation solved anew after every step, shape (step + 1, mode).
        error: How far the residuals' patterns end up from where they were foretold, over how far they were to go [1].
        drift: Change of the data's kernel since the start of the run, over what it was; NaN at the start [1].
    """

    rate: float
    predicted: torch.Tensor
    measured: torch.Tensor
    error: float
    drift: float


@dataclass(frozen=True)
class KernelDrift:
    """How far the wave tangent kernel moved along a run, over what it was at the start, on its strongest patterns.

    Attributes:
        updates: Updates done at each point, shape (point,).
        total: Of the kernel, shape (point,) [1].
        representation: Had only the representation's tangent kernel changed, shape (point,) [1].
        waves: Had only the waves changed, shape (point,) [1].
    """

    updates: torch.Tensor
    total: torch.Tensor
    representation: torch.Tensor
    waves: torch.Tensor


@dataclass(frozen=True)
class Diagnosis:
    """Everything that was found out at one point of an inversion.

    Attributes:
        grid: Of the image and the maps.
        sound_speed: The image at this point, shape grid.shape [m/s].
        region: Cells that were free to change, boolean, shape grid.shape.
        at: Which point of the run: start, end, or the name of a checkpoint.
        frequencies: Of the data that were looked at [Hz].
        representation: Name of what makes the image.
        optimizer: Whose steps the kernels describe: plain gradient steps, or Adam.
        noise: Variance of the noise in one real datum, of data whose energy is one [1].
        scale: Factor that makes the representation's tangent kernel the covariance of the image before the data [1].
        n_data: Real numbers in the data.
        n_parameters: Trainable numbers.
        data_kernel: The data's side.
        image_kernel: The image's side.
        rows: Of both kernels of the image, at a few places.
        resolution: Width of the smallest detail that the data support, NaN elsewhere than in region [m]; None if it
            was not mapped.
        standard_deviation: Of the sound speed, given data and noise, NaN elsewhere than in region [m/s]; likewise.
        decay: Predicted and measured decay, or None where no step was tried.
        summary: What all this says, in plain sentences.
        provenance: Names of files, settings and versions, text to text.
        drift: Of the kernel along the run, or None where no points along it are known.
    """

    grid: Grid
    sound_speed: torch.Tensor
    region: torch.Tensor
    at: str
    frequencies: tuple[float, ...]
    representation: str
    optimizer: str
    noise: float
    scale: float
    n_data: int
    n_parameters: int
    data_kernel: DataKernel
    image_kernel: ImageKernel
    rows: tuple[KernelRow, ...]
    resolution: torch.Tensor | None
    standard_deviation: torch.Tensor | None
    decay: Decay | None
    summary: tuple[str, ...]
    provenance: Mapping[str, str] = field(default_factory=dict)
    drift: KernelDrift | None = None

    def __post_init__(self) -> None:
        """Refuse maps of another shape than the image, and spectra that contradict each other."""
        for name in ("sound_speed", "region", "resolution", "standard_deviation"):
            values = getattr(self, name)
            found = self.grid.shape if values is None else tuple(values.shape)
            if found != self.grid.shape:
                raise ValueError(f"{name} has shape {found}, the grid {self.grid.shape}")
        data, image = self.data_kernel, self.image_kernel
        counts = {len(v) for v in (data.eigenvalues, data.errors, data.modes, data.energy, image.modes)}
        bands = {
            len(v) for v in (image.wavenumbers, image.representation, image.gain, image.raw, image.filtered)
        }
        if len(counts) > 1 or len(bands) > 1 or len(data.nodes) != len(data.weights):
            raise ValueError(
                f"modes, bands and nodes must agree, got {sorted(counts)}, {sorted(bands)}, "
                f"{len(data.nodes)} and {len(data.weights)}"
            )

    @property
    def threshold(self) -> float:
        """Eigenvalue of a pattern about which the data say as much as was held before them [1]."""
        return self.noise / self.scale

    @property
    def noise_db(self) -> float:
        """Energy of the data over that of the noise [dB]."""
        return -10 * math.log10(max(self.n_data * self.noise, 1e-300))


@dataclass(frozen=True)
class Portrait:
    """The kernels of one representation at the start of a run, the constant left out.

    Attributes:
        name: Of the representation.
        n_parameters: Trainable numbers.
        optimizer: Whose steps the kernels describe.
        message: Why there are no kernels; empty if there are.
        data_kernel: The data's side, or None.
        image_kernel: The image's side, or None.
    """

    name: str
    n_parameters: int = 0
    optimizer: str = ""
    message: str = ""
    data_kernel: DataKernel | None = None
    image_kernel: ImageKernel | None = None

    def as_dict(self) -> dict[str, Any]:
        """The portrait for JSON; numbers that are not finite are None."""
        facts: dict[str, Any] = {"n_parameters": self.n_parameters, "optimizer": self.optimizer}
        if self.data_kernel is None or self.image_kernel is None:
            return facts | {"message": self.message}
        data, image = self.data_kernel, self.image_kernel
        for name in ("trace", "effective_rank", "degrees_of_freedom", "decay_exponent", "constant_share"):
            facts[name] = _finite(getattr(data, name))
        arrays = {name: getattr(data, name) for name in ("eigenvalues", "errors", "nodes", "weights")}
        arrays["frequency_bias"] = data.frequency_bias
        arrays["wavenumbers_rad_per_m"] = image.wavenumbers
        arrays |= {name: getattr(image, name) for name in ("representation", "gain", "raw", "filtered")}
        facts |= {name: [_finite(v) for v in values.tolist()] for name, values in arrays.items()}
        return facts | {"diffraction_limit_rad_per_m": image.diffraction_limit}


@dataclass(frozen=True)
class Portraits:
    """Kernels of several representations side by side.

    Attributes:
        scan: Name of the scan.
        frequencies: Of the data that were looked at [Hz].
        portraits: In the order asked for.
    """

    scan: str
    frequencies: tuple[float, ...]
    portraits: tuple[Portrait, ...]

    def as_dict(self) -> dict[str, Any]:
        """All of them for JSON."""
        return {
            "scan": self.scan,
            "frequencies": list(self.frequencies),
            "representations": {portrait.name: portrait.as_dict() for portrait in self.portraits},
        }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
