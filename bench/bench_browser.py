"""How long the browser lets the window wait with 20,000 rows in it.

The longest pause of the event loop while rows are shown, narrowed, opened and
scrolled through; beside it, in the same run, what a tree of ready-made items
(QStandardItemModel) takes for the same rows.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ["NAPARI_CONFIG"] = ""

from qtpy.QtCore import QTimer
from qtpy.QtGui import QStandardItem, QStandardItemModel
from qtpy.QtWidgets import QApplication, QTreeView

from napari_tcia._qt.filters import Filters
from napari_tcia._qt.results import ResultsTree
from napari_tcia.app import facets
from napari_tcia.app.rows import CaseRow, Results, case_rows
from napari_tcia.core.model import Series

PATIENTS = 20_000
LIMIT_MS = 50.0


def rows() -> tuple[CaseRow, ...]:
    """Twenty thousand cases, half of them in one collection."""
    series = []
    for n in range(PATIENTS):
        collection = "One large collection" if n % 2 else f"Collection {n % 40:02d}"
        study = f"1.2.{n}"
        series.append(
            Series(
                f"{study}.1",
                study,
                f"PATIENT_{n:05d}",
                collection,
                "CT" if n % 3 else "MR",
                "axial",
                "CHEST",
                100 + n % 300,
                30_000_000 + n,
                "CC BY 3.0",
                sources=("nbia", "catalogue"),
            )
        )
        if n % 5 == 0:
            series.append(
                Series(
                    f"{study}.2",
                    study,
                    f"PATIENT_{n:05d}",
                    collection,
                    "SEG",
                    images=1,
                    bytes=400_000,
                )
            )
    return case_rows(series)


class Pauses:
    """Longest time between two turns of the event loop."""

    def __init__(self, app: QApplication) -> None:
        self._app = app
        self._timer = QTimer()
        self._timer.timeout.connect(self._tick)
        self._timer.start(0)
        self._last = time.perf_counter()
        self.longest = 0.0

    def _tick(self) -> None:
        now = time.perf_counter()
        self.longest = max(self.longest, now - self._last)
        self._last = now

    def measure(self, action: Callable[[], object], turns: int = 12) -> float:
        """Milliseconds of the longest pause that `action` causes."""
        best = float("inf")
        for _ in range(3):
            self._app.processEvents()
            self._last, self.longest = time.perf_counter(), 0.0
            action()
            for _ in range(turns):
                self._app.processEvents()
            best = min(best, self.longest)
        return 1000 * best


def main() -> None:
    """Print one line per action."""
    app = QApplication.instance() or QApplication([])
    found = Results("x", rows())
    facets.prepare(found.rows)  # done beside the window, with the search
    tree, filters = ResultsTree(), Filters()
    tree.resize(420, 700)
    tree.show()
    filters.fill(found)
    pauses = Pauses(app)
    large = (
        next(at for at in range(tree.model().rowCount()) if "large" in _name(tree, at))
        if tree.model().rowCount()
        else 0
    )

    def show() -> None:
        tree.show_rows(filters.narrow(found), found)

    def narrow(chosen: dict[str, frozenset[str]]) -> None:
        filters.chosen = chosen
        show()

    measured = {"show 20,000 rows": pauses.measure(show)}
    large = next(n for n in range(tree.model().rowCount()) if "large" in _name(tree, n))
    one = {"modality": frozenset({"CT"})}
    two = one | {"labels": frozenset({"yes"})}
    measured["narrow by one facet"] = pauses.measure(lambda: narrow(one))
    measured["narrow by two"] = pauses.measure(lambda: narrow(two))
    narrow({})

    def expand() -> None:
        at = tree.model().index(large, 0)
        tree.setExpanded(at, False)
        tree.setExpanded(at, True)

    measured["open a collection of 10,000"] = pauses.measure(expand)
    bar = tree.verticalScrollBar()
    measured["scroll by a page, 40 times"] = pauses.measure(
        lambda: [bar.setValue(bar.value() + bar.pageStep()) for _ in range(1)], 40
    )
    measured["jump to the end"] = pauses.measure(lambda: bar.setValue(bar.maximum()))
    measured["select a collection"] = pauses.measure(
        lambda: (
            tree.setCurrentIndex(tree.model().index(large, 0)),
            tree.selected_rows(),
        )
    )
    measured["show again, a case selected"] = pauses.measure(
        lambda: (tree.select_first(), show())
    )
    ready_made = pauses.measure(lambda: _ready_made(found.rows))
    print(f"ready-made items for the same rows: {ready_made:.0f} ms")
    for words, longest in measured.items():
        sign = "" if longest <= LIMIT_MS else f"  over {LIMIT_MS:.0f} ms"
        share = longest / ready_made
        print(f"{words:32s} {longest:6.1f} ms  {share:6.1%} of ready-made{sign}")


def _name(tree: ResultsTree, at: int) -> str:
    return str(tree.model().index(at, 0).data())


def _ready_made(found: tuple[CaseRow, ...]) -> None:
    model, groups = QStandardItemModel(), {}
    for row in found:
        name = row.series.collection
        if name not in groups:
            groups[name] = QStandardItem(name)
            model.appendRow([groups[name]])
        groups[name].appendRow(
            [QStandardItem(t) for t in (row.series.patient_id, "CT", "+", "30 MB")]
        )
    view = QTreeView()
    view.setModel(model)
    view.expandToDepth(0)


if __name__ == "__main__":
    main()
