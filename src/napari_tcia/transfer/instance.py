"""Whether one received file is an instance of the series asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari_tcia.core.files import check_uid
from napari_tcia.core.text import one_line
from napari_tcia.errors import CorruptData, UnsafeArchive, UsageError, WrongSeries


def instance_uid(path: Path, name: str, series_uid: str) -> str:
    """Return the SOPInstanceUID of a Part 10 file of the series asked for.

    Parameters
    ----------
    path : Path
        The received bytes.
    name : str
        What the archive called them, for the messages.

    Raises
    ------
    CorruptData
        Not DICOM Part 10 (PS3.10 section 7.1), or with a header that does not
        parse.
    WrongSeries
        An instance of another series.
    UnsafeArchive
        A SOPInstanceUID that is no UID, and so no file name.
    """
    from pydicom import dcmread

    with path.open("rb") as stream:
        prefix = stream.read(132)
    if prefix[128:] != b"DICM":
        raise CorruptData(
            f"{name}, sent as part of series {series_uid}, is not a DICOM file: "
            f"“{one_line(prefix, 60)}”."
        )
    try:
        header = dcmread(
            path,
            stop_before_pixels=True,
            specific_tags=["SOPInstanceUID", "SeriesInstanceUID"],
        )
        found, uid = (_raw_uid(header, tag) for tag in (0x0020000E, 0x00080018))
    except Exception as error:  # pydicom raises whatever the bytes provoke
        raise CorruptData(
            f"The header of {name}, sent as part of series {series_uid}, "
            "cannot be read."
        ) from error
    if found != series_uid:
        raise WrongSeries(
            f"The archive sent {name} of series {one_line(found, 64) or '(none)'} "
            f"where {series_uid} was asked for.",
            "Nothing of it was kept; report it to the archive.",
            expected=series_uid,
            found=found,
        )
    try:
        return check_uid(uid)
    except UsageError as error:
        raise UnsafeArchive(
            f"{name} has no usable SOPInstanceUID (“{one_line(uid, 64)}”)."
        ) from error


def _raw_uid(header: Any, tag: int) -> str:
    """The text of a UID as it stands: pydicom would warn of the root 61."""
    if tag not in header:
        return ""
    value = header.get_item(tag).value
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)
    return text.strip("\0 ")
