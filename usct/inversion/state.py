"""Where a run stands, and how that becomes a checkpoint and back."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields

import torch

from usct.misfit.base import Residual
from usct.reconstruction import Record


@dataclass(frozen=True)
class Predicted:
    """What one image predicts at some frequencies.

    Attributes:
        frequencies: Shape (freq,) [Hz].
        values: For unit sources, shape (freq, tx, rx), complex64, which is enough to compare phases.
    """

    frequencies: torch.Tensor
    values: torch.Tensor

    @classmethod
    def of(cls, frequencies: Sequence[float], residuals: Sequence[Residual]) -> "Predicted":
        """What misfits compared with data at these frequencies [Hz]."""
        values = [r.predicted / torch.where(r.receive == 0, 1, r.receive) for r in residuals]
        stacked = torch.cat([v if v.ndim == 3 else v[None] for v in values])
        return cls(torch.tensor(frequencies, dtype=torch.float64), stacked.cpu().to(torch.complex64))

    def beside(self, other: "Predicted") -> "Predicted":
        """With what the same image predicts at other frequencies, which rise above these."""
        joined = (torch.cat([getattr(p, name) for p in (self, other)]) for name in ("frequencies", "values"))
        return Predicted(*joined)


@dataclass(frozen=True)
class State:
    """Where a run stands: enough to go on from it bit for bit.

    Attributes:
        stage: Index of the stage.
        iteration: Updates done in this stage.
        field: Everything that makes the image: parameters and buffers of the parameterization, by name.
        memory: What the optimizer remembers.
        history: Records so far.
        done: Whether the stage has ended, early or not.
        opening: Lowest and highest sound speed at the start of the stage, which its forward models are made for
            [m/s]; none before it.
        unfitted: Share of each band of wavenumbers that the stage's steps have not fitted yet, where it is known.
        left: What the image that a stage left predicts; none within a stage.
    """

    stage: int
    iteration: int
    field: Mapping[str, torch.Tensor]
    memory: Mapping[str, torch.Tensor]
    history: tuple[Record, ...]
    done: bool
    opening: tuple[float, float] | None = None
    unfitted: torch.Tensor | None = None
    left: Predicted | None = None

    def arrays(self) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
        """The state as arrays and texts, for a checkpoint."""
        arrays = {f"field.{name}": v for name, v in self.field.items()}
        arrays |= {f"memory.{name}": v for name, v in self.memory.items()}
        for name in (f.name for f in fields(Record) if f.name != "stage"):
            column = [asdict(r)[name] for r in self.history]
            column = [math.nan if value is None else value for value in column]
            arrays[f"history.{name}"] = torch.tensor(column, dtype=torch.float64)
        if self.opening is not None:
            arrays["opening"] = torch.tensor(self.opening, dtype=torch.float64)
        if self.unfitted is not None:
            arrays["unfitted"] = self.unfitted
        if self.left is not None:
            arrays |= {f"left.{name}": getattr(self.left, name) for name in ("frequencies", "values")}
        stages = "\n".join(record.stage for record in self.history)
        return arrays, {
            "stage": str(self.stage),
            "iteration": str(self.iteration),
            "done": str(int(self.done)),
            "stages": stages,
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, torch.Tensor], texts: Mapping[str, str]) -> "State":
        """Undo `arrays`."""
        # Checkpoints of versions that did not look for cycle skips stage by stage lack that column.
        names = [f.name for f in fields(Record) if f"history.{f.name}" in arrays]
        rows = zip(*(arrays[f"history.{name}"].tolist() for name in names), strict=True)
        history = []
        for stage, row in zip(texts["stages"].split("\n"), rows, strict=False):
            values = dict(zip(names, row, strict=True))
            values |= {name: int(values[name]) for name in ("iteration", "n_solves")}
            skipped = values.pop("skipped", math.nan)
            values["skipped"] = None if math.isnan(skipped) else skipped
            history.append(Record(stage=stage, **values))
        field, memory = (
            {n.removeprefix(prefix): v for n, v in arrays.items() if n.startswith(prefix)}
            for prefix in ("field.", "memory.")
        )
        opening = arrays["opening"].tolist() if "opening" in arrays else None
        return cls(
            int(texts["stage"]),
            int(texts["iteration"]),
            field,
            memory,
            tuple(history),
            texts["done"] == "1",
            None if opening is None else (opening[0], opening[1]),
            arrays.get("unfitted"),
            Predicted(arrays["left.frequencies"], arrays["left.values"]) if "left.values" in arrays else None,
        )
