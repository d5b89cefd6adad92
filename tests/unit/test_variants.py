"""Cases spoilt in one way each: accepted at the truth, doubted by name, or refused."""

from collections import deque
from dataclasses import dataclass

import numpy as np
import pytest

import napari_tcia as nt
from napari_tcia.core.geometry import index_to_patient
from napari_tcia.core.task import CancelToken
from napari_tcia.demo.annotations import listed_rows
from napari_tcia.demo.variants import VARIANTS, good_case, make_variant
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
        return
    opened = _open(home, variant)
    doubts = {check.code for check in opened.checks if check.verdict != "pass"}
    if variant.verdict == "doubted":
        assert variant.reason in doubts
    else:
        _assert_true(opened)


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
        for path in first.rglob("*.*"):
            if path.suffix != ".zip":
                same = second / path.relative_to(first)
                assert path.read_bytes() == same.read_bytes()
