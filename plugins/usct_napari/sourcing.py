"""Where a layer comes from."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from usct.io.dicom.layers import Space

LayerData = tuple[Any, dict[str, Any], str]


@dataclass(frozen=True)
class Source:
    """Where a layer comes from; panels find it in the layer's metadata under `usct`.

    Attributes:
        path: The file.
        kind: Of the file: scan, travel times, phantom, result or diagnosis.
        quantity: What the layer shows.
        has_bar: Whether a colour bar belongs to it.
        space: The patient's coordinates, of what comes from DICOM images.
    """

    path: Path
    kind: str
    quantity: str
    has_bar: bool = True
    space: "Space | None" = None

    @property
    def is_recording(self) -> bool:
        """Whether the layer lies beside the ring, and shows what it recorded."""
        return self.quantity.removeprefix("water_") in ("traces", "spectra")


def source_of(layer: object) -> Source | None:
    """Where a layer comes from, or None for layers of others."""
    source = getattr(layer, "metadata", {}).get("usct")
    return source if isinstance(source, Source) else None


def named(what: str, path: Path) -> str:
    """Name of a layer; what it shows comes first, because long names are cut."""
    return f"{what} · {path.stem}"
