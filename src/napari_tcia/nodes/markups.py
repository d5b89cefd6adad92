"""Markups of 3D Slicer (``.mrk.json``) as points in a volume."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_tcia.core.geometry import patient_to_index
from napari_tcia.core.image import Check, PointSet, Volume
from napari_tcia.core.model import Provenance
from napari_tcia.errors import GeometryMismatch, NothingFound, UnreadableAnnotation
from napari_tcia.nodes.grid import points_inside
from napari_tcia.nodes.point_files import holds_published
from napari_tcia.volume import require_sound

_TO_LPS = {"LPS": (1.0, 1.0, 1.0), "RAS": (-1.0, -1.0, 1.0)}
_POINTS = ("Fiducial", "PointList")
_SIZE = re.compile(r"published size ([0-9.e+-]+) mm")
_LIMIT = 32 << 20
"""Size of a markups file that is still read, bytes; a thousand points are 0.5 MB."""


@dataclass(slots=True)
class _Found:
    """LPS mm, size in mm and name of each point, and what was left out."""

    points: list[NDArray[np.float64]] = field(default_factory=list)
    sizes: list[float] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    lines: int = 0
    unplaced: list[str] = field(default_factory=list)
    other: list[str] = field(default_factory=list)


def is_markups(path: Path) -> bool:
    """Whether `path` is named as a markups file; Slicer's end in ``.mrk.json``."""
    return path.suffix.lower() == ".json"


def in_folder(path: Path) -> Path | None:
    """The one markups file of a folder that holds no published points, or None."""
    if not path.is_dir():
        return None
    found = [file for file in path.rglob("*.mrk.json") if file.is_file()]
    return found[0] if len(found) == 1 and not holds_published(path) else None


def read_markups(
    path: Path | str, volume: Volume, *, provenance: Provenance | None = None
) -> PointSet:
    """Read the points and lines of a Slicer markups file.

    Parameters
    ----------
    path : path
        ``.mrk.json``, in LPS or RAS millimetres.
    volume : Volume
        The CT, of sound geometry.
    provenance : Provenance, optional
        Where the file came from; that of the volume by default.

    Returns
    -------
    PointSet
        One row per defined control point of a ``Fiducial`` or ``PointList``, in
        file order. A ``Line`` is a diameter: one row at its middle, its length as
        the size. Whatever is not a row of it, `PointSet.checks` say.

    Raises
    ------
    GeometryMismatch
        In no known coordinates, or no point lies in the volume.
    UnreadableAnnotation, NothingFound
    """
    require_sound(volume, "annotations")
    path = Path(path)
    found = _Found()
    for markup in _markups(path):
        _take(markup, found, path.name)
    if not found.points:
        raise UnreadableAnnotation(
            f"{path.name} holds no placed point and no line"
            + (
                f", only {', '.join(sorted(set(found.other)))}." if found.other else "."
            ),
            "Point lists and lines can be read as nodes.",
        )
    points = np.array(found.points, dtype=np.float64).reshape(-1, 3)
    indices = patient_to_index(volume.affine, points)
    inside = points_inside(indices, volume.shape)
    if len(inside.numbers["rows"]) == len(points):
        raise GeometryMismatch(
            f"None of the {len(points)} points of {path.name} lies in the volume.",
            "They were set in another scan; open that one.",
            points=len(points),
        )
    base = volume.provenance if provenance is None else provenance
    return PointSet(
        points=points,
        indices=indices,
        sizes_mm=np.array(found.sizes, dtype=np.float64),
        ids=tuple(range(1, len(points) + 1)),
        name=path.stem.removesuffix(".mrk"),
        provenance=replace(base, modality=""),
        checks=(inside, *_told(found)),
        path=path,
        source="markups",
    )


def _markups(path: Path) -> Sequence[Mapping[str, Any]]:
    if not path.is_file():
        raise NothingFound(f"{path} does not exist.", "Check the path.")
    if path.stat().st_size > _LIMIT:
        raise UnreadableAnnotation(f"{path.name} is too large for a list of points.")
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise UnreadableAnnotation(
            f"{path.name} is no JSON: {error}.", "Save it again from 3D Slicer."
        ) from error
    markups = document.get("markups") if isinstance(document, dict) else None
    if not isinstance(markups, list) or not all(isinstance(m, dict) for m in markups):
        raise UnreadableAnnotation(
            f"{path.name} is no markups file of 3D Slicer.",
            "Expected a list named markups.",
        )
    return markups


def _take(markup: Mapping[str, Any], found: _Found, name: str) -> None:
    """Add the points of one markup to `found`."""
    kind = str(markup.get("type", ""))
    if kind not in (*_POINTS, "Line"):
        found.other.append(kind or "a markup without type")
        return
    # The schema's defaults: LPS, millimetres.
    space = str(markup.get("coordinateSystem", "LPS")).upper()
    units = markup.get("coordinateUnits", "mm")
    units = units[0] if isinstance(units, list) and units else units
    if space not in _TO_LPS or units != "mm":
        raise GeometryMismatch(
            f"{name} is in {space} {units}; where its points lie is not known.",
            "Save it in LPS or RAS millimetres.",
        )
    placed = list(_placed(markup, found, name, np.array(_TO_LPS[space])))
    title = str(markup.get("name", "")) or kind
    if kind == "Line":
        if len(placed) != 2:
            found.unplaced.append(title)
            return
        ends = placed[0][0], placed[1][0]
        found.lines += 1
        found.points.append((ends[0] + ends[1]) / 2)
        found.sizes.append(float(np.linalg.norm(ends[1] - ends[0])))
        found.names.append(title)
        return
    for position, point in placed:
        size = _SIZE.search(str(point.get("description", "")))
        found.points.append(position)
        found.sizes.append(float(size[1]) if size else float("nan"))
        found.names.append(str(point.get("label", "")))


def _placed(
    markup: Mapping[str, Any], found: _Found, name: str, signs: NDArray[np.float64]
) -> Iterator[tuple[NDArray[np.float64], Mapping[str, Any]]]:
    """LPS mm and entry of each control point that was placed."""
    for point in markup.get("controlPoints") or ():
        label = str(point.get("label", "")) or str(point.get("id", ""))
        position = point.get("position")
        if point.get("positionStatus", "defined") != "defined" or position is None:
            found.unplaced.append(label)
            continue
        try:
            place = np.array(position, dtype=np.float64)
        except (TypeError, ValueError):
            place = np.empty(0)
        if place.shape != (3,) or not np.isfinite(place).all():
            raise UnreadableAnnotation(
                f"{name} gives point {label} the position {str(position)[:40]}.",
                "Save it again from 3D Slicer.",
            )
        yield place * signs, point


def _told(found: _Found) -> Iterator[Check]:
    yield Check(
        "markups",
        "pass",
        f"{len(found.points)} points.",
        {"names": found.names},
    )
    if found.lines:
        message = f"{found.lines} lines stand as their middle, with their length."
        yield Check("lines", "warn", message, {"lines": found.lines})
    if found.unplaced:
        message = f"{len(found.unplaced)} points were never placed and are left out."
        yield Check("points_placed", "warn", message, {"names": found.unplaced})
    if found.other:
        kinds = sorted(set(found.other))
        message = f"Not read: {len(found.other)} markups ({', '.join(kinds)})."
        yield Check("other_markups", "warn", message, {"types": kinds})
