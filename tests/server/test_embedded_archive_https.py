"""The embedded archive under https, as a class reaches it."""

import json
import shutil
import signal
import subprocess
import sys

import pytest
import requests

from embedded import NC, image
from napari_tcia.archive.http import Transport
from napari_tcia.archive.nbia import Nbia
from napari_tcia.core.settings import Settings
from napari_tcia.demo.server import EmbeddedArchive
from napari_tcia.errors import ArchiveError, UsageError


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A certificate for this machine, signed by itself, and its key."""
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("There is no openssl here to make a certificate with.")
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    names = "subjectAltName=DNS:localhost,IP:127.0.0.1"
    subprocess.run(
        [
            program, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
            "-subj", "/CN=localhost", "-addext", names, "-keyout", key,
            "-out", certificate,
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    return certificate, key


@pytest.fixture(scope="module")
def archive(pair):
    with EmbeddedArchive(cases=1, certificate=pair[0], key=pair[1]) as running:
        yield running


@pytest.fixture
def trusted(pair, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(pair[0]))


def _held(settings):
    """Names of the collections, by our own client."""
    transport = Transport(settings, backoff=0)
    try:
        return [one.name for one in Nbia(transport, settings).collections()]
    finally:
        transport.close()


def test_our_client_trusts_a_bundle_and_nothing_else(archive, tmp_path, pair):
    settings = archive.settings(tmp_path)
    assert all(base.startswith("https://") for base in archive.bases.values())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REQUESTS_CA_BUNDLE", str(pair[0]))
        rows = _held(settings)
        assert NC in rows
    with pytest.raises(ArchiveError, match=r"[Cc]ertificate"):
        _held(settings)


def test_downloads_under_https(archive, trusted):
    url = f"{archive.bases['archive']}/v4/getSeries"
    (row,) = requests.get(url, params={"Collection": NC}, timeout=30).json()
    _, found = image(archive, row["SeriesInstanceUID"])
    assert found.testzip() is None
    assert len(found.namelist()) == row["ImageCount"] + 1


def test_cut_and_stop_under_https(pair, trusted):
    running = EmbeddedArchive(
        cases=1, fault="cut+stall", certificate=pair[0], key=pair[1]
    ).start()
    try:
        url = f"{running.bases['archive']}/v4/getSeries"
        (row,) = requests.get(url, params={"Collection": NC}, timeout=30).json()
        running.fault = "cut"
        with pytest.raises(requests.exceptions.RequestException):
            image(running, row["SeriesInstanceUID"])
        running.fault = "stall"
        url = f"{running.bases['archive']}/v4/getImage"
        query = {"SeriesInstanceUID": row["SeriesInstanceUID"]}
        reply = requests.get(url, params=query, stream=True, timeout=30)
    finally:
        running.stop()
    with pytest.raises(requests.exceptions.RequestException):
        list(reply.iter_content(None))


def test_a_silent_or_plain_client_keeps_nobody_waiting(archive, trusted):
    import socket

    with socket.create_connection(("127.0.0.1", archive.port)) as silent:
        plain = archive.bases["archive"].replace("https", "http")
        with pytest.raises(requests.exceptions.ConnectionError):
            requests.get(f"{plain}/up", timeout=30)
        assert requests.get(f"{archive.bases['archive']}/up", timeout=30).text == "up"
        assert silent.fileno() > 0


def test_the_front_page_speaks_of_https(archive, trusted):
    root = archive.bases["files"].removesuffix("files")
    text = requests.get(root, timeout=30).text
    assert "ADDRESS=https://HOST:PORT\n" in text
    assert "export REQUESTS_CA_BUNDLE=certificate.pem\n" in text
    assert '$env:REQUESTS_CA_BUNDLE = "certificate.pem"\n' in text
    assert "localhost" not in text


def test_a_certificate_needs_its_key(pair, tmp_path):
    certificate, key = pair
    with pytest.raises(UsageError, match="go together"):
        EmbeddedArchive(certificate=certificate)
    (tmp_path / "other.pem").write_text("not PEM")
    with pytest.raises(UsageError, match=r"other\.pem"):
        EmbeddedArchive(certificate=tmp_path / "other.pem", key=key)
    with pytest.raises(UsageError, match=r"none\.pem"):
        EmbeddedArchive(certificate=certificate, key=tmp_path / "none.pem")


def test_serve_over_the_command_line(pair, tmp_path, trusted):
    command = [sys.executable, "-m", "napari_tcia", "serve", "--cases", "1"]
    options = ["--host", "localhost", "--certificate", pair[0], "--key", pair[1]]
    with subprocess.Popen(
        [*command, *options], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            said = json.loads(process.stdout.readline())
            assert said["archive"].startswith("https://localhost:")
            env = {
                f"NAPARI_TCIA_{name.upper()}": base
                for name, base in said.items()
                if name != "pid"
            } | {"NAPARI_TCIA_HOME": str(tmp_path)}
            settings = Settings.from_environment(env)
            assert NC in _held(settings)
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=60) == 0
        finally:
            process.kill()
