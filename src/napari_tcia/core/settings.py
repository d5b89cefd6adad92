"""Where things are: the services asked and the one folder written to."""

from __future__ import annotations

import ipaddress
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from napari_tcia.errors import NotWritable, UsageError

POLICY_URL = (
    "https://www.cancerimagingarchive.net/data-usage-policies-and-restrictions/"
)
"""TCIA's Data Usage Policy, which every use of its data is under."""

DEFAULTS = {
    "NAPARI_TCIA_ARCHIVE": "https://nbia.cancerimagingarchive.net/nbia-api/services",
    "NAPARI_TCIA_COLLECTIONS": "https://cancerimagingarchive.net/api",
    "NAPARI_TCIA_DATACITE": "https://api.datacite.org",
    "NAPARI_TCIA_IDC": "https://s3.amazonaws.com",
    "NAPARI_TCIA_FILES": "https://www.cancerimagingarchive.net/wp-content/uploads",
    "NAPARI_TCIA_LICENCES": "https://creativecommons.org/licenses",
}
"""Base address of each service, by environment variable."""


def is_loopback(host: str | None) -> bool:
    """Whether `host` (no port) is this machine by name or address."""
    if host in ("localhost", None):
        return host == "localhost"
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def netloc(url: str) -> str:
    """Host, with the port where one is written: the name of an archive.

    Two archives on one machine differ by port only, and terms accepted at
    one say nothing about the other.
    """
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    return f"{host}:{parts.port}" if parts.port else host


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything the program takes from its environment.

    Attributes
    ----------
    home : Path
        Root of all that is written (store, ledger, cached terms), mode 0700.
    archive, collections, datacite, idc, files : str
        Base addresses without trailing slash; plain http only to loopback.
    licences : str
        Base address of the official licence texts; empty where none is asked.
    limit : int or None
        Bytes that stored series and decoded copies may take together; None leaves
        it to `napari_tcia.transfer.space`.
    """

    home: Path
    archive: str = DEFAULTS["NAPARI_TCIA_ARCHIVE"]
    collections: str = DEFAULTS["NAPARI_TCIA_COLLECTIONS"]
    datacite: str = DEFAULTS["NAPARI_TCIA_DATACITE"]
    idc: str = DEFAULTS["NAPARI_TCIA_IDC"]
    files: str = DEFAULTS["NAPARI_TCIA_FILES"]
    licences: str = ""
    limit: int | None = None

    @classmethod
    def from_environment(cls, env: Mapping[str, str] | None = None) -> Settings:
        """Read the environment; nothing is created on disk.

        Who works with an archive on this machine leaves it for no licence
        text: there none is asked unless its address is given.

        Raises
        ------
        UsageError
            An address that is not http(s), or plain http to another machine; a
            limit that is no number of gigabytes.
        """
        env = os.environ if env is None else env
        given = env.get("NAPARI_TCIA_HOME")
        if given:
            home = Path(given).expanduser()
        else:
            from platformdirs import user_data_path

            home = user_data_path("napari-tcia", appauthor=False)
        bases = {
            name.removeprefix("NAPARI_TCIA_").lower(): _base(
                name, env.get(name) or default
            )
            for name, default in DEFAULTS.items()
        }
        local = is_loopback(urlsplit(bases["archive"]).hostname)
        if local and not env.get("NAPARI_TCIA_LICENCES"):
            bases["licences"] = ""
        limit = _gigabytes("NAPARI_TCIA_LIMIT_GB", env.get("NAPARI_TCIA_LIMIT_GB"))
        return cls(home=home, limit=limit, **bases)

    @property
    def archive_host(self) -> str:
        """Name of the archive that terms are accepted for."""
        return netloc(self.archive)

    @property
    def allowed_hosts(self) -> frozenset[str]:
        """Hosts, as `netloc`, that a request or redirect may go to."""
        bases = (self.archive, self.collections, self.datacite, self.idc, self.files)
        return frozenset(netloc(base) for base in (*bases, self.licences) if base)

    def ensure_home(self) -> Path:
        """Create the home folder, readable by its owner alone.

        Raises
        ------
        NotWritable
            The folder cannot be made.
        """
        try:
            self.home.mkdir(parents=True, exist_ok=True, mode=0o700)
            # An existing folder may have been made with a wider mask; one on a
            # read-only disk can still be read.
            if self.home.stat().st_mode & 0o777 != 0o700:
                self.home.chmod(0o700)
        except OSError as error:
            raise NotWritable(
                f"Cannot create {self.home}: {error.strerror}.",
                "Set NAPARI_TCIA_HOME to a folder that you may write to.",
            ) from error
        return self.home


def _gigabytes(name: str, given: str | None) -> int | None:
    """Bytes of a number of gigabytes (10^9), None where nothing is given."""
    if not given:
        return None
    try:
        number = float(given)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise UsageError(
            f"{name}={given[:40]} is no number of gigabytes.",
            "Give a number such as 50; leave it out for the default.",
        )
    return math.floor(number * 1e9)


def _base(name: str, url: str) -> str:
    parts = urlsplit(url)
    try:
        parts.port  # noqa: B018 - raises on a port that is no number
    except ValueError as error:
        raise UsageError(f"{name}={url} has no valid port.") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"{name}={url} is not an http(s) address.")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise UsageError(
            f"{name}={url} is plain http to another machine.",
            "Use https; plain http is for an archive on this machine only.",
        )
    return url.rstrip("/")
