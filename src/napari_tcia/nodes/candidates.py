"""Detector candidates that were published with the collection.

``<patient>_posCADe_*`` and ``<patient>_negCADe_*``: LPS millimetres, and a
number per row that is -1 for a negative and else names the node it hit
(mediastinum: 100 * patient + row; abdomen: 10000 more). Empty files are
0 bytes and mean that there are none.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np

from napari_tcia.core.geometry import patient_to_index
from napari_tcia.core.image import Check, PointSet, Volume
from napari_tcia.core.model import Provenance
from napari_tcia.errors import NothingFound
from napari_tcia.nodes.point_files import annotation_files, parse_table
from napari_tcia.volume import require_sound

_NAME = re.compile(
    r"(?P<patient>.+)_(?P<sign>pos|neg)CADe_(?P<kind>physicalPoints|grtIDs)\.txt",
    re.IGNORECASE,
)


def read_candidates(
    path: Path | str, volume: Volume, *, provenance: Provenance | None = None
) -> tuple[PointSet, ...]:
    """Read the candidates of a volume's patient.

    Parameters
    ----------
    path : path
        One of the files, the patient's folder, a folder above it, or the zip of
        all patients.
    volume : Volume
        The CT, of sound geometry.
    provenance : Provenance, optional
        Where the files came from; that of the volume by default.

    Returns
    -------
    tuple of PointSet
        Positive, then negative; a kind whose file is absent is left out, an
        empty file gives a set without points.

    Raises
    ------
    BrokenGeometry, NothingFound, UnreadableAnnotation
    """
    require_sound(volume, "annotations")
    path = Path(path)
    patient = volume.provenance.patient_id
    groups: dict[str, dict[tuple[str, str], tuple[str, Callable[[], bytes]]]] = {}
    for name, read in annotation_files(path):
        match = _NAME.fullmatch(PurePosixPath(name.replace("\\", "/")).name)
        if match is not None:
            key = (match["sign"].lower(), match["kind"].lower())
            groups.setdefault(match["patient"], {}).setdefault(key, (name, read))
    if patient not in groups:
        if len(groups) != 1:
            raise NothingFound(
                f"{path.name} holds no candidates of {patient or 'one patient'}.",
                "Choose the folder of one patient.",
                patients=sorted(groups)[:20],
            )
        patient = next(iter(groups))
    files = groups[patient]
    base = volume.provenance if provenance is None else provenance
    sets = []
    for sign, word in (("pos", "positive"), ("neg", "negative")):
        if (sign, "physicalpoints") not in files:
            continue
        name, read = files[sign, "physicalpoints"]
        points = parse_table(read(), name, (3,))
        hits = np.empty((0, 1))
        if (sign, "grtids") in files:
            name, read = files[sign, "grtids"]
            hits = parse_table(read(), name, (1,))
        sets.append(
            PointSet(
                points=points,
                indices=patient_to_index(volume.affine, points),
                sizes_mm=np.full(len(points), np.nan),
                ids=tuple(range(1, len(points) + 1)),
                name=f"{patient} {word} candidates",
                provenance=replace(base, modality=""),
                checks=(_decoded(hits[:, 0], len(points), patient, sign),),
                path=path,
            )
        )
    if not sets:
        raise NothingFound(f"{path.name} has no candidate positions of {patient}.")
    return tuple(sets)


def node_row(hit: int, patient: str) -> int | None:
    """Row (from 1) of the node that a candidate hit, None for another patient."""
    match = re.fullmatch(r"(MED|ABD)_LYMPH_(\d+)", patient)
    if match is None:
        return None
    base = 100 * int(match[2]) + (10000 if match[1] == "ABD" else 0)
    return hit - base if 1 <= hit - base <= 99 else None


def _decoded(hits: np.ndarray, count: int, patient: str, sign: str) -> Check:
    code = "candidate_nodes"
    if not count:
        return Check(
            code, "warn", "The file is empty: there are no candidates.", {"rule": "C2"}
        )
    if len(hits) != count:
        message = f"{count} candidates and {len(hits)} node numbers."
        return Check(code, "warn" if not len(hits) else "fail", message, {"rule": "C2"})
    if sign == "neg":
        wrong = int((hits != -1).sum())
        message = (
            f"{wrong} negatives name a node." if wrong else "No negative names a node."
        )
        return Check(code, "fail" if wrong else "pass", message, {"rule": "C2"})
    rows = [node_row(int(hit), patient) for hit in hits]
    strangers = rows.count(None)
    message = (
        f"{strangers} of {count} candidates name a node of another patient."
        if strangers
        else f"{count} candidates name {len(set(rows))} nodes."
    )
    return Check(
        code, "fail" if strangers else "pass", message, {"rule": "C2", "rows": rows}
    )
