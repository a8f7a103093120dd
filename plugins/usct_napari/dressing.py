"""What layer data cannot carry: colour bars beside maps, and a scale bar."""

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Layer

_DRESSED = "usct_dressed"


def dress_current_viewer() -> None:
    """Dress the layers that come next into the viewer that is open; without one, do nothing."""
    if "napari" not in sys.modules:
        return
    import napari

    viewer = napari.current_viewer()
    if viewer is not None:
        dress(viewer)


def dress(viewer: "Viewer") -> None:
    """Give every map of usct, now and later, a colour bar, and the viewer a scale bar.

    Args:
        viewer: Dressed only once.
    """
    if getattr(viewer.layers, _DRESSED, False):
        return
    setattr(viewer.layers, _DRESSED, True)

    def inserted(event: Any) -> None:
        _dress_layer(event.value)
        viewer.canvas.overlays.scale_bar.visible = True

    viewer.layers.events.inserted.connect(inserted)
    for layer in viewer.layers:
        _dress_layer(layer)


def _dress_layer(layer: "Layer") -> None:
    source = layer.metadata.get("usct")
    if source is not None and source.has_bar and hasattr(layer, "colorbar"):
        layer.colorbar.position = "bottom_left"
        layer.colorbar.visible = True
