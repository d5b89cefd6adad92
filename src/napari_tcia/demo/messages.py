"""Requests and replies inside the embedded archive."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

Row = dict[str, Any]
Load = Callable[[], bytes | Iterable[bytes]]
Member = tuple[str | zipfile.ZipInfo, Load]
"""A zip member: its name, and what loads its bytes when its turn comes."""

ZIP_DATE = (2023, 3, 31, 0, 0, 0)
PIXELS = (
    "getImage", "getImageWithMD5Hash", "getDCMImage", "getSingleImage", "getThumbnail",
)  # fmt: skip
"""Endpoints of NBIA that send images."""


class Disconnect(Exception):
    """Raised by a body to break the connection off."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request.

    `service` is a key of `EmbeddedArchive.bases`, `parts` what follows its
    base path; `query` holds the form fields of a POST too, and the names of
    `headers` are in lower case.
    """

    method: str
    service: str
    parts: tuple[str, ...]
    query: Mapping[str, str]
    headers: Mapping[str, str]

    @property
    def endpoint(self) -> str:
        """Last part of the path."""
        return self.parts[-1] if self.parts else ""

    @property
    def wants_pixels(self) -> bool:
        """Whether it asks for images."""
        return self.service == "archive" and self.endpoint in PIXELS


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer; a body of bytes has a length, one of chunks is chunked."""

    body: bytes | Iterator[bytes] = b""
    content_type: str = ""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


def json_reply(
    value: Any, headers: Mapping[str, str] | None = None, status: int = 200
) -> Reply:
    """Answer with JSON, written as compactly as the services do."""
    body = json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
    return Reply(body, "application/json", status, headers or {})


def rows_reply(rows: Sequence[Row], query: Mapping[str, str]) -> Reply:
    """Answer with rows as JSON, or in the ``format`` asked for.

    Nothing found is an empty body, not an empty list; another format than
    ``json``, ``csv``, ``html`` and ``xml`` makes the server fail.
    """
    if not rows:
        return Reply(content_type="application/json")
    kind = query.get("format", "json").lower()
    if kind in ("csv", "csvquoted"):
        return Reply(to_csv(rows), "text/csv")
    if kind == "html":
        return Reply(_to_html(rows), "text/html")
    if kind == "xml":
        return Reply(_to_xml(rows), "application/xml")
    if kind == "json":
        return json_reply(rows)
    return Reply(b"Server was not able to process your request", "text/plain", 500)


def _to_html(rows: Sequence[Row]) -> bytes:
    """Rows as one table without a page around it."""
    names = tuple(dict.fromkeys(key for row in rows for key in row))
    cells = [
        "".join(
            f"<TD>{escape(str(row[key])) if key in row else '&nbsp;'}</TD>"
            for key in names
        )
        for row in rows
    ]
    lines = "".join(f"<TR>{line}</TR>" for line in cells)
    head = "".join(f"<TH>{name}</TH>" for name in names)
    table = f"<TABLE BORDER=1><TR>{head}</TR>{lines}</TABLE>"
    return f"<P ALIGN='center'>{table}</P>".encode()


def _to_xml(rows: Sequence[Row]) -> bytes:
    """Rows as elements that name the Java type of each value."""
    types = {bool: "Boolean", int: "Integer", str: "String"}
    lines = [
        "".join(
            f"<{key} type='java.lang.{types[type(value)]}'>{escape(str(value))}</{key}>"
            for key, value in row.items()
        )
        for row in rows
    ]
    body = "".join(f"<Row>{line}</Row>" for line in lines)
    head = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
    return f"{head}<Results>{body}</Results>".encode()


def to_csv(rows: Sequence[Row], columns: Sequence[str] = ()) -> bytes:
    """Rows as CSV with every cell quoted."""
    names = columns or tuple(dict.fromkeys(key for row in rows for key in row))
    stream = io.StringIO()
    writer = csv.DictWriter(
        stream, names, quoting=csv.QUOTE_ALL, restval="", extrasaction="ignore",
        lineterminator="\n",
    )  # fmt: skip
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue().encode()


def refusal(text: str) -> Reply:
    """A 400 with a plain sentence under a JSON content type, as NBIA has it."""
    return Reply(text.encode(), "application/json", status=400)


def no_access(version: str, uid: str) -> Reply:
    """The refusal of a series that is not public, or that there is not."""
    if version == "v1":
        return refusal(
            f"Image with given SeriesInstanceUID,{uid}, is not in public domain."
        )
    return refusal(
        "The user has not been granted the access to image with given "
        f"SeriesInstanceUID,{uid}. Please contact System Admin to resolve this issue."
    )


def crash() -> Reply:
    """The 500 of an NBIA endpoint that failed."""
    text = b"Server was not able to process your request\nnull"
    return Reply(text, "text/plain", status=500)


_STYLE = (
    "body{font-family:sans-serif;max-width:60em;margin:2em auto;padding:0 1em}"
    "table{border-collapse:collapse}pre{background:#eee;padding:.5em;overflow:auto}"
)


def page(title: str, body: str, status: int = 200) -> Reply:
    """A plain HTML page."""
    text = (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{title}</title><style>{_STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )
    return Reply(text.encode(), "text/html; charset=utf-8", status)


def not_found() -> Reply:
    """A 404 as a web server has it."""
    return page("Not Found", "<h1>Not Found</h1>", 404)


def stream_zip(members: Sequence[Member]) -> Iterator[bytes]:
    """Zip `members` on the fly, deflated, sizes in data descriptors."""
    sink = _Sink()
    with zipfile.ZipFile(sink, "w") as archive:
        for name, load in members:
            plain = isinstance(name, str)
            info = zipfile.ZipInfo(name, ZIP_DATE) if isinstance(name, str) else name
            info.compress_type = zipfile.ZIP_DEFLATED
            # The level of the archive itself does not reach a member given by its
            # ZipInfo, which would be deflated at 6: five times as slow.
            info._compresslevel = 1  # type: ignore[attr-defined]
            # Servers check no names; a name that comes twice is written twice.
            archive.NameToInfo.clear()
            data = load()
            parts = [data] if isinstance(data, bytes) else data
            with archive.open(info, "w", force_zip64=not plain) as member:
                for part in parts:
                    member.write(part)
                    yield sink.take()
            yield sink.take()
    yield sink.take()


class _Sink(io.RawIOBase):
    """Takes writes, cannot seek, gives them back once."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        taken, self._parts = b"".join(self._parts), []
        return taken
