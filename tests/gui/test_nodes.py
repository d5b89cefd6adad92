"""The node table: what it says, and that a click goes there."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_tcia._napari.layers import add_case, colour_of
from napari_tcia._napari.session import session_for
from napari_tcia._qt.node_table import NodeTable
from napari_tcia.core.image import Check


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
    axes = f"{first.long_axis_mm:.1f} \u00d7 {first.short_axis_mm:.1f}"
    assert _cell(table, 0, 1).data() == axes


def test_columns_sort_by_number_not_by_letters(table, case):
    table.table.sortByColumn(1, Qt.SortOrder.DescendingOrder)
    largest = max(case.nodes, key=lambda row: row.short_axis_mm or 0)
    assert _cell(table, 0, 0).data() == str(largest.id)


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
    (selected,) = dock.table.selectionModel().selectedRows(0)
    assert selected.data() == str(row.id)


def test_the_table_follows_the_data(make_napari_viewer, case):
    viewer = make_napari_viewer()
    session_for(viewer)
    add_case(viewer, case)
    _, dock = viewer.window.add_plugin_dock_widget("napari-tcia", "Nodes")
    assert dock.sorted.rowCount() == len(case.nodes)
    viewer.layers.clear()
    assert dock.sorted.rowCount() == 0
