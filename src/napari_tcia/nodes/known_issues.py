"""What is known to be special about cases of CT Lymph Nodes.

Facts of the collection (doi:10.7937/K9/TCIA.2015.AQIIDCNM), found by comparing
the geometry of its 176 series and the rows of its annotation files.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from napari_tcia.core.model import Issue

COMPANIONS = {
    f"ABD_LYMPH_{abdomen:03d}": f"MED_LYMPH_{mediastinum:03d}"
    for abdomen, mediastinum in (
        *((1, 2), (2, 4), (10, 7), (11, 8), (12, 11), (15, 19), (19, 24), (24, 30)),
        *((27, 31), (28, 35), (31, 38), (32, 40), (34, 43), (36, 45), (39, 46)),
        *((40, 47), (42, 49), (46, 52), (50, 60), (52, 63), (56, 67), (62, 69)),
        *((69, 74), (83, 85), (86, 90)),
    )
}
"""Patients whose scan was published twice: abdominal ID to mediastinal ID."""

_COMPANION_OF = COMPANIONS | {med: abd for abd, med in COMPANIONS.items()}

_SPECIAL: dict[str, tuple[tuple[str, str], ...]] = {
    "MED_LYMPH_006": (
        (
            "reference_incomplete",
            "Others left this case out: its reference is incomplete.",
        ),
    ),
    "MED_LYMPH_080": (
        (
            "reference_incomplete",
            "Others left this case out: its reference is incomplete.",
        ),
    ),
    "MED_LYMPH_043": (
        (
            "volume_incomplete",
            "Others left this case out: they call its CT incomplete.",
        ),
    ),
    "MED_LYMPH_010": (
        ("size_missing", "One published size is 0, which stands for missing."),
    ),
    "MED_LYMPH_021": (
        ("thick_spacing", "5 mm slice spacing, thickness unknown; often left out."),
    ),
    "MED_LYMPH_073": (
        ("thick_spacing", "5 mm slice spacing, thickness unknown; often left out."),
    ),
    "MED_LYMPH_087": (
        (
            "age_unknown",
            "The patient's age is written N-A, which DICOM does not allow.",
        ),
    ),
    "ABD_LYMPH_003": (
        ("size_columns", "In row 5 the second size is not the first in pixels."),
    ),
    "ABD_LYMPH_071": (
        ("size_columns", "In row 6 the second size is not the first in pixels."),
    ),
}

_NO_CANDIDATES = frozenset({4, 21, 37, 43, 73, 84, 90})
_NO_POSITIVES = frozenset({10, 30, 45, 62})


def companion(patient_id: str) -> str | None:
    """Return the other patient ID under which the same scan was published."""
    return _COMPANION_OF.get(patient_id)


def separated_companions(
    first: Iterable[str], second: Iterable[str]
) -> tuple[tuple[str, str], ...]:
    """Scans that a split puts on both of its sides, under their two identities.

    Parameters
    ----------
    first, second : iterable of str
        Patient IDs of the two sides, for example of training and test.

    Returns
    -------
    tuple of (str, str)
        The ID in `first` and the one in `second`, in the order of `first`.
    """
    there = set(second)
    return tuple(
        (one, other)
        for one in dict.fromkeys(first)
        if (other := companion(one)) is not None and other in there
    )


def annotation_issues(descriptions: Iterable[str]) -> tuple[Issue, ...]:
    """What the SeriesDescription of a segmentation says of how complete it is.

    Mediastinal-Lymph-Node-SEG (doi:10.7937/QVAZ-JA09) calls 393 of its 513
    segmentations "Partially Annotated".
    """
    if any("partially annotated" in one.casefold() for one in descriptions):
        return (
            Issue(
                "warn",
                "partially_annotated",
                "Partially annotated, as its publishers say: a node without a label is "
                "not in the reference, and neither precision nor false positives can "
                "be told.",
            ),
        )
    return ()


def known_issues(patient_id: str) -> tuple[Issue, ...]:
    """Known facts about a case; empty for patients of other collections.

    Parameters
    ----------
    patient_id : str
        ``MED_LYMPH_001`` to ``090`` or ``ABD_LYMPH_001`` to ``086``.
    """
    match = re.fullmatch(r"(MED|ABD)_LYMPH_(\d{3})", patient_id)
    if match is None:
        return ()
    mediastinal = match[1] == "MED"
    number = int(match[2])
    if not 1 <= number <= (90 if mediastinal else 86):
        return ()
    region = "mediastinal" if mediastinal else "abdominal"
    issues = [
        Issue(
            "info",
            "reference_not_exhaustive",
            f"Only {region} nodes are annotated, and not all: a node elsewhere, or a "
            "small one, is not in the reference.",
            {"region": region},
        )
    ]
    other = companion(patient_id)
    if other is not None:
        issues.append(
            Issue(
                "info",
                "companion_scan",
                f"The same scan is also {other}, with annotations of its own: open "
                "that too to see them, and keep both on one side of a train and test "
                "split.",
                {"companion": other},
            )
        )
    if not mediastinal:
        issues += [
            Issue(
                "info",
                "one_diameter",
                "The published sizes are one diameter in mm and again in pixels; "
                "which axis it is, is not documented.",
            ),
            Issue(
                "info",
                "candidates_hold_the_truth",
                "The published positive candidates hold every annotated node by "
                "construction: no detector is to be scored on them.",
            ),
        ]
    issues += [Issue("warn", code, text) for code, text in _SPECIAL.get(patient_id, ())]
    if mediastinal and number in _NO_CANDIDATES:
        issues.append(
            Issue("info", "no_candidates", "The published candidate files are empty.")
        )
    if mediastinal and number in _NO_POSITIVES:
        issues.append(
            Issue(
                "info",
                "no_positive_candidates",
                "The published file of positive candidates is empty.",
            )
        )
    return tuple(issues)
