"""Made-up phantoms, and reconstructions that are blurred truths: cheap, and with errors that are known."""

import numpy as np
import torch
from scipy import ndimage

from usct.grid import Grid
from usct.medium import Medium
from usct.phantom import Phantom
from usct.reconstruction import Reconstruction, Record, Status

GRID = Grid.centred((101, 101), 1e-3)
TISSUES = ("water", "skin", "fat", "gland", "cyst", "malignant")
SPEEDS = (1500.0, 1555.0, 1440.0, 1520.0, 1555.0, 1580.0)


def make_phantom(seed: int) -> Phantom:
    """A round breast: skin, fat, gland, and one lesion in the gland, cysts and malignant ones by turns."""
    rng = np.random.default_rng(seed)
    labels = torch.zeros(GRID.shape, dtype=torch.int16)
    radius = rng.uniform(38e-3, 44e-3)
    for label, share in ((1, 1.0), (2, 1 - 2e-3 / radius), (3, rng.uniform(0.66, 0.82))):
        labels[GRID.disc(share * radius)] = label
    angle = rng.uniform(0, 2 * np.pi)
    centre = (12e-3 * np.sin(angle), 12e-3 * np.cos(angle))
    labels[GRID.disc(rng.uniform(5e-3, 7e-3), centre)] = 4 + seed % 2
    speeds = torch.tensor(
        [c + (rng.normal(0, 8.0) if c > 1500 else 0.0) for c in SPEEDS], dtype=torch.float64
    )
    provenance = {"recipe": "round", "seed": str(seed), "tissue_preset": "park2023"}
    return Phantom(Medium(GRID, speeds[labels.long()]), labels, TISSUES, f"round {seed}", provenance)


def blurred(phantom: Phantom, sigma: float) -> np.ndarray:
    """The truth after a Gaussian blur of a standard deviation [m]."""
    return ndimage.gaussian_filter(phantom.medium.sound_speed.numpy(), sigma / GRID.spacing)


def make_result(phantom: Phantom, sigma: float, error: float = 0.0, seed: int = 0) -> Reconstruction:
    """A blurred truth with smooth noise of 2 m/s and an error inside the object [m/s]."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=GRID.shape), 1.5)
    speed = blurred(phantom, sigma) + 2.0 * noise / noise.std() + error * (phantom.labels.numpy() > 0)
    history = tuple(
        Record("stage", 2e5 + 1.5e5 * i, i + 1, 0.5**i, 3.0, 1e-12, 2 * (i + 1), 3.0 * (i + 1))
        for i in range(4)
    )
    return Reconstruction(
        medium=Medium(GRID, torch.from_numpy(speed)),
        start=Medium.homogeneous(GRID, 1480.0),
        region=torch.ones(GRID.shape, dtype=torch.bool),
        history=history,
        status=Status.FINISHED,
        message="All 4 stages were completed in 12 s.",
        provenance={"config": "frequencies = [2e5, 6.5e5]"},
    )
