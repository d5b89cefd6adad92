"""Files of published node positions: found in folders and zips, and parsed."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from defusedxml import ElementTree
from defusedxml.common import DefusedXmlException
from numpy.typing import NDArray

from napari_tcia.core.image import Check, Verdict
from napari_tcia.errors import CorruptData, NothingFound, UnreadableAnnotation

Numbers = NDArray[np.float64]

EXACT_MM = 0.01
"""Distance of a point from its index up to which they are the same place."""
_NAME = re.compile(
    r"(?P<patient>.+)_lymphnodes_(?P<kind>indices|physicalpoints|sizes)\.(?P<ext>txt|mps)",
    re.IGNORECASE,
)
_MEMBER_LIMIT = 4 << 20
"""Size of an annotation file that is still read, bytes; the largest is 5 KB."""


@dataclass(frozen=True, slots=True, eq=False)
class PublishedPoints:
    """The files of one patient, before any image is known.

    Attributes
    ----------
    indices : (n, 3) float64 or None
        i j k, as written.
    points : (n, 3) float64 or None
        x y z, LPS mm, from the text file or else the MITK file.
    sizes : (n, 1) or (n, 2) float64 or None
        As written: mm, and in the abdominal files the same again in pixels.
    mps : (n, 3) float64 or None
        x y z of the MITK file.
    checks : tuple of Check
        Doubts about the files themselves.
    """

    patient_id: str
    indices: Numbers | None
    points: Numbers | None
    sizes: Numbers | None
    mps: Numbers | None
    checks: tuple[Check, ...]


def parse_points_folder(path: Path | str, patient_id: str = "") -> PublishedPoints:
    """Read the annotation files of one patient, without any volume.

    Parameters
    ----------
    path : path
        As in `read_points`.
    patient_id : str
        Which patient, where there are several.

    Raises
    ------
    NothingFound, UnreadableAnnotation
    """
    path = Path(path)
    owner, found = _gather(path, patient_id)
    read: dict[str, Numbers] = {}
    checks: list[Check] = []
    for kind, (name, data) in found.items():
        if kind == "mps":
            try:
                read[kind] = _mps(data, name)
            except UnreadableAnnotation as error:
                if "points" not in found:
                    raise
                checks.append(Check("mps_readable", "warn", error.message))
        else:
            columns = {"indices": (3,), "points": (3,), "sizes": (1, 2)}[kind]
            read[kind] = parse_table(data, name, columns)
    points = read.get("points", read.get("mps"))
    if points is None and "indices" not in read:
        raise NothingFound(
            f"{path.name} has no node positions of {owner or 'a patient'}.",
            "Expected <patient>_lymphnodes_physicalPoints.txt or _indices.txt.",
        )
    checks.insert(0, _row_counts(read))
    checks += _same_in_mps(read)
    return PublishedPoints(
        patient_id=owner,
        indices=read.get("indices"),
        points=points,
        sizes=read.get("sizes"),
        mps=read.get("mps"),
        checks=tuple(checks),
    )


def holds_published(folder: Path) -> bool:
    """Whether a folder holds a file that is named as the published ones are."""
    return any(_NAME.fullmatch(file.name) for file in folder.rglob("*_lymphnodes_*"))


def parse_table(data: bytes, name: str, columns: tuple[int, ...]) -> Numbers:
    """Parse rows of numbers: any white space, line ending, blank lines, a BOM.

    Returns
    -------
    (n, c) float64
        c is one of `columns`; (0, columns[0]) for an empty file.

    Raises
    ------
    UnreadableAnnotation
        Names the line at fault.
    """
    text = data.decode("utf-8-sig", "replace")
    rows: list[list[float]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()  # a comma may be decimal: refused, not guessed
        if not words:
            continue
        try:
            row = [float(word) for word in words]
        except ValueError as error:
            raise UnreadableAnnotation(
                f"{name}, line {number}: {line[:40]!r} is not a row of numbers.",
                "Fetch the file again.",
            ) from error
        if len(row) not in columns or (rows and len(row) != len(rows[0])):
            raise UnreadableAnnotation(
                f"{name}, line {number} has {len(row)} numbers where "
                f"{' or '.join(map(str, columns))} belong.",
                "Fetch the file again.",
            )
        if not np.isfinite(row).all():
            raise UnreadableAnnotation(f"{name}, line {number} is not finite.")
        rows.append(row)
    return np.array(rows, dtype=np.float64).reshape(
        len(rows), -1 if rows else columns[0]
    )


def _row_counts(read: dict[str, Numbers]) -> Check:
    counts = {kind: len(rows) for kind, rows in read.items()}
    lacking = [
        kind for kind in ("indices", "points", "sizes", "mps") if kind not in read
    ]
    numbers = {"rule": "P1", "rows": counts, "absent": lacking}
    told = ", ".join(f"{kind} {count}" for kind, count in counts.items())
    verdict: Verdict = "pass"
    message = f"All files have the same number of rows ({told})."
    if len(set(counts.values())) > 1:
        verdict, message = "fail", f"The files differ in their number of rows ({told})."
    elif lacking:
        verdict, message = "warn", f"Not there: {', '.join(lacking)} ({told})."
    return Check("row_counts", verdict, message, numbers)


def _same_in_mps(read: dict[str, Numbers]) -> list[Check]:
    if not {"mps", "points"} <= set(read) or len(read["mps"]) != len(read["points"]):
        return []
    if not len(read["mps"]):
        return []
    gap = float(np.abs(read["mps"] - read["points"]).max())
    verdict: Verdict = "pass"
    message = f"Text and MITK file agree within {gap:.2g} mm."
    if gap > EXACT_MM:
        verdict, message = "fail", f"Text and MITK file differ by up to {gap:.4g} mm."
    return [Check("mps_equals_points", verdict, message, {"residual_mm": gap})]


def _mps(data: bytes, name: str) -> Numbers:
    """Points of a MITK point set (version 0.1), in file order."""
    if not data.strip():
        return np.empty((0, 3))
    try:
        root = ElementTree.fromstring(data)
        rows = [
            [float(point.findtext(axis, "")) for axis in "xyz"]
            for point in root.iter("point")
        ]
    except (ElementTree.ParseError, DefusedXmlException, ValueError) as error:
        raise UnreadableAnnotation(
            f"{name} is no whole MITK point set: {error}.", "Fetch it again."
        ) from error
    return np.array(rows, dtype=np.float64).reshape(-1, 3)


def _gather(path: Path, patient: str) -> tuple[str, dict[str, tuple[str, bytes]]]:
    """Pick one patient's files, by kind: indices, points, sizes, mps."""
    entries = list(annotation_files(path))
    groups: dict[str, dict[str, Any]] = {}
    for name, read in entries:
        match = _NAME.fullmatch(PurePosixPath(name.replace("\\", "/")).name)
        if match is None:
            continue
        kind = match["kind"].lower()
        if match["ext"].lower() == "mps":
            kind = "mps" if kind == "physicalpoints" else ""
        kind = "points" if kind == "physicalpoints" else kind
        if kind:
            groups.setdefault(match["patient"], {}).setdefault(kind, (name, read))
    if path.is_file() and (own := _NAME.fullmatch(path.name)):
        patient = own["patient"]
    if not groups and path.suffix.lower() == ".mps" and path.is_file():
        return patient, {"mps": (path.name, path.read_bytes())}
    if patient not in groups:
        if len(groups) != 1:
            raise NothingFound(
                f"{path.name} holds no published points of {patient or 'one patient'}.",
                "Choose the folder of one patient."
                if groups
                else "Expected <patient>_lymphnodes_physicalPoints.txt and the like.",
                patients=sorted(groups)[:20],
            )
        patient = next(iter(groups))
    chosen = groups[patient]
    return patient, {kind: (name, read()) for kind, (name, read) in chosen.items()}


def annotation_files(path: Path) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Names and readers of the text and MITK files below a path or in a zip.

    A single file stands for its folder. Resource forks of macOS are left out, and
    so are members of a zip whose names would leave its folder.
    """
    if not path.exists():
        raise NothingFound(f"{path} does not exist.", "Check the path.")
    if path.suffix.lower() == ".zip":
        for info in _members(path):
            member = PurePosixPath(info.filename.replace("\\", "/"))
            odd = {"__MACOSX", "..", "/"} & set(member.parts)
            hidden = bool(odd) or member.name.startswith(".")
            if not (info.is_dir() or hidden or info.file_size > _MEMBER_LIMIT):
                yield info.filename, partial(_extract, path, info)
        return
    files = path.parent.iterdir() if path.is_file() else path.rglob("*")
    for file in sorted(files):
        hidden = file.name.startswith(".") or "__MACOSX" in file.parts
        if hidden or file.suffix.lower() not in (".txt", ".mps") or not file.is_file():
            continue
        if file.stat().st_size <= _MEMBER_LIMIT:
            yield str(file), file.read_bytes


def _members(path: Path) -> list[zipfile.ZipInfo]:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.infolist()
    except zipfile.BadZipFile as error:
        raise CorruptData(
            f"{path.name} is damaged: {error}.", "Fetch it again."
        ) from error


def _extract(path: Path, info: zipfile.ZipInfo) -> bytes:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.read(info)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise CorruptData(
            f"{info.filename} in {path.name} is damaged: {error}.", "Fetch it again."
        ) from error
