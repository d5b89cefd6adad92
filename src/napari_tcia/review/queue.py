"""The cases that a reader goes through, one after the other."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from napari_tcia.core.files import storage_error, write_json
from napari_tcia.core.model import Issue
from napari_tcia.errors import (
    CorruptData,
    NothingFound,
    NotWritable,
    UsageError,
)
from napari_tcia.review.log import now

STATES = ("waiting", "done", "skipped", "rejected", "escalated")
_SCHEMA = 1


@dataclass(frozen=True, slots=True)
class QueueCase:
    """One case of a queue.

    Attributes
    ----------
    series_uid : str
        Of its images.
    patient_id, collection : str
    state : str
        One of `STATES`.
    seconds : float
        Time spent on it.
    reasons : tuple of str
    note : str
    """

    series_uid: str
    patient_id: str = ""
    collection: str = ""
    state: str = "waiting"
    seconds: float = 0.0
    reasons: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Queue:
    """Cases in their order, and where a reader is among them.

    Attributes
    ----------
    name : str
    cases : tuple of QueueCase
    at : int
        Place of the case that is looked at.
    blind : bool
        Whether its cases are shown without what is known of their nodes.
    made : str
        UTC.
    """

    name: str
    cases: tuple[QueueCase, ...]
    at: int = 0
    blind: bool = False
    made: str = ""

    @property
    def current(self) -> QueueCase:
        """The case that is looked at."""
        return self.cases[self.at]

    @property
    def words(self) -> str:
        """Place in words: "Case 3 of 12"."""
        return f"Case {self.at + 1} of {len(self.cases)}"

    @property
    def is_done(self) -> bool:
        """Whether no case waits any more."""
        return all(one.state != "waiting" for one in self.cases)


def make(name: str, cases: Iterable[QueueCase], *, blind: bool = False) -> Queue:
    """Queue of the cases that are named, each once.

    Raises
    ------
    NothingFound
        There is none.
    """
    once: dict[str, QueueCase] = {}
    for one in cases:
        once.setdefault(one.series_uid, one)
    if not once:
        raise NothingFound(
            "No image series to review is named.",
            "Widen the search, or check the file.",
        )
    return Queue(name, tuple(once.values()), 0, blind, now())


def leave(
    queue: Queue,
    state: str,
    *,
    seconds: float = 0.0,
    reasons: Sequence[str] = (),
    note: str = "",
) -> Queue:
    """Say how the current case is left, and go to the next that waits.

    After the last comes the first that still waits; with none left it stays. Of a case
    that was left before, reasons and note stay unless there are new ones, and so does
    the time where it was longer.

    Raises
    ------
    UsageError
        There is no such state.
    """
    if state not in STATES:
        raise UsageError(f"{state!r} is no way to leave a case.", ", ".join(STATES))
    before = queue.current
    left = replace(
        before,
        state=state,
        seconds=max(before.seconds, seconds),
        reasons=tuple(reasons) or before.reasons,
        note=note or before.note,
    )
    cases = (*queue.cases[: queue.at], left, *queue.cases[queue.at + 1 :])
    order = [*range(queue.at + 1, len(cases)), *range(queue.at)]
    at = next((n for n in order if cases[n].state == "waiting"), queue.at)
    return replace(queue, cases=cases, at=at)


def go_to(queue: Queue, at: int) -> Queue:
    """Look at another case of the queue; the nearest where there is no such place."""
    return replace(queue, at=min(max(at, 0), len(queue.cases) - 1))


def go_to_series(queue: Queue, series_uid: str) -> Queue:
    """Look at the case of a series.

    Raises
    ------
    NothingFound
        The queue does not hold it.
    """
    for n, one in enumerate(queue.cases):
        if one.series_uid == series_uid:
            return replace(queue, at=n)
    raise NothingFound(
        f"The queue {queue.name} does not hold series {series_uid}.", "Make a new one."
    )


def counts(queue: Queue) -> dict[str, int]:
    """How many cases are in each state that any is in."""
    states = [one.state for one in queue.cases]
    return {state: states.count(state) for state in STATES if state in states}


def twice(queue: Queue, companions: Mapping[str, str]) -> tuple[Issue, ...]:
    """Warn of scans that are in the queue under both of their identities."""
    there = [one.patient_id for one in queue.cases]
    pairs = [
        (one, companions[one])
        for one in there
        if companions.get(one) in there and one < companions[one]
    ]
    return tuple(
        Issue(
            "warn",
            "same_scan_twice",
            f"{one} and {other} are one scan under two identities.",
            {"patients": [one, other]},
        )
        for one, other in dict.fromkeys(pairs)
    )


# on the disk


def path_of(folder: Path, name: str) -> Path:
    """File of a queue; different for different names, on every disk.

    Raises
    ------
    UsageError
        The name is empty, or no text.
    """
    try:
        digest = hashlib.sha256(name.encode()).hexdigest()[:16]
    except UnicodeEncodeError:
        digest = ""
    if not digest or not name.strip():
        raise UsageError(f"{name[:40]!r} is no name for a queue.", "Give it a word.")
    stem = re.sub(r"[^0-9A-Za-z]+", "_", name)[:40].strip("_") or "queue"
    return folder / f"{stem}-{digest}.json"


def keep(folder: Path, queue: Queue) -> Queue | None:
    """Keep a new queue; what lies under its name is never written over.

    Returns
    -------
    Queue or None
        `queue`; the older one of the same name and cases, which goes on where it is;
        None when the name belongs to other cases.

    Raises
    ------
    CorruptData
        What lies there is no queue: it is left as it is.
    StorageError
        The disk refuses.
    """
    with _locked(folder, queue.name) as path:
        if path.exists():
            before = load(path)
            same = [one.series_uid for one in before.cases] == [
                one.series_uid for one in queue.cases
            ]
            return before if same and before.blind == queue.blind else None
        _write(path, queue)
        return queue


def change(folder: Path, name: str, how: Callable[[Queue], Queue]) -> Queue:
    """Change a queue as it is now, whoever changed it meanwhile.

    Raises
    ------
    NothingFound, CorruptData
        There is none, or it is damaged: left as it is.
    StorageError
        It is as before.
    """
    with _locked(folder, name) as path:
        now_ = how(load(path))
        _write(path, now_)
        return now_


@contextlib.contextmanager
def _locked(folder: Path, name: str) -> Iterator[Path]:
    path = path_of(folder, name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock", timeout=10):
            yield path
    except Timeout as error:
        raise NotWritable(
            f"The queue {name} is being written by another window.", "Try again."
        ) from error
    except OSError as error:
        raise storage_error(error, path) from error


def _write(path: Path, queue: Queue) -> None:
    write_json(path, {"schema": _SCHEMA, **asdict(queue)})


def load(path: Path) -> Queue:
    """Read a queue again.

    Raises
    ------
    NothingFound
        There is no such file.
    CorruptData
        It is no queue; it is left as it is.
    """
    try:
        value = json.loads(path.read_bytes())
        if value["schema"] != _SCHEMA:
            raise ValueError(value["schema"])
        cases = tuple(_case(one) for one in value["cases"])
        queue = Queue(
            str(value["name"]),
            cases,
            int(value["at"]),
            bool(value["blind"]),
            str(value["made"]),
        )
        if not 0 <= queue.at < len(queue.cases):
            raise ValueError(queue.at)
    except FileNotFoundError as error:
        raise NothingFound(f"{path} does not exist.", "") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptData(
            f"{path} is no queue of cases that this version can read.",
            "It was left as it is; make a new one.",
        ) from error
    return queue


def _case(value: Any) -> QueueCase:
    one = QueueCase(
        series_uid=str(value["series_uid"]),
        patient_id=str(value.get("patient_id", "")),
        collection=str(value.get("collection", "")),
        state=str(value.get("state", "waiting")),
        seconds=float(value.get("seconds", 0)),
        reasons=tuple(str(r) for r in value.get("reasons", ())),
        note=str(value.get("note", "")),
    )
    if one.state not in STATES:
        raise ValueError(one.state)
    return one
