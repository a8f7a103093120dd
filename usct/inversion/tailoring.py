"""What the data of a stage tell about each spatial wavenumber, by empirical Bayes, without a truth.

The residual r = J e + n holds the missing change e of the image and noise n. In Fourier space J^H J is nearly
diagonal with symbol h, which a random probe measures with one product. If the coefficients of e have variance S,
those of the gradient J^H r have variance h (h S + noise). The S that makes a band's coefficients most probable is
what noise does not explain of them (type-II likelihood; MacKay, Neural Comput. 4 (1992) 415). Bands in which noise
explains everything get S = 0: they stay closed.
"""

import math
from dataclasses import dataclass

import torch
from scipy.ndimage import distance_transform_edt
from torch.func import vjp

from usct.grid import Grid, resample
from usct.inversion.objective import Point
from usct.parameterization.spectrum import EDGE, RadialSpectrum, Tailoring, lattice_wavenumbers

N_BANDS = 24
N_PROBES = 1
LEAST_GAIN = 1e-4
"""Bands with less than this share of the largest gain are not seen."""

LEAST_FREEDOM = 0.05
"""Share of the data that always counts as free to show noise."""

TRUST = 0.07
"""Width of the wavenumbers to be trusted, as a share of the cutoff, while nothing of the data is explained yet; it is
inverse to the share of the amplitude that is left."""

LEAST_PAIRS = 100
"""Pairs of elements used both ways that are needed to tell the noise."""

UNEXPLAINED = 0.3
"""Share of the misfit that counts as noise at most beyond what reciprocity shows: the rest is still to be explained."""

LEAST_ENVELOPE = 0.3
"""Standard deviation expected where only water is seen, as a share of that in tissue."""

SATURATION = 0.3
"""Local departure from water, as a share of the typical one, that counts as tissue."""

LEAST_DEPARTURE = 1e-3
"""Relative change of slowness below which an image is taken to show nothing yet."""


class ImageDerivative:
    """Derivative of the residuals with respect to log slowness on an image grid, whatever parameterizes it.

    Args:
        point: Where; its linearised waves are used.
        image: Grid of the image.
        window: Share of a change that counts, shape image.shape.
    """

    def __init__(self, point: Point, image: Grid, window: torch.Tensor) -> None:
        self.point = point
        self.image = image
        self.window = window
        nothing = torch.zeros(image.shape, dtype=torch.float64)
        self._pulls = [vjp(lambda u, n=n: self.cells(u, n), nothing)[1] for n in range(len(point.residuals))]

    def apply(self, change: torch.Tensor) -> list[torch.Tensor]:
        """Changes of the residuals, shape (tx, rx) each, for a relative change of slowness, shape image.shape."""
        return [self.point.change_data(n, self.cells(change, n)) for n in range(len(self.point.residuals))]

    def adjoint(self, changes: list[torch.Tensor]) -> torch.Tensor:
        """Adjoint of `apply` in the weighted inner product, averaged over frequencies, shape image.shape."""
        total = torch.zeros(self.image.shape, dtype=torch.float64)
        for number, change in enumerate(changes):
            total += self.from_cells(self.point.sensitivity(number, change), number)
        return total / len(changes)

    def gradient(self) -> torch.Tensor:
        """Gradient of the objective, shape image.shape."""
        return self.adjoint([residual.difference for residual in self.point.residuals])

    def curvature(self, change: torch.Tensor) -> torch.Tensor:
        """Gauss-Newton product, shape image.shape."""
        return self.adjoint(self.apply(change))

    def cells(self, change: torch.Tensor, number: int) -> torch.Tensor:
        """Change of the squared slowness of a frequency's cells: twice the relative change of slowness."""
        model = self.point.objective.models[number]
        on_grid = resample(self.window * change, self.image, model.grid)
        padded = torch.nn.functional.pad(on_grid[None], (model.pml_cells,) * 4, mode="replicate")[0]
        squared = self.point.cells(number)
        return 2 * squared * padded.reshape(-1)[self.point.linearizations[number].cells].to(squared.device)

    def from_cells(self, sensitivity: torch.Tensor, number: int) -> torch.Tensor:
        """Adjoint of `cells`, real part, shape image.shape."""
        return self._pulls[number](sensitivity.to(self.point.cells(number).device))[0]


@dataclass(frozen=True)
class BandSpectra:
    """Gain and gradient in rings of wavenumbers.

    Attributes:
        centres: Shape (band,) [rad/m].
        gain: Symbol h of J^H J, shape (band,).
        energy: Energy of the tapered gradient, shape (band,).
        n_modes: Number of independent real coefficients that the taper leaves, shape (band,).
        cover: Energy that the taper leaves of a stationary field inside the region [1].
    """

    centres: torch.Tensor
    gain: torch.Tensor
    energy: torch.Tensor
    n_modes: torch.Tensor
    cover: float


def measure(
    point: Point,
    image: Grid,
    region: torch.Tensor,
    envelope: torch.Tensor,
    cutoff: float,
    seed: int,
    unfitted: torch.Tensor | None = None,
    freedom: torch.Tensor | None = None,
) -> tuple[Tailoring, torch.Tensor]:
    """Measure what the data say about the change that the image still lacks.

    Args:
        point: Where the inversion stands.
        image: Grid of the image.
        region: Where the image may change, boolean of image.shape.
        envelope: Where change is expected, see `expected_envelope`, shape image.shape.
        cutoff: Highest object wavenumber to admit [rad/m].
        seed: Of the random probes.
        unfitted: Share of each band's coefficients that no earlier step fitted to these data; None for all.
        freedom: How far each cell may change as a share of what others may, shape image.shape: what is measured is the
            change over it. None for all alike.

    Returns:
        The tailoring, and what will be unfitted after a step with it.
    """
    derivative = ImageDerivative(point, image, region.double() if freedom is None else region * freedom)
    highest = (1 + 0.5 * EDGE) * cutoff  # room to interpolate the edge
    bands = band_spectra(derivative, region, highest, seed)
    n_data = sum(2 * int((residual.weights > 0).sum()) for residual in point.residuals)
    unfitted = torch.ones_like(bands.centres) if unfitted is None else unfitted
    weight = tapering(region).square()
    share = float((weight * envelope.square()).sum() / weight.sum())
    n_fitted = share / bands.cover * float((bands.n_modes * (1 - unfitted)).sum())
    misfit = 2 * point.value / max(n_data - n_fitted, LEAST_FREEDOM * n_data)
    noise = noise_variance(point, misfit, float(_found(bands)[bands.centres < cutoff].min()))
    # A cosine edge: a sharp one would ring.
    passed = 0.5 - 0.5 * torch.cos(math.pi * ((1 - bands.centres / cutoff) / EDGE).clamp(0, 1))
    # As long as waves are off by much, they are about to skip cycles, and only the coarse part of a step can be right.
    off = 2 * point.value * (1 - noise / max(misfit, 1e-300))  # what noise explains is no sign of it
    reach = TRUST * cutoff / math.sqrt(max(off, 1e-30))
    passed = passed * torch.exp(-0.5 * (bands.centres / reach).square())
    prior = passed * _prior(bands, noise)
    unfitted = unfitted * noise / (bands.gain * prior + noise)
    tailoring = Tailoring(
        RadialSpectrum(bands.centres, share * bands.gain),
        _cut(bands.centres, prior / share, highest),
        noise,
        envelope,
        admitted=_cut(bands.centres, passed, highest),
    )
    return tailoring, unfitted


def expected_envelope(image: torch.Tensor, spacing: float, water: float, width: float) -> torch.Tensor:
    """Where change is expected: where there is something else than water, seen through a smooth window.

    Args:
        image: Sound speed [m/s].
        spacing: Of its grid [m].
        water: Sound speed of the water [m/s].
        width: Of the window [m]; a wavelength.

    Returns:
        Values from `LEAST_ENVELOPE` in water to one in tissue, shape of the image; one everywhere as long as
        nothing is seen.
    """
    departure = (torch.log(water / image)).square()
    wavenumbers = lattice_wavenumbers(tuple(image.shape), spacing)
    smooth = torch.exp(-0.5 * (0.5 * width * wavenumbers) ** 2)
    local = torch.fft.irfft2(torch.fft.rfft2(departure) * smooth, s=image.shape).clamp(min=0).sqrt()
    typical = float((departure.square().sum() / departure.sum().clamp(min=1e-300)).sqrt())
    if typical < LEAST_DEPARTURE:
        return torch.ones_like(local)
    return LEAST_ENVELOPE + (1 - LEAST_ENVELOPE) * (local / (SATURATION * typical)).clamp(max=1)


def band_spectra(
    derivative: ImageDerivative, region: torch.Tensor, cutoff: float, seed: int, n_probes: int = N_PROBES
) -> BandSpectra:
    """Measure the gain by random probes of all bands at once, and the gradient's energy in each.

    Cross terms between bands vanish on average, so a product with white noise measures every band.
    """
    image = derivative.image
    taper = tapering(region)
    widest = 2 * math.pi / (image.spacing * math.sqrt(float(region.sum()) * 4 / math.pi))
    n_bands = max(3, min(N_BANDS, int(cutoff / (1.5 * widest))))
    wavenumbers = lattice_wavenumbers(image.shape, image.spacing)
    width = cutoff / n_bands
    index = (wavenumbers / width).long()
    index[wavenumbers >= cutoff] = n_bands
    double = torch.full((wavenumbers.shape[-1],), 2.0, dtype=torch.float64)
    double[0] = 1.0  # a real transform keeps one of each conjugate pair

    def energies(values: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
        spectrum = torch.fft.rfft2(values, norm="ortho").conj() * torch.fft.rfft2(others, norm="ortho")
        sums = torch.zeros(n_bands + 1, dtype=torch.float64)
        return sums.index_add_(0, index.reshape(-1), (double * spectrum.real).reshape(-1))[:-1]

    generator = torch.Generator().manual_seed(seed)
    above = below = torch.zeros(n_bands, dtype=torch.float64)
    passed = wavenumbers < cutoff
    for _ in range(n_probes):
        noise = torch.randn(image.shape, generator=generator, dtype=torch.float64)
        probe = taper * torch.fft.irfft2(torch.fft.rfft2(noise) * passed, s=image.shape)
        above = above + energies(probe, derivative.curvature(probe))
        below = below + energies(probe, probe)
    counts = torch.zeros(n_bands + 1, dtype=torch.float64)
    counts.index_add_(0, index.reshape(-1), double.expand_as(wavenumbers).reshape(-1))
    gradient = taper * derivative.gradient()
    cover = float(taper.square().sum()) / float(region.sum())
    return BandSpectra(
        width * (torch.arange(n_bands, dtype=torch.float64) + 0.5),
        (above / below).clamp(min=0),
        energies(gradient, gradient),
        counts[:-1] * float(taper.square().mean()),
        cover,
    )


def tapering(region: torch.Tensor) -> torch.Tensor:
    """Smooth window inside a region, from one in its middle to zero at its rim."""
    depth = torch.from_numpy(distance_transform_edt(region.numpy()))
    return torch.sin(0.5 * math.pi * (depth / (0.75 * depth.max().clamp(min=1))).clamp(max=1)) ** 2


def noise_variance(point: Point, misfit: float, weakest: float = math.inf) -> float:
    """Variance of the noise in one real datum, model errors included.

    What a datum is off by is an upper limit, and so is what the weakest bands of the image hold: model errors that
    no image explains raise the misfit, but do not stand in the way of one. Both fall from update to update, so that
    bands open when the image has become good enough for them to matter. Where pairs of elements were used both
    ways, what differs between the two is noise for certain.

    Args:
        point: Where the inversion stands.
        misfit: Mean square of a real datum's residual, per degree of freedom that is left.
        weakest: Variance that the weakest bands show, if they are known.
    """
    certain = reciprocity_noise(point)
    if certain is None:
        return min(misfit, weakest)
    return min(misfit, max(certain, min(UNEXPLAINED * misfit, weakest)))


def reciprocity_noise(point: Point) -> float | None:
    """Variance of one real datum from pairs of elements that were used both ways; None if there are too few.

    Predictions are symmetric, so that the difference between the residuals of a pair's two directions, each over
    its own source and receive weight, holds nothing of the medium.
    """
    total, count = 0.0, 0
    for residual, linearized in zip(point.residuals, point.linearizations, strict=True):
        array = linearized.array
        n = len(array.positions)
        where = (array.transmits[:, None], array.receives[None, :])
        gain = (residual.source * residual.receive).cpu()
        scale = torch.zeros(n, n, dtype=torch.float64).index_put_(where, gain.abs().square().double())
        usable = (scale > 0).index_put_(where, (residual.weights > 0).cpu() & (gain.abs() > 0))
        ratio = torch.where(gain.abs() > 0, residual.difference.cpu() / gain, 0)
        rest = torch.zeros(n, n, dtype=gain.dtype).index_put_(where, ratio)
        weight = torch.zeros(n, n, dtype=torch.float64).index_put_(where, residual.weights.cpu().double())
        both = (usable & usable.T).triu(1)
        spread = 1 / scale[both] + 1 / scale.T[both]
        energy = (rest - rest.T)[both].abs().square() / spread
        total += float((0.5 * (weight + weight.T)[both] * energy).sum())
        count += int(both.sum())
    # The objective averages over frequencies; a complex datum is two real ones.
    return 0.5 * total / count / len(point.residuals) if count >= LEAST_PAIRS else None


def _found(bands: BandSpectra) -> torch.Tensor:
    """Variance of noise that would explain what each band holds, shape (band,); infinite where nothing is seen."""
    seen = bands.gain > LEAST_GAIN * bands.gain.max()
    return torch.where(seen, bands.energy / (bands.n_modes * bands.gain), math.inf)


def _prior(bands: BandSpectra, noise: float) -> torch.Tensor:
    """Likeliest variance of the missing change in each band: what noise does not explain."""
    found = _found(bands)
    return torch.where(found < math.inf, (found - noise).clamp(min=0) / bands.gain, 0.0)


def _cut(centres: torch.Tensor, values: torch.Tensor, cutoff: float) -> RadialSpectrum:
    """A spectrum that falls to zero at the cutoff."""
    end = torch.tensor([cutoff], dtype=torch.float64)
    return RadialSpectrum(torch.cat([centres, end]), torch.cat([values, torch.zeros(1, dtype=torch.float64)]))
