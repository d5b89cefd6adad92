"""Starting, stopping and watching the embedded archive."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from urllib.parse import urlsplit

import pytest
import requests

from embedded import NC, ask, ct_of
from napari_tcia.demo.server import EmbeddedArchive
from napari_tcia.errors import UsageError


@pytest.fixture(scope="module")
def archive():
    with EmbeddedArchive(cases=1) as running:
        yield running


def test_log_tells_what_was_asked(archive):
    before = len(archive.log)
    reply = ask(archive, "/v4/getSeries", Collection=NC)
    (record,) = archive.log[before:]
    assert (record.method, record.status) == ("GET", 200)
    assert record.path == f"/nbia-api/services/v4/getSeries?Collection={NC}"
    assert record.bytes == len(reply.content)


def test_settings_point_at_it_alone(archive, tmp_path):
    settings = archive.settings(tmp_path)
    assert settings.archive_host == f"127.0.0.1:{archive.port}"
    assert settings.allowed_hosts == {settings.archive_host}


def test_taken_port_is_a_sentence(archive):
    with pytest.raises(UsageError, match=str(archive.port)):
        EmbeddedArchive(port=archive.port)


def test_stop_ends_a_stalled_download_and_its_threads():
    before = set(threading.enumerate())
    running = EmbeddedArchive(fault="stall").start()
    uid = ct_of(running, NC)
    url = f"{running.bases['archive']}/v4/getImage?SeriesInstanceUID={uid}"
    reply = requests.get(url, stream=True, timeout=30)
    mine = set(threading.enumerate()) - before
    assert len(mine) >= 2
    assert all(thread.daemon for thread in mine)
    running.stop()
    with pytest.raises(requests.exceptions.RequestException):
        list(reply.iter_content(None))
    for thread in mine:
        thread.join(timeout=60)
        assert not thread.is_alive()
    assert not running.folder.exists()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", running.port))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_prints_its_bases_and_obeys_signals(number):
    code = "from napari_tcia.demo.serve import serve; serve(fault='stall')"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
    ) as process:
        line = json.loads(process.stdout.readline())
        try:
            assert set(line) == {
                "archive", "collections", "datacite", "idc", "files", "pid",
            }  # fmt: skip
            assert line["pid"] == process.pid
            assert urlsplit(line["archive"]).hostname == "127.0.0.1"
            query = {"Collection": NC}
            rows = requests.get(
                f"{line['archive']}/v4/getSeries", params=query, timeout=60
            ).json()
            # One connection idle, one in the middle of a download.
            port = urlsplit(line["archive"]).port
            idle = socket.create_connection(("127.0.0.1", port))
            uid = rows[0]["SeriesInstanceUID"]
            busy = requests.get(
                f"{line['archive']}/v4/getImage?SeriesInstanceUID={uid}",
                stream=True, timeout=60,
            )  # fmt: skip
            os.kill(process.pid, number)
            assert process.wait(timeout=60) == 0
            idle.close()
            busy.close()
        finally:
            process.kill()


def test_rate_and_latency_slow_an_answer_and_change_nothing():
    with EmbeddedArchive(cases=1) as running:
        url = f"{running.bases['archive']}/v1/getUserAgreementTxt"
        right = requests.get(url, timeout=30).content
        running.rate = len(right) / 0.8
        begin = time.monotonic()
        with requests.get(url, stream=True, timeout=30) as reply:
            pieces = list(reply.iter_content(None))
        # Waiting cannot be shorter than it was asked to be.
        assert time.monotonic() - begin >= 0.75
        assert b"".join(pieces) == right
        running.rate, running.latency = None, 0.5
        with pytest.raises(requests.exceptions.ReadTimeout):
            requests.get(url, timeout=0.2)
        assert requests.get(url, timeout=30).content == right


def test_stop_ends_a_slow_download():
    running = EmbeddedArchive(cases=1, rate=200.0).start()
    try:
        url = f"{running.bases['archive']}/v1/getUserAgreementTxt"
        reply = requests.get(url, stream=True, timeout=30)
        chunks = reply.iter_content(10)
        assert next(chunks)
    finally:
        running.stop()
    with pytest.raises(requests.exceptions.RequestException):
        list(chunks)


def test_another_address_to_listen_on():
    with EmbeddedArchive(cases=1, host="127.0.0.2") as running:
        assert urlsplit(running.bases["archive"]).hostname == "127.0.0.2"
        assert ask(running, "/v4/getCollectionValues").json()
    with EmbeddedArchive(cases=1, host="0.0.0.0") as running:
        assert urlsplit(running.bases["archive"]).hostname == "127.0.0.1"
        assert ask(running, "/v4/getCollectionValues").json()


@pytest.mark.parametrize(("host", "warned"), [("0.0.0.0", True), ("127.0.0.1", False)])
def test_serve_warns_when_others_can_reach_it(host, warned):
    command = [sys.executable, "-m", "napari_tcia", "serve", "--host", host]
    options = ["--cases", "1", "--listing", "30", "--rate", "1e6", "--latency", "1"]
    fault = ["--fault", "error-503@path=up,count=1"]
    with subprocess.Popen(
        [*command, *options, *fault],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            said = json.loads(process.stdout.readline())
            codes = [
                requests.get(f"{said['archive']}/up", timeout=30).status_code
                for _ in range(2)
            ]
            assert codes == [503, 200]
            url = f"{said['archive']}/v4/getPatient"
            assert len(requests.get(url, timeout=30).json()) > 10
            os.kill(process.pid, signal.SIGTERM)
            assert process.wait(timeout=60) == 0
        finally:
            process.kill()
        told = process.stderr.read()
        assert "SYNTHETIC" in told
        assert ("Warning: listening on 0.0.0.0" in told) is warned
        assert ("Warning: plain http" in told) is warned


def test_an_address_that_is_not_here_is_a_sentence():
    with pytest.raises(UsageError, match=r"203\.0\.113\.1"):
        EmbeddedArchive(host="203.0.113.1")
