"""Any single defect is named with its file; what is no defect passes."""

import tempfile
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dicom_factory import EXPLICIT, Stack, noise, save
from napari_tcia.errors import BrokenGeometry, MixedSeries
from napari_tcia.volume import read_volume

SLICES = 8
calm = settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
places = st.integers(1, SLICES - 2)
anywhere = st.integers(0, SLICES - 1)


def turned(seed):
    q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    return tuple(np.round([*q[:, 0], *q[:, 1]], 10).tolist())


stacks = st.builds(
    lambda seed, step, pixel, syntax: Stack(
        noise((SLICES, 4, 5)),
        orientation=turned(seed),
        spacing=(round(step, 5), round(pixel, 5), round(pixel * 1.25, 5)),
        syntax=syntax,
    ),
    seed=st.integers(0, 10_000),
    step=st.floats(0.6, 5.0),
    pixel=st.floats(0.3, 1.5),
    syntax=st.sampled_from([EXPLICIT, "1.2.840.10008.1.2"]),
)


def written(stack, change=None, k=0):
    """A folder with every slice, one of them changed, and the changed file."""
    folder = Path(tempfile.mkdtemp())
    for n in range(len(stack.stored)):
        dataset = stack.dataset(n)
        if change is not None and n == k:
            with pydicom.config.disable_value_validation():
                change(dataset)
        save(dataset, folder / f"{n}.dcm")
    return folder, folder / f"{k}.dcm"


def check(volume, code):
    return next(one for one in volume.passport.checks if one.code == code)


def moved(stack, k, vector):
    """An edit that moves slice k by a vector in LPS mm."""
    place = stack.position(k) + vector

    def change(dataset):
        dataset.ImagePositionPatient = [f"{v:.9g}" for v in place]

    return change


def along(stack):
    return np.cross(stack.orientation[:3], stack.orientation[3:])


def _orientation(dataset):
    dataset.ImageOrientationPatient = ["0", "0.6", "0.8", "0", "0.8", "-0.6"]


def _spacing(dataset):
    dataset.PixelSpacing = ["0.111", "0.222"]


def _matrix(dataset):
    dataset.Rows, dataset.Columns = 5, 4


def _frame(dataset):
    dataset.FrameOfReferenceUID += ".5"


def _localizer(dataset):
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]


def _nowhere(dataset):
    del dataset.ImagePositionPatient


def _no_columns(dataset):
    dataset.Columns = 0


FAILING = {
    "equal_orientation": _orientation,
    "equal_spacing": _spacing,
    "equal_matrix": _matrix,
    "one_frame_of_reference": _frame,
    "foreign_slices": _localizer,
    "foreign_slices, no position": _nowhere,
    "foreign_slices, no columns": _no_columns,
}


@pytest.mark.parametrize("code", FAILING)
@calm
@given(stack=stacks, k=anywhere)
def test_one_slice_that_does_not_belong(code, stack, k):
    folder, file = written(stack, FAILING[code], k)
    with pytest.raises(BrokenGeometry) as caught:
        read_volume(folder)
    assert code.partition(",")[0] in caught.value.numbers["checks"]
    assert caught.value.numbers["files"] == [str(file)]
    assert file.name in str(caught.value)


@calm
@given(stack=stacks, k=places, share=st.floats(0.15, 0.85))
def test_one_slice_at_an_irregular_place(stack, k, share):
    step = along(stack) * stack.spacing[0] * share
    folder, file = written(stack, moved(stack, k, step), k)
    with pytest.raises(BrokenGeometry) as caught:
        read_volume(folder)
    assert "uniform_step" in caught.value.numbers["checks"]
    assert str(file) in caught.value.numbers["files"]


@calm
@given(stack=stacks, k=places, pixels=st.floats(0.2, 50))
def test_one_slice_shifted_sideways(stack, k, pixels):
    vector = np.array(stack.orientation[:3]) * stack.spacing[1] * pixels
    folder, file = written(stack, moved(stack, k, vector), k)
    with pytest.raises(BrokenGeometry) as caught:
        read_volume(folder)
    assert "gantry_tilt" in caught.value.numbers["checks"]
    assert caught.value.numbers["files"] == [str(file)]


@calm
@given(stack=stacks, k=places, other=places)
def test_one_slice_at_the_place_of_another(stack, k, other):
    double = (other + 1) % SLICES if other == k else other
    vector = stack.position(double) - stack.position(k)
    folder, file = written(stack, moved(stack, k, vector), k)
    with pytest.raises(BrokenGeometry) as caught:
        read_volume(folder)
    assert "duplicate_positions" in caught.value.numbers["checks"]
    assert {str(file), str(folder / f"{double}.dcm")} <= set(
        caught.value.numbers["files"]
    )


@calm
@given(stack=stacks, k=places)
def test_one_slice_that_is_missing(stack, k):
    folder, file = written(stack, None, k)
    file.unlink()
    volume = read_volume(folder, allow_fail=False)
    assert volume.passport.verdict == "warn"
    assert check(volume, "missing_slices").numbers["k"] == [k]
    assert not volume.present[k]
    with pytest.raises(BrokenGeometry, match=f"{SLICES - 1} of the {SLICES}"):
        read_volume(folder, declared_images=SLICES)


@calm
@given(stack=stacks, k=anywhere)
def test_one_slice_of_another_series(stack, k):
    def change(dataset):
        dataset.SeriesInstanceUID += ".7"

    folder, _ = written(stack, change, k)
    with pytest.raises(MixedSeries) as caught:
        read_volume(folder)
    assert f"{stack.series_uid}.7" in str(caught.value)


@calm
@given(stack=stacks, k=anywhere, share=st.floats(0, 0.999))
def test_one_file_cut_anywhere(stack, k, share):
    folder, file = written(stack, None, k)
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(BrokenGeometry) as caught:
        read_volume(folder)
    assert "unreadable_files" in caught.value.numbers["checks"]
    assert caught.value.numbers["files"] == [str(file)]


@calm
@given(stack=stacks, k=anywhere, seed=st.integers(0, 999))
def test_one_file_of_no_sense(stack, k, seed):
    folder, file = written(stack, None, k)
    rubbish = np.random.default_rng(seed).bytes(file.stat().st_size - 132)
    file.write_bytes(file.read_bytes()[:132] + rubbish)
    with pytest.raises(BrokenGeometry) as caught:
        read_volume(folder)
    assert caught.value.numbers["files"] == [str(file)]


@calm
@given(stack=stacks, k=anywhere, intercept=st.integers(1, 900))
def test_one_slice_that_is_rescaled_otherwise(stack, k, intercept):
    def change(dataset):
        dataset.RescaleIntercept = str(intercept)

    folder, _ = written(stack, change, k)
    volume = read_volume(folder)
    assert check(volume, "equal_rescale").verdict == "warn"
    expected = stack.stored.copy()
    expected[k] += intercept
    np.testing.assert_array_equal(volume.array, expected)


@calm
@given(stack=stacks, k=anywhere, slope=st.sampled_from(["0", "1e300", "-1e38"]))
def test_one_slice_that_is_rescaled_to_nothing(stack, k, slope):
    def change(dataset):
        dataset.RescaleSlope = slope

    folder, file = written(stack, change, k)
    with pytest.raises(BrokenGeometry) as caught:
        read_volume(folder)
    assert "equal_rescale" in caught.value.numbers["checks"]
    assert caught.value.numbers["files"] == [str(file)]
    others = np.arange(SLICES) != k
    volume = read_volume(folder, allow_fail=True)
    np.testing.assert_array_equal(volume.array[others], stack.stored[others])


@calm
@given(stack=stacks, degrees=st.floats(2, 30), turn=st.booleans())
def test_a_tilt_is_measured(stack, degrees, turn):
    shift = stack.spacing[0] * np.tan(np.radians(degrees))
    stack.shear = (0.0, -shift) if turn else (shift, 0.0)
    folder, _ = written(stack)
    volume = read_volume(folder)
    assert volume.passport.verdict == "warn"
    found = check(volume, "gantry_tilt").numbers["angle_deg"]
    assert found == pytest.approx(degrees, abs=0.01)
    np.testing.assert_allclose(volume.affine, stack.affine, atol=1e-5)


@calm
@given(stack=stacks, skew=st.floats(0.01, 0.3))
def test_axes_that_are_not_at_right_angles(stack, skew):
    row, column = np.split(np.array(stack.orientation), 2)
    stack.orientation = (*row, *(column + skew * row))
    folder, _ = written(stack)
    with pytest.raises(BrokenGeometry, match="not orthonormal"):
        read_volume(folder)


@calm
@given(data=st.data(), stack=stacks)
def test_what_is_no_defect_passes(data, stack):
    """Whatever scanners and archives do that leaves every voxel in its place."""
    draw = data.draw
    descending, scientific = draw(st.booleans()), draw(st.booleans())
    location, thickness = draw(st.booleans()), draw(st.booleans())
    acquisition, many = draw(st.booleans()), draw(st.booleans())
    jitter = np.random.default_rng(draw(st.integers(0, 99)))
    most = min(0.01, 0.009 * stack.spacing[0])
    folder = Path(tempfile.mkdtemp())
    for k in range(SLICES):
        dataset = stack.dataset(k)
        place = stack.position(k) + along(stack) * jitter.uniform(-most, most)
        texts = [f"{v:.8e}" if scientific else f"{v:.4f}" for v in place]
        with pydicom.config.disable_value_validation():
            dataset.ImagePositionPatient = texts
            if descending:
                dataset.InstanceNumber = 900 - 3 * k
            if location:
                dataset.SliceLocation = f"{-7 * k:d}"
            if thickness:
                dataset.SliceThickness = "7.5"
            if acquisition:
                dataset.AcquisitionNumber = k + 1
            if many:
                dataset.WindowCenter, dataset.WindowWidth = ["40", str(k)], ["400", "9"]
        save(dataset, folder / f"{jitter.integers(1 << 40)}")
    (folder / "LICENSE").write_text("words")
    volume = read_volume(folder, declared_images=SLICES)
    verdicts = {
        c.code: c.message for c in volume.passport.checks if c.verdict != "pass"
    }
    assert not verdicts
    np.testing.assert_array_equal(volume.array, stack.stored)


@calm
@given(
    stack=stacks,
    points=st.lists(st.tuples(*[st.floats(-5000, 5000)] * 3), min_size=1, max_size=20),
    tilt=st.floats(-1, 1),
)
def test_index_to_patient_and_back(stack, points, tilt):
    stack.shear = (0.0, tilt if abs(tilt) > 0.1 else 0.0)
    folder, _ = written(stack)
    affine = read_volume(folder).affine
    indices = np.c_[np.array(points), np.ones(len(points))].T
    patient = affine @ indices
    again = affine @ (np.linalg.inv(affine) @ patient)
    assert np.abs(again - patient).max() < 1e-6
    back = np.linalg.inv(affine) @ patient
    assert np.abs(affine[:3, :3] @ (back - indices)[:3]).max() < 1e-6
    np.testing.assert_allclose(patient[:3], (stack.affine @ indices)[:3], atol=0.05)
