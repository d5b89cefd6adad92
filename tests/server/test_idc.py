"""The Imaging Data Commons as a second archive: the same files, held to the same."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import threading
from pathlib import Path

import pytest

from embedded import LNQ, NC, series
from napari_tcia.app import credit, fetch, folder
from napari_tcia.app.both import _compare
from napari_tcia.app.case import open_case
from napari_tcia.app.services import Services
from napari_tcia.archive.http import Transport
from napari_tcia.archive.idc import Idc
from napari_tcia.archive.nbia import Nbia, parse_series
from napari_tcia.core.model import AccessGrant, Series, object_uuid
from napari_tcia.core.settings import Settings
from napari_tcia.core.sources import BucketObject, ObjectSource
from napari_tcia.core.task import CancelToken
from napari_tcia.demo.server import EmbeddedArchive
from napari_tcia.errors import (
    Cancelled,
    CorruptData,
    GrantMismatch,
    NothingFound,
    ServerFault,
    TciaError,
    Truncated,
    UnexpectedReply,
)
from napari_tcia.transfer.download import fetch_series
from napari_tcia.transfer.store import Store
from small_archive import (
    INSTANCES,
    OTHER,
    SERIES,
    UID,
    Answer,
    SmallArchive,
    grant_for,
    part10,
)


@pytest.fixture(scope="module")
def twin():
    with EmbeddedArchive(cases=1) as running:
        series(running)  # the first listing takes its time; the clients are hasty
        yield running


@pytest.fixture
def faulty(twin):
    """Set a fault for one test."""
    yield lambda name: setattr(twin, "fault", name)
    twin.fault = None


@pytest.fixture
def here(twin, tmp_path) -> Settings:
    return Settings(tmp_path / "home", **twin.bases)


@pytest.fixture
def transport(here):
    made = Transport(here, read_timeout=2.0, backoff=0.01)
    yield made
    made.close()


@pytest.fixture
def idc(transport, here) -> Idc:
    return Idc(transport, here)


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def one(twin) -> Series:
    """A CT of 28 slices, so that its list has three pages."""
    return parse_series(series(twin, Collection=LNQ, Modality="CT")).items[0]


def granted(settings: Settings, *some: Series) -> AccessGrant:
    """What `terms.gate` would hand out; made here, as the gate is another room."""
    uids = frozenset(one.series_uid for one in some)
    names = frozenset(one.collection for one in some)
    return AccessGrant(settings.archive_host, uids, names, ("a1",))


def kept_files(store: Store) -> list[Path]:
    found = store.root.rglob("*") if store.root.exists() else []
    return [p for p in found if not p.name.endswith(".lock") and p.is_file()]


def sums(folder: Path) -> dict[str, str]:
    return {
        p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.glob("*.dcm")
    }


# What both archives have


@pytest.mark.parametrize("modality", ["CT", "SEG"])
def test_both_archives_send_the_same_files(
    modality, twin, here, transport, idc, tmp_path
):
    listed = parse_series(series(twin, Collection=LNQ, Modality=modality)).items[0]
    grant = granted(here, listed)
    zipped = fetch_series(
        listed, Nbia(transport, here), grant, Store(tmp_path / "nbia"), pause=0.01
    )
    files = fetch_series(listed, idc, grant, Store(tmp_path / "idc"), pause=0.01)
    assert (zipped.source, files.source) == ("nbia", "idc")
    assert sums(zipped.path) == sums(files.path)
    assert (files.files, files.bytes) == (zipped.files, zipped.bytes)
    assert (files.files, files.bytes) == (listed.images, listed.bytes)
    # The place and the terms are those of the archive that lists the series.
    assert files.archive_host == zipped.archive_host == here.archive_host
    record = json.loads((files.path / "complete.json").read_text())
    other = json.loads((zipped.path / "complete.json").read_text())
    assert (other["licence_from"], record["licence_from"]) == ("LICENSE", "listing")
    assert record["series"]["licence_name"] == listed.licence_name != ""
    assert Store(tmp_path / "idc").find(here.archive_host, listed.series_uid) == files


def test_a_list_is_put_together_from_its_pages(idc, one, twin):
    found = idc.objects(one.series_uid)
    assert len(found) == one.images == 28
    assert sum(obj.size for obj in found) == one.bytes
    folder = object_uuid(one.series_uid)
    assert {obj.key.partition("/")[0] for obj in found} == {folder}
    assert isinstance(idc, ObjectSource)
    assert not isinstance(Nbia.__new__(Nbia), ObjectSource)


def test_places_come_from_the_catalogue(idc):
    uid = "61.7.99546452981266801445853797078261520601"
    assert idc.place(uid) == ("idc-open-data", "5782d38a-e592-4c63-b6ff-3d311277aa9f")


def test_a_series_without_a_place_is_said_to_have_none(idc, here):
    if idc.place("1.2.3") is not None:
        pytest.skip("The full index is installed and has it.")
    with pytest.raises(NothingFound, match="not known where"):
        idc.objects("1.2.3")


# The gate


def test_listing_needs_no_grant_and_files_need_one(idc, here, one, twin, store):
    (first, *_) = idc.objects(one.series_uid)
    other = dataclasses.replace(one, series_uid=OTHER)
    before = len(twin.log)
    with (
        pytest.raises(GrantMismatch),
        idc.open_object(first, one.series_uid, granted(here, other), CancelToken()),
    ):
        pytest.fail("opened")
    with pytest.raises(GrantMismatch):
        fetch_series(one, idc, granted(here, other), store)
    assert len(twin.log) == before
    assert kept_files(store) == []


def test_a_grant_opens_no_other_folder(idc, here, one, twin):
    """Keys do not name the series, so its folder stands for it."""
    (nc, *_) = parse_series(series(twin, Collection=NC)).items
    (foreign, *_) = idc.objects(nc.series_uid)
    grant = granted(here, one)
    mine = object_uuid(one.series_uid)
    stem = foreign.key.rpartition("/")[2]
    before = len(twin.log)
    for key in (
        foreign.key,
        f"{mine}/../{foreign.key}",
        f"{mine}/%2e%2e/{foreign.key}",
        f"{mine}/x/{stem}",
        f"{mine}x/{stem}",
        f"{mine}/",
        f"{mine}/{stem}?versionId=1",
        "",
    ):
        with (
            pytest.raises(GrantMismatch),
            idc.open_object(BucketObject(key, 1), one.series_uid, grant, CancelToken()),
        ):
            pytest.fail(f"opened {key}")
    assert len(twin.log) == before


FOLDER = object_uuid(UID)
LIST = "/idc/idc-open-data"


@pytest.fixture
def small(settings):
    made = Transport(settings, read_timeout=1.0, backoff=0.01)
    yield Idc(made, settings)
    made.close()


def test_a_redirect_into_another_folder_is_not_followed(
    archive: SmallArchive, small, settings
):
    key = f"{FOLDER}/a.dcm"
    elsewhere = f"/idc/idc-open-data/{object_uuid(OTHER)}/a.dcm"
    archive.on(
        f"/idc/idc-open-data/{key}", Answer(status=307, headers={"Location": elsewhere})
    )
    archive.on(elsewhere, Answer(b"secret"))
    with (
        pytest.raises(GrantMismatch, match="folder of the series"),
        small.open_object(
            BucketObject(key, 6), UID, grant_for(settings), CancelToken()
        ),
    ):
        pytest.fail("opened")
    assert archive.count(elsewhere) == 0


def test_a_bucket_address_alone_is_not_enough(archive: SmallArchive, settings):
    """Whoever streams from the bucket has to name the folder of the series."""
    transport = Transport(settings)
    for below in ("", f"{settings.idc}/idc-open-data/{object_uuid(OTHER)}"):
        with (
            pytest.raises(GrantMismatch),
            transport.stream(
                f"{settings.idc}/idc-open-data/{FOLDER}/a.dcm",
                grant=grant_for(settings),
                series_uid=UID,
                below=below,
            ),
        ):
            pytest.fail("opened")
    assert archive.asked == []


# Faults of the bucket


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("bucket-404", NothingFound),
        ("bucket-403", UnexpectedReply),
        ("bucket-503", ServerFault),
        ("bucket-cut", Truncated),
    ],
)
@pytest.mark.parametrize("path", ["", "@path=.dcm"], ids=["at once", "at the files"])
def test_f24_a_fault_of_the_bucket_leaves_nothing(
    fault, error, path, idc, here, one, store, faulty
):
    faulty(fault + path)
    with pytest.raises(error):
        fetch_series(one, idc, granted(here, one), store, pause=0.01)
    assert not [f for f in kept_files(store) if f.suffix in (".dcm", ".json")]
    assert store.find(here.archive_host, one.series_uid) is None


@pytest.mark.parametrize("fault", ["bucket-cut", "bucket-503"])
def test_f24_a_fault_that_passes_costs_one_request(
    fault, idc, here, one, store, faulty, twin
):
    faulty(f"{fault}@path=.dcm,after=20,count=2")
    before = len(twin.log)
    stored = fetch_series(one, idc, granted(here, one), store, pause=0.01)
    assert stored.files == one.images
    files = [r for r in twin.log[before:] if ".dcm" in r.path]
    assert len(files) == one.images + 2


def listing(*entries: tuple[str, int, str], more: str = "") -> Answer:
    rows = "".join(
        f"<Contents><Key>{key}</Key><Size>{size}</Size><ETag>{etag}</ETag></Contents>"
        for key, size, etag in entries
    )
    token = f"<NextContinuationToken>{more}</NextContinuationToken>" if more else ""
    return Answer(
        f'<?xml version="1.0"?><ListBucketResult>{token}<IsTruncated>'
        f"{str(bool(more)).lower()}</IsTruncated>{rows}</ListBucketResult>".encode()
    )


def serve(archive: SmallArchive, files: dict[str, bytes], **etags: str) -> None:
    """Put files into the folder of `UID`, each with its MD5."""
    rows = []
    for name, data in files.items():
        md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
        etag = etags.get(name, f"&quot;{md5}&quot;")
        rows.append((f"{FOLDER}/{name}.dcm", len(data), etag))
        archive.on(f"{LIST}/{FOLDER}/{name}.dcm", Answer(data))
    archive.on(LIST, listing(*rows))


GOOD = {f"i{n}": data for n, data in enumerate(INSTANCES.values())}


def run(small, settings, store, one=SERIES, **options):
    options = {"pause": 0.01, **options}
    return fetch_series(one, small, grant_for(settings), store, **options)


def test_a_small_bucket_is_read(archive: SmallArchive, small, settings, store):
    serve(archive, GOOD)
    stored = run(small, settings, store)
    assert {p.name: p.read_bytes() for p in stored.path.glob("*.dcm")} == {
        f"{sop}.dcm": data for sop, data in INSTANCES.items()
    }
    assert archive.asked[0].query == {"list-type": ["2"], "prefix": [f"{FOLDER}/"]}
    assert all("Authorization" not in asked.headers for asked in archive.asked)


def test_without_declared_counts_the_bucket_decides(
    archive: SmallArchive, small, settings, store
):
    serve(archive, GOOD)
    unknown = dataclasses.replace(SERIES, images=None, bytes=None)
    assert run(small, settings, store, unknown).files == 5


def test_an_etag_of_many_parts_says_nothing(
    archive: SmallArchive, small, settings, store
):
    serve(archive, GOOD, i0="&quot;00000000000000000000000000000000-2&quot;")
    assert run(small, settings, store).files == 5


LARGE = part10(UID, f"{UID}.9", size=200_000)
SOME = dataclasses.replace(SERIES, images=1, bytes=len(LARGE))


@pytest.mark.parametrize("ranges", [True, False], ids=["ranges", "no ranges"])
def test_a_file_is_taken_up_where_it_broke_off(
    ranges, archive: SmallArchive, small, settings, store
):
    """Where a server ignores the wish it sends all again (RFC 9110 14.2)."""
    serve(archive, {"large": LARGE})
    wishes: list[int] = []

    def plan(count, query):
        if count == 1:
            return Answer(LARGE, cut=150_000)
        said = archive.asked[-1].headers["Range"]
        start = int(said.removeprefix("bytes=").removesuffix("-"))
        wishes.append(start)
        if not ranges:
            return Answer(LARGE)
        of = f"bytes {start}-{len(LARGE) - 1}/{len(LARGE)}"
        return Answer(LARGE[start:], 206, {"Content-Range": of})

    archive.on(f"{LIST}/{FOLDER}/large.dcm", plan)
    stored = run(small, settings, store, SOME)
    assert (stored.path / f"{UID}.9.dcm").read_bytes() == LARGE
    assert len(wishes) == 1
    assert 0 < wishes[0] <= 150_000


def test_another_part_than_was_asked_for_is_refused(
    archive: SmallArchive, small, settings, store
):
    serve(archive, {"large": LARGE})
    of = {"Content-Range": f"bytes 0-{len(LARGE) - 1}/{len(LARGE)}"}
    archive.on(
        f"{LIST}/{FOLDER}/large.dcm",
        lambda n, _: Answer(LARGE, cut=150_000) if n == 1 else Answer(LARGE, 206, of),
    )
    with pytest.raises(UnexpectedReply, match="were asked for"):
        run(small, settings, store, SOME)
    assert not [f for f in kept_files(store) if f.suffix in (".dcm", ".json")]


@pytest.mark.parametrize(
    ("start", "stop"), [(0, None), (0, 10), (5, 10), (4000, None), (5, 5)]
)
def test_a_part_of_a_file(start, stop, idc, here, one):
    (first, *_) = idc.objects(one.series_uid)
    grant = granted(here, one)

    def read(**span):
        with idc.open_object(
            first, one.series_uid, grant, CancelToken(), **span
        ) as chunks:
            return b"".join(chunks)

    assert read(start=start, stop=stop) == read()[start:stop]


ENTITY = (
    b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
    b"<ListBucketResult><IsTruncated>false</IsTruncated><Name>&a;</Name>"
    b"</ListBucketResult>"
)
ROW = (f"{FOLDER}/a.dcm", 5, "x")
BROKEN_LISTS = {
    "page": Answer(b"<html>maintenance</html>"),
    "cut": Answer(b"<ListBucketResult><IsTruncated>false"),
    "nothing": Answer(b""),
    "json": Answer(b"[]"),
    "entity": Answer(ENTITY),
    "error as 200": Answer(b"<Error><Code>SlowDown</Code></Error>"),
    "does not say": Answer(b"<ListBucketResult></ListBucketResult>"),
    "goes on without a token": Answer(
        b"<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>"
    ),
    "another folder": listing((f"{object_uuid(OTHER)}/a.dcm", 5, "x")),
    "climbs": listing((f"{FOLDER}/../{object_uuid(OTHER)}/a.dcm", 5, "x")),
    "no DICOM": listing(ROW, (f"{FOLDER}/readme.txt", 5, "x")),
    "no size": listing((f"{FOLDER}/a.dcm", -5, "x")),
    "without end": listing(ROW, more="again"),
    "empty page that goes on": listing(more="again"),
}


@pytest.mark.parametrize("name", BROKEN_LISTS)
def test_a_list_that_is_not_whole_is_an_error(
    name, archive: SmallArchive, small, settings, store
):
    archive.on(LIST, BROKEN_LISTS[name])
    with pytest.raises(UnexpectedReply):
        run(small, settings, store)
    assert archive.count(LIST) <= 2
    assert {asked.path for asked in archive.asked} == {LIST}
    assert kept_files(store) == []


def test_an_empty_folder_is_nothing_found(
    archive: SmallArchive, small, settings, store
):
    archive.on(LIST, listing((f"{FOLDER}/", 0, "x")))
    with pytest.raises(NothingFound, match="newer version"):
        run(small, settings, store)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"images": 7}, Truncated),
        ({"images": 3}, CorruptData),
        ({"bytes": 10}, CorruptData),
        ({"bytes": 10**6}, Truncated),
    ],
)
def test_another_version_is_noticed_before_a_file_is_fetched(
    change, error, archive: SmallArchive, small, settings, store
):
    serve(archive, GOOD)
    with pytest.raises(error, match="different versions"):
        run(small, settings, store, dataclasses.replace(SERIES, **change))
    assert {asked.path for asked in archive.asked} == {LIST}


@pytest.mark.parametrize(
    "name", ["other bytes", "longer", "another series", "no DICOM"]
)
def test_wrong_files_are_not_kept(name, archive: SmallArchive, small, settings, store):
    serve(archive, GOOD)
    path = f"{LIST}/{FOLDER}/i3.dcm"
    right = GOOD["i3"]
    unknown = dataclasses.replace(SERIES, images=None, bytes=None)
    if name == "other bytes":
        archive.on(path, Answer(right[:-1] + bytes([right[-1] ^ 1])))
    elif name == "longer":
        archive.on(path, Answer(right + b"more"))
    elif name == "another series":
        serve(archive, GOOD | {"i3": part10(OTHER, f"{OTHER}.1")})
    else:
        serve(archive, GOOD | {"i3": b"GIF89a" * 50})
    with pytest.raises(TciaError) as caught:
        run(small, settings, store, unknown)
    assert caught.value.exit_code == 6
    # Bytes that differ from the list may be better the next time.
    assert archive.count(path) == (3 if name in ("other bytes", "longer") else 1)
    assert kept_files(store) == []


def test_cancel_between_and_within_files(archive: SmallArchive, settings, store):
    """With the real time-outs, so that only the cancel can end it."""
    serve(archive, GOOD)
    archive.on(f"{LIST}/{FOLDER}/i3.dcm", Answer(GOOD["i3"], stall=1000))
    patient = Idc(Transport(settings), settings)
    token = CancelToken()
    outcome: list[BaseException] = []

    def work() -> None:
        try:
            run(patient, settings, store, token=token)
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


# The use case: NBIA first, the bucket where it fails


@pytest.fixture
def services(here, call_env) -> Services:
    return Services.open(here)


@pytest.fixture
def call_env(twin, here, monkeypatch):
    """The command line on the embedded archive, without long pauses."""
    from napari_tcia.archive import http
    from napari_tcia.transfer import attempts

    for name, base in twin.bases.items():
        monkeypatch.setenv(f"NAPARI_TCIA_{name.upper()}", base)
    monkeypatch.setenv("NAPARI_TCIA_HOME", str(here.home))
    quick = {"connect_timeout": 1.0, "read_timeout": 1.0, "backoff": 0.01}
    monkeypatch.setattr(http.Transport.__init__, "__kwdefaults__", quick)
    options = fetch_series.__kwdefaults__ | {"pause": 0.01, "patience": 5.0}
    monkeypatch.setattr(fetch_series, "__kwdefaults__", options)
    assert attempts.LONGEST_WAIT == 20.0


@pytest.fixture
def accepted(call_env, call):
    assert call("accept", LNQ, "--yes", "--name", "N")[0] == 0


def below(home: Path) -> list[Path]:
    return [p for p in (home / "store").rglob("*") if p.suffix in (".dcm", ".json")]


@pytest.mark.parametrize(
    "fault",
    [
        "error-502@path=getImage",
        "image-500",
        "error-503@path=getImage",
        "cut",
        "stall",
        "short-zip+error-500@path=getSingleImage",
        "html-200",
        "busy",
        "redirect",
    ],
)
def test_where_nbia_fails_the_bucket_serves(fault, accepted, faulty, call, one, here):
    faulty(fault)
    code, answer = call("get", one.series_uid)
    assert code == 0, answer
    (row,) = answer["series"]
    assert (row["state"], row["source"]) == ("done", "idc")
    (issue,) = answer["issues"]
    assert (issue["level"], issue["code"]) == ("info", "other_archive")
    assert issue["numbers"]["series_uid"] == one.series_uid
    assert (row["files"], row["bytes"]) == (one.images, one.bytes)
    faulty(None)
    kept = sums(Path(row["path"]))
    # Fetched once more from NBIA elsewhere: the very same files.
    code, answer = call("get", one.series_uid, "-o", here.home.parent / "own")
    assert (code, answer["series"][0]["source"]) == (0, "nbia")
    assert sums(Path(answer["series"][0]["path"])) == kept


def test_what_came_from_the_bucket_is_there(accepted, faulty, call, one):
    faulty("image-500")
    assert call("get", one.series_uid)[0] == 0
    faulty(None)
    code, answer = call("get", one.series_uid)
    assert (code, answer["series"][0]["state"]) == (0, "present")
    assert answer["series"][0]["source"] == "idc"


@pytest.mark.parametrize("bucket", ["404", "403", "503", "cut"])
def test_with_both_down_nothing_is_left_and_the_code_is_5(
    bucket, accepted, faulty, call, one, here
):
    faulty(f"image-500+bucket-{bucket}")
    code, answer = call("get", one.series_uid)
    assert code == 5
    assert answer["error"]["code"] == "server_fault"
    assert "500" in answer["error"]["message"]
    codes = {issue["code"] for issue in answer["issues"]}
    assert codes == {"other_archive_failed", "server_fault"}
    assert below(here.home) == []


@pytest.mark.parametrize("fault", ["no-access", "error-401@path=getImage"])
def test_a_refusal_is_not_walked_around(fault, accepted, faulty, call, one, twin):
    """What the archive does not give out any more may have been withdrawn."""
    faulty(fault)
    before = len(twin.log)
    code, answer = call("get", one.series_uid)
    assert (code, answer["error"]["code"]) == (5, "unexpected_reply")
    assert not [r for r in twin.log[before:] if "idc-open-data" in r.path]


def test_without_accepted_terms_neither_archive_is_asked(
    call_env, faulty, call, one, twin, here
):
    faulty("image-500")
    for source in ("auto", "nbia", "idc"):
        before = len(twin.log)
        code, answer = call("get", one.series_uid, "--source", source)
        assert (code, answer["error"]["code"]) == (3, "terms_not_accepted")
        asked = [r.path for r in twin.log[before:]]
        assert asked
        assert not [path for path in asked if "getImage" in path or ".dcm" in path]
    assert below(here.home) == []


def test_one_archive_alone(accepted, faulty, call, one, twin, here):
    faulty("image-500")
    code, answer = call("get", one.series_uid, "--source", "nbia")
    assert (code, answer["error"]["code"]) == (5, "server_fault")
    assert below(here.home) == []
    before = len(twin.log)
    code, answer = call("get", one.series_uid, "--source", "idc")
    assert (code, answer["series"][0]["source"], answer["issues"]) == (0, "idc", [])
    assert not [r for r in twin.log[before:] if "getImage" in r.path]
    code, answer = call("get", one.series_uid, "--source", "elsewhere")
    assert code == 2


def test_both_are_compared_and_nothing_is_kept(accepted, call, one, here, twin):
    before = len(twin.log)
    code, answer = call("get", one.series_uid, "--verify-both")
    assert code == 0, answer
    (found,) = answer["records"]
    assert (found["series_uid"], found["same"]) == (one.series_uid, one.images)
    assert (found["differing"], found["only_nbia"], found["only_idc"]) == ([], [], [])
    assert found["pixels_equal"] is True
    asked = [r.path for r in twin.log[before:]]
    assert any("getImage" in path for path in asked)
    assert sum(path.endswith(".dcm") for path in asked) >= one.images
    assert below(here.home) == []
    assert not list(here.home.rglob("*.dcm"))


def test_what_differs_between_the_two_is_named(twin, here, transport, idc, tmp_path):
    one = parse_series(series(twin, Collection=LNQ, Modality="CT")).items[0]
    grant = granted(here, one)
    nbia = fetch_series(one, Nbia(transport, here), grant, Store(tmp_path / "nbia"))
    other = fetch_series(one, idc, grant, Store(tmp_path / "idc"))
    record = other.path / "complete.json"
    listed = json.loads(record.read_text())
    images = [f for f in listed["files"] if f["name"].endswith(".dcm")]
    images[0]["sha256"] = "0" * 64
    gone, spoilt = images[1]["name"], images[2]["name"]
    listed["files"].remove(images[1])
    record.write_text(json.dumps(listed))
    data = bytearray((other.path / spoilt).read_bytes())
    data[-1] ^= 64
    (other.path / spoilt).write_bytes(data)
    found = _compare(one, nbia, other)
    assert found.differing == (images[0]["name"].removesuffix(".dcm"),)
    assert found.only_nbia == (gone.removesuffix(".dcm"),)
    assert (found.only_idc, found.pixels_equal, found.equal) == ((), False, False)
    assert found.same == one.images - 2


def test_a_silent_nbia_is_waited_for_side_by_side(accepted, faulty, call, one, twin):
    faulty("stall@bytes=0")
    (seg, *_) = parse_series(series(twin, Collection=LNQ, Modality="SEG")).items
    before = len(twin.log)
    code, answer = call("get", one.series_uid, seg.series_uid)
    assert code == 0, answer
    assert {row["source"] for row in answer["series"]} == {"idc"}
    images = [r for r in twin.log[before:] if "getImage" in r.path]
    # Both were under way when it fell silent: three tries each, at the same time.
    assert 0 < len(images) <= 3 * 2


def test_provenance_and_citation_know_the_bucket(accepted, faulty, call, one, services):
    faulty("image-500")
    assert call("get", one.series_uid)[0] == 0
    kept = fetch.stored(services, one.series_uid)
    facts = folder.stored_facts(services, kept)
    assert (facts.source, facts.origin, facts.terms) == ("idc", "archive", "accepted")
    assert facts.archive_host == services.settings.archive_host
    assert facts.licence_name == one.licence_name
    # Synthetic data cites the phantom; the same facts of a real series cite IDC too.
    assert [c.kind for c in credit.citations([facts])] == ["synthetic"]
    real = dataclasses.replace(
        facts, series_uid="1.2", study_uid="1.3", synthetic=False
    )
    keys = {c.key for c in credit.citations([real])}
    own = {c.key for c in credit.citations([dataclasses.replace(real, source="nbia")])}
    assert keys - own == {"10.1148/rg.230180"}


def test_the_same_volume_from_both(accepted, faulty, call, one, services):
    import numpy as np

    code, answer = call("get", one.series_uid)
    assert (code, answer["series"][0]["source"]) == (0, "nbia")
    (first,) = open_case(services, one.series_uid)
    other = services.settings.home.parent / "elsewhere"
    again = Services.open(dataclasses.replace(services.settings, home=other))
    from napari_tcia.app import agree

    agree.accept(again, agree.terms_of_collection(again, LNQ), "N")
    faulty("image-500")
    (second,) = open_case(again, one.series_uid)
    assert second.volume.provenance.source == "idc"
    assert first.volume.provenance.source == "nbia"
    np.testing.assert_array_equal(first.volume.array, second.volume.array)
    np.testing.assert_array_equal(first.volume.affine, second.volume.affine)
    assert [n.id for n in first.nodes] == [n.id for n in second.nodes]
