"""A series while it arrives: slices in places that are likely, and not proven.

Two slices out of order tell neither how many come before them nor where the first
one lies. In most series InstanceNumber counts from 1 along the normal, up or down;
the line through (InstanceNumber, position along the normal) of the first two slices
gives every other one its place. What does not lie on it is left out until all are
there and the passport says where they belong. Nothing may be measured, annotated or
read in mm before that.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from napari_tcia.core.geometry import Affine, make_affine
from napari_tcia.volume.decode import Memory, read_header
from napari_tcia.volume.instance import Header
from napari_tcia.volume.pixels import can_be_int16, read_slice
from napari_tcia.volume.values import quantity_of

Window = tuple[float, float]
_LINE_TOLERANCE = 0.05
"""Departure from the line of places, as share of the step."""
_STRIPE = 6
"""Voxels across one stripe of the hatching."""
_MOST = 2 << 30
"""Bytes of an array for a series that does not say how large it is."""


class Filling:
    """An array that fills with slices, in any order; from several threads.

    Parameters
    ----------
    images : int
        Instances that the archive lists.
    declared_bytes : int or None
        Their size; no array is made that is much larger.
    window_of : callable
        From a header to the (level, width) that its image is looked at with first,
        or None.

    Attributes
    ----------
    array : (K, J, I) int16 or float32, or None
        Rescaled values, hatched where no slice is yet; None before two slices
        have told how they follow one another.
    present : (K,) bool
    affine : (4, 4) float64
        Provisional: (k, j, i, 1) to LPS mm.
    first : Header
        Of the slice that came first.
    hatching : Thread
        Hatches what was not there when it began.
    window : (level, width)
    quantity : str
    """

    array: NDArray[Any]
    affine: Affine
    window: Window
    quantity: str
    first: Header
    hatching: threading.Thread
    whole = False

    def __init__(
        self,
        images: int,
        declared_bytes: int | None,
        window_of: Callable[[Header], Window | None],
    ) -> None:
        self._window_of = window_of
        self._most = 2 * declared_bytes if declared_bytes else _MOST
        self._lock = threading.Lock()
        self._released = False
        self._memory = Memory()
        self._waiting: Header | None = None
        self._line = (0.0, 0.0)
        self._normal = np.zeros(3)
        self.images = images
        self.present = np.zeros(images, np.bool_)

    @property
    def begun(self) -> bool:
        """Whether there is something to look at."""
        return bool(self.present.any())

    @property
    def count(self) -> int:
        """Slices that are in place."""
        return int(self.present.sum())

    @property
    def start(self) -> int:
        """Index k of the slice that came first."""
        return self.place(self.first)

    @property
    def inverted(self) -> bool:
        """As of a `Volume`."""
        return self.first.photometric == "MONOCHROME1"

    def add(self, path: Path) -> bool:
        """Put the slice of a file into its place.

        Returns
        -------
        bool
            False where it has no place yet, or cannot be shown: whether it is
            damaged is for the verification to say.
        """
        try:
            header = read_header(path, self._memory)
        except (OSError, ValueError):
            return False
        with self._lock:
            return header is not None and not self._released and self._add(header)

    def release(self) -> NDArray[Any] | None:
        """Hand over the array, for the verified volume to be read into.

        Nothing is put into it from here any more. None where nothing was shown.
        """
        with self._lock:
            self._released = True
            return self.array if self.begun else None

    def _add(self, header: Header) -> bool:
        number = header.instance_number
        placed = header.position and header.orientation and header.pixel_spacing
        if (
            number is None
            or not placed
            or not 1 <= number <= self.images
            or header.frames != 1
            or header.samples != 1
            or header.is_truncated
        ):
            return False
        if self.begun:
            return self._put(header)
        if self._waiting is None:
            self._waiting = header
            return False
        return self._begin(self._waiting, header)

    def _begin(self, one: Header, two: Header) -> bool:
        assert one.orientation is not None
        assert one.pixel_spacing is not None
        assert one.position is not None
        assert one.instance_number is not None
        assert two.instance_number is not None
        self._normal = np.cross(one.orientation[:3], one.orientation[3:])
        apart = two.instance_number - one.instance_number
        along = self._along(two) - self._along(one)
        size = self.images * one.rows * one.columns
        exact = can_be_int16(one)
        dtype = np.dtype(np.int16 if exact else np.float32)
        if not apart or not along or not size or size * dtype.itemsize > self._most:
            return False
        slope = along / apart
        # k rises along the normal: with the numbers, or against them.
        self._line = (self._along(one) - one.instance_number * slope, slope)
        window = self._window_of(one)
        try:
            values = np.empty((1, one.rows, one.columns), dtype)
            if not read_slice(values, 0, one):
                self._waiting = two
                return False
            if window is None:
                low, high = (float(v) for v in np.percentile(values, (1, 99)))
                window = (low + high) / 2, max(high - low, 1.0)
            array = np.zeros((self.images, one.rows, one.columns), dtype)
        except MemoryError:
            return False
        at_first = 1 if slope > 0 else self.images
        origin = np.array(one.position) + self._normal * (
            (at_first - one.instance_number) * slope
        )
        spacing = (abs(slope), *one.pixel_spacing)
        self.affine = make_affine(origin, one.orientation, spacing)
        self.window, self.quantity, self.first = window, quantity_of([one]), one
        self.array = array
        self._put(one)
        self._put(two)
        # Fresh memory is slow to write to: not before the first slice is shown.
        self.hatching = threading.Thread(target=self._hatch_absent, daemon=True)
        self.hatching.start()
        return self.begun

    def _hatch_absent(self) -> None:
        """Hatch what is not there, from where one looks first outwards."""
        for k in sorted(range(self.images), key=lambda k: abs(k - self.start)):
            with self._lock:
                if self._released:
                    return
                if not self.present[k]:
                    _hatch(self.array, k, self.window)

    def _put(self, header: Header) -> bool:
        first = self.first
        offset, slope = self._line
        at = offset + (header.instance_number or 0) * slope
        away = abs(self._along(header) - at)
        same = (
            (header.rows, header.columns) == (first.rows, first.columns)
            and header.pixel_spacing == first.pixel_spacing
            and np.allclose(
                np.array(header.orientation), np.array(first.orientation), atol=1e-3
            )
            and quantity_of([header]) == self.quantity
        )
        if not same or away > _LINE_TOLERANCE * abs(slope):
            return False
        k = self.place(header)
        wide = self.array.dtype == np.int16 and not can_be_int16(header)
        if wide or self.present[k]:
            return False
        if read_slice(self.array, k, header):
            self.present[k] = True
            return True
        _hatch(self.array, k, self.window)
        return False

    def place(self, header: Header) -> int:
        """Index k that the number of a slice stands for."""
        number = header.instance_number or 1
        return number - 1 if self._line[1] > 0 else self.images - number

    def _along(self, header: Header) -> float:
        return float(np.dot(header.position or (0, 0, 0), self._normal))


def _hatch(array: NDArray[Any], k: int, window: Window) -> None:
    """Draw slanted stripes, dark within `window`, that show on every plane."""
    level, width = window
    shades = np.array((level - width / 2, level - width / 4)).astype(array.dtype)
    _, rows, columns = array.shape
    along = np.arange(k, k + rows + columns) // _STRIPE % 2
    array[k] = sliding_window_view(shades[along], columns)[:rows]
