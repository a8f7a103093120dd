"""Stages and the rules by which frequencies become stages."""

import pytest

from usct.inversion.schedule import Stage, continuation, with_attenuation, with_misfits, within_budget

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


def test_misfits_count_stage_by_stage():
    stages = continuation((1e5, 2e5, 3e5), None, None, TEMPLATE)
    assert with_misfits(stages, ("least-squares",)) == stages
    assert [s.misfit for s in with_misfits(stages, ("phase", "normalised"))] == ["phase", *["normalised"] * 2]
    banded = with_misfits(stages, ("adaptive", "least-squares"))
    assert banded[0].frequencies == (1e5, 2e5, 3e5)
    assert banded[1:] == stages, "the band's frequencies come again, one by one"
    lossy = with_attenuation(banded)
    assert [s.frequencies for s in lossy if s.unknown == "attenuation"] == [(1e5,), (2e5,), (3e5,)]
    with pytest.raises(ValueError, match="three evenly spaced"):
        with_misfits(continuation((1e5, 2e5), None, None, TEMPLATE), ("envelope",))


def test_work_grows_with_frequency_and_inner_steps():
    low, high = Stage((1e5,)), Stage((2e5,))
    assert high.work > 2 * low.work
    assert Stage((1e5,), optimizer="l-bfgs").work < low.work < Stage((1e5,), n_inner=9).work


@pytest.mark.parametrize(
    ("counts", "budget", "shares", "updates"),
    [
        ((1, 1, 1), 6, [2, 2, 2], [1, 1, 1]),
        ((1, 1, 1), 14, [5, 5, 4], [4, 4, 3]),
        ((1, 2), 6, [2, 4], [1, 1]),
        ((1, 2), 8, [3, 5], [2, 1]),
        ((3,), 10, [10], [2]),
    ],
)
def test_a_budget_is_shared_out_so_that_each_stage_can_spend_its_part(counts, budget, shares, updates):
    schedule = tuple(Stage(tuple(1e5 * (n + 1) for n in range(count))) for count in counts)
    stages = within_budget(schedule, budget)
    assert [stage.max_solves for stage in stages] == shares
    assert sum(shares) == budget
    assert [stage.n_iterations for stage in stages] == updates
    assert all(stage.tolerance == 0 for stage in stages), "or small gains would leave some of it unspent"
    assert [stage.frequencies for stage in stages] == [stage.frequencies for stage in schedule]


@pytest.mark.parametrize(("counts", "least"), [((1, 1, 1), 6), ((1, 2), 6), ((4,), 8)])
def test_too_small_a_budget_is_refused_with_the_least_that_will_do(counts, least):
    schedule = tuple(Stage(tuple(1e5 * (n + 1) for n in range(count))) for count in counts)
    with pytest.raises(ValueError, match=f"budget of {least - 1} .*give at least {least},") as caught:
        within_budget(schedule, least - 1)
    assert "\n" not in str(caught.value)
    assert all(stage.n_iterations >= 1 for stage in within_budget(schedule, least))
