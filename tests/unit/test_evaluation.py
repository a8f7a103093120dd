"""Scores against hand-made cases and independent formulas."""

import json
import math

import numpy as np
import pytest
import torch

from usct.evaluation import Scores, eroded, evaluate, object_mask
from usct.grid import Grid
from usct.medium import Medium

GRID = Grid.centred((61, 61), 1e-3)
RADIUS = 20e-3


def disc_medium(speed: float = 1540.0, water: float = 1480.0, grid: Grid = GRID) -> Medium:
    return Medium(grid, torch.where(grid.disc(RADIUS), speed, water).double())


def plus(medium: Medium, change: torch.Tensor | float) -> Medium:
    return Medium(medium.grid, medium.sound_speed + change)


def test_mask_is_the_disc():
    assert torch.equal(object_mask(disc_medium()), GRID.disc(RADIUS))


def test_mask_ignores_small_differences_and_small_islands_and_fills_holes():
    medium = disc_medium()
    speed = medium.sound_speed.clone()
    speed[2:4, 2:4] = 1600.0
    speed[~GRID.disc(RADIUS)] += 1.5 * torch.rand(GRID.shape, dtype=torch.float64)[~GRID.disc(RADIUS)]
    speed[30, 30] = 1480.0
    assert torch.equal(object_mask(Medium(GRID, speed)), GRID.disc(RADIUS))


def test_mask_keeps_the_largest_of_two_objects():
    large, small = GRID.disc(8e-3, (-10e-3, -10e-3)), GRID.disc(5e-3, (12e-3, 12e-3))
    medium = Medium(GRID, torch.where(large | small, 1500.0, 1450.0).double())
    assert torch.equal(object_mask(medium), large)


def test_mask_of_water_alone_is_empty_and_scores_are_nan():
    water = Medium.homogeneous(GRID, 1480.0)
    assert not object_mask(water).any()
    scores = evaluate(water, water, water)
    assert scores.n_cells == 0
    assert all(
        math.isnan(getattr(scores, name))
        for name in ("rmse", "mae", "bias", "p95", "ssim", "psnr", "pearson")
    )
    assert scores.rows() == ()
    assert scores.as_dict()["rmse"] is None


def test_mask_refuses_a_negative_tolerance():
    with pytest.raises(ValueError, match="tolerance must be >= 0"):
        object_mask(disc_medium(), -1.0)


def test_eroded_disc_is_the_smaller_disc():
    interior = eroded(GRID.disc(RADIUS), 3e-3, GRID.spacing)
    assert (GRID.disc(RADIUS - 4.5e-3) <= interior).all()
    assert (interior <= GRID.disc(RADIUS - 2e-3)).all()


def test_eroded_treats_what_lies_beyond_the_grid_as_outside():
    interior = eroded(torch.ones(9, 9, dtype=torch.bool), 1.5e-3, 1e-3)
    expected = torch.zeros(9, 9, dtype=torch.bool)
    expected[1:-1, 1:-1] = True
    assert torch.equal(interior, expected)


def test_perfect_image():
    truth = disc_medium()
    scores = evaluate(truth, truth)
    assert (scores.rmse, scores.mae, scores.bias, scores.p95) == (0, 0, 0, 0)
    assert scores.ssim == pytest.approx(1)
    assert scores.psnr == math.inf
    assert scores.n_cells == int(GRID.disc(RADIUS).sum())
    assert math.isnan(scores.start_rmse)


def test_constant_offset_inside_and_anything_outside():
    truth = disc_medium()
    inside = GRID.disc(RADIUS)
    image = plus(truth, torch.where(inside, -4.0, 25.0))
    scores = evaluate(image, truth, start=Medium.homogeneous(GRID, 1480.0))
    assert scores.rmse == pytest.approx(4)
    assert scores.mae == pytest.approx(4)
    assert scores.bias == pytest.approx(-4)
    assert scores.rmse_interior == pytest.approx(4)
    assert scores.start_rmse == pytest.approx(60)
    assert scores.psnr == pytest.approx(10 * math.log10(200.0**2 / 16.0))


def test_interior_leaves_the_skin_out():
    truth = disc_medium()
    skin = GRID.disc(RADIUS) & ~GRID.disc(RADIUS - 1.5e-3)
    scores = evaluate(plus(truth, 30.0 * skin), truth)
    assert scores.rmse > 5
    assert scores.rmse_interior == 0


def test_numbers_equal_plain_formulas():
    generator = torch.Generator().manual_seed(4)
    truth = plus(disc_medium(), 3.0 * torch.randn(GRID.shape, generator=generator, dtype=torch.float64))
    truth = Medium(GRID, torch.where(GRID.disc(RADIUS), truth.sound_speed, 1480.0))
    image = plus(truth, 5.0 * torch.randn(GRID.shape, generator=generator, dtype=torch.float64))
    inside = object_mask(truth)
    a, b = image.sound_speed[inside].tolist(), truth.sound_speed[inside].tolist()
    errors = sorted(abs(x - y) for x, y in zip(a, b, strict=True))
    scores = evaluate(image, truth)
    assert scores.rmse == pytest.approx(math.sqrt(sum(e * e for e in errors) / len(errors)))
    assert scores.mae == pytest.approx(sum(errors) / len(errors))
    assert scores.p95 == pytest.approx(errors[round(0.95 * (len(errors) - 1))], rel=1e-2)
    mean_a, mean_b = sum(a) / len(a), sum(b) / len(b)
    covariance = sum((x - mean_a) * (y - mean_b) for x, y in zip(a, b, strict=True))
    norm = math.sqrt(sum((x - mean_a) ** 2 for x in a) * sum((y - mean_b) ** 2 for y in b))
    assert scores.pearson == pytest.approx(covariance / norm)


def gaussian_mean(values: np.ndarray) -> np.ndarray:
    """Weighted mean in an 11 x 11 window with mirrored edges, by explicit sums."""
    offsets = np.arange(-5, 6)
    weights = np.exp(-0.5 * (offsets / 1.5) ** 2)
    weights /= weights.sum()
    padded = np.pad(values, 5, mode="symmetric")
    n, m = values.shape
    rows = sum(w * padded[i : i + n] for i, w in enumerate(weights))
    return sum(w * rows[:, j : j + m] for j, w in enumerate(weights))


def test_ssim_equals_its_definition():
    generator = torch.Generator().manual_seed(5)
    truth = disc_medium()
    image = plus(truth, 8.0 * torch.randn(GRID.shape, generator=generator, dtype=torch.float64))
    x, y = truth.sound_speed.numpy(), image.sound_speed.numpy()
    mean_x, mean_y = gaussian_mean(x), gaussian_mean(y)
    var_x, var_y = gaussian_mean(x * x) - mean_x**2, gaussian_mean(y * y) - mean_y**2
    covariance = gaussian_mean(x * y) - mean_x * mean_y
    c1, c2 = (0.01 * 200) ** 2, (0.03 * 200) ** 2
    similarity = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    similarity /= (mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)
    expected = similarity[GRID.disc(RADIUS).numpy()].mean()
    assert evaluate(image, truth).ssim == pytest.approx(expected, abs=1e-6)


def test_image_on_another_grid_is_compared_on_the_grid_of_the_truth():
    def smooth(grid: Grid) -> Medium:
        distance = torch.linalg.vector_norm(grid.points(), dim=-1)
        return Medium(grid, 1480.0 + 60.0 * torch.exp(-0.5 * (distance / 8e-3) ** 2))

    truth = smooth(GRID)
    scores = evaluate(smooth(Grid.centred((47, 49), 1.4e-3)), truth)
    assert scores.n_cells == int(object_mask(truth).sum())
    assert scores.rmse < 0.2


def test_small_grids_have_no_ssim():
    grid = Grid.centred((9, 9), 5e-3)
    truth = disc_medium(grid=grid)
    assert math.isnan(evaluate(truth, truth).ssim)


def test_refusals():
    truth = disc_medium()
    cube = Medium.homogeneous(Grid.centred((5, 5, 5), 1e-3), 1500.0)
    with pytest.raises(ValueError, match="3 axes"):
        evaluate(cube, truth)
    with pytest.raises(ValueError, match="speed_range"):
        evaluate(truth, truth, speed_range=(1600.0, 1400.0))


def test_scores_serialise():
    truth = disc_medium()
    scores = evaluate(plus(truth, 2.0), truth)
    assert isinstance(scores, Scores)
    assert json.loads(json.dumps(scores.as_dict(), allow_nan=False))["rmse"] == pytest.approx(2)
    assert ("RMSE in the object", "2.00 m/s") in scores.rows()


def test_attenuation_is_scored_at_the_frequency_of_the_data():
    """A map twice too high, by another power law: errors are in dB/cm where the data are."""
    truth = Medium(GRID, disc_medium().sound_speed, 10.0 * GRID.disc(RADIUS), attenuation_power=1.0)
    image = Medium(GRID, truth.sound_speed, 20.0 * GRID.disc(RADIUS), attenuation_power=2.0)
    scores = evaluate(image, truth, highest_frequency=0.5e6)
    assert scores.rmse_attenuation == pytest.approx(0.0, abs=1e-12)  # 20 / 4 = 10 / 2
    at_reference = evaluate(image, truth)
    assert at_reference.bias_attenuation == pytest.approx(10 * 0.0868589, rel=1e-5)
    assert math.isnan(evaluate(truth_without_loss(truth), truth).rmse_attenuation)


def test_crosstalk_is_sound_speed_seen_in_the_attenuation():
    truth = plus(disc_medium(), 10.0 * torch.randn(GRID.shape, generator=torch.Generator().manual_seed(0)))
    ghost = Medium(GRID, truth.sound_speed, 0.01 * (truth.sound_speed - 1480.0))
    assert evaluate(ghost, truth).crosstalk == pytest.approx(1.0)
    noise = torch.randn(GRID.shape, generator=torch.Generator().manual_seed(1)).double()
    assert abs(evaluate(Medium(GRID, truth.sound_speed, noise), truth).crosstalk) < 0.1


def truth_without_loss(medium: Medium) -> Medium:
    return Medium(medium.grid, medium.sound_speed)
