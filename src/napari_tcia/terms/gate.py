"""The one door to pixels: terms shown, accepted, unchanged, then a grant.

Nothing else in the project constructs an `AccessGrant`; a test over the
syntax trees of all modules holds that.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from napari_tcia.core.model import (
    Acceptance,
    AccessGrant,
    Series,
    StoredSeries,
    Terms,
    TermsDocument,
)
from napari_tcia.errors import (
    AccessError,
    TermsChanged,
    TermsNotAccepted,
    UsageError,
)
from napari_tcia.terms.ledger import Ledger
from napari_tcia.terms.licence import identify, require_open
from napari_tcia.terms.policy import (
    POLICY_POINTS,
    licence_document,
    licence_points,
    policy_document,
)


def terms_for(
    series: Sequence[Series],
    *,
    archive_host: str,
    policy_text: str | None,
    retrieved: str,
    ledger: Ledger,
    licence_texts: Mapping[str, tuple[str, str]] = MappingProxyType({}),
) -> tuple[Terms, ...]:
    """What must be accepted for `series`, and whether it has been.

    Parameters
    ----------
    archive_host : str
        Host with port, as `core.settings.netloc` gives it.
    policy_text : str or None
        Official data usage policy, None when it cannot be fetched or kept.
    retrieved : str
        When it was fetched.
    licence_texts : mapping
        Licence id to its official text and when that was fetched; where there
        is none, our summary is what is shown.

    Returns
    -------
    tuple of Terms
        One per (collection, licence), in the order they first occur. A
        licence that is controlled, unknown or missing is among them, so that
        it can be explained; `refuse` says why nobody can accept it.

    Raises
    ------
    CorruptData
        The ledger was changed outside the program.
    """
    policy = policy_document(policy_text, retrieved)
    licences = {
        (one.collection, licence.id): licence
        for one in series
        for licence in [identify(one.licence_name, one.licence_uri)]
    }
    found = []
    for (collection, _), licence in licences.items():
        points = licence_points(licence)
        terms = Terms(
            archive_host=archive_host,
            collection=collection,
            licence=licence,
            documents=(
                licence_document(licence, *licence_texts.get(licence.id, (None, ""))),
                policy,
            ),
            points=points if licence.controlled else points + POLICY_POINTS,
        )
        here = {key[1] for key in licences if key[0] == collection}
        found.append(_with_acceptance(terms, here, ledger))
    return tuple(found)


def refuse(terms: Terms) -> None:
    """Raise when these terms cannot be accepted here at all.

    Raises
    ------
    ControlledAccess, TermsUnknown
    """
    require_open(terms.licence, terms.collection)


def grant(
    series: Sequence[Series], terms: Sequence[Terms], ledger: Ledger
) -> AccessGrant:
    """The right to fetch `series`, if the ledger holds an acceptance for each.

    The ledger is read now; what `terms` says about acceptance is not believed.

    Parameters
    ----------
    terms : sequence of Terms
        From `terms_for`, all of one archive.

    Raises
    ------
    ControlledAccess, TermsUnknown
        Among the series is one that nobody can accept.
    TermsNotAccepted, TermsChanged
        Not accepted, withdrawn, or accepted in other words.
    UsageError
        No series, or terms of several archives.
    CorruptData
        The ledger was changed outside the program.
    """
    hosts = {one.archive_host for one in terms}
    if not series or len(hosts) > 1:
        raise UsageError("A grant is for at least one series of one archive.")
    by_key = {(one.collection, one.licence.id): one for one in terms}
    ids: dict[str, None] = {}
    for one in series:
        licence = identify(one.licence_name, one.licence_uri)
        require_open(licence, one.collection)
        shown = by_key.get((one.collection, licence.id))
        if shown is None:
            raise _not_accepted(one.collection, licence.short, "this archive")
        here = {key[1] for key in by_key if key[0] == one.collection}
        now = _with_acceptance(shown, here, ledger)
        if now.accepted is None:
            raise _refusal(now, ledger)
        ids[now.accepted.id] = None
    return AccessGrant(
        archive_host=hosts.pop(),
        series_uids=frozenset(one.series_uid for one in series),
        collections=frozenset(one.collection for one in series),
        acceptance_ids=tuple(ids),
    )


def recheck(
    stored: StoredSeries | Series, archive_host: str, ledger: Ledger
) -> Acceptance:
    """The acceptance under which kept data may be opened again.

    Parameters
    ----------
    archive_host : str
        Where it was fetched from; a `StoredSeries` knows that itself, and
        what it says counts.

    Raises
    ------
    TermsNotAccepted
        None stands for that host, collection and licence.
    CorruptData
        The ledger was changed outside the program.
    """
    if isinstance(stored, StoredSeries):
        series, archive_host = stored.series, stored.archive_host
    else:
        series = stored
    licence = identify(series.licence_name, series.licence_uri)
    found = ledger.standing(archive_host, series.collection, licence.id)
    if found is None:
        raise _not_accepted(series.collection, licence.short, archive_host)
    return found


def recheck_collection(collection: str, archive_host: str, ledger: Ledger) -> None:
    """Let a kept file that belongs to a whole collection be opened again.

    Raises
    ------
    TermsNotAccepted
        No licence of the collection stands accepted.
    CorruptData
        The ledger was changed outside the program.
    """
    if not ledger.accepted(archive_host, collection):
        raise _not_accepted(collection, "its licence", archive_host)


def _with_acceptance(terms: Terms, licences: set[str], ledger: Ledger) -> Terms:
    """Fill in `accepted` and `changed` from the ledger.

    An acceptance of the same collection under a licence that is not among
    `licences` any more means that the licence has changed.
    """
    standing = {
        record.licence_id: record
        for record in ledger.accepted(terms.archive_host, terms.collection)
    }
    record = standing.get(terms.licence.id)
    if record is None:
        return replace(terms, accepted=None, changed=bool(standing.keys() - licences))
    same = all(_covers(record, document) for document in terms.documents)
    return replace(terms, accepted=record if same else None, changed=not same)


def _covers(record: Acceptance, document: TermsDocument) -> bool:
    """Whether a record is about these words.

    Who read the official text need not read it again while it cannot be
    fetched; who read our summary reads the official text once it can.
    """
    for kind, origin, sha256 in record.documents:
        if kind == document.kind:
            if origin == "official" and document.origin == "summary":
                return True
            return (origin, sha256) == (document.origin, document.sha256)
    return False


def _refusal(terms: Terms, ledger: Ledger) -> AccessError:
    collection, host = terms.collection, terms.archive_host
    if not terms.changed:
        return _not_accepted(collection, terms.licence.short, host)
    what = f"The words of the terms of {collection!r} changed since they were accepted"
    if ledger.standing(host, collection, terms.licence.id) is None:
        former = {r.licence_name for r in ledger.accepted(host, collection)}
        what = (
            f"{collection!r} was accepted under {' and '.join(sorted(former))}, "
            f"but this is under {terms.licence.name}"
        )
    return TermsChanged(f"{what} ({host}).", _how_to_accept(collection))


def _not_accepted(collection: str, licence: str, host: str) -> TermsNotAccepted:
    return TermsNotAccepted(
        f"The terms of {collection!r} ({licence}, and the TCIA Data Usage Policy) "
        f"are not accepted for {host}.",
        _how_to_accept(collection),
    )


def _how_to_accept(collection: str) -> str:
    plain = re.fullmatch(r"[\w .,+-]*", collection)
    name = f'"{collection}"' if plain else shlex.quote(collection)
    return f"Read and accept them: napari-tcia accept {name}"
