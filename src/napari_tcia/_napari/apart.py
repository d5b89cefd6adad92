"""Volumes that cannot be laid over each other are not shown together unasked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from napari.layers import Layer

from napari_tcia._napari import layers as case_layers
from napari_tcia.core.geometry import Affine
from napari_tcia.core.model import Issue, to_json

if TYPE_CHECKING:
    from napari_tcia._napari.session import Session


def step_aside(session: Session, issues: Iterable[Issue]) -> None:
    """Hide what is open: what comes is of another frame, or cut another way."""
    for layer in session.ours():
        layer.visible = False
    session.tell(f"{issue.message} What was open is hidden." for issue in issues)


def part_from(session: Session, reference: Affine | None) -> None:
    """Hide what lies in any other world than the one that a volume joins."""
    away = elsewhere(session, to_json(reference))
    for one in away:
        for layer in session.of_volume(one, session.ours()):
            layer.visible = False
    session.tell(
        f"{one.name} is hidden: what was opened cannot be laid over it." for one in away
    )


def elsewhere(session: Session, reference: Any) -> list[Layer]:
    """Volumes and saved labels that are drawn and lie in another world.

    Parameters
    ----------
    session : Session
    reference : list
        Affine of the volume that set the world, as metadata has it.
    """
    return [
        layer
        for layer in (*session.ours("image"), *session.ours("saved"))
        if layer.visible and _reference(layer) not in (None, reference)
    ]


def _reference(layer: Layer) -> Any:
    ours: Mapping[str, Any] = case_layers.metadata_of(layer) or {}
    return ours.get("reference")
