"""Reviewing in a real window: by keys and mouse, and nothing is lost."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QPushButton

from napari_tcia._napari import walking
from napari_tcia._napari.launch import build
from napari_tcia._napari.layers import metadata_of
from napari_tcia._napari.review_view import view_of
from napari_tcia._napari.session import session_for
from napari_tcia._napari.widgets import NodesDock, ReviewDock
from napari_tcia._napari.window import dock_of
from napari_tcia.app import drafting
from napari_tcia.app.case import open_case
from napari_tcia.app.services import Services
from napari_tcia.core.image import Check, Passport, Segment
from napari_tcia.core.settings import Settings
from napari_tcia.review.deltas import fingerprint
from napari_tcia.review.recovery import recover

LEFT, NONE = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
CTRL = Qt.KeyboardModifier.ControlModifier


@pytest.fixture
def desk(make_napari_viewer, qtbot, case, tmp_path):
    """The case in a window with its Nodes and Review tabs."""
    viewer = make_napari_viewer(show=True)
    session = session_for(viewer)
    session.services = Services.open(Settings(home=tmp_path / "home"))
    NodesDock(viewer)
    panel = ReviewDock(viewer)
    viewer.window.add_dock_widget(panel, name="Review", area="right")
    session.add_cases([case])
    qtbot.waitUntil(lambda: session.image() is not None and not session.adding)
    with qtbot.waitExposed(viewer.window._qt_window):
        viewer.window.activate()
        _canvas(viewer).setFocus()
    qtbot.waitUntil(lambda: session.chosen_node > 0)  # the first is presented
    yield viewer, session, panel
    session.review.finish()


def _canvas(viewer):
    return viewer.window._qt_viewer.canvas.native


def _press(viewer, key, modifier=NONE):
    _canvas(viewer).setFocus()
    QTest.keyClick(_canvas(viewer), key, modifier)


def _folder(session):
    (info,) = drafting.drafts(session.services)
    return info.folder


def _kept(session):
    """What is on the disk, once everything was written."""
    saving = session.review.saving
    if saving is not None:
        assert saving.flush()
    return recover(_folder(session))


def _pixel(viewer, world):
    """Place on the canvas of a place in the world."""
    canvas = viewer.window._qt_viewer.canvas
    camera = viewer.scene.camera
    size = np.array(canvas.size)  # height, width
    shown = np.asarray(world)[list(viewer.dims.displayed)]
    centre = np.asarray(camera.center)[-2:]
    down, right = (shown - centre) * camera.zoom
    return QPoint(round(size[1] / 2 + right), round(size[0] / 2 + down))


def _stroke(viewer, *worlds):
    """Press at the first place, move over the others, let go."""
    canvas = _canvas(viewer)
    points = [_pixel(viewer, world) for world in worlds]
    QTest.mouseMove(canvas, points[0])
    QTest.qWait(40)
    QTest.mousePress(canvas, LEFT, NONE, points[0])
    for point in points[1:]:
        QTest.qWait(40)
        QTest.mouseMove(canvas, point)
    QTest.qWait(40)
    QTest.mouseRelease(canvas, LEFT, NONE, points[-1])
    QTest.qWait(20)


def test_each_node_is_judged_by_one_key(desk, case):
    viewer, session, panel = desk
    first, second = case.nodes[:2]
    assert panel.heading.text().endswith(f"node 1 of {len(case.nodes)}")
    _press(viewer, Qt.Key.Key_F2)
    assert session.chosen_node == second.id
    _press(viewer, Qt.Key.Key_F3)
    _press(viewer, Qt.Key.Key_F4)
    found = _kept(session)
    review = session.review
    decisions = [
        found.state.judgement(review.uid(row)).decision for row in case.nodes[:3]
    ]
    assert decisions == ["accept", "reject", "unsure"]
    records = [r for r in found.records if r.kind == "decision"]
    assert records[0].after == {"decision": "accept"}
    assert records[0].before == {"decision": ""}
    assert records[0].node == review.uid(first)
    assert {r.reader for r in records} == {"R1"}
    assert panel.progress.value() == 3
    assert panel.saved.text().startswith("Saved")


def test_a_decision_can_be_changed_and_all_of_it_stays(desk, case):
    viewer, session, panel = desk
    _press(viewer, Qt.Key.Key_F2)
    _press(viewer, Qt.Key.Key_N, Qt.KeyboardModifier.ShiftModifier)
    assert panel.judging.decide["accept"].isChecked()
    _press(viewer, Qt.Key.Key_F3)
    found = _kept(session)
    uid = session.review.uid(case.nodes[0])
    assert found.state.judgement(uid).decision == "reject"
    assert [r.after["decision"] for r in found.records if r.node == uid and
            r.kind == "decision"] == ["accept", "reject"]  # fmt: skip


def test_what_is_typed_belongs_to_the_node_it_was_typed_at(desk, case, qtbot):
    viewer, session, panel = desk
    _press(viewer, Qt.Key.Key_F5)
    qtbot.waitUntil(panel.judging.comment.hasFocus)
    qtbot.keyClicks(panel.judging.comment, "fatty hilum")
    QTest.keyClick(panel.judging.comment, Qt.Key.Key_F2)  # decides without Enter first
    found = _kept(session)
    one = found.state.judgement(session.review.uid(case.nodes[0]))
    assert (one.comment, one.decision) == ("fatty hilum", "accept")
    assert session.chosen_node == case.nodes[1].id
    assert panel.judging.comment.text() == ""
    qtbot.mouseClick(panel.judging.reasons["vessel"], LEFT)
    qtbot.mouseClick(panel.judging.reasons["boundary"], LEFT)
    panel.judging.station.setCurrentIndex(panel.judging.station.findData("4R"))
    panel.judging.station.activated.emit(panel.judging.station.currentIndex())
    panel.judging.confidence.setCurrentIndex(1)
    panel.judging.confidence.activated.emit(1)
    panel.notes.setFocus()
    qtbot.waitUntil(panel.notes.hasFocus)
    qtbot.keyClicks(panel.notes, "motion")
    _canvas(viewer).setFocus()
    found = _kept(session)
    one = found.state.judgement(session.review.uid(case.nodes[1]))
    assert one.reasons == ("vessel", "boundary")
    assert (one.station, one.confidence) == ("4R", "low")
    assert found.state.notes == "motion"


def test_a_missed_node_is_a_finding_with_its_place(desk, case, qtbot):
    viewer, session, panel = desk
    image = session.image()
    world = tuple(float(v) for v in image.data_to_world((20, 50, 40)))
    viewer.dims.set_point(range(3), world)
    _press(viewer, Qt.Key.Key_F6)
    (finding,) = _kept(session).state.findings
    assert finding.index[0] == pytest.approx(20, abs=0.51)
    affine = case.volume.affine
    expected = affine[:3, :3] @ np.asarray(finding.index) + affine[:3, 3]
    assert finding.point_lps == pytest.approx(expected.tolist(), abs=1e-3)
    assert len(panel.findings.findChildren(type(panel.missed_button))) == 1
    session.review.forget(finding.uid)
    assert _kept(session).state.findings == ()


def test_the_reference_stays_and_the_copy_is_painted_on(desk, case):
    viewer, session, _ = desk
    _press(viewer, Qt.Key.Key_N)
    reference = viewer.layers["Nodes (reference)"]
    before = reference.data.copy()
    _press(viewer, Qt.Key.Key_F9)
    work = viewer.layers["My nodes - R1"]
    row = session.review.row()
    np.testing.assert_array_equal(np.asarray(work.data), before)
    assert work.selected_label == row.label
    assert not np.shares_memory(np.asarray(work.data), reference.data)
    assert np.allclose(work.translate, session.image().translate)
    assert not reference.editable
    assert metadata_of(work)["changed"]["by"] == "R1"
    image = session.image()
    j, i = row.index[1:]
    far = [image.data_to_world((row.k, j + d, i + 8)) for d in (-3, 0, 3)]
    _stroke(viewer, *far)
    painted = np.argwhere(np.asarray(work.data) != before)
    assert len(painted)
    assert set(painted[:, 0].tolist()) == {row.k}  # the slice that is seen
    assert np.abs(painted[:, 1:] - (j, i + 8)).max() < 8
    np.testing.assert_array_equal(reference.data, before)
    session.review.saving.tick()
    found = _kept(session)
    np.testing.assert_array_equal(found.labels, np.asarray(work.data))
    edits = [r for r in found.records if r.kind == "edit"]
    assert edits[-1].node == session.review.uid(row)


def test_one_undo_goes_through_strokes_tools_and_decisions(desk, case):
    viewer, session, _ = desk
    _press(viewer, Qt.Key.Key_N)
    _press(viewer, Qt.Key.Key_F9)
    review = session.review
    work = review.annotation
    layer, row = work.layer, review.row()
    states = [np.asarray(layer.data).copy()]
    image = session.image()
    beside = [(row.k, row.index[1] + d, row.index[2] + 9) for d in (0, 2)]
    _stroke(viewer, *[image.data_to_world(one) for one in beside])
    states.append(np.asarray(layer.data).copy())
    work.act("smooth")
    states.append(np.asarray(layer.data).copy())
    work.act("delete")
    states.append(np.asarray(layer.data).copy())
    assert not (states[-1] == row.label).any()
    review.say("decision", "reject")
    uid = review.uid(row)
    differ = [int((a != b).sum()) for a, b in itertools.pairwise(states)]
    assert min(differ) > 0, differ
    _press(viewer, Qt.Key.Key_Z, CTRL)
    assert review.state.judgement(uid).decision == ""
    for state in states[-2::-1]:
        _press(viewer, Qt.Key.Key_Z, CTRL)
        np.testing.assert_array_equal(np.asarray(layer.data), state)
    shift = Qt.KeyboardModifier.ShiftModifier
    for state in states[1:]:
        _press(viewer, Qt.Key.Key_Z, CTRL | shift)
        np.testing.assert_array_equal(np.asarray(layer.data), state)
    _press(viewer, Qt.Key.Key_Z, CTRL | shift)
    assert review.state.judgement(uid).decision == "reject"
    found = _kept(session)
    np.testing.assert_array_equal(found.labels, np.asarray(layer.data))
    assert found.state.judgement(uid).decision == "reject"
    causes = [r.more["cause"] for r in found.records if r.kind == "edit"]
    assert {"paint", "smooth", "delete", "undo", "redo"} <= set(causes)
    # A node that was deleted and brought back is the same node.
    assert found.state.uid_of(row.label) == uid


def test_a_node_grows_from_a_click_and_is_kept_by_a_second(desk, case, truth):
    viewer, session, panel = desk
    _press(viewer, Qt.Key.Key_N)
    _press(viewer, Qt.Key.Key_F9)
    work, row = session.review.annotation, session.review.row()
    work.act("delete")
    QTest.mouseClick(panel.tools.modes["grow"], LEFT)
    before = np.asarray(work.layer.data).copy()
    place = session.image().data_to_world((row.k, *row.index[1:]))
    _stroke(viewer, place)
    assert work.pending is not None
    assert "Preview" in [layer.name for layer in viewer.layers]
    np.testing.assert_array_equal(np.asarray(work.layer.data), before)
    preview = viewer.layers["Preview"]
    inside = preview.world_to_data(place)
    assert preview.data[tuple(np.round(inside).astype(int))] == 1
    _stroke(viewer, place)
    assert work.pending is None
    assert "Preview" not in [layer.name for layer in viewer.layers]
    grown = np.asarray(work.layer.data) == row.label
    assert grown[row.k, round(row.index[1]), round(row.index[2])]
    _press(viewer, Qt.Key.Key_Z, CTRL)
    np.testing.assert_array_equal(np.asarray(work.layer.data), before)
    _stroke(viewer, place)
    _press(viewer, Qt.Key.Key_Escape)
    assert work.pending is None
    np.testing.assert_array_equal(np.asarray(work.layer.data), before)


def test_a_ball_in_millimetres_spans_the_slices_it_should(desk):
    viewer, session, panel = desk
    _press(viewer, Qt.Key.Key_F9)
    work = session.review.annotation
    panel.tools.brush.setValue(12)
    value = work.new_node()
    QTest.mouseClick(panel.tools.modes["ball"], LEFT)
    image = session.image()
    free = (np.asarray(work.layer.data) == 0).all(axis=(1, 2))
    k = int(np.flatnonzero(free)[5])
    world = image.data_to_world((k, 48, 48))
    viewer.dims.set_point(range(3), tuple(world))
    viewer.scene.camera.center = tuple(world)
    _stroke(viewer, world)
    places = np.argwhere(np.asarray(work.layer.data) == value)
    mm = (places - places.mean(axis=0)) * work.spacing
    assert np.abs(mm).max() <= 12.6
    assert np.ptp(places[:, 0]) * work.spacing[0] >= 24 - 2 * work.spacing[0]
    _press(viewer, Qt.Key.Key_Z, CTRL)  # the stroke is one step
    assert not (np.asarray(work.layer.data) == value).any()


def test_nodes_keep_who_they_are_when_split_and_merged(desk, case):
    viewer, session, _ = desk
    _press(viewer, Qt.Key.Key_N)
    _press(viewer, Qt.Key.Key_F9)
    review = session.review
    work, row = review.annotation, review.row()
    uid = review.state.uid_of(row.label)
    voxels = np.argwhere(np.asarray(work.layer.data) == row.label)
    ends = voxels[0], voxels[-1]
    work.use("split")
    for end in ends:
        work._click(tuple(float(n) for n in end))
    labels = np.asarray(work.layer.data)
    other = int(labels[tuple(ends[1])])
    assert labels[tuple(ends[0])] == row.label
    assert other > max(one.label or 0 for one in case.nodes)
    assert review.state.uid_of(row.label) == uid
    new = review.state.uid_of(other)
    assert review.state.origins[new] == f"split from {uid}"
    work.use("merge")
    work._click(tuple(float(n) for n in ends[1]))
    assert not (np.asarray(work.layer.data) == other).any()
    assert review.state.next_value() > other  # its number is never given again
    _press(viewer, Qt.Key.Key_Z, CTRL)
    assert (np.asarray(work.layer.data) == other).any()
    found = _kept(session)
    assert found.state.uid_of(other) == new
    merged = [r for r in found.records if r.kind == "merged"]
    assert [(r.node, r.after) for r in merged] == [(new, {"into": uid})]


def test_axes_by_hand_and_stations_come_back(desk, case, make_napari_viewer, qtbot):
    viewer, session, _ = desk
    _press(viewer, Qt.Key.Key_N)
    row = session.review.row()
    session.station_named.emit(row.id, "7")
    lines = [[[row.k, 10, 10], [row.k, 10, 30]], [[row.k, 5, 20], [row.k, 15, 20]]]
    session.axes_drawn.emit(row.id, lines)
    session.review.finish()
    viewer.layers.clear()
    again = make_napari_viewer(show=True)
    other = session_for(again)
    other.services = session.services
    ReviewDock(again)
    other.add_cases([case])
    qtbot.waitUntil(lambda: other.image() is not None and not other.adding)
    assert view_of(other.review).offer.startswith("Your annotation of")
    assert other.review.begin()
    ours = metadata_of(other.image())
    assert ours["stations"] == {row.id: "7"}
    assert ours["drawn_axes"][row.id] == lines
    other.review.finish()


def test_a_second_window_looks_on_and_says_who_holds_it(
    desk, case, make_napari_viewer, qtbot
):
    viewer, session, _ = desk
    _press(viewer, Qt.Key.Key_F2)
    assert session.review.saving.flush()
    again = make_napari_viewer(show=True)
    other = session_for(again)
    other.services = session.services
    second = ReviewDock(again)
    again.window.add_dock_widget(second, name="Review")
    other.add_cases([case])
    qtbot.waitUntil(lambda: other.image() is not None and not other.adding)
    log = (_folder(session) / "log.jsonl").read_bytes()
    _press(again, Qt.Key.Key_F3)
    _press(again, Qt.Key.Key_F9)
    assert "R1" in second.problem.text()
    assert not second.judging.decide["accept"].isEnabled()
    work = again.layers["My nodes - R1"]
    assert not work.editable
    assert (_folder(session) / "log.jsonl").read_bytes() == log
    uid = session.review.uid(case.nodes[0])
    assert other.review.state.judgement(uid).decision == "accept"
    other.review.finish()


def test_taking_the_layer_away_or_closing_loses_nothing(desk, case, qtbot):
    viewer, session, _ = desk
    _press(viewer, Qt.Key.Key_N)
    _press(viewer, Qt.Key.Key_F9)
    work = session.review.annotation
    work.layer.data[3, 4, 5] = 9
    work.layer.data[4, 4, 5] = 9
    expected = fingerprint(np.asarray(work.layer.data))
    viewer.layers.remove(work.layer)
    qtbot.waitUntil(lambda: session.review.saving is None)
    found = recover(_folder(session))
    assert found.fingerprint == expected
    assert not found.is_open
    _press(viewer, Qt.Key.Key_F9)
    again = session.review.annotation
    assert fingerprint(np.asarray(again.layer.data)) == expected
    again.layer.data[5, 4, 5] = 9
    expected = fingerprint(np.asarray(again.layer.data))
    viewer.layers.clear()
    qtbot.waitUntil(lambda: session.review.saving is None)
    assert recover(_folder(session)).fingerprint == expected


def test_data_that_a_script_puts_there_is_taken_in_or_put_back(desk):
    viewer, session, _ = desk
    _press(viewer, Qt.Key.Key_F9)
    work = session.review.annotation
    own = work.layer.data
    new = np.asarray(own).copy()
    new[2, 3] = 5
    work.layer.data = new
    assert work.layer.data is own
    np.testing.assert_array_equal(np.asarray(own), new)
    work.layer.data = np.zeros((2, 2, 2), np.uint16)
    assert work.layer.data is own
    session.review.saving.tick()
    np.testing.assert_array_equal(_kept(session).labels, new)


def test_a_full_disk_is_said_in_the_panel(desk, qtbot):
    viewer, session, panel = desk
    _press(viewer, Qt.Key.Key_F9)
    folder = _folder(session)
    (folder / "edits.bin").unlink(missing_ok=True)
    (folder / "edits.bin").symlink_to("/dev/full")
    work = session.review.annotation
    work.layer.data[1, 1, 1] = 1
    qtbot.waitUntil(lambda: "disk is full" in panel.problem.text())
    assert "not saved" in panel.saved.text()
    session.review.leave("done")
    assert session.review.state.exit == "done"
    assert recover(folder).state.exit == ""
    (folder / "edits.bin").unlink()
    qtbot.waitUntil(lambda: panel.problem.text() == "")
    assert _kept(session).labels[1, 1, 1] == 1


def test_a_copy_is_saved_over_an_older_one_that_stays(desk, case, tmp_path):
    import nibabel

    viewer, session, _ = desk
    _press(viewer, Qt.Key.Key_F9)
    review = session.review
    path = tmp_path / "nodes.nii.gz"
    seen = []
    for value in (1, 2, 3):
        review.annotation.layer.data[0, 0, value] = value
        review.save_copy(path)
        assert review.problem == ""
        seen.append(path.read_bytes())
    stored = np.asarray(nibabel.load(path).dataobj)
    # RAS, (i, j, k): as every other program expects it.
    np.testing.assert_array_equal(
        np.moveaxis(stored, (0, 1, 2), (2, 1, 0)), np.asarray(review.saving.labels)
    )
    assert (tmp_path / "nodes.nii.gz.~1~").read_bytes() == seen[1]
    assert (tmp_path / "nodes.nii.gz.~2~").read_bytes() == seen[0]
    beside = json.loads((tmp_path / "nodes.nii.json").read_text()) if (
        tmp_path / "nodes.nii.json"
    ).exists() else {}  # fmt: skip
    assert beside == {} or beside
    review.save_copy(tmp_path / "no such" / "deep" / "x.nii.gz")
    assert review.problem == ""


def test_blind_reading_shows_nothing_of_the_reference(
    make_napari_viewer, qtbot, case, tmp_path
):
    viewer = make_napari_viewer(show=True)
    session = session_for(viewer)
    session.services = Services.open(Settings(home=tmp_path / "home"))
    table, panel = NodesDock(viewer), ReviewDock(viewer)
    viewer.window.add_dock_widget(panel, name="Review")
    qtbot.mouseClick(panel.blind, LEFT, pos=QPoint(8, panel.blind.height() // 2))
    assert session.blind
    twice = replace(case.volume.provenance, patient_id="MED_LYMPH_002")
    volume = replace(case.volume, provenance=twice)
    session.add_cases([replace(case, volume=volume)])
    qtbot.waitUntil(lambda: session.image() is not None and not session.adding)
    assert [layer.name for layer in viewer.layers] == ["CT - MED_LYMPH_001"]
    assert table.offers.findChildren(QPushButton) == []  # not of its companion either
    middle = (case.volume.shape[0] - 1) // 2
    assert viewer.dims.current_step[0] == middle
    ours = metadata_of(session.image())
    told = json.dumps(dict(ours), default=str)
    for word in ("node", "label", "reference", "companion"):
        geometry = ("reference", "frame_of_reference_uid")
        found = [k for k in ours if word in k.lower() and ours[k] and k not in geometry]
        assert found == [], (word, found)
    for row in case.nodes:
        assert f"{row.short_axis_mm}" not in told
    assert table.model.rows == ()
    assert "reference" not in table.badge.text()
    _press(viewer, Qt.Key.Key_N)
    view = view_of(session.review)
    assert (view.position, view.total, view.node) == ("", 0, "")
    _press(viewer, Qt.Key.Key_F9)
    work = session.review.annotation
    assert not np.asarray(work.layer.data).any()
    assert work.value > 0
    session.review.finish()


def test_other_readers_stand_beside_and_are_locked(desk, case):
    viewer, session, panel = desk
    _press(viewer, Qt.Key.Key_F9)
    session.review.annotation.layer.data[7, 7, 7] = 3
    panel.reader.setText("R 2")
    panel.reader.setModified(True)
    panel.reader.editingFinished.emit()
    assert session.review.reader == "R 2"
    assert session.review.saving is None
    _press(viewer, Qt.Key.Key_F9)
    assert "My nodes - R 2" in viewer.layers
    assert np.asarray(session.review.annotation.layer.data)[7, 7, 7] == 0
    QTest.mouseClick(panel.compare_button, LEFT)
    beside = session.beside
    names = [beside.choice.itemText(n) for n in range(beside.choice.count())]
    assert names == ["Reader R1", "Nodes (reference)"]
    assert beside.labels.data[7, 7, 7] == 3
    assert not beside.labels.editable
    # The two move together, whichever is moved, and stand the same way.
    image = session.image()
    assert np.allclose(beside.picture.translate, image.translate)
    viewer.dims.set_point(range(3), tuple(image.data_to_world((9, 20, 20))))
    assert beside.model.dims.point == viewer.dims.point
    beside.model.dims.set_point(range(3), tuple(image.data_to_world((12, 20, 20))))
    assert viewer.dims.current_step[0] == 12
    viewer.scene.camera.zoom = 5.5
    assert beside.model.scene.camera.zoom == 5.5
    assert beside.model.scene.camera.orientation == viewer.scene.camera.orientation
    beside.choice.setCurrentText("Nodes (reference)")
    assert beside.labels.data is viewer.layers["Nodes (reference)"].data
    QTest.mouseClick(panel.compare_button, LEFT)
    assert session.beside is None
    assert {one.reader for one in drafting.drafts(session.services)} == {"R1", "R 2"}


def test_a_queue_goes_from_case_to_case(
    make_napari_viewer, qtbot, services, monkeypatch
):
    from napari_tcia.app import agree, queues
    from napari_tcia.app.search import search
    from napari_tcia.core.model import SearchQuery

    listed = search(services, SearchQuery(collection="CT Lymph Nodes"))
    agree.accept(services, agree.terms(services, listed.items), "Ada")
    made = make_napari_viewer(show=True)
    monkeypatch.setattr("napari.Viewer", lambda **_: made)
    viewer, browser = build(services)
    session = session_for(viewer)
    browser.search("CT Lymph Nodes")
    qtbot.waitUntil(lambda: bool(browser.tree.selected_rows()))
    for blind in (True, False):  # what hints at nodes is not in the list either
        session.blind = blind
        assert browser.tree.isColumnHidden(2) == blind
        assert browser.bar.entries["nodes"].isEnabled() != blind
    browser.tree.selectAll()
    names = [row.series.patient_id for row in browser.tree.selected_rows()]
    assert len(names) == 3
    browser.bar.entries["review"].trigger()

    def shown():
        image = session.image()
        return metadata_of(image)["case"] if image is not None else ""

    review = session.review
    for number, name in enumerate(names, start=1):
        qtbot.waitUntil(lambda n=name: shown() == n and not session.adding)
        qtbot.waitUntil(lambda n=number: view_of(review).place == f"Case {n} of 3")
        assert len(session.ours("image")) == 1
        if number == 2:
            _press(viewer, Qt.Key.Key_F8)
            continue
        _press(viewer, Qt.Key.Key_N)
        _press(viewer, Qt.Key.Key_F2)
        _press(viewer, Qt.Key.Key_F7)
    qtbot.waitUntil(lambda: shown() == names[2])
    (queue,), issues = queues.queues(services)
    assert issues == ()
    assert [one.state for one in queue.cases] == ["done", "skipped", "done"]
    assert {info.case: info.exit for info in drafting.drafts(services)} == dict(
        zip(names, ("done", "skipped", "done"), strict=True)
    )
    review.finish()


def test_an_unfinished_draft_is_offered_at_the_start(
    make_napari_viewer, qtbot, services, monkeypatch
):
    from napari_tcia.app import agree
    from napari_tcia.app.search import search
    from napari_tcia.core.model import SearchQuery

    listed = search(services, SearchQuery(patient="MED_LYMPH_001"))
    agree.accept(services, agree.terms(services, listed.items), "Ada")
    (case,) = open_case(services, "MED_LYMPH_001")
    draft = drafting.begin(
        services,
        drafting.case_of(
            case.name, case.volume.provenance, case.volume.affine, case.volume.shape
        ),
        "R1",
        case.labels[0].array,
    )
    draft.record("notes", after="half way")
    draft._log = None  # as if the process had died
    draft.close()
    made = make_napari_viewer(show=True)
    monkeypatch.setattr("napari.Viewer", lambda **_: made)
    viewer, _ = build(services)
    session = session_for(viewer)
    (panel,) = viewer.window._qt_window.findChildren(ReviewDock)
    qtbot.waitUntil(lambda: bool(panel.unfinished.findChildren(QPushButton)))
    button = panel.unfinished.findChildren(type(panel.missed_button))[0]
    assert button.text().startswith("Continue MED_LYMPH_001")
    QTest.mouseClick(button, LEFT)
    qtbot.waitUntil(lambda: session.image() is not None and not session.adding)
    assert "ended early" in view_of(session.review).offer
    _press(viewer, Qt.Key.Key_F9)
    assert session.review.state.notes == "half way"
    session.review.finish()


def test_the_draft_outlives_the_images_and_their_terms(desk, case):
    viewer, session, _ = desk
    _press(viewer, Qt.Key.Key_N)
    _press(viewer, Qt.Key.Key_F2)
    found = _kept(session)
    session.review.finish()
    viewer.layers.clear()
    again = recover(_folder(session))
    assert again.state.nodes == found.state.nodes
    assert again.fingerprint == found.fingerprint


def test_closing_the_window_writes_everything(desk, qtbot):
    viewer, session, _ = desk
    _press(viewer, Qt.Key.Key_F9)
    layer = session.review.annotation.layer
    layer.data[6, 2, 2:9] = 4
    expected = fingerprint(np.asarray(layer.data))
    session.review.say("comment", "last words")
    folder = _folder(session)
    uid = session.review.uid(session.review.row())
    viewer.close()
    qtbot.waitUntil(lambda: not recover(folder).is_open)
    found = recover(folder)
    assert found.fingerprint == expected
    assert found.state.judgement(uid).comment == "last words"


def test_a_case_is_rejected_with_a_reason_by_keys(desk, qtbot):
    _, session, panel = desk
    panel.judging.comment.setFocus()
    shift = Qt.KeyboardModifier.ShiftModifier
    qtbot.waitUntil(panel.judging.comment.hasFocus)
    QTest.keyClick(panel.judging.comment, Qt.Key.Key_F8, shift)
    qtbot.waitUntil(lambda: QApplication.activePopupWidget() is not None)
    menu = QApplication.activePopupWidget()
    QTest.keyClick(menu, Qt.Key.Key_Down)
    QTest.keyClick(menu, Qt.Key.Key_Return)
    found = _kept(session)
    assert (found.state.exit, found.state.exit_reasons) == (
        "rejected",
        ("contrast bolus",),
    )
    QTest.keyClick(panel.judging.comment, Qt.Key.Key_F7, shift)
    assert _kept(session).state.exit == "escalated"


def test_axes_of_a_node_without_any_are_drawn_by_hand(desk, case, qtbot):
    viewer, session, panel = desk
    alone = [row for row in case.nodes if not row.long_axis_line]
    row = alone[0] if alone else None
    if row is None:  # all are measured: then the measured ones are taken in hand
        row = session.review.row()
    walking.choose(session, row)
    _press(viewer, Qt.Key.Key_F9)
    QTest.mouseClick(panel.tools.actions_["axes"], LEFT)
    (layer,) = session.ours("axes")
    assert viewer.layers.selection.active is layer
    assert len(layer.data) == 2
    ends = np.asarray(layer.data[0]).copy()
    layer.data = [np.add(ends, (0, 0, 2.0)), layer.data[1]]
    one = _kept(session).state.judgement(session.review.uid(row))
    assert np.allclose(one.axes[0], np.add(ends, (0, 0, 2.0)))
    session.review.annotation.undo()
    one = _kept(session).state.judgement(session.review.uid(row))
    assert not one.axes or np.allclose(one.axes[0], ends)


def test_what_is_no_whole_series_takes_no_annotation(
    make_napari_viewer, qtbot, case, tmp_path
):
    part = Check("part_of_series", "warn", "Only 40 of 99 images.", {})
    checks = (*case.volume.passport.checks, part)
    volume = replace(case.volume, passport=Passport(checks))
    viewer = make_napari_viewer(show=True)
    session = session_for(viewer)
    session.services = Services.open(Settings(home=tmp_path / "home"))
    panel = ReviewDock(viewer)
    viewer.window.add_dock_widget(panel, name="Review")
    session.add_cases([replace(case, volume=volume)])
    qtbot.waitUntil(lambda: session.chosen_node > 0)
    _press(viewer, Qt.Key.Key_F2)
    assert "Open the whole series" in panel.problem.text()
    assert drafting.drafts(session.services) == ()


def test_a_disc_is_round_in_millimetres_where_pixels_are_not_square(desk):
    viewer, session, panel = desk
    _press(viewer, Qt.Key.Key_F9)
    work = session.review.annotation
    value = work.new_node()
    panel.tools.brush.setValue(10)
    QTest.mouseClick(panel.tools.modes["disc"], LEFT)
    _press(viewer, Qt.Key.Key_9)  # coronal: 5 mm up, about a third of it across
    free = (np.asarray(work.layer.data) == 0).all(axis=(0, 2))
    j = int(np.flatnonzero(free)[5])
    world = session.image().data_to_world((20, j, 48))
    viewer.dims.set_point(range(3), tuple(world))
    shown = np.asarray(world)[list(viewer.dims.displayed)]
    canvas = viewer.window._qt_viewer.canvas
    viewer.scene.camera.center = tuple(shown)
    middle = QPoint(canvas.size[1] // 2, canvas.size[0] // 2)
    QTest.mouseMove(_canvas(viewer), middle)
    QTest.qWait(40)
    QTest.mouseClick(_canvas(viewer), LEFT, NONE, middle)
    QTest.qWait(40)
    places = np.argwhere(np.asarray(work.layer.data) == value)
    assert set(places[:, 1].tolist()) == {j}
    mm = (places - places.mean(axis=0)) * work.spacing
    assert np.linalg.norm(mm, axis=1).max() <= 10 + max(work.spacing) / 2
    assert np.ptp(mm[:, 0]) >= 20 - 2 * work.spacing[0]
    assert np.ptp(mm[:, 2]) >= 20 - 2 * work.spacing[2]
    QTest.mouseClick(panel.tools.modes["erase"], LEFT)
    QTest.mouseClick(_canvas(viewer), LEFT, NONE, middle)
    QTest.qWait(40)
    assert not (np.asarray(work.layer.data) == value).any()


def test_a_tab_behind_others_chooses_nothing_until_it_is_raised(
    make_napari_viewer, qtbot, services, case, monkeypatch
):
    made = make_napari_viewer(show=True)
    monkeypatch.setattr("napari.Viewer", lambda **_: made)
    viewer, _ = build(services)
    session = session_for(viewer)
    session.add_cases([case])
    qtbot.waitUntil(lambda: session.image() is not None and not session.adding)
    qtbot.wait(200)
    assert session.chosen_node == 0
    (panel,) = viewer.window._qt_window.findChildren(ReviewDock)
    dock_of(panel).raise_()
    qtbot.waitUntil(lambda: session.chosen_node > 0)
    session.review.finish()


def test_a_queue_made_elsewhere_is_gone_on_with(
    make_napari_viewer, qtbot, services, monkeypatch
):
    from napari_tcia.app import agree, queues
    from napari_tcia.app.search import search
    from napari_tcia.core.model import SearchQuery

    listed = search(services, SearchQuery(collection="CT Lymph Nodes"))
    agree.accept(services, agree.terms(services, listed.items), "Ada")
    queues.make_queue(services, "CT Lymph Nodes", name="mine", blind=True)
    made = make_napari_viewer(show=True)
    monkeypatch.setattr("napari.Viewer", lambda **_: made)
    viewer, browser = build(services)
    session = session_for(viewer)
    (panel,) = viewer.window._qt_window.findChildren(ReviewDock)
    qtbot.waitUntil(lambda: bool(panel.unfinished.findChildren(QPushButton)))
    (button,) = panel.unfinished.findChildren(type(panel.missed_button))
    assert button.text() == "Queue mine: 0 of 3 seen, blind"
    QTest.mouseClick(button, LEFT)
    qtbot.waitUntil(lambda: session.image() is not None and not session.adding)
    assert view_of(session.review).place == "Case 1 of 3"
    assert [layer.name for layer in viewer.layers] == ["CT - ABD_LYMPH_001"]
    said = browser.work.problem.text()
    assert "node" not in said
    assert "label" not in said
    session.review.finish()


def test_a_case_that_is_left_while_the_disk_is_full_is_written_later(
    desk, case, coarse_case, qtbot
):
    viewer, session, _ = desk
    _press(viewer, Qt.Key.Key_F9)
    folder = _folder(session)
    (folder / "edits.bin").symlink_to("/dev/full")
    session.review.annotation.layer.data[1, 1, 1] = 1
    origin = replace(coarse_case.volume.provenance, series_uid="61.7.0.999.77.1")
    other = replace(coarse_case, volume=replace(coarse_case.volume, provenance=origin))
    session.add_cases([other])
    qtbot.waitUntil(lambda: len(session.ours("image")) == 2 and not session.adding)
    qtbot.waitUntil(lambda: session.review.saving is None)
    assert "Keep this window open" in session.review.problem
    # What is said now is said of the case that is looked at.
    _press(viewer, Qt.Key.Key_N)
    _press(viewer, Qt.Key.Key_F3)
    found = {info.series_uid: info for info in drafting.drafts(session.services)}
    assert found["61.7.0.999.77.1"].decided <= 1
    assert found[case.volume.provenance.series_uid].decided == 0
    (folder / "edits.bin").unlink()
    qtbot.waitUntil(lambda: not recover(folder).is_open)
    assert recover(folder).labels[1, 1, 1] == 1
    qtbot.waitUntil(lambda: "Not saved" not in session.review.problem)


def test_labels_that_look_mirrored_are_no_beginning(
    make_napari_viewer, qtbot, case, tmp_path
):
    doubt = Check("points_in_labels", "fail", "mirrored in y", {"source": "seg"})
    viewer = make_napari_viewer(show=True)
    session = session_for(viewer)
    session.services = Services.open(Settings(home=tmp_path / "home"))
    assert case.labels[0].source == "seg"
    session.add_cases([replace(case, checks=(doubt,))])
    qtbot.waitUntil(lambda: session.image() is not None and not session.adding)
    work = session.review.annotate()
    assert not np.asarray(work.layer.data).any()
    session.review.finish()


def test_overlapping_nodes_are_all_in_the_copy(
    make_napari_viewer, qtbot, case, tmp_path
):
    first = case.labels[0]
    row = next(r for r in case.nodes if r.label is not None)
    array = np.zeros_like(first.array)
    k, j, i = (round(v) for v in row.index)
    array[k, j : j + 3, i : i + 12] = 40  # begins inside of a node, ends outside
    more = replace(first, array=array, segments=(Segment(40, "Node 40"),))
    viewer = make_napari_viewer(show=True)
    session = session_for(viewer)
    session.services = Services.open(Settings(home=tmp_path / "home"))
    session.add_cases([replace(case, labels=(first, more))])
    qtbot.waitUntil(lambda: session.image() is not None and not session.adding)
    notification_manager.records.clear()
    work = session.review.annotate()
    labels = np.asarray(work.layer.data)
    np.testing.assert_array_equal(labels[first.array > 0], first.array[first.array > 0])
    assert ((labels == 40) == ((array == 40) & (first.array == 0))).all()
    assert session.review.state.uid_of(40)
    session.review.make_ready()
    said = [one.message for one in notification_manager.records]
    assert len([one for one in said if "two nodes share" in one]) == 1
    session.review.finish()


def test_what_is_said_in_the_nodes_tab_alone_is_kept(
    make_napari_viewer, qtbot, case, tmp_path
):
    services = Services.open(Settings(home=tmp_path / "home"))
    row = case.nodes[1]

    def opened():
        viewer = make_napari_viewer(show=True)
        session = session_for(viewer)
        session.services = services
        table = NodesDock(viewer)
        viewer.window.add_dock_widget(table, name="Nodes")
        session.add_cases([case])
        qtbot.waitUntil(lambda: session.image() is not None and not session.adding)
        return viewer, session, table

    viewer, session, table = opened()
    table.select(row.id)
    assert session.chosen_node == 0  # marked by a program, not chosen
    at = table.station.findData("4R")
    table.station.setCurrentIndex(at)
    table.station.activated.emit(at)
    assert session.review.saving.flush()
    session.review.finish()
    viewer.layers.clear()
    _, session, table = opened()
    qtbot.waitUntil(lambda: any(one.station for one in table.model.rows))
    assert {one.id: one.station for one in table.model.rows if one.station} == {
        row.id: "4R"
    }
    assert session.review.saving is None  # nothing is written by looking


def test_nothing_is_drawn_in_3d(desk):
    viewer, session, panel = desk
    _press(viewer, Qt.Key.Key_F9)
    work = session.review.annotation
    before = np.asarray(work.layer.data).copy()
    QTest.mouseClick(panel.tools.modes["ball"], LEFT)
    viewer.dims.ndisplay = 3
    canvas = viewer.window._qt_viewer.canvas
    middle = QPoint(canvas.size[1] // 2, canvas.size[0] // 2)
    QTest.mouseMove(_canvas(viewer), middle)
    QTest.qWait(40)
    QTest.mouseClick(_canvas(viewer), LEFT, NONE, middle)
    QTest.qWait(40)
    np.testing.assert_array_equal(np.asarray(work.layer.data), before)
    assert "leave 3D" in panel.tools.hint.text()


def test_who_a_node_is_does_not_depend_on_a_filter(
    make_napari_viewer, qtbot, case, tmp_path
):
    viewer = make_napari_viewer(show=True)
    session = session_for(viewer)
    session.services = Services.open(Settings(home=tmp_path / "home"))
    table = NodesDock(viewer)
    viewer.window.add_dock_widget(table, name="Nodes")
    session.add_cases([case])
    qtbot.waitUntil(lambda: session.image() is not None and not session.adding)
    table.filter.setText(">= 12")
    assert 0 < len(table.listed()) < len(case.nodes)
    review = session.review
    assert review.begin()
    for row in case.nodes:
        if row.label is not None and row.pieces == 1:
            assert review.state.uid_of(row.label) == review.uid(row)
    review.finish()


def test_a_reader_code_can_be_typed_while_time_goes_on(desk, qtbot):
    viewer, session, panel = desk
    _press(viewer, Qt.Key.Key_F2)
    panel.reader.setFocus()
    panel.reader.selectAll()
    qtbot.keyClicks(panel.reader, "R2")
    session.review.changed.emit()  # as every second does
    assert panel.reader.text() == "R2"
    qtbot.keyClick(panel.reader, Qt.Key.Key_Return)
    assert session.review.reader == "R2"


def test_a_copy_can_be_saved_of_what_is_only_looked_at(
    desk, case, make_napari_viewer, qtbot, tmp_path
):
    viewer, session, _ = desk
    _press(viewer, Qt.Key.Key_F9)
    again = make_napari_viewer(show=True)
    other = session_for(again)
    other.services = session.services
    other.add_cases([case])
    qtbot.waitUntil(lambda: other.image() is not None and not other.adding)
    other.review.annotate()
    assert other.review.saving.draft.read_only
    other.review.save_copy(tmp_path / "theirs.nii.gz")
    assert (tmp_path / "theirs.nii.gz").exists()
    assert other.review.saving.waiting == 0
    assert other.review.finish()


def test_work_that_cannot_be_read_is_told_at_the_start(desk, make_napari_viewer, qtbot):
    viewer, session, _ = desk
    _press(viewer, Qt.Key.Key_F2)
    folder = _folder(session)
    session.review.finish()
    log = folder / "log.jsonl"
    log.write_bytes(log.read_bytes().replace(b"accept", b"reject"))
    kept = log.read_bytes()
    again = make_napari_viewer(show=True)
    session_for(again).services = session.services
    notification_manager.records.clear()
    ReviewDock(again)
    qtbot.waitUntil(lambda: bool(notification_manager.records))
    assert "not as it was written" in notification_manager.records[0].message
    assert log.read_bytes() == kept
