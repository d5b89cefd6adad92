"""All keys on one sheet."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDialog, QGridLayout, QLabel, QPushButton, QWidget

from napari_tcia._qt.style import MARGIN, described


class KeySheet(QDialog):
    """Keys and what they do, in groups.

    Parameters
    ----------
    rows : iterable of (key, words, group)
        Those of a group together.
    """

    def __init__(
        self, rows: Iterable[tuple[str, str, str]], parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle("Keys")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        described(self, "Keys and what they do")
        layout = QGridLayout(self)
        layout.setContentsMargins(2 * MARGIN, MARGIN, 2 * MARGIN, MARGIN)
        layout.setHorizontalSpacing(2 * MARGIN)
        line = 0
        for group, some in groupby(rows, key=lambda row: row[2]):
            title = QLabel(f"<b>{group}</b>")
            layout.addWidget(title, line, 0)
            for key, words, _ in some:
                layout.addWidget(_plain(key), line, 1)
                layout.addWidget(_plain(words), line, 2)
                line += 1
        close = QPushButton("Close")
        described(close, "Close", "Close (Esc)")
        close.clicked.connect(self.reject)
        layout.addWidget(close, line, 2, Qt.AlignmentFlag.AlignRight)

    def text(self) -> str:
        """All of it, line by line."""
        return "\n".join(label.text() for label in self.findChildren(QLabel))


def _plain(text: str) -> QLabel:
    label = QLabel(text)
    label.setTextFormat(Qt.TextFormat.PlainText)
    return label
