"""The phantom against its own listed truth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_tcia.core.geometry import index_to_patient, patient_to_index
from napari_tcia.demo.phantom import (
    Scan,
    make_ct,
    make_labels,
    make_nodes,
    make_phantom,
)

SMALL = Scan(seed=5, matrix=128, slices=46, step=5.0, nodes=6)


@pytest.fixture(scope="module")
def phantom():
    return make_phantom(SMALL)


def test_same_seed_same_pixels_whatever_the_slab(phantom):
    part = make_ct(SMALL, phantom.nodes, 17, 31)
    np.testing.assert_array_equal(part, phantom.array[17:31])
    assert phantom.array.dtype == np.int16
    assert phantom.array.shape == phantom.labels.shape == SMALL.shape


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
        offsets = (world - node.centre) @ np.asarray(node.rotation)
        assert ((offsets / node.semi_axes) ** 2).sum(axis=1).max() <= 1 + 1e-9


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_axial_axes_are_those_of_the_section(seed):
    for node in make_nodes(Scan(seed=seed)):
        angle = np.linspace(0, np.pi, 721)
        ray = np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=1)
        scaled = ray @ np.asarray(node.rotation) / np.asarray(node.semi_axes)
        widths = 2 / np.linalg.norm(scaled, axis=1)
        assert node.axial_axes == pytest.approx((widths.max(), widths.min()), rel=1e-3)
