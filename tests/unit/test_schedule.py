"""Stages and the rules by which frequencies become stages."""

import pytest

from usct.inversion.schedule import Stage, continuation

TEMPLATE = Stage((1.0,), optimizer="l-bfgs", cutoff=0.8)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ({"frequencies": ()}, "a stage needs positive frequencies"),
        ({"frequencies": (0.0,)}, "a stage needs positive frequencies"),
        ({"frequencies": (1e5,), "n_iterations": 0}, "at least one iteration"),
        ({"frequencies": (1e5,), "n_inner": 0}, "one inner iteration"),
        ({"frequencies": (1e5,), "cutoff": 0.0}, "cutoff must lie in 0 to 2"),
    ],
)
def test_stages_that_cannot_run_are_refused(words, sentence):
    with pytest.raises(ValueError, match=sentence):
        Stage(**words)


def test_frequencies_rise_and_the_template_holds():
    stages = continuation((3e5, 1e5, 2e5), 4, None, TEMPLATE)
    assert [stage.frequencies for stage in stages] == [(1e5,), (2e5,), (3e5,)]
    assert {(s.optimizer, s.cutoff, s.n_iterations) for s in stages} == {("l-bfgs", 0.8, 4)}
    assert [s.source_weights for s in stages] == ["transmit", "both", "both"]
    assert stages[2].name == "300 kHz"


@pytest.mark.parametrize(("n_frequencies", "total"), [(1, 6), (2, 6), (3, 6), (4, 8), (8, 16)])
def test_few_frequencies_share_about_six_updates(n_frequencies, total):
    stages = continuation(tuple(1e5 * (n + 1) for n in range(n_frequencies)), None, None, TEMPLATE)
    assert sum(stage.n_iterations for stage in stages) == total


def test_one_frequency_gets_a_stage_of_each_kind():
    stages = continuation((3.5e5,), 5, None, TEMPLATE)
    assert [(s.n_iterations, s.source_weights) for s in stages] == [(3, "transmit"), (2, "both")]
    assert len(continuation((3.5e5,), 1, None, TEMPLATE)) == 1


def test_weights_that_are_asked_for_are_used_throughout():
    stages = continuation((1e5, 2e5), 2, "none", TEMPLATE)
    assert [s.source_weights for s in stages] == ["none", "none"]
    assert len(continuation((1e5,), 4, "transmit", TEMPLATE)) == 1


def test_work_grows_with_frequency_and_inner_steps():
    low, high = Stage((1e5,)), Stage((2e5,))
    assert high.work > 2 * low.work
    assert Stage((1e5,), optimizer="l-bfgs").work < low.work < Stage((1e5,), n_inner=9).work
