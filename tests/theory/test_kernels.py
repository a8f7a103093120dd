"""Kernels in wavenumber: what is prescribed is what acts, on the image and through the waves."""

import pytest
import torch

from tests.theory.ring import (
    BOUNDS,
    CELLS_PER_WAVELENGTH,
    Ring,
    Tangent,
    symbol,
    windowed_waves,
)
from usct.grid import Grid
from usct.inversion.objective import Objective
from usct.medium import Medium
from usct.parameterization.pixel import PixelGrid
from usct.parameterization.spectrum import RadialSpectrum, Tailoring, tailored_spectrum
from usct.parameterization.tailored import TailoredGrid

SHARES = (0.15, 0.2, 0.35, 0.5, 0.65, 0.8)


def tailored(ring: Ring, sharpness: float = 0.5, reach: float = 0.5) -> TailoredGrid:
    return TailoredGrid(ring.water, ring.region, BOUNDS, tailored_spectrum(ring.wave, sharpness, reach))


def moved(grid: TailoredGrid, amplitude: float = 0.01) -> TailoredGrid:
    """The same with random parameters, which change slowness by about the amplitude."""
    generator = torch.Generator().manual_seed(4)
    white = torch.randn(grid.white.shape, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        grid.white.copy_(white)
        grid.white.mul_(amplitude / grid.change(grid.grid).std())
    return grid


def seen_through(linearized, parameterization):
    """The linearised point with another parameterization, which stands at water too."""
    at = linearized.point.objective
    objective = Objective(at.models, at.observed, at.misfit, parameterization)
    return objective.describe(linearized.point.residuals, linearized.point.linearizations)


def wave_kernel_symbol(linearized, at, waves: torch.Tensor) -> float:
    """v^T J Theta J^T v / v^T v of data v = J u that images u make: the wave tangent kernel's eigenvalue there."""
    shaped = total = 0.0
    for wave in waves:
        data = linearized.derivative.apply(wave)
        shaped += float(at.adjoint(data).square().sum())
        total += sum(
            float((r.weights * d.abs().square()).sum()) for r, d in zip(at.residuals, data, strict=True)
        )
    return shaped / total


@pytest.mark.parametrize("sharpness", [0.5, 1.0])
def test_tangent_kernel_has_the_prescribed_spectrum(wide, sharpness):
    """Within 2 % in band, and whatever the parameters are, since the field is linear in them."""
    grid = moved(tailored(wide.ring, sharpness))
    tangent, prescribed = Tangent(grid, wide.ring), tailored_spectrum(wide.ring.wave, sharpness)
    for share in SHARES:
        wavenumber = torch.tensor([2 * share * wide.ring.wave], dtype=torch.float64)
        found = tangent.symbol(windowed_waves(wide.ring, float(wavenumber)))
        assert found == pytest.approx(float(prescribed(wavenumber)), rel=0.02), share


@pytest.mark.parametrize("sharpness", [0.5, 1.0])
def test_wave_tangent_kernel_is_the_product_of_spectrum_and_symbol(wide, sharpness):
    """Within 10 %, constant included."""
    prescribed = tailored_spectrum(wide.ring.wave, sharpness)
    at = seen_through(wide, tailored(wide.ring, sharpness))
    for share in SHARES:
        wavenumber = torch.tensor([2 * share * wide.ring.wave], dtype=torch.float64)
        product = float(prescribed(wavenumber) * symbol(wide.ring, wavenumber))
        found = wave_kernel_symbol(wide, at, windowed_waves(wide.ring, float(wavenumber), 4))
        assert found == pytest.approx(product, rel=0.10), share


def test_sharpness_one_makes_all_admitted_wavenumbers_converge_together(wide):
    """Without roll-off the wave tangent kernel is flat, where pixels' differs fourfold."""
    at = {
        name: seen_through(wide, form)
        for name, form in (("tailored", tailored(wide.ring, 1.0, 50.0)), ("pixels", wide.ring.pixels()))
    }
    spread = {}
    for name, seen in at.items():
        found = [
            wave_kernel_symbol(wide, seen, windowed_waves(wide.ring, 2 * share * wide.ring.wave, 2))
            for share in SHARES
        ]
        spread[name] = max(found) / min(found)
    assert spread["tailored"] < 1.1
    assert spread["pixels"] > 3


def tailoring(ring: Ring) -> Tailoring:
    """A prior unlike the first spectrum, a gain by formula."""
    wavenumbers = torch.linspace(0.01, 1.8, 200, dtype=torch.float64) * ring.wave
    prior = RadialSpectrum(wavenumbers, 1e-4 / (1 + (2 * wavenumbers / ring.wave) ** 2))
    return Tailoring(RadialSpectrum(wavenumbers, symbol(ring, wavenumbers)), prior, 1e-10)


def test_tailoring_anew_leaves_the_image_and_changes_the_spectra_as_predicted(wide):
    grid, wanted = moved(tailored(wide.ring)), tailoring(wide.ring)
    first = tailored_spectrum(wide.ring.wave)
    waves = {share: windowed_waves(wide.ring, 2 * share * wide.ring.wave, 3) for share in SHARES}

    def spectra() -> torch.Tensor:
        """Symbols of both kernels, shape (kernel, share)."""
        tangent, at = Tangent(grid, wide.ring), seen_through(wide, grid)
        pairs = [(tangent.symbol(w), wave_kernel_symbol(wide, at, w)) for w in waves.values()]
        return torch.tensor(pairs, dtype=torch.float64).T

    image, before = grid(wide.ring.image).sound_speed.detach(), spectra()
    assert float(image.std()) > 5
    grid.retailor(wanted)
    after = grid(wide.ring.image).sound_speed.detach()
    assert float(((after - image) / image).abs().max()) < 1e-5
    wavenumbers = 2 * wide.ring.wave * torch.tensor(SHARES, dtype=torch.float64)
    predicted = wanted.prior(wavenumbers) / first(wavenumbers)
    assert float(predicted.max() / predicted.min()) > 3, "a spectrum that hardly changes shows nothing"
    ratio = spectra() / before / predicted
    assert float((ratio - 1).abs().max()) < 0.10, ratio


def coarse_pixels(ring: Ring, per_wavelength: float) -> PixelGrid:
    image = Grid.covering(ring.object_radius, ring.spacing * CELLS_PER_WAVELENGTH / per_wavelength)
    return PixelGrid(Medium.homogeneous(image, 1500.0), image.disc(ring.object_radius), BOUNDS)


@pytest.mark.parametrize(("per_wavelength", "capped"), [(1.5, True), (2.2, True), (5.5, False)])
def test_parameters_cap_the_wave_tangent_kernel(small, per_wavelength, capped):
    """Fewer than the degrees of freedom: they are all used, and no eigenvalue goes beyond them; more: they idle."""
    ring = small.ring
    pixels = coarse_pixels(ring, per_wavelength)
    n_parameters = int(pixels.region.sum())
    jacobian = small.jacobian @ Tangent(pixels, ring).features()
    eigenvalues = torch.linalg.svdvals(jacobian).square()
    count = int((eigenvalues > 1e-3 * eigenvalues[0]).sum())
    freedom = torch.linalg.eigvalsh(small.hessian).flip(0)
    freedom = int((freedom > 1e-3 * freedom[0]).sum())
    assert count <= n_parameters
    if capped:
        assert n_parameters < (ring.wave * ring.object_radius) ** 2
        assert count > 0.95 * n_parameters
    else:
        assert n_parameters > 1.5 * freedom
        assert count == pytest.approx(freedom, rel=0.02)
