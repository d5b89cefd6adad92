"""Whatever the names, order and holes of the files: the same volume."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dicom_factory import Stack, noise, save
from napari_tcia.errors import BrokenGeometry
from napari_tcia.volume import read_volume

SLICES = 9
calm = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
directions = st.integers(0, 10_000)


def turned(seed):
    """A random right-handed pair of row and column directions."""
    q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    return tuple(np.round([*q[:, 0], *q[:, 1]], 10).tolist())


def written(stack, names, keep):
    folder = Path(tempfile.mkdtemp())
    for k in keep:
        path = folder / names[k]
        path.parent.mkdir(exist_ok=True)
        save(stack.dataset(k), path)
    return folder


@calm
@given(
    order=st.permutations(range(SLICES)),
    nested=st.booleans(),
    seed=directions,
    step=st.floats(0.3, 7.0),
    pixel=st.floats(0.3, 2.0),
)
def test_names_and_order_do_not_matter(order, nested, seed, step, pixel):
    spacing = tuple(round(v, 6) for v in (step, pixel, pixel * 1.25))
    stack = Stack(noise((SLICES, 3, 4)), orientation=turned(seed), spacing=spacing)
    names = [f"{'ab'[n % 2]}/{n}" if nested else f"{n:06d}.dcm" for n in order]
    volume = read_volume(written(stack, names, range(SLICES)), declared_images=SLICES)
    np.testing.assert_array_equal(volume.array, stack.stored)
    assert volume.passport.verdict == "pass"
    row, column = np.array(stack.orientation[:3]), np.array(stack.orientation[3:])
    for k, j, i in ((0, 0, 0), (8, 2, 3), (4, 1, 2)):
        wanted = stack.position(k) + j * spacing[1] * column + i * spacing[2] * row
        np.testing.assert_allclose(
            (volume.affine @ [k, j, i, 1])[:3], wanted, atol=1e-3
        )


@calm
@given(holes=st.sets(st.integers(1, SLICES - 2), min_size=1, max_size=4))
def test_holes_keep_their_place(holes):
    stack = Stack(noise((SLICES, 3, 4)))
    names = [f"{k}.dcm" for k in range(SLICES)]
    kept = [k for k in range(SLICES) if k not in holes]
    volume = read_volume(written(stack, names, kept), allow_fail=True)
    gaps = np.diff(kept)
    if gaps.min() > 1:  # every second slice is gone: nothing tells it from 2 mm
        return
    if np.median(gaps) > 1:  # or it was that, and one slice lies astray
        assert volume.passport.verdict in ("warn", "fail")
        return
    assert volume.passport.verdict == "warn"
    assert set(np.flatnonzero(~volume.present)) == holes
    np.testing.assert_array_equal(volume.array[kept], stack.stored[kept])
    np.testing.assert_allclose(volume.affine[:3, 0], [0, 0, 1], atol=1e-9)


@calm
@given(
    twice=st.integers(0, SLICES - 1),
    other=st.integers(0, SLICES - 1),
    shift=st.floats(-0.04, 0.04),
)
def test_a_second_slice_at_a_place_is_never_merged(twice, other, shift):
    """Two images at (nearly) one place: refused with both names."""
    stack = Stack(noise((SLICES, 3, 4)))
    folder = written(stack, [f"{k}.dcm" for k in range(SLICES)], range(SLICES))
    double = stack.dataset(other)
    place = np.add(stack.position(twice), (0, 0, round(shift, 4)))
    double.ImagePositionPatient = [f"{v:.9g}" for v in place]
    double.SOPInstanceUID += ".1"
    save(double, folder / "double.dcm")
    with pytest.raises(BrokenGeometry) as caught:
        read_volume(folder)
    named = " ".join(caught.value.numbers["files"])
    assert "double.dcm" in named
    assert f"{twice}.dcm" in named


@calm
@given(intercept=st.integers(-2000, 2000), dtype=st.sampled_from(["i2", "u2", "u1"]))
def test_whole_number_rescale_is_exact(intercept, dtype):
    stored = (noise((2, 3, 4), dtype="u2") % 250).astype(dtype)
    stack = Stack(stored, intercept=float(intercept))
    volume = read_volume(written(stack, ["a.dcm", "b.dcm"], range(2)))
    assert volume.array.dtype == np.int16
    np.testing.assert_array_equal(volume.array, stored.astype(np.int64) + intercept)
