"""A phantom: a medium of known make-up."""

from dataclasses import dataclass, field

import torch

from usct.medium import Medium


@dataclass(frozen=True)
class Phantom:
    """A medium together with what each cell is made of.

    Attributes:
        medium: The acoustic properties.
        labels: Tissue of each cell as an index into `tissues`, shape medium.grid.shape, int16.
        tissues: Tissue names; the first is the surrounding water.
        title: A name for people.
        provenance: Recipe, seed, property table and generator version, text to text.
    """

    medium: Medium
    labels: torch.Tensor
    tissues: tuple[str, ...]
    title: str = ""
    provenance: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check that labels and medium agree."""
        if tuple(self.labels.shape) != self.medium.grid.shape:
            raise ValueError(
                f"labels have shape {tuple(self.labels.shape)}, the grid {self.medium.grid.shape}"
            )
        if int(self.labels.min()) < 0 or int(self.labels.max()) >= len(self.tissues):
            raise ValueError(f"labels must lie in 0 to {len(self.tissues) - 1}, the number of tissue names")
