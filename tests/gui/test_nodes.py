"""The node table: what it says, and that a click goes there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt

from napari_tcia._napari.layers import add_case, colour_of
from napari_tcia._napari.session import session_for
from napari_tcia._napari.widgets import NodesDock
from napari_tcia._qt.node_table import NodeTable
from napari_tcia.core.image import Check, Passport
from napari_tcia.nodes import known_issues


@pytest.fixture
def table(qtbot, case):
    made = NodeTable()
    qtbot.addWidget(made)
    made.resize(420, 400)
    made.show()
    colours = [colour_of(row.label or 1) for row in case.nodes]
    made.show_nodes(case.name, case.nodes, colours, case.checks)
    return made


def _cell(table, row, column):
    return table.sorted.index(row, column)


def test_one_row_per_node(table, case):
    assert table.sorted.rowCount() == len(case.nodes)
    assert f"{len(case.nodes)} nodes" in table.title.text()
    first = case.nodes[0]
    assert _cell(table, 0, 0).data() == str(first.id)
    axes = f"{first.short_axis_mm:.1f} \u00d7 {first.long_axis_mm:.1f}"
    assert _cell(table, 0, 1).data() == axes


def test_columns_sort_by_number_not_by_letters(table, case):
    table.table.sortByColumn(1, Qt.SortOrder.DescendingOrder)
    largest = max(case.nodes, key=lambda row: row.short_axis_mm or 0)
    assert _cell(table, 0, 0).data() == str(largest.id)


def test_classes_sort_by_size(table, case):
    table.table.sortByColumn(2, Qt.SortOrder.AscendingOrder)
    shown = [_cell(table, n, 2).data() for n in range(table.sorted.rowCount())]
    order = ["<10 mm", "10-15 mm", "\u226515 mm"]
    assert [order.index(one) for one in shown] == sorted(map(order.index, shown))
    assert len(set(shown)) > 1


@pytest.mark.parametrize("how", ["click", "enter"])
def test_choosing_a_row(table, case, qtbot, how):
    chosen = []
    table.chosen.connect(chosen.append)
    view = table.table
    index = _cell(table, 2, 1)
    if how == "click":
        place = view.visualRect(index).center()
        qtbot.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=place)
    else:
        view.setCurrentIndex(index)
        qtbot.keyClick(view, Qt.Key.Key_Return)
    assert chosen == [case.nodes[2]]


def test_the_badge_shows_the_worst_check(table, case):
    table.show_nodes("A", case.nodes, ["#fff"] * len(case.nodes), ())
    assert table.badge.isHidden()
    doubt = Check("flip", "fail", "The mask looks flipped in y.")
    table.show_nodes("A", case.nodes, ["#fff"] * len(case.nodes), (doubt,))
    assert "flipped in y" in table.badge.text()


def test_empty_says_what_would_be_here(table):
    table.clear()
    assert "Open a case" in table.title.text()
    assert not table.table.isVisible()


def test_a_click_jumps_to_the_node(make_napari_viewer, case, qtbot):
    viewer = make_napari_viewer(show=True)
    session_for(viewer)
    _, dock = viewer.window.add_plugin_dock_widget("napari-tcia", "Nodes")
    add_case(viewer, case)
    assert dock.sorted.rowCount() == len(case.nodes)
    row = case.nodes[3]
    index = dock.sorted.index(3, 0)
    dock.table.scrollTo(index)
    place = dock.table.visualRect(index).center()
    qtbot.mouseClick(dock.table.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert viewer.dims.current_step[0] == row.k
    world = viewer.layers[0].data_to_world((row.k, *row.index[1:]))
    assert np.allclose(viewer.scene.camera.center[-2:], world[1:])


def test_the_node_under_the_cursor_lights_up(make_napari_viewer, case):
    viewer = make_napari_viewer()
    session_for(viewer)
    _, dock = viewer.window.add_plugin_dock_widget("napari-tcia", "Nodes")
    add_case(viewer, case)
    labels = viewer.layers["Nodes (reference)"]
    row = next(r for r in case.nodes if r.label == 3)
    k, j, i = np.argwhere(labels.data == row.label)[5]
    world = tuple(labels.data_to_world((k, j, i)))
    viewer.dims.set_point(range(3), world)
    viewer.cursor.position = world
    assert _lit(dock) == [str(row.id)]
    assert dock.table.selectionModel().selectedRows(0) == []  # what was chosen stays
    labels.visible = False
    point = next(r for r in case.nodes if "points" in r.source)
    (points,) = session_for(viewer).ours("points")
    away = np.linalg.norm(points.data - np.array(point.index), axis=1)
    place = tuple(points.data_to_world(points.data[away.argmin()]))
    viewer.dims.set_point(range(3), place)
    viewer.cursor.position = place
    assert _lit(dock) == [str(point.id)]  # by its point
    points.visible = False  # a node that is not seen is not pointed at
    viewer.cursor.position = tuple(np.array(place) + 1e-3)
    assert _lit(dock) == []


def _lit(dock):
    cells = [dock.sorted.index(n, 0) for n in range(dock.sorted.rowCount())]
    return [c.data() for c in cells if c.data(Qt.ItemDataRole.BackgroundRole)]


def test_two_cases_of_one_name_keep_their_own_nodes(make_napari_viewer, case):
    """Layers belong together by series, not by what a folder is called."""
    viewer = make_napari_viewer()
    session = session_for(viewer)
    _, dock = viewer.window.add_plugin_dock_widget("napari-tcia", "Nodes")
    (first, *_), _ = add_case(viewer, case)
    origin = replace(
        case.volume.provenance, series_uid="61.7.0.999.9.7", frame_of_reference_uid="9"
    )
    volume = replace(case.volume, provenance=origin)
    (second, labels, _), _ = add_case(
        viewer, replace(case, volume=volume, nodes=case.nodes[:2])
    )
    viewer.layers.selection.active = labels
    assert session.image() is second
    assert dock.sorted.rowCount() == 2
    viewer.layers.selection.active = first
    assert session.image() is first
    assert dock.sorted.rowCount() == len(case.nodes)


@pytest.mark.parametrize("verdict", ["warn", "fail"])
def test_a_doubtful_volume_is_said_where_it_is_used(
    make_napari_viewer, case, qtbot, verdict
):
    viewer = make_napari_viewer()
    session_for(viewer)
    _, dock = viewer.window.add_plugin_dock_widget("napari-tcia", "Nodes")
    check = Check("missing_slices", verdict, "2 slices are missing at k 3, k 7.")
    present = case.volume.present.copy()
    present[[3, 7]] = False
    volume = replace(case.volume, present=present, passport=Passport((check,)))
    add_case(viewer, replace(case, volume=volume, checks=()))
    assert viewer.layers[0].name == f"CT - MED_LYMPH_001 ({verdict})"
    assert check.message in dock.badge.text().replace("\u200b", "")
    viewer.dims.set_current_step(0, 7)
    shown = viewer.canvas.overlays["napari_tcia_position"].text
    assert "k 7 (image 8)" in shown
    assert "slice missing" in shown
    assert ("only to look at" in shown) == (verdict == "fail")
    viewer.dims.set_current_step(0, 8)
    assert "missing" not in viewer.canvas.overlays["napari_tcia_position"].text


def test_a_case_that_failed_says_why_it_has_no_nodes(qtbot):
    table = NodeTable()
    qtbot.addWidget(table)
    table.show_nodes("A", (), (), [Check("x", "fail", "Two slices lie in one place.")])
    assert "not measured" in table.title.text()
    assert "in one place" in table.badge.text()


def test_every_column_is_in_sight(table):
    table.resize(380, 400)
    header = table.table.horizontalHeader()
    assert header.length() <= table.table.viewport().width()
    assert table.table.horizontalScrollBar().maximum() == 0


def test_the_largest_node_in_two_actions(make_napari_viewer, case, qtbot):
    viewer = make_napari_viewer(show=True)
    session_for(viewer)
    _, dock = viewer.window.add_plugin_dock_widget("napari-tcia", "Nodes")
    add_case(viewer, case)
    view = dock.table
    left = Qt.MouseButton.LeftButton
    header = view.horizontalHeader()
    x = header.sectionViewportPosition(1) + header.sectionSize(1) // 2
    where = QPoint(x, header.height() // 2)
    qtbot.mouseClick(header.viewport(), left, pos=where)  # 1: by size
    first = view.visualRect(dock.sorted.index(0, 1)).center()
    qtbot.mouseClick(view.viewport(), left, pos=first)  # 2: the row
    largest = max(case.nodes, key=lambda row: row.short_axis_mm)
    assert dock.sorted.index(0, 0).data() == str(largest.id)
    assert f"{largest.short_axis_mm:.1f}" in dock.sorted.index(0, 1).data()
    assert viewer.dims.current_step[0] == largest.k


def test_the_table_follows_the_data(make_napari_viewer, case):
    viewer = make_napari_viewer()
    session_for(viewer)
    add_case(viewer, case)
    _, dock = viewer.window.add_plugin_dock_widget("napari-tcia", "Nodes")
    assert dock.sorted.rowCount() == len(case.nodes)
    viewer.layers.clear()
    assert dock.sorted.rowCount() == 0


def test_what_is_known_of_a_case_stands_below(make_napari_viewer, case):
    viewer = make_napari_viewer()
    dock = NodesDock(viewer)
    told = replace(case, issues=known_issues("ABD_LYMPH_001"))
    add_case(viewer, told)
    text = dock.hint.text()
    assert "The same scan is also MED_LYMPH_002" in text
    assert "Only abdominal nodes are annotated" in text
    assert not dock.hint.isHidden()
