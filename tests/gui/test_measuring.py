"""Rulers and circles, drawn with the mouse on a real canvas."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from napari_tcia._napari import measuring
from napari_tcia._napari.layers import MEASUREMENTS, metadata_of
from napari_tcia._napari.session import session_for
from napari_tcia.core.image import Check, Passport

LEFT = Qt.MouseButton.LeftButton


def _pixel(viewer, world):
    """Where a place of the world lies on the canvas, by its own map."""
    canvas = viewer.window._qt_viewer.canvas
    corners = [(0, 0), (400, 0), (0, 400)]
    ends = np.array([canvas._map_canvas2world(c, canvas.view) for c in corners])
    shown = list(viewer.dims.displayed)
    base = ends[0, shown]
    steps = (ends[1:, shown] - base).T / 400
    found = np.linalg.solve(steps, np.asarray(world)[shown] - base)
    return QPoint(*(round(v) for v in found))


def _drag(viewer, start, end):
    native = viewer.window._qt_viewer.canvas.native
    first, last = _pixel(viewer, start), _pixel(viewer, end)
    QTest.mouseMove(native, first)
    QTest.mousePress(native, LEFT, pos=first)
    for share in (0.3, 0.6, 1.0):
        QTest.mouseMove(native, first + (last - first) * share)
        QTest.qWait(20)
    QTest.mouseRelease(native, LEFT, pos=last)
    QTest.qWait(20)


def _said(viewer):
    layer = viewer.layers["Measurements"]
    return list(layer.features["measured"])


def test_a_line_says_its_millimetres(window, qtbot):
    viewer, session = window
    image = session.image()
    middle = np.array(viewer.dims.point)
    measuring.ruler(session)
    _drag(viewer, middle, middle + np.array((0, 30, 40)))
    (said,) = _said(viewer)
    pixel = 1 / viewer.scene.camera.zoom
    assert said.endswith(" mm")
    assert float(said.split()[0]) == pytest.approx(50, abs=3 * pixel)
    # Corrected afterwards, it says so.
    layer = viewer.layers["Measurements"]
    moved = [np.array(layer.data[0])]
    moved[0][1] = moved[0][0] + (0, 0, 20)
    layer.data = moved
    spacing = np.linalg.norm(np.array(metadata_of(image)["affine"])[:3, 2])
    assert _said(viewer) == [f"{20 * spacing:.1f} mm"]


def test_a_circle_says_what_lies_inside(window, qtbot, case):
    viewer, session = window
    middle, credited = np.array(viewer.dims.point), session.provenances()
    measuring.circle(session)
    _drag(viewer, middle - (0, 12, 12), middle + np.array((0, 12, 12)))
    (said,) = _said(viewer)
    layer = viewer.layers["Measurements"]
    corners = np.array(layer.data[0])
    k = round(corners[0, 0])
    centre, half = corners[:, 1:].mean(axis=0), np.ptp(corners[:, 1:], axis=0) / 2
    grid = np.stack(np.indices(case.volume.shape[1:]), axis=-1)
    inside = (((grid - centre) / half) ** 2).sum(axis=-1) <= 1
    values = case.volume.array[k][inside].astype(float)
    mean, ends, area = said.splitlines()
    assert mean == f"{values.mean():.1f} ± {values.std(ddof=1):.1f} HU"
    assert ends == f"{values.min():g} to {values.max():g}"
    assert area.endswith(f"{values.size} voxels")
    assert len(values) > 30
    # It is somebody's note on our data: credited, and no second image or edit.
    assert metadata_of(layer)["role"] == MEASUREMENTS
    assert "changed" not in metadata_of(layer)
    assert session.image() is not layer
    assert session.provenances() == credited


def test_on_another_plane_and_both_in_one_layer(window, qtbot, case):
    viewer, session = window
    viewer.dims.order = (1, 0, 2)
    viewer.fit_to_view()
    qtbot.wait(50)
    middle = np.array(viewer.dims.point)
    measuring.ruler(session)
    _drag(viewer, middle, middle + np.array((40, 0, 0)))
    measuring.circle(session)
    _drag(viewer, middle - (20, 0, 20), middle + np.array((20, 0, 20)))
    line, ellipse = _said(viewer)
    pixel = 1 / viewer.scene.camera.zoom
    assert float(line.split()[0]) == pytest.approx(40, abs=3 * pixel)
    assert "HU" in ellipse
    assert [layer.name for layer in viewer.layers].count("Measurements") == 1


def test_a_missing_slice_is_no_value_of_another_plane(make_napari_viewer, qtbot, case):
    viewer = make_napari_viewer(show=True)
    session = session_for(viewer)
    middle = case.volume.shape[0] // 2
    array, present = case.volume.array.copy(), case.volume.present.copy()
    array[middle - 1 : middle + 1] = -30_000
    present[middle - 1 : middle + 1] = False
    volume = replace(case.volume, array=array, present=present)
    session.add_cases([replace(case, volume=volume, labels=(), points=None, nodes=())])
    qtbot.waitUntil(lambda: session.image() is not None and not session.adding)
    viewer.dims.order = (1, 0, 2)
    viewer.fit_to_view()
    qtbot.wait(50)
    at = np.array(session.image().data_to_world(np.array(array.shape) // 2))
    viewer.dims.set_point(range(3), tuple(at))
    measuring.circle(session)
    _drag(viewer, at - (30, 0, 20), at + np.array((30, 0, 20)))
    (said,) = _said(viewer)
    lowest = float(said.splitlines()[1].split()[0])
    assert lowest >= case.volume.array.min()
    corners = np.array(viewer.layers["Measurements"].data[0])
    assert corners[:, 0].min() < middle - 1 < middle < corners[:, 0].max()


def test_it_is_refused_in_words(make_napari_viewer, qtbot, case, monkeypatch):
    viewer = make_napari_viewer()
    session = session_for(viewer)
    said = []
    monkeypatch.setattr(
        "napari_tcia._napari.session.show_warning", lambda text: said.append(text)
    )
    measuring.ruler(session)
    assert "before a volume is open" in said[0]
    failed = Passport((Check("uniform_step", "fail", "uneven"),))
    volume = replace(case.volume, passport=failed)
    session.add_cases([replace(case, volume=volume, labels=(), points=None, nodes=())])
    qtbot.waitUntil(lambda: session.image() is not None and not session.adding)
    measuring.circle(session)
    assert "failed its check" in said[-1]
    assert "Measurements" not in viewer.layers
