"""What the archive last said, kept for the day on which it does not answer.

Whole listings only: the collections of a host, and every series of one
collection. They are a copy of public facts below HOME; losing them loses
nothing but the answer to a search without a network::

    HOME/known/<host>/collections.json.gz
    HOME/known/<host>/<hash of the collection's name>.json.gz
"""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Generic, TypeVar

from napari_tcia.app.services import Services
from napari_tcia.core.files import write_atomic
from napari_tcia.core.model import Collection, Issue, Series, to_json
from napari_tcia.errors import StorageError

T = TypeVar("T", Collection, Series)

MAX_SERIES = 50_000
"""Series of a collection whose listing is kept."""
MAX_LISTINGS = 40
"""Collections kept for a host; the one that was asked for longest ago goes."""
_MAX_BYTES = 64 << 20
_COLLECTIONS = "collections.json.gz"
_SCHEMA = 1
_MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec"


@dataclass(frozen=True, slots=True)
class LastKnown(Generic[T]):
    """A listing as the archive gave it, and when."""

    items: tuple[T, ...]
    time: datetime


def keep_collections(services: Services, items: Sequence[Collection]) -> list[Issue]:
    """Keep the archive's collections; an issue where the disk does not allow it."""
    return _keep(folder(services) / _COLLECTIONS, "", items)


def keep_series(
    services: Services, collection: str, items: Sequence[Series]
) -> list[Issue]:
    """Keep every series of a collection; an issue where the disk does not allow it."""
    if not collection or len(items) > MAX_SERIES:
        return []
    issues = _keep(_file(services, collection), collection, items)
    listings = [f for f in _files(services) if f.name != _COLLECTIONS]
    listings.sort(key=lambda file: file.stat().st_mtime, reverse=True)
    for old in listings[MAX_LISTINGS:]:
        old.unlink(missing_ok=True)
    return issues


def last_collections(services: Services) -> LastKnown[Collection] | None:
    """Collections as the archive last listed them."""
    return _read(folder(services) / _COLLECTIONS, Collection)


def last_series(services: Services, collection: str) -> LastKnown[Series] | None:
    """Every series of a collection as the archive last listed it."""
    return _read(_file(services, collection), Series)


def all_series(services: Services) -> tuple[Series, ...]:
    """Every series that this machine knows of: as last listed, else catalogued."""
    found = {one.series_uid: one for one in services.catalogue.series}
    for kept in listings(services):
        found |= {one.series_uid: one for one in kept.items}
    return tuple(found.values())


def listings(services: Services) -> list[LastKnown[Series]]:
    """Every collection's series as the archive last listed them."""
    files = [f for f in _files(services) if f.name != _COLLECTIONS]
    return [kept for file in files if (kept := _read(file, Series))]


def state_of(services: Services) -> tuple[object, ...]:
    """Something that changes whenever what is known changes."""
    times = tuple((f.name, f.stat().st_mtime_ns) for f in _files(services))
    return (services.catalogue.date, folder(services), times)


def folder(services: Services) -> Path:
    """Where listings of the configured archive are kept."""
    host = re.sub(r"[^0-9A-Za-z.-]", "_", services.settings.archive_host)
    return services.settings.home / "known" / host


def age_text(time: datetime, now: datetime | None = None) -> str:
    """How old a listing is: ``"as of 21 Nov 2026, a day ago"``."""
    days = ((now or datetime.now(UTC)).date() - time.date()).days
    ago = "today" if days < 1 else "a day ago" if days == 1 else f"{days} days ago"
    return f"as of {date_text(time)}, {ago}"


def date_text(time: datetime) -> str:
    """A date as people read it, whatever their locale: ``"21 Nov 2026"``."""
    months = [
        "Jan",
        "Feb",
        "Mar",
        "Apr",
        "May",
        "Jun",
        "Jul",
        "Aug",
        "Sep",
        "Oct",
        "Nov",
        "Dec",
    ]
    return f"{time.day} {months[time.month - 1]} {time.year}"


def catalogue_time(services: Services) -> datetime:
    """Date of the bundled catalogue."""
    return datetime.fromisoformat(services.catalogue.date).replace(tzinfo=UTC)


def _file(services: Services, collection: str) -> Path:
    # Names come from outside; a hash is a safe file name for any of them.
    digest = hashlib.sha256(collection.strip().casefold().encode()).hexdigest()
    return folder(services) / f"{digest[:24]}.json.gz"


def _files(services: Services) -> list[Path]:
    return sorted(folder(services).glob("*.json.gz"))


def _keep(file: Path, name: str, items: Iterable[Collection | Series]) -> list[Issue]:
    value = {
        "schema": _SCHEMA,
        "name": name,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "rows": [_compact(item) for item in items],
    }
    packed = gzip.compress(
        json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(), 6
    )
    try:
        write_atomic(file, packed)
    except StorageError as error:
        message = f"What the archive listed is not kept for later: {error}"
        return [Issue("warn", "not_kept", message, {"path": str(file)})]
    return []


def _compact(item: Collection | Series) -> dict[str, Any]:
    """Fields that say something; a listing repeats many that do not."""
    return {
        key: value for key, value in to_json(item).items() if value not in ("", None)
    }


def _read(file: Path, kind: type[T]) -> LastKnown[T] | None:
    """The listing in `file`; None where there is none that is whole and ours.

    It is a cache: one that is damaged or of another version is as good as none,
    and the next answer of the archive replaces it.
    """
    try:
        with gzip.open(io.BytesIO(file.read_bytes())) as stream:
            text = stream.read(_MAX_BYTES + 1)
        if len(text) > _MAX_BYTES:
            return None
        value = json.loads(text)
        if value["schema"] != _SCHEMA:
            return None
        names = {f.name for f in dataclasses.fields(kind)}
        rows = tuple(kind(**_fields(row, names)) for row in value["rows"])
        return LastKnown(rows, datetime.fromisoformat(value["time"]))
    except (OSError, EOFError, ValueError, LookupError, TypeError, AttributeError):
        return None


def _fields(row: dict[str, Any], names: set[str]) -> dict[str, Any]:
    fields = {key: value for key, value in row.items() if key in names}
    return {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
