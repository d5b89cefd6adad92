"""Slices in their likely places while a series arrives."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dicom_factory import EXPLICIT, Stack, noise, save
from napari_tcia.volume import read_volume
from napari_tcia.volume.filling import Filling

calm = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def written(folder, stack, change=lambda ds, k: None):
    """Files of a series by k, each as `change` leaves it."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for k in range(len(stack.stored)):
        ds = stack.dataset(k)
        change(ds, k)
        files.append(folder / f"{k:03d}.dcm")
        save(ds, files[-1])
    return files


def filling_of(files, images=None):
    size = sum(file.stat().st_size for file in files)
    return Filling(images or len(files), size, lambda header: (40.0, 400.0))


@pytest.fixture(scope="module")
def both_ways(tmp_path_factory):
    """The same series, numbered along its normal and against it."""
    found = []
    for backwards in (False, True):
        folder = tmp_path_factory.mktemp("series")
        stack = Stack(noise((7, 10, 12)), spacing=(2.5, 0.75, 0.5), intercept=-1024.0)

        def number(ds, k, backwards=backwards):
            ds.InstanceNumber = 7 - k if backwards else k + 1

        files = written(folder, stack, number)
        found.append((files, read_volume(folder)))
    return found


@calm
@given(order=st.permutations(range(7)), backwards=st.booleans())
def test_whatever_comes_first_every_slice_gets_its_place(both_ways, order, backwards):
    files, volume = both_ways[backwards]
    filling = filling_of(files)
    for count, n in enumerate(order, 1):
        # The first one says nothing of its neighbours: it is in place with the second.
        assert filling.add(files[n]) is (count > 1)
        assert filling.count == (count if count > 1 else 0)
        if count > 1:
            there = filling.present
            np.testing.assert_array_equal(filling.array[there], volume.array[there])
            np.testing.assert_allclose(filling.affine, volume.affine, atol=1e-6)
    assert filling.present.all()
    assert filling.array.dtype == volume.array.dtype
    assert filling.quantity == "HU"


def test_what_is_not_there_is_hatched_on_every_plane(both_ways):
    files, _ = both_ways[0]
    filling = filling_of(files, images=40)
    filling.add(files[0])
    filling.add(files[1])
    filling.hatching.join()
    absent = filling.array[2:]
    assert set(np.unique(absent)) == {-160, -60}  # dark in a window of 40 +- 200
    for axis in range(3):
        assert absent.min(axis=axis).max() < absent.max(axis=axis).min()


def test_a_slice_off_the_line_waits_for_the_passport(tmp_path):
    stack = Stack(noise((5, 6, 6)))
    stack.positions[3] = tuple(stack.position(3) + np.array((0, 0, 0.4)))
    files = written(tmp_path / "a", stack)
    filling = filling_of(files)
    assert [filling.add(file) for file in files] == [False, True, True, False, True]
    assert filling.present.tolist() == [True, True, True, False, True]
    filling.hatching.join()
    assert set(np.unique(filling.array[3])) <= {-160, -60}


def test_what_cannot_be_shown_is_left_out(tmp_path):
    def odd(ds, k):
        if k == 2:
            ds.InstanceNumber = None
        elif k == 3:
            ds.InstanceNumber = 99
        elif k == 4:
            ds.PixelSpacing = [0.1, 0.1]
        elif k == 5:
            ds.RescaleSlope = "0.5"

    files = written(tmp_path / "a", Stack(noise((7, 6, 6))), odd)
    files[6].write_bytes(files[6].read_bytes()[:-20])
    (tmp_path / "text.dcm").write_text("no image")
    filling = filling_of(files)
    shown = [filling.add(file) for file in [*files, tmp_path / "text.dcm", files[1]]]
    assert shown == [False, True, *[False] * 7]
    assert filling.present.tolist() == [True, True, *[False] * 5]


def test_values_that_do_not_fit_leave_no_trace(tmp_path):
    stored = noise((3, 6, 6))
    stored[2] = 32000

    def shifted(ds, k):
        ds.RescaleIntercept = "1024" if k == 2 else "0"

    files = written(tmp_path / "a", Stack(stored), shifted)
    filling = filling_of(files)
    assert [filling.add(file) for file in files] == [False, True, False]
    filling.hatching.join()
    assert set(np.unique(filling.array[2])) <= {-160, -60}


def test_the_verified_volume_takes_over_the_memory_and_nothing_else(tmp_path):
    stack = Stack(noise((5, 6, 6)))
    files = written(tmp_path / "a", stack)
    filling = filling_of(files)
    for file in files[:3]:
        filling.add(file)
    memory = filling.release()
    assert memory is filling.array
    assert not filling.add(files[4])
    memory[:] = 77  # whatever was shown
    volume = read_volume(tmp_path / "a", memory=memory)
    assert volume.array is memory
    np.testing.assert_array_equal(volume.array, stack.stored)
    files[2].unlink()
    gap = read_volume(tmp_path / "a", memory=np.full((5, 6, 6), 77, np.int16))
    assert set(np.unique(gap.array[2])) == {-1024}
    for other in (np.empty((4, 6, 6), np.int16), np.empty((5, 6, 6), np.float32)):
        assert read_volume(tmp_path / "a", memory=other).array is not other


def test_nothing_is_handed_over_where_nothing_was_shown(tmp_path):
    files = written(tmp_path / "a", Stack(noise((3, 6, 6))))
    filling = filling_of(files)
    filling.add(files[0])
    assert filling.release() is None


def test_fractions_are_float(tmp_path):
    files = written(tmp_path / "a", Stack(noise((3, 6, 6)), slope=0.5))
    filling = filling_of(files)
    for file in files:
        filling.add(file)
    np.testing.assert_array_equal(filling.array, read_volume(tmp_path / "a").array)


def test_no_memory_is_taken_for_what_the_archive_does_not_declare(tmp_path):
    files = written(tmp_path / "a", Stack(noise((3, 64, 64))))
    filling = Filling(1 << 20, 3 * files[0].stat().st_size, lambda header: None)
    assert [filling.add(file) for file in files] == [False] * 3
    assert not filling.begun


def test_explicit_and_without_a_window(tmp_path):
    files = written(tmp_path / "a", Stack(noise((3, 6, 6)), syntax=EXPLICIT))
    filling = Filling(3, None, lambda header: None)
    for file in files:
        filling.add(file)
    assert filling.present.all()
    assert filling.window[1] > 0
