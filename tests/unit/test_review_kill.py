"""Killed a hundred times while painting: what was confirmed is there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

WORKER = Path(__file__).parents[1] / "review_worker.py"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_hundred_kills_lose_nothing_that_was_confirmed(tmp_path):
    ended = subprocess.run(
        [sys.executable, str(WORKER), str(tmp_path), "100"],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    told = json.loads(ended.stdout)
    assert told["kills"] == 100
    assert told["edits"] > 100
