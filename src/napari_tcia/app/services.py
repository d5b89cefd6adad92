"""The rooms a use case needs, opened once and handed down."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from napari_tcia.archive.catalogue import Catalogue, load
from napari_tcia.archive.http import Transport
from napari_tcia.archive.idc import Idc
from napari_tcia.archive.licences import Licences
from napari_tcia.archive.nbia import Nbia
from napari_tcia.core.settings import Settings
from napari_tcia.terms.ledger import Ledger
from napari_tcia.transfer.store import Store


@dataclass(frozen=True)
class Services:
    """What use cases work with; holds no state beyond what is on disk.

    Attributes
    ----------
    settings : Settings
    transport : Transport
        The one way to the network.
    nbia : Nbia
        The archive that lists and sends series.
    idc : Idc
        The buckets that have the same series as files.
    licences : Licences
        The official texts of licences.
    ledger : Ledger
        Acceptances, below HOME.
    store : Store
        Verified series, below HOME.
    quarantine : Store
        Verified series whose own LICENSE names other terms than the listing;
        nothing opens them before these are accepted.
    """

    settings: Settings
    transport: Transport
    nbia: Nbia
    idc: Idc
    licences: Licences
    ledger: Ledger
    store: Store
    quarantine: Store

    @classmethod
    def open(cls, settings: Settings | None = None) -> Services:
        """Open the rooms on `settings`, by default those of the environment.

        Nothing is fetched; the home folder is created.

        Raises
        ------
        UsageError
            An address in the environment is not acceptable.
        NotWritable
            The home folder cannot be made.
        """
        settings = settings or Settings.from_environment()
        home = settings.ensure_home()
        transport = Transport(settings)
        return cls(
            settings=settings,
            transport=transport,
            nbia=Nbia(transport, settings),
            idc=Idc(transport, settings),
            licences=Licences(transport, settings),
            ledger=Ledger(home / "ledger.jsonl"),
            store=Store(home / "store"),
            quarantine=Store(home / "quarantine"),
        )

    @property
    def decoded(self) -> Path:
        """Folder of the decoded copies; only `napari_tcia.app.decoded` opens one."""
        return self.settings.home / "decoded"

    @property
    def catalogue(self) -> Catalogue:
        """The bundled catalogue, read at first use."""
        return load()

    def keeps(self, path: Path) -> bool:
        """Whether `path` lies below HOME, where the gate guards every opening."""
        return path.resolve().is_relative_to(self.settings.home.resolve())
