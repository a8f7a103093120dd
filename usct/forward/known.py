"""A forward model in which some properties are known: they join every medium before the waves are solved."""

from dataclasses import dataclass, replace

import torch

from usct.forward.base import ForwardModel
from usct.forward.born import LinearizedForward
from usct.medium import Medium


@dataclass(frozen=True)
class KnownProperties(ForwardModel):
    """Adds a known density, and a known attenuation with its dispersion where the medium has none of its own.

    Attributes:
        model: What solves for the waves.
        known: On the model's grid.
        plain: What the known medium's sound speed was taken for on this grid by whoever makes the media, shape
            grid.shape [m/s]: they know nothing of what cells hold below their size, such as half of bone. Theirs are
            multiplied by the known medium's over this. None if the known sound speed is to play no part.
    """

    model: ForwardModel
    known: Medium
    plain: torch.Tensor | None = None

    def __post_init__(self) -> None:
        """Take over what describes the model."""
        if self.known.grid != self.model.grid:
            raise ValueError("the known properties must be on the forward model's grid; use Medium.resampled")
        for name in ("grid", "array", "water_sound_speed", "pml_cells"):
            object.__setattr__(self, name, getattr(self.model, name))

    def __call__(self, medium: Medium, frequencies: torch.Tensor) -> torch.Tensor:
        """Predict the spectra of unit sources; see ForwardModel."""
        return self.model(self._completed(medium), frequencies)

    def squared_slowness(self, medium: Medium, frequency: float) -> torch.Tensor:
        """See ForwardModel."""
        return self.model.squared_slowness(self._completed(medium), frequency)

    def linearize(
        self, medium: Medium, frequency: float, region: torch.Tensor | None = None, check: bool = True
    ) -> LinearizedForward:
        """See ForwardModel."""
        return self.model.linearize(self._completed(medium), frequency, region, check)

    def _completed(self, medium: Medium) -> Medium:
        known = self.known.to(medium.sound_speed.device)
        if self.plain is not None:
            share = known.sound_speed / self.plain.to(known.sound_speed.device)
            medium = replace(medium, sound_speed=medium.sound_speed * share)
        medium = replace(medium, density=known.density if medium.density is None else medium.density)
        if medium.attenuation is not None or known.attenuation is None:
            return medium
        return replace(
            medium,
            attenuation=known.attenuation,
            attenuation_power=known.attenuation_power,
            reference_frequency=known.reference_frequency,
            speed_frequency=known.speed_frequency,
        )
