"""What a click will cost, the one thing to do next, and what else there is."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QMenu, QPushButton, QWidget

from napari_tcia._qt.style import Note, described, primary, secondary


class Bar(QWidget):
    """Says "1 case, 30 MB, 41 GB free, terms accepted", and offers to open it."""

    chosen = Signal(str)
    """Code of an entry of the menu."""
    open_wanted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.cost = Note(meaning="plain")
        self.cost.setAccessibleName("What opening costs")
        self.open_button = primary(QPushButton("Open"))
        self.open_button.clicked.connect(self.open_wanted)
        self.menu = QMenu(self)
        self.menu.setToolTipsVisible(True)
        self.entries = {}
        for code, (words, tip) in _ENTRIES.items():
            action = self.menu.addAction(words)
            action.setToolTip(tip)
            action.triggered.connect(self._choice(code))
            self.entries[code] = action
        self.more_button = secondary(QPushButton("▾"))
        self.more_button.setMenu(self.menu)
        described(
            self.more_button,
            "More to do with the selection",
            "Download only, preview a slice, save as manifest ...",
        )
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.cost, 1)
        layout.addWidget(self.open_button)
        layout.addWidget(self.more_button)

    def show_state(
        self, cost: str, *, can_open: bool, tip: str, entries: frozenset[str]
    ) -> None:
        """Say the cost; let be pressed what can be done now."""
        self.cost.setText(cost)
        self.open_button.setEnabled(can_open)
        described(self.open_button, "Open", tip)
        self.more_button.setEnabled(bool(entries))
        for code, action in self.entries.items():
            action.setEnabled(code in entries)

    def _choice(self, code: str) -> Callable[[], None]:
        return lambda: self.chosen.emit(code)


_ENTRIES = {
    "download": ("Download only", "Fetch and verify, without showing it"),
    "preview": ("Preview a slice", "Look at one image; nothing is kept"),
    "nodes": (
        "Download nodes only",
        "Fetch the annotations, without the images that they lie on",
    ),
    "review": (
        "Review one by one",
        "Open these cases one after the other, and decide node by node",
    ),
    "manifest": (
        "Save as manifest…",
        "Write a list of these series that others can open",
    ),
}
