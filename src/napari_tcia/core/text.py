"""Words from outside: one clean line for a message, a DOI in its bare form."""

from __future__ import annotations

import html
import re
import unicodedata

_MARKUP = re.compile(r"<(script|style)\b.*?</\1\s*>|<[^>]*>", re.DOTALL | re.IGNORECASE)
_DOI = re.compile(r"10\.\d{4,9}/[^\s\"'<>]+")


def one_line(text: str | bytes, limit: int = 160) -> str:
    """Return `text` without markup and control characters, on one line.

    Fit for an error message or a table cell, whatever a server or a header
    holds. Longer texts end in an ellipsis.
    """
    if isinstance(text, bytes):
        text = text[: 8 * limit].decode("utf-8", "replace")
    text = html.unescape(_MARKUP.sub(" ", text[: 16 * limit]))
    visible = (" " if unicodedata.category(c)[0] == "C" else c for c in text)
    words = " ".join("".join(visible).split())
    return words if len(words) <= limit else words[: limit - 1].rstrip() + "…"


def bare_doi(text: str) -> str:
    """Return the DOI in `text` without resolver or prefix, empty if there is none.

    The case is kept; DOIs are compared without case (DOI Handbook 3.4.4, with
    `same_doi`).
    """
    found = _DOI.search(text)
    return found.group().rstrip(".,;)]") if found else ""


def same_doi(first: str, second: str) -> bool:
    """Whether two texts name one DOI."""
    doi = bare_doi(first).casefold()
    return bool(doi) and doi == bare_doi(second).casefold()
