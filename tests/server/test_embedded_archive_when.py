"""When the faults of the embedded archive happen, and several at once."""

import io

import pydicom
import pytest
import requests

from embedded import LNQ, NC, ask, ct_of, image
from napari_tcia.core.model import object_uuid
from napari_tcia.demo.server import EmbeddedArchive
from napari_tcia.errors import UsageError


@pytest.fixture(scope="module")
def archive():
    with EmbeddedArchive(cases=1) as running:
        yield running


@pytest.fixture
def faulty(archive):
    """Set a fault for one test."""
    yield lambda name: setattr(archive, "fault", name)
    archive.fault = None


def failures(archive, count, path="/v4/getSeries", **query):
    """Whether each of `count` requests failed."""
    query = query or {"Collection": NC}
    return [ask(archive, path, **query).status_code >= 400 for _ in range(count)]


def test_a_fault_may_end(archive, faulty):
    faulty("error-503@count=2")
    assert failures(archive, 4) == [True, True, False, False]


def test_a_fault_may_come_now_and_then(archive, faulty):
    faulty("error-500@every=3")
    assert failures(archive, 6) == [False, False, True] * 2
    faulty("error-500@after=2,count=1")
    assert failures(archive, 4) == [False, False, True, False]


def test_a_fault_may_have_a_path(archive, faulty):
    faulty("error-502@path=getSeriesSize")
    assert failures(archive, 1) == [False]
    assert failures(archive, 1, "/v4/getSeriesSize", SeriesInstanceUID="1.2") == [True]
    faulty("error-504@path=collections/v2@count=1")
    first = ask(archive, "/v2/collections/", "collections")
    assert (first.status_code, "nginx" in first.text) == (504, True)
    assert ask(archive, "/v2/collections/", "collections").status_code == 200


def test_chance_repeats_with_its_seed(archive, faulty):
    seen = []
    for seed in (1, 1, 2):
        faulty(f"error-500@chance=0.5,seed={seed}")
        seen.append(failures(archive, 16))
    assert seen[0] == seen[1] != seen[2]
    assert any(seen[0])
    assert not all(seen[0])


def test_cut_says_after_how_many_bytes(archive, faulty):
    uid = ct_of(archive, LNQ)
    faulty("cut@bytes=100000,count=1")
    url = f"{archive.bases['archive']}/v4/getImage?SeriesInstanceUID={uid}"
    with (
        requests.get(url, stream=True, timeout=30) as reply,
        pytest.raises(requests.exceptions.ChunkedEncodingError),
    ):
        list(reply.iter_content(1000))
    assert archive.log[-1].bytes in range(1, 100_001)
    assert image(archive, uid)[1].testzip() is None


@pytest.mark.parametrize(
    "text",
    [
        "cut@bytes=many", "cut@every=0", "cut@chance=2", "cut@bytes", "cut@size=3",
        "cut@count=-1", "@count=1", "cut@chance=nan",
    ],
)  # fmt: skip
def test_a_wrong_when_is_a_sentence(text):
    with pytest.raises(UsageError):
        EmbeddedArchive(fault=text)


# Several at once


def test_two_faults_of_one_download(archive, faulty):
    uid = ct_of(archive, LNQ)
    _, good = image(archive, uid)
    faulty("no-licence-file+wrong-bytes")
    _, bad = image(archive, uid)
    assert "LICENSE" not in bad.namelist()
    assert sum(good.read(name) != bad.read(name) for name in bad.namelist()) == 1
    faulty("wrong-series+short-zip")
    _, bad = image(archive, uid)
    header = pydicom.dcmread(io.BytesIO(bad.read(bad.namelist()[-1])))
    assert header.SeriesInstanceUID != uid


def test_each_of_several_faults_has_its_own_clock(archive, faulty):
    faulty("error-503@count=1,path=getSeries+busy@count=1,seconds=7+empty@after=2")
    uid = object_uuid("x")
    codes = [ask(archive, "/v4/getSeries", Collection=NC) for _ in range(3)]
    assert [reply.status_code for reply in codes] == [503, 200, 200]
    assert [bool(reply.content) for reply in codes] == [True, True, False]
    first, second = (
        ask(archive, "/v4/getImage", SeriesInstanceUID=uid) for _ in range(2)
    )
    assert (first.status_code, first.headers["Retry-After"]) == (429, "7")
    assert second.status_code == 400


def test_a_plus_may_stand_in_a_number(archive, faulty):
    faulty("error-500@chance=1e+0+slow@seconds=1e-3")
    assert failures(archive, 1) == [True]
    for wrong in ("error-500+", "+error-500", "error-500+nonsense"):
        with pytest.raises(UsageError, match="no fault named"):
            faulty(wrong)
