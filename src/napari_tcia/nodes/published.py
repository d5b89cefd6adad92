"""Whether an image is what CT Lymph Nodes published under its patient's ID.

Facts of the collection (doi:10.7937/K9/TCIA.2015.AQIIDCNM): every series is axial
with ImageOrientationPatient 1, 0, 0, 0, 1, 0; columns and rows are 512, on a field
of view of whole millimetres; slices are evenly spaced, 1 mm apart but for 36 series. A
converted or resampled copy, or a file under another name, shows here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import files
from typing import Any

import numpy as np

from napari_tcia.core.geometry import spacing_of
from napari_tcia.core.image import Check, Verdict, Volume

COLLECTION = "CT Lymph Nodes"
_DIRECTION = 1e-4
_EQUAL_MM = 1e-3
_EVEN_MM = 0.01


def published_spacing(patient_id: str) -> tuple[float, float, float] | None:
    """Spacing (k, j, i) in mm of the series published under `patient_id`.

    None for a patient who is not of the collection.
    """
    match = re.fullmatch(r"(ABD|MED)_LYMPH_(\d{3})", patient_id)
    if match is None:
        return None
    facts = _facts()
    views: Sequence[int] = facts["view_mm"][match[1]]
    number = int(match[2])
    if not 1 <= number <= len(views):
        return None
    steps = facts["step_mm"]
    pixel = views[number - 1] / facts["columns"]
    return steps["others"].get(patient_id, steps["usual"]), pixel, pixel


@lru_cache(maxsize=1)
def _facts() -> Any:
    text = files("napari_tcia.nodes").joinpath("spacings.json").read_text("utf-8")
    return json.loads(text)


def as_published(volume: Volume) -> tuple[Check, ...]:
    """Compare the grid of `volume` with what the collection published.

    Parameters
    ----------
    volume : Volume

    Returns
    -------
    tuple of Check
        ``published_orientation`` (rule G2), ``published_steps`` (G3),
        ``published_count`` (G4) and ``published_spacing`` (G5); empty for a volume
        that is not credited to the collection, and for synthetic ones, which are
        smaller than what they model.
    """
    origin = volume.provenance
    if origin.collection != COLLECTION or origin.synthetic:
        return ()
    return _orientation(volume), _steps(volume), _count(volume), _spacing(volume)


def _orientation(volume: Volume) -> Check:
    spacing = spacing_of(volume.affine)
    directions = volume.affine[:3, :3] / np.asarray(spacing)
    # Columns are k, j, i: the slices rise with z, rows with y, columns with x.
    off = float(np.abs(directions - np.eye(3)[::-1]).max())
    verdict: Verdict = "pass" if off <= _DIRECTION else "warn"
    message = (
        "Axial, as the collection was published."
        if verdict == "pass"
        else "Cut or turned otherwise than the axial slices that the collection "
        "published: a copy that somebody made?"
    )
    return Check(
        "published_orientation", verdict, message, {"rule": "G2", "deviation": off}
    )


def _steps(volume: Volume) -> Check:
    """Slices of the collection are even to rounding; others may be less so."""
    known = next((c for c in volume.passport.checks if c.code == "uniform_step"), None)
    off = float(known.numbers.get("max_deviation_mm", 0.0)) if known else 0.0
    verdict: Verdict = "pass" if off <= _EVEN_MM else "warn"
    message = (
        "Slices as evenly spaced as the collection was published."
        if verdict == "pass"
        else f"Slices lie up to {off:.2g} mm beside even steps; those of the "
        "collection do not."
    )
    numbers = {"rule": "G3", "max_deviation_mm": off}
    return Check("published_steps", verdict, message, numbers)


def _count(volume: Volume) -> Check:
    known = next(
        (c for c in volume.passport.checks if c.code == "declared_count"), None
    )
    numbers: dict[str, Any] = {"rule": "G4", **(known.numbers if known else {})}
    if known is None or known.numbers.get("declared") is None:
        return Check(
            "published_count",
            "warn",
            "This series is not among those that the collection is known to hold, so "
            "slices cut off at an end would not be noticed.",
            numbers,
        )
    return Check("published_count", known.verdict, known.message, numbers)


def _spacing(volume: Volume) -> Check:
    code = "published_spacing"
    listed = published_spacing(volume.provenance.patient_id)
    found = spacing_of(volume.affine)
    numbers: dict[str, Any] = {"rule": "G5", "spacing": found, "published": listed}
    if listed is None:
        message = "No spacing is on record for this patient."
        return Check(code, "warn", message, numbers)
    off = np.abs(np.subtract(found, listed))
    # By what the far end of the grid is displaced, in voxels.
    ends = off * (np.asarray(volume.shape) - 1)
    if off.max() <= _EQUAL_MM:
        return Check(code, "pass", "Spacing as published.", numbers)
    words = "{:g} x {:g} x {:g} mm".format(*listed)
    said = "{:g} x {:g} x {:g} mm".format(*found)
    close = bool((ends <= 0.5 * np.asarray(listed)).all())
    return Check(
        code,
        "warn" if close else "fail",
        f"Spacing {said} where the collection published {words}: resampled, or "
        "another patient's?",
        {**numbers, "end_off_mm": ends.max()},
    )
