from __future__ import annotations

import base64
import email.utils
import socket
import threading
from datetime import UTC, datetime, timedelta

import pytest

from napari_tcia.archive import http
from napari_tcia.archive.http import Transport
from napari_tcia.core.settings import Settings
from napari_tcia.core.task import CancelToken
from napari_tcia.errors import (
    ArchiveError,
    Cancelled,
    ForbiddenHost,
    GrantMismatch,
    NothingFound,
    RateLimited,
    RemoteTimeout,
    ServerFault,
    Truncated,
    UnexpectedReply,
    Unreachable,
)
from napari_tcia.transfer.attempts import pause_after
from small_archive import Answer, SmallArchive, as_json, grant_for, seconds


@pytest.fixture
def transport(settings: Settings):
    made = Transport(settings, read_timeout=1.0, backoff=0.01)
    yield made
    made.close()


@pytest.fixture
def patient_transport(settings: Settings):
    """Waits as long as the real one, so that only a cancel can end it."""
    made = Transport(settings)
    yield made
    made.close()


def test_a_good_answer_arrives_whole(archive: SmallArchive, settings, transport):
    archive.on("/nbia/v4/x", as_json([1, 2, 3]))
    reply = transport.get(f"{settings.archive}/v4/x", params={"Collection": "A B"})
    assert (reply.status, reply.body) == (200, b"[1, 2, 3]")
    assert reply.content_type == "application/json"
    assert archive.asked[0].query == {"Collection": ["A B"]}
    assert archive.asked[0].headers["User-Agent"].startswith("napari-tcia/")


def test_post_sends_a_form(archive: SmallArchive, settings, transport):
    archive.on("/nbia/v4/x", Answer(b"ok"))
    assert transport.post(f"{settings.archive}/v4/x", {"list": "1.2,3.4"}).body == b"ok"
    assert archive.asked[0].body == b"list=1.2%2C3.4"


# Credentials


def test_no_authorization_header_ever(
    archive: SmallArchive, settings, transport, tmp_path, monkeypatch
):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    import requests

    # The trap is armed: requests by itself would send what the file holds.
    assert requests.utils.get_netrc_auth(archive.url) == ("someone", "secret")
    archive.on("/nbia/v4/x", Answer(b"ok"))
    archive.on("/nbia/v4/getImage", Answer(b"ok"))
    archive.on("/nbia/v4/y", Answer(status=302, headers={"Location": "/nbia/v4/x"}))
    transport.get(f"{settings.archive}/v4/x")
    transport.get(f"{settings.archive}/v4/y")
    transport.get(f"http://a:b@127.0.0.1:{archive.port}/nbia/v4/x")
    transport.post(f"{settings.archive}/v4/x", {})
    image = f"{settings.archive}/v4/getImage"
    with transport.stream(
        image, grant=grant_for(settings), series_uid="61.7.0.999.1"
    ) as chunks:
        assert b"".join(chunks) == b"ok"
    assert len(archive.asked) == 6
    secret = base64.b64encode(b"someone:secret").decode()
    for asked in archive.asked:
        assert "authorization" not in {key.lower() for key in asked.headers}
        assert secret not in str(asked.headers)


def test_cookies_are_not_kept(archive: SmallArchive, settings, transport):
    archive.on("/nbia/v4/x", Answer(b"ok", headers={"Set-Cookie": "id=1; Path=/"}))
    transport.get(f"{settings.archive}/v4/x")
    transport.get(f"{settings.archive}/v4/x")
    assert all("Cookie" not in asked.headers for asked in archive.asked)


def test_loopback_bypasses_a_proxy(
    archive: SmallArchive, settings, transport, monkeypatch
):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # the discard port
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    archive.on("/nbia/v4/x", Answer(b"direct"))
    assert transport.get(f"{settings.archive}/v4/x").body == b"direct"


def test_a_proxy_is_asked_for_what_is_elsewhere(tmp_path, monkeypatch):
    """And an outage of it is called by its name."""
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        said: list[bytes] = []

        def refuse() -> None:
            connection, _ = proxy.accept()
            with connection:
                said.append(connection.recv(4096))
                connection.sendall(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")

        thread = threading.Thread(target=refuse, daemon=True)
        thread.start()
        for name in ("HTTPS_PROXY", "https_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.getsockname()[1]}")
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        real = Settings(tmp_path)
        transport = Transport(real, backoff=0.01)
        monkeypatch.setattr(http, "MAX_TRIES", 1)
        with pytest.raises(Unreachable, match="through the proxy"):
            transport.get(f"{real.archive}/v4/getSeries")
        thread.join(5)
    head = said[0].decode()
    assert head.startswith("CONNECT nbia.cancerimagingarchive.net:443 ")
    assert "authorization" not in head.lower()


def test_the_pauses_between_tries_differ_within_bounds():
    """Clients that met one fault together do not come back together."""
    pauses = [pause_after(Truncated("x"), 1, 3, 1.0) for _ in range(50)]
    assert 0.75 <= min(pauses) < max(pauses) <= 1.25
    later = [pause_after(Truncated("x"), 2, 3, 1.0) for _ in range(50)]
    assert 1.5 <= min(later) < max(later) <= 2.5
    asked = ServerFault("x", status=503, retry_after=7)
    assert pause_after(asked, 1, 3, 1.0) == 7
    for hopeless in (
        ServerFault("x", status=503, retry_after=900),
        UnexpectedReply("x", status=400),
        ForbiddenHost("x"),
        Unreachable("x", final=True),
    ):
        with pytest.raises(type(hopeless)):
            pause_after(hopeless, 1, 3, 1.0)
    with pytest.raises(Truncated):
        pause_after(Truncated("x"), 3, 3, 1.0)


def test_retry_after_may_be_a_date(archive: SmallArchive, settings, transport):
    soon = email.utils.format_datetime(datetime.now(UTC) + timedelta(hours=1), True)
    archive.on("/nbia/v4/x", Answer(status=503, headers={"Retry-After": soon}))
    with pytest.raises(ServerFault) as caught:
        transport.get(f"{settings.archive}/v4/x")
    assert archive.count("/nbia/v4/x") == 1
    assert 3500 < caught.value.numbers["retry_after"] <= 3600
    archive.on("/nbia/v4/y", Answer(status=503, headers={"Retry-After": "soon"}))
    with pytest.raises(ServerFault):
        transport.get(f"{settings.archive}/v4/y")
    assert archive.count("/nbia/v4/y") == 3


# The gate


PIXELS = [
    "nbia/v4/getImage?SeriesInstanceUID=61.7.0.999.1",
    "nbia/v4/getImageWithMD5Hash",
    "nbia/v1/getSingleImage",
    "nbia/v4/getDCMImage",
    "nbia/v4/getThumbnail",
    "nbia/v4/GETIMAGE",
    "nbia/v4/%67etImage",
    "nbia/v4/getImage;jsessionid=1",
    "nbia/v4/x/../getImage/",
    "nbia//v4//getImage",
    "idc/bucket/uuid/uuid.dcm",
    "files/MASKS.zip",
    "nbia/../files/MASKS.zip",
]


@pytest.mark.parametrize("path", PIXELS)
def test_pixels_never_pass_without_a_grant(
    path, archive: SmallArchive, settings, transport
):
    url = f"{archive.url}/{path}"
    assert transport.is_pixel_request(url)
    with pytest.raises(GrantMismatch):
        transport.get(url)
    with pytest.raises(GrantMismatch):
        transport.post(url, {"seriesUID": "1"})
    assert archive.asked == []


@pytest.mark.parametrize(
    "path",
    [
        "nbia/v4/getSeries?Collection=getImage",
        "cm/v2/collections/?page=1",
        "datacite/dois/10.7937/x",
        "idc/bucket?list-type=2&prefix=abc",
    ],
)
def test_words_pass_without_a_grant(path, archive, transport):
    assert not transport.is_pixel_request(f"{archive.url}/{path}")


def test_one_address_for_all_services(archive: SmallArchive, tmp_path):
    one = Settings(tmp_path, *[archive.url] * 5)
    transport = Transport(one)
    assert not transport.is_pixel_request(f"{archive.url}/v4/getSeries")
    assert not transport.is_pixel_request(f"{archive.url}/dois/10.7937/x")
    assert not transport.is_pixel_request(f"{archive.url}/bucket?list-type=2")
    assert transport.is_pixel_request(f"{archive.url}/v4/getImage")
    assert transport.is_pixel_request(f"{archive.url}/bucket/uuid/uuid.dcm")
    assert transport.is_pixel_request(f"{archive.url}/MASKS.zip")


def test_the_real_services_are_told_apart(tmp_path):
    real = Transport(Settings(tmp_path))
    site = "https://www.cancerimagingarchive.net"
    assert real.is_pixel_request(f"{site}/wp-content/uploads/MASKS.zip")
    assert real.is_pixel_request("https://s3.amazonaws.com/idc-open-data/a/b.dcm")
    assert not real.is_pixel_request(
        "https://cancerimagingarchive.net/api/v2/licenses/"
    )


@pytest.mark.parametrize(
    ("uid", "collection", "query"),
    [
        ("61.7.0.999.2", "", ""),
        ("", "Another", ""),
        ("", "", ""),
        ("61.7.0.999.1", "", "?SeriesInstanceUID=61.7.0.999.2"),
        ("", "Twin", "?SeriesInstanceUID=61.7.0.999.1"),
    ],
)
def test_stream_refuses_what_the_grant_does_not_cover(
    uid, collection, query, archive: SmallArchive, settings, transport
):
    url = f"{settings.archive}/v4/getImage{query}"
    grant = grant_for(settings)
    with (
        pytest.raises(GrantMismatch),
        transport.stream(url, grant=grant, series_uid=uid, collection=collection),
    ):
        pytest.fail("opened")
    assert archive.asked == []


def test_a_grant_of_another_archive_opens_nothing(
    archive: SmallArchive, settings, transport, tmp_path
):
    elsewhere = grant_for(Settings(tmp_path))
    with (
        pytest.raises(GrantMismatch),
        transport.stream(
            f"{settings.archive}/v4/getImage",
            grant=elsewhere,
            series_uid="61.7.0.999.1",
        ),
    ):
        pytest.fail("opened")
    assert archive.asked == []


def test_a_redirect_to_pixels_is_not_followed(
    archive: SmallArchive, settings, transport
):
    archive.on(
        "/nbia/v4/x", Answer(status=302, headers={"Location": "/nbia/v4/getImage"})
    )
    with pytest.raises(GrantMismatch):
        transport.get(f"{settings.archive}/v4/x")
    assert archive.count("/nbia/v4/getImage") == 0


# Hosts


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/x",
        "http://nbia.cancerimagingarchive.net/nbia-api/services/v4/getSeries",
        "http://127.0.0.1:1/nbia/v4/x",
        "ftp://127.0.0.1/x",
        "https://nbia.cancerimagingarchive.net@example.org/x",
    ],
)
def test_other_hosts_are_refused(url, transport, archive, tmp_path):
    for made in (transport, Transport(Settings(tmp_path))):
        with pytest.raises(ForbiddenHost):
            made.get(url)


def test_a_redirect_to_another_host_is_refused(
    archive: SmallArchive, settings, transport
):
    other = SmallArchive()
    try:
        other.on("/secret", Answer(b"no"))
        archive.on(
            "/nbia/v4/x",
            Answer(status=301, headers={"Location": f"{other.url}/secret"}),
        )
        with pytest.raises(ForbiddenHost):
            transport.get(f"{settings.archive}/v4/x")
        assert other.asked == []
    finally:
        other.close()


def test_redirects_within_the_services_are_followed(
    archive: SmallArchive, settings, transport
):
    archive.on("/nbia/v4/x", Answer(status=302, headers={"Location": "/cm/y?a=1"}))
    archive.on("/cm/y", Answer(b"here"))
    reply = transport.get(f"{settings.archive}/v4/x", params={"b": "2"})
    assert reply.body == b"here"
    assert reply.url == f"{archive.url}/cm/y?a=1"


def test_endless_redirects_end(archive: SmallArchive, settings, transport):
    archive.on("/nbia/v4/x", Answer(status=302, headers={"Location": "/nbia/v4/x"}))
    with pytest.raises(UnexpectedReply, match="without end"):
        transport.get(f"{settings.archive}/v4/x")
    assert archive.count("/nbia/v4/x") == 6


# Errors and retries


@pytest.mark.parametrize(
    ("status", "error", "tries"),
    [
        (400, UnexpectedReply, 1),
        (401, UnexpectedReply, 1),
        (404, NothingFound, 1),
        (429, RateLimited, 3),
        (500, ServerFault, 1),
        (503, ServerFault, 3),
        (504, ServerFault, 3),
    ],
)
def test_status_becomes_an_error(
    status, error, tries, archive: SmallArchive, settings, transport
):
    page = b"<html><style>p{}</style><p>The  server\nsaid\x00 so</p></html>"
    archive.on("/nbia/v4/x", Answer(page, status))
    with pytest.raises(error) as caught:
        transport.get(f"{settings.archive}/v4/x")
    assert archive.count("/nbia/v4/x") == tries
    if status in (400, 500):
        assert "The server said so" in caught.value.message


def test_a_fault_that_passes_is_no_error(archive: SmallArchive, settings, transport):
    archive.on(
        "/nbia/v4/x", lambda n, _: Answer(b"ok") if n == 3 else Answer(status=502)
    )
    assert transport.get(f"{settings.archive}/v4/x").body == b"ok"


def test_retry_after_is_honoured(archive: SmallArchive, settings, transport):
    archive.on(
        "/nbia/v4/x",
        lambda n, _: (
            Answer(b"ok")
            if n == 2
            else Answer(status=429, headers={"Retry-After": "1"})
        ),
    )
    took = seconds(lambda: transport.get(f"{settings.archive}/v4/x"))
    assert archive.count("/nbia/v4/x") == 2
    assert took >= 1.0  # the back-off of this transport alone would be 0.01 s


def test_a_long_retry_after_is_reported_at_once(
    archive: SmallArchive, settings, transport
):
    archive.on("/nbia/v4/x", Answer(status=429, headers={"Retry-After": "3600"}))
    with pytest.raises(RateLimited) as caught:
        transport.get(f"{settings.archive}/v4/x")
    assert archive.count("/nbia/v4/x") == 1
    assert caught.value.numbers["retry_after"] == 3600


def test_a_cut_answer_is_truncated(archive: SmallArchive, settings, transport):
    archive.on("/nbia/v4/x", Answer(b"x" * 9000, cut=4000))
    with pytest.raises(Truncated):
        transport.get(f"{settings.archive}/v4/x")
    assert archive.count("/nbia/v4/x") == 3


@pytest.mark.parametrize("stall", [-1, 4000])
def test_silence_is_a_time_out(stall, archive: SmallArchive, settings, transport):
    archive.on("/nbia/v4/x", Answer(b"x" * 9000, stall=stall))
    with pytest.raises(RemoteTimeout):
        transport.get(f"{settings.archive}/v4/x")


def test_nobody_there(archive: SmallArchive, settings, transport):
    archive.close()
    with pytest.raises(Unreachable) as caught:
        transport.get(f"{settings.archive}/v4/x")
    assert caught.value.exit_code == 5


def test_an_endless_answer_is_not_read(archive: SmallArchive, settings, transport):
    archive.on("/nbia/v4/x", Answer(b"x" * 9000))
    with pytest.raises(UnexpectedReply, match="more than 100 bytes"):
        transport.get(f"{settings.archive}/v4/x", max_bytes=100)


def test_stream_tries_once(archive: SmallArchive, settings, transport):
    archive.on("/nbia/v4/getImage", Answer(status=503))
    with (
        pytest.raises(ServerFault),
        transport.stream(
            f"{settings.archive}/v4/getImage",
            grant=grant_for(settings),
            series_uid="61.7.0.999.1",
        ),
    ):
        pytest.fail("opened")
    assert len(archive.asked) == 1


# Cancel


@pytest.mark.parametrize("closing", [False, True], ids=["kept", "closing"])
@pytest.mark.parametrize("stall", [-1, 0, 4000], ids=["headers", "body", "middle"])
def test_cancel_ends_a_stalled_request(
    stall, closing, archive: SmallArchive, settings, patient_transport
):
    headers = {"Connection": "close"} if closing else {}
    archive.on("/nbia/v4/x", Answer(b"x" * 9000, stall=stall, headers=headers))
    token = CancelToken()
    outcome: list[BaseException] = []

    def work() -> None:
        try:
            patient_transport.get(f"{settings.archive}/v4/x", token=token)
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    assert archive.silent.wait(60)
    token.cancel()
    thread.join(1.0)  # its own time-out would take 15 s
    assert not thread.is_alive()
    assert isinstance(outcome[0], Cancelled)


def test_cancel_ends_a_stalled_stream(
    archive: SmallArchive, settings, patient_transport
):
    archive.on("/nbia/v4/getImage", Answer(b"x" * 9000, chunked=True, stall=4000))
    token = CancelToken()
    got = bytearray()
    outcome: list[BaseException] = []

    def work() -> None:
        try:
            with patient_transport.stream(
                f"{settings.archive}/v4/getImage",
                grant=grant_for(settings),
                series_uid="61.7.0.999.1",
                token=token,
            ) as chunks:
                for chunk in chunks:
                    got.extend(chunk)
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    assert archive.silent.wait(60)
    token.cancel()
    thread.join(1.0)
    assert not thread.is_alive()
    assert isinstance(outcome[0], Cancelled)
    assert len(got) <= 4000


def test_a_cancelled_token_asks_nothing(archive: SmallArchive, settings, transport):
    token = CancelToken()
    token.cancel()
    archive.on("/nbia/v4/x", Answer(b"ok"))
    with pytest.raises(Cancelled):
        transport.get(f"{settings.archive}/v4/x", token=token)
    assert archive.asked == []


def test_a_transport_works_after_a_cancel(archive: SmallArchive, settings, transport):
    archive.on("/nbia/v4/x", Answer(b"ok"))
    token = CancelToken()
    transport.get(f"{settings.archive}/v4/x", token=token)
    token.cancel()
    assert transport.get(f"{settings.archive}/v4/x").body == b"ok"


def test_every_failure_is_an_archive_error(archive: SmallArchive, settings, transport):
    archive.on("/nbia/v4/x", Answer(b"", headers={"Content-Encoding": "gzip"}))
    archive.on("/nbia/v4/y", Answer(b"no gzip", headers={"Content-Encoding": "gzip"}))
    assert transport.get(f"{settings.archive}/v4/x").body == b""
    with pytest.raises(ArchiveError):
        transport.get(f"{settings.archive}/v4/y")
