"""No setting, folder or host of the machine is touched by a test."""

import os

os.environ["NAPARI_CONFIG"] = ""  # before napari is imported: nothing read or written

import socket

import pytest

_LOOPBACK = {"127.0.0.1", "::1", "localhost"}
_connect = socket.socket.connect


def _guarded_connect(self, address):
    """Connect to this machine only."""
    if self.family in (socket.AF_INET, socket.AF_INET6):
        host = address[0]
        if host not in _LOOPBACK and not str(host).startswith("127."):
            raise AssertionError(f"A test tried to reach {address!r}.")
    return _connect(self, address)


socket.socket.connect = _guarded_connect


def _no_monitor_thread() -> None:
    """Keep tqdm from starting a thread that outlives Qt."""
    import tqdm

    tqdm.tqdm.monitor_interval = 0


_no_monitor_thread()


@pytest.fixture(autouse=True)
def _isolated(tmp_path_factory, monkeypatch):
    """Give every test a home of its own and no address from outside."""
    home = tmp_path_factory.mktemp("home")
    for name in [n for n in os.environ if n.startswith("NAPARI_TCIA_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NAPARI_TCIA_HOME", str(home / "napari-tcia"))
    monkeypatch.setenv("HOME", str(home))
    for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(home / name.lower()))


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch):
    """Try again in a blink, where a user waits seconds; all else is as it is."""
    from napari_tcia.archive.http import Transport
    from napari_tcia.transfer.download import fetch_file, fetch_series

    monkeypatch.setitem(Transport.__init__.__kwdefaults__, "backoff", 0.01)
    for fetch in (fetch_series, fetch_file):
        monkeypatch.setitem(fetch.__kwdefaults__, "pause", 0.01)
