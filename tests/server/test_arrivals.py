"""What may be looked at of a series before all of it is here."""

from __future__ import annotations

import pydicom
import pytest

from napari_tcia.archive.http import Transport
from napari_tcia.archive.nbia import Nbia
from napari_tcia.errors import TermsChanged, Truncated
from napari_tcia.terms.licence import as_licensed
from napari_tcia.transfer.download import Quarantine, fetch_series
from napari_tcia.transfer.store import Store
from small_archive import (
    INSTANCES,
    LICENCE_TEXT,
    SERIES,
    Answer,
    good_zip,
    grant_for,
    zipped,
)

IMAGE = "/nbia/v4/getImage"
OTHERS = (
    b"The Twin collection is distributed under the CC BY-NC 3.0 "
    b"https://creativecommons.org/licenses/by-nc/3.0/ "
)


@pytest.fixture
def seen():
    """SOPInstanceUID, ending of the name and whether the series is whole, of each."""
    return []


@pytest.fixture
def fetch(settings, archive, seen):
    store = Store(settings.home / "store")
    quarantine = Quarantine(Store(settings.home / "quarantine"), as_licensed)
    nbia = Nbia(Transport(settings), settings)

    def look(path):
        uid = str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID)
        whole = store.find(nbia.host, SERIES.series_uid) is not None
        seen.append((uid, path.suffix, whole))

    def run(data):
        archive.on(IMAGE, Answer(data, chunked=True))
        return fetch_series(
            SERIES,
            nbia,
            grant_for(settings),
            store,
            pause=0.01,
            attempts=1,
            quarantine=quarantine,
            seen=look,
        )

    return run


def members():
    return [(f"1-{n}.dcm", data) for n, data in enumerate(INSTANCES.values(), 1)]


def test_each_instance_is_seen_once_it_is_verified_and_before_the_whole(fetch, seen):
    fetch(good_zip())
    assert sorted(uid for uid, *_ in seen) == sorted(INSTANCES)
    # Held, under no image's name, in a series that is not there yet.
    assert {tuple(rest) for _, *rest in seen} == {(".held", False)}


def test_nothing_is_seen_before_the_licence(fetch, seen):
    whole = zipped([*members(), ("LICENSE", LICENCE_TEXT)])
    with pytest.raises(Truncated):
        fetch(whole[: whole.rindex(b"PK\x03\x04")])
    assert seen == []
    # What was verified then is seen now, and once.
    fetch(whole)
    assert sorted(uid for uid, *_ in seen) == sorted(INSTANCES)


@pytest.mark.parametrize("first", [True, False])
def test_of_other_terms_nothing_is_seen(fetch, seen, first):
    named = [("LICENSE", OTHERS), *members()]
    with pytest.raises(TermsChanged):
        fetch(zipped(named if first else named[::-1]))
    assert seen == []
