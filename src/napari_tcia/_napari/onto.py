"""Labels and points of a file onto the CT that is open: in its window, or a script."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Layer
from napari.utils.notifications import show_error

from napari_tcia._napari.layers import LayerTuple, layer_data, metadata_of
from napari_tcia.app import state
from napari_tcia.app.assemble import Case
from napari_tcia.app.companion import companion_nodes
from napari_tcia.app.onto import read_onto
from napari_tcia.core.image import Check, Passport, Volume
from napari_tcia.core.model import Provenance
from napari_tcia.core.task import Done, Failed, Outcome
from napari_tcia.errors import NothingFound

if TYPE_CHECKING:
    from napari_tcia._napari.session import Session


def open_image(viewer: Any | None) -> Layer | None:
    """The image of ours that a file would be opened onto."""
    from napari_tcia._napari.session import session_for

    return session_for(viewer).image() if viewer is not None else None


def read_at_once(viewer: Any | None, path: Path) -> tuple[list[LayerTuple], Case]:
    """Layer data of `path` on the open image, and what was read.

    Raises
    ------
    NothingFound
        No image is open.
    TciaError
        It does not lie on that image, or cannot be read.
    """
    from napari_tcia._napari.session import session_for

    image = _require(viewer, path)
    volume, name = _volume(image)
    case = read_onto(session_for(viewer).services, path, volume, name)
    return _data(case, image), case


def lay(viewer: Any | None, path: Path) -> None:
    """Read `path` beside the window, then add its layers onto the open image.

    Raises
    ------
    NothingFound
        No image is open.
    """
    from napari_tcia._napari.session import session_for

    image = _require(viewer, path)
    session = session_for(viewer)
    volume, name = _volume(image)
    below = weakref.ref(image)

    def arrived(outcome: Outcome) -> None:
        if case := _laid(session, below, outcome, path.name):
            session.tell(state.doubts([case]))

    # One task per file: several may be dropped at once.
    session.runner.submit(
        f"lay {path}", read_onto, session.services, path, volume, name, on_done=arrived
    )


def lay_companion(session: Session) -> None:
    """Fetch the nodes of the same scan's other identity, and lay them onto it."""
    image = session.image()
    if image is None:
        return
    volume, _ = _volume(image)
    below = weakref.ref(image)

    def arrived(outcome: Outcome) -> None:
        if case := _laid(session, below, outcome, "Its other identity"):
            session.tell(issue.message for issue in case.issues)

    session.runner.submit(
        "companion", companion_nodes, session.services, volume, on_done=arrived
    )


def _laid(
    session: Session, below: weakref.ref[Layer], outcome: Outcome, what: str
) -> Case | None:
    """Add what has arrived onto its image, and return it; or say why not."""
    image = below()
    if isinstance(outcome, Failed):
        show_error(str(outcome.error))
    elif isinstance(outcome, Done) and session.viewer is not None:
        if image is None or image not in session.viewer.layers:
            show_error(f"{what} was not opened: its CT was closed meanwhile.")
            return None
        session.add_cases(_data(outcome.value, image))
        case: Case = outcome.value
        return case
    return None


def _require(viewer: Any | None, path: Path) -> Layer:
    image = open_image(viewer)
    if image is None:
        raise NothingFound(
            f"{path.name} lies on the voxels of a CT, and none is open.",
            "Open its CT first, then this file.",
        )
    return image


def _volume(image: Layer) -> tuple[Volume, str]:
    """The volume that an image layer shows, and the name of its case."""
    ours = metadata_of(image)
    present = np.ones(len(image.data), dtype=bool)
    present[list(ours["missing"])] = False
    checks = [Check("passport", ours["verdict"], "As when the image was opened.")]
    volume = Volume(
        array=image.data,
        affine=np.asarray(ours["affine"], dtype=np.float64),
        present=present,
        passport=Passport((*(Check(**c) for c in ours.get("passport", ())), *checks)),
        provenance=Provenance.from_dict(ours),
        quantity=ours["quantity"],
    )
    return volume, str(ours.get("case", ""))


def _data(case: Case, image: Layer) -> list[LayerTuple]:
    """Layers of what was read, visible, named after the file."""
    reference = np.asarray(metadata_of(image)["reference"], dtype=np.float64)
    _, *layers = layer_data(case, reference)
    sources = [*case.labels, *([case.points] if case.points else [])]
    for (_, kwargs, _), source in zip(layers, sources, strict=True):
        kwargs |= {"name": f"Nodes ({source.name})", "visible": True}
    return layers
