"""Official texts of licences, as Creative Commons publishes them."""

from __future__ import annotations

import re
import threading
import time
from urllib.parse import urlsplit

from napari_tcia.archive.http import Transport
from napari_tcia.core.model import Licence
from napari_tcia.core.settings import Settings
from napari_tcia.core.task import CancelToken
from napari_tcia.errors import ArchiveError, Cancelled, GrantMismatch, NothingFound

PATIENCE = 5.0
"""Seconds that a text may take; then the summary serves."""
_REST = 600.0
"""Seconds for which a service that gave no answer is left alone."""
_MAX_BYTES = 1 << 20
_HOST = "creativecommons.org"


class Licences:
    """Fetches the text of a licence; never waits long, and never raises.

    A licence is read before pixels are fetched, by people behind all kinds of
    firewalls: whatever goes wrong here must not stand in their way.

    Parameters
    ----------
    transport : Transport
    settings : Settings
        `licences` is the base; where it is empty nothing is asked.
    """

    def __init__(
        self, transport: Transport, settings: Settings, *, patience: float = PATIENCE
    ) -> None:
        self._transport = transport
        self._base = settings.licences
        self._patience = patience
        self._rest_until = 0.0

    def text(self, licence: Licence, token: CancelToken | None = None) -> str | None:
        """The plain text of a Creative Commons licence, None where there is none.

        What does not name the licence is not its text, whatever the status: a
        login page of the network, say, or a message of maintenance.

        Raises
        ------
        Cancelled
            `token` was cancelled.
        """
        url = urlsplit(licence.url)
        resting = time.monotonic() < self._rest_until
        if not self._base or url.hostname != _HOST or resting:
            return None
        token = token or CancelToken()
        own = CancelToken()
        forget = token.on_cancel(own.cancel)
        timer = threading.Timer(self._patience, own.cancel)
        timer.daemon = True
        timer.start()
        try:
            place = url.path.removeprefix("/licenses").strip("/")
            reply = self._transport.get(
                f"{self._base}/{place}/legalcode.txt", token=own, max_bytes=_MAX_BYTES
            )
        except Cancelled:
            token.raise_if_cancelled()
            self._rest_until = time.monotonic() + _REST
            return None
        except ArchiveError:
            self._rest_until = time.monotonic() + _REST
            return None
        except (NothingFound, GrantMismatch):
            return None
        finally:
            timer.cancel()
            forget()
        text = reply.body.decode("utf-8", "replace").strip()
        return text if _is_text_of(text, licence) else None


def _is_text_of(text: str, licence: Licence) -> bool:
    """Whether `text` is plain, and names the licence with version and port."""
    words = " ".join(text.split()).casefold()
    name = licence.name.removeprefix("Creative Commons ").removesuffix(" License")
    plain = not re.match(r"<|\{|\[", words)
    return plain and "creative commons" in words and name.casefold() in words
