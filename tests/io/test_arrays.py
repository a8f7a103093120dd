"""Checkpoint arrays come back to the bit, in order, or not at all."""

from pathlib import Path

import pytest
import torch

import usct.io
from usct.errors import InputError
from usct.phantom.base import Phantom


def _arrays() -> dict[str, torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    return {
        "theta/0.weight": torch.randn(3, 4, generator=rng, dtype=torch.float64),
        "theta": torch.tensor([float("nan"), -0.0, float("inf"), 5e-324], dtype=torch.float64),
        ".": torch.randn(2, 2, generator=rng, dtype=torch.complex128).conj(),
        "count": torch.tensor(7),
        "mask": torch.tensor([True, False]),
        "empty": torch.zeros(0, 3),
        "transposed": torch.arange(6, dtype=torch.int64).reshape(2, 3).T,
        "state": torch.arange(5, dtype=torch.uint8),
    }


def test_round_trip(tmp_path: Path) -> None:
    arrays, attributes = _arrays(), {"stage": "2", "config": "x" * 200_000, "ü": ""}
    usct.io.save_arrays(tmp_path / "checkpoint.h5", arrays, attributes)
    loaded, texts = usct.io.load_arrays(tmp_path / "checkpoint.h5")
    assert texts == attributes
    assert list(loaded) == list(arrays)
    for name, tensor in arrays.items():
        assert loaded[name].dtype == tensor.dtype
        assert loaded[name].shape == tensor.shape
        assert loaded[name].numpy().tobytes() == tensor.resolve_conj().contiguous().numpy().tobytes()


def test_damage_is_found(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.h5"
    usct.io.save_arrays(path, {"x": torch.arange(1000, dtype=torch.float64)}, {})
    content = bytearray(path.read_bytes())
    where = content.find(torch.tensor([500.0], dtype=torch.float64).numpy().tobytes())
    content[where + 6] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"checkpoint\.h5: .*damaged"):
        usct.io.load_arrays(path)


def test_other_files_are_refused(phantom: Phantom, tmp_path: Path) -> None:
    usct.io.save(phantom, tmp_path / "phantom.h5")
    with pytest.raises(InputError, match="no checkpoint"):
        usct.io.load_arrays(tmp_path / "phantom.h5")
    with pytest.raises(InputError, match="no such file"):
        usct.io.load_arrays(tmp_path / "none.h5")
    usct.io.save_arrays(tmp_path / "checkpoint.h5", {}, {})
    with pytest.raises(InputError, match="kind 'arrays' is no scan"):
        usct.io.load(tmp_path / "checkpoint.h5")
