"""Copies of the record of acceptances, for an audit or an ethics board."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path

from napari_tcia.core.files import write_atomic
from napari_tcia.core.model import Acceptance, Issue, to_json
from napari_tcia.errors import UsageError
from napari_tcia.terms.ledger import Ledger


def export(
    ledger: Ledger, path: Path
) -> tuple[tuple[Acceptance, ...], tuple[Issue, ...]]:
    """Write a copy of the record of acceptances, and what verifying it found.

    Parameters
    ----------
    path : Path
        Ending in ``.jsonl``: the lines as they are kept, so that each hash can
        be recomputed, and after them a line with the result. Ending in
        ``.csv``: one row per record, to be read by people.

    Returns
    -------
    tuple of Acceptance
    tuple of Issue
        As `Ledger.verify`; the copy is written all the same, as evidence.

    Raises
    ------
    UsageError
        Another ending, or the record itself.
    StorageError
        It cannot be written.
    """
    kind = path.suffix.lower()
    if kind not in (".jsonl", ".csv"):
        raise UsageError(
            f"{path.name} is of no kind that the record is written in.",
            "End the name in .jsonl or .csv.",
        )
    if path.resolve().parent == ledger.path.resolve().parent:
        raise UsageError(
            f"{path} lies beside the record itself.", "Choose another folder."
        )
    content, records, issues = ledger.snapshot()
    broken = any(issue.level == "error" for issue in issues)
    result = {
        "verified": datetime.now(UTC).isoformat(timespec="seconds"),
        "records": len(records),
        "result": "changed outside the program" if broken else "chain intact",
        "issues": [to_json(issue) for issue in issues],
    }
    if kind == ".jsonl":
        lines = content if not content or content.endswith(b"\n") else content + b"\n"
        said = f"{json.dumps(result, ensure_ascii=False)}\n"
        write_atomic(path, lines + said.encode())
    else:
        write_atomic(path, _as_csv(records, str(result["result"])))
    return records, issues


def _as_csv(records: Sequence[Acceptance], result: str) -> str:
    """One row per record; a last row says what verifying found."""
    columns = [f.name for f in fields(Acceptance) if f.name != "documents"]
    kinds = ("licence", "policy")
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow([*columns, *(f"{k}_{w}" for k in kinds for w in ("text", "sha256"))])
    for record in records:
        shown_as = {kind: (origin, sha) for kind, origin, sha in record.documents}
        cells = [getattr(record, column) for column in columns]
        cells += [cell for kind in kinds for cell in shown_as.get(kind, ("", ""))]
        table.writerow([_harmless(str(cell)) for cell in cells])
    table.writerow([result])
    return text.getvalue()


def _harmless(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{cell}" if cell[:1] in ("=", "+", "-", "@", "\t") else cell
