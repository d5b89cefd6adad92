"""A real CT of another TCIA collection, against SimpleITK."""

from pathlib import Path

import numpy as np
import pytest

from napari_tcia.volume import read_volume, survey

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
