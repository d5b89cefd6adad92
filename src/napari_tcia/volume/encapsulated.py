"""Encapsulated pixels: where their items lie, and what they claim to hold."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

from napari_tcia.volume.elements import ITEM, SEQUENCE_END, UNDEFINED

_FRAME_STARTS = (*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), 0xF7)
"""Markers of JPEG (ITU-T T.81 table B.1) and JPEG-LS that the matrix follows."""


def fragments(stream: BinaryIO, at: int, size: int) -> Iterator[tuple[int, int]]:
    """Offset and length of each item of encapsulated pixels (PS3.5 section A.4).

    Parameters
    ----------
    stream : binary stream
    at : int
        Offset of the first item.
    size : int
        Of the file.

    Raises
    ------
    EOFError
        The file ends before the delimiter, or holds anything else.
    """
    while at + 8 <= size:
        stream.seek(at)
        group, element, length = struct.unpack("<HHI", stream.read(8))
        tag = group << 16 | element
        if tag == SEQUENCE_END:
            return
        if tag != ITEM or length == UNDEFINED:
            break
        yield at + 8, length
        at += 8 + length
    raise EOFError("the file ends within them")


def claimed(codestream: bytes) -> tuple[int, int, int] | None:
    """Rows, columns and bits of a JPEG, JPEG-LS or JPEG 2000 image by its own header.

    Parameters
    ----------
    codestream : bytes
        Its first kilobytes.

    Returns
    -------
    (rows, columns, bits) or None
        None when it does not say, or no codestream starts here.
    """
    if codestream.startswith(b"\xff\x4f\xff\x51") and len(codestream) > 42:
        width, height, left, top = struct.unpack_from(">4I", codestream, 8)
        return height - top, width - left, (codestream[42] & 0x7F) + 1
    at = 2
    while codestream.startswith(b"\xff\xd8\xff") and at + 9 <= len(codestream):
        mark, kind, length, bits = struct.unpack_from(">BBHB", codestream, at)
        if mark != 0xFF:
            break
        if kind in _FRAME_STARTS:
            height, width = struct.unpack_from(">HH", codestream, at + 5)
            return height, width, bits
        at += 2 + length
    return None
