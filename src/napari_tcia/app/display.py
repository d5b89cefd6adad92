"""Whether a window can be shown at all."""

from __future__ import annotations

import os
import sys

from napari_tcia.errors import NoDisplay


def require_display() -> None:
    """Raise where a window cannot open, before Qt aborts the process.

    Raises
    ------
    NoDisplay
        On Linux without an X or Wayland display.
    """
    if not sys.platform.startswith("linux"):
        return
    if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise NoDisplay(
            "There is no display to open a window on.",
            "Use a desktop session, or a virtual screen: "
            'xvfb-run -a -s "-screen 0 1600x1000x24" napari-tcia ...',
        )
