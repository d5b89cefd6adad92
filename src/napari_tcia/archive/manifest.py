"""Lists of series that people hand each other: .tcia, .csv and .s5cmd files.

Read tolerantly and never obeyed: the server that one names is not contacted.
Written so that the official downloaders take them, and read again before they
are reported as written.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_tcia.archive.places import place_of, series_in
from napari_tcia.core.files import check_uid, write_atomic
from napari_tcia.core.model import Issue, Listing, Series
from napari_tcia.core.text import one_line
from napari_tcia.errors import CorruptData, NothingFound, UsageError

_MAX_BYTES = 32 << 20
_START = "listofseriestodownload="
_COLUMNS = ("seriesinstanceuid", "seriesuid")
_OBJECT = re.compile(r"s3://(?P<bucket>[^/\s]+)/(?P<folder>[0-9a-fA-F-]{36})(?:/|\s|$)")


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
    """Series of bucket folders, which are UUIDs that name no series.

    A comment with a UID, as this program writes it above each line, counts
    where the series is known to lie in that very folder.
    """
    entries: list[tuple[str, str]] = []
    told: dict[str, str] = {}
    uid = ""
    for line in lines:
        if line.startswith("#"):
            uid = line[1:].strip()
        elif line:
            found = _OBJECT.search(line)
            entries.append((line, found["folder"].lower() if found else ""))
            if found and _is_at(uid, found["bucket"], entries[-1][1]):
                told[entries[-1][1]] = uid
            uid = ""
    told |= series_in({folder for _, folder in entries if folder} - told.keys())
    uids = {told[folder]: None for _, folder in entries if folder in told}
    unknown = [one_line(line, 120) for line, folder in entries if folder not in told]
    what = "name folders that neither the catalogue nor an installed index knows"
    return Manifest(tuple(uids), _rejected(unknown, what))


def _is_at(uid: str, bucket: str, folder: str) -> bool:
    try:
        return place_of(uid) == (bucket, folder)
    except UsageError:
        return False


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


_SERVER = "https://nbia.cancerimagingarchive.net/nbia-download/servlet/DownloadServlet"


def write_manifest(series: Sequence[Series], path: Path) -> Listing[Series]:
    """Write a list of series, of the kind that the suffix of `path` names.

    ``.tcia`` is for the NBIA Data Retriever, ``.csv`` for its successor and for
    people (collection, licence and DOI travel along), ``.s5cmd`` for downloads
    from the buckets of the Imaging Data Commons.

    Returns
    -------
    Listing of Series
        What was written, once each. In an ``.s5cmd`` file that leaves out
        series which no bucket is known to have, named in an issue with code
        "no_bucket".

    Raises
    ------
    UsageError
        Nothing to write, or a suffix of none of these kinds.
    NothingFound
        No bucket is known to have any of the series.
    StorageError
        The disk is full or not writable; an older file stays as it was.
    CorruptData
        What was written does not read as what was meant.
    """
    write = _WRITERS.get(path.suffix.lower())
    rows = {check_uid(one.series_uid): one for one in series}
    if write is None:
        raise UsageError(
            f"{path.name} is of no known kind of manifest.",
            f"Name it with one of {', '.join(_WRITERS)}.",
        )
    if not rows:
        raise UsageError("There is no series to write.", "Choose some first.")
    left_out: list[str] = []
    if path.suffix.lower() == ".s5cmd":
        left_out = [uid for uid in rows if place_of(uid) is None]
    written = tuple(one for uid, one in rows.items() if uid not in set(left_out))
    if not written:
        raise NothingFound(
            "No bucket of the Imaging Data Commons is known to have these series.",
            "Write a .csv or .tcia file instead.",
        )
    text = write(written, path)
    wanted = tuple(one.series_uid for one in written)
    if parse_manifest(text) == Manifest(wanted):
        write_atomic(path, text)
        if path.read_bytes() == text.encode():
            return Listing(written, _without_bucket(left_out))
    raise CorruptData(
        f"{path} does not read as the {len(written)} series that it should name.",
        "Choose another disk or another kind of manifest.",
    )


def _tcia(series: Sequence[Series], path: Path) -> str:
    basket = re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem)
    lines = [
        f"downloadServerUrl={_SERVER}",
        "includeAnnotation=true",
        "noOfrRetry=4",  # spelt so by every reader
        f"databasketId={basket}.tcia",
        "manifestVersion=3.0",
        "ListOfSeriesToDownload=",
        *(one.series_uid for one in series),
    ]
    return "".join(f"{line}\n" for line in lines)


def _csv(series: Sequence[Series], path: Path) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(
        ["SeriesInstanceUID", "Collection", "PatientID", "Modality", "Licence", "DOI"]
    )
    for one in series:
        words = (
            one.collection,
            one.patient_id,
            one.modality,
            one.licence_name,
            one.doi,
        )
        writer.writerow([one.series_uid, *map(_cell, words)])
    return stream.getvalue()


def _cell(word: str) -> str:
    """A word of the archive that no spreadsheet takes for a formula."""
    return f"'{word}" if word[:1] in ("=", "+", "-", "@") else word


def _s5cmd(series: Sequence[Series], path: Path) -> str:
    lines = ["# s5cmd --no-sign-request run FILE; each line is one series:"]
    for one in series:
        place = place_of(one.series_uid)
        assert place is not None, "the others were left out"
        lines += [f"# {one.series_uid}", f"cp s3://{place[0]}/{place[1]}/* ."]
    return "".join(f"{line}\n" for line in lines)


_WRITERS: dict[str, Callable[[Sequence[Series], Path], str]] = {
    ".tcia": _tcia,
    ".csv": _csv,
    ".s5cmd": _s5cmd,
}


def _without_bucket(uids: list[str]) -> tuple[Issue, ...]:
    if not uids:
        return ()
    more = f" and {len(uids) - 1} more" if uids[1:] else ""
    return (
        Issue(
            "warn",
            "no_bucket",
            f"{len(uids)} series are in no known bucket of the Imaging Data Commons "
            f"and were left out: {uids[0]}{more}.",
            {"series_uids": uids},
        ),
    )
