"""How files leave: named, credited, verified, and only then under their name."""

from __future__ import annotations

import os
import tempfile
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from napari_tcia.core.files import fsync_folder, storage_error
from napari_tcia.core.image import LabelSet, Volume
from napari_tcia.core.model import Citation, Provenance
from napari_tcia.errors import CorruptData

_DASHES = dict.fromkeys(range(0x2010, 0x2016), "-")


@contextmanager
def staged(path: Path, suffix: str) -> Iterator[Path]:
    """Give a name beside `path` to write to; it becomes `path` when all went well.

    Parameters
    ----------
    path : Path
    suffix : str
        Ending that the writing library insists on, such as ``".nii.gz"``.

    Raises
    ------
    StorageError
        The disk is full or the folder cannot be written; nothing is left.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(f".part{suffix}", ".", path.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
        fsync_folder(path.parent)
    except OSError as error:
        raise storage_error(error, path) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def require_equal(equal: bool, path: Path, what: str) -> None:
    """Refuse a file that another library reads differently.

    Raises
    ------
    CorruptData
    """
    if not equal:
        raise CorruptData(
            f"{path.name} was written but reads back with other {what}; removed.",
            "Please report this.",
        )


def case_stem(volume: Volume) -> str:
    """Start of file names: the patient ID where it is public, else a plain word."""
    provenance = volume.provenance
    return (provenance.origin != "unknown" and provenance.patient_id) or "case"


def is_file_name(out: Path, suffixes: Sequence[str]) -> bool:
    """Whether `out` names a file, not a folder to write into."""
    return not out.is_dir() and out.name.lower().endswith(tuple(suffixes))


def label_paths(
    out: Path, volume: Volume, labels: Sequence[LabelSet], suffixes: Sequence[str]
) -> list[Path]:
    """One path per label set; the first is `out` itself where that names a file."""
    if is_file_name(out, suffixes):
        suffix = next(s for s in suffixes if out.name.lower().endswith(s))
        folder, stem, first = out.parent, out.name[: -len(suffix)], out
    else:
        suffix, folder, stem, first = suffixes[0], out, case_stem(volume), None
    paths: list[Path] = []
    seen: dict[str, int] = {}
    for number, one in enumerate(labels):
        seen[one.source] = seen.get(one.source, 0) + 1
        tail = (
            one.source if seen[one.source] == 1 else f"{one.source}_{seen[one.source]}"
        )
        paths.append(
            first if first and not number else folder / f"{stem}_{tail}{suffix}"
        )
    return paths


def public_provenance(provenance: Provenance) -> dict[str, Any]:
    """Provenance as it goes into a file: a stranger's patient ID stays here."""
    content = provenance.to_dict()
    if provenance.origin == "unknown":
        content.pop("patient_id")
    return content


def credit_lines(volume: Volume, citations: Sequence[Citation]) -> list[str]:
    """Who to credit and under which licence, one sentence a line."""
    lines = [f"Cite: {one.text}" for one in citations]
    licences = dict.fromkeys(one.licence for one in citations if one.licence)
    if volume.provenance.licence_name and not licences:
        licences = dict.fromkeys([volume.provenance.licence_name])
    lines += [f"Licence: {licence}" for licence in licences]
    if volume.provenance.licence_uri:
        lines.append(f"Licence text: {volume.provenance.licence_uri}")
    if volume.provenance.synthetic:
        lines.append("SYNTHETIC: made by a phantom generator, of no patient.")
    lines.append("Written by napari-tcia. Research and teaching only.")
    return lines


def ascii_text(text: str) -> str:
    """Plain letters and dashes, for places that take ASCII alone."""
    letters = unicodedata.normalize("NFKD", text.translate(_DASHES))
    plain = "".join(one for one in letters if not unicodedata.combining(one))
    return plain.encode("ascii", "replace").decode("ascii")
