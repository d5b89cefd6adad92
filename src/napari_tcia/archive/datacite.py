"""Citation records from DataCite, which registers TCIA's DOIs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from napari_tcia.archive.http import Transport
from napari_tcia.archive.rows import json_of
from napari_tcia.core.settings import Settings
from napari_tcia.core.task import CancelToken
from napari_tcia.core.text import bare_doi, one_line, same_doi
from napari_tcia.errors import UnexpectedReply, UsageError

_CSL = "application/vnd.citationstyles.csl+json"
_NAMES = ("family", "given", "literal", "suffix", "non-dropping-particle")
_TEXTS = (
    "id",
    "type",
    "DOI",
    "URL",
    "title",
    "publisher",
    "version",
    "container-title",
    "collection-title",
    "collection-number",
    "volume",
    "issue",
    "page",
)


def csl(
    transport: Transport,
    settings: Settings,
    doi: str,
    token: CancelToken | None = None,
) -> dict[str, Any]:
    """Fetch the CSL-JSON item of a DOI: what a citation needs, no abstract.

    The type is named in the path (link-based content negotiation), which
    answers without a redirect.

    Raises
    ------
    UsageError
        `doi` is none.
    NothingFound
        DataCite does not know it.
    UnexpectedReply
        HTML, broken JSON, or the record of another DOI.
    """
    bare = bare_doi(doi)
    if not bare:
        raise UsageError(f"{one_line(doi, 80)!r} is not a DOI.")
    url = f"{settings.datacite}/dois/{_CSL}/{quote(bare)}"
    reply = transport.get(url, token=token, max_bytes=8 << 20)
    item = json_of(reply)
    if not isinstance(item, dict) or not same_doi(str(item.get("DOI", "")), bare):
        raise UnexpectedReply(f"DataCite answered something else than {bare}.")
    return _clean(item)


def _clean(item: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of a CSL item that a citation needs, each of its own type."""
    clean: dict[str, Any] = {
        key: one_line(str(item[key]), 1000)
        for key in _TEXTS
        if isinstance(item.get(key), (str, int))
    }
    people = item.get("author")
    names = [
        {
            key: one_line(one[key], 300)
            for key in _NAMES
            if isinstance(one.get(key), str)
        }
        for one in (people if isinstance(people, list) else [])
        if isinstance(one, Mapping)
    ]
    if any(names):
        clean["author"] = [name for name in names if name]
    issued = item.get("issued")
    dates = issued.get("date-parts") if isinstance(issued, Mapping) else None
    if isinstance(dates, list) and dates and isinstance(dates[0], list):
        parts = [int(part) for part in dates[0] if str(part).isdigit()]
        clean["issued"] = {"date-parts": [parts]}
    return clean
