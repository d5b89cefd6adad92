"""The record of what was accepted: append-only, one JSON object a line, chained.

Each record carries the hash of the one before it, and how many records there
are is kept in a second file, so that an edit, a removal, a swap or a cut shows.
This guards against accidents and against a hand in the file; somebody who
rewrites both files with a program of their own leaves no trace.
"""

from __future__ import annotations

import hashlib
import json
import os
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from napari_tcia import __version__
from napari_tcia.core.files import fsync_folder, storage_error, write_json
from napari_tcia.core.model import Acceptance, Issue, Terms
from napari_tcia.errors import CorruptData, NotWritable, StorageError, UsageError
from napari_tcia.terms.licence import require_open

_START = "0" * 64
_TEXTS = (
    "event",
    "time",
    "name",
    "archive_host",
    "collection",
    "licence_id",
    "licence_name",
)
_LOCK_SECONDS = 10.0


def _dump(record: dict[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False, separators=(", ", ": "))


def _identity(record: dict[str, Any]) -> str:
    """Hash of a record: all of it but its own id, the former id included."""
    content = {key: value for key, value in record.items() if key != "id"}
    return hashlib.sha256(_dump(content).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class _Line:
    """A line that holds a record, sound in itself or not."""

    number: int
    seq: int
    prev: str
    acceptance: Acceptance
    sound: bool


def _parse(number: int, raw: bytes) -> _Line | None:
    """Record of one line, or None when it holds none."""
    try:
        record = json.loads(raw.decode("utf-8"))
        documents = tuple((str(a), str(b), str(c)) for a, b, c in record["documents"])
        texts = {key: record[key] for key in _TEXTS}
        ends = (record["id"], record["prev"], record["version"])
        if not all(isinstance(text, str) for text in (*texts.values(), *ends)):
            return None
        if texts["event"] not in ("accept", "revoke"):
            return None
        acceptance = Acceptance(
            id=record["id"], documents=documents, version=record["version"], **texts
        )
        # The bytes must be those we would write: no other spacing, order,
        # escape, doubled key or line end.
        sound = (
            raw == _dump(record).encode() and _identity(record) == record["id"]
        ) and set(record) == {*_TEXTS, "seq", "prev", "documents", "version", "id"}
        return _Line(number, int(record["seq"]), record["prev"], acceptance, sound)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


@dataclass(frozen=True, slots=True)
class _Reading:
    lines: tuple[_Line, ...]
    issues: tuple[Issue, ...]

    @property
    def broken(self) -> Issue | None:
        return next((i for i in self.issues if i.level == "error"), None)


class Ledger:
    """Acceptances kept in one folder.

    Parameters
    ----------
    path : Path
        The file, ``ledger.jsonl`` below HOME. Beside it lie
        ``acceptance-head.json`` (how many records, and the last one's id) and
        a lock; nothing is created before the first record.

    Notes
    -----
    A line that was cut by a crash stays where it is; it is reported, and the
    next record goes on a line of its own. Each record goes to the ledger
    before the head, so a crash between the two leaves the head one behind,
    which is sound.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._head = path.with_name("acceptance-head.json")

    def records(self) -> tuple[Acceptance, ...]:
        """Every readable record in the order of the file, trusted or not."""
        with self._locked():
            return tuple(line.acceptance for line in self._read().lines)

    def verify(self) -> tuple[Issue, ...]:
        """What is wrong with the chain, with line numbers; empty when nothing is.

        Level "error" is a change made outside the program; "warn" is a line
        that a crash cut short.
        """
        with self._locked():
            return self._read().issues

    def snapshot(self) -> tuple[bytes, tuple[Acceptance, ...], tuple[Issue, ...]]:
        """The file's bytes, its records and what is wrong, of one moment."""
        with self._locked():
            reading = self._read()
            content = self.path.read_bytes() if self.path.exists() else b""
        return content, tuple(line.acceptance for line in reading.lines), reading.issues

    def standing(
        self, archive_host: str, collection: str, licence_id: str
    ) -> Acceptance | None:
        """The acceptance in force for exactly this host, collection and licence.

        Raises
        ------
        CorruptData
            The chain is broken anywhere. Nothing is trusted then, not even
            the records before the break: what was cut may be a withdrawal.
        """
        with self._locked():
            lines = self._trusted().lines
        wanted = (archive_host, collection, licence_id)
        return self._in_force(lines).get(wanted)

    def accepted(self, archive_host: str, collection: str) -> tuple[Acceptance, ...]:
        """Acceptances in force for a collection, one per licence.

        Raises
        ------
        CorruptData
            As for `standing`.
        """
        with self._locked():
            lines = self._trusted().lines
        return tuple(
            record
            for (host, name, _), record in self._in_force(lines).items()
            if (host, name) == (archive_host, collection)
        )

    def accept(self, terms: Terms, name: str) -> Acceptance:
        """Record that `name` accepts the documents of `terms`.

        Raises
        ------
        ControlledAccess, TermsUnknown
            There is nothing that could be accepted.
        UsageError
            No name.
        CorruptData
            The chain is broken.
        StorageError
            The file cannot be written.
        """
        require_open(terms.licence, terms.collection)
        return self.append(
            "accept",
            name=name,
            archive_host=terms.archive_host,
            collection=terms.collection,
            licence_id=terms.licence.id,
            licence_name=terms.licence.name,
            documents=[(d.kind, d.origin, d.sha256) for d in terms.documents],
        )

    def revoke(
        self, archive_host: str, collection: str, name: str
    ) -> tuple[Acceptance, ...]:
        """Withdraw what stands for a collection, in any spelling of its name.

        Returns
        -------
        tuple of Acceptance
            The new records, one per licence; empty when nothing stood.
        """
        with self._locked(create=True):
            standing = [
                record
                for record in self._in_force(self._trusted().lines).values()
                if record.archive_host == archive_host
                and record.collection.casefold() == collection.casefold()
            ]
            return tuple(
                self.append(
                    "revoke",
                    name=name,
                    archive_host=archive_host,
                    collection=record.collection,
                    licence_id=record.licence_id,
                    licence_name=record.licence_name,
                    documents=record.documents,
                )
                for record in standing
            )

    def append(
        self,
        event: Literal["accept", "revoke"],
        *,
        name: str,
        archive_host: str,
        collection: str,
        licence_id: str,
        licence_name: str,
        documents: Sequence[tuple[str, str, str]],
    ) -> Acceptance:
        """Add a record and have it on disk before returning.

        Raises
        ------
        UsageError, CorruptData, StorageError
            As for `accept`.
        """
        # An account name may hold bytes that are no text.
        name = name.encode("utf-8", "replace").decode()
        name = " ".join(unicodedata.normalize("NFC", name).split())[:200]
        if not name:
            raise UsageError("A name is needed to record who accepts.")
        with self._locked(create=True):
            lines = self._trusted().lines
            record: dict[str, Any] = {
                "seq": len(lines) + 1,
                "prev": lines[-1].acceptance.id if lines else _START,
                "event": event,
                "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                "name": name,
                "archive_host": archive_host,
                "collection": collection,
                "licence_id": licence_id,
                "licence_name": licence_name,
                "documents": [list(document) for document in documents],
                "version": __version__,
            }
            try:
                record["id"] = _identity(record)
            except UnicodeEncodeError as error:
                raise UsageError(
                    f"{collection!a} is not text that can be recorded."
                ) from error
            line = _dump(record).encode()
            if lines:  # a crash may have left the head one behind, never two
                self._write_head(lines[-1].seq, lines[-1].acceptance.id)
            size = self._write(line)
            try:
                self._write_head(record["seq"], record["id"])
            except StorageError:
                # What is reported as failed must not stand.
                os.truncate(self.path, size)
                raise
            parsed = _parse(0, line)
            if parsed is None or not parsed.sound:
                raise CorruptData(f"The record just written to {self.path} is unsound.")
            return parsed.acceptance

    @contextmanager
    def _locked(self, *, create: bool = False) -> Iterator[None]:
        """Hold the lock of the folder, against threads and other programs."""
        folder = self.path.parent
        if not create and not self.path.exists() and not self._head.exists():
            yield
            return
        try:
            if create:
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            # One object per file, so that a thread may enter it again.
            lock = FileLock(
                folder / ".acceptance.lock",
                mode=0o600,
                timeout=_LOCK_SECONDS,
                is_singleton=True,
            )
            lock.acquire()
        except Timeout as error:
            raise NotWritable(
                f"Another program holds the record of acceptances in {folder}.",
                "Wait for it to finish, then try again.",
            ) from error
        except OSError as error:
            raise storage_error(error, self.path) from error
        try:
            yield
        finally:
            lock.release()

    def _write_head(self, count: int, last: str) -> None:
        write_json(self._head, {"records": count, "last": last})

    def _write(self, line: bytes) -> int:
        """Append a line; return the size of the file before it."""
        try:
            new = not self.path.exists()
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
            handle = os.open(self.path, flags, 0o600)
            with os.fdopen(handle, "r+b") as stream:
                size = stream.seek(0, os.SEEK_END)
                if size:
                    stream.seek(size - 1)
                    # A line that a crash cut short keeps its own line.
                    line = line if stream.read(1) == b"\n" else b"\n" + line
                try:
                    stream.write(line + b"\n")
                    stream.flush()
                    os.fsync(stream.fileno())
                except OSError:
                    # Full disk: take back our own unfinished line, no other.
                    os.truncate(self.path, size)
                    raise
            if new:
                fsync_folder(self.path.parent)
        except OSError as error:
            raise storage_error(error, self.path) from error
        return size

    def _trusted(self) -> _Reading:
        reading = self._read()
        if broken := reading.broken:
            raise CorruptData(
                f"The record of acceptances cannot be trusted: {broken.message}",
                f"Keep {self.path.name} and {self._head.name} elsewhere as evidence, "
                "then accept the terms again.",
                path=str(self.path),
                **broken.numbers,
            )
        return reading

    def _read(self) -> _Reading:
        try:
            content = self.path.read_bytes() if self.path.exists() else b""
        except OSError as error:
            raise storage_error(error, self.path) from error
        rows = content.split(b"\n")
        lines: list[_Line] = []
        issues: list[Issue] = []
        for number, raw in enumerate(rows, start=1):
            last = number == len(rows)
            if last and not raw:
                break
            line = _parse(number, raw)
            if line is None or last:
                issues.append(_issue("warn", "torn_line", number, "was cut short"))
            if line is None:
                continue
            lines.append(line)
            issues += _chain_issues(line, lines)
        issues += self._head_issues(lines)
        return _Reading(tuple(lines), tuple(issues))

    def _head_issues(self, lines: Sequence[_Line]) -> list[Issue]:
        """Compare with the head: a cut tail leaves no other trace."""
        number = lines[-1].number if lines else 0
        try:
            head = json.loads(self._head.read_text("utf-8"))
            count, last = int(head["records"]), str(head["last"])
        except FileNotFoundError:
            count, last = 0, _START
        except OSError as error:
            raise storage_error(error, self._head) from error
        except (ValueError, KeyError, TypeError):
            said = f"holds {len(lines)} records, but {self._head.name} is damaged"
            return [_issue("error", "head_damaged", number, said)]
        ids = [_START, *(line.acceptance.id for line in lines)]
        if count > len(lines):
            said = f"ends the file after {len(lines)} records, but {count} were written"
            return [_issue("error", "records_missing", number, said)]
        # A crash after the ledger and before the head leaves it one behind.
        if count < 0 or count < len(lines) - 1:
            said = f"is record {len(lines)}, but only {count} were written by us"
            return [_issue("error", "records_added", number, said)]
        if ids[count] != last:
            said = f"is not the record that {self._head.name} names as the last"
            return [_issue("error", "records_changed", number, said)]
        return []

    @staticmethod
    def _in_force(
        lines: Sequence[_Line],
    ) -> dict[tuple[str, str, str], Acceptance]:
        found: dict[tuple[str, str, str], Acceptance] = {}
        for line in lines:
            record = line.acceptance
            key = (record.archive_host, record.collection, record.licence_id)
            found.pop(key, None)
            if record.event == "accept":
                found[key] = record
        return found


def _issue(level: Literal["warn", "error"], code: str, line: int, said: str) -> Issue:
    where = f"Line {line}" if line else "An empty file"
    return Issue(level, code, f"{where} {said}.", {"line": line})


def _chain_issues(line: _Line, lines: Sequence[_Line]) -> list[Issue]:
    """What is wrong with a record, in itself and after the one before it."""
    if not line.sound:
        return [
            _issue("error", "record_edited", line.number, "does not match its hash")
        ]
    before = lines[-2] if len(lines) > 1 else None
    if line.seq != (before.seq + 1 if before else 1):
        said = (
            f"holds record {line.seq} out of its place: records were removed or moved"
        )
        return [_issue("error", "record_moved", line.number, said)]
    if line.prev != (before.acceptance.id if before else _START):
        said = "does not follow the record before it: one of them was replaced"
        return [_issue("error", "record_replaced", line.number, said)]
    return []
