"""DICOM SEG by position: highdicom writes, ours reads."""

import json
import subprocess
import sys
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from annotation_factory import ellipsoid, write_seg
from dicom_factory import ROOT, Stack, noise, save
from napari_tcia.errors import (
    BrokenGeometry,
    CorruptData,
    GeometryMismatch,
    UnreadableAnnotation,
)
from napari_tcia.nodes import read_labels
from napari_tcia.volume import read_volume

SHAPE = (8, 24, 20)


def _term(value, meaning):
    return {
        "CodeValue": value,
        "CodingSchemeDesignator": "SCT",
        "CodeMeaning": meaning,
    }


DCMQI = {
    "ContentCreatorName": "Reader^A",
    "SeriesDescription": "Lymph node segmentations",
    "SeriesNumber": "300",
    "InstanceNumber": "1",
    "segmentAttributes": [
        [
            {
                "labelID": number,
                "SegmentDescription": f"Node {number}",
                "SegmentLabel": f"Node {number}",
                "SegmentAlgorithmType": "MANUAL",
                "SegmentedPropertyCategoryCodeSequence": _term(
                    "123037004", "Anatomical Structure"
                ),
                "SegmentedPropertyTypeCodeSequence": _term(
                    "62683002", "Mediastinal lymph node"
                ),
                "recommendedDisplayRGBValue": [10 * number, 20, 30],
            }
            for number in (1, 2)
        ]
    ],
}


@pytest.fixture
def case(tmp_path):
    stack = Stack(noise(SHAPE), spacing=(1.25, 0.7421875, 0.7421875))
    stack.write(tmp_path / "ct")
    labels = np.zeros(SHAPE, dtype=np.uint8)
    labels[ellipsoid(SHAPE, (2, 8, 7), (1.5, 4, 3))] = 1
    labels[ellipsoid(SHAPE, (5, 15, 13), (2, 3, 5))] = 2
    return stack, read_volume(tmp_path / "ct"), labels


def sources(stack):
    return [stack.dataset(k) for k in range(len(stack.stored))]


def verdicts(labels):
    return {one.code: one.verdict for one in labels.checks}


@pytest.mark.parametrize(
    ("kind", "omit"),
    [("BINARY", True), ("BINARY", False), ("LABELMAP", True), ("FRACTIONAL", True)],
)
def test_placed_exactly(tmp_path, case, kind, omit):
    stack, volume, labels = case
    given = (labels == 1) * 1.0 if kind == "FRACTIONAL" else labels
    write_seg(tmp_path / "s.dcm", sources(stack), given, kind=kind, omit_empty=omit)
    (found,) = read_labels(tmp_path / "s.dcm", volume)
    np.testing.assert_array_equal(found.array, given)
    assert found.array.dtype == np.uint8
    assert found.source == "seg"
    assert ("fractional_threshold" in verdicts(found)) == (kind == "FRACTIONAL")
    assert verdicts(found)["frame_of_reference"] == "pass"
    assert verdicts(found)["referenced_images"] == "pass"
    first = found.segments[0]
    assert (first.value, first.label, first.algorithm) == (1, "Node 1", "MANUAL")
    assert first.type == ("62683002", "SCT", "Mediastinal lymph node")
    assert first.category == ("123037004", "SCT", "Anatomical structure")
    assert first.tracking_uid == f"{ROOT}7.1"
    assert found.provenance.series_uid == f"{ROOT}3.300"


@pytest.mark.parametrize("meaning", ["PROBABILITY", "OCCUPANCY"])
def test_fractions_are_cut_at_half(tmp_path, case, meaning):
    stack, volume, _labels = case
    given = np.zeros(SHAPE)
    given[2, 3, 4:9] = [0.2, 0.45, 0.55, 0.9, 1.0]
    write_seg(
        tmp_path / "s.dcm",
        sources(stack),
        given,
        kind="FRACTIONAL",
        fractional_type=meaning,
        max_fractional_value=200,
    )
    (found,) = read_labels(tmp_path / "s.dcm", volume)
    assert found.array[2, 3, 4:9].tolist() == [0, 0, 1, 1, 1]
    assert found.array.sum() == 3
    told = next(c for c in found.checks if c.code == "fractional_threshold")
    assert (told.verdict, dict(told.numbers)) == (
        "warn",
        {
            "maximum": 200,
            "share": 0.5,
            "type": meaning,
            "voxels": 3,
            "voxels_below": 2,
        },
    )
    assert meaning.lower() in told.message


def test_frames_beside_the_images_that_they_name_are_told(tmp_path, case):
    """Position and named image contradict each other: a reader must hear of it."""
    stack, volume, labels = case
    seg = write_seg(tmp_path / "s.dcm", sources(stack), labels)
    (found,) = read_labels(tmp_path / "s.dcm", volume)
    check = next(c for c in found.checks if c.code == "source_slices")
    frames = int(seg.NumberOfFrames)
    assert (check.verdict, check.numbers["frames"]) == ("pass", frames)
    seg = pydicom.dcmread(tmp_path / "s.dcm")  # whose frames share no item
    named = seg.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0]
    named.SourceImageSequence[0].ReferencedSOPInstanceUID = volume.sop_uids[7]
    seg.save_as(tmp_path / "s.dcm")
    (found,) = read_labels(tmp_path / "s.dcm", volume)
    np.testing.assert_array_equal(found.array, labels)
    check = next(c for c in found.checks if c.code == "source_slices")
    assert (check.verdict, check.numbers["elsewhere"]) == ("fail", 1)
    position = seg.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0]
    first = round((position.ImagePositionPatient[2] - stack.origin[2]) / 1.25)
    assert (check.numbers["k"], check.numbers["named_k"]) == ([first], [7])


def test_a_labelmap_of_part_of_a_reversed_plane(tmp_path, case):
    stack, volume, labels = case
    seg = cropped(
        *(tmp_path / "s.dcm", stack, labels, slice(3, 22), slice(2, 19), True),
        kind="LABELMAP",
    )
    assert seg.SOPClassUID == "1.2.840.10008.5.1.4.1.1.66.7"
    (found,) = read_labels(tmp_path / "s.dcm", volume)
    np.testing.assert_array_equal(found.array, labels)
    assert [s.value for s in found.segments] == [1, 2]


def test_frames_in_any_order_and_without_their_number(tmp_path, case):
    """Reversed and shuffled frames land where their position says."""
    stack, volume, labels = case
    write_seg(tmp_path / "s.dcm", sources(stack), labels)
    ds = pydicom.dcmread(tmp_path / "s.dcm")
    frames = ds.pixel_array
    order = np.random.default_rng(3).permutation(len(frames))
    items = list(ds.PerFrameFunctionalGroupsSequence)
    ds.PerFrameFunctionalGroupsSequence = [items[n] for n in order]
    bits = np.packbits(frames[order].reshape(-1), bitorder="little").tobytes()
    ds.PixelData = bits + b"\0" * (len(bits) % 2)
    save(ds, tmp_path / "s.dcm")
    (found,) = read_labels(tmp_path / "s.dcm", volume)
    np.testing.assert_array_equal(found.array, labels)


def cropped(path, stack, labels, rows, columns, flip=False, kind="BINARY"):
    """A SEG of a part of the plane, its rows optionally written bottom up."""
    keep = [k for k in range(len(labels)) if labels[k].any()]
    part = labels[keep][:, rows, columns]
    step = -1 if flip else 1
    part = part[:, ::step]
    spacing = stack.spacing[1:]
    orientation = (1.0, 0.0, 0.0, 0.0, float(step), 0.0)
    first_row = (rows.stop - 1) if flip else rows.start
    positions = [
        hd.PlanePositionSequence(
            "PATIENT",
            np.add(
                stack.position(k),
                (columns.start * spacing[1], first_row * spacing[0], 0),
            ),
        )
        for k in keep
    ]
    return write_seg(
        path,
        sources(stack),
        part,
        kind=kind,
        plane_positions=positions,
        plane_orientation=hd.PlaneOrientationSequence("PATIENT", orientation),
        pixel_measures=hd.PixelMeasuresSequence(np.float32(spacing).tolist(), 1.25),
    )


@pytest.mark.parametrize("flip", [False, True])
def test_cropped_and_reversed_planes(tmp_path, case, flip):
    stack, volume, labels = case
    cropped(tmp_path / "s.dcm", stack, labels, slice(3, 22), slice(2, 19), flip)
    (found,) = read_labels(tmp_path / "s.dcm", volume)
    np.testing.assert_array_equal(found.array, labels)


def test_overlaps_are_spread(tmp_path, case):
    stack, volume, _labels = case
    masks = np.stack(
        [
            ellipsoid(SHAPE, (3, 8, 7), (2, 5, 5)),
            ellipsoid(SHAPE, (3, 10, 9), (2, 5, 5)),
            ellipsoid(SHAPE, (6, 20, 15), (1, 2, 2)),
        ],
        axis=-1,
    ).astype(np.uint8)
    write_seg(tmp_path / "s.dcm", sources(stack), masks)
    first, second = read_labels(tmp_path / "s.dcm", volume)
    assert [s.value for s in first.segments] == [1, 3]
    assert [s.value for s in second.segments] == [2]
    np.testing.assert_array_equal(first.array == 1, masks[..., 0])
    np.testing.assert_array_equal(second.array == 2, masks[..., 1])
    np.testing.assert_array_equal(first.array == 3, masks[..., 2])


def test_many_segments_need_sixteen_bits(tmp_path, case):
    stack, volume, labels = case
    seg = write_seg(tmp_path / "s.dcm", sources(stack), labels)
    for item in seg.SegmentSequence:
        item.SegmentNumber += 299
    for frame in seg.PerFrameFunctionalGroupsSequence:
        frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber += 299
    seg.save_as(tmp_path / "s.dcm")
    (found,) = read_labels(tmp_path / "s.dcm", volume)
    assert found.array.dtype == np.uint16
    np.testing.assert_array_equal(np.unique(found.array), [0, 300, 301])


def test_another_frame_of_reference_is_refused(tmp_path, case):
    stack, volume, labels = case
    seg = write_seg(tmp_path / "s.dcm", sources(stack), labels)
    seg.FrameOfReferenceUID = "1.2.3"
    seg.save_as(tmp_path / "s.dcm")
    with pytest.raises(GeometryMismatch, match="frame of reference"):
        read_labels(tmp_path / "s.dcm", volume)


@pytest.mark.parametrize("shift", [(0.2, 0, 0), (0, 0.3, 0), (0, 0, 0.5)])
def test_between_voxels_is_refused_with_numbers(tmp_path, case, shift):
    stack, volume, labels = case
    moved = Stack(
        stack.stored, origin=tuple(np.add(stack.origin, shift)), spacing=stack.spacing
    )
    write_seg(tmp_path / "s.dcm", sources(moved), labels)
    with pytest.raises(GeometryMismatch) as caught:
        read_labels(tmp_path / "s.dcm", volume)
    expected = max(np.array(shift)[::-1] / stack.spacing)
    assert caught.value.numbers["residual_voxels"] == pytest.approx(expected, abs=1e-3)


def test_a_coarser_grid_is_refused(tmp_path, case):
    stack, volume, labels = case
    coarse = Stack(stack.stored, spacing=(1.25, 1.484375, 1.484375))
    write_seg(tmp_path / "s.dcm", sources(coarse), labels)
    with pytest.raises(GeometryMismatch):
        read_labels(tmp_path / "s.dcm", volume)


def test_thick_slices_of_another_series_leave_no_holes(tmp_path):
    """Every fifth slice of the same scan lies on the grid, and is no node of it."""
    thin = Stack(noise((21, 8, 8)))
    thick = Stack(noise((5, 8, 8)), spacing=(5.0, 0.75, 0.75), series="2")
    thin.write(tmp_path / "thin")
    thick.write(tmp_path / "thick")
    labels = np.zeros((5, 8, 8), dtype=np.uint8)
    labels[1:4, 2:5, 2:5] = 1
    write_seg(tmp_path / "s.dcm", sources(thick), labels)
    with pytest.raises(GeometryMismatch, match="5 mm apart") as caught:
        read_labels(tmp_path / "s.dcm", read_volume(tmp_path / "thin"))
    assert caught.value.numbers["volume_step_mm"] == pytest.approx(1)
    (found,) = read_labels(tmp_path / "s.dcm", read_volume(tmp_path / "thick"))
    np.testing.assert_array_equal(found.array, labels)


def test_another_series_on_the_same_grid_is_placed_and_told(tmp_path, case):
    _, volume, labels = case
    kernel = Stack(noise(SHAPE), spacing=(1.25, 0.7421875, 0.7421875), series="2")
    write_seg(tmp_path / "s.dcm", sources(kernel), labels)
    (found,) = read_labels(tmp_path / "s.dcm", volume)
    np.testing.assert_array_equal(found.array, labels)
    assert verdicts(found)["referenced_images"] == "fail"


@pytest.mark.parametrize(
    "orientation",
    [
        (1, 0, 0, 0, 1, 0),
        (1, 0, 0, 0, -1, 0),
        (0, 1, 0, 0, 0, -1),
        (0.8, 0.6, 0, 0, 0, -1),
    ],
)
def test_written_by_dcmqi(tmp_path, orientation):
    """Flipped, cropped and permuted label images through another toolkit."""
    itkimage2segimage = Path(sys.executable).with_name("itkimage2segimage")
    if not itkimage2segimage.exists():
        pytest.skip("dcmqi is not installed beside this Python.")
    stack = Stack(noise((7, 10, 9)), orientation=orientation, spacing=(5, 0.7, 0.9))
    stack.write(tmp_path / "ct")
    volume = read_volume(tmp_path / "ct")
    labels = np.zeros(volume.shape, dtype=np.uint8)
    labels[1:4, 2:6, 3:7], labels[5, 8, 2] = 1, 2
    image = sitk.GetImageFromArray(labels)
    columns = volume.affine[:3, [2, 1, 0]]
    spacing = np.linalg.norm(columns, axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((columns / spacing).ravel().tolist())
    image.SetOrigin(volume.affine[:3, 3].tolist())
    (tmp_path / "meta.json").write_text(json.dumps(DCMQI))
    for number, other in enumerate(
        (
            image,
            sitk.Flip(image, [True, False, True]),
            image[1:8, 1:9, 1:6],
            sitk.PermuteAxes(image, [2, 0, 1]),
        )
    ):
        out = tmp_path / f"{number}.dcm"
        sitk.WriteImage(other, str(tmp_path / "labels.nrrd"))
        subprocess.run(
            [
                *(itkimage2segimage, "--inputDICOMDirectory", tmp_path / "ct"),
                *("--inputImageList", tmp_path / "labels.nrrd"),
                *("--inputMetadata", tmp_path / "meta.json"),
                *("--outputDICOM", out, "--skip"),
            ],
            check=True,
            capture_output=True,
        )
        (found,) = read_labels(out, volume)
        np.testing.assert_array_equal(found.array, labels)


def test_foreground_outside_the_volume_is_refused(tmp_path, case):
    stack, _volume, labels = case
    stack.write(tmp_path / "half")
    for k in range(4, 8):
        (tmp_path / "half" / f"1-{k + 1:03d}.dcm").unlink()
    write_seg(tmp_path / "s.dcm", sources(stack), labels)
    with pytest.raises(GeometryMismatch, match="outside"):
        read_labels(tmp_path / "s.dcm", read_volume(tmp_path / "half"))


def test_absent_source_images_are_counted(tmp_path, case):
    stack, _, labels = case
    stack.write(tmp_path / "part")
    (tmp_path / "part" / "1-003.dcm").unlink()
    volume = read_volume(tmp_path / "part")
    write_seg(tmp_path / "s.dcm", sources(stack), labels)
    (found,) = read_labels(tmp_path / "s.dcm", volume)
    check = next(c for c in found.checks if c.code == "referenced_images")
    assert (check.verdict, check.numbers["absent"]) == ("warn", 1)
    assert verdicts(found)["labels_on_missing_slices"] == "warn"
    np.testing.assert_array_equal(found.array, labels)

    other = Stack(stack.stored, series="8", spacing=stack.spacing)
    write_seg(tmp_path / "o.dcm", sources(other), labels)
    (found,) = read_labels(tmp_path / "o.dcm", volume)
    assert verdicts(found)["referenced_images"] == "fail"


def test_truncated_and_other_files(tmp_path, case):
    stack, volume, labels = case
    seg = write_seg(tmp_path / "s.dcm", sources(stack), labels)
    seg.PixelData = seg.PixelData[:20]
    seg.save_as(tmp_path / "s.dcm")
    with pytest.raises(CorruptData):
        read_labels(tmp_path / "s.dcm", volume)
    with pytest.raises(UnreadableAnnotation, match="CT"):
        read_labels(volume.files[0], volume)
    (tmp_path / "t.dcm").write_bytes(b"text")
    with pytest.raises(UnreadableAnnotation):
        read_labels(tmp_path / "t.dcm", volume)
    seg = write_seg(tmp_path / "s.dcm", sources(stack), labels)
    del seg.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence
    seg.save_as(tmp_path / "s.dcm")
    with pytest.raises(UnreadableAnnotation, match="PlanePosition"):
        read_labels(tmp_path / "s.dcm", volume)


def test_failed_geometry_takes_no_annotation(tmp_path, case):
    stack, _, labels = case
    stack.write(tmp_path / "twice")
    save(stack.dataset(1), tmp_path / "twice" / "again.dcm")
    write_seg(tmp_path / "s.dcm", sources(stack), labels)
    volume = read_volume(tmp_path / "twice", allow_fail=True)
    with pytest.raises(BrokenGeometry):
        read_labels(tmp_path / "s.dcm", volume)


def test_compressed_frames(tmp_path, case):
    stack, volume, labels = case
    write_seg(
        tmp_path / "s.dcm",
        sources(stack),
        labels,
        kind="LABELMAP",
        syntax=pydicom.uid.RLELossless,
    )
    (found,) = read_labels(tmp_path / "s.dcm", volume)
    np.testing.assert_array_equal(found.array, labels)


def test_folder_with_images_and_seg(tmp_path, case):
    stack, _volume, labels = case
    write_seg(tmp_path / "ct" / "s.dcm", sources(stack), labels)
    (found,) = read_labels(tmp_path / "ct", read_volume(tmp_path / "ct"))
    np.testing.assert_array_equal(found.array, labels)
