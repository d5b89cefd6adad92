"""Series that are looked at while they are fetched."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from napari_tcia.app.folder import recorded, under
from napari_tcia.app.search import ANNOTATION_MODALITIES
from napari_tcia.app.services import Services
from napari_tcia.app.windows import window_for
from napari_tcia.core.model import Acceptance, Provenance, Series, StoredSeries
from napari_tcia.terms import gate
from napari_tcia.volume.filling import Filling
from napari_tcia.volume.headers import is_synthetic
from napari_tcia.volume.instance import Header
from napari_tcia.volume.values import quantity_of


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
    filling: Filling
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
