"""Search results as a tree: collection, patient, series."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QModelIndex, QPoint, QSize, Qt, Signal
from qtpy.QtGui import QKeyEvent, QShowEvent
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTreeView, QWidget

from napari_tcia._qt.results_model import (
    BATCH,
    CASE,
    FROM,
    IMAGES,
    NODES,
    SIZE,
    ResultsModel,
)
from napari_tcia._qt.style import DOT, described
from napari_tcia.app.state import CaseRow, Results

OPEN_GROUPS = 3
"""So many collections are opened by themselves; of more, only the names show."""
_WIDEST = {IMAGES: "CT  888", NODES: "+ SEG", SIZE: "88 MB ✓"}
"""Usual words of a column; measuring all of them would take as long as reading."""


class ResultsTree(QTreeView):
    """Shows rows and says which are selected or wanted."""

    selection_changed = Signal()
    open_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._model = ResultsModel(self)
        self.setModel(self._model)
        self.setUniformRowHeights(True)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setAllColumnsShowFocus(True)
        self.setExpandsOnDoubleClick(True)
        self.setTabKeyNavigation(False)
        self.setIconSize(QSize(2 * DOT, DOT))
        header = self.header()
        header.setStretchLastSection(False)
        header.setMinimumSectionSize(24)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        header.setSectionResizeMode(CASE, QHeaderView.ResizeMode.Stretch)
        self.setIndentation(12)
        self.setStyleSheet("QTreeView::item { padding: 3px 2px 3px 0; }")
        described(self, "Search results")
        self.setToolTip("")
        self.selectionModel().selectionChanged.connect(
            lambda *_: self.selection_changed.emit()
        )
        self.doubleClicked.connect(self._double_clicked)
        self.verticalScrollBar().valueChanged.connect(self._near_the_end)
        self.expanded.connect(lambda _: self._near_the_end())

    def show_rows(self, rows: Sequence[CaseRow], results: Results) -> None:
        """Render `rows` of `results`; keeps what was selected, where it still is."""
        chosen = self.selectionModel().selectedRows(0)
        selected = frozenset(
            row.series.series_uid
            for index in chosen
            if self._model.is_case(index)
            for row in self._model.rows_below(index)
        )
        whole = {name for at, name in self._model.groups() if at in chosen}
        opened = {name for at, name in self._model.groups() if self.isExpanded(at)}
        self._model.set_rows(rows, results)
        groups = list(self._model.groups())
        for place, (index, name) in enumerate(groups):
            self.setFirstColumnSpanned(place, QModelIndex(), True)
            if len(groups) <= OPEN_GROUPS or name in opened:
                self.expand(index)
        flags = self.selectionModel().SelectionFlag
        again = [at for at, name in groups if name in whole]
        for index in (*again, *self._model.cases(selected)):
            self.selectionModel().select(index, flags.Select | flags.Rows)
        self.setColumnHidden(FROM, not any(row.series.sources for row in rows[:1]))
        self.selection_changed.emit()

    def selected_rows(self) -> tuple[CaseRow, ...]:
        """Selected cases; a selected branch means all that is in it."""
        found: dict[str, CaseRow] = {}
        for index in self.selectionModel().selectedRows(0):
            for row in self._model.rows_below(index):
                found[row.series.series_uid] = row
        return tuple(found.values())

    def select_first(self) -> None:
        """Select the first case and take the focus."""
        first = self._model.first_case()
        if first.isValid():
            self.setCurrentIndex(first)
            self.setFocus()

    def showEvent(self, event: QShowEvent) -> None:
        """Give the columns the width of their words in this font."""
        super().showEvent(event)
        for column, words in _WIDEST.items():
            wide = self.fontMetrics().horizontalAdvance(words)
            self.header().resizeSection(column, wide + 11)
        self.header().resizeSection(FROM, 3 * DOT)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Enter opens the selection, or a branch."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            current = self.currentIndex().siblingAtColumn(0)
            if current.isValid() and not self._model.is_case(current):
                self.setExpanded(current, not self.isExpanded(current))
            elif self.selected_rows():
                self.open_requested.emit()
            return
        super().keyPressEvent(event)

    def _double_clicked(self, index: QModelIndex) -> None:
        if self._model.is_case(index.siblingAtColumn(0)):
            self.open_requested.emit()

    def _near_the_end(self) -> None:
        """Make more children of the branch whose made ones nearly end here."""
        bottom = QPoint(1, self.viewport().height() - 1)
        last = self.indexAt(bottom)
        if not last.isValid() and self._model.rowCount():
            last = self._last_shown()
        while last.isValid():
            parent = last.parent()
            left = self._model.rowCount(parent) - last.row()
            if left < BATCH // 4 and self._model.has_more(parent):
                self._model.make_more(parent)
                return
            last = parent

    def _last_shown(self) -> QModelIndex:
        at = self._model.index(self._model.rowCount() - 1, 0, QModelIndex())
        while self.isExpanded(at) and self._model.rowCount(at):
            at = self._model.index(self._model.rowCount(at) - 1, 0, at)
        return at
