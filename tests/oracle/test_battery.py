"""Arrays and affines of a generated battery, beside what other programs read.

The truth of every series is what the test wrote. Where another program is wrong
or refuses, the test says how, so that it is noticed when that changes.
"""

from itertools import permutations, product

import numpy as np
import pytest

from dicom_factory import EXPLICIT, Stack, noise
from napari_tcia.volume import read_volume
from oracle.readers import by_dcm2niix, by_highdicom, by_simpleitk, onto

SHAPE = (5, 10, 12)
USUAL = {"SliceThickness": "1.0", "PatientPosition": "HFS"}
PET = "1.2.840.10008.5.1.4.1.1.128"
MR = "1.2.840.10008.5.1.4.1.1.4"
INVERTED = "MONOCHROME1"


def axes():
    """Every pair of image axes along those of the patient: 24 right-handed frames."""
    unit = np.eye(3)
    return [
        (*(a * unit[one]), *(b * unit[other]))
        for one, other in permutations(range(3), 2)
        for a, b in product((1.0, -1.0), repeat=2)
    ]


def oblique(seed):
    q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    return tuple(np.round([*q[:, 0], *q[:, 1]], 12).tolist())


def read(folder, stack, verdict="pass"):
    """Ours, checked against what was written."""
    volume = read_volume(folder)
    assert volume.passport.verdict == verdict
    np.testing.assert_allclose(volume.affine, stack.affine, atol=1e-6)
    np.testing.assert_array_equal(volume.array, stack.rescaled.astype(np.float32))
    return volume


def same_as_all(folder, volume):
    """SimpleITK, highdicom and dcm2niix read the same voxels at the same places."""
    found = by_dcm2niix(folder)
    assert list(found) == [""]
    for other in (by_simpleitk(folder), by_highdicom(folder), found[""]):
        array = onto(other, volume.affine)
        assert array.shape == volume.array.shape
        np.testing.assert_array_equal(array.astype(np.float32), volume.array)


@pytest.mark.parametrize("orientation", axes())
def test_along_the_axes_of_the_patient(tmp_path, orientation):
    stack = Stack(
        noise(SHAPE), orientation=orientation, spacing=(2.5, 0.75, 0.5), extra=USUAL
    )
    stack.write(tmp_path)
    same_as_all(tmp_path, read(tmp_path, stack))


@pytest.mark.parametrize("seed", range(6))
def test_double_obliques(tmp_path, seed):
    stack = Stack(
        noise(SHAPE), orientation=oblique(seed), spacing=(1.25, 0.5, 0.8), extra=USUAL
    )
    stack.write(tmp_path)
    same_as_all(tmp_path, read(tmp_path, stack))


@pytest.mark.parametrize("slices", [1, 2, 9])
def test_numbers_and_names_in_any_order(tmp_path, slices):
    stack = Stack(noise((slices, 10, 12)), extra=USUAL)
    order = np.random.default_rng(slices).permutation(slices)
    for k, file in enumerate(stack.write(tmp_path)):
        file.rename(tmp_path / f"{order[k]}.ima")
    # A single slice has its thickness for a step, which is said.
    same_as_all(tmp_path, read(tmp_path, stack, "warn" if slices == 1 else "pass"))


KINDS = {
    "signed 16": Stack(noise(SHAPE)),
    "signed 12 of 16": Stack(noise(SHAPE), bits_stored=12),
    "unsigned 16 from -1024": Stack(noise(SHAPE, dtype="u2"), intercept=-1024.0),
    "unsigned 12 of 16": Stack(noise(SHAPE, dtype="u2"), bits_stored=12),
    "beyond int16": Stack(noise(SHAPE, dtype="u2") * 30, intercept=-1024.0),
    "unsigned 8": Stack((noise(SHAPE, dtype="u2") % 250).astype("u1")),
    "signed 8": Stack((noise(SHAPE, dtype="u2") % 250).astype("i1")),
    "signed 32": Stack(noise(SHAPE).astype("i4") * 1000),
    "unsigned 32": Stack(noise(SHAPE, dtype="u4") * 1000),
    "slope 2": Stack(noise(SHAPE), slope=2.0, intercept=-1024.0),
    "slope 0.5": Stack(noise(SHAPE), slope=0.5),
    "padding": Stack(noise(SHAPE), extra={"PixelPaddingValue": -1000}),
    "MR without rescale": Stack(
        noise(SHAPE, dtype="u2"),
        modality="MR",
        sop_class=MR,
        slope=None,
        intercept=None,
    ),
    "PET, a slope of each slice": Stack(
        noise(SHAPE, dtype="u2"),
        modality="PT",
        sop_class=PET,
        slopes={k: 0.5 + k for k in range(5)},
        extra={"Units": "BQML"},
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_numbers(tmp_path, kind):
    stack = KINDS[kind]
    stack.extra = USUAL | stack.extra
    stack.write(tmp_path)
    volume = read(tmp_path, stack)
    whole = (stack.rescaled == np.rint(stack.rescaled)).all()
    fits = whole and np.abs(stack.rescaled).max() < 32768
    narrow = stack.stored.dtype.itemsize <= 2 and not stack.slopes
    assert volume.array.dtype == ("int16" if fits and narrow else "float32")
    if kind == "signed 8":
        # dcm2niix takes the values for unsigned.
        (found,) = by_dcm2niix(tmp_path).values()
        assert found.array.min() >= 0
        for other in (by_simpleitk(tmp_path), by_highdicom(tmp_path)):
            np.testing.assert_array_equal(onto(other, volume.affine), volume.array)
        return
    same_as_all(tmp_path, volume)


def test_monochrome1_keeps_its_values(tmp_path):
    """SimpleITK and highdicom turn them over, for looking at them."""
    stack = Stack(noise(SHAPE), extra=USUAL | {"PhotometricInterpretation": INVERTED})
    stack.write(tmp_path)
    volume = read(tmp_path, stack)
    assert volume.inverted
    (found,) = by_dcm2niix(tmp_path).values()
    np.testing.assert_array_equal(onto(found, volume.affine), volume.array)
    as_stored = by_highdicom(tmp_path, apply_presentation_lut=False)
    np.testing.assert_array_equal(onto(as_stored, volume.affine), volume.array)
    for other in (by_simpleitk(tmp_path), by_highdicom(tmp_path)):
        array = onto(other, volume.affine).astype(int)
        assert len(np.unique(array + volume.array)) == 1


@pytest.mark.parametrize("degrees", [5.0, -22.0])
def test_tilt_of_the_gantry(tmp_path, degrees):
    shift = float(np.round(np.tan(np.radians(degrees)), 6))
    stack = Stack(noise(SHAPE), shear=(0.0, shift), extra=USUAL)
    stack.write(tmp_path)
    volume = read(tmp_path, stack, "warn")
    # SimpleITK, silently: slices are straight above one another, and farther apart
    # than they are.
    wrong = by_simpleitk(tmp_path)
    assert wrong.affine[1, 0] == 0
    assert wrong.affine[2, 0] == pytest.approx(1 / np.cos(np.radians(degrees)))
    with pytest.raises(ValueError, match="not a regularly-spaced volume"):
        by_highdicom(tmp_path)
    # dcm2niix: straight as well, beside a file that is resampled to be so.
    plain, *resampled = by_dcm2niix(tmp_path).values()
    assert np.abs(plain.affine[:3, 2] - [0, 0, 1]).max() < 1e-6
    assert [one.array.shape[1] > volume.shape[1] for one in resampled] == [True]


def test_a_gap(tmp_path):
    stack = Stack(noise(SHAPE), extra=USUAL)
    stack.write(tmp_path)[2].unlink()
    volume = read_volume(tmp_path)
    assert volume.passport.verdict == "warn"
    np.testing.assert_array_equal(volume.affine, stack.affine)
    assert volume.present.tolist() == [True, True, False, True, True]
    # SimpleITK takes the mean for the step, so that every slice lies elsewhere.
    wrong = by_simpleitk(tmp_path)
    assert wrong.affine[2, 0] == pytest.approx(4 / 3)
    with pytest.raises(ValueError, match="not a regularly-spaced volume"):
        by_highdicom(tmp_path)
    # dcm2niix shoves the slices together, and interpolates in a second file.
    plain, equal = by_dcm2niix(tmp_path).values()
    assert plain.array.shape[2] == 4
    assert plain.affine[2, 2] == pytest.approx(1)
    assert equal.array.shape[2] == 5


def test_a_step_that_changes(tmp_path):
    positions = {k: (0.0, 0.0, z) for k, z in enumerate((0.0, 1.0, 2.0, 4.5, 7.0))}
    stack = Stack(noise(SHAPE), positions=positions, extra=USUAL)
    stack.write(tmp_path)
    volume = read_volume(tmp_path, allow_fail=True)
    assert volume.passport.verdict == "fail"
    # The mean step, with a warning on stderr.
    assert by_simpleitk(tmp_path).affine[2, 0] == pytest.approx(7 / 4)
    assert sorted(by_dcm2niix(tmp_path)) == ["", "_Eq_1"]


def test_jitter_that_is_no_defect(tmp_path):
    """9 um to and fro: highdicom refuses, dcm2niix takes the first gap for all."""
    places = {k: (0.0, 0.0, k + 0.009 * (-1) ** k) for k in range(5)}
    stack = Stack(noise(SHAPE), positions=places, extra=USUAL)
    stack.write(tmp_path)
    volume = read_volume(tmp_path)
    assert volume.passport.verdict == "pass"
    assert volume.affine[2, 0] == pytest.approx(1, abs=1e-9)
    np.testing.assert_allclose(by_simpleitk(tmp_path).affine, volume.affine, atol=1e-9)
    with pytest.raises(ValueError, match="not a regularly-spaced volume"):
        by_highdicom(tmp_path)
    (found,) = by_dcm2niix(tmp_path).values()
    assert found.affine[2, 2] == pytest.approx(0.982)


def test_two_images_at_one_place(tmp_path):
    positions = {3: (-100.0, -80.0, -48.0)}
    stack = Stack(noise(SHAPE), positions=positions, extra=USUAL)
    stack.write(tmp_path)
    assert read_volume(tmp_path, allow_fail=True).passport.verdict == "fail"
    # SimpleITK: five slices in the same length.
    wrong = by_simpleitk(tmp_path)
    assert len(wrong.array) == 5
    assert wrong.affine[2, 0] == pytest.approx(1)
    with pytest.raises(ValueError, match="not a regularly-spaced volume"):
        by_highdicom(tmp_path)


def test_a_localizer_among_the_slices(tmp_path):
    stack = Stack(noise(SHAPE), extra=USUAL)
    stack.write(tmp_path)
    scout = Stack(
        noise((6, *SHAPE[1:]), seed=1), orientation=(1, 0, 0, 0, 0, -1), extra=USUAL
    ).dataset(5)
    scout.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    scout.save_as(tmp_path / "scout.dcm", enforce_file_format=True)
    volume = read_volume(tmp_path, allow_fail=True)
    np.testing.assert_array_equal(volume.array, stack.stored)
    # SimpleITK takes it for a slice, silently.
    assert len(by_simpleitk(tmp_path).array) == 6
    with pytest.raises(ValueError, match="orientation"):
        by_highdicom(tmp_path)


def test_a_file_that_is_cut(tmp_path):
    stack = Stack(noise(SHAPE), extra=USUAL, syntax=EXPLICIT)
    victim = stack.write(tmp_path)[2]
    victim.write_bytes(victim.read_bytes()[:-60])
    volume = read_volume(tmp_path, allow_fail=True)
    kept = volume.present
    assert kept.tolist() == [True, True, False, True, True]
    np.testing.assert_array_equal(volume.array[kept], stack.stored[kept])
    with pytest.raises(Exception, match="bytes"):
        by_highdicom(tmp_path)
    assert not by_dcm2niix(tmp_path)  # the whole series is lost
