"""One DICOM header, read tolerantly: raw bytes in, plain facts out.

Values are decoded here from their bytes instead of through pydicom's element
classes: CT Lymph Nodes holds an age of ``N-A`` and UIDs below ``61.7.``, which
a validating reader refuses or warns of, and 648 headers take half the time.
"""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, BinaryIO

import pydicom
from pydicom.charset import convert_encodings, decode_bytes

NATIVE = {
    "1.2.840.10008.1.2": "<",
    "1.2.840.10008.1.2.1": "<",
    "1.2.840.10008.1.2.2": ">",
}
"""Byte order of the transfer syntaxes whose pixels lie in the file as they are."""

_DICOMDIR = "1.2.840.10008.1.3.10"
_NOT_IMAGES = frozenset(
    (
        "ANN",
        "AU",
        "DOC",
        "FID",
        "HD",
        "KER",
        "KO",
        "M3D",
        "PLAN",
        "PR",
        "REG",
        "RTDOSE",
        "RTINTENT",
        "RTPLAN",
        "RTRAD",
        "RTRECORD",
        "RTSEGANN",
        "RTSTRUCT",
        "RWV",
        "SEG",
        "SMR",
        "SR",
        "TEXTUREMAP",
    )
)
"""Modalities that accompany images (DICOM PS3.3 C.7.3.1.1.1)."""

_TAGS = {
    "charset": 0x00080005,
    "image_type": 0x00080008,
    "sop_class_uid": 0x00080016,
    "sop_instance_uid": 0x00080018,
    "modality": 0x00080060,
    "manufacturer": 0x00080070,
    "description": 0x0008103E,
    "referenced": 0x00081115,
    "patient_id": 0x00100020,
    "patient_comments": 0x00104000,
    "ctp_collection": 0x00131010,
    "body_part": 0x00180015,
    "thickness": 0x00180050,
    "between": 0x00180088,
    "study_uid": 0x0020000D,
    "series_uid": 0x0020000E,
    "position": 0x00200032,
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
    "signed": 0x00280103,
    "center": 0x00281050,
    "width": 0x00281051,
    "intercept": 0x00281052,
    "slope": 0x00281053,
    "rescale_type": 0x00281054,
    "units": 0x00541001,
}
_WANTED = [*_TAGS.values(), 0x00130010]


@dataclass(frozen=True, slots=True)
class Header:
    """What placing and reading one instance needs; empty or None when absent.

    Attributes
    ----------
    position : (3,) tuple or None
        ImagePositionPatient, LPS mm.
    orientation : (6,) tuple or None
        ImageOrientationPatient: row direction, then column direction.
    pixel_spacing : (2,) tuple or None
        mm between rows, then between columns.
    step : float or None
        SpacingBetweenSlices, else SliceThickness, mm.
    window : (level, width) or None
        First WindowCenter and WindowWidth.
    byte_order : {"<", ">", ""}
        Empty when the pixels are compressed.
    pixel_offset, pixel_bytes : int
        Where the stored values lie in the file; 0 when there are none.
    bytes : int
        Size of the file.
    """

    path: Path
    bytes: int
    sop_class_uid: str
    sop_instance_uid: str
    series_uid: str
    study_uid: str
    patient_id: str
    modality: str
    description: str
    manufacturer: str
    body_part: str
    frame_of_reference_uid: str
    referenced_series_uid: str
    ctp_collection: str
    comments: str
    image_type: tuple[str, ...]
    position: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    pixel_spacing: tuple[float, ...] | None
    step: float | None
    rows: int
    columns: int
    samples: int
    frames: int
    photometric: str
    bits_allocated: int
    bits_stored: int
    signed: bool
    slope: float | None
    intercept: float | None
    rescale_type: str
    units: str
    window: tuple[float, float] | None
    transfer_syntax: str
    byte_order: str
    pixel_offset: int
    pixel_bytes: int

    @property
    def is_image(self) -> bool:
        """Whether this is an image, not something that refers to images."""
        return self.modality not in _NOT_IMAGES

    @property
    def is_localizer(self) -> bool:
        """Whether this is a scout view (ImageType value 3)."""
        return "LOCALIZER" in self.image_type

    @property
    def expected_bytes(self) -> int:
        """Bytes of one uncompressed frame."""
        return self.rows * self.columns * self.samples * self.bits_allocated // 8

    @property
    def is_truncated(self) -> bool:
        """Whether the file ends before its pixels do."""
        if not self.pixel_bytes:
            return True
        ends = self.pixel_offset + self.pixel_bytes > self.bytes
        return ends or (
            bool(self.byte_order) and self.pixel_bytes < self.expected_bytes
        )


_pydicom_mode = threading.RLock()


@contextmanager
def tolerant() -> Iterator[None]:
    """Let pydicom decode without judging values, for the time of a block.

    pydicom keeps this mode in a global; the lock keeps two threads from
    restoring each other's.
    """
    with _pydicom_mode, pydicom.config.disable_value_validation():
        yield


def read_header(path: Path) -> Header | None:
    """Read one header.

    Returns
    -------
    Header or None
        None when the file is no DICOM Part 10 instance, or a DICOMDIR.

    Raises
    ------
    OSError
        The file cannot be opened.
    ValueError
        A header that starts as DICOM and does not parse, or a file without an
        ending that is empty: what a stopped copy leaves of an instance.
    """
    with path.open("rb") as stream:
        start = stream.read(132)
        if start[128:] != b"DICM":
            # Names may end in a UID, whose last number is no ending.
            plain = not path.suffix or path.suffix[1:].isdecimal()
            if plain and not start.strip(b"\0"):
                raise ValueError(f"{path} is empty")
            return None
        stream.seek(0)
        try:
            dataset = pydicom.dcmread(
                stream, specific_tags=_WANTED, stop_before_pixels=True
            )
            syntax = str(dataset.file_meta.get("TransferSyntaxUID", ""))
            # A deflated file is parsed from memory: its offsets mean nothing here.
            offset, length = (
                (0, 1)
                if syntax.endswith("1.2.1.99")
                else _pixel_element(stream, syntax)
            )
            header = _decode(
                path, os.fstat(stream.fileno()).st_size, dataset, syntax, offset, length
            )
        except OSError:
            raise
        except Exception as error:  # pydicom raises whatever it stumbles over
            raise ValueError(f"{path} is no complete DICOM header: {error}") from error
    return None if header.sop_class_uid == _DICOMDIR else header


def _pixel_element(stream: BinaryIO, syntax: str) -> tuple[int, int]:
    """Offset and length of the stored values; `stream` stands at their element."""
    start = stream.tell()
    head = stream.read(12)
    order = NATIVE.get(syntax, "<")
    if len(head) < 8 or struct.unpack(order + "HH", head[:4]) != (0x7FE0, 0x0010):
        return 0, 0
    if syntax == "1.2.840.10008.1.2":
        return start + 8, struct.unpack("<I", head[4:8])[0]
    length = struct.unpack(order + "I", head[8:12])[0] if len(head) == 12 else 0
    # Encapsulated: fragments of undefined length up to the end of the file.
    return start + 12, 1 if length == 0xFFFFFFFF else length


def _decode(
    path: Path, size: int, dataset: Any, syntax: str, offset: int, length: int
) -> Header:
    order = NATIVE.get(syntax, "<")
    raw = {name: _raw(dataset, tag) for name, tag in _TAGS.items()}
    charset = [
        part.strip() for part in raw["charset"].decode("ascii", "replace").split("\\")
    ]

    def text(name: str) -> str:
        value = raw[name].rstrip(b"\0 ").lstrip(b" ")
        if value.isascii():
            return value.decode("ascii")
        return decode_bytes(value, convert_encodings(charset), set())

    def number(name: str, default: int = 0) -> int:
        value = raw[name]
        return struct.unpack(order + "H", value[:2])[0] if len(value) >= 2 else default

    def decimals(name: str, count: int) -> tuple[float, ...] | None:
        parts = text(name).split("\\")[:count]
        try:
            values = tuple(float(part) for part in parts)
        except ValueError:  # absent, or no number
            return None
        return values if len(values) == count and all(map(isfinite, values)) else None

    def decimal(name: str) -> float | None:
        values = decimals(name, 1)
        return values[0] if values else None

    center, width = decimal("center"), decimal("width")
    comments = (text("patient_comments"), text("image_comments"))
    modality = text("modality")
    return Header(
        path=path,
        bytes=size,
        sop_class_uid=text("sop_class_uid"),
        sop_instance_uid=text("sop_instance_uid"),
        series_uid=text("series_uid"),
        study_uid=text("study_uid"),
        patient_id=text("patient_id"),
        modality=modality,
        description=text("description"),
        manufacturer=text("manufacturer"),
        body_part=text("body_part"),
        frame_of_reference_uid=text("frame_of_reference_uid"),
        referenced_series_uid=_referenced(dataset) if modality in _NOT_IMAGES else "",
        ctp_collection=text("ctp_collection"),
        comments=" ".join(filter(None, comments)),
        image_type=tuple(text("image_type").split("\\")),
        position=decimals("position", 3),
        orientation=decimals("orientation", 6),
        pixel_spacing=decimals("pixel_spacing", 2),
        step=decimal("between") or decimal("thickness"),
        rows=number("rows"),
        columns=number("columns"),
        samples=number("samples", 1),
        frames=int(decimal("frames") or 1),
        photometric=text("photometric"),
        bits_allocated=number("bits_allocated"),
        bits_stored=number("bits_stored") or number("bits_allocated"),
        signed=number("signed") == 1,
        slope=decimal("slope"),
        intercept=decimal("intercept"),
        rescale_type=text("rescale_type").upper(),
        units=text("units"),
        window=None if center is None or width is None else (center, width),
        transfer_syntax=syntax,
        byte_order=NATIVE.get(syntax, ""),
        pixel_offset=offset,
        pixel_bytes=length,
    )


def _raw(dataset: Any, tag: int) -> bytes:
    element = dataset.get_item(tag)
    value = None if element is None else element.value
    if value is None or isinstance(value, bytes):
        # A UID cut in half would pass for that of another series.
        if value and element.length != 0xFFFFFFFF and len(value) < element.length:
            raise EOFError(f"it ends inside element {element.tag}")
        return value or b""
    # SpecificCharacterSet alone is decoded by pydicom while it parses.
    parts = [value] if isinstance(value, str) else value
    return b"\\".join(str(part).encode() for part in parts)


def _referenced(dataset: Any) -> str:
    with tolerant():
        for item in dataset.get("ReferencedSeriesSequence") or ():
            return str(item.get("SeriesInstanceUID", ""))
    return ""
