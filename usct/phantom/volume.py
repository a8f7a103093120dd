"""Volumes from sections: bodies whose every height shows the same section, smaller towards both ends."""

import math
from dataclasses import replace

import torch

from usct.grid import Grid
from usct.phantom.base import Phantom

MARGIN = 0.1
"""Water above and below, as a share of the height."""


def ellipsoid(section: Phantom, height: float) -> Phantom:
    """A closed body: at height z the section is shrunk by sqrt(1 - (2 z / height)^2) about the origin.

    Skin and skull become thinner with it; it is a test object for waves in three dimensions, not an anatomy.

    Args:
        section: A plane phantom about the origin, with water at its rim.
        height: Of the body along z [m].

    Returns:
        On a grid of the section's spacing, with axes (z, y, x).

    Raises:
        ValueError: If the section is a volume already, or the height is not above the spacing.
    """
    grid = section.medium.grid
    if grid.n_dims != 2 or not (math.isfinite(height) and height > grid.spacing):
        raise ValueError(f"a plane phantom and a height above {grid.spacing:g} m are needed, got {height:g}")
    half = math.ceil((0.5 + MARGIN) * height / grid.spacing)
    heights = grid.spacing * torch.arange(-half, half + 1, dtype=torch.float64)
    shrinking = (1 - (2 * heights / height) ** 2).clamp(min=0).sqrt()
    places = _places(grid, shrinking)
    whole = Grid((len(heights), *grid.shape), grid.spacing, (float(heights[0]), *grid.origin))
    medium = section.medium
    speed = _sampled(medium.sound_speed, places, "bilinear")
    loss, dense = (
        None if values is None else _sampled(values, places, "bilinear")
        for values in (medium.attenuation, medium.density)
    )
    labels = _sampled(section.labels, places, "nearest").round().to(section.labels.dtype)
    facts = section.provenance | {"height": f"{height:g} m"}
    body = replace(medium, grid=whole, sound_speed=speed, attenuation=loss, density=dense)
    return replace(section, medium=body, labels=labels, provenance=facts)


def _places(grid: Grid, shrinking: torch.Tensor) -> torch.Tensor:
    """Where each node looks in the section, as `grid_sample` counts, shape (z, y, x, 2); far out at the ends."""
    axes = []
    for n, first in zip(grid.shape, grid.origin, strict=True):
        coordinates = first + grid.spacing * torch.arange(n, dtype=torch.float64)
        middle, half = first + 0.5 * (n - 1) * grid.spacing, 0.5 * (n - 1) * grid.spacing
        place = (coordinates / shrinking[:, None].clamp(min=1e-6) - middle) / half
        axes.append(torch.where(shrinking[:, None] > 0, place, 2.0))
    y, x = axes
    shape = len(shrinking), *grid.shape
    return torch.stack([x[:, None, :].expand(shape), y[:, :, None].expand(shape)], dim=-1)


def _sampled(values: torch.Tensor, places: torch.Tensor, mode: str) -> torch.Tensor:
    """A map of the section at places, continued by its rim; height by height, so that it takes little memory."""
    wide = values.double()[None, None]
    rows = [
        torch.nn.functional.grid_sample(wide, one[None], mode, padding_mode="border", align_corners=True)[
            0, 0
        ]
        for one in places
    ]
    return torch.stack(rows)
