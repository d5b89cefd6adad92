"""Supplementary files of CT Lymph Nodes: points, sizes and masks.

Byte rules follow the published files: C++ stream defaults (``%.6g``), single
spaces, LF, and rows in no order.
"""

from __future__ import annotations

import gzip
import warnings
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_tcia.core.geometry import index_to_patient, patient_to_index
from napari_tcia.demo.phantom import Node, Scan


def listed_rows(scan: Scan, nodes: Sequence[Node]) -> tuple[Node, ...]:
    """The nodes in the order of the text files, which is not that of the labels."""
    rows = [node for node in nodes if node.listed]
    order = np.random.default_rng([scan.seed, 3]).permutation(len(rows))
    ordered = tuple(rows[n] for n in order)
    by_label = all(a.label < b.label for a, b in pairwise(ordered))
    return ordered[::-1] if by_label else ordered


def point_files(
    patient_id: str, scan: Scan, nodes: Sequence[Node], size_missing: bool = False
) -> dict[str, bytes]:
    """The four annotation files of a patient, by name.

    Indices are (i, j, k) from 0 with k from the feet; points are the LPS mm of
    exactly those voxels. Sizes: one column of mm; for patients ``ABD_...`` the same
    number in mm and in pixels.

    Parameters
    ----------
    size_missing : bool
        Write 0 for the first size, as one published file does.
    """
    rows = listed_rows(scan, nodes)
    kji = np.rint(patient_to_index(scan.affine, [node.centre for node in rows])).astype(
        int
    )
    points = index_to_patient(scan.affine, kji)
    texts = [[f"{value:.6g}" for value in point] for point in points]
    sizes = [_size(scan, node, patient_id.startswith("ABD")) for node in rows]
    if size_missing:
        sizes[0] = "0"
    stem = f"{patient_id}_lymphnodes"
    return {
        f"{stem}_indices.txt": _lines(f"{i} {j} {k}" for k, j, i in kji),
        f"{stem}_physicalPoints.txt": _lines(map(" ".join, texts)),
        f"{stem}_physicalPoints.mps": _mitk_points(texts),
        f"{stem}_sizes.txt": _lines(sizes),
    }


def mask_file(scan: Scan, labels: NDArray[np.uint8]) -> bytes:
    """The labels as ``.nii.gz`` on the grid of the CT.

    NIfTI counts (i, j, k) and its world is RAS: x and y change sign.
    """
    import nibabel

    lps = scan.affine[:, [2, 1, 0, 3]]
    image: Any = nibabel.Nifti1Image(  # type: ignore[no-untyped-call]
        np.ascontiguousarray(labels.transpose(2, 1, 0)), np.diag([-1, -1, 1, 1]) @ lps
    )
    image.set_qform(image.affine, code=1)
    image.set_sform(image.affine, code=1)
    image.header.set_xyzt_units("mm")
    image.header["descrip"] = b"SYNTHETIC phantom of napari-tcia"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return gzip.compress(image.to_bytes(), compresslevel=1, mtime=0)


def _size(scan: Scan, node: Node, in_pixels: bool) -> str:
    short = node.axial_axes[1]
    if not in_pixels:
        return f"{round(short, 1):g}"
    pixels = round(short / scan.spacing, 2)
    return f"{round(pixels * scan.spacing, 2):g} {pixels:g}"


def _lines(rows: Iterable[str]) -> bytes:
    return "".join(f"{row}\n" for row in rows).encode("ascii")


def _mitk_points(texts: Sequence[Sequence[str]]) -> bytes:
    """MITK point set 0.1, the way the published files are laid out."""
    points = "".join(
        f"        <point>\n          <id>{number}</id>\n"
        "          <specification>0</specification>\n"
        f"          <x>{x}</x>\n          <y>{y}</y>\n          <z>{z}</z>\n"
        "        </point>\n"
        for number, (x, y, z) in enumerate(texts)
    )
    return (
        '<?xml version="1.0" encoding="ISO-8859-1"?>\n'
        "<point_set_file>\n  <file_version>0.1</file_version>\n  <point_set>\n"
        "    <time_series>\n      <time_series_id>0</time_series_id>\n"
        f"{points}    </time_series>\n  </point_set>\n</point_set_file>\n"
    ).encode("latin-1")
