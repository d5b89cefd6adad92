"""Compare what both archives send of one series."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_tcia.app import agree
from napari_tcia.app.services import Services
from napari_tcia.core.model import Series, StoredSeries
from napari_tcia.core.task import CancelToken, Report, silent
from napari_tcia.errors import CorruptData, NothingFound
from napari_tcia.terms import gate
from napari_tcia.transfer.download import fetch_series
from napari_tcia.transfer.store import RECORD, Store
from napari_tcia.volume.headers import survey
from napari_tcia.volume.read import read_volume


@dataclass(frozen=True, slots=True)
class Comparison:
    """What NBIA and IDC sent of one series.

    Attributes
    ----------
    same : int
        Instances that are equal byte for byte.
    differing : tuple of str
        SOPInstanceUIDs whose bytes differ.
    only_nbia, only_idc : tuple of str
        SOPInstanceUIDs that the other one did not send.
    pixels_equal : bool or None
        Whether voxels and affine are equal; None for what is no image.
    """

    series_uid: str
    same: int
    differing: tuple[str, ...]
    only_nbia: tuple[str, ...]
    only_idc: tuple[str, ...]
    pixels_equal: bool | None

    @property
    def equal(self) -> bool:
        """Whether nothing differs."""
        apart = self.differing or self.only_nbia or self.only_idc
        return not apart and self.pixels_equal is not False


def compare_sources(
    services: Services,
    one: Series,
    *,
    report: Report = silent,
    token: CancelToken | None = None,
) -> Comparison:
    """Fetch a series from both archives, anew, and compare.

    Nothing of it is kept.

    Raises
    ------
    AccessError
        Its terms are not accepted.
    NothingFound
        The Imaging Data Commons is not known to have it.
    ArchiveError, VerificationError
        One of the two could not send it whole.
    """
    token = token or CancelToken()
    if services.idc.place(one.series_uid) is None:
        raise NothingFound(
            f"The Imaging Data Commons is not known to have series {one.series_uid}.",
            "There is nothing to compare with.",
        )
    shown = agree.terms(services, [one], report=report, token=token)
    grant = gate.grant([one], shown, services.ledger)
    with tempfile.TemporaryDirectory(dir=services.settings.ensure_home()) as folder:
        nbia, idc = (
            fetch_series(
                one,
                source,
                grant,
                Store(Path(folder) / source.name),
                report=report,
                token=token,
            )
            for source in (services.nbia, services.idc)
        )
        return _compare(one, nbia, idc)


def _compare(one: Series, nbia: StoredSeries, idc: StoredSeries) -> Comparison:
    ours, theirs = _sums(nbia), _sums(idc)
    shared = ours.keys() & theirs.keys()
    return Comparison(
        series_uid=one.series_uid,
        same=sum(ours[uid] == theirs[uid] for uid in shared),
        differing=tuple(sorted(uid for uid in shared if ours[uid] != theirs[uid])),
        only_nbia=tuple(sorted(ours.keys() - shared)),
        only_idc=tuple(sorted(theirs.keys() - shared)),
        pixels_equal=_same_pixels(nbia.path, idc.path),
    )


def _sums(stored: StoredSeries) -> dict[str, str]:
    """SHA-256 of each instance, by SOPInstanceUID."""
    try:
        files = json.loads((stored.path / RECORD).read_bytes())["files"]
    except (OSError, ValueError, KeyError) as error:
        raise CorruptData(f"The record of {stored.path} cannot be read.") from error
    return {
        file["name"].removesuffix(".dcm"): file["sha256"]
        for file in files
        if file["name"].endswith(".dcm")
    }


def _same_pixels(nbia: Path, idc: Path) -> bool | None:
    if not any(series.is_image for series in survey(nbia)):
        return None
    one, other = (read_volume(path, allow_fail=True) for path in (nbia, idc))
    return bool(
        np.array_equal(one.array, other.array)
        and np.array_equal(one.affine, other.affine)
    )
