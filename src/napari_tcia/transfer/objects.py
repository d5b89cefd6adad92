"""The instances of a series from a bucket, some files side by side."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from dataclasses import replace
from functools import partial as partial_of
from pathlib import Path
from typing import Any

from napari_tcia.core.model import AccessGrant, Series
from napari_tcia.core.sources import BucketObject, ObjectSource
from napari_tcia.core.task import CancelToken
from napari_tcia.core.threads import side_by_side
from napari_tcia.errors import CorruptData, Truncated, UnsafeArchive
from napari_tcia.transfer.attempts import Watch, again
from napari_tcia.transfer.instance import instance_uid
from napari_tcia.transfer.partial import Partial, Verified
from napari_tcia.transfer.receive import Meter, write

THREADS = 4
"""Files of a bucket that are fetched side by side."""

_MD5 = re.compile(r"[0-9a-f]{32}")


def check_listed(listed: Sequence[BucketObject], series: Series) -> None:
    """Compare the list of a bucket with what the archive declares.

    Before anything is fetched: a folder of a bucket is one version of the
    series, and may not be the one that was searched for. A series that is
    declared without count and size is what the bucket lists.

    Raises
    ------
    Truncated
        Fewer files, or bytes, than declared.
    CorruptData
        More of them.
    """
    count, size = len(listed), sum(one.size for one in listed)
    images, declared = series.images, series.bytes
    if images in (None, count) and declared in (None, size):
        return
    words = (
        f"The bucket lists {count} files ({size} bytes) of series "
        f"{series.series_uid}; the archive declares "
        f"{'an unknown number' if images is None else images} "
        f"({'unknown' if declared is None else declared} bytes).",
        "The two may hold different versions; search again, or try later.",
    )
    numbers: dict[str, Any] = {
        "series_uid": series.series_uid,
        "listed_images": count,
        "declared_images": images,
        "listed_bytes": size,
        "declared_bytes": declared,
    }
    fewer = (images is not None and count < images) or (
        images in (None, count) and size < (declared or 0)
    )
    if fewer:
        raise Truncated(*words, **numbers)
    raise CorruptData(*words, **numbers)


def fetch_objects(
    listed: Sequence[BucketObject],
    series: Series,
    source: ObjectSource,
    grant: AccessGrant,
    partial: Partial,
    watch: Watch,
    progress: Meter,
    attempts: int,
    pause: float,
) -> None:
    """Fetch and hold every file of a bucket's folder that is not held yet.

    Several side by side. A connection that breaks off, or a run that was
    killed, is taken up where it ended. Size and, where the bucket tells it,
    MD5 are compared.

    Raises
    ------
    ArchiveError
        A file could not be had in `attempts` tries.
    CorruptData, WrongSeries, UnsafeArchive
        Among them is something that must not be kept.
    """
    keys = {one.key for one in listed}
    partial.drop([v.name for v in partial.files.values() if v.origin not in keys])
    there = {held.origin for held in partial.files.values()}
    lock = threading.Lock()

    def fetch(one: BucketObject, inner: CancelToken) -> None:
        part = partial.folder / f"{one.key.rpartition('/')[2]}.object"
        got = _bring(
            one, part, series, source, grant, watch, inner, progress, attempts, pause
        )
        uid = instance_uid(part, got.name, series.series_uid)
        with lock:  # two files may claim to be one instance
            if uid in partial.uids:
                raise UnsafeArchive(f"Instance {uid} arrived twice ({one.key}).")
            partial.hold(part, replace(got, name=f"{uid}.dcm", origin=one.key))
        watch.alive()

    progress(0, now=True)
    wanted = [one for one in listed if one.key not in there]
    with watch.token.child() as inner:
        for _ in side_by_side(partial_of(fetch, inner=inner), wanted, THREADS, inner):
            pass
    progress(0, now=True)


def _bring(
    one: BucketObject,
    part: Path,
    series: Series,
    source: ObjectSource,
    grant: AccessGrant,
    watch: Watch,
    token: CancelToken,
    progress: Meter,
    attempts: int,
    pause: float,
) -> Verified:
    """Bring one file, over as many connections as it takes, within limits."""
    uid = series.series_uid

    def once() -> Verified:
        start = part.stat().st_size if part.exists() else 0
        if start > one.size:
            part.unlink()
            start = 0
        if start == one.size and start:
            got = write(iter(()), part, watch, progress, one.size, start=start)
        else:
            with source.open_object(one, uid, grant, token, start=start) as chunks:
                got = write(chunks, part, watch, progress, None, start=start)
        _compare(one, got, part, uid)
        return got

    return again(once, token, attempts, pause)


def _compare(one: BucketObject, got: Verified, part: Path, uid: str) -> None:
    if got.size < one.size:
        raise Truncated(
            f"{one.key} of series {uid} ended after {got.size} of {one.size} bytes.",
            "What was verified is kept; try again.",
        )
    told = one.etag.lower()
    same = not _MD5.fullmatch(told) or told == got.md5
    if got.size != one.size or not same:
        part.unlink()
        raise CorruptData(
            f"{one.key} of series {uid} is not what the bucket lists: "
            + ("its checksum differs." if got.size == one.size else "it is longer."),
            "Nothing of the file was kept; try again.",
        )
