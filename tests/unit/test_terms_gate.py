"""The gate: from terms to a grant, or a sentence why not."""

from dataclasses import replace

import pytest

from napari_tcia.core.model import Series, StoredSeries
from napari_tcia.errors import (
    ControlledAccess,
    CorruptData,
    GrantMismatch,
    TermsChanged,
    TermsNotAccepted,
    TermsUnknown,
    UsageError,
)
from napari_tcia.terms import gate
from napari_tcia.terms.ledger import Ledger

HOST = "nbia.cancerimagingarchive.net"
NAME = "Creative Commons Attribution 3.0 Unported License"
URI = "http://creativecommons.org/licenses/by/3.0/"
CT = Series("61.7.1", collection="CT Lymph Nodes", licence_name=NAME, licence_uri=URI)
SEG = replace(CT, series_uid="1.2.3")
NC = replace(
    CT,
    series_uid="1.2.4",
    licence_name="CC BY-NC 4.0",
    licence_uri="https://creativecommons.org/licenses/by-nc/4.0/",
)
CLOSED = Series("1.9", collection="GBM", licence_name="NIH Controlled Data Access")
NAMELESS = Series("1.8", collection="New")
POLICY = "<p>Acknowledge the data.</p>"


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path / "home" / "ledger.jsonl")


def terms_for(series, ledger, *, host=HOST, text=POLICY):
    return gate.terms_for(
        series, archive_host=host, policy_text=text, retrieved="today", ledger=ledger
    )


def accept(series, ledger, **more):
    return [ledger.accept(t, "Žofie") for t in terms_for(series, ledger, **more)]


def ask(series, ledger, **more):
    return gate.grant(series, terms_for(series, ledger, **more), ledger)


def test_nothing_accepted_is_refused_with_the_command(ledger):
    with pytest.raises(TermsNotAccepted) as caught:
        ask([CT], ledger)
    assert 'napari-tcia accept "CT Lymph Nodes"' in caught.value.hint
    assert caught.value.exit_code == 3
    assert not ledger.path.parent.exists()


def test_accepted_gives_a_grant_for_just_these(ledger):
    (record,) = accept([CT], ledger)
    access = ask([CT, SEG], ledger)
    assert access.series_uids == {"61.7.1", "1.2.3"}
    assert access.collections == {"CT Lymph Nodes"}
    assert access.acceptance_ids == (record.id,)
    access.check(HOST, series_uid="1.2.3")
    with pytest.raises(GrantMismatch):
        access.check(HOST, series_uid="1.2.4")
    with pytest.raises(GrantMismatch):
        access.check("127.0.0.1:8000", series_uid="1.2.3")


def test_terms_tell_whether_they_are_accepted(ledger):
    (before,) = terms_for([CT, SEG], ledger)
    assert (before.accepted, before.changed) == (None, False)
    (record,) = accept([CT], ledger)
    (after,) = terms_for([CT, SEG], ledger)
    assert (after.accepted, after.changed) == (record, False)
    assert [d.kind for d in after.documents] == ["licence", "policy"]
    assert {kind for kind, _ in after.points} == {"may", "must", "must not"}


@pytest.mark.parametrize("other", ["127.0.0.1:8000", "127.0.0.1:8001", "x" + HOST])
def test_an_acceptance_opens_its_own_archive_only(ledger, other):
    accept([CT], ledger, host="127.0.0.1:8000")
    if other == "127.0.0.1:8000":
        assert ask([CT], ledger, host=other).archive_host == other
    else:
        with pytest.raises(TermsNotAccepted):
            ask([CT], ledger, host=other)


def test_controlled_and_unknown_are_refused_and_cannot_be_accepted(ledger):
    for series, error in ((CLOSED, ControlledAccess), (NAMELESS, TermsUnknown)):
        (terms,) = terms_for([series], ledger)
        with pytest.raises(error):
            gate.refuse(terms)
        with pytest.raises(error):
            ledger.accept(terms, "Ann")
        with pytest.raises(error):
            gate.grant([series], [terms], ledger)
    assert ledger.records() == ()


def test_one_refused_series_refuses_all(ledger):
    accept([CT], ledger)
    with pytest.raises(ControlledAccess):
        ask([CT, CLOSED], ledger)


def test_mixed_licences_are_accepted_one_by_one(ledger):
    both = terms_for([CT, NC, SEG], ledger)
    assert [t.licence.id for t in both] == ["CC-BY-3.0", "CC-BY-NC-4.0"]
    ledger.accept(both[0], "Ann")
    assert ask([CT], ledger).series_uids == {"61.7.1"}
    with pytest.raises(TermsNotAccepted, match=r"CC BY-NC 4\.0"):
        ask([CT, NC], ledger)
    ledger.accept(both[1], "Ann")
    assert len(ask([CT, NC], ledger).acceptance_ids) == 2


def test_a_new_licence_is_asked_again(ledger):
    accept([CT], ledger)
    now = replace(CT, licence_name="CC BY 4.0", licence_uri="")
    (terms,) = terms_for([now], ledger)
    assert (terms.accepted, terms.changed) == (None, True)
    with pytest.raises(TermsChanged, match=r"3\.0 .* but this is under .* 4\.0"):
        ask([now], ledger)


@pytest.mark.parametrize(
    ("before", "after", "stands"),
    [
        (POLICY, "Acknowledge\n the data.", True),
        (POLICY, "Acknowledge the data twice.", False),
        (POLICY, None, True),
        (None, None, True),
        (None, POLICY, False),
    ],
    ids=["markup", "words", "official gone", "summary", "official came"],
)
def test_words_that_changed_are_asked_again(ledger, before, after, stands):
    accept([CT], ledger, text=before)
    (terms,) = terms_for([CT], ledger, text=after)
    assert (terms.accepted is not None, terms.changed) == (stands, not stands)
    if stands:
        assert ask([CT], ledger, text=after).acceptance_ids
    else:
        with pytest.raises(TermsChanged):
            ask([CT], ledger, text=after)


def test_the_latest_words_count(ledger):
    accept([CT], ledger, text="old")
    accept([CT], ledger, text="new")
    assert ask([CT], ledger, text="new")
    with pytest.raises(TermsChanged):
        ask([CT], ledger, text="old")


def test_revoked_closes_grant_and_kept_data(ledger):
    accept([CT], ledger)
    assert gate.recheck(SEG, HOST, ledger).name == "Žofie"
    stale = terms_for([CT], ledger)
    ledger.revoke(HOST, "CT Lymph Nodes", "Žofie")
    assert stale[0].accepted is not None
    with pytest.raises(TermsNotAccepted):
        gate.grant([CT], stale, ledger)
    with pytest.raises(TermsNotAccepted):
        gate.recheck(SEG, HOST, ledger)


def test_kept_data_asks_the_archive_it_came_from(ledger, tmp_path):
    accept([CT], ledger, host="127.0.0.1:9")
    kept = StoredSeries(CT, tmp_path, 1, 1, "nbia", "127.0.0.1:9", "today")
    assert gate.recheck(kept, HOST, ledger).archive_host == "127.0.0.1:9"
    with pytest.raises(TermsNotAccepted):
        gate.recheck(replace(kept, archive_host=HOST), "127.0.0.1:9", ledger)
    with pytest.raises(TermsNotAccepted):
        gate.recheck(replace(kept, series=NC), HOST, ledger)


def test_terms_of_another_licence_do_not_cover(ledger):
    accept([CT], ledger)
    with pytest.raises(TermsNotAccepted):
        gate.grant([NC], terms_for([CT], ledger), ledger)


def test_no_grant_for_nothing_or_for_two_archives(ledger):
    accept([CT], ledger)
    with pytest.raises(UsageError):
        gate.grant([], terms_for([CT], ledger), ledger)
    two = terms_for([CT], ledger) + terms_for([NC], ledger, host="127.0.0.1:1")
    with pytest.raises(UsageError):
        gate.grant([CT], two, ledger)


def test_a_changed_ledger_opens_nothing(ledger):
    accept([CT], ledger)
    content = ledger.path.read_bytes()
    ledger.path.write_bytes(content.replace("Žofie".encode(), b"Someone"))
    for action in (
        lambda: terms_for([CT], ledger),
        lambda: gate.recheck(CT, HOST, ledger),
        lambda: ledger.append(
            "accept",
            name="Ann",
            archive_host=HOST,
            collection="x",
            licence_id="CC-BY-3.0",
            licence_name="x",
            documents=[],
        ),
    ):
        with pytest.raises(CorruptData, match="Line 1 does not match its hash"):
            action()
