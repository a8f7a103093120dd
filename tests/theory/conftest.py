"""Rings of three sizes, each linearised once."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import pytest
import torch

from tests.theory.ring import Ring, dense, derivative, point
from usct.inversion.objective import Point
from usct.inversion.tailoring import ImageDerivative


@dataclass(frozen=True)
class Linearized:
    """A ring, and the objective where it stands in water."""

    ring: Ring
    point: Point

    @cached_property
    def derivative(self) -> ImageDerivative:
        return derivative(self.ring, self.point)

    @cached_property
    def jacobian(self) -> torch.Tensor:
        """Of the first frequency, shape (2 tx rx, cell of the region)."""
        return dense(self.point)

    @cached_property
    def hessian(self) -> torch.Tensor:
        """J^H J of the first frequency, shape (cell, cell)."""
        return self.jacobian.T @ self.jacobian

    def image(self, cells: torch.Tensor) -> torch.Tensor:
        """An image that is zero outside the region."""
        return torch.zeros(self.ring.image.shape, dtype=torch.float64).masked_scatter(self.ring.region, cells)


def linearized(ring: Ring) -> Linearized:
    return Linearized(ring, point(ring))


@pytest.fixture(scope="session")
def wide() -> Linearized:
    """Large enough for the formulas, which hold for objects of many wavelengths."""
    return linearized(Ring.of(30.0, 64))


@pytest.fixture(scope="session")
def middling() -> Linearized:
    """Large enough for spectra, small enough for dense matrices."""
    return linearized(Ring.of(24.0, 52))


@pytest.fixture(scope="session")
def small() -> Linearized:
    """For dense kernels of networks."""
    return linearized(Ring.of(14.0, 32))


@pytest.fixture(scope="module", autouse=True)
def single_thread() -> Iterator[None]:
    """Thousands of Fourier transforms of tiny images: handing them to threads takes longer than doing them."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
