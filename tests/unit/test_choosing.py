"""From settings to a representation: each starts where it should, and what cannot be is one sentence."""

import math

import pytest
import torch

from usct.acquisition import Spectra, TransducerArray
from usct.choosing import capacity_warning, choose_parameterization, kernel_of
from usct.config import RunConfig, load_config
from usct.errors import InputError
from usct.grid import Grid
from usct.medium import Medium
from usct.parameterization.base import Parameterization
from usct.parameterization.fourier import FourierNetwork
from usct.parameterization.hybrid import Hybrid
from usct.parameterization.multigrid import MultiGrid
from usct.parameterization.pixel import PixelGrid
from usct.parameterization.siren import Siren
from usct.parameterization.spectrum import tailored_spectrum
from usct.parameterization.tailored import TailoredGrid

WATER = 1500.0
FREQUENCIES = torch.tensor([60e3, 120e3], dtype=torch.float64)
WAVE = 2 * math.pi * 120e3 / WATER
RADIUS = 34e-3
RING = TransducerArray.ring(64, 40e-3)
FINE, COARSE = (Grid.covering(36e-3, spacing) for spacing in (2e-3, 6e-3))
MUTED = 44.0

CHOICES = {
    "pixel": PixelGrid,
    "filtered": PixelGrid,
    "fourier": FourierNetwork,
    "siren": Siren,
    "siren siren=original": Siren,
    "multigrid": MultiGrid,
    "hybrid": Hybrid,
    "tailored": TailoredGrid,
    "tailored tailoring=analytic": TailoredGrid,
    "tailored tailoring=instrument": TailoredGrid,
    "tailored head=network": FourierNetwork,
    "tailored head=network tailoring=analytic": FourierNetwork,
    "tailored head=network tailoring=instrument": FourierNetwork,
}


def config(words: str, *more: str) -> RunConfig:
    name, *settings = words.split()
    return load_config(None, None, [f"parameterization.{s}" for s in (f"name={name}", *settings)] + [*more])


def spectra(array: TransducerArray, muted: float = MUTED) -> Spectra:
    weights = (array.opening_angles() >= math.radians(muted)).double().expand(2, -1, -1)
    return Spectra(torch.ones(weights.shape, dtype=torch.complex128), FREQUENCIES, weights)


def start(grid: Grid = FINE) -> Medium:
    """A smooth object in water."""
    squared = (grid.points() - torch.tensor([5e-3, -8e-3])).square().sum(dim=-1)
    return Medium(grid, WATER + 40.0 * torch.exp(-squared / (2 * 8e-3**2)))


def chosen(words: str, *more: str, grid: Grid = FINE) -> Parameterization:
    return choose_parameterization(
        config(words, *more), start(grid), grid.disc(RADIUS), spectra(RING), RING, WATER
    )


def every_name() -> set[str]:
    """Names that the settings admit."""
    schema = RunConfig.model_json_schema()["$defs"]["ParameterizationSettings"]
    return set(schema["properties"]["name"]["enum"])


def test_every_name_is_tried_below():
    assert {words.split()[0] for words in CHOICES} == every_name()


@pytest.mark.parametrize("words", CHOICES)
def test_each_stands_at_the_start_model(words):
    parameterization = chosen(words)
    assert type(parameterization) is CHOICES[words]
    for grid in (FINE, Grid.covering(36e-3, 1.3e-3)):
        with torch.no_grad():
            found = parameterization(grid).sound_speed
        # Pixels interpolate slowness, fields its logarithm, and media speed: alike but for the curvature.
        tolerance = 1e-3 if grid == FINE else 0.1
        expected = start().resampled(grid).sound_speed
        assert float((found - expected).abs().max()) < tolerance
    assert float((start().sound_speed - WATER).max()) > 30


@pytest.mark.parametrize("words", CHOICES)
def test_each_can_change_the_middle_and_nothing_outside(words):
    parameterization = chosen(words)
    generator = torch.Generator().manual_seed(3)
    vector = parameterization.vector()
    noise = torch.randn(vector.shape, generator=generator, dtype=torch.float64).to(vector)
    parameterization.load(vector + 0.05 * noise)
    with torch.no_grad():
        change = (parameterization(FINE).sound_speed - start().sound_speed).abs()
    assert float(change[FINE.disc(10e-3)].max()) > 0.1
    assert float(change[~FINE.disc(RADIUS)].max()) < 1e-9


def test_settings_reach_what_is_built():
    filtered, plain = chosen("filtered sharpness=1"), chosen("pixel")
    assert isinstance(filtered, PixelGrid)
    assert isinstance(plain, PixelGrid)
    assert plain.kernel is None
    assert filtered.kernel is not None
    cutoff = 0.9 * 2 * WAVE
    wavenumbers = torch.linspace(0, 2 * WAVE, 50, dtype=torch.float64)
    expected = tailored_spectrum(WAVE, 1.0, 0.35, 0.9)(wavenumbers)
    assert torch.allclose(filtered.kernel(cutoff)(wavenumbers), expected, atol=1e-3)
    network = chosen("tailored head=network seed=4")
    assert network.tailored == "stage"
    assert chosen("tailored head=network tailoring=analytic").tailored == "never"
    assert not torch.equal(network.vector(), chosen("tailored head=network seed=5").vector())
    # The highest wavenumber that any stage will need, but no further than the diffraction limit.
    for cutoff_share, edge in ((0.5, 0.5), (2.0, 1.0)):
        fourier = chosen("fourier", f"schedule.cutoff={cutoff_share}")
        assert isinstance(fourier, FourierNetwork)
        assert fourier.highest == pytest.approx(edge * 2 * WAVE)


def test_the_original_siren_is_the_published_one_and_the_other_fits_the_waves():
    original, fitted = chosen("siren siren=original"), chosen("siren")
    assert isinstance(original, Siren)
    assert isinstance(fitted, Siren)
    assert (original.n_layers, original.n_hidden, original.sines.factors) == (4, 128, (30.0,) * 4)
    assert fitted.wavenumber == pytest.approx(0.9 * WAVE)
    assert fitted.n_layers < original.n_layers


@pytest.mark.parametrize(
    "words", ["fourier", "tailored", "tailored tailoring=analytic", "tailored head=network"]
)
def test_what_the_image_grid_cannot_hold_is_one_sentence(words):
    """Half a wavelength of the highest frequency would need 3.5 mm; the lowest alone fits into 6 mm."""
    with pytest.raises(InputError) as caught:
        chosen(words, grid=COARSE)
    sentence = str(caught.value)
    assert sentence.startswith(f"parameterization.name = {words.split()[0]}: ")
    assert "6 mm" in sentence
    assert "finer image grid or a lower frequency" in sentence
    assert "\n" not in sentence
    assert ". " not in sentence


def test_a_measured_kernel_has_room_for_its_edge():
    """A grid that holds the cutoff to the bit, but not the soft edge about it."""
    spacing = math.pi / (0.9 * 2 * WAVE)
    grid = Grid.covering(36e-3, spacing)
    assert isinstance(chosen("tailored tailoring=analytic", grid=grid), TailoredGrid)
    with pytest.raises(InputError, match="finer image grid"):
        chosen("tailored", grid=grid)


def test_a_network_smaller_than_what_the_data_tell_is_warned_of():
    region = FINE.disc(RADIUS)
    small = FourierNetwork(start(), region, (1400.0, 1700.0), n_features=8, n_hidden=4)
    count = small.vector().numel()
    needed = (0.9 * WAVE * RADIUS) ** 2
    assert count < needed < FINE.n_cells
    warning = capacity_warning(small, FINE, WAVE, 0.9)
    assert warning is not None
    assert f"{count} parameters" in warning
    told = int(warning.split("determine about ")[1].split()[0])
    assert told == pytest.approx(needed, rel=0.1)
    assert "use tailored or pixel, or lower frequencies" in warning
    assert capacity_warning(small, FINE, 0.5 * WAVE, 0.9) is None, "at half the frequency it has enough"
    assert capacity_warning(small, FINE, WAVE, 2.0) == capacity_warning(small, FINE, WAVE, 1.0)


@pytest.mark.parametrize("name", ["tailored", "pixel", "filtered"])
def test_grids_that_hold_the_wave_never_are(name):
    """At a spacing of a sixth of the wavelength, as by default, at ten times the frequency of the rest."""
    grid = Grid.covering(36e-3, WATER / (6 * 1.2e6))
    data = Spectra(torch.ones(2, 64, 64, dtype=torch.complex128), 10 * FREQUENCIES, torch.ones(2, 64, 64))
    made = choose_parameterization(config(name), start(grid), grid.disc(RADIUS), data, RING, WATER)
    assert capacity_warning(made, grid, 10 * WAVE, 2.0) is None


def kernel_share(array: TransducerArray, muted: float, radius: float):
    """Share of wavenumbers that an instrument sees, by share of the diffraction limit and direction [rad]."""
    points = FINE.points()[FINE.disc(radius)]
    kernel = kernel_of(config("tailored tailoring=instrument"), points, spectra(array, muted), array)
    assert kernel is not None
    assert kernel.share is not None
    share = kernel.share

    def at(size: float, angles: torch.Tensor) -> torch.Tensor:
        return share(2 * size * torch.stack([angles.sin(), angles.cos()], dim=-1))

    return at


def test_kernels_come_from_the_data_the_theory_or_the_instrument():
    points = FINE.points()[FINE.disc(RADIUS)]
    assert kernel_of(config("tailored"), points, spectra(RING), RING) is None
    settings = "tailored tailoring=analytic sharpness=0.7 reach=0.6"
    kernel = kernel_of(config(settings), points, spectra(RING), RING)
    assert kernel is not None
    assert kernel.share is None
    tailoring = kernel.tailoring(WAVE, 0.8)
    expected = tailored_spectrum(WAVE, 0.7, 0.6, 0.8)
    assert torch.equal(tailoring.prior.values, expected.values)
    assert torch.equal(tailoring.prior.wavenumbers, expected.wavenumbers)
    assert tailoring.sampled is None


def test_a_full_ring_samples_everything_up_to_the_edge_that_muting_leaves():
    """The edge is cos(22 degrees) = 0.93 of the diffraction limit; parallax blurs it by a few hundredths."""
    share = kernel_share(RING, MUTED, RADIUS)
    around = torch.linspace(0, 2 * math.pi, 120, dtype=torch.float64)
    for size in (0.1, 0.3, 0.5, 0.7, 0.85):
        values = share(size, around)
        assert float(values.mean()) > 0.98
        assert float(values.min()) > 0.85
    assert float(share(1.0, around).mean()) < 0.15
    assert float(share(1.1, around).max()) == 0.0


def test_half_a_ring_leaves_a_wedge_unseen():
    """Directions closer than acos(K / 2 k) to its diameter: no two elements of it have that bisector.

    Seen from 8 mm off the centre of a ring of 40 mm, elements stand up to 12 degrees elsewhere; bins add some.
    """
    half = TransducerArray.of(RING.positions[:33])
    share, margin = kernel_share(half, 0.0, 8e-3), math.radians(20.0)
    angles = torch.linspace(0, math.pi, 181, dtype=torch.float64)
    from_diameter = torch.minimum(angles, math.pi - angles)
    for size in (0.3, 0.5, 0.7, 0.85):
        values, limit = share(size, angles), math.acos(size)
        seen, unseen = from_diameter > limit + margin, from_diameter < limit - margin
        assert int(unseen.sum()) > 10
        assert float(values[unseen].max()) < 0.05
        assert int(seen.sum()) > 10 or size < 0.5
        assert bool((values[seen] > 0.8).all())
