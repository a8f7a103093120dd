"""What a propagator is asked for and what it returns."""

from dataclasses import dataclass

import torch

from usct.forward.sampling import Sampling


@dataclass(frozen=True)
class Shots:
    """Signals sent into one medium, and what to record of the answer.

    Attributes:
        sampling: Nodes and weights of all elements, in the padded grid.
        transmits: Elements that send in each shot, shape (shot, sender).
        signals: What they send at every step, shape (shot, sender, time), or (1, sender, time) for all shots.
        receives: Elements that are recorded, shape (rx,).
        cells: Flat nodes at which the field is transformed, shape (cell,), or None.
        kernel: Factors of the transform, shape (freq, time), complex128, or None.
        every: The transform takes one step in so many; the kernel accounts for it.
    """

    sampling: Sampling
    transmits: torch.Tensor
    signals: torch.Tensor
    receives: torch.Tensor
    cells: torch.Tensor | None = None
    kernel: torch.Tensor | None = None
    every: int = 1

    @property
    def n_shots(self) -> int:
        """Number of shots."""
        return len(self.transmits)

    def empty_fields(self, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
        """Zeros for the transformed fields."""
        assert self.cells is not None and self.kernel is not None, "no transform was asked for"
        shape = len(self.kernel), self.n_shots, len(self.cells)
        kind = torch.complex64 if dtype == torch.float32 else torch.complex128
        return torch.zeros(shape, device=device, dtype=kind)


@dataclass(frozen=True)
class Records:
    """What was recorded.

    Attributes:
        traces: Field at the elements before every step, shape (shot, rx, time).
        fields: Transformed fields, shape (freq, shot, cell), or None.
        rest: What is left of the field at the end, the sum of the 2-norms of its last two values, shape (shot,).
    """

    traces: torch.Tensor
    fields: torch.Tensor | None
    rest: torch.Tensor
