"""Phantoms are reproducible, the same object on every grid, and made of what the tables say."""

import numpy as np
import pytest
import torch

from usct.errors import InputError
from usct.grid import Grid
from usct.phantom import Draw, case_names, load_case, load_tissues, make, names

BREASTS = {"breast_fatty": 0.95, "breast_scattered": 0.85, "breast": 0.66, "breast_dense": 0.40}
COARSE = {"spacing": 1e-3, "half_width": 0.085}


@pytest.fixture(scope="module")
def breast():
    return make("breast", seed=3)


def nodes_of(phantom, name):
    return phantom.labels == phantom.tissues.index(name)


def test_the_promised_recipes_exist_and_all_can_be_made():
    assert {*BREASTS, "disk", "two_disks", "resolution", "contrast_detail"} <= set(names())
    for name in names():
        phantom = make(name, spacing=2e-3)
        reach = torch.linalg.vector_norm(phantom.medium.grid.points(), dim=-1)[phantom.labels > 0].max()
        # Elements of a ring of 110 mm radius stand in water.
        assert 0.02 < float(reach) < 0.095
        assert phantom.title
        assert phantom.tissues[0] == "water"


def test_the_same_seed_gives_the_same_bits_and_another_seed_another_breast():
    one, again, other = (make("breast", seed, **COARSE) for seed in (7, 7, 8))
    for name in ("sound_speed", "attenuation", "density"):
        assert torch.equal(getattr(one.medium, name), getattr(again.medium, name))
    assert torch.equal(one.labels, again.labels)
    assert one.provenance == again.provenance
    assert one.provenance["labels_sha256"] != other.provenance["labels_sha256"]
    assert float((one.labels != other.labels).double().mean()) > 0.05


def test_a_published_seed_keeps_its_anatomy():
    # If this fails on purpose, raise GENERATOR_VERSION: results of earlier versions name another object.
    phantom = make("breast", 3, **COARSE)
    assert phantom.provenance["generator_version"] == "1"
    counts = torch.bincount(phantom.labels.flatten().long(), minlength=8)
    assert counts[1:].tolist() == pytest.approx([591, 6032, 3267, 426, 35, 105, 107], abs=3)
    assert float(phantom.medium.sound_speed.mean()) == pytest.approx(1511.766, abs=0.02)


def test_two_spacings_show_the_same_anatomy():
    # Nodes of 0.4 mm and of 0.6 mm coincide every 1.2 mm about the centre.
    fine, coarse = (make("breast", 5, spacing, half_width=0.0792) for spacing in (0.4e-3, 0.6e-3))
    common = fine.labels[::3, ::3], coarse.labels[::2, ::2]
    assert common[0].shape == common[1].shape
    assert float((common[0] != common[1]).double().mean()) < 1e-3
    wide = Grid.centred((61, 61), 2.4e-3)
    difference = fine.medium.resampled(wide).sound_speed - coarse.medium.resampled(wide).sound_speed
    assert float(difference.square().mean().sqrt()) < 0.5
    assert float(fine.medium.sound_speed.mean()) == pytest.approx(
        float(coarse.medium.sound_speed.mean()), abs=0.5
    )


def test_the_extent_of_the_grid_does_not_change_the_breast():
    small, large = make("breast", 5, 1e-3, 0.08), make("breast", 5, 1e-3, 0.1)
    assert torch.allclose(small.medium.sound_speed, large.medium.sound_speed[20:-20, 20:-20], atol=1e-9)
    assert float((small.labels != large.labels[20:-20, 20:-20]).double().mean()) < 1e-3


@pytest.fixture(scope="module")
def cohort():
    return {name: [make(name, seed, **COARSE) for seed in range(4)] for name in BREASTS}


def mean_speed(phantom):
    return float(phantom.medium.sound_speed[phantom.labels > 0].mean())


@pytest.mark.parametrize("name", BREASTS)
def test_fat_fraction_is_that_of_the_class(cohort, name):
    for phantom in cohort[name]:
        under_skin = phantom.labels > phantom.tissues.index("skin")
        gland = nodes_of(phantom, "gland").sum() / under_skin.sum()
        # Lesions, at most three, mostly take their place from gland.
        assert 1 - float(gland) == pytest.approx(BREASTS[name], abs=0.06)


def test_mean_sound_speed_is_in_the_range_measured_in_women(cohort):
    # Whole-breast mean of 43 women: 1434 to 1542 m/s (O'Flynn et al. 2017).
    speeds = [mean_speed(phantom) for phantoms in cohort.values() for phantom in phantoms]
    assert min(speeds) > 1434
    assert max(speeds) < 1542
    fatty, dense = (np.mean([mean_speed(p) for p in cohort[n]]) for n in ("breast_fatty", "breast_dense"))
    assert dense > fatty + 25


def test_properties_lie_within_the_tissue_table(breast):
    tissues = [load_tissues().tissues[name] for name in breast.tissues]
    for name in ("sound_speed", "density", "attenuation"):
        draws = [getattr(tissue, name) for tissue in tissues]
        values = getattr(breast.medium, name)
        assert float(values.min()) >= min(draw.low for draw in draws) - 1e-6
        assert float(values.max()) <= max(draw.high for draw in draws) + 1e-6
        for tissue, draw in zip(breast.tissues, draws, strict=True):
            inside = values[deep(breast, tissue)]
            assert inside.numel() or tissue in ("ligament", "skin")
            outside = (inside < draw.low - 1e-6) | (inside > draw.high + 1e-6)
            # A ligament may thin out between the nodes and mix into a cell whose neighbours are all fat.
            assert float(outside.double().sum()) <= (0.001 * len(inside) if tissue == "fat" else 0)
    assert breast.medium.attenuation_power == load_tissues().attenuation_power["heterogeneous"]


def deep(phantom, tissue):
    """Nodes whose eight neighbours are of the same tissue, so that their cells are not mixed."""
    other = (~nodes_of(phantom, tissue)).double()[None, None]
    return torch.nn.functional.max_pool2d(other, 3, stride=1, padding=1)[0, 0] == 0


def test_labels_are_where_the_tissues_should_be(breast):
    assert sorted(breast.labels.unique().tolist()) == list(range(len(breast.tissues)))
    water = nodes_of(breast, "water").double()[None, None]
    beside_water = torch.nn.functional.max_pool2d(water, 3, stride=1, padding=1)[0, 0] > 0
    assert set(breast.labels[beside_water].unique().tolist()) == {0, breast.tissues.index("skin")}
    water_speed = load_tissues().tissues["water"].sound_speed.mean
    assert torch.allclose(
        breast.medium.sound_speed[deep(breast, "water")], torch.tensor(water_speed).double()
    )
    radius = torch.linalg.vector_norm(breast.medium.grid.points(), dim=-1)
    assert 0.05 < float(radius[breast.labels > 0].max()) < 0.07


def test_lesions_are_as_large_as_the_recipe_says_and_uniform(breast):
    for name in ("cyst", "fibroadenoma", "malignant"):
        lesion = nodes_of(breast, name)
        diameter = 2 * (float(lesion.sum()) * breast.medium.grid.spacing**2 / np.pi) ** 0.5
        assert 10e-3 * np.exp(-0.6) / 2 < diameter < 10e-3 * np.exp(0.6) * 1.05
        assert float(breast.medium.sound_speed[deep(breast, name)].std()) < 1e-9


def test_texture_stays_a_fraction_of_a_percent(breast):
    fat = breast.medium.sound_speed[deep(breast, "fat")]
    assert 0.0005 < float(fat.std() / fat.mean()) < 0.0022


def test_water_and_tissue_preset_can_be_chosen():
    cold = make("breast", 1, water_sound_speed=1482.4, **COARSE)
    assert float(cold.medium.sound_speed[0, 0]) == pytest.approx(1482.4)
    older = make("breast", 1, tissue_preset="li2022", **COARSE)
    assert older.provenance["tissue_preset"] == "li2022"
    assert float(older.medium.sound_speed[0, 0]) == pytest.approx(1500.0)
    assert torch.equal(older.labels, cold.labels)
    table = load_tissues("li2022")
    assert table.tissues["gland"].sound_speed == Draw(1520.0, 10.0, 1505.0, 1550.0)
    assert table.tissues["fat"] == load_tissues("park2023").tissues["fat"]


def test_a_disk_has_the_right_area_place_and_no_loss():
    disk = make("disk", spacing=1e-3)
    assert disk.medium.attenuation is None
    assert disk.medium.density is None
    excess = (1 / disk.medium.sound_speed - 1 / 1500.0) / (1 / 1560.0 - 1 / 1500.0)
    assert float(excess.sum()) * 1e-6 == pytest.approx(np.pi * 0.03**2, rel=1e-3)
    assert float(disk.medium.sound_speed[120, 120]) == pytest.approx(1560.0)


def test_axes_are_y_then_x():
    phantom = make("two_disks", spacing=1e-3)
    row, column = (
        int(i) for i in phantom.medium.grid.fractional_index(torch.tensor([-0.022, -0.018])).round()
    )
    assert phantom.tissues[phantom.labels[row, column]] == "fast"
    assert phantom.tissues[phantom.labels[column, row]] == "fast"
    centre = phantom.medium.grid.points()[nodes_of(phantom, "slow")].mean(dim=0)
    assert torch.allclose(centre, torch.tensor([0.020, 0.024]).double(), atol=1e-4)


def test_contrast_detail_rows_and_columns():
    phantom = make("contrast_detail", spacing=0.5e-3)
    sizes = []
    for difference in (-60, -20, -5, 5, 20, 60):
        region = nodes_of(phantom, f"body {difference:+g} m/s")
        speeds = phantom.medium.sound_speed[deep(phantom, f"body {difference:+g} m/s")]
        assert torch.allclose(speeds, torch.tensor(1500.0 + difference).double())
        sizes.append(float(region.sum()) * 0.25)
    expected = np.pi / 4 * sum(d**2 for d in (20, 12, 8, 5, 3))
    assert sizes == pytest.approx([expected] * 6, rel=0.02)


def test_draws_follow_the_truncated_normal_distribution():
    rng = np.random.default_rng(0)
    draw = Draw(10.0, 2.0, 9.0, 11.0)
    values = np.array([draw.sample(rng) for _ in range(4000)])
    assert 9.0 <= values.min() < 9.01
    assert 10.99 < values.max() <= 11.0
    # The standard deviation of a normal distribution cut at half of its own, by its closed form.
    assert values.mean() == pytest.approx(10.0, abs=0.04)
    assert values.std() == pytest.approx(0.567, abs=0.02)
    assert Draw(5.0, 0.0, 5.0, 5.0).sample(rng) == 5.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "brest"}, "choose from breast"),
        ({"name": "nowhere.toml"}, "nowhere.toml: cannot be read"),
        ({"name": "breast", "seed": -1}, "must not be negative"),
        ({"name": "breast", "spacing": 0.4}, "400 mm"),
        ({"name": "breast", "spacing": float("nan")}, "nan mm"),
        ({"name": "breast", "tissue_preset": "park"}, "no tissue preset 'park'"),
        ({"name": "disk", "water_sound_speed": 1.5}, "got 1.5"),
    ],
)
def test_bad_arguments_are_answered_in_a_sentence(arguments, message):
    with pytest.raises(InputError, match=message):
        make(**arguments)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("title = ", "not valid TOML"),
        ('kind = "breast"', "lacks the key 'title'"),
        ('extends = "breast"\nbreasts = 2', "unknown key 'breasts'"),
        ('extends = "breast"\n[breast]\nfatness = 0.5', "unknown key 'fatness'"),
        ('extends = "breast"\n[breast]\nradius_mm = "large"', "must be a float, got 'large'"),
        ('extends = "breast"\n[breast]\nradius_mm = 90', "choose 20 to 70"),
        ('extends = "breast"\n[breast]\ndensity_class = "E"', "use fatty, scattered"),
        ('extends = "breast"\nkind = "torso"', "use breast, head or geometric"),
        ('extends = "disk"\n[[shapes]]\nkind = "disk"\nmaterial = "lead"\ncentre_mm = [0, 0]', "'lead'"),
        ('extends = "disk"\n[[shapes]]\nkind = "cube"\nmaterial = "insert"\ncentre_mm = [0, 0]', "'cube'"),
    ],
)
def test_a_malformed_recipe_is_named(tmp_path, text, message):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        make(str(path))
    assert "mine.toml" in str(caught.value)


def test_a_recipe_of_ones_own_can_extend_another(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('extends = "breast"\n[breast]\nmalignancies = 0\ncysts = 3\nfibroadenomas = 0')
    phantom = make(str(path), 2, **COARSE)
    assert nodes_of(phantom, "cyst").any()
    assert not nodes_of(phantom, "malignant").any()
    assert phantom.provenance["recipe"] == "mine"


def test_a_malformed_tissue_table_is_named(tmp_path):
    path = tmp_path / "tissue.toml"
    path.write_text('default = "a"\nreference_frequency = 1e6\n[presets.a]\nsource = "x"')
    with pytest.raises(InputError, match="preset a in .*tissue.toml lacks the key 'tissues'"):
        load_tissues(path=path)


def test_every_case_is_complete_and_names_a_phantom():
    assert "breast_ring" in case_names()
    for name in case_names():
        case = load_case(name)
        assert case.phantom in names()
        assert case.elements >= 8
        assert case.frequencies_mhz == tuple(sorted(case.frequencies_mhz))
        assert case.expected_rmse > 0
        assert set(filter(None, case.known_tissues.split(", "))) <= set(load_tissues("itrusst").tissues)
    with pytest.raises(InputError, match="choose from"):
        load_case("none")
