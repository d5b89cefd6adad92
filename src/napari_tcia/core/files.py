"""Files that are either whole under their name or not there at all."""

from __future__ import annotations

import errno
import json
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from napari_tcia.errors import DiskFull, NotWritable, StorageError, UsageError

PART = ".part"
"""Ends the name of a file that is still being written."""
_UID = re.compile(r"[0-9.]{1,64}")


def check_uid(uid: str) -> str:
    """Return `uid` when it is one, as an opaque string fit for a file name.

    The root arc is not judged: CT Lymph Nodes uses ``61.7.``, which is not a
    registered root (DICOM PS3.5 section 9.1 would refuse it).

    Raises
    ------
    UsageError
        Other characters than digits and dots, no digit, or over 64 long.
    """
    if not _UID.fullmatch(uid) or not uid.strip("."):
        raise UsageError(
            f"{uid[:80]!r} is not a UID.", "A UID is 1 to 64 digits and dots."
        )
    return uid


def storage_error(error: OSError, path: Path) -> StorageError:
    """Translate an `OSError` on `path` into a sentence with what to do."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(
            f"The disk is full: could not write {path}.",
            "Free some space, or set NAPARI_TCIA_HOME to another disk.",
        )
    reason = error.strerror or str(error)
    return NotWritable(
        f"Could not write {path}: {reason}.",
        "Check the permissions, or choose another folder.",
    )


def fsync_file(path: Path) -> None:
    """Have a file's bytes on the disk when this returns."""
    with path.open("rb+") as stream:
        os.fsync(stream.fileno())


def fsync_folder(folder: Path) -> None:
    """Make renames in `folder` durable; a no-op where folders cannot be opened."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:  # Windows
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A stream whose bytes get the name `path` once the block has ended well.

    What had that name is neither written to nor cut: who has it open, or mapped
    into memory, keeps it.

    Raises
    ------
    StorageError
        The disk is full or the folder cannot be written; nothing is left.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            prefix=f".{path.name[:40]}.", suffix=PART, dir=path.parent
        )
        temporary = Path(name)
        with os.fdopen(handle, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
        fsync_folder(path.parent)
    except OSError as error:
        raise storage_error(error, path) from error
    finally:
        if temporary is not None:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


def write_atomic(path: Path, data: bytes | str) -> Path:
    """Write `data` so that `path` holds either the old or the whole new content.

    Raises
    ------
    StorageError
        The disk is full or the folder cannot be written; nothing is left.
    """
    with replacing(path) as stream:
        stream.write(data.encode() if isinstance(data, str) else data)
    return path


def write_json(path: Path, value: Any) -> Path:
    """Write `value` as readable JSON, atomically."""
    return write_atomic(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")
