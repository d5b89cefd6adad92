"""Results as a tree that is made as it is looked at: collection, patient, series."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from typing import Any

from qtpy.QtCore import QAbstractItemModel, QModelIndex, QObject, Qt
from qtpy.QtGui import QFont

from napari_tcia._qt.style import source_dots, source_words
from napari_tcia.app.state import CaseRow, Results, size_text
from napari_tcia.terms.licence import identify

COLUMNS = ("Case", "Images", "Nodes", "Size", "")
CASE, IMAGES, NODES, SIZE, FROM = range(5)
BATCH = 250
"""Children that are made at once; a view asks for more when it gets near them."""
_ROOT = 0
_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter


@dataclass(slots=True)
class _Node:
    """A run of rows: all of them, a collection, a patient, or one case.

    `spans` are the runs of the children that there are, known once somebody
    has looked below; `children` are the nodes made of them so far.
    """

    kind: str
    start: int
    stop: int
    parent: int = _ROOT
    place: int = 0
    spans: list[tuple[int, int]] | None = None
    children: list[int] = field(default_factory=list)


class ResultsModel(QAbstractItemModel):
    """Rows of a search; nothing is made for a branch before it is opened.

    Rows come ordered by collection and patient, so that every branch is one
    run of them.
    """

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._rows: Sequence[CaseRow] = ()
        self._results = Results()
        self._nodes = [_Node("root", 0, 0)]
        self._bold = QFont()
        self._bold.setBold(True)

    def set_rows(self, rows: Sequence[CaseRow], results: Results) -> None:
        """Show `rows` of `results` instead of what there was."""
        self.beginResetModel()
        self._rows, self._results = rows, results
        self._nodes = [_Node("root", 0, len(rows))]
        self._grow(_ROOT, len(rows))
        self.endResetModel()

    # where things are

    def index(
        self, row: int, column: int, parent: QModelIndex | None = None
    ) -> QModelIndex:
        """Index of a child; invalid where it has not been made."""
        children = self._nodes[self._id(parent)].children
        if 0 <= row < len(children) and 0 <= column < len(COLUMNS):
            return self.createIndex(row, column, children[row])
        return QModelIndex()

    def parent(self, index: QModelIndex | None = None) -> Any:
        """Index of the branch that `index` lies in."""
        if index is None:
            return super().parent()
        above = self._nodes[self._id(index)].parent if index.isValid() else _ROOT
        return self._index(above)

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        """Children made so far; the first of them are made now."""
        if parent is not None and parent.column() > 0:
            return 0
        number = self._id(parent)
        if self._nodes[number].spans is None:
            self._grow(number, BATCH)
        return len(self._nodes[number].children)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        """The same everywhere."""
        return len(COLUMNS)

    def hasChildren(self, parent: QModelIndex | None = None) -> bool:
        """Without making them."""
        node = self._nodes[self._id(parent)]
        return node.kind != "case" and node.stop > node.start

    def has_more(self, parent: QModelIndex) -> bool:
        """Whether `parent` has children that are not made yet."""
        node = self._nodes[self._id(parent)]
        return node.spans is not None and len(node.children) < len(node.spans)

    def make_more(self, parent: QModelIndex, at_least: int = 0) -> None:
        """Make the next children of `parent`, so that `at_least` are there."""
        number = self._id(parent)
        node = self._nodes[number]
        if not self.has_more(parent):
            return
        first = len(node.children)
        last = min(len(node.spans or ()), max(first + BATCH, at_least))
        self.beginInsertRows(parent, first, last - 1)
        self._grow(number, last)
        self.endInsertRows()

    def groups(self) -> Iterable[tuple[QModelIndex, str]]:
        """Collections: where they are and their names."""
        for number in self._nodes[_ROOT].children:
            yield (
                self._index(number),
                self._rows[self._nodes[number].start].series.collection,
            )

    def rows_below(self, index: QModelIndex) -> Sequence[CaseRow]:
        """Cases of a branch, or the one case."""
        node = self._nodes[self._id(index)]
        return self._rows[node.start : node.stop]

    def is_case(self, index: QModelIndex) -> bool:
        """Whether `index` is one case, not a branch."""
        return index.isValid() and self._nodes[self._id(index)].kind == "case"

    def first_case(self) -> QModelIndex:
        """The first case of all, invalid when there is none."""
        return self._at(0) if self._rows else QModelIndex()

    def cases(self, uids: frozenset[str]) -> list[QModelIndex]:
        """Where the cases with these image series are, made where needed."""
        if not uids:
            return []
        found = (n for n, r in enumerate(self._rows) if r.series.series_uid in uids)
        return [self._at(number) for number in found]

    def _at(self, row: int) -> QModelIndex:
        number = _ROOT
        while self._nodes[number].kind != "case":
            index = self._index(number)
            self.rowCount(index)
            spans = self._nodes[number].spans or []
            place = bisect_right(spans, row, key=lambda span: span[0]) - 1
            self.make_more(index, place + 1)
            number = self._nodes[number].children[place]
        return self._index(number)

    def _id(self, index: QModelIndex | None) -> int:
        return index.internalId() if index is not None and index.isValid() else _ROOT

    def _index(self, number: int) -> QModelIndex:
        if number == _ROOT:
            return QModelIndex()
        return self.createIndex(self._nodes[number].place, 0, number)

    def _grow(self, number: int, until: int) -> None:
        """Make children of a node until there are so many."""
        node = self._nodes[number]
        if node.spans is None:
            node.spans = self._spans(node)
        below = {"root": "collection", "collection": "patient"}.get(node.kind, "case")
        for place in range(len(node.children), min(until, len(node.spans))):
            start, stop = node.spans[place]
            kind = "case" if below == "patient" and stop - start == 1 else below
            node.children.append(len(self._nodes))
            self._nodes.append(_Node(kind, start, stop, number, place))

    def _spans(self, node: _Node) -> list[tuple[int, int]]:
        if node.kind == "case":
            return []
        if node.kind == "patient":
            return [(n, n + 1) for n in range(node.start, node.stop)]
        below = self._rows[node.start : node.stop]
        if node.kind == "root":
            names = [row.series.collection for row in below]
        else:
            names = [row.series.patient_id for row in below]
        edges = [n for n in range(1, len(names)) if names[n] != names[n - 1]]
        starts = [node.start, *(node.start + n for n in edges)] if names else []
        return list(pairwise([*starts, node.stop]))

    # what is shown

    def headerData(
        self,
        section: int,
        orientation: Qt.Orientation,
        role: int = Qt.ItemDataRole.DisplayRole,
    ) -> Any:
        """Names of the columns."""
        if orientation != Qt.Orientation.Horizontal:
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return COLUMNS[section]
        if role == Qt.ItemDataRole.TextAlignmentRole and section == SIZE:
            return _RIGHT
        if role == Qt.ItemDataRole.ToolTipRole and section == FROM:
            return "Who lists it"
        return None

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Words, tips and dots, made when they come into view."""
        if not index.isValid():
            return None
        node = self._nodes[index.internalId()]
        if role == Qt.ItemDataRole.FontRole:
            return self._bold if node.kind == "collection" else None
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _RIGHT if index.column() == SIZE else None
        case = node.kind == "case"
        if role == Qt.ItemDataRole.DecorationRole:
            if case and index.column() == FROM:
                return source_dots(self._rows[node.start].series.sources)
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return (
                self._case(node, index.column())
                if case
                else self._branch(node, index.column())
            )
        if role == Qt.ItemDataRole.AccessibleTextRole and index.column() == FROM:
            return source_words(self._rows[node.start].series.sources) if case else None
        if role == Qt.ItemDataRole.ToolTipRole:
            return self._case_tip(node) if case else self._branch_tip(node)
        return None

    def _case(self, node: _Node, column: int) -> str:
        row = self._rows[node.start]
        if column == CASE:
            series = row.series
            if self._nodes[node.parent].kind == "patient":
                return series.description or series.modality or series.series_uid
            return series.patient_id or series.series_uid
        if column == IMAGES:
            return images_text(row)
        if column == NODES:
            return nodes_text(row)
        if column == SIZE:
            size = size_text(row.bytes) if any(s.bytes for s in row.all) else "?"
            return f"{size} ✓" if self._kept(row) else size
        return ""

    def _case_tip(self, node: _Node) -> str:
        row = self._rows[node.start]
        series = row.series
        lines = (
            series.description,
            series.body_part,
            series.manufacturer,
            f"Series {series.series_uid}",
            *(f"With {a.modality} {a.series_uid}" for a in row.annotations),
            f"Listed by: {source_words(series.sources)}" if series.sources else "",
            self._where(row),
        )
        return "\n".join(line for line in lines if line)

    def _where(self, row: CaseRow) -> str:
        if folder := self._results.folders.get(row.series.series_uid):
            return f"In {folder}"
        return "On disk, verified" if self._kept(row) else ""

    def _kept(self, row: CaseRow) -> bool:
        here = self._results
        return all(
            s.series_uid in here.stored or s.series_uid in here.folders for s in row.all
        )

    def _branch(self, node: _Node, column: int) -> str:
        if node.kind == "patient":
            if column == IMAGES:
                return f"{node.stop - node.start} series"
            return self._rows[node.start].series.patient_id if column == CASE else ""
        if column != CASE:
            return ""
        name, shown = self._group(node)
        alone = len(self._nodes[_ROOT].children) == 1  # the count is above the tree
        return "   ".join((name, shown) if alone else (name, _cases(node), shown))

    def _branch_tip(self, node: _Node) -> str:
        if node.kind == "patient":
            return f"{self._rows[node.start].series.patient_id}\n{_cases(node)}"
        return "\n".join((*self._group(node), _cases(node)))

    def _group(self, node: _Node) -> tuple[str, str]:
        """Name of a collection, and its licences with what became of them."""
        members = self._rows[node.start : node.stop]
        name = members[0].series.collection
        found = {(m.series.licence_name, m.series.licence_uri): None for m in members}
        licences = dict.fromkeys(_short(*words) for words in found)
        shown = " / ".join(licences) if len(licences) <= 2 else "several licences"
        if name in self._results.accepted:
            shown += " ✓ accepted"
        return name or "No collection named", shown


@lru_cache(maxsize=256)
def _short(name: str, uri: str) -> str:
    return identify(name, uri).short


def _cases(node: _Node) -> str:
    number = node.stop - node.start
    return f"{number:,} case" + ("" if number == 1 else "s")


def images_text(row: CaseRow) -> str:
    """Modality and number of images: "CT  56"."""
    count = row.series.images
    return f"{row.series.modality or '?'}  {'?' if count is None else count}"


def nodes_text(row: CaseRow) -> str:
    """How the nodes of a case are annotated: "+ SEG", or nothing."""
    if row.annotations:
        return "+ " + "/".join(dict.fromkeys(a.modality for a in row.annotations))
    return "+ yes" if row.series.has_labels else ""
