"""What radiologists do without thinking, by real keys, wheel and mouse."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from napari.utils.key_bindings import coerce_keybinding
from napari.utils.shortcuts import default_shortcuts
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QLineEdit

from napari_tcia._napari import going, keys
from napari_tcia._napari.session import session_for
from napari_tcia._napari.slab import slices_of
from napari_tcia.app.windows import PRESETS

NONE, CTRL = Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.ControlModifier
SHIFT = Qt.KeyboardModifier.ShiftModifier
RIGHT, MIDDLE = Qt.MouseButton.RightButton, Qt.MouseButton.MiddleButton


@pytest.fixture
def window(window, qtbot):
    viewer, session = window
    with qtbot.waitExposed(viewer.window._qt_window):
        _canvas(viewer).setFocus()
    qtbot.wait(100)
    yield viewer, session
    if session.box is not None:
        session.box.close()


def _canvas(viewer):
    return viewer.window._qt_viewer.canvas.native


def _press(viewer, key, modifier=NONE):
    QTest.keyClick(_canvas(viewer), key, modifier)


def _seen(viewer):
    """Two corners of what the canvas shows; the model hears of it at a drawing."""
    canvas = viewer.window._qt_viewer.canvas
    return np.array(
        [canvas._map_canvas2world(at, canvas.view) for at in ((0, 0), (300, 200))]
    )


def _overlay(viewer):
    return viewer.canvas.overlays["napari_tcia_position"].text


def _wheel(viewer, notches, modifier=NONE, at=None):
    native = _canvas(viewer)
    middle = QPointF(native.rect().center() if at is None else at)
    event = QWheelEvent(
        middle,
        QPointF(native.mapToGlobal(middle.toPoint())),
        QPoint(),
        QPoint(0, 120 * notches),
        Qt.MouseButton.NoButton,
        modifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(native, event)


def _drag(viewer, button, across, down):
    native = _canvas(viewer)
    start = native.rect().center()
    QTest.mouseMove(native, start)
    QTest.mousePress(native, button, pos=start)
    QTest.qWait(30)
    for share in (0.2, 0.6, 1.0, 1.0):
        # mouseMove tells nobody which button is held.
        _move(native, start + QPoint(int(across * share), int(down * share)), button)
        QTest.qWait(30)  # moves that follow at once are taken for one
    QTest.mouseRelease(native, button, pos=start + QPoint(across, down))


def _move(native, at, button):
    from qtpy.QtCore import QEvent
    from qtpy.QtGui import QMouseEvent

    event = QMouseEvent(
        QEvent.Type.MouseMove,
        QPointF(at),
        QPointF(native.mapToGlobal(at)),
        Qt.MouseButton.NoButton,
        button,
        NONE,
    )
    QApplication.sendEvent(native, event)


# Keys


def test_none_is_a_key_of_naparis_own():
    theirs = {
        coerce_keybinding(str(key))
        for found in default_shortcuts.values()
        for key in found
    }
    ours = [coerce_keybinding(one.key) for one in keys.KEYS]
    assert len(set(ours)) == len(ours)
    assert not theirs & set(ours)


def test_nor_of_its_menus_or_layers(window):
    from napari._app_model import get_app_model

    viewer, _ = window
    ours = {coerce_keybinding(one.key) for one in keys.KEYS}
    menus = {
        coerce_keybinding(str(rule.keybinding)) for rule in get_app_model().keybindings
    }
    assert not menus & ours
    for layer in viewer.layers:
        assert not {coerce_keybinding(key) for key in type(layer).class_keymap} & ours
    assert not {coerce_keybinding(k) for k in type(viewer).class_keymap} & ours


@pytest.mark.parametrize(
    ("number", "name"), list(enumerate(PRESETS, start=1)), ids=list(PRESETS)
)
def test_presets(window, number, name):
    viewer, session = window
    _press(viewer, getattr(Qt.Key, f"Key_{number}"), CTRL)
    level, width = PRESETS[name]
    assert session.image().contrast_limits == [level - width / 2, level + width / 2]
    assert f"W {width:.0f}  L {level:.0f}  {name}" in _overlay(viewer)
    before = session.image().contrast_limits
    _press(viewer, Qt.Key.Key_7, CTRL)
    assert (session.image().contrast_limits == before) is (name == "mediastinum")
    assert "W 350  L 50  mediastinum" in _overlay(viewer)


def test_planes(window):
    viewer, _ = window
    for key, order, left in (
        (Qt.Key.Key_9, (1, 0, 2), "R"),
        (Qt.Key.Key_0, (2, 0, 1), "A"),
        (Qt.Key.Key_8, (0, 1, 2), "R"),
    ):
        _press(viewer, key)
        assert tuple(viewer.dims.order) == order
        assert viewer.canvas.overlays["napari_tcia_left"].text == left


def test_nothing_happens_while_somebody_types(window, qtbot):
    viewer, session = window
    field = QLineEdit()
    viewer.window.add_dock_widget(field, name="field")
    before = (
        viewer.dims.order,
        viewer.dims.point,
        session.image().contrast_limits,
        session.slab.is_on,
        len(viewer.layers),
    )
    viewer.window.activate()
    field.setFocus()
    qtbot.waitUntil(field.hasFocus)
    for one in keys.KEYS:
        key = getattr(Qt.Key, f"Key_{one.key.split('-')[-1]}")
        held = {"Control": CTRL, "Shift": SHIFT}.get(one.key.split("-")[0], NONE)
        QTest.keyClick(field, key, held)
    assert set("8905") & set(field.text()) == set("890")
    assert session.box is None
    assert before == (
        viewer.dims.order,
        viewer.dims.point,
        session.image().contrast_limits,
        session.slab.is_on,
        len(viewer.layers),
    )


def test_without_a_volume_of_ours_a_viewer_is_naparis(make_napari_viewer, qtbot):
    viewer = make_napari_viewer(show=True)
    session = session_for(viewer)
    image = viewer.add_image(np.random.default_rng(0).random((9, 40, 40)))
    zoom, step = viewer.scene.camera.zoom, viewer.dims.current_step
    _press(viewer, Qt.Key.Key_9)
    _press(viewer, Qt.Key.Key_1, CTRL)
    _drag(viewer, MIDDLE, 50, 0)
    assert tuple(viewer.dims.order) == (0, 1, 2)
    assert session.box is None
    limits = image.contrast_limits
    _wheel(viewer, 1)
    qtbot.waitUntil(lambda: viewer.scene.camera.zoom != zoom)  # told at a drawing
    assert viewer.dims.current_step == step
    _wheel(viewer, -1, CTRL)
    assert viewer.dims.current_step != step
    assert image.contrast_limits == limits


def test_what_a_user_has_bound_stays(make_napari_viewer, qtbot, case):
    viewer = make_napari_viewer(show=True)
    pressed = []
    viewer.bind_key("G", lambda viewer: pressed.append("G"))
    session = session_for(viewer)
    session.add_cases([case])
    qtbot.waitUntil(lambda: session.image() is not None and not session.adding)
    _press(viewer, Qt.Key.Key_G)
    assert pressed == ["G"]
    assert session.box is None


def test_the_readme_lists_them_all():
    text = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    _, _, table = text.partition("| Key | Does |\n|---|---|\n")
    table, _, _ = table.partition("\n\n")
    assert table.splitlines() == [
        f"| {key} | {group}: {words} |" for key, words, group in keys.rows()
    ]


def test_the_sheet_lists_every_key(window):
    viewer, session = window
    _press(viewer, Qt.Key.Key_F1)
    text = session.box.text()
    for one in keys.KEYS:
        assert keys.shown(one.key) in text
        assert one.words in text


# Wheel


def test_the_wheel_turns_slices_towards_the_feet(window):
    viewer, _ = window
    k, seen = viewer.dims.current_step[0], _seen(viewer)
    _wheel(viewer, -1)
    assert viewer.dims.current_step[0] == k - 1
    _wheel(viewer, -1)
    _wheel(viewer, 1)
    assert viewer.dims.current_step[0] == k - 1
    np.testing.assert_array_equal(_seen(viewer)[:, 1:], seen[:, 1:])  # no zoom
    viewer.dims.order = (1, 0, 2)
    j = viewer.dims.current_step[1]
    _wheel(viewer, -1)
    assert viewer.dims.current_step[1] == j + 1  # towards the back


def test_the_wheel_stops_at_the_ends(window):
    viewer, _ = window
    viewer.dims.set_current_step(0, 1)
    for _ in range(5):
        _wheel(viewer, -1)
    assert viewer.dims.current_step[0] == 0


def test_with_ctrl_it_zooms_at_the_cursor(window):
    viewer, _ = window
    native = _canvas(viewer)
    at = native.rect().center() + QPoint(60, -40)
    k, zoom = viewer.dims.current_step, viewer.scene.camera.zoom
    QTest.mouseMove(native, at)
    canvas = viewer.window._qt_viewer.canvas
    before = canvas._map_canvas2world((at.x(), at.y()), canvas.view)
    _wheel(viewer, 1, CTRL, at=at)
    after = canvas._map_canvas2world((at.x(), at.y()), canvas.view)
    assert viewer.scene.camera.zoom > zoom
    assert viewer.dims.current_step == k
    np.testing.assert_allclose(after, before, atol=1.0 / zoom)


# Window by dragging


@pytest.mark.parametrize("button", [RIGHT, MIDDLE])
def test_dragging_changes_the_window_and_nothing_else(window, button):
    viewer, session = window
    zoom, centre = viewer.scene.camera.zoom, viewer.scene.camera.center
    low, high = session.image().contrast_limits
    _drag(viewer, button, 100, 0)
    wider = session.image().contrast_limits
    assert wider[1] - wider[0] > high - low
    assert sum(wider) == pytest.approx(low + high)
    _drag(viewer, button, 0, -50)
    raised = session.image().contrast_limits
    assert sum(raised) > sum(wider)
    assert raised[1] - raised[0] == pytest.approx(wider[1] - wider[0])
    assert (viewer.scene.camera.zoom, viewer.scene.camera.center) == (zoom, centre)


def test_it_never_paints(window):
    viewer, session = window
    labels = viewer.add_labels(
        np.zeros(session.image().data.shape, np.uint8),
        scale=session.image().scale,
        translate=session.image().translate,
    )
    labels.mode = "paint"
    labels.brush_size = 10
    before = session.image().contrast_limits
    _drag(viewer, MIDDLE, 80, 0)
    assert not labels.data.any()
    assert labels.mode == "paint"
    assert session.image().contrast_limits != before
    # The right button belongs to the brush.
    now = session.image().contrast_limits
    _drag(viewer, RIGHT, 80, 0)
    assert session.image().contrast_limits == now


@pytest.mark.parametrize(("kind", "mode"), [("points", "add"), ("shapes", "add_line")])
def test_nor_does_it_draw(window, kind, mode):
    viewer, session = window
    layer = getattr(viewer, f"add_{kind}")(ndim=3)
    layer.mode = mode
    before = session.image().contrast_limits
    _drag(viewer, MIDDLE, 80, 0)
    assert len(layer.data) == 0
    assert layer.mode == mode
    assert session.image().contrast_limits != before


# Slab


@pytest.mark.parametrize(
    ("thickness", "step", "many"),
    [(5, 1, 5), (3, 1, 3), (1, 1, 1), (10, 1, 10), (10, 5, 2), (10, 3, 3), (5, 5, 1),
     (1, 0.75, 1), (3, 0.75, 4), (5, 0.8, 6), (10, 2, 5), (3, 2, 1), (1, 5, 1)],
)  # fmt: skip
def test_a_slab_is_a_whole_number_of_slices(thickness, step, many):
    assert slices_of(thickness, step) == many


@pytest.mark.parametrize("mode", ["mean", "max"])
def test_a_slab_shows_these_slices(window, mode, case):
    viewer, session = window
    _press(viewer, Qt.Key.Key_9)
    for _ in range(4):
        _press(viewer, Qt.Key.Key_U)
    if mode == "max":
        _press(viewer, Qt.Key.Key_H)
    image = session.image()
    step = float(image.scale[1])
    many = slices_of(10.0, step)
    assert many > 1
    j = viewer.dims.current_step[1]
    first = j - many // 2
    part = case.volume.array[:, first : first + many].astype(float)
    expected = part.mean(axis=1) if mode == "mean" else part.max(axis=1)
    np.testing.assert_allclose(image._slice.image.raw, expected, atol=1e-3)
    words = "mean" if mode == "mean" else "MIP"
    assert f"slab {many * step:.3g} mm {words} ({many} slices)" in _overlay(viewer)
    # Labels are as they are.
    labels = viewer.layers["Nodes (reference)"]
    np.testing.assert_array_equal(labels._slice.image.raw, labels.data[:, j])
    for _ in range(4):
        _press(viewer, Qt.Key.Key_J)
    np.testing.assert_array_equal(image._slice.image.raw, case.volume.array[:, j])
    assert "slab" not in _overlay(viewer)


def test_a_slab_thinner_than_the_slices_says_so(window, case):
    viewer, session = window
    _press(viewer, Qt.Key.Key_U)
    assert "one slice of 5 mm" in _overlay(viewer)
    k = viewer.dims.current_step[0]
    image = session.image()
    np.testing.assert_array_equal(image._slice.image.raw, case.volume.array[k])


def test_a_slab_says_what_it_lacks(make_napari_viewer, qtbot, case):
    viewer = make_napari_viewer(show=True)
    session = session_for(viewer)
    affine, present = case.volume.affine.copy(), case.volume.present.copy()
    affine[:3, 0] /= np.linalg.norm(affine[:3, 0])  # slices of 1 mm
    present[22] = False
    volume = replace(case.volume, affine=affine, present=present)
    session.add_cases([replace(case, volume=volume, labels=(), points=None, nodes=())])
    qtbot.waitUntil(lambda: session.image() is not None and not session.adding)
    for _ in range(3):
        _press(viewer, Qt.Key.Key_U)
    for k, words in (
        (19, "slab 5 mm mean (5 slices)"),
        (20, "slab 5 mm mean (5 slices, 1 missing)"),
        (24, "slab 5 mm mean (5 slices, 1 missing)"),
        (0, "slab 3 mm mean (3 slices)"),
        (39, "slab 3 mm mean (3 slices)"),
    ):
        viewer.dims.set_current_step(0, k)
        assert words in _overlay(viewer).splitlines()


# Go to


def test_go_by_keys(window, qtbot):
    viewer, session = window
    _press(viewer, Qt.Key.Key_G)
    qtbot.waitUntil(session.box.isVisible)
    qtbot.keyClicks(session.box.line, "image 12")
    qtbot.keyClick(session.box.line, Qt.Key.Key_Return)
    assert viewer.dims.current_step[0] == 11


@pytest.mark.parametrize(
    ("text", "k"),
    [("k 7", 7), ("K7", 7), ("image 8", 7), ("8", 7), ("slice 8", 7), ("im:8", 7)],
)
def test_go_to_a_slice(window, text, k):
    viewer, session = window
    assert going.go(session, text) == ""
    assert viewer.dims.current_step[0] == k


def test_go_to_a_position_and_a_node(window, case):
    viewer, session = window
    z = case.volume.affine[2] @ (9, 0, 0, 1)
    assert going.go(session, f"z {z:.1f} mm") == ""
    assert viewer.dims.current_step[0] == 9
    x = case.volume.affine[0] @ (0, 0, 30, 1)
    viewer.dims.order = (2, 0, 1)
    assert going.go(session, f"x {x:.2f}") == ""
    assert viewer.dims.current_step[2] == 30
    assert viewer.dims.current_step[0] == 9
    node = case.nodes[-1]
    assert going.go(session, f"node {node.id}") == ""
    assert viewer.dims.current_step[0] == node.k


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("to the heart", "is no place"),
        ("k 1.5", "is no place"),
        ("image 0", "images from 1 to 40"),
        ("k 40", "k goes from 0 to 39"),
        ("z 9999", "lies outside"),
        ("node 99", "There is no node 99"),
    ],
)
def test_where_it_cannot_go_it_says_why(window, text, words):
    viewer, session = window
    before = viewer.dims.point
    assert words in going.go(session, text)
    assert viewer.dims.point == before
