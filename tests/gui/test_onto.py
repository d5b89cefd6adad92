"""Labels and points of others, opened onto the CT that is open, or refused."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QTimer

from annotation_factory import write_mask
from napari_tcia._napari.layers import add_case
from napari_tcia._napari.reader import get_reader, read_onto
from napari_tcia._napari.session import session_for
from napari_tcia.errors import GeometryMismatch, NothingFound
from napari_tcia.export import slicer


@pytest.fixture
def files(case, tmp_path):
    """Of the case's own nodes, as a colleague or a model would hand them over."""
    labels = [replace(case.labels[0])]
    seg, marks = slicer.write(tmp_path / "out", case.volume, labels, case.points, [])
    made = {
        "model.seg.nrrd": seg.read_bytes(),
        "clicks.mrk.json": marks.read_bytes(),
        "net.dcm": case.labels[0].path.read_bytes(),
    }
    for name, content in made.items():
        (tmp_path / name).write_bytes(content)
    write_mask(tmp_path / "net.nii.gz", case.labels[0].array, case.volume.affine)
    return tmp_path


KINDS = ["model.seg.nrrd", "net.nii.gz", "net.dcm", "clicks.mrk.json"]


@pytest.mark.parametrize("name", KINDS)
def test_opened_onto_the_ct_in_a_script(make_napari_viewer, case, files, name):
    viewer = make_napari_viewer()
    (image, reference, points), _ = add_case(viewer, case)
    path = str(files / name)
    assert get_reader(path) is read_onto
    (added,) = viewer.open(path, plugin="napari-tcia")
    same = points if name.endswith("json") else reference
    np.testing.assert_array_equal(added.data, same.data)
    np.testing.assert_allclose(added.scale, same.scale)
    np.testing.assert_allclose(added.translate, same.translate)
    ours = added.metadata["napari_tcia"]
    assert ours["volume"] == image.metadata["napari_tcia"]["volume"]
    assert added.visible
    stem = {"net.dcm": "Lymph node segmentations"}.get(name, name.split(".")[0])
    assert added.name.startswith(f"Nodes ({stem}")


def test_several_dropped_on_a_running_window(make_napari_viewer, case, files, qtbot):
    viewer = make_napari_viewer()
    add_case(viewer, case)
    paths = [str(files / name) for name in KINDS[:2]]
    QTimer.singleShot(0, lambda: viewer.open(paths, plugin="napari-tcia"))
    wanted = {"Nodes (model)", "Nodes (net)", "Node numbers"}
    qtbot.waitUntil(lambda: {layer.name for layer in viewer.layers[3:]} == wanted)
    assert viewer.layers.selection.active is session_for(viewer).image()


def test_what_lies_elsewhere_is_refused_in_a_sentence(
    make_napari_viewer, case, files, qtbot
):
    affine = case.volume.affine.copy()
    affine[2, 3] += 2.5  # half a slice
    write_mask(files / "moved.nii.gz", case.labels[0].array, affine)
    far = json.loads((files / "clicks.mrk.json").read_text())
    for point in far["markups"][0]["controlPoints"]:
        point["position"][0] += 9000
    (files / "far.mrk.json").write_text(json.dumps(far))
    viewer = make_napari_viewer()
    add_case(viewer, case)
    for name in ("moved.nii.gz", "far.mrk.json"):
        with pytest.raises(GeometryMismatch, match=name):
            read_onto(str(files / name))
    notification_manager.records.clear()
    path = str(files / "moved.nii.gz")
    QTimer.singleShot(0, lambda: viewer.open(path, plugin="napari-tcia"))
    qtbot.waitUntil(lambda: bool(notification_manager.records))
    (said,) = notification_manager.records
    assert "moved.nii.gz does not lie on the grid" in said.message
    assert [one for one in viewer.layers if "moved" in one.name] == []


def test_without_a_ct_it_says_what_to_open(make_napari_viewer, files):
    make_napari_viewer()
    for name in ("model.seg.nrrd", "clicks.mrk.json"):
        path = str(files / name)
        assert get_reader(path) is read_onto
        with pytest.raises(NothingFound, match="Open its CT first"):
            read_onto(path)
    assert get_reader(str(files / "net.nii.gz")) is None


def test_a_closed_ct_takes_nothing(make_napari_viewer, case, files, qtbot):
    viewer = make_napari_viewer()
    (image, *others), _ = add_case(viewer, case)
    notification_manager.records.clear()

    def drop_and_close():
        viewer.open(str(files / "net.nii.gz"), plugin="napari-tcia")
        for layer in (image, *others):
            viewer.layers.remove(layer)

    QTimer.singleShot(0, drop_and_close)
    qtbot.waitUntil(lambda: bool(notification_manager.records))
    assert "its CT was closed" in notification_manager.records[0].message
    assert len(viewer.layers) == 0
