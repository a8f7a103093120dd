"""Heads have the layers, folds and lesions that their recipes promise, and the same bits for the same seed."""

import pytest
import torch

from usct.errors import InputError
from usct.phantom import load_tissues, make
from usct.phantom.population import recipe_of

COARSE = {"spacing": 1e-3, "half_width": 0.1}


@pytest.fixture(scope="module")
def heads():
    return {name: make(name, seed=2, **COARSE) for name in ("head", "head_haemorrhage", "head_ischaemia")}


def cells(phantom, *names):
    return torch.isin(
        phantom.labels, torch.tensor([phantom.tissues.index(name) for name in names], dtype=torch.int16)
    )


def test_going_inwards_meets_the_layers_in_their_order(heads):
    head = heads["head"]
    middle = head.labels.shape[1] // 2 + 20
    column = [
        head.tissues[i] for i in torch.unique_consecutive(head.labels[: head.labels.shape[0] // 2, middle])
    ]
    assert column[:6] == ["water", "scalp", "cortical", "trabecular", "cortical", "csf"]
    assert column[6] == "grey"
    assert "white" in column


def test_the_brain_is_closed_in_by_bone_and_folded(heads):
    head = heads["head"]
    brain, bone = cells(head, "grey", "white"), cells(head, "cortical", "trabecular")
    # Neighbours of the brain are brain or fluid, never bone, scalp or water.
    grown = torch.nn.functional.max_pool2d(brain[None, None].double(), 3, 1, 1)[0, 0] > 0
    assert not (grown & (bone | cells(head, "water", "scalp"))).any()
    grey, all_brain = int(cells(head, "grey").sum()), int(brain.sum())
    # A rind of 3 mm without folds would be about a tenth of the brain.
    assert 0.2 < grey / all_brain < 0.6


def test_lesions_are_where_they_are_said_to_be_and_nowhere_else(heads):
    for name in ("haemorrhage", "ischaemia"):
        sick = heads[f"head_{name}"]
        lesion = cells(sick, name)
        assert 30 < int(lesion.sum()) < 3000
        assert not cells(heads["head"], name).any()
        brain = sick.medium.sound_speed[cells(sick, "white")].median()
        contrast = float(sick.medium.sound_speed[lesion].median() - brain)
        assert contrast > 10 if name == "haemorrhage" else contrast < -3


def test_bone_attenuates_as_the_preset_says():
    for preset, trabecular in (("itrusst", 184.2), ("prestus", 153.1)):
        head = make("head", 1, tissue_preset=preset, **COARSE)
        assert head.provenance["tissue_preset"] == preset
        assert load_tissues(preset).tissues["trabecular"].attenuation.mean == trabecular
        inside = cells(head, "trabecular")
        assert float(head.medium.attenuation[inside].median()) == pytest.approx(trabecular, rel=0.02)
        assert head.medium.attenuation_power == 1.0


def test_the_same_seed_gives_the_same_head_at_any_spacing(heads):
    again = make("head", seed=2, **COARSE)
    assert torch.equal(again.medium.sound_speed, heads["head"].medium.sound_speed)
    other = make("head", seed=3, **COARSE)
    assert float((other.labels != again.labels).double().mean()) > 0.03
    fine = make("head", seed=2, spacing=0.5e-3, half_width=0.1)
    assert float((fine.labels[::2, ::2] != again.labels).double().mean()) < 1e-3


def test_a_breast_preset_makes_no_head():
    with pytest.raises(InputError, match="itrusst or prestus"):
        make("head", tissue_preset="park2023", **COARSE)


def test_a_population_of_heads_is_a_third_each():
    recipes = [recipe_of("head", seed) for seed in range(60)]
    for name in ("head", "head_haemorrhage", "head_ischaemia"):
        assert abs(recipes.count(name) - 20) <= 2
