"""Raw values of a header as plain facts.

Decoded here from their bytes instead of through pydicom's element classes: CT Lymph
Nodes holds an age of ``N-A`` and UIDs below ``61.7.``, which a validating reader
refuses or warns of.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import Any

from pydicom.charset import convert_encodings, decode_bytes

from napari_tcia.volume.elements import DEFLATED, NATIVE, Walk
from napari_tcia.volume.instance import Header

_SHARED = {
    "charset": 0x00080005,
    "image_type": 0x00080008,
    "sop_class_uid": 0x00080016,
    "modality": 0x00080060,
    "manufacturer": 0x00080070,
    "description": 0x0008103E,
    "patient_id": 0x00100020,
    "patient_comments": 0x00104000,
    "ctp_collection": 0x00131010,
    "body_part": 0x00180015,
    "thickness": 0x00180050,
    "echo": 0x00180086,
    "between": 0x00180088,
    "study_uid": 0x0020000D,
    "series_uid": 0x0020000E,
    "orientation": 0x00200037,
    "frame_of_reference_uid": 0x00200052,
    "image_comments": 0x00204000,
    "samples": 0x00280002,
    "photometric": 0x00280004,
    "frames": 0x00280008,
    "rows": 0x00280010,
    "columns": 0x00280011,
    "pixel_spacing": 0x00280030,
    "bits_allocated": 0x00280100,
    "bits_stored": 0x00280101,
    "high_bit": 0x00280102,
    "signed": 0x00280103,
    "padding": 0x00280120,
    "padding_limit": 0x00280121,
    "rescale_type": 0x00281054,
    "is_lossy": 0x00282110,
    "lossy_ratio": 0x00282112,
    "units": 0x00541001,
}
"""Elements whose values are mostly the same in all of a series: decoded once."""
_VARIED = {
    "trigger": 0x00181060,
    "b_value": 0x00189087,
    "acquisition": 0x00200012,
    "temporal": 0x00200100,
    "center": 0x00281050,
    "width": 0x00281051,
    "intercept": 0x00281052,
    "slope": 0x00281053,
}
"""Elements that some scanners vary from slice to slice."""
_OWN = {
    "sop_instance_uid": 0x00080018,
    "instance_number": 0x00200013,
    "position": 0x00200032,
}
"""Elements that every image has for itself."""
_OWN_END = 4
"""Where what they make ends among the fields of `Header`, which begins with them."""
_ALL = _SHARED | _VARIED | _OWN
TAGS = frozenset(_ALL.values())
"""Elements whose raw values make a `Header`."""
_SHARED_TAGS = tuple(_SHARED.values())
_VARIED_TAGS = tuple(_VARIED.values())
OWN_TAGS = tuple(_OWN.values())
"""Those that `sibling` decodes."""


def decode(
    path: Path,
    size: int,
    found: Walk,
    referenced: str,
    decoded: dict[tuple[Any, ...], dict[str, Any]],
) -> Header:
    """Decode what a walk found.

    Parameters
    ----------
    path : Path
    size : int
        Of the content in bytes.
    found : Walk
        With the raw values of `TAGS`.
    referenced : str
        SeriesInstanceUID that it refers to, or empty.
    decoded : dict
        Values decoded before, by their raw bytes; filled.
    """
    raw, syntax = found.values, found.transfer_syntax
    key = (syntax, *map(raw.get, _SHARED_TAGS))
    shared = decoded.get(key)
    if shared is None:
        shared = decoded[key] = _decode_shared(raw, syntax)
    key = (syntax, *map(raw.get, _VARIED_TAGS))
    varied = decoded.get(key)
    if varied is None:
        varied = decoded[key] = _decode_varied(raw, syntax)
    uid, number, position = _decode_own(raw)
    return Header(
        path=path,
        sop_instance_uid=uid,
        instance_number=number,
        position=position,
        bytes=size,
        referenced_series_uid=referenced,
        pixel_offset=found.pixel_offset,
        pixel_bytes=found.pixel_bytes,
        **shared,
        **varied,
    )


def sibling(header: Header, path: Path, own: tuple[bytes, ...]) -> Header:
    """Header of a file that differs from another one in what each has for itself.

    Parameters
    ----------
    header : Header
        Of the other file.
    path : Path
    own : tuple of bytes
        Raw values of `OWN_TAGS`.
    """
    raw = dict(zip(OWN_TAGS, own, strict=True))
    return Header._make((path, *_decode_own(raw), *header[_OWN_END:]))


def _decode_own(
    raw: Mapping[int, bytes],
) -> tuple[str, int | None, tuple[float, ...] | None]:
    return (
        _ascii(raw, "sop_instance_uid"),
        _whole(raw, "instance_number"),
        _decimals(raw, "position", 3),
    )


def _decode_varied(raw: Mapping[int, bytes], syntax: str) -> dict[str, Any]:
    center, width = _decimal(raw, "center"), _decimal(raw, "width")
    b_value = raw.get(_VARIED["b_value"], b"")
    order = NATIVE.get(syntax, "<")
    return {
        "slope": _decimal(raw, "slope"),
        "intercept": _decimal(raw, "intercept"),
        "window": None if center is None or width is None else (center, width),
        "acquisition": _ascii(raw, "acquisition"),
        "temporal": _ascii(raw, "temporal"),
        "trigger": _ascii(raw, "trigger"),
        "b_value": f"{struct.unpack(order + 'd', b_value)[0]:g}"
        if len(b_value) == 8
        else "",
    }


def _decode_shared(raw: Mapping[int, bytes], syntax: str) -> dict[str, Any]:
    order = NATIVE.get(syntax, "<")
    charset = [part.strip() for part in _ascii(raw, "charset").split("\\")]

    def text(name: str) -> str:
        value = raw.get(_SHARED[name], b"").rstrip(b"\0 ").lstrip(b" ")
        if value.isascii():
            return value.decode("ascii")
        return decode_bytes(value, convert_encodings(charset), set())

    def number(name: str, default: int = 0, kind: str = "H") -> int:
        value = raw.get(_SHARED[name], b"")
        return struct.unpack(order + kind, value[:2])[0] if len(value) >= 2 else default

    signed = number("signed") == 1
    padding = None
    if len(raw.get(_SHARED["padding"], b"")) == 2:
        kind = "h" if signed else "H"
        one = number("padding", kind=kind)
        other = number("padding_limit", one, kind)
        padding = (min(one, other), max(one, other))
    comments = (text("patient_comments"), text("image_comments"))
    frames = _decimal(raw, "frames")
    return {
        "sop_class_uid": text("sop_class_uid"),
        "series_uid": text("series_uid"),
        "study_uid": text("study_uid"),
        "patient_id": text("patient_id"),
        "modality": text("modality"),
        "description": text("description"),
        "manufacturer": text("manufacturer"),
        "body_part": text("body_part"),
        "frame_of_reference_uid": text("frame_of_reference_uid"),
        "ctp_collection": text("ctp_collection"),
        "comments": " ".join(filter(None, comments)),
        "image_type": tuple(text("image_type").split("\\")),
        "orientation": _decimals(raw, "orientation", 6),
        "pixel_spacing": _decimals(raw, "pixel_spacing", 2),
        "step": _decimal(raw, "between") or _decimal(raw, "thickness"),
        "rows": number("rows"),
        "columns": number("columns"),
        "samples": number("samples", 1),
        "frames": max(1, int(frames)) if frames is not None else 1,
        "photometric": text("photometric"),
        "bits_allocated": number("bits_allocated"),
        "bits_stored": number("bits_stored") or number("bits_allocated"),
        "high_bit": number("high_bit", -1),
        "signed": signed,
        "rescale_type": text("rescale_type").upper(),
        "units": text("units"),
        "padding": padding,
        "lossy": text("lossy_ratio") if text("is_lossy") == "01" else None,
        "echo": text("echo"),
        "transfer_syntax": syntax,
        "byte_order": "<" if syntax == DEFLATED else NATIVE.get(syntax, ""),
    }


def _ascii(raw: Mapping[int, bytes], name: str) -> str:
    return raw.get(_ALL[name], b"").strip(b"\0 ").decode("ascii", "replace")


def _decimals(
    raw: Mapping[int, bytes], name: str, count: int
) -> tuple[float, ...] | None:
    parts = raw.get(_ALL[name], b"").strip(b"\0 ").split(b"\\")[:count]
    try:
        values = tuple(map(float, parts))
    except ValueError:  # absent, or no number
        return None
    return values if len(values) == count and all(map(isfinite, values)) else None


def _decimal(raw: Mapping[int, bytes], name: str) -> float | None:
    values = _decimals(raw, name, 1)
    return values[0] if values else None


def _whole(raw: Mapping[int, bytes], name: str) -> int | None:
    value = _decimal(raw, name)
    return None if value is None else int(value)
