"""Named tensors in a checksummed HDF5 file, to the bit and without pickle: checkpoints."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

import h5py
import torch

from usct.errors import InputError
from usct.io import hdf5
from usct.io.hdf5 import text
from usct.io.native_write import FORMAT, array_of, write_file


def save_arrays(
    path: str | os.PathLike[str], arrays: Mapping[str, torch.Tensor], attributes: Mapping[str, str]
) -> None:
    """Write tensors and texts in one step, so that a kill at any moment leaves the old or the new file.

    Args:
        path: The file to write or replace.
        arrays: Tensors of any numeric type that numpy knows, by name; any name will do.
        attributes: Texts, by name.

    Raises:
        InputError: If the file cannot be written; what was there before is unchanged.
    """

    def fill(file: h5py.File) -> None:
        file.attrs["attributes"] = json.dumps(dict(attributes))
        group = file.create_group("arrays")
        # Numbered, because names such as "a" and "a/b" cannot both be HDF5 paths.
        for i, (name, tensor) in enumerate(arrays.items()):
            hdf5.put(group, str(i), array_of(tensor), {"name": name})

    write_file(Path(path), "arrays", fill)


def load_arrays(path: str | os.PathLike[str]) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Read what `save_arrays` wrote, in the same order and to the bit.

    Args:
        path: The file.

    Returns:
        The tensors, in host memory, and the texts, both by name.

    Raises:
        InputError: If the file is missing, damaged, or another kind of file.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: there is no such file; check the path.")
    with hdf5.opened(path) as file:
        if text(file, "format", path, "") != FORMAT or text(file, "kind", path, "") != "arrays":
            raise InputError(f"{path}: this is no checkpoint; give a file that an inversion wrote.")
        try:
            items = [file[f"arrays/{i}"] for i in range(len(file["arrays"]))]
            attributes = json.loads(text(file, "attributes", path))
        except (KeyError, json.JSONDecodeError) as error:
            raise InputError(f"{path}: the checkpoint is not complete; start anew without it.") from error
        return {
            text(item, "name", path): torch.from_numpy(hdf5.read(item, path)) for item in items
        }, attributes
