"""A real CT of another TCIA collection, against what other programs read."""

from pathlib import Path

import numpy as np
import pytest

from dicom_factory import recode
from napari_tcia.volume import read_volume, survey
from oracle.readers import by_dcm2niix, by_highdicom, onto

ENCODINGS = (
    "1.2.840.10008.1.2.1.99",  # deflated
    "1.2.840.10008.1.2.5",  # RLE
    "1.2.840.10008.1.2.4.70",  # JPEG Lossless SV1
    "1.2.840.10008.1.2.4.80",  # JPEG-LS
    "1.2.840.10008.1.2.4.90",  # JPEG 2000
)
FOLDER = Path(__file__).parents[3] / "shared/data/lidc-idri-0314-mediastinum"
pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(),
    reason="the real LIDC-IDRI slices are not beside the repository",
)


def test_volume_equals_simpleitk():
    sitk = pytest.importorskip("SimpleITK")
    volume = read_volume(FOLDER)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(FOLDER / "image")))
    image = reader.Execute()
    assert volume.array.dtype == np.int16
    np.testing.assert_array_equal(volume.array, sitk.GetArrayFromImage(image))
    direction = np.reshape(image.GetDirection(), (3, 3)) @ np.diag(image.GetSpacing())
    np.testing.assert_allclose(volume.affine[:3, :3][:, ::-1], direction, atol=1e-9)
    np.testing.assert_allclose(volume.affine[:3, 3], image.GetOrigin(), atol=1e-9)
    # InstanceNumber rises while z falls, and SliceLocation contradicts the position.
    assert [file.name for file in volume.files if file] == [
        Path(name).name for name in reader.GetFileNames()
    ]


def test_volume_equals_highdicom_and_dcm2niix():
    volume = read_volume(FOLDER)
    other = by_highdicom(FOLDER / "image")
    np.testing.assert_array_equal(onto(other, volume.affine), volume.array)
    (found,) = by_dcm2niix(FOLDER / "image").values()
    np.testing.assert_array_equal(onto(found, volume.affine), volume.array)


def test_any_order_and_encoding_of_the_files_is_the_same_volume(tmp_path):
    """Renamed in a random order, every third one compressed by others."""
    volume = read_volume(FOLDER)
    files = sorted((FOLDER / "image").iterdir())
    order = np.random.default_rng(5).permutation(len(files))
    for n, file in zip(order.tolist(), files, strict=True):
        copy = tmp_path / "ab"[n % 2] / f"{n}.dcm"
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes(file.read_bytes())
        if n % 3 == 0:
            recode(copy, ENCODINGS[n // 3 % len(ENCODINGS)])
    again = read_volume(tmp_path)
    np.testing.assert_array_equal(again.array, volume.array)
    np.testing.assert_array_equal(again.affine, volume.affine)
    assert again.passport.verdict == "pass"


def test_passport_is_clean():
    volume = read_volume(FOLDER, declared_images=24)
    assert volume.passport.verdict == "pass"
    assert volume.quantity == "HU"
    assert volume.present.all()
    assert volume.window == (-450.0, 2000.0)


def test_survey_recognises_the_collection():
    (series,) = survey(FOLDER)
    assert (series.modality, series.patient_id) == ("CT", "LIDC-IDRI-0314")
    assert series.ctp_collection == "LIDC-IDRI"
    assert len(series.files) == 24
    assert not series.synthetic
