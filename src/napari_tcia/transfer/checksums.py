"""Compare what arrived with the checksums that the archive sends along."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from pathlib import Path

from napari_tcia.core.text import one_line
from napari_tcia.errors import CorruptData

CHECKSUMS = "md5hashes.csv"
"""Last member of a zip that was asked for with checksums."""


def differing(table: Path, received: Mapping[str, str], uid: str) -> list[str]:
    """Received members whose MD5 is not that of their ``Filename,MD5Hash`` row.

    Files that the table does not list are judged by count and bytes alone.

    Parameters
    ----------
    table : Path
        ``md5hashes.csv`` as it arrived.
    received : mapping
        MD5, in hex, by the name in the zip.
    uid : str
        SeriesInstanceUID, for the messages.

    Raises
    ------
    CorruptData
        The table cannot be read.
    """
    text = table.read_bytes().decode("utf-8-sig", "replace")
    wrong = []
    for row in list(csv.reader(text.splitlines()))[1:]:
        if not row:
            continue
        if len(row) != 2 or not re.fullmatch(r"[0-9a-fA-F]{32}", row[1].strip()):
            raise CorruptData(
                f"The checksums sent with series {uid} cannot be read: "
                f"“{one_line(','.join(row), 80)}”.",
                "Nothing of it was kept; try again.",
            )
        name, expected = row[0].strip(), row[1].strip().lower()
        if received.get(name, expected) != expected:
            wrong.append(name)
    return wrong
