"""What `import napari_tcia` promises, and what it must not load."""

import ast
import importlib.metadata
import json
import re
import subprocess
import sys
from pathlib import Path

import napari_tcia as nt

ROOT = Path(__file__).parents[2]

NAMES = {
    "__version__",
    "accept",
    "cite",
    "collections",
    "export",
    "get",
    "drafts",
    "inspect",
    "make_queue",
    "queues",
    "replay",
    "node_table",
    "nodes_only",
    "companion_nodes",
    "open_around",
    "open_case",
    "read_labels",
    "read_points",
    "read_volume",
    "revoke",
    "search",
    "terms",
}


def test_public_names_are_pinned_and_resolve():
    assert set(nt.__all__) == NAMES
    for name in NAMES:
        assert getattr(nt, name) is not None


def test_rooms_do_not_hide_the_functions_of_their_names():
    """Whatever was imported before; ``terms``, ``cite`` and ``export`` are both."""
    code = (
        "import sys; import napari_tcia.terms.gate, napari_tcia.cite.citation; "
        "import napari_tcia.export.seg, napari_tcia.app.handover; "
        "import napari_tcia as nt; from napari_tcia.terms import gate; "
        "print([n for n in nt.__all__[1:] if not callable(getattr(nt, n))],"
        " gate.__name__, sys.modules['napari_tcia.terms'].__name__)"
    )
    said = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert said.split() == ["[]", "napari_tcia.terms.gate", "napari_tcia.terms"]


def test_import_is_light():
    code = (
        "import json, sys; import napari_tcia; "
        "print(json.dumps([m for m in sys.modules]))"
    )
    loaded = json.loads(subprocess.check_output([sys.executable, "-c", code]))
    heavy = {"napari", "qtpy", "PyQt6", "PySide6", "pydicom", "requests", "skimage"}
    assert heavy & set(loaded) == set()


def test_command_line_starts_without_the_window():
    code = (
        "import json, sys; import napari_tcia.cli.commands; "
        "print(json.dumps([m for m in sys.modules]))"
    )
    loaded = json.loads(subprocess.check_output([sys.executable, "-c", code]))
    heavy = {"napari", "qtpy", "PyQt6", "pydicom", "requests", "skimage", "pandas"}
    assert heavy & set(loaded) == set()


def test_version_is_said_once():
    assert nt.__version__ == importlib.metadata.version("napari-tcia")
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"version: {nt.__version__}" in citation


def test_manifest_at_the_root_is_the_packaged_one():
    package = ROOT / "src" / "napari_tcia" / "napari.yaml"
    assert (ROOT / "napari.yaml").resolve() == package.resolve()


def test_only_the_transport_talks_to_the_network():
    """Every other module goes through `archive.http`, where the gate is."""
    offenders = []
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            clients = r"(requests|urllib3|urllib\.request|http\.client|httpx|socket)"
            if any(re.fullmatch(rf"{clients}(\..*)?", name) for name in names):
                offenders.append(path.relative_to(ROOT).as_posix())
    # The gate's room sends; the embedded archive is a server.
    rooms = {Path(offender).parent.name for offender in offenders}
    assert rooms <= {"archive", "demo"}
