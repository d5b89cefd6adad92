"""One slice before anything is downloaded: through the gate, and gone after."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel

from napari_tcia._napari.tasks import TaskRunner
from napari_tcia._qt.browser import Browser
from napari_tcia._qt.preview import PreviewWindow, grey
from napari_tcia.app import agree, fetch, state
from napari_tcia.app.case import open_case
from napari_tcia.app.preview import Preview, preview
from napari_tcia.core.model import Provenance
from napari_tcia.errors import (
    AccessError,
    ArchiveError,
    TermsNotAccepted,
    UnsupportedData,
    VerificationError,
)

CASE = "MED_LYMPH_021"


@pytest.fixture
def row(services):
    (found,) = state.find(services, CASE).rows
    return found


def _accept(services, series):
    agree.accept(services, agree.terms(services, [series]), "Ada Lovelace")


def test_no_pixel_is_asked_for_before_the_terms_are_accepted(services, row, pixels):
    with pytest.raises(TermsNotAccepted):
        preview(services, row.series)
    assert pixels() == []
    _accept(services, row.series)
    found = preview(services, row.series)
    assert [path.split("?")[0].rpartition("/")[2] for path in pixels()] == [
        "getSingleImage"
    ]
    assert found.array.ndim == 2
    assert found.provenance.terms == "accepted"
    assert found.provenance.series_uid == row.series.series_uid
    agree.revoke(services, row.series.collection)
    with pytest.raises(AccessError):
        preview(services, row.series)
    assert len(pixels()) == 1


def test_it_is_the_slice_that_a_download_brings(services, row):
    _accept(services, row.series)
    before = preview(services, row.series)
    assert not list(services.settings.home.rglob("*.dcm"))
    fetch.get(services, [row.series])
    (case,) = open_case(services, [row.series])
    same = [
        k for k, s in enumerate(case.volume.array) if np.array_equal(s, before.array)
    ]
    assert len(same) == 1
    assert before.window == (50.0, 350.0)
    assert before.letters == ("R", "L", "A", "P")
    assert before.spacing == pytest.approx(
        [np.linalg.norm(case.volume.affine[:3, axis]) for axis in (1, 2)]
    )


def test_what_is_on_disk_is_not_asked_for_again(services, row, pixels, archive):
    _accept(services, row.series)
    fetch.get(services, [row.series])
    asked = len(pixels())
    archive.fault = "error-500"
    assert preview(services, row.series).array.shape
    assert len(pixels()) == asked


@pytest.mark.parametrize("fault", ["html-200", "cut", "error-500"])
def test_what_is_no_slice_is_refused_and_not_kept(services, row, archive, fault):
    _accept(services, row.series)
    archive.fault = fault
    with pytest.raises((ArchiveError, VerificationError)):
        preview(services, row.series)
    assert not list(services.settings.home.glob(".preview-*"))


def test_a_segmentation_has_no_slice(services, row):
    with pytest.raises(UnsupportedData):
        preview(services, row.annotations[0])


def test_the_window_shows_greys_and_whom_to_credit(qtbot):
    array = np.array([[-200, 50], [225, 400]], dtype=np.int16)
    shown = Preview(
        array,
        (50.0, 350.0),
        "CT - MED_LYMPH_001: one of 3 images",
        Provenance("archive", collection="CT Lymph Nodes", licence_name="CC BY 3.0"),
    )
    np.testing.assert_array_equal(grey(shown), [[0, 127], [255, 255]])
    window = PreviewWindow(shown)
    qtbot.addWidget(window)
    assert "CT Lymph Nodes" in window.attribution.text()
    assert not window.isModal()


def test_from_the_menu_terms_first_then_a_small_window(qtbot, services, pixels):
    runner = TaskRunner()
    browser = Browser(lambda: services, runner)
    qtbot.addWidget(browser)
    browser.show()
    browser.search(CASE)
    qtbot.waitUntil(lambda: bool(browser.tree.selected_rows()), timeout=20000)
    browser.bar.entries["preview"].trigger()
    qtbot.waitUntil(lambda: browser.dialog is not None, timeout=20000)
    assert pixels() == []
    dialog = browser.dialog
    dialog.licence_box.setChecked(True)
    dialog.policy_box.setChecked(True)
    qtbot.keyClicks(dialog.name_edit, "Ada Lovelace")
    qtbot.mouseClick(dialog.accept_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: browser.acts.preview is not None, timeout=20000)
    window = browser.acts.preview
    assert "not patient data" in window.attribution.text()
    assert not window.picture.pixmap().isNull()
    assert window.findChildren(QLabel)
    assert services.store.all() == ()
    qtbot.keyClick(window, Qt.Key.Key_Escape)
    qtbot.waitUntil(lambda: browser.acts.preview is None)
    runner.cancel_all()
