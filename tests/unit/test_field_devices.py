"""Fields on a CUDA device."""

import pytest
import torch

from tests.helpers import random_like, relative_error
from tests.unit.field_cases import OTHER, disturbed, every_field, of_vector, speed
from usct.inversion.objective import Tangent


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@every_field
def test_cuda_equals_cpu(make):
    here, there = disturbed(make()), disturbed(make()).to("cuda")
    assert speed(there, OTHER).is_cuda
    assert relative_error(speed(there, OTHER).cpu(), speed(here, OTHER)) < 1e-12
    tangents = [Tangent(of_vector(field, OTHER), field.vector()) for field in (here, there)]
    change, cotangent = random_like(here.vector().shape, 1, False), random_like((OTHER.n_cells,), 2, False)
    assert relative_error(tangents[1].apply(change).cpu(), tangents[0].apply(change)) < 1e-9
    assert relative_error(tangents[1].adjoint(cotangent).cpu(), tangents[0].adjoint(cotangent)) < 1e-9
