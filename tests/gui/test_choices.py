"""A series that leaves a doubt can be read as a person chooses, from the window."""

from __future__ import annotations

import shutil

import numpy as np
import pydicom
import pytest
from napari.layers._layer_actions import _duplicate_layer
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QPushButton

from napari_tcia._napari import derived
from napari_tcia._napari.session import session_for
from napari_tcia._napari.widgets import NodesDock
from napari_tcia.app import agree
from napari_tcia.app.case import open_case
from napari_tcia.app.search import search
from napari_tcia.app.services import Services
from napari_tcia.core.model import SearchQuery
from napari_tcia.core.settings import Settings
from napari_tcia.demo.server import EmbeddedArchive
from napari_tcia.demo.variants import make_variant
from napari_tcia.volume import read_volume

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def doubled(folder, tmp_path):
    """The case with one CT slice twice, the second one all air and numbered last."""
    home = shutil.copytree(folder, tmp_path / "case")
    files = sorted((home / "CT").glob("*.dcm"))
    again = pydicom.dcmread(files[3])
    again.SOPInstanceUID = f"{again.SOPInstanceUID}.9"[-64:]
    again.file_meta.MediaStorageSOPInstanceUID = again.SOPInstanceUID
    again.InstanceNumber = 999
    again.PixelData = np.full((96, 96), -1000, "<i2").tobytes()
    again.save_as(home / "CT" / "again.dcm")
    return home


@pytest.fixture
def opened(make_napari_viewer, qtbot, doubled, tmp_path):
    viewer = make_napari_viewer(show=True)
    session = session_for(viewer)
    session.services = Services.open(Settings(home=tmp_path / "home"))
    dock = NodesDock(viewer)
    viewer.window.add_dock_widget(dock, name="Nodes")
    session.open(doubled)
    qtbot.waitUntil(
        lambda: bool(session.ours("image")) and not session.adding, timeout=60_000
    )
    return viewer, session, dock


def buttons(dock):
    found = dock.offers.findChildren(QPushButton)
    return {b.text(): b for b in found if b.isVisible()}


def press(qtbot, session, dock, name):
    before = session.ours("image")[-1]
    qtbot.mouseClick(buttons(dock)[name], Qt.MouseButton.LeftButton)
    qtbot.waitUntil(
        lambda: (
            bool(session.ours("image"))
            and session.ours("image")[-1] is not before
            and not session.adding
        ),
        timeout=60_000,
    )


def test_duplicates_can_be_decided_and_taken_back(opened, qtbot, doubled):
    _, session, dock = opened
    assert "(fail)" in session.ours("image")[0].name
    assert not session.ours("reference")
    assert set(buttons(dock)) >= {"Keep the first", "Keep the last"}

    press(qtbot, session, dock, "Keep the first")
    (image,) = session.ours("image")
    assert "(warn)" in image.name
    assert session.ours("reference"), "the annotations are there once it is sound"
    (doubled / "CT" / "again.dcm").rename(doubled / "again.away")
    np.testing.assert_array_equal(image.data, read_volume(doubled / "CT").array)
    (doubled / "again.away").rename(doubled / "CT" / "again.dcm")
    assert "again.dcm" in dock.badge.text()

    press(qtbot, session, dock, "As it is")
    (image,) = session.ours("image")
    assert "(fail)" in image.name
    assert not session.ours("reference")


def test_what_was_painted_stays(opened, qtbot):
    viewer, session, dock = opened
    press(qtbot, session, dock, "Keep the last")
    (reference,) = session.ours("reference")
    viewer.layers.selection = {reference}
    _duplicate_layer(viewer.layers)
    (copy,) = [one for one in session.ours("reference") if one is not reference]
    copy.selected_label = 7
    copy.paint((2, 3, 4), 7)
    press(qtbot, session, dock, "Keep the first")
    assert copy in viewer.layers
    assert copy.data[2, 3, 4] == 7


def test_mirrored_labels_are_out_of_sight_until_somebody_chooses(
    make_napari_viewer, qtbot, tmp_path
):
    home = make_variant("mask_flipped_in_y", tmp_path / "case")
    viewer = make_napari_viewer(show=True)
    session = session_for(viewer)
    session.services = Services.open(Settings(home=tmp_path / "home"))
    dock = NodesDock(viewer)
    viewer.window.add_dock_widget(dock, name="Nodes")
    session.open(home)
    qtbot.waitUntil(lambda: bool(session.ours("image")) and not session.adding)
    (stored,) = session.ours("reference")
    assert not stored.visible
    assert "look mirrored in y" in dock.badge.text()
    written = stored.data.copy()

    press(qtbot, session, dock, "Mirror labels in y")
    (turned,) = session.ours("reference")
    assert turned.visible
    np.testing.assert_array_equal(turned.data, written[:, ::-1])
    assert "as you chose" in dock.badge.text()
    (changed,) = derived.adapted(viewer.layers)
    assert changed.name == turned.name  # whoever passes it on says so

    # A copy that somebody paints on is work, and stays.
    viewer.layers.selection = {turned}
    _duplicate_layer(viewer.layers)
    (copy,) = [one for one in session.ours("reference") if one is not turned]
    copy.selected_label = 1
    copy.paint((2, 3, 4), 3)
    press(qtbot, session, dock, "As it is")
    assert copy in viewer.layers
    (again,) = [one for one in session.ours("reference") if one is not copy]
    np.testing.assert_array_equal(again.data, written)
    assert not again.visible


def test_the_nodes_of_the_other_identity_come_by_a_click(
    make_napari_viewer, qtbot, tmp_path
):
    with EmbeddedArchive(cases=4) as archive:
        viewer = make_napari_viewer(show=True)
        session = session_for(viewer)
        session.services = Services.open(archive.settings(tmp_path / "home"))
        listed = search(session.services, SearchQuery(patient="ABD_LYMPH_001"))
        agree.accept(session.services, agree.terms(session.services, listed.items), "A")
        dock = NodesDock(viewer)
        viewer.window.add_dock_widget(dock, name="Nodes")
        session.add_cases(open_case(session.services, "ABD_LYMPH_001"))
        qtbot.waitUntil(lambda: bool(session.ours("image")) and not session.adding)
        rows = dock.model.rows
        before = set(viewer.layers)
        qtbot.mouseClick(buttons(dock)["Nodes of MED_LYMPH_002 too"], LEFT)
        qtbot.waitUntil(lambda: len(viewer.layers) > len(before) and not session.adding)
        (layer,) = set(viewer.layers) - before
        assert layer.name == "Nodes (MED_LYMPH_002)"
        assert layer.visible
        assert not layer.editable
        assert layer.data.shape == session.image().data.shape
        assert np.allclose(layer.translate, session.image().translate)
        assert dock.model.rows == rows  # the table is that of the case itself
        assert {one.patient_id for one in session.provenances()} == {
            "ABD_LYMPH_001",
            "MED_LYMPH_002",
        }
