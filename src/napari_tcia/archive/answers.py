"""What a server's answer means: a body, an error, or a reason to try again."""

from __future__ import annotations

import contextlib
import email.utils
import re
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError, ReadTimeoutError

from napari_tcia.core.settings import netloc
from napari_tcia.core.task import CancelToken
from napari_tcia.core.text import one_line
from napari_tcia.errors import (
    ArchiveError,
    NothingFound,
    RateLimited,
    RemoteTimeout,
    ServerFault,
    TciaError,
    Truncated,
    UnexpectedReply,
    Unreachable,
)

_CHUNK = 1 << 18


def chunks_of(response: requests.Response, token: CancelToken) -> Iterator[bytes]:
    """Yield the body as it arrives; a cancelled token ends a blocked read."""
    host = netloc(response.url)
    try:
        # What is there, however little: a slow line is seen to be alive.
        while chunk := response.raw.read1(_CHUNK, decode_content=True):
            token.raise_if_cancelled()
            yield chunk
    except ReadTimeoutError as error:
        token.raise_if_cancelled()
        raise RemoteTimeout(
            f"{host} stopped sending in the middle of an answer.",
            "Try again later.",
        ) from error
    except HTTPError as error:
        token.raise_if_cancelled()
        raise Truncated(
            f"The connection to {host} broke off in the middle of an answer.",
            "Try again.",
        ) from error
    # A socket that was shut may look like the end of the body.
    token.raise_if_cancelled()


def range_of(span: tuple[int, int | None]) -> dict[str, str]:
    """Headers that ask for part of the bytes as they are stored (RFC 9110 14.2)."""
    start, stop = span
    if not start and stop is None:
        return {}
    last = "" if stop is None else stop - 1
    return {"Range": f"bytes={start}-{last}", "Accept-Encoding": "identity"}


def within(
    response: requests.Response,
    chunks: Iterator[bytes],
    span: tuple[int, int | None],
) -> Iterator[bytes]:
    """Cut the chunks to the span that was asked for.

    A server may ignore the wish and send all (RFC 9110 14.2).

    Raises
    ------
    UnexpectedReply
        It sends another part.
    """
    start, stop = span
    at = 0
    if response.status_code == 206:
        said = response.headers.get("Content-Range", "")
        found = re.match(r"bytes (\d+)-", said)
        if found is None or int(found[1]) != start:
            raise UnexpectedReply(
                f"{netloc(response.url)} sent “{one_line(said, 60)}” where the bytes "
                f"from {start} were asked for."
            )
        at = start
    for chunk in chunks:
        first, at = at, at + len(chunk)
        end = len(chunk) if stop is None else stop - first
        if piece := chunk[max(0, start - first) : max(0, end)]:
            yield piece


def connection_error(error: requests.RequestException, host: str) -> TciaError:
    """Say why there was no answer at all."""
    if isinstance(error, requests.ReadTimeout):
        return RemoteTimeout(f"{host} did not answer in time.", "Try again later.")
    if isinstance(error, requests.exceptions.ProxyError):
        return Unreachable(
            f"{host} cannot be reached through the proxy.",
            "Check HTTPS_PROXY and NO_PROXY.",
        )
    if isinstance(error, requests.exceptions.SSLError):
        return Unreachable(
            f"The certificate of {host} was not accepted.",
            "Behind an inspecting proxy, name its certificate in REQUESTS_CA_BUNDLE.",
            final=True,
        )
    if isinstance(error, requests.exceptions.InvalidURL):
        return UnexpectedReply(f"{host} was asked for at an address that is not valid.")
    return Unreachable(
        f"{host} cannot be reached.",
        "Check the network connection; the catalogue works without it.",
    )


def check_status(response: requests.Response, token: CancelToken) -> None:
    """Raise unless the status is 2xx, with the server's own words."""
    status = response.status_code
    if 200 <= status < 300:
        return
    host = netloc(response.url)
    path = urlsplit(response.url).path
    said = b""
    # The page of a gateway repeats the status; a service's own text explains it.
    if "html" not in response.headers.get("Content-Type", ""):
        with contextlib.suppress(ArchiveError):  # the status alone says enough
            said = next(chunks_of(response, token), b"")
    words = one_line(said) or response.reason or "no explanation"
    numbers: dict[str, Any] = {"status": status, "host": host}
    pause = _retry_after(response.headers.get("Retry-After", ""))
    if status == 404:
        raise NothingFound(f"{host} has nothing at {path} (404).", **numbers)
    if status == 429:
        raise RateLimited(
            f"{host} asks for a pause (429).",
            f"Try again in {pause:.0f} s." if pause else "Try again in some minutes.",
            retry_after=pause,
            **numbers,
        )
    if status >= 500:
        raise ServerFault(
            f"{host} has a fault ({status}: {words}).",
            "Try again later.",
            retry_after=pause,
            **numbers,
        )
    raise UnexpectedReply(
        f"{host} refused {path} ({status}: {words}).",
        "Data may have been withdrawn or moved; search again.",
        **numbers,
    )


def may_pass(error: ArchiveError) -> bool:
    """Whether a second try of the same request may go better."""
    if isinstance(error, ServerFault):
        return error.numbers.get("status") in (502, 503, 504)
    return isinstance(
        error, (Unreachable, RateLimited, Truncated)
    ) and not error.numbers.get("final")


def _retry_after(value: str) -> float:
    """Seconds asked for by a Retry-After header (RFC 9110 10.2.3), 0 if none."""
    if value.strip().isdigit():
        return float(value)
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    return max(0.0, moment.timestamp() - time.time())
