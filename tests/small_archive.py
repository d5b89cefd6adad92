"""A small archive on loopback, whose paths are named after their faults."""

from __future__ import annotations

import io
import json
import socket
import threading
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np

from napari_tcia.core.model import AccessGrant, Series
from napari_tcia.core.settings import Settings

UID = "61.7.0.999.1"
OTHER = "61.7.0.999.2"


def part10(series_uid: str, sop_uid: str, *, size: int = 4096) -> bytes:
    """Bytes of a small CT instance, Implicit VR Little Endian."""
    from pydicom import Dataset, FileMetaDataset, config
    from pydicom.uid import UID as DicomUID

    config.settings.writing_validation_mode = config.IGNORE
    data = Dataset()
    data.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    data.SOPInstanceUID = sop_uid
    data.StudyInstanceUID = "61.7.0.999.9"
    data.SeriesInstanceUID = series_uid
    data.PatientID = "TWIN_001"
    data.Rows = data.Columns = 1
    data.BitsAllocated = data.BitsStored = 16
    data.PixelRepresentation = 1
    noise = np.random.default_rng(len(sop_uid) + size).integers(0, 255, size)
    data.PixelData = noise.astype(np.uint8).tobytes()
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = data.SOPClassUID
    meta.MediaStorageSOPInstanceUID = DicomUID(sop_uid)
    meta.TransferSyntaxUID = "1.2.840.10008.1.2"
    data.file_meta = meta
    stream = io.BytesIO()
    data.save_as(stream, enforce_file_format=True, implicit_vr=True, little_endian=True)
    return stream.getvalue()


def zipped(members: list[tuple[str, bytes]]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return stream.getvalue()


INSTANCES = {f"{UID}.{n}": part10(UID, f"{UID}.{n}") for n in range(1, 6)}
"""Five instances of the series `UID`, by SOPInstanceUID."""

SERIES = Series(
    UID,
    patient_id="TWIN_001",
    collection="Twin",
    modality="CT",
    images=len(INSTANCES),
    bytes=sum(len(data) for data in INSTANCES.values()),
    licence_name="CC BY 3.0",
    sources=("nbia",),
)

LICENCE_TEXT = b"License Information. SYNTHETIC."


def good_zip(count: int = len(INSTANCES)) -> bytes:
    """LICENSE first, then instances in an order that is not their own."""
    named = [(f"1-{n}.dcm", d) for n, d in enumerate(INSTANCES.values(), 1)]
    return zipped([("LICENSE", LICENCE_TEXT), *reversed(named[:count])])


def grant_for(settings: Settings, *, series: str = UID, collection: str = "Twin"):
    """What `terms.gate` would hand out; made here, as the gate is another room."""
    return AccessGrant(
        settings.archive_host, frozenset({series}), frozenset({collection}), ("a1",)
    )


@dataclass
class Answer:
    """What a path of the small archive says."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    chunked: bool = False
    cut: int | None = None
    """Close the connection after this many bytes of the body."""
    stall: int | None = None
    """Fall silent after this many bytes of the body; -1 before the headers."""
    drip: float = 0.0
    """Seconds between single bytes."""


Plan = Answer | Callable[[int, dict[str, list[str]]], Answer]


@dataclass
class Asked:
    """One request as it arrived."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes


class SmallArchive:
    """Answers by path; knows what it was asked."""

    def __init__(self) -> None:
        self.plans: dict[str, Plan] = {}
        self.asked: list[Asked] = []
        self.silent = threading.Event()
        self.released = threading.Event()
        archive = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                archive._answer(self)

            do_POST = do_GET

            def log_message(self, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *args: Any) -> None:
                pass  # clients that hang up are what is tested

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(
            target=self._server.serve_forever, args=(0.02,), daemon=True
        ).start()

    def settings(self, home: Path) -> Settings:
        return Settings(
            home,
            archive=f"{self.url}/nbia",
            collections=f"{self.url}/cm",
            datacite=f"{self.url}/datacite",
            idc=f"{self.url}/idc",
            files=f"{self.url}/files",
        )

    def on(self, path: str, plan: Plan) -> None:
        self.plans[path] = plan

    def count(self, path: str) -> int:
        return sum(asked.path == path for asked in self.asked)

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        query = parse_qs(parts.query)
        length = int(handler.headers.get("Content-Length") or 0)
        body = handler.rfile.read(length)
        self.asked.append(
            Asked(
                handler.command, parts.path, query, dict(handler.headers.items()), body
            )
        )
        plan = self.plans.get(parts.path, Answer(b"no such path", 404))
        answer = plan(self.count(parts.path), query) if callable(plan) else plan
        if answer.stall == -1:
            self.silent.set()
            self.released.wait(30)
            return
        handler.send_response(answer.status)
        for key, value in answer.headers.items():
            handler.send_header(key, value)
        if answer.chunked:
            handler.send_header("Transfer-Encoding", "chunked")
        elif "Connection" not in answer.headers:
            handler.send_header("Content-Length", str(len(answer.body)))
        handler.end_headers()
        self._send_body(handler, answer)

    def _send_body(self, handler: BaseHTTPRequestHandler, answer: Answer) -> None:
        step = 1 if answer.drip else 1000
        sent = 0
        stop = answer.cut if answer.cut is not None else answer.stall
        while sent < len(answer.body):
            upto = sent + step if stop is None else min(sent + step, stop)
            if upto == sent:
                break
            piece = answer.body[sent:upto]
            if answer.chunked:
                piece = b"%x\r\n%s\r\n" % (len(piece), piece)
            handler.wfile.write(piece)
            handler.wfile.flush()
            sent = upto
            if answer.drip and self.released.wait(answer.drip):
                return
        if answer.stall is not None:
            self.silent.set()
            self.released.wait(30)
        elif answer.cut is not None:
            handler.close_connection = True
            handler.connection.shutdown(socket.SHUT_RDWR)
        elif answer.chunked:
            handler.wfile.write(b"0\r\n\r\n")


def as_json(value: Any, **more: Any) -> Answer:
    return Answer(
        json.dumps(value).encode(), headers={"Content-Type": "application/json"}, **more
    )


def seconds(work: Callable[[], Any]) -> float:
    start = time.monotonic()
    work()
    return time.monotonic() - start
