"""Where a run stands, and how that becomes a checkpoint and back."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

import torch

from usct.reconstruction import Record


@dataclass(frozen=True)
class State:
    """Where a run stands: enough to go on from it bit for bit.

    Attributes:
        stage: Index of the stage.
        iteration: Updates done in this stage.
        parameters: Flattened parameters.
        memory: What the optimizer remembers.
        history: Records so far.
        done: Whether the stage has ended, early or not.
        opening: Parameters at the start of the stage, which its forward models are made for; none before it.
    """

    stage: int
    iteration: int
    parameters: torch.Tensor
    memory: Mapping[str, torch.Tensor]
    history: tuple[Record, ...]
    done: bool
    opening: torch.Tensor | None = None

    def arrays(self) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
        """The state as arrays and texts, for a checkpoint."""
        arrays = {"parameters": self.parameters} | {f"memory.{name}": v for name, v in self.memory.items()}
        for name in (f.name for f in fields(Record) if f.name != "stage"):
            arrays[f"history.{name}"] = torch.tensor(
                [asdict(r)[name] for r in self.history], dtype=torch.float64
            )
        if self.opening is not None:
            arrays["opening"] = self.opening
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
        names = [f.name for f in fields(Record) if f.name != "stage"]
        rows = zip(*(arrays[f"history.{name}"].tolist() for name in names), strict=True)
        history = []
        for stage, row in zip(texts["stages"].split("\n"), rows, strict=False):
            values = dict(zip(names, row, strict=True))
            values |= {name: int(values[name]) for name in ("iteration", "n_solves")}
            history.append(Record(stage=stage, **values))
        memory = {n.removeprefix("memory."): v for n, v in arrays.items() if n.startswith("memory.")}
        return cls(
            int(texts["stage"]),
            int(texts["iteration"]),
            arrays["parameters"],
            memory,
            tuple(history),
            texts["done"] == "1",
            arrays.get("opening"),
        )
