"""Damaged files of every encoding end in a sentence or in right pixels.

Read in a process that may take no more than 1.5 GB beyond what it starts with:
what a header merely claims is not allocated, and no decoder takes the process
down.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from oracle.bases import write_bases

WORKER = Path(__file__).with_name("fuzz_worker.py")
pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="memory is limited by Linux' RLIMIT_AS"
)


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bases")
    write_bases(folder)
    return folder


@pytest.mark.parametrize(
    ("kind", "first", "count"),
    [("bytes", 0, 200), ("lies", 0, 120), ("bombs", 1, 2)],
)
def test_damage_ends_in_a_sentence_or_right_pixels(bases, kind, first, count):
    """To see one case: ``python fuzz_worker.py BASES KIND SEED 1 raise``."""
    command = [sys.executable, WORKER, bases, kind, first, count]
    done = subprocess.run(
        list(map(str, command)),
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONFAULTHANDLER": "1", "PYTHONPATH": _paths()},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout == ""
    assert f"{first + count - 1} " in done.stderr


def _paths():
    return os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
