"""Everything by keys: named controls, an order that makes sense, few actions."""

from __future__ import annotations

import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QApplication,
    QLineEdit,
    QPlainTextEdit,
)

from napari_tcia._napari.launch import build
from napari_tcia._napari.layers import add_case
from napari_tcia._napari.session import session_for
from napari_tcia._qt.browser import Browser
from napari_tcia._qt.citation_panel import CitationPanel
from napari_tcia._qt.node_table import NodeTable

INTERACTIVE = (QAbstractButton, QAbstractItemView, QLineEdit, QPlainTextEdit)
SECONDS = 60_000


class Keys:
    """Presses keys where the focus is, and counts."""

    def __init__(self):
        self.count = 0

    def press(self, key):
        self.count += 1
        QTest.keyClick(QApplication.focusWidget(), key)

    def line(self, text):
        """One line typed counts as one action, Enter with it."""
        self.count += 1
        QTest.keyClicks(QApplication.focusWidget(), text)

    def move(self):
        """Tab is the way from one control to the next, as the eye is."""
        QTest.keyClick(QApplication.focusWidget(), Qt.Key.Key_Tab)


@pytest.fixture
def window(make_napari_viewer, services, monkeypatch, qtbot):
    made = make_napari_viewer(show=True)
    monkeypatch.setattr("napari.Viewer", lambda **_: made)
    viewer, browser = build(services)
    made.window.activate()
    qtbot.waitUntil(lambda: QApplication.activeWindow() is not None)
    return viewer, browser


def test_a_case_with_its_nodes_by_keys_alone(window, qtbot):
    """At most five actions the first time, terms included, and two later."""
    viewer, browser = window
    session = session_for(viewer)
    keys = Keys()
    qtbot.waitUntil(lambda: browser.search_box.hasFocus())
    keys.line("MED_LYMPH_001\r")  # 1
    qtbot.waitUntil(lambda: browser.tree.hasFocus(), timeout=SECONDS)
    keys.press(Qt.Key.Key_Return)  # 2: open
    qtbot.waitUntil(lambda: browser.dialog is not None, timeout=SECONDS)
    dialog = browser.dialog
    qtbot.waitUntil(lambda: dialog.licence_box.hasFocus())
    keys.press(Qt.Key.Key_Space)  # 3: the licence
    keys.move()
    assert dialog.policy_box.hasFocus()
    keys.press(Qt.Key.Key_Space)  # 4: the policy
    keys.move()
    assert dialog.name_edit.hasFocus()
    keys.line("Ada Lovelace\r")  # 5: the name, and Enter accepts
    _until_open(qtbot, viewer, session)
    assert keys.count <= 5
    assert [layer.name for layer in viewer.layers][:2] == [
        "CT - MED_LYMPH_001",
        "Nodes (reference)",
    ]

    viewer.layers.clear()
    keys.count = 0
    viewer.window.activate()
    browser.search_box.setFocus()
    browser.search_box.selectAll()
    qtbot.waitUntil(browser.search_box.hasFocus)
    keys.line("MED_LYMPH_001\r")
    qtbot.waitUntil(lambda: browser.tree.hasFocus(), timeout=SECONDS)
    keys.press(Qt.Key.Key_Return)
    _until_open(qtbot, viewer, session)
    assert keys.count <= 2


def _until_open(qtbot, viewer, session):
    qtbot.waitUntil(
        lambda: len(viewer.layers) >= 3 and not session.adding, timeout=SECONDS
    )


def test_every_control_has_a_name_and_a_tip(window, case, qtbot):
    viewer, browser = window
    add_case(viewer, case)
    browser.search("CT Lymph Nodes")
    qtbot.waitUntil(lambda: bool(browser.tree.selected_rows()), timeout=SECONDS)
    browser.open_selected()
    qtbot.waitUntil(lambda: browser.dialog is not None, timeout=SECONDS)
    window = viewer.window._qt_window
    kinds = (Browser, CitationPanel, NodeTable)
    docks = [dock for kind in kinds for dock in window.findChildren(kind)]
    assert len(docks) == 3
    nameless = [
        (type(place).__name__, type(control).__name__, control.objectName())
        for place in (*docks, browser.dialog)
        for kind in INTERACTIVE
        for control in place.findChildren(kind)
        if not control.objectName().startswith("qt_")
        and not isinstance(control.parentWidget(), QLineEdit)  # its clear button
        and not type(control).__name__.startswith(("QHeader", "QTableCorner"))
        and not (control.accessibleName() or getattr(control, "text", str)())
    ]
    assert nameless == []
    browser.dialog.reject()


def test_tab_goes_from_search_to_results_to_open(window, case, qtbot):
    _, browser = window
    browser.search("CT Lymph Nodes")
    qtbot.waitUntil(lambda: browser.tree.hasFocus(), timeout=SECONDS)
    browser.search_box.setFocus()
    seen = [browser.search_box]
    for _ in range(8):
        QTest.keyClick(QApplication.focusWidget(), Qt.Key.Key_Tab)
        seen.append(QApplication.focusWidget())
    wanted = [
        browser.search_box,
        browser.search_button,
        browser.filters.add_button,
        browser.tree,
        browser.open_button,
        browser.bar.more_button,
    ]
    assert [one for one in seen if one in wanted][: len(wanted)] == wanted
