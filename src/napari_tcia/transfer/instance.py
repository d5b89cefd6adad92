"""Whether one received file is an instance of the series asked for."""

from __future__ import annotations

from pathlib import Path

from napari_tcia.core.files import check_uid
from napari_tcia.core.text import one_line
from napari_tcia.errors import CorruptData, UnsafeArchive, UsageError, WrongSeries
from napari_tcia.volume.elements import More, Unusual, walk

_FIRST_LOOK = 16 << 10
_UIDS = (0x0020000E, 0x00080018)
"""SeriesInstanceUID and SOPInstanceUID."""


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
    with path.open("rb") as stream:
        start = stream.read(_FIRST_LOOK)
    prefix = start[:132]
    if prefix[128:] != b"DICM":
        raise CorruptData(
            f"{name}, sent as part of series {series_uid}, is not a DICOM file: "
            f"“{one_line(prefix, 60)}”."
        )
    try:
        try:
            values = walk(start, path.stat().st_size, _UIDS).values
            found, uid = (_text(values.get(tag, b"")) for tag in _UIDS)
        except (More, Unusual):
            found, uid = _as_pydicom(path)
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


def _as_pydicom(path: Path) -> tuple[str, ...]:
    """What a long or unusual header says, by the more patient reader."""
    from pydicom import dcmread

    header = dcmread(path, stop_before_pixels=True, specific_tags=list(_UIDS))
    # As they stand: pydicom would warn of the root 61.
    found = (header.get_item(tag).value if tag in header else b"" for tag in _UIDS)
    return tuple(_text(v if isinstance(v, bytes) else str(v).encode()) for v in found)


def _text(value: bytes) -> str:
    return value.decode("ascii", "replace").strip("\0 ")
