"""One line to type into, over a window; Enter does it, Esc leaves it."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDialog, QLineEdit, QVBoxLayout, QWidget

from napari_tcia._qt.style import MARGIN, SPACING, Note, described


class AskLine(QDialog):
    """Asks for a line, and says why it will not do.

    Parameters
    ----------
    title : str
    examples : str
        What can be written.
    answer : callable
        From the text to a sentence why not; an empty one closes the box.
    """

    def __init__(
        self,
        title: str,
        examples: str,
        answer: Callable[[str], str],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle(title)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self._answer = answer
        self.line = QLineEdit()
        self.line.setPlaceholderText(examples)
        described(self.line, title, f"For example {examples}")
        self.line.returnPressed.connect(self._entered)
        self.why = Note(meaning="warn")
        self.why.say("")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(MARGIN, MARGIN, MARGIN, MARGIN)
        layout.setSpacing(SPACING)
        layout.addWidget(self.line)
        layout.addWidget(self.why)
        self.setMinimumWidth(320)

    def _entered(self) -> None:
        sentence = self._answer(self.line.text())
        if sentence:
            self.why.say(sentence)
            self.line.selectAll()
        else:
            self.accept()
