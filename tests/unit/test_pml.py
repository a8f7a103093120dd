"""The coordinate stretching of the absorbing layers."""

import pytest
import torch

from usct.forward.pml import stretching


@pytest.mark.parametrize("n_nodes", [21, 24])
def test_only_the_layers_stretch_and_both_alike(n_nodes):
    factors = stretching(n_nodes, 6, 1e-3, 2e6, 1500.0)
    assert factors.shape == (2 * n_nodes + 1,)
    assert factors.dtype == torch.complex128
    assert torch.equal(factors, factors.flip(0))
    assert torch.equal(factors[1::2][6:-6], torch.ones(n_nodes - 12, dtype=torch.complex128))
    assert (factors.real == 1).all()
    # Loss, for the time factor exp(+i omega t), and more of it the deeper.
    assert (factors[:12].imag < 0).all()
    assert (factors[:13].imag.diff() > 0).all()


@pytest.mark.parametrize(("n_cells", "returned"), [(4, 9.2), (6, 12.0), (30, 16.0)])
def test_a_wave_returns_with_the_amplitude_asked_for(n_cells, returned):
    spacing, omega, speed, n_nodes = 1e-3, 2e6, 1500.0, 100
    factors = stretching(n_nodes, n_cells, spacing, omega, speed)
    decay = -omega / speed * factors.imag * (spacing / 2)
    # From the rim, half a cell beyond the first half node, inwards; down and up again.
    rim = decay[:1] * ((n_cells + 0.5) / n_cells) ** 2
    half = torch.cat([rim, decay[: n_nodes + 1]])
    integral = float((0.5 * (half[1:] + half[:-1])).sum())
    assert 2 * integral == pytest.approx(returned, rel=0.05)


def test_damped_data_stretch_at_their_complex_frequency():
    omega = 2e6 - 3e4j
    plain, damped = stretching(20, 5, 1e-3, omega.real, 1500.0), stretching(20, 5, 1e-3, omega, 1500.0)
    assert torch.allclose((damped - 1) * omega, (plain - 1) * omega.real, rtol=1e-14)


def test_no_layer_leaves_the_coordinates_alone():
    factors = stretching(7, 0, 1e-3, 2e6, 1500.0)
    assert torch.equal(factors, torch.ones(15, dtype=torch.complex128))
