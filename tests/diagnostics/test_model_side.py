"""Kernel rows, modes and responses in wavenumber: dense counterparts, and the theory's spectra."""

import math

import pytest
import torch

from tests.diagnostics import rings
from tests.diagnostics.rings import Known
from tests.helpers import relative_error
from tests.theory.ring import Ring, symbol
from usct.diagnostics.eigen import top_eigenpairs
from usct.diagnostics.model_side import (
    answer_row,
    kernel_row,
    mode_images,
    radial_amplitude,
    sensitivity,
    transfer,
)
from usct.diagnostics.resolution import pixel


@pytest.fixture(scope="module")
def pixels() -> Known:
    return rings.pixels(Ring.of(24.0, 52, ratio=2.5))


@pytest.fixture(scope="module")
def tailored(pixels) -> Known:
    """At a point where a drawn change is missing."""
    known = rings.tailored(pixels, 40.0)
    white = torch.randn(int(known.ring.region.sum()), generator=torch.Generator().manual_seed(4)).double()
    return known.lacking(known.jacobian @ (1e-3 * white))


def test_a_kernel_row_is_that_of_the_dense_kernel(tailored):
    position = (0.3 * tailored.ring.object_radius, -0.2 * tailored.ring.object_radius)
    row, column = pixel(tailored.kernels, position)
    number = int(tailored.ring.region.reshape(-1)[: row * tailored.ring.region.shape[1] + column].sum())
    found = kernel_row(tailored.kernels, position)
    assert relative_error(found, tailored.image(tailored.tangent[number])) < 1e-9
    assert bool(found[row, column] == found.max())
    unit = torch.zeros(len(tailored.tangent), dtype=torch.float64)
    unit[number] = 1.0
    expected = tailored.tangent @ (tailored.jacobian.T @ (tailored.jacobian @ unit))
    assert relative_error(answer_row(tailored.kernels, position), tailored.image(expected)) < 1e-6


def test_places_outside_the_region_have_no_row(tailored):
    with pytest.raises(ValueError, match="outside the region"):
        kernel_row(tailored.kernels, (0.0, 2 * tailored.ring.object_radius))


def test_modes_are_singular_images_of_largest_value_one(tailored):
    """Each mode's image is Theta J^T of its data mode, which is how a step answers it."""
    pairs = top_eigenpairs(tailored.kernels, 5, tolerance=1e-3)
    images = mode_images(tailored.kernels, pairs)
    assert torch.allclose(images.flatten(1).abs().amax(dim=1), torch.ones(5).double())
    for image, mode in zip(images, pairs.data_modes, strict=True):
        expected = tailored.image(tailored.tangent @ (tailored.jacobian.T @ mode))
        cosine = float((image * expected).sum() / image.norm() / expected.norm())
        assert abs(cosine) > 1 - 1e-4


def test_sensitivity_lies_on_the_line_between_the_elements(pixels, tailored):
    """More slowness between two opposite elements makes the datum lag; the kernel's answer is smoother."""
    half = pixels.ring.n_elements // 2
    seen = pixels.lacking(torch.zeros(pixels.kernels.n_data, dtype=torch.float64))
    raw, filtered = sensitivity(seen.kernels, 0, half)
    points = pixels.ring.image.points()
    first = pixels.ring.array.positions[0] / torch.linalg.vector_norm(pixels.ring.array.positions[0])
    across = (points[..., 0] * first[1] - points[..., 1] * first[0]).abs()
    near = pixels.ring.region & (across < 0.25 * 2 * math.pi / pixels.ring.wave)
    assert bool((raw[near] > 0).all())
    assert relative_error(filtered, raw) < 1e-9, "pixels answer as the waves do"
    smooth = sensitivity(tailored.kernels, 0, half)[1]

    def roughness(image: torch.Tensor) -> float:
        return float(image.diff(dim=0).square().sum() / image.square().sum())

    assert roughness(smooth) < 0.5 * roughness(raw)
    with pytest.raises(ValueError, match="take no part"):
        sensitivity(pixels.kernels, 0, pixels.ring.n_elements)


def test_responses_are_the_prescribed_spectrum_and_the_rings_symbol(tailored):
    """Within 8 % from 0.2 to 0.8 of the diffraction limit, where both are smooth over a band; nothing beyond it."""
    ring = tailored.ring
    found = transfer(tailored.kernels, n_probes=6)
    assert found.limit == pytest.approx(2 * ring.wave)
    inner = (found.wavenumber > 0.2 * found.limit) & (found.wavenumber < 0.8 * found.limit)
    assert int(inner.sum()) >= 5
    prescribed = rings.smooth_prior(ring)(found.wavenumber)
    assert float((found.ntk / prescribed)[inner].log().abs().max()) < 0.08, found.ntk / prescribed
    waves = symbol(ring, found.wavenumber)
    assert float((found.gain / waves)[inner].log().abs().max()) < 0.08, found.gain / waves
    assert float(found.gain[found.wavenumber > 1.1 * found.limit].max()) < 0.01 * float(found.gain.max())
    assert torch.allclose(found.spectrum(found.wavenumber), found.ntk)
    assert torch.allclose(found.eigenvalues, found.ntk * found.gain)


def test_the_filtered_gradient_is_the_raw_one_times_the_spectrum(tailored):
    """From a missing image that holds all detail alike, while the spectrum falls twelvefold.

    Both fall steeply with wavenumber, and what leaks from strong bands into weak ones lifts the ratio by up to a
    third: the window ends where this small region does.
    """
    found = transfer(tailored.kernels)
    inner = (found.wavenumber > 0.2 * found.limit) & (found.wavenumber < 0.85 * found.limit)
    ratio = (found.gradient_filtered / found.gradient_raw)[inner]
    prescribed = rings.smooth_prior(tailored.ring)(found.wavenumber)[inner]
    assert float(prescribed.max() / prescribed.min()) > 10
    pair = torch.stack([ratio.log(), prescribed.log()])
    assert float(torch.corrcoef(pair)[0, 1]) > 0.99
    assert float((ratio / prescribed).log().abs().max()) < 0.3


def test_radial_amplitude_of_white_noise_is_flat_and_of_a_wave_is_where_it_belongs():
    edges = torch.linspace(0, 2500, 9, dtype=torch.float64)
    noise = torch.randn(90, 101, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert float((radial_amplitude(noise, 1e-3, edges) - 1).abs().max()) < 0.15
    x = 1e-3 * torch.arange(100, dtype=torch.float64)
    wave = torch.cos(2 * math.pi * 20 / 0.1 * x).expand(64, 100)  # 1257 rad/m
    found = radial_amplitude(wave, 1e-3, edges)
    assert int(found.argmax()) == 4
    assert float(found.sum() - found[4]) < 1e-9 * float(found[4])


def test_half_of_the_cells_tell_the_same_of_images_without_fine_detail(tailored):
    """Within 5 thousandths, rim included; each product is the transpose of the other.

    Not where cells are too far apart.
    """
    kernels = tailored.kernels
    wave = tailored.ring.wave
    half = kernels.halved(2 * rings.CUTOFF * wave)
    assert half is not None
    assert kernels.halved(40 * wave) is None
    noise = torch.randn(6, *kernels.image.shape, generator=torch.Generator().manual_seed(3)).double()
    parameters = torch.stack([kernels.from_image(one) for one in noise])
    exact, found = kernels.apply_all(parameters), kernels.apply_all(parameters, half)
    assert float((found - exact).norm() / exact.norm()) < 0.005
    back = kernels.adjoint_all(exact, half)
    torch.testing.assert_close((found * exact).sum(1), (parameters * back).sum(1), rtol=1e-9, atol=0)
