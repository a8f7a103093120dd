"""The pixel grid: one slowness for every cell of an image."""

from collections.abc import Callable
from typing import Self

import torch
from torch import nn

from usct.grid import Grid, low_pass, resample
from usct.medium import Medium
from usct.parameterization.base import Parameterization
from usct.parameterization.spectrum import RadialSpectrum, lattice_wavenumbers


class PixelGrid(Parameterization):
    """Slowness relative to a background, cell by cell, inside a region; the background holds outside it.

    Slowness, not speed, because travel times are linear in it.

    Args:
        background: Sound speed outside the region, and where the image starts; its grid is the image's.
        region: Cells that may change, boolean of the grid's shape.
        bounds: Lowest and highest sound speed [m/s].
        kernel: Spectrum by which gradients are filtered, for a cutoff [rad/m]; None for a plain low-pass.
    """

    background: torch.Tensor

    def __init__(
        self,
        background: Medium,
        region: torch.Tensor,
        bounds: tuple[float, float],
        kernel: Callable[[float], RadialSpectrum] | None = None,
    ) -> None:
        super().__init__(background, region, bounds)
        self.kernel = kernel
        self.register_buffer("background", background.sound_speed.double().clone())
        self.relative_slowness = nn.Parameter(torch.ones(self.grid.shape, dtype=torch.float64))
        self.constrain()

    def forward(self, grid: Grid) -> Medium:
        """The medium on a grid."""
        relative = torch.where(self.region, self.relative_slowness, 1.0)
        slowness = resample(relative / self.background, self.grid, grid)
        return Medium(grid, 1.0 / slowness)

    def fitted_to(self, medium: Medium) -> Self:
        """The same grid and region, started from another medium."""
        start = medium.resampled(self.grid).sound_speed
        copy = type(self)(Medium(self.grid, self.background), self.region, self.bounds, self.kernel)
        with torch.no_grad():
            copy.relative_slowness.copy_(torch.where(self.region, self.background / start, 1.0))
        if self.cell_bounds is not None:
            copy.bound(self.cell_bounds)
        copy.constrain()
        copy.hold(self.freedom)
        return copy

    def free_cells(self, grid: Grid) -> torch.Tensor:
        """Cells of a grid that the region reaches through interpolation."""
        return resample(self.region.double(), self.grid, grid).abs().cpu() > 1e-9

    @torch.no_grad()
    def constrain(self) -> None:
        """Clamp the sound speed to its bounds."""
        low, high = self.bounds if self.cell_bounds is None else self.cell_bounds
        self.relative_slowness.clamp_(self.background / high, self.background / low)

    def precondition(self, gradient: torch.Tensor, cutoff: float) -> torch.Tensor:
        """Apply the kernel, or a low-pass at the cutoff with a cosine edge a tenth of it wide, inside the region.

        A ring samples object wavenumbers up to twice the wavenumber, unevenly towards the end; what lies
        beyond is noise, and the end itself rings (Ali et al., IEEE Trans. Med. Imaging 43 (2024) 3988).
        """
        free = self.region * self.freedom
        image = gradient.reshape(self.grid.shape) * free
        if self.kernel is None:
            filtered = low_pass(image, self.grid.spacing, cutoff)
        else:
            transfer = self.kernel(cutoff)(lattice_wavenumbers(self.grid.shape, self.grid.spacing)).to(image)
            filtered = torch.fft.irfft2(transfer * torch.fft.rfft2(image), s=image.shape)
        return (filtered * free).reshape(-1)
