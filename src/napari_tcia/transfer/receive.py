"""Write what arrives, file by file, and judge each before it gets a name."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from napari_tcia.core.files import storage_error
from napari_tcia.core.model import Series
from napari_tcia.core.task import Progress, Report
from napari_tcia.errors import UnsafeArchive
from napari_tcia.transfer.attempts import Watch
from napari_tcia.transfer.checksums import CHECKSUMS, compare_checksums
from napari_tcia.transfer.instance import instance_uid
from napari_tcia.transfer.store import LICENCE

ALIVE = 1 << 16
"""Bytes that must arrive within `patience` for a slow file to count as alive."""

_MAX_TEXT = 4 << 20


@dataclass(slots=True)
class Received:
    """What arrived of a series, by its own account."""

    files: list[dict[str, Any]] = field(default_factory=list)
    uids: set[str] = field(default_factory=set)
    md5: dict[str, str] = field(default_factory=dict)
    """By the name in the zip."""
    bytes: int = 0


class Meter:
    """Reports bytes, ten times a second at most."""

    def __init__(self, report: Report, stage: str, total: int, uid: str = "") -> None:
        self._report = report
        self._stage = stage
        self._total = total
        self._uid = uid
        self._last = 0.0
        self.done = 0

    def __call__(self, count: int, *, now: bool = False) -> None:
        """Count `count` more bytes."""
        self.done += count
        moment = time.monotonic()
        if now or moment - self._last >= 0.1:
            self._last = moment
            self._report(
                Progress(self._stage, self.done, self._total, "bytes", self._uid)
            )


def receive(
    files: Iterator[tuple[str, Iterator[bytes]]],
    series: Series,
    folder: Path,
    watch: Watch,
    progress: Meter,
) -> Received:
    """Judge each file (name, chunks); write it under its SOPInstanceUID.

    Raises
    ------
    CorruptData, WrongSeries, UnsafeArchive
        Among them is something that must not be kept.
    StorageError
        The disk is full or not writable.
    """
    received = Received()
    progress(0, now=True)
    for name, pieces in files:
        is_licence = name.rpartition("/")[2].upper() == LICENCE
        is_checksums = name.rpartition("/")[2].lower() == CHECKSUMS
        part = folder / "part"
        most = _MAX_TEXT if is_licence or is_checksums else None
        size, digest, md5 = write(pieces, part, watch, progress, most)
        if is_checksums:
            compare_checksums(part, received.md5, series.series_uid)
            part.unlink()
            continue
        if is_licence:
            final = LICENCE
            if (folder / final).exists():
                raise UnsafeArchive(f"Two licence texts arrived ({name}).")
        else:
            uid = instance_uid(part, name, series.series_uid)
            if uid in received.uids:
                raise UnsafeArchive(f"Instance {uid} arrived twice ({name}).")
            received.uids.add(uid)
            received.bytes += size
            received.md5[name] = md5
            final = f"{uid}.dcm"
        with storing(part):
            part.rename(folder / final)
        received.files.append({"name": final, "size": size, "sha256": digest})
        watch.alive()
    progress(0, now=True)
    return received


def write(
    chunks: Iterator[bytes],
    part: Path,
    watch: Watch,
    progress: Meter,
    max_bytes: int | None,
) -> tuple[int, str, str]:
    """Write chunks to a new file; return its size, SHA-256 and MD5."""
    digest = hashlib.sha256()
    md5 = hashlib.md5(usedforsecurity=False)  # what the archive sends
    size = 0
    seen_alive = 0
    with storing(part), part.open("wb") as stream:
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
    return size, digest.hexdigest(), md5.hexdigest()


@contextmanager
def storing(path: Path) -> Iterator[None]:
    """Turn errors of the disk into ours."""
    try:
        yield
    except OSError as error:
        raise storage_error(error, path) from error
