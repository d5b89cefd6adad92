"""The current view as a figure: what is on the canvas, with its caption."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from napari.utils.notifications import show_error, show_info
from napari.viewer import Viewer
from qtpy.QtWidgets import QFileDialog

from napari_tcia._napari import view
from napari_tcia._napari.layers import metadata_of
from napari_tcia._napari.session import session_for
from napari_tcia.app import credit, picture
from napari_tcia.core.model import Provenance
from napari_tcia.errors import NothingFound, TciaError
from napari_tcia.export import figure


def ask_and_save(viewer: Viewer) -> None:
    """Ask for a name and save the current view under it; say how it went."""
    parent = getattr(getattr(viewer, "__wrapped__", viewer).window, "_qt_window", None)
    name, _ = QFileDialog.getSaveFileName(
        parent, "Save figure with caption", "figure.png", "Pictures (*.png *.tif)"
    )
    if not name:
        return
    path = Path(name)
    try:
        written = save_figure(viewer, path if path.suffix else path.with_suffix(".png"))
    except TciaError as error:
        show_error(str(error))
    else:
        show_info("Saved " + ", ".join(file.name for file in written))


def save_figure(viewer: Viewer, path: str | Path) -> list[Path]:
    """Write the canvas of `viewer` as a figure with caption and references.

    Parameters
    ----------
    viewer : Viewer
        With TCIA data in it; the window must be shown to be drawn.
    path : str or Path
        A ``.png``, ``.tif`` or ``.tiff`` name.

    Returns
    -------
    list of Path
        Picture, ``.bib`` and ``.txt``.

    Raises
    ------
    NothingFound
        No layer of ours is open: there is nothing to credit.
    UsageError, StorageError, CorruptData
        As `napari_tcia.export.figure.write`.
    """
    viewer = getattr(viewer, "__wrapped__", viewer)
    session = session_for(viewer)
    # All that is open, hidden or not: a picture of a moment credits too much
    # rather than too little.
    provenances = session.provenances()
    if not provenances:
        raise NothingFound(
            "No TCIA data is open in this window.",
            "Open a case first; napari saves other pictures from its File menu.",
        )
    pixels = viewer.screenshot(canvas_only=True, flash=False)
    title, shown = _words(viewer)
    return figure.write(
        Path(path),
        np.asarray(pixels, dtype=np.uint8),
        title,
        shown,
        provenances,
        credit.citations(provenances),
    )


def _words(viewer: Viewer) -> tuple[str, tuple[str, ...]]:
    """Title, and sentences on the slice, the window and the layers that show."""
    session = session_for(viewer)
    image = session.image()
    seen = [
        layer.name for layer in viewer.layers if layer.visible and layer is not image
    ]
    more = (f"Layers: {', '.join(seen)}.",) if seen else ()
    if image is None:
        (first, *_) = session.ours()
        found = Provenance.from_dict(metadata_of(first) or {})
        return picture.title(first.name, found), more
    ours = metadata_of(image) or {}
    found = Provenance.from_dict(ours)
    own = np.asarray(ours["affine"], dtype=np.float64)
    world = np.asarray(ours["reference"], dtype=np.float64)
    place = view.describe_position(viewer, world, own, ours["missing"], len(image.data))
    low, high = (float(v) for v in image.contrast_limits)
    window = ((high + low) / 2, high - low) if ours["quantity"] == "HU" else None
    place = place or "3D rendering"
    return (
        picture.title(str(ours["case"]), found),
        picture.words(found, place, window, more),
    )
