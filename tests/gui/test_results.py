"""The tree of results: made as it is looked at, and always in step with its rows."""

from __future__ import annotations

import pytest
from qtpy.QtCore import QModelIndex, Qt
from qtpy.QtTest import QAbstractItemModelTester

from napari_tcia._qt.results import ResultsTree
from napari_tcia._qt.results_model import BATCH, FROM, ResultsModel
from napari_tcia.app.rows import Results, case_rows
from napari_tcia.core.model import Series

MANY = 20_000


def _series(number, patient, collection="One", **more):
    uid = f"1.2.{number}"
    return Series(f"{uid}.1", uid, patient, collection, "CT", **more)


@pytest.fixture
def tree(qtbot):
    made = ResultsTree()
    qtbot.addWidget(made)
    made.resize(420, 500)
    made.show()
    return made


def _show(tree, series, **results):
    rows = case_rows(series)
    tree.show_rows(rows, Results("x", rows, **results))
    return rows


def _children(model, parent=None):
    parent = parent or QModelIndex()
    return [model.index(n, 0, parent) for n in range(model.rowCount(parent))]


def test_the_model_keeps_the_rules_of_qt(qtmodeltester):
    model = ResultsModel()
    mode = QAbstractItemModelTester.FailureReportingMode.Fatal
    watch = QAbstractItemModelTester(model, mode)
    series = [_series(n, f"P{n // 2}", f"C{n % 3}") for n in range(40)]
    rows = case_rows(series)
    model.set_rows(rows, Results("x", rows))
    for group in _children(model):
        for patient in _children(model, group):
            _children(model, patient)
    qtmodeltester.check(model)
    del watch


def test_collection_patient_series(tree):
    _show(
        tree,
        [_series(1, "A"), _series(2, "A", description="late"), _series(3, "B")],
    )
    model = tree.model()
    (group,) = _children(model)
    several, single = _children(model, group)
    assert several.data() == "A"
    assert several.siblingAtColumn(1).data() == "2 series"
    assert [i.data() for i in _children(model, several)] == ["CT", "late"]
    assert single.data() == "B"
    assert not model.hasChildren(single)
    assert single.siblingAtColumn(FROM).data(Qt.ItemDataRole.DecorationRole) is not None


def test_nothing_is_made_below_a_closed_collection(tree):
    _show(tree, [_series(n, f"P{n}", f"C{n % 9}") for n in range(90)])
    model = tree.model()
    assert model.rowCount() == 9
    assert len(model._nodes) == 10
    tree.expand(model.index(0, 0))
    assert len(model._nodes) == 20


def test_twenty_thousand_rows_are_made_in_batches_and_all_can_be_reached(tree, qtbot):
    rows = _show(tree, (_series(n, f"P{n:05d}") for n in range(MANY)))
    model = tree.model()
    (group,) = _children(model)
    assert model.rowCount(group) == BATCH
    bar = tree.verticalScrollBar()
    for _ in range(4):
        end = bar.maximum()
        bar.setValue(end)
        qtbot.waitUntil(lambda end=end: bar.maximum() > end)
    assert model.rowCount(group) == 5 * BATCH
    (last,) = model.cases(frozenset({rows[-1].series.series_uid}))
    assert last.data() == f"P{MANY - 1:05d}"
    assert last.row() == MANY - 1


def test_a_selection_stays_while_rows_are_narrowed(tree):
    rows = _show(tree, (_series(n, f"P{n:05d}") for n in range(1000)))
    model = tree.model()
    (far,) = model.cases(frozenset({rows[700].series.series_uid}))
    tree.setCurrentIndex(far)
    fewer = rows[600:]
    tree.show_rows(fewer, Results("x", rows))
    assert tree.selected_rows() == (rows[700],)
    tree.show_rows(rows[:10], Results("x", rows))
    assert tree.selected_rows() == ()


def test_a_selected_collection_means_all_of_it_and_stays(tree):
    rows = _show(tree, (_series(n, f"P{n}") for n in range(12)))
    tree.setCurrentIndex(tree.model().index(0, 0))
    assert len(tree.selected_rows()) == 12
    tree.show_rows(rows, Results("x", rows, accepted=frozenset({"One"})))
    assert len(tree.selected_rows()) == 12
    assert "accepted" in tree.model().index(0, 0).data()


def test_enter_opens_a_branch_and_wants_a_case(tree, qtbot):
    _show(tree, [_series(n, f"P{n}", f"C{n}") for n in range(5)])
    wanted = []
    tree.open_requested.connect(lambda: wanted.append(tree.selected_rows()))
    group = tree.model().index(0, 0)
    tree.setCurrentIndex(group)
    qtbot.keyClick(tree, Qt.Key.Key_Return)
    assert tree.isExpanded(group)
    assert wanted == []
    qtbot.keyClick(tree, Qt.Key.Key_Down)
    qtbot.keyClick(tree, Qt.Key.Key_Return)
    assert [[r.series.patient_id for r in rows] for rows in wanted] == [["P0"]]


def test_dots_are_told_in_words(tree):
    _show(tree, [_series(1, "A", sources=("catalogue", "nbia"))])
    (case,) = _children(tree.model(), tree.model().index(0, 0))
    words = case.siblingAtColumn(FROM).data(Qt.ItemDataRole.AccessibleTextRole)
    assert words == "NBIA, Catalogue"
    assert "NBIA, Catalogue" in case.data(Qt.ItemDataRole.ToolTipRole)
