"""Every way in which slices fail to be a volume, and the file it names."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dicom_factory import Stack, noise, save
from napari_tcia.core.model import Provenance
from napari_tcia.errors import BrokenGeometry, CorruptData
from napari_tcia.volume import read_volume


def verdicts(volume):
    return {one.code: one.verdict for one in volume.passport.checks}


def check(volume, code):
    return next(one for one in volume.passport.checks if one.code == code)


def refused(folder, code, *files):
    """The series is refused with `code`, naming files; and opens on request."""
    with pytest.raises(BrokenGeometry) as caught:
        read_volume(folder)
    assert code in caught.value.numbers["checks"]
    named = " ".join(caught.value.numbers["files"])
    for file in files:
        assert file in named
        assert file in str(caught.value)
    volume = read_volume(folder, allow_fail=True)
    assert volume.passport.verdict == "fail"
    return volume


def test_missing_slices_keep_their_place(tmp_path):
    stack = Stack(noise((9, 4, 5)))
    files = stack.write(tmp_path)
    for k in (2, 3, 6):
        files[k].unlink()
    volume = read_volume(tmp_path)
    assert volume.passport.verdict == "warn"
    assert volume.shape == (9, 4, 5)
    assert np.flatnonzero(~volume.present).tolist() == [2, 3, 6]
    np.testing.assert_array_equal(
        volume.array[volume.present], stack.stored[volume.present]
    )
    assert (volume.array[~volume.present] == -1024).all()
    assert check(volume, "missing_slices").numbers["k"] == [2, 3, 6]
    assert "k 2 (-48 mm)" in check(volume, "missing_slices").message
    assert volume.files[2] is None
    assert volume.sop_uids[2] is None


def test_missing_slices_of_other_modalities_take_the_minimum(tmp_path):
    stack = Stack(
        noise((5, 4, 4), dtype="u2") + 7,
        modality="MR",
        sop_class="1.2.840.10008.5.1.4.1.1.4",
    )
    stack.write(tmp_path)[2].unlink()
    volume = read_volume(tmp_path)
    assert (volume.array[2] == volume.array[volume.present].min()).all()


def test_slices_cut_off_at_the_end(tmp_path):
    stack = Stack(noise((6, 4, 4)))
    for file in stack.write(tmp_path)[4:]:
        file.unlink()
    assert read_volume(tmp_path).shape[0] == 4
    with pytest.raises(BrokenGeometry, match="4 of the 6"):
        read_volume(tmp_path, declared_images=6)
    assert (
        verdicts(read_volume(tmp_path, declared_images=3))["declared_count"] == "warn"
    )
    # A user's own folder may hold a chosen part.
    part = read_volume(
        tmp_path, declared_images=6, provenance=Provenance(origin="folder")
    )
    assert check(part, "declared_count").verdict == "warn"
    assert "4 of the 6" in check(part, "declared_count").message


def test_duplicate_position(tmp_path):
    stack = Stack(noise((4, 4, 4)))
    stack.write(tmp_path)
    again = stack.dataset(2)
    again.SOPInstanceUID += ".1"
    save(again, tmp_path / "again.dcm")
    volume = refused(tmp_path, "duplicate_positions", "again.dcm", "1-003.dcm")
    np.testing.assert_array_equal(volume.array, stack.stored)


def test_all_slices_in_one_plane(tmp_path):
    stack = Stack(noise((4, 4, 4)), positions=dict.fromkeys(range(4), (0, 0, 0)))
    stack.write(tmp_path)
    volume = refused(tmp_path, "duplicate_positions")
    assert volume.shape == (1, 4, 4)


@pytest.mark.parametrize("jump", [0.3, 1.5])
def test_irregular_step(tmp_path, jump):
    """From the fifth slice on, everything lies `jump` mm farther."""
    origin = np.array(Stack.origin)
    positions = {k: tuple(np.add(origin, (0, 0, k + jump))) for k in range(5, 10)}
    stack = Stack(noise((10, 4, 4)), positions=positions)
    stack.write(tmp_path)
    volume = refused(tmp_path, "uniform_step", "1-006.dcm")
    np.testing.assert_array_equal(volume.array, stack.stored)


def test_spacing_that_changes(tmp_path):
    z = [0, 1, 2, 3, 4, 6.5, 9, 11.5, 14]
    positions = {k: (0.0, 0.0, float(at)) for k, at in enumerate(z)}
    Stack(noise((9, 4, 4)), positions=positions).write(tmp_path)
    refused(tmp_path, "uniform_step")


@pytest.mark.parametrize("size", [5e-6, 0.008])
def test_jitter_is_no_defect(tmp_path, size):
    rng = np.random.default_rng(1)
    jitter = rng.uniform(-size, size, 20)
    positions = {k: (-100.0, -80.0, -50 + k + jitter[k]) for k in range(20)}
    stack = Stack(noise((20, 4, 4)), positions=positions)
    stack.write(tmp_path)
    volume = read_volume(tmp_path)
    assert verdicts(volume)["uniform_step"] in ("pass", "warn")
    assert volume.shape == (20, 4, 4)
    np.testing.assert_allclose(volume.affine[:3, 0], [0, 0, 1], atol=2e-3)


def test_jitter_in_every_direction_is_no_tilt(tmp_path):
    rng = np.random.default_rng(3)
    jitter = rng.uniform(-0.01, 0.01, (20, 3))
    positions = {k: (-100 + x, -80 + y, -50 + k + z) for k, (x, y, z) in _each(jitter)}
    stack = Stack(noise((20, 4, 4)), positions=positions)
    stack.write(tmp_path)
    volume = read_volume(tmp_path)
    assert volume.passport.verdict == "pass"
    assert check(volume, "gantry_tilt").numbers["angle_deg"] == 0
    placed = volume.affine @ np.array([[k, 0, 0, 1.0] for k in range(20)]).T
    np.testing.assert_allclose(
        placed[:3].T, [positions[k] for k in range(20)], atol=0.03
    )


def _each(rows):
    return enumerate(rows.tolist())


@pytest.mark.parametrize(
    ("step", "decimals", "verdict"),
    [(0.625, 2, "pass"), (2 / 3, 2, "pass"), (0.3125, 2, "warn")],
)
def test_positions_that_were_rounded(tmp_path, step, decimals, verdict):
    """Rounding never adds up, however many slices there are."""
    positions = {k: (0.0, 0.0, round(-50 + k * step, decimals)) for k in range(160)}
    stack = Stack(noise((160, 2, 2)), positions=positions)
    stack.write(tmp_path)
    volume = read_volume(tmp_path)
    assert volume.passport.verdict == verdict
    assert volume.present.all()
    np.testing.assert_array_equal(volume.array, stack.stored)
    assert volume.affine[2, 0] == pytest.approx(step, abs=0.01 / 159)


def test_a_step_that_drifts_names_files(tmp_path):
    z = [*range(10), *(9 + 1.02 * n for n in range(1, 11))]
    positions = {k: (0.0, 0.0, float(at)) for k, at in enumerate(z)}
    Stack(noise((20, 4, 4)), positions=positions).write(tmp_path)
    refused(tmp_path, "uniform_step", "1-006.dcm")


@pytest.mark.parametrize("degrees", [0.5, 15.0, -20.0])
def test_gantry_tilt_shears_the_grid(tmp_path, degrees):
    shift = np.tan(np.radians(degrees))
    positions = {k: (-100.0, -80 + k * shift, -50.0 + k) for k in range(8)}
    stack = Stack(noise((8, 4, 4)), positions=positions)
    stack.write(tmp_path)
    volume = read_volume(tmp_path)
    assert volume.passport.verdict == "warn"
    angle = check(volume, "gantry_tilt").numbers["angle_deg"]
    assert angle == pytest.approx(abs(degrees), abs=0.01)
    assert f"{abs(degrees):.2f} degrees" in check(volume, "gantry_tilt").message
    np.testing.assert_allclose(volume.affine[:3, 0], [0, shift, 1], atol=1e-6)
    np.testing.assert_array_equal(volume.array, stack.stored)


def test_one_slice_shifted_sideways(tmp_path):
    positions = {3: (-95.0, -80.0, -47.0)}
    Stack(noise((6, 4, 4)), positions=positions).write(tmp_path)
    refused(tmp_path, "gantry_tilt", "1-004.dcm")


def test_localizer_in_the_series(tmp_path):
    stack = Stack(noise((5, 4, 4)))
    stack.write(tmp_path)
    scout = Stack(noise((1, 4, 4)), orientation=(1, 0, 0, 0, 0, -1)).dataset(0)
    scout.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    save(scout, tmp_path / "scout.dcm")
    volume = refused(tmp_path, "foreign_slices", "scout.dcm")
    np.testing.assert_array_equal(volume.array, stack.stored)


def test_slice_of_another_matrix_spacing_or_frame(tmp_path):
    stack = Stack(noise((5, 4, 4)))
    stack.write(tmp_path)
    save(Stack(noise((6, 5, 4))).dataset(5), tmp_path / "matrix.dcm")
    finer = Stack(noise((7, 4, 4)), spacing=(1.0, 0.7, 0.7))
    save(finer.dataset(6), tmp_path / "finer.dcm")
    other = stack.dataset(2)
    other.FrameOfReferenceUID += ".9"
    save(other, tmp_path / "1-003.dcm")
    refused(tmp_path, "equal_matrix", "matrix.dcm")
    refused(tmp_path, "equal_spacing", "finer.dcm")
    refused(tmp_path, "one_frame_of_reference", "1-003.dcm")


def test_skewed_axes(tmp_path):
    Stack(noise((3, 4, 4)), orientation=(1, 0, 0, 0.1, 1, 0)).write(tmp_path)
    refused(tmp_path, "orthonormal_axes")


def test_no_position_at_all(tmp_path):
    stack = Stack(noise((2, 4, 4)))
    for k in range(2):
        ds = stack.dataset(k)
        del ds.ImagePositionPatient
        save(ds, tmp_path / f"{k}.dcm")
    with pytest.raises(BrokenGeometry, match="where it lies"):
        read_volume(tmp_path, allow_fail=True)


@pytest.mark.parametrize("keep", [40, 800, -30])
def test_truncated_file(tmp_path, keep):
    stack = Stack(noise((5, 6, 6)))
    victim = stack.write(tmp_path)[2]
    data = victim.read_bytes()
    victim.write_bytes(data[:keep])
    volume = refused(tmp_path, "unreadable_files", victim.name)
    assert volume.shape == (5, 6, 6)
    assert np.flatnonzero(~volume.present).tolist() == [2]


@pytest.mark.parametrize("name", ["IM{:03d}", "1.2.840.{}"])
@pytest.mark.parametrize("keep", [0, 100])
def test_what_a_stopped_copy_leaves_needs_no_ending(tmp_path, name, keep):
    files = Stack(noise((4, 4, 4))).write(tmp_path, name)
    files[-1].write_bytes(files[-1].read_bytes()[:keep])
    (tmp_path / "notes.txt").touch()
    volume = refused(tmp_path, "unreadable_files", files[-1].name)
    assert volume.shape == (3, 4, 4)
    assert check(volume, "unreadable_files").files == (str(files[-1]),)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
def test_cut_anywhere_is_named(tmp_path, syntax):
    """Not even half a UID makes a cut file one of another series."""
    last = Stack(noise((3, 4, 4)), syntax=syntax).write(tmp_path)[-1]
    data = last.read_bytes()
    for length in range(len(data) - 1, 0, -7):
        last.write_bytes(data[:length])
        with pytest.raises(BrokenGeometry) as caught:
            read_volume(tmp_path)
        assert caught.value.numbers["files"] == [str(last)], length


def test_nothing_left_to_look_at(tmp_path):
    for file in Stack(noise((3, 4, 4))).write(tmp_path):
        file.write_bytes(file.read_bytes()[:-4])
    with pytest.raises(CorruptData) as caught:
        read_volume(tmp_path, allow_fail=True)
    assert len(caught.value.numbers["files"]) == 3


@pytest.mark.parametrize("suffix", ["lossless", "ls", "2000"])
def test_compressed_by_others(tmp_path, suffix):
    gdcmconv = Path(sys.executable).with_name("gdcmconv")
    if not gdcmconv.exists():
        pytest.skip("gdcmconv is not installed beside this Python.")
    stack = Stack(noise((3, 16, 12)), intercept=-24.0)
    plain = stack.write(tmp_path / "plain")
    packed = tmp_path / "packed"
    packed.mkdir()
    option = {"lossless": "--jpeg", "ls": "--jpegls", "2000": "--j2k"}[suffix]
    for file in plain:
        target = packed / file.name
        subprocess.run([gdcmconv, option, "--lossless", file, target], check=True)
    volume = read_volume(packed)
    assert volume.array.dtype == np.int16
    np.testing.assert_array_equal(volume.array, stack.stored - 24)
    data = (packed / "1-002.dcm").read_bytes()
    for cut in (len(data) // 2, len(data) - 100, len(data) - 10):
        (packed / "1-002.dcm").write_bytes(data[:cut])
        refused(packed, "unreadable_files", "1-002.dcm")


def test_damaged_compressed_slice(tmp_path):
    stack = Stack(noise((3, 16, 16)), syntax="1.2.840.10008.1.2.1")
    for k in range(3):
        ds = stack.dataset(k)
        ds.compress(pydicom.uid.RLELossless)
        save(ds, tmp_path / f"{k}.dcm")
    victim = tmp_path / "1.dcm"
    victim.write_bytes(victim.read_bytes()[:-200])
    volume = refused(tmp_path, "unreadable_files", "1.dcm")
    assert volume.present.tolist() == [True, False, True]


def test_oblique_series(tmp_path):
    """A plane turned about two axes still maps indices to its own positions."""
    a, b = np.radians(20), np.radians(35)
    row = np.array([np.cos(a), np.sin(a), 0])
    column = np.array([-np.sin(a) * np.cos(b), np.cos(a) * np.cos(b), np.sin(b)])
    stack = Stack(
        noise((6, 4, 5)), orientation=(*row, *column), spacing=(2.5, 0.6, 0.9)
    )
    stack.write(tmp_path)
    volume = read_volume(tmp_path)
    assert volume.passport.verdict == "pass"
    for k in range(6):
        found = volume.affine @ [k, 3, 2, 1]
        wanted = stack.position(k) + 3 * 0.6 * column + 2 * 0.9 * row
        np.testing.assert_allclose(found[:3], wanted, atol=1e-5)


@pytest.mark.parametrize(
    ("tag", "value"),
    [("ImagePositionPatient", ["nan", "0", "1"]), ("PixelSpacing", ["0", "0.75"])],
)
def test_a_slice_without_a_usable_place_is_named(tmp_path, tag, value):
    """Numbers that place nothing do not end in the affine."""
    stack = Stack(noise((5, 4, 4)))
    stack.write(tmp_path)
    odd = stack.dataset(2)
    with pydicom.config.disable_value_validation():
        setattr(odd, tag, value)
    save(odd, tmp_path / "1-003.dcm")
    volume = refused(tmp_path, "foreign_slices", "1-003.dcm")
    assert np.flatnonzero(~volume.present).tolist() == [2]
    assert np.isfinite(volume.affine).all()
