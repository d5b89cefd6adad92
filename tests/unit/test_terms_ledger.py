"""The record of acceptances on a real disk."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from napari_tcia.core.model import TermsDocument
from napari_tcia.errors import CorruptData, NotWritable, UsageError
from napari_tcia.terms.ledger import Ledger

DOCUMENTS = [("licence", "summary", "a" * 64), ("policy", "official", "b" * 64)]


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path / "home" / "ledger.jsonl")


def add(ledger, collection="CT Lymph Nodes", name="Žofie", event="accept", n=1):
    for _ in range(n):
        record = ledger.append(
            event,
            name=name,
            archive_host="127.0.0.1:8000",
            collection=collection,
            licence_id="CC-BY-3.0",
            licence_name="Creative Commons Attribution 3.0 Unported License",
            documents=DOCUMENTS,
        )
    return record


def standing(ledger, collection="CT Lymph Nodes"):
    return ledger.standing("127.0.0.1:8000", collection, "CC-BY-3.0")


def head_of(ledger):
    return ledger.path.with_name("acceptance-head.json")


def test_reading_nothing_creates_nothing(ledger):
    assert ledger.records() == ledger.verify() == ()
    assert standing(ledger) is None
    assert not ledger.path.parent.exists()


def test_one_record_is_one_readable_line(ledger):
    made = add(ledger)
    raw = ledger.path.read_bytes()
    assert raw.count(b"\n") == 1
    assert raw.endswith(b"\n")
    assert "Žofie".encode() in raw
    row = json.loads(raw)
    assert (row["seq"], row["prev"], row["id"]) == (1, "0" * 64, made.id)
    assert row["time"].endswith("Z")
    assert ledger.records() == (made,)
    assert made.documents == tuple(DOCUMENTS)
    assert ledger.verify() == ()


def test_files_are_private_and_only_one_is_called_ledger(ledger):
    add(ledger)
    names = {p.name for p in ledger.path.parent.iterdir()}
    assert [n for n in names if "ledger" in n] == ["ledger.jsonl"]
    assert "acceptance-head.json" in names
    if os.name == "posix":
        for path in (ledger.path, head_of(ledger)):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_last_word_counts(ledger):
    add(ledger)
    add(ledger, "LIDC-IDRI")
    assert ledger.revoke("127.0.0.1:8000", "CT Lymph Nodes", "Ann")[0].name == "Ann"
    assert standing(ledger) is None
    assert standing(ledger, "LIDC-IDRI") is not None
    assert ledger.revoke("127.0.0.1:8000", "CT Lymph Nodes", "Ann") == ()
    again = add(ledger)
    assert standing(ledger) == again
    assert [r.event for r in ledger.records()] == [
        "accept",
        "accept",
        "revoke",
        "accept",
    ]
    assert ledger.verify() == ()


def test_standing_asks_for_exactly_one_host_collection_and_licence(ledger):
    add(ledger)
    for key in (
        ("127.0.0.1:8001", "CT Lymph Nodes", "CC-BY-3.0"),
        ("127.0.0.1", "CT Lymph Nodes", "CC-BY-3.0"),
        ("127.0.0.1:8000", "ct lymph nodes", "CC-BY-3.0"),
        ("127.0.0.1:8000", "CT Lymph Nodes", "CC-BY-4.0"),
    ):
        assert ledger.standing(*key) is None


@pytest.mark.parametrize("name", ["", "  ", "\n\t"])
def test_nobody_accepts(ledger, name):
    with pytest.raises(UsageError):
        add(ledger, name=name)
    assert not ledger.path.exists()


def test_odd_names_stay_on_one_line(ledger):
    for name in ("a\nb", "\udcff", "x" * 5000, "\u2028 \x1b[31m", '"}{'):
        add(ledger, name=name)
    assert ledger.path.read_bytes().count(b"\n") == 5
    assert ledger.verify() == ()
    assert ledger.records()[0].name == "a b"
    with pytest.raises(UsageError):
        add(ledger, collection="\ud800")
    assert len(ledger.records()) == 5


def test_a_torn_last_line_is_reported_and_kept(ledger):
    add(ledger, n=2)
    whole = ledger.path.read_bytes()
    torn = whole + b'{"seq": 3, "prev": "12'
    ledger.path.write_bytes(torn)
    assert [(i.level, i.numbers["line"]) for i in ledger.verify()] == [("warn", 3)]
    assert standing(ledger) is not None
    third = add(ledger, "LIDC-IDRI")
    assert ledger.path.read_bytes().startswith(torn + b"\n")
    assert [i.level for i in ledger.verify()] == ["warn"]
    assert ledger.records()[-1] == third
    assert standing(ledger, "LIDC-IDRI") == third


def test_a_lost_line_end_is_reported_and_mended_by_the_next_record(ledger):
    add(ledger)
    ledger.path.write_bytes(ledger.path.read_bytes()[:-1])
    assert [i.code for i in ledger.verify()] == ["torn_line"]
    add(ledger)
    assert ledger.verify() == ()


def test_a_crash_between_record_and_head_is_sound(ledger):
    add(ledger)
    head = head_of(ledger).read_bytes()
    last = add(ledger, "LIDC-IDRI")
    head_of(ledger).write_bytes(head)
    assert ledger.verify() == ()
    assert standing(ledger, "LIDC-IDRI") == last
    add(ledger)
    assert json.loads(head_of(ledger).read_text())["records"] == 3


def test_a_withdrawal_cannot_be_cut_off(ledger):
    add(ledger)
    ledger.revoke("127.0.0.1:8000", "CT Lymph Nodes", "Ann")
    first = ledger.path.read_bytes().splitlines(keepends=True)[0]
    ledger.path.write_bytes(first)
    (issue,) = ledger.verify()
    assert (issue.level, issue.code) == ("error", "records_missing")
    with pytest.raises(CorruptData) as caught:
        standing(ledger)
    assert caught.value.exit_code == 6
    assert "accept the terms again" in caught.value.hint


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda p, h: p.unlink(), "records_missing"),
        (lambda p, h: h.unlink(), "records_added"),
        (lambda p, h: h.write_text("{"), "head_damaged"),
        (lambda p, h: h.write_text('{"records": 2, "last": "x"}'), "records_changed"),
        (lambda p, h: h.write_text('{"records": -1, "last": "x"}'), "records_added"),
    ],
)
def test_a_lost_or_changed_file_shows(ledger, change, code):
    add(ledger, n=2)
    change(ledger.path, head_of(ledger))
    assert [i.code for i in ledger.verify()] == [code]
    with pytest.raises(CorruptData):
        add(ledger)


def test_a_record_made_anew_with_its_hash_shows(ledger):
    from napari_tcia.terms import ledger as module

    add(ledger, n=3)
    rows = ledger.path.read_bytes().splitlines()
    forged = json.loads(rows[1]) | {"name": "Somebody Else"}
    forged["id"] = module._identity(forged)
    rows[1] = module._dump(forged).encode()
    ledger.path.write_bytes(b"\n".join(rows) + b"\n")
    assert [(i.code, i.numbers["line"]) for i in ledger.verify()] == [
        ("record_replaced", 3)
    ]


@pytest.mark.skipif(
    os.name != "posix" or os.geteuid() == 0, reason="needs a plain user"
)
def test_a_read_only_home_is_a_sentence(ledger):
    add(ledger)
    ledger.path.parent.chmod(0o500)
    with pytest.raises(NotWritable):
        add(ledger)
    ledger.path.parent.chmod(0o700)


def test_a_home_that_is_a_file_is_a_sentence(tmp_path):
    (tmp_path / "home").write_text("")
    with pytest.raises(NotWritable):
        add(Ledger(tmp_path / "home" / "ledger.jsonl"))


CHILD = """
import sys
from pathlib import Path
from napari_tcia.terms.ledger import Ledger
ledger = Ledger(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
count = int(sys.argv[3])
n = 0
while n != count:
    n += 1
    ledger.append("accept", name=sys.argv[2], archive_host="h", collection=str(n),
                  licence_id="CC-BY-3.0", licence_name="x" * 3000, documents=[])
    print(n, flush=True)
"""


def child(path: Path, name: str, count: int) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path), name, str(count)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    return process


def test_two_programs_write_one_chain(ledger):
    workers = [child(ledger.path, name, 25) for name in ("Ann", "Ben")]
    for worker in workers:
        worker.stdin.write("go\n")
        worker.stdin.flush()
    seen = 0
    while any(worker.poll() is None for worker in workers):
        assert ledger.verify() == ()
        assert len(ledger.records()) >= seen
        seen = len(ledger.records())
    for worker in workers:
        worker.communicate()
        assert worker.returncode == 0
    assert ledger.verify() == ()
    names = [record.name for record in ledger.records()]
    assert sorted(names) == ["Ann"] * 25 + ["Ben"] * 25


def test_killed_while_writing_loses_nothing_that_was_confirmed(ledger):
    confirmed = 0
    for _ in range(4):
        worker = child(ledger.path, "Ann", -1)
        worker.stdin.write("go\n")
        worker.stdin.flush()
        for _ in range(5):
            confirmed += bool(worker.stdout.readline())
        worker.kill()
        rest, _ = worker.communicate()
        confirmed += len([line for line in rest.splitlines() if line.isdigit()])
        assert not [i for i in ledger.verify() if i.level == "error"]
        assert len(ledger.records()) >= confirmed
    add(ledger)
    assert standing(ledger) is not None


def test_threads_share_one_ledger(ledger):
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda n: add(ledger, str(n)), range(24)))
    assert ledger.verify() == ()
    assert {r.id for r in ledger.records()} == {r.id for r in made}


def test_accept_records_the_documents_shown(ledger):
    from napari_tcia.core.model import Terms
    from napari_tcia.terms.licence import LICENCES

    document = TermsDocument("policy", "P", "words", "u", "official", "now", "c" * 64)
    terms = Terms("h", "LIDC-IDRI", LICENCES["CC-BY-3.0"], (document,))
    record = ledger.accept(terms, " Dr.  Wu ")
    assert record.documents == (("policy", "official", "c" * 64),)
    assert (record.name, record.licence_id) == ("Dr. Wu", "CC-BY-3.0")


FACTS = {
    "name": "N",
    "archive_host": "h",
    "collection": "C",
    "licence_id": "CC-BY-3.0",
    "licence_name": "CC BY 3.0",
    "documents": [("policy", "official", "0" * 64)],
}


def test_what_is_reported_as_failed_does_not_stand(tmp_path, monkeypatch):
    """A disk that fills up between the record and the head breaks nothing."""
    from napari_tcia.errors import DiskFull
    from napari_tcia.terms import ledger as module

    book = module.Ledger(tmp_path / "ledger.jsonl")
    book.append("accept", **FACTS)
    before = book.path.read_bytes()
    write, calls = module.write_json, []

    def full(path, value):
        calls.append(value["records"])
        if value["records"] == 2:
            raise DiskFull("The disk is full.")
        return write(path, value)

    monkeypatch.setattr(module, "write_json", full)
    for _ in range(3):
        with pytest.raises(DiskFull):
            book.append("revoke", **FACTS)
    assert 2 in calls
    assert book.path.read_bytes() == before
    assert book.verify() == ()
    assert book.standing("h", "C", "CC-BY-3.0") is not None


def test_two_crashes_before_the_head_are_no_tampering(tmp_path, monkeypatch):
    from napari_tcia.terms import ledger as module

    book = module.Ledger(tmp_path / "ledger.jsonl")
    book.append("accept", **FACTS)
    write = module.write_json

    def crash(path, value):
        if value["records"] > before:
            raise KeyboardInterrupt
        return write(path, value)

    monkeypatch.setattr(module, "write_json", crash)
    for event in ("revoke", "accept", "revoke"):
        before = len(book.records())
        with pytest.raises(KeyboardInterrupt):
            book.append(event, **FACTS)
    assert book.verify() == ()
    assert [one.event for one in book.records()] == ["accept", "revoke"] * 2
