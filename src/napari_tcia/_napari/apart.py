"""Volumes that cannot be laid over each other are not shown together unasked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from napari.layers import Layer

from napari_tcia._napari import layers as case_layers
from napari_tcia.core.model import Issue

if TYPE_CHECKING:
    from napari_tcia._napari.session import Session


def step_aside(session: Session, issues: Iterable[Issue]) -> None:
    """Hide what is open: what comes is of another frame, or cut another way."""
    for layer in session.ours():
        layer.visible = False
    session.tell(f"{issue.message} What was open is hidden." for issue in issues)


def part_from(session: Session, ours: Mapping[str, Any]) -> None:
    """Hide what lies in another world than a volume, of which this is the metadata."""
    away = elsewhere(session, ours)
    for one in away:
        for layer in session.of_volume(one, session.ours()):
            layer.visible = False
    session.tell(
        f"{one.name} is hidden: what was opened cannot be laid over it." for one in away
    )


def elsewhere(session: Session, ours: Mapping[str, Any]) -> list[Layer]:
    """Volumes and saved labels that are drawn and lie in another world.

    Parameters
    ----------
    session : Session
    ours : mapping
        Metadata of the volume that is looked at.
    """
    here = _world(ours)
    return [
        layer
        for layer in (*session.ours("image"), *session.ours("saved"))
        if layer.visible and _world(case_layers.metadata_of(layer) or {}) != here
    ]


def _world(ours: Mapping[str, Any]) -> tuple[Any, Any]:
    """What tells worlds apart: two frames may have volumes at the same numbers."""
    frame = ours.get("frame_of_reference_uid") or ours.get("series_uid")
    return frame, ours.get("reference")
