"""What a reader has decided so far: a fold over the records of the log.

Nothing here is kept by itself. The same records give the same state, in the window
and when they are replayed.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any

from napari_tcia.review.log import Record

DECISIONS = ("accept", "reject", "unsure")
REASONS = ("vessel", "bowel", "thymus", "boundary", "merged", "split")
"""Why a node is not what it was said to be."""
CASE_REASONS = (
    "motion",
    "contrast bolus",
    "missing slices",
    "slice thickness",
    "other",
)
"""Why a case is rejected."""
CONFIDENCES = ("", "low", "middle", "high")
EXITS = ("done", "skipped", "rejected", "escalated")


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a reader says of one node.

    Attributes
    ----------
    decision : str
        One of `DECISIONS`, empty while there is none.
    reasons : tuple of str
        Of `REASONS`.
    comment, station, confidence : str
    axes : tuple
        Ends ((k, j, i), (k, j, i)) of the long and the short axis as drawn by hand;
        empty for those that were measured.
    """

    decision: str = ""
    reasons: tuple[str, ...] = ()
    comment: str = ""
    station: str = ""
    confidence: str = ""
    axes: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """A node that the reference does not name.

    Attributes
    ----------
    uid : str
    index : (3,) tuple of float
        Its place (k, j, i).
    point_lps : (3,) tuple of float
        The same in patient mm.
    """

    uid: str
    index: tuple[float, float, float]
    point_lps: tuple[float, float, float]
    comment: str = ""


@dataclass(frozen=True, slots=True)
class ReviewState:
    """Everything that was decided about a case.

    Attributes
    ----------
    nodes : mapping of str to Judgement
        By tracking UID.
    values : mapping of int to str
        Tracking UID by label value; a value is never given to another node.
    origins : mapping of str to str
        Where a node comes from: ``"reference"``, ``"point"``, ``"drawn"`` or
        ``"split from <UID>"``.
    findings : tuple of Finding
    notes : str
    exit : str
        One of `EXITS`, empty while the case is open.
    exit_reasons : tuple of str
    seconds : float
        Time that it was looked at.
    """

    nodes: Mapping[str, Judgement] = field(default_factory=dict)
    values: Mapping[int, str] = field(default_factory=dict)
    origins: Mapping[str, str] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    notes: str = ""
    exit: str = ""
    exit_reasons: tuple[str, ...] = ()
    seconds: float = 0.0

    def judgement(self, uid: str) -> Judgement:
        """What is said of a node; of one that was not judged, nothing."""
        return self.nodes.get(uid, Judgement())

    def uid_of(self, value: int) -> str:
        """Tracking UID of a label value, empty where it has none."""
        return self.values.get(value, "")

    def next_value(self) -> int:
        """The label value that no node has or ever had."""
        return max(self.values, default=0) + 1


def new_uid() -> str:
    """Tracking UID for a node that nobody named before (DICOM PS3.5 B.2)."""
    return f"2.25.{uuid.uuid4().int}"


_FIELDS = frozenset(one.name for one in fields(Judgement))


def after(state: ReviewState, record: Record) -> ReviewState:
    """`state` once `record` has happened; kinds that decide nothing leave it."""
    step = _STEPS.get(record.kind)
    return state if step is None else step(state, record)


def folded(records: Iterable[Record]) -> ReviewState:
    """State after all of `records`."""
    state = ReviewState()
    for record in records:
        state = after(state, record)
    return state


def _judged(state: ReviewState, record: Record) -> ReviewState:
    changes = {key: _frozen(v) for key, v in record.after.items() if key in _FIELDS}
    now = replace(state.judgement(record.node), **changes)
    return replace(state, nodes=_with(state.nodes, record.node, now))


def _named(state: ReviewState, record: Record) -> ReviewState:
    value, origin = record.after["value"], record.after["origin"]
    if value is not None:
        state = replace(state, values=_with(state.values, int(value), record.node))
    return replace(state, origins=_with(state.origins, record.node, origin))


def _found(state: ReviewState, record: Record) -> ReviewState:
    others = tuple(one for one in state.findings if one.uid != record.node)
    if record.after is None:
        return replace(state, findings=others)
    parts = {key: _frozen(value) for key, value in record.after.items()}
    return replace(state, findings=(*others, Finding(uid=record.node, **parts)))


def _left(state: ReviewState, record: Record) -> ReviewState:
    reasons = tuple(record.more.get("reasons", ()))
    return replace(state, exit=record.after, exit_reasons=reasons)


_STEPS: Mapping[str, Callable[[ReviewState, Record], ReviewState]] = {
    "node": _named,
    "decision": _judged,
    "finding": _found,
    "notes": lambda state, record: replace(state, notes=record.after),
    "exit": _left,
    "time": lambda state, record: replace(
        state, seconds=state.seconds + float(record.after)
    ),
}


def _with(mapping: Mapping[Any, Any], key: Any, value: Any) -> Mapping[Any, Any]:
    return MappingProxyType({**mapping, key: value})


def _frozen(value: Any) -> Any:
    return tuple(_frozen(one) for one in value) if isinstance(value, list) else value
