"""Misfits by name."""

from collections.abc import Callable
from typing import Literal, get_args

from usct.misfit.adaptive import Adaptive
from usct.misfit.base import Misfit
from usct.misfit.beating import FrequencyDifference
from usct.misfit.envelope import Envelope
from usct.misfit.normalised import NormalisedCorrelation
from usct.misfit.phase import Phase
from usct.misfit.spectra import LeastSquares, SourceWeights
from usct.misfit.transport import Transport

SingleName = Literal["least-squares", "normalised", "phase"]
BandName = Literal["envelope", "transport", "adaptive", "difference"]
MisfitName = Literal[SingleName, BandName]
SINGLE_NAMES: tuple[str, ...] = get_args(SingleName)
BAND_NAMES: tuple[str, ...] = get_args(BandName)

_MAKERS: dict[str, Callable[[SourceWeights], Misfit]] = {
    "least-squares": LeastSquares,
    "normalised": NormalisedCorrelation,
    "phase": Phase,
    "envelope": Envelope,
    "transport": Transport,
    "adaptive": Adaptive,
    "difference": FrequencyDifference,
}


def misfit_of(name: MisfitName, source_weights: SourceWeights) -> Misfit:
    """The misfit of a name, which compares single frequencies or, if it is a `BandName`, whole bands."""
    return _MAKERS[name](source_weights)
