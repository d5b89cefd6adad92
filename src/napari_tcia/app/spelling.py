"""Texts that are near each other: typed in a hurry, pasted from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_SEPARATORS = re.compile(r"[^0-9a-z]+")
_ZEROS = re.compile(r"(?<![0-9])0+(?=[0-9])")
MAX_KEY = 48
"""Characters of a key that are compared; ends of longer ones do not count."""


def plain(text: str) -> str:
    """`text` in lower case, letters and digits only: "med_lymph_021" is one word."""
    return _SEPARATORS.sub("", text.casefold())


def loose(text: str) -> str:
    """As `plain`, and without leading zeros: "MED LYMPH 21" is MED_LYMPH_021."""
    return _SEPARATORS.sub("", _ZEROS.sub("", text.casefold()))


def words(text: str) -> str:
    """Words of `text`, each after a blank and without leading zeros."""
    return " " + " ".join(_SEPARATORS.split(_ZEROS.sub("", text.casefold()))).strip()


def allowed(text: str) -> int:
    """How many edits a text of this length may be away and still be meant."""
    return 0 if len(text) < 4 else 1 if len(text) < 9 else 2


class Keys:
    """Many keys, as a matrix of characters in which distances are taken at once.

    Parameters
    ----------
    keys : sequence of str
        As `plain` makes them, ASCII.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        cut = [key[:MAX_KEY].encode("ascii", "replace") for key in keys]
        width = max(map(len, cut), default=0)
        self._lengths = np.array([len(key) for key in cut], np.uint8)
        packed = b"".join(key.ljust(width, b"\0") for key in cut)
        table = np.frombuffer(packed, np.uint8).reshape(len(cut), width)
        # One row per position: each step of the distance walks along memory.
        self._letters = np.ascontiguousarray(table.T)

    def distances(
        self, text: str, most: int
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Edits from `text` to each key, and to the nearest beginning of each.

        An edit inserts, deletes or replaces a character or swaps two
        neighbours (optimal string alignment). Both arrays have shape
        (keys,); `most` + 1 stands for any more.
        """
        word = text[:MAX_KEY].encode("ascii", "replace")
        whole = np.full(len(self._lengths), most + 1, np.uint8)
        start = whole.copy()
        long_enough = np.flatnonzero(self._lengths >= len(word) - most)
        if not word or not long_enough.size:
            return whole, start
        letters = self._letters[:, long_enough]
        width = len(letters)
        far = np.full(long_enough.size, most + 1, np.uint8)
        before: list[NDArray[np.uint8]] = []
        row = [np.minimum(far, np.uint8(j)) for j in range(width + 1)]
        for i, letter in enumerate(word, 1):
            new = [far] * (width + 1)
            new[0] = np.minimum(far, np.uint8(i))
            # Further from the diagonal than `most` no distance is small enough.
            for j in range(max(1, i - most), min(width, i + most) + 1):
                here = letters[j - 1]
                best = row[j - 1] + (here != letter)
                np.minimum(best, row[j] + 1, out=best)
                np.minimum(best, new[j - 1] + 1, out=best)
                if i > 1 and j > 1:
                    swapped = (here == word[i - 2]) & (letters[j - 2] == letter)
                    np.minimum(best, before[j - 2] + 1, out=best, where=swapped)
                new[j] = np.minimum(best, far)
            before, row = row, new
        ends = np.stack(row)
        own = self._lengths[long_enough]
        whole[long_enough] = ends[own, np.arange(own.size)]
        within = np.arange(width + 1)[:, None] <= own
        start[long_enough] = np.where(within, ends, most + 1).min(axis=0)
        return whole, start
