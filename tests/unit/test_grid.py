"""Grids and the maps between them."""

import math

import pytest
import torch

from usct.grid import Grid, resample, resampling_matrix


@pytest.mark.parametrize(
    ("shape", "spacing", "origin", "sentence"),
    [
        ((4,), 1.0, (0.0,), "shape and origin must both have 2 or 3 axes"),
        ((4, 4), 1.0, (0.0, 0.0, 0.0), "shape and origin must both have 2 or 3 axes"),
        ((4, 0), 1.0, (0.0, 0.0), "shape must be positive on every axis"),
        ((4, 4), 0.0, (0.0, 0.0), "spacing must be > 0 m, got 0"),
        ((4, 4), math.nan, (0.0, 0.0), "spacing must be > 0 m, got nan"),
    ],
)
def test_impossible_grids_are_refused(shape, spacing, origin, sentence):
    with pytest.raises(ValueError, match=sentence):
        Grid(shape, spacing, origin)


def test_axes_points_and_last():
    grid = Grid((3, 4), 0.5, (-1.0, 2.0))
    assert grid.axis(0).tolist() == [-1.0, -0.5, 0.0]
    assert grid.points()[2, 3].tolist() == [0.0, 3.5] == list(grid.last)
    assert (grid.n_dims, grid.n_cells) == (2, 12)
    assert grid.fractional_index(grid.points())[2, 3].tolist() == [2.0, 3.0]


def test_centred_covering_padded():
    assert Grid.centred((5, 3), 2.0).origin == (-4.0, -2.0)
    grid = Grid.covering(0.1, 0.01)
    assert grid.shape == (21, 21)
    assert grid.last == pytest.approx((0.1, 0.1))
    padded = grid.padded(2)
    assert padded.shape == (25, 25)
    assert padded.fractional_index(grid.points())[0, 0].tolist() == pytest.approx([2.0, 2.0])


def test_contains_and_disc():
    grid = Grid.centred((5, 5), 1.0)
    inside = grid.contains(torch.tensor([[0.0, 0.0], [2.0, -2.0], [2.1, 0.0]]))
    assert inside.tolist() == [True, True, False]
    assert grid.contains(torch.tensor([[2.0, 0.0]]), margin=0.5).tolist() == [False]
    assert int(grid.disc(1.0).sum()) == 5
    assert grid.disc(0.1, (2.0, -2.0))[4, 0]


@pytest.mark.parametrize("ratio", [0.3, 0.5, 1.0, 1.7, 4.0])
def test_rows_sum_to_one(ratio):
    source = torch.linspace(-1, 1, 31, dtype=torch.float64)
    target = torch.arange(-1.4, 1.4, ratio * float(source[1] - source[0]), dtype=torch.float64)
    matrix = resampling_matrix(source, target)
    assert matrix.shape == (len(target), 31)
    assert matrix.sum(dim=1).tolist() == pytest.approx([1.0] * len(target), abs=1e-12)


@pytest.mark.parametrize("spacing", [0.37, 1.0, 0.5])
def test_linear_functions_are_exact_inside(spacing):
    source = Grid.centred((21, 25), 1.0)
    target = Grid.centred((11, 9), spacing)
    y, x = source.points().unbind(-1)
    mapped = resample(2 + 3 * y - x, source, target)
    y, x = target.points().unbind(-1)
    assert torch.allclose(mapped, 2 + 3 * y - x, atol=1e-12)


def test_cubic_convolution_is_of_third_order():
    errors = []
    for n in (21, 41, 81):
        source = torch.linspace(0, 1, n, dtype=torch.float64)
        target = torch.linspace(0.3, 0.7, 101, dtype=torch.float64)
        mapped = resampling_matrix(source, target) @ torch.sin(6 * source)
        errors.append(float((mapped - torch.sin(6 * target)).abs().max()))
    assert math.log2(errors[1] / errors[2]) > 2.8


def test_detail_that_the_target_cannot_hold_is_averaged_away():
    fine = torch.arange(200, dtype=torch.float64)
    coarse = torch.arange(20, 180, 5, dtype=torch.float64)
    checkers = torch.cos(torch.pi * fine)
    picked = checkers[coarse.long()].abs().max()
    assert float((resampling_matrix(fine, coarse) @ checkers).abs().max()) < 0.02 * float(picked)


def test_resample_is_differentiable_with_the_transposed_map():
    source, target = Grid.centred((7, 8), 1.0), Grid.centred((5, 5), 1.6)
    generator = torch.Generator().manual_seed(1)
    values = torch.randn(source.shape, generator=generator, dtype=torch.float64, requires_grad=True)
    other = torch.randn(target.shape, generator=generator, dtype=torch.float64)
    (pulled,) = torch.autograd.grad(resample(values, source, target), values, other)
    change = torch.randn(source.shape, generator=generator, dtype=torch.float64)
    forward = float((resample(change, source, target) * other).sum())
    assert forward == pytest.approx(float((change * pulled).sum()), rel=1e-12)


def test_resample_to_itself_is_the_same_tensor_and_leading_axes_ride_along():
    grid = Grid.centred((4, 4), 1.0)
    values = torch.rand(3, 4, 4, dtype=torch.float64)
    assert resample(values, grid, grid) is values
    target = Grid.centred((6, 5), 0.4)
    stacked = resample(values, grid, target)
    assert torch.allclose(stacked[1], resample(values[1], grid, target))


def test_resample_beyond_the_ends_continues_the_end_value():
    source, target = Grid.centred((5, 5), 1.0), Grid.centred((21, 21), 1.0)
    mapped = resample(torch.full((5, 5), 7.0, dtype=torch.float64), source, target)
    assert torch.allclose(mapped, torch.full((21, 21), 7.0, dtype=torch.float64))


@pytest.mark.parametrize("ratio", [0.5, 1.6, 8.0])
def test_band_limited_resampling_keeps_what_the_coarser_axis_holds(ratio):
    source = torch.arange(400, dtype=torch.float64)
    target = torch.arange(60.3, 330.0, ratio, dtype=torch.float64)
    matrix = resampling_matrix(source, target, band_limited=True)
    torch.testing.assert_close(matrix.sum(dim=1), torch.ones(len(target), dtype=torch.float64))
    wave = 2 * torch.pi / (3.3 * max(1.0, ratio))
    errors = [
        float(
            (
                resampling_matrix(source, target, kind) @ torch.cos(wave * source) - torch.cos(wave * target)
            ).norm()
        )
        for kind in (True, False)
    ]
    assert errors[0] < 0.2 * errors[1]
    hidden = torch.cos(2 * torch.pi / (1.45 * ratio) * source)
    assert ratio < 8 or float((matrix @ hidden).abs().max()) < 0.02
