"""The keys of a reading room: one table makes the bindings and the sheet.

They act only where a volume of ours is open or filling, and never while somebody
types. None is a key of napari's own, in any mode of any layer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QLineEdit,
    QPlainTextEdit,
    QTextEdit,
)

from napari_tcia._napari import going, linked, measuring, planes, walking, windowing
from napari_tcia._qt.judgement_panel import DECIDE
from napari_tcia._qt.key_sheet import KeySheet
from napari_tcia.app.windows import PRESETS

if TYPE_CHECKING:
    from napari_tcia._napari.session import Session

Action = Callable[["Session"], None]


@dataclass(frozen=True, slots=True)
class Key:
    """One key.

    Attributes
    ----------
    key : str
        As napari writes it.
    words : str
        What it does.
    group : str
    action : callable
    """

    key: str
    words: str
    group: str
    action: Action


def _plane(name: str) -> Action:
    def turn(session: Session) -> None:
        world, viewer = session.world(), session.viewer
        if world is not None and viewer is not None:
            planes.show(viewer, world, name)

    return turn


def _preset(name: str) -> Action:
    return lambda session: windowing.choose(session, name)


def _sheet(session: Session) -> None:
    session.show_box(KeySheet(rows(), session.window()))


def _decide(decision: str) -> Action:
    return lambda session: session.review.decide(decision)


def _leave(how: str) -> Action:
    return lambda session: session.review.leave(how)


def _comment(session: Session) -> None:
    session.review.asked_comment.emit()


def _annotate(session: Session) -> None:
    session.review.annotate()


def _windows() -> tuple[Key, ...]:
    found = [
        Key(f"Control-{n}", f"{name}, W {width:g} L {level:g}", "Window", _preset(name))
        for n, (name, (level, width)) in enumerate(PRESETS.items(), start=1)
    ]
    first = Key("Control-7", "as it was opened", "Window", _preset(""))
    return (*found, first)


KEYS: tuple[Key, ...] = (
    *_windows(),
    Key("8", "axial", "Plane", _plane("axial")),
    Key("9", "coronal", "Plane", _plane("coronal")),
    Key("0", "sagittal", "Plane", _plane("sagittal")),
    Key("Q", "three linked planes, on and off", "Plane", linked.toggle),
    Key("U", "thicker: 1, 3, 5, 10 mm", "Slab", lambda s: s.slab.thicker()),
    Key("J", "thinner", "Slab", lambda s: s.slab.thicker(-1)),
    Key("H", "mean or maximum (MIP)", "Slab", lambda s: s.slab.switch()),
    Key("G", "go to a slice, a position or a node", "Go", going.ask),
    Key("N", "next node", "Nodes", lambda s: walking.step(s, 1)),
    Key("Shift-N", "previous node", "Nodes", lambda s: walking.step(s, -1)),
    Key("W", "this node alone, and all again", "Nodes", walking.isolate),
    Key("K", "nodes out of sight, and back", "Nodes", walking.blink),
    Key("Shift-R", "ruler, mm", "Measure", measuring.ruler),
    Key("Shift-E", "ellipse, HU inside; round with Shift", "Measure", measuring.circle),
    *(
        Key(
            code,
            f"{title.lower()} the node, and on to the next",
            "Review",
            _decide(name),
        )
        for name, (title, code, _) in DECIDE.items()
    ),
    Key("F5", "comment on the node", "Review", _comment),
    Key("F6", "missed node here", "Review", lambda s: s.review.missed()),
    Key("F9", "start or continue my annotation", "Review", _annotate),
    Key("F7", "save, and the next case", "Review", _leave("done")),
    Key("F8", "skip the case", "Review", _leave("skipped")),
    Key("F1", "this sheet", "Help", _sheet),
)
MOUSE: tuple[tuple[str, str, str], ...] = (
    ("Wheel", "slice by slice", "Mouse"),
    ("Ctrl + wheel", "zoom at the cursor", "Mouse"),
    ("Right drag", "window: across the width, up the level", "Mouse"),
    ("Middle drag", "the same while painting", "Mouse"),
)


def rows() -> tuple[tuple[str, str, str], ...]:
    """Key, words and group of everything there is, for people."""
    return (
        *((shown(one.key), one.words, one.group) for one in KEYS),
        *MOUSE,
    )


def shown(key: str) -> str:
    """A key as it stands on a keyboard."""
    return key.replace("Control-", "Ctrl + ").replace("Shift-", "Shift + ")


def install(session: Session, viewer: Any) -> None:
    """Bind all keys in a viewer; what a user has bound to one of them stays."""
    taken = {str(key).upper() for key in viewer.keymap}
    for one in KEYS:
        if one.key.replace("Control-", "Ctrl+").replace("-", "+").upper() not in taken:
            viewer.bind_key(one.key, _press(session, one.action))


def _press(session: Session, action: Action) -> Callable[[Any], None]:
    def pressed(viewer: Any) -> None:  # napari asks for its name
        if not is_typing() and windowing.shown(session) is not None:
            action(session)

    return pressed


def is_typing() -> bool:
    """Whether the keyboard belongs to a field that takes text."""
    at = QApplication.focusWidget()
    return isinstance(at, (QLineEdit, QTextEdit, QPlainTextEdit, QAbstractSpinBox)) or (
        isinstance(at, QComboBox) and at.isEditable()
    )
