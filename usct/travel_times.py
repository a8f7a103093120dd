"""Travel times: what is left of a scan when only the first arrivals are kept."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from usct.acquisition import TransducerArray


@dataclass(frozen=True)
class TravelTimes:
    """How much later waves arrive with the object in the ring than through water alone.

    Differences from a water shot are free of the elements' delays, and almost of errors in their positions.

    Attributes:
        array: Geometry.
        delays: Arrival with the object minus arrival in water, shape (tx, rx), NaN where there is none [s].
        water_sound_speed: Sound speed of the coupling water [m/s], or None where unknown.
        title: A name for people.
        metadata: Further facts, text to text.
        notes: What the reader or picker changed or left out, in sentences.
    """

    array: TransducerArray
    delays: torch.Tensor
    water_sound_speed: float | None = None
    title: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check that delays and array agree."""
        expected = (len(self.array.transmits), len(self.array.receives))
        if tuple(self.delays.shape) != expected:
            raise ValueError(f"delays have shape {tuple(self.delays.shape)}, the array {expected}")
        if torch.isinf(self.delays).any():
            raise ValueError("delays must be finite, or NaN where there is none")
        object.__setattr__(self, "delays", self.delays.double())
        speed = self.water_sound_speed
        if speed is not None and not 1000 < speed < 2000:
            raise ValueError(f"water_sound_speed must lie in 1000 to 2000 m/s, got {speed:g}")

    @property
    def n_picks(self) -> int:
        """Number of channels that have a travel time."""
        return int(torch.isfinite(self.delays).sum())
