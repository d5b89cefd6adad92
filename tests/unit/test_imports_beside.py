"""Modules that one thread loads while another begins to use them."""

from __future__ import annotations

import subprocess
import sys

TWO_THREADS = """
import sys, threading
import numpy as np
from napari_tcia.nodes.measure import _axes

inside, asked, failed = threading.Event(), threading.Event(), []

def pause(frame, event, _):
    code = frame.f_code
    if code.co_name == "<module>" and code.co_filename.endswith("_geometric_slerp.py"):
        sys.setprofile(None)
        inside.set()
        asked.wait()
        # Go on once the other thread waits for what is loaded here.
        waiting = sys.modules["_frozen_importlib"]._blocking_on
        while other.is_alive() and not waiting.get(other.ident):
            pass

def load():
    inside.wait()
    asked.set()
    try:
        _axes(np.array([[0.0, 0], [0, 9], [4, 9], [4, 0], [0, 0]]))
    except ImportError as error:
        failed.append(error)

other = threading.Thread(target=load)
other.start()
sys.setprofile(pause)
import scipy.spatial
other.join()
sys.exit(str(failed[0]) if failed else 0)
"""


def test_a_node_is_measured_while_scipy_is_loaded():
    done = subprocess.run(
        [sys.executable, "-c", TWO_THREADS], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
