"""Suggestions while one types: beside the work, by keys, never in the way."""

from __future__ import annotations

import pytest
from qtpy.QtCore import QModelIndex, Qt
from qtpy.QtTest import QTest

from napari_tcia._napari.tasks import TaskRunner
from napari_tcia._qt.browser import Browser


@pytest.fixture
def browser(qtbot, services):
    runner = TaskRunner()
    made = Browser(lambda: services, runner)
    qtbot.addWidget(made)
    made.resize(420, 640)
    made.show()
    made.activateWindow()
    made.search_box.setFocus()
    qtbot.waitUntil(made.search_box.hasFocus)
    yield made
    runner.cancel_all()


def _type(browser, qtbot, text):
    qtbot.keyClicks(browser.search_box, text)
    shown = browser.search_box.suggestions
    qtbot.waitUntil(
        lambda: not shown.isHidden() and shown.item(0).text() == text, timeout=20000
    )
    return [shown.item(n).text() for n in range(shown.count())]


def test_a_loose_spelling_says_what_it_is_taken_for(browser, qtbot, archive):
    asked = len(archive.log)
    texts = _type(browser, qtbot, "med lymph 21")
    item = browser.search_box.suggestions.item(0)
    assert item.data(Qt.ItemDataRole.UserRole) == "patient MED_LYMPH_021"
    assert "MED_LYMPH_021" in texts
    assert len(archive.log) == asked


def test_down_and_enter_take_a_suggestion(browser, qtbot):
    texts = _type(browser, qtbot, "ct lymph")
    place = texts.index("CT Lymph Nodes")
    for _ in range(place):
        qtbot.keyClick(browser.search_box, Qt.Key.Key_Down)
    assert "CT Lymph Nodes" in browser.search_box.accessibleDescription()
    qtbot.keyClick(browser.search_box, Qt.Key.Key_Return)
    assert browser.search_box.text() == "CT Lymph Nodes"
    qtbot.waitUntil(lambda: bool(browser.tree.selected_rows()), timeout=20000)
    assert browser.search_box.suggestions.isHidden()


def test_escape_puts_them_away_and_the_text_stays(browser, qtbot):
    _type(browser, qtbot, "lymph")
    qtbot.keyClick(browser.search_box, Qt.Key.Key_Escape)
    assert browser.search_box.suggestions.isHidden()
    assert browser.search_box.text() == "lymph"


def test_a_click_searches(browser, qtbot):
    texts = _type(browser, qtbot, "ct lymph")
    shown = browser.search_box.suggestions
    place = shown.visualItemRect(shown.item(texts.index("CT Lymph Nodes"))).center()
    QTest.mouseClick(shown.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert browser.search_box.text() == "CT Lymph Nodes"
    qtbot.waitUntil(lambda: bool(browser.tree.selected_rows()), timeout=20000)


def test_enter_at_once_searches_and_no_suggestion_comes_late(browser, qtbot):
    qtbot.keyClicks(browser.search_box, "MED_LYMPH_021")
    qtbot.keyClick(browser.search_box, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: bool(browser.tree.selected_rows()), timeout=20000)
    qtbot.waitUntil(lambda: not browser._runner.running("index"), timeout=20000)
    qtbot.wait(60)
    assert browser.search_box.suggestions.isHidden()
    model = browser.tree.model()
    assert model.rowCount(model.index(0, 0, QModelIndex())) == 1
