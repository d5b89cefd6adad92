"""Random grids, crops and orders: an annotation lands on its voxel or is refused."""

import contextlib
import tempfile
from pathlib import Path

import highdicom as hd
import nibabel as nib
import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from annotation_factory import volume_of, write_mask, write_points, write_seg
from dicom_factory import Stack, noise, save
from napari_tcia.core.geometry import make_affine
from napari_tcia.core.image import LabelSet
from napari_tcia.core.model import Provenance
from napari_tcia.errors import GeometryMismatch, UnreadableAnnotation
from napari_tcia.nodes import measure, read_labels, read_points
from napari_tcia.nodes.point_files import parse_table
from napari_tcia.volume import read_volume

SHAPE = (7, 12, 10)
calm = settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


def random_affine(seed):
    rng = np.random.default_rng(seed)
    q, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    orientation = (*q[:, 0], *q[:, 1])
    return make_affine(rng.uniform(-500, 500, 3), orientation, rng.uniform(0.4, 5, 3))


def random_labels(seed, shape=SHAPE):
    rng = np.random.default_rng(seed)
    return np.where(rng.random(shape) < 0.15, rng.integers(1, 4, shape), 0).astype("u1")


@calm
@given(
    seed=st.integers(0, 10_000),
    codes=st.permutations([0, 1, 2]),
    flips=st.tuples(*[st.booleans()] * 3),
)
def test_masks_come_home_from_any_storage_order(seed, codes, flips):
    affine, labels = random_affine(seed), random_labels(seed)
    folder = Path(tempfile.mkdtemp())
    image = nib.load(write_mask(folder / "a.nii", labels, affine))
    order = np.stack([codes, np.where(flips, -1, 1)], axis=1)
    nib.save(image.as_reoriented(order), folder / "b.nii.gz")
    (found,) = read_labels(folder / "b.nii.gz", volume_of(labels, affine))
    np.testing.assert_array_equal(found.array, labels)


@calm
@given(seed=st.integers(0, 10_000), axis=st.integers(0, 2), shift=st.floats(0.12, 0.88))
def test_masks_beside_the_grid_warn_and_beyond_half_a_voxel_are_refused(
    seed, axis, shift
):
    """Rule M2: below half a voxel the nearest is one and the same."""
    assume(abs(shift - 0.5) > 0.01)
    affine, labels = random_affine(seed), random_labels(seed)
    moved = affine.copy()
    moved[:3, 3] += shift * affine[:3, axis]
    path = write_mask(Path(tempfile.mkdtemp()) / "a.nii", labels, moved)
    volume = volume_of(labels, affine)
    if shift > 0.5:
        with pytest.raises(GeometryMismatch):
            read_labels(path, volume)
        return
    (found,) = read_labels(path, volume)
    np.testing.assert_array_equal(found.array, labels)
    (check,) = [one for one in found.checks if one.code == "on_grid"]
    assert check.verdict == "warn"
    assert check.numbers["residual_voxels"] == pytest.approx(shift, abs=1e-3)
    assert "nearest" in check.message


@calm
@given(
    seed=st.integers(0, 10_000),
    low=st.tuples(st.integers(0, 4), st.integers(0, 4)),
    high=st.tuples(st.integers(7, 12), st.integers(7, 10)),
    flip=st.tuples(st.booleans(), st.booleans()),
)
def test_cropped_shuffled_reversed_seg(seed, low, high, flip):
    """Parts of planes, rows and columns either way round, frames in any order."""
    rng = np.random.default_rng(seed)
    stack = Stack(noise(SHAPE), spacing=(2.5, 0.683594, 0.683594))
    folder = Path(tempfile.mkdtemp())
    stack.write(folder / "ct")
    labels = np.zeros(SHAPE, dtype=np.uint8)
    box = (slice(None), slice(low[0], high[0]), slice(low[1], high[1]))
    labels[box] = random_labels(seed)[box]
    keep = np.flatnonzero(labels.any(axis=(1, 2)))
    assume(len(keep))
    part = labels[keep][:, box[1], box[2]]
    start = [
        box[1].stop - 1 if flip[0] else low[0],
        box[2].stop - 1 if flip[1] else low[1],
    ]
    part = part[:, :: -1 if flip[0] else 1, :: -1 if flip[1] else 1]
    orientation = (-1.0 if flip[1] else 1.0, 0, 0, 0, -1.0 if flip[0] else 1.0, 0)
    offset = np.array([start[1] * stack.spacing[2], start[0] * stack.spacing[1], 0])
    seg = write_seg(
        folder / "s.dcm",
        [stack.dataset(k) for k in range(len(stack.stored))],
        np.ascontiguousarray(part),
        plane_positions=[
            hd.PlanePositionSequence("PATIENT", stack.position(k) + offset)
            for k in keep
        ],
        plane_orientation=hd.PlaneOrientationSequence("PATIENT", orientation),
        pixel_measures=hd.PixelMeasuresSequence(
            np.float32(stack.spacing[1:]).tolist(), 2.5
        ),
    )
    dataset = pydicom.dcmread(folder / "s.dcm")
    frames = dataset.pixel_array.reshape(-1, *part.shape[1:])
    order = rng.permutation(len(frames))
    items = list(seg.PerFrameFunctionalGroupsSequence)
    dataset.PerFrameFunctionalGroupsSequence = [items[n] for n in order]
    bits = np.packbits(frames[order].reshape(-1), bitorder="little").tobytes()
    dataset.PixelData = bits + b"\0" * (len(bits) % 2)
    save(dataset, folder / "s.dcm")
    found = read_labels(folder / "s.dcm", read_volume(folder / "ct"))
    np.testing.assert_array_equal(sum(one.array.astype(int) for one in found), labels)


@calm
@given(
    seed=st.integers(0, 10_000),
    rows=st.lists(
        st.tuples(st.integers(0, 9), st.integers(0, 11), st.integers(0, 6)),
        min_size=1,
        max_size=12,
    ),
)
def test_points_of_any_grid_agree_with_their_indices(seed, rows):
    affine = random_affine(seed)
    indices = np.array(rows)
    folder = write_points(
        Path(tempfile.mkdtemp()) / "p", affine, indices, [[12.5]] * len(rows)
    )
    points = read_points(folder, volume_of(np.zeros(SHAPE, np.int16), affine))
    np.testing.assert_allclose(points.indices, indices[:, ::-1], atol=0.01)
    assert {check.verdict for check in points.checks} == {"pass"}


@calm
@given(data=st.binary(max_size=200))
def test_any_bytes_parse_or_are_refused(data):
    table = np.zeros((0, 3))
    with contextlib.suppress(UnreadableAnnotation):
        table = parse_table(data, "x.txt", (3,))
    assert table.shape[1] == 3
    assert np.isfinite(table).all()


@calm
@given(seed=st.integers(0, 10_000))
def test_measures_do_not_depend_on_where_the_patient_lies(seed):
    """The same label on a turned and shifted grid of equal spacing measures equal."""
    labels = np.zeros((5, 24, 24), dtype=np.uint8)
    labels[1:4, 6:15, 5:18] = 1
    one = LabelSet(labels, (), "x", "seg", Provenance())
    turned = random_affine(seed)
    turned[:3, :3] *= [1.5, 0.8, 0.8] / np.linalg.norm(turned[:3, :3], axis=0)
    plain = make_affine((0, 0, 0), (1, 0, 0, 0, 1, 0), (1.5, 0.8, 0.8))
    (a,) = measure(volume_of(labels, turned), one)
    (b,) = measure(volume_of(labels, plain), one)
    for name in ("long_axis_mm", "short_axis_mm", "volume_mm3"):
        assert getattr(a, name) == pytest.approx(getattr(b, name), rel=1e-9)
    assert a.short_axis_mm <= a.long_axis_mm
