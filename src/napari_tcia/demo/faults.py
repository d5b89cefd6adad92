"""Named faults: what archives and networks have been seen to do wrong.

A fault is a set of hooks over a healthy answer, so that everything else about
the answer stays true. When it happens is said apart from what it does: see
`napari_tcia.demo.when`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from napari_tcia.demo import hooks
from napari_tcia.demo.hooks import ELSEWHERE, MembersHook, ReplyHook, Shot
from napari_tcia.demo.messages import Member, Reply, Request, Row
from napari_tcia.demo.twin import Twin, TwinSeries

Scope = Callable[[Request], bool]


def _same_rows(rows: list[Row]) -> list[Row]:
    return rows


def _same_members(members: list[Member], shot: Shot) -> list[Member]:
    return members


def _same_series(twin: Twin, series: TwinSeries) -> TwinSeries:
    return series


def _same_reply(request: Request, reply: Reply, shot: Shot) -> Reply:
    return reply


def _pixels(request: Request) -> bool:
    return request.wants_pixels


def _of(service: str, *endpoints: str) -> Scope:
    return lambda request: (
        request.service == service and (not endpoints or request.endpoint in endpoints)
    )


_NBIA = _of("archive")
_LISTING = _of(
    "archive", "getSeries", "getCollectionValuesAndCounts", "getCollectionValues"
)
_ROWS = _of(
    "archive", "getSeries", "getSeriesMetadata", "getSeriesMetaData", "getSeriesSize",
    "getUpdatedSeries", "getContentsByName", "getImage",
)  # fmt: skip
_SERIES = _of("archive", "getSeries", "getSeriesMetadata", "getUpdatedSeries")
_MANAGER = _of("collections")
_DATACITE = _of("datacite")
_BUCKET = _of("idc")


@dataclass(frozen=True, slots=True)
class Fault:
    """Hooks over the healthy archive.

    Attributes
    ----------
    sentence : str
        What goes wrong.
    on : callable
        Whether a request can meet it, where no path is named.
    after : int
        How many of these requests go well first, where no number is named.
    rows : callable
        Series rows to the rows shown.
    series : callable
        (twin, series asked for) to the series sent.
    zipped : callable
        (zip members, shot) to the members sent.
    reply : callable
        (request, healthy reply, shot) to the reply.
    shot : Shot
        What was chosen about it.
    """

    sentence: str
    on: Scope = _NBIA
    after: int = 0
    rows: Callable[[list[Row]], list[Row]] = _same_rows
    series: Callable[[Twin, TwinSeries], TwinSeries] = _same_series
    zipped: MembersHook = _same_members
    reply: ReplyHook = _same_reply
    shot: Shot = field(default_factory=Shot)

    def members(self, members: list[Member]) -> list[Member]:
        """Members of a zip as this fault has them."""
        return self.zipped(members, self.shot)

    def with_shot(self, shot: Shot) -> Fault:
        """The same fault, with what was chosen about it."""
        return replace(self, shot=shot)


def both(first: Fault, second: Fault) -> Fault:
    """Two faults at once, each with what was chosen about it."""

    def rows(found: list[Row]) -> list[Row]:
        return second.rows(first.rows(found))

    def series(twin: Twin, one: TwinSeries) -> TwinSeries:
        return second.series(twin, first.series(twin, one))

    def zipped(members: list[Member], shot: Shot) -> list[Member]:
        return second.members(first.members(members))

    def reply(request: Request, healthy: Reply, shot: Shot) -> Reply:
        after = first.reply(request, healthy, first.shot)
        return second.reply(request, after, second.shot)

    sentence = f"{first.sentence} {second.sentence}"
    return Fault(sentence, rows=rows, series=series, zipped=zipped, reply=reply)


def _zip(sentence: str, zipped: MembersHook) -> Fault:
    return Fault(sentence, _pixels, zipped=zipped)


def _page_two(request: Request) -> bool:
    return _MANAGER(request) and request.query.get("page") == "2"


_UNKNOWN_PARAMETER = (
    "Invalid query parameter: 'SeriesInstanceUID'. Allowed parameters are: [x]"
)
_MISSING_UID = "A parameter, SeriesInstanceUID, is required for this API call."
_DOWN = "<!DOCTYPE html><html><body><h1>Down for maintenance</h1></body></html>\n"
_GONE = (
    '{"errors":[{"status":"404",'
    '"title":"The resource you are looking for doesn\'t exist."}]}'
)
_NO_SERVER = (
    '{"status":400,"title":"[503] '
    '{\\n  \\"message\\": \\"No server available to handle the request\\"\\n}\\n"}'
)

HEALTHY = Fault("Nothing goes wrong.")
FAULTS: dict[str, Fault] = {
    # Refusals and errors of NBIA
    "unknown-parameter": Fault(
        "Downloads are refused for a parameter that is right.",
        _pixels,
        reply=hooks.instead(400, "application/json", _UNKNOWN_PARAMETER),
    ),
    "missing-uid": Fault(
        "Downloads are refused as if no series were named.",
        _pixels,
        reply=hooks.instead(400, "application/json", _MISSING_UID),
    ),
    "no-access": Fault("No series is public.", _pixels, reply=hooks.closed),
    "error-401": Fault(
        "Every NBIA request is unauthorised.", reply=hooks.instead(401, "", "")
    ),
    "error-500": Fault("Every NBIA request fails with 500.", reply=hooks.crashed),
    "image-500": Fault("Every download fails with 500.", _pixels, reply=hooks.crashed),
    "error-502": Fault(
        "The gateway in front of NBIA reports 502.",
        reply=hooks.gateway(502, "Bad Gateway"),
    ),
    "error-503": Fault(
        "The gateway in front of NBIA reports 503.",
        reply=hooks.gateway(503, "Service Temporarily Unavailable"),
    ),
    "error-504": Fault(
        "The gateway in front of NBIA reports 504.",
        reply=hooks.gateway(504, "Gateway Time-out"),
    ),
    "busy": Fault("Downloads are put off for two minutes.", _pixels, reply=hooks.busy),
    "busy-silent": Fault(
        "Downloads are put off without a word when.",
        _pixels,
        reply=hooks.instead(429, "", ""),
    ),
    # The connection
    "cut": Fault("Downloads break off.", _pixels, reply=hooks.cut),
    "stall": Fault("Downloads start, then nothing.", _pixels, reply=hooks.stall),
    "slow": Fault(
        "The size of a series takes 31 seconds.",
        _of("archive", "getSeriesSize"),
        reply=hooks.slow,
    ),
    "redirect": Fault(
        "Downloads are sent to another host.",
        _pixels,
        reply=hooks.instead(302, "", "", Location=ELSEWHERE),
    ),
    "moved": Fault(
        "Every NBIA request has moved to another host for good.",
        reply=hooks.instead(301, "", "", Location=ELSEWHERE),
    ),
    "moved-https": Fault("Every NBIA request is sent to https.", reply=hooks.to_https),
    # Downloads that look well
    "html-200": Fault(
        "A maintenance page instead of a zip.",
        _pixels,
        reply=hooks.instead(200, "text/html", _DOWN),
    ),
    "text-200": Fault(
        "A sentence instead of a zip.",
        _pixels,
        reply=hooks.instead(200, "application/octet-stream", _MISSING_UID),
    ),
    "short-zip": _zip("Zips lack files and look whole.", hooks.fewer_members),
    "no-licence-file": _zip("Zips have no LICENSE.", hooks.without_licence),
    "not-dicom": _zip("One .dcm is no DICOM.", hooks.not_dicom),
    "wrong-bytes": _zip("One pixel is not the archive's.", hooks.wrong_bytes),
    "wrong-crc": _zip("The CRC of one zip member is wrong.", hooks.wrong_crc),
    "hostile-zip": _zip("A zip member that climbs out.", hooks.climbing),
    "absolute-zip": _zip("A zip member with an absolute path.", hooks.absolute),
    "duplicate-zip": _zip("A zip member that comes twice.", hooks.repeated),
    "symlink-zip": _zip("A zip member that is a symbolic link.", hooks.linked),
    "nested-zip": _zip("A zip inside the zip.", hooks.nested),
    "bomb-zip": _zip("A zip member of 10 GB of nothing.", hooks.bomb),
    "wrong-series": Fault(
        "The zip is of another series.", _pixels, series=hooks.other_series
    ),
    # Listings
    "licence-change": Fault(
        "Another licence on later looks.", _ROWS, 1, rows=hooks.licence_changed
    ),
    "licence-file": Fault(
        "The LICENSE of a zip names another licence than the listing.",
        _pixels,
        rows=hooks.licence_changed,
    ),
    "count-mismatch": Fault(
        "The listing counts too many.", _ROWS, rows=hooks.counts_off
    ),
    "empty": Fault(
        "Listings are empty.",
        _LISTING,
        reply=hooks.instead(200, "application/json", ""),
    ),
    "broken-json": Fault("Listings break off.", _LISTING, reply=hooks.truncated),
    "infinite-json": Fault(
        "Listings count to Infinity.", _LISTING, reply=hooks.infinity
    ),
    "escaped-json": Fault(
        "Listings have bad escapes.", _LISTING, reply=hooks.bad_escape
    ),
    "schema-drift": Fault(
        "Listings have older keys, dates and types.", _SERIES, reply=hooks.older_keys
    ),
    # Collection Manager
    "page-two": Fault(
        "The second page of the Collection Manager fails with 503.",
        _page_two,
        reply=hooks.gateway(503, "Service Temporarily Unavailable"),
    ),
    "licence-missing": Fault(
        "The Collection Manager names no licence.", _MANAGER, reply=hooks.unlicensed
    ),
    "licence-unclear": Fault(
        "The Collection Manager has not decided on licences.",
        _MANAGER,
        reply=hooks.unclear_licence,
    ),
    "hidden": Fault(
        "The Collection Manager hides its records.", _MANAGER, reply=hooks.hidden
    ),
    # DataCite
    "datacite-404": Fault(
        "DataCite knows no DOI.",
        _DATACITE,
        reply=hooks.instead(404, "application/json", _GONE),
    ),
    "datacite-500": Fault(
        "DataCite fails with a body that says 400.",
        _DATACITE,
        reply=hooks.instead(500, "application/json", _NO_SERVER),
    ),
    "datacite-html": Fault(
        "DataCite sends a page where JSON was asked for.",
        _DATACITE,
        reply=hooks.instead(200, "text/html", _DOWN),
    ),
    "datacite-label": Fault(
        "Citations say [Data set].", _DATACITE, reply=hooks.older_label
    ),
    "datacite-case": Fault(
        "DOIs come back in another case.", _DATACITE, reply=hooks.other_case
    ),
    # The bucket
    "bucket-404": Fault(
        "The bucket has no such key.",
        _BUCKET,
        reply=hooks.bucket_error(404, "NoSuchKey"),
    ),
    "bucket-403": Fault(
        "The bucket is closed.", _BUCKET, reply=hooks.bucket_error(403, "AccessDenied")
    ),
    "bucket-503": Fault(
        "The bucket asks to slow down.",
        _BUCKET,
        reply=hooks.bucket_error(503, "SlowDown"),
    ),
    "bucket-cut": Fault(
        "Objects of the bucket are shorter than they say.", _BUCKET, reply=hooks.cut
    ),
}
