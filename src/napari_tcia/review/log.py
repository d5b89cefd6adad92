"""The log of a reader's work: append-only, one JSON object a line, chained.

A record is on the disk when `Log.append` returns. A line that a crash or a full
disk cut stays where it is and is passed over: the chain goes around it. A line
that was changed, removed or moved breaks the chain, and nothing is built on it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from napari_tcia import __version__
from napari_tcia.core.files import fsync_folder, storage_error
from napari_tcia.core.model import Issue
from napari_tcia.errors import CorruptData

START = "0" * 64
"""What the first record names as the one before it."""
_KEYS = ("n", "prev", "utc", "reader", "version", "kind", "node", "before", "after")
MAX_BYTES = 1 << 30
"""A log larger than this is none of ours."""


@dataclass(frozen=True, slots=True)
class Record:
    """One thing that was done.

    Attributes
    ----------
    n : int
        Its number, from 0.
    utc : str
        When, ISO 8601 with offset.
    reader : str
        Code of who did it.
    version : str
        Of this program.
    kind : str
        ``"started"``, ``"node"``, ``"decision"``, ``"edit"`` ...
    node : str
        Tracking UID of the node it is about; empty for the case.
    before, after : JSON value
        What it changed.
    more : mapping
        What else its kind needs.
    id : str
        SHA-256 of its line without the id.
    """

    n: int
    prev: str
    utc: str
    reader: str
    version: str
    kind: str
    node: str = ""
    before: Any = None
    after: Any = None
    more: Mapping[str, Any] = field(default_factory=dict)
    id: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a log holds, and what was passed over in it.

    `whole` says whether its last byte ends a line.
    """

    records: tuple[Record, ...]
    issues: tuple[Issue, ...]
    whole: bool


def read_log(path: Path) -> Reading:
    """Read a log; one that does not exist is empty.

    Raises
    ------
    CorruptData
        A record was changed, removed or moved: the chain is broken.
    StorageError
        It cannot be read.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise CorruptData(f"{path} is too large to be a log.", "Move it away.")
        raw = path.read_bytes()
    except FileNotFoundError:
        return Reading((), (), True)
    except OSError as error:
        raise storage_error(error, path) from error
    records: list[Record] = []
    issues: list[Issue] = []
    for number, line in enumerate(raw.split(b"\n"), start=1):
        if not line:
            continue
        record = _parse(line)
        last = records[-1].id if records else START
        if record is None:
            issues.append(
                Issue(
                    "warn",
                    "torn_line",
                    f"Line {number} of {path.name} was cut while it was written; it "
                    "was never confirmed as saved, and is left as it is.",
                    {"line": number, "bytes": len(line)},
                )
            )
        elif record.prev == last and record.n == len(records):
            records.append(record)
        else:
            raise CorruptData(
                f"{path} is not as it was written: line {number} does not follow "
                "the one before it.",
                "Nothing was changed. Bring it back from a backup, or move its folder "
                "away and start anew.",
                line=number,
            )
    return Reading(tuple(records), tuple(issues), not raw or raw.endswith(b"\n"))


class Log:
    """A log that is written to by one process, whose lock the caller holds.

    Parameters
    ----------
    path : Path
    reader : str
        Code of who writes.

    Raises
    ------
    CorruptData, StorageError
        As `read_log`.
    """

    def __init__(self, path: Path, reader: str) -> None:
        found = read_log(path)
        self.path, self.reader = path, reader
        self.issues = found.issues
        self.records = list(found.records)
        self._whole = found.whole

    def append(
        self,
        kind: str,
        *,
        node: str = "",
        before: Any = None,
        after: Any = None,
        reader: str = "",
        utc: str = "",
        **more: Any,
    ) -> Record:
        """Write one record; it is on the disk when this returns.

        Raises
        ------
        DiskFull, NotWritable
            It is not; the log is as sound as before.
        """
        content = {
            "n": len(self.records),
            "prev": self.records[-1].id if self.records else START,
            "utc": utc or now(),
            "reader": reader or self.reader,
            "version": __version__,
            "kind": kind,
            "node": node,
            "before": before,
            "after": after,
            **more,
        }
        identity = _identity(content)
        line = _dump({**content, "id": identity}).encode() + b"\n"
        try:
            self._write(line)
        except OSError as error:
            self._whole = False  # some of it may be there
            raise storage_error(error, self.path) from error
        # As it will be read: what JSON cannot tell apart is not told apart.
        record = _parse(line.rstrip(b"\n"))
        assert record is not None
        self.records.append(record)
        return record

    def _write(self, line: bytes) -> None:
        new = not self.path.exists()
        with self.path.open("ab") as stream:
            stream.write(line if self._whole else b"\n" + line)
            stream.flush()
            os.fsync(stream.fileno())
        if new:
            fsync_folder(self.path.parent)
        self._whole = True


def pending(
    kind: str, *, node: str = "", before: Any = None, after: Any = None, **more: Any
) -> Record:
    """Make a record that is not written yet, for what it will change."""
    return Record(-1, "", now(), "", __version__, kind, node, before, after, more)


def now() -> str:
    """Return this moment in UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _dump(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _identity(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(_dump(content).encode()).hexdigest()


def _parse(line: bytes) -> Record | None:
    """Record of a line; None when the line is not a whole one."""
    try:
        value = json.loads(line)
        identity = value.pop("id")
        if identity != _identity(value):
            return None
        fixed = {key: value.pop(key) for key in _KEYS}
        return Record(**fixed, more=value, id=identity)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
