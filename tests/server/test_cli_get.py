"""No broken download is taken for a whole one, whatever is asked for."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from napari_tcia.app.fetch import SIDE_BY_SIDE
from small_archive import OTHER, UID, Answer, as_json, part10, zipped
from strict_archive import CC_BY_3, instances, row

SUPPLEMENT = "/files/MED_ABD_LYMPH_ANNOTATIONS.zip"
COMMAND = [sys.executable, "-m", "napari_tcia"]


@pytest.fixture
def accepted(strict, call):
    assert call("accept", "Twin", "--yes", "--name", "N")[0] == 0


def store():
    return Path(os.environ["NAPARI_TCIA_HOME"]) / "store"


def states(answer):
    return {one["series_uid"]: one["state"] for one in answer["series"]}


def test_undeclared_counts_are_compared_with_the_list(accepted, strict, call):
    """Rows may lack their counts; a short zip is short all the same."""
    strict.rows = [row(ImageCount=None, FileSize=None)]
    strict.sent = 3
    code, answer = call("get", UID)
    assert (code, answer["error"]["code"]) == (5, "truncated")
    assert list(store().rglob("*.dcm")) == []
    strict.sent = 5
    code, answer = call("get", UID)
    assert (code, answer["series"][0]["files"]) == (0, 5)


@pytest.mark.parametrize("said", ["0" * 32, "no checksum"])
def test_a_checksum_that_differs_is_6(accepted, strict, call, said):
    """Right count, right size, one wrong pixel."""
    strict.checksum_of_first = said
    code, answer = call("get", UID)
    assert (code, answer["error"]["code"]) == (6, "corrupt_data")
    assert list(store().rglob("*.dcm")) == []


def test_an_archive_without_checksums_is_asked_once(accepted, strict, call):
    strict.rows = [row(), row(OTHER)]
    strict.knows_checksums = False
    code, answer = call("get", UID, OTHER)
    assert (code, set(states(answer).values())) == (0, {"done"})
    assert strict.images_asked() == 3


def test_what_nothing_can_be_compared_with_is_refused(accepted, strict, call):
    strict.rows = [row(ImageCount=None, FileSize=None)]
    strict.listed = 0
    code, answer = call("get", UID)
    assert code == 5, answer
    assert list(store().rglob("*.dcm")) == []


def test_each_entry_of_a_manifest_stands_alone(accepted, strict, call, tmp_path):
    manifest = tmp_path / "löcher und mehr.tcia"
    manifest.write_bytes(
        "\ufeffdownloadServerUrl=https://elsewhere.invalid/x\r\n"
        "includeAnnotation=true\r\nnoOfrRetry=4\r\ndatabasketId=m.tcia\r\n"
        f"manifestVersion=3.0\r\nListOfSeriesToDownload=\r\nSeries ID\r\n{UID}\r\n"
        f"{OTHER}\r\n{UID}\r\n..".encode()
    )
    code, answer = call("get", manifest)
    assert code == 4
    assert states(answer) == {UID: "done"}
    codes = [issue["code"] for issue in answer["issues"]]
    assert codes.count("manifest_entry") == 1
    assert codes.count("nothing_found") == 1


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("m.csv", f'"Series UID","x"\n"{UID}","1"\n'),
        ("m.csv", f"x;SeriesInstanceUID\r\n1;{UID}"),
        ("m.tcia", f"ListOfSeriesToDownload=\n{UID}"),
        ("M.TCIA", f"ListOfSeriesToDownload={UID}\n"),
    ],
)
def test_manifests(accepted, call, tmp_path, name, text):
    (tmp_path / name).write_text(text)
    code, answer = call("get", tmp_path / name)
    assert (code, states(answer)) == (0, {UID: "done"})


@pytest.mark.parametrize(
    ("name", "text", "code"),
    [
        ("m.tcia", "nothing of it", 2),
        ("m.csv", "a,b\n1,2\n", 2),
        ("m.tcia", "ListOfSeriesToDownload=\n", 4),
        ("m.csv", "SeriesInstanceUID\n..\n", 4),
        ("m.s5cmd", "cp s3://b/00000000-0000-0000-0000-000000000000/* .\n", 4),
        ("absent.tcia", None, 4),
    ],
)
def test_manifests_that_name_nothing(
    accepted, strict, call, tmp_path, name, text, code
):
    if text is not None:
        (tmp_path / name).write_text(text)
    before = len(strict.asked)
    got, answer = call("get", tmp_path / name)
    assert (got, answer["series"]) == (code, [])
    assert len(strict.asked) == before


@pytest.mark.parametrize("target", ["", " ", "\t"])
def test_no_target_is_not_everything(accepted, strict, call, target):
    before = len(strict.asked)
    code, answer = call("get", target)
    assert (code, answer["error"]["code"]) == (2, "usage_error")
    assert len(strict.asked) == before


@pytest.mark.parametrize("target", ["..", ".", "1..", "1." + "2" * 65, "1.2.3/../4"])
def test_odd_uids(accepted, strict, call, target):
    code, answer = call("get", target)
    assert code in (2, 4)
    assert answer["error"]["message"]
    assert strict.images_asked() == 0


def test_only_what_was_asked_for_is_fetched(accepted, strict, call):
    """Even where the archive answers with more than it was asked for."""
    strict.rows = [row(), row(OTHER, PatientID="SOMEBODY")]
    strict.ignores_filters = True
    assert states(call("get", UID)[1]) == {UID: "done"}
    assert states(call("get", "TWIN_001")[1]) == {UID: "present"}
    found = call("search", "--patient", "somebody")[1]["series"]
    assert [one["series_uid"] for one in found] == [OTHER]
    assert call("search", "--collection", "Third")[0] == 4


def test_mixed_outcomes_name_the_gravest(accepted, strict, call):
    """3 before 6 before 5 before 4; what is finished stays."""
    strict.rows = [
        row(),
        row(f"{OTHER}.1", Collection="Not accepted"),
        row(f"{OTHER}.2"),
        row(f"{OTHER}.3"),
    ]

    def image(count, query):
        uid = query["SeriesInstanceUID"][0]
        files = list(instances(uid).values())
        files = files[:3] if uid == f"{OTHER}.2" else files
        files = [part10(OTHER, "1.2")] if uid == f"{OTHER}.3" else files
        return Answer(zipped([(f"{n}.dcm", data) for n, data in enumerate(files)]))

    strict.on("/nbia/v4/getImage", image)
    order = [UID, "NOBODY", f"{OTHER}.2", f"{OTHER}.3", f"{OTHER}.1"]
    for last, code in zip(range(1, 6), (0, 4, 5, 6, 3), strict=True):
        got, answer = call("get", *order[:last])
        assert got == code, answer
        assert states(answer)[UID] in ("done", "present")
        assert ("error" in answer) == bool(code)
    assert {one["series_uid"] for one in answer["series"]} == set(order) - {"NOBODY"}


@pytest.mark.parametrize("harm", ["delete", "alter", "add", "cut"])
def test_tampering_is_noticed_and_mended(accepted, call, harm):
    folder = Path(call("get", UID)[1]["series"][0]["path"])
    file = min(folder.glob("*.dcm"))
    data = file.read_bytes()
    if harm == "delete":
        file.unlink()
    elif harm == "alter":
        file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    elif harm == "add":
        shutil.copy(file, folder / "1.2.3.dcm")
    else:
        file.write_bytes(data[:-1])
    code, answer = call("get", UID)
    assert (code, states(answer)) == (0, {UID: "done"})
    assert file.read_bytes() == data
    assert len(list(folder.glob("*.dcm"))) == 5


def test_a_series_that_changed_at_the_archive_is_fetched_anew(accepted, strict, call):
    assert call("get", UID)[0] == 0
    strict.sent = strict.listed = 4
    smaller = sum(len(data) for data in list(instances(UID).values())[:4])
    strict.rows = [row(ImageCount=4, FileSize=smaller)]
    code, answer = call("get", UID)
    assert (code, states(answer), answer["series"][0]["files"]) == (0, {UID: "done"}, 4)


def test_a_silent_archive_is_waited_for_once(accepted, strict, call, monkeypatch):
    """Not once for each series, only for those that were under way already."""
    from napari_tcia.archive import http

    monkeypatch.setattr(http.Transport.__init__, "__kwdefaults__", {
        "connect_timeout": 1.0, "read_timeout": 0.2, "backoff": 0.01,
    })  # fmt: skip
    strict.rows = [row(f"{OTHER}.{n}") for n in range(12)]
    strict.on("/nbia/v4/getImage", Answer(b"PK", stall=1))
    code, answer = call("get", "TWIN_001")
    assert code == 5
    assert set(states(answer).values()) == {"failed"}
    assert len(answer["series"]) == 12
    assert strict.images_asked() <= 3 * SIDE_BY_SIDE


def lymph(strict, call, supplement):
    strict.rows = [row(Collection="CT Lymph Nodes")]
    strict.on(SUPPLEMENT, supplement)
    assert call("accept", "CT Lymph Nodes", "--yes", "--name", "N")[0] == 0
    return call("get", UID)


@pytest.mark.parametrize(
    "fault",
    [
        Answer(b"gone", 404),
        Answer(b"<html>down</html>"),
        Answer(zipped([("../x.txt", b"out")])),
        Answer(zipped([("x.txt", b"cut")])[:-9]),
    ],
)
def test_a_missing_supplement_hides_no_series_and_is_fetched_later(strict, call, fault):
    code, answer = lymph(strict, call, fault)
    assert (code, states(answer)) == (0, {UID: "done"})
    assert [one["code"] for one in answer["issues"]] == ["supplement_missing"]
    strict.on(SUPPLEMENT, Answer(zipped([("MED_LYMPH_001.txt", b"1 2 3\n")])))
    code, answer = call("get", UID)
    assert (code, states(answer), answer["issues"]) == (0, {UID: "present"}, [])
    assert len(list(store().rglob("MED_ABD_LYMPH_ANNOTATIONS.zip"))) == 1
    asked = strict.count(SUPPLEMENT)
    assert call("get", UID)[0] == 0
    assert strict.count(SUPPLEMENT) == asked


def test_the_other_published_zips_come_when_they_are_asked_for(strict, call):
    assert call("files", "get", "Twin")[0] == 4
    code, answer = call("files", "get", "CT Lymph Nodes")
    assert (code, answer["error"]["code"]) == (3, "terms_not_accepted")
    points = zipped([("MED_LYMPH_001.txt", b"1 2 3\n")])
    assert lymph(strict, call, Answer(points))[0] == 0
    masks = zipped([("MED_LYMPH_001_mask.nii.gz", b"mask")])
    strict.on("/files/MED_ABD_LYMPH_MASKS.zip", Answer(masks))
    strict.on("/files/MED_ABD_LYMPH_CANDIDATES.zip", Answer(b"gone", 404))
    code, answer = call("files", "get", "CT Lymph Nodes")
    kept = {one["name"]: Path(one["path"]) for one in answer["records"]}
    assert (code, list(kept)) == (
        0,
        ["MED_ABD_LYMPH_ANNOTATIONS.zip", "MED_ABD_LYMPH_MASKS.zip"],
    )
    assert kept["MED_ABD_LYMPH_MASKS.zip"].read_bytes() == masks
    (issue,) = answer["issues"]
    assert (issue["code"], issue["numbers"]["file"]) == (
        "supplement_missing",
        "MED_ABD_LYMPH_CANDIDATES.zip",
    )
    asked = strict.count(SUPPLEMENT)
    assert call("files", "get", "CT Lymph Nodes")[0] == 0
    assert strict.count(SUPPLEMENT) == asked


def test_a_supplement_comes_beside_the_series(strict, call):
    asked, beside = threading.Event(), []

    def supplement(*_):
        asked.set()
        return Answer(zipped([("MED_LYMPH_001.txt", b"1 2 3\n")]))

    def series(*_):
        beside.append(asked.wait(20))
        return Answer(zipped_series())

    strict.on("/nbia/v4/getImage", series)
    code, answer = lymph(strict, call, supplement)
    assert (code, states(answer), answer["issues"]) == (0, {UID: "done"}, [])
    assert beside == [True]


def test_a_failing_archive_is_not_also_blamed_for_the_supplement(strict, call):
    strict.on("/nbia/v4/getImage", Answer(b"gone", 404))
    code, answer = lymph(strict, call, Answer(b"gone", 404))
    assert (code, states(answer)) == (4, {UID: "failed"})
    assert "supplement_missing" not in [one["code"] for one in answer["issues"]]


def test_the_licence_text_is_kept_beside_the_images(accepted, call):
    folder = Path(call("get", UID)[1]["series"][0]["path"])
    assert b"License Information" in (folder / "LICENSE").read_bytes()


def test_hostile_rows_stay_words(strict, call, capsys):
    """Nothing of a row reaches a path, a terminal's controls or its markup."""
    from napari_tcia.cli import run

    nasty = "../../[bold red]x[/]\x1b[2J<script>\n\x07\u202e/etc/passwd"
    strict.rows = [
        row(PatientID=nasty, SeriesDescription=nasty, Collection=nasty, Modality=nasty),
        row("../../escape", FileSize=1),
        {"SeriesInstanceUID": None},
        {},
        row(f"{OTHER}.1", ImageCount="NaN", FileSize="Infinity"),
        row(f"{OTHER}.2", ImageCount=-5, FileSize="12 MB"),
    ]
    code, answer = call("search")
    assert code == 0
    assert len(answer["series"]) == 3
    assert {one["images"] for one in answer["series"]} == {5, None}
    assert run(["search"]) == 0
    shown = capsys.readouterr()
    assert not {"\x1b", "\x07", "\u202e"} & set(shown.out + shown.err)
    assert "[bold red]" in shown.out, "markup is shown, not obeyed"
    collection = answer["series"][0]["collection"]
    strict.ignores_filters = True
    assert call("accept", collection, "--yes", "--name", "[b]\x1b[2J")[0] == 0
    call("get", UID)
    home = Path(os.environ["NAPARI_TCIA_HOME"])
    found = {p.relative_to(home).parts[0] for p in home.rglob("*")}
    assert found <= {
        "store", "terms", "ledger.jsonl", "acceptance-head.json", ".acceptance.lock",
    }  # fmt: skip
    assert sorted(p.name for p in home.parent.iterdir()) == ["home"]


def test_broken_listings_are_5(accepted, strict, call):
    for body in (b"[{", b"{}", b'"x"', b"[NaN]", b"[" * 100_000, b"\xff\xfe", b"[5]"):
        strict.on("/nbia/v4/getSeries", Answer(body))
        code, answer = call("get", UID)
        assert (code, answer["error"]["code"]) == (5, "unexpected_reply"), body


def test_v1_spellings_are_read(accepted, strict, call):
    facts = row()
    old = {"Series UID": UID, "Subject ID": "TWIN_001", "Collection": "Twin"}
    old |= {"Number of Images": "5", "File Size": str(facts["FileSize"])}
    old |= {"License Name": CC_BY_3["LicenseName"], "Study Date": "08-29-2017"}
    strict.on("/nbia/v4/getSeries", as_json([old]))
    code, answer = call("get", UID)
    assert (code, states(answer)) == (0, {UID: "done"})


def test_killed_then_asked_again(accepted, strict, call):
    whole = strict.plans["/nbia/v4/getImage"]
    strict.on("/nbia/v4/getImage", Answer(b"".join([zipped_series()]), stall=9000))
    process = subprocess.Popen([*COMMAND, "get", UID], stderr=subprocess.DEVNULL)
    assert strict.silent.wait(60)
    process.kill()
    process.wait()
    strict.on("/nbia/v4/getImage", whole)
    code, answer = call("get", UID)
    assert (code, states(answer)) == (0, {UID: "done"})
    assert {p.parent.name for p in store().rglob("*.dcm")} == {UID}


def zipped_series():
    named = [(f"{n}.dcm", data) for n, data in enumerate(instances(UID).values())]
    return zipped(named)


def test_two_processes_fetch_once(accepted, strict):
    both = [
        subprocess.Popen([*COMMAND, "get", UID, "--json"], stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    said = [json.loads(one.communicate(timeout=60)[0]) for one in both]
    assert [one.returncode for one in both] == [0, 0], said
    assert strict.images_asked() == 1
    assert len(list(store().rglob("*.dcm"))) == 5


def test_ctrl_c_while_it_waits(accepted, strict):
    strict.on("/nbia/v4/getImage", Answer(zipped_series(), stall=9000))
    process = subprocess.Popen([*COMMAND, "get", UID, "--json"], stdout=subprocess.PIPE)
    assert strict.silent.wait(60)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert json.loads(out)["error"]["code"] == "cancelled"
    assert list(store().rglob("*.dcm")) == []
