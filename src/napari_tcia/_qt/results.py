"""Search results as a tree: collection, patient, series."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from qtpy.QtCore import QModelIndex, Qt, Signal
from qtpy.QtGui import QFont, QKeyEvent, QStandardItem, QStandardItemModel
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTreeView, QWidget

from napari_tcia._qt.style import described
from napari_tcia.app.state import CaseRow, Results, size_text
from napari_tcia.terms.licence import identify

_ROW = Qt.ItemDataRole.UserRole


class ResultsTree(QTreeView):
    """Shows rows and says which are selected or wanted."""

    selection_changed = Signal()
    open_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._model = QStandardItemModel(self)
        self._model.setHorizontalHeaderLabels(["Case", "Images", "Nodes", "Size"])
        self.setModel(self._model)
        self.setUniformRowHeights(True)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setAllColumnsShowFocus(True)
        self.setExpandsOnDoubleClick(True)
        header = self.header()
        header.setStretchLastSection(False)
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.setIndentation(14)
        self.setStyleSheet("QTreeView::item { padding: 3px 6px 3px 0; }")
        described(self, "Search results")
        self.setToolTip("")
        self.selectionModel().selectionChanged.connect(
            lambda *_: self.selection_changed.emit()
        )
        self.doubleClicked.connect(self._double_clicked)

    def show_rows(self, rows: Sequence[CaseRow], results: Results) -> None:
        """Render `rows` of `results`; keeps what was selected, where it still is."""
        selected = {row.series.series_uid for row in self.selected_rows()}
        self._model.removeRows(0, self._model.rowCount())
        groups = [
            (name, list(members))
            for name, members in groupby(rows, key=lambda r: r.series.collection)
        ]
        for name, members in groups:
            parent = _group(name or "No collection named", members, results)
            self._model.appendRow(parent)
            self.setFirstColumnSpanned(self._model.rowCount() - 1, QModelIndex(), True)
            for patient, of_patient in groupby(
                members, key=lambda r: r.series.patient_id
            ):
                own = list(of_patient)
                if len(own) == 1:
                    parent[0].appendRow(_case(own[0], patient, results))
                    continue
                item = [_item(patient), _item(f"{len(own)} series")]
                parent[0].appendRow(item)
                for row in own:
                    name = row.series.description or row.series.modality
                    item[0].appendRow(_case(row, name, results))
        if len(groups) <= 3:
            self.expandToDepth(0)
        self._select(selected)
        self.selection_changed.emit()

    def selected_rows(self) -> tuple[CaseRow, ...]:
        """Selected cases; a selected patient means all of its series."""
        found: dict[str, CaseRow] = {}
        for index in self.selectionModel().selectedRows(0):
            item = self._model.itemFromIndex(index)
            for row in _rows_below(item) if item.parent() is not None else ():
                found[row.series.series_uid] = row
        return tuple(found.values())

    def select_first(self) -> None:
        """Select the first case and take the focus."""
        first = next(iter(_leaves(self._model.invisibleRootItem())), None)
        if first is not None:
            self.setCurrentIndex(first.index())
            self.setFocus()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Enter opens the selection."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            if self.selected_rows():
                self.open_requested.emit()
            return
        super().keyPressEvent(event)

    def _double_clicked(self, index: object) -> None:
        item = self._model.itemFromIndex(index.siblingAtColumn(0))
        if item is not None and item.data(_ROW) is not None:
            self.open_requested.emit()

    def _select(self, uids: set[str]) -> None:
        flags = self.selectionModel().SelectionFlag
        for item in _leaves(self._model.invisibleRootItem()):
            if item.data(_ROW).series.series_uid in uids:
                self.selectionModel().select(item.index(), flags.Select | flags.Rows)


def images_text(row: CaseRow) -> str:
    """Modality and number of images: "CT  56"."""
    count = row.series.images
    return f"{row.series.modality or '?'}  {'?' if count is None else count}"


def nodes_text(row: CaseRow) -> str:
    """How the nodes of a case are annotated: "+ SEG", or nothing."""
    if row.annotations:
        return "+ " + "/".join(dict.fromkeys(a.modality for a in row.annotations))
    return "+ yes" if row.series.has_labels else ""


def _item(text: str, tip: str = "") -> QStandardItem:
    item = QStandardItem(text)
    item.setEditable(False)
    if tip:
        item.setToolTip(tip)
    return item


def _group(
    name: str, members: Sequence[CaseRow], results: Results
) -> list[QStandardItem]:
    licences = dict.fromkeys(
        identify(m.series.licence_name, m.series.licence_uri).short for m in members
    )
    shown = " / ".join(licences) if len(licences) <= 2 else "several licences"
    if name in results.accepted:
        shown += " \u2713 accepted"
    number = f"{len(members)} case" + ("" if len(members) == 1 else "s")
    item = _item(f"{name}    {shown}", f"{name}\n{shown}\n{number}")
    font = QFont(item.font())
    font.setBold(True)
    item.setFont(font)
    return [item]


def _case(row: CaseRow, name: str, results: Results) -> list[QStandardItem]:
    series = row.series
    kept = all(s.series_uid in results.stored for s in row.all)
    size = size_text(row.bytes) if any(s.bytes for s in row.all) else "?"
    tip = "\n".join(
        text
        for text in (
            series.description,
            series.body_part,
            series.manufacturer,
            f"Series {series.series_uid}",
            "Listed by " + " and ".join(series.sources) if series.sources else "",
            "On disk, verified" if kept else "",
        )
        if text
    )
    first = _item(name or series.series_uid, tip)
    first.setData(row, _ROW)
    last = _item(f"{size} \u2713" if kept else size, "On disk" if kept else "")
    last.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
    return [first, _item(images_text(row), tip), _item(nodes_text(row), tip), last]


def _leaves(item: QStandardItem) -> list[QStandardItem]:
    found = []
    for number in range(item.rowCount()):
        child = item.child(number, 0)
        found += [child] if child.data(_ROW) is not None else _leaves(child)
    return found


def _rows_below(item: QStandardItem) -> tuple[CaseRow, ...]:
    own = item.data(_ROW)
    if own is not None:
        return (own,)
    return tuple(leaf.data(_ROW) for leaf in _leaves(item))
