"""Queues from a search, a manifest and tables; drafts that outlive their images."""

from __future__ import annotations

import gc
import json

import numpy as np
import pytest

import napari_tcia as nt
from napari_tcia.app import agree, drafting
from napari_tcia.app.case import open_case
from napari_tcia.app.queues import change, make_queue, queue_of, queues
from napari_tcia.app.search import search
from napari_tcia.app.services import Services
from napari_tcia.cli import run
from napari_tcia.core.model import SearchQuery
from napari_tcia.demo.server import EmbeddedArchive
from napari_tcia.errors import AccessError, NothingFound
from napari_tcia.review.queue import leave
from napari_tcia.transfer.space import make_room


@pytest.fixture(scope="module")
def archive():
    with EmbeddedArchive(cases=4) as running:
        yield running


@pytest.fixture
def services(archive, tmp_path, monkeypatch):
    for name, base in archive.bases.items():
        monkeypatch.setenv(f"NAPARI_TCIA_{name.upper()}", base)
    monkeypatch.setenv("NAPARI_TCIA_HOME", str(tmp_path / "home"))
    return Services.open(archive.settings(tmp_path / "home"))


def _patients(queue):
    return [one.patient_id for one in queue.cases]


def test_a_search_becomes_a_queue_without_a_download(services, archive):
    before = len(archive.log)
    made, issues = make_queue(services, "CT Lymph Nodes")
    assert _patients(made) == [
        "ABD_LYMPH_001",
        "MED_LYMPH_001",
        "MED_LYMPH_002",
        "MED_LYMPH_021",
    ]
    assert [i.code for i in issues] == ["same_scan_twice"]
    assert not any("getImage" in one.path for one in archive.log[before:])
    # Asked for again it goes on where it was; another choice is another queue.
    change(services, made.name, lambda now: leave(now, "done", seconds=7))
    again, _ = make_queue(services, "CT Lymph Nodes")
    assert again.cases[0].state == "done"
    other, _ = make_queue(services, "CT Lymph Nodes", blind=True)
    assert other.name != made.name
    found, _ = queues(services)
    assert {one.name for one in found} == {made.name, other.name}
    with pytest.raises(NothingFound):
        queue_of(services, "no such queue")


@pytest.mark.parametrize(
    "text",
    [
        "PatientID,note\nMED_LYMPH_021,=1\nMED_LYMPH_001,\nMED_LYMPH_021,\n",
        "\ufeffnote;Patient ID\n;MED_LYMPH_021\n;MED_LYMPH_001\n",
        "patient_id\r\nMED_LYMPH_021\r\n\r\nMED_LYMPH_001\r\n",
    ],
)
def test_a_table_of_patients(services, tmp_path, text):
    table = tmp_path / "mine.csv"
    table.write_text(text, encoding="utf-8")
    made, _ = make_queue(services, table)
    assert made.name == "mine"
    assert _patients(made) == ["MED_LYMPH_021", "MED_LYMPH_001"]


def test_a_manifest_and_a_table_of_series(services, tmp_path):
    listed = search(services, SearchQuery(collection="CT Lymph Nodes")).items
    images = [one for one in listed if one.modality == "CT"][:2]
    path = tmp_path / "two.tcia"
    assert run(["search", "--patient", images[0].patient_id, "--save", str(path)]) == 0
    made, _ = make_queue(services, path)
    assert _patients(made) == [images[0].patient_id]  # the SEG is no case
    table = tmp_path / "series.csv"
    rows = "\n".join(f"x,{one.series_uid}" for one in images)
    table.write_text(f"PatientID,SeriesInstanceUID\n{rows}\n")
    made, _ = make_queue(services, table)
    assert [one.series_uid for one in made.cases] == [one.series_uid for one in images]


def test_by_command(services, tmp_path, capsys):
    assert run(["queue", "make", "CT Lymph Nodes", "--name", "all", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert len(answer["records"][0]["cases"]) == 4
    assert [i["code"] for i in answer["issues"]] == ["same_scan_twice"]
    assert run(["queue", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["records"][0]["name"] == "all"
    out = tmp_path / "all.csv"
    assert run(["queue", "export", "all", "-o", str(out)]) == 0
    assert len(out.read_text().splitlines()) == 5
    assert run(["queue", "show", "all"]) == 0
    capsys.readouterr()
    assert run(["queue", "show", "all", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["records"][0]["cases"]) == 4
    assert run(["queue", "export", "all", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["records"]) == 4
    assert run(["queue", "export", "none"]) == 4
    assert run(["queue", "make", "NO_SUCH_PATIENT_999"]) == 4
    assert [one.name for one in nt.queues()] == ["all"]


@pytest.fixture
def drawn(services):
    """A draft on a stored case."""
    listed = search(services, SearchQuery(patient="MED_LYMPH_001"))
    agree.accept(services, agree.terms(services, listed.items), "Ada")
    (case,) = open_case(services, "MED_LYMPH_001")
    about = drafting.case_of(
        case.name, case.volume.provenance, case.volume.affine, case.volume.shape
    )
    draft = drafting.begin(services, about, "R1", case.labels[0].array)
    labels = np.array(draft.labels)
    labels[3, 4:6] = 77
    draft.write(draft.capture(labels, (3,)), "paint")
    draft.record("notes", after="kept")
    draft.close()
    return draft.folder, labels, about.series_uid


def test_drafts_outlive_eviction_and_revoke(services, drawn, capsys):
    folder, labels, uid = drawn
    before = {one: one.read_bytes() for one in folder.iterdir()}
    agree.revoke(services, "CT Lymph Nodes", "Ada")
    with pytest.raises(AccessError):
        open_case(services, "MED_LYMPH_001")
    gc.collect()  # what is open is never evicted
    make_room(10**9, services.store.root, services.decoded, 1, series=True)
    assert services.store.find(services.settings.archive_host, uid) is None
    assert {one: one.read_bytes() for one in folder.iterdir()} == before
    (info,) = nt.drafts()
    assert (info.case, info.reader, info.edits) == ("MED_LYMPH_001", "R1", 1)
    found = nt.replay(info, anew=True)
    np.testing.assert_array_equal(found.labels, labels)
    assert found.state.notes == "kept"
    assert run(["drafts", "--verify", "--json"]) == 0
    (record,) = json.loads(capsys.readouterr().out)["records"]
    assert record["labels"] == found.fingerprint


def test_a_damaged_draft_is_told_and_left(services, drawn, capsys):
    folder, _, _ = drawn
    edits = folder / "edits.bin"
    edits.write_bytes(edits.read_bytes()[:-3])
    assert run(["drafts", "--json"]) == 0
    capsys.readouterr()
    assert run(["drafts", "--verify", "--json"]) == 6
    answer = json.loads(capsys.readouterr().out)
    assert answer["issues"][0]["code"] == "corrupt_data"
    log = folder / "log.jsonl"
    log.write_bytes(log.read_bytes().replace(b'"kept"', b'"lost"'))
    assert run(["drafts", "--json"]) == 6
    (record,) = json.loads(capsys.readouterr().out)["records"]
    assert "not as it was written" in record["problem"]
