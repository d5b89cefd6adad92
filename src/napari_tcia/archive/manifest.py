"""Lists of series that people hand each other: .tcia, .csv and .s5cmd files."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from napari_tcia.archive.catalogue import load
from napari_tcia.core.files import check_uid
from napari_tcia.core.model import Issue
from napari_tcia.core.text import one_line
from napari_tcia.errors import NothingFound, UsageError

_MAX_BYTES = 32 << 20
_START = "listofseriestodownload="
_COLUMNS = ("seriesinstanceuid", "seriesuid")
_OBJECT = re.compile(r"s3://[^/\s]+/(?P<folder>[0-9a-fA-F-]{36})(?:/|\s|$)")


@dataclass(frozen=True, slots=True)
class Manifest:
    """Series that a file names, in its order and once each."""

    series_uids: tuple[str, ...]
    issues: tuple[Issue, ...] = ()


def parse_manifest(source: str | Path) -> Manifest:
    """Read a manifest, given as its text or its path.

    The kind is told by the content, not by the file name. The download server
    that a ``.tcia`` file names is never contacted.

    Raises
    ------
    NothingFound
        There is no such file.
    UsageError
        It is none of the known kinds, or too large to be one.
    """
    is_path = isinstance(source, Path) or (source and not re.search(r"[\n,=]", source))
    text = _read(Path(source)) if is_path else str(source)
    lines = [line.strip() for line in text.removeprefix("\ufeff").splitlines()]
    start = next((n for n, x in enumerate(lines) if x.lower().startswith(_START)), None)
    if start is not None:
        first = lines[start].partition("=")[2]
        return _of_uids([first, *lines[start + 1 :]])
    if any("s3://" in line for line in lines):
        return _of_objects(lines)
    header = next((n for n, line in enumerate(lines) if line), None)
    if header is not None and (column := _column(lines[header])):
        delimiter, index = column
        rows = csv.reader(lines[header + 1 :], delimiter=delimiter)
        return _of_uids(row[index] if index < len(row) else "" for row in rows if row)
    raise UsageError(
        "This is no manifest: neither a .tcia nor an .s5cmd file, and no CSV with a "
        "column SeriesInstanceUID.",
        "Export a manifest from TCIA's search page, or write a CSV with that column.",
    )


def _read(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            raw = stream.read(_MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise NothingFound(f"There is no manifest {path}.") from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from error
    if len(raw) > _MAX_BYTES:
        raise UsageError(f"{path} is too large to be a manifest.")
    encoding = "utf-16" if raw.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8"
    return raw.decode(encoding, "replace")


def _column(header: str) -> tuple[str, int] | None:
    """Delimiter and position of the column of series UIDs."""
    for delimiter in ",\t;":
        names = next(csv.reader([header], delimiter=delimiter))
        plain = [re.sub(r"[^a-z0-9]", "", name.lower()) for name in names]
        for wanted in _COLUMNS:
            if wanted in plain:
                return delimiter, plain.index(wanted)
    return None


def _of_uids(words: Iterable[str]) -> Manifest:
    uids: dict[str, None] = {}
    rejected = []
    for word in words:
        text = word.strip().strip("'\"")
        if not text or text.startswith("#"):
            continue
        try:
            uids[check_uid(text)] = None
        except UsageError:
            rejected.append(one_line(text, 80))
    return Manifest(tuple(uids), _rejected(rejected, "are no series UID"))


def _of_objects(lines: Iterable[str]) -> Manifest:
    catalogue = load()
    uids: dict[str, None] = {}
    unknown = []
    for line in lines:
        if not line or line.startswith("#"):
            continue
        found = _OBJECT.search(line)
        series = found and catalogue.find_folder(found["folder"])
        if series:
            uids[series.series_uid] = None
        else:
            unknown.append(one_line(line, 120))
    what = f"name folders that the catalogue of {catalogue.date} does not know"
    return Manifest(tuple(uids), _rejected(unknown, what))


def _rejected(entries: list[str], what: str) -> tuple[Issue, ...]:
    if not entries:
        return ()
    more = f" and {len(entries) - 1} more" if entries[1:] else ""
    return (
        Issue(
            "warn",
            "manifest_entry",
            f"{len(entries)} entries of the manifest {what} and were left out: "
            f"“{entries[0]}”{more}.",
            {"entries": entries[:100], "count": len(entries)},
        ),
    )
