"""Nodes from the segmentation alone, then the slices around one of them."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from napari_tcia.app import agree
from napari_tcia.app.case import open_case
from napari_tcia.app.node_sizes import with_node_at_least
from napari_tcia.app.nodes_only import around, nodes_only
from napari_tcia.app.search import search
from napari_tcia.app.services import Services
from napari_tcia.core.model import SearchQuery
from napari_tcia.core.task import CancelToken
from napari_tcia.demo.server import EmbeddedArchive
from napari_tcia.errors import (
    ArchiveError,
    Cancelled,
    TermsNotAccepted,
    UsageError,
)

PATIENT = "MED_LYMPH_001"
PIXELS = ("getImage", "getSingleImage", "/idc/")
SLACK = 3_000_000


@pytest.fixture(scope="module")
def archive():
    with EmbeddedArchive(cases=3) as running:
        yield running


@pytest.fixture
def services(archive, tmp_path):
    archive.fault = None
    yield Services.open(archive.settings(tmp_path / "home"))
    archive.fault = None


@pytest.fixture
def accepted(services):
    found = search(services, SearchQuery(patient=PATIENT))
    agree.accept(services, agree.terms(services, found.items), "Ada")
    return services


@pytest.fixture(scope="module")
def whole(archive, tmp_path_factory):
    """The case as it is with all of its images."""
    services = Services.open(archive.settings(tmp_path_factory.mktemp("whole")))
    found = search(services, SearchQuery(patient=PATIENT))
    agree.accept(services, agree.terms(services, found.items), "Ada")
    (case,) = open_case(services, PATIENT)
    return case


def sent(archive, since=0, words=PIXELS):
    """Bytes of bodies that hold pixels, as the server counted them."""
    return sum(
        record.bytes
        for record in archive.log[since:]
        if any(word in record.path for word in words) and "list-type" not in record.path
    )


def test_nodes_are_those_of_the_whole_case(archive, accepted, whole):
    before = len(archive.log)
    (only,) = nodes_only(accepted, PATIENT)
    labelled = [row for row in whole.nodes if row.label is not None]
    assert [row.label for row in only.nodes] == [row.label for row in labelled]
    for mine, full in zip(only.nodes, labelled, strict=True):
        assert np.allclose(mine.centroid_lps, full.centroid_lps, atol=1e-3)
        assert mine.short_axis_mm == pytest.approx(full.short_axis_mm, rel=1e-6)
        assert mine.long_axis_mm == pytest.approx(full.long_axis_mm, rel=1e-6)
        assert mine.volume_mm3 == pytest.approx(full.volume_mm3, rel=1e-6)
        assert (mine.hu_mean, mine.hu_sd) == (None, None)
    ct = whole.volume.array.nbytes
    assert sent(archive, before) < ct / 20
    assert not list(accepted.store.root.rglob(f"{whole.volume.provenance.series_uid}"))


def test_nothing_is_sent_before_the_terms_stand_accepted(archive, services):
    before = len(archive.log)
    for ask in (
        lambda: nodes_only(services, PATIENT),
        lambda: around(services, PATIENT, 1),
    ):
        with pytest.raises(TermsNotAccepted):
            ask()
    assert sent(archive, before) == 0


@pytest.mark.parametrize("source", ["nbia", "idc"])
def test_slices_around_a_node_are_those_of_the_whole_series(
    archive, accepted, whole, source
):
    (only,) = nodes_only(accepted, PATIENT)
    row = max(only.nodes, key=lambda one: one.short_axis_mm)
    before = len(archive.log)
    case = around(accepted, PATIENT, row.id, source=source)
    volume = case.volume
    at = [whole.volume.sop_uids.index(uid) for uid in volume.sop_uids]
    assert np.array_equal(volume.array, whole.volume.array[at])
    assert volume.array.dtype == whole.volume.array.dtype
    place = whole.volume.affine @ (at[0], 0, 0, 1)
    assert np.allclose(volume.affine[:3, 3], place[:3], atol=1e-6)
    assert np.allclose(volume.affine[:3, :3], whole.volume.affine[:3, :3], atol=1e-6)
    (labels,) = case.labels
    theirs = next(one for one in whole.labels if one.source == "seg").array[at]
    assert np.array_equal(labels.array == row.label, theirs == row.label)
    assert set(np.unique(labels.array)) == {0, row.label}
    # Every slice of the node, and no more than four beside.
    (node,) = case.nodes
    full = next(one for one in whole.nodes if one.label == row.label)
    assert node.volume_mm3 == pytest.approx(full.volume_mm3, rel=1e-6)
    assert node.hu_mean == pytest.approx(full.hu_mean, abs=1e-6)
    size = whole.volume.files[0].stat().st_size
    assert sent(archive, before) <= (len(at) + 4) * size + SLACK
    # It is no series, and says so.
    assert volume.passport.verdict == "warn"
    assert "part_of_series" in [check.code for check in volume.passport.checks]
    uid = whole.volume.provenance.series_uid
    assert accepted.store.find(accepted.settings.archive_host, uid) is None
    assert not list(accepted.settings.home.glob(".slices-*"))
    assert volume.provenance.terms == "accepted"


def test_which_file_is_which_slice_is_found_out_once(archive, accepted):
    around(accepted, PATIENT, 1, source="idc")
    before = len(archive.log)
    case = around(accepted, PATIENT, 2, source="idc")
    asked = [r for r in archive.log[before:] if "/idc/" in r.path]
    asked = [r for r in asked if "list-type" not in r.path]
    assert len(asked) == len(case.volume.array)


def test_the_buckets_help_where_the_archive_fails(archive, accepted):
    archive.fault = "error-500@path=getSingleImage"
    case = around(accepted, PATIENT, 1)
    assert case.volume.provenance.source == "idc"


def test_a_slice_that_cannot_be_had_leaves_nothing(archive, accepted):
    nodes_only(accepted, PATIENT)
    archive.fault = "error-500@path=getSingleImage+error-500@path=idc/"
    with pytest.raises(ArchiveError):
        around(accepted, PATIENT, 1, source="nbia")
    assert not list(accepted.settings.home.glob(".slices-*"))


def test_it_ends_when_it_is_cancelled(archive, accepted):
    nodes_only(accepted, PATIENT)
    token = CancelToken()

    def report(progress):
        if "slices" in progress.stage:
            token.cancel()

    with pytest.raises(Cancelled):
        around(accepted, PATIENT, 1, report=report, token=token)
    assert not list(accepted.settings.home.glob(".slices-*"))


def test_a_node_that_is_not_there_is_named(accepted):
    with pytest.raises(UsageError, match="There is no node 99"):
        around(accepted, PATIENT, 99)


def test_images_that_lie_elsewhere_are_refused(archive, accepted, monkeypatch):
    """Not by trusting names alone: the positions must agree."""
    from napari_tcia.app import nodes_only as room
    from napari_tcia.errors import GeometryMismatch

    read = room.read_alone

    def moved(path, *, provenance):
        found = read(path, provenance=provenance)
        affine = found.grid.affine.copy()
        affine[0, 3] += 1.0
        return dataclasses.replace(
            found, grid=dataclasses.replace(found.grid, affine=affine)
        )

    monkeypatch.setattr(room, "read_alone", moved)
    with pytest.raises(GeometryMismatch, match=r"1 mm from where"):
        around(accepted, PATIENT, 1)


def test_the_command_line_lists_and_measures(
    archive, accepted, whole, monkeypatch, capsys
):
    from napari_tcia.cli import run

    monkeypatch.setenv("NAPARI_TCIA_HOME", str(accepted.settings.home))
    for name, base in archive.bases.items():
        monkeypatch.setenv(f"NAPARI_TCIA_{name.upper()}", base)
    assert run(["nodes", PATIENT, "--labels-only", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["nodes"]
    labelled = [row for row in whole.nodes if row.label is not None]
    assert [row["label"] for row in listed] == [row.label for row in labelled]
    assert {(row["k"], row["hu_mean"]) for row in listed} == {(None, None)}
    assert run(["nodes", PATIENT, "--labels-only", "--at-least", "15", "--json"]) == 0
    large = json.loads(capsys.readouterr().out)["nodes"]
    assert {row["id"] for row in large} == {
        row["id"] for row in listed if row["short_axis_mm"] >= 15
    }
    assert 0 < len(large) < len(listed)
    assert run(["nodes", PATIENT, "--around", str(large[0]["id"]), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    (node,) = answer["nodes"]
    assert (node["id"], node["k"]) == (large[0]["id"], None)
    assert node["hu_mean"] is not None
    assert "part_of_series" in [check["code"] for check in answer["verification"]]
    assert answer["citations"]
    assert run(["nodes", PATIENT, "--around", "99", "--json"]) == 2
    assert run(["nodes", PATIENT, "--labels-only"]) == 0


def test_cases_are_found_by_their_largest_node(archive, accepted):
    listed = search(accepted, SearchQuery(collection="CT Lymph Nodes")).items
    before = len(archive.log)
    nothing = with_node_at_least(accepted, listed, 5)
    assert nothing.items == ()
    (unknown,) = nothing.issues
    assert unknown.numbers["studies"] == len({one.study_uid for one in listed})
    (only,) = nodes_only(accepted, PATIENT)
    largest = max(row.short_axis_mm for row in only.nodes)
    for limit, patients in [(largest, {PATIENT}), (largest + 0.1, set())]:
        found = with_node_at_least(accepted, listed, limit)
        assert {one.patient_id for one in found.items} == patients
        assert found.issues[0].numbers["studies"] == unknown.numbers["studies"] - 1
    modalities = [one.modality for one in with_node_at_least(accepted, listed, 1).items]
    assert sorted(modalities) == ["CT", "SEG"]
    assert sent(archive, before) <= only.series.bytes * 2
    # What is withdrawn is not known any more.
    agree.revoke(accepted, "CT Lymph Nodes", "Ada")
    assert with_node_at_least(accepted, listed, 1).items == ()
