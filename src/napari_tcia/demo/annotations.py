"""Supplementary files of CT Lymph Nodes: points, sizes, candidates and masks.

Byte rules follow the published files: C++ stream defaults (``%.6g``), single
spaces, LF (CRLF where a Windows program wrote), and rows in no order. Positions
come from the truth list by the arithmetic of `Scan` alone.
"""

from __future__ import annotations

import gzip
import re
import warnings
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from napari_tcia.demo.phantom import Node, Scan


def listed_rows(scan: Scan, nodes: Sequence[Node]) -> tuple[Node, ...]:
    """The nodes in the order of the text files, which is not that of the labels."""
    rows = [node for node in nodes if node.listed]
    order = np.random.default_rng([scan.seed, 3]).permutation(len(rows))
    ordered = tuple(rows[n] for n in order)
    by_label = all(a.label < b.label for a, b in pairwise(ordered))
    return ordered[::-1] if by_label else ordered


def point_files(
    patient_id: str,
    scan: Scan,
    nodes: Sequence[Node],
    size_missing: bool = False,
    odd_size: int = 0,
) -> dict[str, bytes]:
    """The four annotation files of a patient, by name.

    Indices are (i, j, k) from 0 with k from the feet; points are the LPS mm of
    exactly those voxels. Sizes: one column of mm; for patients ``ABD_...`` the same
    number in mm and in pixels.

    Parameters
    ----------
    size_missing : bool
        Write 0 for the first size, as one published file does.
    odd_size : int
        Row, from 1, whose second number is no repetition, as in two published
        files; 0 for none.
    """
    rows = listed_rows(scan, nodes)
    kji = scan.nearest([node.centre for node in rows])
    texts = _texts(scan.lattice(kji))
    sizes = [_size(scan, node, patient_id.startswith("ABD")) for node in rows]
    if size_missing:
        sizes[0] = "0"
    if 0 < odd_size <= len(rows):
        long, short = rows[odd_size - 1].axial_axes
        sizes[odd_size - 1] = f"{round(short, 2):g} {round(long, 2):g}"
    stem = f"{patient_id}_lymphnodes"
    return {
        f"{stem}_indices.txt": _lines(f"{i} {j} {k}" for k, j, i in kji),
        f"{stem}_physicalPoints.txt": _lines(map(" ".join, texts)),
        f"{stem}_physicalPoints.mps": _mitk_points(texts),
        f"{stem}_sizes.txt": _lines(sizes),
    }


def candidate_files(
    patient_id: str,
    scan: Scan,
    nodes: Sequence[Node],
    empty: Sequence[str] = (),
    msvc: bool = False,
) -> dict[str, bytes]:
    """The six files of detector candidates of a patient, by name.

    Negatives lie anywhere on the lattice, from the head down, and have the number
    -1. A positive has the number of its patient and row: 100 * patient + row, 10000
    more for ``ABD_...``. There it is every node, in no order, moved by less than
    0.1 mm; for ``MED_...`` voxels up to 15 mm from most nodes, from the head down.

    Parameters
    ----------
    empty : sequence of {"pos", "neg"}
        Kinds whose files have 0 bytes, the ``.mps`` too.
    msvc : bool
        One negative lies 0.09 micrometre from x = 0, which the text file has with
        an exponent of three digits and the ``.mps`` with one of two.
    """
    rng = np.random.default_rng([scan.seed, 8])
    rows = listed_rows(scan, nodes)
    abdomen = patient_id.startswith("ABD")
    base = 100 * int(patient_id[-3:]) + (10000 if abdomen else 0)
    centres = scan.lattice(scan.nearest([node.centre for node in rows]))
    order = rng.permutation(len(rows))
    if abdomen:
        found = centres[order] + rng.uniform(-0.099, 0.099, (len(rows), 3))
        hits = base + order + 1
    else:
        hit = np.repeat(order[: max(1, round(0.75 * len(rows)))], 2)
        near = centres[hit] + rng.uniform(-1, 1, (len(hit), 3)) * (4, 4, 2)
        voxels = scan.nearest(near)
        down = _from_head(voxels)
        found, hits = scan.lattice(voxels[down]), base + hit[down] + 1
    inner = np.array(scan.shape) // 5
    kji = rng.integers(inner, np.array(scan.shape) - inner, size=(36, 3))
    kji = kji[_from_head(kji)]
    if msvc:
        kji[5, 2] = scan.matrix // 2
    files: dict[str, bytes] = {}
    for sign, points, numbers in (
        ("neg", scan.lattice(kji), np.full(len(kji), -1)),
        ("pos", found, hits),
    ):
        stem = f"{patient_id}_{sign}CADe"
        texts = _texts(points)
        lines = _lines(map(" ".join, texts))
        if sign == "neg" or not abdomen:
            # Visual C++ of that time wrote exponents with three digits; the .mps
            # came from another program.
            lines = re.sub(rb"e([+-])", rb"e\g<1>0", lines).replace(b"\n", b"\r\n")
        content = {
            f"{stem}_physicalPoints.txt": lines,
            f"{stem}_physicalPoints.mps": _mitk_points(texts),
            f"{stem}_grtIDs.txt": _lines(map(str, numbers.tolist())),
        }
        files |= dict.fromkeys(content, b"") if sign in empty else content
    return files


def mask_file(
    scan: Scan, labels: NDArray[np.uint8], dtype: DTypeLike = np.uint8
) -> bytes:
    """The labels as ``.nii.gz`` on the grid of the CT.

    NIfTI counts (i, j, k) and its world is RAS: x and y change sign.
    """
    import nibabel

    x, y, z = scan.origin
    affine = np.diag([-scan.spacing, -scan.spacing, scan.step, 1.0])
    affine[:3, 3] = -x, -y, z
    image: Any = nibabel.Nifti1Image(  # type: ignore[no-untyped-call]
        np.ascontiguousarray(labels.transpose(2, 1, 0), dtype=dtype), affine
    )
    image.set_qform(image.affine, code=1)
    image.set_sform(image.affine, code=1)
    image.header.set_xyzt_units("mm")
    image.header["descrip"] = b"SYNTHETIC phantom of napari-tcia"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return gzip.compress(image.to_bytes(), compresslevel=1, mtime=0)


def _from_head(kji: NDArray[np.int64]) -> NDArray[np.intp]:
    """Order of voxels by falling k."""
    return np.argsort(-kji[:, 0], kind="stable")


def _size(scan: Scan, node: Node, in_pixels: bool) -> str:
    short = node.axial_axes[1]
    if not in_pixels:
        return f"{round(short, 1):g}"
    pixels = round(short / scan.spacing, 2)
    return f"{round(pixels * scan.spacing, 2):g} {pixels:g}"


def _texts(points: NDArray[np.float64]) -> list[list[str]]:
    return [[f"{value:.6g}" for value in point] for point in points]


def _lines(rows: Iterable[str]) -> bytes:
    return "".join(f"{row}\n" for row in rows).encode("ascii")


def _mitk_points(texts: Sequence[Sequence[str]]) -> bytes:
    """MITK point set 0.1, the way the published files are laid out."""
    points = "".join(
        f"      <point>\n        <id>{number}</id>\n"
        "        <specification>0</specification>\n"
        f"        <x>{x}</x>\n        <y>{y}</y>\n        <z>{z}</z>\n"
        "      </point>\n"
        for number, (x, y, z) in enumerate(texts)
    )
    return (
        '<?xml version="1.0" encoding="ISO-8859-1"?>\n'
        "<point_set_file>\n  <file_version>0.1</file_version>\n  <point_set>\n"
        "    <time_series>\n      <time_series_id>0</time_series_id>\n"
        f"{points}    </time_series>\n  </point_set>\n</point_set_file>\n"
    ).encode("latin-1")
