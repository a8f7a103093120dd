"""A made-up diagnosis whose every number is known, for files, figures and pages."""

import math

import torch

from usct.diagnosis import DataKernel, Decay, Diagnosis, ImageKernel, KernelDrift, KernelRow
from usct.grid import Grid

GRID = Grid.centred((45, 51), 2e-3)
LIMIT = 2 * 2 * math.pi * 3e5 / 1500


def make_diagnosis(grid: Grid = GRID, n_modes: int = 12, with_decay: bool = True) -> Diagnosis:
    """Smooth spectra, plane waves for modes, maps that grow from the middle outwards."""
    region = grid.disc(0.46 * min(grid.shape) * grid.spacing)
    radius = torch.linalg.vector_norm(grid.points(), dim=-1)
    outside = torch.where(region, 0.0, math.nan).double()
    lens = torch.exp(-((radius / 15e-3) ** 2))
    return Diagnosis(
        grid=grid,
        sound_speed=1500 + 50 * lens,
        region=region,
        at="end",
        frequencies=(3e5,),
        representation="pixel",
        optimizer="plain gradient steps",
        noise=1e-4 / 4608,
        scale=1e-7,
        n_data=4608,
        n_parameters=int(region.sum()),
        data_kernel=_data_kernel(n_modes),
        image_kernel=_image_kernel(grid, n_modes, region),
        rows=(_row(grid, (0.0, 0.0)), _row(grid, (0.0, 20e-3))),
        resolution=2.5e-3 + 0.02 * radius + outside,
        standard_deviation=0.8 + 60 * radius + outside,
        decay=_decay(n_modes) if with_decay else None,
        summary=(
            "Detail finer than 2.5 mm is not supported at 40 dB.",
            "90 % of the recoverable residual is gone.",
        ),
        provenance={"result": "result.h5", "scan": "scan.h5"},
        drift=KernelDrift(
            torch.tensor([2, 5, 9]),
            *(share * torch.tensor([0.1, 0.25, 0.2]).double() for share in (1, 0.5, 0.75)),
        ),
    )


def _data_kernel(n_modes: int) -> DataKernel:
    rank = torch.arange(1, 1001, dtype=torch.float64)
    every = 3.0 * rank**-0.5 * torch.exp(-((rank / 600) ** 4))
    generator = torch.Generator().manual_seed(0)
    modes = torch.randn(n_modes, 1, 48, 48, generator=generator, dtype=torch.complex64)
    energy = torch.rand(n_modes, generator=generator, dtype=torch.float64) / (4 * n_modes)
    return DataKernel(
        eigenvalues=every[:n_modes],
        errors=1e-6 * every[:n_modes],
        modes=modes,
        nodes=every[::20],
        weights=torch.full((50,), 20.0, dtype=torch.float64),
        trace=float(every.sum()),
        trace_error=0.7,
        effective_rank=512.25,
        degrees_of_freedom=433.5,
        decay_exponent=0.5,
        constant_share=0.03,
        energy=energy,
        frequency_bias=torch.tensor([0.8], dtype=torch.float64),
    )


def _image_kernel(grid: Grid, n_modes: int, region: torch.Tensor) -> ImageKernel:
    y, x = grid.points().unbind(-1)
    waves = [torch.cos((n // 2 + 1) * 60 * (x if n % 2 else y)) * region for n in range(n_modes)]
    wavenumbers = torch.linspace(0.02, 1.3, 30, dtype=torch.float64) * LIMIT
    share = wavenumbers / LIMIT
    gain = torch.where(share < 1, 0.05 / (share * (1.0001 - share**2).clamp(min=1e-2).sqrt()), 1e-4)
    raw, representation = gain.sqrt(), torch.exp(-(share**2) / 0.3)
    filtered = raw * representation
    peak = [v / v.max() for v in (representation, gain, raw, filtered)]
    return ImageKernel(torch.stack(waves), wavenumbers, *peak, LIMIT)


def _row(grid: Grid, position: tuple[float, float]) -> KernelRow:
    away = torch.linalg.vector_norm(grid.points() - torch.tensor(position), dim=-1).float()
    return KernelRow(position, torch.exp(-((away / 6e-3) ** 2)), torch.cos(away / 2e-3) / (1 + away / 2e-3))


def _decay(n_modes: int) -> Decay:
    steps = torch.arange(7, dtype=torch.float64)[:, None]
    eigenvalues = torch.arange(1, n_modes + 1, dtype=torch.float64) ** -0.5
    predicted = (1 - 0.6 * eigenvalues) ** steps
    return Decay(0.2, predicted, predicted * (1 + 0.01 * steps), 0.02, 0.125)
