"""Stored values of compressed instances, through the decoders that are installed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO, cast

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.pixels.utils import iter_pixels

from napari_tcia.errors import CorruptData, MissingExtra, UnsupportedData
from napari_tcia.volume.elements import DEFLATED
from napari_tcia.volume.encapsulated import claimed, fragments
from napari_tcia.volume.instance import Header
from napari_tcia.volume.streams import Bounded, Inflated, open_part10

_DTYPES = {
    (kind == "i", bits): np.dtype(f"{kind}{bits // 8}")
    for kind in "iu"
    for bits in (8, 16, 32)
}
_CODESTREAM_HEAD = 8 << 10
_JPEG = 0xD8
"""Second byte of JPEG and JPEG-LS; that of JPEG 2000 is 4F."""
_JPEG_2000 = ("1.2.840.10008.1.2.4.9", "1.2.840.10008.1.2.4.20")
_SMALL = 64 << 20
_MAX_RATIO = 2000
"""Above 64 MB, a frame that claims to be compressed better than this is damaged."""


def stored_dtype(header: Header) -> np.dtype[Any]:
    """Native-endian dtype of the stored values.

    Raises
    ------
    UnsupportedData
        BitsAllocated is not 8, 16 or 32.
    """
    if (header.signed, header.bits_allocated) not in _DTYPES:
        raise UnsupportedData(
            f"{header.path.name} has {header.bits_allocated} bits per pixel.",
            "8, 16 and 32 can be read.",
        )
    return _DTYPES[header.signed, header.bits_allocated]


def require_decoder(header: Header) -> None:
    """Say what is missing before the pixels of a series are asked for.

    Raises
    ------
    MissingExtra
        No decoder for its compression is installed.
    UnsupportedData
        A compression that no decoder exists for.
    """
    from pydicom.pixels.decoders.base import get_decoder

    if header.byte_order:
        return
    syntax = pydicom.uid.UID(header.transfer_syntax)
    if syntax == pydicom.uid.JPEGExtended12Bit and header.bits_stored > 8:
        raise UnsupportedData(
            f"{header.path.name} is compressed as JPEG Extended with "
            f"{header.bits_stored} bits per pixel, which cannot be read.",
            "Convert it to Explicit VR Little Endian first.",
            files=[str(header.path)],
        )
    name = syntax.name if syntax in pydicom.uid.AllTransferSyntaxes else f"“{syntax}”"
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError as error:
        raise UnsupportedData(
            f"{header.path.name} is encoded as {name}, which cannot be read.",
            "Convert it to Explicit VR Little Endian first.",
            files=[str(header.path)],
        ) from error
    if not decoder.is_available:
        raise MissingExtra(
            f"{header.path.name} is compressed as {name}.",
            'Install its decoder: pip install "napari-tcia[codecs]"',
        )


def decoded(headers: Sequence[Header]) -> Iterator[NDArray[Any] | CorruptData]:
    """Stored values of compressed or deflated images of one file.

    Parameters
    ----------
    headers : sequence of Header
        A single instance, or frames of one.

    Yields
    ------
    (rows, columns) ndarray, or CorruptData
        In the order of `headers`; a frame that does not decode is an error, and
        so are then those after it that were not tried.
    """
    first = headers[0]
    done = 0
    try:
        found = _inflated if first.transfer_syntax == DEFLATED else _decompressed
        for header, values in zip(headers, found(headers), strict=False):
            if values.shape != (header.rows, header.columns):
                raise ValueError(
                    f"they are {values.shape}, the header says "
                    f"{(header.rows, header.columns)}"
                )
            yield values.astype(stored_dtype(header), copy=False)
            done += 1
        if done < len(headers):
            raise ValueError("there are fewer frames than the header says")
    except (GeneratorExit, KeyboardInterrupt, SystemExit):
        raise
    # Decoders raise whatever their C code maps to; a panic of those in Rust is
    # no Exception.
    except BaseException as error:
        for header in headers[done:]:
            yield CorruptData(
                f"The pixels of {header.name} do not decode: {error}.",
                "Fetch it again.",
                files=[str(header.path)],
            )


def _decompressed(headers: Sequence[Header]) -> Iterator[NDArray[Any]]:
    first = headers[0]
    if not _plausible(first):
        raise ValueError(f"{first.rows} x {first.columns} pixels cannot lie in it")
    with first.path.open("rb") as stream:
        starts = []
        for at, _ in fragments(stream, first.pixel_offset, first.bytes):
            stream.seek(at)
            starts.append(_agrees(first, stream.read(_CODESTREAM_HEAD)))
        # The first item is a table of offsets; a frame may go on in another item.
        if first.transfer_syntax != pydicom.uid.RLELossless and not any(starts[1:2]):
            raise ValueError("they start with no image of its transfer syntax")
        # Given indices, pydicom 3.0 hands out arrays that can be written to.
        indices = [int(header.frame or 0) for header in headers]
        bounded = cast("BinaryIO", Bounded(stream, first.bytes))
        yield from iter_pixels(bounded, indices=indices, raw=True)


def _agrees(header: Header, codestream: bytes) -> bool:
    """Whether an image starts here; refuse one that is not as the header says.

    Decoders trust both: they take memory by them, or end the process where more
    bits are allocated than JPEG has.
    """
    found = claimed(codestream)
    if found is None:
        return False
    *matrix, bits = found
    most = 16 if codestream[1] == _JPEG else 32
    if matrix != [header.rows, header.columns] or not (
        bits <= header.bits_allocated <= most
    ):
        raise ValueError(
            f"they claim to be {matrix[0]} x {matrix[1]} of {bits} bits, the header "
            f"says {header.rows} x {header.columns} of {header.bits_allocated}"
        )
    # What is labelled as JPEG is no JPEG 2000, and the reverse.
    syntax = header.transfer_syntax
    return (codestream[1] == _JPEG) != syntax.startswith(_JPEG_2000)


def _plausible(header: Header) -> bool:
    """Whether a frame may be as large as it claims, before memory is taken."""
    return header.frame_bytes <= max(_SMALL, header.bytes * _MAX_RATIO)


def _inflated(headers: Sequence[Header]) -> Iterator[NDArray[Any]]:
    found: dict[int, NDArray[Any]] = {}
    stream, _, _ = open_part10(headers[0].path)
    with stream:
        assert isinstance(stream, Inflated)
        # In the order of the file, so that nothing is inflated twice.
        for header in sorted(headers, key=lambda h: h.pixel_offset):
            stream.skip_to(header.pixel_offset)
            data = stream.take(header.frame_bytes)
            values = np.frombuffer(data, stored_dtype(header).newbyteorder("<"))
            found[header.pixel_offset] = values.reshape(header.rows, header.columns)
    for header in headers:
        yield found[header.pixel_offset]
