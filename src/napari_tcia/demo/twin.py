"""What the embedded archive holds: collections, cases, series, and their files.

Real names and formats, SYNTHETIC content. Counts and sizes are known from
headers and labels alone; pixels are painted when somebody asks for them.
"""

from __future__ import annotations

import io
import threading
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from napari_tcia.demo.annotations import candidate_files, mask_file, point_files
from napari_tcia.demo.holdings import (
    LNQ,
    LYMPH_NODES,
    NON_COMMERCIAL,
    UNLICENSED,
    Holding,
)
from napari_tcia.demo.identity import Identity
from napari_tcia.demo.phantom import SLAB, Node, Scan, make_ct, make_labels, make_nodes

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
}  # fmt: skip
"""The named cases of CT Lymph Nodes; MED 002 is the same scan as ABD 001."""
_FULL = {
    "ABD_LYMPH_001": (661, 1.0, 383.0), "MED_LYMPH_002": (661, 1.0, 383.0),
    "ABD_LYMPH_002": (706, 1.0, 350.0), "ABD_LYMPH_003": (485, 1.0, 420.0),
    "ABD_LYMPH_009": (679, 1.0, 360.0), "ABD_LYMPH_013": (527, 1.25, 340.0),
    "ABD_LYMPH_060": (567, 1.0, 500.0), "MED_LYMPH_001": (666, 1.0, 437.0),
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
            odd_size=patient in ("ABD_LYMPH_003", "ABD_LYMPH_071"),
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
    """`cases` of CT Lymph Nodes, and the few of the other collections."""
    more = (f"MED_LYMPH_{number:03d}" for number in range(3, 91))
    names = [*_CASES, *(name for name in more if name not in _CASES)][: max(cases, 1)]
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


@dataclass(frozen=True, slots=True)
class TwinSeries:
    """One series of a case."""

    case: Case
    modality: Literal["CT", "SEG"]

    @property
    def uid(self) -> str:
        """SeriesInstanceUID."""
        identity = self.case.identity
        return identity.ct_uid if self.modality == "CT" else identity.seg_uid

    @property
    def sop_uids(self) -> tuple[str, ...]:
        """SOPInstanceUIDs by slice."""
        identity = self.case.identity
        if self.modality == "SEG":
            return (identity.uid("seg", 1),)
        return tuple(identity.uid("ct", k) for k in range(self.case.scan.slices))


@dataclass(slots=True)
class Twin:
    """The holdings, with a folder in which painted instances are kept.

    Parameters
    ----------
    folder : Path
        Cache, which exists; files appear when they are first asked for.
    cases : tuple of Case
    """

    folder: Path
    cases: tuple[Case, ...]
    series: Mapping[str, TwinSeries] = field(init=False)
    _lock: threading.RLock = field(init=False, default_factory=threading.RLock)
    _segs: dict[str, bytes] = field(init=False, default_factory=dict)
    _sizes: dict[str, int] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        series = [
            TwinSeries(case, modality)
            for case in self.cases
            for modality in (("CT", "SEG") if case.has_seg else ("CT",))
        ]
        self.series = {one.uid: one for one in series}

    def file_size(self, uid: str) -> int:
        """Sum of the Part 10 bytes of a series, without painting any pixel."""
        with self._lock:
            if uid not in self._sizes:
                one = self.series[uid]
                self._sizes[uid] = (
                    len(self._seg(one)) if one.modality == "SEG" else _ct_size(one.case)
                )
            return self._sizes[uid]

    def instance(self, uid: str, k: int) -> Path:
        """File of instance `k` of a series, painted now if it was not yet."""
        one = self.series[uid]
        folder = self.folder / uid
        path = folder / f"{one.sop_uids[k]}.dcm"
        with self._lock:
            if not path.exists():
                # Not the parents: a stopped archive has removed its cache.
                folder.mkdir(exist_ok=True)
                if one.modality == "SEG":
                    _put(path, self._seg(one))
                else:
                    _paint_slab(one, k - k % SLAB, folder)
        return path

    def supplement(self, name: str) -> Path | None:
        """A supplementary zip by its published name; None when there is no such."""
        makers = {
            "MED_ABD_LYMPH_ANNOTATIONS.zip": Case.point_files,
            "MED_ABD_LYMPH_MASKS.zip": Case.mask_files,
            "MED_ABD_LYMPH_CANDIDATES.zip": Case.candidate_files,
        }
        if name not in makers:
            return None
        path = self.folder / name
        with self._lock:
            if not path.exists():
                cases = [case for case in self.cases if case.holding is LYMPH_NODES]
                _put(path, _supplement(name.removesuffix(".zip"), cases, makers[name]))
        return path

    def _seg(self, one: TwinSeries) -> bytes:
        if one.uid not in self._segs:
            self._segs[one.uid] = _seg_bytes(one.case)
        return self._segs[one.uid]


def phantom_case(
    folder: Path, patient_id: str = "MED_LYMPH_001", **changes: Any
) -> Path:
    """Write one SYNTHETIC case: CT, SEG, annotation files.

    The layout is ``folder/<PatientID>/CT/*.dcm``, ``.../SEG/*.dcm`` and
    ``.../annotations/*.txt`` with the ``.mps``, and ``.../mask/*.nii.gz``.

    Parameters
    ----------
    folder : Path
        Created when missing.
    patient_id : str
        As in `lymph_case`.
    **changes
        Fields of `Scan` to replace; ``matrix=96, step=5.0`` makes a
        case in a fraction of a second.

    Returns
    -------
    Path
        ``folder/<PatientID>``.
    """
    case = lymph_case(patient_id, **changes)
    home = folder / patient_id
    for name in ("CT", "SEG", "annotations", "mask"):
        (home / name).mkdir(parents=True, exist_ok=True)
    ct = TwinSeries(case, "CT")
    for first in range(0, case.scan.slices, SLAB):
        _paint_slab(ct, first, home / "CT")
    seg = home / "SEG" / f"{case.identity.uid('seg', 1)}.dcm"
    seg.write_bytes(_seg_bytes(case))
    for name, data in case.point_files().items():
        (home / "annotations" / name).write_bytes(data)
    for name, data in case.mask_files().items():
        (home / "mask" / name).write_bytes(data)
    return home


def _supplement(
    top: str, cases: Sequence[Case], make: Callable[[Case], dict[str, bytes]]
) -> bytes:
    """A zip with one folder per patient below a folder of the zip's own name."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for case in cases:
            for member, data in make(case).items():
                name = f"{top}/{case.identity.patient_id}/{member}"
                info = zipfile.ZipInfo(name, (2015, 12, 14, 0, 0, 0))
                archive.writestr(info, data, zipfile.ZIP_DEFLATED)
    return stream.getvalue()


# The DICOM libraries are loaded late, for the archive to be up at once.


def _seg_bytes(case: Case) -> bytes:
    from napari_tcia.demo.dicom import seg_bytes

    labels = make_labels(case.scan, case.nodes)
    return seg_bytes(case.identity, case.scan, labels, case.nodes)


def _paint_slab(one: TwinSeries, first: int, folder: Path) -> None:
    from napari_tcia.demo.dicom import ct_bytes, ct_header

    case = one.case
    stop = min(first + SLAB, case.scan.slices)
    pixels = make_ct(case.scan, case.nodes, first, stop)
    for k, plane in zip(range(first, stop), pixels, strict=True):
        header = ct_header(case.identity, case.scan, k)
        _put(folder / f"{header.SOPInstanceUID}.dcm", ct_bytes(header, plane))


def _ct_size(case: Case) -> int:
    from napari_tcia.demo.dicom import ct_size

    return ct_size(case.identity, case.scan)


def _put(path: Path, data: bytes) -> None:
    """Whole or not there; a cache needs no fsync."""
    part = path.with_suffix(".part")
    part.write_bytes(data)
    part.replace(path)
