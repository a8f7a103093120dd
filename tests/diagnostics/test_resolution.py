"""Point spreads equal their dense counterparts, and the map of their widths predicts what is measured elsewhere."""

import math

import pytest
import torch

from tests.diagnostics import rings
from tests.diagnostics.rings import Known
from tests.helpers import relative_error
from tests.theory.ring import Ring
from usct.diagnostics.belief import Belief, most_probable
from usct.diagnostics.resolution import point_spread, resolution_map, width
from usct.grid import Grid


@pytest.fixture(scope="module")
def cases() -> dict[str, tuple[Known, Belief]]:
    """Representations whose strongest eigenvalue is forty times the noise."""
    pixels = rings.pixels(Ring.of(11.0, 26, ratio=2.5))
    strongest = float(torch.linalg.matrix_norm(pixels.jacobian, 2)) ** 2
    made = {"pixels": (pixels, Belief(strongest / 40 * 1e-4, 1e-4))}
    for name, envelope in (("tailored", None), ("one-sided", rings.one_sided_envelope(pixels.ring))):
        known = rings.tailored(pixels, 40.0, envelope)
        made[name] = (known, Belief(known.kernels.point.damping))
    return made


@pytest.mark.parametrize("name", ["pixels", "tailored"])
def test_the_most_probable_change_is_that_of_dense_matrices(cases, name):
    known, belief = cases[name]
    _, data = known.draw(belief, torch.Generator().manual_seed(1))
    found = known.kernels.image_of(most_probable(known.kernels, data, belief, rest=1e-9, most=400))
    assert relative_error(found[known.ring.region], known.estimator(belief) @ data) < 1e-6


def place(grid: Grid, row: int, column: int) -> tuple[float, float]:
    return float(grid.axis(0)[row]), float(grid.axis(1)[column])


def exact_spreads(known: Known, belief: Belief) -> torch.Tensor:
    """Of every cell of the region, shape (cell, *image.shape)."""
    columns = (known.estimator(belief) @ known.jacobian).T
    return torch.stack([known.image(column) for column in columns])


@pytest.mark.parametrize("name", ["pixels", "tailored"])
def test_a_point_spread_is_a_column_of_the_resolution_matrix(cases, name):
    known, belief = cases[name]
    number = 123
    row, column = known.ring.region.nonzero()[number].tolist()
    found = point_spread(known.kernels, place(known.ring.image, row, column), belief)
    assert relative_error(found, exact_spreads(known, belief)[number]) < 0.01


@pytest.mark.parametrize("name", ["pixels", "tailored", "one-sided"])
def test_the_map_predicts_widths_that_were_not_measured(cases, name):
    """Within 10 % a width away from the rim, where spreads are whole, from a fraction of the places."""
    known, belief = cases[name]
    grid, region = known.ring.image, known.ring.region
    found, spreads = resolution_map(known.kernels, belief), exact_spreads(known, belief)
    assert torch.equal(torch.isfinite(found), region)
    ratios, widths = [], []
    for spread, (row, column) in list(zip(spreads, region.nonzero().tolist(), strict=True))[::6]:
        true = width(spread, grid, place(grid, row, column))
        if math.hypot(*place(grid, row, column)) < known.ring.object_radius - true:
            ratios.append(float(found[row, column]) / true)
            widths.append(true)
    assert len(ratios) > 15
    assert max(abs(ratio - 1) for ratio in ratios) < 0.10, (min(ratios), max(ratios))
    if name == "one-sided":
        assert max(widths) > 1.25 * min(widths), "a map that is even shows nothing"


def test_less_noise_shows_finer_detail_down_to_half_a_wavelength(cases):
    known, belief = cases["tailored"]
    wavelength = 2 * math.pi / known.ring.wave
    middle = (0.0, 0.0)
    widths = []
    for share in (30.0, 1.0, 0.03):
        spread = point_spread(known.kernels, middle, Belief(share * belief.noise))
        widths.append(width(spread, known.ring.image, middle))
    assert widths[0] > 1.2 * widths[1] > 1.4 * widths[2]
    assert 0.3 * wavelength < widths[2] < 0.6 * wavelength


@pytest.mark.parametrize("sigma", [1.2, 2.0, 3.5])
def test_the_width_of_a_bump_is_its_full_width_at_half_height(sigma):
    """Of bumps between cells, some with a second one as high beside them, which does not count."""
    grid, centre = Grid.centred((41, 33), 1e-3), (3.3e-3, -2.6e-3)
    offset = grid.points() - torch.tensor(centre, dtype=torch.float64)
    bump = torch.exp(-0.5 * offset.square().sum(dim=-1) / (1e-3 * sigma) ** 2)
    beside = torch.exp(-0.5 * (offset + torch.tensor([16e-3, 0.0])).square().sum(dim=-1) / 1e-3**2)
    assert width(bump + beside, grid, centre) == pytest.approx(2.3548e-3 * sigma, rel=0.02)


def test_what_does_not_come_back_has_no_width():
    grid = Grid.centred((9, 9), 1e-3)
    assert math.isnan(width(torch.zeros(grid.shape).double(), grid, (0.0, 0.0)))


def test_places_outside_the_region_are_refused(cases):
    known, belief = cases["pixels"]
    with pytest.raises(ValueError, match="outside the region"):
        point_spread(known.kernels, (2 * known.ring.object_radius, 0.0), belief)
    with pytest.raises(ValueError, match="positive and finite"):
        Belief(0.0)
