"""Why a stack of slices may be trusted as a volume: named checks, with files.

Slices are ordered by the projection of ImagePositionPatient on the normal of
the plane (DICOM PS3.3 C.7.6.2.1.1), never by InstanceNumber or SliceLocation,
which may run either way or contradict the position.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_tcia.core.geometry import Affine
from napari_tcia.core.image import Check, Choices
from napari_tcia.errors import BrokenGeometry
from napari_tcia.volume.instance import Header, listed, names
from napari_tcia.volume.stacks import stacks_of
from napari_tcia.volume.steps import along_normal, sideways, without_duplicates

DIRECTION_TOLERANCE = 1e-4
"""Largest difference of a direction cosine within a series."""
SPACING_TOLERANCE = 1e-4
"""Largest difference of PixelSpacing within a series, mm."""


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """Where each slice goes.

    Attributes
    ----------
    slices : tuple of Header or None
        By k; None where a slice is missing.
    affine : (4, 4) float64
        (k, j, i, 1) to LPS mm.
    checks : tuple of Check
    """

    slices: tuple[Header | None, ...]
    affine: Affine
    checks: tuple[Check, ...]


def lay_out(headers: Sequence[Header], choices: Choices | None = None) -> Layout:
    """Place the slices of one series and say how well they fit.

    Parameters
    ----------
    headers : sequence of Header
        Images of one series, in any order, at least one.
    choices : Choices, optional

    Returns
    -------
    Layout
        With verdict ``"fail"`` among the checks when the slices form no volume;
        slices that do not fit are then left out of it.

    Raises
    ------
    BrokenGeometry
        No slice has a position, orientation and spacing: nothing can be placed;
        or there is no stack of the number that was chosen.
    """
    choices = choices or Choices()
    checks: list[Check] = []
    whole = headers
    if choices.stack is not None:
        headers = _chosen_stack(whole, choices.stack, checks)
    frames = Counter(header.frame_of_reference_uid for header in headers)
    checks.append(_frame_of_reference(headers, frames))
    fitting, row, column, spacing = _one_plane(headers, checks)
    normal = np.cross(row, column)
    positions = np.array([header.position for header in fitting], dtype=np.float64)
    order = np.argsort(positions @ normal, kind="stable")
    fitting = [fitting[n] for n in order]
    fitting, doubled = without_duplicates(fitting, normal, choices.duplicates)
    checks.append(doubled)
    positions = np.array([header.position for header in fitting], dtype=np.float64)
    along = positions @ normal
    steps = along_normal(fitting, along, choices.gaps)
    checks += steps.checks
    slices: list[Header | None] = [None] * (int(steps.places[-1]) + 1)
    for place, header in zip(steps.places[::-1], fitting[::-1], strict=True):
        slices[place] = header  # of duplicates, the first by name stays
    affine = np.eye(4)
    affine[:3, 0], tilt = sideways(
        fitting, steps.places, positions, normal, steps.step, spacing
    )
    checks.append(tilt)
    affine[:3, 1] = column * spacing[0]
    affine[:3, 2] = row * spacing[1]
    affine[:3, 3] = positions[0]
    if choices.stack is None and any(check.verdict == "fail" for check in checks):
        checks += _several_stacks(whole)
    return Layout(tuple(slices), affine, tuple(checks))


def _chosen_stack(
    headers: Sequence[Header], number: int, checks: list[Check]
) -> Sequence[Header]:
    found = stacks_of(headers)
    if number > len(found):
        raise BrokenGeometry(
            f"Series {headers[0].series_uid} holds no stack {number}.",
            f"It holds {len(found)}.",
            stacks=[stack.label for stack in found],
        )
    stack = found[number - 1]
    left = len(headers) - len(stack.headers)
    checks.append(
        Check(
            "one_stack",
            "warn" if left else "pass",
            f"Stack {number} ({stack.label}) was chosen; {left} images of the series "
            "are not shown."
            if left
            else "The series is one stack.",
            {"stack": number, "label": stack.label, "left_out": left},
        )
    )
    return stack.headers


def _several_stacks(headers: Sequence[Header]) -> list[Check]:
    """What may be chosen of a series that is no single stack."""
    found = stacks_of(headers)
    if len(found) < 2:
        return []
    each = "; ".join(
        f"{n}: {len(stack.headers)} images, {stack.label}"
        for n, stack in enumerate(found[:6], start=1)
    )
    more = f"; and {len(found) - 6} more" if len(found) > 6 else ""
    return [
        Check(
            "one_stack",
            "fail",
            f"The series holds {len(found)} stacks, of which one can be chosen "
            f"({each}{more}).",
            {
                "stacks": [
                    {"label": stack.label, "images": len(stack.headers)}
                    for stack in found
                ],
                "choices": [f"stack={n + 1}" for n in range(min(len(found), 6))],
            },
        )
    ]


def _frame_of_reference(headers: Sequence[Header], frames: Counter[str]) -> Check:
    code = "one_frame_of_reference"
    usual = frames.most_common(1)[0][0]
    if len(frames) > 1:
        odd = names([h for h in headers if h.frame_of_reference_uid != usual])
        return Check(
            code,
            "fail",
            f"{len(frames)} frames of reference in one series: {listed(odd)}.",
            {"uids": sorted(frames)},
            odd,
        )
    if not usual:
        return Check(code, "warn", "The series names no frame of reference.")
    return Check(code, "pass", "One frame of reference.", {"uids": [usual]})


def _one_plane(
    headers: Sequence[Header], checks: list[Check]
) -> tuple[list[Header], NDArray[np.float64], NDArray[np.float64], tuple[float, ...]]:
    """Keep the slices that share a plane; the most common geometry decides."""
    placed = [
        h
        for h in headers
        if h.position
        and h.orientation
        and h.rows
        and h.columns
        and min(h.pixel_spacing or (0,)) > 0
    ]
    scouts = len({h.is_localizer for h in headers}) == 2
    usual = [h for h in placed if not (scouts and h.is_localizer)]
    if not usual:
        raise BrokenGeometry(
            f"No slice of series {headers[0].series_uid} says where it lies.",
            "ImagePositionPatient, ImageOrientationPatient or PixelSpacing is absent.",
            files=list(names(headers)),
        )
    matrix = Counter((h.rows, h.columns) for h in usual).most_common(1)[0][0]
    plane = np.array(Counter(h.orientation for h in usual).most_common(1)[0][0])
    spacing = Counter(h.pixel_spacing for h in usual).most_common(1)[0][0]
    assert spacing is not None
    directions = np.array([h.orientation for h in placed])
    spacings = np.array([h.pixel_spacing for h in placed])
    turned = np.abs(directions - plane).max(axis=1) > DIRECTION_TOLERANCE
    zoomed = np.abs(spacings - spacing).max(axis=1) > SPACING_TOLERANCE
    other_matrix = [h for h in placed if (h.rows, h.columns) != matrix]
    other_plane = [placed[n] for n in np.flatnonzero(turned).tolist()]
    other_spacing = [placed[n] for n in np.flatnonzero(zoomed).tolist()]
    checks.append(
        _equal("equal_matrix", "matrix", f"{matrix[0]} x {matrix[1]}", other_matrix)
    )
    checks.append(
        _equal(
            "equal_spacing",
            "pixel spacing",
            f"{spacing[0]:g} x {spacing[1]:g} mm",
            other_spacing,
        )
    )
    checks.append(_equal("equal_orientation", "orientation", "one plane", other_plane))
    misfits = {id(h) for h in (*other_matrix, *other_plane, *other_spacing)}
    kept = {id(h) for h in usual} - misfits
    foreign = names([h for h in headers if id(h) not in kept])
    checks.append(
        Check(
            "foreign_slices",
            "fail" if foreign else "pass",
            f"{len(foreign)} of {len(headers)} slices do not belong to the stack "
            f"(localizer, other plane or no position): {listed(foreign)}."
            if foreign
            else "Every slice belongs to the stack.",
            {"count": len(foreign)},
            foreign,
        )
    )
    row, column = plane[:3], plane[3:]
    lengths = np.linalg.norm(row), np.linalg.norm(column)
    skew = float(np.abs([lengths[0] - 1, lengths[1] - 1, row @ column]).max())
    if not skew < 0.5:
        raise BrokenGeometry(
            f"The image axes of series {headers[0].series_uid} span no plane.",
            "ImageOrientationPatient is damaged.",
            orientation=plane.tolist(),
        )
    checks.append(
        Check(
            "orthonormal_axes",
            "pass" if skew <= 1e-3 else "fail",
            "Row and column direction are orthonormal."
            if skew <= 1e-3
            else f"Row and column direction are not orthonormal (off by {skew:.3g}).",
            {"deviation": skew, "orientation": plane.tolist()},
        )
    )
    return [h for h in headers if id(h) in kept], row, column, spacing


def _equal(code: str, what: str, usual: str, odd: Sequence[Header]) -> Check:
    files = names(odd)
    if files:
        message = f"{len(files)} slices differ in {what} from {usual}: {listed(files)}."
        return Check(code, "fail", message, {"count": len(files)}, files)
    return Check(code, "pass", f"Equal {what}: {usual}.")
