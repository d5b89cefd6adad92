"""Connections that can be hung up from another thread, and carry no secrets."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.cookiejar import DefaultCookiePolicy
from importlib.metadata import version
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from napari_tcia.core.task import CancelToken


def new_session() -> requests.Session:
    """Make a session that sends no credentials and keeps no cookies."""
    session = requests.Session()
    # Without this requests would send what ~/.netrc holds, and NBIA answers
    # 401 to any Authorization header.
    session.auth = _no_credentials
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.headers["User-Agent"] = f"napari-tcia/{version('napari-tcia')}"
    for scheme in ("https://", "http://"):
        session.mount(scheme, _WatchedAdapter())
    return session


class Call:
    """A request under way: what to hang up when its token is cancelled."""

    def __init__(self, token: CancelToken) -> None:
        self.token = token
        self.sock: socket.socket | None = None

    def hang_up(self) -> None:
        """End a blocked read in another thread; closing would not."""
        if sock := self.sock:
            with contextlib.suppress(OSError):
                # Not SSLSocket.shutdown, which would pull the TLS state from
                # under the thread that reads.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """Have connections that this thread uses meanwhile belong to this call."""
        _calling.call = self
        try:
            yield
        finally:
            _calling.call = None


class _Calling(threading.local):
    call: Call | None = None


_calling = _Calling()


class _Watched:
    """Tells the call of this thread which connection carries it.

    A request that waits for its answer has no response to close yet, so the
    socket has to be known from here. The token is looked at again afterwards:
    a cancel in between found no socket to shut.
    """

    def connect(self) -> None:
        self._watch()
        super().connect()  # type: ignore[misc]
        self._watch()

    def request(self, *args: Any, **kwargs: Any) -> None:
        self._watch()
        super().request(*args, **kwargs)  # type: ignore[misc]

    def _watch(self) -> None:
        if _calling.call is not None:
            # Kept apart from the connection, which forgets its socket when the
            # server announces the end of the connection.
            _calling.call.sock = getattr(self, "sock", None)
            _calling.call.token.raise_if_cancelled()


class _WatchedHTTP(_Watched, HTTPConnection):
    pass


class _WatchedHTTPS(_Watched, HTTPSConnection):
    pass


class _PoolHTTP(HTTPConnectionPool):
    ConnectionCls = _WatchedHTTP


class _PoolHTTPS(HTTPSConnectionPool):
    ConnectionCls = _WatchedHTTPS


_POOLS = {"http": _PoolHTTP, "https": _PoolHTTPS}


class _WatchedAdapter(HTTPAdapter):
    def __init__(self) -> None:
        # One session serves all threads, each with a connection of its own.
        super().__init__(pool_maxsize=16)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager


def _no_credentials(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request
