"""What is known of tissues beforehand: bounds cell by cell, and priors of their own."""

import math
from dataclasses import replace

import pytest
import torch
from scipy.ndimage import distance_transform_edt

from tests.bench import heads
from usct import api, phantom
from usct.acquisition import Acquisition, Spectra, TransducerArray
from usct.config import RunConfig, load_config
from usct.errors import InputError
from usct.given_start import inform, shares_of
from usct.grid import Grid, resample
from usct.medium import Medium
from usct.parameterization.base import Parameterization
from usct.parameterization.catalogue import restored, trained
from usct.parameterization.fourier import FourierNetwork
from usct.parameterization.lossy import Lossy, companion, companion_bounds
from usct.parameterization.pixel import PixelGrid
from usct.parameterization.spectrum import (
    RadialSpectrum,
    Tailoring,
    TissuePrior,
    lattice_wavenumbers,
    tailored_spectrum,
)
from usct.parameterization.tailored import TailoredGrid

BOUNDS = (1350.0, 3600.0)
GRID = Grid.centred((61, 61), 1e-3)
BONE = GRID.disc(24e-3) & ~GRID.disc(15e-3)
START = Medium(GRID, torch.where(BONE, 2700.0, 1500.0).double())
REGION = GRID.disc(28e-3)
OTHER = Grid.centred((57, 49), 1.13e-3)
TISSUES = [
    "tissues.bone.sound_speed=[2300,3000]",
    "tissues.inside.sound_speed=[1400,1650]",
    "tissues.outside.sound_speed=[1450,1550]",
]


def settings(*more: str) -> RunConfig:
    return load_config("head", None, ["bounds.sound_speed=[1350,3600]", "start.bone_freedom=0.3", *more])


def scan() -> Acquisition:
    """A scan of nothing, with the start."""
    frequencies = torch.tensor([1e5], dtype=torch.float64)
    nothing = Spectra.of(torch.zeros(1, 4, 4, dtype=torch.complex128), frequencies)
    return Acquisition(TransducerArray.ring(4, 30e-3), nothing, start=START)


def tailored(region: torch.Tensor = REGION) -> TailoredGrid:
    return TailoredGrid(START, region, BOUNDS, tailored_spectrum(400.0, 0.0, 0.35))


def lossy() -> Lossy:
    limits = (-1.0, 40.0)
    loss = PixelGrid(companion(START, limits), REGION, companion_bounds(limits))
    return Lossy(tailored(), loss, limits)


KINDS = {
    "pixel": lambda: PixelGrid(START, REGION, BOUNDS),
    "tailored": tailored,
    "network": lambda: FourierNetwork(START, REGION, BOUNDS, "gaussian", 800.0),
    "lossy": lossy,
}


def informed(field: Parameterization, *more: str) -> Parameterization:
    inform(field, scan(), settings(*more), START, 1500.0)
    return field


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_no_step_leaves_the_bounds_of_a_tissue(kind: str, sign: float) -> None:
    field = informed(KINDS[kind](), *TISSUES)
    torch.testing.assert_close(field(GRID).sound_speed.detach(), START.sound_speed, rtol=1e-12, atol=0)
    step = torch.randn(field.vector().shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    field.load(field.vector() + sign * 50.0 * step.to(field.vector()))
    field.constrain()
    middles = {
        "bone": (GRID.disc(20.5e-3) & ~GRID.disc(18.5e-3), 2300, 3000),
        "inside": (GRID.disc(11e-3), 1400, 1650),
        "outside": (REGION & ~GRID.disc(27.5e-3), 1450, 1550),
    }
    speed = field(GRID).sound_speed.detach()
    for cells, low, high in middles.values():
        assert low - 1e-6 <= float(speed[cells].min()) and float(speed[cells].max()) <= high + 1e-6
    assert float((speed - START.sound_speed)[middles["inside"][0]].abs().max()) > 50
    # Between the nodes of pixels an interpolation may overshoot, fields may not.
    elsewhere = field(OTHER).sound_speed.detach()[OTHER.disc(10e-3)]
    slack = 60 if kind == "pixel" else 1e-6
    assert float(elsewhere.min()) > 1400 - slack and float(elsewhere.max()) < 1650 + slack


def test_cells_that_may_hold_two_tissues_may_be_what_either_may() -> None:
    field = informed(tailored(), *TISSUES)
    assert field.cell_bounds is not None
    low, high = field.cell_bounds
    border = GRID.disc(16e-3) & ~GRID.disc(14e-3)
    assert bool((low[border] == 1400).all()) and bool((high[border] == 3000).all())
    plain = informed(tailored())
    assert plain.cell_bounds is None and plain.is_held


def test_narrow_bounds_are_saved_with_the_field() -> None:
    for kind in ("pixel", "tailored", "network"):
        field = informed(KINDS[kind](), *TISSUES)
        noise = torch.randn(field.vector().shape, generator=torch.Generator().manual_seed(1)).to(
            field.vector()
        )
        field.load(field.vector() + 0.1 * noise)
        field.constrain()
        saved = trained(field)
        assert torch.equal(restored(saved)(OTHER).sound_speed, field(OTHER).sound_speed)
        wrong = replace(saved, arrays={**saved.arrays, "cell_bounds": saved.arrays["cell_bounds"][:1]})
        with pytest.raises(ValueError, match=r"'cell_bounds' must be finite, of shape \(2, 61, 61\)"):
            restored(wrong)
        turned = replace(saved, arrays={**saved.arrays, "cell_bounds": saved.arrays["cell_bounds"].flip(0)})
        with pytest.raises(ValueError, match="must increase within 1350 to 3600"):
            restored(turned)


def test_a_field_of_one_spectrum_for_all_tissues_still_reads() -> None:
    field = informed(tailored())
    saved = trained(field)
    older = {k: v[0] if k in ("amplitude", "shaping") else v for k, v in saved.arrays.items()}
    back = restored(replace(saved, arrays=older))
    assert torch.equal(back(OTHER).sound_speed, field(OTHER).sound_speed)


def test_bounds_that_do_not_hold_the_start_are_refused() -> None:
    with pytest.raises(InputError, match=r"tissues.bone.sound_speed = 1800 to 2500 .* 2700 to 2700 m/s"):
        informed(tailored(), "tissues.bone.sound_speed=[1800,2500]")
    with pytest.raises(InputError, match=r"tissues.inside.sound_speed lies outside bounds.sound_speed"):
        informed(tailored(), "tissues.inside.sound_speed=[1000,1300]")
    with pytest.raises(InputError, match="deviation and correlation_mm go together"):
        settings("tissues.bone.deviation=100")
    with pytest.raises(InputError, match="the first must be below the second"):
        settings("tissues.bone.sound_speed=[3000,2000]")
    # A start without bone has no tissues that could be told apart.
    water, field = Medium.homogeneous(GRID, 1500.0), tailored()
    inform(field, replace(scan(), start=water), settings(*TISSUES), water, 1500.0)
    assert field.cell_bounds is None and field.n_tissues == 1


def told(cutoff: float) -> Tailoring:
    """Data that ask for the same everywhere below a cutoff [rad/m]."""
    ends = torch.tensor([0.5 * cutoff, cutoff - 1.0, cutoff], dtype=torch.float64)
    flat = RadialSpectrum(ends, torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64))
    return Tailoring(flat, flat, 0.5, admitted=flat)


def test_a_tissues_own_prior_has_its_deviation_and_correlation() -> None:
    """Random media drawn from it vary by the deviation, and their covariance falls to 1/e over the correlation."""
    spacing, length, deviation, size = 1e-3, 8e-3, 0.05, 400
    wavenumbers = lattice_wavenumbers((size, size), spacing)
    variance = TissuePrior(1.0, deviation, length).variance(told(1e5), wavenumbers, spacing, 0.0)
    covariance = torch.fft.irfft2(variance, s=(size, size))[0]
    # What is finer than cells is missing: a twentieth, at eight cells to the length.
    assert float(covariance[0]) == pytest.approx(deviation**2, rel=0.08)
    steps = torch.arange(2, 25)
    expected = deviation**2 * torch.exp(-steps * spacing / length)
    torch.testing.assert_close(covariance[steps], expected.double(), rtol=0.03, atol=0)
    half = TissuePrior(1.0, deviation, length).variance(told(1e5), wavenumbers, spacing, 0.5**0.5 * deviation)
    torch.testing.assert_close(half, 0.5 * variance)
    gone = TissuePrior(1.0, deviation, length).variance(told(1e5), wavenumbers, spacing, 2 * deviation)
    assert float(gone.max()) == 0


def test_detail_of_a_tissue_is_as_coarse_as_its_waves_are_long() -> None:
    wavenumbers = torch.linspace(0, 1200, 1201, dtype=torch.float64)
    for prior in (TissuePrior(1.6), TissuePrior(1.6, 0.05, 5e-3)):
        seen = prior.variance(told(800.0), wavenumbers, 1e-3, 0.0) > 0
        assert float(wavenumbers[seen].max()) == pytest.approx(500, abs=2)
    slow = TissuePrior(0.9).variance(told(800.0), wavenumbers, 1e-3, 0.0)
    torch.testing.assert_close(slow, told(800.0).prior(wavenumbers))
    for wrong in ((0.0, 1.0, 1.0), (1.0, -1.0, 1.0), (1.0, 1.0, 0.0)):
        with pytest.raises(ValueError, match="above 0"):
            TissuePrior(*wrong)


def test_each_tissue_varies_by_its_own_prior_however_much_it_is_held() -> None:
    """The spread of random images: bone by its deviation, also where its freedom is a tenth; the brain as data say."""
    words = ["tissues.bone.deviation=135", "tissues.bone.correlation_mm=6"]
    spreads = []
    for freedom in ("0.1", "1.0"):
        field = informed(tailored(), *words, f"start.bone_freedom={freedom}")
        field.retailor(told(2000.0))
        random, images = torch.Generator().manual_seed(3), []
        for _ in range(60):
            field.load(torch.randn(field.vector().shape, generator=random, dtype=torch.float64))
            images.append(field.change(GRID).detach())
        spreads.append(torch.stack(images).square().mean(dim=0))
        # The preconditioner is the inverse of the curvature that the data give it, freedom and all.
        gain = told(2000.0).gain(field.wavenumbers)
        bone = gain * (float(freedom) * field.amplitude[0]).square() + 0.5
        torch.testing.assert_close(field.shaping[0], bone.reciprocal())
    torch.testing.assert_close(spreads[0], spreads[1])
    core = GRID.disc(20.5e-3) & ~GRID.disc(18.5e-3)
    # Waves in bone resolve no more than 2000 / 1.8 rad/m, where a twelfth of the variance is left out.
    assert math.sqrt(float(spreads[0][core].mean())) == pytest.approx(0.05, rel=0.15)


def with_slower_bone(factor: float) -> tuple[TailoredGrid, torch.Tensor]:
    """A field whose bone, expected to be off by a twentieth, has become slower by a factor; its amplitudes before."""
    field = informed(tailored(), "tissues.bone.deviation=135", "tissues.bone.correlation_mm=6")
    field.retailor(told(2000.0))
    before = field.amplitude.clone()
    moved = Medium(GRID, torch.where(BONE, 2700.0 / factor, 1500.0).double())
    with torch.no_grad():
        field.base.copy_(field.fitted_to(moved).base)
    field.retailor(told(2000.0))
    return field, before


def test_what_bone_has_departed_by_is_no_longer_expected() -> None:
    field, before = with_slower_bone(1.03)
    departed = math.log(1.03) / 0.05
    torch.testing.assert_close(field.amplitude[0], before[0] * math.sqrt(1 - departed**2), rtol=1e-6, atol=0)
    torch.testing.assert_close(field.amplitude[1:], before[1:])
    with pytest.raises(ValueError, match="3 tissues, but 1 priors"):
        field.expect([TissuePrior()])


def test_shares_add_up_and_name_what_there_is() -> None:
    coarse = Grid.centred((17, 17), 3.7e-3)
    shares = shares_of(START, START.resampled(coarse))
    assert list(shares) == ["bone", "inside", "outside"]
    torch.testing.assert_close(sum(shares.values()), torch.ones(coarse.shape, dtype=torch.float64))
    arc = Medium(GRID, torch.where(BONE & (GRID.points()[..., 0] > 0), 2700.0, 1500.0).double())
    assert list(shares_of(arc, arc)) == ["bone", "outside"]
    assert list(shares_of(Medium.homogeneous(GRID, 1500.0), Medium.homogeneous(GRID, 1500.0))) == ["outside"]


def test_a_skull_that_is_unevenly_wrong_comes_closer_by_its_own_prior() -> None:
    """By settings alone, through waves; and no image leaves the bounds of its brain."""
    head = phantom.make("head_haemorrhage", seed=1, spacing=1.25e-3)
    waves = [50e3, 80e3, 110e3]
    scanned = api.simulate(head, TransducerArray.ring(48, 0.11), waves, snr_db=30.0, spacing=1.4e-3)
    given = replace(scanned, truth=None, start=heads.start_of(head, *heads.uneven(head, 0.0)))
    common = ["schedule.frequencies_mhz=[0.05,0.08,0.11]", "grid.image_spacing_mm=1.2"]
    common += ["start.bone_freedom=0.3", "bounds.sound_speed=[1350,3600]"]
    own = [
        "tissues.bone.deviation=120",
        "tissues.bone.correlation_mm=10",
        "tissues.inside.sound_speed=[1450,1610]",
    ]
    brain, bone = heads.inner(head), heads.parts(head)[1]
    errors = []
    for more in ([], own):
        made = api.reconstruct(given, load_config("head", None, [*common, *more]))
        image = resample(made.medium.sound_speed, made.medium.grid, head.medium.grid)
        off = image - head.medium.sound_speed
        errors.append([float(off[where].square().mean().sqrt()) for where in (brain, bone)])
    assert errors[1][1] < errors[0][1] - 2 and errors[1][0] < 1.05 * errors[0][0]
    deep = torch.from_numpy(distance_transform_edt(heads.parts(head)[0].numpy()) * 1.25e-3 > 7e-3)
    assert float(image[deep].min()) > 1449 and float(image[deep].max()) < 1611


def test_speed_and_attenuation_keep_narrow_bounds_when_they_are_fitted_anew() -> None:
    field = informed(lossy(), *TISSUES)
    fitted = field.fitted_to(Medium.homogeneous(GRID, 1600.0))
    field.load_state_dict(fitted.state_dict())
    speed = field(GRID).sound_speed.detach()
    assert float(speed[GRID.disc(20.5e-3) & ~GRID.disc(18.5e-3)].min()) >= 2300 - 1e-6


def test_water_outside_the_bounds_of_the_outside_is_refused() -> None:
    config = settings("tissues.outside.sound_speed=[1490,1700]")
    with pytest.raises(InputError, match="1490 to 1700 m/s does not hold the water, 1450 m/s"):
        inform(tailored(), scan(), config, START, 1450.0)


def test_a_scale_of_its_own_needs_noise_that_was_measured() -> None:
    """Theory's kernels have no scale: beside them bone is as free as its share says, whatever its deviation."""
    field = informed(tailored(), "tissues.bone.deviation=135", "tissues.bone.correlation_mm=6")
    field.retailor(replace(told(2000.0), noise=0.0, admitted=None))
    plain = informed(tailored())
    plain.retailor(replace(told(2000.0), noise=0.0, admitted=None))
    torch.testing.assert_close(field.amplitude, plain.amplitude)
    assert field.is_held and informed(tailored(), "start.bone_freedom=1.0").is_held is False


def test_departures_count_from_where_a_field_has_settled() -> None:
    field, before = with_slower_bone(1.2)
    assert float(field.amplitude[0].max()) == 0
    field.settle()
    field.retailor(told(2000.0))
    torch.testing.assert_close(field.amplitude, before)


def test_a_narrow_gap_in_a_skull_still_encloses_a_brain() -> None:
    gap = (GRID.points()[..., 1].abs() < 1.2e-3) & (GRID.points()[..., 0] > 0)
    open_skull = Medium(GRID, torch.where(BONE & ~gap, 2700.0, 1500.0).double())
    shares = shares_of(open_skull, open_skull)
    assert list(shares) == ["bone", "inside", "outside"]
    assert float(shares["inside"][GRID.disc(14e-3)].min()) == 1


def test_fields_of_impossible_tissues_are_refused_before_memory_is_taken() -> None:
    saved = trained(informed(tailored()))
    with pytest.raises(ValueError, match="'white' does not hold the parameters of 20000 tissues"):
        restored(replace(saved, settings={**saved.settings, "n_tissues": 20000}))
    network = trained(informed(KINDS["network"]()))
    for wrong in (network.arrays["freedom"].to(torch.uint16), network.arrays["freedom"][None]):
        with pytest.raises(ValueError, match=r"'freedom' must be finite, of shape \(61, 61\) and float64"):
            restored(replace(network, arrays={**network.arrays, "freedom": wrong}))
