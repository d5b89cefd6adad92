"""Chips that narrow what a search found."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QButtonGroup,
    QHBoxLayout,
    QPushButton,
    QVBoxLayout,
    QWidget,
)
from superqt import QFlowLayout

from napari_tcia._qt.style import CHIP, SPACING, Note, described
from napari_tcia.app import state
from napari_tcia.app.state import CaseRow

MAX_CHIPS = 4


class Filters(QWidget):
    """CT, with nodes, and one chip per collection where several were found."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._collection = ""
        self.ct_chip = _chip("CT", "Show CT only")
        self.nodes_chip = _chip("With nodes", "Show only what has annotations")
        for chip in (self.ct_chip, self.nodes_chip):
            chip.toggled.connect(lambda _: self.changed.emit())
        self._row = QWidget()
        self._chips = QFlowLayout(self._row)
        self._chips.setContentsMargins(0, 0, 0, 0)
        self._chips.setHorizontalSpacing(SPACING // 2)
        self._chips.setVerticalSpacing(SPACING // 2)
        self._chip_group = QButtonGroup(self)
        self._chip_group.setExclusive(False)
        self.count = Note()
        self.count.setWordWrap(False)
        top = QHBoxLayout()
        top.setSpacing(SPACING // 2)
        top.addWidget(self.ct_chip)
        top.addWidget(self.nodes_chip)
        top.addStretch()
        top.addWidget(self.count)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(SPACING // 2)
        layout.addLayout(top)
        layout.addWidget(self._row)

    def fill(self, rows: Sequence[CaseRow]) -> None:
        """Offer the collections of `rows`, the most frequent first."""
        self._collection = ""
        while (item := self._chips.takeAt(0)) is not None:
            self._chip_group.removeButton(item.widget())
            item.widget().setParent(None)
            item.widget().deleteLater()
        names = state.counts(rows, "collection")
        for name, number in names[:MAX_CHIPS] if len(names) > 1 else ():
            chip = _chip(f"{name} {number}", f"Show only {name}")
            chip.toggled.connect(partial(self._choose, name))
            self._chips.addWidget(chip)
            self._chip_group.addButton(chip)
        self._row.setVisible(len(names) > 1)

    def narrow(self, rows: Sequence[CaseRow]) -> tuple[CaseRow, ...]:
        """Rows that pass, and say how many."""
        passed = state.narrow(
            rows,
            modality="CT" if self.ct_chip.isChecked() else "",
            with_nodes=self.nodes_chip.isChecked(),
            collection=self._collection,
        )
        number = f"{len(passed)} case" + ("" if len(passed) == 1 else "s")
        hidden = len(rows) - len(passed)
        self.count.setText(f"{number} of {len(rows)}" if hidden else number)
        return passed

    def _choose(self, name: str, chosen: bool) -> None:
        self._collection = name if chosen else ""
        for button in self._chip_group.buttons():
            if chosen and not button.text().startswith(name):
                button.blockSignals(True)
                button.setChecked(False)
                button.blockSignals(False)
        self.changed.emit()


def _chip(text: str, tip: str) -> QPushButton:
    chip = QPushButton(text)
    chip.setCheckable(True)
    chip.setStyleSheet(CHIP)
    described(chip, text, tip)
    return chip
