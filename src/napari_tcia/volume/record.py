"""All of a volume but its pixels, as the JSON record of its decoded copy."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_tcia import __version__
from napari_tcia.core.image import Check, Passport, Volume
from napari_tcia.core.model import Provenance, to_json
from napari_tcia.volume.read import READER

_SCHEMA = 1
_MAX_RECORD = 64 << 20
_IDENTITY = (
    "patient_id",
    "study_uid",
    "series_uid",
    "frame_of_reference_uid",
    "modality",
)
"""What of a provenance the headers tell, as `read_volume` fills it in."""


def facts(volume: Volume) -> dict[str, Any]:
    """All of a volume but its array and provenance, for JSON.

    Floats are written so that the very same come back.
    """
    return {
        "affine": volume.affine.tolist(),
        "present": volume.present.tolist(),
        "checks": to_json(volume.passport.checks),
        "identity": {key: getattr(volume.provenance, key) for key in _IDENTITY},
        "synthetic": volume.provenance.synthetic,
        "quantity": volume.quantity,
        "window": volume.window,
        "sop_uids": volume.sop_uids,
        "files": [None if file is None else file.name for file in volume.files],
        "description": volume.description,
        "padding": volume.padding,
        "inverted": volume.inverted,
    }


def volume_of(
    body: Mapping[str, Any],
    array: NDArray[Any],
    source: Path,
    provenance: Provenance,
) -> Volume:
    """The volume of a record: `facts` undone.

    Raises
    ------
    KeyError, TypeError, ValueError
        The record is none of a volume.
    """
    checks = (
        Check(**{**check, "files": tuple(check["files"])}) for check in body["checks"]
    )
    window, padding = body["window"], body["padding"]
    told: dict[str, Any] = {key: str(body["identity"][key]) for key in _IDENTITY}
    volume = Volume(
        array=array,
        affine=np.array(body["affine"], dtype=np.float64).reshape(4, 4),
        present=np.array(body["present"], dtype=np.bool_),
        passport=Passport(tuple(checks)),
        provenance=Provenance(**told, synthetic=bool(body["synthetic"])),
        quantity=body["quantity"],
        window=None if window is None else (window[0], window[1]),
        sop_uids=tuple(body["sop_uids"]),
        files=tuple(None if n is None else source / n for n in body["files"]),
        description=body["description"],
        padding=None if padding is None else (padding[0], padding[1]),
        inverted=body["inverted"],
    )
    return with_provenance(volume, provenance)


def with_provenance(volume: Volume, provenance: Provenance) -> Volume:
    """`volume` with another provenance, filled in from the same headers."""
    told = volume.provenance
    facts = {key: getattr(told, key) for key in _IDENTITY}
    synthetic = provenance.synthetic or told.synthetic
    return replace(volume, provenance=replace(provenance, **facts, synthetic=synthetic))


def sealed(body: Mapping[str, Any]) -> str:
    """The record as text, with the version of who wrote it and its checksum."""
    text = _dumped({**_made_by(), **body})
    return json.dumps({"sha256": _sha256(text)})[:-1] + f', "copy": {text}}}\n'


def unsealed(path: Path) -> dict[str, Any]:
    """The record, when it is whole, and of this version of the program.

    Raises
    ------
    OSError, ValueError, TypeError, KeyError
        It is not.
    """
    if path.stat().st_size > _MAX_RECORD:
        raise ValueError("too large")
    record = json.loads(path.read_bytes())
    body: dict[str, Any] = record["copy"]
    if record["sha256"] != _sha256(_dumped(body)):
        raise ValueError("not what was written")
    if any(body[key] != value for key, value in _made_by().items()):
        raise ValueError("by another version")
    return body


def _made_by() -> dict[str, Any]:
    return {"schema": _SCHEMA, "reader": READER, "program": __version__}


def _dumped(body: Mapping[str, Any]) -> str:
    return json.dumps(body, sort_keys=True, separators=(",", ":"))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
