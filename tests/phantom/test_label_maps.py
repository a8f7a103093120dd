"""Labels of other programs become media with the properties of the tissue table."""

import numpy as np
import pytest

from usct.errors import InputError
from usct.phantom import VICTRE, load_tissues, phantom_from_labels


def victre_volume():
    values = np.zeros((3, 4, 6), dtype=np.uint8)
    values[:, 1:3, 1:5] = [[[2, 1, 29, 88], [33, 125, 200, 225]]]
    return values


def test_every_label_gets_the_mean_of_its_tissue():
    values = victre_volume()
    made = phantom_from_labels(values, 0.5e-3, VICTRE)
    table = load_tissues("park2023").tissues
    for label in np.unique(values):
        tissue = table[VICTRE[int(label)]]
        cells = values == label
        for name in ("sound_speed", "density", "attenuation"):
            assert set(getattr(made.medium, name).numpy()[cells]) == {getattr(tissue, name).mean}
        assert {made.tissues[i] for i in made.labels.numpy()[cells]} == {tissue.name}
    assert made.tissues[0] == "water"
    assert made.medium.grid.shape == (3, 4, 6)
    assert made.provenance["tissue_preset"] == "park2023"


def test_a_seed_draws_within_the_limits_and_another_draws_anew():
    one, same, other = (phantom_from_labels(victre_volume(), 1e-3, VICTRE, seed=seed) for seed in (1, 1, 2))
    assert bool((one.medium.sound_speed == same.medium.sound_speed).all())
    assert not bool((one.medium.sound_speed == other.medium.sound_speed).all())
    fat = load_tissues().tissues["fat"].sound_speed
    speeds = one.medium.sound_speed.numpy()[victre_volume() == 1]
    assert fat.low <= speeds.min() <= speeds.max() <= fat.high


def test_a_list_of_head_labels_works_with_a_head_preset():
    values = np.array([[50, -3], [7, 50]], dtype=np.int32)
    made = phantom_from_labels(values, 1e-3, {50: "water", -3: "cortical", 7: "grey"}, "itrusst", "head")
    assert made.medium.sound_speed.tolist() == [[1500.0, 2800.0], [1560.0, 1500.0]]


@pytest.mark.parametrize(
    ("values", "preset", "power", "named"),
    [
        (np.array([[0, 3]]), "", "fatty", "label 3"),
        (np.array([[0, 1]]), "itrusst", "head", "lacks"),
        (np.array([[0.0, 1.0]]), "", "fatty", "integers"),
        (np.array([[0, 1]]), "", "head", "power law"),
    ],
)
def test_what_does_not_fit_is_named(values, preset, power, named):
    with pytest.raises(InputError, match=named):
        phantom_from_labels(values, 1e-3, VICTRE, preset, power)
