"""The cases that a reader goes through, one after the other."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock

from napari_tcia.core.files import write_json
from napari_tcia.core.model import Issue
from napari_tcia.errors import CorruptData, NothingFound, UsageError
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

    After the last comes the first that still waits; with none left it stays.

    Raises
    ------
    UsageError
        There is no such state.
    """
    if state not in STATES:
        raise UsageError(f"{state!r} is no way to leave a case.", ", ".join(STATES))
    left = replace(
        queue.current, state=state, seconds=seconds, reasons=tuple(reasons), note=note
    )
    cases = (*queue.cases[: queue.at], left, *queue.cases[queue.at + 1 :])
    order = [*range(queue.at + 1, len(cases)), *range(queue.at)]
    at = next((n for n in order if cases[n].state == "waiting"), queue.at)
    return replace(queue, cases=cases, at=at)


def go_to(queue: Queue, at: int) -> Queue:
    """Look at another case of the queue; the nearest where there is no such place."""
    return replace(queue, at=min(max(at, 0), len(queue.cases) - 1))


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
        The name is empty or too long.
    """
    plain = name.strip()
    if not plain or len(plain) > 200:
        raise UsageError(f"{name[:40]!r} is no name for a queue.", "Give a short one.")
    stem = re.sub(r"[^0-9A-Za-z]+", "_", plain)[:40].strip("_") or "queue"
    return folder / f"{stem}-{hashlib.sha256(plain.encode()).hexdigest()[:10]}.json"


def store(folder: Path, queue: Queue) -> Path:
    """Keep a queue; the file holds the old or the whole new one.

    Raises
    ------
    StorageError
        It is the old one.
    """
    path = path_of(folder, queue.name)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock", timeout=10):
        return write_json(path, {"schema": _SCHEMA, **asdict(queue)})


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
            f"{path} is no queue of cases.", "It was left as it is; make a new one."
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
