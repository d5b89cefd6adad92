"""What a person may choose of a doubtful series; the default invents nothing."""

import json

import numpy as np
import pytest

import napari_tcia as nt
from dicom_factory import Stack, noise, save
from napari_tcia.app.case import open_case
from napari_tcia.app.services import Services
from napari_tcia.cli import run
from napari_tcia.core.geometry import index_to_patient
from napari_tcia.core.image import Choices
from napari_tcia.core.settings import Settings
from napari_tcia.errors import BrokenGeometry, UsageError
from napari_tcia.volume import read_volume, require_sound


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    monkeypatch.setenv("NAPARI_TCIA_HOME", str(tmp_path / "home"))


def check(volume, code):
    return next(one for one in volume.passport.checks if one.code == code)


def doubled(folder):
    """Slice 2 twice: as stored, and again with other values and a higher number."""
    stack = Stack(noise((5, 4, 4)))
    stack.write(folder)
    again = stack.dataset(2)
    again.SOPInstanceUID += ".9"
    again.InstanceNumber = 99
    again.PixelData = np.full((4, 4), 77, "<i2").tobytes()
    save(again, folder / "0-first-by-name.dcm")
    return stack


def test_duplicates_are_kept_by_number_not_by_name(tmp_path):
    stack = doubled(tmp_path)
    with pytest.raises(BrokenGeometry) as caught:
        read_volume(tmp_path)
    assert any("0-first-by-name.dcm" in f for f in caught.value.numbers["files"])
    first = read_volume(tmp_path, choices=Choices(duplicates="first"))
    np.testing.assert_array_equal(first.array, stack.stored)
    last = read_volume(tmp_path, choices=Choices(duplicates="last"))
    assert (last.array[2] == 77).all()
    np.testing.assert_array_equal(last.array[[0, 1, 3, 4]], stack.stored[[0, 1, 3, 4]])
    for volume, left in ((first, "0-first-by-name.dcm"), (last, "1-003.dcm")):
        found = check(volume, "duplicate_positions")
        assert found.verdict == volume.passport.verdict == "warn"
        assert [name.rsplit("/", 1)[-1] for name in found.files] == [left]
    require_sound(first, "annotation")


def test_every_choice_that_a_check_names_can_be_taken(tmp_path):
    doubled(tmp_path)
    offered = check(read_volume(tmp_path, allow_fail=True), "duplicate_positions")
    for text in offered.numbers["choices"]:
        read_volume(tmp_path, choices=Choices().with_choice(text))


@pytest.mark.parametrize("text", ["duplicates=both", "stack=0", "stack=a", "gaps", ""])
def test_a_choice_that_is_none(text):
    with pytest.raises(UsageError, match="duplicates=first"):
        Choices().with_choice(text)


def test_python_may_name_choices_in_plain_words(tmp_path):
    stack = doubled(tmp_path)
    volume = nt.read_volume(tmp_path, choices={"duplicates": "first"})
    np.testing.assert_array_equal(volume.array, stack.stored)
    with pytest.raises(UsageError, match="gaps=interpolate"):
        nt.read_volume(tmp_path, choices={"gaps": "guess"})


def gappy(folder):
    stack = Stack(
        np.full((6, 4, 4), 10, "i2") * np.arange(6, dtype="i2")[:, None, None]
    )
    stack.write(folder)
    for k in (2, 3):
        (folder / f"1-{k + 1:03d}.dcm").unlink()
    return stack


def test_gaps_are_blank_refused_or_filled(tmp_path):
    stack = gappy(tmp_path)
    blank = read_volume(tmp_path)
    assert (blank.array[2:4] == -1024).all()
    assert check(blank, "missing_slices").numbers["choices"] == [
        "gaps=interpolate",
        "gaps=refuse",
    ]
    with pytest.raises(BrokenGeometry, match="2 slices are missing at k 2"):
        read_volume(tmp_path, choices=Choices(gaps="refuse"))
    filled = read_volume(tmp_path, choices=Choices(gaps="interpolate"))
    np.testing.assert_array_equal(filled.array, stack.stored)
    assert filled.array.dtype == np.int16
    for volume in (blank, filled):  # what was made up is never taken for measured
        assert volume.present.tolist() == [True, True, False, False, True, True]
        assert volume.sop_uids[2] is None
        assert volume.passport.verdict == "warn"


@pytest.mark.parametrize("degrees", [12.0, -20.0])
def test_tilt_can_be_straightened_for_looking_only(tmp_path, degrees):
    """A ball drawn in patient space is round again on the straight grid."""
    shift = np.tan(np.radians(degrees))
    positions = {k: (-20.0, -20 + k * shift, -10.0 + k) for k in range(21)}
    stack = Stack(np.zeros((21, 40, 40), "i2"), spacing=(1, 1, 1), positions=positions)
    centre = np.array([0.0, 10 * shift, 0.0])
    drawn = []
    for k in range(21):
        j, i = np.indices((40, 40)).reshape(2, -1)
        points = stack.position(k) + np.stack([i, j, 0 * i], axis=1)
        inside = np.linalg.norm(points - centre, axis=1) < 6
        stack.stored[k] = (1000 * inside).reshape(40, 40)
        drawn.append(points[inside].mean(axis=0)[:2] if inside.any() else None)
    stack.write(tmp_path)
    tilted = read_volume(tmp_path)
    assert check(tilted, "gantry_tilt").verdict == "warn"
    volume = read_volume(tmp_path, choices=Choices(tilt="straighten"))
    step = volume.affine[:3, 0]
    np.testing.assert_allclose(step @ volume.affine[:3, 1:3], 0, atol=1e-9)
    for k in np.flatnonzero((volume.array > 0).any(axis=(1, 2))):
        # The disc of each slice lies where the ball is.
        j, i = np.nonzero(volume.array[k] > 0)
        weights = volume.array[k, j, i].astype(float)
        index = (k, np.average(j, weights=weights), np.average(i, weights=weights))
        found = index_to_patient(volume.affine, index)[0]
        np.testing.assert_allclose(found[:2], drawn[k], atol=0.02)
    with pytest.raises(BrokenGeometry, match="resampled"):
        require_sound(volume, "annotation")


def two_stacks(folder):
    """Two phases of one place, told apart by AcquisitionNumber, and a scout."""
    phases = [Stack(noise((4, 4, 4), seed=n)) for n in (1, 2)]
    for n, stack in enumerate(phases, start=1):
        for k in range(4):
            ds = stack.dataset(k)
            ds.AcquisitionNumber = n
            ds.InstanceNumber = 10 * n + k
            ds.SOPInstanceUID += f".{n}"
            save(ds, folder / f"{n}-{k}.dcm")
    scout = Stack(noise((1, 4, 4)), orientation=(1, 0, 0, 0, 0, -1)).dataset(0)
    scout.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    scout.SOPInstanceUID += ".8"
    save(scout, folder / "scout.dcm")
    return phases


def test_stacks_are_named_and_can_be_chosen(tmp_path):
    phases = two_stacks(tmp_path)
    with pytest.raises(BrokenGeometry, match="holds 3 stacks"):
        read_volume(tmp_path)
    failed = check(read_volume(tmp_path, allow_fail=True), "one_stack")
    assert failed.numbers["stacks"] == [
        {"label": "axial, acquisition 1", "images": 4},
        {"label": "axial, acquisition 2", "images": 4},
        {"label": "localizer, coronal", "images": 1},
    ]
    for n, stack in enumerate(phases, start=1):
        volume = read_volume(tmp_path, choices=Choices(stack=n))
        np.testing.assert_array_equal(volume.array, stack.stored)
        assert volume.passport.verdict == "warn"
        assert check(volume, "one_stack").numbers["left_out"] == 5
    with pytest.raises(BrokenGeometry, match="no stack 4"):
        read_volume(tmp_path, choices=Choices(stack=4))


def test_an_acquisition_for_each_slice_is_no_stack(tmp_path):
    stack = Stack(noise((4, 4, 4)))
    for k in range(4):
        ds = stack.dataset(k)
        ds.AcquisitionNumber = k + 1
        save(ds, tmp_path / f"{k}.dcm")
    volume = read_volume(tmp_path)
    assert volume.passport.verdict == "pass"
    np.testing.assert_array_equal(volume.array, stack.stored)


def test_choices_reach_the_command_line(tmp_path, capsys):
    doubled(tmp_path)
    assert run(["inspect", str(tmp_path), "--json"]) == 6
    (found,) = json.loads(capsys.readouterr().out)["passports"]
    offered = [c for one in found["checks"] for c in one["numbers"].get("choices", ())]
    assert offered == ["duplicates=first", "duplicates=last"]
    chosen = ["inspect", str(tmp_path), "--choose", offered[0]]
    assert run([*chosen, "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["passports"]
    assert found["verdict"] == "warn"
    assert run(["inspect", str(tmp_path)]) == 6
    assert "--choose: duplicates=first, duplicates=last" in capsys.readouterr().out
    assert run(["inspect", str(tmp_path), "--choose", "nonsense"]) == 2


def test_a_case_remembers_what_was_chosen(tmp_path):
    stack = doubled(tmp_path / "series")
    services = Services.open(Settings(home=tmp_path / "home"))
    chosen = Choices(duplicates="last")
    (case,) = open_case(services, tmp_path / "series", choices=chosen)
    assert case.choices == chosen
    assert case.place == tmp_path / "series"
    assert case.volume.provenance.series_uid == stack.series_uid
