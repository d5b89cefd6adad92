"""Unpack a zip while it arrives, trusting nothing in it.

Checksums and cuts are noticed by `stream_unzip`; names, repeats, links and
sizes are judged here, before a byte of a member is handed on.
"""

from __future__ import annotations

import io
import stat
import zipfile
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from stream_inflate import StreamInflateError
from stream_unzip import (
    NO_ENCRYPTION,
    IntegrityError,
    TruncatedDataError,
    UncompressError,
    UnexpectedSignatureError,
    UnzipError,
    stream_unzip,
)

from napari_tcia.core.task import CancelToken
from napari_tcia.core.text import one_line
from napari_tcia.core.zips import MAX_MEMBERS, MAX_TOTAL_BYTES, safe_name
from napari_tcia.errors import CorruptData, Truncated, UnexpectedReply, UnsafeArchive

PIECE = 1 << 18
"""Most bytes that are unpacked at once."""
MAX_MEMBER_BYTES = 2 << 30
_SLACK = 64 << 20
_RATIO = 250
_DENSE = 256 << 20
"""Bytes below which a zip of undeclared size may be as dense as it likes."""
_DIRECTORY = 8 << 20
"""Bytes kept of the end of the stream, to read the zip's directory from."""

_LOCAL_HEADER = b"PK\x03\x04"
_SIGNATURES = (_LOCAL_HEADER, b"PK\x05\x06")


def members(
    chunks: Iterator[bytes], token: CancelToken, *, declared_bytes: int | None = None
) -> Iterator[tuple[str, Iterator[bytes]]]:
    """Yield the files of a zip as (name, chunks), in the order they arrive.

    The chunks of a member must be used up before the next one is asked for;
    its checksum is compared with its last chunk. When the iterator ends
    without an exception, the zip was whole.

    Parameters
    ----------
    chunks : iterator of bytes
        The zip, from any connection.
    token : CancelToken
    declared_bytes : int, optional
        Uncompressed size that the archive promised; limits what is unpacked
        to one and a half times as much, plus 64 MiB. Without it the limit is
        250 times what arrived, or 256 MiB.

    Raises
    ------
    UnsafeArchive
        A path that leaves the folder, a repeated name, a link, a zip within
        the zip, an encrypted member, or more than the limits.
    Truncated
        The zip is cut.
    CorruptData
        A checksum does not match.
    UnexpectedReply
        It is no zip at all; with the first words of what it is.
    Cancelled
        `token` was cancelled.
    """
    tail = _Tail(_sniffed(chunks))
    seen: set[str] = set()
    total = 0

    def limit() -> int:
        if declared_bytes is not None:
            return min(MAX_TOTAL_BYTES, declared_bytes * 3 // 2 + _SLACK)
        return min(MAX_TOTAL_BYTES, max(_DENSE, _RATIO * tail.arrived))

    def counted(name: str, pieces: Iterator[bytes]) -> Iterator[bytes]:
        nonlocal total
        size = 0
        with _translated(name):
            for piece in pieces:
                token.raise_if_cancelled()
                if not size and piece.startswith(_LOCAL_HEADER):
                    raise UnsafeArchive(f"The zip holds another zip, {name}.")
                size += len(piece)
                total += len(piece)
                if size > MAX_MEMBER_BYTES or total > limit():
                    raise UnsafeArchive(
                        f"The zip unpacks to more than expected, at {name}.",
                        unpacked=total,
                        limit=limit(),
                    )
                yield piece

    stream = stream_unzip(
        tail, chunk_size=PIECE, allowed_encryption_mechanisms=(NO_ENCRYPTION,)
    )
    with _translated("the zip"):
        for raw, _, pieces in stream:
            name = safe_name(raw)
            if name.casefold() in seen:
                raise UnsafeArchive(f"The zip holds {name} twice.")
            seen.add(name.casefold())
            if len(seen) > MAX_MEMBERS:
                raise UnsafeArchive(f"The zip holds more than {MAX_MEMBERS} files.")
            if name.endswith("/"):
                if any(counted(name, pieces)):
                    raise UnsafeArchive(f"The zip holds data in a folder, {name}.")
                continue
            yield name, counted(name, pieces)
    _check_directory(tail.bytes(), len(seen))


class _Tail:
    """Chunks that pass through, of which the last bytes are remembered."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._kept: deque[bytes] = deque()
        self._size = 0
        self.arrived = 0

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            self._kept.append(chunk)
            self._size += len(chunk)
            self.arrived += len(chunk)
            while self._size - len(self._kept[0]) > _DIRECTORY:
                self._size -= len(self._kept.popleft())
            yield chunk

    def bytes(self) -> bytes:
        return b"".join(self._kept)


def _sniffed(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Pass a zip on; refuse what starts like anything else."""
    start = b""
    for chunk in chunks:
        start += chunk
        if len(start) >= 256:
            break
    if not start:
        raise Truncated("The archive sent nothing where a zip was expected.")
    if not any(start.startswith(s) or s.startswith(start) for s in _SIGNATURES):
        raise UnexpectedReply(
            f"The archive sent no zip but “{one_line(start, 120)}”.",
            "It may be under maintenance; try again later.",
        )
    yield start
    yield from chunks


def _check_directory(tail: bytes, seen: int) -> None:
    """Compare the directory at the end of the zip with the members seen.

    Only the directory tells links from files (PKWARE APPNOTE 4.4.15).
    """
    try:
        with zipfile.ZipFile(io.BytesIO(tail)) as directory:
            listed = directory.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise Truncated("The zip is cut in its directory.") from error
    for member in listed:
        if stat.S_ISLNK(member.external_attr >> 16):
            raise UnsafeArchive(
                f"The zip holds a link, “{one_line(member.filename, 80)}”."
            )
    if len(listed) != seen:
        raise CorruptData(f"The zip lists {len(listed)} members and holds {seen}.")


@contextmanager
def _translated(name: str) -> Iterator[None]:
    """Turn what `stream_unzip` raises into our errors."""
    try:
        yield
    except TruncatedDataError as error:
        raise Truncated(f"The zip ends in the middle of {name}.") from error
    except (
        IntegrityError,
        StreamInflateError,
        UncompressError,
        UnexpectedSignatureError,
    ) as error:
        raise CorruptData(
            f"{name[:1].upper()}{name[1:]} fails its checksum or cannot be unpacked."
        ) from error
    except UnzipError as error:
        raise UnsafeArchive(
            f"The zip is of a kind that is not unpacked here "
            f"({type(error).__name__} at {name})."
        ) from error
