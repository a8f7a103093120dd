"""Nested dissection of a regular grid: the elimination plan that every executor of the direct solver follows.

A box of nodes is split by a separator, one line thick, into two boxes that share no coupling; each of them
is split again until it is a small leaf. Eliminating the leaves first and the separators after them leaves
dense *fronts*: the nodes eliminated together (`inner`) and the ring of nodes around the box, all on
separators further up (`outer`). Boxes of equal size that touch the same sides of the grid have fronts with
equal structure, so the plan stores every structure once, in a `Group`, with an offset for each front.

References:
    George, SIAM J. Numer. Anal. 10 (1973) 345; Duff & Reid, ACM Trans. Math. Softw. 9 (1983) 302.
"""

import functools
from dataclasses import dataclass

import numpy as np

from usct.forward.stencil import NEIGHBOURS


@dataclass(frozen=True)
class Layout:
    """Where the separators lie.

    Attributes:
        leaf_width: Boxes at most this wide are eliminated as one front; smaller leaves mean more, larger ones
            wasted work.
        first_cut: Place of the first separator along each axis, as a share of it; all later ones halve their
            box. Other places than the middle change the size of every box, for a little more work.
    """

    leaf_width: int = 6
    first_cut: float = 0.5


STANDARD = Layout()


@dataclass(frozen=True)
class Child:
    """One of the two boxes inside each box of a group.

    Attributes:
        group: Index of the child's group in the plan.
        start: The children of this group's fronts are the child group's fronts from here on, in order.
        places: Where the child's outer nodes lie among the parent's inner and outer nodes, shape (b_child,).
    """

    group: int
    start: int
    places: np.ndarray


@dataclass(frozen=True)
class Group:
    """Fronts of equal structure; node numbers are flat indices relative to a front's offset.

    Attributes:
        shape: Size of each box (ny, nx).
        inner: Nodes eliminated by each front, shape (s,).
        outer: Nodes around the box, shape (b,).
        offsets: Flat index of the first node of every box, shape (n_fronts,).
        rows: Inner node of every coupling, as an index into `inner`, shape (n_couplings,).
        columns: Its partner, as an index into inner followed by outer, shape (n_couplings,).
        couplings: Where its value lies in the flattened (5, ny, nx) operator, relative to the offset.
        children: The boxes on both sides of the separator; empty for leaves.
    """

    shape: tuple[int, int]
    inner: np.ndarray
    outer: np.ndarray
    offsets: np.ndarray
    rows: np.ndarray
    columns: np.ndarray
    couplings: np.ndarray
    children: tuple[Child, ...]

    @property
    def n_fronts(self) -> int:
        """Number of fronts."""
        return len(self.offsets)


@dataclass(frozen=True)
class Plan:
    """Groups in the order of elimination, children before parents; the last holds the root alone.

    Attributes:
        shape: Size of the grid (ny, nx).
        groups: The groups.
    """

    shape: tuple[int, int]
    groups: tuple[Group, ...]

    @functools.cached_property
    def waves(self) -> tuple[tuple[int, ...], ...]:
        """Groups that can be eliminated at the same time, wave after wave; substitution runs backwards."""
        height: list[int] = []
        for group in self.groups:
            height.append(1 + max((height[child.group] for child in group.children), default=-1))
        return tuple(
            tuple(number for number, its in enumerate(height) if its == wave)
            for wave in range(max(height) + 1)
        )


Key = tuple[int, int, bool, bool, bool, bool]
"""Height and width of a box, and whether it touches the grid's top, bottom, left and right rim."""


@functools.lru_cache(maxsize=16)
def dissect(shape: tuple[int, int], layout: Layout = STANDARD) -> Plan:
    """Plan the elimination of a grid with 9-point couplings.

    Args:
        shape: Number of nodes (ny, nx), both at least 1.
        layout: Where the separators lie.

    Returns:
        The plan; calls with equal arguments share one.
    """
    root: Key = (*shape, True, True, True, True)
    offsets: dict[Key, list[np.ndarray]] = {root: [np.zeros(1, dtype=np.int64)]}
    starts: dict[tuple[Key, int], int] = {}
    # A box is larger than the boxes inside it, so going down in size meets every parent before its children.
    pending, order = {root}, []
    while pending:
        key = max(pending, key=lambda k: (k[0] * k[1], k))
        pending.discard(key)
        order.append(key)
        here = np.concatenate(offsets[key])
        for side, (child, dy, dx) in enumerate(_split(key, layout)):
            known = offsets.setdefault(child, [])
            starts[key, side] = sum(map(len, known))
            known.append(here + dy * shape[1] + dx)
            pending.add(child)
    order.reverse()
    index = {key: number for number, key in enumerate(order)}
    groups = []
    for key in order:
        inner, outer = _front(key, layout)
        children = tuple(
            Child(index[child], starts[key, side], _places(key, child, dy, dx, layout))
            for side, (child, dy, dx) in enumerate(_split(key, layout))
        )
        rows, columns, couplings = _couplings(inner, outer, shape)
        flat_inner, flat_outer = (
            np.array([y * shape[1] + x for y, x in n], dtype=np.int64) for n in (inner, outer)
        )
        groups.append(
            Group(
                key[:2],
                flat_inner,
                flat_outer,
                np.concatenate(offsets[key]),
                rows,
                columns,
                couplings,
                children,
            )
        )
    return Plan(shape, tuple(groups))


def _split(key: Key, layout: Layout) -> tuple[tuple[Key, int, int], ...]:
    """The two boxes beside the separator of a box, with their places in it; none for a leaf."""
    height, width, top, bottom, left, right = key
    if max(height, width) <= max(layout.leaf_width, 2):
        return ()
    if height >= width:
        middle = _middle(height, top and bottom, layout)
        below = height - middle - 1
        return (
            ((middle, width, top, False, left, right), 0, 0),
            ((below, width, False, bottom, left, right), middle + 1, 0),
        )
    middle = _middle(width, left and right, layout)
    beyond = width - middle - 1
    return (
        ((height, middle, top, bottom, left, False), 0, 0),
        ((height, beyond, top, bottom, False, right), 0, middle + 1),
    )


def _middle(length: int, is_first: bool, layout: Layout) -> int:
    """Where a box is cut; the sides of the cut both hold something."""
    place = int(length * (layout.first_cut if is_first else 0.5))
    return min(max(place, 1), length - 2)


@functools.lru_cache(maxsize=4096)
def _front(key: Key, layout: Layout) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Inner and outer nodes (y, x) of a box, relative to its first node."""
    height, width, top, bottom, left, right = key
    if not _split(key, layout):
        inner = [(y, x) for y in range(height) for x in range(width)]
    elif height >= width:
        middle = _middle(height, top and bottom, layout)
        inner = [(middle, x) for x in range(width)]
    else:
        middle = _middle(width, left and right, layout)
        inner = [(y, middle) for y in range(height)]
    first, last = (0 if left else -1), (width if right else width + 1)
    outer = [] if top else [(-1, x) for x in range(first, last)]
    sides = ([] if left else [-1]) + ([] if right else [width])
    outer += [(y, x) for y in range(height) for x in sides]
    outer += [] if bottom else [(height, x) for x in range(first, last)]
    return inner, outer


def _places(key: Key, child: Key, dy: int, dx: int, layout: Layout) -> np.ndarray:
    inner, outer = _front(key, layout)
    place = {node: number for number, node in enumerate(inner + outer)}
    return np.array([place[y + dy, x + dx] for y, x in _front(child, layout)[1]], dtype=np.int64)


def _couplings(
    inner: list[tuple[int, int]], outer: list[tuple[int, int]], shape: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Couplings of the inner nodes among themselves and with the outer ones, each direction of a pair."""
    place = {node: number for number, node in enumerate(inner + outer)}
    found = []
    for row, (y, x) in enumerate(inner):
        for kind, (dy, dx) in enumerate(NEIGHBOURS):
            for sign in (1, -1) if kind else (1,):
                partner = place.get((y + sign * dy, x + sign * dx))
                if partner is not None:
                    base_y, base_x = (y, x) if sign > 0 else (y - dy, x - dx)
                    found.append((row, partner, (kind * shape[0] + base_y) * shape[1] + base_x))
    rows, columns, couplings = (np.array(column, dtype=np.int64) for column in zip(*found, strict=True))
    return rows, columns, couplings
