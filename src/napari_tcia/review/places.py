"""What a draft is about, whose it is, and where it lies.

::

    DRAFTS/<host>/<SeriesInstanceUID>/
        lock  holder.json             who writes: one process at a time
        <reader>-<hash>/
            log.jsonl                 everything that was done, in order
            edits.bin                 what was painted: sparse differences, appended
            snapshot-<n>.npz          the labels after record n
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_tcia.core.files import check_uid
from napari_tcia.core.geometry import same_grid
from napari_tcia.errors import CorruptData, GeometryMismatch, UsageError, WrongSeries

LOG, EDITS = "log.jsonl", "edits.bin"
_SAME_MM = 1e-3
_BAD = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
"""Categories of characters that have no place in a code of one line."""


@dataclass(frozen=True, slots=True)
class DraftCase:
    """What a draft is about; the same numbers, or it is another case.

    Attributes
    ----------
    series_uid : str
        Of the images.
    host : str
        Archive that they came from, ``"own"`` for a user's folder.
    shape : (3,) tuple of int
    affine : 4 x 4 nested tuples
        (k, j, i, 1) to LPS mm.
    name, collection, frame_of_reference_uid : str
    """

    series_uid: str
    host: str
    shape: tuple[int, int, int]
    affine: tuple[tuple[float, ...], ...]
    name: str = ""
    collection: str = ""
    frame_of_reference_uid: str = ""


def reader_code(name: str) -> str:
    """A reader's code as it is written down: trimmed, composed, of one line.

    Raises
    ------
    UsageError
        Empty, longer than 64 characters, or with control characters.
    """
    code = unicodedata.normalize("NFC", name).strip()
    if not code or len(code) > 64 or any(unicodedata.category(c) in _BAD for c in code):
        raise UsageError(
            f"{name[:40]!r} is no reader code.",
            "Give 1 to 64 characters on one line, for example R1.",
        )
    return code


def folder_of(drafts: Path, host: str, series_uid: str, reader: str = "") -> Path:
    """Folder of a case's drafts, or of one reader's; different for different codes.

    Raises
    ------
    UsageError
        The UID is none.
    """
    place = drafts / re.sub(r"[^0-9A-Za-z.-]", "_", host or "own")
    place /= check_uid(series_uid)
    if not reader:
        return place
    plain = re.sub(r"[^0-9A-Za-z]+", "_", reader)[:24].strip("_") or "reader"
    return place / f"{plain}-{hashlib.sha256(reader.encode()).hexdigest()[:10]}"


def case_from(value: Any, folder: Path) -> DraftCase:
    """Read what a draft is about from its first record.

    Raises
    ------
    CorruptData
        It does not say.
    """
    try:
        return DraftCase(
            series_uid=str(value["series_uid"]),
            host=str(value["host"]),
            shape=tuple(int(n) for n in value["shape"]),  # type: ignore[arg-type]
            affine=tuple(tuple(float(v) for v in row) for row in value["affine"]),
            name=str(value.get("name", "")),
            collection=str(value.get("collection", "")),
            frame_of_reference_uid=str(value.get("frame_of_reference_uid", "")),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptData(
            f"The annotation in {folder} does not say what it is about.",
            "It was left as it is. Bring the folder back from a backup.",
        ) from error


def on_same_grid(one: DraftCase, other: DraftCase) -> bool:
    """Whether two cases have the same voxels in the same places, to a thousandth mm."""
    if tuple(one.shape) != tuple(other.shape):
        return False
    here, there = np.asarray(one.affine), np.asarray(other.affine)
    return same_grid(here, there, one.shape) <= _SAME_MM


def require_same(found: DraftCase, case: DraftCase, folder: Path) -> None:
    """Refuse a draft of another case, or of another grid.

    Raises
    ------
    WrongSeries, GeometryMismatch
        It was left as it is.
    """
    if found.series_uid != case.series_uid:
        raise WrongSeries(
            f"The annotation in {folder} is of series {found.series_uid}, not of "
            f"{case.series_uid}.",
            "It was left as it is; move it back to its own case.",
        )
    if not on_same_grid(found, case):
        same = tuple(found.shape) != tuple(case.shape)
        raise GeometryMismatch(
            f"The annotation in {folder} was made on images of shape {found.shape}, "
            f"these are {case.shape}"
            + ("." if same else ", or lie elsewhere in the patient."),
            "It was left as it is; open the series as it was read then.",
            shape=list(found.shape),
        )
