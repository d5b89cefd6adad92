"""From node to node: choose one, the next, it alone, and all out of sight."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_tcia._napari import axes, numbers, view
from napari_tcia._napari import layers as case_layers
from napari_tcia.core.image import NodeRow

if TYPE_CHECKING:
    from napari_tcia._napari.session import Session

ZOOM = 4.0
"""Canvas pixels per mm that a jump zooms in to, at least."""
_NEAR_MM = 15.0
"""A published point farther from a node than this is another node's."""


def rows(session: Session) -> tuple[NodeRow, ...]:
    """Nodes of the case that is looked at, in the order of the table where it is."""
    image = session.image()
    if image is None:
        return ()
    known = case_layers.node_rows(case_layers.metadata_of(image) or {})
    listed = session.listed_nodes() if session.listed_nodes is not None else None
    if not listed:
        return known
    by_id = {row.id: row for row in known}
    return tuple(by_id[one] for one in listed if one in by_id)


def choose(session: Session, row: NodeRow) -> None:
    """Show a node: its slice, its axes, its label lit."""
    image, viewer = session.image(), session.viewer
    if image is None or viewer is None:
        return
    session.chosen_node = row.id
    world = image.data_to_world((row.k, *row.index[1:]))
    view.jump(viewer, tuple(np.asarray(world, dtype=float)), ZOOM)
    axes.show(session, row)
    for layer in _labels(session):
        if row.label is not None:
            layer.selected_label = row.label
    if _is_alone(session):
        _show_alone(session, row)
    session.node_chosen.emit(row.id)


def step(session: Session, by: int) -> None:
    """Go to the next node, or to the one before; the last is followed by the first."""
    found = rows(session)
    if not found:
        session.tell(["This case has no lymph-node annotations."])
        return
    ids = [row.id for row in found]
    if session.chosen_node in ids:
        at = (ids.index(session.chosen_node) + by) % len(ids)
    else:
        at = 0 if by > 0 else len(ids) - 1
    choose(session, found[at])


def under(session: Session, world: Sequence[float]) -> int | None:
    """Number of the node that is seen at a place: its label, else its point."""
    image = session.image()
    if image is None:
        return None
    known = case_layers.node_rows(case_layers.metadata_of(image) or {})
    at = np.asarray(image.world_to_data(world), dtype=float)

    def nearest(among: Sequence[NodeRow]) -> int | None:
        away = [float(np.linalg.norm(np.subtract(row.index, at))) for row in among]
        return among[int(np.argmin(away))].id if among else None

    for layer in _labels(session):
        value = layer.get_value(world, world=True) if layer.visible else None
        if value:  # of the pieces of a label, the nearest
            return nearest([row for row in known if row.label == value])
    for layer in _points(session):
        if layer.visible and layer.get_value(world, world=True) is not None:
            return nearest([row for row in known if "points" in row.source])
    return None


def isolate(session: Session) -> None:
    """Show the chosen node alone, and all of them again."""
    if _is_alone(session):
        _show_all(session)
        return
    chosen = next((r for r in rows(session) if r.id == session.chosen_node), None)
    if chosen is None:
        step(session, 1)
        chosen = next((r for r in rows(session) if r.id == session.chosen_node), None)
    if chosen is not None:
        _show_alone(session, chosen)


def name_station(session: Session, node: int, name: str) -> None:
    """Note a reader's station of a node, or with an empty name take it back."""
    image = session.image()
    if image is None:
        return
    kept = image.metadata[case_layers.KEY].setdefault(case_layers.STATIONS, {})
    if kept.get(node, "") == name:
        return
    kept[node] = name
    session.station_named.emit(node, name)
    session.nodes_changed.emit()


def blink(session: Session) -> None:
    """Take the annotations out of sight, and bring those back that were there."""
    shown = [layer for layer in _annotations(session) if layer.visible]
    if shown:
        session.blinked = tuple(shown)
        for layer in shown:
            layer.visible = False
        return
    viewer = session.viewer
    for layer in session.blinked or _annotations(session)[:1]:
        if viewer is not None and layer in viewer.layers:
            layer.visible = True
    session.blinked = ()


def _annotations(session: Session) -> list[Any]:
    roles = ("reference", "points", case_layers.AXES, case_layers.NUMBERS)
    found = [layer for role in roles for layer in session.ours(role)]
    return list(session.of_volume(session.image(), found))


def _labels(session: Session) -> list[Any]:
    return list(session.of_volume(session.image(), session.ours("reference")))


def _points(session: Session) -> list[Any]:
    return list(session.of_volume(session.image(), session.ours("points")))


def _is_alone(session: Session) -> bool:
    return any(layer.show_selected_label for layer in _labels(session)) or any(
        not np.all(layer.shown) for layer in _points(session)
    )


def _show_alone(session: Session, row: NodeRow) -> None:
    numbers.show_only(session, session.image(), row.id)
    for layer in _labels(session):
        # A label that nothing has: a node of points alone hides all of them.
        none = int(max(layer.metadata[case_layers.KEY].get("highest", 0), 0))
        layer.selected_label = row.label if row.label is not None else none + 1
        layer.show_selected_label = True
    for layer in _points(session):
        at = layer.data_to_world(row.index)
        away = [
            np.linalg.norm(np.subtract(layer.data_to_world(one), at))
            for one in layer.data
        ]
        shown = np.zeros(len(layer.data), dtype=bool)
        if "points" in row.source and away and min(away) <= _NEAR_MM:
            shown[int(np.argmin(away))] = True
        layer.shown = shown


def _show_all(session: Session) -> None:
    numbers.show_only(session, session.image(), None)
    for layer in _labels(session):
        layer.show_selected_label = False
    for layer in _points(session):
        layer.shown = np.ones(len(layer.data), dtype=bool)
