"""Where the buckets of the Imaging Data Commons keep a series, and the reverse."""

from __future__ import annotations

from collections.abc import Iterable

from napari_tcia.archive import full_index
from napari_tcia.archive.catalogue import load
from napari_tcia.core.files import check_uid
from napari_tcia.core.model import TWIN_BUCKET, TWIN_UID_ROOT, object_uuid


def place_of(series_uid: str) -> tuple[str, str] | None:
    """Bucket and folder of a series, None where it is not known to have one.

    From the catalogue, the full index where that is installed, and the rule
    by which the embedded archive names its folders.

    Raises
    ------
    UsageError
        `series_uid` is no UID.
    """
    uid = check_uid(series_uid)
    if uid.startswith(TWIN_UID_ROOT):
        return TWIN_BUCKET, object_uuid(uid)
    if known := load().objects.get(uid):
        return known
    return full_index.folder_of(uid) if full_index.available() else None


def series_in(folders: Iterable[str]) -> dict[str, str]:
    """SeriesInstanceUID by folder, for those that the catalogue or index knows."""
    catalogue = load()
    found: dict[str, str] = {}
    unknown: set[str] = set()
    for folder in folders:
        if series := catalogue.find_folder(folder):
            found[folder] = series.series_uid
        else:
            unknown.add(folder)
    if unknown and full_index.available():
        found |= full_index.series_in(unknown)
    return found
