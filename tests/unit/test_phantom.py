"""The phantom against its own listed truth."""

import ast
import itertools
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import PchipInterpolator

from napari_tcia.core.geometry import index_to_patient, patient_to_index
from napari_tcia.demo import phantom as phantom_module
from napari_tcia.demo.phantom import (
    Scan,
    make_ct,
    make_labels,
    make_nodes,
    make_phantom,
)
from napari_tcia.demo.shapes import monotone

SMALL = Scan(seed=5, matrix=128, slices=46, step=5.0, nodes=6)


@pytest.fixture(scope="module")
def phantom():
    return make_phantom(SMALL)


def test_same_seed_same_pixels_whatever_the_slab(phantom):
    part = make_ct(SMALL, phantom.nodes, 17, 31)
    np.testing.assert_array_equal(part, phantom.array[17:31])
    assert phantom.array.dtype == np.int16
    assert phantom.array.shape == phantom.labels.shape == SMALL.shape


def test_the_neck_is_there_when_painted_alone():
    scan = Scan(seed=1, matrix=96, slices=24, step=4.0, bottom=85.0, nodes=0)
    whole = make_ct(scan, (), 0, scan.slices)
    for first in range(0, scan.slices, 5):
        stop = min(first + 5, scan.slices)
        part = make_ct(scan, (), first, stop)
        np.testing.assert_array_equal(part, whole[first:stop])
    # Shoulders below a neck less than half as wide, with air in the trachea.
    body = whole[:, : round(0.55 * scan.matrix)] > -500
    wide = body.any(axis=1).sum(axis=1)
    assert wide[-1] < 0.5 * wide[0]
    k, j, i = scan.nearest(np.add((0, -10, 165), scan.offset))[0]
    assert whole[k, j, i] < -800


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(0.5, 50), st.floats(-200, 200), st.floats(0, 60)),
        min_size=2,
        max_size=9,
    )
)
def test_curve_through_points_is_that_of_scipy(rows):
    steps, *columns = np.array(rows).round(3).T
    at, values = np.cumsum(steps), np.stack(columns, axis=1)
    wanted = np.linspace(at[0], at[-1], 37)
    expected = PchipInterpolator(at, values, axis=0)(wanted)
    np.testing.assert_allclose(monotone(at, values, wanted), expected, atol=1e-6)


def test_another_seed_is_another_patient(phantom):
    other = Scan(seed=6, matrix=128, slices=46, step=5.0, nodes=6)
    assert make_nodes(other) != phantom.nodes


def _mean(phantom, x, y, z, reach=8.0):
    centre = np.add((x, y, z), SMALL.offset)
    k, j, i = np.rint(patient_to_index(phantom.affine, centre)[0]).astype(int)
    n = int(reach / SMALL.spacing / 2)
    return float(phantom.array[k, j - n : j + n + 1, i - n : i + n + 1].mean())


def test_organs_lie_on_their_own_side(phantom):
    # x to the left: heart and descending aorta left, liver right.
    assert _mean(phantom, 45, -25, -72) > 100 > -600 > _mean(phantom, -75, -25, -72)
    assert _mean(phantom, 24, 31, -20) > 150
    assert _mean(phantom, -24, 31, -20) < -300
    assert 80 < _mean(phantom, -65, 0, -112) < 140
    # The spine is behind, air in front of and above the chest.
    assert _mean(phantom, 0, 41, -40) > 100
    assert _mean(phantom, 0, -125, 0) < -950


def test_noise_is_a_scanners(phantom):
    centre = patient_to_index(phantom.affine, np.add((-60, 0, -115), SMALL.offset))
    k, j, i = np.rint(centre[0]).astype(int)
    liver = phantom.array[k, j - 5 : j + 6, i - 5 : i + 6].astype(float)
    assert 8 < liver.std() < 18
    assert phantom.array.min() >= -1024


def test_centroids_and_volumes_follow_the_truth(phantom):
    voxel = SMALL.step * SMALL.spacing**2
    assert len(phantom.nodes) == 6
    for node in phantom.nodes:
        voxels = np.argwhere(phantom.labels == node.label)
        gap = voxels.mean(axis=0) - patient_to_index(phantom.affine, node.centre)[0]
        assert np.abs(gap).max() < 0.5
        volume = 4 / 3 * np.pi * np.prod(node.semi_axes)
        assert abs(len(voxels) * voxel - volume) < 0.25 * volume + 3 * voxel


def test_nodes_look_like_nodes(phantom):
    for node in phantom.nodes:
        assert 8 <= node.axial_axes[1] <= 25
        k, j, i = np.rint(patient_to_index(phantom.affine, node.centre)[0]).astype(int)
        core = phantom.array[k, j - 1 : j + 2, i - 1 : i + 2]
        assert 40 < np.median(core) < 115


def test_labels_descend_with_z(phantom):
    heights = [node.centre[2] for node in phantom.nodes]
    assert [node.label for node in phantom.nodes] == list(range(1, 7))
    assert heights == sorted(heights, reverse=True)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    region=st.sampled_from(("chest", "abdomen")),
    nodes=st.integers(1, 12),
)
def test_every_seed_keeps_its_nodes_apart_and_whole(seed, region, nodes):
    scan = Scan(
        seed=seed, region=region, nodes=nodes, slices=230, step=1.0, matrix=160,
        bottom=-122 if region == "chest" else -292,
    )  # fmt: skip
    truth = make_nodes(scan)
    labels = make_labels(scan, truth)
    assert 1 <= len(truth) <= nodes
    for node in truth:
        voxels = np.argwhere(labels == node.label)
        volume = 4 / 3 * np.pi * np.prod(node.semi_axes)
        assert len(voxels) * scan.step * scan.spacing**2 == pytest.approx(
            volume, rel=0.15
        )
        world = index_to_patient(scan.affine, voxels)
        assert node.contains(world).all()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_axial_axes_are_those_of_the_section(seed):
    for node in make_nodes(Scan(seed=seed)):
        if node.bend:
            continue
        angle = np.linspace(0, np.pi, 721)
        ray = np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=1)
        scaled = ray @ np.asarray(node.rotation) / np.asarray(node.semi_axes)
        widths = 2 / np.linalg.norm(scaled, axis=1)
        assert node.axial_axes == pytest.approx((widths.max(), widths.min()), rel=1e-3)


def _bent():
    node = next(n for s in range(99) for n in make_nodes(Scan(seed=s)) if n.bend)
    # Its long axis and its bend into the axial plane.
    return replace(node, rotation=((0.0, 0.0, 1.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)))


def test_bent_node_is_a_banana_of_the_same_volume():
    node = _bent()
    side = np.arange(-30, 30, 0.5) + 0.25
    grid = np.stack(np.meshgrid(side, side, side), axis=-1)
    inside = grid[node.contains(grid + node.centre)]
    volume = 4 / 3 * np.pi * np.prod(node.semi_axes)
    assert len(inside) * 0.5**3 == pytest.approx(volume, rel=0.02)
    assert np.abs(inside.mean(axis=0)).max() < 0.1
    assert (np.abs(inside) <= np.add(node.reach, 1e-9)).all()
    # Both tips lie to one side of the middle.
    a, _, c = node.semi_axes
    tips = [[0.95 * c * sign, 0.8 * node.bend, 0] for sign in (-1, 1)]
    assert node.contains(np.add(tips, node.centre)).all()
    assert not node.contains(np.add(node.centre, (0, 0.8 * a + 0.3, 0)))


def test_axes_of_a_bent_node_are_chords_inside_it():
    node = _bent()
    side = np.arange(-25, 25, 0.5)
    grid = np.stack([*np.meshgrid(side, side), np.zeros((100, 100))], axis=-1)
    inside = grid[node.contains(grid + node.centre)][:, :2]
    farthest = np.hypot(*(inside[:, None] - inside).T).max()
    long, short = node.axial_axes
    assert long == pytest.approx(farthest, abs=1.0)
    # Across a banana, the chord is shorter than the extent.
    assert short < np.ptp(inside[:, 1]) - 1
    assert short == pytest.approx(2 * node.semi_axes[0], abs=0.5)


def test_hilum_is_fat_and_calcification_is_bright():
    scan = replace(SMALL, seed=73, matrix=320, step=1.5, slices=153, nodes=10)
    truth = make_nodes(scan)
    array = make_ct(scan, truth, 0, scan.slices)
    labels = make_labels(scan, truth)
    assert any(node.hilum for node in truth)
    assert any(node.calcified for node in truth)
    for node in truth:
        inside = array[labels == node.label]
        if node.hilum:
            assert np.percentile(inside, 2) < 15
        if node.calcified:
            assert inside.max() > 160
        assert 40 < np.median(inside) < 115


def test_no_turn_or_flip_looks_the_same():
    cube = Scan(seed=5, matrix=64, slices=64, step=344 / 64, bottom=-170)
    array = make_phantom(cube).array.astype(float)
    body = array > -500
    for order in itertools.permutations(range(3)):
        for flips in itertools.product((1, -1), repeat=3):
            if order == (0, 1, 2) and flips == (1, 1, 1):
                continue
            turned = array.transpose(order)[tuple(slice(None, None, f) for f in flips)]
            both = body & (turned > -500)
            change = np.abs(array - turned)
            assert change.mean() > 60, (order, flips)
            assert change[both].mean() > 50, (order, flips)


def test_truth_shares_no_geometry_with_the_readers():
    folder = Path(phantom_module.__file__).parent
    forbidden = ("core.geometry", "core.image", "nodes", "volume", "app", "export")
    files = sorted(folder.glob("*.py"))
    assert {"truth", "annotations", "dicom", "variants"} <= {f.stem for f in files}
    for file in files:
        for item in ast.walk(ast.parse(file.read_text())):
            names = []
            if isinstance(item, ast.ImportFrom):
                assert not item.level, file.name
                names = [f"{item.module}.{alias.name}" for alias in item.names]
            elif isinstance(item, ast.Import):
                names = [alias.name for alias in item.names]
            for name in names:
                part = name.removeprefix("napari_tcia.")
                assert not part.startswith(forbidden), (file.name, name)


def test_making_a_case_loads_no_reader(tmp_path):
    """Not by way of another module either."""
    code = (
        "import sys, pathlib, napari_tcia.demo.variants as v;"
        "v.make_variant('mask_flipped_in_y', pathlib.Path(sys.argv[1]));"
        "print(*(m for m in sys.modules if m.startswith('napari_tcia.')))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = run.stdout.split()
    assert "napari_tcia.demo.annotations" in loaded
    rooms = ("core.geometry", "nodes", "volume", "export", "app")
    assert [m for m in loaded if m.split(".", 1)[1].startswith(rooms)] == []


def test_lattice_is_the_affine():
    rng = np.random.default_rng(2)
    kji = rng.integers(0, 40, size=(50, 3))
    np.testing.assert_allclose(
        SMALL.lattice(kji), index_to_patient(SMALL.affine, kji), atol=1e-9
    )
    np.testing.assert_array_equal(SMALL.nearest(SMALL.lattice(kji) + 0.4), kji)
