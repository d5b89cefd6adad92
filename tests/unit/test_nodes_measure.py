"""Axes against shapes of known size; tables; joins; verification."""

import numpy as np
import pytest

from annotation_factory import ellipsoid, volume_of
from napari_tcia.core.geometry import make_affine, patient_to_index
from napari_tcia.core.image import LabelSet, PointSet, Segment
from napari_tcia.core.model import Provenance
from napari_tcia.errors import BrokenGeometry
from napari_tcia.nodes import (
    COLUMNS,
    measure,
    node_rows,
    node_table,
    size_class,
    verify,
)

SHAPE = (30, 64, 64)


def labels_of(array, source="seg"):
    values = [int(v) for v in np.unique(array) if v]
    segments = tuple(Segment(v, f"Node {v}") for v in values)
    return LabelSet(array.astype(np.uint8), segments, "nodes", source, Provenance())


def points_of(volume, indices, sizes=None):
    indices = np.array(indices, dtype=float).reshape(-1, 3)
    sizes = np.full(len(indices), np.nan) if sizes is None else np.array(sizes, float)
    points = indices @ volume.affine[:3, :3].T + volume.affine[:3, 3]
    ids = tuple(range(1, len(indices) + 1))
    return PointSet(points, indices, sizes, ids, "points", Provenance())


def tissue(shape=SHAPE, **extra):
    return volume_of(np.full(shape, 50, dtype=np.int16), **extra)


def drawn(angle, a, b, pixel):
    """An ellipse with half axes a and b mm, turned, on a fine enough grid."""
    j, i = np.indices((96, 96)) * pixel - 47.3 * pixel
    u = i * np.cos(angle) + j * np.sin(angle)
    v = -i * np.sin(angle) + j * np.cos(angle)
    return (u / a) ** 2 + (v / b) ** 2 <= 1


@pytest.mark.parametrize("pixel", [0.65, 0.85])
@pytest.mark.parametrize(("a", "b"), [(4, 3), (8, 5), (15, 7.5), (6, 6)])
def test_axes_of_ellipses(a, b, pixel):
    errors = []
    for angle in np.radians([0, 20, 45, 70, 110]):
        mask = drawn(angle, a, b, pixel)[None]
        affine = make_affine((0, 0, 0), (1, 0, 0, 0, 1, 0), (1, pixel, pixel))
        volume = volume_of(np.zeros(mask.shape, np.int16), affine)
        (found,) = measure(volume, labels_of(mask))
        errors.append((found.short_axis_mm - 2 * b) / pixel)
        assert abs(found.long_axis_mm - 2 * a) <= 0.75 * pixel
        ends = np.array(found.short_axis_line)
        assert np.linalg.norm((ends[1] - ends[0])[1:] * pixel) == pytest.approx(
            found.short_axis_mm
        )
        across = np.subtract(*np.array(found.long_axis_line)) @ np.subtract(*ends)
        assert abs(across) < 1e-6 * found.long_axis_mm * found.short_axis_mm * 100
    assert abs(np.mean(errors)) <= 0.4
    assert np.abs(errors).max() <= 0.75


def test_bent_node_is_not_overread():
    """A banana: the chord across it, not the extent of the bend."""
    j, i = np.indices((80, 80)) - 40.0
    radius, angle = np.hypot(j, i), np.arctan2(j, i)
    mask = ((np.abs(radius - 20) <= 5) & (np.abs(angle) < 1.2))[None]
    affine = make_affine((0, 0, 0), (1, 0, 0, 0, 1, 0), (1, 1, 1))
    (found,) = measure(volume_of(np.zeros(mask.shape), affine), labels_of(mask))
    assert 10 <= found.short_axis_mm <= 15.5  # the bend extends over 19.6 mm


def test_pixels_that_are_not_square():
    mask = ellipsoid((1, 60, 60), (0, 30, 30), (1, 6, 12))
    affine = make_affine((0, 0, 0), (1, 0, 0, 0, 1, 0), (1, 2.0, 0.5))
    (found,) = measure(volume_of(np.zeros(mask.shape), affine), labels_of(mask))
    assert found.long_axis_mm == pytest.approx(24, abs=1)
    assert found.short_axis_mm == pytest.approx(12, abs=0.6)


def test_slice_volume_and_hounsfield():
    volume = tissue()
    mask = ellipsoid(SHAPE, (14, 30, 30), (4, 9, 6))
    mask[20, 5, 5] = True
    volume.array[mask] = 70
    volume.array[14, 30, 30] = -3000  # padding is no tissue
    volume.present[12] = False
    volume.array[12] = -1024
    (found,) = measure(volume, labels_of(mask))
    assert found.k == found.largest_area_k == 14
    assert found.components == 2
    assert found.volume_mm3 == pytest.approx(mask.sum() * 0.8 * 0.8)
    assert (found.hu_mean, found.hu_sd) == (70, 0)
    np.testing.assert_allclose(
        patient_to_index(volume.affine, [found.centroid_lps])[0], found.centroid
    )
    values = tissue(quantity="stored values")
    assert measure(values, labels_of(mask))[0].hu_mean is None


def test_axes_are_those_of_a_slice_that_is_there():
    volume = tissue()
    mask = np.zeros(SHAPE, dtype=bool)
    mask[4:7, 5:25, 5:45] = True
    mask[7:9, 5:15, 5:15] = True
    volume.present[4:7] = False
    (found,) = measure(volume, labels_of(mask))
    (there,) = measure(volume, labels_of(mask & volume.present[:, None, None]))
    assert found.k == there.k == 7
    assert found.short_axis_mm == there.short_axis_mm
    volume.present[:] = False  # nothing is: the outline alone is measured
    (alone,) = measure(volume, labels_of(mask))
    assert (alone.k, alone.hu_mean) == (4, None)
    assert alone.short_axis_mm > there.short_axis_mm


def test_a_streak_of_touching_corners_is_measured_whole():
    mask = np.zeros(SHAPE, dtype=bool)
    mask[1, range(3, 15), range(3, 15)] = True
    (found,) = measure(tissue(), labels_of(mask))
    assert found.long_axis_mm == pytest.approx(12 * 0.8 * 2**0.5, abs=0.8 * 2**0.5)


@pytest.mark.parametrize("semi_axes", [(4, 3, 5), (8, 5, 6), (9, 7.5, 12)])
@pytest.mark.parametrize("step", [1.0, 5.0])
def test_nodes_of_known_size(semi_axes, step):
    """Phantoms in 3D at any offset and angle: bias and spread of the short axis."""
    rng = np.random.default_rng(7)
    long, short, height = semi_axes
    errors, volumes = [], []
    for _ in range(12):
        pixel = rng.uniform(0.6, 0.95)
        spacing = np.array([step, pixel, pixel])
        center = np.array([15, 32, 32]) + rng.uniform(-0.5, 0.5, 3) * [step < 2, 1, 1]
        z, y, x = (np.indices(SHAPE).T - center).T * spacing[:, None, None, None]
        angle = rng.uniform(0, np.pi)
        u = x * np.cos(angle) + y * np.sin(angle)
        v = y * np.cos(angle) - x * np.sin(angle)
        mask = (u / long) ** 2 + (v / short) ** 2 + (z / height) ** 2 <= 1
        affine = make_affine((0, 0, 0), (1, 0, 0, 0, 1, 0), spacing)
        volume = volume_of(np.full(SHAPE, 50, np.int16), affine)
        (row,) = node_rows(volume, labels_of(mask))
        errors.append((row.short_axis_mm - 2 * short) / pixel)
        volumes.append(row.volume_mm3 / (4 / 3 * np.pi * long * short * height))
    assert abs(np.mean(errors)) <= 0.4
    assert np.percentile(np.abs(errors), 95) <= 0.75
    if step < 2:
        assert np.mean(volumes) == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_tiny_labels_are_measured(size):
    mask = np.zeros(SHAPE, dtype=bool)
    mask[3, 0:size, 0:size] = True
    (found,) = measure(tissue(), labels_of(mask))
    assert 0 < found.short_axis_mm <= found.long_axis_mm <= 0.8 * size * 2**0.5 + 0.01


def test_size_classes():
    given = [None, float("nan"), 0.5, 9.999, 10, 14.999, 15, 40]
    low, middle, high = "<10 mm", "10-15 mm", ">=15 mm"
    assert [size_class(v) for v in given] == [
        *(None, None, low, low, middle, middle, high, high)
    ]


def three_nodes():
    array = np.zeros(SHAPE, dtype=np.uint8)
    array[ellipsoid(SHAPE, (5, 15, 15), (2, 6, 4))] = 1
    array[ellipsoid(SHAPE, (15, 40, 40), (3, 10, 8))] = 2
    array[ellipsoid(SHAPE, (25, 15, 50), (2, 5, 5))] = 3
    return array


def test_one_row_per_node():
    volume = tissue()
    # Row 1 lies in label 2, row 2 beside label 1, row 3 nowhere near any.
    points = points_of(volume, [[15, 40, 41], [5, 15, 22], [27, 60, 5]], [11, 8, 20])
    rows = node_rows(volume, [labels_of(three_nodes())], points)
    assert [row.id for row in rows] == [1, 2, 3, 4]
    assert [row.label for row in rows] == [1, 2, 3, None]
    assert [row.source for row in rows] == ["seg+points", "seg+points", "seg", "points"]
    assert [row.published_size_mm for row in rows] == [8, 11, None, 20]
    assert rows[3].k == 27
    assert rows[3].size_class == ">=15 mm"
    assert rows[3].short_axis_mm is None
    assert rows[1].short_axis_mm == pytest.approx(16 * 0.8, abs=0.4)
    assert rows[1].k == 15


def test_two_points_in_one_label_stay_two_rows():
    volume = tissue()
    points = points_of(volume, [[15, 38, 40], [15, 44, 40], [5, 15, 15]])
    rows = node_rows(volume, [labels_of(three_nodes())], points)
    assert [row.source for row in rows] == ["seg+points", "seg+points", "seg", "points"]
    check = next(
        c
        for c in verify(volume, [labels_of(three_nodes())], points)
        if c.code == "label_point_match"
    )
    assert check.numbers["merged"] == {"2": [1, 2]}
    assert len(check.numbers["rows_alone"]) == 1


def test_containment_comes_before_nearness():
    """A point inside a label keeps it, though another point is near as well."""
    array = np.zeros(SHAPE, dtype=np.uint8)
    array[10, 20:30, 20:30] = 7
    volume = tissue()
    points = points_of(volume, [[10, 25, 31], [10, 25, 25]], [1, 2])
    rows = node_rows(volume, [labels_of(array)], points)
    assert [(r.label, r.published_size_mm) for r in rows] == [(7, 2), (None, 1)]


def test_beyond_ten_millimetres_is_no_match():
    array = np.zeros(SHAPE, dtype=np.uint8)
    array[10, 20:30, 20:30] = 1
    for gap, source in ((12, "seg+points"), (13, "seg")):
        rows = node_rows(
            tissue(), [labels_of(array)], points_of(tissue(), [[10, 25, 29 + gap]])
        )
        assert rows[0].source == source


def test_seg_and_mask_of_the_same_nodes_are_listed_once():
    array = three_nodes()
    mask = array.copy()
    mask[array == 3] = 0
    mask[1, 50:54, 50:54] = 4
    volume = tissue()
    rows = node_rows(volume, [labels_of(mask, "mask"), labels_of(array)], None)
    assert [(r.label, r.source) for r in rows] == [
        (1, "seg+mask"),
        (2, "seg+mask"),
        (3, "seg"),
        (4, "mask"),
    ]
    checks = {
        c.code: c for c in verify(volume, [labels_of(array), labels_of(mask, "mask")])
    }
    assert checks["seg_equals_mask"].verdict == "fail"
    same = verify(volume, [labels_of(array), labels_of(array, "mask")])
    assert {c.code: c.verdict for c in same}["seg_equals_mask"] == "pass"


def test_table_has_the_columns_of_the_contract():
    volume = tissue()
    table = node_table(
        volume, [labels_of(three_nodes())], points_of(volume, [[27, 60, 5]])
    )
    assert tuple(table.columns) == COLUMNS
    assert len(table) == 4
    assert table["label"].isna().tolist() == [False, False, False, True]
    assert table["short_axis_mm"].dtype == float
    assert table.loc[0, "hu_mean"] == 50
    empty = node_table(volume, None, None)
    assert tuple(empty.columns) == COLUMNS
    assert empty.empty


def test_no_rows_from_broken_geometry():
    with pytest.raises(BrokenGeometry):
        node_rows(tissue(verdict="fail"), [labels_of(three_nodes())])
    with pytest.raises(BrokenGeometry):
        verify(tissue(verdict="fail"), [labels_of(three_nodes())])


def check_of(checks, code):
    return next(check for check in checks if check.code == code)


def verdicts(checks):
    return {check.code: check.verdict for check in checks}


INSIDE = [[5, 15, 15], [15, 40, 40], [25, 15, 50]]


def test_a_case_that_agrees():
    volume = tissue()
    volume.array[:, :, :3] = -1000
    found = verify(volume, [labels_of(three_nodes())], points_of(volume, INSIDE))
    assert set(verdicts(found).values()) == {"pass"}
    assert set(verdicts(found)) == {
        *("points_in_labels", "label_point_match", "point_hu", "label_hu")
    }


@pytest.mark.parametrize(("axis", "name"), [(0, "z"), (1, "y"), (2, "x")])
def test_a_mirrored_mask_is_noticed(axis, name):
    """The mask flipped with its affine unchanged: a pairing error in the wild."""
    array = np.flip(three_nodes(), axis)
    volume = tissue()
    found = verify(volume, [labels_of(array, "mask")], points_of(volume, INSIDE))
    check = next(c for c in found if c.code == "points_in_labels")
    assert check.verdict == "fail"
    assert f"mirrored in {name}:" in check.message
    assert check.numbers["mirrored"][name] == 1.0


def test_sparse_masks_only_warn():
    array = three_nodes()
    array[array == 1] = 0
    volume = tissue()
    found = verify(volume, [labels_of(array)], points_of(volume, INSIDE))
    assert verdicts(found)["points_in_labels"] == "warn"
    assert verdicts(found)["label_point_match"] == "warn"


def test_air_inside_labels_and_points():
    volume = tissue()
    array = three_nodes()
    volume.array[array == 1] = -900
    found = verify(volume, [labels_of(array)], points_of(volume, INSIDE))
    assert verdicts(found)["label_hu"] == "warn"
    assert verdicts(found)["point_hu"] == "warn"
    volume.array[...] = -900
    found = verify(volume, [labels_of(array)], points_of(volume, INSIDE))
    assert verdicts(found)["label_hu"] == "warn"  # never more: tissue varies
    assert (
        len(check_of(found, "label_hu").numbers["labels"]) == len(np.unique(array)) - 1
    )
    # A calcified or fatty node is no proof of a wrong place.
    assert verdicts(found)["point_hu"] == "warn"


def test_no_hounsfield_no_opinion():
    volume = tissue(quantity="stored values")
    found = verify(volume, [labels_of(three_nodes())], points_of(volume, INSIDE))
    assert set(verdicts(found)) == {"points_in_labels", "label_point_match"}


def _section(center, half, turned, k, spacing):
    """Axes of an ellipsoid cut at slice k, by algebra: (long, short) mm, or None.

    The ellipsoid is (p - c)' A (p - c) = 1 with A = R diag(1/h^2) R'. On the plane
    z = const the quadratic form of (y, x) remains, whose eigenvalues give the axes.
    """
    form = turned @ np.diag(1 / np.square(half)) @ turned.T
    z = k * spacing[0] - center[0]
    plane, mixed = form[1:, 1:], form[1:, 0] * z
    level = 1 - form[0, 0] * z**2 + mixed @ np.linalg.solve(plane, mixed)
    if level <= 0:
        return None
    axes = 2 * np.sqrt(level / np.linalg.eigvalsh(plane))
    return float(axes.max()), float(axes.min())


def test_axes_of_ellipsoids_at_any_angle():
    """Against the analytic section: bias and spread over 240 of them, in pixels."""
    random = np.random.default_rng(5)
    long_off, short_off = [], []
    for _ in range(240):
        pixel = float(random.uniform(0.6, 0.95))
        step = float(random.choice([1.0, 1.25, 2.0, 5.0]))
        spacing = (step, pixel, pixel)
        half = random.uniform(3.5, 16, 3)
        turned = np.linalg.qr(random.normal(size=(3, 3)))[0]
        shape = tuple(int(2 * 17.5 / s) + 9 for s in spacing)
        center = (np.array(shape) / 2 + random.uniform(-0.5, 0.5, 3)) * spacing
        places = np.stack(np.indices(shape), axis=-1) * spacing - center
        inside = (((places @ turned) / half) ** 2).sum(axis=-1) <= 1
        affine = make_affine((0, 0, 0), (1, 0, 0, 0, 1, 0), spacing)
        volume = volume_of(np.zeros(shape, np.int16), affine)
        (found,) = measure(volume, labels_of(inside))
        sections = [_section(center, half, turned, k, spacing) for k in range(shape[0])]
        best = max((one for one in sections if one), key=lambda one: one[1])
        # On the slice that was chosen, and against the best of all slices.
        long_off.append((found.long_axis_mm - sections[found.k][0]) / pixel)
        short_off.append((found.short_axis_mm - best[1]) / pixel)
    for off in (np.array(long_off), np.array(short_off)):
        assert abs(off.mean()) <= 0.4
        assert np.percentile(np.abs(off), 95) <= 0.75


def test_each_piece_of_a_label_is_a_node_of_its_own():
    volume = tissue()
    array = np.zeros(SHAPE, np.uint8)
    array[ellipsoid(SHAPE, (10, 20, 20), (3, 8, 6))] = 2
    array[ellipsoid(SHAPE, (22, 45, 45), (2, 5, 4))] = 2
    array[28, 60, 60] = 2  # a speck
    array[ellipsoid(SHAPE, (10, 50, 20), (3, 6, 6))] = 5
    points = points_of(volume, [(22, 45, 45)], [7.5])
    rows = node_rows(volume, labels_of(array), points)
    assert [(row.label, row.piece, row.pieces) for row in rows] == [
        (2, 1, 2),
        (2, 2, 2),
        (5, 1, 1),
    ]
    first, second, other = rows
    assert first.volume_mm3 > second.volume_mm3
    assert (first.source, second.source) == ("seg", "seg+points")
    assert second.published_size_mm == 7.5
    one = array.copy()
    one[:16] = 0
    one[28] = 0
    (alone,) = node_rows(volume, labels_of(one))
    assert second.volume_mm3 == alone.volume_mm3
    assert second.short_axis_mm == alone.short_axis_mm
    assert array[28, 60, 60] == 2  # what was given stays
    check = check_of(verify(volume, [labels_of(array)], points), "label_point_match")
    assert check.numbers["split"] == [2]
    assert "several parts" in check.message
    assert other.piece == 1


def test_size_in_space_and_percentiles():
    volume = tissue(quantity="HU")
    mask = ellipsoid(SHAPE, (14, 30, 30), (4, 9, 6))
    volume.array[mask] = np.arange(mask.sum()) % 101
    (row,) = node_rows(volume, labels_of(mask))
    assert row.hu_percentiles == pytest.approx((5, 25, 50, 75, 95), abs=2.5)
    assert row.equivalent_diameter_mm == pytest.approx(
        2 * (3 * row.volume_mm3 / (4 * np.pi)) ** (1 / 3)
    )
    k, j, i = (
        np.ptp(np.flatnonzero(mask.any(axis=axes))) + 1
        for axes in [(1, 2), (0, 2), (0, 1)]
    )
    assert row.extent_mm == pytest.approx((k * 1.0, j * 0.8, i * 0.8))
