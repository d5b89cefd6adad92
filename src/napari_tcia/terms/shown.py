"""The texts that were accepted, kept by their hash, so that a change can be shown."""

from __future__ import annotations

import re
from pathlib import Path

from napari_tcia.core.files import write_atomic
from napari_tcia.core.model import Acceptance, Terms, TextChange
from napari_tcia.terms.ledger import Ledger
from napari_tcia.terms.policy import difference

_MAX_TEXT = 4 << 20


def keep(folder: Path, terms: Terms) -> None:
    """Write each document of `terms` to ``<sha256>.txt`` below `folder`.

    Raises
    ------
    StorageError
        The disk is full or not writable.
    """
    for document in terms.documents:
        path = folder / f"{document.sha256}.txt"
        if not path.exists():
            write_atomic(path, document.text)


def changes(folder: Path, terms: Terms, ledger: Ledger) -> tuple[TextChange, ...]:
    """What is different in `terms` from the words that were accepted last.

    Nothing where they did not change, or where the former words were not kept;
    then the hashes of the record are all that is known of them.

    Raises
    ------
    CorruptData
        The ledger was changed outside the program.
    """
    if not terms.changed:
        return ()
    standing = ledger.accepted(terms.archive_host, terms.collection)
    same = [one for one in standing if one.licence_id == terms.licence.id]
    former = (same or list(standing))[-1:]
    return tuple(
        change
        for record in former
        for document in terms.documents
        if (text := _text_of(folder, record, document.kind)) is not None
        for change in difference(text, document.text, document.kind)
    )


def _text_of(folder: Path, record: Acceptance, kind: str) -> str | None:
    for name, _, sha256 in record.documents:
        if name == kind and re.fullmatch(r"[0-9a-f]{64}", sha256):
            try:
                with (folder / f"{sha256}.txt").open(encoding="utf-8") as stream:
                    return stream.read(_MAX_TEXT)
            except (OSError, ValueError):
                return None
    return None
