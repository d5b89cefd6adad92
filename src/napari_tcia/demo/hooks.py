"""What faults do to rows, zip members and replies.

Each hook takes the healthy thing and returns the faulty one. `Shot` holds what
may be chosen about it.
"""

from __future__ import annotations

import io
import json
import re
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from napari_tcia.demo.holdings import OTHER_LICENCE
from napari_tcia.demo.messages import (
    ZIP_DATE,
    Disconnect,
    Load,
    Member,
    Reply,
    Request,
    Row,
    crash,
    no_access,
    page,
)
from napari_tcia.demo.rows import v1
from napari_tcia.demo.twin import Twin, TwinSeries

ELSEWHERE = "https://elsewhere.invalid/nbia-api/services/v4/getImage"
"""Where `redirect` points: a name that never resolves (RFC 2606)."""
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Shot:
    """What may be chosen about one occurrence of a fault.

    Attributes
    ----------
    bytes : int or None
        How much is sent before it happens, or how large a thing is.
    seconds : float or None
        How long it takes.
    stop : threading.Event
        Set when the archive stops.
    """

    bytes: int | None = None
    seconds: float | None = None
    stop: threading.Event = field(default_factory=threading.Event)


ReplyHook = Callable[[Request, Reply, Shot], Reply]
MembersHook = Callable[[list[Member], Shot], list[Member]]


# Rows and series


def counts_off(rows: list[Row]) -> list[Row]:
    """Three images and a page of bytes too many."""
    return [
        row | {"ImageCount": row["ImageCount"] + 3, "FileSize": row["FileSize"] + 4096}
        for row in rows
    ]


def licence_changed(rows: list[Row]) -> list[Row]:
    """Another licence wherever there was one."""
    other = {
        "LicenseName": OTHER_LICENCE.licence_name,
        "LicenseURI": OTHER_LICENCE.licence_url,
    }
    return [row | other if "LicenseName" in row else row for row in rows]


def other_series(twin: Twin, series: TwinSeries) -> TwinSeries:
    """The series of another patient, of the same kind where there is one."""
    others = [one for one in twin.series.values() if one.case != series.case]
    return min(others, key=lambda one: one.modality != series.modality)


# Members of a zip


def fewer_members(members: list[Member], shot: Shot) -> list[Member]:
    """The last two images and what would follow are missing.

    The zip is well closed all the same; as at NBIA, checksums come after the
    last image or not at all.
    """
    return members[: max(_last_image(members) - 1, _first_image(members))]


def without_licence(members: list[Member], shot: Shot) -> list[Member]:
    """No LICENSE."""
    return [member for member in members if member[0] != "LICENSE"]


def not_dicom(members: list[Member], shot: Shot) -> list[Member]:
    """Something else of the same length in place of the last image."""
    place = _last_image(members)
    name, load = members[place]
    other = (name, lambda: b"not DICOM\n".ljust(_size(load), b"."))
    return [*members[:place], other, *members[place + 1 :]]


def wrong_bytes(members: list[Member], shot: Shot) -> list[Member]:
    """One pixel of one slice is another; the zip's own CRC agrees with it."""
    place = _last_image(members)
    name, load = members[place]

    def altered() -> bytes:
        data = bytearray(_whole(load))
        data[-2] ^= 0x10
        return bytes(data)

    return [*members[:place], (name, altered), *members[place + 1 :]]


def wrong_crc(members: list[Member], shot: Shot) -> list[Member]:
    """The CRC of one image is not that of its bytes."""
    place = _last_image(members)
    name, load = members[place]
    wrong = (_WrongCrc(str(name), ZIP_DATE), load)
    return [*members[:place], wrong, *members[place + 1 :]]


class _WrongCrc(zipfile.ZipInfo):
    @property
    def CRC(self) -> int:
        return self._crc ^ 1

    @CRC.setter
    def CRC(self, value: int) -> None:
        self._crc = value


def climbing(members: list[Member], shot: Shot) -> list[Member]:
    """A name that leads out of the folder."""
    return [*members[:2], ("../escaped.dcm", lambda: b"outside"), *members[2:]]


def absolute(members: list[Member], shot: Shot) -> list[Member]:
    """A name that starts at the root."""
    return [*members[:2], ("/escaped.dcm", lambda: b"outside"), *members[2:]]


def repeated(members: list[Member], shot: Shot) -> list[Member]:
    """A name that comes twice, with other bytes."""
    return [*members, (members[_last_image(members)][0], lambda: b"second")]


def linked(members: list[Member], shot: Shot) -> list[Member]:
    """A symbolic link that leads out of the folder."""
    link = zipfile.ZipInfo("link.dcm", ZIP_DATE)
    link.create_system = 3
    link.external_attr = 0o120777 << 16
    return [*members[:2], (link, lambda: b"../../outside"), *members[2:]]


def nested(members: list[Member], shot: Shot) -> list[Member]:
    """A zip inside the zip."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(zipfile.ZipInfo("inner.dcm", ZIP_DATE), b"inner")
    return [*members, ("inner.zip", stream.getvalue)]


def bomb(members: list[Member], shot: Shot) -> list[Member]:
    """A member that is small on the wire and 10 GB, or `bytes`, unpacked."""
    blocks = max(1, (10 << 30 if shot.bytes is None else shot.bytes) // _BLOCK)
    zeros = bytes(_BLOCK)
    info = zipfile.ZipInfo("00000000.dcm", ZIP_DATE)
    return [*members[:1], (info, lambda: (zeros for _ in range(blocks))), *members[1:]]


def _is_image(member: Member) -> bool:
    name = member[0]
    return (name if isinstance(name, str) else name.filename).endswith(".dcm")


def _first_image(members: list[Member]) -> int:
    return next(k for k, member in enumerate(members) if _is_image(member))


def _last_image(members: list[Member]) -> int:
    return max(k for k, member in enumerate(members) if _is_image(member))


def _whole(load: Load) -> bytes:
    data = load()
    return data if isinstance(data, bytes) else b"".join(data)


def _size(load: Load) -> int:
    return len(_whole(load))


# Replies


def instead(status: int, content_type: str, body: str, **headers: str) -> ReplyHook:
    """Another answer, always the same."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    reply = Reply(body.encode(), content_type, status, named)
    return lambda request, healthy, shot: reply


def gateway(status: int, reason: str) -> ReplyHook:
    """The page of a gateway that cannot reach what is behind it."""
    body = f"<center><h1>{status} {reason}</h1></center><hr><center>nginx</center>"
    reply = page(f"{status} {reason}", body, status)
    return lambda request, healthy, shot: reply


def bucket_error(status: int, code: str) -> ReplyHook:
    """An error of a bucket store."""
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code></Error>'
    return instead(status, "application/xml", body)


def closed(request: Request, reply: Reply, shot: Shot) -> Reply:
    """The refusal of a series that is not public."""
    return no_access(request.parts[0], request.query.get("SeriesInstanceUID", ""))


def crashed(request: Request, reply: Reply, shot: Shot) -> Reply:
    """The 500 of an endpoint that failed."""
    return crash()


def to_https(request: Request, reply: Reply, shot: Shot) -> Reply:
    """The same place under https, where nothing listens."""
    where = f"https://{request.headers.get('host', '')}/"
    return Reply(status=301, headers={"Location": where})


def busy(request: Request, reply: Reply, shot: Shot) -> Reply:
    """Come back later."""
    seconds = 120 if shot.seconds is None else int(shot.seconds)
    return Reply(status=429, headers={"Retry-After": str(seconds)})


def slow(request: Request, reply: Reply, shot: Shot) -> Reply:
    """The right answer, late."""
    shot.stop.wait(31.0 if shot.seconds is None else shot.seconds)
    return reply


def cut(request: Request, reply: Reply, shot: Shot) -> Reply:
    """The beginning, then the connection closes."""

    def chunks() -> Iterator[bytes]:
        yield from first(reply, shot)
        raise Disconnect

    return _same_length(reply, chunks())


def stall(request: Request, reply: Reply, shot: Shot) -> Reply:
    """The beginning, then nothing while the connection stays open."""

    def chunks() -> Iterator[bytes]:
        yield from first(reply, shot)
        shot.stop.wait()
        raise Disconnect

    return _same_length(reply, chunks())


def first(reply: Reply, shot: Shot) -> Iterator[bytes]:
    """The beginning of a body, never all of it."""
    left = 60_000 if shot.bytes is None else shot.bytes
    if isinstance(reply.body, bytes):
        yield reply.body[: min(left, len(reply.body) // 2)]
        return
    held = b""
    for part in reply.body:
        # One part is held back, so that a short body is cut too.
        yield held[:left]
        left -= len(held)
        held = part
        if left <= 0:
            return


def _same_length(reply: Reply, body: Iterator[bytes]) -> Reply:
    """Keep the length that was promised."""
    if not isinstance(reply.body, bytes):
        return replace(reply, body=body)
    length = {"Content-Length": str(len(reply.body))}
    return replace(reply, body=body, headers={**reply.headers, **length})


def truncated(request: Request, reply: Reply, shot: Shot) -> Reply:
    """Two thirds of a body, as if that were all."""
    if not isinstance(reply.body, bytes):
        return reply
    return replace(reply, body=reply.body[: len(reply.body) * 2 // 3])


def infinity(request: Request, reply: Reply, shot: Shot) -> Reply:
    """Numbers that JSON does not have."""
    return _sub(reply, rb'"(Count|ImageCount|FileSize)":\d+', rb'"\1":Infinity')


def bad_escape(request: Request, reply: Reply, shot: Shot) -> Reply:
    """A backslash that JSON does not allow."""
    return _sub(reply, rb'"Collection":"', rb'"Collection":"\\x')


_OLDER = {
    b"MaxSubmissionTimestamp": b"TimeStamp",
    b"DataDescriptionURI": b"CollectionURI",
}


def older_keys(request: Request, reply: Reply, shot: Shot) -> Reply:
    """Rows with the keys and dates of v1, numbers as text, spaces in CSV headers."""
    if reply.content_type == "text/csv" and isinstance(reply.body, bytes):
        header, _, rest = reply.body.partition(b"\n")
        for new, old in _OLDER.items():
            header = header.replace(new, old)
        spaced = re.sub(rb"(?<=[a-z])(?=[A-Z])|(?<=[a-zS])(?=UID)", b" ", header)
        return replace(reply, body=spaced + b"\n" + rest)

    def drift(row: Row) -> Row:
        return {
            key: str(value) if isinstance(value, int) else value
            for key, value in v1(row).items()
        }

    return _each(reply, drift)


def unlicensed(request: Request, reply: Reply, shot: Shot) -> Reply:
    """Records of the Collection Manager without a licence."""
    names = ("license", "data_license")
    return _each(reply, lambda row: {key: row[key] for key in row if key not in names})


def unclear_licence(request: Request, reply: Reply, shot: Shot) -> Reply:
    """Records of the Collection Manager whose licence nobody has decided on."""
    label = "License review needed"
    new = {"license": {"label": label, "url": ""}, "data_license": label}
    return _each(reply, lambda row: row | {key: new[key] for key in new if key in row})


def hidden(request: Request, reply: Reply, shot: Shot) -> Reply:
    """Records of the Collection Manager that ask not to be shown."""
    return _each(reply, lambda row: row | {"hide_from_browse_table": "1"})


def older_label(request: Request, reply: Reply, shot: Shot) -> Reply:
    """The kind of the record as citations named it before 2026."""
    return _sub(reply, rb"\[Dataset\]", b"[Data set]")


def other_case(request: Request, reply: Reply, shot: Shot) -> Reply:
    """DOIs in another case than they were asked in."""
    if not isinstance(reply.body, bytes):
        return reply
    pattern = rb'10\.\d{4,}/[^\s"<},]+'
    body = re.sub(pattern, lambda found: found[0].swapcase(), reply.body)
    return replace(reply, body=body)


def _sub(reply: Reply, pattern: bytes, new: bytes) -> Reply:
    if not isinstance(reply.body, bytes):
        return reply
    return replace(reply, body=re.sub(pattern, new, reply.body))


def _each(reply: Reply, change: Callable[[Row], Row]) -> Reply:
    """Change every record of a JSON list, or of a page of the Collection Manager."""
    if not reply.body or not isinstance(reply.body, bytes):
        return reply
    value: Any = json.loads(reply.body)
    if isinstance(value, list):
        value = [change(row) for row in value]
    elif isinstance(value, dict) and "results" in value:
        value["results"] = [change(row) for row in value["results"]]
    body = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return replace(reply, body=body.encode())
