"""Tools of the annotator on ellipsoids in tissue, on grids of any spacing."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_tcia.edit.brush import brush
from napari_tcia.edit.change import Change, changed, distance_mm
from napari_tcia.edit.grow import METHODS, grow, hu_range
from napari_tcia.edit.interpolate import interpolate
from napari_tcia.edit.smooth import fill_holes, largest_piece, smooth
from napari_tcia.edit.split import delete, merge, next_free, split
from napari_tcia.errors import UsageError

FINE = (1.0, 0.7, 0.7)
THICK = (5.0, 0.75, 0.75)
NODE, FAT, VESSEL = 60.0, -100.0, 170.0


def ball(shape, centre, radii_mm, spacing):
    parts = [
        ((np.arange(n) - at) * step / radius) ** 2
        for n, at, step, radius in zip(shape, centre, spacing, radii_mm, strict=True)
    ]
    return np.add.outer(np.add.outer(parts[0], parts[1]), parts[2]) <= 1


def applied(labels, *changes):
    now = labels.copy()
    for change in changes:
        now[changed(now, change)] = change.value
    return now


def dice(one, other):
    return 2 * (one & other).sum() / (one.sum() + other.sum())


def scene(spacing=FINE, radii=(6, 5, 7), vessel=False, seed=0):
    shape = tuple(int(48 / step) for step in spacing)
    centre = tuple(n / 2 for n in shape)
    node = ball(shape, centre, radii, spacing)
    image = np.full(shape, FAT)
    if vessel:  # a tube that touches the node on one side
        j = (np.arange(shape[1]) - centre[1]) * spacing[1]
        i = (np.arange(shape[2]) - centre[2]) * spacing[2]
        tube = np.hypot(j[:, None] - radii[1] - 4, i[None, :]) <= 5
        image[:, tube] = VESSEL
    image[node] = NODE
    noise = np.random.default_rng(seed).normal(0, 12, shape)
    image = ndimage.gaussian_filter(image, [0.5 / s for s in spacing]) + noise
    return image.astype(np.int16), node, tuple(round(n) for n in centre)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("spacing", [FINE, THICK, (0.8, 0.8, 0.8)])
@pytest.mark.parametrize("vessel", [False, True])
def test_a_node_grows_from_one_click(method, spacing, vessel):
    image, node, seed = scene(spacing, vessel=vessel)
    labels = np.zeros(image.shape, np.uint16)
    one = grow(image, labels, seed, spacing, value=3, method=method)
    found = applied(labels, one) == 3
    assert dice(found, node) >= (0.85 if spacing != THICK else 0.75)
    assert found[seed]
    assert ndimage.label(found)[1] == 1
    again = grow(image, labels, seed, spacing, value=3, method=method)
    assert np.array_equal(one.mask, again.mask)


@settings(max_examples=25, deadline=None)
@given(
    spacing=st.tuples(*[st.sampled_from([0.7, 1.0, 2.5, 5.0])] * 3),
    radius=st.floats(2, 18),
    method=st.sampled_from(METHODS),
    value=st.integers(1, 9),
    at=st.tuples(*[st.floats(0, 0.999)] * 3),
)
def test_growing_keeps_its_promises(spacing, radius, method, value, at):
    image, _, _ = scene(spacing, vessel=True)
    labels = np.zeros(image.shape, np.uint16)
    labels[:, :, : image.shape[2] // 3] = 10  # somebody else's
    seed = tuple(int(n * size) for n, size in zip(at, image.shape, strict=True))
    assume(labels[seed] == 0)
    hu = (-300.0, 300.0)  # whatever is there
    one = grow(
        image,
        labels,
        seed,
        spacing,
        value=value,
        radius_mm=radius,
        hu=hu,
        method=method,
    )
    now = applied(labels, one)
    touched = np.argwhere(now != labels)
    away = np.linalg.norm((touched - seed) * spacing, axis=1)
    assert away.max(initial=0) <= radius + 1e-6
    assert np.array_equal(now == 10, labels == 10)
    assert set(np.unique(now)) <= {0, 10, value}
    assert now[seed] == value


@pytest.mark.parametrize("kind", [np.float32, np.int16])
def test_growing_at_the_edge_and_over_nothing(kind):
    image, _, _ = scene()
    image = image.astype(kind)
    image[:, :2] = NODE
    if kind is np.float32:
        image[5:8, 0, 0] = np.nan
    labels = np.zeros(image.shape, np.uint16)
    one = grow(image, labels, (10, 0, 20), FINE, value=1)
    assert applied(labels, one)[10, 0, 20] == 1


def test_what_cannot_be_grown_says_why():
    image, _, seed = scene()
    image[0] = -1000
    labels = np.zeros(image.shape, np.uint16)
    labels[seed] = 4
    for place, words in [
        (seed, "Node 4"),
        ((0, 5, 5), "air"),
        ((999, 0, 0), "outside"),
        ((-1, 0, 0), "outside"),
    ]:
        with pytest.raises(UsageError, match=words) as caught:
            grow(image, labels, place, FINE, value=1)
        assert caught.value.hint
    with pytest.raises(UsageError, match="500 to 900"):
        grow(image, labels * 0, seed, FINE, value=1, hu=(500, 900))
    low, high = hu_range(image, seed, FINE)
    assert low < NODE < high


@settings(max_examples=60, deadline=None)
@given(
    centre=st.tuples(*[st.floats(-4, 24)] * 3),
    radius=st.floats(0.3, 9),
    spacing=st.tuples(*[st.floats(0.5, 5)] * 3),
    plane=st.sampled_from([None, 0, 1, 2]),
    erase=st.booleans(),
)
def test_a_brush_is_a_ball_or_disc_in_millimetres(
    centre, radius, spacing, plane, erase
):
    shape = (20, 18, 16)
    labels = np.zeros(shape, np.uint16)
    labels[5:9], labels[9:12] = 1, 2
    one = brush(labels, centre, radius, spacing, value=1, plane=plane, erase=erase)
    now = applied(labels, one)
    whole = (slice(0, 20), slice(0, 18), slice(0, 16))
    at = list(centre)
    reach = distance_mm(whole, at, spacing) <= radius
    if plane is not None:
        at[plane] = round(at[plane])
        reach = distance_mm(whole, at, spacing) <= radius
        only = np.zeros(shape, bool)
        if 0 <= at[plane] < shape[plane]:
            only[tuple(at[plane] if n == plane else slice(None) for n in range(3))] = 1
        reach &= only
    expected = labels.copy()
    expected[reach & (labels == (1 if erase else 0))] = 0 if erase else 1
    np.testing.assert_array_equal(now, expected)


def test_a_threshold_brush_leaves_what_is_outside_of_its_range():
    image, node, seed = scene()
    labels = np.zeros(image.shape, np.uint16)
    one = brush(labels, seed, 12, FINE, value=1, image=image, hu=(0, 130))
    found = applied(labels, one) == 1
    assert found.any()
    assert image[found].min() >= 0
    assert dice(found, node) > 0.85


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("spacing", [FINE, (2.5, 0.7, 0.7)])
def test_slices_between_are_filled_and_the_drawn_ones_stay(axis, spacing):
    shape = (40, 44, 48)
    centre = (20, 22, 24)
    node = ball(shape, centre, tuple(12 * s for s in spacing), spacing)
    labels = np.zeros(shape, np.uint16)
    drawn = np.flatnonzero(node.any(axis=tuple(n for n in range(3) if n != axis)))
    kept = sorted({*drawn[::4].tolist(), int(drawn[-1])})
    place = [slice(None)] * 3
    for n in kept:
        place[axis] = n
        labels[tuple(place)] = np.where(node[tuple(place)], 6, 0)
    now = applied(labels, interpolate(labels, 6, spacing, axis=axis))
    for n in kept:
        place[axis] = n
        np.testing.assert_array_equal(now[tuple(place)], labels[tuple(place)])
    assert dice(now == 6, node) > 0.93


def test_a_slanted_node_keeps_its_way_between_slices():
    labels = np.zeros((9, 30, 60), np.uint16)
    labels[0, 10:16, 4:10] = 1
    labels[8, 10:16, 44:50] = 1  # nothing of the two lies above each other
    labels[4, 12, 28] = 2  # somebody else's on the way
    now = applied(labels, interpolate(labels, 1, FINE))
    for k in range(9):
        j, i = np.argwhere(now[k] == 1).mean(axis=0)
        assert (j, i) == pytest.approx((12.5, 6.5 + 5 * k), abs=1.0)
    assert now[4, 12, 28] == 2
    with pytest.raises(UsageError, match="No slice is left out"):
        interpolate(now, 1, FINE)


@pytest.mark.parametrize("spacing", [FINE, THICK])
def test_smoothing_keeps_the_volume_and_the_neighbours(spacing):
    shape = (30, 40, 40)
    rng = np.random.default_rng(2)
    node = ball(shape, (15, 20, 20), tuple(9 * s for s in spacing), spacing)
    rough = node ^ (ndimage.binary_dilation(node) & (rng.random(shape) < 0.15))
    labels = np.where(rough, 5, 0).astype(np.uint16)
    labels[:, :, 29:] = 7
    now = applied(labels, *smooth(labels, 5, spacing))
    assert np.array_equal(now == 7, labels == 7)
    volume = (labels == 5).sum()
    assert abs(int((now == 5).sum()) - int(volume)) <= 0.02 * volume
    border = [
        int((m & ~ndimage.binary_erosion(m)).sum()) for m in (labels == 5, now == 5)
    ]
    assert border[1] < border[0]
    assert (
        dice(now == 5, node & (labels != 7))
        >= dice(labels == 5, node & (labels != 7)) - 0.01
    )


def test_holes_and_crumbs():
    labels = np.zeros((9, 12, 12), np.uint16)
    labels[2:7, 2:9, 2:9] = 3
    labels[4, 4, 4] = 0
    labels[4, 6, 6] = 8  # not a hole: another node
    labels[8, 11, 11] = 3
    now = applied(labels, fill_holes(labels, 3, FINE))
    assert now[4, 4, 4] == 3
    assert now[4, 6, 6] == 8
    now = applied(now, largest_piece(now, 3, FINE))
    assert now[8, 11, 11] == 0
    assert now[2, 2, 2] == 3


def _dumbbell(spacing=FINE):
    shape = (30, 40, 70)
    one = ball(shape, (15, 20, 20), tuple(11 * s for s in spacing), spacing)
    two = ball(shape, (15, 20, 44), tuple(14 * s for s in spacing), spacing)
    return np.where(one | two, 2, 0).astype(np.uint16), one, two


def test_a_node_is_split_at_its_waist():
    labels, small, _ = _dumbbell()
    (part,) = split(labels, 2, FINE, new_value=9)
    now = applied(labels, part)
    assert set(np.unique(now)) == {0, 2, 9}
    assert np.array_equal(now > 0, labels > 0)
    assert dice(now == 9, small) > 0.9  # the larger keeps its value
    seeds = [(15, 20, 20), (15, 20, 44)]
    now = applied(labels, *split(labels, 2, FINE, new_value=9, seeds=seeds))
    assert now[seeds[0]] == 2
    assert now[seeds[1]] == 9


def test_pieces_become_nodes():
    labels = np.zeros((5, 9, 30), np.uint16)
    for n, size in enumerate((2, 4, 3)):
        labels[1:4, 1 : 1 + size, 10 * n : 10 * n + size] = 1
    now = applied(labels, *split(labels, 1, FINE, new_value=4))
    assert [int(now[2, 1, 10 * n]) for n in range(3)] == [5, 1, 4]


@pytest.mark.parametrize("seeds", [None, [(15, 15, 15)], [(0, 0, 0), (15, 15, 15)]])
def test_what_cannot_be_split_says_why(seeds):
    labels = ball((30, 30, 30), (15, 15, 15), (8, 8, 8), (1, 1, 1)).astype(np.uint16)
    with pytest.raises(UsageError) as caught:
        split(labels, 1, (1, 1, 1), new_value=2, seeds=seeds)
    assert caught.value.hint


def test_merging_deleting_numbering():
    labels = np.zeros((4, 6, 6), np.uint16)
    labels[0], labels[1], labels[2] = 1, 2, 5
    now = applied(labels, *merge(labels, [2, 5, 1, 2], 1))
    assert set(np.unique(now)) == {0, 1}
    assert not applied(labels, delete(labels, 5))[2].any()
    for missing in (3, 0x7FFF):
        with pytest.raises(UsageError):
            delete(labels, missing)
        with pytest.raises(UsageError):
            merge(labels, [missing], 1)
    assert next_free([]) == 1
    assert next_free([1, 7, 3]) == 8


def test_a_change_of_nothing_changes_nothing():
    labels = np.arange(27, dtype=np.uint16).reshape(3, 3, 3)
    box = (slice(1, 2), slice(0, 2), slice(1, 3))
    one = Change(box, labels[box] == labels[1, 0, 1], int(labels[1, 0, 1]))
    assert all(at.size == 0 for at in changed(labels, one))
    for k, j, i in itertools.product(range(3), repeat=3):
        part = (slice(k, k + 1), slice(j, j + 1), slice(i, i + 1))
        one = Change(part, np.ones((1, 1, 1), bool), 99)
        assert [int(at[0]) for at in changed(labels, one)] == [k, j, i]
