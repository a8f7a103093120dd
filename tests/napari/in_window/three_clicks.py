"""A stranger's way from an empty window to an image: all that is done is done by the mouse."""

import sys

from napari.utils.notifications import NotificationSeverity, notification_manager
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QMenu, QPushButton, QWidget
from usct_napari.picturing import Window
from usct_napari.sourcing import source_of

complaints = []
notification_manager.notification_ready.connect(
    lambda n: complaints.append(n.message) if n.severity >= NotificationSeverity.WARNING else None
)
window, clicks = Window(), []
window.wait(1.0)


def click(widget: QWidget, place: QPoint) -> None:
    """Press and release the left button at a place of a widget."""
    clicks.append(type(widget).__name__)
    QTest.mouseClick(widget, Qt.MouseButton.LeftButton, pos=place)
    window.wait(0.3)


def entry(menu: QWidget, title: str) -> tuple[QPoint, QMenu | None]:
    """Where an entry of a menu is, and the menu that it opens."""
    (action,) = [a for a in menu.actions() if a.text().replace("&", "").rstrip(".…") == title]
    return menu.actionGeometry(action).center(), action.menu()


def hover(menu: QMenu, title: str) -> QMenu:
    """Rest on an entry until its menu opens."""
    place, opens = entry(menu, title)
    QTest.mouseMove(menu, place - QPoint(9, 0))
    QTest.mouseMove(menu, place)
    window.wait(10.0, opens.isVisible)
    return opens


bar = window.viewer.window._qt_window.menuBar()
place, menu = entry(bar, "File")
click(bar, place)
window.wait(10.0, menu.isVisible)
menu = hover(hover(menu, "Open Sample"), "usct")
place, _ = entry(menu, "Breast in a ring of transducers")
click(menu, place)


def start_buttons() -> list[QPushButton]:
    """Those that can be pressed."""
    found = [b for widget in QApplication.topLevelWidgets() for b in widget.findChildren(QPushButton)]
    return [b for b in found if b.text() == "Start" and b.isVisible() and b.isEnabled()]


window.wait(120.0, lambda: bool(start_buttons()))
window.wait(1.0)
(start,) = start_buttons()
click(start, start.rect().center())
kinds = lambda: {source.kind for x in window.viewer.layers if (source := source_of(x)) is not None}  # noqa: E731
window.wait(120.0, lambda: "result" in kinds())
window.wait(1.0)
sys.stdout.write(f"{len(clicks)} clicks\n")
window.picture(sys.argv[1] + "/clicked.png")
panel = window.panel("Compare")
window.wait(120.0, lambda: bool(panel.scores) and window.viewer.canvas.grid.enabled)
window.wait(1.0)
window.picture(sys.argv[1] + "/compared.png")
# The sample knows its lesions.
words = panel.words.toPlainText().strip()
assert "Lesions: share of their contrast that shows, width in the image" in words, words
assert "malignant" in words or "cyst" in words, words
window.viewer.close()
assert not complaints, complaints
