"""Every series of the Imaging Data Commons, without a network: the extra ``idc``.

The package ``idc-index-data`` brings one table of a million rows. It is read
here in batches, and only the columns that a question needs: the whole table as
a data frame takes over a gigabyte, and a search here a fifth of that with the
libraries.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from napari_tcia.archive.catalogue import load
from napari_tcia.core.model import SearchQuery, Series
from napari_tcia.errors import CorruptData, MissingExtra

HINT = 'The index of all its series: pip install "napari-tcia[idc]".'

_BATCH = 32_768
_EXACT = {
    "collection": "collection_id",
    "patient": "PatientID",
    "modality": "Modality",
    "body_part": "BodyPartExamined",
    "series_uid": "SeriesInstanceUID",
    "study_uid": "StudyInstanceUID",
}
"""Column that each field of a query restricts."""
_WORDS = ("PatientID", "SeriesDescription", "collection_id")
_SHOWN = {
    "SeriesInstanceUID": "series_uid",
    "StudyInstanceUID": "study_uid",
    "PatientID": "patient_id",
    "collection_id": "collection",
    "Modality": "modality",
    "SeriesDescription": "description",
    "BodyPartExamined": "body_part",
    "instanceCount": "images",
    "series_size_MB": "bytes",
    "license_short_name": "licence_name",
    "source_DOI": "doi",
    "Manufacturer": "manufacturer",
}


def available() -> bool:
    """Whether the extra is installed; imports nothing."""
    return all(find_spec(name) for name in ("idc_index_data", "pyarrow"))


def search(query: SearchQuery, limit: int = 20_000) -> tuple[Series, ...]:
    """Series that match every field of `query`, without regard to case.

    `has_labels` does not restrict: the table does not say. Each word of `text`
    must occur in patient, description or collection. `images` and `bytes` are
    those of the index (its sizes are in millions of bytes).

    Raises
    ------
    MissingExtra
        ``idc-index-data`` or ``pyarrow`` is not installed.
    CorruptData
        The table is damaged, or of a release that is not understood.
    """
    _require()
    catalogue = load()
    wanted = {
        column: getattr(query, name).casefold()
        for name, column in _EXACT.items()
        if getattr(query, name)
    }
    if "collection_id" in wanted:
        known = catalogue.find_collection(query.collection)
        wanted["collection_id"] = (
            known.id if known else query.collection.replace(" ", "_").replace("-", "_")
        ).casefold()
    rows = _rows(_matches(wanted, query.text.casefold().split()), limit)
    names = {one.id: one for one in catalogue.collections.values()}
    found = []
    for row in rows:
        of = names.get(row["collection"])
        row["bytes"] = round(row["bytes"] * 1e6)
        row = {k: "" if v is None else v for k, v in row.items()}
        uri = of.licence_url if of and of.licence == row["licence_name"] else ""
        row["collection"] = of.name if of else row["collection"]
        found.append(Series(**row, licence_uri=uri, sources=("idc",)))
    return tuple(found)


@lru_cache(maxsize=4096)
def folder_of(uid: str) -> tuple[str, str] | None:
    """Bucket and folder of a series; raises as `search`."""
    _require()
    from pyarrow.compute import index

    for batch in _batches(("SeriesInstanceUID", "aws_bucket", "crdc_series_uuid")):
        at = index(batch["SeriesInstanceUID"], uid).as_py()
        if at >= 0:
            _, bucket, folder = batch.slice(at, 1).to_pylist()[0].values()
            return str(bucket), str(folder)
    return None


def find_folder(folder: str) -> Series | None:
    """The series of a folder, as ``.s5cmd`` files name it; raises as `search`."""
    for uid in series_in([folder]).values():
        return next(iter(search(SearchQuery(series_uid=uid), 1)), None)
    return None


def series_in(folders: Iterable[str]) -> dict[str, str]:
    """SeriesInstanceUID by folder, for those it knows; raises as `search`."""
    _require()
    import pyarrow as pa
    import pyarrow.compute as pc

    wanted = {folder.lower(): folder for folder in folders}
    found: dict[str, str] = {}
    for batch in _batches(("crdc_series_uuid", "SeriesInstanceUID")):
        names = pa.array(wanted, batch["crdc_series_uuid"].type)
        rows = batch.filter(pc.is_in(batch["crdc_series_uuid"], names)).to_pylist()
        for row in rows:
            found[wanted[row["crdc_series_uuid"]]] = row["SeriesInstanceUID"]
        if len(found) == len(wanted):
            break
    return found


def _matches(wanted: Mapping[str, str], words: list[str]) -> Iterator[list[int]]:
    """Positions of the rows that match, batch by batch."""
    import pyarrow.compute as pc

    columns = tuple(wanted) + (_WORDS if words else ())
    start = 0
    for batch in _batches(tuple(dict.fromkeys(columns)) or ("Modality",)):
        keep = None
        tests = [pc.equal(pc.utf8_lower(batch[c]), v) for c, v in wanted.items()]
        for word in words:
            hits = [
                pc.fill_null(
                    pc.match_substring(batch[c], word, ignore_case=True), False
                )
                for c in _WORDS
            ]
            tests.append(pc.or_(pc.or_(hits[0], hits[1]), hits[2]))
        for test in tests:
            keep = test if keep is None else pc.and_(keep, test)
        count = batch.num_rows
        if keep is None:
            yield list(range(start, start + count))
        else:
            where = pc.indices_nonzero(pc.fill_null(keep, False))
            yield [start + k for k in where.to_pylist()]
        start += count


def _rows(matches: Iterator[list[int]], limit: int) -> list[dict[str, Any]]:
    """Shown columns of the first `limit` rows that match."""
    positions: list[int] = []
    for some in matches:
        positions += some
        if len(positions) >= limit:
            break
    del positions[limit:]
    rows: list[dict[str, Any]] = []
    if not positions:
        return rows
    start = 0
    for batch in _batches(tuple(_SHOWN)):
        end = start + batch.num_rows
        here = [k - start for k in positions[len(rows) :] if k < end]
        if here:
            rows += batch.take(here).rename_columns(list(_SHOWN.values())).to_pylist()
        if len(rows) == len(positions):
            break
        start = end
    return rows


def _require() -> None:
    if not available():
        raise MissingExtra(
            "The index of the Imaging Data Commons is not installed.",
            'Install it with: pip install "napari-tcia[idc]"',
        )


def _batches(columns: tuple[str, ...]) -> Iterator[Any]:
    """The table in pieces, with the columns in the order that was asked for."""
    import pyarrow as pa
    from idc_index_data import IDC_INDEX_PARQUET_FILEPATH
    from pyarrow.parquet import ParquetFile

    path = Path(str(IDC_INDEX_PARQUET_FILEPATH))
    try:
        with ParquetFile(path, pre_buffer=False, buffer_size=1 << 16) as table:
            pieces = table.iter_batches(
                _BATCH, columns=list(columns), use_threads=False
            )
            for piece in pieces:
                yield piece.select(list(columns))
    except (OSError, KeyError, pa.ArrowException) as error:
        raise CorruptData(
            f"The index {path.name} of idc-index-data cannot be read: {error}.",
            "Install it again, or a newer napari-tcia.",
        ) from error
