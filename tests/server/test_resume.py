"""What was verified is kept over faults, kills and pauses, and fetched once."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from napari_tcia.archive.http import Transport
from napari_tcia.archive.idc import Idc
from napari_tcia.archive.nbia import Nbia
from napari_tcia.core.settings import Settings
from napari_tcia.core.sources import BucketObject
from napari_tcia.core.task import CancelToken
from napari_tcia.errors import (
    Cancelled,
    CorruptData,
    NothingFound,
    RemoteTimeout,
    ServerFault,
    Truncated,
    WrongSeries,
)
from napari_tcia.transfer.download import fetch_series
from napari_tcia.transfer.partial import JOURNAL, WHOLE, folder_of
from napari_tcia.transfer.store import Store
from small_archive import (
    INSTANCES,
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
SUMS = {sop: hashlib.sha256(data).hexdigest() for sop, data in INSTANCES.items()}


@pytest.fixture
def nbia(settings: Settings):
    transport = Transport(settings, read_timeout=1.0, backoff=0.01)
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


@pytest.fixture
def place(store, nbia) -> Path:
    """Folder of what is verified and not yet whole."""
    return folder_of(store.series_path(nbia.host, UID))


def offers_singles(archive: SmallArchive, wrong: dict[str, bytes] | None = None):
    archive.on(SOPS, as_json([{"SOPInstanceUID": sop} for sop in INSTANCES]))
    sent = INSTANCES | (wrong or {})
    archive.on(SINGLE, lambda n, q: Answer(sent[q["SOPInstanceUID"][0]]))
    md5 = {s: hashlib.md5(d).hexdigest() for s, d in INSTANCES.items()}
    archive.on(MD5, lambda n, q: Answer(md5[q["SOPInstanceUID"][0]].encode()))


def sums(folder: Path) -> dict[str, str]:
    return {
        p.stem: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.glob("*.dcm")
    }


def held(place: Path) -> dict[str, int]:
    """Inode of each instance that the journal vouches for, by SOPInstanceUID."""
    lines = (place / JOURNAL).read_text().splitlines() if place.exists() else []
    names = {json.loads(line)["name"] for line in lines if line.endswith("}")}
    found = {p.stem: p.stat().st_ino for p in place.glob("*.held") if UID in p.name}
    return {sop: inode for sop, inode in found.items() if f"{sop}.dcm" in names}


# Repaired


def test_what_a_zip_leaves_out_is_fetched_singly(archive: SmallArchive, fetch):
    archive.on(IMAGE, Answer(good_zip(3), chunked=True))
    offers_singles(archive)
    assert sums(fetch().path) == SUMS
    assert archive.count(IMAGE) == 1
    assert archive.count(SINGLE) == 2


def test_one_wrong_file_is_fetched_again_alone(archive: SmallArchive, fetch):
    """Its CRC is right, its MD5 in the archive's list is not."""
    wrong = f"{UID}.3"
    named = {f"1-{n}.dcm": sop for n, sop in enumerate(INSTANCES, 1)}
    spoilt = bytes([*INSTANCES[wrong][:-1], INSTANCES[wrong][-1] ^ 1])
    rows = [f"{n},{hashlib.md5(INSTANCES[s]).hexdigest()}" for n, s in named.items()]
    members = [
        ("LICENSE", b"words"),
        *((n, spoilt if s == wrong else INSTANCES[s]) for n, s in named.items()),
        ("md5hashes.csv", "\n".join(["Filename,MD5Hash", *rows]).encode()),
    ]
    archive.on(IMAGE, Answer(zipped(members), chunked=True))
    offers_singles(archive)
    assert sums(fetch().path) == SUMS
    assert archive.count(IMAGE) == 1
    (asked,) = [a for a in archive.asked if a.path == SINGLE]
    assert asked.query["SOPInstanceUID"] == [wrong]


def test_a_single_file_that_is_wrong_is_not_kept(archive: SmallArchive, fetch, place):
    archive.on(IMAGE, Answer(good_zip(4), chunked=True))
    missing = f"{UID}.5"
    spoilt = bytes([*INSTANCES[missing][:-1], INSTANCES[missing][-1] ^ 1])
    offers_singles(archive, {missing: spoilt})
    with pytest.raises(Truncated, match="4 images"):
        fetch()
    assert missing not in held(place)
    assert len(held(place)) == 4


def test_a_single_file_of_another_name_is_refused(archive: SmallArchive, fetch, place):
    archive.on(IMAGE, Answer(good_zip(4), chunked=True))
    offers_singles(archive, {f"{UID}.5": INSTANCES[f"{UID}.1"]})
    with pytest.raises(WrongSeries, match="was asked for"):
        fetch()
    assert not place.exists()


@pytest.mark.parametrize("share", range(5, 100, 5))
def test_a_cut_anywhere_is_made_up_for(share, archive: SmallArchive, fetch):
    data = good_zip()
    cut = len(data) * share // 100
    archive.on(
        IMAGE,
        lambda n, _: Answer(data, chunked=True, cut=cut if n == 1 else None),
    )
    offers_singles(archive)
    assert sums(fetch().path) == SUMS
    assert archive.count(IMAGE) <= 2
    assert archive.count(SINGLE) <= 4


def test_what_stays_after_a_fault_is_used_the_next_time(
    archive: SmallArchive, fetch, place, store, nbia
):
    archive.on(IMAGE, Answer(good_zip(), chunked=True, cut=12_000))
    with pytest.raises(Truncated):
        fetch()
    before = held(place)
    assert 0 < len(before) < 5
    assert store.find(nbia.host, UID) is None
    assert not list(store.root.rglob("*.dcm"))
    archive.on(IMAGE, Answer(b"", 503))
    offers_singles(archive)
    stored = fetch()
    assert sums(stored.path) == SUMS
    assert archive.count(SINGLE) == 5 - len(before)
    for sop, inode in before.items():
        assert (stored.path / f"{sop}.dcm").stat().st_ino == inode
    assert not place.exists()
    names = {p.name for p in stored.path.iterdir()}
    assert names - {f"{s}.dcm" for s in INSTANCES} <= {"LICENSE", "complete.json"}


# Nothing that was kept is trusted further than its checksum


@pytest.mark.parametrize("damage", ["byte", "length", "torn journal", "foreign line"])
def test_damage_to_what_is_kept_is_noticed(damage, archive: SmallArchive, fetch, place):
    archive.on(IMAGE, Answer(good_zip(), chunked=True, cut=12_000))
    with pytest.raises(Truncated):
        fetch()
    victim = next(place.glob(f"{UID}*.held"))
    journal = place / JOURNAL
    match damage:
        case "byte":
            data = bytearray(victim.read_bytes())
            data[-1] ^= 1
            victim.write_bytes(data)
        case "length":
            os.truncate(victim, 100)
        case "torn journal":
            journal.write_text(journal.read_text()[:-40])
        case "foreign line":
            outside = place.parent / "outside.dcm"
            outside.write_bytes(b"x")
            line = {"name": "../outside.dcm", "size": 1, "sha256": "", "md5": ""}
            journal.write_text(json.dumps(line) + "\n[1, 2]\n" + journal.read_text())
    archive.on(IMAGE, Answer(good_zip(), chunked=True))
    offers_singles(archive)
    assert sums(fetch().path) == SUMS


def test_another_version_of_the_series_replaces_what_was_kept(
    archive: SmallArchive, fetch
):
    """The archive changed the files between two tries: no mixture of both."""
    newer = {sop: part10(UID, sop, size=4098) for sop in INSTANCES}
    archive.on(IMAGE, Answer(good_zip(), chunked=True, cut=12_000))
    with pytest.raises(Truncated):
        fetch()
    named = [(f"1-{n}.dcm", d) for n, d in enumerate(newer.values(), 1)]
    archive.on(IMAGE, Answer(zipped(named), chunked=True))
    total = sum(map(len, newer.values()))
    stored = fetch(dataclasses.replace(SERIES, bytes=total))
    wanted = {sop: hashlib.sha256(data).hexdigest() for sop, data in newer.items()}
    assert sums(stored.path) == wanted


# Buckets


class Bucket(Idc):
    """A bucket of which the place is known."""

    def place(self, series_uid: str) -> tuple[str, str] | None:
        return ("bucket", "folder") if series_uid == UID else None

    def objects(self, series_uid, token=None):
        return tuple(
            BucketObject(f"folder/i{n}.dcm", len(data), hashlib.md5(data).hexdigest())
            for n, data in enumerate(INSTANCES.values())
        )


@pytest.fixture
def bucket(settings):
    transport = Transport(settings, read_timeout=1.0, backoff=0.01)
    yield Bucket(transport, settings)
    transport.close()


def put(archive: SmallArchive, plan):
    """Serve every object by ``plan(n, data, start)``."""
    for number, data in enumerate(INSTANCES.values()):
        path = f"/idc/bucket/folder/i{number}.dcm"

        def answer(n, _query, data=data, path=path):
            asked = [a for a in archive.asked if a.path == path][-1]
            wish = asked.headers.get("Range", "bytes=0-")
            start = int(wish.removeprefix("bytes=").rstrip("-").split("-")[0])
            return plan(n, data, start)

        archive.on(path, answer)


def ranged(data: bytes, start: int, **more) -> Answer:
    if not start:
        return Answer(data, **more)
    span = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}
    return Answer(data[start:], 206, span, **more)


def test_objects_that_are_there_are_not_asked_for_again(
    archive: SmallArchive, bucket, settings, store, place
):
    last = f"/idc/bucket/folder/i{len(INSTANCES) - 1}.dcm"
    put(archive, lambda n, data, start: ranged(data, start))
    archive.on(last, Answer(b"", 404))
    with pytest.raises(NothingFound):
        fetch_series(SERIES, bucket, grant_for(settings), store, pause=0.01)
    assert not place.exists()  # what the bucket lacks is no hiccup

    archive.on(last, Answer(b"", 503))
    with pytest.raises(ServerFault):
        fetch_series(SERIES, bucket, grant_for(settings), store, pause=0.01)
    before = held(place)
    assert before
    begun = len(archive.asked)
    put(archive, lambda n, data, start: ranged(data, start))
    stored = fetch_series(SERIES, bucket, grant_for(settings), store, pause=0.01)
    assert sums(stored.path) == SUMS
    there = {list(INSTANCES).index(sop) for sop in before}
    later = {asked.path for asked in archive.asked[begun:]}
    assert not later & {f"/idc/bucket/folder/i{n}.dcm" for n in there}
    for sop, inode in before.items():
        assert (stored.path / f"{sop}.dcm").stat().st_ino == inode


def test_a_wrong_object_is_fetched_anew_from_its_start(
    archive: SmallArchive, bucket, settings, store
):
    def plan(n, data, start):
        spoilt = bytes([data[0] ^ 1, *data[1:]])
        return ranged(spoilt if n == 1 else data, start)

    put(archive, plan)
    stored = fetch_series(SERIES, bucket, grant_for(settings), store, pause=0.01)
    assert sums(stored.path) == SUMS
    assert all("Range" not in asked.headers for asked in archive.asked)


# Pause and cancel


def test_a_pause_costs_no_patience_and_goes_on(archive: SmallArchive, fetch):
    gate = threading.Event()

    def plan(n, _):
        gate.set()
        return Answer(good_zip(), chunked=True, drip=0.00001)

    archive.on(IMAGE, plan)
    token = CancelToken()
    found = []
    thread = threading.Thread(
        target=lambda: found.append(fetch(token=token, patience=2.0))
    )
    thread.start()
    assert gate.wait(5)
    token.pause()
    thread.join(3.0)  # longer than the patience
    assert thread.is_alive()
    token.resume()
    thread.join(30)
    assert sums(found[0].path) == SUMS


def test_cancel_ends_a_pause(archive: SmallArchive, fetch, place):
    archive.on(IMAGE, Answer(good_zip(), chunked=True))
    token = CancelToken()
    token.pause()
    ended = []

    def work():
        try:
            fetch(token=token)
        except Cancelled as error:
            ended.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    token.cancel()
    thread.join(1.0)
    assert ended
    assert not place.exists()


@pytest.mark.parametrize("where", [-1, 0, 40, 3000, 9000, 15_000])
def test_cancel_within_a_second_wherever_it_stalls(
    where, archive: SmallArchive, settings, store, place
):
    """With the real time-outs; -1 is before the headers."""
    archive.on(IMAGE, Answer(good_zip(), chunked=True, stall=where))
    patient = Nbia(Transport(settings), settings)
    token = CancelToken()
    ended = []

    def work():
        try:
            fetch_series(SERIES, patient, grant_for(settings), store, token=token)
        except Cancelled as error:
            ended.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    assert archive.silent.wait(10)
    token.cancel()
    thread.join(1.0)
    assert ended
    assert not place.exists()


# Killed


BASES = ("archive", "collections", "datacite", "idc", "files")
FETCH = """
import sys
from pathlib import Path
from napari_tcia.archive.http import Transport
from napari_tcia.archive.nbia import Nbia
from napari_tcia.core.model import AccessGrant, Series
from napari_tcia.core.settings import Settings
from napari_tcia.transfer.download import fetch_series
from napari_tcia.transfer.store import Store
s = Settings(Path({home!r}), **{bases!r})
grant = AccessGrant(s.archive_host, frozenset([{uid!r}]), frozenset(), ())
one = Series({uid!r}, images={images}, bytes={bytes})
print("ready", flush=True)
sys.stdin.readline()
fetch_series(one, Nbia(Transport(s), s), grant, Store(s.home / "store"), pause=0.01)
"""


@pytest.fixture
def start(settings):
    """Start a process that fetches; it is about to when this returns."""
    bases = {name: getattr(settings, name) for name in BASES}
    script = FETCH.format(
        home=str(settings.home),
        bases=bases,
        uid=UID,
        images=SERIES.images,
        bytes=SERIES.bytes,
    )
    running = []

    def run():
        process = subprocess.Popen(
            [sys.executable, "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        running.append(process)
        assert process.stdout.readline() == b"ready\n"
        process.stdin.write(b"\n")
        process.stdin.flush()
        return process

    yield run
    for process in running:
        process.kill()
        process.wait()


def test_after_a_kill_what_was_verified_is_kept(
    archive: SmallArchive, start, fetch, place, store, nbia
):
    archive.on(IMAGE, Answer(good_zip(), chunked=True, stall=12_000))
    process = start()
    assert archive.silent.wait(60)
    until = time.monotonic() + 10
    while len(held(place)) < 2 and time.monotonic() < until:
        threading.Event().wait(0.01)
    process.kill()
    process.wait()
    before = held(place)
    assert len(before) >= 2
    assert store.find(nbia.host, UID) is None
    assert store.all() == ()
    archive.on(IMAGE, Answer(b"", 503))
    offers_singles(archive)
    stored = fetch()
    assert sums(stored.path) == SUMS
    assert archive.count(SINGLE) == 5 - len(before)
    for sop, inode in before.items():
        assert (stored.path / f"{sop}.dcm").stat().st_ino == inode


@pytest.mark.parametrize("seed", range(6))
def test_killed_again_and_again_it_ends_bit_identical(
    seed, archive: SmallArchive, start, fetch, store, nbia
):
    """Kills at random moments, from the first byte to the record."""
    dice = random.Random(seed)
    archive.on(IMAGE, Answer(good_zip(), chunked=True, drip=0.00002))
    offers_singles(archive)
    for _ in range(2):
        process = start()
        try:
            process.wait(dice.uniform(0.0, 1.2))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        found = store.find(nbia.host, UID)
        assert found is None or sums(found.path) == SUMS
    archive.on(IMAGE, Answer(good_zip(), chunked=True))
    assert sums(fetch().path) == SUMS
    hidden = {p.name for p in store.root.rglob(".*") if not p.name.endswith(".lock")}
    assert hidden == set()


@pytest.mark.parametrize("moment", ["named", "moved"])
def test_killed_at_the_last_steps_nothing_is_asked_for_again(
    moment, archive: SmallArchive, fetch, place, store, nbia
):
    """After its files got their names, or the folder its own, but no record."""
    archive.on(IMAGE, Answer(good_zip(), chunked=True))
    path = fetch().path
    record = json.loads((path / "complete.json").read_text())
    (path / "complete.json").unlink()
    with (path / JOURNAL).open("w") as journal:
        for file in record["files"]:
            md5 = hashlib.md5((path / file["name"]).read_bytes()).hexdigest()
            journal.write(json.dumps(file | {"md5": md5}) + "\n")
    (path / WHOLE).touch()
    if moment == "named":
        path.rename(place)
    assert store.find(nbia.host, UID) is None
    before = archive.count(IMAGE)
    offers_singles(archive)
    stored = fetch()
    assert sums(stored.path) == SUMS
    assert archive.count(IMAGE) == before
    assert archive.count(SINGLE) == 0


def test_a_drip_of_lies_never_counts(archive: SmallArchive, fetch, store, nbia):
    """Bytes of another content under a right name: refused, whatever is kept."""
    archive.on(IMAGE, Answer(good_zip(), chunked=True, cut=12_000))
    with pytest.raises(Truncated):
        fetch()
    other = [(f"1-{n}.dcm", part10(UID, sop, size=500)) for n, sop in
             enumerate(INSTANCES, 1)]  # fmt: skip
    archive.on(IMAGE, Answer(zipped(other), chunked=True))
    with pytest.raises((CorruptData, Truncated, RemoteTimeout)):
        fetch()
    assert store.find(nbia.host, UID) is None
    assert not list(store.root.rglob("*.dcm"))
