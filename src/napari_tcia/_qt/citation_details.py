"""Everything that is owed for the open data, in sections of plain text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qtpy.QtCore import Qt, QUrl, Signal
from qtpy.QtGui import QDesktopServices, QGuiApplication
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_tcia._qt.style import QUIET, SPACING, Link, Note, described
from napari_tcia.app import credit
from napari_tcia.app.credit import Entry, Section
from napari_tcia.core.model import Citation
from napari_tcia.errors import TciaError

_FILTERS = ";;".join(
    f"{name} (*{suffix})"
    for name, suffix in (
        ("BibTeX", ".bib"),
        ("RIS", ".ris"),
        ("CSL-JSON", ".json"),
        ("Citation File Format", ".cff"),
        ("Text", ".txt"),
    )
)
_PLAIN = "Plain"
"""The style that needs no extra."""


class CitationDetails(QWidget):
    """Sections to read, copy, save and follow; knows only what it is given."""

    refresh_requested = Signal()
    """Somebody wants to know what DataCite says today."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._sections: tuple[Section, ...] = ()
        self._citations: tuple[Citation, ...] = ()

        self.styles = QComboBox()
        self.styles.addItem(_PLAIN, None)
        for name, style in credit.styles().items():
            self.styles.addItem(name, style)
        self.styles.setVisible(self.styles.count() > 1)
        words = ("Citation style", "How citations are written as text")
        for part in (self.styles, self.styles.view()):
            described(part, *words)
        self.styles.currentIndexChanged.connect(self._render)
        self.save_button = QPushButton("Save…")
        described(self.save_button, "Save citations", "Every citation, as a file")
        self.save_button.clicked.connect(self._choose)
        self.refresh_button = QPushButton("Refresh from DataCite")
        described(
            self.refresh_button,
            "Refresh from DataCite",
            "Ask what DataCite has for these datasets today; sends their DOIs",
        )
        self.refresh_button.clicked.connect(self.refresh_requested)
        self.note = Note()
        self.note.say("")

        self._list = QVBoxLayout()
        self._list.setContentsMargins(0, 0, 6, 0)
        self._list.setSpacing(4)
        self._list.setAlignment(Qt.AlignmentFlag.AlignTop)
        inner = QWidget()
        inner.setLayout(self._list)
        area = QScrollArea()
        area.setWidget(inner)
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        described(area, "Citations in full")

        top = QHBoxLayout()
        top.setSpacing(SPACING)
        for control in (self.styles, self.save_button, self.refresh_button):
            control.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
            top.addWidget(control)
        top.addWidget(self.note, 1)
        top.addStretch()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(top)
        layout.addWidget(area, 1)

    @property
    def style_name(self) -> str | None:
        """CSL style that text is written in, None for our plain one."""
        style: str | None = self.styles.currentData()
        return style

    @property
    def text(self) -> str:
        """All that is shown, for tests and screen readers."""
        return "\n".join(
            label.text()
            for label in self.findChildren(QLabel)
            if label.textFormat() == Qt.TextFormat.PlainText
        )

    def show_sections(
        self, sections: Sequence[Section], citations: Sequence[Citation]
    ) -> None:
        """Show `sections`; `citations` are what Save writes."""
        if (tuple(sections), tuple(citations)) == (self._sections, self._citations):
            return
        self._sections, self._citations = tuple(sections), tuple(citations)
        self.save_button.setEnabled(bool(citations))
        self.refresh_button.setEnabled(
            any(one.kind == "dataset" and one.doi for one in citations)
        )
        self.note.say("")
        self._render()

    def save(self, path: Path) -> bool:
        """Write every citation to `path`; a sentence says how it went."""
        try:
            credit.save(self._citations, path, self.style_name)
        except TciaError as error:
            self.note.say(str(error), "bad")
            return False
        self.note.say(f"Saved {path.name}", "good")
        return True

    def _choose(self) -> None:
        dialog = QFileDialog(self, "Save citations")
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setNameFilters(_FILTERS.split(";;"))
        dialog.selectFile("citations.bib")
        dialog.setDefaultSuffix("bib")
        dialog.filterSelected.connect(
            lambda chosen: dialog.setDefaultSuffix(chosen.split("*.")[-1].rstrip(")"))
        )
        dialog.fileSelected.connect(lambda name: self.save(Path(name)))
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.open()

    def _render(self) -> None:
        while (item := self._list.takeAt(0)) is not None:
            if (old := item.widget()) is not None:
                old.setParent(None)
                old.deleteLater()
        for section in self._sections:
            heading = QLabel(section.title)
            heading.setTextFormat(Qt.TextFormat.PlainText)
            heading.setStyleSheet(
                "QLabel { font-weight: 600; background: transparent; }"
            )
            self._list.addWidget(heading)
            for entry in section.entries:
                self._list.addWidget(self._entry(entry))

    def _entry(self, entry: Entry) -> QWidget:
        row = QWidget()
        layout = QHBoxLayout(row)
        layout.setContentsMargins(8, 0, 0, 0)
        layout.setSpacing(2)
        cited = entry.citation
        words = entry.text
        if cited is not None:
            words = credit.in_style(cited, self.style_name)
        label = Note(words, "plain")
        label.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse
            | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        layout.addWidget(label, 1)
        for name, url in entry.links:
            layout.addWidget(Link(url, name), 0, Qt.AlignmentFlag.AlignTop)
        if cited is not None or entry.copy:
            copy = _small("Copy", "Copy this", words if cited else entry.copy)
            copy.clicked.connect(
                lambda: QGuiApplication.clipboard().setText(
                    words if cited else entry.copy
                )
            )
            layout.addWidget(copy, 0, Qt.AlignmentFlag.AlignTop)
        if cited is not None and cited.doi:
            url = f"https://doi.org/{cited.doi}"
            follow = _small("Open DOI", "Open DOI", url)
            follow.clicked.connect(lambda: QDesktopServices.openUrl(QUrl(url)))
            layout.addWidget(follow, 0, Qt.AlignmentFlag.AlignTop)
        return row


def _small(text: str, name: str, of: str) -> QPushButton:
    button = QPushButton(text)
    button.setStyleSheet(QUIET)
    described(button, f"{name}: {of[:80]}", name)
    return button
