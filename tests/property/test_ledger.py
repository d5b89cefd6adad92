"""Any history, then any one change of the file: it shows."""

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_tcia.errors import CorruptData
from napari_tcia.terms.ledger import Ledger

COLLECTIONS = ["CT Lymph Nodes", "LIDC-IDRI"]
events = st.lists(
    st.tuples(
        st.sampled_from(["accept", "revoke"]),
        st.sampled_from(COLLECTIONS),
        st.text(min_size=1, max_size=8),
    ),
    min_size=1,
    max_size=5,
)


def write(folder: Path, history) -> Ledger:
    ledger = Ledger(folder / "ledger.jsonl")
    for event, collection, name in history:
        ledger.append(
            event,
            name=f"n{name}",
            archive_host="h",
            collection=collection,
            licence_id="CC-BY-3.0",
            licence_name="CC BY 3.0",
            documents=[("policy", "summary", "0" * 64)],
        )
    return ledger


@settings(deadline=None, max_examples=40)
@given(events)
def test_any_history_verifies_and_the_last_event_decides(history):
    with tempfile.TemporaryDirectory() as folder:
        ledger = write(Path(folder), history)
        assert ledger.verify() == ()
        assert [r.event for r in ledger.records()] == [e for e, _, _ in history]
        for collection in COLLECTIONS:
            told = [e for e, c, _ in history if c == collection]
            found = ledger.standing("h", collection, "CC-BY-3.0")
            assert (found is not None) == (told[-1:] == ["accept"])


@settings(deadline=None, max_examples=120)
@given(events, st.data())
def test_any_single_change_is_found_and_never_trusted(history, data):
    with tempfile.TemporaryDirectory() as folder:
        ledger = write(Path(folder), history)
        before = ledger.path.read_bytes()
        rows = before.splitlines(keepends=True)
        kind = data.draw(
            st.sampled_from(["byte", "insert", "drop", "swap", "cut", "copy"])
        )
        at = data.draw(st.integers(0, len(before) - 1))
        row = data.draw(st.integers(0, len(rows) - 1))
        if kind == "byte":
            new = data.draw(st.integers(0, 255).filter(lambda b: b != before[at]))
            after = before[:at] + bytes([new]) + before[at + 1 :]
        elif kind == "insert":
            after = (
                before[:at] + data.draw(st.binary(min_size=1, max_size=4)) + before[at:]
            )
        elif kind == "drop":
            after = b"".join(rows[:row] + rows[row + 1 :])
        elif kind == "swap":
            other = data.draw(st.integers(0, len(rows) - 1))
            rows[row], rows[other] = rows[other], rows[row]
            after = b"".join(rows)
        elif kind == "cut":
            after = before[:at]
        else:
            after = b"".join([*rows[: row + 1], rows[row], *rows[row + 1 :]])
        if after == before:
            return
        ledger.path.write_bytes(after)
        issues = ledger.verify()
        assert issues
        assert all(issue.numbers["line"] <= len(rows) + 2 for issue in issues)
        records = ledger.records()
        if any(issue.level == "error" for issue in issues):
            for action in (
                lambda: ledger.standing("h", COLLECTIONS[0], "CC-BY-3.0"),
                lambda: ledger.revoke("h", COLLECTIONS[0], "Ann"),
            ):
                with pytest.raises(CorruptData):
                    action()
            assert ledger.path.read_bytes() == after
        else:
            # Only stray bytes that touch no record may pass with a warning.
            assert len(records) == len(history)
            before_change = write_elsewhere(before, ledger)
            assert records == before_change


def write_elsewhere(content: bytes, ledger: Ledger):
    """Records of the untouched file."""
    with tempfile.TemporaryDirectory() as folder:
        other = Path(folder) / "ledger.jsonl"
        other.write_bytes(content)
        shutil.copy(ledger.path.with_name("acceptance-head.json"), folder)
        return Ledger(other).records()


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=300), st.binary(max_size=80))
def test_any_bytes_end_in_issues_not_in_a_crash(content, head):
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger(Path(folder) / "ledger.jsonl")
        ledger.path.write_bytes(content)
        (Path(folder) / "acceptance-head.json").write_bytes(head)
        assert ledger.verify()
        if any(issue.level == "error" for issue in ledger.verify()):
            with pytest.raises(CorruptData):
                ledger.standing("h", "c", "CC-BY-3.0")
        else:
            assert ledger.standing("h", "c", "CC-BY-3.0") is None
