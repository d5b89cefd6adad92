"""Queues of cases from a search, a manifest or a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from napari_tcia.app.fetch import resolve_all
from napari_tcia.app.search import ANNOTATION_MODALITIES
from napari_tcia.app.services import Services
from napari_tcia.app.state import find
from napari_tcia.core.model import Issue, Series
from napari_tcia.core.task import CancelToken
from napari_tcia.errors import NothingFound, TciaError, UsageError
from napari_tcia.export.table import as_text
from napari_tcia.nodes.known_issues import COMPANIONS
from napari_tcia.review import queue as queues_
from napari_tcia.review.queue import Queue, QueueCase

_COLUMNS = {
    "patientid", "patient", "seriesinstanceuid", "seriesuid", "series", "subjectid",
}  # fmt: skip


_MOST = 16 << 20
"""Bytes of a table."""


def folder(services: Services) -> Path:
    """Where queues lie below HOME."""
    return services.settings.home / "queues"


def make_queue(
    services: Services,
    source: str | Path | Sequence[Series],
    *,
    name: str = "",
    blind: bool = False,
    token: CancelToken | None = None,
) -> tuple[Queue, tuple[Issue, ...]]:
    """Make a queue of the image series that `source` names, and keep it.

    Parameters
    ----------
    source : str, Path or sequence of Series
        Words of a search; a manifest (.tcia, .s5cmd, .csv); a CSV with a column of
        patients or series; or rows of a search. Nothing is fetched.
    name : str
        By default what `source` is called. One of that name is replaced only when it
        holds the same cases, and then it goes on where it was.
    blind : bool
        Show its cases without what is known of their nodes.

    Raises
    ------
    NothingFound
        No image series is named.
    ArchiveError
        The archive cannot be asked.
    """
    issues: tuple[Issue, ...] = ()
    if isinstance(source, (str, Path)):
        series, issues = _named(services, str(source), token)
        name = name or Path(str(source)).stem
    else:
        series = tuple(source)
    wanted = queues_.make(name or "Review", map(_case, _images(series)), blind=blind)
    for number in range(1, 1000):
        tried = wanted.name if number == 1 else f"{wanted.name} {number}"
        made = queues_.keep(folder(services), replace(wanted, name=tried))
        if made is not None:
            companions = COMPANIONS | {med: abd for abd, med in COMPANIONS.items()}
            return made, (*issues, *queues_.twice(made, companions))
    raise UsageError(f"There are too many queues named {wanted.name}.", "Name another.")


def queues(services: Services) -> tuple[tuple[Queue, ...], tuple[Issue, ...]]:
    """Every queue that is kept, the newest first, and those that cannot be read."""
    found: list[Queue] = []
    issues: list[Issue] = []
    for path in sorted(folder(services).glob("*.json")):
        try:
            found.append(queues_.load(path))
        except TciaError as error:
            issues.append(Issue("warn", error.code, str(error), {"path": str(path)}))
    found.sort(key=lambda one: one.made, reverse=True)
    return tuple(found), tuple(issues)


def queue_of(services: Services, name: str) -> Queue:
    """The queue of a name.

    Raises
    ------
    NothingFound, CorruptData
        There is none, or it is damaged.
    """
    path = queues_.path_of(folder(services), name)
    if not path.exists():
        raise NothingFound(
            f"There is no queue named {name}.", "List: napari-tcia queue list"
        )
    return queues_.load(path)


def change(services: Services, name: str, how: Callable[[Queue], Queue]) -> Queue:
    """Change a queue as it is on the disk now; see `napari_tcia.review.queue`."""
    return queues_.change(folder(services), name, how)


def as_csv(queue: Queue) -> str:
    """One line per case, with what no spreadsheet will calculate."""
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow(
        (
            "patient_id",
            "series_uid",
            "collection",
            "state",
            "seconds",
            "reasons",
            "note",
        )
    )
    for one in queue.cases:
        row = (
            *(one.patient_id, one.series_uid, one.collection, one.state),
            f"{one.seconds:.0f}",
            *("; ".join(one.reasons), one.note),
        )
        writer.writerow([as_text(cell) for cell in row])
    return stream.getvalue()


def _named(
    services: Services, source: str, token: CancelToken | None
) -> tuple[tuple[Series, ...], tuple[Issue, ...]]:
    path = Path(source)
    targets = _table(path) if path.suffix.lower() == ".csv" and path.is_file() else None
    if targets is not None:
        series, issues, _ = resolve_all(services, targets, token=token)
        return tuple(series), tuple(issues)
    found = find(services, source, token=token)
    return tuple(row.series for row in found.rows), found.issues


def _table(path: Path) -> list[str] | None:
    """What a table of patients or series names; None for other tables."""
    if path.stat().st_size > _MOST:
        raise UsageError(f"{path.name} is too large for a table of cases.", "Cut it.")
    text = path.read_bytes().decode("utf-8-sig", errors="replace")
    lines = text.splitlines()
    if not lines:
        return None
    mark = ";" if lines[0].count(";") > lines[0].count(",") else ","
    rows = list(csv.reader(lines, delimiter=mark))
    heads = ["".join(c for c in one if c.isalnum()).casefold() for one in rows[0]]
    wanted = [n for n, head in enumerate(heads) if head in _COLUMNS]
    if not wanted:
        return None
    at = max(wanted, key=lambda n: "series" in heads[n])
    cells = [row[at].strip() for row in rows[1:] if len(row) > at]
    return list(dict.fromkeys(filter(None, cells)))


def _images(series: Iterable[Series]) -> list[Series]:
    return [one for one in series if one.modality not in ANNOTATION_MODALITIES]


def _case(one: Series) -> QueueCase:
    return QueueCase(one.series_uid, one.patient_id, one.collection)
