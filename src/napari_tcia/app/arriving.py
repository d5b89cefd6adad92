"""Series that are looked at while they are fetched."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_tcia.app.folder import recorded, under
from napari_tcia.app.search import ANNOTATION_MODALITIES
from napari_tcia.app.services import Services
from napari_tcia.app.windows import first_window, window_for
from napari_tcia.core.geometry import Affine
from napari_tcia.core.image import Volume
from napari_tcia.core.model import Acceptance, Provenance, Series, StoredSeries
from napari_tcia.terms import gate
from napari_tcia.volume.filling import Filling
from napari_tcia.volume.headers import is_synthetic
from napari_tcia.volume.instance import Header
from napari_tcia.volume.values import quantity_of


@dataclass(frozen=True, slots=True, eq=False)
class Filled:
    """A volume whose pixels are still being checked, as a `Filling` that is full."""

    array: NDArray[Any]
    affine: Affine
    present: NDArray[np.bool_]
    window: tuple[float, float]
    quantity: str
    inverted: bool
    whole: bool = True

    @property
    def images(self) -> int:
        """Slices that it has."""
        return len(self.array)

    @property
    def count(self) -> int:
        """Slices that are there."""
        return int(self.present.sum())

    @property
    def start(self) -> int:
        """Index k of the slice to begin with."""
        return (len(self.array) - 1) // 2


@dataclass(slots=True, eq=False)
class Arriving:
    """One series, of which slices are in place.

    Attributes
    ----------
    series : Series
    name : str
        Of the case.
    filling : Filling
    provenance : Provenance
        Whom to credit, under which acceptance.
    state : {"arriving", "incomplete"}
        The latter once nothing more will come.
    """

    series: Series
    name: str
    filling: Filling | Filled
    provenance: Provenance
    state: Literal["arriving", "incomplete"] = "arriving"


@dataclass(slots=True, eq=False)
class Watched:
    """What is looked at of one opening.

    Parameters
    ----------
    services : Services
    begun : callable
        Gets each `Arriving` once two of its slices are in place, from the thread
        that receives; it must not raise.
    """

    services: Services
    begun: Callable[[Arriving], None]
    shown: dict[str, Arriving] = field(default_factory=dict)
    _seen: dict[str, Callable[[Path], None]] = field(default_factory=dict)

    def __call__(self, series: Series, source: str) -> Callable[[Path], None] | None:
        """What takes in the instances of `series`; None where it is not looked at."""
        if series.modality in ANNOTATION_MODALITIES or not series.images:
            return None
        if series.series_uid in self._seen:  # another archive goes on
            return self._seen[series.series_uid]
        host = self.services.settings.archive_host
        acceptance = gate.recheck(series, host, self.services.ledger)
        name = series.patient_id or series.series_uid

        def window(header: Header) -> tuple[float, float] | None:
            return window_for(header.window, quantity_of([header]), name)

        filling = Filling(series.images, series.bytes, window)

        def seen(path: Path) -> None:
            before = filling.begun
            if filling.add(path) and not before:
                one = _arriving(series, name, filling, host, source, acceptance)
                self.shown[series.series_uid] = one
                self.begun(one)

        self._seen[series.series_uid] = seen
        return seen

    def memory(self, series_uid: str) -> NDArray[Any] | None:
        """Array that a series has filled, for the verified volume to be read into."""
        one = self.shown.get(series_uid)
        filling = one.filling if one is not None else None
        return filling.release() if isinstance(filling, Filling) else None

    def opened(self, kept: StoredSeries, volume: Volume) -> None:
        """Let a volume be looked at while it is checked and its nodes are placed."""
        name = kept.series.patient_id or kept.series.series_uid
        window = first_window(volume, name)
        if window is None or volume.passport.verdict == "fail":
            return
        filled = Filled(
            volume.array,
            volume.affine,
            volume.present,
            window,
            volume.quantity,
            volume.inverted,
        )
        one = Arriving(kept.series, name, filled, volume.provenance)
        self.shown[kept.series.series_uid] = one
        self.begun(one)

    def over(self) -> None:
        """Nothing more will come of what is not whole."""
        for one in self.shown.values():
            one.state = "incomplete"


def _arriving(
    series: Series,
    name: str,
    filling: Filling,
    host: str,
    source: str,
    acceptance: Acceptance,
) -> Arriving:
    there = StoredSeries(
        series, Path(), 0, 0, source, host, retrieved="", acceptance_id=acceptance.id
    )
    first = filling.first
    provenance = replace(
        under(recorded(there), acceptance),
        frame_of_reference_uid=first.frame_of_reference_uid,
        synthetic=is_synthetic(first.comments, first.series_uid),
    )
    return Arriving(series, name, filling, provenance)
