"""Summaries and hashes of what is accepted."""

import hashlib
import unicodedata

import pytest

from napari_tcia.core.settings import POLICY_URL
from napari_tcia.terms.licence import LICENCES
from napari_tcia.terms.policy import (
    POLICY_POINTS,
    digest,
    licence_document,
    licence_points,
    normalise,
    policy_document,
)

PLAIN = "Users must agree:\n\n- Not to look for people & faces.\n- To give credit."
HTML = (
    "<!DOCTYPE html><html><head><style>p {color: red}</style></head><body>"
    "<script>track('<b>')</script><!-- v77 -->\n<p>Users <b>must</b> a<i>gre</i>e:</p>"
    "<ul><li>- Not to look for&nbsp;people &amp; faces.</li>"
    '<li>- To <a href="https://x.org/a?b=1">give&#32;credit</a>.</li></ul></body>'
)


def test_markup_is_not_a_change():
    assert normalise(HTML) == normalise(PLAIN)
    assert digest(HTML, "policy") == digest(PLAIN, "policy")


def test_unicode_forms_and_line_ends_are_not_a_change():
    text = "Žofie\u00ad reads\r\nthe\u200b\u00a0café rules"
    other = unicodedata.normalize("NFD", "Žofie reads the café  rules\n")
    assert digest(text) == digest(other)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("You must not share.", "You must share."),
        ("You MUST cite.", "You must cite."),
        ("may use", "may, use"),
        ("by 4.0", "by 3.0"),
        ("You must <del>not</del> share.", "You must not share."),
        ("see <https://a.org>", "see <https://b.org>"),
        ("x < y", "x y"),
        ("&lt;b&gt;", ""),
    ],
)
def test_a_change_of_words_is_a_change(before, after):
    assert digest(before) != digest(after)


def test_salt_separates_and_digest_is_sha256():
    assert digest("a", "b") != digest("b a")
    assert digest("a", "b") != digest("a", "c")
    assert digest("x") == hashlib.sha256(b"x").hexdigest()


@pytest.mark.parametrize("licence", LICENCES.values(), ids=lambda one: one.id)
def test_points_follow_the_facts(licence):
    points = licence_points(licence)
    kinds = [kind for kind, _ in points]
    text = " ".join(f"You {kind} {rest}" for kind, rest in points)
    assert set(kinds) <= {"may", "must", "must not"}
    assert ("may" in kinds) == bool(licence.share)
    assert ("for commercial work" in text) == (licence.commercial is True)
    assert ("for profit" in text) == (licence.commercial is False)
    assert ("credit" in text) == bool(licence.attribution)
    if licence.id in ("unknown", "missing"):
        assert points == ()


def test_policy_points_say_what_tcia_asks():
    text = " ".join(f"You {kind} {rest}" for kind, rest in POLICY_POINTS)
    for word in ("participant", "face", "dataset", "archive", "credit", "link back"):
        assert word in text


def test_licence_documents_differ_by_licence_even_with_equal_words():
    hashes = {licence_document(one).sha256 for one in LICENCES.values()}
    assert len(hashes) == len(LICENCES)
    document = licence_document(LICENCES["CC-BY-3.0"])
    assert document.origin == "summary"
    assert document.url in document.text


def test_official_policy_is_shown_as_it_came_and_blank_falls_back():
    official = policy_document(HTML, "2026-11-22T10:00:00Z")
    assert (official.origin, official.retrieved) == ("official", "2026-11-22T10:00:00Z")
    assert official.text == HTML
    for nothing in (None, "", " \n", "<p> </p>"):
        summary = policy_document(nothing)
        assert summary.origin == "summary"
        assert POLICY_URL in summary.text
        assert summary.sha256 != official.sha256
