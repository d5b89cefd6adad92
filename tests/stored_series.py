"""A series put into the store, its terms accepted, without an archive."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable
from pathlib import Path

from napari_tcia.app.services import Services
from napari_tcia.core.model import Series, StoredSeries
from napari_tcia.terms import gate
from napari_tcia.volume.headers import survey

LICENCE = "Creative Commons Attribution 3.0 Unported License"
URI = "http://creativecommons.org/licenses/by/3.0/"


def accept(services: Services, series: Iterable[Series]) -> None:
    """Accept the terms of `series` at the archive of the settings."""
    for terms in gate.terms_for(
        list(series),
        archive_host=services.settings.archive_host,
        policy_text="<p>Acknowledge the data.</p>",
        retrieved="today",
        ledger=services.ledger,
    ):
        services.ledger.accept(terms, "N")


def store(services: Services, folder: Path, collection: str = "Twin") -> StoredSeries:
    """Take the one series of `folder` into the store, with copies of its files."""
    (found,) = survey(folder)
    files = sorted(folder.glob("*.dcm"))
    series = Series(
        found.series_uid,
        study_uid=found.study_uid,
        patient_id=found.patient_id,
        collection=collection,
        modality=found.modality,
        images=len(files),
        bytes=sum(file.stat().st_size for file in files),
        licence_name=LICENCE,
        licence_uri=URI,
    )
    accept(services, [series])
    host = services.settings.archive_host
    path = services.store.series_path(host, found.series_uid)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as temporary:
        near = Path(temporary) / "near"
        near.mkdir()
        rows = []
        for file in files:
            data = file.read_bytes()
            (near / file.name).write_bytes(data)
            digest = hashlib.sha256(data).hexdigest()
            rows.append({"name": file.name, "size": len(data), "sha256": digest})
        return services.store.commit(
            near,
            series,
            rows,
            host=host,
            source="nbia",
            acceptance_ids=[],
            retrieved="2024-01-01T00:00:00Z",
        )
