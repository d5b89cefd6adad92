"""Terms: what must be read, and the record that it was accepted."""

from __future__ import annotations

import contextlib
import getpass
import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from napari_tcia.app.services import Services
from napari_tcia.archive import collections as collection_manager
from napari_tcia.core.files import write_json
from napari_tcia.core.model import (
    Acceptance,
    Issue,
    Licence,
    Provenance,
    SearchQuery,
    Series,
    Terms,
)
from napari_tcia.core.settings import netloc
from napari_tcia.core.task import CancelToken, Progress, Report, silent
from napari_tcia.errors import (
    ArchiveError,
    ControlledAccess,
    NothingFound,
    StorageError,
    TciaError,
    TermsUnknown,
    UsageError,
)
from napari_tcia.terms import gate, shown
from napari_tcia.terms.faces import FACE_CLAUSE, may_show_face
from napari_tcia.terms.licence import identify


def terms(
    services: Services,
    series: Sequence[Series],
    *,
    report: Report = silent,
    token: CancelToken | None = None,
) -> tuple[Terms, ...]:
    """Terms of each (collection, licence) among `series`.

    The Data Usage Policy and the texts of the licences are fetched where a
    service offers them and kept with their date, so that the record can say
    which words were shown. A series that lies in quarantine is also under the
    terms that its own LICENSE names.
    """
    report(Progress("Reading the terms"))
    host = services.settings.archive_host
    asked = {(one.collection.casefold(), one.series_uid) for one in series}
    named = {name for name, uid in asked if not uid}
    series = [
        *series,
        *(
            held
            for held in quarantined(services)
            if held.collection.casefold() in named
            or any(held.series_uid == uid for _, uid in asked)
        ),
    ]
    text, retrieved = _policy(services, token)
    found = gate.terms_for(
        series,
        archive_host=host,
        policy_text=text,
        retrieved=retrieved,
        ledger=services.ledger,
        licence_texts=_licence_texts(
            services, {identify(s.licence_name, s.licence_uri) for s in series}, token
        ),
    )
    return tuple(
        replace(one, difference=shown.changes(_shown(services), one, services.ledger))
        for one in found
    )


def quarantined(services: Services) -> tuple[Series, ...]:
    """Series of this archive that wait for the terms of their own LICENSE."""
    host = services.settings.archive_host
    held = services.quarantine.all()
    return tuple(one.series for one in held if one.archive_host == host)


def terms_of_collection(
    services: Services,
    name: str,
    *,
    report: Report = silent,
    token: CancelToken | None = None,
) -> tuple[Terms, ...]:
    """Terms of a collection by name.

    The licences are those of its series in the archive; the Collection
    Manager and the catalogue answer where the archive lists none.

    Raises
    ------
    UsageError
        No name: that would mean every collection.
    NothingFound
        No service and no catalogue knows the collection.
    """
    name = _collection_name(services, name)
    known = services.catalogue.find_collection(name)
    failure: ArchiveError | None = None
    rows: tuple[Series, ...] = ()
    try:
        listed = services.nbia.series(SearchQuery(collection=name), token)
    except ArchiveError as error:
        failure = error
    else:
        # An archive that answers more than it was asked must not widen what
        # is accepted.
        key = name.casefold()
        rows = tuple(row for row in listed if row.collection.casefold() == key)
    if not rows:
        rows = _described(services, name, token)
    if not rows and known is not None:
        rows = tuple(
            Series("", collection=known.name, licence_name=licence, doi=known.doi)
            for licence in known.licences
        )
    if not rows:
        if failure is not None:
            raise failure
        raise NothingFound(
            f"No collection is called {name!r} at {services.settings.archive_host}.",
            "List the names with: napari-tcia collections",
        )
    return terms(services, rows, report=report, token=token)


def accept(
    services: Services, wanted: Sequence[Terms], name: str
) -> tuple[Acceptance, ...]:
    """Record that `name` accepts the documents of `wanted`.

    Raises
    ------
    ControlledAccess, TermsUnknown
        There is something among them that cannot be accepted here; nothing
        is recorded.
    """
    for one in wanted:
        gate.refuse(one)
        # Without the words a later change is shown as such, and no more.
        with contextlib.suppress(StorageError):
            shown.keep(_shown(services), one)
    return tuple(
        one.accepted or services.ledger.accept(one, name.strip()) for one in wanted
    )


def revoke(
    services: Services, collection: str, name: str = ""
) -> tuple[Acceptance, ...]:
    """Withdraw every standing acceptance of `collection` at this archive.

    Raises
    ------
    UsageError
        No collection is named.
    NothingFound
        None stands.
    """
    collection = _collection_name(services, collection)
    revoked = services.ledger.revoke(
        services.settings.archive_host, collection, name or account_name()
    )
    if not revoked:
        raise NothingFound(
            f"No acceptance of {collection!r} stands for "
            f"{services.settings.archive_host}.",
            "List the records with: napari-tcia ledger",
        )
    return revoked


def face_warning(services: Services, open_now: Iterable[Provenance]) -> str:
    """What the policy says of faces, empty unless one may show in 3D.

    Parameters
    ----------
    open_now : iterable of Provenance
        Of the layers that are open. The store, else the catalogue, says which
        part of the body each series is of.
    """
    found: dict[str, None] = {}
    for one in open_now:
        kept = one.archive_host and one.series_uid
        stored = services.store.find(one.archive_host, one.series_uid) if kept else None
        listed = stored.series if stored else None
        listed = listed or services.catalogue.find_series(one.series_uid)
        if may_show_face(one.collection, listed.body_part if listed else ""):
            found[one.collection or "this data"] = None
    return f"{', '.join(found)}: {FACE_CLAUSE}" if found else ""


def account_name() -> str:
    """Name of the account that runs this, used where no name was given."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown account"


def unacceptable(wanted: Sequence[Terms]) -> tuple[Issue, ...]:
    """Issues for those terms that cannot be accepted, for a mixed collection."""
    found = []
    for one in wanted:
        try:
            gate.refuse(one)
        except (ControlledAccess, TermsUnknown) as error:
            found.append(Issue("error", error.code, str(error), {"exit_code": 3}))
    return tuple(found)


def acceptable(wanted: Sequence[Terms]) -> tuple[Terms, ...]:
    """Those of `wanted` that can be accepted.

    Raises
    ------
    ControlledAccess, TermsUnknown
        None of them can.
    """
    found = []
    refused: TciaError | None = None
    for one in wanted:
        try:
            gate.refuse(one)
        except (ControlledAccess, TermsUnknown) as error:
            refused = error
        else:
            found.append(one)
    if not found and refused is not None:
        raise refused
    return tuple(found)


def _collection_name(services: Services, text: str) -> str:
    """The name of a collection that was given as name, id or DOI."""
    if not text.strip():
        raise UsageError(
            "No collection is named.", "List the names with: napari-tcia collections"
        )
    known = services.catalogue.find_collection(text)
    return known.name if known else text.strip()


def _described(
    services: Services, name: str, token: CancelToken | None
) -> tuple[Series, ...]:
    try:
        found = collection_manager.describe(
            services.transport, services.settings, name, token=token
        )
    except ArchiveError:
        return ()
    if found is None or not found.licence:
        return ()
    return (
        Series("", collection=found.name, licence_name=found.licence, doi=found.doi),
    )


def _policy(services: Services, token: CancelToken | None) -> tuple[str | None, str]:
    """Official policy text and the date it was fetched; kept for later."""
    host = services.settings.archive_host.replace(":", "_")
    try:
        text = services.nbia.user_agreement(token)
    except (ArchiveError, NothingFound):
        text = None
    return _or_kept(services.settings.home / "terms" / f"{host}.json", text)


def _licence_texts(
    services: Services, licences: Iterable[Licence], token: CancelToken | None
) -> dict[str, tuple[str, str]]:
    """Official text and date of each licence that has one, fetched or kept."""
    base = services.settings.licences
    folder = services.settings.home / "terms" / "licences"
    found = {}
    for licence in licences:
        if not base or licence.controlled or not licence.spdx:
            continue
        path = folder / netloc(base).replace(":", "_") / f"{licence.id}.json"
        text, retrieved = _or_kept(path, services.licences.text(licence, token))
        if text:
            found[licence.id] = (text, retrieved)
    return found


def _shown(services: Services) -> Path:
    return services.settings.home / "terms" / "shown"


def _or_kept(kept: Path, text: str | None) -> tuple[str | None, str]:
    """A text as it was just fetched, and the date; else as it was kept."""
    if text:
        retrieved = datetime.now(UTC).isoformat(timespec="seconds")
        # The copy is for times without the archive; a full disk hides no terms.
        try:
            write_json(kept, {"text": text, "retrieved": retrieved})
        except StorageError:
            # Nor may an older copy stand in for these words later.
            with contextlib.suppress(OSError):
                kept.unlink(missing_ok=True)
        return text, retrieved
    try:
        record = json.loads(kept.read_text(encoding="utf-8"))
        return _text(record["text"]), _text(record["retrieved"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None, ""  # never fetched, or damaged since


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value
