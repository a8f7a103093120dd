"""Breasts and heads in three dimensions: what they are made of, seeds, grids, and their slices."""

import numpy as np
import pytest
import torch

from usct import io
from usct.batch import read_dataset, slice_dataset
from usct.cli.app import _exit_code as usct
from usct.errors import InputError
from usct.phantom import load_tissues, make_volume


@pytest.fixture(scope="module")
def breast():
    return make_volume("breast_scattered", 5, 2e-3)


@pytest.fixture(scope="module")
def head():
    return make_volume("head_haemorrhage", 2, 2e-3)


def share(made, of, among):
    labels = made.labels.numpy()
    counts = [np.count_nonzero(labels == made.tissues.index(name)) for name in among]
    return sum(n for n, name in zip(counts, among, strict=True) if name in of) / sum(counts)


def test_a_breast_has_the_fat_of_its_class_under_a_skin_and_no_skin_at_the_chest(breast):
    inside = [name for name in breast.tissues if name not in ("water", "skin")]
    assert share(breast, ("fat", "ligament"), inside) == pytest.approx(0.85, abs=0.05)
    labels = breast.labels.numpy()
    skin = breast.tissues.index("skin")
    # The chest wall is one plane: what lies behind it is not water.
    assert np.mean(labels[0][labels[0] > 0] == skin) < 0.15
    # Rays from the rim meet skin first.
    middle = labels[labels.shape[0] // 3]
    for line in (
        middle[middle.shape[0] // 2],
        middle[:, middle.shape[1] // 2],
        middle[middle.shape[0] // 2, ::-1],
    ):
        assert line[np.flatnonzero(line)[0]] == skin
    assert {"cyst", "fibroadenoma", "malignant"} <= set(breast.tissues)
    area = (labels > 0).sum(axis=(1, 2))
    assert area[0] == area.max() > 10 * area[-3]


def test_every_tissue_has_properties_within_the_table(breast, head):
    for made in (breast, head):
        table = load_tissues(made.provenance["tissue_preset"]).tissues
        for index, name in enumerate(made.tissues):
            speeds = made.medium.sound_speed[made.labels == index]
            assert torch.unique(speeds).numel() == 1
            assert table[name].sound_speed.low <= float(speeds[0]) <= table[name].sound_speed.high
        assert made.medium.density is not None
        assert made.medium.attenuation is not None


def test_a_head_is_wrapped_in_its_layers(head):
    labels = head.labels.numpy()
    _, ny, nx = labels.shape
    line = labels[labels.shape[0] // 2, ny // 2, : nx // 2]
    runs = [head.tissues[i] for i, before in zip(line[1:], line[:-1], strict=True) if i != before]
    coarse = {"cortical": "bone", "trabecular": "bone", "grey": "brain", "white": "brain"}
    # The fluid may be thinner than a cell.
    order = [coarse.get(name, name) for name in runs if name != "csf"]
    assert list(dict.fromkeys(order))[:3] == ["scalp", "bone", "brain"]
    assert {"cortical", "trabecular", "csf", "grey", "white"} <= set(head.tissues)
    brain = ("grey", "white", "haemorrhage")
    assert 0.4 < share(head, brain, [t for t in head.tissues if t != "water"]) < 0.75
    # Half axes of 86 and 71 mm.
    rows, columns = (np.flatnonzero((labels > 0).any(axis=axes)) for axes in ((0, 2), (0, 1)))
    assert np.ptp(rows) * 2 == pytest.approx(172, abs=8)
    assert np.ptp(columns) * 2 == pytest.approx(142, abs=8)
    volume = (labels == head.tissues.index("haemorrhage")).sum() * 8e-9
    assert 5e-3 < (6 * volume / np.pi) ** (1 / 3) < 40e-3


def test_seeds_and_spacings(breast):
    again, other = (make_volume("breast_scattered", seed, 4e-3) for seed in (5, 6))
    names, same, others = (
        np.array(made.tissues)[made.labels[: 18 * step : step, ::step, ::step].numpy()]
        for made, step in ((again, 1), (breast, 2), (other, 1))
    )
    # Level maps are rounded to single precision.
    assert np.mean(names == same) > 0.9999
    inside = (same != "water") | (others != "water")
    assert np.mean((names == others)[inside]) < 0.9


def test_a_volume_is_cut_into_a_dataset(breast, tmp_path):
    cases = slice_dataset(tmp_path / "slices", breast, 16e-3)
    assert [case.name for case in read_dataset(tmp_path / "slices")] == [case.name for case in cases]
    assert len(cases) >= 4
    cut = io.load(cases[1].path)
    assert torch.equal(cut.labels, breast.labels[8])
    assert torch.equal(cut.medium.density, breast.medium.density[8])
    assert cut.medium.grid.origin == breast.medium.grid.origin[1:]
    with pytest.raises(InputError, match="2 axes"):
        slice_dataset(tmp_path / "more", cut, 16e-3)
    with pytest.raises(InputError, match="another population"):
        slice_dataset(tmp_path / "slices", breast, 8e-3)


def test_the_command_makes_volumes_and_slices(tmp_path, capsys):
    path, folder = tmp_path / "v.h5", tmp_path / "slices"
    command = ["phantom", "breast_dense", "--spacing-mm", "4"]
    assert usct([*command, "--volume", "-o", str(path), "--tissue-preset", "li2022"]) == 0
    assert "tissues of li2022" in capsys.readouterr().out
    assert io.load(path).medium.grid.n_dims == 3
    assert usct([*command, "--slices-mm", "20", "-o", str(folder)]) == 0
    assert len(read_dataset(folder)) == 3
    assert usct(["phantom", "disk", "--volume", "-o", str(path)]) == 2
    assert usct(["phantom", "breast", "--volume", "--count", "2", "-o", str(folder)]) == 2
