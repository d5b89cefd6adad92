"""Every export, read by a library of others, and by ours."""

import csv
import json
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import highdicom as hd
import nibabel as nib
import numpy as np
import pandas
import pydicom
import pytest
import SimpleITK as sitk
import slicerio

from annotation_factory import ellipsoid, volume_of
from dicom_factory import ROOT, Stack, noise
from napari_tcia.core.geometry import index_to_patient, patient_to_index
from napari_tcia.core.image import LabelSet, PointSet, Segment
from napari_tcia.core.model import Citation, Provenance
from napari_tcia.errors import (
    BrokenGeometry,
    CorruptData,
    NothingFound,
    NotWritable,
    UsageError,
)
from napari_tcia.export import files, nifti, seg, slicer, table
from napari_tcia.nodes import node_rows, read_labels
from napari_tcia.volume import read_volume

SHAPE = (8, 24, 20)
CITED = (
    Citation(
        key="10.7937/k9/tcia.2015.aqiidcnm",
        kind="dataset",
        text="Roth et al. (2015). CT Lymph Nodes. The Cancer Imaging Archive.",
        doi="10.7937/K9/TCIA.2015.AQIIDCNM",
        licence="CC BY 3.0",
    ),
)


@pytest.fixture
def stack():
    return Stack(noise(SHAPE), spacing=(1.25, 0.7421875, 0.7421875))


@pytest.fixture
def volume(tmp_path, stack):
    stack.write(tmp_path / "ct")
    known = Provenance(origin="archive", collection="CT Lymph Nodes")
    return read_volume(tmp_path / "ct", provenance=known)


@pytest.fixture
def labels(volume):
    array = np.zeros(SHAPE, dtype=np.uint8)
    array[ellipsoid(SHAPE, (2, 8, 7), (1.5, 4, 3))] = 2
    array[ellipsoid(SHAPE, (5, 15, 13), (2, 3, 5))] = 5
    kind = ("62683002", "SCT", "Mediastinal lymph node")
    segments = (
        Segment(2, "Node A", None, kind, "MANUAL", "1.2.3.4"),
        Segment(5, "Node B", algorithm="SEMIAUTOMATIC"),
    )
    return LabelSet(array, segments, "Lymph nodes", "seg", volume.provenance)


def left_over(folder):
    return [file.name for file in folder.iterdir() if ".part" in file.name]


def test_seg_reads_back_elsewhere_and_here(tmp_path, volume, labels):
    before = volume.files[3].read_bytes()
    (path,) = seg.write(tmp_path / "out" / "a.dcm", volume, [labels], CITED)
    found = hd.seg.segread(path)
    assert found.number_of_segments == 2
    assert found.SegmentationType == "BINARY"
    assert "CC BY 3.0" in found.ImageComments
    assert "Roth" in found.ImageComments
    assert found.FrameOfReferenceUID == volume.provenance.frame_of_reference_uid
    first, second = (found.get_segment_description(n) for n in (1, 2))
    assert (first.segment_label, first.segmented_property_type.value) == (
        "Node A",
        "62683002",
    )
    assert first.tracking_uid == "1.2.3.4"
    assert str(second.SegmentAlgorithmType) == "SEMIAUTOMATIC"
    assert second.segmented_property_type.value == "59441001"
    # highdicom's own placement: voxel centres in LPS, cropped as it likes.
    whole = found.get_volume(combine_segments=True)
    at = np.argwhere(whole.array > 0)
    indices = patient_to_index(volume.affine, index_to_patient(whole.affine, at))
    mine = np.argwhere(labels.array > 0)
    np.testing.assert_allclose(
        indices[np.lexsort(np.rint(indices).T[::-1])], mine, atol=1e-4
    )
    (ours,) = read_labels(path, volume)
    np.testing.assert_array_equal(ours.array > 0, labels.array > 0)
    assert volume.files[3].read_bytes() == before
    assert left_over(path.parent) == []


def test_seg_of_the_collections_own_headers(tmp_path, labels):
    """No Manufacturer, no SliceThickness, an age of N-A, 61.7. UIDs."""
    from dicom_factory import save

    stack = Stack(noise(SHAPE))
    (tmp_path / "other").mkdir()
    for k in range(len(stack.stored)):
        ds = stack.dataset(k)
        with pydicom.config.disable_value_validation():
            ds.PatientAge = "N-A"
            ds.StudyInstanceUID = "61.7.22285965616260355338860879829667630274"
            ds.FrameOfReferenceUID = "61.7.2847"
        save(ds, tmp_path / "other" / f"{k}.dcm")
    volume = read_volume(tmp_path / "other")
    (path,) = seg.write(tmp_path / "out", volume, [labels], ())
    assert path.name == "case_seg.dcm"
    with pydicom.config.disable_value_validation():
        assert pydicom.dcmread(path).StudyInstanceUID.startswith("61.7.")


@pytest.mark.parametrize("used", [[3], [2, 5], [0, 3, 7], [1, 2, 6]])
def test_sparse_labels_are_no_thicker_elsewhere(tmp_path, volume, used):
    """Other programs rebuild the grid from the frames that there are."""
    array = np.zeros(SHAPE, dtype=np.uint8)
    array[used, 4:9, 5:12] = 1
    one = LabelSet(array, (Segment(1, "Node 1"),), "n", "seg", volume.provenance)
    (path,) = seg.write(tmp_path / "s.dcm", volume, [one], CITED)
    (shared,) = pydicom.dcmread(path).SharedFunctionalGroupsSequence
    measures = shared.PixelMeasuresSequence[0]
    assert float(measures.SpacingBetweenSlices) == pytest.approx(1.25)
    assert float(measures.SliceThickness) == pytest.approx(1.25)
    elsewhere = hd.seg.segread(path).get_volume(combine_segments=True)
    assert elsewhere.spacing[0] == pytest.approx(1.25)
    found = index_to_patient(elsewhere.affine, np.argwhere(elsewhere.array))
    placed = np.rint(patient_to_index(volume.affine, found)).astype(int)
    assert sorted(placed.tolist()) == sorted(np.argwhere(array).tolist())
    segimage2itkimage = Path(sys.executable).with_name("segimage2itkimage")
    if segimage2itkimage.exists():
        subprocess.run(
            [
                *(segimage2itkimage, "--inputDICOM", path, "--outputType", "nrrd"),
                *("--outputDirectory", tmp_path, "--prefix", "q", "--mergeSegments"),
            ],
            check=True,
            capture_output=True,
        )
        image = sitk.ReadImage(str(next(tmp_path.glob("q*.nrrd"))))
        assert image.GetSpacing()[2] == pytest.approx(1.25)
        assert (sitk.GetArrayFromImage(image) > 0).sum() == (array > 0).sum()


def test_seg_refuses_what_it_cannot_refer_to(tmp_path, stack, labels):
    stack.write(tmp_path / "other")[2].unlink()
    volume = read_volume(tmp_path / "other")
    with pytest.raises(UsageError, match="lacks"):
        seg.write(tmp_path / "a.dcm", volume, [labels], CITED)
    assert not (tmp_path / "a.dcm").exists()
    empty = LabelSet(labels.array * 0, (), "x", "seg", labels.provenance)
    with pytest.raises(NothingFound):
        seg.write(tmp_path / "a.dcm", volume, [empty], CITED)
    assert left_over(tmp_path) == []


def test_overlapping_sets_become_several_files(tmp_path, volume, labels):
    paths = seg.write(tmp_path / "out", volume, [labels, labels], CITED)
    assert [p.name for p in paths] == [
        "MED_LYMPH_001_seg.dcm",
        "MED_LYMPH_001_seg_2.dcm",
    ]


def test_nifti_agrees_with_simpleitk_and_nibabel(tmp_path, volume, labels):
    written = nifti.write(tmp_path / "out", volume, [labels], CITED)
    assert [p.name for p in written] == [
        *("MED_LYMPH_001_image.nii.gz", "MED_LYMPH_001_image.json"),
        *("MED_LYMPH_001_seg.nii.gz", "MED_LYMPH_001_seg.json"),
    ]
    image = sitk.ReadImage(str(written[0]))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), volume.array)
    for k, j, i in ((0, 0, 0), (7, 23, 19), (3, 5, 11)):
        np.testing.assert_allclose(
            image.TransformIndexToPhysicalPoint((i, j, k)),
            index_to_patient(volume.affine, (k, j, i))[0],
            atol=1e-4,
        )
    mask = nib.load(written[2])
    assert nib.aff2axcodes(mask.affine) == ("L", "P", "S")
    assert mask.get_data_dtype() == np.uint8
    assert bytes(mask.header["descrip"].item()).startswith(b"CC BY 3.0 doi:10.7937")
    (ours,) = read_labels(written[2], volume)
    np.testing.assert_array_equal(ours.array, labels.array)
    side = json.loads(written[3].read_text())
    assert side["credit"][0].startswith("Cite: Roth")
    assert [s["label"] for s in side["segments"]] == ["Node A", "Node B"]
    assert left_over(tmp_path / "out") == []


def test_nifti_under_a_given_name(tmp_path, volume, labels):
    written = nifti.write(tmp_path / "a.nii", volume, [labels], CITED)
    assert [p.name for p in written] == ["a.nii", "a.json"]
    written = nifti.write(tmp_path / "b.nii.gz", volume, [], CITED)
    np.testing.assert_array_equal(
        np.asarray(nib.load(written[0]).dataobj), volume.array.transpose(2, 1, 0)
    )


def test_tilted_volume_keeps_its_shear_in_nifti(tmp_path, labels):
    affine = np.array(
        [[0, 0, 0.7, 5], [0.2, 0.7, 0, 6], [1, 0, 0, 7], [0, 0, 0, 1]], dtype=float
    )
    volume = volume_of(noise(SHAPE), affine)
    path = nifti.write(tmp_path / "a.nii.gz", volume, [labels], ())[0]
    np.testing.assert_allclose(
        nib.load(path).affine, nifti.ras_affine(affine), atol=1e-5
    )
    (ours,) = read_labels(path, volume)
    np.testing.assert_array_equal(ours.array, labels.array)


def test_table(tmp_path, volume, labels):
    rows = node_rows(volume, [labels])
    (path,) = table.write(tmp_path / "nodes.csv", volume, rows, CITED)
    text = path.read_text()
    assert "# Cite: Roth et al." in text
    assert "# Licence: CC BY 3.0" in text
    frame = pandas.read_csv(path, comment="#")
    assert frame["label"].tolist() == [2, 5]
    np.testing.assert_allclose(
        frame["short_axis_mm"], [row.short_axis_mm for row in rows], atol=1e-4
    )
    assert frame["published_size_mm"].isna().all()
    with path.open() as stream:
        lines = [line for line in stream if not line.startswith("#")]
    assert len(list(csv.DictReader(lines))) == 2


def test_slicer_files(tmp_path, volume, labels):
    points = PointSet(
        points=np.array([[1.5, -2.25, 30.0]]),
        indices=np.zeros((1, 3)),
        sizes_mm=np.array([12.5]),
        ids=(1,),
        name="published",
        provenance=volume.provenance,
    )
    written = slicer.write(tmp_path, volume, [labels], points, CITED)
    found = slicerio.read_segmentation(str(written[0]))
    np.testing.assert_array_equal(found["voxels"].transpose(2, 1, 0), labels.array)
    np.testing.assert_allclose(
        found["ijkToLPS"] @ [11, 5, 3, 1], volume.affine @ [3, 5, 11, 1]
    )
    assert [s["name"] for s in found["segments"]] == ["Node A", "Node B"]
    (markup,) = json.loads(written[1].read_text())["markups"]
    assert markup["coordinateSystem"] == "LPS"
    assert markup["controlPoints"][0]["position"] == [1.5, -2.25, 30.0]
    assert "CC BY 3.0" in markup["description"]
    image = sitk.ReadImage(str(written[0]))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), labels.array)


def test_words_beyond_ascii(tmp_path, volume, labels):
    """A dash in a citation or an accent in a label stands in no one's way."""
    cited = (replace(CITED[0], text="Žofie N\u00e1jde \u2013 Nodes, pp. 1\u20132."),)
    named = replace(labels, segments=(Segment(2, "Größe"), Segment(5, "b")))
    paths = slicer.write(tmp_path / "slicer", volume, [named], None, cited)
    found = slicerio.read_segmentation(str(paths[0]))
    assert [one["name"] for one in found["segments"]] == ["Gro?e", "b"]
    assert "Zofie Najde - Nodes, pp. 1-2." in paths[0].read_bytes().decode("latin-1")
    (path,) = seg.write(tmp_path / "s.dcm", volume, [named], cited)
    dataset = pydicom.dcmread(path)
    assert cited[0].text in dataset.ImageComments
    assert dataset.SegmentSequence[0].SegmentLabel == "Größe"
    assert read_labels(path, volume)[0].segments[0].label == "Größe"


def test_broken_geometry_leaves_nothing(tmp_path, labels):
    broken = volume_of(noise(SHAPE), verdict="fail")
    for write in (
        lambda: table.write(tmp_path / "a.csv", broken, (), ()),
        lambda: nifti.write(tmp_path / "a.nii", broken, [labels], ()),
        lambda: seg.write(tmp_path / "a.dcm", broken, [labels], ()),
        lambda: slicer.write(tmp_path / "o", broken, [labels], None, ()),
    ):
        with pytest.raises(BrokenGeometry):
            write()
    assert [path.name for path in tmp_path.iterdir()] == ["ct"]


def test_unknown_origin_names_no_patient(tmp_path, labels):
    volume = volume_of(noise(SHAPE), patient="Doe^Jane")
    written = nifti.write(tmp_path / "o", volume, [labels], ())
    written += table.write(tmp_path / "o", volume, (), ())
    for path in written:
        assert "Doe" not in path.name
        if path.suffix in (".json", ".csv"):
            assert "Doe" not in path.read_text()


def test_a_file_that_fails_its_check_never_appears(tmp_path):
    target = tmp_path / "a.csv"
    target.write_text("old")

    def write():
        with files.staged(target, ".csv") as temporary:
            temporary.write_text("new")
            files.require_equal(False, target, "values")

    with pytest.raises(CorruptData):
        write()
    assert target.read_text() == "old"
    assert left_over(tmp_path) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(NotWritable):
        files.staged(tmp_path / "file" / "a", ".csv").__enter__()


def test_labels_of_a_multi_frame_image_go_to_nifti_not_to_seg(tmp_path):
    """A SEG of frames is refused in words; the labels are not lost for it."""
    stack = Stack(noise((4, 6, 5)))
    sources = [pydicom.dcmread(file) for file in stack.write(tmp_path / "plain")]
    for one in sources:
        one.SliceThickness, one.AcquisitionNumber = 1.0, 1
        one.Manufacturer = one.ManufacturerModelName = one.SoftwareVersions = "a"
        one.PatientPosition, one.KVP, one.DeviceSerialNumber = "HFS", 100, "1"
        one.AcquisitionDate = one.ContentDate = "20200101"
        one.AcquisitionTime = one.ContentTime = one.StudyTime = "000000"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        frames = hd.legacy.LegacyConvertedEnhancedCTImage(
            sources[::-1], f"{ROOT}8.1", 2, f"{ROOT}8.2", 1
        )
    frames.save_as(tmp_path / "frames.dcm")
    volume = read_volume(tmp_path / "frames.dcm")
    np.testing.assert_array_equal(volume.array, stack.stored)
    array = np.zeros(volume.shape, np.uint8)
    array[1:3, 2:4, 2:4] = 1
    labels = LabelSet(array, (Segment(1, "Node 1"),), "mine", "seg", volume.provenance)
    with pytest.raises(UsageError, match="multi-frame"):
        seg.write(tmp_path / "out.dcm", volume, [labels], [])
    written = nifti.write(tmp_path / "out.nii.gz", volume, [labels], [])
    (found,) = read_labels(written[0], volume)
    np.testing.assert_array_equal(found.array, array)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1+1", "'-1+1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        (" =1", "' =1"),
        ("4R", "4R"),
        (">=15 mm", ">=15 mm"),
        ("", ""),
    ],
)
def test_no_cell_is_a_formula(text, written):
    from napari_tcia.export.table import as_text

    assert as_text(text) == written
