"""The state of a run survives a checkpoint to the bit."""

import pytest
import torch

from tests.helpers import random_like
from usct.inversion.state import Predicted, State
from usct.io.arrays import load_arrays, save_arrays
from usct.reconstruction import Record

HISTORY = (
    Record("60 kHz", 6e4, 1, 0.1 + 0.2, 12.5, 1e-13, 2, 0.25),
    Record("60 kHz + 90 kHz", 9e4, 2, 1 / 3, 2.5, 3e-13, 5, 1.75, 0.1 + 0.2),
)


def state(**changes: object) -> State:
    words: dict[str, object] = {
        "stage": 1,
        "iteration": 2,
        "field": {
            "white": random_like((3, 4), 1, False),
            "noise": torch.tensor(0.3, dtype=torch.float64),
            "mean": torch.tensor(1.5),
            "region": torch.tensor([True, False]),
        },
        "memory": {"mean": random_like((5,), 2, False), "count": torch.tensor(7.0, dtype=torch.float64)},
        "history": HISTORY,
        "done": True,
        "opening": (1480.0 + 1e-9, 1 / 3),
        "unfitted": random_like((9,), 3, False),
        "left": Predicted(
            torch.tensor([9e4], dtype=torch.float64), random_like((1, 2, 3), 4, True).to(torch.complex64)
        ),
    }
    return State(**(words | changes))


def assert_same(found: State, expected: State) -> None:
    for name in ("stage", "iteration", "history", "done", "opening"):
        assert getattr(found, name) == getattr(expected, name), name
    for name in ("field", "memory"):
        arrays, wanted = getattr(found, name), getattr(expected, name)
        assert arrays.keys() == wanted.keys()
        for key, values in wanted.items():
            assert arrays[key].dtype == values.dtype, key
            assert torch.equal(arrays[key], values), key
    assert (found.left is None) == (expected.left is None)
    if found.left is not None:
        for name in ("frequencies", "values"):
            kept, wanted = getattr(found.left, name), getattr(expected.left, name)
            assert kept.dtype == wanted.dtype
            assert torch.equal(kept, wanted)
    if expected.unfitted is None:
        assert found.unfitted is None
    else:
        assert torch.equal(found.unfitted, expected.unfitted)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"opening": None, "unfitted": None, "left": None},
        {"history": (), "memory": {}, "stage": 0, "iteration": 0, "done": False, "opening": None},
    ],
    ids=["within a stage", "between stages", "before the first update"],
)
@pytest.mark.parametrize("through_a_file", [False, True])
def test_a_state_comes_back_as_it_was(tmp_path, changes, through_a_file):
    expected = state(**changes)
    arrays, texts = expected.arrays()
    if through_a_file:
        save_arrays(tmp_path / "checkpoint.h5", arrays, texts)
        arrays, texts = load_arrays(tmp_path / "checkpoint.h5")
    assert_same(State.from_arrays(arrays, texts), expected)


def test_a_checkpoint_without_the_look_for_cycle_skips_is_still_read():
    arrays, texts = state(left=None).arrays()
    del arrays["history.skipped"]
    found = State.from_arrays(arrays, texts).history
    assert [record.skipped for record in found] == [None, None]
    assert [record.objective for record in found] == [record.objective for record in HISTORY]
