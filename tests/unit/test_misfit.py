"""Least squares with the weights of transmits and receives eliminated, and which data take part."""

import math

import pytest
import torch

from usct.acquisition import Spectra, TransducerArray
from usct.misfit.selection import select
from usct.misfit.spectra import LeastSquares

KINDS = ("none", "transmit", "both")


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.view_as_complex(torch.randn(*shape, 2, generator=generator, dtype=torch.float64))


def weights(seed: int = 9) -> torch.Tensor:
    kept = torch.rand(6, 7, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.where(kept > 0.2, kept, 0.0)


def test_source_weights_are_the_least_squares_solution():
    predicted, observed, w = draw(6, 7), draw(6, 7, seed=1), weights()
    residual = LeastSquares().residual(predicted, observed, w)
    for row in range(6):
        root = w[row].sqrt()
        best = torch.linalg.lstsq((root * predicted[row])[:, None], (root * observed[row])[:, None]).solution
        assert complex(residual.source[row, 0]) == pytest.approx(complex(best[0, 0]), rel=1e-10)


def test_value_is_half_the_share_of_energy_that_is_left():
    predicted, observed, w = draw(6, 7), draw(6, 7, seed=1), weights()
    residual = LeastSquares("none").residual(predicted, observed, w)
    left = (w * (predicted - observed).abs() ** 2).sum() / (w * observed.abs() ** 2).sum()
    assert residual.value == pytest.approx(0.5 * float(left), rel=1e-12)
    assert torch.allclose(residual.difference, predicted - observed)


@pytest.mark.parametrize(("kind", "has_receive"), [("transmit", False), ("both", True)])
def test_unknown_weights_explain_themselves_away(kind, has_receive):
    predicted = draw(6, 7)
    source, receive = draw(6, 1, seed=3), 1 + 0.1 * draw(1, 7, seed=4)
    observed = source * (receive if has_receive else 1) * predicted
    residual = LeastSquares(kind).residual(predicted, observed, weights())
    assert residual.value < (1e-8 if has_receive else 1e-20)  # alternation ends after a few rounds
    if has_receive:
        assert LeastSquares("transmit").residual(predicted, observed, weights()).value > 1e-4


def test_receive_weights_lower_the_misfit_and_average_to_one():
    predicted, observed, w = draw(6, 7), draw(6, 7, seed=1), weights()
    values = [LeastSquares(kind).residual(predicted, observed, w).value for kind in KINDS]
    assert values == sorted(values, reverse=True)
    receive = LeastSquares("both").residual(predicted, observed, w).receive
    assert complex(receive.mean()) == pytest.approx(1.0)


@pytest.mark.parametrize("kind", KINDS)
def test_adjoint_is_the_adjoint(kind):
    residual = LeastSquares(kind).residual(draw(6, 7), draw(6, 7, seed=1), weights())
    change, other = draw(6, 7, seed=5), draw(6, 7, seed=6)
    there = (residual.weights * residual.apply(change).conj() * other).sum()
    back = (change.conj() * residual.adjoint(other)).sum()
    assert complex(there) == pytest.approx(complex(back), rel=1e-12)


def test_what_source_weights_absorb_is_no_change():
    predicted = draw(6, 7)
    residual = LeastSquares().residual(predicted, draw(6, 7, seed=1), weights())
    scaled = draw(6, 1, seed=2) * predicted
    assert float(residual.apply(scaled).abs().max()) < 1e-12


@pytest.mark.parametrize("kind", ["none", "transmit"])
def test_gradient_through_the_projection_leaves_a_second_order_remainder(kind):
    predicted, observed, w, change = draw(6, 7), draw(6, 7, seed=1), weights(), draw(6, 7, seed=2)
    residual = LeastSquares(kind).residual(predicted, observed, w)
    slope = float((change.conj() * residual.adjoint(residual.difference)).sum().real)
    rests = []
    for h in (1e-2, 5e-3, 2.5e-3):
        ahead = LeastSquares(kind).residual(predicted + h * change, observed, w).value
        rests.append(abs(ahead - residual.value - h * slope))
    assert [math.log2(a / b) for a, b in zip(rests, rests[1:], strict=False)] == pytest.approx(
        [2, 2], abs=0.1
    )


def test_gradient_with_receive_weights_holds_them():
    """Receives' weights are held, so the gradient is that of the transmits' projection at these weights."""
    predicted, observed, w, change = draw(6, 7), draw(6, 7, seed=1), weights(), draw(6, 7, seed=2)
    residual = LeastSquares("both").residual(predicted, observed, w)
    slope = float((change.conj() * residual.adjoint(residual.difference)).sum().real)
    h = 1e-5
    values = [
        LeastSquares().residual(residual.receive * (predicted + s * h * change), observed, w).value
        for s in (1, -1)
    ]
    assert slope == pytest.approx((values[0] - values[1]) / (2 * h), rel=1e-6)


def test_transmits_without_data_or_prediction_count_nothing():
    predicted, observed, w = draw(6, 7), draw(6, 7, seed=1), weights()
    w[2], predicted[4] = 0.0, 0.0
    for kind in KINDS:
        residual = LeastSquares(kind).residual(predicted, observed, w)
        assert math.isfinite(residual.value)
        back = residual.adjoint(residual.difference)
        assert torch.isfinite(torch.view_as_real(back)).all()
        assert float(back[2].abs().max()) == 0


RING = TransducerArray.ring(16, 0.1)


def spectra() -> Spectra:
    return Spectra.of(draw(2, 16, 16), torch.tensor([1e5, 2e5], dtype=torch.float64))


def test_neighbours_are_muted_by_angle():
    kept = select(spectra(), RING, math.radians(50), 0.0)
    near = RING.opening_angles() < math.radians(50)
    assert float(kept.weights[:, near].sum()) == 0
    assert float(kept.weights[:, ~near].min()) == 1
    # The element itself and two neighbours on each side, 22.5 degrees apart.
    assert near.sum(dim=1).unique().tolist() == [5]


def test_largest_values_are_dropped_at_each_frequency():
    data = spectra()
    data.values[0, 0, 8], data.values[1, 3, 11] = 1e6, 1e-9
    kept = select(data, RING, 0.0, 0.1)
    assert kept.weights.sum(dim=(1, 2)).tolist() == [pytest.approx(0.9 * 256, abs=1)] * 2
    assert float(kept.weights[0, 0, 8]) == 0
    assert float(kept.weights[1, 3, 11]) == 1


def test_receivers_of_one_side_can_be_asked_for_alone():
    data, angles = spectra(), RING.opening_angles()
    kept = select(data, RING, 0.5, 0.0, 0.5 * math.pi).weights[0] > 0
    assert torch.equal(kept, (angles >= 0.5) & (angles <= 0.5 * math.pi + 1e-9))
    assert torch.equal(select(data, RING, 0.0, 0.0).weights, data.weights)


def test_undefined_values_of_no_weight_stay_out_of_the_misfit():
    data = spectra()
    values, kept = data.values.clone(), data.weights.clone()
    values[:, 4, 9], kept[:, 4, 9] = math.nan, 0.0
    chosen = select(Spectra(values, data.frequencies, kept), RING, 0.5, 0.0)
    residual = LeastSquares("both").residual(draw(16, 16), chosen.values[0], chosen.weights[0])
    assert math.isfinite(residual.value)
    assert torch.isfinite(torch.view_as_real(residual.adjoint(residual.difference))).all()


def test_nothing_left_is_an_error():
    with pytest.raises(
        ValueError, match=r"no usable data are left at 100 kHz; .*lower misfit.mute_angle_deg"
    ):
        select(spectra(), RING, math.radians(181), 0.0)
    silent = Spectra.of(torch.zeros(1, 16, 16, dtype=torch.complex128), torch.tensor([3e5]))
    with pytest.raises(ValueError, match="no usable data are left at 300 kHz"):
        select(silent, RING, 0.0, 0.0)
