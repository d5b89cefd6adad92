"""Edits of labels as sparse differences, and the fingerprint of their outcome.

A fingerprint is made of the fingerprints of the slices that hold anything, so that an
edit costs the slices that it touched, never the volume.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_tcia.errors import CorruptData

Labels = NDArray[np.uint16]


@dataclass(frozen=True, slots=True, eq=False)
class Delta:
    """Voxels that changed.

    Attributes
    ----------
    index : (N,) int64
        Place in the flattened (K, J, I) array, rising.
    before, after : (N,) uint16
    """

    index: NDArray[np.int64]
    before: Labels
    after: Labels

    def __len__(self) -> int:
        return len(self.index)

    def slices(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Every k in which it changes something."""
        return tuple(np.unique(self.index // (shape[1] * shape[2])).tolist())

    def counts(self) -> dict[int, tuple[int, int]]:
        """How many voxels each label value gained and lost."""
        gained = dict(zip(*_unique(self.after), strict=True))
        lost = dict(zip(*_unique(self.before), strict=True))
        return {
            value: (gained.get(value, 0), lost.get(value, 0))
            for value in sorted(gained.keys() | lost.keys())
            if value
        }


class Shadow:
    """The labels as they were last written down.

    Parameters
    ----------
    labels : (K, J, I) array of uint16
        Is copied; empty slices cost no memory.
    slices : sequence of int, optional
        Those that hold anything, where it is known.
    """

    def __init__(
        self, labels: NDArray[Any], slices: Iterable[int] | None = None
    ) -> None:
        self.array: Labels = np.zeros(labels.shape, np.uint16)
        self._marks: dict[int, bytes] = {}
        for k in occupied(labels) if slices is None else slices:
            self.array[k] = labels[k]
            self._mark(k)

    @property
    def slices(self) -> tuple[int, ...]:
        """Every k that holds anything."""
        return tuple(sorted(self._marks))

    @property
    def fingerprint(self) -> str:
        """SHA-256 over shape and slices; equal exactly when the labels are."""
        return _joined(self.array.shape, self._marks)

    def differences(self, labels: NDArray[Any], slices: Iterable[int]) -> Delta:
        """What differs in `labels` from what was written, in the named slices."""
        size = int(np.prod(self.array.shape[1:]))
        places, before, after = [], [], []
        for k in slices:
            plane = np.array(labels[k], np.uint16).ravel()  # somebody paints meanwhile
            old = self.array[k].ravel()
            changed = np.flatnonzero(plane != old)
            if changed.size:
                places.append(changed + k * size)
                before.append(old[changed])
                after.append(plane[changed])
        none = np.zeros(0, np.uint16)
        return Delta(
            np.concatenate(places) if places else np.zeros(0, np.int64),
            np.concatenate(before) if before else none,
            np.concatenate(after) if after else none,
        )

    def take(self, delta: Delta) -> None:
        """Make `delta` part of what was written.

        Raises
        ------
        CorruptData
            It starts from other labels, or lies outside: nothing was changed.
        """
        flat = self.array.reshape(-1)
        inside = not len(delta) or 0 <= delta.index[0] <= delta.index[-1] < flat.size
        if not inside or not np.array_equal(flat[delta.index], delta.before):
            raise CorruptData(
                "An edit does not fit the labels that it was made on.",
                "Nothing was changed.",
            )
        flat[delta.index] = delta.after
        for k in delta.slices(self.array.shape):
            self._mark(k)

    def _mark(self, k: int) -> None:
        plane = self.array[k]
        if plane.any():
            self._marks[k] = hashlib.sha256(plane.astype("<u2").tobytes()).digest()
        else:
            self._marks.pop(k, None)


def occupied(labels: NDArray[Any]) -> list[int]:
    """Slices k of (K, J, I) labels that hold anything."""
    return [k for k, plane in enumerate(np.asarray(labels)) if plane.any()]


def fingerprint(labels: NDArray[Any]) -> str:
    """SHA-256 of (K, J, I) labels, as a `Shadow` of them would tell."""
    plain = np.asarray(labels)
    marks = {
        k: hashlib.sha256(plain[k].astype("<u2").tobytes()).digest()
        for k in occupied(plain)
    }
    return _joined(labels.shape, marks)


def encode(delta: Delta) -> bytes:
    """A delta as the bytes of an ``.npz``."""
    return _packed(index=delta.index, before=delta.before, after=delta.after)


def decode(data: bytes, shape: tuple[int, int, int]) -> Delta:
    """A delta from its bytes.

    Raises
    ------
    CorruptData
        They are none, or name voxels outside of `shape`.
    """
    index, before, after = _unpacked(data, ("index", "before", "after"))
    one = Delta(index.astype(np.int64), before, after)
    rising = bool((np.diff(one.index) > 0).all())
    inside = not len(one) or (one.index[0] >= 0 and one.index[-1] < np.prod(shape))
    if not (len(index) == len(before) == len(after) and rising and inside):
        raise CorruptData("A saved edit is damaged.", "Nothing was changed.")
    return one


def encode_whole(labels: NDArray[Any], slices: Iterable[int]) -> bytes:
    """Labels as the bytes of an ``.npz``: shape, and what is not background."""
    slices = list(slices)
    size = labels[0].size
    flat = [np.asarray(labels[k]).ravel() for k in slices]
    places = [np.flatnonzero(one) for one in flat]
    pairs = list(zip(slices, places, strict=True))
    index = [at + k * size for k, at in pairs] or [np.zeros(0, np.int64)]
    values = [one[at] for one, at in zip(flat, places, strict=True)]
    return _packed(
        shape=np.array(labels.shape, np.int64),
        index=np.concatenate(index),
        values=np.concatenate(values or [np.zeros(0)]).astype(np.uint16),
    )


def decode_whole(data: bytes, shape: tuple[int, int, int]) -> Shadow:
    """Labels from their bytes, as they were written.

    Raises
    ------
    CorruptData
        They are none, or of another shape.
    """
    stated, index, values = _unpacked(data, ("shape", "index", "values"))
    labels = np.zeros(shape, np.uint16)
    fits = tuple(stated.tolist()) == tuple(shape) and len(index) == len(values)
    if not fits or (len(index) and not 0 <= index.min() <= index.max() < labels.size):
        raise CorruptData("A snapshot is damaged.", "Nothing was changed.")
    labels.reshape(-1)[index] = values
    slices = np.unique(index // (shape[1] * shape[2])).tolist()
    return Shadow(labels, slices)


def _packed(**arrays: NDArray[Any]) -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, allow_pickle=False, **arrays)
    return stream.getvalue()


def _unpacked(data: bytes, names: tuple[str, ...]) -> list[NDArray[Any]]:
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as found:
            return [np.atleast_1d(found[name]) for name in names]
    except Exception as error:  # zip, zlib and numpy each raise their own
        raise CorruptData("A saved edit is damaged.", "Nothing was changed.") from error


def _joined(shape: tuple[int, ...], marks: dict[int, bytes]) -> str:
    whole = hashlib.sha256(repr(tuple(int(n) for n in shape)).encode())
    for k in sorted(marks):
        whole.update(k.to_bytes(4, "little") + marks[k])
    return whole.hexdigest()


def _unique(values: Labels) -> tuple[list[int], list[int]]:
    found, counts = np.unique(values, return_counts=True)
    return found.tolist(), counts.tolist()
