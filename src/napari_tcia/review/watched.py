"""An array that notes which of its slices were written to, by whatever hand."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Watched(np.ndarray):
    """(K, J, I) labels; brush, undo, tool and console are noticed alike.

    What is written through a view of it, whose place in it is not known, marks all
    of its slices.
    """

    _touched: set[int] | None = None
    _whole: Any = None

    def __array_finalize__(self, source: Any) -> None:
        """A view reports to what it is a view of; a copy reports to nobody."""
        whole = getattr(source, "_whole", None)
        shares = whole is not None and self.base is not None
        self._whole = whole if shares else None

    def __setitem__(self, key: Any, value: Any) -> None:
        """Write, then note where."""
        super().__setitem__(key, value)
        whole = self._whole
        if whole is not None:
            everything = range(len(whole))
            whole._touched.update(
                _slices(key, len(self)) if self is whole else everything
            )


def watched(labels: NDArray[Any], slices: Iterable[int] | None = None) -> Watched:
    """Copy `labels` as uint16 into an array that is watched.

    `slices` names those that hold anything, where it is known.
    """
    # Zeros cost no memory until they are written to, and most slices are empty.
    array: Watched = np.zeros(labels.shape, np.uint16).view(Watched)
    for k in range(len(labels)) if slices is None else slices:
        if slices is not None or labels[k].any():
            array[k] = labels[k]
    array._touched, array._whole = set(), array
    return array


def take_touched(array: Watched) -> tuple[int, ...]:
    """Slices that were written to since it was asked last, in order."""
    # Taken whole at once: somebody may be painting on another thread.
    touched, array._touched = array._touched or set(), set()
    return tuple(sorted(touched))


def touch(array: Watched, slices: Iterable[int]) -> None:
    """Note slices again, because what was done with them failed."""
    assert array._touched is not None
    array._touched.update(slices)


def _slices(key: Any, count: int) -> Iterable[int]:
    first = key[0] if isinstance(key, tuple) and key else key
    if isinstance(first, (int, np.integer)):
        return (int(first) % count,)
    if isinstance(first, slice):
        return range(*first.indices(count))
    if isinstance(first, np.ndarray) and first.dtype != bool and first.size:
        return (np.unique(first) % count).tolist()  # type: ignore[no-any-return]
    return range(count)
