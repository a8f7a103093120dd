"""What the kernels say of single places, asked one by one. Nothing here needs Qt."""

from dataclasses import dataclass
from pathlib import Path

import torch

from usct.cli.paths import load_result
from usct.cli.rerunning import load_inputs
from usct.diagnostics.compose import held
from usct.diagnostics.model_side import answer_row
from usct.diagnostics.resolution import point_spread
from usct.diagnostics.sides import Options
from usct.errors import InputError
from usct.forward.parallel import single_threaded_blas
from usct.grid import Grid
from usct.revisiting import Visit, settings_of, visit


@dataclass(frozen=True)
class Answer:
    """What was found at a place.

    Attributes:
        grid: Of both maps.
        region: Cells that may change, boolean.
        position: (y, x) [m].
        row: Row of the neural sensitivity kernel: how one plain step answers an error there.
        spread: What the data make of a point there.
    """

    grid: Grid
    region: torch.Tensor
    position: tuple[float, float]
    row: torch.Tensor
    spread: torch.Tensor


class Prober:
    """The kernels at the end of a run; rebuilt when first asked, which solves the wave equation once."""

    def __init__(self, result: Path, scan: Path) -> None:
        """Remember the files of a result and of the scan it was made from."""
        self.files = (result, scan)
        self._place: Visit | None = None

    def ask(self, position: tuple[float, float]) -> Answer:
        """Look at one place, (y, x) [m].

        Raises:
            InputError: If the files do not belong together, or the place lies outside the image's region.
        """
        with single_threaded_blas():
            place = self._visited()
            try:
                row = answer_row(place.kernels, position)
                belief = held(place.kernels, Options(), place.start)
                spread = point_spread(place.kernels, position, belief)
            except ValueError as error:
                raise InputError(f"{error}; click inside the part of the image that may change.") from None
        return Answer(place.kernels.image, place.kernels.region, position, row, spread)

    def _visited(self) -> Visit:
        if self._place is None:
            file, scan = self.files
            result = load_result(file)
            self._place = visit(result, load_inputs(result, file, scan), settings_of(result))
        return self._place
