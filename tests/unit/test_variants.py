"""Cases spoilt in one way each: accepted at the truth, doubted by name, or refused."""

from collections import deque
from dataclasses import dataclass

import numpy as np
import pytest

import napari_tcia as nt
from napari_tcia.core.geometry import index_to_patient
from napari_tcia.core.task import CancelToken
from napari_tcia.demo.annotations import listed_rows
from napari_tcia.demo.good_case import good_case, good_files
from napari_tcia.demo.truth import make_labels
from napari_tcia.demo.variants import VARIANTS, make_variant
from napari_tcia.errors import TciaError, UnsafeArchive
from napari_tcia.transfer.unpack import members


@dataclass
class Opened:
    """What a reader made of a variant."""

    volume: object = None
    labels: tuple = ()
    points: object = None
    checks: tuple = ()


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    monkeypatch.setenv("NAPARI_TCIA_HOME", str(tmp_path / "home"))


def _open(home, variant):
    path = home / variant.target
    if variant.opens == "case":
        (case,) = nt.open_case(path)
        return Opened(case.volume, case.labels, case.points, case.checks)
    volume = nt.read_volume(home / "CT")
    if variant.opens == "volume":
        return Opened(volume, checks=volume.passport.checks)
    if variant.opens == "labels":
        labels = tuple(nt.read_labels(path, volume))
        return Opened(volume, labels, checks=tuple(c for s in labels for c in s.checks))
    points = nt.read_points(path, volume)
    return Opened(volume, points=points, checks=points.checks)


def _assert_true(opened):
    """Everything that was read lies where the truth list says."""
    case = good_case()
    assert opened.volume.passport.verdict == "pass"
    for labels in opened.labels:
        assert {segment.value for segment in labels.segments} == {
            node.label for node in case.nodes
        }
        for node in case.nodes:
            voxels = np.argwhere(labels.array == node.label)
            assert node.contains(index_to_patient(opened.volume.affine, voxels)).all()
    if opened.points is not None:
        rows = listed_rows(case.scan, case.nodes)
        assert len(opened.points.points) == len(rows)
        for node, point, size in zip(
            rows, opened.points.points, opened.points.sizes_mm, strict=True
        ):
            assert node.contains(point)
            assert size == pytest.approx(node.axial_axes[1], abs=0.06)


@pytest.mark.parametrize("name", VARIANTS)
def test_variant_meets_its_verdict(name, tmp_path):
    variant = VARIANTS[name]
    home = make_variant(name, tmp_path)
    if variant.verdict == "refused":
        with pytest.raises(TciaError) as caught:
            _open(home, variant)
        assert type(caught.value).__name__ == variant.reason
        assert caught.value.hint
        assert variant.tells in str(caught.value)
        return
    opened = _open(home, variant)
    found = {(c.code, c.verdict): c.message for c in opened.checks}
    if variant.verdict == "accepted":
        _assert_true(opened)
        assert not [key for key in found if key[1] == "fail"]
        return
    key = (variant.reason, {"warned": "warn", "failed": "fail"}[variant.verdict])
    assert key in found
    assert variant.tells in found[key]
    if variant.verdict == "warned":
        assert not [key for key in found if key[1] == "fail"]


def test_what_is_doubted_is_read_as_it_is_written(tmp_path):
    """No flip, no shift, no convention is applied, whatever the checks say."""
    for name, flip in (("mask_flipped_in_x", 2), ("mask_flipped_in_y", 1)):
        home = make_variant(name, tmp_path / name)
        (case,) = nt.open_case(home)
        expected = np.flip(make_labels(good_case().scan, good_case().nodes), flip)
        np.testing.assert_array_equal(case.labels[0].array, expected)
    for name in ("points_in_ras", "indices_from_one", "k_from_head"):
        home = make_variant(name, tmp_path / name)
        points = nt.read_points(home / "annotations", nt.read_volume(home / "CT"))
        (text,) = (home / "annotations").glob("*Points.txt")
        np.testing.assert_array_equal(points.points, np.loadtxt(text))


def test_every_variant_of_the_specification_is_there():
    """Sorted by what they spoil; those with a choice have more than one name."""
    images = {
        *("slice_missing", "slice_duplicated", "slice_of_another_series"),
        *("instance_numbers_reversed", "rows_flipped", "seg_of_absent_instance"),
    }
    masks = {
        *("mask_flipped_in_y", "mask_of_another_patient", "no_mask"),
        "mask_with_identity_affine",
    }
    texts = {
        *("points_in_ras", "indices_from_one", "k_from_head", "mps_truncated"),
        *("sizes_in_two_columns", "lower_case_names"),
        *("text_crlf", "text_tabs", "text_blank_lines", "text_trailing_spaces"),
        *("text_bom", "zip_double_folder", "zip_macosx", "zip_path_traversal"),
    }
    assert images | masks | texts <= set(VARIANTS)
    assert all((v.verdict == "accepted") == (v.reason == "") for v in VARIANTS.values())


def test_every_variant_but_the_good_one_differs_from_it(tmp_path):
    good = good_files()
    for name, variant in VARIANTS.items():
        files = good_files()
        variant.spoil(files)
        assert (files == good) == (name == "good"), name


def test_unpacking_refuses_what_reading_in_place_ignores(tmp_path):
    name = "zip_path_traversal"
    home = make_variant(name, tmp_path / "a" / "b")
    above = sorted(p for p in tmp_path.iterdir() if p.name != "home")
    _open(home, VARIANTS[name])
    assert sorted(p for p in tmp_path.iterdir() if p.name != "home") == above
    assert sorted(p.name for p in home.iterdir()) == sorted(
        ["CT", "SEG", "mask", VARIANTS[name].target]
    )
    unpacked = members(
        iter([(home / VARIANTS[name].target).read_bytes()]), CancelToken()
    )
    with pytest.raises(UnsafeArchive):
        deque((list(pieces) for _, pieces in unpacked), maxlen=0)


def test_missing_slice_keeps_its_place(tmp_path):
    volume = nt.read_volume(make_variant("slice_missing", tmp_path) / "CT")
    assert volume.shape == good_case().scan.shape
    assert np.flatnonzero(~volume.present).tolist() == [volume.shape[0] // 2]


def test_variants_are_deterministic(tmp_path):
    for name in ("slice_duplicated", "mask_flipped_in_y", "zip_macosx"):
        first, second = (make_variant(name, tmp_path / part) for part in "ab")
        paths = [path for path in first.rglob("*") if path.is_file()]
        assert paths
        for path in paths:
            assert path.read_bytes() == (second / path.relative_to(first)).read_bytes()


@pytest.mark.parametrize("axis", ["x", "y", "z"])
def test_a_mirrored_mask_can_be_turned_by_choice(axis, tmp_path):
    """Offered with the doubt, never taken by itself; then all is at the truth."""
    home = make_variant(f"mask_flipped_in_{axis}", tmp_path)
    target = home / VARIANTS[f"mask_flipped_in_{axis}"].target
    (case,) = nt.open_case(target)
    doubt = next(c for c in case.checks if c.code == "points_in_labels")
    assert doubt.verdict == "fail"
    assert doubt.numbers["choices"] == [f"labels={axis}"]
    (turned,) = nt.open_case(target, choices={"labels": axis})
    _assert_true(Opened(turned.volume, turned.labels))
    codes = {c.code: c.verdict for c in turned.checks}
    assert codes["labels_mirrored"] == "warn"
    assert codes["points_in_labels"] != "fail"
    assert np.array_equal(turned.volume.array, case.volume.array)


def test_a_segmentation_says_itself_where_it_lies(tmp_path):
    home = make_variant("seg_of_absent_instance", tmp_path / "v")
    (case,) = nt.open_case(home)
    (same,) = nt.open_case(home, choices={"labels": "y"})
    for one, other in zip(case.labels, same.labels, strict=True):
        if one.source == "seg":
            assert np.array_equal(one.array, other.array)
    assert any(one.source == "seg" for one in case.labels)


def test_points_that_are_off_can_be_placed_by_their_indices(tmp_path):
    home = make_variant("points_in_ras", tmp_path)
    (case,) = nt.open_case(home)
    doubt = next(c for c in case.checks if c.code == "indices_equal_points")
    assert doubt.verdict == "fail"
    assert doubt.numbers["choices"] == ["points=indices"]
    (placed,) = nt.open_case(home, choices={"points": "indices"})
    nodes = [node for node in good_case().nodes if node.listed]
    assert len(placed.points.points) == len(nodes)
    for place in placed.points.points:
        assert any(node.contains(place) for node in nodes)
    assert not all(
        any(node.contains(place) for node in nodes) for place in case.points.points
    )
    assert "points_by_indices" in {c.code for c in placed.checks}


def test_indices_that_are_off_offer_nothing(tmp_path):
    """The millimetres place the points, and they are right."""
    (case,) = nt.open_case(make_variant("indices_from_one", tmp_path))
    doubt = next(c for c in case.checks if c.code == "indices_equal_points")
    assert (doubt.verdict, "choices" in doubt.numbers) == ("fail", False)
