"""Facets: by what a result can be narrowed, with counts that stay true.

Within a facet the chosen values widen (CT or MR); across facets they narrow
(CT, and with labels). The counts of a facet are those that its values would
have with everything chosen in the other facets.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from napari_tcia.app.rows import CaseRow, Results
from napari_tcia.core.model import Series
from napari_tcia.terms.licence import identify

Mask = NDArray[np.bool_]

_RANGES = {
    "slices": (
        (1, "1"),
        (99, "2\u201399"),
        (299, "100\u2013299"),
        (599, "300\u2013599"),
    ),
    "size": ((1e7, "up to 10 MB"), (1e8, "10\u2013100 MB"), (1e9, "100 MB\u20131 GB")),
    "spacing": ((1.0, "up to 1 mm"), (2.0, "1\u20132 mm"), (5.0, "2\u20135 mm")),
}
"""Upper ends (included) of the ranges of a number, and their words."""
_ABOVE = {
    "slices": "600 or more",
    "size": "over 1 GB",
    "spacing": "over 5 mm",
}
_NODES = ("none", "below 10 mm", "10 to below 15 mm", "15 mm or more")
"""Largest short axis of a case, by the thresholds of RECIST 1.1."""


@dataclass(frozen=True, slots=True)
class FacetValue:
    """A value that can be chosen, and how many rows have it.

    `key` is stable and goes into `chosen`; empty where the archive does not
    say. `label` is for people.
    """

    key: str
    label: str
    count: int


@dataclass(frozen=True, slots=True)
class Facet:
    """One way to narrow: its stable `code`, its `title`, its values.

    Values of a number come in rising order, others most frequent first.
    """

    code: str
    title: str
    values: tuple[FacetValue, ...]


def facets(results: Results, chosen: Mapping[str, frozenset[str]]) -> tuple[Facet, ...]:
    """Facets of `results` of which at least one row states a value.

    Parameters
    ----------
    results : Results
    chosen : mapping of str to frozenset of str
        Keys of the chosen values by the code of their facet; an empty set
        does not narrow. A chosen value stays listed when no row has it left.
    """
    if not results.rows:
        return ()
    columns = _columns(results)
    passing = _passing(columns, chosen)
    found = []
    for code, title in _TITLES.items():
        column = columns[code]
        if not any(column.keys[n] for n in np.unique(column.codes)):
            continue
        others = _all(
            len(results.rows), (m for other, m in passing.items() if other != code)
        )
        counts = np.bincount(column.codes[others], minlength=len(column.keys))
        picked = chosen.get(code, frozenset())
        values = [
            FacetValue(key, column.label(key), int(count))
            for key, count in zip(column.keys, counts, strict=True)
            if count or key in picked
        ]
        values.sort(key=lambda value: _order(code, value))
        found.append(Facet(code, title, tuple(values)))
    return tuple(found)


def narrow(
    results: Results, chosen: Mapping[str, frozenset[str]], words: str = ""
) -> tuple[CaseRow, ...]:
    """Rows of `results` that pass every facet and hold every one of `words`.

    Words are looked for in patient, description, collection, body part,
    modality and UIDs, without regard to case. The order is kept.
    """
    rows = results.rows
    masks = list(_passing(_columns(results), chosen).values())
    if wanted := words.casefold().split():
        texts = _table(_Rows(rows)).texts
        masks.append(np.array([all(w in text for w in wanted) for text in texts], bool))
    if not masks:
        return rows
    return tuple(rows[n] for n in np.flatnonzero(_all(len(rows), masks)))


def prepare(rows: tuple[CaseRow, ...]) -> None:
    """Do the slow part for `rows`, so that a window that narrows never waits."""
    table = _table(_Rows(rows))
    _ = table.columns, table.texts


# how rows become columns of small numbers


@dataclass(frozen=True, slots=True)
class _Column:
    keys: tuple[str, ...]
    codes: NDArray[np.int32]
    labels: Mapping[str, str]

    def label(self, key: str) -> str:
        return self.labels.get(key, key) if key else "not stated"


class _Rows:
    """Rows as a key that compares by identity, since to compare them is slow."""

    def __init__(self, rows: tuple[CaseRow, ...]) -> None:
        self.rows = rows

    def __hash__(self) -> int:
        return id(self.rows)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Rows) and other.rows is self.rows


class _Table:
    def __init__(self, rows: tuple[CaseRow, ...]) -> None:
        self._rows = rows

    @cached_property
    def columns(self) -> dict[str, _Column]:
        return {code: _column(code, self._rows) for code in _KEYS}

    @cached_property
    def texts(self) -> list[str]:
        return [_text_of(row.series) for row in self._rows]


@lru_cache(maxsize=2)
def _table(key: _Rows) -> _Table:
    return _Table(key.rows)


def _columns(results: Results) -> dict[str, _Column]:
    """Columns of the rows, with what may change without them: what is on disk."""
    columns = dict(_table(_Rows(results.rows)).columns)
    near = results.stored | results.folders.keys()
    codes = np.fromiter(
        (row.series.series_uid in near for row in results.rows), np.int32
    )
    columns["downloaded"] = _Column(("no", "yes"), codes, _YES_NO)
    sizes = [results.largest_nodes.get(row.series.study_uid) for row in results.rows]
    nodes = np.array([_node_class(size) for size in sizes], np.int32)
    columns["nodes"] = _Column(("", *_NODES), nodes, {})
    return columns


def _column(code: str, rows: Iterable[CaseRow]) -> _Column:
    parts, key_of = _KEYS[code]
    numbers: dict[str, int] = {}
    known: dict[Hashable, int] = {}  # few distinct values, and some keys are slow
    codes = []
    for row in rows:
        part = parts(row)
        number = known.get(part)
        if number is None:
            number = numbers.setdefault(key_of(part), len(numbers))
            known[part] = number
        codes.append(number)
    return _Column(tuple(numbers), np.array(codes, np.int32), _LABELS.get(code, {}))


def _passing(
    columns: Mapping[str, _Column], chosen: Mapping[str, frozenset[str]]
) -> dict[str, Mask]:
    """For each facet with a choice, which rows it lets pass."""
    masks = {}
    for code, keys in chosen.items():
        if keys:
            column = columns[code]
            picked = np.array([key in keys for key in column.keys], bool)
            masks[code] = (
                picked[column.codes]
                if len(picked)
                else np.zeros(len(column.codes), bool)
            )
    return masks


def _node_class(short_axis_mm: float | None) -> int:
    """Place in `_NODES`, from 1; 0 where nothing is known."""
    if short_axis_mm is None:
        return 0
    return 1 + sum(short_axis_mm >= limit for limit in (1e-9, 10.0, 15.0))


def _all(count: int, masks: Iterable[Mask]) -> Mask:
    result = np.ones(count, bool)
    for mask in masks:
        result &= mask
    return result


def _order(code: str, value: FacetValue) -> tuple[bool, int, str]:
    if code == "nodes":
        return not value.key, ("", *_NODES).index(value.key), ""
    if code in _RANGES:
        labels = [label for _, label in _RANGES[code]] + [_ABOVE[code]]
        place = labels.index(value.key) if value.key else 0
        return not value.key, place, ""
    return not value.key, -value.count, value.label.casefold()


def _range(code: str) -> Callable[[float | None], str]:
    def key(number: float | None) -> str:
        if number is None:
            return ""
        for end, label in _RANGES[code]:
            if number <= end:
                return label
        return _ABOVE[code]

    return key


def _coarsest(row: CaseRow) -> float | None:
    """The larger of pixel spacing and slice thickness in mm, as far as listed."""
    listed = (row.series.pixel_spacing, row.series.slice_thickness)
    return max((one for one in listed if one is not None), default=None)


def _text_of(series: Series) -> str:
    text = "\n".join(
        (
            series.patient_id,
            series.collection,
            series.description,
            series.body_part,
            series.modality,
            series.series_uid,
            series.study_uid,
        )
    ).casefold()
    spaced = series.patient_id.replace("_", " ").casefold()
    return f"{text}\n{spaced}"


_YES_NO = {"yes": "Yes", "no": "No"}
_LABELS = {"labels": {"yes": "With labels", "no": "Without"}}
_KEYS: Mapping[str, tuple[Callable[[CaseRow], Hashable], Callable[..., str]]] = {
    "modality": (lambda row: row.series.modality, str),
    "body_part": (lambda row: row.series.body_part.upper(), str),
    "labels": (lambda row: row.has_nodes, lambda has: "yes" if has else "no"),
    "licence": (
        lambda row: (row.series.licence_name, row.series.licence_uri),
        lambda words: identify(*words).short if any(words) else "",
    ),
    "slices": (lambda row: row.series.images, _range("slices")),
    "size": (
        lambda row: None if row.series.bytes is None else row.bytes,
        _range("size"),
    ),
    "spacing": (_coarsest, _range("spacing")),
    "collection": (lambda row: row.series.collection, str),
}
"""For each facet what of a row decides, and the key that follows from it."""
_TITLES = {
    "modality": "Modality",
    "body_part": "Body part",
    "labels": "Labels",
    "nodes": "Largest node",
    "slices": "Slices",
    "size": "Size",
    "spacing": "Spacing",
    "licence": "Licence",
    "downloaded": "On disk",
    "collection": "Collection",
}
"""Facets in the order in which they are shown."""
