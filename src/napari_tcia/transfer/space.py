"""How much is kept on disk, and what makes room: decoded copies go first.

Everything a copy holds can be read again from its series, so copies are the first
to go, those whose series is gone before all, then the least recently used. Series
themselves are not evicted; `_victims` is where they would come after the copies.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from napari_tcia.volume.decoded import RECORD, discard_copy, is_whole

MOST = 200 * 10**9
"""Bytes that are kept where no limit is set; half of the disk where that is less."""
SPARE = 2 * 10**9
SPARE_SHARE = 0.05
"""Of the disk stay free, in bytes or as a share, whichever is more."""


@dataclass(frozen=True, slots=True)
class Kept:
    """One decoded copy on disk.

    `used` is the time of its last opening, 0 where its series is not stored.
    """

    folder: Path
    bytes: int
    used: int


@dataclass(frozen=True, slots=True)
class Usage:
    """What is kept, in bytes, and how much may be.

    Attributes
    ----------
    series : int
        Bytes below the store.
    copies : tuple of Kept
    limit : int
        That both may take together.
    free : int
        Of the disk.
    spare : int
        That is to stay free.
    """

    series: int
    copies: tuple[Kept, ...]
    limit: int
    free: int
    spare: int

    @property
    def decoded(self) -> int:
        """Bytes of all decoded copies."""
        return sum(copy.bytes for copy in self.copies)

    def excess(self, wanted: int = 0) -> int:
        """Bytes that have to go for `wanted` more; negative where they fit."""
        over = self.series + self.decoded + wanted - self.limit
        return max(over, self.spare + wanted - self.free)


def usage(store: Path, decoded: Path, limit: int | None = None) -> Usage:
    """Count what lies below the store and the folder of decoded copies.

    Parameters
    ----------
    store, decoded : Path
        May be absent.
    limit : int, optional
        Bytes; by default half of the disk, and 200 GB at most.
    """
    place = decoded
    while not place.exists():
        place = place.parent
    disk = shutil.disk_usage(place)
    return Usage(
        series=_bytes_below(store),
        copies=tuple(_copies(store, decoded)),
        limit=min(MOST, disk.total // 2) if limit is None else limit,
        free=disk.free,
        spare=max(SPARE, round(disk.total * SPARE_SHARE)),
    )


def make_room(
    wanted: int, store: Path, decoded: Path, limit: int | None = None
) -> bool:
    """Evict decoded copies until `wanted` bytes fit, and say whether they do.

    What writers that died have left goes in any case, and where `wanted` cannot
    fit, no more than brings the rest back within its limits. A copy that somebody
    has mapped keeps its pixels for them: on POSIX an unlinked file lives on until
    it is unmapped (its space comes free then); elsewhere it cannot be unlinked,
    and stays. Links are not followed: nothing outside `decoded` is touched.

    Parameters
    ----------
    wanted : int
        Bytes about to be written; 0 only brings what is there within its limits.
    store, decoded : Path
    limit : int, optional
        As for `usage`.
    """
    for folder in _folders(decoded):
        if not is_whole(folder):
            discard_copy(folder)
    found = usage(store, decoded, limit)
    needed = found.excess(wanted)
    in_vain = needed > found.decoded
    left = found.excess() if in_vain else needed
    for copy in _victims(found):
        if left <= 0:
            break
        if discard_copy(copy.folder):
            left -= copy.bytes
    return not in_vain and left <= 0


def _victims(found: Usage) -> list[Kept]:
    return sorted(found.copies, key=lambda copy: (copy.used, copy.folder))


def _copies(store: Path, decoded: Path) -> Iterator[Kept]:
    for folder in _folders(decoded):
        stored = store / folder.parent.name / folder.name
        used = _last_used(folder) if stored.is_dir() else 0
        yield Kept(folder, _bytes_below(folder), used)


def _last_used(folder: Path) -> int:
    try:
        return (folder / RECORD).lstat().st_mtime_ns
    except OSError:  # it is being written: just now
        return time.time_ns()


def _folders(decoded: Path) -> list[Path]:
    """The folder of each copy: <host>/<series UID>, links left out."""
    return [copy for host in _inside(decoded) for copy in _inside(host)]


def _inside(folder: Path) -> list[Path]:
    if folder.is_symlink():
        return []
    try:
        with os.scandir(folder) as entries:
            found = [e.path for e in entries if e.is_dir(follow_symlinks=False)]
    except OSError:
        return []
    return [Path(path) for path in sorted(found)]


def _bytes_below(folder: Path | str) -> int:
    """Sizes of all files below `folder`; links count as nothing."""
    total = 0
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    total += _bytes_below(entry.path)
                elif entry.is_file(follow_symlinks=False):
                    total += entry.stat(follow_symlinks=False).st_size
    except OSError:  # taken away meanwhile
        pass
    return total
