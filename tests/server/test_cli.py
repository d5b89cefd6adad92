"""The command line against the embedded archive: JSON, exit codes, the gate."""

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from napari_tcia.archive.manifest import parse_manifest
from napari_tcia.cli import run
from napari_tcia.demo.server import EmbeddedArchive

COLLECTION = "CT Lymph Nodes"


@pytest.fixture(scope="module")
def archive():
    with EmbeddedArchive(cases=2) as server:
        yield server


@pytest.fixture
def at(archive, tmp_path, monkeypatch):
    """Environment of a fresh user at the embedded archive."""

    def enter(server):
        for name, base in server.bases.items():
            monkeypatch.setenv(f"NAPARI_TCIA_{name.upper()}", base)

    enter(archive)
    monkeypatch.setenv("NAPARI_TCIA_HOME", str(tmp_path / "home"))
    return enter


@pytest.fixture
def call(at, capsys):
    """Run a command with --json; return exit code and the one object."""

    def run_json(*arguments):
        capsys.readouterr()
        code = run([*map(str, arguments), "--json"])
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) == 1, "exactly one JSON object goes to stdout"
        return code, json.loads(lines[0])

    return run_json


@pytest.fixture
def accepted(call):
    code, answer = call("accept", COLLECTION, "--yes", "--name", "Žofie N.")
    assert code == 0, answer
    return answer


def rows(call, *arguments):
    code, answer = call("search", *arguments)
    assert code == 0, answer
    return answer["series"]


def a_case(call):
    """Patient of the archive, with CT and SEG rows."""
    found = rows(call, "--collection", COLLECTION)
    patient = found[0]["patient_id"]
    return patient, {r["modality"]: r for r in found if r["patient_id"] == patient}


def pixel_requests(archive):
    pixels = re.compile(r"getImage|getSingleImage|/files/")
    return [record for record in archive.log if pixels.search(record.path)]


def test_collections_of_the_archive(call):
    code, answer = call("collections")
    names = {c["name"] for c in answer["collections"]}
    assert code == 0
    assert {COLLECTION, "Mediastinal-Lymph-Node-SEG"} <= names


def test_search_rows_carry_the_contract(call):
    found = rows(call, "--collection", COLLECTION, "--modality", "CT")
    keys = {
        "series_uid",
        "study_uid",
        "patient_id",
        "collection",
        "modality",
        "description",
        "images",
        "bytes",
        "licence",
        "doi",
    }
    assert len(found) == 2
    for row in found:
        assert keys <= set(row)
        assert row["licence"] == "CC BY 3.0"
        assert row["doi"].lower() == "10.7937/k9/tcia.2015.aqiidcnm"
        assert row["series_uid"].startswith("61.7.0.999.")
        assert row["images"] > 0
        assert row["has_labels"] is True


def test_nothing_found_is_4(call):
    code, answer = call("search", "--collection", COLLECTION, "--patient", "NOBODY")
    assert (code, answer["series"]) == (4, [])
    code, answer = call("get", "1.2.3.4.5")
    assert (code, answer["error"]["code"]) == (4, "nothing_found")


def test_offline_search_with_the_index_knows_every_series(call, archive):
    pytest.importorskip("idc_index_data", reason="the extra idc is not installed")
    before = len(archive.log)
    code, answer = call("search", "--offline", "--patient", "LIDC-IDRI-0314")
    assert code == 0
    (ct,) = [row for row in answer["series"] if row["modality"] == "CT"]
    assert (ct["collection"], ct["has_labels"]) == ("LIDC-IDRI", True)
    assert {issue["code"] for issue in answer["issues"]} == {"idc_index"}
    assert len(archive.log) == before


def test_offline_search_asks_nobody(call, archive):
    before = len(archive.log)
    found = rows(call, "--collection", COLLECTION, "--offline")
    assert len(found) == 352
    assert len(archive.log) == before


def test_empty_answer_for_a_known_collection_is_5(call):
    code, answer = call("search", "--collection", "LIDC-IDRI")
    assert code == 5
    assert "LIDC-IDRI" in answer["issues"][0]["message"]


def test_archive_down_is_5_with_the_catalogue(call, monkeypatch):
    monkeypatch.setenv("NAPARI_TCIA_ARCHIVE", "http://127.0.0.1:9/api")
    code, answer = call("search", "--collection", COLLECTION, "--modality", "SEG")
    assert code == 5
    assert len(answer["series"]) == 176
    assert answer["issues"][0]["code"] == "unreachable"
    code, answer = call("get", "SOMEBODY")
    assert (code, answer["error"]["hint"] != "") == (5, True)
    # The catalogue knows the case, and so what stands before it.
    code, answer = call("get", "MED_LYMPH_001")
    assert (code, answer["error"]["code"]) == (3, "terms_not_accepted")


def test_no_pixel_is_requested_before_acceptance(call, archive):
    _, case = a_case(call)
    before = len(pixel_requests(archive))
    for target in (case["CT"]["series_uid"], case["CT"]["patient_id"]):
        for command in ("get", "nodes"):
            code, answer = call(command, target)
            assert (code, answer["error"]["code"]) == (3, "terms_not_accepted")
            assert COLLECTION in answer["error"]["hint"]
    assert len(pixel_requests(archive)) == before


@pytest.mark.parametrize("answer", ["", "n\n", "y\n"])
def test_accept_needs_a_person_or_yes(call, monkeypatch, answer):
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    code, _ = call("accept", COLLECTION)
    assert code == 3, "a name belongs to it"
    assert call("ledger")[1]["records"] == []
    monkeypatch.setattr("sys.stdin", io.StringIO("y\nŽofie N.\n"))
    assert call("accept", COLLECTION)[0] == 0
    assert call("ledger")[1]["records"][0]["name"] == "Žofie N."


def test_yes_without_name_records_the_account_and_says_so(call, capsys):
    capsys.readouterr()
    assert run(["accept", COLLECTION, "--yes"]) == 0
    said = capsys.readouterr()
    assert "account name" in said.err
    assert call("ledger")[1]["records"][0]["name"]


def test_get_is_verified_and_kept_byte_for_byte(call, accepted):
    _, case = a_case(call)
    code, answer = call("get", case["CT"]["series_uid"])
    row = answer["series"][0]
    files = sorted(Path(row["path"]).glob("*.dcm"))
    assert (code, row["state"], row["source"]) == (0, "done", "nbia")
    assert len(files) == row["files"] == case["CT"]["images"]
    assert sum(f.stat().st_size for f in files) == row["bytes"] == case["CT"]["bytes"]
    assert (Path(row["path"]) / "LICENSE").is_file()
    assert call("get", case["CT"]["series_uid"])[1]["series"][0]["state"] == "present"


def test_revoke_closes_kept_data_again(call, accepted):
    _, case = a_case(call)
    _, answer = call("get", case["SEG"]["series_uid"])
    path = answer["series"][0]["path"]
    assert call("revoke", COLLECTION)[0] == 0
    assert call("get", case["SEG"]["series_uid"])[0] == 3
    assert call("nodes", path)[0] == 3
    assert Path(path).is_dir(), "closing never deletes"
    assert call("ledger", "--verify")[0] == 0


def test_ledger_edit_is_6(call, accepted, tmp_path):
    ledger = tmp_path / "home" / "ledger.jsonl"
    text = ledger.read_text(encoding="utf-8")
    assert "Žofie" in text
    ledger.write_text(text.replace("Žofie", "Sophie"), encoding="utf-8")
    code, answer = call("ledger", "--verify")
    assert code == 6
    assert answer["issues"]
    assert call("get", "MED_LYMPH_001")[0] == 6, "a forged record opens nothing"


def test_acceptance_of_one_archive_opens_no_other(call, accepted, at):
    _, case = a_case(call)
    with EmbeddedArchive(cases=2) as other:
        at(other)
        assert call("get", case["CT"]["series_uid"])[0] == 3
        assert pixel_requests(other) == []


def test_patient_brings_ct_and_annotations_and_nodes(call, accepted):
    patient, case = a_case(call)
    code, answer = call("get", patient)
    assert code == 0, answer
    assert {r["series_uid"] for r in answer["series"]} == {
        case["CT"]["series_uid"],
        case["SEG"]["series_uid"],
    }
    code, answer = call("nodes", patient)
    assert code == 0, answer
    assert "fail" not in {c["verdict"] for c in answer["verification"]}
    assert len(answer["nodes"]) > 0
    for node in answer["nodes"]:
        assert node["source"] in ("seg+points", "seg")
        assert 3 < node["short_axis_mm"] <= node["long_axis_mm"] < 60
        assert node["size_class"]
    cited = answer["citations"]
    assert [c["kind"] for c in cited] == ["synthetic"], "never the real dataset"


def test_nodes_csv_carries_the_credit(call, accepted, capsys):
    patient, _ = a_case(call)
    capsys.readouterr()
    assert run(["nodes", patient, "--csv"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("# ")
    assert "SYNTHETIC" in lines[0].upper()
    assert lines[1].split(",")[:4] == ["case", "id", "label", "source"]


def test_folder_of_the_user_opens_without_terms(call, accepted, tmp_path):
    patient, case = a_case(call)
    own = tmp_path / "mine"
    assert call("get", patient, "-o", own)[0] == 0
    call("revoke", COLLECTION)
    code, answer = call("inspect", own)
    assert (code, answer["passports"][0]["verdict"]) == (0, "pass")
    assert answer["passports"][0]["shape"][0] == case["CT"]["images"]
    code, answer = call("nodes", own)
    assert code == 0, answer
    assert answer["nodes"]


def test_missing_slice_warns_and_mixed_series_fails(call, accepted, tmp_path):
    found = rows(call, "--collection", COLLECTION, "--modality", "CT")
    folders = []
    for row in found:
        answer = call("get", row["series_uid"], "-o", tmp_path / "own")[1]
        folders.append(Path(answer["series"][0]["path"]))
    files = sorted(folders[0].glob("*.dcm"))
    by_place = sorted(files, key=lambda f: _z(f))
    by_place[len(files) // 2].unlink()
    code, answer = call("inspect", folders[0])
    passport = answer["passports"][0]
    assert (code, passport["verdict"]) == (0, "warn")
    assert "missing_slices" in {
        c["code"] for c in passport["checks"] if c["verdict"] == "warn"
    }
    shutil.copy(next(folders[1].glob("*.dcm")), folders[0] / "stray.dcm")
    code, answer = call("inspect", folders[0])
    assert (code, answer["error"]["code"]) == (6, "mixed_series")


def _z(path):
    import pydicom

    return float(pydicom.dcmread(path, stop_before_pixels=True).ImagePositionPatient[2])


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("short-zip+error-500@path=getSingleImage", 5),
        ("cut", 5),
        ("html-200", 5),
        ("wrong-series", 6),
    ],
)
def test_faulty_downloads_leave_nothing(call, at, fault, code, tmp_path):
    with EmbeddedArchive(cases=1, fault=fault) as faulty:
        at(faulty)
        assert call("accept", COLLECTION, "--yes", "--name", "n")[0] == 0
        _, case = a_case(call)
        got, answer = call("get", case["CT"]["series_uid"], "--source", "nbia")
    assert got == code, answer
    assert answer["error"]["message"]
    assert answer["series"][0]["state"] == "failed"
    assert list((tmp_path / "home" / "store").rglob("*.dcm")) == []


def test_what_a_short_zip_lacks_is_fetched_singly(call, at, tmp_path):
    with EmbeddedArchive(cases=1, fault="short-zip") as faulty:
        at(faulty)
        assert call("accept", COLLECTION, "--yes", "--name", "n")[0] == 0
        _, case = a_case(call)
        code, answer = call("get", case["CT"]["series_uid"], "--source", "nbia")
        asked = [r.path for r in faulty.log if "getSingleImage" in r.path]
    assert code == 0, answer
    (row,) = answer["series"]
    assert (row["state"], row["files"]) == ("done", case["CT"]["images"])
    assert 0 < len(asked) < row["files"] / 2


def test_licence_change_asks_again(call, accepted, at, archive, tmp_path):
    """The same archive comes back with another licence for the same series."""
    _, case = a_case(call)
    with EmbeddedArchive(cases=2, fault="licence-change") as changed:
        at(changed)
        call("accept", COLLECTION, "--yes", "--name", "n")
        code, answer = call("get", case["CT"]["series_uid"])
    assert code == 3, answer


def test_controlled_and_unlicensed_data_are_refused(call):
    code, answer = call("collections")
    names = [c["name"] for c in answer["collections"]]
    refused = {}
    for name in names:
        code, answer = call("accept", name, "--yes", "--name", "n")
        if code:
            refused[name] = (code, answer["error"]["code"])
    assert (3, "terms_unknown") in refused.values()


def test_cite_offline_in_every_format(call, monkeypatch):
    monkeypatch.setenv("NAPARI_TCIA_DATACITE", "http://127.0.0.1:9/")
    for what in (COLLECTION, "10.7937/k9/tcia.2015.aqiidcnm", "MED_LYMPH_021"):
        code, answer = call("cite", what)
        assert code == 0
        assert "10.7937/K9/TCIA.2015.AQIIDCNM" in answer["text"]
        assert "10.1007/s10278-013-9622-7" in answer["text"]
    for form, mark in [
        ("bibtex", "@"),
        ("ris", "TY  - "),
        ("csl-json", '"DOI"'),
        ("cff", "cff-version"),
    ]:
        assert mark in call("cite", COLLECTION, "--format", form)[1]["text"]
    assert call("cite", "no such thing")[0] == 4


def test_usage_error_is_2_and_one_object(call):
    code, answer = call("search", "--no-such-option")
    assert (code, answer["error"]["code"]) == (2, "usage_error")


def test_folder_without_dicom_is_4(call, tmp_path):
    (tmp_path / "notes.txt").write_text("nothing here")
    for command in ("inspect", "nodes"):
        code, answer = call(command, tmp_path)
        assert (code, answer["error"]["code"]) == (4, "no_dicom")
        code, answer = call(command, tmp_path / "no such folder")
        assert code == 4
        assert "no such folder" in answer["error"]["message"]


def test_unwritable_home_is_1_with_what_to_do(call, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NAPARI_TCIA_HOME", str(tmp_path / "file" / "home"))
    code, answer = call("collections")
    assert (code, answer["error"]["code"]) == (1, "not_writable")


def test_no_display_is_a_sentence(at, monkeypatch, capsys):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert run(["demo"]) == 1
    assert "display" in capsys.readouterr().err


@pytest.mark.parametrize("to", ["csv", "figure", "nifti", "seg", "slicer"])
def test_export_writes_what_it_says(call, accepted, tmp_path, to):
    patient, _ = a_case(call)
    names = {"csv": "nodes.csv", "seg": "nodes.seg.dcm"}
    out = tmp_path / "out" / names.get(to, "")
    code, answer = call("export", patient, "--to", to, "-o", out)
    assert code == 0, answer
    paths = [Path(r["path"]) for r in answer["records"]]
    assert paths
    assert all(p.is_file() for p in paths)
    (licence,) = [p for p in paths if p.name.endswith(".LICENSE.txt")]
    assert "distributed under" in licence.read_text(encoding="utf-8")


def test_exported_table_has_the_nodes(call, accepted, tmp_path):
    patient, _ = a_case(call)
    expected = call("nodes", patient)[1]["nodes"]
    call("export", patient, "--to", "csv", "-o", tmp_path / "nodes.csv")
    lines = [
        line
        for line in (tmp_path / "nodes.csv").read_text(encoding="utf-8").splitlines()
        if not line.startswith("#")
    ]
    assert len(lines) == len(expected) + 1


def test_serve_says_where_it_is_and_ends_when_told(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "napari_tcia", "serve", "--cases", "1"],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"NAPARI_TCIA_HOME": str(tmp_path)},
    )
    try:
        said = json.loads(process.stdout.readline())
        assert set(said) >= {"archive", "collections", "datacite", "idc", "files"}
        assert said["pid"] == process.pid
        with urllib.request.urlopen(
            f"{said['archive']}/v4/getCollectionValues", timeout=10
        ) as answer:
            assert {"Collection": COLLECTION} in json.load(answer)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)
    assert process.returncode in (0, -signal.SIGTERM)


def test_ctrl_c_is_130_and_leaves_no_half_series(at, tmp_path):
    with EmbeddedArchive(cases=1, fault="stall") as stalling:
        env = os.environ | {
            f"NAPARI_TCIA_{name.upper()}": base for name, base in stalling.bases.items()
        }
        env["NAPARI_TCIA_HOME"] = str(tmp_path / "home")
        command = [sys.executable, "-m", "napari_tcia"]
        subprocess.run(
            [*command, "accept", COLLECTION, "--yes", "--name", "n"],
            env=env,
            check=True,
            capture_output=True,
        )
        patient = json.loads(
            subprocess.check_output(
                [*command, "search", "--collection", COLLECTION, "--json"], env=env
            )
        )["series"][0]["patient_id"]
        process = subprocess.Popen(
            [*command, "get", patient, "--json"],
            env=env,
            stdout=subprocess.PIPE,
            text=True,
        )
        while not pixel_requests(stalling):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert json.loads(out)["error"]["code"] == "cancelled"
    # What another thread had finished by then stays, whole.
    left = (tmp_path / "home" / "store").rglob("*.dcm")
    assert [f for f in left if not (f.parent / "complete.json").exists()] == []


def test_python_api_is_the_same_pipeline(call, accepted, tmp_path):
    import napari_tcia as nt

    patient, case = a_case(call)
    nt.get(patient, tmp_path / "own")
    folder = tmp_path / "own"
    volume = nt.read_volume(folder, series_uid=case["CT"]["series_uid"])
    assert volume.array.dtype == np.int16
    seg = next(folder.rglob(f"{case['SEG']['series_uid']}/*.dcm"))
    labels = nt.read_labels(seg, volume)
    table = nt.node_table(volume, labels, None)
    assert len(table) == sum(len(one.segments) for one in labels)
    assert {"centroid_lps", "short_axis_mm", "volume_mm3"} <= set(table.columns)


@pytest.mark.parametrize("suffix", [".tcia", ".csv", ".s5cmd"])
def test_search_saves_a_manifest_that_names_the_same(call, tmp_path, suffix):
    file = tmp_path / f"cart{suffix}"
    listed = rows(call, "--collection", COLLECTION, "--save", file)
    named = parse_manifest(file).series_uids
    # The bundled catalogue cannot know where the embedded archive's files lie.
    assert suffix == ".s5cmd" or set(named) == {r["series_uid"] for r in listed}
    assert file.stat().st_size > 0


def test_search_takes_a_misspelt_name(call):
    found = rows(call, "--text", "CT Lymf Nodes")
    assert {r["collection"] for r in found} == {COLLECTION}


def test_offline_shows_the_last_listing_with_its_age(call):
    listed = rows(call, "--collection", COLLECTION)
    code, answer = call("search", "--collection", COLLECTION, "--offline")
    assert code == 0
    assert answer["series"] == listed
    (note,) = answer["issues"]
    assert (note["code"], note["numbers"]["age_days"]) == ("last_known", 0)


def test_refresh_prints_the_difference(call):
    code, answer = call("collections", "--refresh")
    assert code == 0
    assert answer["difference"]["series"][COLLECTION]["added"]
    assert answer["difference"]["sentences"]
