"""From a case to layers; the only code that adds layers to a viewer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
from napari.layers import Layer
from napari.utils.colormaps import CyclicLabelColormap, DirectLabelColormap

from napari_tcia._napari.warm import ready
from napari_tcia.app.arriving import Arriving
from napari_tcia.app.assemble import Case, first_index
from napari_tcia.app.saved import Saved
from napari_tcia.app.windows import first_window
from napari_tcia.core.colours import COLOURS, colour_of
from napari_tcia.core.geometry import Affine, display_transform, parallel_transform
from napari_tcia.core.image import (
    Check,
    Choices,
    LabelSet,
    NodeRow,
    PointSet,
    Volume,
    worst,
)
from napari_tcia.core.model import Issue, Provenance, to_json
from napari_tcia.errors import GeometryMismatch

KEY = "napari_tcia"
"""Where provenance lives in ``layer.metadata``."""
FILLING = "filling"
"""Role of an image whose slices are still on their way: nothing of it is proven."""
MEASUREMENTS = "measurements"
"""Role of a layer of rulers and circles on a volume of ours."""
AXES = "axes"
"""Role of the layer that shows the axes of the chosen node."""
NUMBERS = "numbers"
"""Role of the layer that numbers the nodes in the picture."""
WORK = "work"
"""Role of a reader's working copy of the nodes."""
READER = "reader"
"""Role of what another reader drew."""
PREVIEW = "preview"
"""Role of what was grown and is not kept yet."""
CHANGED = "changed"
"""In our metadata of a layer: ``by`` and ``on`` of the first change."""
STATIONS = "stations"
"""Key of our metadata of an image: what a reader named as station of each node."""
PROVENANCE = frozenset(Provenance().to_dict())
"""Keys of our metadata that say where a layer comes from."""
LayerTuple = tuple[Any, dict[str, Any], str]

POINT_COLOUR = "#ffd23f"
DEFAULT_POINT_MM = 8.0

BADGES = {"pass": "", "warn": " (warn)", "fail": " (fail)"}
"""Behind the name of an image layer, by the verdict of its passport."""


def placed_like(layer: Layer) -> dict[str, Any]:
    """Arguments that put another layer on the same voxels."""
    return {
        "scale": layer.scale,
        "translate": layer.translate,
        "affine": layer.affine,
        "units": layer.units,
        "axis_labels": layer.axis_labels,
    }


def belonging(image: Layer, role: str, **more: Any) -> dict[str, Any]:
    """Metadata of a layer that is made here on the volume of `image`."""
    ours = metadata_of(image) or {}
    return {
        KEY: {
            **{k: v for k, v in ours.items() if k in PROVENANCE},
            "role": role,
            "case": ours.get("case", ""),
            "volume": ours.get("volume", ""),
            **more,
        }
    }


def cyclic_colours() -> CyclicLabelColormap:
    """Eight colours for any number of nodes; background has none."""
    return CyclicLabelColormap(colors=["transparent", *COLOURS])


def reference_for(
    layers: Iterable[Layer], volume: Volume
) -> tuple[Affine | None, tuple[Issue, ...]]:
    """The world that layers already set, where a volume has a place in it.

    Returns
    -------
    affine : (4, 4) float64 or None
        Affine of the volume that set a world of the same frame of reference, to
        whose axes this one is parallel; None when this volume sets its own.
    issues : tuple of Issue
        A word when the open volumes are cut in another direction (napari lays only
        parallel grids over each other without resampling) or are of another
        frame: positions in different frames cannot be compared.
    """
    provenance = volume.provenance
    turned: list[str] = []
    others: list[str] = []
    for layer in layers:
        ours = metadata_of(layer)
        if ours is None or "reference" not in ours:
            continue
        frame = ours.get("frame_of_reference_uid", "")
        same_series = ours.get("series_uid") == provenance.series_uid
        if same_series or (frame and frame == provenance.frame_of_reference_uid):
            reference = np.asarray(ours["reference"], dtype=np.float64)
            if parallel_transform(reference, volume.affine, volume.shape):
                return reference, ()
            turned.append(layer.name)
        elif layer.name not in others:
            others.append(layer.name)
    if turned:
        return None, (
            Issue(
                "warn",
                "other_plane",
                "Shown by itself: its slices are cut in another direction than those "
                f"of {turned[0]}, and only resampling could lay one over the other.",
                {"layers": turned},
            ),
        )
    if not others:
        return None, ()
    return None, (
        Issue(
            "warn",
            "other_frame_of_reference",
            "Shown in its own position: it shares no frame of reference with "
            f"{others[0]}, so places in the two cannot be compared.",
            {"layers": others},
        ),
    )


def metadata_of(layer: Layer) -> Mapping[str, Any] | None:
    """Our part of the metadata of a layer, None for layers of others."""
    ours = layer.metadata.get(KEY)
    return ours if isinstance(ours, Mapping) else None


def node_rows(ours: Mapping[str, Any]) -> tuple[NodeRow, ...]:
    """Nodes that the metadata of an image layer carries, back in their type.

    With the station that a reader named for each.
    """
    stations = ours.get(STATIONS, {})
    return tuple(
        NodeRow(
            **{
                name: _tuples(value) if isinstance(value, list) else value
                for name, value in row.items()
            }
            | {"station": stations.get(row["id"], "")}
        )
        for row in ours.get("nodes", ())
    )


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value


def doubts(ours: Mapping[str, Any]) -> tuple[Check, ...]:
    """What the passport of an image layer's volume warns of or failed."""
    return tuple(Check(**check) for check in ours.get("passport", ()))


def choices_of(ours: Mapping[str, Any]) -> Choices:
    """What the volume of an image layer was read with."""
    return Choices(**ours.get("choices", {}))


def layer_data(case: Case, reference: Affine | None = None) -> list[LayerTuple]:
    """Layers of a case as napari layer data tuples, image first.

    Parameters
    ----------
    case : Case
    reference : (4, 4) float64, optional
        Affine of the volume that set the world; by default this one sets it.

    Notes
    -----
    A volume lies in its own index frame: scale (spacing, mm) and translate,
    so that the world of an axial CT is (z, y, x) of the patient. One that
    shares the frame of another volume, and is parallel to it, is placed relative
    to it; `reference_for` says which.
    """
    placed = _placement(case.volume.affine, reference, case.volume.shape)
    reference = case.volume.affine if reference is None else reference
    layers: list[LayerTuple] = [_image(case, placed, reference)]
    doubted = {
        check.numbers.get("source")
        for check in case.checks
        if check.code == "points_in_labels" and check.verdict == "fail"
    }
    for number, labels in enumerate(case.labels):
        # A second rendering of the same nodes stays at hand, out of sight; so do
        # labels that seem to be mirrored, until somebody chooses.
        shown = number == 0 and labels.source not in doubted
        title = "reference" if number == 0 and not labels.is_import else labels.name
        layers.append(_labels(case, labels, f"Nodes ({title})", shown, placed))
    if (points := case.points) is not None:
        own = points.source == "markups"
        title = points.name if own else "published points"
        layers.append(_points(case, points, f"Nodes ({title})", True, placed))
    for points in case.further:
        layers.append(_points(case, points, f"Nodes ({points.name})", False, placed))
    for points in case.candidates:
        layers.append(_points(case, points, points.name, False, placed))
    if case.nodes:
        # One layer carries the table; the image always exists.
        layers[0][1]["metadata"][KEY]["nodes"] = to_json(case.nodes)
    return layers


def filling_limits(one: Arriving) -> tuple[float, float]:
    """Contrast limits that a filling layer begins with."""
    level, width = one.filling.window
    return level - width / 2, level + width / 2


def filling_data(one: Arriving) -> LayerTuple:
    """Layer data tuple of a series that is still being fetched.

    It lies where it seems to; its metadata has no affine for anything to build on.
    """
    filling = one.filling
    kwargs = {
        "name": f"{one.series.modality or 'Image'} - {one.name}"
        + ("" if filling.whole else f" ({FILLING})"),
        "colormap": "gray_r" if filling.inverted else "gray",
        "projection_mode": "none",
        "contrast_limits": filling_limits(one),
        "metadata": _metadata(
            one.provenance,
            FILLING,
            case=one.name,
            volume=one.series.series_uid,
            slices=(filling.count, filling.images),
            seems=filling.affine,
            range=(-1350.0, 3071.0) if filling.quantity == "HU" else (),
        ),
        **_placement(filling.affine, None, filling.array.shape),
    }
    return filling.array, kwargs, "image"


def saved_data(saved: Saved, reference: Affine | None = None) -> list[LayerTuple]:
    """Layer data tuple of a file that was saved, in its place and with its credit.

    Labels can be painted on: they are the user's own by now. Provenance is
    that of the file; whichever layer comes first sets the world of its frame.
    """
    case = Case(saved.name, saved.volume)
    if saved.labels is None and saved.points is None:
        return layer_data(case, reference)
    placed = _placement(saved.volume.affine, reference, saved.volume.shape)
    if saved.labels is not None:
        layer = _labels(case, saved.labels, saved.name, True, placed)
    else:
        assert saved.points is not None
        layer = _points(case, saved.points, saved.name, True, placed)
    ours = layer[1]["metadata"][KEY]
    world = saved.volume.affine if reference is None else reference
    ours |= {
        "role": "saved",
        "frame_of_reference_uid": saved.volume.provenance.frame_of_reference_uid,
        "affine": to_json(saved.volume.affine),
        "reference": to_json(world),
    }
    return [layer]


def add_layer(viewer: Any, data: LayerTuple) -> Layer:
    """Add one layer of a case to `viewer`; GUI thread only."""
    ready()
    layer = Layer.create(*data)
    viewer.layers.append(layer)
    dress(layer, viewer.layers)
    return layer


def add_case(viewer: Any, case: Case) -> tuple[list[Layer], tuple[Issue, ...]]:
    """Add every layer of `case` at once; for scripts.

    Returns
    -------
    layers : list of Layer
    issues : tuple of Issue
        Those of the case and of its place beside what is open already.
    """
    reference, issues = reference_for(viewer.layers, case.volume)
    added = [add_layer(viewer, data) for data in layer_data(case, reference)]
    return added, case.issues + issues


def dress(layer: Any, layers: Iterable[Layer]) -> None:
    """Set what a layer data tuple cannot say; may be called again.

    The contrast slider reaches all of the data and the usual CT windows. A
    reference is an outline that cannot be painted on; a copy of it can.
    """
    ours = metadata_of(layer)
    if ours is None:
        return
    if ours.get("role") in ("image", FILLING) and ours.get("range"):
        low, high = layer.contrast_limits
        ends = ours["range"]
        reach = min(low, ends[0]), max(high, ends[1])
        if tuple(layer.contrast_limits_range) != reach:
            layer.contrast_limits_range = reach
    elif ours.get("role") in ("reference", "points", "candidates"):
        is_copy = any(
            metadata_of(other) == ours for other in layers if other is not layer
        )
        if not is_copy:
            layer.editable = False
            if ours.get("role") == "reference":
                layer.contour = 2


def _placement(
    affine: Affine, reference: Affine | None, shape: Sequence[int]
) -> dict[str, Any]:
    common: dict[str, Any] = {"units": ("mm",) * 3, "axis_labels": ("z", "y", "x")}
    if reference is None:
        scale, translate = display_transform(affine)
        return {"scale": scale, "translate": translate, **common}
    placed = parallel_transform(reference, affine, shape)
    if placed is None:
        # napari would draw it straight all the same, in the wrong place.
        raise GeometryMismatch("The two volumes are cut in different directions.")
    if min(placed[0]) > 0:
        return {"scale": placed[0], "translate": placed[1], **common}
    # A scale stays positive; what runs backwards is said by the affine.
    against = np.diag([*placed[0], 1.0])
    against[:3, 3] = placed[1]
    still = {"scale": (1.0,) * 3, "translate": (0.0,) * 3}
    return {**still, "affine": against, **common}


def _metadata(provenance: Provenance, role: str, **more: Any) -> dict[str, Any]:
    return {KEY: {**provenance.to_dict(), "role": role, **to_json(more)}}


def _image(case: Case, placed: dict[str, Any], reference: Affine) -> LayerTuple:
    volume = case.volume
    provenance = volume.provenance
    window = first_window(volume, case.name)
    kwargs: dict[str, Any] = {
        "name": f"{provenance.modality or 'Image'} - {case.name}"
        + BADGES[volume.passport.verdict],
        # MONOCHROME1 shows low values white (DICOM PS3.3 C.7.6.3.1.2).
        "colormap": "gray_r" if volume.inverted else "gray",
        # A slice shows its own values, whatever thickness points are looked for in.
        "projection_mode": "none",
        **placed,
    }
    more: dict[str, Any] = {}
    if window is not None:
        level, width = window
        kwargs["contrast_limits"] = (level - width / 2, level + width / 2)
        sample = volume.array[:: max(1, len(volume.array) // 16)]
        more["range"] = (
            min(-1350.0, float(sample.min())),
            max(450.0, float(sample.max())),
        )
    kwargs["metadata"] = _metadata(
        provenance,
        "image",
        case=case.name,
        volume=provenance.series_uid,
        verdict=volume.passport.verdict,
        quantity=volume.quantity,
        affine=volume.affine,
        reference=reference,
        missing=np.flatnonzero(~volume.present),
        passport=[c for c in volume.passport.checks if c.verdict != "pass"],
        checks=case.checks,
        known=[issue.message for issue in case.issues if issue.level != "error"],
        first_index=first_index(case),
        choices=case.choices,
        place=case.place,
        blind=case.blind,
        padding=volume.padding,
        window=window,
        **more,
    )
    return volume.array, kwargs, "image"


def _labels(
    case: Case, labels: LabelSet, name: str, visible: bool, placed: dict[str, Any]
) -> LayerTuple:
    segments = {segment.value: segment.label for segment in labels.segments}
    values = sorted(segments)
    colours: dict[int | None, Any] = {None: "transparent", 0: "transparent"}
    colours |= {value: colour_of(value) for value in values}
    features = pd.DataFrame(
        {"index": [0, *values], "node": ["", *(segments[v] for v in values)]}
    )
    kwargs = {
        "name": name,
        "opacity": 0.9,
        "visible": visible,
        "colormap": DirectLabelColormap(color_dict=colours),
        "features": features,
        "metadata": _metadata(
            labels.provenance,
            "reference",
            case=case.name,
            volume=case.volume.provenance.series_uid,
            drawn_as=labels.source,  # "source" is where the data came from
            segments=labels.segments,
            affine=case.volume.affine,
            verdict=case.volume.passport.verdict,
            **_mirroring(labels),
        ),
        **placed,
    }
    return labels.array, kwargs, "labels"


def _mirroring(labels: LabelSet) -> dict[str, Any]:
    """That labels were mirrored is a change to what was published."""
    if all(check.code != "labels_mirrored" for check in labels.checks):
        return {}
    today = datetime.now(UTC).date().isoformat()
    return {CHANGED: {"by": "", "on": today, "how": "mirrored"}}


def _points(
    case: Case, points: PointSet, name: str, visible: bool, placed: dict[str, Any]
) -> LayerTuple:
    sizes = np.where(np.isfinite(points.sizes_mm), points.sizes_mm, DEFAULT_POINT_MM)
    # napari scales sizes by the last axis: a diameter in mm becomes pixels.
    pixel = float(np.linalg.norm(case.volume.affine[:3, 2]))
    kwargs = {
        "name": name,
        "size": np.maximum(sizes, 3.0) / pixel,
        "symbol": "disc",
        "face_color": "transparent",
        "border_color": POINT_COLOUR,
        "border_width": 0.08,
        "projection_mode": "rescale_spherical",
        "features": pd.DataFrame({"id": points.ids, "size_mm": points.sizes_mm}),
        "visible": visible,
        "metadata": _metadata(
            points.provenance,
            "points" if visible else "candidates",
            case=case.name,
            volume=case.volume.provenance.series_uid,
            verdict=worst(points.checks),
        ),
        **placed,
    }
    return points.indices, kwargs, "points"
