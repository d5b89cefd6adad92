"""The wheel, in an environment that holds nothing else, is the whole plugin."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from environments import ENVIRONMENT, UV, install, new_environment

ROOT = Path(__file__).parents[2]
PROBE = """
import importlib, json
from npe2 import PluginManager
manager = PluginManager.instance()
manager.discover()
manifest = manager.get_manifest("napari-tcia")
contributions = manifest.contributions
for command in contributions.commands:
    module, name = command.python_name.split(":")
    assert getattr(importlib.import_module(module), name)
import napari_tcia
print(json.dumps({
    "file": napari_tcia.__file__,
    "widgets": [w.display_name for w in contributions.widgets],
    "readers": len(contributions.readers),
    "writers": len(contributions.writers),
    "sample_data": [s.key for s in contributions.sample_data],
    "catalogue": len(napari_tcia.search("CT Lymph Nodes", offline=True)),
}))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--installer", "uv" if UV else "pip"]
    subprocess.run(
        [*build, "--outdir", str(folder), str(ROOT)],
        check=True,
        env=ENVIRONMENT,
        capture_output=True,
    )
    return next(folder.glob("*.whl"))


def test_wheel_holds_what_it_needs_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    for needed in ("napari.yaml", "py.typed"):
        assert f"napari_tcia/{needed}" in names
    assert not [n for n in names if n.startswith(("tests/", "docs/"))]
    assert wheel.stat().st_size < 1_500_000


@pytest.mark.timeout(900)
def test_fresh_environment_finds_every_contribution(wheel, tmp_path):
    """Built from the sdist, installed with `[all]`, seen from another folder."""
    environment = tmp_path / "fresh"
    python = new_environment(environment)
    constraints = str(ROOT / "constraints.txt")
    what = f"napari-tcia[all] @ {wheel.as_uri()}"
    done = install(python, "-c", constraints, what)
    assert done.returncode == 0, done.stderr
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    clean |= {"NAPARI_CONFIG": "", "QT_QPA_PLATFORM": "offscreen"}
    clean["NAPARI_TCIA_HOME"] = str(tmp_path / "home")
    answer = subprocess.run(
        [str(python), "-c", PROBE],
        cwd=tmp_path,
        env=clean,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    found = json.loads(answer.splitlines()[-1])
    assert str(environment) in found["file"]
    assert {"Browser", "Citations"} <= set(found["widgets"])
    assert found["readers"] >= 1
    assert found["writers"] >= 1
    assert found["sample_data"]
    assert found["catalogue"] == 352
