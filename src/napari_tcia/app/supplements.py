"""Supplementary annotation files of a collection, fetched beside its series."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

from napari_tcia.app.services import Services
from napari_tcia.core.model import AccessGrant, Issue, Series, Terms
from napari_tcia.core.task import CancelToken, Report
from napari_tcia.errors import AccessError, TciaError
from napari_tcia.terms import gate
from napari_tcia.transfer.download import fetch_file
from napari_tcia.transfer.store import Store

SUPPLEMENTS = {"CT Lymph Nodes": ("MED_ABD_LYMPH_ANNOTATIONS.zip",)}
"""Supplementary annotation files, by collection, at the base of `files`."""


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
            f"The published points ({name}) could not be fetched: {error}",
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
