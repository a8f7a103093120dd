"""Somebody else's skull: `python -m tests.bench.masks skull_mask_bm8_dx_0.5mm.mat [--index 200] [--skulls true wrong]`.

Reads the masks of skull and brain of the BM8 geometry (ITRUSST, as neurotechdevkit distributes it; the file is the
user's), takes a slice across the last axis, gives it the tissues of the table, plants a haemorrhage, and does what
`python -m tests.bench.heads` does. The masks hold no scalp and no structure of the brain: beyond 3 mm of bone all that
is to be seen is the haemorrhage. BM7 is a piece of skull that encloses nothing, and is refused.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
import torch
from scipy.ndimage import binary_fill_holes, distance_transform_edt

from tests.bench import heads
from usct.errors import InputError
from usct.grid import Grid
from usct.medium import Medium
from usct.phantom import Phantom
from usct.phantom.head import TISSUES
from usct.phantom.tissue import load_tissues

DIAMETER, DEPTH = 16e-3, 20e-3
"""Of the haemorrhage, and of its middle below the skull [m]."""


def head_of(file: Path, index: int) -> Phantom:
    """The slice of number `index` across the depth axis, its middle at the origin, with a haemorrhage.

    Raises:
        InputError: If the file holds no such masks, or the skull encloses no brain there.
    """
    try:
        with h5py.File(file) as masks:
            skull, brain = (masks[name][:, :, index] > 0 for name in ("skull_mask", "brain_mask"))
            spacing = 1e-3 * float(np.ravel(masks["dx"])[0])
    except (OSError, KeyError, IndexError, ValueError) as error:
        raise InputError(
            f"{file}: holds no skull_mask and brain_mask with a slice {index} ({error})"
        ) from None
    brain &= ~skull
    if not brain.any() or (brain & ~binary_fill_holes(skull)).sum() > 0.02 * brain.sum():
        raise InputError(f"{file}: the skull encloses no brain in slice {index}; choose another")
    rows, columns = np.nonzero(skull)
    middle = round((rows.min() + rows.max()) / 2), round((columns.min() + columns.max()) / 2)
    half = round(0.12 / spacing)
    labels = np.zeros((2 * half + 1, 2 * half + 1), dtype=np.int16)
    for name, mask in (("cortical", skull), ("white", brain)):
        y, x = np.nonzero(mask)
        labels[y - middle[0] + half, x - middle[1] + half] = TISSUES.index(name)
    grid = Grid.centred(labels.shape, spacing)
    depth = distance_transform_edt(labels == TISSUES.index("white")) * spacing
    place = half + int(np.flatnonzero(depth[half, half:] >= DEPTH)[-1])
    labels[
        np.hypot(*np.ogrid[-half : half + 1, half - place : 3 * half + 1 - place]) * spacing < DIAMETER / 2
    ] = TISSUES.index("haemorrhage")
    table = load_tissues("itrusst")
    values = [
        [getattr(table.tissues[t], p).mean for t in TISSUES]
        for p in ("sound_speed", "attenuation", "density")
    ]
    speed, loss, density = (
        torch.tensor(v, dtype=torch.float64)[torch.from_numpy(labels).long()] for v in values
    )
    medium = Medium(grid, speed, loss, density, table.attenuation_power["head"], table.reference_frequency)
    return Phantom(medium, torch.from_numpy(labels), TISSUES, "Skull of somebody else", {"seed": "1"})


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the experiment."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--index", type=int, default=200)
    parser.add_argument("--skulls", nargs="+", default=["true", "wrong"])
    parser.add_argument("--elements", type=int, default=128)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    head = head_of(options.file, options.index)
    heads.say(heads.HEADING)
    with tempfile.TemporaryDirectory() as folder:
        scan = heads.scan_of(head, options.elements, (50e3, 150e3), Path(folder) / "rows", 1)
        for skull in options.skulls:
            heads.say(str(heads.reconstruct(head, heads.parts(head)[2], scan, skull, [])))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
