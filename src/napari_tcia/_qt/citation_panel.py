"""Credit for what is open: one line per dataset, copied in any format."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QGuiApplication, QHideEvent
from qtpy.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QMenu,
    QMessageBox,
    QPlainTextEdit,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)
from superqt import QElidingLabel

from napari_tcia._qt.style import CLINICAL, MARGIN, SPACING, Link, Note, described
from napari_tcia.app.credit import DatasetLine, render
from napari_tcia.core.model import Citation

FORMATS = {
    "Text": "text",
    "BibTeX": "bibtex",
    "RIS": "ris",
    "CSL-JSON": "csl-json",
    "CITATION.cff": "cff",
}
ALWAYS = """\
The panel appears with TCIA data and stays while it is open.

To have it, and the browser, in every session, use one of:

    napari-tcia open
    napari -w napari-tcia Browser Citations

or save these lines as a file and choose it in napari under
Preferences > Application > Startup script:

    import napari
    viewer = napari.current_viewer()
    viewer.window.add_plugin_dock_widget("napari-tcia", "Citations")
    viewer.window.add_plugin_dock_widget("napari-tcia", "Browser")
"""
_TERMS = {
    "accepted": ("good", "\u2713 terms accepted"),
    "not recorded": ("warn", "terms not recorded here"),
    "none": ("muted", "no TCIA citation"),
    "synthetic": ("muted", "synthetic, no patient"),
}


class CitationPanel(QWidget):
    """Shows the datasets that are open; knows nothing but what it is given."""

    hidden = Signal()
    """The panel was hidden, by whatever means."""
    terms_requested = Signal(str)
    """Somebody wants to read and accept the terms of a collection."""
    height_changed = Signal()
    """What is shown grew or shrank."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._citations: tuple[Citation, ...] = ()
        self.setAccessibleName("Citations of the data that is open")

        self._lines = QVBoxLayout()
        self._lines.setContentsMargins(0, 0, 0, 0)
        self._lines.setSpacing(2)
        self._lines.setAlignment(Qt.AlignmentFlag.AlignTop)
        inner = QWidget()
        inner.setLayout(self._lines)
        inner.setAutoFillBackground(False)
        self._area = QScrollArea()
        self._area.setWidget(inner)
        self._area.setWidgetResizable(True)
        self._area.setFrameShape(QFrame.Shape.NoFrame)
        self._area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        line = self.fontMetrics().height()
        self._area.setMinimumHeight(line + 6)  # one line, never none

        self.sentence = Note()
        self.clinical = Note(CLINICAL, size=11)
        self.copy_button = QPushButton("Copy")
        described(self.copy_button, "Copy citations", "Copy every citation")
        menu = QMenu(self.copy_button)
        for label, name in FORMATS.items():
            menu.addAction(label).triggered.connect(
                lambda _=False, name=name: self.copy(name)
            )
        self.copy_button.setMenu(menu)
        self.details_button = QPushButton("Details")
        self.details_button.setCheckable(True)
        described(self.details_button, "Details", "Show every citation in full")
        self.details_button.toggled.connect(self._show_details)
        self.help_button = QPushButton("?")
        self.help_button.setFixedWidth(28)
        described(self.help_button, "How to always show this")
        self.help_button.clicked.connect(self._explain)

        self.details = QPlainTextEdit()
        self.details.setReadOnly(True)
        self.details.setTabChangesFocus(True)
        self.details.setVisible(False)
        self.details.setMinimumHeight(4 * line)
        described(self.details, "Citations in full", "Select and copy any part")

        right = QVBoxLayout()
        right.setSpacing(2)
        right.addWidget(self.sentence)
        right.addWidget(self.clinical)
        right.addStretch()
        row = QHBoxLayout()
        row.setSpacing(2 * SPACING)
        row.addWidget(self._area, 5)
        row.addLayout(right, 2)
        for button in (self.copy_button, self.details_button, self.help_button):
            row.addWidget(button, 0, Qt.AlignmentFlag.AlignTop)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(MARGIN, 4, MARGIN, 4)
        layout.setSpacing(4)
        layout.addLayout(row)
        layout.addWidget(self.details, 1)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Preferred)
        self.show_datasets((), "")

    def sizeHint(self) -> QSize:
        """As high as its lines; taller with the details."""
        line = self.fontMetrics().height() + 6
        lines = min(self._area.widget().sizeHint().height(), 5 * line)
        extra = 7 * line if self.details_button.isChecked() else 0
        # Never lower than the marks in the title bar that napari puts beside it.
        return QSize(700, max(60, lines + 12) + extra)

    def minimumSizeHint(self) -> QSize:
        """One line."""
        line = self.fontMetrics().height() + 6
        extra = 4 * line if self.details_button.isChecked() else 0
        return QSize(300, line + 10 + extra)

    def show_datasets(self, lines: Sequence[DatasetLine], sentence: str) -> None:
        """Render `lines` and the sentence on what all of them together allow."""
        while (item := self._lines.takeAt(0)) is not None:
            if (old := item.widget()) is not None:
                old.setParent(None)
                old.deleteLater()
        for line in lines:
            self._lines.addWidget(self._dataset(line))
            if extra := _also(line.citations):
                self._lines.addWidget(Note(extra, size=11))
        if not lines:
            self._lines.addWidget(Note("No TCIA data is open; nothing to cite."))
        self.sentence.say(sentence)
        merged = {c.key: c for line in lines for c in line.citations}
        self._citations = tuple(merged.values())
        self.copy_button.setEnabled(bool(merged))
        self.details_button.setEnabled(bool(merged))
        if not merged:
            self.details_button.setChecked(False)
        self.details.setPlainText("\n\n".join(c.text for c in self._citations))
        self.updateGeometry()
        self.height_changed.emit()

    @property
    def citations(self) -> tuple[Citation, ...]:
        """What Copy copies."""
        return self._citations

    def copy(self, format: str) -> str:
        """Put every citation on the clipboard as "text", "bibtex", ..."""
        text = render(self._citations, format)
        QGuiApplication.clipboard().setText(text)
        self.copy_button.setText("Copied")
        return text

    def hideEvent(self, event: QHideEvent) -> None:
        """Tell the session, which may bring the panel back."""
        super().hideEvent(event)
        self.hidden.emit()

    def leaveEvent(self, event: object) -> None:
        """Let the button offer again."""
        super().leaveEvent(event)
        self.copy_button.setText("Copy")

    def _dataset(self, line: DatasetLine) -> QWidget:
        row = QWidget()
        layout = QHBoxLayout(row)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(SPACING + 2)
        title = QElidingLabel(line.title)  # gives way to licence, DOI and terms
        title.setTextFormat(Qt.TextFormat.PlainText)
        title.setToolTip(line.title)
        title.setMinimumWidth(80)
        title.setStyleSheet("QLabel { font-weight: 600; background: transparent; }")
        layout.addWidget(title)
        if line.licence:
            licence = QLabel(line.licence)
            licence.setTextFormat(Qt.TextFormat.PlainText)
            layout.addWidget(licence)
        if line.doi:
            layout.addWidget(_doi(line.doi))
        meaning, words = _TERMS.get(line.terms, ("muted", line.terms))
        mark = Note(words, meaning)
        mark.setWordWrap(False)
        layout.addWidget(mark)
        if line.terms == "not recorded":
            read = QPushButton("Read and accept")
            read.setFlat(True)
            read.setStyleSheet("QPushButton { padding: 1px 4px; }")
            described(read, "Read and accept", f"Show the terms of {line.title}")
            read.clicked.connect(lambda: self.terms_requested.emit(line.title))
            layout.addWidget(read)
        layout.addStretch(1)
        return row

    def _show_details(self, shown: bool) -> None:
        self.details.setVisible(shown)
        self.updateGeometry()
        self.height_changed.emit()

    def _explain(self) -> None:
        box = QMessageBox(self)
        box.setWindowTitle("How to always show this")
        box.setTextFormat(Qt.TextFormat.PlainText)
        box.setText("How to always show this")
        box.setInformativeText(ALWAYS)
        box.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        box.open()


def _doi(doi: str) -> QLabel:
    label = Link(f"https://doi.org/{doi}", f"doi:{doi}")
    described(label, f"DOI {doi}", f"Open https://doi.org/{doi}")
    return label


def _also(citations: Sequence[Citation]) -> str:
    """What is cited beside the dataset, in few words."""
    archive = any(c.kind == "archive" for c in citations)
    papers = sum(c.kind == "paper" for c in citations)
    parts = ["TCIA (Clark 2013)"] if archive else []
    if papers:
        s = "s" if papers > 1 else ""
        parts.append(f"{papers} paper{s} this collection asks for")
    return "+ " + ", ".join(parts) if parts else ""
