"""What people do most, by keys and mouse alone, and counted."""

from __future__ import annotations

import inspect
from functools import partial

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from napari_tcia._napari import axes, walking
from napari_tcia._napari.layers import AXES, metadata_of
from napari_tcia._napari.reviewing import Review
from napari_tcia._napari.session import session_for
from napari_tcia._napari.widgets import NodesDock, ReviewDock
from napari_tcia._qt.judgement_panel import JudgementPanel
from napari_tcia.app import drafting
from napari_tcia.app.case import open_case
from napari_tcia.app.services import Services
from napari_tcia.core.settings import Settings
from napari_tcia.demo.twin import phantom_case
from napari_tcia.review.autosave import Autosave
from napari_tcia.review.recovery import recover

LEFT, NONE = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier


class Hand:
    """Keys, clicks and drags of a person, each counted."""

    def __init__(self, viewer):
        self.canvas = viewer.window._qt_viewer.canvas.native
        self.viewer = viewer
        self.actions = self.strokes = 0

    def key(self, key, at=None):
        self.actions += 1
        QTest.keyClick(at or self.canvas, key, NONE)

    def type(self, words, at):
        """One line typed, where the cursor is, is one action."""
        assert at.hasFocus()
        self.actions += 1
        QTest.keyClicks(at, words)

    def click(self, widget, at=None):
        self.actions += 1
        place = at if at is not None else widget.rect().center()
        QTest.mouseClick(widget, LEFT, NONE, place)

    def stroke(self, *points):
        self.strokes += 1
        QTest.mouseMove(self.canvas, points[0])
        QTest.qWait(40)
        QTest.mousePress(self.canvas, LEFT, NONE, points[0])
        for point in points[1:]:
            QTest.qWait(40)
            QTest.mouseMove(self.canvas, point)
        QTest.qWait(40)
        QTest.mouseRelease(self.canvas, LEFT, NONE, points[-1])
        QTest.qWait(20)


@pytest.fixture(scope="module")
def large_case(tmp_path_factory):
    """A case of more than nine nodes."""
    home = phantom_case(
        tmp_path_factory.mktemp("many"),
        "MED_LYMPH_073",
        matrix=96,
        slices=60,
        step=5.0,
        nodes=12,
    )
    services = Services.open(Settings(home=tmp_path_factory.mktemp("many-home")))
    (found,) = open_case(services, home)
    assert len(found.nodes) >= 9
    return found


@pytest.fixture
def desk(make_napari_viewer, qtbot, large_case, tmp_path):
    viewer = make_napari_viewer(show=True)
    session = session_for(viewer)
    session.services = Services.open(Settings(home=tmp_path / "home"))
    nodes, review = NodesDock(viewer), ReviewDock(viewer)
    viewer.window.add_dock_widget(nodes, name="Nodes", area="right")
    viewer.window.add_dock_widget(review, name="Review", area="right")
    session.add_cases([large_case])
    qtbot.waitUntil(lambda: session.image() is not None and not session.adding)
    with qtbot.waitExposed(viewer.window._qt_window):
        viewer.window.activate()
    hand = Hand(viewer)
    hand.canvas.setFocus()
    qtbot.waitUntil(lambda: session.chosen_node > 0)  # the first is presented
    yield hand, viewer, session, nodes, review
    session.review.finish()


def test_b_the_largest_node_and_its_short_axis(desk, large_case):
    hand, viewer, session, nodes, _ = desk
    header = nodes.table.horizontalHeader()
    place = QPoint(header.sectionViewportPosition(1) + 20, header.height() // 2)
    hand.click(header.viewport(), place)  # the largest on top
    top = nodes.table.visualRect(nodes.sorted.index(0, 1)).center()
    hand.click(nodes.table.viewport(), top)
    largest = max(large_case.nodes, key=lambda row: row.short_axis_mm or 0)
    assert session.chosen_node == largest.id
    assert viewer.dims.current_step[0] == largest.k
    (drawn,) = session.ours(AXES)
    assert f"{largest.short_axis_mm:.1f} ×" in drawn.features["mm"][0]
    assert drawn.visible
    assert hand.actions <= 2


def test_c_a_mask_is_corrected_and_saved(desk, large_case, qtbot):
    hand, viewer, session, nodes, review = desk
    row = next(r for r in nodes.model.rows if r.label is not None and r.pieces == 1)
    at = nodes.listed().index(row.id)
    place = nodes.table.visualRect(nodes.sorted.index(at, 1)).center()
    hand.click(nodes.table.viewport(), place)
    hand.canvas.setFocus()
    hand.key(Qt.Key.Key_F9)
    image = session.image()
    canvas = viewer.window._qt_viewer.canvas
    size = np.array(canvas.size)
    camera = viewer.scene.camera

    def pixel(index):
        world = np.asarray(image.data_to_world(index))[list(viewer.dims.displayed)]
        down, right = (world - np.asarray(camera.center)[-2:]) * camera.zoom
        return QPoint(round(size[1] / 2 + right), round(size[0] / 2 + down))

    before = large_case.labels[0].array
    edge = [(row.k, row.index[1] + d, row.index[2] + 6) for d in (-2, 0, 2)]
    hand.stroke(*map(pixel, edge))

    def saved():
        found = drafting.drafts(session.services)
        return bool(found) and found[0].edits > 0

    qtbot.waitUntil(saved)  # by itself
    (info,) = drafting.drafts(session.services)
    labels = recover(info.folder).labels
    changed = np.argwhere(labels != before)
    assert len(changed)
    assert set(labels[tuple(changed.T)].tolist()) == {row.label}
    assert set(changed[:, 0].tolist()) == {row.k}
    assert (hand.actions, hand.strokes) <= (5, 1)
    assert review.saved.text().startswith("Saved")


def test_d_nine_nodes_and_one_comment(desk, large_case):
    hand, _, session, nodes, review = desk
    keys = [Qt.Key.Key_F2] * 4 + [Qt.Key.Key_F3] * 3 + [Qt.Key.Key_F4] * 2
    order = nodes.listed()[:9]
    for number, key in enumerate(keys):
        if number == 4:
            hand.key(Qt.Key.Key_F5)
            hand.type("calcified", review.judging.comment)
            hand.key(Qt.Key.Key_Return, review.judging.comment)
        hand.key(key)
    assert session.review.saving.flush()
    (info,) = drafting.drafts(session.services)
    assert info.decided == 9
    state = recover(info.folder).state
    rows = {row.id: row for row in large_case.nodes}
    said = [state.judgement(session.review.uid(rows[n])) for n in order]
    decisions = ["accept"] * 4 + ["reject"] * 3 + ["unsure"] * 2
    assert [one.decision for one in said] == decisions
    assert [one.comment for one in said] == [""] * 4 + ["calcified"] + [""] * 4
    assert hand.actions <= 9 + 3
    assert metadata_of(session.image())["case"] == "MED_LYMPH_073"


@pytest.mark.parametrize(
    ("owner", "slot", "task"),
    [
        (walking, "choose", test_b_the_largest_node_and_its_short_axis),
        (axes, "show", test_b_the_largest_node_and_its_short_axis),
        (Review, "annotate", test_c_a_mask_is_corrected_and_saved),
        (Autosave, "tick", test_c_a_mask_is_corrected_and_saved),
        (Review, "decide", test_d_nine_nodes_and_one_comment),
        (JudgementPanel, "write_comment", test_d_nine_nodes_and_one_comment),
    ],
)
def test_the_tasks_go_through_the_real_slots(
    owner, slot, task, monkeypatch, request, large_case, qtbot
):
    """With one of them dead the task fails: nothing in it takes a short cut."""
    monkeypatch.setattr(owner, slot, lambda *_, **__: None)
    monkeypatch.setattr(qtbot, "waitUntil", partial(qtbot.waitUntil, timeout=3000))
    arguments = {"large_case": large_case, "qtbot": qtbot}
    wanted = inspect.signature(task).parameters

    def whole():
        arguments["desk"] = request.getfixturevalue("desk")
        task(**{name: arguments[name] for name in wanted})

    with pytest.raises(Exception):  # noqa: B017 - whichever way it shows
        whole()
