"""What the documents name exists."""

import re
from pathlib import Path

import pytest
import typer

from napari_tcia.cli.commands import app
from napari_tcia.demo.faults import FAULTS

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md")]
COMMANDS = set(typer.main.get_command(app).commands)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: p.name)
def test_links_and_commands_exist(document):
    text = document.read_text(encoding="utf-8")
    for link in re.findall(r"\]\((?!https?://|#)([^)]+)\)", text):
        assert (document.parent / link).exists(), link
    for command in re.findall(r"^napari-tcia (\w+)", text, re.MULTILINE):
        assert command in COMMANDS
    run = (ROOT / "run").read_text(encoding="utf-8")
    for command in re.findall(r"\./run (\w+)", text):
        assert f"\n  {command})" in run


def test_modules_of_the_architecture_exist():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \|", text, re.MULTILINE)
    package = ROOT / "src" / "napari_tcia"
    assert {room for room, _ in rows} >= {"core", "archive", "terms", "_napari"}
    for room, modules in rows:
        for module in re.findall(r"`(\w+)`", modules):
            assert (package / room / f"{module}.py").is_file(), f"{room}/{module}"


def test_no_lock_file_and_no_addresses_in_pins():
    assert not list(ROOT.glob("*.lock"))
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert pins
    for line in pins:
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!_-]+", line), line


def test_faults_are_named_for_the_command_line():
    assert {"short-zip", "cut", "stall"} <= set(FAULTS)
