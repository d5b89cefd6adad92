"""Nothing is ticked for the user, and nothing happens without the ticks."""

from __future__ import annotations

from dataclasses import replace

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QCheckBox, QLabel, QPlainTextEdit, QTabWidget

from napari_tcia._napari.session import session_for
from napari_tcia._qt.terms_dialog import TermsDialog
from napari_tcia.app import agree
from napari_tcia.app.agree import unacceptable
from napari_tcia.app.case import open_case
from napari_tcia.app.search import search
from napari_tcia.core.model import SearchQuery, Series
from napari_tcia.terms import gate, shown
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


def test_what_changed_is_the_first_thing_shown(qtbot, tmp_path):
    ledger = Ledger(tmp_path / "ledger.jsonl")
    series = [Series("1.2.3", collection="Twin", licence_name="CC BY 3.0")]

    def terms(policy):
        (one,) = gate.terms_for(
            series,
            archive_host="127.0.0.1:1",
            policy_text=policy,
            retrieved="2026-11-22T10:00:00+00:00",
            ledger=ledger,
        )
        return replace(one, difference=shown.changes(tmp_path, one, ledger))

    first = terms("Name it. Harm nobody.")
    shown.keep(tmp_path, first)
    ledger.accept(first, "Ada")
    made = TermsDialog([terms("Name it. <b>Help</b> all.")])
    qtbot.addWidget(made)
    tabs = made.findChild(QTabWidget)
    assert tabs.tabText(0) == "What changed"
    text = tabs.widget(0).findChild(QPlainTextEdit).toPlainText()
    assert "- No longer said (Data Usage Policy): Harm nobody." in text
    assert "+ New (Data Usage Policy): Help all." in text
    assert not made.accept_button.isEnabled()


def test_without_the_former_words_the_dialog_says_so(qtbot, terms_of):
    (one,) = terms_of("CC BY 3.0")
    made = TermsDialog([replace(one, changed=True)])
    qtbot.addWidget(made)
    page = made.findChild(QTabWidget).widget(0)
    assert "not kept" in page.findChild(QPlainTextEdit).toPlainText()


def open_collection(viewer, services, name, qtbot):
    """Layers of one series, through the gate, in a window's session."""
    session = session_for(viewer)
    session.services = services
    agree.accept(services, agree.terms_of_collection(services, name), "Ada")
    found = search(services, SearchQuery(collection=name, modality="CT"))
    session.add_cases(open_case(services, found.items[:1]))
    qtbot.waitUntil(lambda: bool(session.ours()) and not session.adding)


@pytest.mark.parametrize(
    ("name", "said"),
    [("SYNTHETIC-Head-Neck", True), ("CT Lymph Nodes", False)],
)
def test_the_face_clause_comes_with_3d_of_a_head_alone(
    make_napari_viewer, services, qtbot, name, said, monkeypatch
):
    words = []
    monkeypatch.setattr("napari_tcia._napari.session.show_warning", words.append)
    viewer = make_napari_viewer()
    open_collection(viewer, services, name, qtbot)
    words.clear()
    viewer.dims.ndisplay = 3
    assert [("face" in one, name in one) for one in words] == [(True, True)] * said
    viewer.dims.ndisplay = 2
    assert len(words) == said
