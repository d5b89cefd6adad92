"""The citation panel follows the data and cannot be lost while it is open."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Layer
from napari.utils._proxies import PublicOnlyProxy
from napari.utils.notifications import notification_manager
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QDockWidget, QLabel, QPushButton

from napari_tcia._napari.citations import CITATIONS
from napari_tcia._napari.layers import add_case
from napari_tcia._napari.session import session_for


def docks(viewer):
    """Citation docks in the window."""
    return [
        dock
        for dock in viewer.window._qt_window.findChildren(QDockWidget)
        if dock.objectName() == CITATIONS or dock.windowTitle() == CITATIONS
    ]


def panel(viewer):
    return viewer.window.dock_widgets[CITATIONS]


@pytest.fixture(autouse=True)
def _nothing_said():
    notification_manager.records.clear()


@pytest.fixture
def viewer(make_napari_viewer):
    return make_napari_viewer(show=True)


def _docked(viewer):
    return lambda: CITATIONS in viewer.window.dock_widgets


def test_the_sample_docks_it(viewer, qtbot):
    viewer.open_sample("napari-tcia", "synthetic")
    qtbot.waitUntil(_docked(viewer))
    assert "not patient data" in panel(viewer).citations[0].text
    assert "SYNTHETIC" in viewer.canvas.overlays["napari_tcia"].text


def test_eye_and_x_bring_it_back_while_data_is_open(viewer, qtbot, case):
    session_for(viewer)
    add_case(viewer, case)
    qtbot.waitUntil(_docked(viewer))
    (dock,) = docks(viewer)
    dock.close()  # the eye
    qtbot.waitUntil(lambda: not dock.isHidden())
    viewer.window.remove_dock_widget(panel(viewer))  # the x
    qtbot.waitUntil(_docked(viewer))
    qtbot.waitUntil(lambda: panel(viewer).isVisible())
    assert len(docks(viewer)) == 1


def test_it_stays_floating_when_floated(viewer, qtbot, case):
    session_for(viewer)
    add_case(viewer, case)
    qtbot.waitUntil(_docked(viewer))
    (dock,) = docks(viewer)
    dock.setFloating(True)
    dock.close()
    qtbot.waitUntil(lambda: not dock.isHidden())
    assert dock.isFloating()


def test_it_can_be_closed_when_no_data_is_left(viewer, qtbot, case):
    session_for(viewer)
    add_case(viewer, case)
    qtbot.waitUntil(_docked(viewer))
    shown = panel(viewer)
    viewer.layers.clear()
    assert shown.citations == ()
    assert not viewer.canvas.overlays["napari_tcia"].visible
    viewer.window.remove_dock_widget(shown)
    qtbot.wait(50)
    assert CITATIONS not in viewer.window.dock_widgets


@pytest.mark.parametrize("first", ["ours", "menu"])
def test_however_opened_it_is_one_panel(viewer, qtbot, case, first):
    def menu():
        viewer.window.add_plugin_dock_widget("napari-tcia", "Citations")

    if first == "menu":
        menu()
    session_for(viewer)
    add_case(viewer, case)
    qtbot.waitUntil(_docked(viewer))
    menu()
    qtbot.wait(20)
    assert len(docks(viewer)) == 1
    assert panel(viewer).citations


def test_a_panel_from_the_menu_after_all_were_closed_takes_over(viewer, qtbot, case):
    session_for(viewer)
    add_case(viewer, case)
    qtbot.waitUntil(_docked(viewer))
    viewer.layers.clear()
    viewer.window.remove_dock_widget(panel(viewer))
    viewer.window.add_plugin_dock_widget("napari-tcia", "Citations")
    add_case(viewer, case)
    qtbot.wait(20)
    assert len(docks(viewer)) == 1
    assert panel(viewer).citations


def test_credit_is_derived_from_the_layers_present(case):
    viewer = ViewerModel()
    session = session_for(viewer)
    (image, *rest), _ = add_case(viewer, case)
    viewer.layers.append(Layer.create(*image.as_layer_data_tuple()))
    for layer in (image, *rest):
        viewer.layers.remove(layer)
    assert [p.series_uid for p in session.provenances()] == [
        case.volume.provenance.series_uid
    ]
    assert viewer.canvas.overlays["napari_tcia"].visible
    viewer.layers.clear()
    assert session.provenances() == ()


def test_layers_of_others_are_not_credited(case):
    viewer = ViewerModel()
    session = session_for(viewer)
    viewer.add_labels(np.zeros((4, 4, 4), np.uint8))
    assert session.provenances() == ()
    assert "napari_tcia" not in viewer.canvas.overlays
    add_case(viewer, case)
    viewer.add_labels(np.zeros(case.volume.shape, np.uint8))
    assert session.provenances()


def test_a_session_that_starts_late_sees_what_is_there(viewer, qtbot, case):
    add_case(viewer, case)
    session = session_for(viewer)
    assert session.provenances()
    qtbot.waitUntil(_docked(viewer))


def test_proxy_and_viewer_share_a_session():
    viewer = ViewerModel()
    assert session_for(PublicOnlyProxy(viewer)) is session_for(viewer)


def test_a_closed_model_is_let_go(case):
    viewer = ViewerModel()
    session_for(viewer)
    add_case(viewer, case)
    gone = weakref.ref(viewer)
    del viewer
    gc.collect()
    assert gone() is None


def test_two_viewers_have_their_own_panels(make_napari_viewer, qtbot, case):
    first, second = make_napari_viewer(), make_napari_viewer()
    session_for(first)
    session_for(second)
    add_case(first, case)
    qtbot.waitUntil(_docked(first))
    qtbot.wait(20)
    assert CITATIONS not in second.window.dock_widgets


def test_terms_of_a_folder_can_be_read_and_accepted(
    viewer, qtbot, case, services, pixels
):
    """Credited without acceptance; accepting is offered where the credit stands."""
    own = replace(
        case.volume.provenance,
        synthetic=False,
        origin="folder",
        collection="CT Lymph Nodes",
        terms="not recorded",
        licence_name="CC BY 3.0",
    )
    volume = replace(case.volume, provenance=own)
    session = session_for(viewer)
    session.services = services
    add_case(viewer, replace(case, volume=volume, labels=(), points=None))
    qtbot.waitUntil(_docked(viewer))
    button = next(
        b
        for b in panel(viewer).findChildren(QPushButton)
        if b.text().startswith("Read")
    )
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: session.dialog is not None)
    dialog = session.dialog
    dialog.licence_box.setChecked(True)
    dialog.policy_box.setChecked(True)
    qtbot.keyClicks(dialog.name_edit, "Ada")
    qtbot.mouseClick(dialog.accept_button, Qt.MouseButton.LeftButton)
    assert [r.name for r in services.ledger.records()] == ["Ada"]
    assert {p.terms for p in session.provenances()} == {"accepted"}
    assert pixels() == []


def test_behind_another_tab_it_comes_out(viewer, qtbot, case):
    session_for(viewer)
    add_case(viewer, case)
    qtbot.waitUntil(_docked(viewer))
    (dock,) = docks(viewer)
    other = viewer.window.add_dock_widget(QLabel("x"), name="other", area="bottom")
    viewer.window._qt_window.tabifyDockWidget(dock, other)
    other.raise_()
    tabs = viewer.window._qt_window.tabifiedDockWidgets
    qtbot.waitUntil(lambda: not tabs(dock))
    qtbot.waitUntil(lambda: not dock.visibleRegion().isEmpty())


def test_the_window_closes_between_two_layers(make_napari_viewer, qtbot, case):
    viewer = make_napari_viewer()
    session = session_for(viewer)
    with qtbot.captureExceptions() as raised:
        session.add_cases([case])
        # The first layer has come, the turn of the next one has not.
        close = lambda _: QTimer.singleShot(0, viewer.close)  # noqa: E731
        viewer.layers.events.inserted.connect(close)
        qtbot.waitUntil(lambda: not session.adding)
        qtbot.wait(50)
    assert raised == []
    assert list(viewer.layers) == []  # closing empties it, and nothing came after


def test_a_case_of_another_patient_is_seen_alone(viewer, qtbot, case):
    session = session_for(viewer)
    origin = replace(
        case.volume.provenance, series_uid="61.7.0.999.9.5", frame_of_reference_uid="9"
    )
    affine = case.volume.affine.copy()
    affine[:3, 3] += (900, 900, 900)
    other = replace(case.volume, provenance=origin, affine=affine)
    session.add_cases([case, replace(case, volume=other, labels=(), points=None)])
    # The numbers of the nodes come by themselves after the four layers.
    qtbot.waitUntil(lambda: len(viewer.layers) >= 4 and not session.adding)
    assert len(viewer.layers) == 6
    shown = [layer for layer in viewer.layers if layer.visible]
    assert [layer.name for layer in shown if "numbers" not in layer.name] == [
        viewer.layers[3].name
    ]
    assert len([one for one in viewer.layers if one.name.startswith("Node num")]) == 2
    assert len(shown) == 2  # with its own numbers, not those of the other
    image = viewer.layers[3]
    middle = image.data_to_world([(n - 1) / 2 for n in image.data.shape])
    assert np.allclose(viewer.scene.camera.center[-2:], middle[1:], atol=2)
    (said,) = notification_manager.records
    assert "no frame of reference" in said.message
    # Shown together all the same, the picture says so for as long as they are.
    words = viewer.canvas.overlays["napari_tcia_position"]
    assert "Not in one place" not in words.text
    viewer.layers[0].visible = True
    assert f"Not in one place with {viewer.layers[0].name}" in words.text
    viewer.layers[0].visible = False
    assert "Not in one place" not in words.text
