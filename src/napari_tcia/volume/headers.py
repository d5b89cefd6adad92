"""The DICOM files of a folder, and the series that they form."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_tcia.core.model import TWIN_MARK, TWIN_UID_ROOT
from napari_tcia.core.task import CancelToken, Progress, Report, silent
from napari_tcia.errors import NoDicom
from napari_tcia.volume.decode import Memory, read_header
from napari_tcia.volume.instance import Header

_SUFFIXES = (".dcm", ".dicom", ".ima")
"""Names that claim to be DICOM: when unreadable, they are reported."""


@dataclass(frozen=True, slots=True)
class SeriesHeaders:
    """One series of a folder, as its headers tell.

    Attributes
    ----------
    comments : str
        PatientComments and ImageComments.
    synthetic : bool
        Made by the embedded archive.
    referenced_series_uid : str
        Series that a SEG or RTSTRUCT refers to, empty when it does not say.
    is_image : bool
        False for SEG, RTSTRUCT, SR and the like.
    """

    series_uid: str
    study_uid: str
    patient_id: str
    modality: str
    sop_class_uid: str
    description: str
    frame_of_reference_uid: str
    body_part: str
    manufacturer: str
    ctp_collection: str
    comments: str
    synthetic: bool
    files: tuple[Path, ...]
    referenced_series_uid: str
    is_image: bool


@dataclass(frozen=True, slots=True)
class Scan:
    """Headers of all DICOM files, and files that only claim to be DICOM."""

    headers: tuple[Header, ...]
    unreadable: tuple[Path, ...]


def is_synthetic(comments: str, series_uid: str) -> bool:
    """Whether an instance says that the embedded archive made it."""
    return TWIN_MARK in comments or series_uid.startswith(TWIN_UID_ROOT)


def candidates(path: Path | str | Sequence[Path | str]) -> list[Path]:
    """Files below `path` that may be DICOM, sorted by name; links are followed once.

    Raises
    ------
    NoDicom
        `path` does not exist.
    """
    if not isinstance(path, (str, Path)):
        return sorted({file for item in path for file in candidates(item)})
    path = Path(path)
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise NoDicom(f"{path} does not exist.", "Check the path.")
    files = []
    for folder, folders, names in os.walk(path):
        folders[:] = [name for name in folders if name != "__MACOSX"]
        files += [os.path.join(folder, n) for n in names if not n.startswith(".")]  # noqa: PTH118 - strings sort ten times as fast
    return [Path(file) for file in sorted(files)]


def scan(
    path: Path | str | Sequence[Path | str],
    *,
    report: Report = silent,
    token: CancelToken | None = None,
) -> Scan:
    """Read every header below `path`.

    Files that are not DICOM (LICENSE, metadata.csv, DICOMDIR) are passed over;
    one that starts as DICOM, or is named like it, and does not parse is listed.
    """
    files = candidates(path)
    headers: list[Header] = []
    memory = Memory()
    unreadable: list[Path] = []
    for done, file in enumerate(files):
        if token is not None:
            token.raise_if_cancelled()
        if done % 32 == 0:
            report(Progress("Reading headers", done, len(files), "files"))
        try:
            header = read_header(file, memory)
        except (OSError, ValueError):
            unreadable.append(file)  # named in the passport
            continue
        if header is not None and header.series_uid:
            headers.append(header)
        elif header is not None or file.suffix.lower() in _SUFFIXES:
            unreadable.append(file)
    return Scan(tuple(headers), tuple(unreadable))


def by_series(headers: Iterable[Header]) -> dict[str, list[Header]]:
    """Group headers by SeriesInstanceUID, in the order of first appearance."""
    groups: dict[str, list[Header]] = {}
    for header in headers:
        groups.setdefault(header.series_uid, []).append(header)
    return groups


def survey(
    path: Path | str | Sequence[Path | str],
    *,
    report: Report = silent,
    token: CancelToken | None = None,
) -> tuple[SeriesHeaders, ...]:
    """List the series below `path`, images first, each in the order of names.

    Returns
    -------
    tuple of SeriesHeaders
        Empty when there is no DICOM.

    Raises
    ------
    NoDicom
        `path` does not exist.
    """
    groups = by_series(scan(path, report=report, token=token).headers)
    series = [
        SeriesHeaders(
            series_uid=uid,
            study_uid=first.study_uid,
            patient_id=first.patient_id,
            modality=first.modality,
            sop_class_uid=first.sop_class_uid,
            description=first.description,
            frame_of_reference_uid=first.frame_of_reference_uid,
            body_part=first.body_part,
            manufacturer=first.manufacturer,
            ctp_collection=first.ctp_collection,
            comments=first.comments,
            synthetic=is_synthetic(first.comments, uid),
            files=tuple(header.path for header in group),
            referenced_series_uid=first.referenced_series_uid,
            is_image=first.is_image,
        )
        for uid, group in groups.items()
        for first in group[:1]
    ]
    return tuple(sorted(series, key=lambda one: not one.is_image))
