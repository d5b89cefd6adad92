"""Folders open in scripts and in the window, and only DICOM is claimed."""

from __future__ import annotations

import shutil

import npe2
from napari.settings import get_settings
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QMimeData, QPointF, Qt, QTimer, QUrl
from qtpy.QtGui import QDropEvent

from napari_tcia._napari.citations import CITATIONS
from napari_tcia._napari.reader import get_reader, read
from napari_tcia._napari.session import session_for

NAMES = ["CT - MED_LYMPH_001", "Nodes (reference)", "Nodes (published points)"]


def test_only_dicom_is_claimed(tmp_path, folder):
    (tmp_path / "notes.dcm").write_text("not DICOM at all, but long enough" * 9)
    assert get_reader(str(tmp_path)) is None
    assert get_reader(str(tmp_path / "notes.dcm")) is None
    assert get_reader(str(tmp_path / "absent.dcm")) is None
    assert get_reader(str(folder)) is read
    assert get_reader(str(next((folder / "CT").iterdir()))) is read


def test_a_script_gets_layer_data(folder):
    layers = npe2.read([str(folder)], plugin_name="napari-tcia", stack=False)
    assert [kwargs["name"] for _, kwargs, _ in layers] == NAMES


def test_a_script_gets_layers_in_its_viewer(make_napari_viewer, folder, qtbot):
    viewer = make_napari_viewer()
    assert not session_for(viewer).runner.running("open")
    added = viewer.open(str(folder), plugin="napari-tcia")
    assert [layer.name for layer in added] == NAMES
    assert not viewer.layers["Nodes (reference)"].editable
    qtbot.waitUntil(lambda: CITATIONS in viewer.window.dock_widgets)


def test_in_a_running_window_layers_come_later(make_napari_viewer, folder, qtbot):
    viewer = make_napari_viewer()
    session = session_for(viewer)
    at_once = []
    QTimer.singleShot(
        0, lambda: at_once.append(viewer.open(str(folder), plugin="napari-tcia"))
    )
    qtbot.waitUntil(lambda: len(viewer.layers) == 4, timeout=20000)
    assert at_once == [[]]
    assert [layer.name for layer in viewer.layers] == [*NAMES, "Node numbers"]
    qtbot.waitUntil(lambda: CITATIONS in viewer.window.dock_widgets)
    assert not session.adding


def test_drag_and_drop_of_a_folder(make_napari_viewer, folder, qtbot):
    viewer = make_napari_viewer(show=True)
    # What napari's own dialog asks once and remembers, napari reading folders too.
    get_settings().plugins.extension2reader = {"*/": "napari-tcia"}
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(folder))])
    event = QDropEvent(
        QPointF(10, 10),
        Qt.DropAction.CopyAction,
        data,
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
    )
    QTimer.singleShot(0, lambda: viewer.window._qt_viewer.dropEvent(event))
    qtbot.waitUntil(lambda: len(viewer.layers) == 4, timeout=20000)
    assert [layer.name for layer in viewer.layers] == [*NAMES, "Node numbers"]


def test_a_folder_that_cannot_be_read_is_said(make_napari_viewer, tmp_path, qtbot):
    viewer = make_napari_viewer()
    session = session_for(viewer)
    notification_manager.records.clear()
    session.open(tmp_path)  # no DICOM here
    qtbot.waitUntil(lambda: bool(notification_manager.records))
    (said,) = notification_manager.records
    assert "holds no DICOM image" in said.message
    assert str(said.severity) == "error"
    assert len(viewer.layers) == 0


def test_a_zip_of_dicom_opens_like_its_folder(tmp_path, folder):
    path = shutil.make_archive(str(tmp_path / "case"), "zip", folder)
    assert get_reader(path) is read
    layers = npe2.read([path], plugin_name="napari-tcia", stack=False)
    assert [kwargs["name"] for _, kwargs, _ in layers] == NAMES
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "notes.txt").write_text("words")
    other = shutil.make_archive(str(tmp_path / "other"), "zip", tmp_path / "words")
    assert get_reader(other) is None
