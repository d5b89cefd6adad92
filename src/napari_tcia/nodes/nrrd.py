"""Segmentations of 3D Slicer and other NRRD labelmaps onto the grid of their CT.

A ``.seg.nrrd`` holds whole numbers on a grid of its own, often cut to what is
drawn; overlapping segments lie in several layers, along a fourth axis. Which
number of which layer is a segment, its header fields ``SegmentN_*`` say. The
voxels are placed by the header's LPS or RAS geometry, and by nothing else.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import nrrd
import numpy as np
from numpy.typing import NDArray

from napari_tcia.core.image import Check, LabelSet, Segment, Volume
from napari_tcia.core.model import Provenance
from napari_tcia.errors import (
    CorruptData,
    GeometryMismatch,
    NothingFound,
    UnreadableAnnotation,
    UnsupportedData,
)
from napari_tcia.nodes.grid import Placement, flat_indices, on_missing_slices, place
from napari_tcia.nodes.masks import whole_numbers
from napari_tcia.nodes.spread import Voxels, spread

_TO_LPS = {
    "left-posterior-superior": (1.0, 1.0, 1.0),
    "lps": (1.0, 1.0, 1.0),
    "right-anterior-superior": (-1.0, -1.0, 1.0),
    "ras": (-1.0, -1.0, 1.0),
    "left-anterior-superior": (1.0, -1.0, 1.0),
    "las": (1.0, -1.0, 1.0),
}
"""Signs that turn each space of the format's definition into LPS."""
_DTYPES = {
    **dict.fromkeys(("signed char", "int8", "int8_t"), "i1"),
    **dict.fromkeys(("uchar", "unsigned char", "uint8", "uint8_t"), "u1"),
    **dict.fromkeys(("short", "short int", "signed short", "int16", "int16_t"), "i2"),
    **dict.fromkeys(("ushort", "unsigned short", "uint16", "uint16_t"), "u2"),
    **dict.fromkeys(("int", "signed int", "int32", "int32_t"), "i4"),
    **dict.fromkeys(("uint", "unsigned int", "uint32", "uint32_t"), "u4"),
    **dict.fromkeys(("longlong", "long long", "int64", "int64_t"), "i8"),
    **dict.fromkeys(("ulonglong", "unsigned long long", "uint64", "uint64_t"), "u8"),
    "float": "f4",
    "double": "f8",
}
_LIMIT = 4 << 30
"""Bytes of voxels, as the header declares them, that are still read."""


def read_nrrd(
    path: Path | str, volume: Volume, *, provenance: Provenance | None = None
) -> list[LabelSet]:
    """Read a ``.seg.nrrd`` or a ``.nrrd`` labelmap as labels on the grid of `volume`.

    Parameters
    ----------
    path : path
        One file with its voxels in it, raw or gzip.
    volume : Volume
        The images that it belongs to, of sound geometry.
    provenance : Provenance, optional
        Where the file came from; that of the volume by default.

    Returns
    -------
    list of LabelSet
        Values are those of the file (``SegmentN_LabelValue``); segments that share
        a voxel or a value are spread over several sets. Numbers that no segment
        describes are kept, named after themselves, with a warning.

    Raises
    ------
    GeometryMismatch
        No patient space, off the grid, or labels outside the volume.
    UnreadableAnnotation
        Not NRRD, or no labels.
    UnsupportedData
        Voxels in another file or encoding, or too many.
    CorruptData
        Cut short.
    """
    path = Path(path)
    if not path.is_file():
        raise NothingFound(f"{path} does not exist.", "Check the path.")
    header, payload = _open(path)
    layer_axis, vectors, origin = _geometry(header, path.name)
    sizes = [int(n) for n in header["sizes"]]
    spatial = tuple(n for axis, n in enumerate(sizes) if axis != layer_axis)
    at = place(volume.affine, vectors, origin, spatial, path.name)
    voxels = whole_numbers(_voxels(header, payload, path.name), path.name)
    layers = (
        voxels[np.newaxis] if layer_axis is None else np.moveaxis(voxels, layer_axis, 0)
    )
    described = _segments(header, len(layers), path.name)
    found, unknown = _found(layers, at, volume, described, path.name)
    count = sum(len(flat) for _, flat in found)
    checks = [
        Check(
            "on_grid",
            "pass",
            f"Every voxel lies on the grid, within {at.residual:.2g} voxels.",
            {"residual_voxels": at.residual},
        ),
        Check(
            "foreground",
            "pass" if count else "warn",
            f"{count} voxels in {len(found)} segments." if count else "No foreground.",
            {"voxels": count},
        ),
    ]
    if unknown:
        message = f"No segment describes the values {unknown[:5]}; they are kept."
        checks.append(Check("described", "warn", message, {"layer_and_value": unknown}))
    plane = volume.shape[1] * volume.shape[2]
    checks += on_missing_slices(
        volume, {int(k) for _, flat in found for k in np.unique(flat // plane)}
    )
    base = volume.provenance if provenance is None else provenance
    name = path.name.removesuffix(".nrrd").removesuffix(".seg")
    return [
        LabelSet(
            array=array,
            segments=members,
            name=name if number == 1 else f"{name} ({number})",
            source="labelmap",
            provenance=replace(base, modality=""),
            checks=tuple(checks),
            path=path,
        )
        for number, (array, members) in enumerate(spread(found, volume.shape), start=1)
    ]


def _open(path: Path) -> tuple[Mapping[str, Any], bytes]:
    """Header and what follows it; the voxels themselves are not looked at yet."""
    try:
        with path.open("rb") as stream:
            header: Mapping[str, Any] = nrrd.read_header(stream)
            payload = stream.read()
        missing = {"sizes", "type", "encoding"} - header.keys()
    except Exception as error:  # pynrrd parses by hand and raises many types
        raise UnreadableAnnotation(
            f"{path.name} cannot be read as NRRD: {error}.", "Save it again."
        ) from error
    if missing:
        raise UnreadableAnnotation(
            f"{path.name} lacks {', '.join(sorted(missing))} in its header.",
            "Save it again.",
        )
    apart = {"data file", "datafile"} & header.keys()
    if apart or header.get("byte skip") or header.get("line skip"):
        raise UnsupportedData(
            f"{path.name} keeps its voxels elsewhere than behind its header.",
            "Save it as one .nrrd file.",
        )
    return header, payload


def _geometry(
    header: Mapping[str, Any], name: str
) -> tuple[int | None, NDArray[np.float64], NDArray[np.float64]]:
    """Layer axis; LPS steps (3, 3) along the other axes, in their order; origin."""
    signs = _TO_LPS.get(str(header.get("space", "")).strip().lower())
    rows = header.get("space directions")
    origin = header.get("space origin")
    if signs is None or rows is None or origin is None:
        raise GeometryMismatch(
            f"{name} states no place in the patient (space, directions and origin).",
            "Save it from 3D Slicer or ITK, which write them.",
            space=str(header.get("space", "")),
        )
    units = {str(unit).strip('"') for unit in header.get("space units") or ("mm",)}
    steps = [np.full(3, np.nan) if row is None else np.asarray(row) for row in rows]
    layers = [axis for axis, step in enumerate(steps) if not np.isfinite(step).all()]
    vectors = [step for axis, step in enumerate(steps) if axis not in layers]
    sized = len(steps) == len(header["sizes"]) and min(header["sizes"]) > 0
    if len(vectors) != 3 or len(layers) > 1 or not sized or units - {"mm"}:
        raise GeometryMismatch(
            f"{name} is no labelmap of three axes in mm, with or without layers.",
            "Save the segmentation alone.",
            directions=np.array(steps).tolist(),
        )
    turned = np.diag(signs)
    return (
        layers[0] if layers else None,
        turned @ np.array(vectors, dtype=np.float64).T,
        turned @ np.asarray(origin, dtype=np.float64),
    )


def _voxels(header: Mapping[str, Any], payload: bytes, name: str) -> NDArray[Any]:
    """Array in the order of the header's axes, the first running fastest."""
    sizes = [int(n) for n in header["sizes"]]
    kind = _DTYPES.get(str(header["type"]).strip().lower())
    encoding = str(header["encoding"]).strip().lower()
    if kind is None or encoding not in ("raw", "gzip", "gz"):
        raise UnsupportedData(
            f"{name} holds {header['type']} in encoding {encoding}.",
            "Save it as whole numbers, raw or gzip.",
        )
    big = str(header.get("endian", "little")).lower() == "big"
    dtype = np.dtype((">" if big else "<") + kind)
    declared = int(np.prod(sizes, dtype=object)) * dtype.itemsize
    if declared > _LIMIT:
        raise UnsupportedData(
            f"{name} declares {declared / 1e9:.1f} GB of voxels.",
            "Cut it to the grid of its CT.",
        )
    if encoding != "raw":
        try:
            # No more than is declared, whatever the stream would swell to.
            payload = zlib.decompressobj(47).decompress(payload, declared + 1)
        except zlib.error as error:
            raise CorruptData(
                f"{name} is damaged: {error}.", "Save it again."
            ) from error
    if len(payload) != declared:
        raise CorruptData(
            f"{name} holds {len(payload)} bytes of voxels where its header declares "
            f"{declared}.",
            "Save it again.",
        )
    return np.frombuffer(payload, dtype).reshape(sizes, order="F")


def _segments(
    header: Mapping[str, Any], layers: int, name: str
) -> dict[tuple[int, int], Segment]:
    """Segments by (layer, value), as the fields ``SegmentN_*`` describe them."""
    found: dict[tuple[int, int], Segment] = {}
    number = 0
    while f"Segment{number}_ID" in header or f"Segment{number}_Name" in header:
        field = f"Segment{number}_"
        try:
            # Before Slicer 4.11 every segment was a layer of zeros and ones.
            layer = int(header.get(f"{field}Layer", number if layers > 1 else 0))
            value = int(header.get(f"{field}LabelValue", 1))
        except ValueError as error:
            raise UnreadableAnnotation(
                f"{name} does not number its segment {number}: {error}.",
                "Save it again.",
            ) from error
        if (layer, value) in found or not (0 <= layer < layers and 0 < value <= 65535):
            raise UnreadableAnnotation(
                f"{name} puts its segment {number} at value {value} of layer {layer}, "
                "which is taken or not there.",
                "Save it again.",
            )
        category, kind = _terms(str(header.get(f"{field}Tags", "")))
        label = str(header.get(f"{field}Name", "")) or f"Segment {value}"
        found[layer, value] = Segment(value, label, category, kind)
        number += 1
    return found


def _terms(tags: str) -> tuple[tuple[str, str, str] | None, ...]:
    """Category and type of a ``TerminologyEntry``, as (value, scheme, meaning)."""
    entry = next(
        (
            tag.partition(":")[2].strip()
            for tag in tags.split("|")
            if tag.strip().startswith("TerminologyEntry:")
        ),
        "",
    )
    codes: list[tuple[str, str, str] | None] = []
    for part in [*entry.split("~"), "", "", ""][1:3]:
        words = part.split("^")
        whole = len(words) == 3 and bool(words[1])
        codes.append((words[1], words[0], words[2]) if whole else None)
    return tuple(codes)


def _found(
    layers: NDArray[Any],
    at: Placement,
    volume: Volume,
    described: Mapping[tuple[int, int], Segment],
    name: str,
) -> tuple[list[Voxels], list[tuple[int, int]]]:
    """Segments with their voxels, and the (layer, value) that none describes."""
    parts: dict[tuple[int, int], list[NDArray[np.int64]]] = {}
    for layer, value, indices in _foreground(layers):
        flat = flat_indices(at, indices, volume, name)
        parts.setdefault((layer, value), []).append(flat)
    unknown = sorted(parts.keys() - described.keys()) if described else []
    segments = dict(described)
    for layer, value in parts:
        segments.setdefault((layer, value), Segment(value, f"Node {value}"))
    none = np.empty(0, dtype=np.int64)
    found = [
        (segment, np.concatenate([none, *parts.get(key, ())]))
        for key, segment in segments.items()
    ]
    return found, unknown


def _foreground(
    layers: NDArray[Any],
) -> Iterator[tuple[int, int, NDArray[np.int64]]]:
    """Layer, value and (n, 3) file indices, one plane of the file at a time."""
    for layer, voxels in enumerate(layers):
        for plane in range(voxels.shape[2]):
            first, second = np.nonzero(voxels[:, :, plane])
            values = voxels[first, second, plane]
            for value in np.unique(values).tolist():
                chosen = values == value
                at = np.full(int(chosen.sum()), plane)
                yield layer, value, np.stack([first[chosen], second[chosen], at], 1)
