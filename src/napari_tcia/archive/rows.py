"""Rows of JSON from services that name and type their fields loosely."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from napari_tcia.archive.http import Reply
from napari_tcia.core.settings import netloc
from napari_tcia.core.text import one_line
from napari_tcia.errors import UnexpectedReply

_ABSENT = {"", "null", "none", "not specified"}


def json_of(reply: Reply) -> Any:
    """Parse an answer; an empty body is None, as NBIA says "nothing found".

    Raises
    ------
    UnexpectedReply
        HTML, a text, or JSON that is cut or not standard.
    """
    body = reply.body.strip()
    if not body:
        return None
    try:
        return json.loads(body, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise UnexpectedReply(
            f"{netloc(reply.url)} answered something that is not JSON: "
            f"“{one_line(body, 100)}”.",
            "The service may be under maintenance; try again later.",
        ) from error


def rows_of(reply: Reply) -> list[Any]:
    """Rows of an answer that is a JSON list, or nothing at all."""
    value = json_of(reply)
    if value is None:
        return []
    if not isinstance(value, list):
        raise UnexpectedReply(
            f"{netloc(reply.url)} answered “{one_line(reply.body, 100)}” "
            "where a list was expected."
        )
    return value


def by_plain_key(row: Mapping[str, Any]) -> dict[str, Any]:
    """Copy of a row with keys in lower case, letters and digits only.

    So ``"Series UID"``, ``"SeriesUID"`` and ``"series_uid"`` are one.
    """
    return {re.sub(r"[^a-z0-9]", "", str(k).lower()): v for k, v in row.items()}


def text_of(row: Mapping[str, Any], keys: Iterable[str], limit: int = 1024) -> str:
    """First text under one of the plain `keys`, empty when there is none."""
    for key in keys:
        value = row.get(key)
        if isinstance(value, (str, int, float)) and not isinstance(value, bool):
            text = one_line(str(value), limit)
            if text.lower() not in _ABSENT:
                return text
    return ""


def count_of(row: Mapping[str, Any], keys: Iterable[str]) -> int | None:
    """First whole number >= 0 under one of the plain `keys`, as int or text.

    Raises
    ------
    ValueError
        There is a value, and it is no count.
    """
    for key in keys:
        value = row.get(key)
        if value is None or str(value).strip().lower() in _ABSENT:
            continue
        plain = isinstance(value, (int, float, str)) and not isinstance(value, bool)
        try:
            number = float(value) if plain else math.nan
        except OverflowError:
            number = math.inf
        if not (0 <= number < math.inf and number.is_integer()):
            raise ValueError(f"{key} is {one_line(str(value), 40)}")
        return int(number)
    return None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
