"""Write what arrives, file by file, and judge each before it is held."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from napari_tcia.core.files import storage_error
from napari_tcia.core.model import Series
from napari_tcia.core.task import Progress, Report
from napari_tcia.errors import CorruptData, UnsafeArchive
from napari_tcia.transfer.attempts import Watch
from napari_tcia.transfer.checksums import CHECKSUMS, differing
from napari_tcia.transfer.instance import instance_uid
from napari_tcia.transfer.partial import Partial, Verified
from napari_tcia.transfer.store import LICENCE

ALIVE = 1 << 16
"""Bytes that must arrive within `patience` for a slow file to count as alive."""

_MAX_TEXT = 4 << 20


@dataclass(slots=True)
class Received:
    """What one zip brought, by its own account.

    Attributes
    ----------
    uids : set of str
        SOPInstanceUIDs of its instances.
    names : dict of str to str
        Name in the store by the name in the zip.
    """

    uids: set[str] = field(default_factory=set)
    names: dict[str, str] = field(default_factory=dict)


class Meter:
    """Reports bytes, ten times a second at most; from several threads."""

    def __init__(
        self, report: Report, stage: str, total: int, uid: str = "", done: int = 0
    ) -> None:
        self._report = report
        self._stage = stage
        self._total = total
        self._uid = uid
        self._last = 0.0
        self._lock = threading.Lock()
        self.done = done

    def __call__(self, count: int, *, now: bool = False) -> None:
        """Count `count` more bytes."""
        with self._lock:
            self.done += count
            moment = time.monotonic()
            if not now and moment - self._last < 0.1:
                return
            self._last = moment
            done = self.done
            self._report(Progress(self._stage, done, self._total, "bytes", self._uid))


def receive(
    files: Iterator[tuple[str, Iterator[bytes]]],
    series: Series,
    partial: Partial,
    watch: Watch,
    progress: Meter,
) -> Received:
    """Judge each file of a zip and hold it under its SOPInstanceUID.

    What is held already is compared, and kept as it lies when it is the same.

    Raises
    ------
    CorruptData, WrongSeries, UnsafeArchive
        Among them is something that must not be kept; what was verified stays
        held, but for what its checksum calls wrong.
    StorageError
        The disk is full or not writable.
    """
    received = Received()
    progress(0, now=True)
    for name, pieces in files:
        is_licence = name.rpartition("/")[2].upper() == LICENCE
        is_checksums = name.rpartition("/")[2].lower() == CHECKSUMS
        part = partial.folder / "zip.part"
        most = _MAX_TEXT if is_licence or is_checksums else None
        one = write(pieces, part, watch, progress, most)
        if is_checksums:
            _compare_checksums(part, received, partial, series)
            part.unlink()
            continue
        if is_licence:
            if LICENCE in received.names.values():
                raise UnsafeArchive(f"Two licence texts arrived ({name}).")
            final = LICENCE
        else:
            uid = instance_uid(part, name, series.series_uid)
            if uid in received.uids:
                raise UnsafeArchive(f"Instance {uid} arrived twice ({name}).")
            received.uids.add(uid)
            final = f"{uid}.dcm"
        received.names[name] = final
        _hold(partial, part, replace(one, name=final, origin=name))
        watch.alive()
    progress(0, now=True)
    return received


def _hold(partial: Partial, part: Path, one: Verified) -> None:
    if partial.files.get(one.name) == one:
        part.unlink()
    else:
        partial.hold(part, one)


def _compare_checksums(
    table: Path, received: Received, partial: Partial, series: Series
) -> None:
    """Drop what the archive's list of checksums calls wrong.

    Raises
    ------
    CorruptData
        Something was dropped, or the list cannot be read.
    """
    md5 = {name: partial.files[kept].md5 for name, kept in received.names.items()}
    wrong = differing(table, md5, series.series_uid)
    right = received.names.keys() - set(wrong)
    partial.compared(received.names[name] for name in right)
    if not wrong:
        return
    partial.drop(received.names[name] for name in wrong)
    raise CorruptData(
        f"{wrong[0]} of series {series.series_uid} is not what the archive holds: "
        f"its checksum differs{f' (and {len(wrong) - 1} more)' if wrong[1:] else ''}.",
        "Nothing of it was kept; try again.",
        wrong=len(wrong),
    )


def write(
    chunks: Iterator[bytes],
    part: Path,
    watch: Watch,
    progress: Meter,
    max_bytes: int | None,
    *,
    start: int = 0,
) -> Verified:
    """Write chunks to a file; return its size and hashes.

    Parameters
    ----------
    start : int
        Bytes of `part` that are there already, and are hashed with the rest.
    """
    digest = hashlib.sha256()
    md5 = hashlib.md5(usedforsecurity=False)  # what the archive sends
    size = 0
    seen_alive = 0
    with storing(part), part.open("r+b" if start else "wb") as stream:
        while size < start:
            piece = stream.read(min(1 << 20, start - size))
            if not piece:
                break
            size += len(piece)
            digest.update(piece)
            md5.update(piece)
        for chunk in chunks:
            watch.token.raise_if_cancelled()
            size += len(chunk)
            if max_bytes is not None and size > max_bytes:
                raise UnsafeArchive(f"More than {max_bytes} bytes arrived for a file.")
            digest.update(chunk)
            md5.update(chunk)
            stream.write(chunk)
            progress(len(chunk))
            if size - seen_alive >= ALIVE:
                seen_alive = size
                watch.alive()
    return Verified(part.name, size, digest.hexdigest(), md5.hexdigest())


@contextmanager
def storing(path: Path) -> Iterator[None]:
    """Turn errors of the disk into ours."""
    try:
        yield
    except OSError as error:
        raise storage_error(error, path) from error
