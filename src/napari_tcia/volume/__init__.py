"""DICOM slices into a volume in patient space, with a passport."""

from napari_tcia.volume.headers import SeriesHeaders, survey
from napari_tcia.volume.read import read_volume, require_sound

__all__ = ["SeriesHeaders", "read_volume", "require_sound", "survey"]
