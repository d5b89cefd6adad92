"""Credit for what is open: one line per dataset, copied in any format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QFont, QFontMetrics, QGuiApplication, QHideEvent
from qtpy.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QMenu,
    QMessageBox,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)
from superqt import QElidingLabel

from napari_tcia._qt.citation_details import CitationDetails
from napari_tcia._qt.style import CLINICAL, MARGIN, SPACING, Link, Note, described
from napari_tcia.app.credit import DatasetLine, Section, render
from napari_tcia.cite.references import IDC_PAPER
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


@dataclass(frozen=True, slots=True)
class DerivedLayer:
    """A layer computed here while the data was open; it counts until told not to.

    `key` says which one; `counted` is False once somebody said no.
    """

    key: int
    name: str
    counted: bool = True


class CitationPanel(QWidget):
    """Shows the datasets that are open; knows nothing but what it is given."""

    hidden = Signal()
    """The panel was hidden, by whatever means."""
    terms_requested = Signal(str)
    """Somebody wants to read and accept the terms of a collection."""
    derived_answered = Signal(object, bool)  # a key outgrows the int of C++
    """Whether the derived layer of a key counts as from this data."""
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

        self.details = CitationDetails()
        self.details.setVisible(False)
        self.details.setMinimumHeight(4 * line)

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
        extra = 20 * line if self.details_button.isChecked() else 0
        # Never lower than the marks in the title bar that napari puts beside it.
        return QSize(700, max(60, lines + 12) + extra)

    def minimumSizeHint(self) -> QSize:
        """One line."""
        line = self.fontMetrics().height() + 6
        extra = 4 * line if self.details_button.isChecked() else 0
        return QSize(300, line + 10 + extra)

    def show_datasets(
        self,
        lines: Sequence[DatasetLine],
        sentence: str,
        sections: Sequence[Section] = (),
        derived: Sequence[DerivedLayer] = (),
    ) -> None:
        """Render `lines` and the sentence on what all of them together allow.

        `sections` are the details, `derived` the layers that others computed.
        """
        self._clear()
        for line in lines:
            self._lines.addWidget(self._dataset(line))
            if extra := _also(line.citations):
                self._lines.addWidget(Note(extra, size=11))
        if not lines:
            self._lines.addWidget(Note("No TCIA data is open; nothing to cite."))
        if derived:
            self._lines.addWidget(self._derived(derived))
        self.sentence.say(sentence)
        merged = {c.key: c for line in lines for c in line.citations}
        self._citations = tuple(merged.values())
        self.copy_button.setEnabled(bool(merged))
        self.details_button.setEnabled(bool(merged))
        if not merged:
            self.details_button.setChecked(False)
        self.details.show_sections(sections, self._citations)
        self.updateGeometry()
        self.height_changed.emit()

    def _clear(self) -> None:
        while (item := self._lines.takeAt(0)) is not None:
            if (old := item.widget()) is not None:
                old.setParent(None)
                old.deleteLater()

    @property
    def citations(self) -> tuple[Citation, ...]:
        """What Copy copies."""
        return self._citations

    def copy(self, format: str) -> str:
        """Put every citation on the clipboard as "text", "bibtex", ..."""
        style = self.details.style_name if format == "text" else None
        text = render(self._citations, format, style)
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
        title.setStyleSheet("QLabel { font-weight: 600; background: transparent; }")
        bold = QFont(title.font())
        bold.setBold(True)
        wide = QFontMetrics(bold).horizontalAdvance(line.title) + 8
        wide = round(1.3 * wide)  # napari's sheet makes letters larger, later
        title.setMinimumWidth(min(wide, 200))
        title.setMaximumWidth(wide)
        layout.addWidget(title, 1)
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
            read = _flat("Read and accept", f"the terms of {line.title}")
            read.clicked.connect(lambda: self.terms_requested.emit(line.title))
            layout.addWidget(read)
        layout.addStretch()
        return row

    def _derived(self, derived: Sequence[DerivedLayer]) -> QWidget:
        """One line for all of them; each can be told apart, and back."""
        row = QWidget()
        layout = QHBoxLayout(row)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(SPACING)
        counted = [one for one in derived if one.counted]
        s = "" if len(counted) == 1 else "s"
        names = ", ".join(one.name for one in counted)
        words = QElidingLabel(
            f"{len(counted)} derived layer{s}: {names}"
            if counted
            else "No derived layer counts"
        )
        words.setTextFormat(Qt.TextFormat.PlainText)
        words.setMinimumWidth(110)
        words.setToolTip(
            "Added while this data was open, and computed here: credited with it "
            "until you say that it is not from it."
        )
        wide = words.fontMetrics().horizontalAdvance(words.text()) + 8
        words.setMaximumWidth(round(1.4 * max(wide, 110)))
        words.setMinimumWidth(min(round(1.3 * wide), 240))
        layout.addWidget(words, 1)
        if len(derived) == 1 and counted:
            button = _flat("Not from this data", counted[0].name)
            key = counted[0].key
            button.clicked.connect(lambda: self.derived_answered.emit(key, False))
        else:
            button = _flat("Not from this data", "each derived layer")
            menu = QMenu(button)
            for one in derived:
                action = menu.addAction(one.name.replace("&", "&&"))
                action.setCheckable(True)
                action.setChecked(not one.counted)
                action.toggled.connect(
                    lambda no, key=one.key: self.derived_answered.emit(key, not no)
                )
            button.setMenu(menu)
        layout.addWidget(button)
        layout.addStretch()
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


def _flat(text: str, of: str) -> QPushButton:
    button = QPushButton(text)
    button.setFlat(True)
    button.setStyleSheet("QPushButton { padding: 1px 4px; }")
    described(button, f"{text}: {of}")
    return button


def _also(citations: Sequence[Citation]) -> str:
    """What is cited beside the dataset, in few words."""
    archive = any(c.kind == "archive" for c in citations)
    papers = sum(c.kind == "paper" for c in citations)
    parts = ["TCIA (Clark 2013)"] if archive else []
    if any(c.key == IDC_PAPER["id"] for c in citations):
        parts.append("IDC (Fedorov 2023)")
    if papers:
        s = "s" if papers > 1 else ""
        parts.append(f"{papers} paper{s} this collection asks for")
    return "+ " + ", ".join(parts) if parts else ""
