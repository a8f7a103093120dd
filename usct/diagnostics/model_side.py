"""What the representation and the waves let through to the image: kernel rows, modes and transfer in wavenumber."""

import math
from dataclasses import dataclass

import torch

from usct.diagnostics.eigen import Eigenpairs
from usct.diagnostics.kernels import TangentKernels
from usct.diagnostics.resolution import impulse
from usct.forward.parallel import single_threaded_blas
from usct.inversion.tailoring import tapering
from usct.parameterization.spectrum import RadialSpectrum, lattice_wavenumbers

N_BANDS = 24
N_PROBES = 2

WIDEST = 1.25
"""Highest wavenumber looked at, as a share of the diffraction limit."""


@dataclass(frozen=True)
class Transfer:
    """What passes at each spatial wavenumber of the image, averaged over directions.

    Attributes:
        wavenumber: Middles of the bands, shape (band,) [rad/m].
        ntk: Response of the representation, v^T Theta v / v^T v for images v of the band.
        gain: Response of the waves, v^T J^T J v / v^T v.
        gradient_raw: Amplitude of a coefficient of the gradient J^T r, root mean square.
        gradient_filtered: The same of what a step makes of it, Theta J^T r.
        limit: Wavenumber beyond which the waves see nothing, twice that of the highest frequency [rad/m].
    """

    wavenumber: torch.Tensor
    ntk: torch.Tensor
    gain: torch.Tensor
    gradient_raw: torch.Tensor
    gradient_filtered: torch.Tensor
    limit: float

    @property
    def spectrum(self) -> RadialSpectrum:
        """The representation's response as a function of wavenumber."""
        return RadialSpectrum(self.wavenumber, self.ntk.clamp(min=0))

    @property
    def eigenvalues(self) -> torch.Tensor:
        """Of the wave tangent kernel at each wavenumber: the product of both responses."""
        return self.ntk * self.gain


@single_threaded_blas()
def transfer(
    kernels: TangentKernels, n_bands: int = N_BANDS, n_probes: int = N_PROBES, seed: int = 0
) -> Transfer:
    """Measure responses by random images of one band of wavenumbers each, faded out towards the region's rim.

    Args:
        kernels: At the point in question.
        n_bands: Bands at most; fewer where the region is so small that they would overlap.
        n_probes: Random images of each band; each costs one product with J and one with J_theta^T.
        seed: Of the images.
    """
    grid, window = kernels.image, tapering(kernels.region)
    limit = 2 * wavenumber(kernels)
    highest = min(WIDEST * limit, math.pi / grid.spacing)
    resolved = 1.5 * math.pi / (grid.spacing * math.sqrt(float(kernels.region.sum()) / math.pi))
    n_bands = max(3, min(n_bands, int(highest / resolved)))
    edges = torch.linspace(0, highest, n_bands + 1, dtype=torch.float64)
    wavenumbers = lattice_wavenumbers(grid.shape, grid.spacing)
    generator = torch.Generator().manual_seed(seed)
    bands = [(wavenumbers >= low) & (wavenumbers < high) for low, high in zip(edges, edges[1:], strict=False)]
    sums = torch.zeros(3, n_bands, dtype=torch.float64)
    for _ in range(n_probes):
        noise = torch.randn(n_bands, *grid.shape, generator=generator, dtype=torch.float64)
        probes = window * torch.fft.irfft2(torch.stack(bands) * torch.fft.rfft2(noise), s=grid.shape)
        made = torch.stack([kernels.from_image(probe) for probe in probes])
        for total, product in zip(sums, (made, kernels.wave_all(probes), probes.flatten(1)), strict=True):
            total += product.square().sum(dim=1)
    residual = kernels.residual()
    raw, filtered = (
        radial_amplitude(window * image, grid.spacing, edges)
        for image in (kernels.wave_adjoint(residual), kernels.nsk(residual))
    )
    middles = 0.5 * (edges[1:] + edges[:-1])
    return Transfer(middles, sums[0] / sums[2], sums[1] / sums[2], raw, filtered, limit)


def radial_amplitude(image: torch.Tensor, spacing: float, edges: torch.Tensor) -> torch.Tensor:
    """Root mean square of an image's Fourier coefficients (unitary transform) in rings of wavenumbers.

    Args:
        image: Shape (ny, nx).
        spacing: Of its pixels [m].
        edges: Of the rings, increasing, shape (ring + 1,) [rad/m].

    Returns:
        Shape (ring,); zero where no coefficient lies.
    """
    wavenumbers = lattice_wavenumbers(tuple(image.shape), spacing)
    energy = torch.fft.rfft2(image, norm="ortho").abs().square()
    twice = torch.full_like(wavenumbers, 2.0)
    twice[:, 0] = 1.0  # a real transform keeps one of each conjugate pair
    index = torch.bucketize(wavenumbers, edges, right=True) - 1
    inside = (index >= 0) & (index < len(edges) - 1)
    sums = torch.zeros(2, len(edges) - 1, dtype=torch.float64)
    for total, values in zip(sums, (twice * energy, twice), strict=True):
        total.index_add_(0, index[inside], values[inside])
    return (sums[0] / sums[1].clamp(min=1)).sqrt()


def kernel_row(kernels: TangentKernels, position: tuple[float, float]) -> torch.Tensor:
    """Tangent kernel Theta(x, .) of the representation: what else moves when a place is moved.

    Args:
        kernels: At the point in question.
        position: (y, x) [m]; the nearest pixel of the region is taken.

    Returns:
        Shape of the image [1].

    Raises:
        ValueError: If the position lies outside the region.
    """
    return kernels.ntk(impulse(kernels, position))


def answer_row(kernels: TangentKernels, position: tuple[float, float]) -> torch.Tensor:
    """Theta J^T J at a place: how a plain descent step answers an error there; shape of the image.

    Raises:
        ValueError: If the position lies outside the region.
    """
    return kernels.model(impulse(kernels, position))


def sensitivity(
    kernels: TangentKernels, transmit: int, receive: int, frequency: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Where a pair of elements looks: the sensitivity of its datum's phase, as the waves have it and as a step does.

    Args:
        kernels: At the point in question.
        transmit: Number of the transmit.
        receive: Number of the receive.
        frequency: Number of the frequency among the point's.

    Returns:
        J^T d and Theta J^T d for a datum d that lags behind, shape of the image each.

    Raises:
        ValueError: If the pair takes no part.
    """
    mine = (
        (kernels.transmit() == transmit) & (kernels.receive() == receive) & (kernels.frequency() == frequency)
    )
    if not bool(mine.any()):
        raise ValueError(f"transmit {transmit} and receive {receive} take no part in frequency {frequency}")
    residual = kernels.point.residuals[frequency]
    predicted = (residual.source * residual.predicted)[transmit, receive]
    phase = -1j * predicted / predicted.abs()
    data = torch.zeros(kernels.n_data, dtype=torch.float64)
    data[mine] = torch.stack([phase.real, phase.imag]).cpu().double()
    return kernels.wave_adjoint(data), kernels.nsk(data)


def mode_images(kernels: TangentKernels, pairs: Eigenpairs) -> torch.Tensor:
    """Modes of the neural sensitivity kernel: what each mode of the parameters does to the image.

    Returns:
        Relative changes of slowness, each of largest value one, shape (mode, *image.shape).
    """
    images = torch.stack([kernels.image_of(mode) for mode in pairs.parameter_modes])
    extremes = images.flatten(1).gather(1, images.flatten(1).abs().argmax(dim=1, keepdim=True))
    return images / torch.where(extremes == 0, 1.0, extremes)[:, :, None]


def wavenumber(kernels: TangentKernels) -> float:
    """Wavenumber of the highest frequency's waves in the water around the elements [rad/m]."""
    objective = kernels.point.objective
    highest = max(float(objective.observed.frequencies[n]) for n in kernels.frequencies)
    return 2 * math.pi * highest / objective.models[0].water_sound_speed
