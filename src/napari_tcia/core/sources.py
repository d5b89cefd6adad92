"""What transfer asks of an archive: a zip, files of a bucket, supplements."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from napari_tcia.core.model import AccessGrant
from napari_tcia.core.task import CancelToken


class SeriesSource(Protocol):
    """An archive that sends a series as one zip."""

    name: str
    host: str

    def open_series(
        self, series_uid: str, grant: AccessGrant, token: CancelToken
    ) -> AbstractContextManager[Iterator[bytes]]:
        """Stream the zip of a series, in chunks as they arrive."""
        ...


@runtime_checkable
class InstanceSource(Protocol):
    """An archive that also sends single instances of a series."""

    name: str
    host: str

    def sop_instance_uids(
        self, series_uid: str, token: CancelToken | None = None
    ) -> tuple[str, ...]:
        """SOPInstanceUIDs of a series, as the archive lists them."""
        ...

    def md5_of(self, sop_uid: str, token: CancelToken | None = None) -> str | None:
        """MD5 of an instance, hexadecimal; None where the archive tells none."""
        ...

    def open_instance(
        self, series_uid: str, sop_uid: str, grant: AccessGrant, token: CancelToken
    ) -> AbstractContextManager[Iterator[bytes]]:
        """Stream one instance of a series."""
        ...


class FileSource(Protocol):
    """An archive that sends supplementary files."""

    name: str
    host: str

    def open_file(
        self, name: str, collection: str, grant: AccessGrant, token: CancelToken
    ) -> AbstractContextManager[Iterator[bytes]]:
        """Stream a supplementary file of a collection."""
        ...


@dataclass(frozen=True, slots=True)
class BucketObject:
    """One file of a public bucket.

    `size` is in bytes. `etag` stands without its quotes: 32 hexadecimal
    digits are the MD5 of the bytes; anything else says nothing about them.
    """

    key: str
    size: int
    etag: str = ""


@runtime_checkable
class ObjectSource(Protocol):
    """An archive that has each instance of a series as a file of its own.

    `host` is that of the archive that lists the series, whose terms were
    accepted: the bucket is another place of the same data, under the same
    licence.
    """

    name: str
    host: str

    def objects(
        self, series_uid: str, token: CancelToken | None = None
    ) -> tuple[BucketObject, ...]:
        """Every file of a series; the whole list or an error."""
        ...

    def open_object(
        self,
        one: BucketObject,
        series_uid: str,
        grant: AccessGrant,
        token: CancelToken,
        *,
        start: int = 0,
        stop: int | None = None,
    ) -> AbstractContextManager[Iterator[bytes]]:
        """Stream bytes `start` to `stop` of a file of that series."""
        ...
