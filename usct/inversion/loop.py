"""The inversion: the schedule's stages one after the other, as a generator of iterates."""

import math
import time
from collections.abc import Callable, Generator
from dataclasses import replace

import torch

from usct.acquisition import Spectra, TransducerArray
from usct.grid import Grid
from usct.inversion.band import Band, BandData
from usct.inversion.discretization import Discretization
from usct.inversion.edges import sharpest_step
from usct.inversion.objective import Objective, Point
from usct.inversion.optimizers import Optimizer, optimizer_for
from usct.inversion.schedule import Kernel, Schedule, Stage
from usct.inversion.state import Predicted, State
from usct.inversion.stepping import NotFiniteError, is_finite, stepped
from usct.inversion.tailoring import expected_envelope, measure
from usct.medium import Medium
from usct.misfit.catalogue import misfit_of
from usct.parameterization.base import Parameterization
from usct.parameterization.catalogue import trained
from usct.reconstruction import Iterate, Reconstruction, Record, Status

SLACK = 0.02
"""Share by which an image that was sharpened may explain the data less well."""
BAND_KERNEL = Kernel(sharpness=0.0, reach=0.35)
"""Where misfits of bands do not say what each datum is off by, which measured kernels are made from."""


class Inversion:
    """Frequency-domain full-waveform inversion.

    It opens no file, prints nothing and draws nothing: whoever runs it consumes the iterates.

    Args:
        array: Elements.
        discretization: How forward models are built.
        parameterization: What makes the medium; it starts from where it stands, and moves to the device of the
            forward models.
        schedule: Stages.
        grid: Grid of the images that are handed out.

    Attributes:
        enough: Tells at a point that a stage's data have nothing left to teach; None to go through all iterations.
        misses: Tells from an image's predictions the share of pairs that it misses by more than half a period of their
            lowest frequency, NaN where that cannot be told; None for not asking. Stages hand over to each other what is
            needed, so that it costs no solution of the wave equation.
    """

    def __init__(
        self,
        array: TransducerArray,
        discretization: Discretization,
        parameterization: Parameterization,
        schedule: Schedule,
        grid: Grid,
    ) -> None:
        if not schedule:
            raise ValueError("the schedule is empty; give at least one frequency")
        self.array = array
        self.discretization = discretization
        self.parameterization = parameterization.to(discretization.device)
        self.schedule = schedule
        self.grid = grid
        self.enough: Callable[[Point], bool] | None = None
        self.misses: Callable[[Predicted], float] | None = None
        self.start = self._medium()
        self._region = parameterization.free_cells(grid)
        self._unfitted: torch.Tensor | None = None
        self._last = self._fresh()

    def run(self, observed: Spectra, state: State | None = None) -> Reconstruction:
        """Run to the end without looking at the iterates."""
        iterates = self.iterate(observed, state)
        while True:
            try:
                next(iterates)
            except StopIteration as end:
                return end.value

    def iterate(
        self, observed: Spectra, state: State | None = None
    ) -> Generator[Iterate, None, Reconstruction]:
        """Run the schedule, yielding after every model update and returning the reconstruction.

        Closing the generator between two iterates cancels the run; the last iterate's medium is the image.

        Args:
            observed: Data with their weights; they must hold every frequency of the schedule.
            state: Where to go on from, or None to start.
        """
        state = state or self._fresh()
        self._set(state)
        self._last = state
        clock = time.perf_counter() - (state.history[-1].seconds if state.history else 0.0)
        while state.stage < len(self.schedule):
            try:
                for updated in self._stage(observed, state, clock):
                    state = updated
                    self._last = state
                    yield self._iterate(state)
            except NotFiniteError as error:
                return self._finish(Status.NOT_FINITE, f" {error}")
            state = replace(
                state, stage=state.stage + 1, iteration=0, memory={}, done=False, opening=None, unfitted=None
            )
        self._last = self._told(state, None)
        return self._finish(Status.FINISHED)

    def _told(self, state: State, opening: Predicted | None) -> State:
        """The state with what can be told of the image that the stage before left.

        Where that stage had one frequency, the opening of the next one, by the same image, tells the rest.
        """
        left = state.left
        if left is None or self.misses is None:
            return state
        if len(left.frequencies) == 1 and opening is not None:
            left = left.beside(opening)
        share = self.misses(left)
        told = replace(state.history[-1], skipped=None if math.isnan(share) else share)
        return replace(state, history=(*state.history[:-1], told), left=None)

    def _stage(self, observed: Spectra, state: State, clock: float) -> Generator[State, None, None]:
        """Updates of one stage, from the state on."""
        if state.done:
            return
        stage = self.schedule[state.stage]
        # Models fitted to the present medium would differ after a resume from those before it.
        speeds = state.opening or self._speeds()
        objective = self._objective(stage, observed, speeds)
        optimizer = optimizer_for(stage)
        optimizer.restore({name: v.to(self.discretization.device) for name, v in state.memory.items()})
        self._unfitted = state.unfitted
        opened_with, solved_before = _solves(state, len(stage.frequencies))
        point = objective.at(self.parameterization.vector())
        if not is_finite(point):
            raise NotFiniteError(f"It was met at the start of {stage.name}, before any update there.")
        state = self._told(state, Predicted.of(stage.frequencies, point.residuals))
        if stage.max_solves is not None:
            objective.max_solves = stage.max_solves + opened_with - solved_before
        for iteration in range(state.iteration, stage.n_iterations):
            image = self._medium().sound_speed
            before, point = point, self.tailored_at(point, stage, iteration)
            point = self._update(objective, optimizer, stage, point)
            step = float((self._medium().sound_speed - image).square().mean().sqrt())
            record = Record(
                stage.name,
                max(stage.frequencies),
                len(state.history) + 1,
                2 * point.value,
                step,
                point.solver_residual,
                solved_before + objective.n_solves,
                time.perf_counter() - clock,
            )
            gained = before.value - point.value
            settled = optimizer.monotone and not gained > stage.tolerance * before.value
            last = objective.n_left == 0 or iteration + 1 == stage.n_iterations
            done = settled or last or self._is_enough(point, stage)
            history = (*state.history, record)
            state = State(
                state.stage,
                iteration + 1,
                self._field(),
                {name: v.cpu() for name, v in optimizer.memory().items()},
                history,
                done,
                speeds,
                self._unfitted,
                Predicted.of(stage.frequencies, point.residuals) if done else None,
            )
            yield state
            if done:
                return

    def _is_enough(self, point: Point, stage: Stage) -> bool:
        """Whether the stage may end early; only what is said of the sound speed is known to be true."""
        return self.enough is not None and stage.unknown == "sound_speed" and self.enough(point)

    def tailored_at(self, point: Point, stage: Stage, iteration: int) -> Point:
        """The point with the kernel tailored anew to its data, where the parameterization wants that."""
        when = self.parameterization.tailored
        if stage.sharpens or when == "never" or (when == "stage" and iteration > 0):
            return point
        wave, water = self._wavenumber(stage), self.discretization.water_sound_speed
        kernel = BAND_KERNEL if stage.is_band and stage.kernel is None else stage.kernel
        if kernel is not None:
            tailoring = kernel.tailoring(wave, min(stage.cutoff, 1.0))
        else:
            image = self._medium().sound_speed
            # Held cells stand for known ones, such as bone, which departs most and is expected to change least.
            held = self.parameterization.is_held
            freedom = self.parameterization.freedom.cpu() if held else None
            envelope = (
                torch.ones_like(image)
                if held
                else expected_envelope(image, self.grid.spacing, water, 2 * math.pi / wave)
            )
            cutoff = 2 * min(stage.cutoff, 1.0) * wave  # beyond the diffraction limit nothing is seen
            tailoring, self._unfitted = measure(
                point, self.grid, self._region, envelope, cutoff, iteration, self._unfitted, freedom
            )
        self.parameterization.retailor(tailoring)
        return point.again()

    def _wavenumber(self, stage: Stage) -> float:
        return 2 * math.pi * stage.detail_frequency / self.discretization.water_sound_speed

    def _update(self, objective: Objective, optimizer: Optimizer, stage: Stage, point: Point) -> Point:
        """One step, halved while it raises the objective; without a better point the old one stays.

        Raises:
            NotFiniteError: If the step is not finite, or the objective is not however short the step.
        """
        if stage.sharpens:
            return self._sharpened(objective, stage, point)
        cutoff = 2 * stage.cutoff * self._wavenumber(stage)
        step = optimizer.step(point, lambda v: self.parameterization.precondition(v, cutoff))

        def go(length: float) -> None:
            self.parameterization.load(point.parameters + step * length)
            self.parameterization.constrain()

        trial = stepped(objective, stage.name, step, go, point.value if optimizer.monotone else math.inf)
        if trial is None:
            optimizer.forget()
            self.parameterization.load(point.parameters)
        return trial or point

    def _sharpened(self, objective: Objective, stage: Stage, point: Point) -> Point:
        """The sharpest image that explains the data as well, or on the way to it as far as the waves are linear.

        Raises:
            NotFiniteError: As for an update.
        """
        start, before = self._medium(), self._field()
        window = self._region * self.parameterization.freedom.cpu()
        step = sharpest_step(point, start, window, 2 * min(stage.cutoff, 1.0) * self._wavenumber(stage))

        def go(length: float) -> None:
            speed = (start.sound_speed * torch.exp(-length * step)).clamp(*self.parameterization.bounds)
            fitted = self.parameterization.fitted_to(replace(start, sound_speed=speed))
            self.parameterization.load_state_dict(fitted.state_dict())

        trial = stepped(objective, stage.name, step, go, (1 + SLACK) * point.value)
        if trial is None:
            self.parameterization.load_state_dict(before)
        return trial or point

    def _objective(self, stage: Stage, observed: Spectra, speeds: tuple[float, float]) -> Objective:
        self.parameterization.seek(stage.unknown)
        data = observed.at(torch.tensor(stage.frequencies, dtype=torch.float64))
        misfit = misfit_of(stage.misfit, stage.source_weights)
        if stage.is_band:
            band = Band.of(self.discretization, self.array, speeds, stage.frequencies, data.damping)
            return Objective([band], BandData.of(data), misfit, self.parameterization)
        models = [self.discretization.model(self.array, speeds, f, data.damping) for f in stage.frequencies]
        return Objective(models, data, misfit, self.parameterization)

    def _iterate(self, state: State) -> Iterate:
        done = sum(s.work * s.n_iterations for s in self.schedule[: state.stage])
        stage = self.schedule[state.stage]
        done += stage.work * (stage.n_iterations if state.done else state.iteration)
        total = sum(s.work * s.n_iterations for s in self.schedule)
        arrays, texts = state.arrays()
        return Iterate(state.history[-1], self._medium(), done / total, arrays, texts, state.history)

    def cancelled(self) -> Reconstruction:
        """What stands after the last complete update of a run that was broken off."""
        return self._finish(Status.CANCELLED)

    def _finish(self, status: Status, more: str = "") -> Reconstruction:
        history = self._last.history
        self._set(self._last)
        message = status.value + more
        if status is Status.FINISHED and history:
            left = 100 * math.sqrt(history[-1].objective)
            message += f" {len(history)} updates; {left:.1f} % of the data's amplitude is left unexplained."
        field = trained(self.parameterization)
        return Reconstruction(self._medium(), self.start, self._region, history, status, message, field=field)

    def _medium(self) -> Medium:
        """The image, on the CPU."""
        with torch.no_grad():
            medium: Medium = self.parameterization(self.grid)
        return medium.to(torch.device("cpu"))

    def _speeds(self) -> tuple[float, float]:
        """Lowest and highest sound speed of the image [m/s]."""
        speeds = self._medium().sound_speed
        return float(speeds.min()), float(speeds.max())

    def _fresh(self) -> State:
        """The state before the first update."""
        return State(0, 0, self._field(), {}, (), False)

    def _field(self) -> dict[str, torch.Tensor]:
        """Copies of everything that makes the image."""
        return {name: v.detach().cpu().clone() for name, v in self.parameterization.state_dict().items()}

    def _set(self, state: State) -> None:
        self.parameterization.load_state_dict(dict(state.field))


def _solves(state: State, per_point: int) -> tuple[int, int]:
    """Factorisations before the present stage, and those so far that are not to be repeated."""
    history, done_here = state.history, state.iteration
    before = history[-done_here - 1].n_solves if len(history) > done_here else 0
    # A resumed stage solves for its last point once more, which an uninterrupted one need not.
    return before, history[-1].n_solves - per_point if done_here else before
