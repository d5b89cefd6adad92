"""Layers that were made here from TCIA data: computed by others, or changed.

A layer that arrives while TCIA data is open, with no metadata of ours and no
file or sample it was read from, was computed here. It counts as derived from
what was open until the user says no; the answer stays in its metadata and goes
where the layer goes. A layer of ours whose data is changed keeps its provenance
and says since when, and by whom.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from napari.layers import Layer

from napari_tcia._napari.layers import CHANGED, KEY, metadata_of
from napari_tcia.app.credit import Adapted
from napari_tcia.core.model import Provenance

DERIVED = "napari_tcia_derived"
"""Where the answer lives in ``layer.metadata``: ``from`` and ``counted``."""
_FIELDS = {field.name: type(field.default) for field in dataclasses.fields(Provenance)}


def provenances_of(layer: Layer) -> tuple[Provenance, ...]:
    """What a layer is credited to: its own provenance, or what it derives from."""
    ours = metadata_of(layer)
    if ours is not None:
        return (_provenance(ours),)
    answer = layer.metadata.get(DERIVED)
    if not isinstance(answer, Mapping) or not answer.get("counted"):
        return ()
    return _sources(answer)


def is_answered(layer: Layer) -> bool:
    """Whether it was found to be derived, whatever the user said since."""
    return isinstance(layer.metadata.get(DERIVED), Mapping)


def is_counted(layer: Layer) -> bool:
    """Whether a derived layer counts."""
    answer = layer.metadata.get(DERIVED)
    return isinstance(answer, Mapping) and bool(answer.get("counted"))


def consider(layer: Layer, present: Iterable[Provenance]) -> None:
    """Call `layer` derived from what is `present`, unless it comes from elsewhere.

    Not derived is what carries our metadata, what was answered before, and
    what a reader or a sample brought. A copy follows the layer it was made
    from, and nothing else.
    """
    source = layer.source
    if metadata_of(layer) is not None or is_answered(layer):
        return
    if source.path is not None or source.sample is not None:
        return
    parent = source.parent() if source.parent is not None else None
    made_from = provenances_of(parent) if parent is not None else tuple(present)
    if made_from:
        layer.metadata[DERIVED] = {
            "from": [one.to_dict() for one in dict.fromkeys(made_from)],
            "counted": True,
        }


def answer(layer: Layer, counted: bool) -> None:
    """Keep what the user says of a derived layer."""
    if is_answered(layer):
        layer.metadata[DERIVED] = {**layer.metadata[DERIVED], "counted": counted}


def watch(layer: Layer, changed: Callable[[Layer], None]) -> None:
    """Call `changed` after strokes, fills and new data of a layer of ours."""

    def tell(event: Any = None) -> None:
        changed(layer)

    for name in ("data", "paint", "labels_update"):
        if name in layer.events.emitters:
            layer.events[name].connect(tell)


def mark_changed(layer: Layer, by: str = "") -> bool:
    """Say in the metadata that a layer of ours was changed; False if it is said."""
    ours = metadata_of(layer)
    if ours is None or is_work(ours):
        return False
    today = datetime.now(UTC).date().isoformat()
    layer.metadata[KEY] = {**ours, CHANGED: {"by": by, "on": today}}
    return True


def is_work(ours: Mapping[str, Any]) -> bool:
    """Whether somebody worked on a layer; one that was mirrored on a choice is none."""
    return "how" not in ours.get(CHANGED, {"how": "not at all"})


def adapted(layers: Iterable[Layer]) -> tuple[Adapted, ...]:
    """Layers among `layers` that were changed or computed here."""
    found = []
    for layer in layers:
        ours = metadata_of(layer)
        if ours is None:
            found += [
                Adapted(layer.name, one, how="derived") for one in provenances_of(layer)
            ]
        elif isinstance(said := ours.get(CHANGED), Mapping):
            by, on = str(said.get("by", "")), str(said.get("on", ""))
            found.append(Adapted(layer.name, _provenance(ours), by, on))
    return tuple(found)


def _sources(answer: Mapping[str, Any]) -> tuple[Provenance, ...]:
    listed = answer.get("from")
    return tuple(
        _provenance(one)
        for one in (listed if isinstance(listed, (list, tuple)) else ())
        if isinstance(one, Mapping)
    )


def _provenance(value: Mapping[str, Any]) -> Provenance:
    """Provenance of metadata that a script may have written: wrong types are left."""
    fit = {k: v for k, v in value.items() if isinstance(v, _FIELDS.get(k, ()))}
    return Provenance.from_dict(fit)
