"""Slices along their normal: duplicates, step, gaps and tilt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_tcia.core.image import Check, Verdict
from napari_tcia.volume.instance import Header, listed, names

STEP_TOLERANCE = 0.02
"""Departure from a uniform step that passes, as share of the step: positions are
often written to 0.01 mm."""
STEP_LIMIT = 0.05
"""Departure above which slices form no volume, as share of the step; sideways, of
the pixel."""
_SAME_PLACE_MM = 1e-3

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Steps:
    """Places of slices along the normal.

    Attributes
    ----------
    places : (n,) int64
        Index k of each slice, rising.
    step : float
        mm along the normal.
    checks : tuple of Check
    """

    places: NDArray[np.int64]
    step: float
    checks: tuple[Check, ...]


def without_duplicates(
    headers: Sequence[Header],
    normal: Floats,
    choice: Literal["refuse", "first", "last"],
) -> tuple[list[Header], Check]:
    """Slices that lie where another one lies: named, and left out if so chosen.

    Parameters
    ----------
    headers : sequence of Header
        In the order of their projection on `normal`.
    choice : {"refuse", "first", "last"}
        Which of them to keep, in the order of InstanceNumber, then of names.
    """
    code = "duplicate_positions"
    if len(headers) == 1:
        return list(headers), Check(code, "pass", "One slice.")
    along = np.array([header.position for header in headers]) @ normal
    doubled = _doubled(along)
    if not doubled.size:
        return list(headers), Check(code, "pass", "No two slices at one position.")
    numbers: dict[str, Any] = {
        "positions_mm": [round(float(along[n]), 4) for n in doubled]
    }
    pairs = names([headers[n + side] for n in doubled.tolist() for side in (0, 1)])
    if choice == "refuse" or len(doubled) == len(along) - 1:
        twice = any(
            one.sop_instance_uid
            and (one.sop_instance_uid, one.frame) == (two.sop_instance_uid, two.frame)
            for n in doubled.tolist()
            for one, two in [headers[n : n + 2]]
        )
        same = " (some are the same instance twice)" if twice else ""
        message = (
            f"{_slices(len(doubled))} where another one lies: {listed(pairs, 4)}{same}."
        )
        more = numbers | {"choices": ["duplicates=first", "duplicates=last"]}
        if len(doubled) == len(along) - 1:
            more = numbers
        return list(headers), Check(code, "fail", message, more, pairs)
    joined = np.zeros(len(headers), dtype=np.int64)
    joined[1:] = 1
    joined[doubled + 1] = 0
    groups: dict[int, list[Header]] = {}
    for group, header in zip(np.cumsum(joined).tolist(), headers, strict=True):
        groups.setdefault(group, []).append(header)
    kept = [
        sorted(group, key=_number_then_name)[0 if choice == "first" else -1]
        for group in groups.values()
    ]
    chosen = {id(header) for header in kept}
    left = names([header for header in headers if id(header) not in chosen])
    message = (
        f"{_slices(len(left))} where another one lies; the {choice} of each place "
        f"was kept, as chosen, without {listed(left, 4)}."
    )
    other = "last" if choice == "first" else "first"
    numbers |= {"left_out": len(left), "choices": [f"duplicates={other}"]}
    return kept, Check(code, "warn", message, numbers, left)


def _slices(count: int) -> str:
    return "1 slice lies" if count == 1 else f"{count} slices lie"


def _number_then_name(header: Header) -> tuple[int, str]:
    return header.instance_number or 0, header.name


def _doubled(along: Floats) -> NDArray[np.int64]:
    """Positions n such that slices n and n + 1 lie in one place."""
    gaps = np.diff(along)
    usual = float(np.median(gaps))
    if usual < _SAME_PLACE_MM:
        usual = float(gaps.max())
    return np.flatnonzero(gaps <= max(STEP_LIMIT * usual, _SAME_PLACE_MM))


def along_normal(
    headers: Sequence[Header],
    along: Floats,
    gaps_choice: Literal["blank", "interpolate", "refuse"] = "blank",
) -> Steps:
    """Index k of each slice from its distance along the normal, and the step.

    Parameters
    ----------
    headers : sequence of Header
    along : (n,) float64
        Their projections on the normal in mm, rising.
    gaps_choice : {"blank", "interpolate", "refuse"}
        What was chosen for missing slices.
    """
    if len(headers) == 1:
        step = headers[0].step or 1.0
        known = headers[0].step is not None
        message = (
            f"One slice; its thickness of {step:g} mm is "
            f"{'from its header' if known else 'assumed'}."
        )
        check = Check("uniform_step", "warn", message, {"step_mm": step})
        places = np.zeros(1, dtype=np.int64)
        return Steps(places, step, (check, _missing(places, along, step, gaps_choice)))
    gaps = np.diff(along)
    usual = float(np.median(gaps))
    if usual < _SAME_PLACE_MM:
        usual = float(gaps.max())
    alone = np.delete(gaps, _doubled(along))
    if not len(alone):
        message = "All slices lie in one plane."
        check = Check("uniform_step", "fail", message, {}, names(headers))
        places = np.zeros(len(headers), dtype=np.int64)
        return Steps(places, headers[0].step or 1.0, (check,))
    # The smallest gap is the step, unless slices are missing everywhere. The mean
    # of the gaps near it, since a rounded position makes one gap too long and the
    # next too short: any single one, or the median, is off by the rounding.
    step = float(np.mean(alone[alone < 1.5 * alone.min()]))
    # Beyond this the gaps are no holes: more would be missing than there is.
    limit = 2 * len(headers) + 1
    exact = np.minimum((along - along[0]) / step, limit)
    places = np.rint(exact).astype(np.int64)
    step = float((along[-1] - along[0]) / places[-1])
    off = np.abs(along - along[0] - places * step) / step
    worst = float(off.max())
    shifted = off > STEP_LIMIT
    extra = int(places[-1]) + 1 - len(np.unique(places))
    verdict: Verdict = (
        "pass"
        if worst <= STEP_TOLERANCE + 1e-6
        else "warn"
        if worst <= STEP_LIMIT
        else "fail"
    )
    files: tuple[str, ...] = ()
    astray = _astray(along, usual) if 2 * extra >= len(headers) else None
    if verdict == "fail" or extra > len(headers) or astray is not None:
        # No single step explains the gaps: keep every slice, in order.
        verdict = "fail"
        clusters = np.r_[0, np.cumsum(gaps > max(STEP_LIMIT * usual, _SAME_PLACE_MM))]
        places = clusters.astype(np.int64)
        step = float((along[-1] - along[0]) / places[-1])
        odd = np.r_[False, np.abs(gaps - usual) > STEP_LIMIT * usual]
        odd = odd if odd.any() else shifted
        if astray is not None:
            odd = np.arange(len(headers)) == astray
        files = names([headers[n] for n in np.flatnonzero(odd).tolist()])
        message = (
            f"The slices are not evenly spaced: gaps from {alone.min():.4g} to "
            f"{alone.max():.4g} mm, at {listed(files)}."
        )
    else:
        message = f"Slice step {step:.6g} mm, uniform within {worst * step:.2g} mm."
    numbers = {
        "step_mm": step,
        "max_deviation_mm": worst * step,
        "smallest_gap_mm": float(alone.min()),
        "largest_gap_mm": float(alone.max()),
    }
    check = Check("uniform_step", verdict, message, numbers, files)
    return Steps(places, step, (check, _missing(places, along, step, gaps_choice)))


def _astray(along: Floats, usual: float) -> int | None:
    """The one slice that lies between the places of all the others, if there is one.

    Half a step away it makes a grid of half the step, on which every second
    slice would be missing.
    """
    for anchor in along[:2]:
        places = (along - anchor) / usual
        off = np.flatnonzero(np.abs(places - np.rint(places)) > STEP_LIMIT)
        if len(off) == 1 and len(along) > 3:
            return int(off[0])
    return None


_FILLED = {
    "blank": "shown blank in place",
    "interpolate": "filled from their neighbours, as chosen, and marked as missing",
    "refuse": "which was chosen to be refused",
}


def _missing(
    places: NDArray[np.int64], along: Floats, step: float, choice: str
) -> Check:
    code = "missing_slices"
    empty = np.setdiff1d(np.arange(places[-1] + 1), places).tolist()
    where = [round(float(along[0] + k * step), 4) for k in empty]
    if not empty:
        message = "No slice is missing between the first and the last."
        return Check(code, "pass", message, {"k": [], "positions_mm": []})
    shown = ", ".join(
        f"k {k} ({mm:g} mm)" for k, mm in zip(empty[:5], where, strict=False)
    )
    more = f" and {len(empty) - 5} more" if len(empty) > 5 else ""
    plural = "slice is" if len(empty) == 1 else "slices are"
    numbers = {
        "k": empty,
        "positions_mm": where,
        "choices": [f"gaps={name}" for name in _FILLED if name != choice],
    }
    message = f"{len(empty)} {plural} missing at {shown}{more}; {_FILLED[choice]}."
    return Check(code, "fail" if choice == "refuse" else "warn", message, numbers)


def sideways(
    headers: Sequence[Header],
    places: NDArray[np.int64],
    positions: Floats,
    normal: Floats,
    step: float,
    spacing: Sequence[float],
) -> tuple[Floats, Check]:
    """Column k of the affine, and whether a tilt of the gantry shears it.

    Parameters
    ----------
    positions : (n, 3) float64
        LPS mm.
    spacing : (2,) sequence of float
        mm between rows, then columns.

    Returns
    -------
    vector : (3,) float64
        LPS mm per k: along the normal, or sheared.
    check : Check
    """
    code = "gantry_tilt"
    offsets = positions - positions[0]
    aside = offsets - np.outer(offsets @ normal, normal)
    drift = np.linalg.norm(aside, axis=1)
    straight: Floats = step * normal
    pixel = min(spacing)
    # Less is jitter of the positions: no voxel lies elsewhere for it.
    if drift.max() <= STEP_LIMIT * pixel or places[-1] == 0:
        message = "The slices are stacked along their normal."
        return straight, Check(code, "pass", message, {"angle_deg": 0.0})
    per_step = aside[-1] / places[-1]
    left = np.linalg.norm(aside - np.outer(places, per_step), axis=1)
    angle = float(np.degrees(np.arctan2(np.linalg.norm(per_step), step)))
    numbers: dict[str, Any] = {"angle_deg": angle, "max_residual_mm": float(left.max())}
    if left.max() > STEP_LIMIT * pixel:
        shifted = np.flatnonzero(left > STEP_LIMIT * pixel).tolist()
        files = names([headers[n] for n in shifted])
        message = (
            f"Slices are shifted sideways by up to {drift.max():.3g} mm, with no "
            f"common tilt: {listed(files)}."
        )
        return straight, Check(code, "fail", message, numbers, files)
    message = (
        f"The slices are tilted by {angle:.2f} degrees against their stacking "
        "direction; the voxel grid is sheared accordingly."
    )
    numbers["choices"] = ["tilt=straighten"]
    return np.asarray(straight + per_step), Check(code, "warn", message, numbers)
