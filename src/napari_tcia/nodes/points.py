"""Published node positions: three text files and a MITK point set per patient.

The files give each node twice, as voxel indices ``i j k`` (0-based, k from the
feet) and as LPS millimetres. That redundancy is the strongest proof there is
that image and annotation share a grid, so it is checked to 0.01 mm.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from napari_tcia.core.geometry import Affine, index_to_patient, patient_to_index
from napari_tcia.core.image import Check, PointSet, Volume
from napari_tcia.core.model import Provenance
from napari_tcia.nodes.grid import points_inside
from napari_tcia.nodes.markups import in_folder, is_markups, read_markups
from napari_tcia.nodes.point_files import EXACT_MM, Numbers, parse_points_folder
from napari_tcia.volume import require_sound

_NEGATED = "the points had"


def read_points(
    path: Path | str,
    volume: Volume,
    *,
    provenance: Provenance | None = None,
    by: Literal["millimetres", "indices"] = "millimetres",
) -> PointSet:
    """Read the published nodes of a volume's patient and check them against it.

    Parameters
    ----------
    path : path
        One of the files (its siblings are read too), the patient's folder, a
        folder above it, or the zip of all patients; or a ``.mrk.json`` of Slicer,
        or a folder with one and no published files (see `read_markups`).
    volume : Volume
        The CT, of sound geometry.
    provenance : Provenance, optional
        Where the files came from; that of the volume by default.
    by : {"millimetres", "indices"}
        Which file places the points, where both are there and somebody chose.

    Returns
    -------
    PointSet
        Positions are those of the millimetre file, unless `by` says else; nothing
        is flipped or moved, whatever the checks say. Read `PointSet.checks` before
        use.

    Raises
    ------
    BrokenGeometry
        The volume's own geometry failed its check.
    NothingFound
        No annotation of this patient below `path`.
    UnreadableAnnotation
        A file with something else than numbers in rows of equal length.
    """
    require_sound(volume, "annotations")
    path = Path(path)
    if (marked := path if is_markups(path) else in_folder(path)) is not None:
        return read_markups(marked, volume, provenance=provenance)
    files = parse_points_folder(path, volume.provenance.patient_id)
    checks = list(files.checks)
    points, indices = files.points, files.indices
    if points is None:
        assert indices is not None
        points = index_to_patient(volume.affine, indices[:, ::-1])
        checks.append(
            Check(
                "indices_equal_points",
                "warn",
                "There is no millimetre file to compare.",
            )
        )
    elif indices is None:
        checks.append(
            Check("indices_equal_points", "warn", "There is no index file to compare.")
        )
    elif len(indices) == len(points):
        checks.append(compare(volume.affine, volume.shape, indices, points))
        if by == "indices":
            points = index_to_patient(volume.affine, indices[:, ::-1])
            checks.append(
                Check(
                    "points_by_indices",
                    "warn",
                    "Placed by the index file, as you chose; the millimetres of the "
                    "other file are not used.",
                )
            )
    in_volume = patient_to_index(volume.affine, points)
    checks.append(points_inside(in_volume, volume.shape))
    sizes, size_checks = _sizes(files.sizes, len(points), volume.affine)
    base = volume.provenance if provenance is None else provenance
    return PointSet(
        points=points,
        indices=in_volume,
        sizes_mm=sizes,
        ids=tuple(range(1, len(points) + 1)),
        name=f"{files.patient_id} published points",
        provenance=replace(base, modality=""),
        checks=(*checks, *size_checks, _patient(files.patient_id, volume)),
        path=path,
    )


def compare(
    affine: Affine, shape: tuple[int, int, int], indices: Numbers, points: Numbers
) -> Check:
    """Compare published indices with published millimetres through the affine.

    When they disagree, conventions that would explain it are tried (signs of
    the points, 0- or 1-based indices, k from the head, i and j exchanged) and
    the one that fits is told, never applied.

    Parameters
    ----------
    affine : (4, 4) float64
    shape : (K, J, I)
    indices : (n, 3) float64
        i j k, as written.
    points : (n, 3) float64
        x y z LPS mm, as written.
    """
    code = "indices_equal_points"
    if not len(points):
        return Check(code, "warn", "The files hold no node.", {"rule": "P2"})
    residual = _residual(affine, indices, points)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    numbers: dict[str, Any] = {
        "rule": "P2",
        "residual_mm": residual,
        "rows": len(points),
    }
    if residual <= EXACT_MM:
        message = f"Indices and millimetres agree within {residual:.2g} mm."
        return Check(code, "pass", message, numbers)
    if residual <= 0.5 * spacing.min():
        message = f"Indices and millimetres agree only within {residual:.2g} mm."
        return Check(code, "warn", message, numbers)
    fits = [
        (name, misfit)
        for name, other_indices, other_points in _hypotheses(shape, indices, points)
        if (misfit := _residual(affine, other_indices, other_points)) <= EXACT_MM
    ]
    # A rule that needs fewer changes explains better: hypotheses come in order.
    fewest = [fit for fit in fits if fit[0].count(" and ") == fits[0][0].count(" and ")]
    numbers["alternatives"] = [name for name, _ in fits]
    if fewest and all(name.startswith(_NEGATED) for name, _ in fewest):
        numbers["choices"] = ["points=indices"]  # it is the millimetres that are off
    if len(fewest) == 1:
        advice = f" They would agree if {fewest[0][0]}; nothing was changed."
    elif fewest:
        advice = " Several conventions would explain it; nothing was changed."
    else:
        advice = " No known convention explains it: they may belong to another scan."
    return Check(
        code,
        "fail",
        f"Indices and millimetres disagree by up to {residual:.4g} mm." + advice,
        numbers,
    )


def _residual(affine: Affine, indices: Numbers, points: Numbers) -> float:
    return float(np.abs(index_to_patient(affine, indices[:, ::-1]) - points).max())


def _hypotheses(
    shape: tuple[int, int, int], indices: Numbers, points: Numbers
) -> Iterator[tuple[str, Numbers, Numbers]]:
    """Conventions other than the published one, simplest first, in words."""
    options = itertools.product(
        itertools.product((1.0, -1.0), repeat=3), (0, 1), (False, True), (False, True)
    )
    named = []
    for signs, base, from_head, swapped in options:
        words = []
        if signs != (1.0, 1.0, 1.0):
            axes = ", ".join(a for a, s in zip("xyz", signs, strict=True) if s < 0)
            ras = " (RAS)" if axes == "x, y" else ""
            words.append(f"{_NEGATED} {axes} negated{ras}")
        if base:
            words.append("indices counted from 1")
        if from_head:
            words.append("k counted from the head")
        if swapped:
            words.append("i and j were exchanged")
        if words:
            moved = indices - base
            if from_head:
                moved = np.column_stack([moved[:, :2], shape[0] - 1 - moved[:, 2]])
            if swapped:
                moved = moved[:, [1, 0, 2]]
            named.append((len(words), " and ".join(words), moved, points * signs))
    for _, name, moved, turned in sorted(named, key=lambda one: one[0]):
        yield name, moved, turned


def _sizes(
    sizes: Numbers | None, count: int, affine: Affine
) -> tuple[Numbers, list[Check]]:
    """Published diameters in mm, NaN where there is none, and the doubts."""
    none = np.full(count, np.nan)
    if sizes is None or len(sizes) != count:
        return none, []  # the row counts say so already
    millimetres = np.where(sizes[:, 0] > 0, sizes[:, 0], np.nan)
    lacking = (np.flatnonzero(np.isnan(millimetres)) + 1).tolist()
    checks = [
        Check(
            "sizes_present",
            "warn" if lacking else "pass",
            f"Rows {lacking} have no published size."
            if lacking
            else "Every row has a published size; the files do not name its axis.",
            {"rule": "S2", "rows": lacking},
        )
    ]
    if sizes.shape[1] == 2 and count:
        pixel = float(np.linalg.norm(affine[:3, 2]))
        pairs = np.where(sizes > 0, sizes, np.nan)
        off = np.abs(pairs[:, 1] * pixel / pairs[:, 0] - 1) > 0.01
        odd = (np.flatnonzero(off) + 1).tolist()
        checks.append(
            Check(
                "sizes_second_column",
                "warn" if odd else "pass",
                f"In rows {odd} the second number is not the first in pixels; "
                "the first, in mm, is used."
                if odd
                else "The second column repeats the first in pixels.",
                {"rule": "S1", "rows": odd, "values": sizes[off].tolist()},
            )
        )
    return millimetres, checks


def _patient(owner: str, volume: Volume) -> Check:
    patient = volume.provenance.patient_id
    if owner and patient and owner != patient:
        message = f"The files are of {owner}, the volume is {patient}."
        numbers = {"annotation": owner, "volume": patient}
        return Check("same_patient", "warn", message, numbers)
    return Check("same_patient", "pass", "Nothing in the names speaks against it.")
