"""Where the rows come from, and a way to ask again."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QWidget

from napari_tcia._qt.style import (
    DOT,
    QUIET,
    SOURCES,
    SPACING,
    Note,
    described,
    source_dots,
)


class SourceLine(QWidget):
    """Dots with their names, when the rows were listed, and "Refresh"."""

    refresh_wanted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._dots: list[QWidget] = []
        self._row = QHBoxLayout()
        self._row.setSpacing(SPACING // 2)
        self.words = Note(size=11)
        self.refresh_button = QPushButton("Refresh")
        self.refresh_button.setStyleSheet(QUIET)
        described(
            self.refresh_button,
            "Refresh what is known of the archive",
            "Ask the archive for its collections again, and say what has changed",
        )
        self.refresh_button.clicked.connect(self.refresh_wanted)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(SPACING)
        layout.addLayout(self._row)
        layout.addWidget(self.words, 1)
        layout.addWidget(self.refresh_button)

    def show_sources(self, sources: Sequence[str], words: str) -> None:
        """Name the sources of the rows, and say the rest in `words`."""
        for widget in self._dots:
            self._row.removeWidget(widget)
            widget.deleteLater()
        self._dots = []
        for code in (code for code in SOURCES if code in sources):
            dot = QLabel()
            dot.setPixmap(source_dots((code,)).pixmap(QSize(2 * DOT, DOT)))
            dot.setFixedWidth(DOT)
            name = Note(SOURCES[code][0], size=11)
            name.setWordWrap(False)
            for widget in (dot, name):
                self._row.addWidget(widget, 0, Qt.AlignmentFlag.AlignVCenter)
                widget.setToolTip(_TIPS[code])
                self._dots.append(widget)
        self.words.setText(words)


_TIPS = {
    "nbia": "Listed by the archive's own search service",
    "idc": "Listed by the Imaging Data Commons",
    "catalogue": "In the catalogue that comes with this program",
    "folder": "In a folder of yours",
}
