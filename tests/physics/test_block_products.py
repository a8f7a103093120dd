"""Products with many vectors at once against the same with one, compiled and not, and smooth ones against exact."""

import math

import numpy as np
import pytest
import torch

from tests.helpers import assert_adjoint, random_like, relative_error
from tests.physics.test_linearized import FREQUENCY, model_of, region, rough_medium
from usct.acquisition import TransducerArray
from usct.forward.block_products import BlockProducts
from usct.forward.helmholtz import Helmholtz
from usct.forward.smooth_products import SmoothProducts
from usct.forward.thinning import chessboard, every_other
from usct.grid import Grid
from usct.medium import Medium


@pytest.fixture(params=["compiled", "plain"])
def executor(request, monkeypatch) -> str:
    if request.param == "plain":
        monkeypatch.setattr("usct.forward.block_products.compiled_code_runs", lambda: False)
    else:
        pytest.importorskip("numba", reason="the compiled executor needs numba")
    return request.param


def counts(shape: tuple[int, int]) -> torch.Tensor:
    """Most of the data, one transmit not at all."""
    kept = random_like(shape, 3, False) > -0.8
    kept[1] = False
    return kept


@pytest.mark.usefixtures("executor")
@pytest.mark.parametrize("storage", [torch.complex128, torch.complex64])
def test_many_at_once_are_the_same_as_one_by_one(storage):
    """An element transmits twice, another sends to itself, and some pairs do not count."""
    linearized = model_of(storage=storage).linearize(rough_medium(), FREQUENCY, region())
    kept = counts(tuple(linearized.data.shape))
    products = BlockProducts.of(linearized, kept)
    tolerance = 1e-12 if storage == torch.complex128 else 1e-5
    for is_complex in (False, True):
        changes = random_like((5, len(linearized.cells)), 1, is_complex)
        one_by_one = torch.stack([linearized.apply(change) for change in changes])
        assert relative_error(products.apply(changes)[:, kept], one_by_one[:, kept]) < tolerance
    residuals = random_like((5, *kept.shape), 2, True) * kept
    one_by_one = torch.stack([linearized.adjoint(residual).real for residual in residuals])
    assert relative_error(products.adjoint(residuals), one_by_one) < tolerance


@pytest.mark.usefixtures("executor")
def test_single_precision_is_right_to_six_digits():
    """Of fields that are kept in double precision, and adjoint to the same."""
    linearized = model_of().linearize(rough_medium(), FREQUENCY, region())
    kept = counts(tuple(linearized.data.shape))
    products = BlockProducts.of(linearized, kept)
    single = products.single()
    changes, residuals = (
        random_like((3, len(linearized.cells)), 1, False),
        random_like((3, *kept.shape), 2, True) * kept,
    )
    for found, exact in (
        (single.apply(changes)[:, kept], products.apply(changes)[:, kept]),
        (single.adjoint(residuals), products.adjoint(residuals)),
    ):
        assert 0 < relative_error(found, exact) < 1e-6


@pytest.mark.usefixtures("executor")
def test_some_cells_alone():
    linearized = model_of().linearize(rough_medium(), FREQUENCY, region())
    kept = counts(tuple(linearized.data.shape))
    rows = torch.arange(len(linearized.cells))[::3]
    products = BlockProducts.of(linearized, kept)
    changes = random_like((2, len(linearized.cells)), 1, False)
    changes[:, torch.arange(changes.shape[1]) % 3 > 0] = 0
    assert relative_error(products.some(rows).apply(changes[:, rows]), products.apply(changes)) < 1e-12
    residuals = random_like((2, *kept.shape), 2, True) * kept
    adjoint = products.adjoint(residuals)[:, rows]
    assert relative_error(products.some(rows).adjoint(residuals), adjoint) < 1e-12


@pytest.mark.usefixtures("executor")
def test_nothing_that_counts_changes_nothing():
    linearized = model_of().linearize(rough_medium(), FREQUENCY, region())
    kept = torch.zeros(linearized.data.shape, dtype=torch.bool)
    products = BlockProducts.of(linearized, kept)
    assert float(products.apply(random_like((2, len(linearized.cells)), 1, False)).abs().max()) == 0
    assert float(products.adjoint(torch.zeros(2, *kept.shape, dtype=torch.complex128)).abs().max()) == 0


@pytest.fixture(scope="module")
def ring():
    """A ring about a disc of six wavelengths and 72 cells, in which changes may be smooth."""
    grid = Grid.covering(25e-3, 0.5e-3)
    array = TransducerArray.ring(24, 23e-3)
    model = Helmholtz(grid, array, (1450.0, 1560.0), pml_cells=8)
    linearized = model.linearize(Medium.homogeneous(grid, 1500.0), 260e3, grid.disc(18e-3))
    return model, BlockProducts.of(linearized, array.opening_angles() > 0.5)


def plane_waves(ring, wavenumber: float) -> torch.Tensor:
    """Waves of one wavenumber [rad/m] in several directions, one a row."""
    model, products = ring
    points = model.padded.points().reshape(-1, 2)[products.linearized.cells]
    angles = torch.arange(6, dtype=torch.float64) + 0.3
    return torch.cos(wavenumber * points @ torch.stack([angles.cos(), angles.sin()]))


def test_smooth_changes_are_seen_by_few_splines(ring):
    """By a fraction of the cells, within two thousandths."""
    model, products = ring
    smooth, waves = SmoothProducts(products, model.padded, 4e-3), plane_waves(ring, 150.0).T
    assert relative_error(smooth.apply(waves), products.apply(waves)) < 0.002
    data = products.apply(waves)
    seen, exact = (some.adjoint(data) @ waves.T for some in (smooth, products))
    assert relative_error(seen, exact) < 0.002


@pytest.mark.parametrize(("thin", "share", "most"), [(every_other, 4, 0.5), (chessboard, 2, 0.67)])
def test_some_cells_stand_for_all_and_the_rim_spoils_nothing(ring, thin, share, most):
    """Waves that end at the rim at full height, within 3 thousandths; the coarse lattice alone is off by 3 to 6 %."""
    model, products = ring
    weights = torch.from_numpy(thin(products.linearized.cells.numpy(), model.padded.shape))
    assert float((weights > 0).double().mean()) < most
    assert float(weights.max()) == pytest.approx(share)
    waves = plane_waves(ring, 700.0).T
    exact = products.apply(waves)
    assert relative_error(products.apply(weights * waves), exact) < 0.003
    y, x = np.divmod(products.linearized.cells.numpy(), model.padded.shape[1])
    lattice = (y % 2 == 0) & (x % 2 == 0) if share == 4 else (y + x) % 2 == 0
    assert relative_error(products.apply(share * torch.from_numpy(lattice) * waves), exact) > 0.025


def test_smooth_products_are_adjoint_and_blind_to_detail(ring):
    """Waves of twice the wavenumber that the splines resolve are detail, if they fade before the rim."""
    model, products = ring
    smooth = SmoothProducts(products, model.padded, 4e-3)
    kept = (model.array.opening_angles() > 0.5).double()
    rough = random_like((3, len(products.rows)), 5, False)
    residuals = random_like((3, 24, 24), 6, True) * kept
    # In single precision.
    assert_adjoint(smooth.apply, smooth.adjoint, rough, residuals, 1e-6, real=True)
    points = model.padded.points().reshape(-1, 2)[products.linearized.cells]
    fading = torch.exp(-0.5 * points.square().sum(dim=1) / 5e-3**2)
    detail = fading * plane_waves(ring, 2 * math.pi / 4e-3).T
    assert float(smooth.apply(detail).norm()) < 0.05 * float(products.apply(detail).norm())
