"""Where each rule of verification turns: cases just inside and just outside.

Shares are of ten points, so that a limit can be met exactly.
"""

from __future__ import annotations

import numpy as np
import pytest

from annotation_factory import volume_of
from napari_tcia.core.geometry import index_to_patient, make_affine
from napari_tcia.core.image import LabelSet, PointSet, Segment
from napari_tcia.core.model import Provenance
from napari_tcia.nodes.points import compare
from napari_tcia.nodes.verify import verify

SHAPE = (24, 200, 200)
AFFINE = make_affine((-15.0, -14.0, 30.0), (1, 0, 0, 0, 1, 0), (2.0, 0.75, 0.75))
PLACES = [(4, 15 + 16 * (n % 5), 15 + 20 * (n // 5)) for n in range(10)]
"""Of points in one corner: what mirrors them lies in another, out of reach."""


def _volume(value=60):
    return volume_of(np.full(SHAPE, value, np.int16), AFFINE)


def _points():
    indices = np.array(PLACES, float)
    return PointSet(
        points=index_to_patient(AFFINE, indices),
        indices=indices,
        sizes_mm=np.full(len(indices), np.nan),
        ids=tuple(range(1, 11)),
        name="points",
        provenance=Provenance(),
    )


def _labels(array, source="mask"):
    values = np.unique(array[array > 0]).tolist()
    segments = tuple(Segment(value, f"Node {value}") for value in values)
    return LabelSet(array, segments, source, source, Provenance())


def _check(checks, code):
    (found,) = [one for one in checks if one.code == code]
    return found


@pytest.mark.parametrize(
    ("stored", "mirrored", "verdict"),
    [
        (10, 0, "pass"),
        (10, 8, "pass"),  # 0.2 ahead of its mirror
        (10, 9, "warn"),  # less
        (8, 6, "pass"),
        (7, 4, "warn"),  # below 0.8, though far ahead
        (5, 6, "warn"),  # a mirror is better, by less than 0.2
        (5, 7, "fail"),  # by 0.2
        (6, 8, "fail"),
        (0, 1, "warn"),
        (0, 2, "fail"),
    ],
)
@pytest.mark.parametrize("axis", [1, 2])
def test_m3_the_margin_between_a_reading_and_its_mirror(
    stored, mirrored, verdict, axis
):
    array = np.zeros(SHAPE, np.uint8)
    for place in PLACES[:stored]:
        array[place] = 1
    for place in PLACES[:mirrored]:
        at = list(place)
        at[axis] = SHAPE[axis] - 1 - at[axis]
        array[tuple(at)] = 1
    check = _check(verify(_volume(), _labels(array), _points()), "points_in_labels")
    name = "zyx"[axis]
    assert check.numbers["as_stored"] == pytest.approx(stored / 10)
    assert check.numbers["mirrored"][name] == pytest.approx(mirrored / 10)
    assert check.verdict == verdict
    assert ("choices" in check.numbers) == (verdict == "fail")


@pytest.mark.parametrize(
    ("odd", "verdict", "few"),
    [(0, "pass", False), (1, "pass", False), (2, "warn", False), (3, "warn", False),
     (4, "warn", True)],
)  # fmt: skip
def test_p5_how_many_points_lie_in_tissue(odd, verdict, few):
    volume = _volume()
    for k, j, i in PLACES[:odd]:
        volume.array[k - 2 : k + 3, j - 5 : j + 6, i - 5 : i + 6] = -800
    check = _check(verify(volume, None, _points()), "point_hu")
    assert check.numbers["share"] == pytest.approx(1 - odd / 10)
    assert (check.verdict, "few" in check.message) == (verdict, few)


@pytest.mark.parametrize(
    ("value", "fits"), [(-20, True), (-21, False), (200, True), (201, False)]
)
def test_p5_and_m4_what_counts_as_tissue(value, fits):
    array = np.zeros(SHAPE, np.uint8)
    array[3:6, 10:20, 10:20] = 1
    checks = verify(_volume(value), _labels(array), _points())
    expected = "pass" if fits else "warn"
    assert _check(checks, "point_hu").verdict == expected
    assert _check(checks, "label_hu").verdict == expected


@pytest.mark.parametrize(("air", "verdict"), [(0, "pass"), (9, "pass"), (10, "warn")])
def test_m4_how_much_air_a_label_may_hold(air, verdict):
    volume = _volume()
    array = np.zeros(SHAPE, np.uint8)
    array[5, 10:20, 10:20] = 1  # a hundred voxels
    inside = np.argwhere(array)
    volume.array[tuple(inside[:air].T)] = -700
    check = _check(verify(volume, _labels(array)), "label_hu")
    assert check.verdict == verdict


@pytest.mark.parametrize(
    ("missing", "verdict"), [(0, "pass"), (1, "warn"), (2, "fail")]
)
def test_c1_how_alike_seg_and_mask_have_to_be(missing, verdict):
    """Of twenty voxels one missing is a Dice of 0.974, two of 0.947."""
    array = np.zeros(SHAPE, np.uint8)
    array[5, 10:14, 10:15] = 1
    less = array.copy()
    less[tuple(np.argwhere(array)[:missing].T)] = 0
    checks = verify(_volume(), [_labels(array, "seg"), _labels(less)])
    assert _check(checks, "seg_equals_mask").verdict == verdict


def test_p3_several_explanations_are_not_told_as_one():
    indices = np.array([[20.0, 30.0, 7.0]])  # i j k, at x = 0
    points = index_to_patient(AFFINE, indices[:, ::-1])
    assert points[0, 0] == 0
    check = compare(AFFINE, SHAPE, indices, points * [-1, -1, 1])
    assert check.verdict == "fail"
    assert len(check.numbers["alternatives"]) > 1
    assert "Several conventions" in check.message
    apart = np.array([[21.0, 30.0, 7.0]])
    points = index_to_patient(AFFINE, apart[:, ::-1]) * [-1, -1, 1]
    check = compare(AFFINE, SHAPE, apart, points)
    assert "x, y negated (RAS)" in check.message
    assert "Several" not in check.message
