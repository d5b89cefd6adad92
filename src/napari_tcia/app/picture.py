"""A figure of a case: what is drawn, and what its caption says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from napari_tcia.app.assemble import Case, first_index
from napari_tcia.app.windows import first_window
from napari_tcia.core.geometry import Affine, image_number, index_to_patient
from napari_tcia.core.model import Citation, Provenance
from napari_tcia.export import figure
from napari_tcia.export.files import case_stem, is_file_name


def write_case(case: Case, out: Path, cited: tuple[Citation, ...]) -> list[Path]:
    """Picture of the slice of the largest node, in the case's first window."""
    volume = case.volume
    k = round(first_index(case)[0])
    low, high = float(volume.array[k].min()), float(volume.array[k].max())
    window = first_window(volume, case.name) or (
        (low + high) / 2,
        max(high - low, 1.0),
    )
    path = out
    if not is_file_name(out, figure.SUFFIXES) and (out.is_dir() or not out.suffix):
        path = out / f"{case_stem(volume)}_figure.png"
    labels = case.labels[:1]  # a second rendering of the same nodes would cover it
    drawn = bool(labels) and bool(labels[0].array[k].any())
    return figure.write(
        path,
        figure.slice_picture(volume, labels, k, window),
        title(case.name, volume.provenance),
        words(
            volume.provenance,
            slice_words(volume.affine, k),
            window if volume.quantity == "HU" else None,
            ("Outlined: reference segmentation of the nodes.",) if drawn else (),
        ),
        case.provenances,
        cited,
    )


def title(name: str, provenance: Provenance) -> str:
    """Title of a figure: collection, case and modality as far as they are known.

    A phantom belongs to no collection, whatever it is modelled on.
    """
    of = "Synthetic phantom" if provenance.synthetic else provenance.collection
    parts = (of, name, provenance.modality)
    return ", ".join(dict.fromkeys(part for part in parts if part))


def slice_words(affine: Affine, k: int) -> str:
    """Where slice `k` of a grid lies: its number and the patient axis it is along."""
    position = index_to_patient(affine, (k, 0, 0))[0]
    main = int(np.abs(affine[:3, 0]).argmax())
    place = f"{'xyz'[main]} {position[main]:.1f} mm"
    return f"k {k} (image {image_number(k)}), {place}"


def words(
    provenance: Provenance,
    place: str,
    window: tuple[float, float] | None,
    more: Sequence[str] = (),
) -> tuple[str, ...]:
    """Sentences on what a figure shows.

    Parameters
    ----------
    provenance : Provenance
        Of the image.
    place : str
        Slice and position, or "3D rendering".
    window : (level, width) in HU, or None
    more : sequence of str
        Further sentences.
    """
    sentence = f"Slice: {place}." if place.startswith("k ") else f"View: {place}."
    if window is not None:
        level, width = window
        sentence += f" Window: W {width:.0f} L {level:.0f} HU."
    # A stranger's UIDs do not travel in pictures.
    known = provenance.origin != "unknown" and provenance.series_uid
    series = (f"Series {provenance.series_uid}.",) if known else ()
    return (*series, sentence, *more)
