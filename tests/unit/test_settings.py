"""The environment decides where things are, and unsafe addresses are refused."""

import stat

import pytest

from napari_tcia.core.settings import Settings, is_loopback, netloc
from napari_tcia.errors import NotWritable, UsageError


def test_defaults_are_the_real_archives():
    settings = Settings.from_environment({"NAPARI_TCIA_HOME": "somewhere"})
    assert settings.archive_host == "nbia.cancerimagingarchive.net"
    assert all(
        url.startswith("https://")
        for url in (settings.archive, settings.collections, settings.files)
    )


@pytest.mark.parametrize("slash", ["", "/", "//"])
def test_trailing_slash_does_not_matter(slash):
    env = {"NAPARI_TCIA_ARCHIVE": f"http://127.0.0.1:8080/nbia{slash}"}
    settings = Settings.from_environment(env)
    assert settings.archive == "http://127.0.0.1:8080/nbia"
    assert settings.archive_host == "127.0.0.1:8080"


@pytest.mark.parametrize(
    "url",
    [
        "http://archive.example.org/api",
        "ftp://127.0.0.1/api",
        "file:///etc/passwd",
        "nonsense",
        "http://127.0.0.1.example.org/",
        "http://127.0.0.1:notaport/",
    ],
)
def test_unsafe_addresses_are_refused(url):
    with pytest.raises(UsageError, match="NAPARI_TCIA_ARCHIVE"):
        Settings.from_environment({"NAPARI_TCIA_ARCHIVE": url})


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("::1", True),
        ("10.0.0.1", False),
        ("localhost.example.org", False),
        (None, False),
    ],
)
def test_loopback(host, expected):
    assert is_loopback(host) is expected


def test_archives_on_one_machine_differ_by_port():
    assert netloc("http://localhost:1/a") != netloc("http://localhost:2/a")


def test_home_is_for_its_owner_alone(tmp_path):
    home = tmp_path / "home"
    home.mkdir(mode=0o755)
    Settings(home=home).ensure_home()
    assert stat.S_IMODE(home.stat().st_mode) == 0o700


def test_home_that_cannot_be_made_says_what_to_do(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(NotWritable, match="NAPARI_TCIA_HOME"):
        Settings(home=tmp_path / "file" / "home").ensure_home()


@pytest.mark.parametrize(
    ("env", "base"),
    [
        ({}, "https://creativecommons.org/licenses"),
        ({"NAPARI_TCIA_ARCHIVE": "http://127.0.0.1:9/nbia"}, ""),
        ({"NAPARI_TCIA_ARCHIVE": "https://localhost/nbia"}, ""),
        (
            {
                "NAPARI_TCIA_ARCHIVE": "http://127.0.0.1:9/nbia",
                "NAPARI_TCIA_LICENCES": "http://127.0.0.1:9/cc/",
            },
            "http://127.0.0.1:9/cc",
        ),
    ],
)
def test_an_archive_on_this_machine_leaves_it_for_no_licence_text(tmp_path, env, base):
    settings = Settings.from_environment({"NAPARI_TCIA_HOME": str(tmp_path), **env})
    assert settings.licences == base
    assert "" not in settings.allowed_hosts
    assert ("creativecommons.org" in settings.allowed_hosts) == (not env)
