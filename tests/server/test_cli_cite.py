"""Credit cannot be lost: offline, after a refusal, and for every kind of target."""

import os
from pathlib import Path

import pytest

from small_archive import UID, Answer, as_json
from strict_archive import row

DOI = "10.7937/K9/TCIA.2015.AQIIDCNM"
CSL = f"/datacite/dois/application/vnd.citationstyles.csl+json/{DOI}"
PAPER = "10.1007/s10278-013-9622-7"


def dois(answer):
    return [one["doi"] for one in answer["citations"]]


@pytest.mark.parametrize(
    "what",
    ["CT Lymph Nodes", "ct_lymph_nodes", DOI, f"https://doi.org/{DOI.lower()}",
     "MED_LYMPH_021", "LIDC-IDRI"],
)  # fmt: skip
@pytest.mark.parametrize("form", ["text", "bibtex", "ris", "csl-json", "cff"])
def test_cite_asks_nobody(strict, call, what, form):
    code, answer = call("cite", what, "--format", form)
    assert code == 0
    assert "10.7937/" in answer["text"].replace("\\_", "_")
    assert strict.asked == []


@pytest.mark.parametrize("what", ["", "  "])
def test_nothing_named_is_a_usage_error(strict, call, what):
    for command in (
        ["cite"],
        ["nodes"],
        ["inspect"],
        ["export", "--to", "csv", "-o", "x"],
    ):
        code, answer = call(command[0], what, *command[1:])
        assert (code, answer["error"]["code"]) == (2, "usage_error"), command


def test_cite_a_manifest(strict, call, tmp_path):
    manifest = tmp_path / "m.tcia"
    manifest.write_text(f"ListOfSeriesToDownload=\n{UID}\n1.2.3\n")
    code, answer = call("cite", manifest)
    assert (code, [one["kind"] for one in answer["citations"]]) == (0, ["synthetic"])


def test_a_twin_never_names_the_real_dataset_nor_stands_for_it(
    strict, call, monkeypatch
):
    strict.rows = [row(Collection="CT Lymph Nodes", PatientID="MED_LYMPH_001")]
    assert call("accept", "CT Lymph Nodes", "--yes", "--name", "N")[0] == 0
    path = call("get", UID)[1]["series"][0]["path"]
    for what in (UID, "MED_LYMPH_001", path):
        code, answer = call("cite", what)
        assert (code, [one["kind"] for one in answer["citations"]]) == (
            0,
            ["synthetic"],
        )
    monkeypatch.setenv("NAPARI_TCIA_ARCHIVE", "https://archive.invalid/services")
    assert DOI in dois(call("cite", "MED_LYMPH_001")[1])
    assert call("cite", UID)[1]["citations"][0]["kind"] == "synthetic"


def test_refresh_keeps_the_papers(strict, call):
    strict.on(CSL, as_json({
        "DOI": DOI.lower(), "type": "dataset", "title": "A title of today",
        "author": [{"family": "Roth", "given": "Holger"}], "publisher": "TCIA",
        "issued": {"date-parts": [[2015]]},
    }))  # fmt: skip
    code, answer = call("cite", "CT Lymph Nodes", "--refresh")
    assert code == 0, (answer, strict.asked)
    assert "A title of today" in answer["text"]
    assert {DOI.lower(), PAPER} <= {doi.lower() for doi in dois(answer)}
    assert answer["citations"][0]["licence"] == "CC BY 3.0"


@pytest.mark.parametrize(
    "item",
    [
        {"author": "Nobody", "issued": 5, "title": ["x"], "type": 7},
        {"author": [5, {"family": None}, {"literal": "\x1b[2J<b>X</b>\n"}]},
        {"issued": {"date-parts": [["2015-01", None]]}, "URL": {"a": 1}},
        {"issued": {"date-parts": []}, "id": None, "publisher": "a\nTY  - b"},
    ],
)
def test_whatever_datacite_says_stays_one_line(strict, call, item):
    strict.on(CSL, as_json({"DOI": DOI} | item))
    for form in ("text", "ris", "bibtex", "csl-json"):
        code, answer = call("cite", DOI, "--refresh", "--format", form)
        assert code == 0, answer
        assert "\x1b" not in answer["text"]
    first = call("cite", DOI, "--refresh")[1]["citations"][0]
    assert "\n" not in first["text"]


@pytest.mark.parametrize(
    ("said", "code"),
    [(Answer(b"", 404), 4), (Answer(b"<html>"), 5), (as_json({"DOI": "10.1/x"}), 5)],
)
def test_a_failing_datacite_is_said(strict, call, said, code):
    strict.on(CSL, said)
    assert call("cite", DOI, "--refresh")[0] == code
    assert call("cite", DOI)[0] == 0


def test_search_by_text_does_not_ask_for_everything(strict, call):
    strict.rows = [row(), row("61.7.0.999.7", Collection="Other", PatientID="P")]
    code, answer = call("search", "--text", "twin")
    assert (code, [one["series_uid"] for one in answer["series"]]) == (0, [UID])
    assert call("search", "--text", "no such word")[0] == 4
    series = [one for one in strict.asked if one.path.endswith("getSeries")]
    assert [one.query["Collection"] for one in series] == [["Twin"]]


def test_a_text_of_many_collections_names_them(strict, call):
    strict.rows = [row(f"61.7.0.999.{n}", Collection=f"Twin {n}") for n in range(5)]
    code, answer = call("search", "--text", "twin")
    assert (code, answer["series"]) == (4, [])
    assert answer["issues"][0]["numbers"]["collections"] == [
        f"Twin {n}" for n in range(5)
    ]
    assert strict.count("/nbia/v4/getSeries") == 0


def test_text_finds_the_same_as_the_browser(strict, call):
    from napari_tcia.app.services import Services
    from napari_tcia.app.state import find

    for text in ("twin", "TWIN_001", UID, "nothing such"):
        found = {r.series.series_uid for r in find(Services.open(), text).rows}
        listed = call("search", "--text", text)[1]["series"]
        assert {one["series_uid"] for one in listed} == found


def test_doctor_speaks_when_everything_is_down(strict, call, monkeypatch, tmp_path):
    for name in ("ARCHIVE", "COLLECTIONS", "DATACITE"):
        monkeypatch.setenv(f"NAPARI_TCIA_{name}", "http://127.0.0.1:9/x")
    code, answer = call("doctor")
    states = {one["what"]: one["state"] for one in answer["records"]}
    assert code == 0
    assert {states[n] for n in ("archive", "collections", "datacite")} == {"failed"}
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NAPARI_TCIA_HOME", str(tmp_path / "file" / "home"))
    code, answer = call("doctor")
    assert {one["what"]: one["state"] for one in answer["records"]}["home"] == "failed"


def test_json_on_a_narrow_stdout(strict, call):
    """Letters that stdout cannot hold are escaped, never an error."""
    import json
    import subprocess
    import sys

    strict.rows = [row(SeriesDescription="Žofie — 淋巴")]
    for encoding in ("ascii", "latin-1", "utf-8"):
        for more in ([], ["--json"]):
            done = subprocess.run(
                [sys.executable, "-m", "napari_tcia", "search", *more],
                env=os.environ | {"PYTHONIOENCODING": encoding},
                capture_output=True,
                timeout=60,
            )
            assert done.returncode == 0, done.stderr
        said = json.loads(done.stdout.decode(encoding))
        assert said["series"][0]["description"] == "Žofie — 淋巴"


def test_an_archive_at_an_ipv6_address_has_a_folder():
    from napari_tcia.core.settings import netloc
    from napari_tcia.transfer.store import Store

    host = netloc("http://[::1]:8080/nbia-api/services")
    assert Store(Path("x")).series_path(host, UID).parent.name == "__1_8080"
