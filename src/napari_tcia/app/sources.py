"""Sources: which archive sends a series, and which one where that fails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from napari_tcia.app.services import Services
from napari_tcia.core.model import AccessGrant, Issue, Series, StoredSeries
from napari_tcia.core.sources import ObjectSource, SeriesSource
from napari_tcia.core.task import CancelToken, Report
from napari_tcia.errors import (
    ArchiveError,
    NothingFound,
    RemoteTimeout,
    Unreachable,
    VerificationError,
)
from napari_tcia.terms.licence import as_licensed
from napari_tcia.transfer.download import Quarantine, fetch_series
from napari_tcia.transfer.store import Store

Watch = Callable[[Series, str], Callable[[Path], None] | None]
"""From a series and who sends it to what looks at its instances as they arrive."""
Source = Literal["auto", "nbia", "idc"]
"""Who sends the images: NBIA, and where it cannot the buckets of IDC, or one alone."""


@dataclass(frozen=True, slots=True)
class Bring:
    """Fetches one series from the first archive that can send it.

    The same grant opens both: what was accepted is the licence of a
    collection at the archive that lists it, and it holds for the same files
    wherever they are fetched. So nothing is asked again, and nothing that was
    not accepted is fetched elsewhere.

    `silence` holds who did not answer at all; the next series would wait as
    long in vain.
    """

    services: Services
    access: AccessGrant
    store: Store
    silence: dict[str, ArchiveError]
    report: Report
    token: CancelToken
    watch: Watch | None = None

    def __call__(
        self, one: Series, source: Source, issues: list[Issue]
    ) -> StoredSeries:
        """Bring `one` into the store; doubts go to `issues`.

        Raises
        ------
        TciaError
            As `transfer.download.fetch_series`; where both archives fail, what
            NBIA said.
        """
        if source != "auto":
            return self._from(source, one)
        try:
            return self._from("nbia", one)
        except ArchiveError as error:
            if _is_refusal(error) or self.services.idc.place(one.series_uid) is None:
                raise
            fault = error
        try:
            done = self._from("idc", one)
        except (ArchiveError, NothingFound, VerificationError) as error:
            issues.append(
                Issue(
                    "warn",
                    "other_archive_failed",
                    f"Nor could the Imaging Data Commons send it: {error}",
                    {"series_uid": one.series_uid, "error": error.code},
                )
            )
            raise fault from error
        issues.append(
            Issue(
                "info",
                "other_archive",
                f"Series {one.series_uid} was fetched from the Imaging Data Commons, "
                f"as {self.services.settings.archive_host} could not send it: "
                f"{fault.message}",
                {"series_uid": one.series_uid, "source": "idc", "error": fault.code},
            )
        )
        return done

    def _from(self, name: str, one: Series) -> StoredSeries:
        if name in self.silence:
            raise self.silence[name]
        sources: dict[str, SeriesSource | ObjectSource] = {
            "nbia": self.services.nbia,
            "idc": self.services.idc,
        }
        try:
            return fetch_series(
                one,
                sources[name],
                self.access,
                self.store,
                report=self.report,
                token=self.token,
                quarantine=Quarantine(self.services.quarantine, as_licensed),
                seen=self.watch(one, name) if self.watch else None,
            )
        except (Unreachable, RemoteTimeout) as error:
            self.silence[name] = error
            raise


def _is_refusal(error: ArchiveError) -> bool:
    """Whether the archive said no, which must not be walked around elsewhere.

    A series that it does not give out any more may have been withdrawn.
    """
    status = error.numbers.get("status", 0)
    return bool(400 <= status < 500 and status != 429)
