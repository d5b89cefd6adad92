"""One header, read tolerantly: raw bytes in, plain facts out.

Most files are walked by their lengths alone; pydicom judges the first file of each
series, and reads all that are odd.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, cast

import pydicom
from pydicom.filereader import read_partial

from napari_tcia.volume.elements import (
    DEFLATED,
    NATIVE,
    More,
    Template,
    Unusual,
    Walk,
    template,
    walk,
)
from napari_tcia.volume.facts import OWN_TAGS, TAGS, decode, sibling
from napari_tcia.volume.instance import NOT_IMAGES, Header, tolerant
from napari_tcia.volume.streams import Bounded, Inflated, open_part10

_BINARY = getattr(os, "O_BINARY", 0)  # Windows
_FIRST_LOOK = 8 << 10
_SECOND_LOOK = 1 << 20
_REFERENCED = 0x00081115
_PIXELS = (0x7FE00008, 0x7FE00009, 0x7FE00010)
_MAX_DISORDER = 200
"""Elements that may come after one with a greater tag."""
_ALIKE = 8
_TEMPLATES = 64
"""Templates that are tried on one file, and sizes of files that have some."""
_DICOMDIR = "1.2.840.10008.1.3.10"


@dataclass(slots=True)
class Family:
    """Files whose headers are walked alike.

    Attributes
    ----------
    template : Template
    rest : tuple of bytes
        Raw values of the latest of them but those that each image has for itself.
    header : Header, optional
        Of that one.
    """

    template: Template
    rest: tuple[bytes, ...] = ()
    header: Header | None = None


@dataclass(frozen=True, slots=True)
class Memory:
    """What reading one header tells for the next: decoded values, and trust.

    Attributes
    ----------
    decoded : dict
        Decoded values of elements that many files share, by their raw bytes.
    agreed : dict
        By series, whether pydicom found the same in its first file.
    families : dict
        By the size of the file, templates of the headers that were walked.
    """

    decoded: dict[tuple[Any, ...], dict[str, Any]] = field(default_factory=dict)
    agreed: dict[bytes, bool] = field(default_factory=dict)
    families: dict[int, list[Family]] = field(default_factory=dict)

    def keep(self, start: bytes, size: int, found: Walk) -> None:
        """Remember how a header was walked, as long as that saves time."""
        alike = self.families.setdefault(size, [])
        if len(alike) < _ALIKE and len(self.families) <= _TEMPLATES:
            alike += map(Family, filter(None, [template(start, found, OWN_TAGS)]))


def read_header(path: Path, memory: Memory | None = None) -> Header | None:
    """Read one header.

    Parameters
    ----------
    path : Path
    memory : Memory, optional
        The same for all files of a folder makes it quick.

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
    memory = Memory() if memory is None else memory
    handle = os.open(path, os.O_RDONLY | _BINARY)
    try:
        size = os.fstat(handle).st_size
        start = os.read(handle, _FIRST_LOOK)
        if start[128:132] != b"DICM":
            # Names may end in a UID, whose last number is no ending.
            plain = not path.suffix or path.suffix[1:].isdecimal()
            if plain and not start[:132].strip(b"\0"):
                raise ValueError(f"{path} is empty")
            return None
        if not start[132:140].strip(b"\0"):
            raise ValueError(f"{path} holds nothing after its preamble")
        try:
            header = _walked(path, handle, start, size, memory)
            if header is None:
                found, size, referenced = _parsed(path)
                header = decode(path, size, found, referenced, memory.decoded)
        except OSError:
            raise
        except Exception as error:  # pydicom raises whatever it stumbles over
            raise ValueError(f"{path} is no complete DICOM header: {error}") from error
    finally:
        os.close(handle)
    return None if header.sop_class_uid == _DICOMDIR else header


def _walked(
    path: Path, handle: int, start: bytes, size: int, memory: Memory
) -> Header | None:
    """The header as walked, or None where pydicom has to read it."""
    found: Walk | None = None
    ours: Family | None = None
    rest: tuple[bytes, ...] = ()
    for family in memory.families.get(size, ()):
        if match := family.template.match(start):
            own, rest = match
            if family.header is not None and rest == family.rest:
                return sibling(family.header, path, own)
            found, ours = family.template.walk(own, rest), family
            break
    if found is None:
        try:
            try:
                found = walk(start, size, TAGS)
            except More:
                start += os.read(handle, _SECOND_LOOK)
                found = walk(start, size, TAGS)
        except (Unusual, More):
            return None
        memory.keep(start, size, found)
    if found.values.get(0x00080060, b"").strip(b"\0 ").decode("latin1") in NOT_IMAGES:
        return None  # what it refers to lies in a sequence
    series = found.values.get(0x0020000E, b"")
    if series not in memory.agreed:
        memory.agreed[series] = _same(found, _parsed(path)[0])
    if not memory.agreed[series]:
        return None
    header = decode(path, size, found, "", memory.decoded)
    if ours is not None:
        ours.rest, ours.header = rest, header
    return header


def _same(one: Walk, other: Walk) -> bool:
    def compared(found: Walk) -> dict[int, bytes]:
        # pydicom decodes the character set while it parses.
        filled = {tag: v for tag, v in found.values.items() if v.strip(b"\0 ")}
        return {tag: v for tag, v in filled.items() if tag != 0x00080005}

    return compared(one) == compared(other) and (
        (one.transfer_syntax, one.pixel_offset, one.pixel_bytes)
        == (other.transfer_syntax, other.pixel_offset, other.pixel_bytes)
    )


def whole_header(path: Path) -> pydicom.Dataset:
    """Every element before the pixels, as pydicom reads it.

    Raises
    ------
    OSError, ValueError, EOFError
        The file cannot be opened or parsed; pydicom raises others as well.
    """
    stream, size, _ = open_part10(path)
    with stream:
        return _header_of(stream, size)


def _header_of(
    stream: BinaryIO, size: int, tags: list[int] | None = None
) -> pydicom.Dataset:
    last = disorder = 0

    def at_pixels(tag: int, vr: str | None, length: int) -> bool:
        # Where a copy stopped, zeros follow: thousands of elements (0000,0000).
        nonlocal last, disorder
        disorder += tag <= last
        last = tag
        if disorder > _MAX_DISORDER:
            raise ValueError("its elements are in no order")
        return tag in _PIXELS

    bounded = cast("BinaryIO", Bounded(stream, size))
    return read_partial(bounded, at_pixels, specific_tags=tags)


def _parsed(path: Path) -> tuple[Walk, int, str]:
    """The header as pydicom reads it, the size of its content, and a reference."""
    stream, size, deflated = open_part10(path)
    with stream:
        dataset = _header_of(stream, size, [*TAGS, 0x00130010, _REFERENCED])
        syntax = str(dataset.file_meta.get("TransferSyntaxUID", ""))
        offset, length = _pixel_element(stream, NATIVE.get(syntax, "<"))
        if isinstance(stream, Inflated):
            size = stream.skip_to(offset + length)
    values = {tag: raw for tag in TAGS if (raw := _raw(dataset, tag))}
    found = Walk(DEFLATED if deflated else syntax, values, offset, length)
    return found, size, _referenced(dataset)


def _pixel_element(stream: BinaryIO, order: str) -> tuple[int, int]:
    """Offset and length of the stored values; `stream` stands at their element."""
    start = stream.tell()
    head = stream.read(12)
    if len(head) < 8 or struct.unpack(order + "HH", head[:4]) != (0x7FE0, 0x0010):
        return 0, 0
    # Some files are implicit and say that they are explicit, or the reverse. Read
    # as a length, a VR would be an odd one.
    at, field = start + 8, head[4:8]
    if field in (b"OB\0\0", b"OW\0\0", b"UN\0\0"):
        at, field = start + 12, head[8:12]
    length = struct.unpack(order + "I", field)[0] if len(field) == 4 else 0
    # Encapsulated: fragments of undefined length up to the end of the file.
    return at, 1 if length == 0xFFFFFFFF else length


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
    if dataset.get("Modality", "") not in NOT_IMAGES:
        return ""
    with tolerant():
        for item in dataset.get("ReferencedSeriesSequence") or ():
            return str(item.get("SeriesInstanceUID", ""))
    return ""
