"""Fresh environments, filled by uv where there is one, as `run` does."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith("NAPARI_TCIA_")}
"""As it was before tests got a home of their own.

Installers find their settings in it, and their cache: without it every package
would be fetched anew.
"""
UV = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")


def new_environment(folder: Path) -> Path:
    """Make an environment that holds nothing; return its interpreter."""
    make = [sys.executable, "-m", "venv", "--without-pip", str(folder)]
    subprocess.run(make, check=True, env=ENVIRONMENT)
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def install(python: Path, *what: str) -> subprocess.CompletedProcess[str]:
    """Install into an environment; the last of uv and pip says how it went."""
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install"]
    ways = [[*pip, "--disable-pip-version-check", "--retries=1", "--timeout=20"]]
    if UV:  # quick; pip does the same where uv cannot reach its index
        ways.insert(0, [UV, "pip", "install", "--python", str(python)])
    for way in ways:
        done = subprocess.run(
            [*way, "--quiet", *what], env=ENVIRONMENT, capture_output=True, text=True
        )
        if done.returncode == 0:
            break
    return done
