"""Who has a stored series open: such a one is never evicted.

A lease is an empty file beside the series that names a process of this machine::

    ROOT/<host>/.<SeriesInstanceUID>.open/<process>-<number>

One of a process that is gone means nothing, and is removed by who comes across it.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import time
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

USED = ".used"
"""In the folder of a series; its time is that of the last opening."""
_numbers = itertools.count()


def lease(series: Path, owners: Sequence[Any]) -> None:
    """Keep a stored series from being evicted as long as one of `owners` lives.

    On a disk that cannot be written to nothing is evicted either.

    Parameters
    ----------
    series : Path
        Its folder.
    owners : sequence
        Things that show it, such as the array of its volume.
    """
    with contextlib.suppress(OSError):
        (series / USED).touch()
        for owner in owners:
            folder = _folder(series)
            folder.mkdir(exist_ok=True)
            mark = folder / f"{os.getpid()}-{next(_numbers)}"
            mark.touch()
            weakref.finalize(owner, _release, mark)


def is_open(series: Path) -> bool:
    """Whether a living process of this machine has a series open."""
    try:
        marks = list(_folder(series).iterdir())
    except OSError:
        return False
    living = False
    for mark in marks:
        process = mark.name.partition("-")[0]
        if process.isdecimal() and _lives(int(process)):
            living = True
        else:
            _release(mark)
    return living


def last_used(series: Path) -> int:
    """When a series was last opened, else when it was fetched, in ns."""
    for name in (USED, "."):
        with contextlib.suppress(OSError):
            return (series / name).stat().st_mtime_ns
    return time.time_ns()


def _folder(series: Path) -> Path:
    return series.with_name(f".{series.name}.open")


def _release(mark: Path) -> None:
    with contextlib.suppress(OSError):
        mark.unlink(missing_ok=True)
        mark.parent.rmdir()  # unless another one is in it


def _lives(process: int) -> bool:
    import psutil

    return bool(psutil.pid_exists(process))
