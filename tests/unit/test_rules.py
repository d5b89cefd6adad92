"""The rules of verification, one by one: what passes, what warns, what fails.

Geometry (G), points (P), sizes (S), masks (M), other files (C), companions (X). Each
line is a small case and the verdict that it must have. Where a limit lies is in
``test_rule_limits``; the collection's own grid (G2, G4, G5) in ``test_published``; one
series, one geometry (G1) in ``test_volume_passport`` and ``test_volume_read``; other
conventions of the points (P3) in ``test_nodes_points`` and ``test_variants``, which
holds the cases that are spoilt on disk; the images of a SEG (C1) in ``test_nodes_seg``.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pydicom
import pytest

from annotation_factory import volume_of, write_mask, write_points
from dicom_factory import Stack, save
from napari_tcia.core.geometry import index_to_patient, make_affine
from napari_tcia.core.image import LabelSet, PointSet, Segment
from napari_tcia.core.model import Provenance
from napari_tcia.errors import BrokenGeometry, GeometryMismatch
from napari_tcia.nodes import read_candidates, read_labels, read_points
from napari_tcia.nodes.known_issues import known_issues
from napari_tcia.nodes.verify import verify
from napari_tcia.volume import read_volume

SHAPE = (24, 40, 44)
AFFINE = make_affine((-15.0, -14.0, 30.0), (1, 0, 0, 0, 1, 0), (2.0, 0.75, 0.75))
CENTRES = ((6, 10, 12), (6, 28, 30), (12, 9, 33), (17, 30, 10), (18, 15, 15))


@pytest.fixture
def volume():
    """Nodes of 60 HU in fat; none lies where another is seen in a mirror."""
    array = np.full(SHAPE, -100, np.int16)
    for centre in CENTRES:
        array[_ball(centre)] = 60
    return volume_of(array, AFFINE)


def _ball(centre, radius=3.0):
    grid = np.indices(SHAPE)
    steps = np.array([2.0, 0.75, 0.75])[:, None, None, None]
    at = np.array(centre)[:, None, None, None]
    return np.linalg.norm((grid - at) * steps, axis=0) <= radius


def _labels(centres=CENTRES, source="mask", name="mask", flip=()):
    array = np.zeros(SHAPE, np.uint8)
    for value, centre in enumerate(centres, start=1):
        array[_ball(centre)] = value
    array = np.flip(array, flip) if flip else array
    segments = tuple(Segment(n, f"Node {n}") for n in range(1, len(centres) + 1))
    return LabelSet(array, segments, name, source, Provenance())


def _points(centres=CENTRES, size=6.0):
    indices = np.array(centres, float)
    return PointSet(
        points=index_to_patient(AFFINE, indices),
        indices=indices,
        sizes_mm=np.full(len(indices), size),
        ids=tuple(range(1, len(indices) + 1)),
        name="points",
        provenance=Provenance(),
    )


def _verdict(checks, code):
    (check,) = [one for one in checks if one.code == code]
    return check.verdict, check


# masks and points together


def test_m3_points_on_the_labels(volume):
    rule = "points_in_labels"
    for labels, expected in (
        (_labels(), "pass"),
        (_labels(CENTRES[:3]), "warn"),  # independent and sparse, but the best reading
        (_labels(flip=(1,)), "fail"),
        (_labels(flip=(2,)), "fail"),
        (_labels(flip=(0,)), "fail"),
    ):
        verdict, check = _verdict(verify(volume, labels, _points()), rule)
        assert verdict == expected
        stored = check.numbers["as_stored"]
        best = max(check.numbers["mirrored"].values())
        assert (best >= stored + 0.2) == (expected == "fail")
        assert (stored >= 0.8) == (expected == "pass")
    # What looks mirrored is said, and offered; nothing is turned by itself.
    labels = _labels(flip=(1,))
    before = labels.array.copy()
    _, check = _verdict(verify(volume, labels, _points()), rule)
    assert "mirrored in y" in check.message
    assert check.numbers["choices"] == ["labels=y"]
    np.testing.assert_array_equal(labels.array, before)


def test_m4_tissue_under_the_labels_only_warns(volume):
    assert _verdict(verify(volume, _labels()), "label_hu")[0] == "pass"
    for count in (1, 5):  # one off, and most off
        array = volume.array.copy()
        for centre in CENTRES[:count]:
            array[_ball(centre)] = -800
        verdict, check = _verdict(
            verify(replace(volume, array=array), _labels()), "label_hu"
        )
        assert (verdict, len(check.numbers["labels"])) == ("warn", count)


def test_m5_labels_and_rows_that_stay_alone(volume):
    rule = "label_point_match"
    assert _verdict(verify(volume, _labels(), _points()), rule)[0] == "pass"
    verdict, check = _verdict(verify(volume, _labels(), _points(CENTRES[:3])), rule)
    assert (verdict, check.numbers["labels_alone"]) == ("warn", [4, 5])
    verdict, check = _verdict(verify(volume, _labels(CENTRES[:3]), _points()), rule)
    assert (verdict, check.numbers["rows_alone"]) == ("warn", [4, 5])
    two = _points([*CENTRES, (6, 10, 13)])
    verdict, check = _verdict(verify(volume, _labels(), two), rule)
    assert (verdict, check.numbers["merged"]) == ("warn", {"1": [1, 6]})
    apart = _labels()
    apart.array[_ball(CENTRES[4])] = 1
    verdict, check = _verdict(verify(volume, apart, _points()), rule)
    assert (verdict, check.numbers["split"]) == ("warn", [1])


@pytest.mark.parametrize(("off", "verdict"), [(0, "pass"), (1, "warn"), (4, "warn")])
def test_p5_tissue_around_the_points_only_warns(volume, off, verdict):
    array = volume.array.copy()
    for centre in CENTRES[:off]:
        array[_ball(centre, 5)] = -700
    got, check = _verdict(
        verify(replace(volume, array=array), None, _points()), "point_hu"
    )
    assert got == verdict
    assert check.numbers["share"] == pytest.approx(1 - off / 5)
    assert ("few" in check.message) == (off > 1)


def test_c1_seg_and_mask(volume):
    seg = _labels(source="seg", name="seg")
    assert _verdict(verify(volume, [seg, _labels()]), "seg_equals_mask")[0] == "pass"
    small = _labels()
    places = np.argwhere(small.array == 1)
    small.array[tuple(places[0])] = 0
    assert _verdict(verify(volume, [seg, small]), "seg_equals_mask")[0] == "warn"
    lacking = _labels(CENTRES[:4])
    verdict, check = _verdict(verify(volume, [seg, lacking]), "seg_equals_mask")
    assert (verdict, list(check.numbers["labels"])) == ("fail", ["5"])


# a mask and the grid


@pytest.mark.parametrize(
    ("voxels", "verdict"),
    [(0.0, "pass"), (0.003, "pass"), (0.1, "warn"), (0.45, "warn"), (0.55, "refused")],
)
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_m2_a_mask_beside_the_grid(tmp_path, volume, voxels, axis, verdict):
    moved = AFFINE.copy()
    moved[:3, 3] += AFFINE[:3, axis] * voxels
    path = write_mask(tmp_path / "a.nii.gz", _labels().array, moved)
    if verdict == "refused":
        with pytest.raises(GeometryMismatch, match="covers voxels"):
            read_labels(path, volume)
        return
    (labels,) = read_labels(path, volume)
    got, check = _verdict(labels.checks, "on_grid")
    assert got == verdict
    assert check.numbers["residual_voxels"] == pytest.approx(voxels, abs=1e-3)
    # Each voxel is shown at the nearest, whichever way it was moved.
    np.testing.assert_array_equal(labels.array, _labels().array)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_m1_a_mask_of_another_shape(tmp_path, volume, axis):
    cut = np.delete(_labels().array, -1, axis=axis)
    path = write_mask(tmp_path / "a.nii.gz", cut, AFFINE)
    with pytest.raises(GeometryMismatch, match="shape"):
        read_labels(path, volume)


# the text files


def _text_files(
    tmp_path, centres=CENTRES, sizes=((6.0,),) * 5, patient="MED_LYMPH_001"
):
    return write_points(
        tmp_path / patient, AFFINE, np.array(centres)[:, ::-1], sizes, patient
    )


def _rewrite(folder, what, change):
    (path,) = folder.glob(f"*{what}.txt")
    rows = [line.split() for line in path.read_text().splitlines()]
    text = "".join(" ".join(row) + "\n" for row in change(rows))
    path.write_text(text)


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        (lambda folder: None, "pass"),
        (lambda folder: next(folder.glob("*sizes.txt")).unlink(), "warn"),
        (lambda folder: next(folder.glob("*.mps")).unlink(), "warn"),
        (lambda folder: _rewrite(folder, "indices", lambda rows: rows[:-1]), "fail"),
    ],
)
def test_p1_as_many_rows_in_each_file(tmp_path, volume, change, verdict):
    folder = _text_files(tmp_path)
    change(folder)
    assert _verdict(read_points(folder, volume).checks, "row_counts")[0] == verdict


@pytest.mark.parametrize(
    ("mm", "verdict"),
    [(0.0, "pass"), (0.009, "pass"), (0.05, "warn"), (0.36, "warn"), (0.39, "fail")],
)
def test_p2_indices_and_millimetres(tmp_path, volume, mm, verdict):
    """Up to half a pixel, 0.375 mm here, the voxel is the same."""
    folder = _text_files(tmp_path)
    next(folder.glob("*.mps")).unlink()
    moved = lambda rows: [[f"{float(r[0]) + mm:.6f}", *r[1:]] for r in rows]  # noqa: E731
    _rewrite(folder, "physicalPoints", moved)
    checks = read_points(folder, volume).checks
    assert _verdict(checks, "indices_equal_points")[0] == verdict


def test_p4_inside_the_volume(tmp_path, volume):
    points = read_points(_text_files(tmp_path / "a"), volume)
    assert _verdict(points.checks, "points_inside")[0] == "pass"
    far = [*CENTRES[:4], (30, 15, 15)]
    points = read_points(_text_files(tmp_path / "b", far), volume)
    verdict, check = _verdict(points.checks, "points_inside")
    assert (verdict, check.numbers["rows"]) == ("fail", [5])


def test_s1_the_second_column_is_the_first_in_pixels(tmp_path):
    volume = volume_of(np.zeros(SHAPE, np.int16), AFFINE, patient="ABD_LYMPH_002")
    same = [(6.0, 8.0)] * 5
    near = [*same[:4], (6.0, 8.07)]  # 0.9 %
    off = [*same[:4], (6.0, 8.09)]  # 1.1 %
    cases = (("a", same, "pass"), ("b", near, "pass"), ("c", off, "warn"))
    for name, sizes, verdict in cases:
        folder = _text_files(tmp_path / name, sizes=sizes, patient="ABD_LYMPH_002")
        points = read_points(folder, volume)
        np.testing.assert_allclose(points.sizes_mm, 6.0)  # never a long axis
        got, check = _verdict(points.checks, "sizes_second_column")
        assert got == verdict
        if verdict == "warn":
            assert check.numbers["rows"] == [5]


def test_s2_a_size_of_nought_is_missing(tmp_path, volume):
    folder = _text_files(tmp_path, sizes=[(6.0,)] * 4 + [(0.0,)])
    points = read_points(folder, volume)
    assert np.isnan(points.sizes_mm).tolist() == [False] * 4 + [True]
    verdict, check = _verdict(points.checks, "sizes_present")
    assert (verdict, check.numbers["rows"]) == ("warn", [5])


@pytest.mark.parametrize(
    ("grt", "verdict"), [((101, 102), "pass"), ((), "warn"), ((201, 102), "fail")]
)
def test_c2_candidates(tmp_path, volume, grt, verdict):
    folder = _text_files(tmp_path)
    stem = folder / "MED_LYMPH_001"
    places = index_to_patient(AFFINE, np.array(CENTRES[: len(grt)]).reshape(-1, 3))
    rows = "".join(" ".join(f"{v:.6g}" for v in row) + "\n" for row in places)
    for kind in ("pos", "neg"):
        own = rows if kind == "pos" else ""
        for what, text in (
            ("physicalPoints", own),
            ("grtIDs", "".join(f"{n}\n" for n in grt) if kind == "pos" else ""),
        ):
            (folder / f"{stem.name}_{kind}CADe_{what}.txt").write_text(text)
    sets = read_candidates(folder, volume)
    checks = [check for one in sets for check in one.checks]
    worst = {check.verdict for check in checks if check.numbers.get("rule") == "C2"}
    assert verdict in worst
    assert verdict == "fail" or "fail" not in worst


def test_x1_the_same_scan_under_another_identity():
    found = {one.code: one for one in known_issues("ABD_LYMPH_001")}
    assert found["companion_scan"].level == "info"
    assert found["companion_scan"].numbers["companion"] == "MED_LYMPH_002"
    assert "companion_scan" not in {i.code for i in known_issues("ABD_LYMPH_003")}


# the stack of slices


@pytest.mark.parametrize(
    ("moved", "verdict"),
    [(0.005, "pass"), (0.03, "pass"), (0.07, "warn"), (0.6, "refused")],
)
def test_g3_steps(tmp_path, moved, verdict):
    """Of 2 mm: up to 2 % pass, as positions are rounded; up to 5 % warn."""
    stack = Stack(np.zeros((9, 8, 8), np.int16), spacing=(2.0, 0.75, 0.75))
    files = stack.write(tmp_path)
    one = pydicom.dcmread(files[4])
    place = [float(v) for v in one.ImagePositionPatient]
    one.ImagePositionPatient = [*place[:2], place[2] + moved]
    save(one, files[4])
    if verdict == "refused":
        with pytest.raises(BrokenGeometry):
            read_volume(tmp_path)
        return
    checks = read_volume(tmp_path).passport.checks
    rule = next(c for c in checks if "step" in c.code)
    assert rule.verdict == verdict
