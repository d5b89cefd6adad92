"""Downloads through proxy.py, a proxy of others: the same outcomes as without.

The archive goes by a name that resolves nowhere but in the proxy, and speaks https
alone: what arrives can only have come through a tunnel (CONNECT), whose bytes are
counted by the proxy.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from embedded import LNQ
from napari_tcia.archive.http import Transport
from napari_tcia.archive.nbia import Nbia
from napari_tcia.core.model import AccessGrant, SearchQuery
from napari_tcia.core.settings import Settings
from napari_tcia.core.task import CancelToken
from napari_tcia.demo.server import EmbeddedArchive
from napari_tcia.errors import (
    Cancelled,
    ForbiddenHost,
    RateLimited,
    ServerFault,
    TciaError,
    Truncated,
    UnexpectedReply,
    Unreachable,
    UnsafeArchive,
)
from napari_tcia.transfer.download import fetch_series
from napari_tcia.transfer.store import RECORD, Store

pytest.importorskip("proxy")

NAME = "archive.test"
"""Reserved for tests (RFC 2606); no name server knows it."""
PLUGIN = f"""
from proxy.http.proxy import HttpProxyBasePlugin

class Names(HttpProxyBasePlugin):
    def resolve_dns(self, host, port):
        return ("127.0.0.1" if host == {NAME!r} else None), None
"""


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A certificate for `NAME`, signed by itself, and its key."""
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("There is no openssl here to make a certificate with.")
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        [
            program, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
            "-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}",
            "-keyout", key, "-out", certificate,
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    return certificate, key


@pytest.fixture(scope="module")
def twin(pair):
    with EmbeddedArchive(cases=1, certificate=pair[0], key=pair[1]) as running:
        yield running


@pytest.fixture
def faulty(twin):
    """Set a fault for one test."""
    yield lambda name: setattr(twin, "fault", name)
    twin.fault = None


class Proxy:
    """proxy.py in a process of its own, with its log."""

    def __init__(self, folder: Path, *options: str) -> None:
        (folder / "names.py").write_text(PLUGIN)
        ports, self._log = folder / "port", folder / "log"
        ports.unlink(missing_ok=True)
        command = [
            sys.executable, "-m", "proxy", "--hostname", "127.0.0.1", "--port", "0",
            "--port-file", str(ports), "--log-file", str(self._log),
            "--num-workers", "1", "--num-acceptors", "1", "--plugins", "names.Names",
            "--data-dir", str(folder / "data"), *options,
        ]  # fmt: skip
        environment = os.environ | {"PYTHONPATH": str(folder)}
        self._process = subprocess.Popen(
            command, env=environment, start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        until = time.monotonic() + 60
        while not self._listens(ports) and time.monotonic() < until:
            assert self._process.poll() is None, self._log.read_text()
            threading.Event().wait(0.05)
        self.url = f"http://127.0.0.1:{int(ports.read_text())}"

    @staticmethod
    def _listens(ports: Path) -> bool:
        try:
            address = ("127.0.0.1", int(ports.read_text()))
            socket.create_connection(address, timeout=1).close()
        except (OSError, ValueError):
            return False
        return True

    def carried(self) -> int:
        """Bytes that it has passed on to clients, by its own count."""
        rows = re.findall(rf"CONNECT {NAME}:\d+ - (\d+) bytes", self._log.read_text())
        return sum(map(int, rows))

    def kill(self) -> None:
        """End it at once, and whatever it started."""
        if os.name == "posix":
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        else:
            self._process.kill()
        self._process.wait()


@pytest.fixture(scope="module")
def proxy(tmp_path_factory):
    running = Proxy(tmp_path_factory.mktemp("proxy"))
    yield running
    running.kill()


@pytest.fixture
def behind(monkeypatch, pair):
    """Have everything go through a proxy, as an institution sets it up."""

    def use(url: str) -> None:
        for name in ("NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy", "https_proxy"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HTTPS_PROXY", url)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(pair[0]))

    return use


@pytest.fixture
def here(twin, tmp_path) -> Settings:
    bases = {
        name: base.replace("127.0.0.1", NAME)
        for name, base in twin.bases.items()
        if name != "doi"
    }
    return Settings(tmp_path / "home", **bases)


@pytest.fixture
def nbia(here, behind, proxy):
    behind(proxy.url)
    transport = Transport(here, read_timeout=2.0, backoff=0.01)
    yield Nbia(transport, here)
    transport.close()


@pytest.fixture
def one(nbia):
    (found, *_) = nbia.series(SearchQuery(collection=LNQ, modality="CT")).items
    return found


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def fetch(nbia, here, store):
    def run(one, **options):
        return fetch_series(one, nbia, granted(here, one), store, pause=0.01, **options)

    return run


def granted(here, one) -> AccessGrant:
    return AccessGrant(here.archive_host, frozenset({one.series_uid}), frozenset(), ())


def sums(folder: Path) -> dict[str, str]:
    return {
        path.stem: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.glob("*.dcm")
    }


def truth(twin, one) -> dict[str, str]:
    held = twin.twin
    return {
        sop: hashlib.sha256(held.instance(one.series_uid, k).read_bytes()).hexdigest()
        for k, sop in enumerate(held.series[one.series_uid].sop_uids)
    }


def wait_for_held(store: Store, count: int) -> None:
    """Until so many files are verified, seen from outside."""
    until = time.monotonic() + 30
    while len(list(store.root.rglob("*.held"))) < count:
        assert time.monotonic() < until
        threading.Event().wait(0.02)


def test_the_name_leads_nowhere_without_the_proxy(here, monkeypatch, pair):
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(pair[0]))
    with pytest.raises(Unreachable, match=NAME):
        Nbia(Transport(here, backoff=0.01), here).collections()


def test_the_proxy_carries_every_byte(twin, one, nbia, fetch, proxy):
    before, carried = len(twin.log), proxy.carried()
    assert sums(fetch(one).path) == truth(twin, one)
    sent = sum(record.bytes for record in twin.log[before:])
    assert sent > 400_000
    nbia._transport.close()
    until = time.monotonic() + 30  # it counts a tunnel when that has ended
    while proxy.carried() - carried < sent and time.monotonic() < until:
        threading.Event().wait(0.05)
    assert proxy.carried() - carried >= sent


OUTCOMES = [
    # fault, most zips, most singles, error
    ("cut@count=1", 2, 5, None),
    ("stall@bytes=200000,count=1", 2, 5, None),
    ("image-500@count=1", 2, 0, None),
    ("html-200@count=1", 2, 0, None),
    ("short-zip", 1, 2, None),
    ("wrong-bytes", 1, 1, None),
    ("wrong-crc", 1, 1, None),
    ("cut@bytes=0", 3, 0, Truncated),
    ("image-500", 3, 0, ServerFault),
    ("busy", 1, 0, RateLimited),
    ("no-access", 1, 0, UnexpectedReply),
    ("hostile-zip", 1, 0, UnsafeArchive),
    ("redirect", 1, 0, ForbiddenHost),
]


@pytest.mark.parametrize(
    ("fault", "zips", "singles", "error"), OUTCOMES, ids=[row[0] for row in OUTCOMES]
)
def test_outcomes(fault, zips, singles, error, twin, one, fetch, store, faulty):
    faulty(fault)
    before = len(twin.log)
    if error is None:
        assert sums(fetch(one).path) == truth(twin, one)
    else:
        with pytest.raises(TciaError) as caught:
            fetch(one)
        assert type(caught.value) is error
        assert one.series_uid in str(caught.value)
        assert caught.value.hint
        found = store.root.rglob("*")
        assert not [p for p in found if p.suffix == ".dcm" or p.name == RECORD]
    asked = [record.path for record in twin.log[before:]]
    assert sum("/getImage?" in path for path in asked) <= zips
    assert sum("/getSingleImage?" in path for path in asked) <= singles


def test_cancel_in_a_silent_tunnel(twin, one, here, store, faulty, nbia):
    """With the real time-outs, so that only the cancel can end it."""
    patient = Nbia(Transport(here), here)
    faulty("stall@bytes=100000")
    token = CancelToken()
    ended: list[BaseException] = []

    def work() -> None:
        try:
            fetch_series(one, patient, granted(here, one), store, token=token)
        except BaseException as error:
            ended.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    wait_for_held(store, 2)
    token.cancel()
    thread.join(1.0)
    assert not thread.is_alive()
    assert isinstance(ended[0], Cancelled)


def test_a_proxy_that_dies_and_comes_back(
    twin, one, here, store, faulty, behind, tmp_path
):
    """What had passed the first one is not fetched again through the second."""
    first = Proxy(tmp_path)
    behind(first.url)
    faulty("stall@path=getImage,bytes=400000,count=1")
    transport = Transport(here, read_timeout=60.0, backoff=0.01)
    nbia = Nbia(transport, here)
    ended: list[BaseException] = []

    def work() -> None:
        try:
            fetch_series(one, nbia, granted(here, one), store, attempts=1)
        except BaseException as error:
            ended.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    wait_for_held(store, 3)
    first.kill()
    thread.join(60)
    assert isinstance(ended[0], (Truncated, Unreachable)), ended
    with pytest.raises(Unreachable, match="proxy"):
        fetch_series(one, nbia, granted(here, one), store, attempts=1)
    second = Proxy(tmp_path)
    try:
        behind(second.url)
        kept = {p.name: p.stat().st_ino for p in store.root.rglob("*.held")}
        assert len(kept) >= 3
        stored = fetch_series(one, nbia, granted(here, one), store, pause=0.01)
        assert sums(stored.path) == truth(twin, one)
        found = {p.stem: p.stat().st_ino for p in stored.path.iterdir()}
        for name, inode in kept.items():
            assert found[name.removesuffix(".held")] == inode
    finally:
        second.kill()
        transport.close()


def test_a_proxy_that_wants_a_name(twin, one, here, store, behind, tmp_path):
    """Refused with words of the proxy; with the name in its address it serves."""
    closed = Proxy(tmp_path, "--basic-auth", "user:word")
    try:
        behind(closed.url)
        before = len(twin.log)
        transport = Transport(here, read_timeout=2.0, backoff=0.01)
        nbia = Nbia(transport, here)
        with pytest.raises(Unreachable, match="proxy"):
            fetch_series(one, nbia, granted(here, one), store, pause=0.01)
        assert len(twin.log) == before
        behind(closed.url.replace("http://", "http://user:word@"))
        stored = fetch_series(one, nbia, granted(here, one), store, pause=0.01)
        assert sums(stored.path) == truth(twin, one)
        transport.close()
    finally:
        closed.kill()
