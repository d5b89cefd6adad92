"""The nodes of a case as CSV, with its credit in the first lines."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from napari_tcia.core.image import NodeRow, Volume
from napari_tcia.core.model import Citation
from napari_tcia.export.files import (
    case_stem,
    credit_lines,
    is_file_name,
    require_equal,
    staged,
)
from napari_tcia.nodes.match import COLUMNS
from napari_tcia.volume import require_sound


def write(
    out: Path | str,
    volume: Volume,
    rows: Sequence[NodeRow],
    citations: Sequence[Citation],
) -> list[Path]:
    """Write nodes as CSV; lengths mm, volumes mm3, centroid "x y z" in LPS mm.

    Parameters
    ----------
    out : path
        A ``.csv`` name or a folder.
    volume : Volume
        Of sound geometry.
    rows : sequence of NodeRow
    citations : sequence of Citation
        Written first, in lines that start with ``#``.

    Returns
    -------
    list of Path
        The one file, after pandas read the same values from it.

    Raises
    ------
    BrokenGeometry, StorageError, CorruptData
    """
    require_sound(volume, "export")
    out = Path(out)
    suffixes = (".csv", ".txt")
    path = (
        out if is_file_name(out, suffixes) else out / f"{case_stem(volume)}_nodes.csv"
    )
    with staged(path, ".csv") as temporary:
        temporary.write_text(csv_text(volume, rows, citations), encoding="utf-8")
        require_equal(_reread(temporary, rows), path, "values")
    return [path]


def csv_text(
    volume: Volume, rows: Sequence[NodeRow], citations: Sequence[Citation]
) -> str:
    """Return the table as text; see `write`."""
    head = [f"Lymph nodes of series {volume.provenance.series_uid or 'unknown'}"]
    head += credit_lines(volume, citations)
    stream = io.StringIO()
    for line in head:
        stream.write("# " + " ".join(line.split()) + "\n")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([_cell(getattr(row, name)) for name in COLUMNS] for row in rows)
    return stream.getvalue()


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, tuple):
        return " ".join(f"{v:.4f}" for v in value)
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _reread(path: Path, rows: Sequence[NodeRow]) -> bool:
    import pandas

    with path.open(encoding="utf-8") as stream:
        skipped = sum(1 for line in stream if line.startswith("# "))
    table = pandas.read_csv(path, skiprows=skipped, dtype=str, keep_default_na=False)
    expected = [[_cell(getattr(row, name)) for name in COLUMNS] for row in rows]
    return (
        list(table.columns) == list(COLUMNS) and table.to_numpy().tolist() == expected
    )
