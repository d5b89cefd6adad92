"""Stored values of all slices into one array, rescaled in place.

Uncompressed values are read straight into the place where they stay. Two
threads are enough to keep a disk busy; each slice is its own business, so their
order does not matter.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_tcia.core.task import CancelToken, Progress, Report, silent
from napari_tcia.core.threads import side_by_side
from napari_tcia.errors import CorruptData, TciaError, UnsupportedData
from napari_tcia.volume.codecs import decoded, require_decoder, stored_dtype
from napari_tcia.volume.elements import DEFLATED
from napari_tcia.volume.instance import Header, tolerant

_BINARY = getattr(os, "O_BINARY", 0)  # Windows
_CHUNK = 32
_COMPRESSED_CHUNK = 16
_LARGE = 1 << 31
"""Slopes and intercepts from here on leave no value that fits int16, but 0."""
_READERS = 2
_DECODERS = min(4, os.cpu_count() or 1)

Array = NDArray[Any]
Job = tuple[int, Header]


@dataclass(frozen=True, slots=True, eq=False)
class Pixels:
    """Rescaled values of a series.

    Attributes
    ----------
    array : (K, J, I) int16 or float32
        int16 when every rescaled value is a whole number that fits. Slices
        that are not present hold anything.
    present : (K,) bool
    lost : tuple of Header
        Slices whose pixels turned out to be damaged.
    """

    array: Array
    present: NDArray[np.bool_]
    lost: tuple[Header, ...]


class _TooLarge(Exception):
    """A value does not fit int16."""


def read_pixels(
    slices: Sequence[Header | None],
    *,
    memory: Array | None = None,
    report: Report = silent,
    token: CancelToken | None = None,
) -> Pixels:
    """Read and rescale the slices of a series.

    Parameters
    ----------
    slices : sequence of Header or None
        By k, of one matrix; those that are None or damaged are left out.
    memory : (K, J, I) ndarray, optional
        Array to read into where shape and type are the same; fresh memory is
        slow to write to.
    report : callable
        Called on this thread.
    token : CancelToken, optional

    Raises
    ------
    MissingExtra, UnsupportedData
        An encoding without a decoder, or not enough memory.
    Cancelled
    """
    token = token or CancelToken()
    jobs = [
        (k, header)
        for k, header in enumerate(slices)
        if header is not None and not header.is_truncated
    ]
    kinds = {header.transfer_syntax: header for _, header in jobs}
    for header in kinds.values():
        require_decoder(header)
    try:
        with tolerant():  # a global of pydicom: once, not in each thread
            if _is_exact([header for _, header in jobs]):
                try:
                    return _read(
                        slices, jobs, np.dtype(np.int16), memory, report, token
                    )
                except _TooLarge:
                    pass  # start over, wider
            return _read(slices, jobs, np.dtype(np.float32), memory, report, token)
    except MemoryError as error:
        first = jobs[0][1]
        raise UnsupportedData(
            f"Series {first.series_uid} of {len(slices)} slices of {first.rows} x "
            f"{first.columns} takes more memory than is free.",
            "Close other programs, or open a part of it.",
        ) from error


def read_slice(array: Array, k: int, header: Header) -> bool:
    """Read and rescale one slice into its place.

    Parameters
    ----------
    array : (K, J, I) int16 or float32
    k : int
    header : Header
        Of an image of the same matrix.

    Returns
    -------
    bool
        False where it is damaged, no decoder is there, or a value does not fit.
    """
    present = np.zeros(len(array), np.bool_)
    try:
        with tolerant():
            require_decoder(header)
            _fill(array, present, [(k, header)], {}, CancelToken())
    except (OSError, TciaError, _TooLarge):
        return False
    return bool(present[k])


def can_be_int16(header: Header) -> bool:
    """Whether rescaled values of a slice may be kept as int16."""
    return _is_exact([header])


def _read(
    slices: Sequence[Header | None],
    jobs: list[Job],
    dtype: np.dtype[Any],
    memory: Array | None,
    report: Report,
    token: CancelToken,
) -> Pixels:
    present = np.zeros(len(slices), dtype=np.bool_)
    chunks = list(_chunks(jobs))
    ready, lost = _first_decoded(chunks)
    jobs = list(chain.from_iterable(chunks))
    if not jobs:
        return Pixels(np.zeros((len(slices), 0, 0), dtype), present, tuple(lost))
    first = jobs[0][1]
    shape = (len(slices), first.rows, first.columns)
    same = memory is not None and (memory.shape, memory.dtype) == (shape, dtype)
    array = memory if memory is not None and same else np.empty(shape, dtype)
    native = all(_is_plain(header) for _, header in jobs)
    done, total, uid = 0, len(jobs), first.series_uid
    report(Progress("Reading slices", 0, total, "slices", uid))

    def work(chunk: list[Job]) -> list[Header]:
        token.raise_if_cancelled()
        return _fill(array, present, chunk, ready, token)

    for chunk, damaged in side_by_side(work, chunks, _READERS if native else _DECODERS):
        lost += damaged
        done += len(chunk)
        report(Progress("Reading slices", done, total, "slices", uid))
    return Pixels(array, present, tuple(lost))


def _is_plain(header: Header) -> bool:
    """Whether the values lie in the file as they are."""
    return bool(header.byte_order) and header.transfer_syntax != DEFLATED


def _chunks(jobs: Sequence[Job]) -> Iterator[list[Job]]:
    """Some slices at a time; compressed ones by file, which is opened once."""
    chunk: list[Job] = []
    for job in jobs:
        other_file = (
            bool(chunk)
            and chunk[-1][1].path != job[1].path
            and not (_is_plain(job[1]) and _is_plain(chunk[-1][1]))
        )
        most = _CHUNK if _is_plain(job[1]) else _COMPRESSED_CHUNK
        if len(chunk) >= most or other_file:
            yield chunk
            chunk = []
        chunk.append(job)
    if chunk:
        yield chunk


def _first_decoded(
    chunks: list[list[Job]],
) -> tuple[dict[int, Array], list[Header]]:
    """Decode one image, where they are compressed, before memory is taken for all.

    What a compressed image claims to measure is true only once it was decoded.
    Chunks of damaged images before it are taken out of `chunks`.
    """
    lost: list[Header] = []
    while chunks and not _is_plain(chunks[0][0][1]):
        k, header = chunks[0][0]
        (values,) = decoded([header])
        if not isinstance(values, CorruptData):
            return {k: values}, lost
        lost.append(header)
        chunks[0].pop(0)
        if not chunks[0]:
            chunks.pop(0)
    return {}, lost


def _fill(
    array: Array,
    present: NDArray[np.bool_],
    chunk: Sequence[Job],
    ready: dict[int, Array],
    token: CancelToken,
) -> list[Header]:
    """Put some slices into their places; the damaged ones are returned."""
    if _is_plain(chunk[0][1]):
        return _fill_plain(array, present, chunk, token)
    lost = []
    wanted = [(k, header) for k, header in chunk if k not in ready]
    known = [(k, header, ready[k]) for k, header in chunk if k in ready]
    found = decoded([header for _, header in wanted]) if wanted else iter(())
    for k, header, values in chain(
        known, ((k, h, v) for (k, h), v in zip(wanted, found, strict=True))
    ):
        token.raise_if_cancelled()
        if isinstance(values, CorruptData):
            lost.append(header)
            continue
        _rescale(array[k], _significant(values, header), header)
        present[k] = True
    return lost


def _fill_plain(
    array: Array,
    present: NDArray[np.bool_],
    chunk: Sequence[Job],
    token: CancelToken,
) -> list[Header]:
    lost = []
    for k, header in chunk:
        token.raise_if_cancelled()
        dtype = stored_dtype(header)
        straight = array.dtype == np.int16 and dtype.itemsize == 2
        values = (
            array[k].view(dtype)
            if straight
            else np.empty((header.rows, header.columns), dtype)
        )
        if not _read_into(values, header):
            lost.append(header)
            continue
        if header.byte_order == ">":
            values.byteswap(inplace=True)
        _rescale(array[k], _significant(values, header), header)
        present[k] = True
    return lost


def _read_into(values: Array, header: Header) -> bool:
    """Read the stored values of an image; False where its file is too short."""
    view = values.reshape(-1).view(np.uint8).data
    handle = os.open(header.path, os.O_RDONLY | _BINARY)
    try:
        at = header.pixel_offset
        while view:
            count = _read_at(handle, view, at)
            if not count:
                return False
            view, at = view[count:], at + count
    finally:
        os.close(handle)
    return True


def _read_at(handle: int, view: memoryview, at: int) -> int:
    """Read into `view` from an offset, without a copy where the system can."""
    if hasattr(os, "preadv"):
        return os.preadv(handle, [view], at)
    os.lseek(handle, at, os.SEEK_SET)
    data = os.read(handle, len(view))
    view[: len(data)] = data
    return len(data)


def _significant(values: Array, header: Header) -> Array:
    """Drop the bits above BitsStored, in place (DICOM PS3.5 section 8.1.1)."""
    spare = header.bits_allocated - header.bits_stored
    if spare <= 0:
        return values
    if not values.flags.writeable:
        values = values.copy()
    if header.signed:
        np.left_shift(values, spare, out=values)
        np.right_shift(values, spare, out=values)
    else:
        np.bitwise_and(values, (1 << header.bits_stored) - 1, out=values)
    return values


def _is_exact(headers: Iterable[Header]) -> bool:
    """Whether every rescaled value is a whole number of at most 16 bits and a shift."""
    return all(
        slope.is_integer()
        and intercept.is_integer()
        and max(abs(slope), abs(intercept)) < _LARGE
        and stored_dtype(header).itemsize <= 2
        for header in headers
        for slope in [1.0 if header.slope is None else header.slope]
        for intercept in [header.intercept or 0.0]
    )


def _rescale(out: Array, values: Array, header: Header) -> None:
    """Write slope * values + intercept to `out`, of which `values` may be a view.

    Raises
    ------
    _TooLarge
        `out` is int16, and some result does not fit.
    """
    slope = 1.0 if header.slope is None else header.slope
    intercept = 0.0 if header.intercept is None else header.intercept
    if out.dtype != np.int16:
        with np.errstate(over="ignore"):  # the passport fails what is no number
            out[...] = values * np.float64(slope) + intercept
        return
    if slope != 1:
        wide = values * np.int64(slope) + np.int64(intercept)
        _require_fit(int(wide.min()), int(wide.max()))
        out[...] = wide
        return
    shift = int(intercept)
    if values.dtype == np.int16 and shift == 0:
        if values.base is not out and not np.shares_memory(values, out):
            out[...] = values
        return
    low, high = _possible(header)
    if not (low + shift >= -32768 and high + shift <= 32767):
        low, high = int(values.min()), int(values.max())
        _require_fit(low + shift, high + shift)
    # Modular 16-bit arithmetic is exact, since the true sum fits.
    same = values.view(np.uint16) if values.itemsize == 2 else values.astype(np.int16)
    np.add(same.view(np.uint16), np.uint16(shift % 65536), out=out.view(np.uint16))


def _require_fit(low: int, high: int) -> None:
    if low < -32768 or high > 32767:
        raise _TooLarge


def _possible(header: Header) -> tuple[int, int]:
    """Least and greatest stored value that BitsStored can hold."""
    bits = min(header.bits_stored, header.bits_allocated)
    if header.signed:
        return -(1 << bits - 1), (1 << bits - 1) - 1
    return 0, (1 << bits) - 1
