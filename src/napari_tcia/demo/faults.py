"""Named faults: what archives and networks have been seen to do wrong.

A fault is a set of hooks over a healthy answer, so that everything else about
the answer stays true.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from napari_tcia.demo.messages import Disconnect, Member, Reply, Request, Row
from napari_tcia.demo.twin import Twin, TwinSeries

ELSEWHERE = "https://elsewhere.invalid/nbia-api/services/v4/getImage"
"""Where `redirect` points: a name that never resolves (RFC 2606)."""
_FIRST_BYTES = 60_000


def _same_rows(rows: list[Row], listings: int) -> list[Row]:
    return rows


def _same_members(members: list[Member]) -> list[Member]:
    return members


def _same_series(twin: Twin, series: TwinSeries) -> TwinSeries:
    return series


def _same_reply(request: Request, reply: Reply, stop: threading.Event) -> Reply:
    return reply


@dataclass(frozen=True, slots=True)
class Fault:
    """Hooks over the healthy archive.

    Attributes
    ----------
    sentence : str
        What goes wrong.
    rows : callable
        (series rows, how often series were listed before) to the rows shown.
    series : callable
        (twin, series asked for) to the series sent.
    members : callable
        Zip members to the members sent.
    reply : callable
        (request, healthy reply, event set when the archive stops) to the reply.
    """

    sentence: str
    rows: Callable[[list[Row], int], list[Row]] = _same_rows
    series: Callable[[Twin, TwinSeries], TwinSeries] = _same_series
    members: Callable[[list[Member]], list[Member]] = _same_members
    reply: Callable[[Request, Reply, threading.Event], Reply] = _same_reply


def _short_zip(members: list[Member]) -> list[Member]:
    return members[: max(1, len(members) - 2)]


def _hostile(members: list[Member]) -> list[Member]:
    return [*members[:2], ("../escaped.dcm", lambda: b"outside"), *members[2:]]


def _not_dicom(members: list[Member]) -> list[Member]:
    name, load = members[-1]
    return [*members[:-1], (name, lambda: b"not DICOM\n".ljust(len(load()), b"."))]


def _wrong_bytes(members: list[Member]) -> list[Member]:
    """One pixel of one slice is another; the zip's own CRC agrees with it."""
    name, load = members[-1]

    def altered() -> bytes:
        data = bytearray(load())
        data[-2] ^= 0x10
        return bytes(data)

    return [*members[:-1], (name, altered)]


def _other_series(twin: Twin, series: TwinSeries) -> TwinSeries:
    """The series of another patient, of the same kind where there is one."""
    others = [one for one in twin.series.values() if one.case != series.case]
    return min(others, key=lambda one: one.modality != series.modality)


def _counts_off(rows: list[Row], listings: int) -> list[Row]:
    return [
        row | {"ImageCount": row["ImageCount"] + 3, "FileSize": row["FileSize"] + 4096}
        for row in rows
    ]


def _licence_changed(rows: list[Row], listings: int) -> list[Row]:
    """From the second listing on, the licence is another."""
    if not listings:
        return rows
    other = {
        "LicenseName": "Creative Commons Attribution-NonCommercial 3.0 "
        "Unported License",
        "LicenseURI": "http://creativecommons.org/licenses/by-nc/3.0/",
    }
    return [row | other if "LicenseName" in row else row for row in rows]


def _cut(request: Request, reply: Reply, stop: threading.Event) -> Reply:
    if not request.wants_pixels:
        return reply

    def chunks() -> Iterator[bytes]:
        yield from _first(reply)
        raise Disconnect

    return replace(reply, body=chunks())


def _stall(request: Request, reply: Reply, stop: threading.Event) -> Reply:
    if not request.wants_pixels:
        return reply

    def chunks() -> Iterator[bytes]:
        yield from _first(reply)
        stop.wait()
        raise Disconnect

    return replace(reply, body=chunks())


def _first(reply: Reply) -> Iterator[bytes]:
    """The beginning of a body, never all of it."""
    if isinstance(reply.body, bytes):
        yield reply.body[: min(_FIRST_BYTES, len(reply.body) // 2)]
        return
    left = _FIRST_BYTES
    held = b""
    for part in reply.body:
        # One part is held back, so that a short body is cut too.
        yield held[:left]
        left -= len(held)
        held = part
        if left <= 0:
            return


def _error_500(request: Request, reply: Reply, stop: threading.Event) -> Reply:
    if request.service != "archive":
        return reply
    text = b"Server was not able to process your request\nnull"
    return Reply(text, "text/plain", status=500)


def _image_500(request: Request, reply: Reply, stop: threading.Event) -> Reply:
    return _error_500(request, reply, stop) if request.wants_pixels else reply


def _html(request: Request, reply: Reply, stop: threading.Event) -> Reply:
    if not request.wants_pixels:
        return reply
    page = b"<!DOCTYPE html><html><body><h1>Down for maintenance</h1></body></html>\n"
    return Reply(page, "text/html")


def _empty(request: Request, reply: Reply, stop: threading.Event) -> Reply:
    return Reply(content_type="application/json") if _listing(request) else reply


def _broken_json(request: Request, reply: Reply, stop: threading.Event) -> Reply:
    if not _listing(request) or not isinstance(reply.body, bytes):
        return reply
    return replace(reply, body=reply.body[: len(reply.body) * 2 // 3])


def _redirect(request: Request, reply: Reply, stop: threading.Event) -> Reply:
    if not request.wants_pixels:
        return reply
    return Reply(status=302, headers={"Location": ELSEWHERE})


def _busy(request: Request, reply: Reply, stop: threading.Event) -> Reply:
    if not request.wants_pixels:
        return reply
    return Reply(status=429, headers={"Retry-After": "120"})


def _listing(request: Request) -> bool:
    return request.service == "archive" and request.endpoint in (
        "getSeries",
        "getCollectionValuesAndCounts",
        "getCollectionValues",
    )


HEALTHY = Fault("Nothing goes wrong.")
FAULTS: dict[str, Fault] = {
    "short-zip": Fault("Zips lack files and look whole.", members=_short_zip),
    "cut": Fault("Downloads break off.", reply=_cut),
    "stall": Fault("Downloads start, then nothing comes.", reply=_stall),
    "error-500": Fault("Every NBIA request fails with 500.", reply=_error_500),
    "image-500": Fault("Every download fails with 500.", reply=_image_500),
    "busy": Fault("Every download is put off for two minutes.", reply=_busy),
    "html-200": Fault("A maintenance page instead of a zip.", reply=_html),
    "wrong-series": Fault("The zip is of another series.", series=_other_series),
    "wrong-bytes": Fault("One pixel is not the archive's.", members=_wrong_bytes),
    "hostile-zip": Fault("A zip member that climbs out.", members=_hostile),
    "not-dicom": Fault("One .dcm is no DICOM.", members=_not_dicom),
    "licence-change": Fault("Another licence on later looks.", rows=_licence_changed),
    "count-mismatch": Fault("The listing counts too many.", rows=_counts_off),
    "empty": Fault("Listings are empty.", reply=_empty),
    "broken-json": Fault("Listings break off.", reply=_broken_json),
    "redirect": Fault("Downloads are sent to another host.", reply=_redirect),
}
