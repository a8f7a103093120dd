"""The trained field in a result file: back to the bit, told in `describe`, and refused where it is none."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

import usct.io
from tests.io.io_helpers import unseal
from usct.errors import InputError
from usct.grid import Grid
from usct.reconstruction import Reconstruction, TrainedField

GRID = Grid((7, 9), 1e-3, (-2.5e-3, -0.1))


@pytest.fixture
def field() -> TrainedField:
    """Arrays of every type that a field may hold, one without axes and one without values among them."""
    generator = torch.Generator().manual_seed(0)
    arrays = {
        "base": torch.randn(GRID.shape, generator=generator, dtype=torch.float64),
        "region": torch.rand(GRID.shape, generator=generator) > 0.5,
        "layer0": torch.randn(5, 4, generator=generator),
        "mean": torch.tensor(0.1),
        "steps": torch.tensor([2**40 + 1, -3]),
        "nothing": torch.zeros(0, 3),
    }
    settings = {"seed": 3, "scale": 0.1, "adaptive": False, "activation": "tanh", "width": None}
    return TrainedField("fourier", 1, GRID, (1400.0, 1600.1), settings, arrays, frozenset({"layer0", "mean"}))


@pytest.fixture
def path(result: Reconstruction, field: TrainedField, tmp_path: Path) -> Path:
    usct.io.save(dataclasses.replace(result, field=field), tmp_path / "result.h5")
    return tmp_path / "result.h5"


def loaded(path: Path) -> Reconstruction:
    thing = usct.io.load(path)
    assert isinstance(thing, Reconstruction)
    return thing


def test_comes_back_to_the_bit(path: Path, field: TrainedField) -> None:
    back = loaded(path).field
    assert back is not None
    for name in ("name", "version", "grid", "bounds", "settings", "parameters"):
        assert getattr(back, name) == getattr(field, name), name
        assert type(getattr(back, name)) is type(getattr(field, name)), name
    assert {name: type(value) for name, value in back.settings.items()} == {
        name: type(value) for name, value in field.settings.items()
    }
    assert back.arrays.keys() == field.arrays.keys()
    for name, values in field.arrays.items():
        assert back.arrays[name].dtype == values.dtype, name
        assert torch.equal(back.arrays[name], values), name
        assert back.arrays[name].shape == values.shape, name


def test_the_rest_of_the_result_is_untouched(path: Path, result: Reconstruction, tmp_path: Path) -> None:
    with_field = loaded(path)
    assert with_field.history == result.history
    assert torch.equal(with_field.medium.sound_speed, result.medium.sound_speed)
    usct.io.save(with_field, tmp_path / "again.h5")
    again = loaded(tmp_path / "again.h5").field
    assert again is not None
    assert again.settings == with_field.field.settings


def test_layout_is_as_documented(path: Path, field: TrainedField) -> None:
    with h5py.File(path, "r") as file:
        about = dict(file["field"].attrs)
        assert about["name"] == "fourier"
        assert about["version"] == 1
        assert about["bounds"].tolist() == [1400.0, 1600.1]
        assert json.loads(about["settings"]) == field.settings
        assert about["shape"].tolist() == [7, 9]
        assert about["spacing"] == 1e-3
        assert about["origin"].tolist() == [-2.5e-3, -0.1]
        trained = {name for name, item in file["field/arrays"].items() if item.attrs["trained"]}
        assert trained == {"layer0", "mean"}


def test_a_file_without_a_field_still_loads(result: Reconstruction, tmp_path: Path) -> None:
    usct.io.save(result, tmp_path / "older.h5")
    with h5py.File(tmp_path / "older.h5", "r") as file:
        assert "field" not in file
    assert loaded(tmp_path / "older.h5").field is None
    assert "representation" not in dict(usct.io.describe(tmp_path / "older.h5"))


def test_description_names_representation_and_size(path: Path) -> None:
    assert dict(usct.io.describe(path))["representation"] == "fourier, 21 parameters"


def _set(name: str, value: object) -> Callable[[h5py.Group], None]:
    return lambda group: group.attrs.__setitem__(name, value)


def _drop(name: str) -> Callable[[h5py.Group], None]:
    return lambda group: group.attrs.__delitem__(name)


def _put(name: str, values: object) -> Callable[[h5py.Group], None]:
    def change(group: h5py.Group) -> None:
        del group["arrays/layer0"]
        group[f"arrays/{name}"] = values

    return change


def _nested(group: h5py.Group) -> None:
    group.create_group("arrays/more")


def _no_arrays(group: h5py.Group) -> None:
    del group["arrays"]


def _elsewhere(group: h5py.Group) -> None:
    group["arrays/secret"] = h5py.ExternalLink("secret.h5", "/")


def _huge(group: h5py.Group) -> None:
    group["arrays"].create_dataset("huge", (2**17, 2**14), "f8", chunks=(2**10, 2**10), compression="gzip")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (_drop("name"), "/field has no attribute 'name' that is text; reconstruct"),
        (_set("name", 3), "/field has no attribute 'name' that is text"),
        (_drop("version"), "no attribute 'version' that is finite numbers"),
        (_set("version", "one"), "no attribute 'version' that is finite numbers"),
        (_set("version", 1.5), "no attribute 'version' that is whole"),
        (_set("bounds", [1400.0]), "no attribute 'bounds' that is 2 numbers"),
        (_set("bounds", [1400.0, np.nan]), "no attribute 'bounds' that is finite"),
        (_set("spacing", -1.0), "spacing must be > 0 m"),
        (_set("shape", [7, 9.5]), "no attribute 'shape' that is whole"),
        (_set("shape", [0, 9]), "shape must be positive"),
        (_set("origin", [0.0, 0.0, 0.0]), "shape and origin must both have 2 or 3 axes"),
        (_set("settings", "{seed: 3}"), "no attribute 'settings' that is settings in JSON"),
        (_set("settings", "[" * 100_000), "no attribute 'settings' that is settings in JSON"),
        (_set("settings", "[1, 2]"), "no attribute 'settings' that is a JSON object of plain values"),
        (_set("settings", '{"seed": [1]}'), "no attribute 'settings' that is a JSON object of plain"),
        (_put("layer0", np.array([b"text"])), "/field/arrays/layer0 is no array of real numbers; recon"),
        (_put("layer0", np.ones(3) * 1j), "/field/arrays/layer0 is no array of real numbers"),
        (_nested, "/field/arrays/more is no array of real numbers"),
        (_no_arrays, "/field holds no group 'arrays'; reconstruct"),
        (_elsewhere, "/field/arrays/secret is a link and links are not followed"),
        (_huge, r"/field/arrays/huge claims 17.2 GB but stores .* kB; write"),
    ],
)
def test_what_is_no_field_is_refused(change: Callable[[h5py.Group], None], sentence: str, path: Path) -> None:
    with h5py.File(path, "r+") as file:
        change(file["field"])
    with pytest.raises(InputError, match=sentence) as caught:
        usct.io.load(unseal(path))
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert message.endswith(".")
    assert "\n" not in message


def test_a_changed_weight_is_found(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["field/arrays/layer0"][0, 0] += 1
    with pytest.raises(InputError, match="/field/arrays/layer0 does not match its checksum"):
        usct.io.load(unseal(path))
