"""What changed in accepted words is shown sentence by sentence."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_tcia.core.model import Series, TextChange
from napari_tcia.terms import copies, gate, shown
from napari_tcia.terms.ledger import Ledger
from napari_tcia.terms.policy import difference, normalise, sentences

CT = Series("1.2", collection="Twin", licence_name="CC BY 3.0")
OLD = "Name the collection. Do not identify anybody.\n\n1. Share alike"


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path / "home" / "ledger.jsonl")


def terms_for(ledger, policy, licence=None, series=CT):
    (found,) = gate.terms_for(
        [series],
        archive_host="127.0.0.1:1",
        policy_text=policy,
        retrieved="today",
        ledger=ledger,
        licence_texts={"CC-BY-3.0": (licence, "today")} if licence else {},
    )
    return found


def test_layout_is_no_difference():
    assert difference(OLD, f"<p>{OLD.replace(' ', chr(10), 1)}</p>", "policy") == ()


def test_a_sentence_that_went_and_one_that_came():
    new = OLD.replace("Do not identify anybody.", "Tell nobody.")
    assert difference(OLD, new, "policy") == (
        TextChange("policy", "removed", "Do not identify anybody."),
        TextChange("policy", "added", "Tell nobody."),
    )


@given(st.lists(st.sampled_from("abcdef"), max_size=12), st.data())
def test_the_difference_turns_one_text_into_the_other(words, data):
    other = data.draw(st.lists(st.sampled_from("abcdef"), max_size=12))
    before, after = (" ".join(f"{w}." for w in ws) for ws in (words, other))
    changes = difference(before, after, "policy")
    gone = [c.sentence for c in changes if c.what == "removed"]
    new = [c.sentence for c in changes if c.what == "added"]
    left = sorted(sentences(before) + new)
    assert left == sorted(sentences(after) + gone)
    assert bool(changes) == (normalise(before) != normalise(after))


def test_kept_words_give_the_difference(ledger, tmp_path):
    first = terms_for(ledger, OLD)
    shown.keep(tmp_path, first)
    ledger.accept(first, "N")
    assert shown.changes(tmp_path, terms_for(ledger, OLD), ledger) == ()
    now = terms_for(ledger, OLD.replace("anybody", "anyone"))
    assert now.changed
    assert shown.changes(tmp_path, now, ledger) == (
        TextChange("policy", "removed", "Do not identify anybody."),
        TextChange("policy", "added", "Do not identify anyone."),
    )


def test_another_licence_differs_in_its_points(ledger, tmp_path):
    first = terms_for(ledger, OLD)
    shown.keep(tmp_path, first)
    ledger.accept(first, "N")
    now = terms_for(ledger, OLD, series=replace(CT, licence_name="CC BY-NC 3.0"))
    changes = shown.changes(tmp_path, now, ledger)
    assert any(c.what == "added" and "profit" in c.sentence for c in changes)
    assert {c.kind for c in changes} == {"licence"}


def test_without_the_former_words_none_are_made_up(ledger, tmp_path):
    ledger.accept(terms_for(ledger, OLD), "N")
    now = terms_for(ledger, OLD + " More.")
    assert now.changed
    assert shown.changes(tmp_path, now, ledger) == ()


@pytest.mark.parametrize(
    ("before", "after", "stands"),
    [
        ("Official words.", "Official  words.", True),
        ("Official words.", None, True),
        (None, "Official words.", False),
        ("Official words.", "Other words.", False),
        (None, None, True),
    ],
    ids=["layout", "service silent", "official came", "changed", "summary"],
)
def test_the_licence_text_counts_as_the_policy_does(ledger, before, after, stands):
    ledger.accept(terms_for(ledger, OLD, before), "N")
    now = terms_for(ledger, OLD, after)
    assert (now.accepted is not None, now.changed) == (stands, not stands)


def test_the_same_words_under_another_licence_have_another_hash(ledger):
    one = terms_for(ledger, OLD, "Words.").documents[0]
    (two,) = gate.terms_for(
        [replace(CT, licence_name="CC BY 4.0")],
        archive_host="h",
        policy_text=OLD,
        retrieved="",
        ledger=ledger,
        licence_texts={"CC-BY-4.0": ("Words.", "")},
    )
    assert one.sha256 != two.documents[0].sha256


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_a_copy_of_the_record_says_whether_it_was_changed(ledger, tmp_path, kind):
    ledger.accept(terms_for(ledger, OLD), "=HYPERLINK(1)")
    out = tmp_path / f"copy.{kind}"
    records, issues = copies.export(ledger, out)
    assert (len(records), issues) == (1, ())
    assert "chain intact" in out.read_text("utf-8")
    if kind == "jsonl":
        assert out.read_bytes().startswith(ledger.path.read_bytes())
    else:
        assert "'=HYPERLINK" in out.read_text("utf-8")
    ledger.path.write_bytes(ledger.path.read_bytes().replace(b"HYPER", b"hyper"))
    _, issues = copies.export(ledger, out)
    assert issues
    assert "changed outside the program" in out.read_text("utf-8")
