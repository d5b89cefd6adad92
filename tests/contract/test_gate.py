"""Only `terms.gate` makes an `AccessGrant`: read from the syntax of all modules."""

import ast
from pathlib import Path

import pytest

import napari_tcia

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
