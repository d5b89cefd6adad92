"""Enhanced and legacy converted instances, beside what other programs read."""

import numpy as np
import pydicom
import pytest

from dicom_factory import EXPLICIT, Stack, noise, recode, save
from napari_tcia.core.image import Choices
from napari_tcia.errors import BrokenGeometry
from napari_tcia.volume import read_volume
from oracle.readers import by_dcm2niix, by_highdicom, by_simpleitk, onto

SHAPE = (6, 32, 36)
SHUFFLED = (3, 0, 5, 1, 4, 2)
ENCODINGS = {
    "native": EXPLICIT,
    "deflated": "1.2.840.10008.1.2.1.99",
    "RLE": "1.2.840.10008.1.2.5",
    "JPEG-LS": "1.2.840.10008.1.2.4.80",
    "JPEG 2000": "1.2.840.10008.1.2.4.90",
}


def ct(**changes):
    return Stack(noise(SHAPE), intercept=-24.0, syntax=EXPLICIT, **changes)


def mr(**changes):
    return Stack(
        noise(SHAPE, dtype="u2"),
        modality="MR",
        syntax=EXPLICIT,
        **({"slope": None, "intercept": None} | changes),
    )


def written(folder, stack, order=None, groups=None, encoding="native"):
    path = folder / "enhanced.dcm"
    save(stack.enhanced(order, groups), path)
    if encoding != "native":
        recode(path, ENCODINGS[encoding])
    return path


def read(path, stack, verdict="pass", choices=None):
    volume = read_volume(path.parent, choices=choices)
    assert volume.passport.verdict == verdict
    np.testing.assert_allclose(volume.affine, stack.affine, atol=1e-6)
    np.testing.assert_array_equal(volume.array, stack.rescaled.astype(np.float32))
    return volume


def equal(other, volume):
    np.testing.assert_array_equal(onto(other, volume.affine), volume.array)


@pytest.mark.parametrize("make", [ct, mr])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_frames_in_order(tmp_path, make, encoding):
    stack = make(spacing=(2.0, 0.5, 0.7))
    volume = read(written(tmp_path, stack, encoding=encoding), stack)
    assert volume.quantity == ("HU" if make is ct else "stored values")
    assert volume.array.dtype == np.int16
    path = tmp_path / "enhanced.dcm"
    equal(by_simpleitk(path), volume)
    equal(by_highdicom(path), volume)
    found = by_dcm2niix(tmp_path)
    if encoding == "deflated":
        assert not found  # it reads none that are
    else:
        equal(found[""], volume)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_frames_in_any_order(tmp_path, encoding):
    stack = ct(orientation=(0.8, 0.6, 0, 0, 0, -1), spacing=(2.0, 0.5, 0.7))
    path = written(tmp_path, stack, SHUFFLED, encoding=encoding)
    volume = read(path, stack)
    equal(by_highdicom(path), volume)
    # SimpleITK leaves the frames as they are in the file, at pixels of 1 mm.
    wrong = by_simpleitk(path)
    np.testing.assert_array_equal(wrong.array, volume.array[list(SHUFFLED)])
    assert np.linalg.norm(wrong.affine[:3, 2]) == pytest.approx(1)
    # dcm2niix puts them in order only where they are not compressed.
    for other in by_dcm2niix(tmp_path).values():
        if encoding == "native":
            equal(other, volume)
        else:
            assert not np.array_equal(onto(other, volume.affine), volume.array)


def test_a_slope_of_each_frame(tmp_path):
    stack = mr(slope=1.0, intercept=0.0, slopes={k: 1 + k / 2 for k in range(6)})
    path = written(tmp_path, stack, SHUFFLED)
    volume = read(path, stack, "warn")
    assert volume.array.dtype == np.float32
    for other in (by_highdicom(path), by_dcm2niix(tmp_path)[""]):
        equal(other, volume)


def _time(number, own):
    content = own.FrameContentSequence[0]
    content.TemporalPositionIndex = number // 6 + 1
    content.DimensionIndexValues = [number // 6 + 1, number % 6 + 1]


def _echo(number, own):
    echo = pydicom.Dataset()
    echo.EffectiveEchoTime = 20.0 + 60 * (number // 6)
    own.MREchoSequence = [echo]


def _stack(number, own):
    own.FrameContentSequence[0].StackID = str(number // 6 + 1)


@pytest.mark.parametrize(
    ("groups", "word"), [(_time, "time"), (_echo, "echo"), (_stack, "stack")]
)
def test_two_stacks_in_one_instance(tmp_path, groups, word):
    """Although every frame has an acquisition number of its own."""
    stack = mr()
    path = written(tmp_path, stack, [*range(6), *range(6)], groups)
    with pytest.raises(BrokenGeometry, match="holds 2 stacks") as caught:
        read_volume(tmp_path)
    assert f"axial, {word}" in str(caught.value)
    assert "same instance" not in str(caught.value)
    for number in (1, 2):
        volume = read(path, stack, "warn", Choices(stack=number))
    # SimpleITK stacks both, one above the other.
    assert len(by_simpleitk(path).array) == 12
    with pytest.raises((RuntimeError, ValueError)):
        by_highdicom(path)
    assert volume.shape == SHAPE


def test_legacy_converted(tmp_path):
    from highdicom.legacy import LegacyConvertedEnhancedCTImage

    stack = ct(
        extra={
            "SliceThickness": "1.0",
            "PatientPosition": "HFS",
            "AcquisitionNumber": 1,
            "AcquisitionDate": "20140914",
            "AcquisitionTime": "101010",
            "Manufacturer": "none",
            "KVP": "120",
            "PositionReferenceIndicator": "",
            "Laterality": "",
        }
    )
    converted = LegacyConvertedEnhancedCTImage(
        [stack.dataset(k) for k in SHUFFLED],
        series_instance_uid=f"{stack.series_uid}.9",
        series_number=2,
        sop_instance_uid=f"{stack.sop_uid(0)}.9",
        instance_number=1,
    )
    path = tmp_path / "legacy.dcm"
    converted.save_as(path)
    volume = read(path, stack)
    assert volume.quantity == "HU"
    for other in (by_simpleitk(path), by_highdicom(path), by_dcm2niix(tmp_path)[""]):
        equal(other, volume)
