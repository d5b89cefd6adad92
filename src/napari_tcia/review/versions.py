"""Saving over a file without ever being without it: the old versions stay beside it."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from napari_tcia.core.files import fsync_folder, storage_error

KEPT = 5
"""Earlier versions that stay."""


def save(
    path: Path, write: Callable[[Path], Sequence[Path]], *, kept: int = KEPT
) -> tuple[Path, ...]:
    """Have new files written and verified, then put them in place of the old ones.

    Parameters
    ----------
    path : Path
        Where the first of them goes; the others lie beside it.
    write : callable
        Writes to a path of the same name elsewhere, verifies what it wrote, and
        returns every file. When it raises, nothing has changed.
    kept : int
        Versions that stay, as ``name.~1~`` (the newest) to ``name.~5~``.

    Returns
    -------
    tuple of Path
        Where the new files are now.

    Raises
    ------
    StorageError
        The disk refuses; the file of that name is the old one still.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".saving-", dir=path.parent) as place:
            written = write(Path(place) / path.name)
            targets = []
            for new in written:
                target = path.parent / new.name
                _keep(target, kept)
                new.replace(target)
                targets.append(target)
            fsync_folder(path.parent)
    except OSError as error:
        raise storage_error(error, path) from error
    return tuple(targets)


def versions(path: Path) -> tuple[Path, ...]:
    """Earlier versions of a file that are there, the newest first."""
    found = (_version(path, n) for n in range(1, 1000))
    return tuple(one for one in found if one.exists())


def _version(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.~{number}~")


def _keep(path: Path, kept: int) -> None:
    """Give a file a second name as its newest version; it keeps its own."""
    if not path.exists() or kept < 1:
        return
    for number in range(kept - 1, 0, -1):
        older = _version(path, number)
        if older.exists():
            older.replace(_version(path, number + 1))
    first = _version(path, 1)
    with contextlib.suppress(OSError):
        os.link(path, first)
        return
    shutil.copy2(path, first)  # a disk without links
