"""Mouse events of another process, through the X server's test extension."""

from __future__ import annotations

import ctypes
import ctypes.util
import time


class Mouse:
    """A mouse on the display of the environment, as a person would move it.

    Raises
    ------
    OSError
        There is no such library, or no display.
    """

    def __init__(self) -> None:
        names = [ctypes.util.find_library(one) for one in ("X11", "Xtst")]
        if None in names:
            raise OSError("libX11 and libXtst are needed")
        self._x, self._test = (ctypes.CDLL(name) for name in names)
        self._x.XOpenDisplay.restype = ctypes.c_void_p
        self._x.XOpenDisplay.argtypes = [ctypes.c_char_p]
        self._x.XFlush.argtypes = [ctypes.c_void_p]
        move, press = self._test.XTestFakeMotionEvent, self._test.XTestFakeButtonEvent
        move.argtypes = [
            ctypes.c_void_p,
            *(ctypes.c_int,) * 3,
            ctypes.c_ulong,
        ]
        press.argtypes = [ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_ulong]
        self._display = self._x.XOpenDisplay(None)
        if not self._display:
            raise OSError("no display")

    def move(self, x: int, y: int) -> None:
        """Move to a place on the screen."""
        self._test.XTestFakeMotionEvent(self._display, -1, x, y, 0)
        self._x.XFlush(self._display)
        time.sleep(0.01)

    def button(self, down: bool) -> None:
        """Press or release the left button."""
        self._test.XTestFakeButtonEvent(self._display, 1, int(down), 0)
        self._x.XFlush(self._display)
        time.sleep(0.01)
