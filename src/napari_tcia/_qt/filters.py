"""Chosen facets as chips that a click removes, and a menu with the others."""

from __future__ import annotations

from functools import partial

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QHBoxLayout, QMenu, QPushButton, QWidget
from superqt import QFlowLayout

from napari_tcia._qt.style import CHIP, QUIET, SPACING, Note, described
from napari_tcia.app.facets import Facet, FacetValue, facets, narrow
from napari_tcia.app.rows import CaseRow, Results

MAX_VALUES = 24
"""Values in one menu; rarer ones are found by searching for them."""
_NEEDS_TITLE = ("slices", "spacing", "downloaded", "nodes")
"""Facets whose values say too little by themselves."""


class Filters(QWidget):
    """What narrows the results: "CT (12) x   + filter      12 cases of 40"."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._results = Results()
        self.left_out: frozenset[str] = frozenset()
        """Codes of facets that are not to be chosen from."""
        self.chosen: dict[str, frozenset[str]] = {}
        self.chips: dict[tuple[str, str], QPushButton] = {}
        self.menu = QMenu(self)
        self.menu.aboutToShow.connect(self._fill_menu)
        self.add_button = QPushButton("+ filter")
        self.add_button.setStyleSheet(QUIET)
        self.add_button.setMenu(self.menu)
        described(
            self.add_button,
            "Add a filter",
            "Narrow by modality, body part, labels, slices, size, licence ...",
        )
        self.count = Note()
        self.count.setWordWrap(False)
        self._row = QWidget()
        self._flow = QFlowLayout(self._row)
        self._flow.setContentsMargins(0, 0, 0, 0)
        self._flow.setHorizontalSpacing(SPACING // 2)
        self._flow.setVerticalSpacing(SPACING // 2)
        self._flow.addWidget(self.add_button)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(SPACING // 2)
        layout.addWidget(self._row, 1)
        layout.addWidget(self.count, 0, Qt.AlignmentFlag.AlignTop)

    def fill(self, results: Results) -> None:
        """Begin with all of `results`."""
        self._results = results
        self.chosen = {}

    def update_results(self, results: Results) -> None:
        """The same rows with more known about them; what is chosen stays."""
        self._results = results

    def narrow(self, results: Results) -> tuple[CaseRow, ...]:
        """Rows of `results` that pass, said with how many."""
        self._results = results
        passed = narrow(results, self.chosen)
        number = f"{len(passed):,} case" + ("" if len(passed) == 1 else "s")
        all_of = len(results.rows)
        hidden = all_of - len(passed)
        self.count.setText(f"{number} of {all_of:,}" if hidden else number)
        self._show_chips()
        return passed

    def toggle(self, code: str, key: str) -> None:
        """Choose a value of a facet, or let it go."""
        picked = self.chosen.get(code, frozenset()) ^ {key}
        self.chosen = {k: v for k, v in self.chosen.items() if k != code}
        if picked:
            self.chosen[code] = picked
        self.changed.emit()

    def clear(self) -> None:
        """Let everything pass."""
        self.chosen = {}
        self.changed.emit()

    def _show_chips(self) -> None:
        had_focus = any(chip.hasFocus() for chip in self.chips.values())
        for chip in self.chips.values():
            self._flow.removeWidget(chip)
            chip.setParent(None)
            chip.deleteLater()
        self.chips = {}
        self._flow.removeWidget(self.add_button)
        before = self._row.previousInFocusChain()
        for facet in facets(self._results, self.chosen) if self.chosen else ():
            picked = self.chosen.get(facet.code, frozenset())
            for value in facet.values:
                if value.key in picked:
                    chip = self._chip(facet, value)
                    self._flow.addWidget(chip)
                    QWidget.setTabOrder(before, chip)
                    before = chip
                    chip.show()
        self._flow.addWidget(self.add_button)
        QWidget.setTabOrder(before, self.add_button)
        if had_focus:
            self.add_button.setFocus()

    def _chip(self, facet: Facet, value: FacetValue) -> QPushButton:
        words = value.label
        if facet.code in _NEEDS_TITLE or not value.key:
            words = f"{facet.title}: {value.label}"
        chip = QPushButton(f"{_plain(words)} ({value.count:,})  ×")
        chip.setStyleSheet(CHIP)
        described(chip, f"Remove the filter {words}", f"{facet.title}: click to remove")
        chip.clicked.connect(partial(self.toggle, facet.code, value.key))
        self.chips[facet.code, value.key] = chip
        return chip

    def _fill_menu(self) -> None:
        self.menu.clear()
        for facet in facets(self._results, self.chosen):
            picked = self.chosen.get(facet.code, frozenset())
            if facet.code in self.left_out:
                continue
            if len(facet.values) == 1 and not picked:
                continue  # it would narrow nothing
            below = self.menu.addMenu(facet.title)
            for value in facet.values[:MAX_VALUES]:
                action = below.addAction(f"{_plain(value.label)}\t{value.count:,}")
                action.setCheckable(True)
                action.setChecked(value.key in picked)
                action.triggered.connect(partial(self.toggle, facet.code, value.key))
            rarer = len(facet.values) - MAX_VALUES
            if rarer > 0:
                below.addAction(f"and {rarer} rarer").setEnabled(False)
        if self.chosen:
            self.menu.addSeparator()
            self.menu.addAction("Remove all filters").triggered.connect(self.clear)


def _plain(words: str) -> str:
    """Text of a button or action, where an ampersand would mark a key."""
    return words.replace("&", "&&")
