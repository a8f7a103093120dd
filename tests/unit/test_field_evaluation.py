"""How fields are evaluated: in strips of points, which must not be seen in what comes out."""

import pytest
import torch

from tests.helpers import random_like, relative_error
from tests.unit.field_cases import GRID, disturbed, every_network, of_vector
from usct.parameterization import network


@every_network
@pytest.mark.parametrize("strip", [7, 100])
def test_strips_of_points_change_nothing(make, strip, monkeypatch):
    def found() -> list[torch.Tensor]:
        field = disturbed(make())
        values, pull, *_ = torch.func.vjp(of_vector(field, GRID), field.vector())
        cotangent = random_like(values.shape, 1, False)
        gradient, push, *_ = torch.func.vjp(lambda c: pull(c)[0], cotangent)
        return [values, gradient, push(random_like(gradient.shape, 2, False))[0]]

    whole = found()
    monkeypatch.setattr(network, "STRIP", strip)
    for one, other in zip(whole, found(), strict=True):
        assert relative_error(other, one) < 1e-12
