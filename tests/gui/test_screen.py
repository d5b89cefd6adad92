"""Where things are on the screen: pixels against SimpleITK, in every orientation.

The body has a liver on the right, a heart in front on the left, a spine behind the
heart, a head above and a pelvis below. It is written as DICOM, opened as a user
does, and looked for in pictures of the canvas.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from functools import partial
from itertools import permutations, product
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from napari.utils.colormaps import DirectLabelColormap
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QEvent, QPointF, Qt
from qtpy.QtGui import QEnterEvent, QMouseEvent
from qtpy.QtWidgets import QApplication

from dicom_factory import Stack
from napari_tcia._napari import planes, view
from napari_tcia._napari.layers import add_case
from napari_tcia._napari.session import session_for
from napari_tcia.app.assemble import Case
from napari_tcia.core.image import LabelSet, Segment
from napari_tcia.volume import read_volume

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
    planes.show(viewer, world, plane)
    viewer.dims.ndisplay = 3
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


def shown_alone(viewer, image) -> None:
    for layer in viewer.layers:
        layer.visible = layer is image


THICK = {"spacing": (5.0, 1.0, 1.0), "shape": (10, 52, 56)}
PRONE = (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0)
SUPINE_BACKWARDS = (-1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


@pytest.mark.parametrize("plane", list(planes.PLANES))
@pytest.mark.parametrize("orientation", [AXIAL, PRONE, SUPINE_BACKWARDS])
def test_series_of_one_frame_coincide(viewer, opened, tmp_path, orientation, plane):
    """Thin and thick, another field of view, axes that run the other way."""
    thin = body(tmp_path / "thin")
    thick = body(tmp_path / "thick", orientation, series="2", **THICK)
    first, second = opened(thin), opened(thick)
    assert first.visible
    assert not notification_manager.records
    planes.show(viewer, world_of(first), plane)
    depth, *across = SCREEN[plane]
    for organ in ORGANS:
        look_at(viewer, first, np.array(ORGANS[organ][0]))
        places = []
        for image, one in ((first, thin), (second, thick)):
            shown_alone(viewer, image)
            # The organ in the slice that each shows, by SimpleITK, and by the screen.
            points = one.points(organ)
            levels = points[:, depth]
            nearest = levels[np.abs(levels - ORGANS[organ][0][depth]).argmin()]
            middle = points[np.abs(levels - nearest) < 1e-3].mean(axis=0)
            inward = np.array([sign * middle[axis] for axis, sign in across])
            found = middle_of(picture(viewer), organ)
            places.append(found / viewer.scene.camera.zoom - inward)
        # Both have the patient's origin at one pixel, to a fifth of a millimetre.
        assert np.abs(places[0] - places[1]).max() < 0.2, organ


def test_labels_of_a_coarser_grid_lie_on_their_organ(viewer, opened, tmp_path):
    thin = body(tmp_path / "thin")
    thick = body(tmp_path / "thick", series="2", **THICK)
    image = opened(thin)
    volume = read_volume(thick.folder)
    labels = LabelSet(
        (volume.array == ORGANS["liver"][1]).astype(np.uint8),
        (Segment(1, "liver"),),
        "liver",
        "seg",
        volume.provenance,
    )
    _, issues = add_case(viewer, Case("thick", volume, labels=(labels,)))
    assert issues == ()
    drawn = viewer.layers["Nodes (reference)"]
    drawn.contour, drawn.opacity = 0, 1.0
    drawn.colormap = DirectLabelColormap(
        color_dict={None: "transparent", 0: "transparent", 1: "white"}
    )
    for plane in planes.PLANES:
        planes.show(viewer, world_of(image), plane)
        look_at(viewer, image, np.array(ORGANS["liver"][0]))
        shown_alone(viewer, image)
        organ = middle_of(picture(viewer), "liver")
        shown_alone(viewer, drawn)
        label = np.argwhere(picture(viewer) == 255)[:, ::-1].mean(axis=0)
        apart = np.abs(organ - label) / viewer.scene.camera.zoom
        half = (
            0.5
            * np.array(THICK["spacing"])[list(planes.order_of(world_of(image), plane))]
        )
        assert (apart < half[:0:-1]).all(), plane


@pytest.mark.parametrize("degrees", [10.0, 30.0, 44.0])
def test_an_oblique_series_is_shown_as_it_was_cut(viewer, opened, tmp_path, degrees):
    """Organs are where SimpleITK's indices say, without a warning of napari."""
    one = body(tmp_path / "oblique", turned(degrees), (2.0, 1.25, 1.25), (28, 44, 44))
    image = opened(one)
    world = world_of(image)
    size = np.array(one.image.GetSize())[::-1]
    for plane in planes.PLANES:
        planes.show(viewer, world, plane)
        # Between two directions a side has a letter of each.
        for side, letter in zip(SIDES, LETTERS[plane], strict=True):
            assert letter in viewer.canvas.overlays[f"napari_tcia_{side}"].text
        depth, down, right = viewer.dims.order
        for organ, (centre, _) in ORGANS.items():
            at = one.image.TransformPhysicalPointToContinuousIndex(centre)[::-1]
            look_at(viewer, image, np.array(centre))
            seen = picture(viewer)
            low, high = frame_of(seen)
            # Letters say which end of each axis is up and which is right.
            turn = [str(word) for word in viewer.scene.camera.orientation[1:]]
            share = (np.array(at) + 0.5) / size
            wanted = np.array(
                [
                    share[right] if turn[1] == "right" else 1 - share[right],
                    share[down] if turn[0] == "down" else 1 - share[down],
                ]
            )
            found = (middle_of(seen, organ) + 0.5 - low) / (high - low)
            assert np.abs(found - wanted).max() < 0.6 / size.min(), (plane, organ)
            assert abs(at[depth] - round(at[depth])) <= 0.5


@pytest.mark.parametrize("kind", ["oblique", "coronal", "tilted"])
def test_another_plane_of_the_same_frame_steps_aside(viewer, opened, tmp_path, kind):
    first = opened(body(tmp_path / "first"))
    orientation = {"oblique": turned(3.0), "coronal": (1.0, 0, 0, 0, 0, -1.0)}
    more = {"shear": (0.0, 0.2)} if kind == "tilted" else {}
    other = body(tmp_path / "other", orientation.get(kind, AXIAL), series="2", **more)
    notification_manager.records.clear()
    second = opened(other)
    assert [first.visible, second.visible] == [False, True]
    said = " ".join(record.message for record in notification_manager.records)
    assert "cut in another direction" in said
    assert "hidden" in said
    assert letters(viewer) == LETTERS["coronal" if kind == "coronal" else "axial"]
    # A third one, parallel to the first, has its place beside it all the same.
    third = opened(body(tmp_path / "third", series="3", **THICK))
    assert np.array_equal(world_of(third), world_of(first))
    # What it cannot be laid over is not left below it.
    assert [one.visible for one in (first, second, third)] == [False, False, True]
    said = notification_manager.records[-1].message
    assert said.startswith(f"{second.name} is hidden")


def hover(viewer, qtbot, pixel) -> str:
    """Move the mouse to a pixel of the canvas; the read-out that comes."""
    canvas = viewer.window._qt_viewer.canvas
    at = QPointF(*(float(int(n)) for n in pixel))
    QApplication.sendEvent(canvas.native, QEnterEvent(at, at, at))

    def moved():
        # As a hand does, again and again: vispy drops what comes within 10 ms.
        event = QMouseEvent(
            QEvent.Type.MouseMove,
            at,
            QPointF(canvas.native.mapToGlobal(at.toPoint())),
            Qt.MouseButton.NoButton,
            Qt.MouseButton.NoButton,
            Qt.KeyboardModifier.NoModifier,
        )
        QApplication.sendEvent(canvas.native, event)
        wanted = canvas._map_canvas2world((at.x(), at.y()), canvas.view)
        return np.allclose(viewer.cursor.position, wanted, atol=1e-6)

    qtbot.waitUntil(moved)
    shown = viewer.canvas.overlays.get("napari_tcia_readout")
    return shown.text if shown is not None and shown.visible else ""


READ = re.compile(
    r"k (\d+) \(image (\d+)\)   (-?\d+) HU\n"
    r"x (-?[\d.]+)  y (-?[\d.]+)  z (-?[\d.]+) mm LPS"
)


@pytest.mark.parametrize("kind", ["axial", "sagittal", "oblique", "tilted", "second"])
def test_what_is_under_the_cursor(viewer, qtbot, opened, tmp_path, kind):
    orientation = {"sagittal": (0, -1.0, 0, 0, 0, -1.0), "oblique": turned(25.0)}
    more = {"shear": (0.1, 0.2)} if kind == "tilted" else {}
    one = body(tmp_path / "one", orientation.get(kind, AXIAL), **more)
    image = opened(one)
    if kind == "second":
        one = body(tmp_path / "two", PRONE, series="2", **THICK)
        image = opened(one)
    affine = one.stack.affine
    for plane in planes.PLANES:
        planes.show(viewer, world_of(image), plane)
        for organ, (centre, value) in ORGANS.items():
            look_at(viewer, image, np.array(centre))
            # Away from the middle, so that no two coordinates are alike.
            pixel = np.rint(middle_of(picture(viewer), organ)) + np.array([9, -6])
            text = hover(viewer, qtbot, pixel)
            said = READ.fullmatch(text)
            assert said, f"{plane}, {organ}: {text!r}"
            k, number, read, x, y, z = said.groups()
            assert int(read) == value
            assert int(number) == int(k) + 1
            place = np.array([float(n) for n in (x, y, z)])
            assert np.linalg.norm(place - centre) < RADIUS + 2
            if kind == "tilted":  # SimpleITK straightens it, silently
                index = np.linalg.solve(affine, [*place, 1])[:3]
            else:
                find = one.image.TransformPhysicalPointToContinuousIndex
                index = np.array(find(place.tolist()))[::-1]
                voxel = [int(n) for n in np.rint(index)[::-1]]
                assert one.image.GetPixel(voxel) == value
            assert round(index[0]) == int(k)
            # The cursor itself: to the tenth of a millimetre that is written.
            under = np.array(image.world_to_data(viewer.cursor.position))
            aside = [axis for axis in range(3) if axis in viewer.dims.displayed]
            apart = (under - index) * np.array(one.stack.spacing)
            assert np.abs(apart[aside]).max() < 0.15
        assert hover(viewer, qtbot, (2, 2)) == "", "outside of the picture"


def test_the_wheel_moves_the_slice_below_a_cursor_that_rests(
    viewer, qtbot, opened, tmp_path
):
    image = opened(body(tmp_path / "one"))
    look_at(viewer, image, np.array(ORGANS["head"][0]))
    pixel = middle_of(picture(viewer), "head")
    assert "   300 HU" in hover(viewer, qtbot, pixel)
    k = viewer.dims.current_step[0]
    viewer.dims.set_current_step(0, k - 8)
    text = viewer.canvas.overlays["napari_tcia_readout"].text
    assert text.startswith(f"k {k - 8} (image {k - 7})   0 HU")
    canvas = viewer.window._qt_viewer.canvas.native
    QApplication.sendEvent(canvas, QEvent(QEvent.Type.Leave))
    assert not viewer.canvas.overlays["napari_tcia_readout"].visible


def test_a_cursor_that_rests_over_another_place_says_nothing(
    viewer, qtbot, opened, tmp_path
):
    """napari tells where it is only once it moves again."""
    image = opened(body(tmp_path / "one"))
    pixel = np.array(picture(viewer).shape)[::-1] / 2
    world = world_of(image)
    readout = viewer.canvas.overlays

    def changes():
        yield "another plane", lambda: planes.show(viewer, world, "coronal")
        yield "3D", lambda: setattr(viewer.dims, "ndisplay", 3)
        viewer.dims.ndisplay = 2
        jump = partial(view.jump, viewer, image.data_to_world((3, 4, 5)))
        yield "a jump", jump
        viewer.fit_to_view()
        yield "nothing but a switch", lambda: setattr(image, "visible", False)
        image.visible = True

    for what, change in changes():
        assert hover(viewer, qtbot, pixel), what
        change()
        assert not readout["napari_tcia_readout"].visible, what


def test_a_missing_slice_and_numbers_that_are_no_hu(viewer, qtbot, opened, tmp_path):
    one = body(tmp_path / "gap", slope=None, intercept=None)
    sorted(one.folder.iterdir())[9].unlink()
    image = opened(one)
    look_at(viewer, image, np.array(ORGANS["liver"][0]))
    k = viewer.dims.current_step[0]
    pixel = middle_of(picture(viewer), "liver")
    assert "   1000 stored values\n" in hover(viewer, qtbot, pixel)
    viewer.dims.set_current_step(0, 9)
    assert "k 9 (image 10)   slice missing\n" in hover(viewer, qtbot, pixel)
    assert k != 9


@pytest.mark.parametrize(
    ("patient", "header", "limits"),
    [
        ("MED_LYMPH_001", {}, (-125, 225)),
        ("ABD_LYMPH_001", {}, (-160, 240)),
        ("ABD_LYMPH_001", {"WindowCenter": "-600", "WindowWidth": "1500"}, None),
    ],
)
def test_first_window_of_files(viewer, qtbot, tmp_path, patient, header, limits):
    """350/50 for the mediastinum, 400/40 for the abdomen, the header's own first."""
    one = body(tmp_path, patient=patient)
    one.stack.extra = USUAL | header
    one.stack.write(tmp_path)
    session_for(viewer).open(tmp_path)
    qtbot.waitUntil(lambda: len(viewer.layers) == 1)
    assert tuple(viewer.layers[0].contrast_limits) == (limits or (-1350, 150))
