"""A supplementary file that a user has already, taken into the store."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from napari_tcia.core.files import storage_error
from napari_tcia.core.task import CancelToken, Progress, Report, silent
from napari_tcia.errors import NothingFound
from napari_tcia.transfer.download import check_zip
from napari_tcia.transfer.store import Store

_CHUNK = 1 << 20


def keep_file(
    source: Path,
    name: str,
    collection: str,
    host: str,
    acceptance_ids: Sequence[str],
    store: Store,
    *,
    report: Report = silent,
    token: CancelToken | None = None,
) -> dict[str, Any]:
    """Copy a user's own zip to the place of a supplementary file, verified.

    One that was kept under that name is replaced, once the new one is whole.

    Parameters
    ----------
    source : Path
        The user's file, which stays as it is.
    name : str
        Under which the archive publishes it.
    collection, host : str
        Whose it is.
    acceptance_ids : sequence of str
        Under which terms it may be kept.

    Returns
    -------
    dict
        Its record: `sha256` and `size` in bytes among others.

    Raises
    ------
    NothingFound, CorruptData, UnsafeArchive, StorageError
    """
    token = token or CancelToken()
    path = store.file_path(host, name)
    with store.lock(path, report=report, token=token):
        digest = hashlib.sha256()
        done = 0
        try:
            size = source.stat().st_size
            store.check_space(size)
            with store.workplace(path) as folder:
                part = folder / "file"
                with source.open("rb") as given, part.open("wb") as copy:
                    while chunk := given.read(_CHUNK):
                        token.raise_if_cancelled()
                        digest.update(chunk)
                        copy.write(chunk)
                        done += len(chunk)
                        report(Progress(f"Keeping {name}", done, size))
                check_zip(part, name, token)
                record = {
                    "name": name,
                    "collection": collection,
                    "size": done,
                    "sha256": digest.hexdigest(),
                    "archive_host": host,
                    "source": "own file",
                    "acceptance_ids": list(acceptance_ids),
                    "retrieved": datetime.now(UTC).isoformat(timespec="seconds"),
                }
                store.commit_file(part, path, record)
        except FileNotFoundError as error:
            raise NothingFound(
                f"{source} does not exist.", "Check the path."
            ) from error
        except OSError as error:
            raise storage_error(error, path) from error
    return record
