"""Nothing is ticked for the user, and nothing happens without the ticks."""

from __future__ import annotations

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QCheckBox, QLabel, QPlainTextEdit

from napari_tcia._qt.terms_dialog import TermsDialog
from napari_tcia.app.agree import unacceptable
from napari_tcia.core.model import Series
from napari_tcia.terms import gate
from napari_tcia.terms.ledger import Ledger

EVIL = "Terms <img src=x onerror=alert(1)><b>bold</b>"


@pytest.fixture
def terms_of(tmp_path):
    ledger = Ledger(tmp_path / "ledger.jsonl")

    def make(licence):
        series = [Series("1.2.3", collection="CT Lymph Nodes", licence_name=licence)]
        return gate.terms_for(
            series,
            archive_host="127.0.0.1:1",
            policy_text=EVIL,
            retrieved="2026-11-22T10:00:00+00:00",
            ledger=ledger,
        )

    return make


@pytest.fixture
def dialog(qtbot, terms_of):
    terms = terms_of("Creative Commons Attribution 3.0 Unported License")
    made = TermsDialog(terms)
    qtbot.addWidget(made)
    made.show()
    return made


def test_title_names_the_collection(dialog):
    assert dialog.windowTitle() == "Before you open CT Lymph Nodes"


def test_accept_needs_both_boxes_and_a_name(dialog, qtbot):
    boxes = dialog.findChildren(QCheckBox)
    assert [box.isChecked() for box in boxes] == [False, False]
    steps = [
        lambda: qtbot.keyClicks(dialog.name_edit, "Ada"),
        *(lambda b=b: qtbot.keyClick(b, Qt.Key.Key_Space) for b in boxes),
    ]
    for step in steps:
        assert not dialog.accept_button.isEnabled()
        step()
    assert dialog.accept_button.isEnabled()
    dialog.name_edit.setText("   ")
    assert not dialog.accept_button.isEnabled()


def test_enter_in_the_name_field_does_not_accept_early(dialog, qtbot):
    agreed = []
    dialog.agreed.connect(agreed.append)
    qtbot.keyClicks(dialog.name_edit, "Ada")
    qtbot.keyClick(dialog.name_edit, Qt.Key.Key_Return)
    assert agreed == []
    assert dialog.isVisible()


def test_the_name_is_given_once(dialog, qtbot):
    agreed = []
    dialog.agreed.connect(agreed.append)
    dialog.licence_box.setChecked(True)
    dialog.policy_box.setChecked(True)
    qtbot.keyClicks(dialog.name_edit, " Ada Lovelace ")
    qtbot.mouseClick(dialog.accept_button, Qt.MouseButton.LeftButton)
    assert agreed == ["Ada Lovelace"]
    assert not dialog.isVisible()


@pytest.mark.parametrize("how", ["button", "escape"])
def test_not_now_agrees_to_nothing(dialog, qtbot, how):
    agreed = []
    dialog.agreed.connect(agreed.append)
    dialog.licence_box.setChecked(True)
    dialog.policy_box.setChecked(True)
    dialog.name_edit.setText("Ada")
    if how == "button":
        qtbot.mouseClick(dialog.decline_button, Qt.MouseButton.LeftButton)
    else:
        qtbot.keyClick(dialog, Qt.Key.Key_Escape)
    assert agreed == []
    assert not dialog.isVisible()


def test_texts_from_outside_are_plain(dialog):
    texts = [edit.toPlainText() for edit in dialog.findChildren(QPlainTextEdit)]
    assert any(EVIL in text for text in texts)
    for label in dialog.findChildren(QLabel):
        assert "onerror" not in label.text()


def test_controlled_data_has_nothing_to_tick(qtbot, terms_of):
    terms = terms_of("NIH Controlled Data Access Policy")
    made = TermsDialog(terms, unacceptable(terms))
    qtbot.addWidget(made)
    made.show()
    assert made.findChildren(QCheckBox) == []
    shown = " ".join(label.text() for label in made.findChildren(QLabel))
    assert "controlled" in shown
    assert 'href="https://' in shown
