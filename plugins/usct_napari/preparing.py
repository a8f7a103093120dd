"""What napari does before its first layer of a kind, done in a thread, because the window would not answer meanwhile.

It loads libraries, and compiles: in a new environment that takes seconds for labels and shapes.
"""

from functools import cache
from typing import Any

import numpy as np

_EXAMPLES: dict[str, tuple[Any, dict[str, Any]]] = {
    "image": (np.eye(2, dtype=np.float32), {}),
    "labels": (np.eye(2, dtype=np.int32), {}),
    "points": (np.zeros((1, 2)), {"features": {"index": [0]}}),
    "shapes": ([np.eye(2)], {"shape_type": "line"}),
}
"""Data and facts of the least layer of each kind."""


def prepare(*kinds: str) -> None:
    """Make napari ready for layers of some kinds.

    Args:
        kinds: Such as image; repeated and unknown ones cost nothing.
    """
    for kind in kinds:
        _make_one(kind)


@cache
def _make_one(kind: str) -> None:
    if kind in _EXAMPLES:
        from napari.layers import Layer

        data, facts = _EXAMPLES[kind]
        Layer.create(data, facts, kind)
