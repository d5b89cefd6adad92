"""Before data is opened: what one may and must, the texts, and a name."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QFont
from qtpy.QtWidgets import (
    QCheckBox,
    QDialog,
    QFormLayout,
    QFrame,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QPushButton,
    QScrollArea,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from napari_tcia._qt.style import MARGIN, SPACING, Link, Note, described, primary
from napari_tcia.core.model import Issue, Terms, TermsDocument

_HEADINGS = {"may": "You may", "must": "You must", "must not": "You must not"}
_MEANING = {"may": "good", "must": "warn", "must not": "bad"}


class TermsDialog(QDialog):
    """Asks for the licence and the data usage policy, never by default.

    Texts from outside are shown as plain text.

    Parameters
    ----------
    terms : sequence of Terms
        Those that still need accepting.
    refusals : sequence of Issue
        Why something cannot be accepted here; then there is nothing to tick.
    name : str
        Name to start with, empty when nobody accepted before.
    action : str
        What the accepting button says.
    """

    agreed = Signal(str)
    """The name given, once everything is ticked and the button is pressed."""

    def __init__(
        self,
        terms: Sequence[Terms],
        refusals: Sequence[Issue] = (),
        name: str = "",
        parent: QWidget | None = None,
        *,
        action: str = "Accept and open",
    ) -> None:
        super().__init__(parent)
        self._action = action
        title = ", ".join(dict.fromkeys(t.collection for t in terms))
        opening = action != "Accept"
        self.setWindowTitle(
            f"Before you open {title}" if opening else f"Terms of {title}"
        )
        self.setMinimumSize(820, 520)
        self.resize(980, 680)

        columns = QHBoxLayout()
        columns.setSpacing(2 * MARGIN)
        columns.addWidget(_points(terms), 2)
        columns.addWidget(self._documents(terms), 3)

        layout = QVBoxLayout(self)
        layout.setContentsMargins(2 * MARGIN, 2 * MARGIN, 2 * MARGIN, 2 * MARGIN)
        layout.setSpacing(MARGIN)
        layout.addWidget(_heading(self.windowTitle()))
        hosts = ", ".join(dict.fromkeys(t.archive_host for t in terms))
        licences = ", ".join(dict.fromkeys(t.licence.short for t in terms))
        layout.addWidget(Note(f"{licences}, from {hosts}"))
        if any(t.changed for t in terms):
            layout.addWidget(
                Note("The words have changed since you accepted them.", "warn")
            )
        layout.addLayout(columns, 1)
        if refusals:
            self._refuse(layout, terms, refusals)
        else:
            self._ask(layout, licences, name)

    def _documents(self, terms: Sequence[Terms]) -> QTabWidget:
        tabs = QTabWidget()
        described(tabs, "Texts")
        if any(one.changed for one in terms):
            tabs.addTab(_changes(terms), "What changed")
        seen: set[str] = set()
        for one in terms:
            for document in one.documents:
                if document.sha256 not in seen:
                    seen.add(document.sha256)
                    tabs.addTab(_document(document), _tab_name(document, one))
        return tabs

    def _ask(self, layout: QVBoxLayout, licences: str, name: str) -> None:
        self.licence_box = QCheckBox(f"I have read and accept the licence ({licences})")
        self.policy_box = QCheckBox("I have read and accept the Data Usage Policy")
        self.name_edit = QLineEdit(name)
        self.name_edit.setPlaceholderText("First and last name")
        self.name_edit.setMaximumWidth(320)
        described(self.name_edit, "Your name", "Kept in the record on this computer")
        form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.addRow("Your name", self.name_edit)

        self.accept_button = primary(QPushButton(self._action))
        self.decline_button = QPushButton("Not now")
        described(
            self.decline_button, "Not now", "Nothing is fetched; search stays (Esc)"
        )
        self.accept_button.setDefault(True)
        self.accept_button.clicked.connect(self._agree)
        self.decline_button.clicked.connect(self.reject)
        for box in (self.licence_box, self.policy_box):
            layout.addWidget(box)
            box.toggled.connect(self._update)
        self.name_edit.textChanged.connect(self._update)
        row = QHBoxLayout()
        row.addLayout(form)
        row.addStretch()
        row.addWidget(self.decline_button)
        row.addWidget(self.accept_button)
        layout.addLayout(row)
        self.licence_box.setFocus()
        self._update()

    def _refuse(
        self, layout: QVBoxLayout, terms: Sequence[Terms], refusals: Sequence[Issue]
    ) -> None:
        for issue in refusals:
            layout.addWidget(Note(issue.message, "warn"))
        for url in dict.fromkeys(t.licence.url for t in terms if t.licence.url):
            layout.addWidget(Link(url))
        close = QPushButton("Close")
        close.clicked.connect(self.reject)
        row = QHBoxLayout()
        row.addStretch()
        row.addWidget(close)
        layout.addLayout(row)

    def _complete(self) -> bool:
        return (
            self.licence_box.isChecked()
            and self.policy_box.isChecked()
            and bool(self.name_edit.text().strip())
        )

    def _update(self) -> None:
        ready = self._complete()
        self.accept_button.setEnabled(ready)
        described(
            self.accept_button,
            self._action,
            "Records your acceptance (Enter)"
            if ready
            else "Tick both boxes and give your name first",
        )

    def _agree(self) -> None:
        if self._complete():
            self.agreed.emit(self.name_edit.text().strip())
            self.accept()


def _points(terms: Sequence[Terms]) -> QScrollArea:
    area = QScrollArea()
    area.setWidgetResizable(True)
    area.setFrameShape(QFrame.Shape.NoFrame)
    described(area, "In plain words")
    inner = QWidget()
    layout = QVBoxLayout(inner)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(SPACING // 2)
    points = dict.fromkeys(p for one in terms for p in one.points)
    for kind, heading in _HEADINGS.items():
        sentences = [text for word, text in points if word == kind]
        if not sentences:
            continue
        label = Note(heading, _MEANING[kind])
        font = QFont(label.font())
        font.setBold(True)
        label.setFont(font)
        layout.addWidget(label)
        for sentence in sentences:
            line = QLabel(f"\u2022 {sentence}")
            line.setTextFormat(Qt.TextFormat.PlainText)
            line.setWordWrap(True)
            layout.addWidget(line)
        layout.addSpacing(SPACING)
    layout.addStretch()
    area.setWidget(inner)
    return area


def _document(document: TermsDocument) -> QWidget:
    page = QWidget()
    layout = QVBoxLayout(page)
    layout.setContentsMargins(SPACING, SPACING, SPACING, SPACING)
    text = QPlainTextEdit()
    text.setPlainText(document.text)
    text.setReadOnly(True)
    text.setTabChangesFocus(True)
    described(text, document.title)
    layout.addWidget(text, 1)
    official = f"Official text, fetched {document.retrieved[:10]}"
    own = f"Our own {document.retrieved or 'summary'}"
    words = official if document.origin == "official" else own
    note = Note(f"{words}. SHA-256 {document.sha256[:16]}\u2026", size=11)
    note.setToolTip(f"SHA-256 {document.sha256}")
    layout.addWidget(note)
    if document.url:
        layout.addWidget(Link(document.url))
    return page


def _changes(terms: Sequence[Terms]) -> QWidget:
    """Sentences that went and came since the words were accepted."""
    lines = []
    for one in (t for t in terms if t.changed):
        lines.append(f"{one.collection}, {one.licence.short}")
        for change in one.difference:
            where = "Data Usage Policy" if change.kind == "policy" else "licence"
            gone = change.what == "removed"
            said = "No longer said" if gone else "New"
            lines.append(f"{'-' if gone else '+'} {said} ({where}): {change.sentence}")
        if not one.difference:
            lines.append("The former words were not kept; please read all of it.")
    page = QWidget()
    layout = QVBoxLayout(page)
    layout.setContentsMargins(SPACING, SPACING, SPACING, SPACING)
    text = QPlainTextEdit()
    text.setPlainText("\n\n".join(lines))
    text.setReadOnly(True)
    text.setTabChangesFocus(True)
    described(text, "What changed since the words were accepted")
    layout.addWidget(text)
    return page


def _tab_name(document: TermsDocument, terms: Terms) -> str:
    return "Data Usage Policy" if document.kind == "policy" else terms.licence.short


def _heading(text: str) -> QLabel:
    label = QLabel(text)
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setWordWrap(True)
    label.setStyleSheet("QLabel { font-size: 18px; font-weight: 600; }")
    return label
