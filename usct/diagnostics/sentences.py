"""What a diagnosis says, in plain sentences, each of them true on its own."""

import math
from dataclasses import replace

import torch

from usct.diagnosis import Decay, Diagnosis, ImageKernel, KernelDrift
from usct.units import KILOHERTZ, MILLIMETRE

HOLDS, ROUGHLY = 0.05, 0.3
"""Errors of the foretold change of the residuals up to which theory holds, and holds roughly."""

MEANT = ("tailored", "pixel", "filtered")
"""Representations whose own image the uncertainty is of; for others it is that of the most probable one."""

HALF_OPEN = 0.1
"""Response below which a representation counts as closed, as a share of its largest."""

FULL = 0.8
"""Share of the data, or of the parameters, from which on these are what limits the image."""

NOTICEABLE = 0.1
"""Share of the kernel from which on the constant is worth a word."""


def summary(diagnosis: Diagnosis, advice: str, unsettled: float = 0.0) -> Diagnosis:
    """The diagnosis with its sentences.

    Args:
        diagnosis: What was found.
        advice: Whether to go on, from `stop_suggestion`.
        unsettled: Share by which maps still changed when the search for them was broken off; 0 if they had settled.
    """
    sentences = (
        "" if diagnosis.resolution is None else _fineness(diagnosis, diagnosis.resolution),
        "" if diagnosis.standard_deviation is None else _sureness(diagnosis, diagnosis.standard_deviation),
        _unsettled(unsettled),
        _numbers(diagnosis),
        advice,
        _openness(diagnosis.image_kernel),
        _constant(diagnosis),
        _bias(diagnosis),
        "" if diagnosis.decay is None else _theory(diagnosis.decay),
        _drift(diagnosis.decay, diagnosis.drift),
    )
    return replace(diagnosis, summary=tuple(sentence for sentence in sentences if sentence))


def _fineness(diagnosis: Diagnosis, resolution: torch.Tensor) -> str:
    low, middle, high = (v / MILLIMETRE for v in _spread(resolution))
    if not math.isfinite(middle):
        return "No detail of the image is supported by these data."
    frequencies = " + ".join(f"{f / KILOHERTZ:g}" for f in diagnosis.frequencies)
    return (
        f"Detail finer than {middle:.2g} mm is not supported at {frequencies} kHz and {diagnosis.noise_db:.0f} dB "
        f"(from {low:.2g} to {high:.2g} mm, depending on the place): smaller things show up that wide."
    )


def _sureness(diagnosis: Diagnosis, deviation: torch.Tensor) -> str:
    _, middle, high = _spread(deviation)
    trained = (
        ""
        if diagnosis.representation in MEANT
        else " A trained network errs more than the image this is told of."
    )
    return (
        f"The sound speed is known to within {middle:.2g} m/s at a typical place (one standard deviation) and "
        f"{high:.2g} m/s at the worst places, as far as the model of the waves is right.{trained}"
    )


def _spread(values: torch.Tensor) -> tuple[float, float, float]:
    """Values that a twentieth, half and all but a twentieth of the finite ones stay below."""
    finite = values[torch.isfinite(values)].double()
    if not len(finite):
        return math.nan, math.nan, math.nan
    low, middle, high = torch.quantile(finite, torch.tensor([0.05, 0.5, 0.95]).double()).tolist()
    return low, middle, high


def _unsettled(change: float) -> str:
    if not change:
        return ""
    return f"Both maps are rough: they still changed by {100 * change:.0f} % when the search for them was broken off."


def _numbers(diagnosis: Diagnosis) -> str:
    kernel, have = diagnosis.data_kernel, diagnosis.n_parameters
    text = f"The data determine about {kernel.degrees_of_freedom:.0f} numbers"
    if kernel.degrees_of_freedom > FULL * have:
        return f"{text}, nearly as many as the {have} that make the image: a richer one would show more."
    # Pairs of elements that were used both ways say the same thing twice.
    if kernel.degrees_of_freedom > 0.5 * FULL * diagnosis.n_data:
        return f"{text}, nearly all that so few data can: more elements would show more, and aliases less."
    return f"{text} of the {have} that make the image; the others are as they were assumed, not measured."


def _openness(kernel: ImageKernel) -> str:
    """Say so if the representation closes long before the waves do."""
    open_bands = kernel.wavenumbers[kernel.representation >= HALF_OPEN]
    seen = kernel.wavenumbers[kernel.wavenumbers <= kernel.diffraction_limit]
    if not len(open_bands) or not len(seen) or float(open_bands.max()) >= 0.7 * float(seen.max()):
        return ""
    grants, reaches = (math.pi / float(w.max()) / MILLIMETRE for w in (open_bands, seen))
    return (
        f"By plain gradient steps this representation is slow to make detail finer than {grants:.2g} mm, where the "
        f"waves reach down to {reaches:.2g} mm; Gauss-Newton steps are not held up."
    )


def _constant(diagnosis: Diagnosis) -> str:
    share = diagnosis.data_kernel.constant_share
    if not share >= NOTICEABLE:
        return ""
    return (
        f"{100 * share:.0f} % of the kernel goes to making the whole image faster or slower; spectra that include this "
        "constant make everything else look weak."
    )


def _bias(diagnosis: Diagnosis) -> str:
    bias = diagnosis.data_kernel.frequency_bias
    if len(bias) < 2:
        return ""
    order = torch.tensor(diagnosis.frequencies).argsort()
    ratio = float(bias[order[0]] / bias[order[-1]])
    return (
        f"Through this representation the lowest frequency acts {ratio:.2g} times as strongly as the highest, "
        "compared with pixels."
    )


def _theory(decay: Decay) -> str:
    off = f"a few gradient steps changed the residuals as foretold to within {100 * decay.error:.0f} %"
    if decay.error <= HOLDS:
        return f"Theory holds here: {off}."
    if decay.error <= ROUGHLY:
        return f"Theory holds roughly: {off}."
    return f"Theory does not hold here: {off} only; take spectra and maps as rough guides."


def _drift(decay: Decay | None, drift: KernelDrift | None) -> str:
    """Along the run where that was followed, or else from its start to here."""
    if drift is None or not len(drift.updates):
        if decay is None or math.isnan(decay.drift):
            return ""
        return f"Since the start of the run the kernel has changed by {100 * decay.drift:.0f} %."
    most = int(drift.total.argmax())
    told = (drift.total, drift.representation, drift.waves)
    total, representation, waves = (100 * float(v[most]) for v in told)
    return (
        f"Along the run the kernel moved by up to {total:.0f} % (after update {int(drift.updates[most])}): by "
        f"{representation:.0f} % for what the representation grants alone, by {waves:.0f} % for the waves alone."
    )
