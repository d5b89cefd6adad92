"""The way from a word to a picture, by mouse and keys, over HTTP."""

from __future__ import annotations

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from napari_tcia._napari.citations import CITATIONS
from napari_tcia._napari.launch import build
from napari_tcia._napari.session import session_for
from napari_tcia._napari.tasks import TaskRunner
from napari_tcia._qt.browser import Browser
from napari_tcia.app.facets import facets
from napari_tcia.app.nodes_only import nodes_only
from napari_tcia.app.rows import Results, case_rows
from napari_tcia.core.model import Series

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def browser(qtbot, services):
    runner = TaskRunner()
    made = Browser(lambda: services, runner)
    qtbot.addWidget(made)
    made.resize(420, 640)
    made.show()
    yield made
    runner.cancel_all()


def _search(browser, qtbot, text):
    browser.search_box.clear()
    qtbot.keyClicks(browser.search_box, text)
    qtbot.keyClick(browser.search_box, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: browser.task.isHidden(), timeout=20000)


def _names(browser):
    model = browser.tree.model()
    root = model.index(0, 0)
    return [model.index(n, 0, root).data() for n in range(model.rowCount(root))]


def _agree(browser, qtbot, name="Ada Lovelace"):
    qtbot.waitUntil(lambda: browser.dialog is not None, timeout=20000)
    dialog = browser.dialog
    qtbot.keyClick(dialog.licence_box, Qt.Key.Key_Space)
    qtbot.keyClick(dialog.policy_box, Qt.Key.Key_Space)
    qtbot.keyClicks(dialog.name_edit, name)
    qtbot.mouseClick(dialog.accept_button, LEFT)


def test_a_ct_with_its_nodes_on_screen(
    make_napari_viewer, qtbot, services, pixels, monkeypatch
):
    made = make_napari_viewer(show=True)
    monkeypatch.setattr("napari.Viewer", lambda **_: made)
    viewer, browser = build(services)
    session = session_for(viewer)
    _search(browser, qtbot, "MED_LYMPH_001")  # 1: a line typed
    qtbot.keyClick(browser.tree, Qt.Key.Key_Return)  # 2
    qtbot.waitUntil(lambda: browser.dialog is not None, timeout=20000)
    assert pixels() == []
    _agree(browser, qtbot)  # 3 to 5 and the name
    qtbot.waitUntil(
        lambda: len(viewer.layers) >= 3 and not session.adding, timeout=60000
    )
    assert [layer.name for layer in viewer.layers] == [
        "CT - MED_LYMPH_001",
        "Nodes (reference)",
        "Nodes (published points)",
        "Node numbers",
    ]
    qtbot.waitUntil(lambda: CITATIONS in viewer.window.dock_widgets)
    panel = viewer.window.dock_widgets[CITATIONS]
    assert panel.isVisible()
    assert "not patient data" in panel.copy("text")
    assert QApplication.clipboard().text() == panel.copy("text")
    (record,) = services.ledger.records()
    assert record.name == "Ada Lovelace"
    assert viewer.layers.selection.active is viewer.layers[0]

    # Later: no question, nothing fetched again.
    before = len(pixels())
    viewer.layers.clear()
    qtbot.keyClick(browser.tree, Qt.Key.Key_Return)
    qtbot.waitUntil(
        lambda: len(viewer.layers) >= 3 and not session.adding, timeout=60000
    )
    assert browser.dialog is None
    assert len(pixels()) == before


def test_cases_narrow_by_their_largest_node_once_it_is_here(browser, qtbot, services):
    _search(browser, qtbot, "CT Lymph Nodes")
    titles = {f.title for f in facets(browser._results, {})}
    assert "Largest node" not in titles
    browser.acts.download(browser.tree.selected_rows(), "annotations")
    _agree(browser, qtbot)
    qtbot.waitUntil(lambda: bool(browser._results.largest_nodes))
    (row,) = browser.tree.selected_rows()
    (only,) = nodes_only(services, row.series.patient_id)
    largest = max(node.short_axis_mm for node in only.nodes)
    assert browser._results.largest_nodes == {
        row.series.study_uid: pytest.approx(largest)
    }
    wanted = "15 mm or more" if largest >= 15 else "10 to below 15 mm"
    browser.filters.toggle("nodes", wanted)
    assert _names(browser) == [row.series.patient_id]
    (chip,) = browser.filters.chips.values()
    assert chip.text().startswith(f"Largest node: {wanted} (1)")
    # The same is known in a later search, without a download.
    _search(browser, qtbot, "CT Lymph Nodes")
    qtbot.waitUntil(lambda: bool(browser._results.largest_nodes))


def test_ct_and_its_segmentation_are_one_row(browser, qtbot):
    _search(browser, qtbot, "CT Lymph Nodes")
    assert _names(browser) == ["ABD_LYMPH_001", "MED_LYMPH_001", "MED_LYMPH_021"]
    (row,) = browser.tree.selected_rows()
    assert [s.modality for s in row.all] == ["CT", "SEG"]
    assert browser.cost.text().startswith("1 case, ")
    assert " free, " in browser.cost.text()
    assert browser.cost.text().endswith("terms to be read first")


def test_not_now_fetches_nothing_and_search_stays(browser, qtbot, pixels, services):
    _search(browser, qtbot, "CT Lymph Nodes")
    before = _names(browser)
    qtbot.mouseClick(browser.open_button, LEFT)
    qtbot.waitUntil(lambda: browser.dialog is not None, timeout=20000)
    qtbot.mouseClick(browser.dialog.decline_button, LEFT)
    qtbot.waitUntil(lambda: browser.dialog is None)
    qtbot.wait(100)
    assert pixels() == []
    assert services.ledger.records() == ()
    assert _names(browser) == before
    assert browser.open_button.isEnabled()


def test_cancel_ends_a_stalled_download(browser, qtbot, archive, services):
    _search(browser, qtbot, "MED_LYMPH_021")
    archive.fault = "stall"
    opened = []
    browser.opened.connect(opened.append)
    qtbot.mouseClick(browser.open_button, LEFT)
    _agree(browser, qtbot)
    qtbot.waitUntil(lambda: "Downloading" in browser.task.stage.text(), timeout=20000)
    qtbot.mouseClick(browser.task.cancel_button, LEFT)
    assert browser.task.isHidden()
    assert browser.problem.text().startswith("Cancelled")
    assert browser.open_button.isEnabled()
    assert opened == []
    assert services.store.all() == ()


def test_escape_cancels_too(browser, qtbot, archive):
    _search(browser, qtbot, "MED_LYMPH_021")
    archive.fault = "stall"
    qtbot.mouseClick(browser.open_button, LEFT)
    _agree(browser, qtbot)
    qtbot.waitUntil(lambda: "Downloading" in browser.task.stage.text(), timeout=20000)
    qtbot.keyClick(browser, Qt.Key.Key_Escape)
    assert browser.task.isHidden()


def test_the_window_closes_while_a_download_stalls(
    make_napari_viewer, qtbot, services, archive, monkeypatch
):
    made = make_napari_viewer()
    monkeypatch.setattr("napari.Viewer", lambda **_: made)
    viewer, browser = build(services)
    _search(browser, qtbot, "MED_LYMPH_021")
    archive.fault = "stall"
    browser.open_selected()
    _agree(browser, qtbot)
    qtbot.waitUntil(lambda: "Downloading" in browser.task.stage.text(), timeout=20000)
    (_, worker) = session_for(viewer).runner._tasks["open"]
    viewer.close()
    assert worker.token.cancelled
    qtbot.waitUntil(lambda: not worker.is_running, timeout=10000)


def test_archive_down_shows_what_is_known_and_what_to_do(browser, qtbot, archive):
    archive.fault = "error-500"
    _search(browser, qtbot, "MED_LYMPH_021")
    assert "catalogue" in browser.problem.text()
    assert not browser.retry_button.isHidden()
    assert browser.source.words.text()
    assert [r.series.patient_id for r in browser.tree.selected_rows()] == [
        "MED_LYMPH_021"
    ]
    archive.fault = None
    qtbot.mouseClick(browser.retry_button, LEFT)
    qtbot.waitUntil(lambda: browser.task.isHidden(), timeout=20000)
    assert browser.problem.text() == ""


def test_a_late_answer_does_not_overwrite_a_newer_one(browser, qtbot, archive):
    slow = _begin_slowly(browser, qtbot, archive, "MED_LYMPH_001", 4.0)
    _search(browser, qtbot, "MED_LYMPH_021")
    assert _names(browser) == ["MED_LYMPH_021"]
    assert browser.problem.text() == ""
    qtbot.waitUntil(lambda: not slow.is_running, timeout=20000)
    qtbot.wait(50)
    assert _names(browser) == ["MED_LYMPH_021"]
    assert browser.search_box.text() == "MED_LYMPH_021"


def test_escape_ends_a_silent_search_within_a_second(browser, qtbot, archive):
    _search(browser, qtbot, "CT Lymph Nodes")
    before = _names(browser)
    worker = _begin_slowly(browser, qtbot, archive, "MED_LYMPH_021", 8.0)
    assert worker.is_running
    qtbot.keyClick(browser, Qt.Key.Key_Escape)
    assert browser.task.isHidden()
    assert browser.problem.text().startswith("Cancelled")
    qtbot.waitUntil(lambda: not worker.is_running, timeout=1000)
    assert _names(browser) == before


def test_a_new_search_does_not_end_the_row_of_a_download(browser, qtbot, archive):
    _search(browser, qtbot, "MED_LYMPH_021")
    archive.fault = "stall"
    qtbot.mouseClick(browser.open_button, LEFT)
    _agree(browser, qtbot)
    qtbot.waitUntil(lambda: "Downloading" in browser.task.stage.text(), timeout=20000)
    archive.fault = None
    browser.search("MED_LYMPH_001")
    qtbot.waitUntil(lambda: not browser.work.running("search"), timeout=20000)
    assert not browser.task.isHidden()
    assert not browser.open_button.isEnabled()
    browser.cancel()
    assert browser.task.isHidden()


def test_download_only_shows_nothing_and_says_where(browser, qtbot, services):
    _search(browser, qtbot, "MED_LYMPH_021")
    opened = []
    browser.opened.connect(opened.append)
    browser.bar.entries["download"].trigger()
    _agree(browser, qtbot)
    qtbot.waitUntil(lambda: "verified" in browser.problem.text(), timeout=60000)
    assert {k.series.modality for k in services.store.all()} == {"CT", "SEG"}
    assert opened == []
    assert browser.cost.text() == "1 case, on disk"


def test_nodes_only_leaves_the_images(browser, qtbot, services, pixels):
    _search(browser, qtbot, "MED_LYMPH_021")
    (row,) = browser.tree.selected_rows()
    browser.bar.entries["nodes"].trigger()
    _agree(browser, qtbot)
    qtbot.waitUntil(lambda: "verified" in browser.problem.text(), timeout=60000)
    assert [k.series.modality for k in services.store.all()] == ["SEG"]
    assert not [p for p in pixels() if row.series.series_uid in p]
    # They are listed, and one can be opened with the slices that hold it.
    listed = browser.acts.nodes
    rows = listed.table.model.rows
    assert len(rows) > 1
    assert listed.attribution.text()
    table = listed.table.table
    assert table.model().index(0, 4).data() == "\u2013"  # no image number
    opened = []
    browser.opened.connect(opened.append)
    place = table.visualRect(table.model().index(1, 1)).center()
    qtbot.mouseClick(table.viewport(), LEFT, pos=place)
    qtbot.waitUntil(lambda: bool(opened), timeout=60000)
    ((case,),) = opened
    assert [node.id for node in case.nodes] == [rows[1].id]
    assert len(case.volume.array) < row.series.images / 2
    assert "part" in browser.problem.text() or "Only" in browser.problem.text()
    assert [k.series.modality for k in services.store.all()] == ["SEG"]
    assert not [p for p in pixels() if "getImage" in p and row.series.series_uid in p]
    listed.close()


def test_a_manifest_written_is_found_again(browser, qtbot, tmp_path):
    _search(browser, qtbot, "MED_LYMPH_021")
    (row,) = browser.tree.selected_rows()
    path = tmp_path / "mine.tcia"
    browser.acts.save_manifest([row], path)
    qtbot.waitUntil(lambda: "lists 2 series" in browser.problem.text(), timeout=20000)
    _search(browser, qtbot, str(path))
    (again,) = browser.tree.selected_rows()
    assert {s.series_uid for s in again.all} == {s.series_uid for s in row.all}


def test_refresh_says_what_has_changed(browser, qtbot):
    qtbot.mouseClick(browser.source.refresh_button, LEFT)
    qtbot.waitUntil(lambda: bool(browser.problem.text()), timeout=30000)
    first = browser.problem.text()
    assert "new" in first
    qtbot.mouseClick(browser.source.refresh_button, LEFT)
    qtbot.waitUntil(lambda: browser.problem.text() not in ("", first), timeout=30000)
    assert "new" not in browser.problem.text()


def test_a_folder_of_the_user_opens_from_where_it_is(
    browser, qtbot, pixels, services, folder
):
    _search(browser, qtbot, str(folder))
    (row,) = browser.tree.selected_rows()
    assert row.series.sources == ("folder",)
    opened = []
    browser.opened.connect(opened.append)
    qtbot.keyClick(browser.tree, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: bool(opened), timeout=60000)
    ((case,),) = opened
    assert case.name == "MED_LYMPH_001"
    assert len(case.labels) == 1
    assert browser.dialog is None
    assert pixels() == []
    assert services.store.all() == ()


def test_a_failed_download_is_one_line_in_place(browser, qtbot, archive):
    _search(browser, qtbot, "MED_LYMPH_021")
    archive.fault = "html-200+bucket-403"
    qtbot.mouseClick(browser.open_button, LEFT)
    _agree(browser, qtbot)
    qtbot.waitUntil(lambda: bool(browser.problem.text()), timeout=60000)
    assert not browser.retry_button.isHidden()
    assert browser.open_button.isEnabled()


def test_nothing_found_says_what_there_is(browser, qtbot):
    _search(browser, qtbot, "MED_LYMPH_999")
    assert browser.pages.currentIndex() == 2
    assert "MED_LYMPH_001 to 090" in browser.empty.text()


def test_start_page_leads_to_the_lymph_nodes(browser, qtbot):
    assert browser.pages.currentIndex() == 0
    qtbot.mouseClick(browser.start_button, LEFT)
    qtbot.waitUntil(lambda: bool(browser.tree.selected_rows()), timeout=20000)
    assert browser.search_box.text() == "CT Lymph Nodes"


def test_filters_narrow_and_say_so(browser, qtbot):
    rows = case_rows(
        [
            Series("1.1", "1", "A", "One", "CT"),
            Series("1.2", "1", "A", "One", "SEG"),
            Series("2.1", "2", "B", "One", "MR"),
            Series("3.1", "3", "C", "Two", "CT"),
        ]
    )
    browser._found(Results("x", rows))
    filters = browser.filters
    assert filters.count.text() == "3 cases"
    _pick(filters, "Modality", "CT")
    assert filters.count.text() == "2 cases of 3"
    assert filters.chips["modality", "CT"].text().startswith("CT (2)")
    _pick(filters, "Labels", "With labels")
    assert filters.count.text() == "1 case of 3"
    assert _names(browser) == ["A"]
    qtbot.mouseClick(filters.chips["modality", "CT"], LEFT)
    assert filters.count.text() == "1 case of 3"
    chip = filters.chips["labels", "yes"]
    chip.setFocus()
    qtbot.keyClick(chip, Qt.Key.Key_Space)
    assert filters.count.text() == "3 cases"
    assert not filters.chips


def test_filters_that_hide_everything_are_removed_by_a_button(browser, qtbot):
    rows = case_rows([Series("1", "1", "A", "One", "CT"), Series("2", "2", "B", "One")])
    browser._found(Results("x", rows))
    browser.filters.chosen = {"modality": frozenset({"CT"})}
    browser.filters.toggle("labels", "yes")
    assert "hide all 2" in browser.empty.text()
    qtbot.mouseClick(browser.unfilter_button, LEFT)
    assert browser.filters.count.text() == "2 cases"


def test_many_cases_download_but_do_not_open_at_once(browser):
    rows = case_rows(
        Series(f"{n}.1", str(n), f"P{n:02d}", "One", "CT", images=2) for n in range(11)
    )
    browser._found(Results("x", rows))
    browser.tree.setCurrentIndex(browser.tree.model().index(0, 0))
    assert len(browser.tree.selected_rows()) == 11
    assert not browser.open_button.isEnabled()
    assert "At most 10" in browser.open_button.toolTip()
    assert browser.bar.entries["download"].isEnabled()


def test_controls_have_names_for_screen_readers(browser):
    for control in (
        browser.search_box,
        browser.search_box.suggestions,
        browser.tree,
        browser.open_button,
        browser.bar.more_button,
        browser.filters.add_button,
        browser.source.refresh_button,
        browser.task.cancel_button,
    ):
        assert control.accessibleName()


def _begin_slowly(browser, qtbot, archive, text, seconds):
    """Start a search that the archive will answer late; return its worker."""
    archive.latency = seconds
    try:
        browser.search(text)
        _, worker = browser._runner._tasks["search"]
        qtbot.waitUntil(lambda: browser.task.stage.text() == "Searching the archive")
        qtbot.wait(100)  # the request follows at once
    finally:
        archive.latency = 0.0
    return worker


def _pick(filters, title, value):
    """Choose from the menu of the filters."""
    filters.menu.aboutToShow.emit()
    (below,) = [a.menu() for a in filters.menu.actions() if a.text() == title]
    (action,) = [a for a in below.actions() if a.text().split("\t")[0] == value]
    action.trigger()
