"""Writers of foreign files, and equality of nouns to the bit."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

import h5py
import numpy as np
import scipy.io
import torch

MatlabWriter = Callable[[Path, Mapping[str, np.ndarray]], Path]


def write_v73(path: Path, variables: Mapping[str, np.ndarray]) -> Path:
    """Write variables, given in MATLAB's shapes, as MATLAB 7.3 does: reversed axes, user block, classes."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, values in variables.items():
            array = np.asarray(values)
            if np.iscomplexobj(array):
                pair = np.empty(array.shape, dtype=[("real", "<f8"), ("imag", "<f8")])
                pair["real"], pair["imag"] = array.real, array.imag
                array = pair
            kind = {"f": "single" if array.itemsize == 4 else "double", "i": array.dtype.name}
            file[name] = array.T
            file[name].attrs["MATLAB_class"] = np.bytes_(kind.get(array.dtype.kind, "double"))
    with path.open("r+b") as stream:
        stream.write(b"MATLAB 7.3 MAT-file, made for a test".ljust(124) + b"\x00\x02IM")
    return path


def write_v5(path: Path, variables: Mapping[str, np.ndarray]) -> Path:
    scipy.io.savemat(path, dict(variables), do_compression=True)
    return path


def assert_same(left: object, right: object, where: str = "") -> None:
    """Everything in two nouns is equal, types and bits included."""
    assert type(left) is type(right), where
    if isinstance(left, torch.Tensor) and isinstance(right, torch.Tensor):
        assert left.dtype == right.dtype, where
        assert torch.equal(left, right), where
    elif dataclasses.is_dataclass(left):
        for field in dataclasses.fields(left):
            assert_same(getattr(left, field.name), getattr(right, field.name), f"{where}.{field.name}")
    elif isinstance(left, tuple) and isinstance(right, tuple):
        assert len(left) == len(right), where
        for number, (one, other) in enumerate(zip(left, right, strict=True)):
            assert_same(one, other, f"{where}[{number}]")
    else:
        assert left == right, where


def unseal(path: Path) -> Path:
    """Take the checksum of the whole file away, as other programs do that write or rewrite such files."""
    with path.open("r+b") as stream:
        stream.write(bytes(512))
    return path
