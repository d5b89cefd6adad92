"""Where things are on the screen: pixels of a real window beside SimpleITK's places."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from dicom_factory import Stack
from napari_tcia._napari import planes, view
from napari_tcia._napari.layers import add_case, metadata_of
from napari_tcia._napari.session import session_for
from napari_tcia.app.case import open_case
from napari_tcia.app.services import Services
from napari_tcia.core.settings import Settings
from oracle.test_battery import axes

RIGHT_DOWN = {"axial": (0, 1), "coronal": (0, -2), "sagittal": (1, -2)}
"""Patient axis across and down the screen (0 x, 1 y, 2 z); negative: against it."""
LETTERS = {"axial": "RLAP", "coronal": "RLSI", "sagittal": "APSI"}
ORGANS = {
    "liver": (400, (-0.27, -0.1, -0.2)),
    "heart": (700, (0.22, -0.25, 0.1)),
    "head": (1000, (0.05, 0.2, 0.3)),
}
"""Value, and place as parts of the extent along x, y and z from the middle."""
TOP = 1000
SIZES = {0: 40.0, 1: 30.0, 2: 48.0}
"""Extent in mm along x, y and z: no two alike."""


def phantom(orientation, **changes):
    """Liver on the right, heart on the left and in front, head on top."""
    spacing = (3.0, 1.5, 1.0)
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    frame = np.column_stack([np.cross(row, column), column, row])
    extent = np.abs(frame).T @ np.array(list(SIZES.values()))
    shape = np.maximum(np.rint(extent / spacing).astype(int), 8)
    middle = np.array([7.0, -20.0, 90.0])
    origin = middle - frame @ (spacing * (shape - 1) / 2)
    stored = np.full(shape, 100, dtype="i2")
    for value, parts in ORGANS.values():
        place = np.array(parts) * list(SIZES.values())
        k, j, i = np.rint(frame.T @ place / spacing + (shape - 1) / 2).astype(int)
        stored[k : k + 2, j - 1 : j + 2, i - 1 : i + 2] = value
    return Stack(
        stored,
        origin=tuple(origin),
        spacing=spacing,
        orientation=orientation,
        extra={"RescaleType": "HU"},
        **changes,
    )


@pytest.fixture
def opened(make_napari_viewer, tmp_path):
    """A real window, and a function that opens a series alone in it."""
    viewer = make_napari_viewer(show=True)
    session_for(viewer)
    services = Services.open(Settings(home=tmp_path / "home"))

    def open_alone(stack, *, keep=False):
        folder = tmp_path / stack.series
        stack.write(folder)
        (case,) = open_case(services, folder)
        if not keep:
            viewer.layers.clear()
        (image,), _ = add_case(viewer, case)
        image.colormap = "green"  # nothing else on the canvas is
        image.contrast_limits = (0, TOP)
        return image, folder

    return viewer, open_alone


def by_sitk(folder):
    """The image as SimpleITK reads it, with where each organ's middle is, mm LPS."""
    image = sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder)))
    array = sitk.GetArrayFromImage(image)
    places = {
        name: np.array(
            image.TransformContinuousIndexToPhysicalPoint(
                np.argwhere(array == value).mean(axis=0)[::-1].tolist()
            )
        )
        for name, (value, _) in ORGANS.items()
    }
    last = (np.array(image.GetSize()) - 1) / 2
    return places, np.array(image.TransformContinuousIndexToPhysicalPoint(last))


def seen(viewer, value):
    """Middle and number of the pixels of one value on the canvas; (column, row)."""
    picture = viewer.screenshot(flash=False, canvas_only=True).astype(int)
    level = round(255 * value / TOP)
    found = np.abs(picture[..., :3] - (0, level, 0)).max(axis=2) <= 4
    rows, columns = np.nonzero(found)
    assert rows.size, f"nothing of {value} on the screen"
    middle = np.array([columns.mean(), rows.mean()]) + 0.5
    return middle, rows.size, np.array(picture.shape[1::-1])


def on_screen(place, middle, plane):
    """Millimetres across and down from the middle, as a radiologist expects them."""
    return np.array(
        [np.sign(axis or 1) * (place - middle)[abs(axis)] for axis in RIGHT_DOWN[plane]]
    )


def edges(viewer):
    shown = viewer.canvas.overlays
    by_edge = {
        str(o.position): o.text
        for name, o in shown.items()
        if str(name).startswith(view.PREFIX) and o.visible
    }
    order = ("middle_left", "middle_right", "top_center", "bottom_center")
    return [by_edge.get(edge, "") for edge in order]


def go_to(viewer, image, value):
    index = np.argwhere(np.asarray(image.data) == value)
    k, j, i = index[len(index) // 2]
    viewer.dims.set_point(range(3), tuple(image.data_to_world((k, j, i))))


def test_every_orientation_in_the_three_planes(opened):
    """Right, left, up and down, and how far, of all 24 ways to lie along the axes."""
    viewer, open_alone = opened
    for number, orientation in enumerate(axes()):
        image, folder = open_alone(phantom(orientation, series=f"7{number}"))
        world = np.asarray(metadata_of(image)["reference"])
        places, middle = by_sitk(folder)
        normal = np.abs(np.cross(orientation[:3], orientation[3:])).argmax()
        assert planes.current(viewer, world) == ("sagittal", "coronal", "axial")[normal]
        for plane, letters in LETTERS.items():
            planes.show(viewer, world, plane)
            assert planes.current(viewer, world) == plane
            assert edges(viewer) == list(letters), (orientation, plane)
            for name, (value, _) in ORGANS.items():
                go_to(viewer, image, value)
                found, count, size = seen(viewer, value)
                zoom = viewer.scene.camera.zoom
                expected = size / 2 + zoom * on_screen(places[name], middle, plane)
                what = (orientation, plane, name)
                assert np.abs(found - expected).max() < 1.5, (*what, found, expected)
                assert count > 6 * zoom**2, what
    assert len(axes()) == 24
