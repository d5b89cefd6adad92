"""From node to node by keys; one alone; axes that a person corrects."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QPushButton

from napari_tcia._napari import axes, numbers
from napari_tcia._napari.layers import AXES, metadata_of, node_rows
from napari_tcia._napari.widgets import NodesDock
from napari_tcia._napari.writer import write_nodes

NONE, SHIFT = Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.ShiftModifier


@pytest.fixture
def nodes(window, qtbot):
    viewer, session = window
    dock = NodesDock(viewer)
    viewer.window.add_dock_widget(dock, name="Nodes", area="right")
    with qtbot.waitExposed(viewer.window._qt_window):
        _canvas(viewer).setFocus()
    return viewer, session, dock


def _canvas(viewer):
    return viewer.window._qt_viewer.canvas.native


def _press(viewer, key, modifier=NONE):
    _canvas(viewer).setFocus()
    QTest.keyClick(_canvas(viewer), key, modifier)


def _marked(dock):
    (index,) = dock.table.selectionModel().selectedRows()
    return dock.listed()[index.row()]


def _there(viewer, session, row):
    image = session.image()
    step = viewer.dims.current_step[0]
    return step == row.k and np.allclose(
        image.world_to_data(viewer.dims.point)[1:], row.index[1:], atol=1
    )


def test_next_and_previous_by_key(nodes, case):
    viewer, session, dock = nodes
    for row in (case.nodes[0], case.nodes[1], case.nodes[2]):
        _press(viewer, Qt.Key.Key_N)
        assert viewer.dims.current_step[0] == row.k
        assert _marked(dock) == row.id
    _press(viewer, Qt.Key.Key_N, SHIFT)
    assert _marked(dock) == case.nodes[1].id
    for _ in range(2):
        _press(viewer, Qt.Key.Key_N, SHIFT)
    assert _marked(dock) == case.nodes[-1].id  # before the first comes the last
    assert session.chosen_node == case.nodes[-1].id


def test_the_order_is_that_of_the_table(nodes, case, qtbot):
    viewer, _, dock = nodes
    dock.table.sortByColumn(1, Qt.SortOrder.DescendingOrder)
    by_size = sorted(case.nodes, key=lambda one: -(one.short_axis_mm or -1))
    for row in by_size[:3]:
        _press(viewer, Qt.Key.Key_N)
        assert _marked(dock) == row.id


def test_a_filter_narrows_the_table_and_the_way(nodes, case, qtbot):
    viewer, _, dock = nodes
    large = [r.id for r in case.nodes if (r.short_axis_mm or 0) >= 12]
    assert 0 < len(large) < len(case.nodes)
    dock.filter.setFocus()
    qtbot.keyClicks(dock.filter, ">= 12")
    assert dock.listed() == large
    seen = []
    for _ in range(len(large) + 1):
        _press(viewer, Qt.Key.Key_N)
        seen.append(_marked(dock))
    assert seen == [*large, large[0]]
    dock.filter.clear()
    qtbot.keyClicks(dock.filter, "points < 12")
    assert dock.listed() == [
        r.id
        for r in case.nodes
        if "points" in r.source and (r.short_axis_mm or r.published_size_mm or 99) < 12
    ]
    dock.filter.clear()
    qtbot.keyClicks(dock.filter, "nothing of this kind")
    assert dock.listed() == []
    # Typing in the field is no command.
    before = viewer.dims.current_step
    dock.filter.clear()
    qtbot.keyClicks(dock.filter, "nw")
    assert viewer.dims.current_step == before


def test_one_alone_and_all_again(nodes, case):
    viewer, session, _ = nodes
    (labels,) = session.ours("reference")
    (points,) = session.ours("points")
    _press(viewer, Qt.Key.Key_N)
    _press(viewer, Qt.Key.Key_W)
    row = case.nodes[0]
    assert labels.show_selected_label
    assert labels.selected_label == row.label
    seen = points.shown.sum()
    assert seen == (1 if "points" in row.source else 0)
    _press(viewer, Qt.Key.Key_N)  # the next one alone
    assert labels.selected_label == case.nodes[1].label
    _press(viewer, Qt.Key.Key_W)
    assert not labels.show_selected_label
    assert points.shown.all()


def test_out_of_sight_and_back(nodes):
    viewer, session, _ = nodes
    (labels,) = session.ours("reference")
    (points,) = session.ours("points")
    points.visible = False  # the reader's own wish stays
    _press(viewer, Qt.Key.Key_K)
    assert (labels.visible, points.visible) == (False, False)
    _press(viewer, Qt.Key.Key_K)
    assert (labels.visible, points.visible) == (True, False)


def test_axes_are_drawn_where_they_were_measured(nodes, case):
    viewer, session, _ = nodes
    for row in case.nodes[:2]:
        _press(viewer, Qt.Key.Key_N)
        (layer,) = session.ours(AXES)
        assert np.allclose(layer.data[0], row.long_axis_line)
        assert np.allclose(layer.data[1], row.short_axis_line)
        said = f"{row.id}:  {row.short_axis_mm:.1f} \u00d7 {row.long_axis_mm:.1f} mm"
        assert list(layer.features["mm"]) == [said, ""]
        assert np.allclose(layer.data[0][:, 0], row.k)
        assert axes.drawn_mm(session.image(), row.id) is None
    credited = metadata_of(session.image())["series_uid"]
    assert metadata_of(layer)["series_uid"] == credited
    assert viewer.layers.selection.active is not layer


def test_an_end_that_is_dragged_stands_beside_what_was_measured(nodes, case, qtbot):
    viewer, session, dock = nodes
    _press(viewer, Qt.Key.Key_N)
    row = case.nodes[0]
    (layer,) = session.ours(AXES)
    viewer.layers.selection.active = layer
    layer.mode = "direct"
    qtbot.wait(100)
    start = _pixel(viewer, layer.data_to_world(layer.data[0][1]))
    wanted = np.add(layer.data[0][1], (0, 0, 4))
    end = _pixel(viewer, layer.data_to_world(wanted))
    native = _canvas(viewer)
    for _ in range(2):  # the first takes hold of the line, the second of its end
        QTest.mouseMove(native, start + QPoint(1, 0))
        qtbot.wait(100)
        QTest.mouseMove(native, start)
        qtbot.wait(100)
        QTest.mouseClick(native, Qt.MouseButton.LeftButton, NONE, start)
    qtbot.wait(600)  # a second click at once would be a double one
    QTest.mousePress(native, Qt.MouseButton.LeftButton, NONE, start)
    for share in (0.3, 0.6, 1.0):
        QTest.mouseMove(native, start + (end - start) * share)
        qtbot.wait(40)
    QTest.mouseRelease(native, Qt.MouseButton.LeftButton, NONE, end)
    qtbot.wait(50)
    image = session.image()
    drawn = axes.drawn_mm(image, row.id)
    assert drawn is not None
    moved = np.array(layer.data[0][1])
    spacing = np.array(image.scale)
    expected = np.linalg.norm((moved - np.array(layer.data[0][0])) * spacing)
    assert drawn[0] == pytest.approx(expected)
    assert abs(drawn[0] - row.long_axis_mm) > 0.5
    said = f"{row.id}:  {drawn[1]:.1f} \u00d7 {drawn[0]:.1f} mm"
    assert layer.features["mm"][0] == said
    assert "drawn by hand" in dock.model.said(row)
    # What was measured is as it was, and what was drawn comes back.
    (index,) = dock.table.selectionModel().selectedRows()
    assert index.siblingAtColumn(1).data().endswith(f"{row.long_axis_mm:.1f}")
    _press(viewer, Qt.Key.Key_N)
    _press(viewer, Qt.Key.Key_N, SHIFT)
    assert np.allclose(layer.data[0][1], moved)
    viewer.layers.remove(layer)
    _press(viewer, Qt.Key.Key_N)
    _press(viewer, Qt.Key.Key_N, SHIFT)
    (again,) = session.ours(AXES)
    assert np.allclose(again.data[0][1], moved)


def test_the_same_by_buttons(nodes, case, qtbot):
    viewer, session, dock = nodes
    (labels,) = session.ours("reference")

    def click(name):
        button = dock.tools.findChild(QPushButton, name)
        assert button.toolTip()
        assert button.accessibleName()
        qtbot.mouseClick(button, Qt.MouseButton.LeftButton)

    click("next")
    click("next")
    assert _marked(dock) == case.nodes[1].id
    click("previous")
    assert _there(viewer, session, case.nodes[0])
    click("alone")
    assert labels.show_selected_label
    click("alone")
    click("blink")
    assert not labels.visible
    click("blink")
    assert labels.visible


def test_a_station_is_the_readers_own_word(nodes, case, qtbot, tmp_path):
    viewer, session, dock = nodes
    _press(viewer, Qt.Key.Key_N)
    assert dock.marked() == case.nodes[0].id
    line = dock.station.lineEdit()
    line.setFocus()
    line.selectAll()
    qtbot.keyClicks(line, "subcarinal")
    qtbot.keyClick(line, Qt.Key.Key_Down)
    qtbot.keyClick(dock.station.completer().popup(), Qt.Key.Key_Down)
    qtbot.keyClick(dock.station.completer().popup(), Qt.Key.Key_Return)
    ours = metadata_of(session.image())
    assert [row.station for row in node_rows(ours)][:2] == ["7", ""]
    assert dock.sorted.index(0, 0).data() == f"{case.nodes[0].id}  7"
    assert all("station" in row and not row["station"] for row in ours["nodes"])
    _press(viewer, Qt.Key.Key_N)
    assert dock.station.currentData() == ""  # that of the other node
    _press(viewer, Qt.Key.Key_N, SHIFT)
    assert dock.station.currentData() == "7"
    path = tmp_path / "nodes.csv"
    write_nodes(str(path), *_layer_of(session.image()))
    table = pd.read_csv(path, comment="#", dtype=str, keep_default_na=False)
    assert list(table["station"])[:2] == ["7", ""]


def _layer_of(layer):
    return layer.data, layer.as_layer_data_tuple()[1]


def _pixel(viewer, world):
    """Where a place of the world lies on the canvas, by its own map."""
    canvas = viewer.window._qt_viewer.canvas
    corners = [(0, 0), (400, 0), (0, 400)]
    ends = np.array([canvas._map_canvas2world(c, canvas.view) for c in corners])
    shown = list(viewer.dims.displayed)
    matrix = (ends[1:] - ends[0])[:, shown].T / 400
    at = np.linalg.solve(matrix, (np.asarray(world) - ends[0])[shown])
    return QPoint(*(round(float(v)) for v in at))


def _numbers(viewer):
    (layer,) = [one for one in viewer.layers if one.name == numbers.NAME]
    return layer


def test_each_node_has_its_number_in_every_slice_it_is_in(nodes, case):
    viewer, session, _ = nodes
    layer, image = _numbers(viewer), session.image()
    assert layer.features["id"].tolist() == [row.id for row in case.nodes]
    assert layer.text.values.tolist() == [str(row.id) for row in case.nodes]
    for n, row in enumerate(case.nodes):
        if row.label is None:
            continue
        voxels = np.argwhere(case.labels[0].array == row.label)
        ks = np.unique(voxels[:, 0])
        for k in (ks[0], row.k, ks[-1]):
            at = image.data_to_world((k, *row.index[1:]))
            viewer.dims.set_point(range(3), tuple(at))
            assert n in layer._view_indices, (row.id, k)
        # Beside the node: on none of its voxels, and no farther than its size.
        corner = np.round(layer.data[n][1:]).astype(int)
        assert case.labels[0].array[row.k][tuple(corner)] != row.label
        assert np.abs(voxels[:, 1:] - corner).max(axis=1).min() <= 8
    far = image.data_to_world((0, *case.nodes[0].index[1:]))
    viewer.dims.set_point(range(3), tuple(far))
    assert len(layer._view_indices) == 0


def test_numbers_follow_what_is_shown(nodes, case, qtbot):
    viewer, session, _ = nodes
    layer = _numbers(viewer)
    assert not layer.editable
    _press(viewer, Qt.Key.Key_N)
    _press(viewer, Qt.Key.Key_W)
    assert layer.features["id"][layer.shown].tolist() == [session.chosen_node]
    _press(viewer, Qt.Key.Key_W)
    assert layer.shown.all()
    _press(viewer, Qt.Key.Key_K)
    assert not layer.visible
    _press(viewer, Qt.Key.Key_K)
    assert layer.visible
    viewer.layers.remove(session.image())
    qtbot.waitUntil(lambda: layer not in viewer.layers)
