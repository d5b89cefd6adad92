"""What archives, networks and disks do wrong, and what is promised for each.

Truth is what the embedded archive holds; what was asked and sent is read from the
log of the server. A fault is

retried
    the whole series is asked for again,
repaired
    only what is missing or wrong is asked for again,
harmless
    nothing has to be asked for again,
refused
    with a sentence that says of which series, why, and what to do next; nothing is
    left that could be taken for an image, or for whole.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pytest

from embedded import LNQ, series
from napari_tcia.archive.http import Transport
from napari_tcia.archive.idc import Idc
from napari_tcia.archive.nbia import Nbia, parse_series
from napari_tcia.core.model import AccessGrant, Series, object_uuid
from napari_tcia.core.settings import Settings
from napari_tcia.core.task import CancelToken
from napari_tcia.demo.hooks import other_series
from napari_tcia.demo.images import stored_order
from napari_tcia.demo.server import EmbeddedArchive
from napari_tcia.errors import (
    CorruptData,
    DiskFull,
    ForbiddenHost,
    NothingFound,
    NotWritable,
    RateLimited,
    RemoteTimeout,
    ServerFault,
    TciaError,
    Truncated,
    UnexpectedReply,
    Unreachable,
    UnsafeArchive,
    WrongSeries,
)
from napari_tcia.transfer.download import fetch_series
from napari_tcia.transfer.partial import JOURNAL, folder_of
from napari_tcia.transfer.store import RECORD, Store
from napari_tcia.transfer.unpack import members
from small_archive import (
    INSTANCES,
    LICENCE_TEXT,
    SERIES,
    UID,
    Answer,
    SmallArchive,
    as_json,
    good_zip,
    grant_for,
    part10,
    zipped,
)

IMAGE = "/nbia/v4/getImage"
SOPS = "/nbia/v4/getSOPInstanceUIDs"
SINGLE = "/nbia/v4/getSingleImage"
MD5 = "/nbia/v4/getMD5HashForImage"


@dataclass(frozen=True)
class Row:
    """A fault of the embedded archive, and what is promised.

    `asks` and `singles` are the most requests for the zip and for single instances,
    in a bucket those for its list and its files.
    """

    fault: str
    promised: str
    asks: int
    singles: int = 0
    error: type[TciaError] | None = None
    words: str = ""


SINGLES_FAIL = "+error-500@path=getSingleImage"
NBIA = [
    # F1-F3: refusals are final
    Row("unknown-parameter", "refused", 1, 0, UnexpectedReply, "Invalid query"),
    Row("missing-uid", "refused", 1, 0, UnexpectedReply, "is required"),
    Row("no-access", "refused", 1, 0, UnexpectedReply, "not been granted"),
    Row("error-401@path=getImage", "refused", 1, 0, UnexpectedReply, "401"),
    # F4, F5: the server or its gateway
    Row("image-500@count=1", "retried", 2),
    Row("image-500@count=2", "retried", 3),
    Row("image-500", "refused", 3, 0, ServerFault, "500"),
    Row("error-502@path=getImage,count=1", "retried", 2),
    Row("error-503@path=getImage,count=1", "retried", 2),
    Row("error-504@path=getImage,count=1", "retried", 2),
    Row("error-503@path=getImage", "refused", 3, 0, ServerFault, "503"),
    # F6: a pause is granted when it is short
    Row("busy@seconds=0,count=1", "retried", 2),
    Row("busy-silent@count=1", "retried", 2),
    Row("busy", "refused", 1, 0, RateLimited, "pause"),
    Row("busy-silent", "refused", 3, 0, RateLimited, "pause"),
    # F7: fewer files in a zip that looks whole
    Row("short-zip", "repaired", 1, 2),
    Row("short-zip" + SINGLES_FAIL, "refused", 3, 9, Truncated, "26 images"),
    Row("short-zip+empty@path=getSOPInstanceUIDs", "refused", 3, 0, Truncated, "26"),
    Row(
        "short-zip+broken-json@path=getSOPInstanceUIDs",
        "refused", 3, 0, Truncated, "26 images",
    ),
    Row(
        "short-zip+wrong-series@path=getSingleImage", "repaired", 1, 2,
    ),
    # F8: cut; see also the cuts at each 5 % below
    Row("cut@count=1", "retried", 2, 5),
    Row("cut@count=1" + SINGLES_FAIL, "retried", 2, 9),
    Row("cut", "refused", 3, 9, Truncated, "broke off"),
    Row("cut@bytes=0", "refused", 3, 0, Truncated, "broke off"),
    # F9: silence after the headers, in the middle, and before them
    Row("stall@bytes=0,count=1", "retried", 2),
    Row("stall@bytes=200000,count=1", "retried", 2, 5),
    Row("slow@path=getImage,seconds=30,count=1", "retried", 2),
    Row("stall@bytes=0", "refused", 3, 0, RemoteTimeout, "stopped sending"),
    Row("slow@path=getImage,seconds=30", "refused", 3, 0, RemoteTimeout, "in time"),
    # F10: wrong bytes, with a right CRC and with a wrong one
    Row("wrong-bytes", "repaired", 1, 1),
    Row("wrong-crc", "repaired", 1, 1),
    Row("wrong-bytes" + SINGLES_FAIL, "refused", 3, 9, CorruptData, "checksum"),
    Row("wrong-crc" + SINGLES_FAIL, "refused", 3, 9, CorruptData, "checksum"),
    # F11: text with status 200
    Row("html-200@count=1", "retried", 2),
    Row("html-200", "refused", 3, 0, UnexpectedReply, "Down for maintenance"),
    Row("text-200", "refused", 3, 0, UnexpectedReply, "is required"),
    # F13: hostile zips
    Row("hostile-zip", "refused", 1, 0, UnsafeArchive, "escaped.dcm"),
    Row("absolute-zip", "refused", 1, 0, UnsafeArchive, "/escaped.dcm"),
    Row("duplicate-zip", "refused", 1, 0, UnsafeArchive, "twice"),
    Row("symlink-zip", "refused", 3, 0, CorruptData, "not a DICOM"),
    Row("nested-zip", "refused", 1, 0, UnsafeArchive, "inner.zip"),
    Row("bomb-zip", "refused", 1, 0, UnsafeArchive, "more than expected"),
    # F14: no DICOM, no licence text
    Row("not-dicom", "repaired", 1, 1),
    Row("not-dicom" + SINGLES_FAIL, "refused", 3, 9, CorruptData, "not a DICOM"),
    Row("no-licence-file", "harmless", 1),
    Row("wrong-series", "refused", 1, 0, WrongSeries, "was asked for"),
    # F23: elsewhere
    Row("redirect", "refused", 1, 0, ForbiddenHost, "elsewhere.invalid"),
    Row("moved@path=getImage", "refused", 1, 0, ForbiddenHost, "elsewhere.invalid"),
    Row("moved-https@path=getImage", "refused", 3, 0, Unreachable, ""),
]  # fmt: skip
BUCKET = [
    # F24, once and for good
    Row("bucket-404@path=.dcm", "refused", 3, 8, NothingFound, "404"),
    Row("bucket-403@path=.dcm", "refused", 3, 8, UnexpectedReply, "403"),
    Row("bucket-503@path=.dcm", "refused", 3, 12, ServerFault, "503"),
    Row("bucket-cut@path=.dcm", "refused", 3, 12, Truncated, "broke off"),
    Row("bucket-503@path=.dcm,after=9,count=2", "repaired", 3, 30),
    Row("bucket-cut@path=.dcm,after=9,count=2", "repaired", 3, 30),
    Row("bucket-503@count=1", "retried", 4, 28),
    Row("stall@path=.dcm,after=5,count=1", "repaired", 3, 29),
]


@pytest.fixture(scope="module")
def twin():
    with EmbeddedArchive(cases=1) as running:
        # Painted now, so that no time-out of below is that of painting.
        held = running.twin.series.values()
        ours = next(one for one in held if one.case.identity.collection == LNQ)
        other = other_series(running.twin, ours)
        running.twin.instance(other.uid, stored_order(other)[0])
        yield running


@pytest.fixture(scope="module")
def one(twin) -> Series:
    """A CT of 28 slices, listed while nothing was wrong."""
    return parse_series(series(twin, Collection=LNQ, Modality="CT")).items[0]


@pytest.fixture(scope="module")
def truth(twin, one) -> dict[str, str]:
    """SHA-256 by SOPInstanceUID, of what the archive holds."""
    return {
        sop: sha256(twin.twin.instance(one.series_uid, k))
        for k, sop in enumerate(twin.twin.series[one.series_uid].sop_uids)
    }


@pytest.fixture
def faulty(twin):
    """Set a fault for one test."""
    yield lambda name: setattr(twin, "fault", name)
    twin.fault = twin.rate = None


@pytest.fixture
def here(twin, tmp_path) -> Settings:
    return twin.settings(tmp_path / "home")


@pytest.fixture
def rooms(here, request):
    """Both sources; where silence is the matter, they soon lose patience."""
    silent = re.search(r"stall|slow@", request.node.name)
    transport = Transport(here, read_timeout=1.0 if silent else 15.0, backoff=0.01)
    yield {"nbia": Nbia(transport, here), "idc": Idc(transport, here)}
    transport.close()


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def fetch(rooms, here, store):
    def run(one, source="nbia", **options):
        grant = AccessGrant(
            here.archive_host,
            frozenset({one.series_uid}),
            frozenset({one.collection}),
            ("a1",),
        )
        options = {"pause": 0.01, **options}
        return fetch_series(one, rooms[source], grant, store, **options)

    return run


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def sums(folder: Path) -> dict[str, str]:
    return {path.stem: sha256(path) for path in folder.glob("*.dcm")}


def counted(store: Store) -> list[Path]:
    """What could be taken for an image, or for whole."""
    found = store.root.rglob("*")
    return [p for p in found if p.suffix == ".dcm" or p.name == RECORD]


def says_what_to_do(error: TciaError, series_uid: str, host: str) -> bool:
    """Whether it names the series, or the host that is silent, and a next step."""
    about = host if isinstance(error, (Unreachable, RemoteTimeout)) else series_uid
    return bool(error.hint) and (about in error.message or series_uid in error.message)


def test_the_table_has_every_fault_that_touches_pixels():
    from napari_tcia.demo.faults import FAULTS
    from napari_tcia.demo.messages import Request

    query = {"SeriesInstanceUID": "1"}
    image = Request("GET", "archive", ("v4", "getImage"), query, {})
    object_ = Request("GET", "idc", ("idc-open-data", "a", "b.dcm"), {}, {})
    concerned = {
        name for name, fault in FAULTS.items() if fault.on(image) or fault.on(object_)
    }
    words = "+".join(row.fault for row in NBIA + BUCKET)
    named = {part.partition("@")[0] for part in words.split("+")}
    elsewhere = {
        # Below, by tests of their own
        "count-mismatch", "licence-file", "licence-change",
        # With a path they are the same as others: the whole service fails
        "error-500", "datacite-404",
    }  # fmt: skip
    assert concerned - named <= elsewhere


@pytest.mark.parametrize("row", NBIA, ids=lambda row: row.fault)
def test_nbia(row, twin, one, truth, fetch, faulty, store, here):
    faulty(row.fault)
    before = len(twin.log)
    check(row, one, truth, lambda: fetch(one), store, here)
    asked = [r.path for r in twin.log[before:]]
    zips = sum("/getImage?" in path for path in asked)
    singles = sum("/getSingleImage?" in path for path in asked)
    assert zips <= row.asks
    assert singles <= row.singles
    if row.promised in ("repaired", "harmless"):
        assert zips == 1
    assert not [path for path in asked if "idc-open-data" in path]


@pytest.mark.parametrize("row", BUCKET, ids=lambda row: row.fault)
def test_bucket(row, twin, one, truth, fetch, faulty, store, here):
    faulty(row.fault)
    before = len(twin.log)
    check(row, one, truth, lambda: fetch(one, "idc"), store, here)
    asked = [r.path for r in twin.log[before:]]
    assert sum("list-type" in path for path in asked) <= row.asks
    assert sum(".dcm" in path for path in asked) <= row.singles
    assert not [path for path in asked if "getImage" in path]


def check(row, one, truth, run, store, here) -> None:
    """The promise of a row, and what holds for each."""
    if row.promised == "refused":
        with pytest.raises(TciaError) as caught:
            run()
        error = caught.value
        assert type(error) is row.error, error
        assert row.words in str(error)
        assert says_what_to_do(error, one.series_uid, here.archive_host), error
        assert counted(store) == []
        assert store.find(here.archive_host, one.series_uid) is None
    else:
        stored = run()
        assert sums(stored.path) == truth
        assert store.find(here.archive_host, one.series_uid) == stored
    outside = [p for p in store.root.parent.rglob("*escaped*") if p.is_file()]
    assert outside == []


# F8: at each 5 % of the stream


@pytest.fixture(scope="module")
def zip_bytes(twin, one) -> int:
    """Length of the zip as it is sent, by the log of the server."""
    import requests

    before = len(twin.log)
    query = {"SeriesInstanceUID": one.series_uid, "NewFileNames": "Yes"}
    url = f"{twin.bases['archive']}/v4/getImage"
    requests.get(url, params=query | {"IncludeMD5": "Yes"}, timeout=60)
    return twin.log[before].bytes


@pytest.mark.parametrize("share", range(5, 100, 5))
def test_a_cut_costs_what_was_missing(
    share, twin, one, truth, fetch, faulty, zip_bytes
):
    cut = zip_bytes * share // 100
    faulty(f"cut@path=getImage,bytes={cut},count=1")
    before = len(twin.log)
    assert sums(fetch(one).path) == truth
    log = twin.log[before:]
    zips = [r.bytes for r in log if "/getImage?" in r.path]
    singles = [r.bytes for r in log if "/getSingleImage?" in r.path]
    assert zips[0] <= cut + (zip_bytes // 10)
    # Either what is missing, or all of it once more: never both.
    assert bool(singles) != (len(zips) == 2)
    assert len(zips) <= 2
    assert len(singles) <= 5
    if share >= 85:
        assert len(zips) == 1


# F9: a drip


def test_a_drip_is_given_up(twin, one, fetch, faulty, store, here):
    """No time-out of the connection would end it: something always arrives."""
    twin.rate = 4000
    with pytest.raises(RemoteTimeout, match="Nothing usable") as caught:
        fetch(one, patience=1.0)
    assert says_what_to_do(caught.value, one.series_uid, here.archive_host)
    assert counted(store) == []


def test_a_slow_line_is_no_drip(twin, one, truth, here, store, faulty):
    """It takes longer than the patience in all, and something useful arrives."""
    twin.rate = 250_000
    before = len(twin.log)
    grant = AccessGrant(here.archive_host, frozenset({one.series_uid}), frozenset(), ())
    nbia = Nbia(Transport(here), here)
    stored = fetch_series(one, nbia, grant, store, patience=2.0)
    assert sums(stored.path) == truth
    assert sum("getImage" in r.path for r in twin.log[before:]) == 1


# F12 and F20: the listing


def test_an_outdated_count_is_said_once(twin, fetch, faulty, store, here):
    faulty("count-mismatch")
    stale = parse_series(series(twin, Collection=LNQ, Modality="CT")).items[0]
    before = len(twin.log)
    with pytest.raises(CorruptData, match="out of date") as caught:
        fetch(stale)
    assert says_what_to_do(caught.value, stale.series_uid, here.archive_host)
    assert sum("getImage" in r.path for r in twin.log[before:]) == 1
    assert counted(store) == []


@pytest.fixture
def call_env(twin, here, monkeypatch):
    """The command line on the embedded archive, without long pauses."""
    from napari_tcia.archive import http

    for name, base in twin.bases.items():
        monkeypatch.setenv(f"NAPARI_TCIA_{name.upper()}", base)
    monkeypatch.setenv("NAPARI_TCIA_HOME", str(here.home))
    quick = {"connect_timeout": 1.0, "read_timeout": 1.0, "backoff": 0.01}
    monkeypatch.setattr(http.Transport.__init__, "__kwdefaults__", quick)
    options = fetch_series.__kwdefaults__ | {"pause": 0.01, "patience": 5.0}
    monkeypatch.setattr(fetch_series, "__kwdefaults__", options)


COMMANDS = [
    # fault, source, exit code, who sent it or the error
    ("image-500", "auto", 0, "idc"),
    ("cut@bytes=0", "auto", 0, "idc"),
    ("short-zip" + SINGLES_FAIL, "auto", 0, "idc"),
    ("short-zip", "auto", 0, "nbia"),
    ("html-200@count=1", "auto", 0, "nbia"),
    ("no-access", "auto", 5, "unexpected_reply"),
    ("hostile-zip", "auto", 6, "unsafe_archive"),
    ("wrong-series", "auto", 6, "wrong_series"),
    ("licence-file@path=getImage", "auto", 3, "terms_changed"),
    ("image-500+bucket-503", "auto", 5, "server_fault"),
    ("image-500", "nbia", 5, "server_fault"),
    ("image-500", "idc", 0, "idc"),
    ("bucket-404@path=.dcm", "idc", 4, "nothing_found"),
    ("bucket-503@path=.dcm,count=1", "idc", 0, "idc"),
]


@pytest.mark.parametrize(("fault", "source", "code", "said"), COMMANDS)
def test_exit_codes(
    fault, source, code, said, twin, one, truth, call_env, call, faulty, here
):
    assert call("accept", LNQ, "--yes", "--name", "N")[0] == 0
    faulty(fault)
    got, answer = call("get", one.series_uid, "--source", source)
    assert got == code, answer
    if code == 0:
        (row,) = answer["series"]
        assert row["source"] == said
        assert sums(Path(row["path"])) == truth
        return
    assert answer["error"]["code"] == said
    assert one.series_uid in answer["error"]["message"]
    assert answer["error"]["hint"]
    assert counted(Store(here.home / "store")) == []


# F13: names and zips that the embedded archive has not


def named(name: str, data: bytes = b"x") -> tuple[zipfile.ZipInfo, bytes]:
    """A member with any name, NUL and nothing among them."""
    info = zipfile.ZipInfo("x")
    info.filename = name
    return info, data


def raw_zip(*extra: tuple[zipfile.ZipInfo, bytes]) -> bytes:
    """A good zip with more members, whose names nobody looked at."""
    stream = BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("LICENSE", LICENCE_TEXT)
        for n, data in enumerate(INSTANCES.values(), 1):
            archive.writestr(f"1-{n}.dcm", data)
        for info, data in extra:
            archive.NameToInfo.clear()
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, data)
    return stream.getvalue()


SIXTH = part10(UID, f"{UID}.6")
NAMES = {
    "up": "../x.dcm",
    "up in the middle": "a/../../x.dcm",
    "up, as Windows has it": "..\\x.dcm",
    "absolute": "/tmp/x.dcm",
    "drive": "C:x.dcm",
    "share": "\\\\host\\share\\x.dcm",
    "empty": "",
    "dot": ".",
    "empty part": "a//x.dcm",
    "NUL": "x\0.dcm",
    "line end": "x\n.dcm",
    "escape": "\x1b[2Jx.dcm",
    "256 letters": "x" * 252 + ".dcm",
    "over 255 bytes": "é" * 126 + ".dcm",
    "device": "aux.dcm",
    "device alone": "con",
    "device in a folder": "a/NUL/x.dcm",
    "device with a number": "com1.x.dcm",
    "zip": "x.ZIP",
    "other case": "1-1.DCM",
}


@pytest.fixture
def small(archive: SmallArchive, settings):
    transport = Transport(settings, read_timeout=1.0, backoff=0.01)
    yield Nbia(transport, settings)
    transport.close()


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_hostile_name_is_refused(name, archive, small, settings, store, tmp_path):
    archive.on(IMAGE, Answer(raw_zip(named(name, SIXTH)), chunked=True))
    before = set(tmp_path.parent.iterdir())
    with pytest.raises(UnsafeArchive) as caught:
        fetch_series(SERIES, small, grant_for(settings), store, pause=0.01)
    assert says_what_to_do(caught.value, UID, small.host)
    assert archive.count(IMAGE) == 1
    assert counted(store) == []
    assert set(tmp_path.parent.iterdir()) == before


def link(data: bytes) -> tuple[zipfile.ZipInfo, bytes]:
    """A symbolic link, by the directory at the end of the zip alone."""
    info = zipfile.ZipInfo("link.dcm")
    info.create_system = 3
    info.external_attr = 0o120777 << 16
    return info, data


ZEROS = bytes(70 << 20)
ZIPS = {
    "one member": [named("9.dcm", part10(UID, f"{UID}.9")[:200] + ZEROS)],
    "together": [named(f"{n}.dcm", SIXTH + ZEROS[: 8 << 20]) for n in range(10, 20)],
    "link": [link(SIXTH)],
    "a folder with data": [named("a/", b"x" * 100)],
    "zip of another name": [named("9.dcm", zipped([("inner.dcm", b"x")]))],
}


@pytest.mark.parametrize("name", ZIPS)
def test_a_hostile_zip_is_stopped_while_it_unpacks(
    name, archive, small, settings, store
):
    archive.on(IMAGE, Answer(raw_zip(*ZIPS[name]), chunked=True))
    with pytest.raises((UnsafeArchive, CorruptData)) as caught:
        fetch_series(SERIES, small, grant_for(settings), store, pause=0.01, attempts=1)
    assert says_what_to_do(caught.value, UID, small.host)
    assert counted(store) == []
    left = [p.stat().st_size for p in store.root.rglob("*") if p.is_file()]
    assert sum(left) < 1 << 20


def test_a_bomb_is_stopped_where_no_size_is_declared():
    """300 MB of nothing in 300 KB: pixels of no scanner are so dense."""
    zeros = bytes(100 << 20)
    data = zipped([(f"{n}.dcm", zeros) for n in range(3)])

    def read() -> None:
        for _, pieces in members(iter([data]), CancelToken()):
            for _ in pieces:
                pass

    with pytest.raises(UnsafeArchive, match="more than expected"):
        read()


@pytest.mark.parametrize("end", ["cut", "short"])
def test_what_no_list_of_checksums_came_for_is_asked_about(
    end, archive, small, settings, store
):
    """F10 with F7 or F8: the list is the last member, and one file is not right."""
    wrong = f"{UID}.1"
    spoilt = bytes([*INSTANCES[wrong][:-1], INSTANCES[wrong][-1] ^ 1])
    sent = [(f"1-{n}.dcm", d) for n, d in enumerate(INSTANCES.values(), 1)]
    sent[0] = ("1-1.dcm", spoilt)
    if end == "cut":
        data = zipped([("LICENSE", LICENCE_TEXT), *sent])
        answer = Answer(data, chunked=True, cut=len(data) * 9 // 10)
    else:
        answer = Answer(zipped([("LICENSE", LICENCE_TEXT), *sent[:4]]), chunked=True)
    archive.on(IMAGE, answer)
    offers_singles(archive)
    stored = fetch_series(SERIES, small, grant_for(settings), store, pause=0.01)
    assert sums(stored.path) == SUMS
    assert archive.count(IMAGE) == 1
    assert archive.count(SINGLE) == 2


def test_an_older_archive_knows_no_checksums(archive, small, settings, store):
    """F1 of a parameter that is optional: asked once more without it."""
    refusal = b"Invalid query parameter: 'IncludeMD5'. Allowed parameters are: [x]"
    archive.on(
        IMAGE,
        lambda n, q: Answer(refusal, 400) if "IncludeMD5" in q else Answer(good_zip()),
    )
    stored = fetch_series(SERIES, small, grant_for(settings), store, pause=0.01)
    assert sums(stored.path) == SUMS
    assert archive.count(IMAGE) == 2


SUMS = {sop: hashlib.sha256(data).hexdigest() for sop, data in INSTANCES.items()}


# Disks


@pytest.fixture
def mounted(tmp_path):
    """Mount a small disk of its own; root alone may."""
    places: list[Path] = []

    def mount(options: str) -> Path:
        place = tmp_path / f"disk{len(places)}"
        place.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
        try:
            done = subprocess.run(command, capture_output=True, text=True)
        except FileNotFoundError:
            pytest.skip("There is no mount here.")
        if done.returncode:
            pytest.skip(f"No disk can be mounted here: {done.stderr.strip()}")
        places.append(place)
        return place

    yield mount
    for place in places:
        subprocess.run(["umount", "-l", str(place)], check=False)


def offers_singles(archive: SmallArchive) -> None:
    archive.on(SOPS, as_json([{"SOPInstanceUID": sop} for sop in INSTANCES]))
    archive.on(SINGLE, lambda n, q: Answer(INSTANCES[q["SOPInstanceUID"][0]]))
    md5 = {s: hashlib.md5(d).hexdigest() for s, d in INSTANCES.items()}
    archive.on(MD5, lambda n, q: Answer(md5[q["SOPInstanceUID"][0]].encode()))


def fetch_or_error(one, source, grant, store):
    try:
        return fetch_series(one, source, grant, store, pause=0.01)
    except DiskFull as error:
        return error


def test_a_disk_that_fills_up_at_each_page(archive, small, settings, mounted):
    """Another program takes the space while the series arrives.

    From no page to one more than is needed: instance, journal and record are hit.
    """
    page = os.sysconf("SC_PAGE_SIZE")
    disk = mounted("size=32m")
    grant = grant_for(settings)
    hit = set()
    for pages in range(60):
        store = Store(disk / f"s{pages}")
        ballast = disk / "ballast"

        def plan(n, _, left=pages * page, ballast=ballast):
            with ballast.open("wb") as stream:
                free = os.statvfs(disk).f_bavail * page
                stream.write(bytes(max(0, free - left)))
            return Answer(good_zip(), chunked=True)

        archive.on(IMAGE, plan)
        ended = fetch_or_error(SERIES, small, grant, store)
        ballast.unlink()
        if not isinstance(ended, DiskFull):
            assert sums(ended.path) == SUMS
            break
        assert says_what_to_do(ended, UID, small.host), ended
        hit.add(ended.message.partition(" (")[0].rpartition("/")[2])
        assert counted(store) == []
        assert store.find(small.host, UID) is None
        assert not list(store.root.rglob("*.held"))
    else:
        pytest.fail("It never fitted.")
    assert len(hit) >= 2, hit
    # There is room again: it goes as if nothing had been.
    assert pages > 10


def test_a_disk_without_room_for_one_more_file(archive, small, settings, mounted):
    """Free bytes, but no entry left for a file: from the first one to the record."""
    archive.on(IMAGE, Answer(good_zip(), chunked=True))
    offers_singles(archive)
    grant = grant_for(settings)
    hit = set()
    for files in range(2, 40):
        disk = mounted(f"size=32m,nr_inodes={files}")
        store = Store(disk / "s")
        ended = fetch_or_error(SERIES, small, grant, store)
        if not isinstance(ended, DiskFull):
            assert sums(ended.path) == SUMS
            break
        assert says_what_to_do(ended, UID, small.host), ended
        hit.add(ended.message)
        assert counted(store) == []
    else:
        pytest.fail("It never fitted.")
    assert len(hit) >= 4


LIMITED = """
import json, resource, sys
from pathlib import Path
from napari_tcia.archive.http import Transport
from napari_tcia.archive.nbia import Nbia
from napari_tcia.core.model import AccessGrant, Series
from napari_tcia.core.settings import Settings
from napari_tcia.errors import StorageError
from napari_tcia.transfer.download import fetch_series
from napari_tcia.transfer.store import Store
home, bases, uid, images, size, limits = json.loads(sys.argv[1])
s = Settings(Path(home), **bases)
grant = AccessGrant(s.archive_host, frozenset([uid]), frozenset(), ())
nbia = Nbia(Transport(s), s)
said = []
for limit in limits:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        fetch_series(Series(uid, images=images, bytes=size), nbia, grant,
                     Store(s.home / str(limit)), pause=0.01)
        said.append("done")
    except StorageError as error:
        said.append(str(error))
print(json.dumps(said))
"""
BASES = ("archive", "collections", "datacite", "idc", "files")


def test_files_that_may_not_grow(archive, settings, small):
    """A limit of the system on any file: licence, instance, journal, record."""
    pytest.importorskip("resource")
    archive.on(IMAGE, Answer(good_zip(), chunked=True))
    limits = [10, 1000, 4300, 100_000]
    bases = {name: getattr(settings, name) for name in BASES}
    given = [str(settings.home), bases, UID, SERIES.images, SERIES.bytes, limits]
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, json.dumps(given)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    said = json.loads(done.stdout)
    assert said[-1] == "done"
    for limit, sentence in zip(limits[:-1], said[:-1], strict=True):
        assert "could not write" in sentence.lower()
        assert UID in sentence
        assert counted(Store(settings.home / str(limit))) == []
    assert sums(Store(settings.home / "100000").series_path(small.host, UID)) == SUMS


@pytest.fixture
def read_only(mounted, tmp_path):
    """A folder that cannot be written to, not even by root."""
    if os.name != "posix":
        pytest.skip("Folders are closed in another way here.")
    if os.geteuid() == 0:
        disk = mounted("size=32m")
        (disk / "store").mkdir()
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        return disk / "store"
    place = tmp_path / "closed"
    place.mkdir(mode=0o500)
    return place


@pytest.mark.parametrize("source", ["nbia", "idc"])
def test_a_closed_folder_is_said_before_a_pixel_is_asked_for(
    source, twin, one, rooms, here, read_only
):
    grant = AccessGrant(here.archive_host, frozenset({one.series_uid}), frozenset(), ())
    before = len(twin.log)
    with pytest.raises(NotWritable) as caught:
        fetch_series(one, rooms[source], grant, Store(read_only), pause=0.01)
    assert says_what_to_do(caught.value, one.series_uid, here.archive_host)
    assert len(twin.log) == before


def test_too_little_space_is_said_before_a_pixel_is_asked_for(
    twin, one, rooms, here, mounted
):
    grant = AccessGrant(here.archive_host, frozenset({one.series_uid}), frozenset(), ())
    before = len(twin.log)
    with pytest.raises(DiskFull, match="MB are needed") as caught:
        fetch_series(one, rooms["nbia"], grant, Store(mounted("size=16m")))
    assert says_what_to_do(caught.value, one.series_uid, here.archive_host)
    assert len(twin.log) == before


# Kill at each step

FORKS = """
import json, os, signal, sys
from pathlib import Path
import pydicom
from napari_tcia.archive.http import Transport
from napari_tcia.archive.idc import Idc
from napari_tcia.archive.nbia import Nbia
from napari_tcia.core.model import AccessGrant, Series
from napari_tcia.core.settings import Settings
from napari_tcia.transfer.download import fetch_series
from napari_tcia.transfer.store import Store

home, bases, uid, images, size = json.loads(sys.argv[1])
s = Settings(Path(home), **bases)
grant = AccessGrant(s.archive_host, frozenset([uid]), frozenset(), ())
CHANGES = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir")

def work(root, source, step):
    met = 0

    def watch(event, args):
        # Before each change of the store, as the interpreter announces it.
        nonlocal met
        if event not in CHANGES or not str(args[0]).startswith(root):
            return
        if event == "open" and not args[2] & (os.O_WRONLY | os.O_RDWR):
            return
        met += 1
        if met == step:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    room = {"nbia": Nbia, "idc": Idc}[source](Transport(s), s)
    one = Series(uid, images=images, bytes=size)
    fetch_series(one, room, grant, Store(Path(root)), pause=0.01)

for line in sys.stdin:
    root, source, step = json.loads(line)
    child = os.fork()
    if child == 0:
        try:
            work(root, source, step)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    print(json.dumps(os.WIFSIGNALED(status)), flush=True)
"""


@pytest.fixture
def killed_at(settings):
    """Fetch in a process that is killed before its n-th change of the store."""
    if not hasattr(os, "fork"):
        pytest.skip("Processes are not forked here.")
    bases = {name: getattr(settings, name) for name in BASES}
    given = [str(settings.home), bases, UID, SERIES.images, SERIES.bytes]
    with subprocess.Popen(
        [sys.executable, "-c", FORKS, json.dumps(given)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip

        def run(root: Path, source: str, step: int) -> bool:
            process.stdin.write(json.dumps([str(root), source, step]) + "\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        yield run
        process.stdin.close()


def verified(store: Store, host: str) -> set[str]:
    """Instances that the journal of a dead process vouches for."""
    path = store.series_path(host, UID)
    for folder in (folder_of(path), path):
        if (folder / JOURNAL).exists():
            lines = (folder / JOURNAL).read_text().splitlines()
            names = {json.loads(line)["name"] for line in lines}
            return {name.removesuffix(".dcm") for name in names} & INSTANCES.keys()
    return set()


FOLDER = object_uuid(UID)


def put_into_bucket(archive: SmallArchive) -> None:
    rows = []
    for n, data in enumerate(INSTANCES.values()):
        key = f"{FOLDER}/i{n}.dcm"
        md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
        rows.append(
            f"<Contents><Key>{key}</Key><Size>{len(data)}</Size>"
            f"<ETag>&quot;{md5}&quot;</ETag></Contents>"
        )
        archive.on(f"/idc/idc-open-data/{key}", Answer(data))
    page = f"<IsTruncated>false</IsTruncated>{''.join(rows)}"
    text = f"<ListBucketResult>{page}</ListBucketResult>"
    archive.on("/idc/idc-open-data", Answer(text.encode()))


@pytest.mark.parametrize("source", ["nbia", "idc"])
def test_killed_at_each_step_only_what_is_missing_is_fetched(
    source, archive, settings, small, killed_at, tmp_path
):
    archive.on(IMAGE, Answer(good_zip(), chunked=True))
    offers_singles(archive)
    put_into_bucket(archive)
    transport = Transport(settings, read_timeout=1.0, backoff=0.01)
    room = small if source == "nbia" else Idc(transport, settings)
    grant = grant_for(settings)
    seen = set()
    for step in range(1, 200):
        store = Store(tmp_path / f"step-{step}")
        killed = killed_at(store.root, source, step)
        found = store.find(small.host, UID)
        assert found is None or sums(found.path) == SUMS, step
        if not killed:
            assert found is not None
            break
        if found is None:
            assert store.all() == ()
        held = verified(store, small.host)
        seen.add(len(held))
        archive.asked.clear()
        stored = fetch_series(SERIES, room, grant, store, pause=0.01)
        assert sums(stored.path) == SUMS, step
        zips = archive.count(IMAGE)
        files = sum(
            asked.path == SINGLE or asked.path.endswith(".dcm")
            for asked in archive.asked
        )
        missing = 0 if found else len(INSTANCES) - len(held)
        if source == "nbia" and missing == len(INSTANCES):
            assert (zips, files) == (1, 0), step
        else:
            assert zips == 0, step
            assert files <= missing, step
        names = {p.name for p in stored.path.iterdir()} - {RECORD, "LICENSE"}
        assert names == {f"{sop}.dcm" for sop in INSTANCES}, step
        hidden = {p.name for p in store.root.rglob(".*")}
        assert all(name.endswith(".lock") for name in hidden), (step, hidden)
    else:
        pytest.fail("It never ended.")
    assert step > 25
    assert seen == set(range(len(INSTANCES) + 1))
    transport.close()


def test_a_listing_without_sizes_is_held_to_the_list(archive, small, settings, store):
    """Neither count nor bytes declared: the list of instances decides."""
    archive.on(IMAGE, Answer(good_zip(3), chunked=True))
    offers_singles(archive)
    unknown = dataclasses.replace(SERIES, images=None, bytes=None)
    stored = fetch_series(unknown, small, grant_for(settings), store, pause=0.01)
    assert sums(stored.path) == SUMS
    assert (archive.count(IMAGE), archive.count(SINGLE)) == (1, 2)
