"""The nodes of a case as CSV, with its credit in the first lines."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_tcia.cite.provenance import in_words, line_of
from napari_tcia.core.geometry import Affine, patient_to_index
from napari_tcia.core.image import NodeRow, PointSet, Volume
from napari_tcia.core.model import Citation
from napari_tcia.errors import UnreadableAnnotation
from napari_tcia.export.files import (
    case_stem,
    credit_lines,
    is_file_name,
    public_provenance,
    require_equal,
    staged,
)
from napari_tcia.nodes.match import COLUMNS
from napari_tcia.volume import require_sound

_SUFFIXES = (".csv", ".txt")
_MAX_LINE = 1 << 16
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\N{FULLWIDTH EQUALS SIGN}")


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
    path = (
        out if is_file_name(out, _SUFFIXES) else out / f"{case_stem(volume)}_nodes.csv"
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
    placed = {"affine_lps": volume.affine.tolist()}
    head.append(line_of({**public_provenance(volume.provenance), **placed}))
    stream = io.StringIO()
    for line in head:
        stream.write("# " + " ".join(line.split()) + "\n")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([_cell(getattr(row, name)) for name in COLUMNS] for row in rows)
    return stream.getvalue()


def is_saved(path: Path) -> bool:
    """Whether `path` is a table that `write` wrote."""
    return path.suffix.lower() in _SUFFIXES and in_words(_head(path)) is not None


def read(path: Path | str) -> tuple[PointSet, Affine]:
    """Nodes of a saved table at their centroids, with where they come from.

    Returns
    -------
    points : PointSet
        ``indices`` are (k, j, i) of the grid that the table was measured on,
        sizes are long axes, or the published ones, in mm.
    affine : (4, 4) float64
        Of that grid, (k, j, i, 1) to LPS mm.

    Raises
    ------
    UnreadableAnnotation
        No table of ours, or one that was damaged.
    """
    import pandas

    path = Path(path)
    head = _head(path)
    provenance = in_words(head)
    try:
        if provenance is None:
            raise ValueError("its first lines name no origin")
        affine = _affine_in(head)
        skipped = head.count("\n")
        table = pandas.read_csv(
            path, skiprows=skipped, dtype=str, keep_default_na=False
        )
        points = [[float(v) for v in cell.split()] for cell in table["centroid_lps"]]
        sizes = [
            float(long or published or "nan")
            for long, published in zip(
                table["long_axis_mm"], table["published_size_mm"], strict=True
            )
        ]
        placed = np.asarray(points, dtype=np.float64).reshape(-1, 3)
        found = PointSet(
            points=placed,
            indices=patient_to_index(affine, placed),
            sizes_mm=np.asarray(sizes, dtype=np.float64),
            ids=tuple(int(one) for one in table["id"]),
            name=f"Nodes ({path.stem})",
            provenance=provenance,
            path=path,
        )
        return found, affine
    except (KeyError, TypeError, ValueError, np.linalg.LinAlgError) as error:
        raise UnreadableAnnotation(
            f"{path.name} cannot be read as a table of nodes: {error}.",
            "Export it again: napari-tcia export CASE --to csv -o FILE.",
        ) from error


def _affine_in(head: str) -> Affine:
    """Affine (k, j, i, 1) to LPS mm of the grid that a table was measured on."""
    value = json.loads(head.rpartition("Provenance: ")[2])["affine_lps"]
    return np.asarray(value, dtype=np.float64).reshape(4, 4)


def _head(path: Path) -> str:
    """The lines that start with ``#``; nothing for what is no text."""
    lines = []
    try:
        with path.open(encoding="utf-8") as stream:
            while (line := stream.readline(_MAX_LINE)).startswith("# "):
                lines.append(line)
    except (OSError, UnicodeDecodeError):
        return ""
    return "".join(lines)


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, tuple):
        return " ".join(f"{v:.4f}" for v in value)
    if isinstance(value, float):
        return f"{value:.4f}"
    return as_text(value) if isinstance(value, str) else str(value)


def as_text(value: str) -> str:
    """A text that no spreadsheet takes for a formula.

    What begins with ``=``, ``+``, ``-``, ``@``, a tab or a return is calculated by
    the common programs, whoever wrote it (OWASP, CSV Injection): an apostrophe
    before it makes it text.
    """
    return f"'{value}" if value.lstrip(" ").startswith(_FORMULA) else value


def _reread(path: Path, rows: Sequence[NodeRow]) -> bool:
    import pandas

    with path.open(encoding="utf-8") as stream:
        skipped = sum(1 for line in stream if line.startswith("# "))
    table = pandas.read_csv(path, skiprows=skipped, dtype=str, keep_default_na=False)
    expected = [[_cell(getattr(row, name)) for name in COLUMNS] for row in rows]
    return (
        list(table.columns) == list(COLUMNS) and table.to_numpy().tolist() == expected
    )
