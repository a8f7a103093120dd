"""Fields in the loop: they find the image, go on exactly where they stopped, and are reshaped unseen."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
import torch

from tests.inversion.conftest import FREQUENCIES, IMAGE, WATER, error, inversion
from usct.inversion.schedule import Kernel, Schedule, Stage, continuation, within_budget
from usct.inversion.state import State
from usct.medium import Medium
from usct.parameterization.base import Parameterization
from usct.parameterization.fourier import FourierNetwork
from usct.parameterization.spectrum import tailored_spectrum
from usct.parameterization.tailored import TailoredGrid
from usct.reconstruction import Iterate, Reconstruction, Status

REGION = IMAGE.disc(32e-3)
BOUNDS = (1400.0, 1700.0)
BUDGET = 7
"""Factorisations: four for the first stage and three for the second, hence three updates and two."""

LINEAR = Stage((1.0,), n_inner=3)
NEURAL = Stage((1.0,), optimizer="adam", n_inner=10, learning_rate=3e-3)


def water() -> Medium:
    return Medium.homogeneous(IMAGE, WATER)


def wave(frequency: float) -> float:
    """Wavenumber in water [rad/m]."""
    return 2 * math.pi * frequency / WATER


def tailored_grid() -> TailoredGrid:
    return TailoredGrid(water(), REGION, BOUNDS, tailored_spectrum(wave(FREQUENCIES[0])))


def network(kind: str = "gaussian", adaptive: bool = False) -> FourierNetwork:
    highest = 1.8 * wave(FREQUENCIES[1])
    return FourierNetwork(
        water(), REGION, BOUNDS, kind, highest, n_features=48, n_hidden=24, adaptive=adaptive, seed=1
    )


@dataclass(frozen=True)
class Kind:
    """A representation, how it is trained, and what share of the start's error it must undercut."""

    make: Callable[[], Parameterization]
    template: Stage
    share: float

    @property
    def schedule(self) -> Schedule:
        return within_budget(continuation(FREQUENCIES, 2, None, self.template), BUDGET)


KINDS = {
    "measured": Kind(tailored_grid, LINEAR, 0.1),
    "fourier": Kind(network, NEURAL, 0.25),
    "tailored network": Kind(lambda: network("tailored", adaptive=True), NEURAL, 0.4),
}


@dataclass(frozen=True)
class Run:
    """A run that was not interrupted."""

    kind: Kind
    iterates: list[Iterate]
    result: Reconstruction


@pytest.fixture(scope="module", params=KINDS)
def whole(request, scan, observed) -> Run:
    kind, iterates = KINDS[request.param], []
    generator = narrow(scan, kind).iterate(observed)
    while True:
        try:
            iterates.append(next(generator))
        except StopIteration as end:
            return Run(kind, iterates, end.value)


def narrow(scan, kind: Kind):
    """Expected speeds narrower than the image's, so that the forward models depend on where a stage began."""
    return inversion(scan.array, kind.schedule, (1495.0, 1505.0), kind.make())


def test_the_image_beats_its_start_on_data_from_another_grid(scan, whole):
    result = whole.result
    assert result.status is Status.FINISHED
    assert error(result.medium, scan.truth) < whole.kind.share * error(result.start, scan.truth)
    outside = ~whole.kind.make().free_cells(IMAGE)
    assert torch.equal(result.medium.sound_speed[outside], result.start.sound_speed[outside])


def test_the_budget_is_spent_to_the_last_factorisation(whole):
    assert [record.n_solves for record in whole.result.history] == [2, 3, 4, 6, 7]


@pytest.mark.parametrize("n_done", [1, 3, 4], ids=["within a stage", "between stages", "in the last stage"])
def test_a_resumed_run_ends_bit_for_bit_like_an_uninterrupted_one(scan, observed, whole, n_done):
    last = whole.iterates[n_done - 1]
    resumed = narrow(scan, whole.kind).run(observed, State.from_arrays(last.arrays, last.texts))
    assert torch.equal(resumed.medium.sound_speed, whole.result.medium.sound_speed)
    for name in ("stage", "iteration", "objective", "step", "n_solves"):
        found, expected = ([getattr(r, name) for r in x.history] for x in (resumed, whole.result))
        assert found == expected, name
    assert resumed.field is not None
    assert whole.result.field is not None
    assert resumed.field.arrays.keys() == whole.result.field.arrays.keys()
    for name, values in resumed.field.arrays.items():
        assert torch.equal(values, whole.result.field.arrays[name]), name


@pytest.mark.parametrize(
    ("make", "template", "n_times"),
    [
        (tailored_grid, LINEAR, 5),
        (tailored_grid, replace(LINEAR, kernel=Kernel(0.0, 0.35)), 5),
        (KINDS["tailored network"].make, NEURAL, 2),
    ],
    ids=["measured at each update", "analytic", "measured at each stage"],
)
def test_retailoring_leaves_the_image_unchanged(scan, observed, monkeypatch, make, template, n_times):
    parameterization = make()
    retailor, changes, kernels = type(parameterization).retailor, [], []

    def watched(self, tailoring):
        with torch.no_grad():
            before = self(IMAGE).sound_speed
            retailor(self, tailoring)
            changes.append(float((self(IMAGE).sound_speed - before).abs().max()))
        shape = self.amplitude if isinstance(self, TailoredGrid) else self.amplitudes
        kernels.append(shape.clone())

    monkeypatch.setattr(type(parameterization), "retailor", watched)
    kind = Kind(make, template, 1.0)
    result = inversion(scan.array, kind.schedule, parameterization=parameterization).run(observed)
    assert result.status is Status.FINISHED
    assert len(changes) == n_times
    # Networks compute in single precision: 5e-7 of a change of 60 m/s, and a few sums of such.
    assert max(changes) < (1e-9 if isinstance(parameterization, TailoredGrid) else 3e-4), changes
    assert not torch.equal(kernels[0], kernels[-1]), "or there was nothing to hide"


def test_a_cutoff_beyond_the_diffraction_limit_asks_for_nothing_beyond_it(scan, observed):
    """Twice the limit lies beyond what the image grid holds, but no data tell of such detail."""
    stage = replace(LINEAR, frequencies=FREQUENCIES[1:], n_iterations=1, cutoff=2.0)
    assert 2 * stage.cutoff * wave(FREQUENCIES[1]) > math.pi / IMAGE.spacing
    result = inversion(scan.array, (stage,), parameterization=tailored_grid()).run(observed)
    assert result.status is Status.FINISHED
    assert error(result.medium, scan.truth) < 0.5 * error(result.start, scan.truth)
