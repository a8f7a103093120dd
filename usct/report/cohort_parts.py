"""What a page is made of."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """A table of text."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Picture:
    """A figure as text, with what it shows."""

    alt: str
    image: str


@dataclass(frozen=True)
class Section:
    """One part of the page; what is empty is left out.

    Attributes:
        title: Heading.
        text: What it says.
        tables: Tables.
        pictures: Figures, side by side where there is room.
        definition: How the numbers are defined, in small print below them.
    """

    title: str
    text: str = ""
    tables: Sequence[Table] = ()
    pictures: Sequence[Picture] = ()
    definition: str = ""
