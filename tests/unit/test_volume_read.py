"""Reading a series: order, numbers, kinds, refusals."""

import warnings

import numpy as np
import pydicom
import pytest

from dicom_factory import BIG, EXPLICIT, ROOT, Stack, noise, save
from napari_tcia.core.model import TWIN_MARK, Provenance
from napari_tcia.core.task import CancelToken
from napari_tcia.errors import (
    BrokenGeometry,
    Cancelled,
    CorruptData,
    MixedSeries,
    NoDicom,
    UnsupportedData,
)
from napari_tcia.volume import read_volume, require_sound, survey

SEG = "1.2.840.10008.5.1.4.1.1.66.4"


def check(volume, code):
    return next(one for one in volume.passport.checks if one.code == code)


def test_good_series(tmp_path):
    stack = Stack(noise((7, 12, 10)))
    files = stack.write(tmp_path)
    (tmp_path / "LICENSE").write_text("words")
    (tmp_path / "metadata.csv").write_text("a,b")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        volume = read_volume(tmp_path, declared_images=7)
    np.testing.assert_array_equal(volume.array, stack.stored)
    assert volume.array.dtype == np.int16
    np.testing.assert_allclose(
        volume.affine,
        [[0, 0, 0.75, -100], [0, 0.75, 0, -80], [1, 0, 0, -50], [0, 0, 0, 1]],
    )
    assert volume.passport.verdict == "pass"
    assert volume.quantity == "HU"
    assert volume.files == tuple(files)
    assert volume.sop_uids == tuple(stack.sop_uid(k) for k in range(7))
    assert volume.provenance.series_uid == stack.series_uid
    assert volume.provenance.frame_of_reference_uid == stack.frame_of_reference
    assert volume.provenance.origin == "unknown"
    assert volume.description == "mediastinal_lymph_nodes"


def test_given_provenance_is_kept_and_filled(tmp_path):
    Stack(noise((2, 4, 4))).write(tmp_path)
    given = Provenance(origin="archive", collection="CT Lymph Nodes", terms="accepted")
    found = read_volume(tmp_path, provenance=given).provenance
    assert (found.origin, found.collection) == ("archive", "CT Lymph Nodes")
    assert (found.patient_id, found.modality) == ("MED_LYMPH_001", "CT")


def test_illegal_values_neither_raise_nor_warn(tmp_path):
    stack = Stack(noise((3, 4, 4)))
    for k in range(3):
        ds = stack.dataset(k)
        with pydicom.config.disable_value_validation():
            ds.PatientAge = "N-A"
            ds.StudyInstanceUID = "61.7.22285965616260355338860879829667630274"
            ds.ImagePositionPatient = [
                "-195.630859375",
                "-3.089908e+02",
                f"{-10.5 + k}",
            ]
        save(ds, tmp_path / f"{k}.dcm")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        volume = read_volume(tmp_path)
    np.testing.assert_allclose(volume.affine[:3, 3], [-195.630859375, -308.9908, -10.5])
    assert volume.provenance.study_uid.startswith("61.7.")


def test_instance_number_and_slice_location_do_not_order(tmp_path):
    stack = Stack(noise((5, 4, 4)))
    for k in range(5):
        ds = stack.dataset(k)
        ds.InstanceNumber, ds.SliceLocation = 5 - k, -float(k)
        save(ds, tmp_path / f"{(3 * k) % 5}.dcm")
    volume = read_volume(tmp_path)
    np.testing.assert_array_equal(volume.array, stack.stored)
    assert volume.passport.verdict == "pass"


def test_flipped_columns_stack_the_other_way(tmp_path):
    """With columns towards the front, the normal and so k point to the feet."""
    stack = Stack(noise((4, 5, 6)), orientation=(1, 0, 0, 0, -1, 0))
    stack.write(tmp_path)
    volume = read_volume(tmp_path)
    np.testing.assert_array_equal(volume.array, stack.stored)
    np.testing.assert_allclose(volume.affine[:3, 0], [0, 0, -1])
    np.testing.assert_allclose(volume.affine[:3, 1], [0, -0.75, 0])


@pytest.mark.parametrize("syntax", [EXPLICIT, BIG])
def test_explicit_and_big_endian(tmp_path, syntax):
    stack = Stack(noise((3, 4, 5)), syntax=syntax)
    stack.write(tmp_path)
    np.testing.assert_array_equal(read_volume(tmp_path).array, stack.stored)


def test_deflated_and_rle(tmp_path):
    stack = Stack(noise((2, 6, 6)), syntax=EXPLICIT)
    plain = stack.dataset(0)
    plain.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    save(plain, tmp_path / "deflated.dcm")
    rle = stack.dataset(1)
    rle.compress(pydicom.uid.RLELossless)
    save(rle, tmp_path / "rle.dcm")
    np.testing.assert_array_equal(read_volume(tmp_path).array, stack.stored)


@pytest.mark.parametrize(
    ("dtype", "slope", "intercept", "result"),
    [
        ("u2", 1.0, -1024.0, "int16"),
        ("i2", 1.0, -1000.0, "int16"),
        ("u1", 1.0, 0.0, "int16"),
        ("i2", 0.5, 0.0, "float32"),
        ("i2", 1.0, 0.5, "float32"),
        ("u4", 1.0, 0.0, "float32"),
    ],
)
def test_rescale(tmp_path, dtype, slope, intercept, result):
    stored = noise((3, 4, 5), dtype="u2")
    stored = (stored % 250 if dtype == "u1" else stored).astype(dtype)
    Stack(stored, slope=slope, intercept=intercept).write(tmp_path)
    volume = read_volume(tmp_path)
    assert volume.array.dtype == result
    np.testing.assert_allclose(volume.array, stored.astype(float) * slope + intercept)


def test_values_beyond_int16_become_float(tmp_path):
    stored = noise((3, 4, 5), dtype="u2")
    stored[2, 0, 0] = 60000
    Stack(stored, intercept=-1024.0).write(tmp_path)
    volume = read_volume(tmp_path)
    assert volume.array.dtype == np.float32
    np.testing.assert_array_equal(volume.array, stored.astype(np.float32) - 1024)


def test_bits_above_bits_stored_are_no_pixels(tmp_path):
    stack = Stack(np.array([[[-5, 100]], [[7, -2048]]], dtype="i2"))
    for k in range(2):
        ds = stack.dataset(k)
        ds.BitsStored, ds.HighBit = 12, 11
        ds.PixelData = (stack.stored[k].view("u2") & 0x0FFF).tobytes()
        save(ds, tmp_path / f"{k}.dcm")
    np.testing.assert_array_equal(read_volume(tmp_path).array, stack.stored)


def test_a_slope_of_zero_leaves_no_image(tmp_path):
    stack = Stack(noise((3, 4, 4)))
    files = stack.write(tmp_path)
    dataset = stack.dataset(1)
    dataset.RescaleSlope = "0"
    save(dataset, files[1])
    with pytest.raises(BrokenGeometry, match=r"slope of 0: 1-002\.dcm"):
        read_volume(tmp_path)


def test_rescale_slice_by_slice(tmp_path):
    stack = Stack(noise((3, 4, 5)))
    for k in range(3):
        ds = stack.dataset(k)
        ds.RescaleIntercept = str(-10 * k)
        save(ds, tmp_path / f"{k}.dcm")
    volume = read_volume(tmp_path)
    expected = stack.stored - 10 * np.arange(3)[:, None, None]
    np.testing.assert_array_equal(volume.array, expected)
    assert check(volume, "equal_rescale").verdict == "warn"


@pytest.mark.parametrize(
    ("change", "quantity"),
    [
        ({}, "HU"),
        ({"intercept": None, "slope": None}, "stored values"),
        ({"modality": "MR", "sop_class": "1.2.840.10008.5.1.4.1.1.4"}, "stored values"),
        ({"modality": "PT", "sop_class": "1.2.840.10008.5.1.4.1.1.128"}, "PET BQML"),
    ],
)
def test_quantity(tmp_path, change, quantity):
    stack = Stack(noise((2, 4, 4)), **change)
    for k in range(2):
        ds = stack.dataset(k)
        if stack.modality == "PT":
            ds.Units = "BQML"
        save(ds, tmp_path / f"{k}.dcm")
    assert read_volume(tmp_path).quantity == quantity


def test_rescale_type_other_than_hu(tmp_path):
    ds = Stack(noise((1, 4, 4))).dataset(0)
    ds.RescaleType = "US"
    save(ds, tmp_path / "a.dcm")
    volume = read_volume(tmp_path)
    assert volume.quantity == "stored values"
    assert check(volume, "uniform_step").verdict == "warn"


def test_one_file_and_a_list_of_files(tmp_path):
    stack = Stack(noise((3, 4, 4)))
    files = stack.write(tmp_path)
    assert read_volume(files[1]).shape == (1, 4, 4)
    assert read_volume(files[::-1]).shape == (3, 4, 4)


def test_two_series_name_both(tmp_path):
    one, two = Stack(noise((2, 4, 4))), Stack(noise((3, 4, 4)), series="2")
    one.write(tmp_path / "a")
    two.write(tmp_path / "b")
    with pytest.raises(MixedSeries) as caught:
        read_volume(tmp_path)
    assert one.series_uid in str(caught.value)
    assert two.series_uid in str(caught.value)
    assert read_volume(tmp_path, series_uid=two.series_uid).shape[0] == 3
    with pytest.raises(NoDicom):
        read_volume(tmp_path, series_uid="1.2.3")


def test_one_slice_of_another_series_is_mixed(tmp_path):
    Stack(noise((3, 4, 4))).write(tmp_path)
    save(Stack(noise((3, 4, 4)), series="2").dataset(1), tmp_path / "1-002b.dcm")
    with pytest.raises(MixedSeries):
        read_volume(tmp_path)


def test_companions_are_no_image_series(tmp_path):
    stack = Stack(noise((2, 4, 4)))
    stack.write(tmp_path)
    seg = Stack(noise((1, 4, 4)), series="9", modality="SEG", sop_class=SEG).dataset(0)
    item = pydicom.Dataset()
    item.SeriesInstanceUID = stack.series_uid
    seg.ReferencedSeriesSequence = [item]
    save(seg, tmp_path / "seg.dcm")
    assert read_volume(tmp_path).shape[0] == 2
    image, companion = survey(tmp_path)
    assert (image.is_image, companion.is_image) == (True, False)
    assert companion.referenced_series_uid == stack.series_uid
    assert image.sop_class_uid != companion.sop_class_uid
    with pytest.raises(UnsupportedData, match="SEG"):
        read_volume(tmp_path / "seg.dcm")


def test_synthetic_is_recognised(tmp_path):
    ds = Stack(noise((1, 4, 4))).dataset(0)
    ds.ImageComments = "a synthetic reconstruction kernel"
    save(ds, tmp_path / "a.dcm")
    assert not survey(tmp_path)[0].synthetic
    ds.ImageComments = f"{TWIN_MARK}, not a patient"
    save(ds, tmp_path / "a.dcm")
    assert survey(tmp_path)[0].synthetic
    assert read_volume(tmp_path).provenance.synthetic


def test_nothing_to_read(tmp_path):
    (tmp_path / "LICENSE").write_text("words")
    with pytest.raises(NoDicom):
        read_volume(tmp_path)
    with pytest.raises(NoDicom):
        read_volume(tmp_path / "absent")
    (tmp_path / "a.dcm").write_bytes(b"not DICOM")
    with pytest.raises(CorruptData, match=r"a\.dcm"):
        read_volume(tmp_path)


@pytest.mark.parametrize(
    ("sop_class", "word"),
    [
        ("1.2.840.10008.5.1.4.1.1.6.1", "Ultrasound Image Storage"),
        ("1.2.840.10008.5.1.4.1.1.130", "Enhanced PET Image Storage"),
        ("1.2.840.10008.5.1.4.1.1.7", "Secondary Capture"),
    ],
)
def test_other_kinds_are_refused_by_name(tmp_path, sop_class, word):
    save(Stack(noise((1, 4, 4)), sop_class=sop_class).dataset(0), tmp_path / "a.dcm")
    with pytest.raises(UnsupportedData, match=word):
        read_volume(tmp_path)


def test_cancelling(tmp_path):
    Stack(noise((2, 4, 4))).write(tmp_path)
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        read_volume(tmp_path, token=token)


def test_progress_reaches_its_total(tmp_path):
    Stack(noise((3, 4, 4))).write(tmp_path)
    seen = []
    read_volume(tmp_path, report=seen.append)
    assert seen[-1].done == seen[-1].total == 3
    assert {one.unit for one in seen} == {"files", "slices"}


def test_failed_volume_is_for_looking_only(tmp_path):
    stack = Stack(noise((3, 4, 4)))
    stack.write(tmp_path)
    save(stack.dataset(1), tmp_path / "again.dcm")
    volume = read_volume(tmp_path, allow_fail=True)
    with pytest.raises(BrokenGeometry, match="annotations"):
        require_sound(volume, "annotations")
    assert ROOT in volume.provenance.series_uid
