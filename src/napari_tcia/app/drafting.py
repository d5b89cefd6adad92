"""A reader's annotation of a case: begun, continued, listed, saved elsewhere."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_tcia.app import credit
from napari_tcia.app.services import Services
from napari_tcia.core.files import write_json
from napari_tcia.core.geometry import Affine
from napari_tcia.core.image import (
    Check,
    Choices,
    LabelSet,
    NodeRow,
    Segment,
    Volume,
)
from napari_tcia.core.model import Issue, Provenance
from napari_tcia.core.task import CancelToken, Report, silent
from napari_tcia.errors import BrokenGeometry, NothingFound, TciaError, UsageError
from napari_tcia.export import nifti
from napari_tcia.review import versions
from napari_tcia.review.draft import Draft, Start, open_draft, prepare
from napari_tcia.review.log import read_log
from napari_tcia.review.places import LOG, DraftCase, on_same_grid, reader_code
from napari_tcia.review.recovery import Recovered, is_open, recover
from napari_tcia.review.state import ReviewState, folded

READER = "R1"
"""Code of a reader who gave none."""


@dataclass(frozen=True, slots=True)
class DraftInfo:
    """A draft in a list.

    Attributes
    ----------
    folder : Path
    case : str
        PatientID, or what the case was called.
    series_uid, reader : str
    saved : str
        When the last thing was written, UTC.
    decided : int
        Nodes that have a decision.
    edits : int
    exit : str
        How the case was left, empty while it is open.
    unfinished : bool
        Its last session did not end by itself.
    problem : str
        Why it cannot be read; empty when it can.
    """

    folder: Path
    case: str = ""
    series_uid: str = ""
    reader: str = ""
    saved: str = ""
    decided: int = 0
    edits: int = 0
    exit: str = ""
    unfinished: bool = False
    problem: str = ""


def drafts_folder(services: Services) -> Path:
    """Where drafts lie: below HOME, apart from all that is evicted or cleared."""
    return services.settings.home / "drafts"


def last_reader(services: Services) -> str:
    """Code that was used last on this machine, at first `READER`."""
    try:
        value = json.loads((services.settings.home / "reader.json").read_bytes())
        return reader_code(str(value["reader"]))
    except (OSError, ValueError, KeyError, TypeError, UsageError):
        return READER


def remember_reader(services: Services, reader: str) -> str:
    """Keep a reader's code for the next time; return it as it is written down.

    Raises
    ------
    UsageError
        It is no code.
    StorageError
        It cannot be kept.
    """
    code = reader_code(reader)
    if code != last_reader(services):
        write_json(services.settings.home / "reader.json", {"reader": code})
    return code


def case_of(
    name: str, provenance: Provenance, affine: Affine, shape: Sequence[int]
) -> DraftCase:
    """What a draft on these images is about.

    Raises
    ------
    UsageError
        The images have no SeriesInstanceUID, so nothing would tell them again.
    """
    if not provenance.series_uid:
        raise UsageError(
            f"{name or 'This image'} has no SeriesInstanceUID, so an annotation of it "
            "could not be told from another's.",
            "Open the DICOM series itself.",
        )
    k, j, i = (int(n) for n in shape)
    return DraftCase(
        series_uid=provenance.series_uid,
        host=provenance.archive_host or "own",
        shape=(k, j, i),
        affine=tuple(tuple(row) for row in np.asarray(affine, float).tolist()),
        name=name,
        collection=provenance.collection,
        frame_of_reference_uid=provenance.frame_of_reference_uid,
    )


def require_whole(name: str, checks: Iterable[Check], choices: Choices) -> None:
    """Refuse to annotate what is no whole, sound grid of its series.

    Raises
    ------
    BrokenGeometry
        Its geometry failed, it is a part, or it was resampled for looking.
    """
    for check in checks:
        if check.verdict == "fail":
            raise BrokenGeometry(
                f"{name} can be looked at, not annotated: {check.message}",
                "Choose what to do about it in the Nodes tab, or fetch it again.",
            )
        if check.code == "part_of_series":
            raise BrokenGeometry(
                f"Only some slices of {name} are open: too few to annotate.",
                "Open the whole series first.",
            )
    if choices.tilt == "straighten":
        raise BrokenGeometry(
            f"{name} was straightened for looking; its voxels are not those of the "
            "series.",
            "Choose As it is in the Nodes tab, then annotate.",
        )


def node_uid(series_uid: str, row: NodeRow, segments: Iterable[Segment] = ()) -> str:
    """Tracking UID of a node of the reference: the same for every reader.

    What the SEG itself says where it does (Tracking UID, DICOM PS3.3 C.8.20.2), else
    made from series, label and piece, as a UUID (PS3.5 B.2).
    """
    told = next(
        (s.tracking_uid for s in segments if s.value == row.label and s.tracking_uid),
        "",
    )
    if told and row.pieces == 1:
        return told
    what = f"label {row.label} piece {row.piece}" if row.label else f"point {row.id}"
    digest = hashlib.sha256(f"{series_uid} {what}".encode()).digest()[:16]
    return f"2.25.{uuid.UUID(bytes=digest, version=4).int}"


def begin(
    services: Services,
    case: DraftCase,
    reader: str,
    labels: NDArray[Any] | Start | None = None,
    nodes: Mapping[int, str] | None = None,
) -> Draft:
    """Continue the reader's draft of a case, or begin it from `labels`.

    Raises
    ------
    TciaError
        As `napari_tcia.review.draft.open_draft`.
    """
    reader = remember_reader(services, reader)
    return open_draft(drafts_folder(services), case, reader, labels, nodes)


def ready(
    labels: NDArray[Any],
    *,
    report: Report = silent,
    token: CancelToken | None = None,
) -> Start:
    """Make labels ready to begin a draft with, beside the window."""
    return prepare(labels)


def drafts(services: Services, series_uid: str = "") -> tuple[DraftInfo, ...]:
    """Every draft on this machine, or those of one series; the newest first."""
    place = drafts_folder(services)
    pattern = f"*/{series_uid or '*'}/*/{LOG}"
    found = [_info(log.parent) for log in place.glob(pattern)]
    return tuple(sorted(found, key=lambda one: one.saved, reverse=True))


def _info(folder: Path) -> DraftInfo:
    try:
        records = read_log(folder / LOG).records
        about = records[0].after
        state = folded(records)
        return DraftInfo(
            folder=folder,
            case=str(about["name"]),
            series_uid=str(about["series_uid"]),
            reader=records[0].reader,
            saved=records[-1].utc,
            decided=sum(bool(one.decision) for one in state.nodes.values()),
            edits=sum(r.kind == "edit" for r in records),
            exit=state.exit,
            unfinished=is_open(records),
        )
    except TciaError as error:
        return DraftInfo(folder, problem=str(error))
    except (IndexError, KeyError, TypeError) as error:
        return DraftInfo(folder, problem=f"{folder} holds no draft: {error!r}.")


def state_of(folder: Path) -> ReviewState:
    """What was decided in a draft, without its labels.

    Raises
    ------
    CorruptData, StorageError
        Its log is not as it was written, or cannot be read.
    """
    return folded(read_log(folder / LOG).records)


def replay(folder: Path | str, *, anew: bool = False) -> Recovered:
    """Rebuild a draft from its log, as it was at the last confirmed moment.

    Parameters
    ----------
    folder : Path
        Of one reader, as `drafts` lists it.
    anew : bool
        From the first snapshot on, edit by edit.

    Raises
    ------
    NothingFound
        Nothing lies there.
    CorruptData
        It is not as it was written.
    """
    folder = Path(folder)
    if not (folder / LOG).exists():
        raise NothingFound(f"{folder} holds no draft.", "List: napari-tcia drafts")
    return recover(folder, anew=anew)


def save_copy(
    path: Path,
    labels: NDArray[Any],
    state: ReviewState,
    volume: Volume,
    name: str,
) -> tuple[Path, ...]:
    """Write annotated labels where a person wants them; earlier versions stay.

    Parameters
    ----------
    path : Path
        A ``.nii.gz`` or ``.nii`` name.
    labels : (K, J, I) uint16
    volume : Volume
        The grid, with its origin; its array need not be the image.

    Raises
    ------
    StorageError, CorruptData, BrokenGeometry
        Nothing was changed.
    """
    segments = tuple(
        Segment(
            int(value),
            f"Node {value}",
            algorithm="MANUAL",
            tracking_uid=state.uid_of(int(value)),
        )
        for value in np.unique(labels[labels > 0])
    )
    top = max((one.value for one in segments), default=0)
    array = np.asarray(labels).astype(np.uint8 if top < 256 else np.uint16)
    one = LabelSet(array, segments, name, "mask", volume.provenance)
    cited = credit.citations([volume.provenance])

    def write(there: Path) -> list[Path]:
        return nifti.write(there, volume, [one], cited)

    return versions.save(path, write)


def other_readers(
    services: Services, case: DraftCase, reader: str
) -> tuple[Recovered, ...]:
    """What other readers drew on the same images; what cannot be read is left out."""
    found = []
    for info in drafts(services, case.series_uid):
        if info.problem or info.reader == reader:
            continue
        one = recover(info.folder)
        if on_same_grid(one.case, case):
            found.append(one)
    return tuple(found)


def doubts(draft: Draft) -> tuple[str, ...]:
    """What somebody should know of a draft that was opened, in sentences."""
    issues: tuple[Issue, ...] = draft.issues
    said = [issue.message for issue in issues]
    return (*said, draft.held_by) if draft.held_by else tuple(said)
