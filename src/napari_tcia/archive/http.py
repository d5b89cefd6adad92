"""The one door to the network.

Every request of the program passes `Transport`. It talks to the configured
hosts only, sends no credentials, and fetches pixels against an `AccessGrant`
alone.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import parse_qs, unquote, urlencode, urljoin, urlsplit

import requests

from napari_tcia.archive.answers import (
    check_status,
    chunks_of,
    connection_error,
    may_pass,
    range_of,
    within,
)
from napari_tcia.archive.budget import Budget
from napari_tcia.archive.connection import Call, new_session
from napari_tcia.core.model import AccessGrant
from napari_tcia.core.settings import Settings, is_loopback, netloc
from napari_tcia.core.task import CancelToken
from napari_tcia.core.text import one_line
from napari_tcia.errors import (
    ArchiveError,
    ForbiddenHost,
    GrantMismatch,
    UnexpectedReply,
)

T = TypeVar("T")

MAX_REDIRECTS = 5
MAX_TRIES = 3
LONGEST_WAIT = 20.0
"""Seconds that we are ready to wait when a server asks for a pause."""

_IMAGE_ENDPOINTS = ("getimage", "getsingleimage", "getdcmimage", "getthumbnail")
_API_ROOTS = ("v1", "v2", "v3", "v4", "dois")


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer with a 2xx status."""

    status: int
    content_type: str
    body: bytes
    url: str


class Transport:
    """HTTP to the configured services; safe to share between threads.

    Few bodies are streamed from one host at a time, and a host that asks for a
    pause gets it from all threads.

    Parameters
    ----------
    settings : Settings
        The hosts that may be asked, and which of them is the archive.
    connect_timeout, read_timeout : float
        Seconds until a connection, and between two pieces of an answer.
    backoff : float
        Seconds before the second try; doubled for the third, with jitter.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        connect_timeout: float = 5.0,
        read_timeout: float = 15.0,
        backoff: float = 0.5,
    ) -> None:
        self.settings = settings
        self._timeout = (connect_timeout, read_timeout)
        self._backoff = backoff
        self._session = new_session()
        self._budget = Budget()

    def close(self) -> None:
        """Close the idle connections."""
        self._session.close()

    def get(
        self,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        token: CancelToken | None = None,
        max_bytes: int = 64 << 20,
    ) -> Reply:
        """Fetch a text, such as JSON, whole.

        Raises
        ------
        GrantMismatch
            The address holds pixels.
        ForbiddenHost
            The address, or a redirect, leaves the allow-list.
        ArchiveError
            No answer, or not a good one, after up to three tries.
        NothingFound
            404.
        Cancelled
            `token` was cancelled; at once, even while the server is silent.
        """
        return self._text(
            "GET", _with_query(url, params), token, max_bytes, headers=headers
        )

    def post(
        self,
        url: str,
        form: Mapping[str, str],
        *,
        token: CancelToken | None = None,
        max_bytes: int = 64 << 20,
    ) -> Reply:
        """Send a form and fetch the answer; raises as `get` does."""
        return self._text("POST", url, token, max_bytes, data=form)

    @contextmanager
    def stream(
        self,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        grant: AccessGrant,
        series_uid: str = "",
        collection: str = "",
        token: CancelToken | None = None,
        below: str = "",
        span: tuple[int, int | None] = (0, None),
    ) -> Iterator[Iterator[bytes]]:
        """Open an address that holds pixels, and yield its chunks.

        The grant is checked before any byte is sent. There is one try only:
        whether a body that breaks off is asked for again is for the caller to
        decide.

        Parameters
        ----------
        below : str
            Address that this one, and any that it redirects to, must lie
            below. Addresses in a bucket do not name the series, so there it
            is the series' folder, and required.
        span : tuple of int
            First byte, and the one after the last (None for the end).

        Raises
        ------
        GrantMismatch
            The grant does not cover the series, or the collection, or the
            address names another series, or does not lie `below`.
        ArchiveError, NothingFound, Cancelled
            As `get`; while streaming also `Truncated` and `RemoteTimeout`.
        """

        def allowed(target: str) -> None:
            self._check_grant(target, grant, series_uid, collection)
            self._check_below(target, below)

        token = token or CancelToken()
        with (
            self._budget.turn(self._service(url), token),
            self._open(
                "GET", _with_query(url, params), token, allowed, headers=range_of(span)
            ) as response,
        ):
            yield within(response, chunks_of(response, token), span)

    def is_pixel_request(self, url: str) -> bool:
        """Whether `url` asks for pixels: images, bucket objects, supplements."""
        parts = urlsplit(url)
        path = _segments(parts.path)
        if any(part.lower().startswith(_IMAGE_ENDPOINTS) for part in path):
            return True
        services = self._services(netloc(url), path)
        if not services & {"idc", "files"}:
            return False
        rest = path[self._depth(services) :]
        if services - {"idc", "files"} and rest[:1] and rest[0] in _API_ROOTS:
            return False  # several services under one address
        listing = "list-type" in parse_qs(parts.query) and len(rest) == 1
        return not ("idc" in services and listing)

    def _service(self, url: str) -> str:
        """Host and service that an address belongs to: what is asked politely."""
        host = netloc(url)
        names = sorted(self._services(host, _segments(urlsplit(url).path)))
        return f"{host} {' '.join(names)}"

    def _services(self, host: str, path: list[str]) -> frozenset[str]:
        """Names of the services whose base is the longest that `path` lies under."""
        bases = {
            name: _segments(urlsplit(base).path)
            for name in (
                "archive",
                "collections",
                "datacite",
                "idc",
                "files",
                "licences",
            )
            if netloc(base := getattr(self.settings, name)) == host
        }
        under = {n: len(b) for n, b in bases.items() if path[: len(b)] == b}
        longest = max(under.values(), default=0)
        return frozenset(n for n, length in under.items() if length == longest)

    def _depth(self, services: frozenset[str]) -> int:
        base = getattr(self.settings, next(iter(services)))
        return len(_segments(urlsplit(base).path))

    def _check_grant(
        self, url: str, grant: AccessGrant, series_uid: str, collection: str
    ) -> None:
        host = self.settings.archive_host
        grant.check(host, series_uid=series_uid, collection=collection)
        for uid in parse_qs(urlsplit(url).query).get("SeriesInstanceUID", []):
            if uid != series_uid:
                raise GrantMismatch(
                    f"The request names series {one_line(uid, 80)}, "
                    f"not {series_uid or collection}."
                )

    def _check_below(self, url: str, folder: str) -> None:
        parts = _segments(urlsplit(url).path)
        inside = _segments(urlsplit(folder).path)
        if not folder:
            # Where the bucket has an address of its own; under a shared one
            # the image endpoints and files name what they hold.
            bound = self._services(netloc(url), parts) != {"idc"}
        else:
            bound = netloc(url) == netloc(folder) and parts[: len(inside)] == inside
        if not bound:
            raise GrantMismatch(
                f"{one_line(urlsplit(url).path, 200)} is not what was asked for: "
                "it does not lie in the folder of the series."
            )

    def _refuse_pixels(self, url: str) -> None:
        if self.is_pixel_request(url):
            raise GrantMismatch(
                f"{urlsplit(url).path} holds pixels, which need accepted terms.",
                "Read and accept the terms of the collection first.",
            )

    def _text(
        self,
        method: str,
        url: str,
        token: CancelToken | None,
        max_bytes: int,
        **request: Any,
    ) -> Reply:
        token = token or CancelToken()

        def once() -> Reply:
            with self._open(
                method, url, token, self._refuse_pixels, **request
            ) as response:
                body = bytearray()
                for chunk in chunks_of(response, token):
                    body += chunk
                    if len(body) > max_bytes:
                        raise UnexpectedReply(
                            f"{netloc(url)} sent more than {max_bytes} bytes "
                            f"for {urlsplit(url).path}."
                        )
                content_type = response.headers.get("Content-Type", "")
                return Reply(
                    response.status_code, content_type, bytes(body), response.url
                )

        return self._retry(once, token)

    def _retry(self, once: Callable[[], T], token: CancelToken) -> T:
        for attempt in range(1, MAX_TRIES + 1):
            try:
                return once()
            except ArchiveError as error:
                if attempt == MAX_TRIES or not may_pass(error):
                    raise
                pause = self._backoff * 2 ** (attempt - 1) * random.uniform(0.75, 1.25)
                asked = float(error.numbers.get("retry_after") or 0)
                if asked > LONGEST_WAIT:
                    raise
                token.wait(max(pause, asked))
        raise AssertionError  # the last attempt returns or raises

    @contextmanager
    def _open(
        self,
        method: str,
        url: str,
        token: CancelToken,
        allowed: Callable[[str], None],
        **request: Any,
    ) -> Iterator[requests.Response]:
        """Send, follow redirects by hand, and yield a 2xx response, unread."""
        call = Call(token)
        forget = token.on_cancel(call.hang_up)
        response = None
        try:
            for _ in range(MAX_REDIRECTS + 1):
                self._check_host(url)
                allowed(url)
                self._budget.wait(self._service(url), token)
                response = self._send(method, url, call, **request)
                target = response.headers.get("Location", "")
                if not (300 <= response.status_code < 400 and target):
                    break
                response.close()
                if response.status_code not in (307, 308):
                    method = "GET"
                    request.pop("data", None)
                url = urljoin(response.url, target)
            else:
                raise UnexpectedReply(f"{netloc(url)} redirects without end.")
            try:
                check_status(response, token)
            except ArchiveError as error:
                asked = float(error.numbers.get("retry_after") or 0)
                if asked <= LONGEST_WAIT:  # nobody waits for longer ones
                    self._budget.pause(self._service(response.url), asked)
                raise
            yield response
        finally:
            forget()
            if response is not None:
                response.close()

    def _check_host(self, url: str) -> None:
        parts = urlsplit(url)
        host = netloc(url)
        secure = parts.scheme == "https" or (
            parts.scheme == "http" and is_loopback(parts.hostname)
        )
        if host not in self.settings.allowed_hosts or not secure:
            raise ForbiddenHost(
                f"A request to {parts.scheme}://{one_line(host, 100)} was refused: "
                "it is not one of the configured services.",
                "The NAPARI_TCIA_* variables name the services that are asked.",
            )

    def _send(
        self, method: str, url: str, call: Call, **request: Any
    ) -> requests.Response:
        session = self._session
        # Proxies and REQUESTS_CA_BUNDLE are taken from the environment here.
        options = session.merge_environment_settings(url, {}, True, None, None)
        if is_loopback(urlsplit(url).hostname):
            options["proxies"] = {}
        try:
            prepared = session.prepare_request(requests.Request(method, url, **request))
            with call.under_way():
                return session.send(
                    prepared, timeout=self._timeout, allow_redirects=False, **options
                )
        except requests.RequestException as error:
            call.token.raise_if_cancelled()
            raise connection_error(error, netloc(url)) from error


def _with_query(url: str, params: Mapping[str, str] | None) -> str:
    return f"{url}?{urlencode(params)}" if params else url


def _segments(path: str) -> list[str]:
    """Parts of a URL path as a server sees them: decoded, dots resolved."""
    parts: list[str] = []
    for part in unquote(path).replace("\\", "/").split("/"):
        name = part.partition(";")[0]
        if name == "..":
            del parts[-1:]
        elif name not in ("", "."):
            parts.append(name)
    return parts
