"""NIfTI masks: placed by their affine or refused."""

import gzip
import zipfile

import nibabel as nib
import numpy as np
import pytest

from annotation_factory import ellipsoid, volume_of, write_mask
from napari_tcia.core.geometry import make_affine
from napari_tcia.errors import (
    CorruptData,
    GeometryMismatch,
    NothingFound,
    UnreadableAnnotation,
)
from napari_tcia.nodes import read_labels

SHAPE = (6, 14, 11)
AFFINE = make_affine((-61.7, 12.3, 830.25), (1, 0, 0, 0, 1, 0), (1.25, 0.748, 0.748))


@pytest.fixture
def labels():
    array = np.zeros(SHAPE, dtype=np.uint8)
    array[ellipsoid(SHAPE, (2, 4, 3), (1.5, 3, 2))] = 1
    array[ellipsoid(SHAPE, (4, 9, 7), (1, 2, 3))] = 2
    return array


@pytest.fixture
def volume():
    return volume_of(np.zeros(SHAPE, dtype=np.int16), AFFINE)


@pytest.mark.parametrize("dtype", ["u1", "i2", "f4", "f8"])
def test_stored_as_in_the_collection(tmp_path, volume, labels, dtype):
    path = write_mask(tmp_path / "MED_LYMPH_001_mask.nii.gz", labels, AFFINE, dtype)
    (found,) = read_labels(path, volume)
    np.testing.assert_array_equal(found.array, labels)
    assert found.array.dtype == np.uint8
    assert [(s.value, s.label) for s in found.segments] == [
        (1, "Node 1"),
        (2, "Node 2"),
    ]
    assert found.source == "mask"
    assert {c.verdict for c in found.checks} == {"pass"}


@pytest.mark.parametrize("codes", ["RAS", "LAS", "PIR", "SPL", "ALI"])
def test_other_axis_orders_through_the_affine(tmp_path, volume, labels, codes):
    """Whatever order a program stored the voxels in, the affine brings them home."""
    path = write_mask(tmp_path / "a_mask.nii", labels, AFFINE)
    image = nib.load(path)
    change = nib.orientations.ornt_transform(
        nib.io_orientation(image.affine), nib.orientations.axcodes2ornt(codes)
    )
    nib.save(image.as_reoriented(change), tmp_path / "b.nii.gz")
    (found,) = read_labels(tmp_path / "b.nii.gz", volume)
    np.testing.assert_array_equal(found.array, labels)


def test_identity_affine_is_refused(tmp_path, volume, labels):
    image = nib.Nifti1Image(labels.transpose(2, 1, 0), np.eye(4))
    image.set_sform(np.eye(4), 1)
    nib.save(image, tmp_path / "a.nii.gz")
    with pytest.raises(GeometryMismatch) as caught:
        read_labels(tmp_path / "a.nii.gz", volume)
    assert caught.value.numbers["residual_voxels"] > 0.1


def test_no_orientation_is_refused(tmp_path, volume, labels):
    image = nib.Nifti1Image(labels.transpose(2, 1, 0), None)
    image.header.set_zooms((0.748, 0.748, 1.25))
    nib.save(image, tmp_path / "a.nii.gz")
    with pytest.raises(GeometryMismatch, match="no orientation"):
        read_labels(tmp_path / "a.nii.gz", volume)


def test_contradicting_orientations_are_refused(tmp_path, volume, labels):
    path = write_mask(tmp_path / "a.nii", labels, AFFINE)
    image = nib.load(path)
    image.set_qform(np.diag([-1, -1, 1, 1.0]) @ image.affine, 1)
    nib.save(image, tmp_path / "b.nii")
    with pytest.raises(GeometryMismatch, match="contradict"):
        read_labels(tmp_path / "b.nii", volume)


@pytest.mark.parametrize("shift", [0.7, 1.25, 2.5])
def test_moved_or_of_another_scan_is_refused(tmp_path, volume, labels, shift):
    moved = AFFINE.copy()
    moved[2, 3] += shift
    path = write_mask(tmp_path / "a.nii.gz", labels, moved)
    with pytest.raises(GeometryMismatch):
        read_labels(path, volume)


def test_one_slice_fewer_is_refused(tmp_path, volume, labels):
    path = write_mask(tmp_path / "a.nii.gz", labels[:-1], AFFINE)
    with pytest.raises(GeometryMismatch, match="shape"):
        read_labels(path, volume)


@pytest.mark.parametrize("top", ["", "MED_ABD_LYMPH_MASKS/", "a/MED_ABD_LYMPH_MASKS/"])
def test_zip_of_many_patients(tmp_path, volume, labels, top):
    with zipfile.ZipFile(tmp_path / "masks.zip", "w") as archive:
        for patient, array in (
            ("MED_LYMPH_001", labels),
            ("MED_LYMPH_002", labels * 0),
        ):
            path = write_mask(tmp_path / f"{patient}_mask.nii.gz", array, AFFINE)
            archive.write(path, f"{top}{patient}/{path.name}")
        archive.writestr("__MACOSX/MED_LYMPH_001/._MED_LYMPH_001_mask.nii.gz", b"x")
    (found,) = read_labels(tmp_path / "masks.zip", volume)
    np.testing.assert_array_equal(found.array, labels)
    (found,) = read_labels(tmp_path, volume)
    np.testing.assert_array_equal(found.array, labels)
    with pytest.raises(NothingFound):
        read_labels(tmp_path / "masks.zip", volume_of(labels, AFFINE, "MED_LYMPH_090"))


def test_mask_named_after_another_patient_warns(tmp_path, volume, labels):
    path = write_mask(tmp_path / "MED_LYMPH_002_mask.nii.gz", labels, AFFINE)
    (found,) = read_labels(path, volume)
    assert {c.code: c.verdict for c in found.checks}["same_patient"] == "warn"


def test_probabilities_and_negatives_are_no_masks(tmp_path, volume, labels):
    for name, values in (("p", labels * 0.37), ("n", labels.astype("i2") - 1)):
        path = write_mask(
            tmp_path / f"{name}.nii", values, AFFINE, values.dtype.str[1:]
        )
        with pytest.raises(UnreadableAnnotation):
            read_labels(path, volume)


def test_damaged_files(tmp_path, volume, labels):
    path = write_mask(tmp_path / "a.nii.gz", labels, AFFINE)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(CorruptData):
        read_labels(path, volume)
    (tmp_path / "b.nii.gz").write_bytes(gzip.compress(b"no NIfTI" * 100))
    with pytest.raises(UnreadableAnnotation):
        read_labels(tmp_path / "b.nii.gz", volume)
    with pytest.raises(NothingFound):
        read_labels(tmp_path / "absent.nii.gz", volume)


def test_labels_on_missing_slices_are_told(tmp_path, volume, labels):
    path = write_mask(tmp_path / "mask.nii.gz", labels, AFFINE)
    assert "labels_on_missing_slices" not in {
        c.code for c in read_labels(path, volume)[0].checks
    }
    volume.present[[0, 4]] = False
    (found,) = read_labels(path, volume)
    check = next(c for c in found.checks if c.code == "labels_on_missing_slices")
    assert (check.verdict, check.numbers["k"]) == ("warn", [4])


def test_empty_mask_is_said(tmp_path, volume, labels):
    path = write_mask(tmp_path / "a.nii.gz", labels * 0, AFFINE)
    (found,) = read_labels(path, volume)
    assert found.segments == ()
    assert {c.code: c.verdict for c in found.checks}["foreground"] == "warn"
