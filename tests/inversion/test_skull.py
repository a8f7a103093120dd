"""Known skulls: what is held stays, known density and absorption join the waves."""

import math
from dataclasses import replace

import pytest
import torch
from scipy.ndimage import distance_transform_edt
from torch.func import functional_call

from tests.bench.heads import parts, start_of
from tests.helpers import relative_error
from usct import api, phantom
from usct.acquisition import Acquisition, Spectra, TransducerArray
from usct.assembly import build_inversion
from usct.config import RunConfig, load_config
from usct.errors import InputError
from usct.forward.analytic import cylinder_field
from usct.forward.helmholtz import Helmholtz
from usct.given_start import told_of_bone, with_fitted_bone
from usct.grid import Grid, resample
from usct.inversion.discretization import Discretization
from usct.inversion.objective import Objective
from usct.medium import Medium
from usct.misfit.selection import select
from usct.misfit.spectra import LeastSquares
from usct.parameterization.base import Parameterization
from usct.parameterization.catalogue import restored, trained
from usct.parameterization.pixel import PixelGrid
from usct.parameterization.spectrum import tailored_spectrum
from usct.parameterization.tailored import TailoredGrid
from usct.phantom import Phantom
from usct.signals import complex_noise
from usct.starting.skull.fitting import FARTHEST, STEP, best_factor, scaled_bone

BOUNDS = (1350.0, 3300.0)
GRID = Grid.centred((31, 31), 2e-3)
BONE = GRID.disc(22e-3) & ~GRID.disc(18e-3)


def fields() -> list[Parameterization]:
    """A grid of each kind that stands at a bony ring."""
    start = Medium(GRID, torch.where(BONE, 2700.0, 1500.0).double())
    region = GRID.disc(26e-3)
    return [PixelGrid(start, region, BOUNDS), TailoredGrid(start, region, BOUNDS, tailored_spectrum(400.0))]


def moved(field: Parameterization) -> torch.Tensor:
    """Change of sound speed by a filtered random step, shape of the image [m/s]."""
    before = field(GRID).sound_speed.detach()
    noise = torch.randn(field.vector().shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    field.load(field.vector() + 1e-2 * field.precondition(noise, 800.0))
    return (field(GRID).sound_speed.detach() - before).abs()


@pytest.mark.parametrize("number", [0, 1], ids=["pixel", "tailored"])
def test_held_bone_keeps_its_speed_and_the_rest_moves(number: int) -> None:
    free, loose, fixed = (fields()[number] for _ in range(3))
    loose.hold(torch.where(BONE, 0.2, 1.0).double())
    fixed.hold(torch.where(BONE, 0.0, 1.0).double())
    changes = [moved(field) for field in (free, loose, fixed)]
    inside = GRID.disc(14e-3)
    assert float(changes[2][BONE].max()) == 0
    assert 0 < float(changes[1][BONE].mean()) < 0.5 * float(changes[0][BONE].mean())
    assert all(float(change[inside].mean()) > 0.1 for change in changes)
    with pytest.raises(ValueError, match="0 to 1"):
        free.hold(torch.full(GRID.shape, 2.0))


def held_apart() -> tuple[TailoredGrid, torch.Tensor]:
    """Tailored features at a bony ring, bone held to three tenths, and the three tissues' freedoms."""
    start = Medium(GRID, torch.where(BONE, 2700.0, 1500.0).double())
    field = TailoredGrid(start, GRID.disc(26e-3), BOUNDS, tailored_spectrum(400.0, 0.0, 0.35))
    inside = GRID.disc(18e-3)
    tissues = torch.stack([0.3 * BONE, inside, ~BONE & ~inside]).double()
    field.hold(tissues)
    return field, tissues


def covariance(field: TailoredGrid, cells: torch.Tensor) -> torch.Tensor:
    """Of the change of log slowness in some cells, flat indices, for standard normal parameters."""

    def change(vector: torch.Tensor) -> torch.Tensor:
        return functional_call(field, field.named(vector), (GRID,)).sound_speed.log().reshape(-1)[cells]

    jacobian = torch.func.jacrev(change)(field.vector())
    return jacobian @ jacobian.T


def test_tissues_change_independently_each_within_its_prior() -> None:
    field, tissues = held_apart()
    whole = TailoredGrid(
        Medium.homogeneous(GRID, 1600.0), GRID.disc(40e-3), BOUNDS, tailored_spectrum(400.0, 0.0, 0.35)
    )
    region = field.region.reshape(-1).nonzero()[:, 0]
    cells = region[:: len(region) // 60]
    parts = tissues.reshape(3, -1)[:, cells]
    expected = covariance(whole, cells) * torch.einsum("ti,tj->ij", parts, parts)
    torch.testing.assert_close(
        covariance(field, cells), expected, rtol=1e-6, atol=1e-9 * float(expected.max())
    )
    # Whatever moves the brain leaves scalp and bone alone, and the other way round.
    before = field(GRID).sound_speed.detach()
    with torch.no_grad():
        field.white[1] += torch.randn(field.white[1].shape, generator=torch.Generator().manual_seed(0))
    moved = (field(GRID).sound_speed.detach() - before).abs() > 0
    assert bool(moved[GRID.disc(14e-3)].all()) and not bool(moved[~GRID.disc(18e-3)].any())


def test_tissues_held_apart_are_saved_and_older_fields_still_read() -> None:
    field, _ = held_apart()
    noise = torch.randn(field.vector().shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    field.load(0.1 * noise)
    saved = trained(field)
    other = Grid.centred((17, 23), 2.9e-3)
    assert torch.equal(restored(saved)(other).sound_speed, field(other).sound_speed)
    whole = fields()[1]
    older = trained(whole)
    older = replace(older, settings={k: v for k, v in older.settings.items() if k != "n_tissues"})
    assert torch.equal(restored(older)(other).sound_speed, whole(other).sound_speed)


def test_features_in_the_brain_are_half_a_wavelength_wide() -> None:
    frequency, speed = 150e3, 1500.0
    grid = Grid.centred((121, 121), 0.8e-3)
    wave = 2 * math.pi * frequency / speed
    field = TailoredGrid(
        Medium.homogeneous(grid, speed), grid.disc(45e-3), BOUNDS, tailored_spectrum(wave, 0.0, 2.0)
    )
    middle = 60 * 121 + 60
    row = torch.arange(middle, middle + 20)
    vector = torch.zeros_like(field.vector()).requires_grad_(True)
    (column,) = torch.autograd.grad(
        functional_call(field, field.named(vector), (grid,)).sound_speed.log()[60, 60], vector
    )
    field.load(1e-3 * column)
    kernel = field(grid).sound_speed.detach().log().reshape(-1)[row] - math.log(speed)
    width = 2 * grid.spacing * float((kernel < 0.5 * kernel[0]).nonzero()[0])
    assert width == pytest.approx(0.5 * speed / frequency, abs=1.5 * grid.spacing)


def test_gradient_with_tissues_held_apart_leaves_a_second_order_remainder() -> None:
    array = TransducerArray.ring(12, 29e-3)
    built = Discretization(6.0, (1450.0, 2800.0), pml_cells=6, storage=torch.complex128)
    model = built.model(array, (1450.0, 2800.0), 80e3, 0.0)
    truth = Medium(GRID, torch.where(BONE, 2700.0, 1500.0 + 40.0 * GRID.disc(8e-3)).double())
    field, _ = held_apart()
    frequencies = torch.tensor([80e3], dtype=torch.float64)
    observed = Spectra.of(model(truth.resampled(model.grid), frequencies), frequencies)
    objective = Objective([model], select(observed, array, 0.5, 0.0), LeastSquares("transmit"), field)
    point = objective.at(field.vector())
    noise = torch.randn(field.vector().shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    direction = noise / 30

    def value(step: float) -> float:
        return objective.at(point.parameters + step * direction).value

    steps = [0.4, 0.2, 0.1]
    rest = [abs(value(h) - point.value - h * float(point.gradient @ direction)) for h in steps]
    orders = [math.log2(a / b) for a, b in zip(rest, rest[1:], strict=False)]
    assert orders == pytest.approx([2.0, 2.0], abs=0.15)


def test_known_density_and_absorption_join_the_waves() -> None:
    array = TransducerArray.ring(8, 28e-3)
    known = Medium(
        GRID,
        torch.full(GRID.shape, 1500.0, dtype=torch.float64),
        torch.where(BONE, 50.0, 0.0).double(),
        torch.where(BONE, 1800.0, 1000.0).double(),
    )
    speed = torch.where(BONE, 2700.0, 1500.0).double()
    plain = Discretization(6.0, (1450.0, 2800.0), pml_cells=6, storage=torch.complex128)
    model = replace(plain, known=known).model(array, (1450.0, 2800.0), 80e3, 0.0)
    bare = plain.model(array, (1450.0, 2800.0), 80e3, 0.0)
    assert isinstance(bare, Helmholtz)
    medium = Medium(GRID, speed).resampled(model.grid)
    full = replace(known.resampled(model.grid), sound_speed=medium.sound_speed)
    frequencies = torch.tensor([80e3], dtype=torch.float64)
    torch.testing.assert_close(model(medium, frequencies), bare(full, frequencies))
    difference = (model(medium, frequencies) - bare(medium, frequencies)).norm()
    assert float(difference) > 0.05 * float(bare(medium, frequencies).norm())


def test_what_cells_hold_below_their_size_takes_part() -> None:
    speed = torch.where(BONE, 2700.0, 1500.0).double()
    known = Medium(GRID, speed, None, torch.where(BONE, 1800.0, 1000.0).double())
    field = fields()[1].fitted_to(Medium(GRID, speed))
    array = TransducerArray.ring(8, 28e-3)
    plain = Discretization(6.0, (1450.0, 2800.0), pml_cells=6, storage=torch.complex128, known=known)
    model = replace(plain, start=field).model(array, (1450.0, 2800.0), 80e3, 0.0)
    right = known.resampled(model.grid)
    begun = model.squared_slowness(field(model.grid), 80e3).detach()
    pad = model.pml_cells
    found = begun.real[pad:-pad, pad:-pad].rsqrt()
    torch.testing.assert_close(found, right.sound_speed)
    assert float((field(model.grid).sound_speed.detach() - right.sound_speed).abs().max()) > 50


def test_bone_and_water_share_a_grid_of_five_points_per_wavelength() -> None:
    frequency, radius, density = 300e3, 12.5e-3, 1.85
    array = TransducerArray.ring(14, 56.5e-3)
    built = Discretization(5.0, (1450.0, 1600.0), storage=torch.complex128)
    model = built.model(array, (1450.0, 2800.0), frequency, 0.0)
    assert isinstance(model, Helmholtz)
    fine = Grid.covering(20e-3, 0.125e-3)
    inside = fine.disc(radius)
    disc = Medium(fine, torch.where(inside, 2800.0, 1500.0), None, torch.where(inside, 1e3 * density, 1e3))
    medium = disc.resampled(model.grid)
    waves = [2 * math.pi * frequency / speed for speed in (1500.0, 2800.0)]
    exact = cylinder_field(array.positions, array.positions + 1e-9, waves[0], waves[1], radius, density)
    others = ~torch.eye(14, dtype=torch.bool)

    def error(solver: Helmholtz) -> float:
        data = solver(medium, torch.tensor([frequency], dtype=torch.float64))[0]
        return relative_error(data[others], exact[others])

    assert error(model) < 0.045
    # Fitted to bone as well, waves in water gather errors of phase.
    assert error(replace(model, speed_range=(1450.0, 2800.0))) > 1.5 * error(model)


def test_the_datas_factor_of_bone_is_found() -> None:
    parabola = best_factor(lambda factor: 3 + (factor - 1.08) ** 2)
    assert parabola == pytest.approx(1.08)
    assert best_factor(lambda factor: (factor - 0.71) ** 2) == pytest.approx(0.71)
    assert best_factor(lambda factor: factor) == 1 - FARTHEST * STEP
    assert best_factor(lambda factor: -factor) == 1 + FARTHEST * STEP
    # A second minimum far away is not the skull's.
    assert best_factor(
        lambda factor: min((factor - 0.95) ** 2, 100 * (factor - 1.45) ** 2 - 1)
    ) == pytest.approx(0.95)
    model = Medium(GRID, torch.where(BONE, 2700.0, 1500.0), 3.0 * BONE, torch.where(BONE, 1800.0, 1000.0))
    half = scaled_bone(model, BONE, 0.5, 1500.0)
    assert half.density is not None and half.attenuation is not None
    assert set(half.sound_speed.unique().tolist()) == {1500.0, 2100.0}
    assert set(half.density.unique().tolist()) == {1000.0, 1400.0}
    assert set(half.attenuation.unique().tolist()) == {0.0, 3.0}


@pytest.fixture(scope="module")
def heard() -> tuple[Phantom, Acquisition, Spectra]:
    """A head, and its damped spectra at 50 kHz from a grid of 1 mm, with noise of 45 dB."""
    head, array, damping = (
        phantom.make("head_haemorrhage", seed=4, spacing=1e-3),
        TransducerArray.ring(32, 0.11),
        1e4,
    )
    solver = Discretization(5.0, (1450.0, 1600.0), coarsest=1.1e-3, storage=torch.complex128)
    model = solver.model(array, (1450.0, 3000.0), 50e3, damping)
    nothing = torch.zeros(model.grid.shape, dtype=torch.bool)
    clean = model.linearize(head.medium.resampled(model.grid), 50e3, nothing).data[None]
    noisy = clean + complex_noise(clean, 45.0, torch.Generator().manual_seed(0))
    spectra = select(replace(Spectra.of(noisy, torch.tensor([50e3])), damping=damping), array, 0.5, 0.0)
    return head, Acquisition(array, spectra, 1500.0), spectra


def fit_bone(scan: Acquisition, config: RunConfig, observed: Spectra) -> Acquisition:
    """The scan with fitted bone."""
    return with_fitted_bone(
        scan,
        config,
        observed,
        1500.0,
        lambda s, trial, data: build_inversion(s, trial, data, 1500.0).run(data).history[-1].objective,
    )


def test_fitted_bone_stays_in_its_bounds_and_its_rim_is_not_thickened(
    heard: tuple[Phantom, Acquisition, Spectra],
) -> None:
    head, scan, observed = heard
    given = start_of(head, 0.0)
    rim = parts(head)[1] & ~torch.from_numpy(distance_transform_edt(parts(head)[1].numpy()) > 1.5)
    given = replace(given, sound_speed=torch.where(rim, 1850.0, given.sound_speed))
    config = load_config("transcranial", None, ["tissues.bone.sound_speed=[2300,2600]"])
    tried = with_fitted_bone(
        replace(scan, start=given), config, observed, 1500.0, lambda s, *_: -float(s.start.sound_speed.max())
    )
    assert tried.start is not None
    assert float(tried.start.sound_speed.max()) == 2600
    assert float(tried.start.sound_speed[rim].max()) < 2300
    less = with_fitted_bone(
        replace(scan, start=given), config, observed, 1500.0, lambda s, *_: float(s.start.sound_speed.max())
    )
    assert less.start is not None
    assert float(less.start.sound_speed[rim].min()) == 1850
    inner = parts(head)[1] & ~rim & (given.sound_speed > 2300)
    assert float(less.start.sound_speed[inner].min()) == 2300


@pytest.mark.parametrize("wrong", [-0.09, 0.09])
def test_bone_that_is_wrong_is_fitted_to_the_lowest_frequency(
    heard: tuple[Phantom, Acquisition, Spectra], wrong: float
) -> None:
    head, scan, observed = heard
    scan = replace(scan, start=start_of(head, wrong))
    config = load_config(
        "transcranial", None, ["grid.image_spacing_mm=1.5", "schedule.frequencies_mhz=[0.05]"]
    )
    fitted = fit_bone(scan, config, observed).start
    assert scan.start is not None and fitted is not None
    bone = parts(head)[1]
    off = [float((m.sound_speed / head.medium.sound_speed - 1)[bone].mean()) for m in (scan.start, fitted)]
    assert off[0] == pytest.approx(wrong, abs=1e-6)
    assert abs(off[1]) < 0.03  # a third
    soft = scan.start.sound_speed < 1750
    assert torch.equal(fitted.sound_speed[soft], scan.start.sound_speed[soft])
    assert told_of_bone(scan, config, fitted.resampled(head.medium.grid))["bone_sound_speed"].endswith(
        "fitted"
    )
    uniform = config.model_copy(update={"start": config.start.model_copy(update={"sound_speed": 1500.0})})
    assert fit_bone(scan, uniform, observed) is scan
    with pytest.raises(InputError, match="damped"):
        fit_bone(scan, config, replace(observed, damping=0.0))


def test_grids_may_be_kept_fine_at_low_frequencies() -> None:
    array, speeds = TransducerArray.ring(8, 28e-3), (1450.0, 2800.0)
    plain = Discretization(6.0, (1450.0, 2800.0))
    fine = replace(plain, coarsest=1e-3)
    assert plain.model(array, speeds, 100e3, 0.0).grid.spacing == pytest.approx(1450 / 100e3 / 6)
    assert fine.model(array, speeds, 100e3, 0.0).grid.spacing == 1e-3
    assert fine.model(array, speeds, 400e3, 0.0).grid == plain.model(array, speeds, 400e3, 0.0).grid


def test_brain_is_seen_through_a_known_skull_that_stays() -> None:
    head = phantom.make("head_haemorrhage", seed=1, spacing=1e-3)
    scan = api.simulate(head, TransducerArray.ring(64, 0.11), [50e3, 80e3, 110e3], snr_db=30.0)
    settings = ["schedule.frequencies_mhz=[0.05,0.08,0.11]", "grid.image_spacing_mm=1.2"]
    settings += ["start.bone_freedom=0.1", "bounds.sound_speed=[1350,3600]"]
    config = load_config("head", None, settings)
    scan = replace(scan, truth=None, start=start_of(head, 0.0))
    result = api.reconstruct(scan, config)
    brain, bone, _ = parts(head)
    inner = torch.from_numpy(distance_transform_edt(brain.numpy()) > 3)
    grid, truth = head.medium.grid, head.medium.sound_speed
    start, end = (
        resample(medium.sound_speed, medium.grid, grid) - truth for medium in (result.start, result.medium)
    )
    # Half, where the whole experiment asks for a quarter: a quarter of the data, and no detail below 7 mm.
    assert float(end[inner].square().mean()) < 0.25 * float(start[inner].square().mean())
    assert float(end[bone].square().mean()) < 1.05 * float(start[bone].square().mean())


def test_a_skull_close_to_the_rim_of_the_image_is_not_washed_out() -> None:
    """The start slopes to water at the rim of the image, but only beyond the scalp."""
    grid = Grid.centred((121, 121), 1e-3)
    wall = grid.disc(49e-3) & ~grid.disc(42e-3)
    start = Medium(grid, torch.where(wall, 2700.0, torch.where(grid.disc(42e-3), 1560.0, 1500.0)).double())
    array = TransducerArray.ring(32, 58e-3)
    spectra = Spectra.of(
        torch.ones(1, 32, 32, dtype=torch.complex128), torch.tensor([50e3], dtype=torch.float64)
    )
    scan = Acquisition(array, spectra, start=start)
    settings = ["schedule.frequencies_mhz=[0.05]", "grid.image_spacing_mm=1.0", "start.fit_bone=false"]
    config = load_config("transcranial", None, [*settings, "schedule.damping_time_us=none"])
    begun = build_inversion(scan, config, spectra, 1490.0).start
    given = start.resampled(begun.grid).sound_speed
    distance = torch.linalg.vector_norm(begun.grid.points(), dim=-1)
    inside = distance < 49e-3
    torch.testing.assert_close(begun.sound_speed[inside], given[inside], rtol=2e-3, atol=0)
    assert float((begun.sound_speed[distance > 53e-3] - 1490.0).abs().max()) < 0.1
    # Where bone reaches the rim itself, water comes within two cells.
    for reach in (52.0e-3, 52.4e-3, 54e-3):
        thick = torch.where(grid.disc(reach) & ~grid.disc(42e-3), 2700.0, 1500.0).double()
        close = build_inversion(replace(scan, start=Medium(grid, thick)), config, spectra, 1490.0).start
        depth = torch.linalg.vector_norm(close.grid.points(), dim=-1)
        assert float(close.sound_speed[(depth > 44e-3) & (depth < 49e-3)].min()) > 2600
    # A start that fills the image slopes over half of the longest wavelength.
    uniform = build_inversion(replace(scan, start=Medium.homogeneous(grid, 1560.0)), config, spectra, 1490.0)
    speed = uniform.start.sound_speed[:, len(begun.grid.axis(1)) // 2]
    assert float(speed.diff().abs().max()) < 2 * 70 / 14.9 and float(speed.max()) == pytest.approx(1560.0)
