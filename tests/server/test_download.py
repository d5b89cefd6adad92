"""From an archive with faults to the store: whole and verified, or nothing."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from napari_tcia.archive.http import Transport
from napari_tcia.archive.nbia import Nbia
from napari_tcia.core.settings import Settings
from napari_tcia.core.task import CancelToken, Progress
from napari_tcia.errors import (
    ArchiveError,
    Cancelled,
    CorruptData,
    DiskFull,
    GrantMismatch,
    NothingFound,
    RateLimited,
    RemoteTimeout,
    ServerFault,
    TciaError,
    Truncated,
    UnexpectedReply,
    UnsafeArchive,
    WrongSeries,
)
from napari_tcia.transfer.download import fetch_file, fetch_series
from napari_tcia.transfer.store import Store
from small_archive import (
    INSTANCES,
    LICENCE_TEXT,
    OTHER,
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


@pytest.fixture
def nbia(settings: Settings):
    transport = Transport(settings, read_timeout=1.0)
    yield Nbia(transport, settings)
    transport.close()


@pytest.fixture
def store(settings: Settings) -> Store:
    return Store(settings.home / "store")


@pytest.fixture
def fetch(nbia, settings, store):
    def run(series=SERIES, **options):
        options = {"pause": 0.01, **options}
        return fetch_series(series, nbia, grant_for(settings), store, **options)

    return run


def whole(**more) -> Answer:
    return Answer(good_zip(), chunked=True, **more)


def counted_files(store: Store) -> list[Path]:
    """Files below the store that could be taken for images, or for whole."""
    return [p for p in kept_files(store) if p.suffix in (".dcm", ".json")]


def kept_files(store: Store) -> list[Path]:
    """Everything below the store but for lock files."""
    found = store.root.rglob("*") if store.root.exists() else []
    return [p for p in found if p.is_file() and not p.name.endswith(".lock")]


# The good case


def test_a_series_arrives_byte_for_byte(archive: SmallArchive, fetch, store, nbia):
    archive.on(IMAGE, whole())
    stored = fetch()
    assert archive.asked[0].query == {
        "SeriesInstanceUID": [UID],
        "NewFileNames": ["Yes"],
        "IncludeMD5": ["Yes"],
    }
    assert stored.path == store.root / nbia.host.replace(":", "_") / UID
    assert (stored.files, stored.bytes) == (SERIES.images, SERIES.bytes)
    assert stored.series == SERIES
    assert (stored.source, stored.archive_host) == ("nbia", nbia.host)
    assert stored.acceptance_id == "a1"
    for sop, data in INSTANCES.items():
        assert (stored.path / f"{sop}.dcm").read_bytes() == data
    assert (stored.path / "LICENSE").read_bytes() == LICENCE_TEXT
    names = {p.name for p in stored.path.iterdir()}
    assert names == {f"{s}.dcm" for s in INSTANCES} | {"LICENSE", "complete.json"}
    record = json.loads((stored.path / "complete.json").read_text())
    sums = {f["name"]: f["sha256"] for f in record["files"]}
    assert sums["LICENSE"] == hashlib.sha256(LICENCE_TEXT).hexdigest()
    assert store.find(nbia.host, UID) == stored
    assert store.all() == (stored,)
    assert store.all() == (stored,)


def test_what_is_there_is_not_asked_for_again(archive: SmallArchive, fetch):
    archive.on(IMAGE, whole())
    assert fetch() == fetch()
    assert archive.count(IMAGE) == 1


def test_without_declared_counts_the_list_decides(archive: SmallArchive, fetch):
    """A zip never tells that it is short."""
    series = dataclasses.replace(SERIES, images=None, bytes=None)
    archive.on(IMAGE, whole())
    with pytest.raises(Truncated, match="nothing tells"):
        fetch(series)
    archive.on(SOPS, as_json([{"SOPInstanceUID": uid} for uid in INSTANCES]))
    assert fetch(series).files == 5


def test_progress_counts_uncompressed_bytes(archive: SmallArchive, fetch):
    archive.on(IMAGE, whole())
    seen: list[Progress] = []
    fetch(report=seen.append)
    assert seen[0].done == 0
    assert seen[-1].done == SERIES.bytes + len(LICENCE_TEXT)
    assert all(p.total == SERIES.bytes and p.unit == "bytes" for p in seen)
    assert [p.done for p in seen] == sorted(p.done for p in seen)


def test_no_pixel_is_asked_for_without_a_grant(
    archive: SmallArchive, nbia, settings, store
):
    archive.on(IMAGE, whole())
    with pytest.raises(GrantMismatch):
        fetch_series(SERIES, nbia, grant_for(settings, series=OTHER), store)
    with pytest.raises(GrantMismatch):
        fetch_file(
            "x.zip", "Twin", nbia, grant_for(settings, collection="Other"), store
        )
    assert archive.asked == []
    assert kept_files(store) == []


# Faults: none leaves anything that counts


def named(n: int, data: bytes) -> tuple[str, bytes]:
    return (f"1-{n}.dcm", data)


A, B, C, D, E = INSTANCES.values()
FAULTS = {
    "cut": (Answer(good_zip(), chunked=True, cut=9000), Truncated, 3),
    "cut with a length": (Answer(good_zip(), cut=9000), Truncated, 3),
    "stall": (Answer(good_zip(), chunked=True, stall=9000), RemoteTimeout, 3),
    "silence": (Answer(stall=-1), RemoteTimeout, 3),
    "short zip": (Answer(good_zip(3), chunked=True), Truncated, 3),
    "empty zip": (Answer(zipped([])), Truncated, 3),
    "licence only": (Answer(zipped([("LICENSE", b"t")])), Truncated, 3),
    "empty body": (Answer(b""), Truncated, 3),
    "text as 200": (Answer(b"<h1>Under maintenance</h1>"), UnexpectedReply, 3),
    "no access": (Answer(b"The user has not been granted", 400), UnexpectedReply, 1),
    "not there": (Answer(b"", 404), NothingFound, 1),
    "unauthorised": (Answer(b"", 401), UnexpectedReply, 1),
    "server error": (Answer(b"null", 500), ServerFault, 3),
    "busy": (Answer(b"", 503), ServerFault, 3),
    "long pause": (
        Answer(b"", 429, headers={"Retry-After": "900"}),
        RateLimited,
        1,
    ),
    "another series": (
        Answer(
            zipped([named(1, A), named(2, B), named(3, part10(OTHER, f"{OTHER}.3"))])
        ),
        WrongSeries,
        1,
    ),
    "instance twice": (Answer(zipped([named(1, A), named(2, A)])), UnsafeArchive, 1),
    "path in the UID": (
        Answer(zipped([named(1, A.replace(f"{UID}.1".encode(), b"../../../../x1"))])),
        UnsafeArchive,
        1,
    ),
    "hostile name": (Answer(zipped([("../x.dcm", A)])), UnsafeArchive, 1),
    "not DICOM": (Answer(zipped([named(1, b"GIF89a" * 50)])), CorruptData, 3),
    "more files": (
        Answer(
            zipped(
                [named(n, d) for n, d in enumerate([A, B, C, D, E])]
                + [named(9, part10(UID, f"{UID}.9"))]
            )
        ),
        CorruptData,
        1,
    ),
    "other bytes": (
        Answer(
            zipped(
                [
                    named(n, d)
                    for n, d in enumerate(
                        [A, B, C, D, part10(UID, f"{UID}.5", size=5000)]
                    )
                ]
            )
        ),
        CorruptData,
        1,
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_leaves_nothing_that_counts(
    fault, archive: SmallArchive, fetch, store, nbia
):
    answer, error, tries = FAULTS[fault]
    archive.on(IMAGE, answer)
    archive.on(SOPS, as_json([{"SOPInstanceUID": sop} for sop in INSTANCES]))
    with pytest.raises(TciaError) as caught:
        fetch()
    assert type(caught.value) is error
    assert archive.count(IMAGE) == tries
    assert counted_files(store) == []
    if not isinstance(caught.value, ArchiveError):
        assert kept_files(store) == []
    assert store.find(nbia.host, UID) is None


def test_a_fault_that_passes_ends_well(archive: SmallArchive, fetch):
    plan = {1: Answer(good_zip(), chunked=True, cut=9000), 2: Answer(good_zip(3))}
    archive.on(IMAGE, lambda n, _: plan.get(n, whole()))
    assert fetch().files == SERIES.images
    # What either of the two brought was kept: together it is all of it.
    assert archive.count(IMAGE) == 2


def test_a_wrong_checksum_is_asked_for_again(archive: SmallArchive, fetch):
    members = [("LICENSE", LICENCE_TEXT), *enumerate(INSTANCES.values())]
    data = zipped([(f"{name}", data) for name, data in members])
    broken = bytearray(data)
    broken[5000] ^= 1
    archive.on(IMAGE, lambda n, _: Answer(bytes(broken) if n == 1 else data))
    assert fetch().files == SERIES.images
    assert archive.count(IMAGE) == 2


def test_nobody_there(archive: SmallArchive, fetch, store):
    archive.close()
    with pytest.raises(ArchiveError):
        fetch()
    assert kept_files(store) == []


def test_numbers_say_what_is_missing(archive: SmallArchive, fetch):
    archive.on(IMAGE, Answer(good_zip(3)))
    archive.on(SOPS, as_json([{"SOPInstanceUID": sop} for sop in INSTANCES]))
    with pytest.raises(Truncated, match="3 images") as caught:
        fetch()
    assert caught.value.numbers["received_images"] == 3
    assert caught.value.numbers["declared_images"] == 5


def test_an_outdated_count_is_called_that(archive: SmallArchive, fetch, store):
    archive.on(IMAGE, whole())
    archive.on(SOPS, as_json([{"SOPInstanceUID": sop} for sop in INSTANCES]))
    with pytest.raises(CorruptData, match="out of date"):
        fetch(dataclasses.replace(SERIES, images=7))
    assert archive.count(IMAGE) == 1
    assert kept_files(store) == []


def test_a_drip_is_given_up(archive: SmallArchive, fetch, store):
    """Bytes arrive, so that no time-out of the connection would end this."""
    archive.on(IMAGE, Answer(good_zip(), chunked=True, drip=0.05))
    with pytest.raises(RemoteTimeout, match="Nothing usable"):
        fetch(patience=0.5)
    assert archive.count(IMAGE) == 1
    assert kept_files(store) == []


def test_patience_spans_the_attempts(archive: SmallArchive, fetch):
    archive.on(IMAGE, Answer(b"", 503))
    with pytest.raises(ServerFault):
        fetch(patience=0.3, pause=60.0)
    assert archive.count(IMAGE) == 1


# Cancel


def test_cancel_on_a_stalled_connection(
    archive: SmallArchive, settings: Settings, store
):
    """With the real time-outs, so that only the cancel can end it."""
    archive.on(IMAGE, Answer(good_zip(), chunked=True, stall=9000))
    patient = Nbia(Transport(settings), settings)
    token = CancelToken()
    outcome: list[BaseException] = []

    def work() -> None:
        try:
            fetch_series(SERIES, patient, grant_for(settings), store, token=token)
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    assert archive.silent.wait(60)
    token.cancel()
    thread.join(1.0)
    assert not thread.is_alive()
    assert isinstance(outcome[0], Cancelled)
    assert kept_files(store) == []
    # No folder is left either, and the lock is free.
    archive.on(IMAGE, whole())
    assert fetch_series(SERIES, patient, grant_for(settings), store).files == 5
    folders = [p for p in store.root.rglob("*") if p.is_dir()]
    assert {p.name for p in folders} == {UID, patient.host.replace(":", "_")}


def test_a_cancel_does_not_wait_for_the_first_question_of_another_download(
    archive: SmallArchive, settings: Settings
):
    """One download finds out for all whether the archive has checksums."""
    archive.on(IMAGE, Answer(good_zip(), stall=-1))  # no head, even
    nbia = Nbia(Transport(settings), settings)
    ended: list[str] = []

    def work(name: str, token: CancelToken) -> None:
        try:
            with nbia.open_series(UID, grant_for(settings), token) as chunks:
                next(chunks)
        except Cancelled:
            ended.append(name)

    first, second = CancelToken(), CancelToken()
    threads = [
        threading.Thread(target=work, args=given)
        for given in (("first", first), ("second", second))
    ]
    threads[0].start()
    assert archive.silent.wait(60)
    threads[1].start()
    second.cancel()
    threads[1].join(10)
    assert ended == ["second"]
    first.cancel()
    threads[0].join(10)
    assert ended == ["second", "first"]


def test_cancel_before_the_start_asks_nothing(archive: SmallArchive, fetch):
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        fetch(token=token)
    assert archive.asked == []


# The store


@pytest.mark.parametrize(
    "damage",
    ["missing file", "short file", "extra file", "no record", "broken record", "uid"],
)
def test_an_inconsistent_folder_is_not_there(
    damage, archive: SmallArchive, fetch, store, nbia
):
    archive.on(IMAGE, whole())
    stored = fetch()
    first = stored.path / f"{UID}.1.dcm"
    record = stored.path / "complete.json"
    match damage:
        case "missing file":
            first.unlink()
        case "short file":
            os.truncate(first, 100)
        case "extra file":
            shutil.copy(first, stored.path / "9.dcm")
        case "no record":
            record.unlink()
        case "broken record":
            record.write_text(record.read_text()[:-50])
        case "uid":
            record.write_text(record.read_text().replace(UID, OTHER))
    assert store.find(nbia.host, UID) is None
    assert store.all() == ()
    assert store.all() == ()
    again = fetch()
    assert archive.count(IMAGE) == 2
    assert first.read_bytes() == INSTANCES[f"{UID}.1"]
    assert store.find(nbia.host, UID) == again


def test_a_changed_listing_is_fetched_anew(archive: SmallArchive, fetch, store, nbia):
    archive.on(IMAGE, Answer(good_zip(3)))
    some = [len(d) for d in INSTANCES.values()][:3]
    earlier = dataclasses.replace(SERIES, images=3, bytes=sum(some))
    fetch(earlier)
    archive.on(IMAGE, Answer(status=400))
    with pytest.raises(UnexpectedReply):
        fetch()
    # The older, whole copy outlives a failed update.
    assert store.find(nbia.host, UID).files == 3
    archive.on(IMAGE, whole())
    assert fetch().files == 5


def test_leftovers_of_a_dead_process_are_removed(
    archive: SmallArchive, fetch, store, nbia
):
    leftover = store.series_path(nbia.host, UID).with_name(f".{UID}.part-dead")
    leftover.mkdir(parents=True)
    (leftover / "part").write_bytes(b"half")
    archive.on(IMAGE, whole())
    fetch()
    assert not leftover.exists()


def test_two_at_once_fetch_once(archive: SmallArchive, settings, nbia, store):
    """The second waits for the first and then finds the series there."""
    go = threading.Event()

    def plan(n, _):
        go.wait(60)
        return whole()

    archive.on(IMAGE, plan)
    found, waited = [], threading.Event()

    def work() -> None:
        found.append(
            fetch_series(
                SERIES,
                nbia,
                grant_for(settings),
                store,
                report=lambda p: waited.set() if p.stage.startswith("Wait") else None,
            )
        )

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert waited.wait(60)
    go.set()
    for thread in threads:
        thread.join(10)
    assert len(found) == 2
    assert found[0] == found[1]
    assert archive.count(IMAGE) == 1


BASES = ("archive", "collections", "datacite", "idc", "files")
FETCH = """
from pathlib import Path
from napari_tcia.archive.http import Transport
from napari_tcia.archive.nbia import Nbia
from napari_tcia.core.model import AccessGrant, Series
from napari_tcia.core.settings import Settings
from napari_tcia.transfer.download import fetch_series
from napari_tcia.transfer.store import Store
s = Settings(Path({home!r}), **{bases!r})
grant = AccessGrant(s.archive_host, frozenset([{uid!r}]), frozenset(), ())
fetch_series(Series({uid!r}), Nbia(Transport(s), s), grant, Store(s.home / "store"))
"""


def test_a_killed_process_leaves_nothing_that_counts(
    archive: SmallArchive, settings, store, nbia, fetch
):
    archive.on(IMAGE, Answer(good_zip(), chunked=True, stall=15000))
    bases = {name: getattr(settings, name) for name in BASES}
    script = FETCH.format(home=str(settings.home), bases=bases, uid=UID)
    process = subprocess.Popen([sys.executable, "-c", script])
    try:
        assert archive.silent.wait(60)
        until = time.monotonic() + 60
        while not kept_files(store) and time.monotonic() < until:
            time.sleep(0.01)
    finally:
        process.kill()
        process.wait()
    assert kept_files(store) != []  # it died in the middle of a file
    assert store.find(nbia.host, UID) is None
    assert store.all() == ()
    archive.on(IMAGE, whole())
    assert fetch().files == 5  # the lock died with its process
    assert len(kept_files(store)) == 5 + 2


# Disk


def test_no_space_is_said_before_anything_is_asked(archive: SmallArchive, fetch):
    with pytest.raises(DiskFull, match="MB are needed") as caught:
        fetch(dataclasses.replace(SERIES, bytes=10**18))
    assert caught.value.numbers["needed"] > caught.value.numbers["free"]
    assert archive.asked == []


def test_a_disk_that_fills_up(archive: SmallArchive, fetch, store, monkeypatch):
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    archive.on(IMAGE, whole())
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskFull):
        fetch()
    assert archive.count(IMAGE) == 1
    assert kept_files(store) == []


# Supplementary files


MASKS = "/files/MASKS.zip"


@pytest.fixture
def fetch_masks(nbia, settings, store):
    def run(name="MASKS.zip", **options):
        options = {"pause": 0.01, **options}
        return fetch_file(name, "Twin", nbia, grant_for(settings), store, **options)

    return run


def test_a_supplementary_file_arrives_with_its_record(
    archive: SmallArchive, fetch_masks, store, nbia
):
    data = zipped([("MASKS/a.nii.gz", b"mask" * 100)])
    archive.on(MASKS, Answer(data))
    path = fetch_masks()
    assert path.read_bytes() == data
    record = json.loads(path.with_name("MASKS.zip.json").read_text())
    assert record["sha256"] == hashlib.sha256(data).hexdigest()
    assert record["acceptance_ids"] == ["a1"]
    assert fetch_masks() == path
    assert archive.count(MASKS) == 1
    os.truncate(path, 10)
    assert store.find_file(nbia.host, "MASKS.zip") is None
    assert fetch_masks().read_bytes() == data


SUPPLEMENT_FAULTS = {
    "page": (Answer(b"<h1>Not the file</h1>"), UnexpectedReply),
    "cut": (Answer(zipped([("a", bytes(9000))])[:-30], chunked=True), CorruptData),
    "cut connection": (Answer(b"PK" * 9000, cut=5000), Truncated),
    "hostile": (Answer(zipped([("../a", b"1")])), UnsafeArchive),
    "missing": (Answer(b"", 404), NothingFound),
}


@pytest.mark.parametrize("fault", SUPPLEMENT_FAULTS)
def test_a_faulty_supplement_leaves_nothing(
    fault, archive: SmallArchive, fetch_masks, store
):
    answer, error = SUPPLEMENT_FAULTS[fault]
    archive.on(MASKS, answer)
    with pytest.raises(error):
        fetch_masks()
    assert kept_files(store) == []


def test_a_supplement_is_bounded(archive: SmallArchive, fetch_masks, store):
    archive.on(MASKS, Answer(bytes(100_000)))
    with pytest.raises(UnsafeArchive):
        fetch_masks(max_bytes=50_000)
    assert kept_files(store) == []


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x", "", "a\\b"])
def test_a_supplement_stays_below_its_base(name, archive: SmallArchive, fetch_masks):
    with pytest.raises(TciaError):
        fetch_masks(name)
    assert archive.asked == []
