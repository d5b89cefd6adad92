"""The small good case that every variant starts from, held in memory."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from napari_tcia.demo.cases import Case, lymph_case
from napari_tcia.demo.twin import phantom_case

PATIENT = "MED_LYMPH_001"
NAME = f"{PATIENT}_lymphnodes"
"""How the names of its text files begin."""
MASK = f"mask/{PATIENT}_mask.nii.gz"
_SIZE: dict[str, Any] = {"matrix": 96, "step": 5.0}

Files = dict[str, bytes]
"""A case in memory: contents by path below its folder."""
Spoil = Callable[[Files], None]
"""Changes a case in memory."""


def good_case() -> Case:
    """What is true of it."""
    return lymph_case(PATIENT, **_SIZE)


def good_files() -> Files:
    """Its files, as `phantom_case` writes them; the caller's to change."""
    return dict(_written())


@lru_cache(maxsize=1)
def _written() -> tuple[tuple[str, bytes], ...]:
    with tempfile.TemporaryDirectory() as folder:
        home = phantom_case(Path(folder), PATIENT, **_SIZE)
        return tuple(
            (path.relative_to(home).as_posix(), path.read_bytes())
            for path in sorted(home.rglob("*"))
            if path.is_file()
        )
