"""The decoded copy of a series: its array as it was read, to be mapped next time.

::

    FOLDER/volume.npy     the array, int16 or float32, C order
           volume.json    all else of the volume, and of which files; written last

A copy is a cache: whatever does not agree makes it none, and no failure to write
one is an error. It holds no provenance: terms may have changed since, so that is
given anew at each opening, by who has just asked the gate.
"""

from __future__ import annotations

import io
import logging
import math
import os
import stat
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from napari_tcia.core.files import PART, replacing, write_atomic
from napari_tcia.core.image import Volume
from napari_tcia.core.model import Provenance
from napari_tcia.core.task import CancelToken
from napari_tcia.errors import NotWritable, StorageError
from napari_tcia.volume.record import facts, sealed, unsealed, volume_of

ARRAY = "volume.npy"
RECORD = "volume.json"
_LOCK = ".lock"
_CHUNK = 4 << 20
_DTYPES = frozenset(np.dtype(kind).str for kind in (np.int16, np.float32))
_DAMAGE = (
    OSError,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    OverflowError,
    RecursionError,
)
"""What reading a record of any content may raise."""
_log = logging.getLogger(__name__)

Stamps = dict[str, list[int]]
"""Size and mtime in ns of files, by name."""


@dataclass(frozen=True, slots=True, eq=False)
class DecodedCopy:
    """An opened copy: right by name, size and time, its bytes not yet summed up.

    Attributes
    ----------
    volume : Volume
        Its array is a read-only `numpy.memmap`.
    folder : Path
    crc32 : int
        Of the bytes of the array, as they were when it was written.
    """

    volume: Volume
    folder: Path
    crc32: int


def stamps(source: Path) -> Stamps | None:
    """Size and mtime of the files in a series folder, by one look at it.

    Returns
    -------
    dict or None
        None where `source` is absent or holds a link or a folder: what these lead
        to may change unseen. Hidden files are passed over, as in reading.
    """
    found: Stamps = {}
    try:
        with os.scandir(source) as entries:
            for entry in entries:
                if not entry.is_file(follow_symlinks=False):
                    return None
                if not entry.name.startswith("."):
                    at = entry.stat(follow_symlinks=False)
                    found[entry.name] = [at.st_size, at.st_mtime_ns]
    except OSError:
        return None
    return found


def write_copy(volume: Volume, folder: Path, source: Path, sources: Stamps) -> bool:
    """Keep `volume`, that was read from `source` with the default choices.

    The array gets its name by a rename, so who has an older one mapped keeps that;
    nothing is ever written in place or cut.

    Parameters
    ----------
    volume : Volume
        Nobody may change its array meanwhile.
    folder : Path
        The copy's own folder.
    source : Path
        Folder of the series.
    sources : dict
        Its `stamps` from before it was read.

    Returns
    -------
    bool
        False where there is none now: the volume failed its check or has files
        elsewhere, the files have changed, another process is writing the same
        copy, or the disk is full or read-only. Nothing is left behind then.
    """
    array = volume.array
    keepable = (
        stamps(source) == sources
        and volume.passport.verdict != "fail"
        and array.dtype.str in _DTYPES
        and all(f is None or (f.parent == source) for f in volume.files)
        and all(f is None or (f.name in sources) for f in volume.files)
    )
    if not keepable:
        return False
    try:
        with _alone(folder):
            _clear(folder)
            try:
                _write(volume, folder, source, sources)
            except BaseException:
                _clear(folder)
                raise
    except (OSError, StorageError, Timeout, NotImplementedError) as reason:
        _log.debug("No decoded copy at %s: %s", folder, reason)
        with suppress(OSError):
            folder.rmdir()
        return False
    return True


def _write(volume: Volume, folder: Path, source: Path, sources: Stamps) -> None:
    array = volume.array
    crc = 0
    with replacing(folder / ARRAY) as stream:
        stream.write(_header(array.dtype.str, array.shape))
        for plane in array:
            data = np.ascontiguousarray(plane).data.cast("B")
            crc = zlib.crc32(data, crc)
            stream.write(data)
    at = (folder / ARRAY).stat()
    if stamps(source) != sources:
        raise NotWritable("The files have changed while they were read.")
    told = {
        "dtype": array.dtype.str,
        "shape": list(array.shape),
        "size": at.st_size,
        "mtime_ns": at.st_mtime_ns,
        "crc32": crc,
    }
    body = {"array": told, "sources": sources, **facts(volume)}
    write_atomic(folder / RECORD, sealed(body))


def open_copy(
    folder: Path, source: Path, sources: Stamps, provenance: Provenance
) -> DecodedCopy | None:
    """Map the copy in `folder`, unless anything about it does not agree.

    The caller has just asked the gate for the series. The mapping stays valid when
    the copy is replaced or removed.

    Parameters
    ----------
    folder : Path
    source : Path
        Folder of the series.
    sources : dict
        Its `stamps` now.
    provenance : Provenance
        Filled in from the headers, as by `read_volume`.

    Returns
    -------
    DecodedCopy or None
        None where there is no copy of just these files by this version of the
        program, or it is damaged as far as its record, sizes and times show.
    """
    try:
        body = unsealed(folder / RECORD)
        if body["sources"] != sources:
            return None
        array = _mapped(folder / ARRAY, body["array"])
        volume = volume_of(body, array, source, provenance)
        crc = int(body["array"]["crc32"])
    except _DAMAGE:
        return None
    with suppress(OSError):  # a read-only disk
        os.utime(folder / RECORD)  # when it was last used, for eviction
    return DecodedCopy(volume, folder, crc)


def check_copy(copy: DecodedCopy, token: CancelToken | None = None) -> bool:
    """Whether the mapped bytes are those that were written.

    It sums up what is mapped, not what now has the name; other threads run
    meanwhile.

    Raises
    ------
    Cancelled
        Through `token`.
    """
    data = copy.volume.array.data.cast("B")
    crc = 0
    for start in range(0, len(data), _CHUNK):
        if token is not None:
            token.raise_if_cancelled()
        crc = zlib.crc32(data[start : start + _CHUNK], crc)
    return crc == copy.crc32


def discard_copy(folder: Path) -> bool:
    """Unlink a copy and what a writer that died has left of one.

    Who has it mapped keeps its pixels where names and contents are apart (POSIX);
    elsewhere a mapped file cannot be unlinked, and stays. One that is being
    written is left alone.

    Returns
    -------
    bool
        Whether nothing is left.
    """
    try:
        with _alone(folder):
            _clear(folder)
    except (OSError, Timeout, NotImplementedError):
        return False
    with suppress(OSError):
        folder.rmdir()
    return not any((folder / name).exists() for name in (ARRAY, RECORD))


def is_whole(folder: Path) -> bool:
    """Whether a copy in `folder` was written to its end, or one is being written."""
    if (folder / RECORD).is_file():
        return True
    try:
        with _alone(folder):
            return False
    except Timeout:
        return True
    except (OSError, NotImplementedError):
        return False


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold `folder` against other writers, without waiting; ends with its process."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / _LOCK)
    lock.acquire(timeout=0)
    try:
        yield
    finally:
        # While it is held: who has opened it and waits sees that its name is gone.
        with suppress(OSError):
            (folder / _LOCK).unlink()
        lock.release()


def _clear(folder: Path) -> None:
    """Unlink every part of a copy, its array first: a record alone opens nothing."""
    left = sorted(folder.glob(f".*{PART}"))
    for path in (folder / ARRAY, folder / RECORD, *left):
        with suppress(OSError):
            path.unlink()


def _header(dtype: str, shape: tuple[int, ...]) -> bytes:
    """What an ``.npy`` file of such an array starts with (NEP 1).

    A file is compared with it, so that no header is ever parsed or believed.
    """
    stream = io.BytesIO()
    told = {"descr": dtype, "fortran_order": False, "shape": tuple(shape)}
    np.lib.format.write_array_header_1_0(stream, told)
    return stream.getvalue()


def _mapped(path: Path, told: Mapping[str, Any]) -> np.memmap[Any, Any]:
    """The array, once the file is the one that `told` describes."""
    dtype, shape = told["dtype"], tuple(told["shape"])
    if dtype not in _DTYPES or not all(type(n) is int and n > 0 for n in shape):
        raise ValueError("no array that is kept")
    if len(shape) != 3 or not stat.S_ISREG(path.lstat().st_mode):
        raise ValueError("no file of a volume")
    header = _header(dtype, shape)
    size = len(header) + math.prod(shape) * np.dtype(dtype).itemsize
    with path.open("rb") as stream:
        at = os.fstat(stream.fileno())
        found = (at.st_size, at.st_size, at.st_mtime_ns)
        if found != (size, told["size"], told["mtime_ns"]):
            raise ValueError("not the file that was written")
        if stream.read(len(header)) != header:
            raise ValueError("another header")
        return np.memmap(stream, np.dtype(dtype), "r", len(header), shape)
