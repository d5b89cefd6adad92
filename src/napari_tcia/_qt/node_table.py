"""The nodes of a case as a table: click or Enter shows one in the picture."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from qtpy.QtCore import (
    QAbstractTableModel,
    QModelIndex,
    QSortFilterProxyModel,
    Qt,
    Signal,
)
from qtpy.QtGui import QColor
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QHBoxLayout,
    QHeaderView,
    QLineEdit,
    QPushButton,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from napari_tcia._qt.node_filter import matches
from napari_tcia._qt.style import (
    MARGIN,
    SPACING,
    Note,
    described,
    fill_height,
    swatch,
)
from napari_tcia.app.choices import Offer
from napari_tcia.core.geometry import image_number
from napari_tcia.core.image import Check, NodeRow, worst
from napari_tcia.nodes.stations import STATIONS

_VERDICT = {"pass": "good", "warn": "warn", "fail": "bad"}
CLASS_TIP = (
    "Size class by RECIST 1.1 thresholds, acquisition plane, short axis: "
    "below 10, 10 to below 15, 15 mm and above. Not benign or malignant."
)


HINT = (
    "Measures are of the published annotations; the reference does not name every node."
)


def _mm(value: float | None) -> str:
    return "\u2013" if value is None else f"{value:.1f}"


def _axes(row: NodeRow) -> str:
    if row.long_axis_mm is None and row.short_axis_mm is None:
        return "\u2013"
    return f"{_mm(row.short_axis_mm)} \u00d7 {_mm(row.long_axis_mm)}"


def _class(row: NodeRow) -> str:
    return (row.size_class or "\u2013").replace(">=", "\u2265")


def _image(row: NodeRow) -> str:
    return str(image_number(row.k)) if row.k >= 0 else "\u2013"


_CLASSES = (None, "<10 mm", "10-15 mm", ">=15 mm")
COLUMNS: tuple[tuple[str, str, Callable[[NodeRow], str], Callable[[NodeRow], Any]], ...]
COLUMNS = (
    (
        "#",
        "Number in this table, and the station that you named",
        lambda r: f"{r.id}  {r.station}".strip(),
        lambda r: r.id,
    ),
    (
        "Short \u00d7 long",
        "Short \u00d7 long axis in mm, on the axial slice that maximises the short one",
        _axes,
        lambda r: r.short_axis_mm if r.short_axis_mm is not None else -1.0,
    ),
    ("Class", CLASS_TIP, _class, lambda r: _CLASSES.index(r.size_class)),
    (
        "Publ.",
        "Diameter in the published point file, mm",
        lambda r: _mm(r.published_size_mm),
        lambda r: r.published_size_mm if r.published_size_mm is not None else -1.0,
    ),
    ("Image", "Slice, counted from 1", _image, lambda r: r.k),
)
_TOOLS = {
    "previous": ("\u2039", "Previous node", "Previous node (Shift + N)"),
    "next": ("\u203a", "Next node", "Next node (N)"),
    "alone": ("Only this", "Only this node", "This node alone, and all again (W)"),
    "blink": ("Hide", "Hide nodes", "Nodes out of sight, and back (K)"),
}
_SORT = Qt.ItemDataRole.UserRole
_SIZES = (1, 2, 3)
"""Columns that a first click sorts with the largest on top."""
_LONG = re.compile(r"\S{30,}")
_LIT = QColor(47, 125, 225, 110)


class _Filtered(QSortFilterProxyModel):
    """Sorted, and only what a typed filter lets through."""

    text = ""

    def filterAcceptsRow(self, row: int, parent: QModelIndex) -> bool:
        """Whether the node of a row matches."""
        model = self.sourceModel()
        return not isinstance(model, NodeModel) or matches(
            model.rows[row], self.text, model.said(model.rows[row])
        )


class NodeModel(QAbstractTableModel):
    """Rows of `NodeRow`; holds nothing else."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.rows: tuple[NodeRow, ...] = ()
        self._colours: tuple[str, ...] = ()
        self._lit: int | None = None
        self.said: Callable[[NodeRow], str] = lambda row: ""
        """What somebody said of a node: its station, axes drawn by hand."""

    def set_rows(self, rows: Sequence[NodeRow], colours: Sequence[str]) -> None:
        """Show `rows`, each with its colour."""
        self.beginResetModel()
        self.rows, self._colours = tuple(rows), tuple(colours)
        self._lit = None
        self.endResetModel()

    def renew(self, rows: Sequence[NodeRow]) -> None:
        """Take in what was said of the same nodes since."""
        self.rows = tuple(rows)
        last = self.index(len(self.rows) - 1, self.columnCount() - 1)
        self.dataChanged.emit(self.index(0, 0), last)

    def light(self, node: int | None) -> None:
        """Light up the row of a node, beside what is selected; None for none."""
        ids = [row.id for row in self.rows]
        lit = ids.index(node) if node in ids else None
        before, self._lit = self._lit, lit
        for row in {before, lit} - {None} if before != lit else ():
            last = self.columnCount() - 1
            self.dataChanged.emit(self.index(row, 0), self.index(row, last))

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        """Number of nodes."""
        return 0 if parent is not None and parent.isValid() else len(self.rows)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        """Number of columns."""
        return 0 if parent is not None and parent.isValid() else len(COLUMNS)

    def data(self, index: QModelIndex, role: int = 0) -> Any:
        """Cell content, colour mark, sort key and alignment."""
        row = self.rows[index.row()]
        _, _, text, key = COLUMNS[index.column()]
        if role == Qt.ItemDataRole.DisplayRole:
            return text(row)
        if role == Qt.ItemDataRole.DecorationRole and index.column() == 0:
            return swatch(self._colours[index.row()])
        if role == Qt.ItemDataRole.BackgroundRole and index.row() == self._lit:
            return _LIT
        if role == Qt.ItemDataRole.ToolTipRole:
            return "\n".join(filter(None, (describe(row), self.said(row))))
        if role == Qt.ItemDataRole.TextAlignmentRole and index.column() in (1, 3, 4):
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        return key(row) if role == _SORT else None

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = 0
    ) -> Any:
        """Titles and their explanation."""
        if orientation != Qt.Orientation.Horizontal:
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return COLUMNS[section][0]
        if role == Qt.ItemDataRole.ToolTipRole:
            return COLUMNS[section][1]
        if role == Qt.ItemDataRole.InitialSortOrderRole and section in _SIZES:
            return Qt.SortOrder.DescendingOrder
        return None


def describe(row: NodeRow) -> str:
    """Everything that is known of a node, as lines."""
    x, y, z = row.centroid_lps
    lines = [
        f"Node {row.id}"
        + (f": k {row.k} (image {image_number(row.k)})" if row.k >= 0 else ""),
        f"rests on {row.source.replace('+', ' and ')}",
        f"x {x:.1f}, y {y:.1f}, z {z:.1f} mm (LPS)",
    ]
    if row.station:
        lines.append(f"station {row.station}, as you named it")
    if row.pieces > 1:
        lines.append(f"piece {row.piece} of {row.pieces} of label {row.label}")
    if row.volume_mm3 is not None:
        lines.append(f"volume {row.volume_mm3:.0f} mm\u00b3")
    if row.hu_mean is not None and row.hu_sd is not None:
        lines.append(f"HU {row.hu_mean:.0f} \u00b1 {row.hu_sd:.0f}")
    if row.hu_percentiles:
        low, _, middle, _, high = row.hu_percentiles
        lines.append(f"HU median {middle:.0f}, 5 to 95 %: {low:.0f} to {high:.0f}")
    return "\n".join(lines)


class NodeTable(QWidget):
    """Verification badge above, one row per node below."""

    chosen = Signal(object)
    """The `NodeRow` to show."""
    asked = Signal(str)
    """A button: ``"previous"``, ``"next"``, ``"alone"`` or ``"blink"``."""
    located = Signal(int, str)
    """Number of a node, and the station that a reader names for it."""
    decided = Signal(str)
    """What to do about a doubt: the choice of an `Offer`."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.title = Note(meaning="muted")
        self.badge = Note()
        self.model = NodeModel(self)
        self.sorted = _Filtered(self)
        self.sorted.setSourceModel(self.model)
        self.sorted.setSortRole(_SORT)
        self.table = QTableView()
        self.table.setModel(self.sorted)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.setSortingEnabled(True)
        self.table.sortByColumn(0, Qt.SortOrder.AscendingOrder)
        self.table.setShowGrid(False)
        self.table.setTabKeyNavigation(False)
        self.table.verticalHeader().setVisible(False)
        self.table.verticalHeader().setDefaultSectionSize(26)
        header = self.table.horizontalHeader()
        # The narrow ones share what the others leave: no scrolling sideways.
        header.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        for column in (1, 2):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
        header.setStyleSheet("QHeaderView::section { padding: 2px 4px; }")
        header.setMinimumSectionSize(36)
        described(self.table, "Lymph nodes", "Click or press Enter to show a node")
        self.table.setToolTip("")
        self.table.clicked.connect(self._choose)
        self.table.activated.connect(self._choose)
        self.station = QComboBox()
        self.station.setEditable(True)
        self.station.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        self.station.addItem("no station", "")
        for one in STATIONS:
            self.station.addItem(one.title, one.name)
        completer = self.station.completer()
        if completer is not None:
            completer.setFilterMode(Qt.MatchFlag.MatchContains)
            completer.setCompletionMode(completer.CompletionMode.PopupCompletion)
            completer.popup().setAccessibleName("Stations that match")
        described(
            self.station,
            "Station of the chosen node",
            "Your word, kept apart from the reference: IASLC station or region",
        )
        self.station.view().setAccessibleName("Stations")
        self.station.activated.connect(self._locate)
        self.table.selectionModel().selectionChanged.connect(self._show_station)
        self.hint = Note(HINT, size=11)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(MARGIN, MARGIN, MARGIN, MARGIN)
        layout.setSpacing(SPACING)
        self.filter = QLineEdit()
        self.filter.setPlaceholderText("Filter: \u2265 15, seg, points \u2026")
        self.filter.setClearButtonEnabled(True)
        described(self.filter, "Filter nodes", "Sizes such as >= 15 or < 10, and words")
        self.filter.textChanged.connect(self._narrow)
        self.tools = QWidget()
        tools = QHBoxLayout(self.tools)
        tools.setContentsMargins(0, 0, 0, 0)
        tools.setSpacing(SPACING)
        tools.addWidget(self.filter, 1)
        for name, (text, title, tip) in _TOOLS.items():
            button = QPushButton(text)
            button.setObjectName(name)
            described(button, title, tip)
            button.clicked.connect(partial(self.asked.emit, name))
            tools.addWidget(button)
        self.offers = QWidget()
        QHBoxLayout(self.offers).setContentsMargins(0, 0, 0, 0)
        for widget in (self.title, self.badge, self.offers, self.tools):
            layout.addWidget(widget)
        layout.addWidget(self.table, 1000)
        layout.addWidget(self.station)
        layout.addWidget(self.hint)
        layout.addStretch()
        self.setMinimumWidth(380)
        fill_height(self)
        self.clear()

    def clear(self) -> None:
        """Say what would be here."""
        self.model.set_rows((), ())
        self.title.say("Open a case with lymph-node annotations to see its nodes here.")
        self.badge.say("")
        self._offer(())
        for widget in (self.table, self.tools, self.station, self.hint):
            widget.setVisible(False)

    def show_nodes(
        self,
        case: str,
        rows: Sequence[NodeRow],
        colours: Sequence[str],
        checks: Sequence[Check] = (),
        offers: Sequence[Offer] = (),
        known: Sequence[str] = (),
    ) -> None:
        """Show the nodes of a case, the doubts about them, and what can be chosen.

        What is `known` of the case stands below, in sentences.
        """
        self.hint.say("\n".join(known or (HINT,)))
        self._offer(offers)
        self.model.set_rows(rows, colours)
        count = f"{len(rows)} node" + ("" if len(rows) == 1 else "s")
        self.title.say(f"{case}: {count} in the reference")
        verdict = worst(tuple(checks))
        doubts = dict.fromkeys(c.message for c in checks if c.verdict != "pass")
        if doubts:
            words = "\n".join(f"! {text}" for text in doubts)
            # A UID is one long word; it may break at its dots.
            words = _LONG.sub(lambda m: m[0].replace(".", ".\u200b"), words)
            self.badge.say(words, _VERDICT[verdict])
        elif checks:
            self.badge.say(f"\u2713 {_agreed(checks)}", "good")
        else:
            self.badge.say("")
        self.badge.setToolTip("\n".join(c.message for c in checks))
        for widget in (self.table, self.tools, self.station, self.hint):
            widget.setVisible(bool(rows))
        if not rows and verdict == "fail":
            self.title.say(f"{case} can be looked at, but not measured:")
        elif not rows:
            self.title.say(f"{case}: no lymph-node annotations are open.")

    def _offer(self, offers: Sequence[Offer]) -> None:
        """One button for each way to read a doubtful series."""
        layout = self.offers.layout()
        while layout.count():
            layout.takeAt(0).widget().deleteLater()
        for offer in offers:
            button = QPushButton(offer.label)
            described(button, offer.label, offer.tip)
            button.clicked.connect(partial(self.decided.emit, offer.choice))
            layout.addWidget(button)
        self.offers.setVisible(bool(offers))

    def listed(self) -> list[int]:
        """Numbers of the nodes as they stand in the table."""
        places = (self.sorted.index(n, 0) for n in range(self.sorted.rowCount()))
        return [self.model.rows[self.sorted.mapToSource(at).row()].id for at in places]

    def select(self, node: int) -> None:
        """Mark the row of a node that was chosen elsewhere, and scroll to it."""
        ids = self.listed()
        if node in ids:
            at = self.sorted.index(ids.index(node), 0)
            self.table.selectRow(at.row())
            self.table.scrollTo(at)

    def renew(self, rows: Sequence[NodeRow]) -> None:
        """Take in what was said of the same nodes since."""
        self.model.renew(rows)
        self._show_station()

    def marked(self) -> int:
        """Number of the node whose row is marked, 0 for none."""
        found = self.table.selectionModel().selectedRows()
        return self.listed()[found[0].row()] if found else 0

    def _locate(self, at: int) -> None:
        if node := self.marked():
            self.located.emit(node, str(self.station.itemData(at)))

    def _show_station(self, *_: object) -> None:
        node = self.marked()
        self.station.setEnabled(bool(node))
        named = next((r.station for r in self.model.rows if r.id == node), "")
        self.station.setCurrentIndex(max(0, self.station.findData(named)))

    def _narrow(self, text: str) -> None:
        self.sorted.text = text
        self.sorted.invalidateFilter()

    def highlight(self, node: int | None) -> None:
        """Light up the row of the node under the cursor; None for none."""
        self.model.light(node)

    def _choose(self, index: QModelIndex) -> None:
        self.chosen.emit(self.model.rows[self.sorted.mapToSource(index).row()])


def _agreed(checks: Sequence[Check]) -> str:
    if len(checks) == 1:
        return checks[0].message
    return f"Annotations and image agree ({len(checks)} checks passed)"
