"""One gate: nothing else makes a grant, and no entry point goes round it.

Read from the syntax of all modules, and shown by running every entry point
with spies on the archive's log and on the files that are opened.
"""

import ast
import os
import re
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

import napari_tcia
import napari_tcia as nt
from annotation_factory import volume_of
from napari_tcia.app import decoded
from napari_tcia.app.case import open_path
from napari_tcia.app.services import Services
from napari_tcia.demo.server import EmbeddedArchive
from napari_tcia.errors import AccessError

PACKAGE = Path(napari_tcia.__file__).parent
GATE = PACKAGE / "terms" / "gate.py"
OWN = {"series_uids", "acceptance_ids"}
"""Fields that no other type has, by which a copy of a grant shows."""


def uses(tree: ast.AST) -> list[int]:
    """Lines that could make an `AccessGrant`, or hide that they do."""
    annotations = set()
    for node in ast.walk(tree):
        for part in (
            getattr(node, "annotation", None),
            getattr(node, "returns", None),
        ):
            if part is not None:
                annotations |= {id(one) for one in ast.walk(part)}
    found = []
    for node in ast.walk(tree):
        if id(node) in annotations:
            continue
        if isinstance(node, ast.Subscript):  # dict[str, AccessGrant] in a call or alias
            continue
        name = getattr(node, "id", None) or getattr(node, "attr", None)
        if name == "AccessGrant" and not _inside_subscript(tree, node):
            found.append(node.lineno)
        if isinstance(node, ast.alias) and node.name == "AccessGrant" and node.asname:
            found.append(node.lineno)
        if isinstance(node, ast.Call):
            called = getattr(node.func, "id", None) or getattr(node.func, "attr", "")
            words = {k.arg for k in node.keywords}
            first = ast.unparse(node.args[0]).casefold() if node.args else ""
            copies = called in ("replace", "__replace__", "copy", "deepcopy")
            sets = called in ("__setattr__", "setattr", "__new__")
            if (copies or sets) and ("grant" in first or words & OWN):
                found.append(node.lineno)
            if called == "getattr" and "AccessGrant" in ast.unparse(node):
                found.append(node.lineno)
    return found


def _inside_subscript(tree: ast.AST, wanted: ast.AST) -> bool:
    return any(
        isinstance(node, ast.Subscript)
        and any(part is wanted for part in ast.walk(node.slice))
        for node in ast.walk(tree)
    )


def test_no_module_but_the_gate_makes_a_grant():
    makers = {}
    files = sorted(PACKAGE.rglob("*.py"))
    assert len(files) > 10
    for file in files:
        if lines := uses(ast.parse(file.read_text(encoding="utf-8"))):
            makers[file.relative_to(PACKAGE).as_posix()] = lines
    assert list(makers) == ["terms/gate.py"]
    assert len(makers["terms/gate.py"]) == 1


@pytest.mark.parametrize(
    "code",
    [
        "AccessGrant('h', frozenset(), frozenset(), ())",
        "model.AccessGrant(archive_host='h')",
        "from m import AccessGrant as Pass\nPass('h')",
        "make = AccessGrant\nmake('h')",
        "object.__new__(AccessGrant)",
        "AccessGrant.__new__(AccessGrant)",
        "dataclasses.replace(grant, archive_host='other')",
        "replace(x, series_uids=frozenset('1'))",
        "copy.replace(access, acceptance_ids=())",
        "object.__setattr__(grant, 'archive_host', 'other')",
        "getattr(model, 'AccessGrant')('h')",
        "class Wide(AccessGrant): pass",
        "partial(AccessGrant, 'h')",
    ],
)
def test_the_reader_finds_every_way_round(code):
    assert uses(ast.parse(code))


@pytest.mark.parametrize(
    "code",
    [
        "from napari_tcia.core.model import AccessGrant",
        "def fetch(grant: AccessGrant) -> AccessGrant | None: ...",
        "grants: dict[str, AccessGrant] = {}",
        "replace(terms, accepted=None)",
    ],
)
def test_the_reader_lets_annotations_pass(code):
    assert not uses(ast.parse(code))


# Every way in, by hand; what is new must be added here, and probed below.

COMMANDS = {
    "pixels": {"get", "inspect", "nodes", "export", "open"},
    "no pixels": {
        "collections", "search", "terms", "accept", "revoke", "ledger", "cite",
        "serve", "doctor", "files", "drafts", "queue",
    },
    "accepts what is SYNTHETIC in a home of its own": {"demo"},
}  # fmt: skip
FUNCTIONS = {
    "pixels": {
        "get", "inspect", "open_case", "read_volume", "read_labels", "read_points",
        "export", "nodes_only", "open_around", "companion_nodes",
    },
    "no pixels": {
        "__version__", "accept", "cite", "collections", "revoke", "search", "terms",
        "make_queue", "queues",
    },
    "works on what was opened": {"node_table", "drafts", "replay"},
}  # fmt: skip
CONTRIBUTIONS = {
    "pixels": {"browser", "read"},
    "no pixels": {"citations"},
    "works on what was opened": {
        "nodes",
        "review",
        "write_nodes",
        "write_labels",
        "save_figure",
    },
    "SYNTHETIC, made on the spot": {"sample"},
}
ACTIONS = {
    "pixels": {"open", "download", "look", "open_around"},
    "no pixels": {"ask_manifest", "save_manifest", "refresh"},
}
DOORS = {
    "read_volume", "read_labels", "read_points", "read_candidates", "read_markups",
    "fetch_series",
    "fetch_file", "open_series", "open_instance", "open_object", "dcmread",
    "pixel_array", "open_copy", "read_alone", "fetch_slices",
}  # fmt: skip
"""Names through which pixels, or what is drawn on them, come in."""
BEHIND_THE_GATE = {
    "app/api.py": {"read_volume", "read_labels", "read_points"},
    "app/assemble.py": {"assemble"},
    "app/both.py": {"_same_pixels", "compare_sources"},
    "app/case.py": {"_open_own"},
    "app/decoded.py": {"read_kept", "has_copy"},
    "app/onto.py": {"read_onto"},
    "app/node_sizes.py": {"_short_axes"},
    "app/nodes_only.py": {"_read", "around"},
    "app/passports.py": {"passports"},
    "app/preview.py": {"preview", "_of_file"},
    "app/sources.py": {"Bring"},
    "app/supplements.py": {"bring"},
}
"""Who uses a door, above the rooms that have them."""


def everything(table):
    return set().union(*table.values())


def test_every_command_is_known():
    import typer

    from napari_tcia.cli.commands import app

    assert set(typer.main.get_command(app).commands) == everything(COMMANDS)


def test_every_function_is_known():
    assert set(nt.__all__) == everything(FUNCTIONS)


def test_every_contribution_is_known():
    manifest = (PACKAGE / "napari.yaml").read_text(encoding="utf-8")
    ids = re.findall(r"- id: napari-tcia\.(\w+)", manifest)
    assert set(ids) == everything(CONTRIBUTIONS)
    used = re.findall(r"- command: napari-tcia\.(\w+)", manifest)
    assert set(used) <= set(ids)


def test_every_action_of_the_browser_is_known():
    tree = ast.parse((PACKAGE / "_qt" / "actions.py").read_text(encoding="utf-8"))
    (actions,) = [
        n
        for n in tree.body
        if isinstance(n, ast.ClassDef) and n.name.endswith("ctions")
    ]
    methods = {n.name for n in actions.body if isinstance(n, ast.FunctionDef)}
    public = {name for name in methods if not name.startswith("_")}
    assert public - {"close"} == everything(ACTIONS)


def test_every_user_of_a_door_is_known():
    """A preview, a capsule or a cohort that reads pixels would be new here."""
    found = {}
    for folder in ("app", "cli", "_qt", "_napari"):
        for file in sorted((PACKAGE / folder).rglob("*.py")):
            tree = ast.parse(file.read_text(encoding="utf-8"))
            for top in tree.body:
                if not isinstance(top, ast.FunctionDef | ast.ClassDef):
                    continue
                names = {
                    getattr(n, "attr", None) or getattr(n, "id", None)
                    for n in ast.walk(top)
                    if isinstance(n, ast.Attribute | ast.Name)
                }
                if names & DOORS:
                    place = file.relative_to(PACKAGE).as_posix()
                    found.setdefault(place, set()).add(top.name)
    assert found == BEHIND_THE_GATE


_opened = None


def _spy(event, arguments):
    if (
        _opened is not None
        and event == "open"
        and isinstance(arguments[0], str | bytes)
    ):
        _opened.append(os.fsdecode(arguments[0]))


sys.addaudithook(_spy)


class Spy:
    """What was asked of the archive, and opened below HOME, that holds pixels."""

    def __init__(self, archive):
        self.archive = archive
        self.start = len(archive.log)

    def asked(self):
        words = ("image", "thumbnail", "/files/", "/idc/")
        return [
            r.path
            for r in self.archive.log[self.start :]
            if any(w in r.path.lower() for w in words) and "list-type" not in r.path
        ]

    def opened(self):
        home = os.environ["NAPARI_TCIA_HOME"]
        return [
            path for path in _opened or () if path.startswith(home) and pixels_in(path)
        ]


def pixels_in(path):
    return path.endswith((".dcm", ".zip", ".npy"))


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with EmbeddedArchive(cases=4, cache_dir=tmp_path_factory.mktemp("c")) as archive:
        yield archive


@pytest.fixture
def spy(served, monkeypatch):
    global _opened
    for name, base in served.bases.items():
        monkeypatch.setenv(f"NAPARI_TCIA_{name.upper()}", base)
    _opened = []
    yield Spy(served)
    _opened = None


@pytest.fixture
def series(spy):
    """CT of a lymph-node case, whose scan has another identity too."""
    found = nt.search("CT Lymph Nodes", modality="CT")
    return next(s for s in found if s.patient_id == "ABD_LYMPH_001")


def look(series):
    from napari_tcia.app.preview import preview

    return preview(Services.open(), series)


def open_selected(series):
    from napari_tcia.app.selection import open_rows

    return open_rows(Services.open(), [series])


def command(*arguments):
    def probe(what):
        from napari_tcia.cli import run

        target = getattr(what, "series_uid", None) or str(what)
        code = run([target if a == "TARGET" else a for a in arguments])
        if code == 3:
            raise AccessError("exit 3")
        return code

    return probe


def companion(series):
    volume = volume_of(np.zeros((3, 4, 4), np.int16), patient=series.patient_id)
    return nt.companion_nodes(volume)


PROBES = {
    "get": command("get", "TARGET"),
    "get --source idc": command("get", "TARGET", "--source", "idc"),
    "get -o": command("get", "TARGET", "-o", "elsewhere"),
    "nodes": command("nodes", "TARGET"),
    "export": command("export", "TARGET", "--to", "nifti", "-o", "o.nii.gz"),
    "figure": command("export", "TARGET", "--to", "figure", "-o", "o.png"),
    "nodes --labels-only": command("nodes", "TARGET", "--labels-only"),
    "nodes --around": command("nodes", "TARGET", "--around", "1"),
    "nt.nodes_only": lambda s: nt.nodes_only(s.patient_id),
    "nt.open_around": lambda s: nt.open_around(s.patient_id, 1),
    "nt.companion_nodes": companion,
    "nt.get": lambda s: nt.get(s.series_uid),
    "nt.get patient": lambda s: nt.get(s.patient_id),
    "nt.open_case": lambda s: nt.open_case(s.series_uid),
    "nt.export": lambda s: nt.export(s.series_uid, "csv", "o.csv"),
    "browser: preview": look,
    "browser: open": open_selected,
}


@pytest.mark.parametrize("probe", PROBES)
def test_nothing_is_fetched_before_terms_are_accepted(
    spy, series, probe, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AccessError):
        PROBES[probe](series)
    assert spy.asked() == []
    assert spy.opened() == []
    assert list(tmp_path.iterdir()) == []


def test_refusing_leaves_search_and_terms_usable(spy, series):
    from napari_tcia.cli import run

    assert run(["get", series.series_uid]) == 3
    assert run(["search", "--collection", "CT Lymph Nodes"]) == 0
    assert run(["terms", "CT Lymph Nodes"]) == 0
    assert run(["cite", "CT Lymph Nodes"]) == 0
    assert spy.asked() == []


@pytest.fixture
def kept(spy, series):
    """Folder of a series that was fetched and opened, so that it has a decoded copy.

    Its terms were withdrawn after that.
    """
    nt.accept("CT Lymph Nodes", name="N")
    (row,) = nt.get(series.series_uid)
    assert spy.asked()  # the spies do see
    assert spy.opened()
    nt.read_volume(row.path)
    decoded.settle()
    _opened.clear()
    nt.read_volume(row.path).confirm()
    assert {Path(path).name for path in spy.opened()} == {"volume.npy"}
    nt.revoke("CT Lymph Nodes", name="N")
    spy.start = len(spy.archive.log)
    _opened.clear()
    return row.path


def supplement(folder):
    return next(folder.parent.joinpath("files").glob("*.zip"))


def through_a_link(folder):
    with tempfile.TemporaryDirectory() as elsewhere:
        link = Path(elsewhere) / "link"
        link.symlink_to(folder)
        return nt.read_volume(link)


KEPT_PROBES = {
    "inspect": command("inspect", "TARGET"),
    "nodes": command("nodes", "TARGET"),
    "export": command("export", "TARGET", "--to", "csv", "-o", "o.csv"),
    "nt.inspect": nt.inspect,
    "nt.open_case": nt.open_case,
    "nt.read_volume": nt.read_volume,
    "nt.read_volume of a link": through_a_link,
    "nt.read_volume of files": lambda p: nt.read_volume(sorted(p.glob("*.dcm"))),
    "nt.read_labels": lambda p: nt.read_labels(next(p.glob("*.dcm")), None),
    "nt.read_points": lambda p: nt.read_points(supplement(p), None),
    "reader": lambda p: open_path(Services.open(), p),
}


def test_what_is_kept_is_not_opened_once_terms_are_withdrawn(
    spy, series, kept, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    runs = [(name, probe, kept) for name, probe in KEPT_PROBES.items()]
    runs += [(name, probe, series) for name, probe in PROBES.items()]
    for name, probe, what in runs:
        with pytest.raises(AccessError):
            probe(what)
        assert (name, spy.asked(), spy.opened()) == (name, [], [])
    assert list(tmp_path.iterdir()) == []
