"""Kernels of a point on another device: products cross over, results are on the CPU."""

import pytest
import torch

from tests.diagnostics.conftest import ARRAY, FORMS, IMAGE, WATER, WAVES, observed
from tests.helpers import random_like, relative_error
from tests.other_device import second_device
from usct.diagnostics.eigen import top_eigenpairs
from usct.diagnostics.kernels import TangentKernels
from usct.forward.helmholtz import Helmholtz
from usct.inversion.objective import Objective
from usct.misfit.spectra import LeastSquares


@pytest.mark.parametrize("name", ["pixel", "tailored", "siren"])
def test_kernels_are_the_same_there(point_of, name):
    here = TangentKernels(point_of(name), IMAGE)
    pairs = top_eigenpairs(here, 3)
    with second_device() as device:
        form = FORMS[name]().to(device)
        models = tuple(Helmholtz(grid, ARRAY, (1450.0, 1580.0), WATER, 6, device=device) for grid in WAVES)
        objective = Objective(models, observed(), LeastSquares("transmit"), form)
        there = TangentKernels(objective.at(form.vector()), IMAGE)
        change, data = random_like((here.n_parameters,), 1, False), random_like((here.n_data,), 2, False)
        results = there.apply(change), there.adjoint(data), top_eigenpairs(there, 3).values
    for result, expected in zip(results, (here.apply(change), here.adjoint(data), pairs.values), strict=True):
        assert result.device.type == "cpu"
        # The siren's arithmetic is in double precision here, the stored fields are in single.
        assert relative_error(result, expected) < 1e-5
    assert torch.isfinite(results[2]).all()
