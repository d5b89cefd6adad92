"""Which nodes a typed filter lets through."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable

from napari_tcia.core.image import NodeRow

_SIZE = re.compile(r"(>=|<=|≥|≤|>|<)\s*(\d+(?:[.,]\d+)?)(?:\s*mm)?")
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "≥": operator.ge,
    "<=": operator.le,
    "≤": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}


def matches(row: NodeRow, text: str, more: str = "") -> bool:
    """Whether a node has every size and every word of `text`.

    Parameters
    ----------
    text : str
        Such as ``">= 15 seg"``: sizes are of the short axis, else of the published
        size; words are looked for in source, size class, number and `more`.
    more : str
        What else is written in its row.
    """
    size = row.short_axis_mm if row.short_axis_mm is not None else row.published_size_mm
    for sign, number in _SIZE.findall(text):
        limit = float(number.replace(",", "."))
        if size is None or not _COMPARE[sign](size, limit):
            return False
    split = "split" if row.pieces > 1 else ""
    known = f"{row.id} {row.source} {row.size_class or ''} {split} {row.station} {more}"
    known = known.casefold()
    return all(word in known for word in _SIZE.sub(" ", text).casefold().split())
