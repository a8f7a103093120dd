"""The experiments on heads: wrong skulls are as wrong as they are said to be, and what was computed is kept."""

from dataclasses import replace

import pytest
import torch

from tests.bench import heads, unknown_skull
from usct import phantom
from usct.config import load_config

ROW = heads.Row(9, True, "wrong", 0.08, 57.0, 12.0, 16.0, 8.0, 200.0, 190.0, 30.0, 31.0, 2.0, 6.0)


@pytest.mark.parametrize("seed", [1, 2, 9])
def test_wrong_skulls_are_wrong_by_seven_to_ten_per_cent(seed: int) -> None:
    wrong = heads.wrong_of(seed)
    assert 0.07 <= abs(wrong) <= 0.1 and (wrong > 0) is bool(seed % 2)


def test_a_start_knows_the_skull_and_nothing_of_the_brain() -> None:
    head = phantom.make("head_haemorrhage", seed=2, spacing=2e-3)
    brain, bone, lesion = heads.parts(head)
    assert bool(lesion.any()) and not bool((brain & bone).any())
    start = heads.start_of(head, *heads.uneven(head, 0.08))
    truth = head.medium
    assert start.density is not None and truth.density is not None
    assert start.attenuation is not None and truth.attenuation is not None
    assert start.sound_speed[brain].unique().tolist() == [float(truth.sound_speed[0, 0])]
    assert len(start.density[brain].unique()) == len(start.attenuation[brain].unique()) == 1
    speed, density, loss = (
        (ours / theirs - 1)[bone]
        for ours, theirs in (
            (start.sound_speed, truth.sound_speed),
            (start.density, truth.density),
            (start.attenuation, truth.attenuation),
        )
    )
    assert 0.03 < float(speed.std()) < 0.05
    torch.testing.assert_close(density, 0.5 * speed)
    torch.testing.assert_close(loss, torch.full_like(loss, 0.32))
    outside = ~brain & ~bone
    assert torch.equal(start.sound_speed[outside], truth.sound_speed[outside])


def test_rows_are_kept(tmp_path) -> None:
    file = tmp_path / "rows.jsonl"
    assert heads.remembered(file, "one") is None
    heads.remember(file, "one", ROW)
    heads.remember(file, "two", replace(ROW, seed=10))
    assert heads.remembered(file, "one") == ROW
    assert heads.remembered(file, "two") == replace(ROW, seed=10)


def test_the_summary_tells_heads_apart() -> None:
    rows = [replace(ROW, seed=s, brain=12.0 + s) for s in range(6)]
    rows += [replace(row, bleeds=False, contrast=1.0) for row in rows]
    text = heads.summary("wrong", rows)
    assert "AUC 1.00" in text and "contrast recovered 0.97" in text and "12 runs" in text
    assert "AUC" not in heads.summary("wrong", rows[:6])


def test_ways_past_an_unknown_skull_are_charted(tmp_path) -> None:
    for _, settings in unknown_skull.METHODS.values():
        load_config("transcranial", None, settings)
    assert unknown_skull.shows(ROW) and not unknown_skull.shows(replace(ROW, mirrored=20.0))
    ways = {"one": [ROW], "two": [replace(ROW, mirrored=20.0)]}
    unknown_skull.draw({1.0: ways, 0.5: ways}, tmp_path / "chart.png")
    assert (tmp_path / "chart.png").read_bytes()[:4] == b"\x89PNG"


def test_a_softened_skull_keeps_all_but_its_bone() -> None:
    head = phantom.make("head_haemorrhage", seed=2, spacing=2e-3)
    soft = unknown_skull.softened(head, 0.25).medium.sound_speed
    bone, truth = heads.parts(head)[1], head.medium.sound_speed
    torch.testing.assert_close(soft[bone] - truth[0, 0], 0.25 * (truth[bone] - truth[0, 0]))
    assert torch.equal(soft[~bone], truth[~bone])
