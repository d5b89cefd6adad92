"""The embedded archive as a program of its own."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path

from napari_tcia.core.settings import is_loopback
from napari_tcia.demo.routes import PREFIXES
from napari_tcia.demo.server import EmbeddedArchive
from napari_tcia.demo.twin import Twin

_WHAT = (
    "The embedded archive of napari-tcia, SYNTHETIC: phantoms, not patients. "
    "How to connect, and what it holds: {root}/"
)
_OPEN = (
    "Warning: listening on {host}: whoever reaches this machine can read everything "
    "served, without a login."
)
_PLAIN = (
    "Warning: plain http, which napari-tcia speaks to its own machine only. For a "
    "class, add --certificate FILE --key FILE."
)
_SECURE = (
    "Clients trust the certificate when REQUESTS_CA_BUNDLE names a PEM file that has "
    "it, or whoever signed it."
)

_LEAVE_S = 2.0
"""How long the end waits for the sizes that are being found out."""


def serve(
    port: int = 0,
    cases: int = 3,
    full_size: bool = False,
    fault: str | None = None,
    host: str = "127.0.0.1",
    listing: int = 0,
    rate: float | None = None,
    latency: float = 0.0,
    certificate: Path | None = None,
    key: Path | None = None,
) -> None:
    """Run the archive alone until SIGTERM or SIGINT; to be called in the main thread.

    The first line on stdout is JSON: the bases, and the process id. What it is,
    and who can reach it, goes to stderr. The parameters are those of
    `EmbeddedArchive`.
    """
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    with EmbeddedArchive(
        cases, full_size, fault, port, None, host, listing, rate, latency,
        certificate, key,
    ) as archive:  # fmt: skip
        bases = archive.bases
        # Its keys are fixed; the front page names the licence texts too.
        bases.pop("licences")
        line = json.dumps({**bases, "pid": os.getpid()})
        print(line, flush=True)  # noqa: T201 - the contract of `serve`
        root = archive.bases["files"].removesuffix(PREFIXES["files"])
        said = [_WHAT.format(root=root)]
        if not is_loopback(host):
            said.append(_OPEN.format(host=host or "every address"))
            said.append(_SECURE if certificate else _PLAIN)
        print(*said, sep="\n", file=sys.stderr, flush=True)  # noqa: T201
        # The first listing would otherwise wait for the DICOM libraries.
        weighing = threading.Thread(
            target=_weigh, args=(archive.twin, ended), daemon=True
        )
        weighing.start()
        while not ended.wait(0.2):
            pass
    weighing.join(_LEAVE_S)
    if any(one.daemon for one in threading.enumerate()):
        # Python would tear down a thread in the middle of native code, which aborts.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def _weigh(twin: Twin, ended: threading.Event) -> None:
    """Find out the size of every series, which listings name."""
    for uid in twin.series:
        if ended.is_set():
            return
        twin.file_size(uid)
