"""Labels and points for 3D Slicer: ``.seg.nrrd`` and ``.mrk.json``, both in LPS."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_tcia.core.image import LabelSet, PointSet, Volume
from napari_tcia.core.model import Citation
from napari_tcia.errors import MissingExtra
from napari_tcia.export.files import (
    ascii_text,
    case_stem,
    credit_lines,
    is_file_name,
    label_paths,
    require_equal,
    staged,
)
from napari_tcia.export.seg import ANATOMY, LYMPH_NODE
from napari_tcia.volume import require_sound

_SUFFIXES = (".seg.nrrd",)
_SCHEMA = (
    "https://raw.githubusercontent.com/Slicer/Slicer/main/Modules/Loadable/Markups/"
    "Resources/Schema/markups-schema-v1.0.3.json#"
)
_KJI_TO_IJK = np.eye(4)[[2, 1, 0, 3]]


def write(
    out: Path | str,
    volume: Volume,
    labels: Sequence[LabelSet],
    points: PointSet | None,
    citations: Sequence[Citation],
) -> list[Path]:
    """Write each label set as ``.seg.nrrd`` and the points as ``.mrk.json``.

    Parameters
    ----------
    out : path
        A ``.seg.nrrd`` name, or a folder.
    volume : Volume
        Of sound geometry.
    labels : sequence of LabelSet
    points : PointSet or None
    citations : sequence of Citation
        Written into both: as a header field, and as the description of the
        markups.

    Returns
    -------
    list of Path
        The files, after slicerio read the same voxels and geometry.

    Raises
    ------
    MissingExtra
        slicerio is not installed.
    BrokenGeometry, StorageError, CorruptData
    """
    require_sound(volume, "export")
    try:
        import slicerio
    except ImportError as error:
        raise MissingExtra(
            "Slicer files need the package slicerio.",
            'Install it: pip install "napari-tcia[slicer]"',
        ) from error
    out = Path(out)
    credit = credit_lines(volume, citations)
    affine = volume.affine @ _KJI_TO_IJK
    written = label_paths(out, volume, labels, _SUFFIXES)
    for path, one in zip(written, labels, strict=True):
        content: dict[str, Any] = {
            "voxels": one.array.transpose(2, 1, 0),
            "ijkToLPS": affine,
            "encoding": "gzip",
            "containedRepresentationNames": ["Binary labelmap"],
            "credit": ascii_text(" | ".join(credit)),
            "segments": [
                {
                    "id": f"Segment_{segment.value}",
                    "name": ascii_text(segment.label),
                    "labelValue": segment.value,
                    "layer": 0,
                    "terminology": {
                        "contextName": "Segmentation category and type - "
                        "3D Slicer General Anatomy list",
                        "category": _term(segment.category or ANATOMY),
                        "type": _term(segment.type or LYMPH_NODE),
                    },
                }
                for segment in one.segments
            ],
        }
        with staged(path, ".seg.nrrd") as temporary:
            slicerio.write_segmentation(str(temporary), content, compression_level=4)
            again = slicerio.read_segmentation(str(temporary))
            same = np.array_equal(again["voxels"], content["voxels"])
            require_equal(same, path, "voxels")
            near = np.allclose(again["ijkToLPS"], affine, atol=1e-6)
            require_equal(near, path, "geometry")
            values = [segment["labelValue"] for segment in again["segments"]]
            require_equal(values == [s.value for s in one.segments], path, "segments")
    if points is not None:
        folder = out.parent if is_file_name(out, _SUFFIXES) else out
        path = folder / f"{case_stem(volume)}_points.mrk.json"
        document = markups(points, credit)
        with staged(path, ".mrk.json") as temporary:
            temporary.write_text(json.dumps(document, indent=1), encoding="utf-8")
            reread = json.loads(temporary.read_text(encoding="utf-8"))
            require_equal(reread == document, path, "points")
        written.append(path)
    return written


def markups(points: PointSet, credit: Sequence[str]) -> dict[str, Any]:
    """Points as a Slicer markups document (schema 1.0.3), LPS millimetres."""
    return {
        "@schema": _SCHEMA,
        "markups": [
            {
                "type": "Fiducial",
                "name": points.name,
                "description": "\n".join(credit),
                "coordinateSystem": "LPS",
                "coordinateUnits": "mm",
                "locked": False,
                "labelFormat": "%N-%d",
                "controlPoints": [
                    {
                        "id": str(number),
                        "label": f"N{number}",
                        "description": f"published size {size:g} mm"
                        if np.isfinite(size)
                        else "",
                        "associatedNodeID": "",
                        "position": [float(value) for value in point],
                        "orientation": [-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0],
                        "selected": True,
                        "locked": False,
                        "visibility": True,
                        "positionStatus": "defined",
                    }
                    for number, point, size in zip(
                        points.ids, points.points, points.sizes_mm, strict=True
                    )
                ],
            }
        ],
    }


def _term(code: tuple[str, str, str]) -> list[str]:
    value, scheme, meaning = code
    return [scheme, value, ascii_text(meaning)]
