"""A trained representation becomes plain arrays and comes back to the bit; what cannot be one is refused."""

import dataclasses
import json
import time

import pytest
import torch

from tests.helpers import random_like
from tests.unit.field_cases import (
    BOUNDS,
    FINER,
    GRID,
    NETWORKS,
    OTHER,
    REGION,
    START,
    Maker,
    adaptive,
    blob,
    disturbed,
    gaussian,
    hybrid,
    multigrid,
    siren,
    tailored_grid,
    tailoring,
)
from usct.grid import Grid
from usct.medium import Medium
from usct.parameterization.base import Parameterization
from usct.parameterization.catalogue import REPRESENTATIONS, VERSION, name_of, restored, sampled, trained
from usct.parameterization.pixel import PixelGrid
from usct.reconstruction import TrainedField

SINGLE, DOUBLE = torch.float32, torch.float64
AWAY = Grid((7, 30), 0.7e-3, (-11.3e-3, -8.1e-3))


def pixel(seed: int = 0, dtype: torch.dtype = DOUBLE) -> PixelGrid:  # noqa: ARG001 # it has none
    return PixelGrid(START, REGION, BOUNDS)


def trained_one(make: Maker, dtype: torch.dtype = DOUBLE) -> Parameterization:
    """What a run leaves: other weights, on a base image of their own."""
    field = make(seed=3, dtype=dtype)
    if isinstance(field, PixelGrid):
        with torch.no_grad():
            field.relative_slowness.add_(0.03 * random_like(GRID.shape, 4, False))
        field.constrain()
        return field
    return disturbed(field.fitted_to(blob(GRID)))


every_kind = pytest.mark.parametrize("make", (pixel, tailored_grid, *NETWORKS))


@every_kind
@pytest.mark.parametrize("dtype", [SINGLE, DOUBLE])
def test_comes_back_to_the_bit_on_any_grid(make, dtype):
    original = trained_one(make, dtype)
    field = trained(original)
    field = dataclasses.replace(field, settings=json.loads(json.dumps(dict(field.settings), allow_nan=False)))
    back = restored(field)
    assert type(back) is type(original)
    for grid in (GRID, FINER, OTHER, AWAY):
        with torch.no_grad():
            expected, found = original(grid).sound_speed, back(grid).sound_speed
        assert torch.equal(found, expected)
    with torch.no_grad():
        assert (original(GRID).sound_speed - START.sound_speed)[REGION].abs().max() > 1.0


@pytest.mark.parametrize("make", (tailored_grid, adaptive))
def test_what_the_data_made_of_the_kernel_comes_back(make):
    original = make()
    original.retailor(tailoring())
    disturbed(original)
    back = restored(trained(original))
    assert torch.equal(back(FINER).sound_speed, original(FINER).sound_speed)
    assert back.damping == original.damping
    gradient = random_like(original.vector().shape, 7, False).to(original.vector())
    assert torch.equal(back.precondition(gradient, 500.0), original.precondition(gradient, 500.0))


@every_kind
def test_goes_on_learning_like_the_original(make):
    original = trained_one(make)
    back = restored(trained(original))
    gradients = []
    for field in (original, back):
        field(GRID).sound_speed.square().sum().backward()
        gradients.append(torch.cat([p.grad.reshape(-1) for p in field.parameters()]))
    assert torch.equal(*gradients)
    assert torch.equal(back.learning_rates(), original.learning_rates())


def test_names_and_numbers():
    names = [name_of(make()) for make in (pixel, tailored_grid, gaussian, siren, multigrid, hybrid)]
    assert names == list(REPRESENTATIONS)
    network = gaussian()
    field = trained(network)
    assert field.n_parameters == len(network.vector())
    assert field.version == VERSION
    assert field.grid == GRID


def test_what_is_saved_stays_when_training_goes_on():
    network = gaussian()
    field = trained(network)
    before = restored(field)(GRID).sound_speed
    disturbed(network)
    assert torch.equal(restored(field)(GRID).sound_speed, before)
    disturbed(restored(field))
    assert torch.equal(restored(field)(GRID).sound_speed, before)


def test_an_unknown_class_cannot_be_saved():
    class Other(PixelGrid):
        pass

    with pytest.raises(ValueError, match=r"a Other has no name .* use one of pixel, tailored"):
        trained(Other(START, REGION, BOUNDS))


CHANGES = {
    "name": {"name": "wavelets"},
    "version": {"version": 2},
    "grid": {"grid": Grid.centred((10**6, 10**6), 1e-3)},
    "bounds": {"bounds": (1600.0, 1400.0)},
    "negative bounds": {"bounds": (-1.0, 1400.0)},
}
ARRAYS = {
    "nan": {"first": torch.full((48, 12), torch.nan, dtype=DOUBLE)},
    "gone": {"layer1": None},
    "more": {"layer7": torch.zeros(2)},
    "shape": {"base": torch.zeros(3, 3, dtype=DOUBLE)},
    "type": {"mean": torch.zeros((), dtype=torch.complex128)},
}
SETTINGS = {"no setting": {"n_hidden": None}, "a setting": {"colour": "red"}}


def broken(field: TrainedField, what: str) -> TrainedField:
    """The field with one thing wrong; None takes an entry away, JSON changes the settings."""
    if what in CHANGES:
        return dataclasses.replace(field, **CHANGES[what])
    if what in ARRAYS:
        arrays = {**field.arrays, **ARRAYS[what]}
        return dataclasses.replace(field, arrays={k: v for k, v in arrays.items() if v is not None})
    if what in SETTINGS:
        settings = {**field.settings, **SETTINGS[what]}
        gone = [key for key, value in SETTINGS[what].items() if value is None]
        return dataclasses.replace(field, settings={k: v for k, v in settings.items() if k not in gone})
    return dataclasses.replace(field, settings={**field.settings, **json.loads(what)})


@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        ("name", "unknown representation 'wavelets'; use one of pixel, tailored, fourier"),
        ("version", r"saved by another version of usct \(field version 2, this one reads 1\); reconstruct"),
        ("grid", r"'region' must be boolean of shape \(1000000, 1000000\), got \(25, 21\) of bool"),
        ("bounds", "bounds must be increasing and positive"),
        ("negative bounds", "bounds must be increasing and positive"),
        ("nan", "array 'first' holds values that are not finite"),
        ("gone", "array 'layer1' is missing"),
        ("more", "array 'layer7' is unknown"),
        ("shape", r"array 'base' must have shape \(25, 21\) of float64, got \(3, 3\) of float64"),
        ("type", r"array 'mean' must have shape \(\) of float64, got \(\) of complex128"),
        ("no setting", "setting 'n_hidden' of the fourier field is missing"),
        ("a setting", "setting 'colour' of the fourier field is unknown"),
        ('{"n_hidden": 13}', r"array 'first' must have shape \(48, 13\)|ask for 624 numbers"),
        ('{"n_hidden": 1.5}', "setting 'n_hidden' .* is 1.5, which is impossible"),
        ('{"n_hidden": true}', "setting 'n_hidden' .* is True, which is impossible"),
        ('{"n_hidden": 0}', "a network needs units"),
        ('{"seed": 1e400}', "setting 'seed' .* is inf, which is impossible"),
        ('{"scale": NaN}', "setting 'scale' .* is nan, which is impossible"),
        ('{"activation": "swish"}', "setting 'activation' .* is 'swish', which is impossible"),
        ('{"features": null}', "setting 'features' .* is None, which is impossible"),
        ('{"dtype": "float16"}', "setting 'dtype' .* is 'float16', which is impossible"),
        ('{"dtype": "float32"}', "array 'first' must have shape .* of float32, got .* of float64"),
        ('{"width": 1e5}', "the features reach"),
    ],
)
def test_what_cannot_be_a_field_is_refused_in_a_sentence(what, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        restored(broken(trained(gaussian()), what))
    message = str(caught.value)
    assert "\n" not in message
    assert not message.endswith(".")


@pytest.mark.parametrize(
    ("make", "claim"),
    [
        (gaussian, {"n_hidden": 10**12}),
        (gaussian, {"n_features": 4000, "n_hidden": 4000}),
        (gaussian, {"n_layers": 2**62}),
        (siren, {"n_hidden": 1000, "n_layers": 1000}),
        (multigrid, {"finest": 1e-9, "table_size": 10**15}),
        (multigrid, {"finest": 1e-300, "table_size": 10**18}),
        (multigrid, {"n_levels": 2**63 - 1}),
        (hybrid, {"n_sines": 1400}),
    ],
)
def test_a_claim_that_no_memory_holds_is_refused_at_once(make, claim):
    field = trained(make())
    began = time.perf_counter()
    with pytest.raises(ValueError, match=r"impossible|ask for \d+ numbers"):
        restored(dataclasses.replace(field, settings={**field.settings, **claim}))
    assert time.perf_counter() - began < 2


@every_kind
def test_a_large_grid_is_sampled_in_strips(make, monkeypatch):
    original = trained_one(make)
    with torch.no_grad():
        whole = original(FINER)
    for most in (10, 200, 1000):
        monkeypatch.setattr("usct.parameterization.catalogue._STRIP", most)
        shares: list[float] = []
        strips = sampled(original, FINER, shares.append)
        assert shares == sorted(set(shares))
        assert shares[0] == 0
        assert strips.grid == FINER
        # A strip's own origin is rounded, so its points lie off by the last bit of their coordinates.
        assert torch.allclose(strips.sound_speed, whole.sound_speed, rtol=1e-9, atol=0)


def test_a_coarse_grid_in_strips_is_smoothed_as_a_whole_one(monkeypatch):
    original = trained_one(pixel)
    coarse = Grid.centred((9, 8), 2.7e-3)
    with torch.no_grad():
        whole = original(coarse)
    monkeypatch.setattr("usct.parameterization.catalogue._STRIP", 1)
    assert torch.allclose(sampled(original, coarse).sound_speed, whole.sound_speed, rtol=1e-9, atol=0)


def test_a_small_grid_is_sampled_at_once():
    original = trained_one(gaussian)
    with torch.no_grad():
        assert torch.equal(sampled(original, FINER).sound_speed, original(FINER).sound_speed)


def test_three_dimensions():
    grid = Grid.centred((5, 6, 7), 1e-3)
    original = PixelGrid(Medium.homogeneous(grid, 1500.0), torch.ones(grid.shape, dtype=torch.bool), BOUNDS)
    with torch.no_grad():
        original.relative_slowness.add_(0.01 * random_like(grid.shape, 1, False))
    finer = Grid.centred((9, 11, 13), 0.5e-3)
    assert torch.equal(restored(trained(original))(finer).sound_speed, original(finer).sound_speed)
