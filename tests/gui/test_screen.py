"""Where things are on the screen: pixels against SimpleITK, in every orientation.

The body has a liver on the right, a heart in front on the left, a spine behind the
heart, a head above and a pelvis below. It is written as DICOM, opened as a user
does, and looked for in pictures of the canvas.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from itertools import permutations, product
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from napari.utils.notifications import notification_manager

from dicom_factory import Stack
from napari_tcia._napari import planes
from napari_tcia._napari.session import session_for

ORGANS = {
    # centre in LPS mm; value
    "liver": ((-12.0, -10.0, 3.0), 1000),
    "heart": ((10.0, -10.0, 3.0), 600),
    "spine": ((10.0, 10.0, 3.0), 800),
    "head": ((0.0, 0.0, 16.0), 300),
    "pelvis": ((0.0, 0.0, -16.0), 450),
}
RADIUS = 5.0
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
USUAL = {"SliceThickness": "1.0", "PatientPosition": "HFS"}
SIDES = ("left", "right", "top", "bottom")
LETTERS = {"axial": "RLAP", "coronal": "RLSI", "sagittal": "APSI"}
SCREEN = {
    # depth, to the right, downwards: axis of LPS and the sign it has there
    "axial": (2, (0, 1), (1, 1)),
    "coronal": (1, (0, 1), (2, -1)),
    "sagittal": (0, (1, 1), (2, -1)),
}
HIDES = {"axial": "pelvis head", "coronal": "heart spine", "sagittal": "heart liver"}
"""Which organ is before which, looked at from the feet, the front and the left."""


@dataclass
class Body:
    """The body as one series: how it was written, and what SimpleITK reads of it."""

    stack: Stack
    folder: Path
    image: sitk.Image

    def points(self, organ: str) -> np.ndarray:
        """Physical points of the voxels of an organ, by SimpleITK."""
        found = np.argwhere(sitk.GetArrayViewFromImage(self.image) == ORGANS[organ][1])
        place = self.image.TransformIndexToPhysicalPoint
        return np.array([place([int(n) for n in kji[::-1]]) for kji in found])

    def corners(self) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest x, y, z of the outermost voxels' outer faces."""
        ends = [(-0.5, n - 0.5) for n in self.image.GetSize()]
        place = self.image.TransformContinuousIndexToPhysicalPoint
        found = np.array([place(corner) for corner in product(*ends)])
        return found.min(axis=0), found.max(axis=0)


def body(
    folder: Path,
    orientation=AXIAL,
    spacing=(2.5, 1.5, 1.25),
    shape=(20, 33, 40),
    series="1",
    **more,
) -> Body:
    """Write the body about the patient's origin, cut as asked."""
    stack = Stack(
        np.zeros(shape, np.int16),
        orientation=orientation,
        spacing=spacing,
        series=series,
        extra=USUAL,
        **more,
    )
    middle = (np.array(shape) - 1) / 2
    stack.origin = tuple(np.round(-stack.affine[:3, :3] @ middle, 6))
    index = np.moveaxis(np.indices(shape), 0, -1)
    place = index @ stack.affine[:3, :3].T + stack.affine[:3, 3]
    for centre, value in ORGANS.values():
        stack.stored[np.linalg.norm(place - centre, axis=-1) <= RADIUS] = value
    stack.write(folder)
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))
    return Body(stack, folder, sitk.ReadImage(names))


def turned(degrees: float) -> tuple[float, ...]:
    """Axial slices whose gantry looks up by some degrees, and some to the side."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    about_x = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    about_z = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    matrix = about_x @ about_z
    return tuple(np.round([*matrix[:, 0], *matrix[:, 1]], 12).tolist())


@pytest.fixture
def viewer(make_napari_viewer):
    notification_manager.records.clear()
    viewer = make_napari_viewer(show=True)
    session_for(viewer)
    viewer.canvas.background_color_override = "navy"  # no grey
    return viewer


@pytest.fixture
def opened(viewer, qtbot):
    """Open a series as a user does; the image that comes."""

    def open_one(one: Body):
        session, before = session_for(viewer), len(viewer.layers)
        session.open(one.folder)
        qtbot.waitUntil(lambda: len(viewer.layers) > before and not session.adding)
        image = viewer.layers[-1]
        image.contrast_limits_range = (-1, 1000)
        image.contrast_limits = (-1, 1000)
        image.interpolation2d = "nearest"
        return image

    return open_one


@pytest.fixture(autouse=True)
def _no_slice_is_cut_askew():
    """Nothing here may make napari slice what it draws another way."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="Non-orthogonal")
        yield
    assert not any("orthogonal" in r.message for r in notification_manager.records)


def world_of(image):
    return np.asarray(image.metadata["napari_tcia"]["reference"], dtype=float)


def letters(viewer):
    shown = viewer.canvas.overlays
    return "".join(
        shown[f"napari_tcia_{side}"].text
        for side in SIDES
        if shown[f"napari_tcia_{side}"].visible
    )


def picture(viewer):
    """The canvas without words, as grey levels; -1 where it is not grey."""
    hidden = [one for one in viewer.canvas.overlays.values() if one.visible]
    for one in hidden:
        one.visible = False
    rgb = viewer.screenshot(canvas_only=True, flash=False)[..., :3].astype(int)
    for one in hidden:
        one.visible = True
    grey = (rgb == rgb[..., :1]).all(axis=-1)
    return np.where(grey, rgb[..., 0], -1)


def middle_of(seen: np.ndarray, organ: str) -> np.ndarray:
    """Pixel (right, down) in the middle of an organ."""
    level = (ORGANS[organ][1] + 1) / 1001 * 255
    found = np.argwhere(np.abs(seen - level) <= 2)
    assert len(found) > 50, f"{organ} is not on the screen"
    return found[:, ::-1].mean(axis=0)


def frame_of(seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First and one past the last pixel (right, down) of the picture itself."""
    found = np.argwhere(seen >= 0)[:, ::-1]
    return found.min(axis=0), found.max(axis=0) + 1


def look_at(viewer, image, point) -> None:
    """Show the slice nearest to a physical point."""
    index = np.linalg.solve(
        np.asarray(image.metadata["napari_tcia"]["affine"]), [*point, 1]
    )
    viewer.dims.set_point(range(3), tuple(image.data_to_world(np.rint(index[:3]))))


def expected(one: Body, plane: str, organ: str) -> tuple[np.ndarray, np.ndarray]:
    """Where an organ is in its slice, as shares of the picture, and a point of it."""
    depth, *across = SCREEN[plane]
    points = one.points(organ)
    levels = np.round(points[:, depth], 3)
    at = levels[np.abs(levels - ORGANS[organ][0][depth]).argmin()]
    slice_ = points[levels == at]
    low, high = one.corners()
    share = (slice_.mean(axis=0) - low) / (high - low)
    return (
        np.array([share[a] if sign > 0 else 1 - share[a] for a, sign in across]),
        slice_[0],
    )


def size_mm(one: Body, plane: str) -> np.ndarray:
    low, high = one.corners()
    return np.array([(high - low)[axis] for axis, _ in SCREEN[plane][1:]])


@pytest.mark.parametrize(("row", "column"), list(permutations(range(3), 2)))
def test_organs_are_where_simpleitk_says(viewer, opened, tmp_path, row, column):
    """Six pairs of axes with four signs each: all 24 orientations."""
    unit = np.eye(3)
    for number, (a, b) in enumerate(product((1.0, -1.0), repeat=2)):
        orientation = (*(a * unit[row]), *(b * unit[column]))
        one = body(tmp_path / str(number), orientation, series=str(number + 1))
        image = opened(one)
        world = world_of(image)
        assert letters(viewer) == LETTERS[planes.acquired(world)], "as it opens"
        assert SCREEN[planes.acquired(world)][0] == 3 - row - column
        for plane in planes.PLANES:
            planes.show(viewer, world, plane)
            assert planes.current(viewer, world) == plane
            assert letters(viewer) == LETTERS[plane]
            for organ in ORGANS:
                share, point = expected(one, plane, organ)
                look_at(viewer, image, point)
                seen = picture(viewer)
                low, high = frame_of(seen)
                scale = viewer.scene.camera.zoom
                assert np.allclose(high - low, size_mm(one, plane) * scale, atol=3)
                found = middle_of(seen, organ)
                wanted = low + share * (high - low) - 0.5
                assert np.abs(found - wanted).max() < 2, (orientation, plane, organ)
            in_3d(viewer, image, one, world, plane)
            viewer.dims.ndisplay = 2
        viewer.layers.clear()


def in_3d(viewer, image, one: Body, world, plane: str) -> None:
    """Straight on, the body stands as in 2D, and what is before hides what is behind.

    A projection of maxima looks alike from the front and, mirrored, from behind:
    only what hides what tells the two apart.
    """
    viewer.dims.ndisplay = 3
    planes.show(viewer, world, plane)
    viewer.fit_to_view()
    before, behind = HIDES[plane].split()
    _, *across = SCREEN[plane]

    def at(organ, seen):
        """Level in the middle of where an organ must be, half the canvas aside."""
        middle = one.points(organ).mean(axis=0)
        aside = np.array([sign * middle[axis] for axis, sign in across])
        place = np.array(seen.shape)[::-1] / 2 + viewer.scene.camera.zoom * aside
        x, y = np.rint(place).astype(int)
        return np.median(seen[y - 2 : y + 3, x - 2 : x + 3])

    def level(organ):
        return (ORGANS[organ][1] + 1) / 1001 * 255

    image.rendering = "mip"
    seen = picture(viewer)
    pair = max(level(before), level(behind))
    for organ in ORGANS:
        wanted = pair if organ in (before, behind) else level(organ)
        assert abs(at(organ, seen) - wanted) <= 2, (plane, organ)

    image.rendering, image.attenuation = "attenuated_mip", 0.5
    whole = image.data
    both = at(before, picture(viewer))
    image.data = np.where(whole == ORGANS[behind][1], 0, whole)
    near = at(before, picture(viewer))
    assert abs(near - both) <= 1, f"{plane}: {behind} shows through {before}"
    image.data = np.where(whole == ORGANS[before][1], 0, whole)
    far = at(before, picture(viewer))
    assert abs(far - both) > 5, f"{plane}: {before} hides nothing"
    image.data = whole
