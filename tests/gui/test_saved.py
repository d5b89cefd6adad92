"""What was saved from a layer opens again with the credit of its data."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from napari.layers import Layer
from napari.utils.notifications import notification_manager

from napari_tcia._napari.citations import CITATIONS
from napari_tcia._napari.layers import add_case
from napari_tcia._napari.reader import get_reader, read_saved
from napari_tcia._napari.session import session_for
from napari_tcia.app import credit
from napari_tcia.core.model import Provenance


@pytest.fixture
def fetched(case):
    """The case as if it came from an archive, with every field of credit."""
    origin = replace(
        case.volume.provenance,
        synthetic=False,
        origin="archive",
        series_uid="1.2.3.4",
        study_uid="1.2.3",
        frame_of_reference_uid="1.2.9",
        collection="CT Lymph Nodes",
        doi="10.7937/K9/TCIA.2015.AQIIDCNM",
        licence_id="CC-BY-3.0",
        licence_name="Creative Commons Attribution 3.0 Unported License",
        licence_spdx="CC-BY-3.0",
        archive_host="archive.example.org",
        source="idc",
        terms="not recorded",
        acceptance_id="a" * 64,
        retrieved="2026-01-02T03:04:05Z",
        licence_sha256="b" * 64,
        policy_sha256="c" * 64,
        series_sha256="d" * 64,
    )
    labels = tuple(replace(one, provenance=origin) for one in case.labels)
    volume = replace(case.volume, provenance=origin)
    return replace(case, volume=volume, labels=labels)


def origin_of(layer):
    return Provenance.from_dict(layer.metadata["napari_tcia"])


def test_a_duplicate_keeps_everything(make_napari_viewer, fetched):
    viewer = make_napari_viewer()
    for layer in add_case(viewer, fetched)[0]:
        copy = Layer.create(*layer.as_layer_data_tuple())
        assert origin_of(copy) == origin_of(layer)
        assert origin_of(layer).series_uid


@pytest.mark.parametrize("what", ["reference", "own labels", "nodes"])
def test_saved_and_opened_in_a_fresh_window(
    make_napari_viewer, fetched, tmp_path, what, qtbot
):
    first = make_napari_viewer()
    (image, reference, *_), _ = add_case(first, fetched)
    data = np.zeros(image.data.shape, np.uint8)
    data[5, 20:30, 40:60] = 3
    mine = first.add_labels(
        data, name="mine", scale=image.scale, translate=image.translate
    )
    layer, name = {
        "reference": (reference, "a.nii.gz"),
        "own labels": (mine, "b.nii"),
        "nodes": (image, "c.csv"),
    }[what]
    path = str(tmp_path / name)
    assert path in layer.save(path, plugin="napari-tcia")

    fresh = make_napari_viewer()
    (again,) = fresh.open(path, plugin="napari-tcia")
    assert origin_of(again) == fetched.volume.provenance
    if what != "nodes":
        np.testing.assert_array_equal(again.data, layer.data)
        np.testing.assert_allclose(again.scale, layer.scale)
        np.testing.assert_allclose(again.translate, layer.translate)
        assert again.editable
    else:
        assert len(again.data) == len(fetched.nodes)
        expected = [row.index for row in fetched.nodes if row.source != "points"]
        close = [np.abs(again.data - point).max(axis=1).min() for point in expected]
        assert max(close) < 1.0  # a centroid is kept to 0.1 micrometre
    expected = credit.citations([fetched.volume.provenance])
    assert credit.citations(session_for(fresh).provenances()) == expected
    qtbot.waitUntil(lambda: CITATIONS in fresh.window.dock_widgets)


def test_labels_that_were_opened_are_saved_again(make_napari_viewer, fetched, tmp_path):
    viewer = make_napari_viewer()
    (_, reference, *_), _ = add_case(viewer, fetched)
    reference.save(str(tmp_path / "a.nii.gz"), plugin="napari-tcia")
    (again,) = make_napari_viewer().open(
        str(tmp_path / "a.nii.gz"), plugin="napari-tcia"
    )
    again.data[0, 0, 0] = 1
    again.save(str(tmp_path / "b.nii.gz"), plugin="napari-tcia")
    ((data, kwargs, kind),) = read_saved(str(tmp_path / "b.nii.gz"))
    assert kind == "labels"
    np.testing.assert_array_equal(data, again.data)
    found = Provenance.from_dict(kwargs["metadata"]["napari_tcia"])
    assert found == fetched.volume.provenance


def test_they_lie_on_the_ct_that_is_open(make_napari_viewer, fetched, tmp_path):
    viewer = make_napari_viewer()
    (image, reference, *_), _ = add_case(viewer, fetched)
    reference.save(str(tmp_path / "a.nii.gz"), plugin="napari-tcia")
    (again,) = viewer.open(str(tmp_path / "a.nii.gz"), plugin="napari-tcia")
    for point in ((0, 0, 0), (7, 50, 31)):
        np.testing.assert_allclose(
            again.data_to_world(point), image.data_to_world(point), atol=1e-6
        )


def test_on_a_ct_of_another_frame_they_come_with_a_word(
    make_napari_viewer, fetched, tmp_path
):
    viewer = make_napari_viewer()
    (_, reference, *_), _ = add_case(viewer, fetched)
    reference.save(str(tmp_path / "a.nii.gz"), plugin="napari-tcia")
    viewer.layers.clear()
    session_for(viewer)
    origin = replace(
        fetched.volume.provenance, series_uid="1.2.3.5", frame_of_reference_uid="1.3"
    )
    volume = replace(fetched.volume, provenance=origin)
    other = replace(fetched, volume=volume, labels=(), points=None, nodes=())
    (image, *_), _ = add_case(viewer, other)
    notification_manager.records.clear()
    (again,) = viewer.open(str(tmp_path / "a.nii.gz"), plugin="napari-tcia")
    (said,) = [record.message for record in notification_manager.records]
    assert "shares no frame of reference" in said
    viewer.layers.selection.active = image
    words = viewer.canvas.overlays["napari_tcia_position"]
    assert f"Not in one place with {again.name}" in words.text


def test_files_of_others_are_left_to_others(tmp_path):
    (tmp_path / "a.csv").write_text("index,axis-0\n0,1\n")
    (tmp_path / "a.nii.gz").write_bytes(b"\x1f\x8b nothing")
    for name in ("a.csv", "a.nii.gz", "absent.nii"):
        assert get_reader(str(tmp_path / name)) is None
