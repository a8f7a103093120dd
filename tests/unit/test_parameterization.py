"""The pixel grid."""

import pytest
import torch

from usct.grid import Grid
from usct.medium import Medium
from usct.parameterization.pixel import PixelGrid

GRID = Grid.centred((21, 19), 1e-3)
REGION = GRID.disc(7e-3)
BOUNDS = (1400.0, 1600.0)


def water() -> PixelGrid:
    return PixelGrid(Medium.homogeneous(GRID, 1500.0), REGION, BOUNDS)


def noise(seed: int = 0) -> torch.Tensor:
    return torch.randn(GRID.n_cells, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_it_starts_as_its_background():
    assert torch.allclose(water()(GRID).sound_speed, torch.full(GRID.shape, 1500.0).double())


@pytest.mark.parametrize(
    ("region", "bounds", "sentence"),
    [
        (torch.ones(3, 3, dtype=torch.bool), BOUNDS, r"region has shape \(3, 3\), the grid \(21, 19\)"),
        (REGION, (1600.0, 1400.0), "bounds must be increasing and positive"),
        (REGION, (-1.0, 1400.0), "bounds must be increasing and positive"),
    ],
)
def test_what_cannot_be_is_refused(region, bounds, sentence):
    with pytest.raises(ValueError, match=sentence):
        PixelGrid(Medium.homogeneous(GRID, 1500.0), region, bounds)


def test_bounds_hold_and_the_background_stays():
    pixels = water()
    with torch.no_grad():
        pixels.relative_slowness += noise().reshape(GRID.shape)
    pixels.constrain()
    speed = pixels(GRID).sound_speed.detach()
    assert float(speed.min()) >= BOUNDS[0] - 1e-9
    assert float(speed.max()) <= BOUNDS[1] + 1e-9
    assert torch.allclose(speed[~REGION], torch.tensor(1500.0).double())
    assert float(speed[REGION].std()) > 10


def test_fitted_to_takes_a_medium_over_inside_the_region():
    other = Medium(GRID, (1500 + 30 * torch.sin(400 * GRID.points().sum(dim=-1))).double())
    start = water()
    fitted = start.fitted_to(other)
    assert torch.allclose(fitted(GRID).sound_speed[REGION], other.sound_speed[REGION])
    assert torch.allclose(fitted(GRID).sound_speed[~REGION], torch.tensor(1500.0).double())
    assert torch.allclose(start(GRID).sound_speed, torch.tensor(1500.0).double()), "the original is unchanged"


def test_free_cells_are_those_that_change():
    target = Grid.centred((31, 30), 0.8e-3)
    pixels = water()
    before = pixels(target).sound_speed.detach()
    with torch.no_grad():
        pixels.relative_slowness -= 0.01 * (1 + noise(3).abs().reshape(GRID.shape))
    changed = (pixels(target).sound_speed - before).abs() > 1e-6
    assert not (changed & ~pixels.free_cells(target)).any()
    assert float(changed.sum()) > 0.9 * float(pixels.free_cells(target).sum())


def test_gradient_reaches_the_region_alone():
    pixels = water()
    pixels(Grid.centred((15, 15), 1.3e-3)).sound_speed.sum().backward()
    gradient = pixels.relative_slowness.grad
    assert float(gradient[~REGION].abs().max()) == 0
    assert float(gradient[REGION].abs().min()) > 0


@pytest.mark.parametrize("cutoff", [300.0, 1000.0, 1e5])
def test_preconditioner_is_symmetric_and_positive_semi_definite(cutoff):
    pixels = water()
    matrix = torch.stack(
        [pixels.precondition(row, cutoff) for row in torch.eye(GRID.n_cells, dtype=torch.float64)]
    )
    assert torch.allclose(matrix, matrix.T, atol=1e-13)
    assert float(torch.linalg.eigvalsh(matrix).min()) > -1e-12
    assert float(matrix[~REGION.reshape(-1)].abs().max()) == 0


def test_preconditioner_passes_below_and_stops_above_its_cutoff():
    pixels = PixelGrid(Medium.homogeneous(GRID, 1500.0), torch.ones(GRID.shape, dtype=torch.bool), BOUNDS)
    step = 2 * torch.pi / (21 * GRID.spacing)
    index = torch.arange(21, dtype=torch.float64)[:, None].expand(GRID.shape)
    low, high = (torch.cos(2 * torch.pi * n * index / 21).reshape(-1) for n in (2, 6))
    assert torch.allclose(pixels.precondition(low, 4 * step), low, atol=1e-12)
    assert float(pixels.precondition(high, 4 * step).abs().max()) < 1e-12
