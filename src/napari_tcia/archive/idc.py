"""The Imaging Data Commons: TCIA's public DICOM as files in open buckets.

Read by plain HTTPS, anonymously: ListObjectsV2 for what there is, GET for each
instance. A folder of a bucket is one series in one version; its name is a UUID
that the index tells and the series does not. There is no licence text beside
the files: the licence is what the listing of the archive says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any
from urllib.parse import urlsplit
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from napari_tcia.archive.full_index import HINT
from napari_tcia.archive.http import Reply, Transport
from napari_tcia.archive.places import place_of
from napari_tcia.core.model import AccessGrant
from napari_tcia.core.settings import Settings, netloc
from napari_tcia.core.sources import BucketObject
from napari_tcia.core.task import CancelToken
from napari_tcia.core.text import one_line
from napari_tcia.errors import GrantMismatch, NothingFound, UnexpectedReply

MAX_OBJECTS = 100_000
"""More than the largest series has (91,980 instances in release 25)."""
_FILE = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,120}\.dcm")


class Idc:
    """The buckets as a second source of the instances of a series.

    Parameters
    ----------
    transport : Transport
    settings : Settings
        `settings.idc` is the address that bucket names are appended to.
    """

    name = "idc"

    def __init__(self, transport: Transport, settings: Settings) -> None:
        self._transport = transport
        self._settings = settings
        # Not the bucket's: a licence is accepted for a collection of the
        # archive that lists it, and holds wherever its files are fetched.
        self.host = settings.archive_host

    def place(self, series_uid: str) -> tuple[str, str] | None:
        """Bucket and folder of a series, None where it is not known to have one."""
        return place_of(series_uid)

    def objects(
        self, series_uid: str, token: CancelToken | None = None
    ) -> tuple[BucketObject, ...]:
        """Every file of a series, by key; no pixel is sent for it.

        Raises
        ------
        NothingFound
            No bucket is known to have the series, or its folder is empty.
        ArchiveError
            The bucket fails, or a page of its list is not what it should be.
        """
        bucket, folder = self._place(series_uid)
        asked = {"list-type": "2", "prefix": f"{folder}/"}
        found: dict[str, BucketObject] = {}
        while True:
            url = f"{self._settings.idc}/{bucket}"
            reply = self._transport.get(url, params=asked, token=token)
            page, following = _page(reply, f"{folder}/")
            if found.keys() & {one.key for one in page} or (following and not page):
                raise UnexpectedReply(
                    f"{netloc(url)} lists series {series_uid} without end.",
                    "Try again later.",
                )
            found |= {one.key: one for one in page}
            if len(found) > MAX_OBJECTS:
                raise UnexpectedReply(
                    f"{netloc(url)} lists more than {MAX_OBJECTS} files of series "
                    f"{series_uid}."
                )
            if not following:
                break
            asked["continuation-token"] = following
        if not found:
            raise NothingFound(
                f"{netloc(url)} has no file of series {series_uid}.",
                "It may have a newer version; update napari-tcia or its index.",
            )
        return tuple(found.values())

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
        """Stream a file of a series, whole or from `start` to before `stop`.

        Raises
        ------
        GrantMismatch
            The grant does not cover the series, or the file is not below the
            folder of the series.
        """
        bucket, folder = self._place(series_uid)
        if not _is_below(one.key, f"{folder}/"):
            raise GrantMismatch(
                f"{one_line(one.key, 100)} is no file of series {series_uid}."
            )
        base = f"{self._settings.idc}/{bucket}"
        return self._transport.stream(
            f"{base}/{one.key}",
            grant=grant,
            series_uid=series_uid,
            token=token,
            below=f"{base}/{folder}",
            span=(start, stop),
        )

    def _place(self, series_uid: str) -> tuple[str, str]:
        place = self.place(series_uid)
        if place is None:
            raise NothingFound(
                f"It is not known where the Imaging Data Commons keeps series "
                f"{series_uid}.",
                HINT,
            )
        return place


def _page(reply: Reply, prefix: str) -> tuple[list[BucketObject], str]:
    """Files of one page, and the token of the next; empty for the last.

    Raises
    ------
    UnexpectedReply
        No list, a list that does not say how it goes on, or a key that is no
        DICOM file of the folder asked for.
    """
    host = netloc(reply.url)
    try:
        root = fromstring(reply.body)
    except (ParseError, DefusedXmlException, ValueError) as error:
        raise UnexpectedReply(
            f"{host} answered something that is no list of files: "
            f"“{one_line(reply.body, 100)}”.",
            "The service may be under maintenance; try again later.",
        ) from error
    if _name(root) != "ListBucketResult":
        raise UnexpectedReply(
            f"{host} answered {one_line(_name(root), 40)} for "
            f"{urlsplit(reply.url).path} where a list of files was expected."
        )
    found = []
    for entry in (child for child in root if _name(child) == "Contents"):
        key, size = _text(entry, "Key"), _text(entry, "Size")
        if key == prefix and size == "0":
            continue  # the mark by which some programs make a folder
        if not _is_below(key, prefix) or not size.isdecimal():
            raise UnexpectedReply(
                f"{host} lists “{one_line(key, 100)}” ({one_line(size, 20)} bytes) "
                f"where DICOM files below {prefix} were asked for."
            )
        found.append(BucketObject(key, int(size), _text(entry, "ETag").strip('"')))
    following = _text(root, "NextContinuationToken")
    if _text(root, "IsTruncated") not in ("true", "false") or (
        (_text(root, "IsTruncated") == "true") != bool(following)
    ):
        raise UnexpectedReply(
            f"{host} does not say whether its list of {prefix} goes on.",
            "Try again later.",
        )
    return found, following


def _is_below(key: str, prefix: str) -> bool:
    return key.startswith(prefix) and bool(_FILE.fullmatch(key[len(prefix) :]))


def _name(element: Any) -> str:
    """Name without its namespace, which stores like S3 spell differently."""
    return str(element.tag).rpartition("}")[2]


def _text(parent: Element, name: str) -> str:
    found = next((child for child in parent if _name(child) == name), None)
    return (found.text or "").strip() if found is not None else ""
