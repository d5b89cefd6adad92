"""Which path leads to which service."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl, unquote, urlsplit

from napari_tcia.demo.citations import DATACITE
from napari_tcia.demo.messages import Request

PREFIXES = {
    "archive": "/nbia-api/services",
    "collections": "/api",
    "datacite": DATACITE,
    "idc": "/idc",
    "files": "/files",
    "licences": "/licences",
}
"""Path below which each service answers."""
_DOI = "/doi"
"""Path of what doi.org does; a client that is sent there was sent by a test."""


def parse(
    method: str, path: str, form: Mapping[str, str], headers: Mapping[str, str]
) -> Request:
    """The request behind a path, a form and headers with names in lower case."""
    url = urlsplit(path)
    query = dict(parse_qsl(url.query, keep_blank_values=True)) | dict(form)
    for service, prefix in (*PREFIXES.items(), ("doi", _DOI)):
        if url.path.startswith(f"{prefix}/"):
            rest = url.path.removeprefix(f"{prefix}/").strip("/")
            parts = tuple(unquote(part) for part in rest.split("/"))
            return Request(method, service, parts, query, headers)
    names = tuple(unquote(part) for part in url.path.split("/") if part)
    return Request(method, "", names, query, headers)
