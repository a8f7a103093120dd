"""Cases of the repository meet the scores that their files promise, and noise changes an image little."""

import re
from dataclasses import replace

from tests.bench import cases
from usct import phantom


def test_the_disk_case_meets_its_score_and_is_repeatable(capsys):
    assert cases.main(["disk_ring", "--repeat"]) == 0
    said = capsys.readouterr().out
    start, image, promised = (float(n) for n in re.findall(r"(?:start|image|promised) +([\d.]+)", said))
    assert image <= promised < 0.5 * start
    low, high = (float(n) for n in re.findall(r"agreement ([+-][\d.]+) and ([+-][\d.]+)", said)[0])
    assert -3.0 < low < -0.05 and 0.05 < high < 3.0


def test_the_head_case_shrunk_to_a_third_is_seen_through_its_skull(monkeypatch, capsys):
    whole = phantom.load_case("head_ring")
    shrunk = replace(
        whole, elements=48, frequencies_mhz=(0.05, 0.08), simulation_spacing_mm=1.6, expected_rmse=20.0
    )
    made = phantom.make(whole.phantom, seed=whole.seed, spacing=1e-3)
    monkeypatch.setattr(phantom, "load_case", lambda _: shrunk)
    monkeypatch.setattr(phantom, "make", lambda *_, **__: made)
    assert cases.main(["head_ring"]) == 0
    start, image = (float(n) for n in re.findall(r"(?:start|image) +([\d.]+)", capsys.readouterr().out))
    assert image < 0.35 * start
