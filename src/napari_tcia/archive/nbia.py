"""NBIA, the search and download service of TCIA (REST API v4).

Facts of the service that shape this client: "nothing found" is 200 with an
empty body; keys are missing where a value is; the image endpoint answers
errors as text; a zip has no declared length, and may be short without a word.
"""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from napari_tcia.archive.http import Reply, Transport
from napari_tcia.archive.rows import by_plain_key, count_of, rows_of, text_of
from napari_tcia.core.files import check_uid
from napari_tcia.core.model import (
    AccessGrant,
    Collection,
    Issue,
    Listing,
    SearchQuery,
    Series,
)
from napari_tcia.core.settings import Settings
from napari_tcia.core.task import CancelToken
from napari_tcia.core.text import bare_doi, one_line
from napari_tcia.core.threads import held
from napari_tcia.errors import NothingFound, UnexpectedReply, UsageError

# Spellings of v4, v1 and getSeriesMetadata, as plain keys.
_SERIES = ("seriesinstanceuid", "seriesuid")
_STUDY = ("studyinstanceuid", "studyuid")
_PATIENT = ("patientid", "subjectid")
_DESCRIPTION = ("seriesdescription",)
_BODY_PART = ("bodypartexamined", "bodypart")
_IMAGES = ("imagecount", "numberofimages")
_BYTES = ("filesize", "totalsizeinbytes")
_LICENCE = ("licensename",)
_LICENCE_URI = ("licenseuri", "licenseurl")
_DOI = ("datadescriptionuri", "collectionuri")
_PIXEL_SPACING = ("pixelspacingmmrow", "pixelspacingmm", "pixelspacing")
_THICKNESS = ("slicethicknessmm", "slicethickness")

_MD5 = re.compile(r"[0-9a-f]{32}")
_CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)

DETAILS_AT_ONCE = 10_000
"""Series that one ``getSeriesMetadata`` is asked for."""


@dataclass(frozen=True, slots=True)
class Details:
    """What the metadata of a series tells beside its row; mm, None if not told."""

    pixel_spacing: float | None = None
    slice_thickness: float | None = None


class Nbia:
    """The archive as a list of series and a source of their instances.

    Parameters
    ----------
    transport : Transport
    settings : Settings
        `settings.archive` is the base of the service, `settings.files` that
        of the supplementary files.
    """

    name = "nbia"

    def __init__(self, transport: Transport, settings: Settings) -> None:
        self._transport = transport
        self._settings = settings
        self.host = settings.archive_host
        self._has_checksums: bool | None = None  # not known yet
        self._asking = threading.Lock()

    def collections(self, token: CancelToken | None = None) -> tuple[Collection, ...]:
        """All public collections with their number of patients."""
        reply = self._ask("v4/getCollectionValuesAndCounts", {}, token)
        found = []
        for row in rows_of(reply):
            plain = by_plain_key(row) if isinstance(row, Mapping) else {}
            name = text_of(plain, ("collection", "criteria"))
            if not name:
                continue
            try:
                patients = count_of(plain, ("count",))
            except ValueError:
                patients = None
            found.append(Collection(name, patients=patients, sources=("nbia",)))
        return tuple(found)

    def series(
        self, query: SearchQuery, token: CancelToken | None = None
    ) -> Listing[Series]:
        """Series that match the fields of `query` which the service knows.

        `text` and `has_labels` are not among them and do not restrict.
        """
        params = {
            "Collection": query.collection,
            "PatientID": query.patient,
            "StudyInstanceUID": query.study_uid and check_uid(query.study_uid),
            "Modality": query.modality,
            "BodyPartExamined": query.body_part,
            "SeriesInstanceUID": query.series_uid and check_uid(query.series_uid),
        }
        # v4 answers 400 to a parameter it does not know.
        asked = {key: value for key, value in params.items() if value}
        return parse_series(rows_of(self._ask("v4/getSeries", asked, token)))

    def details(
        self, series_uids: Sequence[str], token: CancelToken | None = None
    ) -> Mapping[str, Details]:
        """Spacing of series, by UID, as far as the archive states it.

        Asked in portions of `DETAILS_AT_ONCE`.
        """
        url = f"{self._settings.archive}/v4/getSeriesMetadata"
        uids = [check_uid(uid) for uid in series_uids]
        found: dict[str, Details] = {}
        for start in range(0, len(uids), DETAILS_AT_ONCE):
            some = ",".join(uids[start : start + DETAILS_AT_ONCE])
            form = {"list": some, "format": "json"}
            found |= parse_details(
                rows_of(self._transport.post(url, form, token=token))
            )
        return found

    def sop_instance_uids(
        self, series_uid: str, token: CancelToken | None = None
    ) -> tuple[str, ...]:
        """SOPInstanceUIDs that the archive lists for a series."""
        asked = {"SeriesInstanceUID": check_uid(series_uid)}
        url = f"{self._settings.archive}/v4/getSOPInstanceUIDs"
        rows = rows_of(self._transport.get(url, params=asked, token=token))
        plain = [by_plain_key(row) for row in rows if isinstance(row, Mapping)]
        return tuple(uid for row in plain if (uid := text_of(row, ("sopinstanceuid",))))

    def user_agreement(self, token: CancelToken | None = None) -> str | None:
        """The archive's data usage policy as it stands today, if it offers one."""
        url = f"{self._settings.archive}/v1/getUserAgreementTxt"
        try:
            reply = self._transport.get(url, token=token, max_bytes=1 << 20)
        except (NothingFound, UnexpectedReply):
            return None
        # It will be shown in a terminal: no controls but line ends and tabs.
        text = _CONTROLS.sub("", reply.body.decode("utf-8", "replace")).strip()
        is_page = text.startswith("<") or "html" in reply.content_type
        return None if is_page else text or None

    def open_series(
        self, series_uid: str, grant: AccessGrant, token: CancelToken
    ) -> AbstractContextManager[Iterator[bytes]]:
        """Stream the zip of a series: LICENSE, then Part 10 files in any order.

        With ``md5hashes.csv`` at the end where the archive offers that.
        """
        params = {"SeriesInstanceUID": check_uid(series_uid), "NewFileNames": "Yes"}

        def stream(**more: str) -> AbstractContextManager[Iterator[bytes]]:
            return self._transport.stream(
                f"{self._settings.archive}/v4/getImage",
                params=params | more,
                grant=grant,
                series_uid=series_uid,
                token=token,
            )

        return self._with_checksums(stream, token)

    def open_instance(
        self, series_uid: str, sop_uid: str, grant: AccessGrant, token: CancelToken
    ) -> AbstractContextManager[Iterator[bytes]]:
        """Stream one instance of a series: a Part 10 file, not zipped."""
        params = {
            "SeriesInstanceUID": check_uid(series_uid),
            "SOPInstanceUID": check_uid(sop_uid),
        }
        return self._transport.stream(
            f"{self._settings.archive}/v4/getSingleImage",
            params=params,
            grant=grant,
            series_uid=series_uid,
            token=token,
        )

    def md5_of(self, sop_uid: str, token: CancelToken | None = None) -> str | None:
        """MD5 that the archive holds of an instance, None where it tells none."""
        url = f"{self._settings.archive}/v4/getMD5HashForImage"
        asked = {"SOPInstanceUID": check_uid(sop_uid)}
        try:
            reply = self._transport.get(url, params=asked, token=token, max_bytes=4096)
        except (NothingFound, UnexpectedReply):
            return None
        text = reply.body.decode("ascii", "replace").strip().lower()
        return text if _MD5.fullmatch(text) else None

    @contextmanager
    def _with_checksums(
        self,
        stream: Callable[..., AbstractContextManager[Iterator[bytes]]],
        token: CancelToken,
    ) -> Iterator[Iterator[bytes]]:
        """Ask for checksums, unless the archive has said that it has none."""
        with ExitStack() as stack:
            with ExitStack() as first:
                if self._has_checksums is None:
                    # One finds out for all.
                    first.enter_context(held(self._asking, token))
                if self._has_checksums is not False:
                    try:
                        chunks = stack.enter_context(stream(IncludeMD5="Yes"))
                        self._has_checksums = True
                    except UnexpectedReply as error:
                        # A parameter of late 2025; older archives refuse it by name.
                        if "IncludeMD5" not in error.message:
                            raise
                        self._has_checksums = False
            if self._has_checksums is False:
                chunks = stack.enter_context(stream())
            yield chunks

    def open_file(
        self, name: str, collection: str, grant: AccessGrant, token: CancelToken
    ) -> AbstractContextManager[Iterator[bytes]]:
        """Stream a supplementary file, such as the published masks."""
        parts = name.split("/")
        if any(part in ("", ".", "..") for part in parts) or "\\" in name:
            raise UsageError(f"{one_line(name, 80)!r} is not a file of the archive.")
        return self._transport.stream(
            f"{self._settings.files}/{quote(name)}",
            grant=grant,
            collection=collection,
            token=token,
        )

    def _ask(
        self, endpoint: str, params: Mapping[str, str], token: CancelToken | None
    ) -> Reply:
        url = f"{self._settings.archive}/{endpoint}"
        return self._transport.get(
            url, params={**params, "format": "json"}, token=token
        )


def parse_details(rows: Sequence[Any]) -> dict[str, Details]:
    """Turn rows of ``getSeriesMetadata`` into `Details`, by SeriesInstanceUID.

    Rows without a UID, and lengths that are no positive number, are left out:
    a spacing is only ever something to narrow by, and is measured again from
    the images.
    """
    found = {}
    for row in rows:
        plain = by_plain_key(row) if isinstance(row, Mapping) else {}
        if uid := text_of(plain, _SERIES):
            found[uid] = Details(
                _length_of(plain, _PIXEL_SPACING), _length_of(plain, _THICKNESS)
            )
    return found


def _length_of(row: Mapping[str, Any], keys: Sequence[str]) -> float | None:
    try:
        length = float(text_of(row, keys))
    except ValueError:
        return None
    return length if 0 < length < math.inf else None


def parse_series(rows: Sequence[Any]) -> Listing[Series]:
    """Turn rows of ``getSeries`` (v4, v2, v1) or its metadata into `Series`.

    Keys may be missing or spelt in any of the known ways, and numbers may be
    texts. A row without a usable UID is left out, and a count that is no
    number becomes None, each with an issue.

    Raises
    ------
    UnexpectedReply
        There are rows, and not one of them is a series.
    """
    found: dict[str, Series] = {}
    broken: list[int] = []
    uncounted: list[str] = []
    repeated: list[str] = []
    for number, row in enumerate(rows):
        plain = by_plain_key(row) if isinstance(row, Mapping) else {}
        try:
            uid = check_uid(text_of(plain, _SERIES))
        except UsageError:
            broken.append(number)
            continue
        if uid in found:
            repeated.append(uid)
            continue
        counts: list[int | None] = []
        for keys in (_IMAGES, _BYTES):
            try:
                counts.append(count_of(plain, keys))
            except ValueError:
                counts.append(None)
                uncounted.append(uid)
        found[uid] = Series(
            series_uid=uid,
            study_uid=text_of(plain, _STUDY),
            patient_id=text_of(plain, _PATIENT),
            collection=text_of(plain, ("collection",)),
            modality=text_of(plain, ("modality",)),
            description=text_of(plain, _DESCRIPTION),
            body_part=text_of(plain, _BODY_PART),
            images=counts[0],
            bytes=counts[1],
            licence_name=text_of(plain, _LICENCE),
            licence_uri=text_of(plain, _LICENCE_URI),
            doi=bare_doi(text_of(plain, _DOI)),
            manufacturer=text_of(plain, ("manufacturer",)),
            sources=("nbia",),
        )
    if broken and not found:
        raise UnexpectedReply(
            f"The archive listed {len(rows)} rows, and none has a SeriesInstanceUID.",
            "Its format may have changed; look for a newer version of this program.",
        )
    issues = []
    if broken:
        issues.append(
            Issue(
                "warn",
                "broken_row",
                f"{len(broken)} of {len(rows)} rows have no usable "
                "SeriesInstanceUID and were left out.",
                {"rows": broken},
            )
        )
    if uncounted:
        issues.append(
            Issue(
                "warn",
                "broken_count",
                "The archive gives an image count or size that is no number for "
                f"series {uncounted[0]}"
                + (f" and {len(uncounted) - 1} more." if uncounted[1:] else "."),
                {"series_uids": uncounted},
            )
        )
    if repeated:
        issues.append(
            Issue(
                "info",
                "repeated_row",
                f"The archive lists {len(repeated)} series more than once; "
                "the first row counts.",
                {"series_uids": repeated},
            )
        )
    return Listing(tuple(found.values()), tuple(issues))
