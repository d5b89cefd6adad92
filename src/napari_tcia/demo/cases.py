"""The cases that the embedded archive holds: who is scanned, how, with what nodes.

Real names and geometry, SYNTHETIC content.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from napari_tcia.demo.annotations import candidate_files, mask_file, point_files
from napari_tcia.demo.holdings import (
    LNQ,
    LYMPH_NODES,
    NON_COMMERCIAL,
    UNLICENSED,
    Holding,
)
from napari_tcia.demo.identity import Identity
from napari_tcia.demo.phantom import Node, Scan, make_labels, make_nodes

_ABD = Scan(
    seed=3,
    region="abdomen",
    bottom=-292,
    nodes=6,
    fov=350.0,
    offset=(-4.25, 31.5, -88.6),
)
_CASES: dict[str, tuple[Scan, str, str]] = {
    "MED_LYMPH_001": (Scan(seed=1, nodes=7, unlisted=1), "M", "065Y"),
    "MED_LYMPH_021": (
        Scan(
            seed=21, slices=56, step=5.0, fov=323.0, bottom=-160, nodes=5,
            offset=(-3.0, 154.9999, -122.0), scale=0.92,
        ),
        "F",
        "068Y",
    ),
    "ABD_LYMPH_001": (_ABD, "M", "073Y"),
    "MED_LYMPH_002": (_ABD, "M", "073Y"),
    "MED_LYMPH_010": (Scan(seed=10, nodes=3, fov=336.0, scale=0.96), "F", "054Y"),
    "MED_LYMPH_087": (
        Scan(seed=87, nodes=4, offset=(9.2e-5, -148.75, -391.25)), "M", "N-A",
    ),
    "MED_LYMPH_073": (
        Scan(seed=73, slices=50, step=5.0, bottom=-130, nodes=10, fov=348.0),
        "M",
        "053Y",
    ),
    "ABD_LYMPH_060": (replace(_ABD, seed=606, nodes=3, fov=344.0), "F", "053Y"),
    "ABD_LYMPH_002": (
        replace(_ABD, seed=102, nodes=34, fov=340.0, slices=120, bottom=-362),
        "M",
        "030Y",
    ),
    "ABD_LYMPH_003": (replace(_ABD, seed=103, nodes=9, fov=345.0), "F", "055Y"),
    "ABD_LYMPH_009": (
        replace(_ABD, seed=109, unmasked=1, offset=(-4.25, -104.5, 652.5)), "F", "034Y",
    ),
    "ABD_LYMPH_013": (
        replace(_ABD, seed=113, step=1.25, slices=180, jitter=4e-6), "F", "055Y",
    ),
    "ABD_LYMPH_071": (replace(_ABD, seed=171, fov=342.0), "M", "047Y"),
}  # fmt: skip
"""The named cases of CT Lymph Nodes; MED 002 is the same scan as ABD 001."""
_FULL = {
    "ABD_LYMPH_001": (661, 1.0, 383.0), "MED_LYMPH_002": (661, 1.0, 383.0),
    "ABD_LYMPH_002": (706, 1.0, 350.0), "ABD_LYMPH_003": (485, 1.0, 420.0),
    "ABD_LYMPH_009": (679, 1.0, 360.0), "ABD_LYMPH_013": (527, 1.25, 340.0),
    "ABD_LYMPH_060": (567, 1.0, 500.0), "ABD_LYMPH_071": (650, 1.0, 400.0),
    "MED_LYMPH_001": (666, 1.0, 437.0),
    "MED_LYMPH_010": (655, 1.0, 360.0),
    "MED_LYMPH_021": (56, 5.0, 323.0), "MED_LYMPH_073": (148, 5.0, 436.0),
    "MED_LYMPH_087": (718, 1.0, 454.0),
}  # fmt: skip
"""Slices, their distance (mm) and field of view (mm) of the real series."""
_NO_CANDIDATES = {"MED": (4, 21, 37, 43, 73, 84, 90), "ABD": ()}
_NO_POSITIVES = {"MED": (10, 30, 45, 62), "ABD": ()}
"""Patients whose candidate files are empty."""
_MASK_TYPES = {"MED_LYMPH_002": "int16", "ABD_LYMPH_060": "float32"}
_TOP = 168.0
"""Body z of the highest slice of a whole scan, mm: the lower neck."""


@dataclass(frozen=True, slots=True)
class Case:
    """A patient of the twin: one CT, and perhaps its segmentation."""

    holding: Holding
    identity: Identity
    scan: Scan
    has_seg: bool = True

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The truth."""
        return make_nodes(self.scan)

    def point_files(self) -> dict[str, bytes]:
        """The annotation text files, by name."""
        patient = self.identity.patient_id
        return point_files(
            patient,
            self.scan,
            self.nodes,
            size_missing=patient == "MED_LYMPH_010",
            odd_size={"ABD_LYMPH_003": 5, "ABD_LYMPH_071": 6}.get(patient, 0),
        )

    def candidate_files(self) -> dict[str, bytes]:
        """The files of detector candidates, by name."""
        patient = self.identity.patient_id
        region, number = patient[:3], int(patient[-3:])
        empty: tuple[str, ...] = ()
        if number in _NO_CANDIDATES[region]:
            empty = ("pos", "neg")
        elif number in _NO_POSITIVES[region]:
            empty = ("pos",)
        return candidate_files(
            patient, self.scan, self.nodes, empty, msvc=patient == "MED_LYMPH_087"
        )

    def mask_files(self) -> dict[str, bytes]:
        """The mask, by name."""
        patient = self.identity.patient_id
        labels = make_labels(self.scan, self.nodes)
        dtype = _MASK_TYPES.get(patient, "uint8")
        return {f"{patient}_mask.nii.gz": mask_file(self.scan, labels, dtype)}


def lymph_case(patient_id: str, full_size: bool = False, **changes: Any) -> Case:
    """A case of the twin's CT Lymph Nodes.

    Parameters
    ----------
    patient_id : str
        ``MED_LYMPH_nnn`` or ``ABD_LYMPH_nnn``.
    full_size : bool
        512 x 512 with the slices and field of view of the real series (650 of
        1 mm where the case is none of the named ones), in a body as large.
    **changes
        Fields of `Scan` to replace, for example ``matrix=128``; another `step`
        keeps the extent unless `slices` is given too.
    """
    number = int(patient_id[-3:])
    abdomen = patient_id.startswith("ABD")
    default = replace(_ABD if abdomen else Scan(seed=0), seed=1000 + number, nodes=4)
    scan, sex, age = _CASES.get(patient_id, (default, "F", "060Y"))
    if full_size:
        slices, step, fov = _FULL.get(patient_id, (650, 1.0, 400.0))
        scale = min(max(fov / 348, 0.92), 1.25)
        bottom = max(_TOP - slices * step / scale, -540.0)
        scan = replace(
            scan, matrix=512, slices=slices, step=step, fov=fov, scale=scale,
            bottom=round(bottom, 1),
        )  # fmt: skip
    word = "abdominal" if abdomen else "mediastinal"
    identity = Identity(
        collection=LYMPH_NODES.name,
        patient_id=patient_id,
        description=f"{word}_lymph_nodes",
        body_part="ABDOMEN" if abdomen else "MEDIASTINUM",
        sex=sex,
        age=age,
        seg_description="Lymph node segmentations",
        node_code="818991007" if abdomen else "62683002",
    )
    if "step" in changes:  # the same body, in more or fewer slices
        changes.setdefault("slices", round(scan.slices * scan.step / changes["step"]))
    scan = replace(scan, **changes)
    return Case(LYMPH_NODES, identity, scan)


def all_cases(cases: int = 3, full_size: bool = False) -> tuple[Case, ...]:
    """`cases` of CT Lymph Nodes (of 176), and the few of the other collections."""
    numbers = [("MED", n) for n in range(1, 91)] + [("ABD", n) for n in range(1, 87)]
    every = [f"{region}_LYMPH_{number:03d}" for region, number in numbers]
    names = list(dict.fromkeys([*_CASES, *every]))[: max(cases, 1)]
    small = Scan(seed=0, matrix=128, slices=28, step=5.0, bottom=-70, nodes=2, fov=348)
    others = []
    for number, description in ((2, "Partially Annotated"), (3, "Fully Annotated")):
        identity = Identity(
            collection=LNQ.name,
            patient_id=f"case_{number:04d}",
            description="CHEST SYNTHETIC",
            body_part="CHEST",
            manufacturer="GE MEDICAL SYSTEMS",
            model="SYNTHETIC phantom",
            seg_description=description,
            study_date="20110223",
        )
        others.append(Case(LNQ, identity, replace(small, seed=500 + number)))
    for holding, patient in ((NON_COMMERCIAL, "NC-001"), (UNLICENSED, "UL-001")):
        identity = Identity(
            collection=holding.name,
            patient_id=patient,
            description="SYNTHETIC chest",
            body_part="CHEST" if holding is NON_COMMERCIAL else "",
            manufacturer='"SYNTHETIC" scanner',
            model="phantom",
            study_date="20200102",
        )
        tiny = replace(small, seed=900 + len(others), matrix=64, slices=12, nodes=0)
        others.append(Case(holding, identity, tiny, has_seg=False))
    return (*(lymph_case(name, full_size) for name in names), *others)
