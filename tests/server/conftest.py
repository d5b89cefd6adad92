from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from napari_tcia.cli import run
from napari_tcia.core.settings import Settings
from small_archive import SmallArchive
from strict_archive import StrictArchive

Call = Callable[..., tuple[int, Any]]


@pytest.fixture
def archive() -> Iterator[SmallArchive]:
    small = SmallArchive()
    yield small
    small.close()


@pytest.fixture
def settings(archive: SmallArchive, tmp_path: Path) -> Settings:
    return archive.settings(tmp_path / "home")


@pytest.fixture
def strict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StrictArchive]:
    """A strict archive that the environment points at, with a fresh home."""
    server = StrictArchive()
    settings = server.settings(tmp_path / "home")
    for name in ("archive", "collections", "datacite", "idc", "files", "home"):
        monkeypatch.setenv(f"NAPARI_TCIA_{name.upper()}", str(getattr(settings, name)))
    yield server
    server.close()
    assert server.broken_rules == []


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """Run a command with --json; return exit code and the one object."""

    def run_json(*arguments: object) -> tuple[int, Any]:
        capsys.readouterr()
        code = run([*map(str, arguments), "--json"])
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) == 1, "exactly one JSON object goes to stdout"
        return code, json.loads(lines[0], parse_constant=pytest.fail)

    return run_json
