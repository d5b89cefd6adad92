"""Cases that are there for their terms: several licences at once, head and neck."""

from __future__ import annotations

from napari_tcia.demo.cases import Case
from napari_tcia.demo.holdings import HEAD_AND_NECK, MIXED_PARTS
from napari_tcia.demo.identity import Identity
from napari_tcia.demo.phantom import Scan

_SMALL = Scan(
    seed=700, matrix=64, slices=12, step=5.0, bottom=-30, nodes=0, fov=348.0
)  # fmt: skip


def small_cases() -> tuple[Case, ...]:
    """One case per licence of the mixed collection, and a head and neck."""
    mixed = [
        Case(holding, _identity(holding.name, f"MX-{n:03d}", "CHEST"), _SMALL, False)
        for n, holding in enumerate(MIXED_PARTS, start=1)
    ]
    neck = _identity(HEAD_AND_NECK.name, "HN-001", "HEADNECK")
    high = Scan(seed=710, matrix=64, slices=10, step=5.0, bottom=60, nodes=0, fov=348.0)
    return (*mixed, Case(HEAD_AND_NECK, neck, high, False))


def _identity(collection: str, patient_id: str, body_part: str) -> Identity:
    return Identity(
        collection=collection,
        patient_id=patient_id,
        description=f"SYNTHETIC {body_part.lower()}",
        body_part=body_part,
        manufacturer='"SYNTHETIC" scanner',
        model="phantom",
        study_date="20210601",
    )
