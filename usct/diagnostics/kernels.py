"""Tangent kernels as operators: what one descent step does to the image and to the data.

With the wave Jacobian J (of whitened residuals with respect to log slowness u on an image grid), the derivative
J_theta of the image with respect to the parameters and the optimizer's preconditioner P, everything follows from
one operator and its transpose,

    K = J J_theta P^1/2:    WTK = K K^T    NTK = J_theta P J_theta^T    NSK = J_theta P^1/2 K^T = NTK J^T.

Chen et al. (2026), arXiv 2603.22362, define them for gradient flow, P = 1. K is the derivative that the inversion
itself uses, the medium taken to the wave's grid by the parameterization; `wave` alone takes images there by
interpolation. So K equals J J_theta up to what that interpolation changes.
"""

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import final

import torch
from torch.func import functional_call

from usct.diagnostics.whitening import Whitening
from usct.forward.block_products import BlockProducts
from usct.forward.half_products import HalfProducts
from usct.forward.smooth_products import SmoothProducts
from usct.grid import Grid
from usct.inversion.objective import Point, Tangent
from usct.inversion.tailoring import ImageDerivative

FEW = 4
"""Vectors up to which products with one after the other are faster than with all at once."""

LEAST_CELLS = 8
"""Cells for each spline, below which leaving detail out does not pay."""

WaveProducts = Mapping[int, BlockProducts] | Mapping[int, SmoothProducts] | Mapping[int, HalfProducts]


@final
class TangentKernels:
    """The kernels of a representation at one point of a run, by products alone.

    Data are real vectors: for each frequency the whitened residual, sqrt(weights / n) x difference with n the
    point's number of frequencies, of the entries that count; first all real parts, then all imaginary ones. Half
    the squared norm of `residual` is the point's objective. A kernel of some of the frequencies is the
    corresponding block of the stage's.

    Args:
        point: Where; its linearised waves and its parameterization as it stands are used.
        image: Grid on which images are looked at.
        region: Cells of the image that may change, boolean of image.shape; by default those that the
            parameterization can change. Images are zero outside it.
        preconditioner: Diagonal of P, shape (parameter,), see `preconditioning.adam_preconditioner`; by default one.
        frequencies: Which of the point's frequencies take part; all by default.
        without_constant: Leave out changes of the image that are constant in the region, which may dominate a
            network's kernel: J_theta becomes Q J_theta with Q the projection on images of zero mean.

    Raises:
        ValueError: If a shape or a frequency does not fit, or a preconditioner is negative.
    """

    def __init__(
        self,
        point: Point,
        image: Grid,
        *,
        region: torch.Tensor | None = None,
        preconditioner: torch.Tensor | None = None,
        frequencies: Sequence[int] | None = None,
        without_constant: bool = False,
    ) -> None:
        self.point = point
        self.image = image
        free = point.objective.parameterization.free_cells(image) if region is None else region
        self.region = free.cpu().bool()
        n_frequencies = len(point.residuals)
        self.frequencies = tuple(range(n_frequencies) if frequencies is None else frequencies)
        _check(self, n_frequencies, preconditioner)
        self.preconditioner = preconditioner
        self._root = None if preconditioner is None else preconditioner.double().sqrt()
        self._whitenings = [Whitening.of(point.residuals[n], n_frequencies) for n in self.frequencies]
        self._sizes = [whitening.size for whitening in self._whitenings]
        self._waves = ImageDerivative(point, image, self.region.double())
        self.without_constant = without_constant
        # The constant of unit norm c, what it is made of, P^1/2 J_theta^T c, and its data, J c.
        self._unit = without_constant * self.region.double() / float(self.region.sum()) ** 0.5
        self._makes_unit, self._unit_data = (
            torch.zeros(n, dtype=torch.float64) for n in (self.n_parameters, self.n_data)
        )
        if without_constant:
            self._makes_unit, self._unit_data = self._from_image(self._unit), self.wave(self._unit)

    def at(self, point: Point, without_constant: bool | None = None) -> "TangentKernels":
        """The same kernels at another point of the same objective, or with or without the constant."""
        return TangentKernels(
            point,
            self.image,
            region=self.region,
            preconditioner=self.preconditioner,
            frequencies=self.frequencies,
            without_constant=self.without_constant if without_constant is None else without_constant,
        )

    @property
    def n_data(self) -> int:
        """Number of real data that count."""
        return sum(self._sizes)

    @property
    def n_parameters(self) -> int:
        """Number of parameters."""
        return self.point.parameters.numel()

    def residual(self) -> torch.Tensor:
        """Whitened residual, shape (n_data,)."""
        return self._packed([self.point.residuals[n].difference.cpu() for n in self.frequencies])

    def apply(self, parameters: torch.Tensor) -> torch.Tensor:
        """K: change of the data for scaled parameters, shape (n_parameters,); shape (n_data,)."""
        scaled = self.scaled(parameters).to(self.point.parameters)
        changes = [self.point.change_data(n, self.point.tangent(n).apply(scaled)) for n in self.frequencies]
        return self._packed(changes) - self._outer(parameters, self._makes_unit, self._unit_data)

    def adjoint(self, data: torch.Tensor) -> torch.Tensor:
        """K^T: a step's scaled parameters for data, shape (n_data,); shape (n_parameters,)."""
        total = torch.zeros(self.n_parameters, dtype=torch.float64)
        for number, change in zip(self.frequencies, self._unpacked(data), strict=True):
            pulled = self.point.tangent(number).adjoint(self.point.sensitivity(number, change))
            total += pulled.cpu()
        return self.scaled(total) - self._outer(data, self._unit_data, self._makes_unit)

    def apply_all(self, parameters: torch.Tensor, waves: WaveProducts | None = None) -> torch.Tensor:
        """K of many scaled parameters at once, shape (n, n_parameters); shape (n, n_data).

        Args:
            parameters: A few or many dozen; each costs a fraction of `apply`.
            waves: What to take for the waves' Jacobian, by frequency; by default the exact one.
        """
        if waves is None and 0 < len(parameters) <= FEW:
            return torch.stack([self.apply(one) for one in parameters])
        parts = []
        for number, whitening in zip(self.frequencies, self._whitenings, strict=True):
            tangent, residual = self.point.tangent(number), self.point.residuals[number]
            scaled = self.scaled(parameters).to(self.point.parameters)
            cells = torch.stack([tangent.apply(one).cpu() for one in scaled])
            changes = (waves or self._blocks)[number].apply(cells)
            parts.append(whitening(torch.stack([residual.apply(change) for change in changes])))
        return torch.cat(parts, dim=1) - self._outer(parameters, self._makes_unit, self._unit_data)

    def adjoint_all(self, data: torch.Tensor, waves: WaveProducts | None = None) -> torch.Tensor:
        """K^T of many data at once, shape (n, n_data); shape (n, n_parameters). See `apply_all`."""
        if waves is None and 0 < len(data) <= FEW:
            return torch.stack([self.adjoint(one) for one in data])
        total = torch.zeros(len(data), self.n_parameters, dtype=torch.float64)
        for number, unpacked in zip(self.frequencies, self._unpacked(data), strict=True):
            tangent, blocks = self.point.tangent(number), (waves or self._blocks)[number]
            changes = torch.stack([self.point.residuals[number].adjoint(one) for one in unpacked])
            cells = blocks.adjoint(changes)
            if tangent.value.imag.any():  # where no energy is lost, real parts are all that is asked for
                cells = torch.complex(cells, blocks.adjoint(-1j * changes))
            total += torch.stack([tangent.adjoint(one.to(tangent.value)).cpu() for one in cells])
        return self.scaled(total) - self._outer(data, self._unit_data, self._makes_unit)

    def single(self) -> dict[int, BlockProducts]:
        """The waves' Jacobian to six digits, in half the time where the fields are kept in double precision."""
        return {number: blocks.single() for number, blocks in self._blocks.items()}

    def smooth(self, n_splines: int) -> dict[int, SmoothProducts] | None:
        """The waves' Jacobian for changes that vary slowly, from about so many splines; None if that is no less."""
        found = {}
        for number, blocks in self._blocks.items():
            grid, n_cells = self.point.objective.models[number].padded, len(blocks.rows)
            if n_cells < LEAST_CELLS * n_splines:
                return None
            found[number] = SmoothProducts(blocks, grid, grid.spacing * (n_cells / n_splines) ** 0.5)
        return found

    def halved(self, detail: float) -> dict[int, HalfProducts] | None:
        """The waves' Jacobian for images up to a wavenumber [rad/m], by half of the cells; None if too few."""
        found = {}
        for number, blocks in self._blocks.items():
            objective = self.point.objective
            model, frequency = objective.models[number], float(objective.observed.frequencies[number])
            wave = 2 * math.pi * frequency / model.water_sound_speed
            if not HalfProducts.suffices(model.padded.spacing, wave, detail):
                return None
            found[number] = HalfProducts(blocks, model.padded)
        return found

    def image_of(self, parameters: torch.Tensor) -> torch.Tensor:
        """J_theta P^1/2: relative change of slowness for scaled parameters; shape image.shape."""
        return self._projected(self._image_of(parameters))

    def from_image(self, image: torch.Tensor) -> torch.Tensor:
        """P^1/2 J_theta^T: adjoint of `image_of`, shape (n_parameters,)."""
        return self._from_image(self._projected(image))

    def wave(self, image: torch.Tensor) -> torch.Tensor:
        """J: change of the data for a relative change of slowness, shape image.shape; shape (n_data,)."""
        return self._packed(
            [self.point.change_data(n, self._waves.cells(image, n)) for n in self.frequencies]
        )

    def wave_all(self, images: torch.Tensor) -> torch.Tensor:
        """J of many images at once, shape (n, *image.shape); shape (n, n_data)."""
        if len(images) <= FEW:
            return torch.stack([self.wave(image) for image in images])
        parts = []
        for number, whitening in zip(self.frequencies, self._whitenings, strict=True):
            cells = torch.stack([self._waves.cells(image, number).cpu() for image in images])
            residual = self.point.residuals[number]
            parts.append(
                whitening(torch.stack([residual.apply(c) for c in self._blocks[number].apply(cells)]))
            )
        return torch.cat(parts, dim=1)

    def wave_adjoint(self, data: torch.Tensor) -> torch.Tensor:
        """J^T: the gradient that data make, shape (n_data,); shape image.shape."""
        total = torch.zeros(self.image.shape, dtype=torch.float64)
        for number, change in zip(self.frequencies, self._unpacked(data), strict=True):
            total += self._waves.from_cells(self.point.sensitivity(number, change), number)
        return total

    def ntk(self, image: torch.Tensor) -> torch.Tensor:
        """Neural tangent kernel Theta = J_theta P J_theta^T, from images to images."""
        return self.image_of(self.from_image(image))

    def nsk(self, data: torch.Tensor) -> torch.Tensor:
        """Neural sensitivity kernel Theta J^T: how the image answers data; shape image.shape."""
        return self.image_of(self.adjoint(data))

    def wtk(self, data: torch.Tensor) -> torch.Tensor:
        """Wave tangent kernel J Theta J^T, from data to data, shape (n_data,)."""
        return self.apply(self.adjoint(data))

    def model(self, image: torch.Tensor) -> torch.Tensor:
        """Theta J^T J: how a step answers an error of the image; its spectrum is the wave tangent kernel's."""
        return self.nsk(self.wave(image))

    def scaled(self, parameters: torch.Tensor) -> torch.Tensor:
        """P^1/2: change of the parameters themselves for scaled ones, shape (..., n_parameters)."""
        return parameters if self._root is None else self._root * parameters

    def dense(self) -> torch.Tensor:
        """K as a matrix, shape (n_data, n_parameters); for tiny cases."""
        if self.n_parameters <= self.n_data:
            return self.apply_all(torch.eye(self.n_parameters, dtype=torch.float64)).T
        return self.adjoint_all(torch.eye(self.n_data, dtype=torch.float64))

    def transmit(self) -> torch.Tensor:
        """Number of each datum's transmit, shape (n_data,)."""
        return torch.cat([whitening.kept.nonzero()[:, 0].repeat(2) for whitening in self._whitenings])

    def receive(self) -> torch.Tensor:
        """Number of each datum's receive, shape (n_data,)."""
        return torch.cat([whitening.kept.nonzero()[:, 1].repeat(2) for whitening in self._whitenings])

    def frequency(self) -> torch.Tensor:
        """Number of each datum's frequency among the point's, shape (n_data,)."""
        return torch.tensor(self.frequencies).repeat_interleave(torch.tensor(self._sizes))

    def as_matrix(self, data: torch.Tensor, number: int) -> torch.Tensor:
        """One of the point's frequencies of a data vector, shape (tx, rx), complex; zero where nothing counts."""
        which = self.frequencies.index(number)
        return self._whitenings[which].matrix(data.split(self._sizes)[which])

    def _image_of(self, parameters: torch.Tensor) -> torch.Tensor:
        change = self._image_tangent.apply(self.scaled(parameters).to(self.point.parameters))
        return self.region * change.cpu().double().reshape(self.image.shape)

    def _from_image(self, image: torch.Tensor) -> torch.Tensor:
        cotangent = (self.region * image).reshape(-1).to(self._image_tangent.value)
        return self.scaled(self._image_tangent.adjoint(cotangent).cpu().double())

    @cached_property
    def _blocks(self) -> dict[int, BlockProducts]:
        waves = self.point.linearizations
        return {
            number: BlockProducts.of(waves[number], whitening.kept)
            for number, whitening in zip(self.frequencies, self._whitenings, strict=True)
        }

    @cached_property
    def _image_tangent(self) -> Tangent:
        objective = self.point.objective

        def log_slowness(vector: torch.Tensor) -> torch.Tensor:
            medium = functional_call(objective.parameterization, objective.named(vector), (self.image,))
            return -medium.sound_speed.log().reshape(-1)

        return Tangent(log_slowness, self.point.parameters)

    def _projected(self, image: torch.Tensor) -> torch.Tensor:
        """The image without its mean over the region, where the constant is left out."""
        return image - self._unit * (self._unit * image).sum()

    def _outer(self, vectors: torch.Tensor, seen: torch.Tensor, makes: torch.Tensor) -> torch.Tensor:
        """What a product holds of the constant, shape (..., length of the last)."""
        return (vectors @ seen)[..., None] * makes

    def _packed(self, changes: Sequence[torch.Tensor]) -> torch.Tensor:
        """Whitened real vector of residuals of the frequencies, shape (tx, rx) each."""
        return torch.cat(
            [whitening(change) for whitening, change in zip(self._whitenings, changes, strict=True)]
        )

    def _unpacked(self, data: torch.Tensor) -> list[torch.Tensor]:
        """Adjoint of `_packed` in the weighted inner product, shape (..., tx, rx) each."""
        parts = data.split(self._sizes, dim=-1)
        return [whitening.adjoint(part) for whitening, part in zip(self._whitenings, parts, strict=True)]


def _check(kernels: TangentKernels, n_frequencies: int, preconditioner: torch.Tensor | None) -> None:
    """Refuse what does not fit the point."""
    if tuple(kernels.region.shape) != kernels.image.shape:
        raise ValueError(f"region has shape {tuple(kernels.region.shape)}, the image {kernels.image.shape}")
    if not bool(kernels.region.any()):
        raise ValueError("region must hold at least one cell")
    numbers = kernels.frequencies
    if not numbers or len(set(numbers)) < len(numbers) or not set(numbers) <= set(range(n_frequencies)):
        raise ValueError(f"frequencies must be different numbers below {n_frequencies}, got {numbers}")
    if preconditioner is None:
        return
    if tuple(preconditioner.shape) != (kernels.n_parameters,):
        raise ValueError(
            f"preconditioner has shape {tuple(preconditioner.shape)}, the parameters ({kernels.n_parameters},)"
        )
    if not bool((torch.isfinite(preconditioner) & (preconditioner >= 0)).all()):
        raise ValueError("preconditioner must be finite and must not be negative")
