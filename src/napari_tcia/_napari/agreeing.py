"""Terms of data that is open from the user's own folder: read, and accepted late."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from napari.utils.notifications import show_error

from napari_tcia._napari import layers as case_layers
from napari_tcia.app import agree
from napari_tcia.app.folder import under
from napari_tcia.core.model import Provenance, Terms
from napari_tcia.core.task import Done, Failed, Outcome
from napari_tcia.errors import TciaError

if TYPE_CHECKING:
    from napari_tcia._napari.session import Session


def read(session: Session, collection: str) -> None:
    """Fetch the terms of a collection, and show them."""
    session.runner.submit(
        "terms",
        agree.terms_of_collection,
        session.services,
        collection,
        on_done=partial(_show, session, collection),
    )


def _show(session: Session, collection: str, outcome: Outcome) -> None:
    from napari_tcia._qt.terms_dialog import TermsDialog

    if isinstance(outcome, Failed):
        show_error(str(outcome.error))
    if not isinstance(outcome, Done):
        return
    terms = outcome.value
    session.dialog = TermsDialog(
        terms,
        agree.unacceptable(terms),
        "",
        session.citations.panel.window(),
        action="Accept",
    )
    session.dialog.agreed.connect(partial(_accepted, session, collection, terms))
    session.dialog.finished.connect(lambda _: setattr(session, "dialog", None))
    session.dialog.open()


def _accepted(
    session: Session, collection: str, terms: Sequence[Terms], name: str
) -> None:
    try:
        records = agree.accept(session.services, terms, name)
    except TciaError as error:
        show_error(str(error))
        return
    for layer in session.ours():
        ours = case_layers.metadata_of(layer) or {}
        unrecorded = ours.get("terms") == "not recorded"
        if unrecorded and ours.get("collection") == collection:
            found = Provenance.from_dict(ours)
            same = [r for r in records if r.licence_id == found.licence_id]
            # A folder may not say its licence; a collection of one has no other.
            if same or len(records) == 1:
                now = under(found, (same or records)[0])
                layer.metadata[case_layers.KEY] = {**ours, **now.to_dict()}
    session.refresh()
