from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from napari_tcia.core.settings import Settings
from small_archive import SmallArchive


@pytest.fixture
def archive() -> Iterator[SmallArchive]:
    small = SmallArchive()
    yield small
    small.close()


@pytest.fixture
def settings(archive: SmallArchive, tmp_path: Path) -> Settings:
    return archive.settings(tmp_path / "home")
