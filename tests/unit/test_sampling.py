"""Sampling between nodes."""

import math

import pytest
import torch

from usct.acquisition import TransducerArray
from usct.forward.sampling import PATCH_WIDTH, Sampling, sample_elements
from usct.grid import Grid

GRID = Grid.centred((40, 44), 1e-3)


def wave(positions, wavenumber, angle):
    """A plane wave, complex wavenumbers allowed."""
    along = positions @ torch.tensor([math.sin(angle), math.cos(angle)], dtype=torch.float64)
    return torch.exp(-1j * wavenumber * along.to(torch.complex128))


def worst_error(wavenumber, actual):
    positions = TransducerArray.ring(37, 14.3e-3).positions
    sampling = sample_elements(GRID, positions, wavenumber)
    angles = torch.arange(0, 360, 7, dtype=torch.float64).deg2rad().tolist()
    fields = torch.stack([wave(GRID.points().reshape(-1, 2), actual, a) for a in angles], dim=1)
    exact = torch.stack([wave(positions, actual, a) for a in angles], dim=1)
    return float(((sampling.sample(fields) - exact).abs() / exact.abs()).max())


@pytest.mark.parametrize(("points", "most"), [(4, 5e-3), (5, 1e-3), (6, 3e-4), (10, 1e-4), (20, 1e-4)])
def test_plane_waves_are_sampled_exactly(points, most):
    wavenumber = 2 * math.pi / (points * GRID.spacing)
    assert worst_error(wavenumber, wavenumber) < most


@pytest.mark.parametrize("points", [5, 6, 10])
@pytest.mark.parametrize("factor", [1 - 0.005j, 1 - 0.02j, 1.01, 0.99])
def test_waves_of_slightly_other_wavenumber_are_sampled_to_first_order(points, factor):
    wavenumber = 2 * math.pi / (points * GRID.spacing)
    assert worst_error(wavenumber, wavenumber * factor) < 2e-3


def test_sampling_touches_a_small_patch_around_the_element():
    positions = torch.tensor([[3.2e-3, -7.6e-3], [0.0, 0.0]], dtype=torch.float64)
    sampling = sample_elements(GRID, positions, 1000.0)
    assert sampling.nodes.shape == (2, PATCH_WIDTH**2)
    assert sampling.weights.dtype == torch.float64
    at = GRID.points().reshape(-1, 2)[sampling.nodes]
    assert float((at - positions[:, None]).abs().max()) <= PATCH_WIDTH / 2 * GRID.spacing * (1 + 1e-9)
    # Small weights: noise in the field is not magnified.
    assert float(sampling.weights.norm(dim=1).max()) < 1.0


def test_sample_sums_weighted_nodes():
    sampling = Sampling(torch.tensor([[0, 2], [1, 1]]), torch.tensor([[0.5, 2.0], [1.0, -3.0]]).double())
    field = torch.tensor([[1.0 + 1j], [2.0], [3.0]], dtype=torch.complex128)
    assert sampling.sample(field).flatten().tolist() == [6.5 + 0.5j, -4.0 + 0j]


@pytest.mark.parametrize("place", [(-19.5e-3, 0.0), (19.4e-3, 0.0), (0.0, 21.0e-3), (0.0, -30e-3)])
def test_an_element_without_room_for_its_patch_is_refused(place):
    positions = torch.tensor([(0.0, 0.0), place], dtype=torch.float64)
    with pytest.raises(ValueError, match="element 1 .*; use a larger grid"):
        sample_elements(GRID, positions, 1000.0)
