"""Stored values of one instance, native or compressed."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray

from napari_tcia.errors import CorruptData, MissingExtra, UnsupportedData
from napari_tcia.volume.instance import Header, tolerant


def stored_dtype(header: Header) -> np.dtype[Any]:
    """Native-endian dtype of the stored values.

    Raises
    ------
    UnsupportedData
        BitsAllocated is not 8, 16 or 32.
    """
    if header.bits_allocated not in (8, 16, 32):
        raise UnsupportedData(
            f"{header.path.name} has {header.bits_allocated} bits per pixel.",
            "8, 16 and 32 can be read.",
        )
    return np.dtype(f"{'i' if header.signed else 'u'}{header.bits_allocated // 8}")


def stored_values(header: Header) -> NDArray[Any]:
    """Stored values of a single-frame instance, before the rescale.

    Parameters
    ----------
    header : Header
        As read from the file now; its offsets are trusted.

    Returns
    -------
    (rows, columns) ndarray
        dtype of `stored_dtype`; bits above BitsStored removed (DICOM PS3.5
        section 8.1.1), with sign extension where the pixels are signed.

    Raises
    ------
    CorruptData
        The file is shorter than its header says, or does not decode.
    MissingExtra
        No decoder for its compression is installed.
    UnsupportedData
        A compression that no decoder exists for.
    """
    dtype = stored_dtype(header)
    if header.byte_order:
        with header.path.open("rb") as stream:
            stream.seek(header.pixel_offset)
            data = stream.read(header.expected_bytes)
        if len(data) < header.expected_bytes:
            raise CorruptData(
                f"{header.path.name} ends after {len(data)} of "
                f"{header.expected_bytes} pixel bytes.",
                "Fetch it again.",
                files=[os.fspath(header.path)],
            )
        values = np.frombuffer(
            data, dtype.newbyteorder("<" if header.byte_order == "<" else ">")
        )
        values = values.reshape(header.rows, header.columns).astype(dtype, copy=False)
    else:
        values = _decompressed(header).astype(dtype, copy=False)
    spare = header.bits_allocated - header.bits_stored
    if spare > 0:
        values = np.right_shift(np.left_shift(values, spare), spare)
    return values


def _decompressed(header: Header) -> NDArray[Any]:
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.pixels.utils import pixel_array

    if not header.transfer_syntax.endswith("1.2.1.99"):
        name = pydicom.uid.UID(header.transfer_syntax).name
        try:
            decoder = get_decoder(pydicom.uid.UID(header.transfer_syntax))
        except NotImplementedError as error:
            raise UnsupportedData(
                f"{header.path.name} is encoded as {name}, which cannot be read.",
                "Convert it to Explicit VR Little Endian first.",
                files=[os.fspath(header.path)],
            ) from error
        if not decoder.is_available:
            raise MissingExtra(
                f"{header.path.name} is compressed as {name}.",
                'Install its decoder: pip install "napari-tcia[codecs]"',
            )
    try:
        with tolerant():
            values = np.asarray(pixel_array(pydicom.dcmread(header.path), raw=True))
    except Exception as error:  # decoders raise whatever their C code maps to
        raise CorruptData(
            f"The pixels of {header.path.name} do not decode: {error}.",
            "Fetch it again.",
            files=[os.fspath(header.path)],
        ) from error
    if values.shape != (header.rows, header.columns):
        raise CorruptData(
            f"{header.path.name} decodes to {values.shape}, its header says "
            f"{(header.rows, header.columns)}.",
            "Fetch it again.",
            files=[os.fspath(header.path)],
        )
    return values
