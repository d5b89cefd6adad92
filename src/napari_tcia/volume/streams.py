"""Files as streams that give no more than they hold, inflated where deflated."""

from __future__ import annotations

import io
import os
import zlib
from pathlib import Path
from typing import BinaryIO, cast

from napari_tcia.volume.elements import DEFLATED, More, Unusual, file_meta

MAX_INFLATED = 512 << 20
"""Bytes that a deflated file may unpack to."""
_EXPLICIT_META = (
    bytes(128) + b"DICM" + b"\x02\x00\x10\x00UI\x14\x00" + b"1.2.840.10008.1.2.1\0"
)
"""Preamble and transfer syntax in front of an inflated data set."""
_MAX_HEADER = 16 << 20
"""Bytes of it that may lie before the pixels."""
_PIECE = 1 << 20
_HEAD = 8 << 10


class Bounded:
    """A stream of which no more is asked than there is.

    A damaged header claims lengths that a reader would allocate.

    Parameters
    ----------
    stream : binary stream
    size : int
        Where it ends.
    """

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self._stream, self._size = stream, size
        self.seek, self.tell, self.close = stream.seek, stream.tell, stream.close

    def read(self, count: int = -1) -> bytes:
        """Read at most what there is."""
        left = max(0, self._size - self._stream.tell())
        return self._stream.read(left if count < 0 else min(count, left))


class Inflated(io.RawIOBase):
    """A deflated data set as what it inflates to, no more of it than was asked for.

    Read in order it keeps what it inflated, so that a header can be gone over
    again; `skip_to` lets go of it.

    Parameters
    ----------
    path : Path
    at : int
        Offset of the data set in the file.
    """

    def __init__(self, path: Path, at: int) -> None:
        self._path = path
        self._file = path.open("rb")
        self._file.seek(at)
        self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        self._kept = bytearray(_EXPLICIT_META)
        self._start = self._at = 0

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()

    def tell(self) -> int:
        """Offset in what it inflates to."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to an offset that was not let go of."""
        self._at = max(offset + (self._at if whence == os.SEEK_CUR else 0), self._start)
        return self._at

    def read(self, count: int = -1) -> bytes:
        """Read `count` bytes of a header from here."""
        left = _MAX_HEADER - self._at
        if left <= 0:
            raise ValueError(
                f"{self._path} inflates to a header of more than {_MAX_HEADER >> 20} MB"
            )
        return self.take(left if count < 0 else min(count, left))

    def take(self, count: int) -> bytes:
        """Read `count` bytes that are known to be there."""
        while self._start + len(self._kept) < self._at + count and self._more():
            pass
        begin = self._at - self._start
        data = bytes(self._kept[begin : begin + count])
        self._at += len(data)
        return data

    def skip_to(self, offset: int) -> int:
        """Go forward without keeping anything; where that ended."""
        while self._start + len(self._kept) < offset and self._more():
            gone = min(len(self._kept), offset - self._start)
            del self._kept[:gone]
            self._start += gone
        gone = min(len(self._kept), offset - self._start)
        del self._kept[:gone]
        self._start += gone
        self._at = self._start
        return self._at

    def _more(self) -> bool:
        """Inflate a piece; False at the end."""
        if self._inflater.eof:
            return False
        packed = self._inflater.unconsumed_tail or self._file.read(_PIECE)
        try:
            piece = self._inflater.decompress(packed, _PIECE)
        except zlib.error as error:
            raise ValueError(f"{self._path} does not inflate: {error}") from error
        self._kept += piece
        if self._start + len(self._kept) > MAX_INFLATED:
            raise ValueError(
                f"{self._path} inflates to more than {MAX_INFLATED >> 20} MB"
            )
        return bool(piece or packed)


def open_part10(path: Path) -> tuple[BinaryIO, int, bool]:
    """Open a file; one whose data set is deflated as what it inflates to.

    Returns
    -------
    stream : binary stream
    size : int
        Of the content in bytes; the most that it may be where it is deflated.
    deflated : bool
        The content is then Explicit VR Little Endian, `stream` an `Inflated`.

    Raises
    ------
    OSError
        The file cannot be opened.
    """
    stream = path.open("rb")
    try:
        size = os.fstat(stream.fileno()).st_size
        start = stream.read(_HEAD)
        stream.seek(0)
        syntax, at = file_meta(start, len(start))
        if syntax != DEFLATED:
            return stream, size, False
    except (Unusual, More, OSError):
        return stream, size, False  # pydicom says what is wrong with it
    stream.close()
    return cast("BinaryIO", Inflated(path, at)), MAX_INFLATED, True
