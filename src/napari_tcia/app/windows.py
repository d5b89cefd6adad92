"""Grey-scale windows: how CT is looked at first."""

from __future__ import annotations

from napari_tcia.core.image import Volume

Window = tuple[float, float]
"""(level, width) in units of the array."""
MEDIASTINUM: Window = (50.0, 350.0)
SOFT_TISSUE: Window = (40.0, 400.0)
"""In HU."""
PRESETS: dict[str, Window] = {
    "mediastinum": MEDIASTINUM,
    "soft tissue": SOFT_TISSUE,
    "lung": (-600.0, 1500.0),
    "liver": (30.0, 150.0),
    "brain": (40.0, 80.0),
    "bone": (400.0, 2000.0),
}
"""By name, in HU."""


def first_window(volume: Volume, name: str) -> Window | None:
    """First window of a volume, or None where nothing says which.

    The header's own where there is one, else mediastinum for the chest and
    soft tissue for the abdomen, only where the numbers are HU.

    Parameters
    ----------
    name : str
        Name of the case; those of the abdomen begin with "ABD".
    """
    return window_for(volume.window, volume.quantity, name)


def window_for(own: Window | None, quantity: str, name: str) -> Window | None:
    """As `first_window`, of what a header says.

    Parameters
    ----------
    own : (level, width) or None
        Of the header.
    quantity : str
        What the values are, as of a `Volume`.
    name : str
        Name of the case.
    """
    if own is not None:
        return own
    if quantity != "HU":
        return None
    return SOFT_TISSUE if name.upper().startswith("ABD") else MEDIASTINUM
