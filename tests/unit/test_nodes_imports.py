"""Segmentations and markups of 3D Slicer: written by others, read by ours."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import nrrd
import numpy as np
import pytest
import SimpleITK as sitk
import slicerio

from annotation_factory import ellipsoid, volume_of, write_points
from napari_tcia.core.geometry import index_to_patient, make_affine
from napari_tcia.core.image import LabelSet, Segment
from napari_tcia.errors import (
    CorruptData,
    GeometryMismatch,
    NothingFound,
    UnreadableAnnotation,
    UnsupportedData,
)
from napari_tcia.export import slicer
from napari_tcia.nodes import node_rows, read_labels, read_points, verify

SHAPE = (6, 14, 11)
AXIAL = make_affine((-61.7, 12.3, 830.25), (1, 0, 0, 0, 1, 0), (1.25, 0.748, 0.7))
OBLIQUE = make_affine((5, -7, 30), (0.8, 0.6, 0, 0, 0, -1), (3, 0.5, 0.75))
_KJI = np.eye(4)[[2, 1, 0, 3]]
RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@pytest.fixture
def labels():
    array = np.zeros(SHAPE, dtype=np.uint8)
    array[ellipsoid(SHAPE, (2, 4, 3), (1.5, 3, 2))] = 1
    array[ellipsoid(SHAPE, (4, 9, 7), (1, 2, 3))] = 2
    return array


@pytest.fixture(params=["axial", "oblique"])
def volume(request):
    affine = AXIAL if request.param == "axial" else OBLIQUE
    return volume_of(np.zeros(SHAPE, dtype=np.int16), affine)


def segment(value, layer=0, name=""):
    return {
        "id": f"Segment_{layer}_{value}",
        "name": name or f"node {layer}.{value}",
        "labelValue": value,
        "layer": layer,
        "terminology": {
            "contextName": "3D Slicer General Anatomy list",
            "category": ["SCT", "123037004", "Anatomical Structure"],
            "type": ["SCT", "59441001", "Lymph node"],
        },
    }


def write(path, voxels, affine, segments):
    """By slicerio; `voxels` are (k, j, i), or (layer, k, j, i)."""
    axes = (2, 1, 0) if voxels.ndim == 3 else (0, 3, 2, 1)
    content = {
        "voxels": voxels.transpose(axes),
        "ijkToLPS": affine @ _KJI,
        "encoding": "gzip",
        "containedRepresentationNames": ["Binary labelmap"],
        "segments": segments,
    }
    slicerio.write_segmentation(str(path), content)
    return path


def part(labels, affine, low, high):
    """Voxels from index `low` to before `high`, with an affine of their own."""
    moved = affine.copy()
    moved[:3, 3] = index_to_patient(affine, low)[0]
    return labels[tuple(slice(a, b) for a, b in zip(low, high, strict=True))], moved


def test_whole_by_slicerio(tmp_path, volume, labels):
    segments = [segment(1, name="4R"), segment(2)]
    path = write(tmp_path / "reader A.seg.nrrd", labels, volume.affine, segments)
    (found,) = read_labels(path, volume)
    np.testing.assert_array_equal(found.array, labels)
    assert found.array.dtype == np.uint8
    assert (found.name, found.source) == ("reader A", "labelmap")
    assert found.segments == (
        Segment(
            1,
            "4R",
            ("123037004", "SCT", "Anatomical Structure"),
            ("59441001", "SCT", "Lymph node"),
        ),
        Segment(
            2,
            "node 0.2",
            ("123037004", "SCT", "Anatomical Structure"),
            ("59441001", "SCT", "Lymph node"),
        ),
    )
    assert {c.verdict for c in found.checks} == {"pass"}


def test_cut_to_what_is_drawn(tmp_path, volume, labels):
    inner, affine = part(labels, volume.affine, (1, 1, 1), (6, 13, 11))
    path = write(tmp_path / "a.seg.nrrd", inner, affine, [segment(1), segment(2)])
    (found,) = read_labels(path, volume)
    np.testing.assert_array_equal(found.array, labels)


def test_wider_than_the_volume_where_nothing_is_drawn(tmp_path, volume, labels):
    wide = np.pad(labels, 2)
    affine = volume.affine.copy()
    affine[:3, 3] = index_to_patient(volume.affine, (-2, -2, -2))[0]
    path = write(tmp_path / "a.seg.nrrd", wide, affine, [segment(1), segment(2)])
    (found,) = read_labels(path, volume)
    np.testing.assert_array_equal(found.array, labels)
    wide[0, 0, 0] = 2
    write(path, wide, affine, [segment(1), segment(2)])
    with pytest.raises(GeometryMismatch, match="1 labelled voxels outside"):
        read_labels(path, volume)


@pytest.mark.parametrize("order", [(2, 0, 1), (1, 2, 0), (0, 1, 2)])
@pytest.mark.parametrize("flips", [(True, False, True), (False, True, False)])
def test_permuted_and_reversed_by_simpleitk(tmp_path, volume, labels, order, flips):
    image = sitk.GetImageFromArray(labels)
    columns = volume.affine[:3, [2, 1, 0]]
    spacing = np.linalg.norm(columns, axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((columns / spacing).ravel().tolist())
    image.SetOrigin(volume.affine[:3, 3].tolist())
    other = sitk.PermuteAxes(sitk.Flip(image, list(flips)), list(order))
    sitk.WriteImage(other, str(tmp_path / "model.nrrd"), order[0] == 2)
    (found,) = read_labels(tmp_path / "model.nrrd", volume)
    np.testing.assert_array_equal(found.array, labels)
    assert [s.label for s in found.segments] == ["Node 1", "Node 2"]


@pytest.mark.parametrize(
    ("space", "signs"),
    [
        ("right-anterior-superior", (-1, -1, 1)),
        ("RAS", (-1, -1, 1)),
        ("left-anterior-superior", (1, -1, 1)),
        ("LPS", (1, 1, 1)),
    ],
)
@pytest.mark.parametrize("dtype", [">i2", "<u2", "f4"])
def test_spaces_and_types_by_pynrrd(tmp_path, volume, labels, space, signs, dtype):
    turned = np.diag(signs) @ volume.affine[:3]
    header = {
        "space": space,
        "space directions": turned[:, [2, 1, 0]].T,
        "space origin": turned[:, 3],
    }
    path = tmp_path / "a.nrrd"
    nrrd.write(str(path), labels.transpose(2, 1, 0).astype(dtype), header)
    (found,) = read_labels(path, volume)
    np.testing.assert_array_equal(found.array, labels)


def test_overlaps_in_layers(tmp_path, volume, labels):
    """As Slicer writes them: values begin again at 1 in every layer."""
    first, second = labels.copy(), np.zeros_like(labels)
    second[ellipsoid(SHAPE, (2, 5, 4), (1.5, 3, 2))] = 1
    second[5, 13, 10] = 3
    voxels = np.stack([first, second])
    segments = [segment(1), segment(2), segment(1, 1), segment(3, 1)]
    path = write(tmp_path / "a.seg.nrrd", voxels, volume.affine, segments)
    one, two = read_labels(path, volume)
    assert [one.name, two.name] == ["a", "a (2)"]
    assert [s.label for s in one.segments] == ["node 0.1", "node 0.2", "node 1.3"]
    assert [s.label for s in two.segments] == ["node 1.1"]
    np.testing.assert_array_equal(one.array, first + 3 * (second == 3))
    np.testing.assert_array_equal(two.array, second == 1)
    assert len(node_rows(volume, [one, two])) == 4
    write(path, voxels, volume.affine, [segment(1), segment(2), segment(2)])
    with pytest.raises(UnreadableAnnotation, match="segment 2"):
        read_labels(path, volume)


def test_the_old_form_has_a_layer_per_segment(tmp_path, volume, labels):
    voxels = np.stack([labels == 1, labels == 2]).astype("u1")
    path = write(
        tmp_path / "a.seg.nrrd", voxels, volume.affine, [segment(1), segment(1, 1)]
    )
    data, header = nrrd.read(str(path))
    for number in (0, 1):
        del header[f"Segment{number}_Layer"], header[f"Segment{number}_LabelValue"]
    nrrd.write(str(path), data, header)
    one, two = read_labels(path, volume)
    np.testing.assert_array_equal(one.array, labels == 1)
    np.testing.assert_array_equal(two.array, labels == 2)


def test_values_that_no_segment_describes_are_kept_and_told(tmp_path, volume, labels):
    path = write(tmp_path / "a.seg.nrrd", labels, volume.affine, [segment(1)])
    (found,) = read_labels(path, volume)
    np.testing.assert_array_equal(found.array, labels)
    assert [s.label for s in found.segments] == ["node 0.1", "Node 2"]
    (told,) = [c for c in found.checks if c.verdict == "warn"]
    assert told.numbers["layer_and_value"] == [(0, 2)]


@pytest.mark.parametrize("shift", [(0.4, 0, 0), (0, 0.2, 0), (0, 0, 0.3)])
def test_between_voxels_is_refused(tmp_path, volume, labels, shift):
    moved = volume.affine.copy()
    moved[:3, 3] = index_to_patient(moved, shift)[0]
    path = write(tmp_path / "a.seg.nrrd", labels, moved, [segment(1), segment(2)])
    with pytest.raises(GeometryMismatch) as caught:
        read_labels(path, volume)
    assert caught.value.numbers["residual_voxels"] == pytest.approx(max(shift))


def test_a_finer_grid_is_not_resampled(tmp_path, volume, labels):
    fine = volume.affine @ np.diag([1, 0.5, 0.5, 1])
    twice = labels.repeat(2, axis=1).repeat(2, axis=2)
    path = write(tmp_path / "a.seg.nrrd", twice, fine, [segment(1), segment(2)])
    with pytest.raises(GeometryMismatch, match="not resampled"):
        read_labels(path, volume)


def test_files_that_are_no_labelmap(tmp_path, volume, labels):
    path = write(tmp_path / "a.seg.nrrd", labels, volume.affine, [segment(1)])
    whole = path.read_bytes()
    head, _, voxels = whole.partition(b"\n\n")
    path.write_bytes(whole[:-30])
    with pytest.raises(CorruptData, match=r"a\.seg\.nrrd"):
        read_labels(path, volume)
    # A stream that swells beyond what is declared is not followed.
    bomb = gzip.compress(gzip.decompress(voxels) + bytes(1 << 20))
    path.write_bytes(head + b"\n\n" + bomb)
    with pytest.raises(CorruptData, match=f"declares {labels.size}"):
        read_labels(path, volume)
    path.write_bytes(head.replace(b"space: left-posterior-superior\n", b"") + voxels)
    with pytest.raises((GeometryMismatch, UnreadableAnnotation)):
        read_labels(path, volume)
    path.write_bytes(head + b"\ndata file: /etc/hostname\n\n")
    with pytest.raises(UnsupportedData, match="elsewhere"):
        read_labels(path, volume)
    path.write_bytes(b"words")
    with pytest.raises(UnreadableAnnotation):
        read_labels(path, volume)
    with pytest.raises(NothingFound):
        read_labels(tmp_path / "absent.seg.nrrd", volume)


def test_a_folder_gives_each_of_its_files(tmp_path, volume, labels):
    for name in ("b", "a"):
        path = tmp_path / f"{name}.seg.nrrd"
        write(path, labels, volume.affine, [segment(1), segment(2)])
    assert [one.name for one in read_labels(tmp_path, volume)] == ["a", "b"]


def test_another_labelmap_is_not_taken_for_the_published_mask(volume, labels):
    def made(name, source, array):
        segments = (Segment(1, "1"), Segment(2, "2"))
        path = Path(f"{name}.file")
        return LabelSet(array, segments, name, source, volume.provenance, (), path)

    published = [made("s", "seg", labels), made("MED_LYMPH_001_mask", "mask", labels)]
    moved = np.roll(labels, 3, axis=2)
    for source in ("labelmap", "mask"):
        other = made("model", source, moved)
        assert other.is_import
        checks = {c.code: c for c in verify(volume, [*published, other])}
        assert checks["seg_equals_mask"].verdict == "pass"
        checks = {c.code: c for c in verify(volume, [published[0], other])}
        assert "seg_equals_mask" not in checks


# markups

INDICES = np.array([[2.0, 4.0, 3.0], [4.25, 9.0, 7.5], [1.0, 2.0, 9.0]])


def markups(path, *lists):
    path.write_text(
        json.dumps(
            {"@schema": "markups-schema-v1.0.3.json#"} | {"markups": list(lists)}
        )
    )
    return path


def listed(points, kind="Fiducial", space="LPS", **more):
    return {
        "type": kind,
        "coordinateSystem": space,
        "coordinateUnits": "mm",
        "controlPoints": [
            {
                "id": str(n),
                "label": f"{kind[0]}-{n}",
                "position": list(map(float, point)),
                "positionStatus": "defined",
            }
            for n, point in enumerate(points, start=1)
        ],
        **more,
    }


@pytest.mark.parametrize("kind", ["Fiducial", "PointList"])
@pytest.mark.parametrize("space", ["LPS", "RAS"])
def test_points_of_a_markups_file(tmp_path, volume, kind, space):
    truth = index_to_patient(volume.affine, INDICES)
    written = truth * (-1, -1, 1) if space == "RAS" else truth
    path = markups(tmp_path / "reader B.mrk.json", listed(written, kind, space))
    found = read_points(path, volume)
    np.testing.assert_allclose(found.points, truth, atol=1e-9)
    np.testing.assert_allclose(found.indices, INDICES, atol=1e-9)
    assert (found.name, found.source, found.ids) == ("reader B", "markups", (1, 2, 3))
    assert np.isnan(found.sizes_mm).all()
    assert {c.verdict for c in found.checks} == {"pass"}
    same = read_points(tmp_path, volume)
    np.testing.assert_array_equal(same.points, found.points)


def test_a_line_is_a_diameter(tmp_path, volume):
    ends = index_to_patient(volume.affine, [[2, 4, 2], [2, 4, 8]])
    path = markups(
        tmp_path / "a.mrk.json",
        listed(ends * (-1, -1, 1), "Line", "RAS", name="short axis"),
    )
    found = read_points(path, volume)
    np.testing.assert_allclose(found.indices, [[2, 4, 5]], atol=1e-9)
    length = 6 * np.linalg.norm(volume.affine[:3, 2])
    np.testing.assert_allclose(found.sizes_mm, [length])
    told = {c.code: c for c in found.checks}
    assert told["lines"].numbers == {"lines": 1}
    assert told["markups"].numbers == {"names": ["short axis"]}


def test_what_is_left_out_is_told(tmp_path, volume):
    points = listed(index_to_patient(volume.affine, INDICES))
    points["controlPoints"][1] |= {"positionStatus": "undefined", "position": None}
    roi = {"type": "ROI", "coordinateSystem": "LPS"}
    found = read_points(markups(tmp_path / "a.mrk.json", points, roi), volume)
    np.testing.assert_allclose(found.indices, INDICES[[0, 2]], atol=1e-9)
    told = {c.code: c for c in found.checks if c.verdict == "warn"}
    assert told["points_placed"].numbers == {"names": ["F-2"]}
    assert told["other_markups"].numbers == {"types": ["ROI"]}


def test_points_outside_are_told_and_points_elsewhere_refused(tmp_path, volume):
    far = index_to_patient(volume.affine, [[2, 4, 3], [90, 4, 3]])
    path = markups(tmp_path / "a.mrk.json", listed(far))
    check = next(c for c in read_points(path, volume).checks if c.verdict == "fail")
    assert (check.code, check.numbers["rows"]) == ("points_inside", [2])
    markups(path, listed(far[1:]))
    with pytest.raises(GeometryMismatch, match="None of the 1 points"):
        read_points(path, volume)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("{", UnreadableAnnotation),
        ("[]", UnreadableAnnotation),
        ('{"markups": [{"type": "ROI"}]}', UnreadableAnnotation),
        ('{"markups": [1]}', UnreadableAnnotation),
        (json.dumps({"markups": [listed([[1, 2, 3]], space="IJK")]}), GeometryMismatch),
        (
            json.dumps({"markups": [listed([[1, 2, 3]], coordinateUnits="cm")]}),
            GeometryMismatch,
        ),
        (json.dumps({"markups": [listed([[1, 2]])]}), UnreadableAnnotation),
        (
            json.dumps({"markups": [listed([[1, 2, float("nan")]])]}),
            UnreadableAnnotation,
        ),
    ],
)
def test_files_that_are_no_markups(tmp_path, volume, content, error):
    path = tmp_path / "a.mrk.json"
    path.write_text(content)
    with pytest.raises(error, match=r"a\.mrk\.json"):
        read_points(path, volume)


def test_what_we_export_for_slicer_comes_back(tmp_path, volume, labels):
    sizes = [[12.5], [0], [17]]
    points = read_points(
        write_points(tmp_path / "p", volume.affine, INDICES[:, ::-1].round(), sizes),
        volume,
    )
    segments = (Segment(1, "Node 1"), Segment(2, "Node 2"))
    given = LabelSet(labels, segments, "x", "seg", volume.provenance)
    written = slicer.write(tmp_path / "out", volume, [given], points, [])
    (again,) = read_labels(written[0], volume)
    np.testing.assert_array_equal(again.array, labels)
    marked = read_points(written[1], volume)
    np.testing.assert_allclose(marked.points, points.points, atol=1e-9)
    np.testing.assert_array_equal(marked.sizes_mm, points.sizes_mm)
