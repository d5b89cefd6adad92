"""Colours of nodes: one per label value, the same wherever a node is drawn."""

from __future__ import annotations

COLOURS = (
    "#e69f00",
    "#56b4e9",
    "#009e73",
    "#f0e442",
    "#0072b2",
    "#d55e00",
    "#cc79a7",
    "#b4a7ff",
)
"""Told apart with the common colour-vision deficiencies (Okabe and Ito 2008,
with a violet for the black)."""


def colour_of(value: int) -> str:
    """Colour of a label value; cyclic, 0 has none."""
    return COLOURS[(value - 1) % len(COLOURS)]
