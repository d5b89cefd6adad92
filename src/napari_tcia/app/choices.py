"""What a passport leaves to choose, in words, and reading again as chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_tcia.app.assemble import Case
from napari_tcia.app.case import open_path
from napari_tcia.app.services import Services
from napari_tcia.core.image import Check, Choices
from napari_tcia.core.task import CancelToken, Report, silent
from napari_tcia.errors import NothingFound
from napari_tcia.nodes.known_issues import companion

COMPANION = "companion="
"""Begins the choice to show the nodes of the same scan under its other identity."""
AS_IT_IS = "as it is"
"""Takes back all that was chosen."""
_WORDS = {
    "duplicates=first": ("Keep the first", "Of images at one place, keep the first"),
    "duplicates=last": ("Keep the last", "Of images at one place, keep the last"),
    "gaps=interpolate": (
        "Fill the gaps",
        "Fill missing slices from their neighbours; they stay marked as missing",
    ),
    "gaps=blank": ("Blank gaps", "Show missing slices blank"),
    "points=indices": (
        "Place points by indices",
        "Use the published index file; the millimetres do not agree with the images",
    ),
    "tilt=straighten": (
        "Straighten",
        "Resample to a straight grid; for looking only, not for annotation",
    ),
}


@dataclass(frozen=True, slots=True)
class Offer:
    """A choice as a button: what it is, what to call it, what it does."""

    choice: str
    label: str
    tip: str


def offers(checks: Sequence[Check], choices: Choices) -> tuple[Offer, ...]:
    """Choices that the checks of a passport leave, and the way back.

    Parameters
    ----------
    checks : sequence of Check
        Doubts; a check that leaves a choice names it in ``numbers["choices"]``.
    choices : Choices
        What the volume was read with.
    """
    found: list[Offer] = []
    for check in checks:
        stacks = check.numbers.get("stacks", ())
        for choice in check.numbers.get("choices", ()):
            if choice in _WORDS:
                found.append(Offer(choice, *_WORDS[choice]))
            elif choice.startswith("labels="):
                found.append(_mirror(choice.partition("=")[2]))
            elif choice.startswith("stack="):
                found.append(_stack(choice, stacks))
    if choices != Choices():
        found.append(Offer(AS_IT_IS, "As it is", "Read it again with nothing chosen"))
    return tuple(found)


def companion_offer(patient_id: str) -> tuple[Offer, ...]:
    """Offer the nodes that the same scan has under another patient ID, if it has."""
    other = companion(patient_id)
    if other is None:
        return ()
    tip = f"The same scan is also {other}: fetch its segmentation, lay it over this"
    return (Offer(f"{COMPANION}{other}", f"Nodes of {other} too", tip),)


def _mirror(axes: str) -> Offer:
    return Offer(
        f"labels={axes}",
        f"Mirror labels in {axes}",
        "Show masks and labelmaps mirrored, marked as your choice; the file stays",
    )


def _stack(choice: str, stacks: Sequence[Mapping[str, Any]]) -> Offer:
    number = int(choice.partition("=")[2])
    stack = stacks[number - 1] if number <= len(stacks) else {}
    label = str(stack.get("label", ""))
    count = stack.get("images", "")
    return Offer(
        choice, f"Stack {number}", f"Read the stack of {count} images alone: {label}"
    )


def read_again(
    services: Services,
    place: Path,
    series_uid: str,
    choices: Choices,
    choice: str,
    *,
    report: Report = silent,
    token: CancelToken | None = None,
) -> tuple[Case, ...]:
    """Read a series once more with one choice more, or with none.

    Parameters
    ----------
    place : Path
        Where the case was read from.
    choices : Choices
        What it was read with.
    choice : str
        Of an `Offer`.

    Raises
    ------
    NothingFound
        Its files are gone.
    """
    if not place.name or not place.exists():
        raise NothingFound(
            f"The files of series {series_uid} are no longer at {place}.",
            "Open it again from where it is now.",
        )
    now = Choices() if choice == AS_IT_IS else choices.with_choice(choice)
    return open_path(
        services,
        place,
        series_uid=series_uid,
        choices=now,
        report=report,
        token=token,
    )
