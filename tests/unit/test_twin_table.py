"""The node table of a case of the twin against the phantom that it was made from.

What is expected comes from the ellipsoids themselves, in closed form where they are
straight, and not from labels, masks or anything that measures them.
"""

from __future__ import annotations

import numpy as np
import pytest

import napari_tcia as nt
from napari_tcia.demo.cases import lymph_case
from napari_tcia.demo.twin import phantom_case

SMALL = {"matrix": 256, "slices": 120, "step": 2.5}


@pytest.fixture(
    scope="module", params=["MED_LYMPH_001", "MED_LYMPH_021", "ABD_LYMPH_001"]
)
def opened(request, tmp_path_factory):
    home = tmp_path_factory.mktemp("twin")
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setenv("NAPARI_TCIA_HOME", str(home / "home"))
    folder = phantom_case(home, request.param, **SMALL)
    (case,) = nt.open_case(folder)
    yield case, lymph_case(request.param, **SMALL)
    monkeypatch.undo()


def test_one_row_for_each_node_of_the_phantom(opened):
    case, truth = opened
    by_label = {node.label: node for node in truth.nodes if node.label}
    rows = {row.label: row for row in case.nodes if row.label is not None}
    assert rows.keys() == by_label.keys()
    points_alone = [row for row in case.nodes if row.label is None]
    assert len(points_alone) == sum(not n.label and n.listed for n in truth.nodes)
    for label, node in by_label.items():
        assert rows[label].pieces == 1
        assert ("points" in rows[label].source) == node.listed, label
        assert {"seg", "mask"} <= set(rows[label].source.split("+"))


def test_places_sizes_and_volumes_are_those_of_the_ellipsoids(opened):
    case, truth = opened
    pixel = float(np.linalg.norm(case.volume.affine[:3, 2]))
    step = float(np.linalg.norm(case.volume.affine[:3, 0]))
    long_off, short_off = [], []
    for node in truth.nodes:
        if not node.label:
            continue
        row = next(row for row in case.nodes if row.label == node.label)
        off = np.abs(np.subtract(row.centroid_lps, node.centre))
        assert (off <= [pixel, pixel, step]).all(), (node.label, off)
        volume = 4 / 3 * np.pi * np.prod(node.semi_axes)
        assert row.volume_mm3 == pytest.approx(volume, rel=0.12)
        if node.bend:
            continue  # its largest section need not go through its centre
        long_mm, short_mm = node.axial_axes
        long_off.append((row.long_axis_mm - long_mm) / pixel)
        short_off.append((row.short_axis_mm - short_mm) / pixel)
        assert abs(row.k - _slice_of(case, node)) <= 1
    assert np.abs(short_off).max() <= 1.0
    assert abs(np.mean(short_off)) <= 0.4
    assert np.abs(long_off).max() <= 1.5


def _slice_of(case, node):
    """Slice nearest to the centre: that of the largest section of an ellipsoid."""
    heights = case.volume.affine[2, 3] + case.volume.affine[2, 0] * np.arange(
        len(case.volume.array)
    )
    return int(np.abs(heights - node.centre[2]).argmin())


def test_published_sizes_stand_beside_what_was_measured(opened):
    case, truth = opened
    listed = {n.label: n for n in truth.nodes if n.label and n.listed}
    for row in case.nodes:
        if row.label in listed and row.published_size_mm is not None:
            _, short_mm = listed[row.label].axial_axes
            # Read by another reader, whose hand is not that steady.
            assert row.published_size_mm == pytest.approx(short_mm, rel=0.25)
            assert row.short_axis_mm != row.published_size_mm
