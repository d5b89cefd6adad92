"""The embedded archive: all services on one port of this machine.

Bodies never name the address they come from, so nothing in an answer leads a
client anywhere it did not choose.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import socketserver
import ssl
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import parse_qsl

from napari_tcia.core.settings import Settings
from napari_tcia.demo.bucket import Bucket
from napari_tcia.demo.cases import all_cases
from napari_tcia.demo.citations import datacite, doi
from napari_tcia.demo.front import front
from napari_tcia.demo.messages import Disconnect, Reply, Request, crash
from napari_tcia.demo.nbia import Nbia
from napari_tcia.demo.policy import licence_page
from napari_tcia.demo.routes import PREFIXES, parse
from napari_tcia.demo.services import collection_manager, supplements
from napari_tcia.demo.small_collections import small_cases
from napari_tcia.demo.twin import Twin
from napari_tcia.demo.when import Triggers
from napari_tcia.errors import UsageError

_EVERYWHERE = ("", "0.0.0.0", "::")


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
    """A synthetic archive, started and stopped as a context.

    Parameters
    ----------
    cases : int
        Cases of CT Lymph Nodes, of which there are 176.
    full_size : bool
        512 x 512 pixels and thin slices.
    fault : str, optional
        Names of `napari_tcia.demo.faults.FAULTS` joined by ``+``, each perhaps
        with when it happens: see `napari_tcia.demo.when`.
    port : int
        0 takes a free one.
    cache_dir : Path, optional
        Where painted instances are kept; without one, a temporary folder that
        `stop` removes.
    host : str
        Address to listen on; by default nobody else can reach it.
    listing : int
        At least so many series are listed; the added ones have no pixels. With
        176 cases, 1384 are those of the two real collections of lymph nodes and
        six more.
    rate : float, optional
        Most bytes per second of one answer.
    latency : float
        Seconds before each answer.
    certificate, key : Path, optional
        PEM files; with them the archive speaks https alone. The certificate
        must name `host` for clients to trust it.

    Raises
    ------
    UsageError
        Unknown fault, an address or port that cannot be had, or a certificate
        or key that cannot be used.
    """

    def __init__(
        self,
        cases: int = 3,
        full_size: bool = False,
        fault: str | None = None,
        port: int = 0,
        cache_dir: Path | None = None,
        host: str = "127.0.0.1",
        listing: int = 0,
        rate: float | None = None,
        latency: float = 0.0,
        certificate: Path | None = None,
        key: Path | None = None,
    ) -> None:
        self._own_cache = cache_dir is None
        self._host = host
        self.rate = rate
        self.latency = latency
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._log: list[Record] = []
        self._open: set[socket.socket] = set()
        self._thread: threading.Thread | None = None
        self.fault = fault
        self._tls = _tls(certificate, key)
        try:
            self._server = _Server((host, port), self, self._tls)
        except OSError as error:
            raise UsageError(
                f"Port {port} of {host} cannot be used: {error.strerror or error}.",
                "Choose another, or 0 for a free one.",
            ) from error
        self.folder = cache_dir or Path(tempfile.mkdtemp(prefix="napari-tcia-demo-"))
        self.folder.mkdir(parents=True, exist_ok=True)
        held = (*all_cases(cases, full_size), *small_cases())
        self._nbia = Nbia(Twin(self.folder, held), listing)
        self._bucket = Bucket(self.twin)

    @property
    def fault(self) -> str | None:
        """The fault in force, as it was given; may be set while the archive runs."""
        return self._fault

    @fault.setter
    def fault(self, text: str | None) -> None:
        self._triggers = Triggers(text, self._stop)
        self._fault = text

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
        """Base address of each service, by the names that `Settings` has."""
        host = "127.0.0.1" if self._host in _EVERYWHERE else self._host
        scheme = "https" if self._tls else "http"
        root = f"{scheme}://{f'[{host}]' if ':' in host else host}:{self.port}"
        return {name: root + prefix for name, prefix in PREFIXES.items()}

    @property
    def log(self) -> list[Record]:
        """The requests so far, oldest first."""
        with self._lock:
            return list(self._log)

    def settings(self, home: Path) -> Settings:
        """Settings that point at this archive alone."""
        bases: dict[str, Any] = {**self.bases}
        return Settings(home=home, **bases)

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
        self.twin.close()
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
        self._stop.wait(self.latency)
        fault = self._triggers.for_request(request)
        if request.service == "archive":
            reply = self._nbia.answer(request, fault)
        elif request.service == "collections":
            reply = collection_manager(self.twin, request)
        elif request.service == "datacite":
            reply = datacite(request)
        elif request.service == "files":
            reply = supplements(self.twin, request)
        elif request.service == "idc":
            reply = self._bucket.answer(request)
        elif request.service == "licences":
            reply = licence_page(request)
        elif request.service == "doi":
            reply = doi(request)
        else:
            reply = front(self.twin, request, PREFIXES, self._tls is not None)
        return fault.reply(request, reply, fault.shot)

    def pieces(self, body: bytes | Iterator[bytes]) -> Iterator[bytes]:
        """A body in pieces that come no faster than the rate.

        As on a line: what the receiver keeps waiting is lost, what this process
        sleeps too long is made up.
        """
        due = time.monotonic()
        for part in [body] if isinstance(body, bytes) else body:
            rest = memoryview(part)
            while rest and (rate := self.rate):  # it may change meanwhile
                size = max(1, int(rate / 20))
                piece, rest = rest[:size], rest[size:]
                due += len(piece) / rate
                if self._stop.wait(max(0.0, due - time.monotonic())):
                    raise Disconnect
                sending = time.monotonic()
                yield bytes(piece)
                due += time.monotonic() - sending
            if rest:
                yield bytes(rest)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    block_on_close = False

    def __init__(
        self,
        address: tuple[str, int],
        archive: EmbeddedArchive,
        tls: ssl.SSLContext | None,
    ) -> None:
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, _Handler)
        self.archive = archive
        if tls is not None:
            # Hands are shaken by the thread of each connection, so that a
            # silent client keeps nobody waiting.
            self.socket = tls.wrap_socket(
                self.socket, server_side=True, do_handshake_on_connect=False
            )

    def server_bind(self) -> None:
        # Not that of HTTPServer, which asks the network for the host's name.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "localhost", self.socket.getsockname()[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        # Clients that hang up are no news.
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16
    server: _Server

    def version_string(self) -> str:
        """The Server header."""
        return "nginx"

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

    def do_HEAD(self) -> None:
        self._respond({})

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length).decode("utf-8", "replace")
        self._respond(dict(parse_qsl(body, keep_blank_values=True)))

    def _respond(self, form: Mapping[str, str]) -> None:
        archive = self.server.archive
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = parse(self.command, self.path, form, headers)
        try:
            reply = archive.answer(request)
        except Exception:
            traceback.print_exc()
            reply = crash()
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

        Before, so that whoever has read an answer finds it in the log. A body
        that breaks off does so in the middle of a chunk.
        """
        self.send_response(reply.status)
        if reply.content_type:
            self.send_header("Content-Type", reply.content_type)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        whole = isinstance(reply.body, bytes)
        chunked = not whole and "Content-Length" not in reply.headers
        if isinstance(reply.body, bytes):
            if "Content-Length" not in reply.headers and reply.status != 204:
                self.send_header("Content-Length", str(len(reply.body)))
        elif chunked:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()
        if self.command == "HEAD":
            return
        try:
            for piece in self.server.archive.pieces(reply.body):
                if piece:
                    yield len(piece)
                    framed = b"%x\r\n%b\r\n" % (len(piece), piece)
                    self.wfile.write(framed if chunked else piece)
                    self.wfile.flush()
        except Disconnect:
            if chunked:
                self.wfile.write(b"10000\r\n")
                self.wfile.flush()
            raise
        if chunked:
            self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:
        """The log is `EmbeddedArchive.log`."""


def _tls(certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise UsageError(
            "A certificate and its key go together.",
            "Give both --certificate FILE and --key FILE.",
        )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # Never ask for a passphrase: nobody may be there to type one.
        context.load_cert_chain(certificate, key, password=lambda: b"")
    except (OSError, ValueError) as error:  # SSLError is an OSError
        raise UsageError(
            f"{certificate} and {key} cannot be used: {error}.",
            "Both are PEM files, and the key has no passphrase.",
        ) from error
    return context
