"""Where to go, in the words of a reading room: "image 367", "z -366.6", "node 4"."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

Kind = Literal["k", "image", "x", "y", "z", "node"]
_PLACE = re.compile(
    r"\s*(?P<kind>k|image|im|slice|x|y|z|node|n)?\s*[:= ]?\s*"
    r"(?P<number>[-+\u2212]?\d+(?:[.,]\d+)?)\s*(?:mm)?\s*",
    re.IGNORECASE,
)
_KINDS: dict[str, Kind] = {
    "im": "image",
    "slice": "image",
    "": "image",
    "n": "node",
    **{name: name for name in get_args(Kind)},
}
EXAMPLES = "image 367, k 366, z -366.6 or node 4"


@dataclass(frozen=True, slots=True)
class Place:
    """What somebody wants to see.

    Attributes
    ----------
    kind : {"k", "image", "x", "y", "z", "node"}
        Index from 0, number from 1, patient axis in LPS mm, or number of a node.
    number : float
    """

    kind: Kind
    number: float


def parse_place(text: str) -> Place | None:
    """Read what was typed; a number alone is that of an image. None if unclear."""
    found = _PLACE.fullmatch(text)
    if found is None:
        return None
    kind = _KINDS[(found["kind"] or "").lower()]
    number = float(found["number"].replace("\u2212", "-").replace(",", "."))
    whole = kind in ("k", "image", "node")
    if whole and not number.is_integer():
        return None
    return Place(kind, number)
