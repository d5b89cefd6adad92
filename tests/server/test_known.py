"""The archive fails, and what is known is shown with its age; it never hangs."""

import threading
import time
import urllib.request
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from napari_tcia.app import known, state
from napari_tcia.app.search import collections, search
from napari_tcia.app.services import Services
from napari_tcia.archive.http import Transport
from napari_tcia.archive.nbia import Nbia
from napari_tcia.core.model import SearchQuery
from napari_tcia.core.settings import Settings
from napari_tcia.core.task import CancelToken
from napari_tcia.demo.server import EmbeddedArchive
from napari_tcia.demo.twin import phantom_case
from napari_tcia.errors import ArchiveError, Cancelled

COLLECTION = "CT Lymph Nodes"
LISTED = SearchQuery(collection=COLLECTION)


@pytest.fixture(scope="module")
def archive():
    with EmbeddedArchive(cases=2) as server:
        # The first answer takes the time of painting; the clients here are hasty.
        urllib.request.urlopen(f"{server.bases['archive']}/v4/getSeries").read()
        yield server


def services_of(bases, home):
    return quick(Services.open(Settings(home=home, **bases)))


def quick(services):
    """The same rooms with a transport that loses patience soon."""
    transport = Transport(services.settings, connect_timeout=1, read_timeout=1)
    nbia = Nbia(transport, services.settings)
    return replace(services, transport=transport, nbia=nbia)


@pytest.fixture
def services(archive, tmp_path):
    return services_of(archive.bases, tmp_path / "home")


def codes(listing):
    return [issue.code for issue in listing.issues]


def test_a_listing_survives_the_archive(services):
    rows = search(services, LISTED).items
    assert rows
    nowhere = replace(services, nbia=dead(services))
    found = search(nowhere, LISTED)
    assert found.items == rows
    assert codes(found) == ["unreachable", "last_known"]
    assert found.issues[0].level == "error"
    note = found.issues[1]
    assert note.numbers["age_days"] == 0
    assert note.numbers["date"].startswith(f"{datetime.now(UTC):%Y-}")


def dead(services):
    """The archive's client where nobody listens any more, under the same host."""
    gone = replace(services.settings, archive="http://127.0.0.1:9/nbia-api/services")
    transport = Transport(gone, connect_timeout=1, read_timeout=1)
    return Nbia(transport, gone)


@pytest.mark.parametrize(
    "query",
    [
        SearchQuery(patient="MED_LYMPH_001"),
        SearchQuery(collection="ct_lymph_nodes", modality="seg"),
        SearchQuery(collection="10.7937/K9/TCIA.2015.AQIIDCNM", has_labels=True),
    ],
)
def test_any_question_is_answered_from_the_last_listing(services, query):
    whole = search(services, LISTED).items
    nowhere = replace(services, nbia=dead(services))
    rows = search(nowhere, query).items
    assert rows
    assert set(rows) <= set(whole)


def test_nobody_listens_and_nothing_was_ever_known(tmp_path):
    bases = {"archive": "http://127.0.0.1:9/nbia-api/services"}
    services = services_of(bases, tmp_path / "home")
    results = state.find(services, "CT Lymph Nodes")
    assert len(results.rows) == 176
    assert results.age == known.age_text(known.catalogue_time(services))
    said = [i.message for i in results.issues]
    assert said[0].startswith("127.0.0.1:9 does not answer. ")
    assert said[1] == "Showing the catalogue of 26 Sep 2026."
    listed = collections(services)
    assert len(listed) == 179
    assert codes(listed) == ["unreachable", "catalogue"]


FAULTS = {
    "error-503": "server_fault",
    "empty": "unexpected_reply",
    "broken-json": "unexpected_reply",
    "infinite-json": "unexpected_reply",
    "moved": "forbidden_host",
    "stall": "remote_timeout",
}


@pytest.fixture
def faulty(archive):
    def set_fault(text):
        archive.fault = text

    yield set_fault
    archive.fault = None


@pytest.mark.parametrize(("fault", "code"), FAULTS.items())
def test_faults_show_what_was_known(services, faulty, fault, code):
    rows = search(services, LISTED).items
    names = [one.name for one in collections(services)]
    faulty("stall@path=v4/get" if fault == "stall" else fault)
    start = time.monotonic()
    found = search(services, LISTED)
    assert codes(found) == [code, "last_known"]
    assert found.items == rows
    listed = collections(services)
    assert codes(listed) == [code, "last_known"]
    assert [one.name for one in listed] == names
    results = state.find(services, COLLECTION)
    assert results.age == known.age_text(datetime.now(UTC))
    assert results.rows
    if fault == "stall":
        host = services.settings.archive_host
        said = results.issues[0].message
        assert said.startswith(f"{host} does not answer (timed out after ")
        waited = int(said.split("after ")[1].split(" s")[0])
        assert 0 < waited <= time.monotonic() - start


def test_older_keys_are_no_outage_and_are_kept(services, faulty):
    rows = search(services, LISTED).items
    faulty("schema-drift")
    drifted = search(services, LISTED)
    assert [i for i in drifted.issues if i.level == "error"] == []
    assert {r.series_uid for r in drifted} == {r.series_uid for r in rows}
    kept = known.last_series(services, COLLECTION)
    assert {s.series_uid for s in kept.items} == {r.series_uid for r in rows}


def test_a_broken_answer_never_replaces_a_kept_one(services, faulty):
    search(services, LISTED)
    before = known.last_series(services, COLLECTION)
    for fault in ("empty", "broken-json", "error-503"):
        faulty(fault)
        search(services, LISTED)
        assert known.last_series(services, COLLECTION) == before


def test_parts_of_a_collection_are_not_kept_as_the_whole(services):
    search(services, SearchQuery(patient="MED_LYMPH_001"))
    search(services, SearchQuery(collection=COLLECTION, patient="MED_LYMPH_001"))
    assert known.last_series(services, COLLECTION) is None


def test_modality_does_not_cut_what_is_kept(services):
    narrow = search(services, SearchQuery(collection=COLLECTION, modality="SEG"))
    kept = known.last_series(services, COLLECTION)
    assert {s.modality for s in narrow} == {"SEG"}
    assert {s.modality for s in kept.items} == {"CT", "SEG"}


@pytest.mark.parametrize("damage", [b"", b"no gzip", b"\x1f\x8b\x08\x00cut"])
def test_a_damaged_listing_is_as_good_as_none(services, damage):
    search(services, LISTED)
    for file in known.folder(services).glob("*.gz"):
        file.write_bytes(damage)
    nowhere = replace(services, nbia=dead(services))
    found = search(nowhere, LISTED)
    assert codes(found) == ["unreachable", "catalogue"]


def test_a_listing_that_cannot_be_kept_is_still_shown(services):
    known.folder(services).parent.write_text("a file where a folder should be")
    found = search(services, LISTED)
    assert found.items
    assert [(i.level, i.code) for i in found.issues] == [("warn", "not_kept")]


def test_another_archive_has_listings_of_its_own(services, tmp_path):
    search(services, LISTED)
    elsewhere = services_of({"archive": "http://127.0.0.1:9/x"}, services.settings.home)
    assert known.last_series(elsewhere, COLLECTION) is None


@pytest.mark.parametrize(
    "wait",
    [
        lambda s, _, token: state.find(s, COLLECTION, token=token),
        lambda s, _, token: state.find(s, "lymph", token=token),
        lambda s, _, token: collections(s, token=token),
        lambda s, found, token: state.with_details(s, found, token=token),
    ],
    ids=["find", "words", "collections", "details"],
)
def test_every_wait_is_cancelled_at_once(archive, tmp_path, faulty, wait):
    services = Services.open(Settings(home=tmp_path / "home", **archive.bases))
    results = state.find(services, COLLECTION)
    faulty("stall@path=v4/get")
    token = CancelToken()
    seen = len(archive.log)
    ended = []

    def work():
        try:
            wait(services, results, token)
        except Cancelled:
            ended.append(time.monotonic())

    thread = threading.Thread(target=work)
    thread.start()
    while thread.is_alive() and len(archive.log) == seen:
        thread.join(0.01)
    asked = time.monotonic()
    token.cancel()
    thread.join(10)
    assert len(ended) == 1, "it ends by Cancelled"
    assert ended[0] - asked < 1


def test_details_come_after_the_rows(services):
    results = state.find(services, COLLECTION)
    assert {r.series.pixel_spacing for r in results.rows} == {None}
    more = state.with_details(services, results)
    assert all(0.3 < row.series.pixel_spacing < 2 for row in more.rows)
    assert [r.series.series_uid for r in more.rows] == [
        r.series.series_uid for r in results.rows
    ]


def test_details_of_an_archive_that_is_down_fail_alone(services, faulty):
    results = state.find(services, COLLECTION)
    faulty("error-503")
    with pytest.raises(ArchiveError):
        state.with_details(services, results)
    assert results.rows
    old = state.find(services, COLLECTION)
    assert old.age
    assert state.with_details(services, old) is old


def test_a_misspelt_name_is_said(services):
    results = state.find(services, "CT Lymf Nodes")
    assert {r.series.collection for r in results.rows} == {COLLECTION}
    said = [i for i in results.issues if i.code == "spelling"]
    assert [i.numbers["name"] for i in said] == [COLLECTION]


@pytest.mark.parametrize("layout", ["retriever", "old retriever", "idc"])
def test_folders_of_downloaders_become_rows(services, tmp_path, layout):
    downloads = tmp_path / "downloads"
    phantom_case(downloads, layout=layout, matrix=64, step=8.0)
    results = state.find(services, str(downloads))
    (row,) = results.rows
    assert row.series.sources == ("folder",)
    assert (row.series.modality, len(row.annotations)) == ("CT", 1)
    assert row.series.patient_id == "MED_LYMPH_001"
    assert results.folders.keys() == {s.series_uid for s in row.all}
    files = list(results.folders[row.series.series_uid].rglob("*.dcm"))
    assert len(files) == row.series.images
    assert row.series.bytes == sum(file.stat().st_size for file in files)


def test_what_is_kept_below_home_is_no_folder_of_the_user(services):
    downloads = services.settings.home / "smuggled"
    phantom_case(downloads, layout="idc", matrix=64, step=8.0)
    assert state.find(services, str(downloads)).folders == {}
