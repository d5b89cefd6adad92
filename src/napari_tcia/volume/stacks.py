"""The stacks of one series: its parts that may be volumes of their own.

A series can hold several: planes of a localizer, phases, echoes, b-values,
acquisitions of the same place. They are told apart by plane first, and by what
was varied only where images would otherwise lie on one another: many scanners
count an acquisition for every slice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from napari_tcia.volume.instance import Header

_VARIED: tuple[tuple[str, Callable[[Header], str]], ...] = (
    ("stack", lambda h: h.stack_id),
    ("acquisition", lambda h: h.acquisition),
    ("time", lambda h: h.temporal),
    ("echo", lambda h: h.echo),
    ("b-value", lambda h: h.b_value),
    ("image type", lambda h: "\\".join(h.image_type)),
    ("trigger time", lambda h: h.trigger),
)
"""What may tell apart images of one place (DICOM PS3.3 C.7.6.16.2.2, C.8.3, C.8.13)."""

_TOLERANCE = 1e-3
"""Difference of direction cosines, and of PixelSpacing in mm, of one plane."""


@dataclass(frozen=True, slots=True)
class Stack:
    """Images of one series that share a plane and what was varied.

    Attributes
    ----------
    label : str
        What tells it from the others: "axial, acquisition 2".
    headers : tuple of Header
    """

    label: str
    headers: tuple[Header, ...]


def stacks_of(headers: Sequence[Header]) -> tuple[Stack, ...]:
    """Split one series.

    Parameters
    ----------
    headers : sequence of Header
        Of one series; images that do not say where they lie are in no stack.

    Returns
    -------
    tuple of Stack
        The largest first; of equals, the one with the lowest InstanceNumber.
    """
    planes: list[list[Header]] = []
    for header in headers:
        if header.position and header.orientation and header.pixel_spacing:
            group = next((g for g in planes if _same_plane(g[0], header)), None)
            if group is None:
                planes.append(group := [])
            group.append(header)
    found = [stack for group in planes for stack in _by_variation(group)]
    if len({s.label for s in found}) < len(found):
        # Planes that differ in matrix or spacing alone.
        found = [
            Stack(f"{s.label}, {h.rows} x {h.columns} at {_mm(h)} mm", s.headers)
            for s in found
            for h in s.headers[:1]
        ]

    def first_number(stack: Stack) -> int:
        numbers = [h.instance_number for h in stack.headers]
        return min((n for n in numbers if n is not None), default=0)

    return tuple(sorted(found, key=lambda s: (-len(s.headers), first_number(s))))


def plane_name(orientation: Sequence[float]) -> str:
    """Name of the plane of an image: axial, coronal, sagittal or oblique."""
    normal = np.abs(np.cross(orientation[:3], orientation[3:]))
    if normal.max() < 0.8:
        return "oblique"
    return ("sagittal", "coronal", "axial")[int(normal.argmax())]


def _same_plane(one: Header, other: Header) -> bool:
    same = (one.rows, one.columns, one.is_localizer) == (
        other.rows,
        other.columns,
        other.is_localizer,
    )
    return same and all(
        abs(a - b) < _TOLERANCE
        for ours, theirs in (
            (one.orientation, other.orientation),
            (one.pixel_spacing, other.pixel_spacing),
        )
        for a, b in zip(ours or (), theirs or (), strict=True)
    )


def _by_variation(group: list[Header]) -> list[Stack]:
    first = group[0]
    assert first.orientation is not None
    label = "localizer, " * first.is_localizer + plane_name(first.orientation)
    found: list[Stack] = []
    for name, value in _VARIED if _overlapping(group) else ():
        parts: dict[str, list[Header]] = {}
        for header in group:
            parts.setdefault(value(header), []).append(header)
        # What was counted anew for each image tells apart too much.
        fewer = not found or len(parts) < len(found)
        if len(parts) > 1 and fewer and not any(map(_overlapping, parts.values())):
            found = [
                Stack(f"{label}, {name} {key or 'not stated'}", tuple(part))
                for key, part in parts.items()
            ]
    return found or [Stack(label, tuple(group))]


def _overlapping(group: Sequence[Header]) -> bool:
    """Whether two images lie within 1 um of one another."""
    places = {tuple(round(v, 3) for v in h.position or ()) for h in group}
    return len(places) < len(group)


def _mm(header: Header) -> str:
    return " x ".join(f"{value:g}" for value in header.pixel_spacing or ())
