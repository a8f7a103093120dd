"""Kernel-tailored Fourier features with a linear head, at scale: a Fourier-whitened grid."""

import math
from collections.abc import Sequence

import torch
from scipy.fft import next_fast_len
from torch import nn

from usct.grid import Grid, resample
from usct.medium import Medium
from usct.parameterization.field import Field
from usct.parameterization.spectrum import (
    RadialSpectrum,
    Tailoring,
    TissuePrior,
    lattice_vectors,
    lattice_wavenumbers,
)

PADDING = 1.2
"""Size of the periodic Fourier lattice over the image's, so that opposite rims stay apart."""


class TailoredGrid(Field):
    """change = envelope x F^-1 sqrt(spectrum) F parameters: all Fourier features of a lattice at once.

    Its tangent kernel has the prescribed spectrum, whatever the parameters' values, and is stationary but for
    the envelope; with independent standard normal parameters it is a random field with that spectrum. Where tissues
    are held apart (see `hold`), each has an envelope, a spectrum and parameters of its own: features end where it does,
    and are as coarse as its waves are long.

    Args:
        start: The base image.
        region: Cells that may change.
        bounds: Lowest and highest sound speed [m/s].
        spectrum: Of the tangent kernel, which is also the variance of the Fourier coefficients of a unitary
            transform if the parameters are standard normal.
        n_tissues: How many tissues have parameters of their own.

    Raises:
        ValueError: If the spectrum reaches beyond the grid's Nyquist wavenumber.
    """

    tailored = "update"
    amplitude: torch.Tensor
    shaping: torch.Tensor
    envelope: torch.Tensor
    wavenumbers: torch.Tensor
    windows: torch.Tensor
    origin: torch.Tensor
    noise: torch.Tensor

    def __init__(
        self,
        start: Medium,
        region: torch.Tensor,
        bounds: tuple[float, float],
        spectrum: RadialSpectrum,
        n_tissues: int = 1,
    ) -> None:
        super().__init__(start, region, bounds)
        self.lattice = tuple(next_fast_len(math.ceil(PADDING * n), real=True) for n in self.grid.shape)
        wavenumbers = lattice_wavenumbers(self.lattice, self.grid.spacing)
        self.register_buffer("wavenumbers", wavenumbers, persistent=False)
        self.register_buffer("amplitude", spectrum(wavenumbers).sqrt())
        self.register_buffer("shaping", torch.ones_like(wavenumbers))
        self.register_buffer("noise", torch.zeros((), dtype=torch.float64))
        self._part(self.region.double().expand(n_tissues, *self.grid.shape) / n_tissues)
        self.reshape(spectrum)

    def _part(self, freedom: torch.Tensor) -> None:
        """Make parameters and envelopes for tissues of some freedom, shape (tissue, *grid.shape)."""
        several = freedom.shape[:1] if len(freedom) > 1 else ()
        self.n_tissues = len(freedom)
        zeros = torch.zeros(*several, *self.lattice, dtype=torch.float64, device=self.base.device)
        self.white = nn.Parameter(zeros)
        apart = (self.region * freedom.to(self.base)).reshape(*several, *self.grid.shape)
        self.register_buffer("windows", apart, persistent=False)
        self.register_buffer("envelope", apart.clone())
        for name in ("amplitude", "shaping"):
            common = getattr(self, name).reshape(-1, *self.wavenumbers.shape)[0]
            self.register_buffer(name, common.expand(*several, *common.shape).clone())
        # From where departures count; the priors that they count for are not saved either.
        self.register_buffer("origin", self.base.clone(), persistent=False)
        self._priors = (TissuePrior(),) * self.n_tissues

    def change(self, grid: Grid) -> torch.Tensor:
        """Change of log slowness, interpolated from the image grid."""
        n_rows, n_columns = self.grid.shape
        image = _filter(self.white, self.amplitude)[..., :n_rows, :n_columns]
        parts = (self.envelope * image).reshape(self.n_tissues, *self.grid.shape)
        return resample(parts.sum(dim=0), self.grid, grid)

    def free_cells(self, grid: Grid) -> torch.Tensor:
        """Cells of a grid that the region reaches through interpolation, its negative lobes included."""
        return resample(self.region.double(), self.grid, grid).abs().cpu() > 1e-9

    def hold(self, freedom: torch.Tensor) -> None:
        """See Parameterization; the image stays as it is."""
        super().hold(freedom)
        self.bake()
        self._part(freedom.reshape(-1, *self.grid.shape))

    def expect(self, priors: Sequence[TissuePrior]) -> None:
        """See Parameterization; the next tailoring heeds them.

        Raises:
            ValueError: If there are not as many as tissues.
        """
        if len(priors) != self.n_tissues:
            raise ValueError(f"there are {self.n_tissues} tissues, but {len(priors)} priors")
        self._priors = tuple(priors)

    @property
    def is_held(self) -> bool:
        """Whether some cells may change less than others, or tissues vary by priors of their own."""
        return super().is_held or any(prior.deviation < math.inf for prior in self._priors)

    @torch.no_grad()
    def settle(self) -> None:
        """See Parameterization."""
        self.bake()
        self.origin.copy_(self.base)

    def reset(self) -> None:
        """Set all parameters to zero."""
        with torch.no_grad():
            self.white.zero_()

    def reshape(self, spectrum: RadialSpectrum) -> None:
        """Give the kernel another spectrum; the medium stays as it is.

        Raises:
            ValueError: If the spectrum reaches beyond the grid's Nyquist wavenumber.
        """
        nyquist = math.pi / self.grid.spacing
        if spectrum.highest > nyquist * (1 + 1e-9):
            raise ValueError(
                f"the spectrum reaches {spectrum.highest:.4g} rad/m, beyond the {nyquist:.4g} rad/m of a grid of "
                f"{1e3 * self.grid.spacing:g} mm; use a finer image grid or a lower frequency"
            )
        self.bake()
        self.envelope.copy_(self.windows)
        self.amplitude.copy_(spectrum(self.wavenumbers).sqrt())
        self.shaping.fill_(1.0)
        self.noise.zero_()

    def retailor(self, tailoring: Tailoring) -> None:
        """Make the kernel the prior, the step's weight the noise, and its filter their Wiener curvature.

        A Gauss-Newton step then is the most probable change under a Gaussian prior and noise, and in Fourier
        space its matrix, gain x prior + noise, is nearly diagonal and known: its inverse is the filter. Without
        noise the kernel alone shapes the step.
        """
        self.reshape(tailoring.prior)
        variance = self._variance(tailoring)
        self.amplitude.copy_(variance.sqrt())
        if tailoring.envelope is not None:
            self.envelope.mul_(tailoring.envelope.to(self.envelope))
        if tailoring.sampled is not None:
            vectors = lattice_vectors(self.lattice, self.grid.spacing)
            self.amplitude.mul_(tailoring.sampled(vectors).sqrt().to(self.amplitude))
        if tailoring.noise > 0:
            curvature = (
                tailoring.gain(self.wavenumbers) * variance * self._freedoms().square() + tailoring.noise
            )
            self.shaping.copy_(curvature.reciprocal())
            self.noise.fill_(tailoring.noise)

    def _variance(self, tailoring: Tailoring) -> torch.Tensor:
        """Expected of Fourier coefficients, shape of the amplitude.

        Where no noise was measured, what is expected has no scale that a tissue's own prior could be laid beside.
        """
        if all(prior == TissuePrior() for prior in self._priors):
            return tailoring.prior(self.wavenumbers).expand_as(self.amplitude)
        departed = (self.base - self.origin).square()
        windows, maps = self.windows.reshape(self.n_tissues, *self.grid.shape), []
        for prior, window in zip(self._priors, windows, strict=True):
            weight, freedom = float(window.sum()), float(window.max())
            rms = (float((window * departed).sum()) / weight) ** 0.5 if weight > 0 else 0.0
            prior = prior if tailoring.noise > 0 else TissuePrior(prior.pace)
            variance = prior.variance(tailoring, self.wavenumbers, self.grid.spacing, rms)
            maps.append(variance if prior.deviation == math.inf else variance / (freedom or 1.0) ** 2)
        return torch.stack(maps).reshape(self.amplitude.shape)

    def _freedoms(self) -> torch.Tensor:
        """What changes of each tissue are multiplied with where it fills cells, to be multiplied with its maps."""
        return self.windows.amax(dim=(-2, -1), keepdim=True)

    @property
    def damping(self) -> float:
        """Variance of the noise: the prior's weight in a step."""
        return float(self.noise)

    def precondition(self, gradient: torch.Tensor, cutoff: float) -> torch.Tensor:  # noqa: ARG002 # spectrum is cut
        """Divide by the curvature expected at every wavenumber."""
        return _filter(gradient.reshape(self.white.shape), self.shaping).reshape(-1)


def _filter(image: torch.Tensor, transfer: torch.Tensor) -> torch.Tensor:
    """Multiply by a real transfer function of the wavenumber; symmetric as a linear map."""
    return torch.fft.irfft2(transfer * torch.fft.rfft2(image), s=image.shape[-2:])
