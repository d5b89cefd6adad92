"""Series kept on disk: whole and recorded, or not there.

::

    ROOT/<host>/<SeriesInstanceUID>/<SOPInstanceUID>.dcm
                                    LICENSE
                                    complete.json        written last
    ROOT/<host>/files/<name>        supplementary file
                      <name>.json   its record, written last
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from napari_tcia.core.files import (
    check_uid,
    fsync_file,
    fsync_folder,
    storage_error,
    write_json,
)
from napari_tcia.core.model import Series, StoredSeries, series_hash, to_json
from napari_tcia.core.task import CancelToken, Progress, Report, silent
from napari_tcia.errors import DiskFull, StorageError, UsageError

RECORD = "complete.json"
LICENCE = "LICENSE"
_SCHEMA = 1
_MAX_RECORD = 64 << 20
_HOST = re.compile(r"[a-z0-9:][a-z0-9._:-]{0,250}")
_TEXTS = tuple(f.name for f in dataclasses.fields(Series) if f.type == "str")


class Store:
    """Finds, and takes in, series below one folder.

    Parameters
    ----------
    root : Path
        Created when something is stored.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def series_path(self, host: str, uid: str) -> Path:
        """Folder that a series of an archive has, or would have."""
        return self.root / _folder_name(host) / check_uid(uid)

    def file_path(self, host: str, name: str) -> Path:
        """Place that a supplementary file has, or would have."""
        parts = name.split("/")
        if any(part in ("", ".", "..") for part in parts) or "\\" in name:
            raise UsageError(f"{name[:80]!r} is not a file name.")
        return self.root.joinpath(_folder_name(host), "files", *parts)

    def find(self, host: str, uid: str) -> StoredSeries | None:
        """The series of an archive if it is here, recorded, and as recorded.

        Names and sizes of all files are compared with the record; whatever
        does not agree is treated as not there.
        """
        path = self.series_path(host, uid)
        record = _read_record(path / RECORD)
        if record is None:
            return None
        try:
            stored = _stored(path, record)
            listed = {f["name"]: f["size"] for f in record["files"]}
        except (AttributeError, KeyError, TypeError, ValueError):
            return None
        same = (
            stored.series.series_uid == uid
            and stored.archive_host == host
            and stored.files == sum(name.endswith(".dcm") for name in listed)
            and listed == _sizes(path)
        )
        return stored if same else None

    def intact(self, stored: StoredSeries, token: CancelToken | None = None) -> bool:
        """Whether every file still has the bytes that were verified."""
        record = _read_record(stored.path / RECORD) or {}
        for file in record.get("files", ()):
            if token is not None:
                token.raise_if_cancelled()
            try:
                with (stored.path / file["name"]).open("rb") as stream:
                    found = hashlib.file_digest(stream, "sha256").hexdigest()
            except OSError:
                return False
            if found != file.get("sha256"):
                return False
        return bool(record)

    def all(self) -> tuple[StoredSeries, ...]:
        """Every whole series, by host and UID."""
        records = sorted(self.root.glob(f"*/*/{RECORD}"))
        found = (self._in_folder(path.parent) for path in records)
        return tuple(stored for stored in found if stored)

    def at(self, path: Path) -> StoredSeries | None:
        """The whole series that a file or folder is part of, links resolved."""
        real, root = path.resolve(), self.root.resolve()
        if not real.is_relative_to(root):
            return None
        parts = real.relative_to(root).parts[:2]
        return self._in_folder(self.root.joinpath(*parts)) if len(parts) == 2 else None

    def _in_folder(self, folder: Path) -> StoredSeries | None:
        host = (_read_record(folder / RECORD) or {}).get("archive_host")
        if not isinstance(host, str) or not _HOST.fullmatch(host):
            return None
        try:
            same = folder == self.series_path(host, folder.name)
        except UsageError:  # not named by a UID
            return None
        return self.find(host, folder.name) if same else None

    def find_file(self, host: str, name: str) -> Path | None:
        """The supplementary file if it is here and of the recorded size."""
        path = self.file_path(host, name)
        return path if self.file_record(path) else None

    def file_record(self, path: Path) -> dict[str, Any] | None:
        """Record of a supplementary file, None unless the file is as recorded."""
        record = _read_record(_record_of(path))
        whole = path.is_file() and record and record.get("size") == path.stat().st_size
        return record if whole else None

    @contextmanager
    def lock(
        self,
        path: Path,
        *,
        report: Report = silent,
        token: CancelToken | None = None,
    ) -> Iterator[None]:
        """Hold `path` for this process and thread; waits for others.

        The lock dies with its process.
        """
        token = token or CancelToken()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise storage_error(error, path) from error
        lock = FileLock(path.with_name(f".{path.name}.lock"))
        waiting = False
        while not lock.is_locked:
            try:
                lock.acquire(timeout=0)
            except Timeout:
                if not waiting:
                    report(Progress("Waiting for another download of the same data"))
                waiting = True
                token.wait(0.2)
            except OSError as error:
                raise storage_error(error, path) from error
        try:
            yield
        finally:
            lock.release()

    @contextmanager
    def workplace(self, path: Path) -> Iterator[Path]:
        """An empty folder beside `path`, removed at the end if it still exists.

        Also removes what dead processes left there; call with the lock held.
        """
        for leftover in path.parent.glob(f".{path.name}.part-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        try:
            name = tempfile.mkdtemp(prefix=f".{path.name}.part-", dir=path.parent)
        except OSError as error:
            raise storage_error(error, path) from error
        try:
            yield Path(name)
        finally:
            shutil.rmtree(name, ignore_errors=True)

    def check_space(self, wanted: int) -> None:
        """Raise `DiskFull` unless `wanted` bytes fit, with a little to spare."""
        place = self.root
        while not place.exists():
            place = place.parent
        free = shutil.disk_usage(place).free
        needed = wanted + (16 << 20)
        if free < needed:
            raise DiskFull(
                f"{needed / 1e6:.0f} MB are needed and {free / 1e6:.0f} MB are free "
                f"at {place}.",
                "Free some space, or set NAPARI_TCIA_HOME to another disk.",
                needed=needed,
                free=free,
            )

    def commit(
        self,
        folder: Path,
        series: Series,
        files: Sequence[Mapping[str, Any]],
        *,
        host: str,
        source: str,
        acceptance_ids: Sequence[str],
        retrieved: str,
    ) -> StoredSeries:
        """Give a verified folder its final name, then record it as complete.

        Parameters
        ----------
        folder : Path
            From `workplace`; holds nothing but `files`.
        files : sequence of mapping
            ``name``, ``size`` and ``sha256`` of each file, the licence text
            included.

        Raises
        ------
        StorageError
            The disk is full or not writable; the folder is then not there.
        """
        path = self.series_path(host, series.series_uid)
        names = {file["name"] for file in files}
        record = {
            "schema": _SCHEMA,
            "archive_host": host,
            "source": source,
            "retrieved": retrieved,
            "acceptance_ids": list(acceptance_ids),
            "series": to_json(series),
            # A bucket has no licence text: then it is what the archive lists.
            "licence_from": LICENCE if LICENCE in names else "listing",
            "files": [dict(file) for file in files],
        }
        try:
            for file in files:
                fsync_file(folder / file["name"])
            fsync_folder(folder)
            if path.exists():
                # Not whole, or outdated: moved away, as a folder cannot be
                # replaced while it holds anything.
                aside = folder.with_name(f"{folder.name}-old")
                path.replace(aside)
                shutil.rmtree(aside, ignore_errors=True)
            folder.replace(path)
            fsync_folder(path.parent)
        except OSError as error:
            raise storage_error(error, path) from error
        try:
            write_json(path / RECORD, record)
        except StorageError:
            shutil.rmtree(path, ignore_errors=True)
            raise
        return _stored(path, record)

    def take(
        self,
        folder: Path,
        series: Series,
        files: Sequence[Mapping[str, Any]],
        *,
        host: str,
        source: str,
        acceptance_ids: Sequence[str],
        retrieved: str,
        token: CancelToken | None = None,
    ) -> StoredSeries:
        """As `commit`, from a folder of another store, which is left as it is.

        Files are linked where both are on one disk, and copied otherwise.
        """
        path = self.series_path(host, series.series_uid)
        with self.lock(path, token=token), self.workplace(path) as near:
            for file in files:
                try:
                    _link(folder / file["name"], near / file["name"])
                except OSError as error:
                    raise storage_error(error, path) from error
            return self.commit(
                near,
                series,
                files,
                host=host,
                source=source,
                acceptance_ids=acceptance_ids,
                retrieved=retrieved,
            )

    def release(
        self, held: StoredSeries, into: Store, acceptance_ids: Sequence[str]
    ) -> StoredSeries:
        """Hand a series over to another store, with when and whence it came.

        Parameters
        ----------
        held : StoredSeries
            Of this store.
        acceptance_ids : sequence of str
            Under which it may be opened now.
        """
        record = _read_record(held.path / RECORD) or {}
        done = into.take(
            held.path,
            held.series,
            record["files"],
            host=held.archive_host,
            source=held.source,
            acceptance_ids=acceptance_ids,
            retrieved=held.retrieved,
        )
        shutil.rmtree(held.path, ignore_errors=True)
        return done

    def commit_file(self, part: Path, path: Path, record: Mapping[str, Any]) -> Path:
        """Give a verified supplementary file its name, then record it."""
        try:
            fsync_file(part)
            _record_of(path).unlink(missing_ok=True)
            part.replace(path)
            fsync_folder(path.parent)
        except OSError as error:
            raise storage_error(error, path) from error
        write_json(_record_of(path), {"schema": _SCHEMA, **record})
        return path


def _folder_name(host: str) -> str:
    if not _HOST.fullmatch(host):
        raise UsageError(f"{host[:80]!r} is not the name of an archive.")
    return host.replace(":", "_")


def _record_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _read_record(path: Path) -> dict[str, Any] | None:
    """The record, or None when it is missing, too large, broken or of the future."""
    try:
        if path.stat().st_size > _MAX_RECORD:
            return None
        record = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    good = isinstance(record, dict) and record.get("schema") == _SCHEMA
    return record if good else None


def _stored(path: Path, record: Mapping[str, Any]) -> StoredSeries:
    known = {field.name for field in dataclasses.fields(Series)}
    facts = {k: v for k, v in record["series"].items() if k in known}
    facts["sources"] = tuple(facts.get("sources", ()))
    if not all(isinstance(facts.get(name, ""), str) for name in _TEXTS):
        raise TypeError("a text of the record is none")
    instances = [f for f in record["files"] if f["name"].endswith(".dcm")]
    acceptances = record["acceptance_ids"]
    return StoredSeries(
        series=Series(**facts),
        path=path,
        files=len(instances),
        bytes=sum(int(f["size"]) for f in instances),
        source=str(record["source"]),
        archive_host=str(record["archive_host"]),
        retrieved=str(record["retrieved"]),
        acceptance_id=str(acceptances[0]) if acceptances else "",
        sha256=series_hash(str(f["sha256"]) for f in instances),
    )


def _sizes(folder: Path) -> dict[str, int]:
    """Size of each file in a folder, but for the record and what a desktop adds."""
    with os.scandir(folder) as entries:
        return {
            entry.name: entry.stat().st_size
            for entry in entries
            if entry.name.endswith(".dcm") or entry.name == LICENCE
        }


def _link(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except OSError:  # another disk, or one without links
        shutil.copyfile(source, target)
