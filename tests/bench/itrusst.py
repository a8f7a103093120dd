"""Benchmark 4 of the ITRUSST comparison: a focused bowl through a layered skull, against another solver's field.

A bowl of 64 mm aperture and focal length vibrates at 500 kHz in front of flat layers of skin, cortical, trabecular
and cortical bone, and brain. The reference is the amplitude on a plane through the axis, 0.5 mm apart.

    python -m tests.bench.itrusst PH1-BM4-SC1_STRIDE.mat --spacing-mm 0.5 --shift 0.5

References:
    Aubry et al., J. Acoust. Soc. Am. 152 (2022) 1003.
"""

import argparse
import math
import time
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import torch

from tests.bench.bowl_exact import axis_pressure
from usct.acquisition import TransducerArray
from usct.forward.sampling import Sampling
from usct.forward.time_domain.shots import Shots
from usct.forward.time_domain.simulation import Simulation
from usct.grid import Grid, resample
from usct.medium import Medium

FREQUENCY = 500e3
NORMAL_VELOCITY = 0.04
"""Of the bowl [m/s]."""
FOCAL_LENGTH, APERTURE = 64e-3, 64e-3
WATER_DENSITY = 1000.0
SIZE = (120e-3, 70e-3, 70e-3)
"""Along the axis and across it [m]."""
REFERENCE_SPACING = 0.5e-3
NEPER = math.log(10) / 20 * 100
"""One dB/cm [Np/m]."""
LAYERS = (
    (26e-3, 1500.0, 1000.0, 0.0),
    (4e-3, 1610.0, 1090.0, 0.2),
    (1.5e-3, 2800.0, 1850.0, 4.0),
    (4e-3, 2300.0, 1700.0, 8.0),
    (1.0e-3, 2800.0, 1850.0, 4.0),
    (1.0, 1560.0, 1040.0, 0.3),
)
"""Thickness [m], sound speed [m/s], density [kg/m^3] and loss at 500 kHz [dB/cm], from the bowl's apex on."""
NEAR_BOWL = 12e-3
"""Depth up to which the bowl itself is in the plane, and nothing is compared [m]."""


@dataclass(frozen=True)
class Comparison:
    """How far two amplitudes (across, along) are from each other.

    Attributes:
        error: Relative error in the 2-norm beyond the bowl [1].
        brain: The same in the brain alone [1].
        largest: Largest difference relative to the largest amplitude, there [1].
        peak: Relative difference of the largest amplitudes beyond the skull [1].
        position: Distance between the places of these [m].
        length: Difference of the lengths of the focus along the axis, at half the peak, relative to it [1].
        seconds: Of the simulation.
    """

    error: float
    brain: float
    largest: float
    peak: float
    position: float
    length: float
    seconds: float


def layered(grid: Grid) -> Medium:
    """The layers on a grid whose first axis is the bowl's, as usct resamples them from sixteen times finer cells."""
    n = 16 * (grid.shape[0] + 16)
    fine = Grid((n, 2, 2), grid.spacing / 16, (grid.origin[0] - 8 * grid.spacing, 0.0, 0.0))
    depth = fine.origin[0] + fine.spacing * torch.arange(n, dtype=torch.float64)
    ends = torch.tensor([layer[0] for layer in LAYERS[:-1]], dtype=torch.float64).cumsum(0)
    layer = torch.searchsorted(ends, depth)
    _, *values = torch.tensor(LAYERS, dtype=torch.float64).T
    speed, density, loss = (value[layer][:, None, None].expand(fine.shape) for value in values)
    told = Medium(fine, speed, NEPER * loss, density, 1.0, FREQUENCY)
    return told.resampled(grid, band_limited=True)


def bowl(spacing: float) -> tuple[torch.Tensor, float]:
    """Points on the bowl, evenly spread by the golden angle, apex at the origin, and the area of each [m^2]."""
    height = FOCAL_LENGTH - math.sqrt(FOCAL_LENGTH**2 - 0.25 * APERTURE**2)
    area = 2 * math.pi * FOCAL_LENGTH * height
    n = math.ceil(area / (0.7 * spacing) ** 2)
    number = torch.arange(n, dtype=torch.float64)
    depth = height * (number + 0.5) / n
    across = (2 * FOCAL_LENGTH * depth - depth**2).sqrt()
    angle = math.pi * (3 - math.sqrt(5)) * number
    return torch.stack([depth, across * angle.cos(), across * angle.sin()], dim=1), area / n


def amplitude(spacing: float, shift: float = 0.0, duration: float = 130e-6) -> torch.Tensor:
    """Amplitude of the pressure on the plane of the reference, shape (across, along) [Pa].

    Args:
        spacing: Of the grid [m].
        shift: Of the grid along the axis, in cells: at 0 edges of layers fall midway between nodes if the spacing
            divides half a millimetre, at 0.5 on nodes.
        duration: Simulated [s].
    """
    margin = (3.5 + shift) * spacing
    shape = tuple(math.ceil((size + 2 * margin) / spacing) + 1 for size in SIZE)
    across = -0.5 * (shape[1] - 1) * spacing
    grid = Grid(shape, spacing, (-margin, across, across))
    medium = layered(grid)
    points, area = bowl(spacing)
    band = (FREQUENCY, FREQUENCY)
    speeds = (1500.0, 2800.0)
    simulation = Simulation(grid, TransducerArray.of(points), band, speeds, duration=duration).stable_in(
        medium
    )
    every = simulation.drive.every(FREQUENCY)
    kernel = simulation.kernel([FREQUENCY], simulation.n_steps, every)
    plane = torch.zeros(simulation.padded.shape, dtype=torch.bool)
    plane[:, :, simulation.padded.shape[2] // 2 - 1 : simulation.padded.shape[2] // 2 + 1] = True
    cells = plane.reshape(-1).nonzero()[:, 0]
    signal = simulation.drive.signal(simulation.n_steps)[None, None]
    nobody = torch.empty(0, dtype=torch.long)
    shots = Shots(
        _as_one(simulation.sampling(medium)), torch.tensor([[0]]), signal, nobody, cells, kernel, every
    )
    fields = simulation.propagate(simulation.scheme(medium), shots).fields
    assert fields is not None
    sent = simulation.kernel([FREQUENCY], simulation.n_steps) @ signal[0, 0].to(torch.complex128)
    # A baffled face moving at v is a layer of sources i omega rho 2 v; the field advanced is p / sqrt(density).
    strength = 2 * math.pi * FREQUENCY * WATER_DENSITY * 2 * NORMAL_VELOCITY * area
    pressure = strength * fields[0, 0] / sent.to(fields.dtype)
    pressure = pressure.reshape(*simulation.padded.shape[:2], 2).mean(dim=2)
    dense = (simulation.continued(medium.density)[:, :1, 0] / WATER_DENSITY).sqrt()
    plane_grid = Grid(simulation.padded.shape[:2], spacing, simulation.padded.origin[:2])
    return resample((pressure.abs() * dense).double(), plane_grid, reference_grid()).T


def _as_one(sampling: Sampling) -> Sampling:
    """All elements as one, each node once."""
    nodes, place = sampling.nodes.reshape(-1).unique(return_inverse=True)
    weights = torch.zeros(len(nodes), dtype=torch.float64).index_add(0, place, sampling.weights.reshape(-1))
    return Sampling(nodes[None], weights[None])


def reference_grid() -> Grid:
    """Plane of the reference, (along, across)."""
    shape = tuple(round(size / REFERENCE_SPACING) + 1 for size in SIZE[:2])
    return Grid(shape, REFERENCE_SPACING, (0.0, -0.5 * SIZE[1]))


def compare(found: torch.Tensor, expected: torch.Tensor, seconds: float) -> Comparison:
    """Amplitudes (across, along) on the plane of the reference."""
    first = round(NEAR_BOWL / REFERENCE_SPACING)
    behind = round(sum(layer[0] for layer in LAYERS[:-1]) / REFERENCE_SPACING) + 1
    difference = (found - expected)[:, first:]
    foci = [values[:, behind:] for values in (found, expected)]
    peaks = [float(focus.max()) for focus in foci]
    places = [np.array(divmod(int(focus.argmax()), focus.shape[1])) for focus in foci]
    lengths = [
        int((focus[place[0]] > 0.5 * peak).sum())
        for focus, place, peak in zip(foci, places, peaks, strict=True)
    ]
    return Comparison(
        float(difference.norm() / expected[:, first:].norm()),
        float((foci[0] - foci[1]).norm() / foci[1].norm()),
        float(difference.abs().max() / expected[:, first:].max()),
        peaks[0] / peaks[1] - 1,
        REFERENCE_SPACING * float(np.linalg.norm(places[0] - places[1])),
        lengths[0] / lengths[1] - 1,
        seconds,
    )


def exact_on_axis(depths: np.ndarray) -> np.ndarray:
    """Exact amplitude in the water or in the brain [Pa]."""
    layers = [(thickness, speed, density, NEPER * loss) for thickness, speed, density, loss in LAYERS]
    omega = 2 * math.pi * FREQUENCY
    return np.abs(axis_pressure(depths, layers, omega, FOCAL_LENGTH, APERTURE, NORMAL_VELOCITY))


def axis_errors(found: torch.Tensor) -> tuple[float, float]:
    """Relative errors in the 2-norm of an amplitude (across, along) on the axis, before the skull and behind it."""
    behind = round(sum(layer[0] for layer in LAYERS[:-1]) / REFERENCE_SPACING) + 1
    places = (
        range(round(NEAR_BOWL / REFERENCE_SPACING), round(LAYERS[0][0] / REFERENCE_SPACING)),
        range(behind, found.shape[1]),
    )

    def error(place: range) -> float:
        exact = exact_on_axis(REFERENCE_SPACING * np.array(place))
        difference = found[found.shape[0] // 2, place.start : place.stop].numpy() - exact
        return float(np.linalg.norm(difference) / np.linalg.norm(exact))

    return error(places[0]), error(places[1])


def read(path: Path) -> torch.Tensor:
    """The reference's amplitude, shape (across, along) [Pa]."""
    with h5py.File(path) as file:
        return torch.from_numpy(file["p_amp"][()])


def main() -> None:
    """Simulate, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("reference", type=Path)
    parser.add_argument("--spacing-mm", type=float, default=0.5)
    parser.add_argument("--shift", type=float, default=0.0, help="of the grid against the layers, in cells")
    words = parser.parse_args()
    began = time.perf_counter()
    found = amplitude(1e-3 * words.spacing_mm, words.shift)
    reference = read(words.reference)
    print(compare(found, reference, time.perf_counter() - began))  # noqa: T201
    for name, field in (("usct", found), ("the reference", reference)):
        before, behind = axis_errors(field)
        told = f"{100 * before:.1f} % in the water, {100 * behind:.1f} % in the brain"
        print(f"{name} against the exact field on the axis: {told}")  # noqa: T201


if __name__ == "__main__":
    main()
