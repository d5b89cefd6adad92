"""The data elements of a header, walked by their lengths (DICOM PS3.5 section 7).

Every file is walked by its own bytes; nothing is taken over from its neighbours.
What is unusual raises `Unusual`, and pydicom reads that file instead: a second
opinion that costs a millisecond, where a wrong guess would cost a wrong voxel.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

IMPLICIT = "1.2.840.10008.1.2"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"
NATIVE = {IMPLICIT: "<", "1.2.840.10008.1.2.1": "<", BIG_ENDIAN: ">"}
"""Byte order of the transfer syntaxes whose pixels lie in the file as they are."""

PIXEL_DATA = 0x7FE00010
_SYNTAX = 0x00020010
UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_LONG_VRS = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
_SHORT_VRS = frozenset(
    b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split()
)
_MAX_DEPTH = 16

_element = struct.Struct("<HHI").unpack_from
_explicit_short = struct.Struct("<HH2sH").unpack_from
_uint32 = struct.Struct("<I").unpack_from


class Unusual(Exception):
    """Bytes that this walk does not judge."""


class More(Exception):
    """The walk came to the end of `data`, but not of the file."""


@dataclass(frozen=True, slots=True)
class Walk:
    """What a walk found.

    Attributes
    ----------
    transfer_syntax : str
    values : dict of int to bytes
        Raw value by tag, of the wanted elements that are there.
    pixel_offset, pixel_bytes : int
        Where the value of PixelData starts in the file and how long it says
        it is; 1 byte when it is encapsulated, 0 and 0 when there is none.
    """

    transfer_syntax: str
    values: dict[int, bytes]
    pixel_offset: int
    pixel_bytes: int


def walk(data: bytes, size: int, wanted: Container[int]) -> Walk:
    """Walk the header at the start of a Part 10 file.

    Parameters
    ----------
    data : bytes
        The first bytes of the file.
    size : int
        Size of the whole file.
    wanted : container of int
        Tags whose values to return, none of them a sequence.

    Raises
    ------
    Unusual
        Big-endian or deflated, tags out of order, unknown VRs, elements of
        undefined length that are no sequence, a length beyond the file.
    More
        `data` ends before the header does.
    """
    syntax, at = file_meta(data, size)
    if syntax in (BIG_ENDIAN, DEFLATED, ""):
        raise Unusual
    reader = _implicit if syntax == IMPLICIT else _explicit
    values, offset, length = reader(data, at, size, wanted)
    if length == UNDEFINED:
        if syntax in NATIVE:
            raise Unusual  # fragments where the syntax says there are none
        length = 1
    return Walk(syntax, values, offset, length)


@dataclass(frozen=True, slots=True)
class Template:
    """Where the elements of one header lie, to be tried on others.

    A header whose every tag, VR and length is equal, byte for byte and in its
    place, would be walked along the same offsets: what is compared is all that
    a walk goes by. One that differs anywhere is walked.
    """

    _struct: struct.Struct
    _heads: Callable[[Any], tuple[bytes, ...]]
    _expected: tuple[bytes, ...]
    _own: Callable[[Any], tuple[bytes, ...]]
    _rest: Callable[[Any], tuple[bytes, ...]]
    _tags: tuple[int, ...]
    _found: Walk

    def match(self, data: bytes) -> tuple[tuple[bytes, ...], tuple[bytes, ...]] | None:
        """Raw values that an image has for itself, and all others.

        None where `data` has to be walked.
        """
        if len(data) < self._struct.size:
            return None
        parts = self._struct.unpack_from(data)
        if self._heads(parts) != self._expected:
            return None
        return self._own(parts), self._rest(parts)

    def walk(self, own: tuple[bytes, ...], rest: tuple[bytes, ...]) -> Walk:
        """What a walk would find, of the values of a match."""
        found = self._found
        return Walk(
            found.transfer_syntax,
            dict(zip(self._tags, own + rest, strict=True)),
            found.pixel_offset,
            found.pixel_bytes,
        )


def template(data: bytes, found: Walk, own: Sequence[int]) -> Template | None:
    """Make a template of a header that was walked.

    Parameters
    ----------
    data : bytes
        The first bytes of the file.
    found : Walk
    own : sequence of int
        Tags of the values that an image has for itself, at least two.

    Returns
    -------
    Template or None
        None where the header does not end in `data`, a sequence lies in it
        whose end has to be looked for, or one of `own` is not in it.
    """
    if not 0 < found.pixel_offset <= len(data) or len(found.values) < len(own) + 2:
        return None
    layout = ["<132x"]
    heads: list[int] = []
    values: dict[int, int] = {}
    expected: list[bytes] = []
    at, count = 132, 0
    while at < found.pixel_offset:
        group, element, vr, length = _explicit_short(data, at)
        tag, head = group << 16 | element, 8
        if group != 2 and found.transfer_syntax == IMPLICIT:
            (length,) = _uint32(data, at + 4)
        elif vr in _LONG_VRS:
            (length,), head = _uint32(data, at + 8), 12
        if tag == _SYNTAX:
            head, length = head + length, 0  # its value has to be the same
        layout.append(f"{head}s")
        heads.append(count)
        expected.append(data[at : at + head])
        count += 1
        at += head
        if tag == PIXEL_DATA:
            break
        if length == UNDEFINED:
            return None
        if tag in found.values:
            layout.append(f"{length}s")
            values[tag] = count
            count += 1
        else:
            layout.append(f"{length}x")
        at += length
    if not values.keys() >= set(own):
        return None
    rest = [tag for tag in values if tag not in own]
    return Template(
        struct.Struct("".join(layout)),
        itemgetter(*heads),
        tuple(expected),
        itemgetter(*map(values.__getitem__, own)),
        itemgetter(*map(values.__getitem__, rest)),
        (*own, *rest),
        found,
    )


def file_meta(data: bytes, size: int) -> tuple[str, int]:
    """Transfer syntax, and where the data set starts; group 2 is explicit.

    Raises
    ------
    Unusual, More
        As `walk`.
    """
    at, syntax, end = 132, "", len(data)
    while at + 8 <= end:
        group, element, vr, length = _explicit_short(data, at)
        if group != 2:
            return syntax, at
        head = 8
        if vr in _LONG_VRS:
            if at + 12 > end:
                break
            (length,), head = _uint32(data, at + 8), 12
        elif vr not in _SHORT_VRS:
            raise Unusual
        value = at + head
        at = value + length
        if at > size:
            raise Unusual
        if group << 16 | element == _SYNTAX:
            syntax = data[value:at].rstrip(b"\0 ").decode("ascii", "replace")
    if end < size:
        raise More
    raise Unusual


def _implicit(
    data: bytes, at: int, size: int, wanted: Container[int]
) -> tuple[dict[int, bytes], int, int]:
    values: dict[int, bytes] = {}
    last, end = 0x0002FFFF, len(data)
    stop = end - 8
    while at <= stop:
        group, element, length = _element(data, at)
        tag = group << 16 | element
        if tag <= last:
            raise Unusual
        last = tag
        value = at + 8
        at = value + length
        if tag >= PIXEL_DATA:
            return (values, value, length) if tag == PIXEL_DATA else (values, 0, 0)
        if at > end:
            at = _beyond(data, tag, value, length, size, wanted, explicit=False)
        elif tag in wanted:
            values[tag] = data[value:at]
    return _ended(values, at, end, size)


def _explicit(
    data: bytes, at: int, size: int, wanted: Container[int]
) -> tuple[dict[int, bytes], int, int]:
    values: dict[int, bytes] = {}
    last, end = 0x0002FFFF, len(data)
    stop = end - 12
    while at <= stop or at == end - 8:
        group, element, vr, length = _explicit_short(data, at)
        tag = group << 16 | element
        if tag <= last:
            raise Unusual
        last = tag
        value = at + 8
        if vr not in _SHORT_VRS:
            if vr not in _LONG_VRS or at > stop:
                raise Unusual
            (length,) = _uint32(data, value)
            value += 4
        at = value + length
        if tag >= PIXEL_DATA:
            return (values, value, length) if tag == PIXEL_DATA else (values, 0, 0)
        if at > end:
            if length == UNDEFINED and vr != b"SQ":
                raise Unusual
            at = _beyond(data, tag, value, length, size, wanted, explicit=True)
        elif tag in wanted:
            values[tag] = data[value:at]
    return _ended(values, at, end, size)


def _beyond(
    data: bytes,
    tag: int,
    value: int,
    length: int,
    size: int,
    wanted: Container[int],
    *,
    explicit: bool,
) -> int:
    """Where an element ends that does not end in `data`, or does not say where."""
    if length == UNDEFINED:
        return _skip_items(data, value, size, explicit=explicit, depth=0)
    if value + length > size:
        raise Unusual
    if tag in wanted:
        raise More
    return value + length


def _ended(
    values: dict[int, bytes], at: int, end: int, size: int
) -> tuple[dict[int, bytes], int, int]:
    """The data ran out: of this piece, of a file without pixels, or of a cut one."""
    if end < size:
        raise More
    if at != end:
        raise Unusual
    return values, 0, 0


def _skip_items(data: bytes, at: int, size: int, *, explicit: bool, depth: int) -> int:
    """Where a sequence of undefined length ends (PS3.5 section 7.5)."""
    if depth > _MAX_DEPTH:
        raise Unusual
    end = len(data)
    while at + 8 <= end:
        group, element, length = _element(data, at)
        tag = group << 16 | element
        at += 8
        if tag == SEQUENCE_END:
            return at
        if tag != ITEM:
            raise Unusual
        if length == UNDEFINED:
            at = _skip_item(data, at, size, explicit=explicit, depth=depth)
        else:
            at += length
        if at > size:
            raise Unusual
    raise More if end < size else Unusual


def _skip_item(data: bytes, at: int, size: int, *, explicit: bool, depth: int) -> int:
    """Where an item of undefined length ends."""
    end = len(data)
    while at + 8 <= end:
        group, element, length = _element(data, at)
        if group << 16 | element == ITEM_END:
            return at + 8
        is_sequence = True
        at += 8
        if explicit:
            vr, length = data[at - 4 : at - 2], length >> 16
            is_sequence = vr == b"SQ"
            if vr in _LONG_VRS and at + 4 <= end:
                (length,) = _uint32(data, at)
                at += 4
            elif vr not in _SHORT_VRS:
                raise More if at + 4 > end and end < size else Unusual
        if length == UNDEFINED:
            if not is_sequence:
                raise Unusual
            at = _skip_items(data, at, size, explicit=explicit, depth=depth + 1)
        else:
            at += length
        if at > size:
            raise Unusual
    raise More if end < size else Unusual
