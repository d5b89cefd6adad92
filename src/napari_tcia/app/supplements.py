"""Supplementary annotation files of a collection: fetched, or a user's own copies."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from napari_tcia.app import agree
from napari_tcia.app.search import search
from napari_tcia.app.services import Services
from napari_tcia.core.model import AccessGrant, Issue, SearchQuery, Series, Terms
from napari_tcia.core.task import CancelToken, Report, silent
from napari_tcia.errors import AccessError, NothingFound, TciaError, UsageError
from napari_tcia.terms import gate
from napari_tcia.transfer.download import fetch_file
from napari_tcia.transfer.own import keep_file
from napari_tcia.transfer.store import Store

SUPPLEMENTS = {"CT Lymph Nodes": ("MED_ABD_LYMPH_ANNOTATIONS.zip",)}
"""Files that are fetched beside a series, by collection, at the base of `files`."""
KEPT = {
    "CT Lymph Nodes": (
        "MED_ABD_LYMPH_ANNOTATIONS.zip",
        "MED_ABD_LYMPH_MASKS.zip",
        "MED_ABD_LYMPH_CANDIDATES.zip",
    )
}
"""Files that its cases use when they are kept here, by collection."""
_SHA256 = {
    "MED_ABD_LYMPH_MASKS.zip": (
        "ace3475c21f04c3f3a01e7fa5181fcbcf4a98cc78ea945e058f1b001d25d6745"
    )
}
"""Of the published files, where public code states it."""


def add(
    services: Services,
    path: Path,
    *,
    report: Report = silent,
    token: CancelToken | None = None,
) -> tuple[dict[str, Any], tuple[Issue, ...]]:
    """Keep a user's own supplementary zip below HOME, for the cases it is about.

    Parameters
    ----------
    path : Path
        Named as it is published; a browser's ``NAME (1).zip`` will do.

    Returns
    -------
    record : dict
        What is kept of it: name, size, sha256, collection.
    issues : tuple of Issue
        A word where it is not the file that was published.

    Raises
    ------
    UsageError
        No supplementary file has that name.
    TermsNotAccepted
        No terms of its collection stand accepted.
    NothingFound, CorruptData, UnsafeArchive, StorageError
    """
    stem = re.sub(r" ?\(\d+\)$", "", path.stem)
    name, host = f"{stem}.zip", services.settings.archive_host
    collection = next((c for c, names in KEPT.items() if name in names), None)
    if collection is None:
        known = ", ".join(name for names in KEPT.values() for name in names)
        raise UsageError(
            f"{path.name} is no supplementary file that is known here.",
            f"There are: {known}.",
        )
    gate.recheck_collection(collection, host, services.ledger)
    accepted = services.ledger.accepted(host, collection)
    services.settings.ensure_home()
    record = keep_file(
        path,
        name,
        collection,
        host,
        [one.id for one in accepted],
        services.store,
        report=report,
        token=token,
    )
    published = _SHA256.get(name, record["sha256"])
    if record["sha256"] == published:
        return record, ()
    return record, (
        Issue(
            "warn",
            "other_checksum",
            f"{path.name} is whole, but not the file that was published: its SHA-256 "
            f"is {record['sha256'][:12]}..., not {published[:12]}... It is kept, and "
            "its labels are held against each CT as they are opened.",
            {"sha256": record["sha256"], "published": published},
        ),
    )


def fetch(
    services: Services,
    collection: str,
    *,
    report: Report = silent,
    token: CancelToken | None = None,
) -> tuple[list[Path], tuple[Issue, ...]]:
    """Fetch what is not kept yet of a collection's supplementary files.

    Those of `SUPPLEMENTS` come with every series; the others, of which the masks
    are large, when they are asked for.

    Returns
    -------
    paths : list of Path
        Every supplementary file that is kept now.
    issues : tuple of Issue
        A word for each one that could not be fetched.

    Raises
    ------
    NothingFound
        No supplementary files of this collection are known.
    TermsNotAccepted
        No terms of the collection stand accepted.
    ArchiveError
        The archive does not list its series.
    """
    token = token or CancelToken()
    host, store = services.settings.archive_host, services.store
    if collection not in KEPT:
        raise NothingFound(
            f"No supplementary files of {collection} are known.",
            f"There are some of {', '.join(KEPT)}.",
        )
    gate.recheck_collection(collection, host, services.ledger)
    issues: list[Issue] = []
    absent = [name for name in KEPT[collection] if not store.find_file(host, name)]
    if absent:
        query = SearchQuery(collection=collection)
        of = search(services, query, report=report, token=token).items[:1]
        if not of:
            raise NothingFound(
                f"{host} lists no series of {collection}.",
                "Its files are fetched by the right to a series: ask another archive.",
            )
        shown = agree.terms(services, of, report=report, token=token)
        for name in absent:
            issue = bring(services, name, of, lambda: shown, store, report, token)
            token.raise_if_cancelled()
            issues += [issue] if issue else []
    found = [store.find_file(host, name) for name in KEPT[collection]]
    return [path for path in found if path], tuple(issues)


def kept(services: Services, collection: str, host: str) -> tuple[list[Path], ...]:
    """Masks, and files of positions, that are kept here of a collection."""
    masks: list[Path] = []
    positions: list[Path] = []
    for name in KEPT.get(collection, ()):
        if found := services.store.find_file(host, name):
            (masks if "_MASKS" in name else positions).append(found)
    return masks, positions


def missing(
    services: Services, series: Sequence[Series], store: Store
) -> dict[str, list[Series]]:
    """Supplementary files that are not stored yet, each with whose it is."""
    host = services.settings.archive_host
    found: dict[str, list[Series]] = {}
    for one in series:
        for name in SUPPLEMENTS.get(one.collection, ()):
            found.setdefault(name, []).append(one)
    return {name: of for name, of in found.items() if not store.find_file(host, name)}


def bring(
    services: Services,
    name: str,
    of: Sequence[Series],
    shown: Callable[[], tuple[Terms, ...]],
    store: Store,
    report: Report,
    token: CancelToken,
) -> Issue | None:
    """Fetch one file by the right to any of the series `of` its collection.

    Returns
    -------
    Issue or None
        Why it is not there: the images are whole without it, and the user is told.
    """
    try:
        access = _grant(services, of, shown())
        fetch_file(
            name,
            of[0].collection,
            services.nbia,
            access,
            store,
            report=report,
            token=token,
        )
    except TciaError as error:
        return Issue(
            "warn",
            "supplement_missing",
            f"The published file {name} could not be fetched: {error}",
            {"file": name},
        )
    return None


def _grant(
    services: Services, of: Sequence[Series], shown: Sequence[Terms]
) -> AccessGrant:
    *others, last = of
    for one in others:
        with contextlib.suppress(AccessError):
            return gate.grant([one], shown, services.ledger)
    return gate.grant([last], shown, services.ledger)
