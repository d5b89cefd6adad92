"""TCIA's Collection Manager: what a collection is called, its DOI, its licences.

Version 2 of the API answers in pages and with keys that hold spaces; version
1 is asked where version 2 is not there. Values are loosely typed: a text may
be ``false``, a list, or an object with a label.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from napari_tcia.archive.http import Transport
from napari_tcia.archive.rows import by_plain_key, json_of
from napari_tcia.core.model import Collection, Issue, Listing
from napari_tcia.core.settings import Settings
from napari_tcia.core.task import CancelToken
from napari_tcia.core.text import bare_doi, one_line
from napari_tcia.errors import ArchiveError, NothingFound, UnexpectedReply

_MAX_PAGES = 100
_LABELS = ("label", "name", "rendered", "title", "licenselabel", "titlerendered")
_CONTROLLED = (
    "controlled access",
    "controlled data",
    "nih controlled",
    "tcia restricted",
    "restricted",
    "data usage agreement",
    "dbgap",
)


def list_collections(
    transport: Transport, settings: Settings, *, token: CancelToken | None = None
) -> Listing[Collection]:
    """All collections that are shown, without their licences.

    A page that cannot be fetched is an issue; the others are still listed.

    Raises
    ------
    ArchiveError
        Not even the first page could be fetched.
    """
    rows, issues, _ = _records(transport, settings, "collections", {}, token)
    found = (_collection(row) for row in rows)
    return Listing(tuple(one for one in found if one.name), tuple(issues))


def describe(
    transport: Transport,
    settings: Settings,
    name: str,
    token: CancelToken | None = None,
) -> Collection | None:
    """One collection with the licences of its downloads, None if unknown.

    Parameters
    ----------
    name : str
        Short title in any spelling that has the same letters and digits, or
        its DOI.

    Raises
    ------
    ArchiveError
        The service fails, or a page failed and the collection is on no other.
    """
    rows, issues, version = _records(transport, settings, "collections", {}, token)
    wanted = {_key(name), _key(bare_doi(name))} - {""}
    for row in rows:
        found = _collection(row)
        if wanted & {_key(found.name), _key(found.doi), _key(_text(row.get("slug")))}:
            break
    else:
        if issues:
            raise UnexpectedReply(
                f"The list of collections is not complete, so {one_line(name, 60)} "
                "cannot be looked up.",
                "Try again later.",
            )
        return None
    labels = _licences(transport, settings, row, version, token)
    return Collection(
        name=found.name,
        doi=found.doi,
        title=found.title,
        licence="; ".join(labels),
        patients=found.patients,
        modalities=found.modalities,
        access=access_of(labels),
        sources=found.sources,
    )


def access_of(labels: Iterable[str]) -> str:
    """Access that follows from licence names.

    Returns
    -------
    str
        ``"open"``, ``"controlled"``, ``"mixed"`` (some of each) or
        ``"unknown"``. Creative Commons is open, also NonCommercial.
    """
    kinds = set()
    for label in labels:
        text = label.lower()
        if any(word in text for word in _CONTROLLED):
            kinds.add("controlled")
        elif "creative commons" in text or re.search(r"\bcc[ -](by|0)", text):
            kinds.add("open")
        else:
            kinds.add("unknown")
    if kinds >= {"open", "controlled"}:
        return "mixed"
    for kind in ("controlled", "unknown", "open"):
        if kind in kinds:
            return kind
    return "unknown"


def _records(
    transport: Transport,
    settings: Settings,
    endpoint: str,
    params: Mapping[str, str],
    token: CancelToken | None,
) -> tuple[list[dict[str, Any]], list[Issue], str]:
    """Records of all pages with plain keys, issues, and the version that answered."""
    try:
        return *_pages_v2(transport, settings, endpoint, params, token), "v2"
    except (NothingFound, UnexpectedReply):
        renamed = {{"id": "include"}.get(k, k): v for k, v in params.items()}
        return *_pages_v1(transport, settings, endpoint, renamed, token), "v1"


def _pages_v2(
    transport: Transport,
    settings: Settings,
    endpoint: str,
    params: Mapping[str, str],
    token: CancelToken | None,
) -> tuple[list[dict[str, Any]], list[Issue]]:
    url = f"{settings.collections}/v2/{endpoint}/"
    rows: list[dict[str, Any]] = []
    issues: list[Issue] = []
    page, pages = 1, 1
    while page <= min(pages, _MAX_PAGES):
        asked = {**params, "per_page": "100", "page": str(page)}
        try:
            body = json_of(transport.get(url, params=asked, token=token))
            if not isinstance(body, dict) or not isinstance(body.get("results"), list):
                raise UnexpectedReply(f"Page {page} of {endpoint} holds no results.")
        except (ArchiveError, NothingFound) as error:
            if page == 1:
                raise
            issues.append(_missing_page(endpoint, page, error))
        else:
            rows += _visible(body["results"])
            total = str(body.get("total_pages"))
            pages = int(total) if total.isdigit() else pages
        page += 1
    return rows, issues


def _pages_v1(
    transport: Transport,
    settings: Settings,
    endpoint: str,
    params: Mapping[str, str],
    token: CancelToken | None,
) -> tuple[list[dict[str, Any]], list[Issue]]:
    url = f"{settings.collections}/v1/{endpoint}/"
    rows: list[dict[str, Any]] = []
    for page in range(1, _MAX_PAGES + 1):
        asked = {**params, "per_page": "100", "page": str(page)}
        try:
            body = json_of(transport.get(url, params=asked, token=token))
            if not isinstance(body, list):
                raise UnexpectedReply(f"Page {page} of {endpoint} holds no list.")
        except (ArchiveError, NothingFound) as error:
            if page == 1:
                raise
            if error.numbers.get("status") in (400, 404):
                break  # how WordPress says that there is no further page
            return rows, [_missing_page(endpoint, page, error)]
        if not body:
            break
        rows += _visible(body)
    return rows, []


def _missing_page(endpoint: str, page: int, error: Exception) -> Issue:
    return Issue(
        "warn",
        "missing_page",
        f"Page {page} of the Collection Manager's {endpoint} could not be fetched: "
        f"{error}",
        {"endpoint": endpoint, "page": page},
    )


def _visible(records: Iterable[Any]) -> list[dict[str, Any]]:
    rows = [by_plain_key(one) for one in records if isinstance(one, Mapping)]
    return [row for row in rows if _text(row.get("hidefrombrowsetable")) != "1"]


def _collection(row: Mapping[str, Any]) -> Collection:
    patients = _text(row.get("subjects"))
    return Collection(
        name=_text(row.get("collectionshorttitle")),
        doi=bare_doi(_text(row.get("collectiondoi"))),
        title=_text(row.get("collectiontitle")) or _text(row.get("title")),
        patients=int(patients) if patients.isdigit() else None,
        modalities=tuple(filter(None, map(_text, _list(row.get("datatypes"))))),
        sources=("collections",),
    )


def _licences(
    transport: Transport,
    settings: Settings,
    row: Mapping[str, Any],
    version: str,
    token: CancelToken | None,
) -> tuple[str, ...]:
    """Distinct licence names of the downloads of a collection."""
    downloads = _list(row.get("collectiondownloads"))
    records = [by_plain_key(one) for one in downloads if isinstance(one, Mapping)]
    ids = [_text(one) for one in downloads if not isinstance(one, Mapping)]
    ids += [_text(one.get("id")) for one in records if "license" not in one]
    if any(ids):
        asked = {"id": ",".join(filter(None, ids))}
        more, issues, _ = _records(transport, settings, "downloads", asked, token)
        if issues:
            raise UnexpectedReply(
                "The list of downloads is not complete, so the licences are not known.",
                "Try again later.",
            )
        records += more
    names = (
        _text(one.get("license")) or _text(one.get("datalicense")) for one in records
    )
    return tuple(dict.fromkeys(filter(None, names)))


def _list(value: Any) -> list[Any]:
    if isinstance(value, list):
        return value
    return [value] if value else []


def _text(value: Any) -> str:
    """The text of a loosely typed value, without markup; empty for false."""
    if isinstance(value, Mapping):
        plain = by_plain_key(value)
        return next(filter(None, (_text(plain.get(key)) for key in _LABELS)), "")
    if isinstance(value, list):
        return _text(value[0]) if value else ""
    if isinstance(value, bool) or value is None:
        return ""
    return one_line(str(value), 500)


def _key(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())
