"""The bucket of the embedded archive: objects named by UUIDs, as at IDC.

Keys are ``<series>/<instance>.dcm``. The subset of S3 that reading needs:
ListObjectsV2 in pages, GET and HEAD with ranges.
"""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_right
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path
from xml.sax.saxutils import escape

from napari_tcia.core.model import TWIN_BUCKET, object_uuid
from napari_tcia.demo.messages import Reply, Request
from napari_tcia.demo.twin import Twin

CLOSED_BUCKET = "idc-closed-data"
"""A bucket that exists and lets nobody in."""
PAGE_KEYS = 10
"""Most keys on a page, so that even a small series has several."""
_MODIFIED = 1_680_220_800.0
_XMLNS = "http://s3.amazonaws.com/doc/2006-03-01/"
_MESSAGES = {
    "NoSuchKey": "The specified key does not exist.",
    "NoSuchBucket": "The specified bucket does not exist",
    "AccessDenied": "Access Denied",
    "InvalidRange": "The requested range is not satisfiable",
    "InvalidArgument": "The continuation token provided is incorrect",
}


@dataclass(slots=True)
class Bucket:
    """Answers for the objects of a twin; nothing is painted before it is asked for."""

    twin: Twin
    _objects: dict[str, tuple[str, int]] = field(init=False)
    _keys: list[str] = field(init=False)
    _etags: dict[str, str] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._objects = {
            f"{object_uuid(uid)}/{object_uuid(sop)}.dcm": (uid, k)
            for uid, one in self.twin.series.items()
            for k, sop in enumerate(one.sop_uids)
        }
        self._keys = sorted(self._objects)

    def answer(self, request: Request) -> Reply:
        """The reply to ``/<bucket>?list-type=2...`` or ``/<bucket>/<key>``."""
        bucket, key = request.parts[0], "/".join(request.parts[1:])
        if request.method not in ("GET", "HEAD"):
            return Reply(status=405, headers={"Allow": "GET, HEAD"})
        if bucket == CLOSED_BUCKET:
            return _error(403, "AccessDenied")
        if bucket != TWIN_BUCKET:
            return _error(404, "NoSuchBucket")
        if not key:
            is_head = request.method == "HEAD"  # asks for no list: HeadBucket
            return Reply(status=200) if is_head else self._list(request)
        if key not in self._objects:
            return _error(404, "NoSuchKey")
        return self._object(key, request.headers.get("range", ""))

    def _path(self, key: str) -> Path:
        return self.twin.instance(*self._objects[key])

    def _etag(self, key: str) -> str:
        if key not in self._etags:
            data = self._path(key).read_bytes()
            digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
            self._etags[key] = f'"{digest}"'
        return self._etags[key]

    def _list(self, request: Request) -> Reply:
        query = request.query
        prefix = query.get("prefix", "")
        after = query.get("start-after", "")
        if token := query.get("continuation-token"):
            try:
                after = bytes.fromhex(token).decode()
            except ValueError:
                return _error(400, "InvalidArgument")
        wanted = query.get("max-keys", "")
        most = min(int(wanted) if wanted.isdigit() else PAGE_KEYS, PAGE_KEYS)
        names = [key for key in self._keys if key.startswith(prefix)]
        folders: list[str] = []
        if query.get("delimiter") == "/":
            cut = len(prefix)
            deeper = [key for key in names if "/" in key[cut:]]
            folders = sorted({key[: key.index("/", cut) + 1] for key in deeper})
            names = [key for key in names if "/" not in key[cut:]]
        entries = sorted([*names, *folders])
        start = bisect_right(entries, after) if after else 0
        shown = entries[start : start + most]
        cut_off = 0 < most < len(entries) - start
        body = [
            '<?xml version="1.0" encoding="UTF-8"?>\n',
            f'<ListBucketResult xmlns="{_XMLNS}"><Name>{TWIN_BUCKET}</Name>',
            f"<Prefix>{escape(prefix)}</Prefix>",
        ]
        if cut_off:
            following = shown[-1].encode().hex()
            body.append(f"<NextContinuationToken>{following}</NextContinuationToken>")
        body.append(
            f"<KeyCount>{len(shown)}</KeyCount><MaxKeys>{most}</MaxKeys>"
            f"<IsTruncated>{str(cut_off).lower()}</IsTruncated>"
        )
        for name in shown:
            if name in self._objects:
                body.append(
                    f"<Contents><Key>{name}</Key>"
                    "<LastModified>2023-03-31T00:00:00.000Z</LastModified>"
                    f"<ETag>{escape(self._etag(name), {chr(34): '&quot;'})}</ETag>"
                    f"<Size>{self._path(name).stat().st_size}</Size>"
                    "<StorageClass>INTELLIGENT_TIERING</StorageClass></Contents>"
                )
            else:
                body.append(f"<CommonPrefixes><Prefix>{name}</Prefix></CommonPrefixes>")
        body.append("</ListBucketResult>")
        return Reply("".join(body).encode(), "application/xml")

    def _object(self, key: str, wanted: str) -> Reply:
        data = self._path(key).read_bytes()
        headers = {
            "ETag": self._etag(key),
            "Accept-Ranges": "bytes",
            "Last-Modified": formatdate(_MODIFIED, usegmt=True),
        }
        asked = _range(wanted, len(data))
        if asked is None:
            return Reply(data, "application/dicom", headers=headers)
        start, stop = asked
        if start >= stop:
            error = _error(416, "InvalidRange")
            total = {"Content-Range": f"bytes */{len(data)}"}
            return Reply(error.body, error.content_type, 416, total)
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(data)}"
        return Reply(data[start:stop], "application/dicom", 206, headers)


def _range(text: str, size: int) -> tuple[int, int] | None:
    """Start and stop of one range; None for a header that asks for no single one."""
    found = re.fullmatch(r"bytes=(\d*)-(\d*)", text.strip())
    if not found or found[1] == found[2] == "":
        return None
    if not found[1]:
        return max(0, size - int(found[2])), size
    start, stop = int(found[1]), int(found[2]) + 1 if found[2] else size
    return None if found[2] and stop <= start else (start, min(stop, size))


def _error(status: int, code: str) -> Reply:
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{code}</Code><Message>{_MESSAGES[code]}</Message></Error>"
    )
    return Reply(body.encode(), "application/xml", status)
