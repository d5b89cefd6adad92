"""The embedded archive: all services on one port of this machine.

Bodies never name the address they come from, so nothing in an answer leads a
client anywhere it did not choose.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from napari_tcia.core.settings import Settings
from napari_tcia.demo.faults import FAULTS, HEALTHY
from napari_tcia.demo.messages import Disconnect, Reply, Request
from napari_tcia.demo.nbia import Nbia
from napari_tcia.demo.services import (
    collection_manager,
    datacite,
    no_bucket,
    supplements,
)
from napari_tcia.demo.twin import Twin, all_cases
from napari_tcia.errors import UsageError

PREFIXES = {
    "archive": "/nbia-api/services",
    "collections": "/api",
    "datacite": "/datacite",
    "idc": "/idc",
    "files": "/files",
}
"""Path below which each service answers."""


@dataclass(frozen=True, slots=True)
class Record:
    """One line of the request log.

    `path` has the query; `bytes` counts the body as far as it was sent.
    """

    time: str
    method: str
    path: str
    status: int
    bytes: int


class EmbeddedArchive:
    """A synthetic archive on 127.0.0.1, started and stopped as a context.

    Parameters
    ----------
    cases : int
        Cases of CT Lymph Nodes.
    full_size : bool
        512 x 512 pixels and thin slices.
    fault : str, optional
        A name of `FAULTS`.
    port : int
        0 takes a free one.
    cache_dir : Path, optional
        Where painted instances are kept; without one, a temporary folder that
        `stop` removes.

    Raises
    ------
    UsageError
        Unknown fault, or a port that cannot be had.
    """

    def __init__(
        self,
        cases: int = 3,
        full_size: bool = False,
        fault: str | None = None,
        port: int = 0,
        cache_dir: Path | None = None,
    ) -> None:
        self._own_cache = cache_dir is None
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._log: list[Record] = []
        self._open: set[socket.socket] = set()
        self._thread: threading.Thread | None = None
        self._fault: str | None = None
        self._nbia = Nbia(Twin(Path(), ()), HEALTHY)
        self.fault = fault
        try:
            self._server = _Server(("127.0.0.1", port), self)
        except OSError as error:
            raise UsageError(
                f"Port {port} cannot be used: {error.strerror}.",
                "Choose another, or 0 for a free one.",
            ) from error
        self.folder = cache_dir or Path(tempfile.mkdtemp(prefix="napari-tcia-demo-"))
        self.folder.mkdir(parents=True, exist_ok=True)
        self._nbia.twin = Twin(self.folder, all_cases(cases, full_size))

    @property
    def fault(self) -> str | None:
        """Name of the fault in force; may be set while the archive runs."""
        return self._fault

    @fault.setter
    def fault(self, name: str | None) -> None:
        if name is not None and name not in FAULTS:
            raise UsageError(
                f"There is no fault named {name!r}.", f"One of: {', '.join(FAULTS)}."
            )
        self._fault = name
        self._nbia.fault = FAULTS[name] if name else HEALTHY

    @property
    def twin(self) -> Twin:
        """What is held."""
        return self._nbia.twin

    @property
    def port(self) -> int:
        """The port listened on."""
        return int(self._server.server_address[1])

    @property
    def bases(self) -> dict[str, str]:
        """Base address of each service: archive, collections, datacite, idc, files."""
        root = f"http://127.0.0.1:{self.port}"
        return {name: root + prefix for name, prefix in PREFIXES.items()}

    @property
    def log(self) -> list[Record]:
        """The requests so far, oldest first."""
        with self._lock:
            return list(self._log)

    def settings(self, home: Path) -> Settings:
        """Settings that point at this archive alone."""
        return Settings(home=home, **self.bases)

    def start(self) -> EmbeddedArchive:
        """Begin to answer; returns at once."""
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            kwargs={"poll_interval": 0.05},
            name="embedded archive",
            daemon=True,
        )
        self._thread.start()
        return self

    def stop(self) -> None:
        """Break off what is running, close the port, remove an own cache."""
        self._stop.set()
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join(timeout=2)
            self._thread = None
        self._server.server_close()
        with self._lock:
            connections = list(self._open)
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        if self._own_cache:
            shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> EmbeddedArchive:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def answer(self, request: Request) -> Reply:
        """The reply to a request, with the fault in force applied."""
        if request.service == "archive":
            reply = self._nbia.answer(request)
        elif request.service == "collections":
            reply = collection_manager(self.twin, request)
        elif request.service == "datacite":
            reply = datacite(request)
        elif request.service == "files":
            reply = supplements(self.twin, request)
        elif request.service == "idc":
            reply = no_bucket()
        else:
            reply = Reply(b"<h1>Not Found</h1>", "text/html", status=404)
        return self._nbia.fault.reply(request, reply, self._stop)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    block_on_close = False

    def __init__(self, address: tuple[str, int], archive: EmbeddedArchive) -> None:
        super().__init__(address, _Handler)
        self.archive = archive

    def handle_error(self, request: Any, client_address: Any) -> None:
        # Clients that hang up are no news.
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "nginx"
    sys_version = ""
    disable_nagle_algorithm = True
    wbufsize = 1 << 16
    server: _Server

    def setup(self) -> None:
        super().setup()
        archive = self.server.archive
        with archive._lock:
            archive._open.add(self.connection)

    def finish(self) -> None:
        archive = self.server.archive
        with archive._lock:
            archive._open.discard(self.connection)
        super().finish()

    def do_GET(self) -> None:
        self._respond({})

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length).decode("utf-8", "replace")
        self._respond(dict(parse_qsl(body, keep_blank_values=True)))

    def _respond(self, form: Mapping[str, str]) -> None:
        archive = self.server.archive
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = _parse(self.command, self.path, form, headers)
        try:
            reply = archive.answer(request)
        except Exception:
            traceback.print_exc()
            text = b"Server was not able to process your request\nnull"
            reply = Reply(text, "text/plain", status=500)
        with archive._lock:
            place = len(archive._log)
            now = datetime.now(UTC).isoformat(timespec="milliseconds")
            archive._log.append(Record(now, self.command, self.path, reply.status, 0))
        sent = 0
        try:
            for size in self._send(reply):
                sent += size
                with archive._lock:
                    archive._log[place] = Record(
                        now, self.command, self.path, reply.status, sent
                    )
        except (Disconnect, OSError):
            self.close_connection = True

    def _send(self, reply: Reply) -> Iterator[int]:
        """Send the reply, yielding the size of each piece before it goes out.

        Before, so that whoever has read an answer finds it in the log.
        """
        self.send_response(reply.status)
        if reply.content_type:
            self.send_header("Content-Type", reply.content_type)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if isinstance(reply.body, bytes):
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            yield len(reply.body)
            self.wfile.write(reply.body)
            self.wfile.flush()
            return
        chunked = "Content-Length" not in reply.headers
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for chunk in reply.body:
            if chunk:
                yield len(chunk)
                framed = b"%x\r\n%b\r\n" % (len(chunk), chunk)
                self.wfile.write(framed if chunked else chunk)
                self.wfile.flush()
        if chunked:
            self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:
        """The log is `EmbeddedArchive.log`."""


def _parse(
    method: str, path: str, form: Mapping[str, str], headers: Mapping[str, str]
) -> Request:
    url = urlsplit(path)
    query = dict(parse_qsl(url.query, keep_blank_values=True)) | dict(form)
    for service, prefix in PREFIXES.items():
        if url.path.startswith(f"{prefix}/"):
            rest = url.path.removeprefix(f"{prefix}/").strip("/")
            parts = tuple(unquote(part) for part in rest.split("/"))
            return Request(method, service, parts, query, headers)
    return Request(method, "", (), query, headers)


def serve(
    port: int = 0, cases: int = 3, full_size: bool = False, fault: str | None = None
) -> None:
    """Run the archive alone until SIGTERM or SIGINT; to be called in the main thread.

    The first line on stdout is JSON: the bases, and the process id.
    """
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    with EmbeddedArchive(cases, full_size, fault, port) as archive:
        line = json.dumps({**archive.bases, "pid": os.getpid()})
        print(line, flush=True)  # noqa: T201 - the contract of `serve`
        while not ended.wait(0.2):
            pass
