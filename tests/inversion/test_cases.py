"""A case of the repository meets the score that its file promises, and noise changes its image little."""

import re

from tests.bench import cases


def test_the_disk_case_meets_its_score_and_is_repeatable(capsys):
    assert cases.main(["disk_ring", "--repeat"]) == 0
    said = capsys.readouterr().out
    start, image, promised = (float(n) for n in re.findall(r"(?:start|image|promised) +([\d.]+)", said))
    assert image <= promised < 0.5 * start
    low, high = (float(n) for n in re.findall(r"agreement ([+-][\d.]+) and ([+-][\d.]+)", said)[0])
    assert -3.0 < low < -0.05 and 0.05 < high < 3.0
