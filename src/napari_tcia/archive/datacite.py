"""Citation records from DataCite, which registers TCIA's DOIs."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from napari_tcia.archive.http import Transport
from napari_tcia.archive.rows import json_of
from napari_tcia.core.settings import Settings
from napari_tcia.core.task import CancelToken
from napari_tcia.core.text import bare_doi, one_line, same_doi
from napari_tcia.errors import UnexpectedReply, UsageError

_CSL = "application/vnd.citationstyles.csl+json"


def csl(
    transport: Transport,
    settings: Settings,
    doi: str,
    token: CancelToken | None = None,
) -> dict[str, Any]:
    """Fetch the CSL-JSON item of a DOI, without its abstract.

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
    return {key: value for key, value in item.items() if key != "abstract"}
