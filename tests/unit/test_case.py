"""What a folder holds becomes cases, and nothing in it is dropped without a word."""

import dataclasses
import json
import shutil
import zipfile

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from napari_tcia.app.case import open_case
from napari_tcia.app.services import Services
from napari_tcia.core.settings import Settings
from napari_tcia.demo.twin import phantom_case
from napari_tcia.errors import NoDicom, NothingFound

SMALL = {"matrix": 64, "slices": 30, "step": 8.0}


@pytest.fixture(scope="module")
def phantom(tmp_path_factory):
    return phantom_case(tmp_path_factory.mktemp("phantom"), "MED_LYMPH_001", **SMALL)


@pytest.fixture
def folder(phantom, tmp_path):
    return shutil.copytree(phantom, tmp_path / "own" / phantom.name)


@pytest.fixture
def services(tmp_path):
    return Services.open(Settings(home=tmp_path / "home"))


def test_a_folder_is_a_case_with_all_that_lies_beside_it(services, folder):
    (case,) = open_case(services, folder)
    assert {labels.source for labels in case.labels} == {"seg", "mask"}
    assert len(case.points.ids) < len(case.nodes) == len(case.labels[0].segments)
    assert case.volume.provenance.synthetic


def test_one_file_stands_for_its_series(services, folder):
    (whole,) = open_case(services, folder / "CT")
    (same,) = open_case(services, next((folder / "CT").iterdir()))
    assert (same.volume.array == whole.volume.array).all()


def test_a_segmentation_of_a_series_elsewhere_is_told(services, folder):
    seg = next((folder / "SEG").glob("*.dcm"))
    dataset = pydicom.dcmread(seg)
    dataset.ReferencedSeriesSequence[0].SeriesInstanceUID = "1.2.3.4"
    dataset.save_as(seg)
    shutil.rmtree(folder / "mask")
    (case,) = open_case(services, folder)
    assert case.labels == ()
    (told,) = [i for i in case.issues if i.code == "segmentation_of_another_series"]
    assert "1.2.3.4" in told.message


def test_annotations_that_do_not_fit_leave_the_image_and_say_so(services, folder):
    seg = next((folder / "SEG").glob("*.dcm"))
    dataset = pydicom.dcmread(seg)
    dataset.FrameOfReferenceUID = "1.2.3.4"
    dataset.save_as(seg)
    (case,) = open_case(services, folder)
    assert [labels.source for labels in case.labels] == ["mask"]
    assert "geometry_mismatch" in {i.code for i in case.issues}


def test_nothing_there(services, tmp_path):
    with pytest.raises(NothingFound, match="does not exist"):
        open_case(services, tmp_path / "absent")
    (tmp_path / "LICENSE").write_text("words")
    with pytest.raises(NoDicom):
        open_case(services, tmp_path)


def labelmap(path, case, labels):
    """Write (k, j, i) labels on the grid of a case, as ITK does."""
    image = sitk.GetImageFromArray(labels)
    columns = case.volume.affine[:3, [2, 1, 0]]
    spacing = np.linalg.norm(columns, axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((columns / spacing).ravel().tolist())
    image.SetOrigin(case.volume.affine[:3, 3].tolist())
    sitk.WriteImage(image, str(path), True)
    return path


def marked(path, points):
    entries = [{"label": str(n), "position": list(p)} for n, p in enumerate(points)]
    markup = {"type": "Fiducial", "coordinateSystem": "LPS", "controlPoints": entries}
    path.write_text(json.dumps({"markups": [markup]}))
    return path


def test_files_of_colleagues_and_models_lie_beside_under_their_names(services, folder):
    (case,) = open_case(services, folder)
    labelmap(folder / "model 7.seg.nrrd", case, case.labels[0].array)
    labelmap(folder / "reader B.nii.gz", case, case.labels[0].array)
    marked(folder / "clicks.mrk.json", case.points.points[:1])
    (more,) = open_case(services, folder)
    before = {one.name: one.source for one in case.labels}
    assert {one.name: one.source for one in more.labels} == before | {
        "model 7": "labelmap",
        "reader B": "mask",
    }
    for one in more.labels:
        np.testing.assert_array_equal(one.array, case.labels[0].array)
    assert more.points.source == "published"
    (clicks,) = more.further
    assert clicks.name == "clicks"
    np.testing.assert_array_equal(clicks.points, case.points.points[:1])
    assert more.issues == case.issues


def test_without_published_points_the_markups_make_the_rows(services, folder):
    (case,) = open_case(services, folder)
    positions = case.points.points
    for name in ("annotations", "SEG", "mask"):
        shutil.rmtree(folder / name, ignore_errors=True)
    for file in folder.rglob("*_lymphnodes_*"):
        file.unlink()
    marked(folder / "mine.mrk.json", positions)
    (own,) = open_case(services, folder)
    assert own.labels == ()
    assert (own.points.name, own.points.source) == ("mine", "markups")
    assert [row.source for row in own.nodes] == ["points"] * len(positions)


def test_what_does_not_fit_is_told_and_the_rest_opens(services, folder):
    (case,) = open_case(services, folder)
    affine = case.volume.affine.copy()
    affine[0, 3] += 2  # a third of a voxel
    other = dataclasses.replace(
        case, volume=dataclasses.replace(case.volume, affine=affine)
    )
    labelmap(folder / "moved.seg.nrrd", other, case.labels[0].array)
    marked(folder / "elsewhere.mrk.json", case.points.points + 9000)
    (found,) = open_case(services, folder)
    assert [one.name for one in found.labels] == [one.name for one in case.labels]
    told = " ".join(i.message for i in found.issues if i.code == "geometry_mismatch")
    assert "moved.seg.nrrd" in told
    assert "elsewhere.mrk.json" in told


def test_files_beside_several_series_are_not_given_to_any(services, folder, tmp_path):
    (case,) = open_case(services, folder)
    second = phantom_case(tmp_path / "second", "MED_LYMPH_002", **SMALL)
    shutil.copytree(second / "CT", folder / "CT 2")
    labelmap(folder / "model.seg.nrrd", case, case.labels[0].array)
    cases = open_case(services, folder)
    assert len(cases) == 2
    named = {c.name: [m.name for m in c.labels if m.source == "mask"] for c in cases}
    assert named == {"MED_LYMPH_001": ["MED_LYMPH_001_mask"], "MED_LYMPH_002": []}
    for one in cases:
        assert "labelmap" not in {labels.source for labels in one.labels}
        codes = {i.code: i for i in one.issues}
        told = codes["files_of_one_of_several_series"]
        assert told.numbers == {"files": ["model.seg.nrrd"]}


@pytest.mark.parametrize("top", ["", "MED_ABD_LYMPH_MASKS/"])
def test_the_zip_of_all_masks_beside_a_case(services, folder, tmp_path, top):
    (case,) = open_case(services, folder)
    (mask,) = (one for one in case.labels if one.source == "mask")
    file = shutil.move(mask.path, tmp_path / mask.path.name)
    with zipfile.ZipFile(folder / "MED_ABD_LYMPH_MASKS.zip", "w") as archive:
        archive.write(file, f"{top}MED_LYMPH_001/{file.name}")
        archive.write(file, f"{top}MED_LYMPH_002/MED_LYMPH_002_mask.nii.gz")
    (again,) = open_case(services, folder)
    (found,) = (one for one in again.labels if one.source == "mask")
    np.testing.assert_array_equal(found.array, mask.array)
    assert again.issues == case.issues
