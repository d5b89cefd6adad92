"""Provenance that goes into a file comes back from it, whole and unflattered."""

import json
from dataclasses import fields, replace

import nibabel
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation_factory import ellipsoid
from dicom_factory import Stack, noise
from napari_tcia.app import agree, credit
from napari_tcia.app.case import open_case
from napari_tcia.app.fetch import get
from napari_tcia.app.handover import export_case
from napari_tcia.app.saved import is_saved, open_saved
from napari_tcia.app.services import Services
from napari_tcia.cite.provenance import in_words, line_of, restored
from napari_tcia.core.image import LabelSet, Segment
from napari_tcia.core.model import Provenance, SearchQuery, Series, series_hash
from napari_tcia.core.settings import Settings
from napari_tcia.demo.server import EmbeddedArchive
from napari_tcia.errors import GeometryMismatch, UnreadableAnnotation
from napari_tcia.export import nifti, seg
from napari_tcia.volume import read_volume

SHAPE = (6, 16, 14)
ORIGIN = Provenance(
    origin="archive",
    collection="CT Lymph Nodes",
    patient_id="MED_LYMPH_001",
    study_uid="1.2.3",
    series_uid="1.2.3.4",
    frame_of_reference_uid="1.2.9",
    modality="CT",
    doi="10.7937/K9/TCIA.2015.AQIIDCNM",
    licence_id="CC-BY-3.0",
    licence_name="Creative Commons Attribution 3.0 Unported License",
    licence_uri="http://creativecommons.org/licenses/by/3.0/",
    archive_host="archive.example.org",
    source="nbia",
    terms="accepted",
    acceptance_id="a" * 64,
    retrieved="2026-01-02T03:04:05Z",
    licence_spdx="CC-BY-3.0",
    licence_sha256="b" * 64,
    policy_sha256="c" * 64,
    series_sha256="d" * 64,
)
ELSEWHERE = replace(ORIGIN, terms="not recorded")
"""As a machine sees it that has no such acceptance in its ledger."""


@pytest.fixture
def volume(tmp_path):
    Stack(noise(SHAPE), spacing=(1.25, 0.7421875, 0.7421875)).write(tmp_path / "ct")
    return read_volume(tmp_path / "ct", provenance=ORIGIN)


@pytest.fixture
def labels(volume):
    array = np.zeros(SHAPE, dtype=np.uint8)
    array[ellipsoid(SHAPE, (2, 8, 7), (1.5, 4, 3))] = 2
    return LabelSet(array, (Segment(2, "Node A"),), "Mine", "mask", ORIGIN)


@pytest.fixture
def services(tmp_path):
    return Services.open(Settings(home=tmp_path / "home"))


CITED = credit.citations([ORIGIN])
anything = st.builds(
    Provenance,
    **{
        field.name: st.text()
        for field in fields(Provenance)
        if field.name not in ("origin", "terms", "synthetic", "schema")
    },
    origin=st.sampled_from(["archive", "folder", "unknown"]),
    terms=st.sampled_from(["accepted", "not recorded", "none"]),
)


@given(anything, st.text())
def test_any_provenance_survives_among_words(provenance, words):
    text = f"{words}\n{line_of(provenance.to_dict())} and more"
    assert text.isascii() or not words.isascii()
    assert in_words(text) == restored(provenance.to_dict())
    assert Provenance.from_dict(json.loads(json.dumps(provenance.to_dict()))) == (
        provenance
    )


def test_the_first_schema_still_reads():
    new = ("licence_spdx", "licence_sha256", "policy_sha256", "series_sha256")
    old = {k: v for k, v in ORIGIN.to_dict().items() if k not in new} | {"schema": 1}
    found = Provenance.from_dict(old)
    assert found == replace(ORIGIN, **dict.fromkeys(new, ""))
    assert found.schema == 2


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        "x",
        {},
        {"origin": "moon"},
        {"origin": "folder", "doi": 3},
        {"origin": "folder", "synthetic": "no"},
        {"origin": "folder", "terms": "granted"},
    ],
)
def test_what_is_no_provenance_gives_none(value):
    assert restored(value) is None


def test_made_up_data_stays_synthetic_whatever_is_said():
    said = ORIGIN.to_dict() | {"series_uid": "61.7.0.999.1", "synthetic": False}
    assert restored(said).synthetic


def test_series_hash_is_that_of_the_shell(tmp_path):
    import hashlib

    one, two = (hashlib.sha256(c).hexdigest() for c in (b"a", b"b"))
    expected = hashlib.sha256("".join(f"{h}\n" for h in sorted((one, two))).encode())
    assert series_hash([two, one]) == series_hash([one, two]) == expected.hexdigest()
    assert series_hash([]) == ""


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii"])
def test_nifti_labels_come_back(tmp_path, volume, labels, services, suffix):
    path, side = nifti.write(tmp_path / f"a{suffix}", volume, [labels], CITED)
    side.unlink()  # the file alone carries it
    found = open_saved(services, path)
    np.testing.assert_array_equal(found.labels.array, labels.array)
    np.testing.assert_array_equal(found.volume.affine, volume.affine)
    assert found.labels.provenance == ELSEWHERE
    assert found.labels.segments == labels.segments
    assert credit.citations([found.labels.provenance]) == CITED


def test_json_beside_speaks_where_a_program_dropped_the_extension(
    tmp_path, volume, labels, services
):
    path, _ = nifti.write(tmp_path / "a.nii.gz", volume, [labels], CITED)
    image = nibabel.load(path)
    image.header.extensions.clear()
    nibabel.save(image, tmp_path / "b.nii.gz")
    (tmp_path / "b.nii.gz").replace(path)
    assert open_saved(services, path).labels.provenance == ELSEWHERE


def test_an_image_comes_back(tmp_path, volume, services):
    path, _ = nifti.write(tmp_path / "a.nii.gz", volume, [], CITED)
    found = open_saved(services, path)
    np.testing.assert_array_equal(found.volume.array, volume.array)
    assert found.labels is None
    assert found.volume.quantity == volume.quantity
    assert found.volume.provenance == replace(volume.provenance, terms="not recorded")


def test_a_moved_file_is_refused(tmp_path, volume, labels, services):
    path, _ = nifti.write(tmp_path / "a.nii.gz", volume, [labels], CITED)
    image = nibabel.load(path)
    moved = image.affine.copy()
    moved[2, 3] += 5
    image.set_sform(moved, 1)
    image.set_qform(moved, 1)
    nibabel.save(image, tmp_path / "b.nii.gz")
    with pytest.raises(GeometryMismatch, match="5 mm"):
        open_saved(services, tmp_path / "b.nii.gz")


def test_files_of_others_are_not_ours(tmp_path, volume, labels, services):
    path, side = nifti.write(tmp_path / "a.nii.gz", volume, [labels], CITED)
    image = nibabel.load(path)
    image.header.extensions.clear()
    nibabel.save(image, path.with_name("b.nii.gz"))
    (tmp_path / "c.csv").write_text("# x\n1,2\n")
    (tmp_path / "d.nii").write_bytes(b"no NIfTI")
    for name in ("b.nii.gz", "c.csv", "d.nii", "absent.nii"):
        assert not is_saved(tmp_path / name)
    with pytest.raises(UnreadableAnnotation, match="not written by"):
        open_saved(services, tmp_path / "c.csv")
    side.write_text("{")
    assert is_saved(path)


def test_seg_tells_its_origin_in_the_users_folder(tmp_path, volume, labels, services):
    seg.write(tmp_path / "ct" / "mine.dcm", volume, [labels], CITED)
    (case,) = open_case(services, tmp_path / "ct")
    (found,) = case.labels
    np.testing.assert_array_equal(found.array > 0, labels.array > 0)
    assert found.provenance == ELSEWHERE
    assert credit.citations([found.provenance]) == CITED


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    with EmbeddedArchive(cases=1, cache_dir=tmp_path_factory.mktemp("c")) as server:
        yield server


def test_from_the_archive_to_a_file_and_back(archive, tmp_path):
    """Every field of a fetched series, with the ledger's own hashes."""
    services = Services.open(archive.settings(tmp_path / "home"))
    rows: tuple[Series, ...] = services.nbia.series(
        SearchQuery(collection="CT Lymph Nodes")
    ).items
    patient = rows[0].patient_id
    series = [row for row in rows if row.patient_id == patient]
    terms = agree.terms(services, series)
    accepted = {one.id: one for one in agree.accept(services, terms, "Ada")}
    out = tmp_path / "mine"
    for row in get(services, series, out=out):
        assert row.state == "done"
        assert (row.path / "LICENSE").is_file()
    (case,) = open_case(services, series)
    known = case.volume.provenance
    record = accepted[known.acceptance_id]
    words = {kind: sha256 for kind, _, sha256 in record.documents}
    assert known.licence_sha256 == words["licence"]
    assert known.policy_sha256 == words["policy"]
    assert known.licence_spdx == "CC-BY-3.0"
    kept = services.store.find(services.settings.archive_host, known.series_uid)
    complete = json.loads((kept.path / "complete.json").read_text())
    assert known.series_sha256 == series_hash(
        one["sha256"] for one in complete["files"] if one["name"].endswith(".dcm")
    )
    for to, ending in (("nifti", ".nii.gz"), ("csv", ".csv")):
        written = export_case(case, to, tmp_path / to)
        assert any(p.name.endswith(".LICENSE.txt") for p in written)
        for path in (p for p in written if p.name.endswith(ending)):
            found = open_saved(services, path)
            part = found.labels or found.points or found.volume
            assert part.provenance in case.provenances
            assert credit.citations([part.provenance]) == credit.citations([known])
    # What `get -o` brought to a folder of the user's own knows it too.
    (again,) = open_case(services, out / kept.path.parent.name)
    # It was brought by a download of its own, at a time of its own.
    there = again.volume.provenance
    brought = out / kept.path.parent.name / kept.path.name / "complete.json"
    assert there.retrieved == json.loads(brought.read_text())["retrieved"]
    same = replace(
        there, origin=known.origin, recognised_by="", retrieved=known.retrieved
    )
    assert same == known
