"""Image quality against a known truth."""

import math
from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

from usct.evaluation.regions import eroded, object_mask, speed_on
from usct.evaluation.tissues import score_part
from usct.grid import low_pass
from usct.medium import Medium
from usct.units import ATTENUATION_REFERENCE_FREQUENCY, attenuation_to_db

BREAST_RANGE = (1400.0, 1600.0)
"""Sound speeds between which breast tissue and water lie [m/s]; SSIM and PSNR are relative to its width."""

SKIN_DEPTH = 3e-3
"""Thickness of the outer layer that the interior leaves out [m]."""

RESOLVED_SHARE = 0.9
"""Detail counts as resolvable up to this share of the diffraction limit, half a wavelength: beyond it a ring
sees next to nothing, because receivers beside the transmitter are left out."""

_SSIM_SIGMA = 1.5
_SSIM_WINDOW = 11


@dataclass(frozen=True)
class Scores:
    """How a reconstruction compares with the truth, inside the object; NaN where undefined.

    Attributes:
        rmse: Root-mean-square error [m/s].
        mae: Mean absolute error [m/s].
        bias: Mean of reconstruction minus truth [m/s].
        p95: 95th percentile of the absolute error [m/s].
        rmse_interior: Root-mean-square error of the cells deeper than 3 mm, that is without the skin [m/s].
        ssim: Mean structural similarity [1].
        psnr: Peak signal-to-noise ratio [dB].
        pearson: Correlation coefficient [1].
        n_cells: Number of cells compared.
        n_cells_interior: Number of cells deeper than 3 mm.
        start_rmse: Root-mean-square error of the start model [m/s].
        rmse_resolved: Root-mean-square error in detail that the highest frequency can resolve: image and truth
            are compared without finer detail [m/s].
        rmse_unresolved: What leaving out that detail costs: the truth without it against the truth [m/s].
        rmse_attenuation: Root-mean-square error of the attenuation at the highest frequency of the data, or at 1 MHz
            if that is not given; NaN where the image has none [dB/cm].
        bias_attenuation: Its mean error [dB/cm].
        crosstalk: Correlation of the attenuation's error with the true sound speed: how much of one map is seen in
            the other [1].
    """

    rmse: float
    mae: float
    bias: float
    p95: float
    rmse_interior: float
    ssim: float
    psnr: float
    pearson: float
    n_cells: int
    n_cells_interior: int
    start_rmse: float
    rmse_resolved: float = math.nan
    rmse_unresolved: float = math.nan
    rmse_attenuation: float = math.nan
    bias_attenuation: float = math.nan
    crosstalk: float = math.nan

    def as_dict(self) -> dict[str, float | int | None]:
        """The numbers by name, with None for those that are not finite, because JSON has none such."""
        return {name: value if math.isfinite(value) else None for name, value in asdict(self).items()}

    def rows(self) -> tuple[tuple[str, str], ...]:
        """Label and value with unit, for people; scores that are not finite are left out."""
        table = (
            ("RMSE in the object", self.rmse, "{:.2f} m/s"),
            ("RMSE of the start model", self.start_rmse, "{:.2f} m/s"),
            ("RMSE deeper than 3 mm", self.rmse_interior, "{:.2f} m/s"),
            ("RMSE in resolvable detail", self.rmse_resolved, "{:.2f} m/s"),
            ("Unresolvable detail of the truth", self.rmse_unresolved, "{:.2f} m/s"),
            ("Mean absolute error", self.mae, "{:.2f} m/s"),
            ("Bias", self.bias, "{:+.2f} m/s"),
            ("95th percentile of the error", self.p95, "{:.2f} m/s"),
            ("Structural similarity (SSIM)", self.ssim, "{:.3f}"),
            ("Peak signal-to-noise ratio", self.psnr, "{:.1f} dB"),
            ("Correlation", self.pearson, "{:.4f}"),
            ("RMSE of the attenuation", self.rmse_attenuation, "{:.3f} dB/cm"),
            ("Bias of the attenuation", self.bias_attenuation, "{:+.3f} dB/cm"),
            ("Crosstalk from sound speed", self.crosstalk, "{:+.2f}"),
        )
        return tuple((label, form.format(value)) for label, value, form in table if math.isfinite(value))


def evaluate(
    image: Medium,
    truth: Medium,
    start: Medium | None = None,
    speed_range: tuple[float, float] = BREAST_RANGE,
    highest_frequency: float | None = None,
) -> Scores:
    """Score an image against the truth.

    The image is resampled to the grid of the truth, so that every reconstruction of one phantom is
    compared on the same cells, whatever grid it was made on. All scores are taken inside
    `object_mask(truth)`; the water around the object counts nowhere.

    SSIM uses Gaussian weights of standard deviation 1.5 cells (a window of 11 cells), population
    covariances, and constants from the width of `speed_range`, which is fixed so that scores of different
    phantoms compare; the map is averaged over the mask.

    Args:
        image: The reconstruction.
        truth: The medium that made the data.
        start: The model the reconstruction started from, if its score is wanted.
        speed_range: Lowest and highest sound speed of the dynamic range [m/s].
        highest_frequency: Of the data [Hz]. If given, image and truth are also compared after a low-pass of
            their slowness at RESOLVED_SHARE of the diffraction limit.

    Returns:
        The scores; NaN if the truth holds no object.

    Raises:
        ValueError: If image and truth differ in their number of axes, or `speed_range` is empty.

    References:
        Wang, Bovik, Sheikh & Simoncelli, IEEE Trans. Image Process. 13 (2004) 600, eq. (13) and (17).
    """
    if image.grid.n_dims != truth.grid.n_dims:
        raise ValueError(f"the image has {image.grid.n_dims} axes, the truth {truth.grid.n_dims}")
    width = speed_range[1] - speed_range[0]
    if not width > 0:
        raise ValueError(f"speed_range must run from low to high, got {speed_range}")
    mask = object_mask(truth)
    interior = eroded(mask, SKIN_DEPTH, truth.grid.spacing)
    expected, got = speed_on(truth.grid, truth), speed_on(truth.grid, image)
    inside = mask.numpy()
    whole = score_part("object", got, expected, inside)
    coarse = _resolvable(got, expected, inside, truth.grid.spacing, highest_frequency)
    lost = _attenuation_scores(image, truth, mask, highest_frequency or ATTENUATION_REFERENCE_FREQUENCY)
    return Scores(
        rmse=whole.rmse,
        mae=whole.mae,
        bias=whole.bias,
        p95=float(np.percentile(np.abs(got - expected)[inside], 95)) if whole.n_cells else math.nan,
        rmse_interior=_root_mean_square((got - expected)[interior.numpy()]),
        ssim=_ssim(got, expected, inside, width),
        psnr=math.inf if whole.rmse == 0 else 20 * math.log10(width / whole.rmse),
        pearson=_correlation(got[inside], expected[inside]),
        n_cells=whole.n_cells,
        n_cells_interior=int(interior.sum()),
        start_rmse=math.nan
        if start is None
        else _root_mean_square((speed_on(truth.grid, start) - expected)[inside]),
        rmse_resolved=coarse[0],
        rmse_unresolved=coarse[1],
        **lost,
    )


def _resolvable(
    got: NDArray[np.float64],
    expected: NDArray[np.float64],
    inside: NDArray[np.bool_],
    spacing: float,
    highest_frequency: float | None,
) -> tuple[float, float]:
    """Error in detail that a frequency can resolve, and what leaving out the rest costs the truth; NaN without one."""
    if highest_frequency is None:
        return math.nan, math.nan
    cutoff = RESOLVED_SHARE * 4 * math.pi * highest_frequency / float(expected.flat[0])
    coarse, coarse_truth = (_without_fine_detail(v, spacing, cutoff) for v in (got, expected))
    return _root_mean_square((coarse - coarse_truth)[inside]), _root_mean_square(
        (coarse_truth - expected)[inside]
    )


def _attenuation_scores(
    image: Medium, truth: Medium, mask: torch.Tensor, frequency: float
) -> dict[str, float]:
    """Scores of the attenuation at a frequency [Hz], none where the image has no such map."""
    if image.attenuation is None:
        return {}
    got, expected = (m.resampled(truth.grid).attenuation_at(frequency).cpu().double() for m in (image, truth))
    inside = mask.numpy()
    error = attenuation_to_db(1.0) * (got.detach() - expected).numpy()[inside]
    return {
        "rmse_attenuation": _root_mean_square(error),
        "bias_attenuation": float(error.mean()) if error.size else math.nan,
        "crosstalk": _correlation(error, speed_on(truth.grid, truth)[inside]),
    }


def _without_fine_detail(speed: NDArray[np.float64], spacing: float, cutoff: float) -> NDArray[np.float64]:
    """Sound speed without the wavenumbers of its slowness beyond a cutoff [rad/m]."""
    slowness = torch.from_numpy(1.0 / speed)
    water = float(slowness.flatten()[0])
    return (1.0 / (water + low_pass(slowness - water, spacing, cutoff))).numpy()


def _root_mean_square(error: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(error**2))) if error.size else math.nan


def _ssim(
    got: NDArray[np.float64], expected: NDArray[np.float64], inside: NDArray[np.bool_], width: float
) -> float:
    """Mean over the mask of the SSIM map; NaN if the mask is empty or the grid smaller than the window."""
    if not inside.any() or min(expected.shape) < _SSIM_WINDOW:
        return math.nan
    _, similarity = structural_similarity(
        expected,
        got,
        data_range=width,
        gaussian_weights=True,
        sigma=_SSIM_SIGMA,
        use_sample_covariance=False,
        full=True,
    )
    return float(similarity[inside].mean())


def _correlation(got: NDArray[np.float64], expected: NDArray[np.float64]) -> float:
    """Pearson's correlation; NaN if either side is constant."""
    if got.size < 2 or np.ptp(got) == 0 or np.ptp(expected) == 0:
        return math.nan
    return float(torch.corrcoef(torch.from_numpy(np.stack([got, expected])))[0, 1])
