"""The instances of a series from a bucket, one file after the other."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from typing import Any

from napari_tcia.core.model import AccessGrant, Series
from napari_tcia.core.sources import BucketObject, ObjectSource
from napari_tcia.errors import ArchiveError, CorruptData, Truncated
from napari_tcia.transfer.attempts import Watch, pause_after

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


def files_of(
    source: ObjectSource,
    listed: tuple[BucketObject, ...],
    uid: str,
    grant: AccessGrant,
    watch: Watch,
    attempts: int,
    pause: float,
) -> Iterator[tuple[str, Iterator[bytes]]]:
    """Yield (name, chunks) of each file; use the chunks up before the next.

    A connection that breaks off is taken up where it ended, so that one hiccup
    costs no more than one request. Size and, where the bucket tells it, MD5
    are compared with the last chunk.

    Raises
    ------
    ArchiveError
        A file could not be had in `attempts` tries.
    CorruptData
        Other bytes than the bucket lists.
    """
    for one in listed:
        name = one.key.rpartition("/")[2]
        pieces = _resumed(source, one, uid, grant, watch, attempts, pause)
        yield name, _compared(pieces, one, uid)


def _resumed(
    source: ObjectSource,
    one: BucketObject,
    uid: str,
    grant: AccessGrant,
    watch: Watch,
    attempts: int,
    pause: float,
) -> Iterator[bytes]:
    """Chunks of a file over as many connections as it takes, within limits."""
    got = 0
    for attempt in range(1, attempts + 1):
        try:
            with source.open_object(one, uid, grant, watch.token, start=got) as chunks:
                for chunk in chunks:
                    got += len(chunk)
                    yield chunk
            if got >= one.size:
                return
            raise Truncated(
                f"{one.key} of series {uid} ended after {got} of {one.size} bytes.",
                "Nothing of the series was kept; try again.",
            )
        except ArchiveError as error:
            watch.token.wait(pause_after(error, attempt, attempts, pause))


def _compared(pieces: Iterator[bytes], one: BucketObject, uid: str) -> Iterator[bytes]:
    digest = hashlib.md5(usedforsecurity=False)  # what buckets list
    size = 0
    for piece in pieces:
        digest.update(piece)
        size += len(piece)
        if size > one.size:
            break
        yield piece
    told = one.etag.lower()
    same = not _MD5.fullmatch(told) or told == digest.hexdigest()
    if size != one.size or not same:
        raise CorruptData(
            f"{one.key} of series {uid} is not what the bucket lists: "
            + ("its checksum differs." if size == one.size else "it is longer."),
            "Nothing of the series was kept; try again.",
        )
