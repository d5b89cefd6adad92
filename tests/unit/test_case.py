"""What a folder holds becomes cases, and nothing in it is dropped without a word."""

import shutil

import pydicom
import pytest

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
