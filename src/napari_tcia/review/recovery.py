"""A draft brought back from the disk, exactly as it was confirmed.

An edit counts once its line is in the log; what ``edits.bin`` holds beyond that was cut
by a crash, and is passed over.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_tcia.core.files import fsync_folder, storage_error
from napari_tcia.core.model import Issue
from napari_tcia.errors import CorruptData
from napari_tcia.review.deltas import Labels, Shadow, decode, decode_whole, fingerprint
from napari_tcia.review.log import Reading, Record, read_log
from napari_tcia.review.places import EDITS, LOG, DraftCase, case_from
from napari_tcia.review.state import ReviewState, folded


@dataclass(frozen=True, slots=True, eq=False)
class Recovered:
    """What a draft holds, read without changing anything.

    Attributes
    ----------
    case : DraftCase
    reader : str
    labels : (K, J, I) uint16
        As they were after the last edit that was confirmed.
    state : ReviewState
    records : tuple of Record
    issues : tuple of Issue
        What was passed over, in sentences.
    """

    case: DraftCase
    reader: str
    labels: Labels
    state: ReviewState
    records: tuple[Record, ...]
    issues: tuple[Issue, ...]

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the labels, as the log tells it."""
        return fingerprint(self.labels)

    @property
    def saved(self) -> str:
        """When the last thing was written, UTC."""
        return self.records[-1].utc

    @property
    def is_open(self) -> bool:
        """Whether its last session did not end by itself: a crash, or it still runs."""
        return is_open(self.records)


def is_open(records: Sequence[Record]) -> bool:
    """Whether the last session of a log did not end by itself."""
    kinds = [r.kind for r in records if r.kind in ("opened", "closed")]
    return bool(kinds) and kinds[-1] == "opened"


def recover(folder: Path, *, anew: bool = False) -> Recovered:
    """Rebuild a draft from what is on the disk; nothing is written.

    Parameters
    ----------
    folder : Path
        Of one reader.
    anew : bool
        Replay every edit from the first snapshot, instead of from the newest.

    Raises
    ------
    CorruptData
        Its log was changed, or an edit that was confirmed is damaged.
    StorageError
        It cannot be read.
    """
    return rebuilt(folder, read_log(folder / LOG), anew)[0]


def rebuilt(
    folder: Path, log: Reading, anew: bool, known: Shadow | None = None
) -> tuple[Recovered, Shadow]:
    """What the disk holds; `known` are the labels of a draft that was just begun."""
    if not log.records or log.records[0].kind != "started":
        raise CorruptData(
            f"{folder} holds no work that could be brought back.",
            "Nothing was changed.",
        )
    first = log.records[0]
    case = case_from(first.after, folder)
    if known is None:
        shadow, done = _base(folder, log.records, case.shape, anew)
    else:
        shadow, done = known, log.records[-1].n
    edits = EditsFile(folder / EDITS)
    issues = list(log.issues)
    for record in log.records[done + 1 :]:
        if record.kind == "edit":
            _replay(shadow, record, edits, case.shape)
    last = max((r.n for r in log.records if r.kind in ("edit", "snapshot")), default=0)
    if last and shadow.fingerprint != log.records[last].more["labels"]:
        raise CorruptData(
            f"The edits in {folder} do not give the labels that were confirmed.",
            "Nothing was changed. Bring the folder back from a backup.",
        )
    found = Recovered(
        case=case,
        reader=first.reader,
        labels=shadow.array,
        state=folded(log.records),
        records=log.records,
        issues=tuple(issues),
    )
    return found, shadow


def _base(
    folder: Path, records: tuple[Record, ...], shape: tuple[int, int, int], anew: bool
) -> tuple[Shadow, int]:
    """The newest snapshot that is sound, or the first; and the record that made it."""
    snapshots = [r for r in records if r.kind == "snapshot"]
    order = snapshots[:1] if anew else [*snapshots[:0:-1], *snapshots[:1]]
    for record in order:
        with contextlib.suppress(OSError, CorruptData):
            data = (folder / record.more["file"]).read_bytes()
            if hashlib.sha256(data).hexdigest() == record.more["sha256"]:
                return decode_whole(data, shape), record.n
    raise CorruptData(
        f"No snapshot in {folder} is whole.",
        "Nothing was changed. Bring the folder back from a backup.",
    )


def _replay(
    shadow: Shadow, record: Record, edits: EditsFile, shape: tuple[int, int, int]
) -> None:
    data = edits.read(record.more["offset"], record.more["bytes"])
    if hashlib.sha256(data).hexdigest() != record.more["sha256"]:
        raise CorruptData(
            f"Edit {record.n} in {edits.path} is damaged.",
            "Nothing was changed. Bring the folder back from a backup.",
        )
    shadow.take(decode(data, shape))


class EditsFile:
    """The file of sparse differences."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, offset: int, count: int) -> bytes:
        """Return what lies at a place; less where the file ends."""
        try:
            with self.path.open("rb") as stream:
                stream.seek(offset)
                return stream.read(count)
        except OSError as error:
            raise storage_error(error, self.path) from error

    def append(self, data: bytes) -> int:
        """Put `data` at the end, on the disk; where that was."""
        try:
            new = not self.path.exists()
            with self.path.open("ab") as stream:
                offset = stream.seek(0, os.SEEK_END)
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            if new:
                fsync_folder(self.path.parent)
        except OSError as error:
            raise storage_error(error, self.path) from error
        return offset
