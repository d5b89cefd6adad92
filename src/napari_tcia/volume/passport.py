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
from napari_tcia.core.image import Check, Verdict
from napari_tcia.errors import BrokenGeometry
from napari_tcia.volume.instance import Header

DIRECTION_TOLERANCE = 1e-4
"""Largest difference of a direction cosine within a series."""
SPACING_TOLERANCE = 1e-4
"""Largest difference of PixelSpacing within a series, mm."""
STEP_TOLERANCE = 0.02
"""Departure from a uniform step that passes, as share of the step: positions are
often written to 0.01 mm."""
STEP_LIMIT = 0.05
"""Departure above which slices form no volume, as share of the step; sideways, of
the pixel."""


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


def names(headers: Sequence[Header]) -> tuple[str, ...]:
    """File names for a check."""
    return tuple(str(header.path) for header in headers)


def listed(files: Sequence[str], limit: int = 3) -> str:
    """Name the first files of a list, and how many more there are."""
    short = [name.replace("\\", "/").rsplit("/", 1)[-1] for name in files[:limit]]
    more = len(files) - len(short)
    return ", ".join(short) + (f" and {more} more" if more > 0 else "")


def lay_out(headers: Sequence[Header]) -> Layout:
    """Place the slices of one series and say how well they fit.

    Parameters
    ----------
    headers : sequence of Header
        Single-frame instances of one series, in any order, at least one.

    Returns
    -------
    Layout
        With verdict ``"fail"`` among the checks when the slices form no volume;
        slices that do not fit are then left out of it.

    Raises
    ------
    BrokenGeometry
        No slice has a position, orientation and spacing: nothing can be placed.
    """
    checks: list[Check] = []
    frames = Counter(header.frame_of_reference_uid for header in headers)
    checks.append(_frame_of_reference(headers, frames))
    fitting, row, column, spacing = _one_plane(headers, checks)
    normal = np.cross(row, column)
    positions = np.array([header.position for header in fitting], dtype=np.float64)
    order = np.argsort(positions @ normal, kind="stable")
    fitting = [fitting[n] for n in order]
    positions = positions[order]
    places, step = _places(fitting, positions @ normal, checks)
    slices: list[Header | None] = [None] * (int(places[-1]) + 1)
    for place, header in zip(places[::-1], fitting[::-1], strict=True):
        slices[place] = header  # of duplicates, the first by name stays
    _missing(slices, positions[0] @ normal, step, checks)
    affine = np.eye(4)
    affine[:3, 0] = _step_vector(
        fitting, places, positions, normal, step, spacing, checks
    )
    affine[:3, 1] = column * spacing[0]
    affine[:3, 2] = row * spacing[1]
    affine[:3, 3] = positions[0]
    return Layout(tuple(slices), affine, tuple(checks))


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
        if h.position and h.orientation and h.rows and min(h.pixel_spacing or (0,)) > 0
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

    def turned(header: Header) -> bool:
        return bool(np.abs(header.orientation - plane).max() > DIRECTION_TOLERANCE)

    other_matrix = [h for h in placed if (h.rows, h.columns) != matrix]
    other_plane = [h for h in placed if turned(h)]
    other_spacing = [
        h
        for h in placed
        if np.abs(np.subtract(h.pixel_spacing or (), spacing)).max() > SPACING_TOLERANCE
    ]
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


def _places(
    headers: Sequence[Header], along: NDArray[np.float64], checks: list[Check]
) -> tuple[NDArray[np.int64], float]:
    """Index k of each slice from its distance along the normal, and the step."""
    if len(headers) == 1:
        step = headers[0].step or 1.0
        known = headers[0].step is not None
        checks.append(Check("duplicate_positions", "pass", "One slice."))
        checks.append(
            Check(
                "uniform_step",
                "warn",
                f"One slice; its thickness of {step:g} mm is "
                f"{'from its header' if known else 'assumed'}.",
                {"step_mm": step},
            )
        )
        return np.zeros(1, dtype=np.int64), step
    gaps = np.diff(along)
    usual = float(np.median(gaps))
    if usual < 1e-3:
        usual = float(gaps.max())
    doubled = np.flatnonzero(gaps <= max(STEP_LIMIT * usual, 1e-3))
    pairs = names([headers[n + side] for n in doubled.tolist() for side in (0, 1)])
    checks.append(
        Check(
            "duplicate_positions",
            "fail" if pairs else "pass",
            f"{len(doubled)} slices lie where another one lies: {listed(pairs, 4)}."
            if pairs
            else "No two slices at one position.",
            {"positions_mm": [round(float(along[n]), 4) for n in doubled]},
            tuple(dict.fromkeys(pairs)),
        )
    )
    alone = np.delete(gaps, doubled)
    if not len(alone):
        message = "All slices lie in one plane."
        checks.append(Check("uniform_step", "fail", message, {}, names(headers)))
        return np.zeros(len(headers), dtype=np.int64), headers[0].step or 1.0
    # The smallest gap is the step, unless slices are missing everywhere. The mean
    # of the gaps near it, since a rounded position makes one gap too long and the
    # next too short: any single one, or the median, is off by the rounding.
    step = float(np.mean(alone[alone < 1.5 * alone.min()]))
    places = np.rint((along - along[0]) / step).astype(np.int64)
    step = float((along[-1] - along[0]) / places[-1])
    off = np.abs(along - along[0] - places * step) / step
    worst = float(off.max())
    shifted = off > STEP_LIMIT
    extra = int(places[-1]) + 1 - len(np.unique(places))
    verdict: Verdict = (
        "pass" if worst <= STEP_TOLERANCE else "warn" if worst <= STEP_LIMIT else "fail"
    )
    files: tuple[str, ...] = ()
    if verdict == "fail" or extra > len(headers):
        # No single step explains the gaps: keep every slice, in order.
        verdict = "fail"
        clusters = np.r_[0, np.cumsum(gaps > max(STEP_LIMIT * usual, 1e-3))]
        places = clusters.astype(np.int64)
        step = float((along[-1] - along[0]) / places[-1])
        odd = np.r_[False, np.abs(gaps - usual) > STEP_LIMIT * usual]
        odd = odd if odd.any() else shifted
        files = names([headers[n] for n in np.flatnonzero(odd).tolist()])
        message = (
            f"The slices are not evenly spaced: gaps from {alone.min():.4g} to "
            f"{alone.max():.4g} mm, at {listed(files)}."
        )
    else:
        message = f"Slice step {step:.6g} mm, uniform within {worst * step:.2g} mm."
    checks.append(
        Check(
            "uniform_step",
            verdict,
            message,
            {
                "step_mm": step,
                "max_deviation_mm": worst * step,
                "smallest_gap_mm": float(alone.min()),
                "largest_gap_mm": float(alone.max()),
            },
            files,
        )
    )
    return places, step


def _missing(
    slices: Sequence[Header | None], origin: float, step: float, checks: list[Check]
) -> None:
    empty = [k for k, header in enumerate(slices) if header is None]
    where = [round(float(origin + k * step), 4) for k in empty]
    shown = ", ".join(
        f"k {k} ({mm:g} mm)" for k, mm in zip(empty[:5], where, strict=False)
    )
    more = f" and {len(empty) - 5} more" if len(empty) > 5 else ""
    plural = "slice is" if len(empty) == 1 else "slices are"
    checks.append(
        Check(
            "missing_slices",
            "warn" if empty else "pass",
            f"{len(empty)} {plural} missing at {shown}{more}; shown blank in place."
            if empty
            else "No slice is missing between the first and the last.",
            {"k": empty, "positions_mm": where},
        )
    )


def _step_vector(
    headers: Sequence[Header],
    places: NDArray[np.int64],
    positions: NDArray[np.float64],
    normal: NDArray[np.float64],
    step: float,
    spacing: Sequence[float],
    checks: list[Check],
) -> NDArray[np.float64]:
    """Column k of the affine: along the normal, or sheared by a gantry tilt."""
    offsets = positions - positions[0]
    sideways = offsets - np.outer(offsets @ normal, normal)
    drift = np.linalg.norm(sideways, axis=1)
    straight: NDArray[np.float64] = step * normal
    pixel = min(spacing)
    # Less is jitter of the positions: no voxel lies elsewhere for it.
    if drift.max() <= STEP_LIMIT * pixel or places[-1] == 0:
        message = "The slices are stacked along their normal."
        checks.append(Check("gantry_tilt", "pass", message, {"angle_deg": 0.0}))
        return straight
    per_step = sideways[-1] / places[-1]
    left = np.linalg.norm(sideways - np.outer(places, per_step), axis=1)
    angle = float(np.degrees(np.arctan2(np.linalg.norm(per_step), step)))
    numbers = {"angle_deg": angle, "max_residual_mm": float(left.max())}
    if left.max() > STEP_LIMIT * pixel:
        shifted = np.flatnonzero(left > STEP_LIMIT * pixel).tolist()
        files = names([headers[n] for n in shifted])
        message = (
            f"Slices are shifted sideways by up to {drift.max():.3g} mm, with no "
            f"common tilt: {listed(files)}."
        )
        checks.append(Check("gantry_tilt", "fail", message, numbers, files))
        return straight
    message = (
        f"The slices are tilted by {angle:.2f} degrees against their stacking "
        "direction; the voxel grid is sheared accordingly."
    )
    checks.append(Check("gantry_tilt", "warn", message, numbers))
    return np.asarray(straight + per_step)
