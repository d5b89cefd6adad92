"""A reader's work on one case: continued or begun, written by one process at a time.

Nothing here is evicted, revoked or cleared with the images.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from napari_tcia.core.files import (
    fsync_folder,
    storage_error,
    write_atomic,
    write_json,
)
from napari_tcia.errors import (
    GeometryMismatch,
    NotWritable,
    StorageError,
    UsageError,
)
from napari_tcia.review.deltas import Delta, Labels, Shadow, encode, encode_whole
from napari_tcia.review.log import Log, Reading, Record, now, read_log
from napari_tcia.review.places import (
    EDITS,
    LOG,
    DraftCase,
    folder_of,
    reader_code,
    require_same,
)
from napari_tcia.review.recovery import EditsFile, Recovered, rebuilt
from napari_tcia.review.state import after

SNAPSHOT_EVERY = 100
"""Edits between two snapshots."""
_KEPT = 3
"""Snapshots that stay, besides the first."""


@dataclass(frozen=True, slots=True, eq=False)
class Start:
    """Labels that a draft begins with, made ready beside the window.

    Attributes
    ----------
    shadow : Shadow
    data : bytes
        Of its first snapshot.
    """

    shadow: Shadow
    data: bytes


def prepare(labels: NDArray[Any]) -> Start:
    """Do the slow part of beginning a draft; nothing is written.

    Raises
    ------
    UsageError
        Labels beyond 65535.
    """
    narrow = labels.dtype in (np.uint8, np.uint16)
    if not narrow and not 0 <= int(labels.min()) <= int(labels.max()) <= 65535:
        raise UsageError("Labels beyond 65535 cannot be annotated.", "Renumber them.")
    shadow = Shadow(labels)
    return Start(shadow, encode_whole(shadow.array, shadow.slices))


@dataclass(frozen=True, slots=True, eq=False)
class Captured:
    """A difference, and the fingerprint that the labels have with it."""

    delta: Delta
    labels: str


class Draft:
    """A draft that this process writes to, or looks at.

    Made by `open_draft`. Not for two threads at once, except that `capture` may run
    while `write` is waiting for the disk.

    Attributes
    ----------
    folder : Path
    case : DraftCase
    reader : str
    state : ReviewState
    held_by : str
        Who else writes to the case; empty when this one does.
    issues : tuple of Issue
        What was passed over when it was opened.
    """

    def __init__(
        self,
        folder: Path,
        found: Recovered,
        shadow: Shadow,
        log: Log | None,
        lock: FileLock | None,
        held_by: str = "",
    ) -> None:
        self.folder = folder
        self.case, self.reader = found.case, found.reader
        self.state, self.issues, self.held_by = found.state, found.issues, held_by
        self._log, self._lock, self._shadow = log, lock, shadow
        self._edits = EditsFile(folder / EDITS)
        whole = max((r.n for r in found.records if r.kind == "snapshot"), default=0)
        self._since = sum(r.kind == "edit" for r in found.records[whole:])
        self._fingerprint = shadow.fingerprint

    @property
    def labels(self) -> Labels:
        """(K, J, I) uint16 as captured last; not to be written to."""
        return self._shadow.array

    @property
    def slices(self) -> tuple[int, ...]:
        """Every k of the labels that holds anything."""
        return self._shadow.slices

    @property
    def read_only(self) -> bool:
        """Whether somebody else holds the case, or it is closed."""
        return self._log is None

    @property
    def records(self) -> tuple[Record, ...]:
        """Everything that was written, in order."""
        return tuple(self._writer().records) if self._log else ()

    def record(self, kind: str, **parts: Any) -> Record:
        """Write down one thing that was done, and take it into `state`.

        Raises
        ------
        DiskFull, NotWritable
            It is not written, and `state` is as before.
        """
        record = self._writer().append(kind, **parts)
        self.state = after(self.state, record)
        return record

    def capture(self, labels: NDArray[Any], slices: tuple[int, ...]) -> Captured | None:
        """Take down what changed in some slices since they were captured last.

        It must be written, in the order of capture; only then is it safe. None when
        nothing changed.
        """
        delta = self._shadow.differences(labels, slices)
        if not len(delta):
            return None
        self._shadow.take(delta)
        return Captured(delta, self._shadow.fingerprint)

    def write(self, one: Captured, cause: str = "") -> Record:
        """Put a captured difference on the disk.

        Parameters
        ----------
        one : Captured
        cause : str
            What made it: ``"paint"``, ``"grow"`` ...

        Raises
        ------
        DiskFull, NotWritable
            It is not; the same may be written later.
        """
        delta, labels = one.delta, one.labels
        data = encode(delta)
        offset = self._edits.append(data)
        counts = delta.counts()
        uids = {value: self.state.uid_of(value) for value in counts}
        only = next(iter(uids.values())) if len(uids) == 1 else ""
        record = self._writer().append(
            "edit",
            node=only,
            before=self._fingerprint,
            after=labels,
            labels=labels,
            cause=cause,
            voxels=len(delta),
            changes={str(v): [uids[v], *count] for v, count in counts.items()},
            offset=offset,
            bytes=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
        )
        self._fingerprint = labels
        self._since += 1
        return record

    @property
    def wants_snapshot(self) -> bool:
        """Whether enough edits came since the last snapshot."""
        return self._since >= SNAPSHOT_EVERY

    def snapshot(self) -> Record:
        """Write the labels whole; everything captured must have been written.

        Raises
        ------
        DiskFull, NotWritable
            The older snapshots are as they were.
        """
        record = _snapshot(self.folder, self._writer(), self._shadow)
        self._since = 0
        names = sorted(self.folder.glob("snapshot-*.npz"))
        for old in names[1:-_KEPT]:
            with contextlib.suppress(OSError):
                old.unlink()
        return record

    def close(self) -> None:
        """Say that the session ended by itself, and let others write."""
        if self._log is not None:
            with contextlib.suppress(StorageError):
                self._log.append("closed")
        self._log = None
        if self._lock is not None:
            with contextlib.suppress(OSError):
                (self.folder.parent / "holder.json").unlink(missing_ok=True)
            self._lock.release()
            self._lock = None

    def _writer(self) -> Log:
        if self._log is None:
            raise NotWritable(
                f"The annotation of {self.case.name or self.case.series_uid} can be "
                "looked at here, not changed.",
                self.held_by or "Open it again.",
            )
        return self._log


def open_draft(
    drafts: Path,
    case: DraftCase,
    reader: str,
    start: NDArray[Any] | Start | None = None,
    nodes: Mapping[int, str] | None = None,
) -> Draft:
    """Continue a reader's draft of a case, or start it.

    Parameters
    ----------
    drafts : Path
        Folder of all drafts.
    case : DraftCase
    reader : str
        Code of the reader.
    start : (K, J, I) array of int or Start, optional
        Labels that a new draft begins with; empty by default.
    nodes : mapping of int to str, optional
        Tracking UIDs of the label values in `start`.

    Returns
    -------
    Draft
        Read-only, with `held_by` set, when another window has the case.

    Raises
    ------
    WrongSeries, GeometryMismatch
        What lies there is of another case, or of another grid: untouched.
    CorruptData
        What lies there was changed: untouched.
    StorageError
        The disk does not take it, or it is open elsewhere and not begun yet.
    UsageError
        The reader code, or the labels, make no sense.
    """
    reader = reader_code(reader)
    folder = folder_of(drafts, case.host, case.series_uid, reader)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(error, folder) from error
    lock = FileLock(folder.parent / "lock", thread_local=False)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        held = _holder(folder.parent)
        if not (folder / LOG).exists():
            raise NotWritable(held, "Close it there first.") from None
        found, shadow = rebuilt(folder, read_log(folder / LOG), anew=False)
        require_same(found.case, case, folder)
        return Draft(folder, found, shadow, None, None, held)
    except OSError as error:
        raise storage_error(error, folder) from error
    try:
        begun = None
        if not (folder / LOG).exists():
            begun = _begin(folder, case, reader, start, nodes or {})
        log = Log(folder / LOG, reader)
        reading = Reading(tuple(log.records), log.issues, True)
        found, shadow = rebuilt(folder, reading, anew=False, known=begun)
        require_same(found.case, case, folder)
        log.append("opened", **_me())
        holder = {"reader": reader, "since": now(), **_me()}
        with contextlib.suppress(StorageError):
            write_json(folder.parent / "holder.json", holder)
    except BaseException:
        lock.release()
        raise
    return Draft(folder, found, shadow, log, lock)


def _begin(
    folder: Path,
    case: DraftCase,
    reader: str,
    start: NDArray[Any] | Start | None,
    nodes: Mapping[int, str],
) -> Shadow:
    """Write a draft's first records; it is there once its log has its name."""
    if not isinstance(start, Start):
        start = prepare(np.zeros(case.shape, np.uint8) if start is None else start)
    shape = tuple(start.shadow.array.shape)
    if shape != tuple(case.shape):
        raise GeometryMismatch(
            f"Labels of shape {shape} do not fit the images of "
            f"{case.name or case.series_uid}, of shape {case.shape}.",
            "Start from labels that lie on them.",
        )
    try:
        folder.mkdir(exist_ok=True)
        building = folder / f".{LOG}"
        building.unlink(missing_ok=True)  # of a start that did not end
        log = Log(building, reader)
        log.append("started", after={**asdict(case), "schema": 1})
        _snapshot(folder, log, start.shadow, start.data)
        for value, uid in sorted(nodes.items()):
            log.append("node", node=uid, after={"value": value, "origin": "reference"})
        building.rename(folder / LOG)
        fsync_folder(folder)
    except OSError as error:
        raise storage_error(error, folder) from error
    return start.shadow


def _snapshot(
    folder: Path, log: Log, shadow: Shadow, data: bytes | None = None
) -> Record:
    data = data or encode_whole(shadow.array, shadow.slices)
    name = f"snapshot-{len(log.records):08d}.npz"
    write_atomic(folder / name, data)
    return log.append(
        "snapshot",
        file=name,
        sha256=hashlib.sha256(data).hexdigest(),
        labels=shadow.fingerprint,
    )


def _me() -> dict[str, Any]:
    return {"host": platform.node(), "process": os.getpid()}


def _holder(place: Path) -> str:
    try:
        value = json.loads((place / "holder.json").read_bytes())
        who = f"{value['reader']}, in process {value['process']} on {value['host']}"
        return f"It is open for {who}, since {value['since'][:16]} UTC."
    except (OSError, ValueError, KeyError, TypeError):
        return "It is open in another window."
