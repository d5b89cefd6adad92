"""Refreshing shows what has changed at the archive, and keeps it."""

from dataclasses import replace

import pytest

from napari_tcia.app import known
from napari_tcia.app.refresh import refresh
from napari_tcia.app.services import Services
from napari_tcia.cli import run
from napari_tcia.core.settings import Settings
from napari_tcia.demo.server import EmbeddedArchive
from napari_tcia.errors import ArchiveError

COLLECTION = "CT Lymph Nodes"


@pytest.fixture(scope="module")
def archive():
    with EmbeddedArchive(cases=2) as server:
        yield server


@pytest.fixture
def faulty(archive):
    def set_fault(text):
        archive.fault = text

    yield set_fault
    archive.fault = None


@pytest.fixture
def services(archive, tmp_path):
    return Services.open(Settings(home=tmp_path / "home", **archive.bases))


def test_the_first_time_it_is_compared_with_the_catalogue(services):
    change = refresh(services)
    assert change.numbers["since"] == services.catalogue.date
    found = change.numbers["series"][COLLECTION]
    # The embedded archive's series are its own; none of them is catalogued.
    assert len(found["removed"]) == 352
    assert len(found["added"]) == 4
    assert any("new" in sentence for sentence in change.sentences)


def test_nothing_has_changed(services):
    refresh(services)
    change = refresh(services)
    assert len(change.sentences) == 1
    assert change.sentences[0].startswith("Nothing has changed")


def test_what_has_changed_is_named(services):
    refresh(services)
    (host, rows) = (
        services.settings.archive_host,
        list(known.last_collections(services).items),
    )
    series = known.last_series(services, COLLECTION).items
    gone = replace(rows[0], name="A Collection Withdrawn")
    known.keep_collections(
        services, [gone, *(replace(r, patients=10_000) for r in rows[1:])]
    )
    lost = replace(series[0], series_uid="1.2.3")
    other = replace(
        series[1],
        licence_name="Creative Commons Attribution-NonCommercial 4.0",
        licence_uri="",
    )
    known.keep_series(services, COLLECTION, [lost, other, *series[2:]])
    change = refresh(services)
    found = change.numbers["collections"]
    assert found["added"] == [rows[0].name]
    assert found["removed"] == ["A Collection Withdrawn"]
    assert set(found["changed"]) == {r.name for r in rows[1:]}
    assert (
        f"1 collection not listed by {host}: A Collection Withdrawn."
        in change.sentences
    )
    of = change.numbers["series"][COLLECTION]
    assert of["added"] == [series[0].series_uid]
    assert of["removed"] == ["1.2.3"]
    assert list(of["changed"]) == [series[1].series_uid]
    assert list(of["changed"][series[1].series_uid]) == ["licence_name"]
    assert refresh(services).sentences[0].startswith("Nothing has changed")


@pytest.mark.parametrize("fault", ["empty", "broken-json", "error-503", "moved"])
def test_an_outage_changes_nothing(services, faulty, fault):
    refresh(services)
    kept = known.last_collections(services), known.last_series(services, COLLECTION)
    faulty(fault)
    with pytest.raises(ArchiveError):
        refresh(services)
    assert kept == (
        known.last_collections(services),
        known.last_series(services, COLLECTION),
    )


def test_series_that_cannot_be_listed_are_no_difference(services, faulty):
    refresh(services)
    faulty("error-503@path=v4/getSeries")
    change = refresh(services)
    assert change.numbers["series"] == {}
    assert {i.code for i in change.issues} == {"server_fault"}


def test_the_collection_manager_may_be_down(services, faulty):
    refresh(services)
    before = {c.name: c.doi for c in known.last_collections(services).items}
    faulty("error-503@path=v2/collections")
    change = refresh(services)
    assert change.issues
    assert change.numbers["collections"]["removed"] == []
    assert {c.name: c.doi for c in known.last_collections(services).items} == before


def test_command(services, monkeypatch, capsys):
    for name in ("archive", "collections", "datacite", "idc", "files", "home"):
        value = str(getattr(services.settings, name))
        monkeypatch.setenv(f"NAPARI_TCIA_{name.upper()}", value)
    assert run(["collections", "--refresh"]) == 0
    first = capsys.readouterr().out
    assert f"not listed by {services.settings.archive_host}" in first
    assert run(["collections", "--refresh"]) == 0
    assert "Nothing has changed" in capsys.readouterr().out
    assert run(["collections", "--refresh", "--offline"]) == 2
