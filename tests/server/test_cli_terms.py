"""Terms cannot be walked around from the command line."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import napari_tcia as nt
from napari_tcia.demo.server import EmbeddedArchive
from napari_tcia.errors import AccessError
from small_archive import OTHER, UID, Answer
from strict_archive import CC_BY_NC_3, StrictArchive, row


@pytest.fixture
def accepted(strict, call):
    assert call("accept", "Twin", "--yes", "--name", "N")[0] == 0


@pytest.fixture
def kept(accepted, call):
    """Folder of a stored series."""
    code, answer = call("get", UID)
    assert code == 0, answer
    return Path(answer["series"][0]["path"])


@pytest.mark.parametrize("command", ["accept", "terms", "revoke"])
@pytest.mark.parametrize("name", ["", "  "])
def test_no_name_is_not_every_collection(strict, call, command, name):
    more = ["--yes", "--name", "N"] if command == "accept" else []
    code, answer = call(command, name, *more)
    assert (code, answer["error"]["code"]) == (2, "usage_error")
    assert call("ledger")[1]["records"] == []


def test_accepting_one_collection_accepts_no_other(strict, call):
    """Even where the archive answers with more than it was asked for."""
    strict.rows = [row(), row(OTHER, Collection="Another")]
    strict.ignores_filters = True
    assert call("accept", "Twin", "--yes", "--name", "N")[0] == 0
    records = call("ledger")[1]["records"]
    assert [one["collection"] for one in records] == ["Twin"]


def test_a_series_without_a_collection_cannot_be_accepted(strict, call):
    strict.rows = [row(Collection=None)]
    code, answer = call("get", UID)
    assert (code, answer["error"]["code"]) == (3, "terms_unknown")
    assert strict.images_asked() == 0


def test_revoking_needs_no_exact_spelling(accepted, call):
    assert call("revoke", "tWIN")[0] == 0
    assert call("get", UID)[0] == 3


def test_the_hint_is_safe_to_paste(strict, call):
    strict.rows = [row(Collection='a"; touch x; "')]
    _, answer = call("get", UID)
    assert answer["error"]["hint"].endswith("""accept 'a"; touch x; "'""")


def test_changed_policy_words_are_asked_again(accepted, strict, call):
    strict.policy += " And a new duty."
    code, answer = call("get", UID)
    assert (code, answer["error"]["code"]) == (3, "terms_changed")
    assert strict.images_asked() == 0
    assert call("accept", "Twin", "--yes", "--name", "N")[0] == 0
    assert call("get", UID)[0] == 0


def test_layout_of_the_policy_is_not_a_change(accepted, strict, call):
    strict.policy = "Name  the\r\n collection.\tDo not identify\nanybody.\n"
    assert call("get", UID)[0] == 0


@pytest.mark.parametrize("keep", [False, True])
def test_changed_licence_is_asked_again(accepted, strict, call, keep):
    """Also of a series that is kept from before."""
    if keep:
        assert call("get", UID)[0] == 0
    strict.rows = [row(**CC_BY_NC_3)]
    code, answer = call("get", UID)
    assert code == 3, answer


def test_policy_text_cannot_steer_a_terminal(strict, capfd):
    from napari_tcia.cli import run

    strict.policy = "First.\x1b[2J\x1b]0;pwned\x07\nSecond\u202e line.\x9b1m"
    assert run(["terms", "Twin"]) == 0
    shown = capfd.readouterr().out
    assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(shown)
    assert "First." in shown
    assert "Second" in shown


def test_a_damaged_copy_of_the_policy_is_fetched_again(accepted, strict, call):
    (copy,) = Path(os.environ["NAPARI_TCIA_HOME"], "terms").glob("*.json")
    for text in ("{", "[]", '{"text": 5, "retrieved": null}', ""):
        copy.write_text(text)
        strict.policy, kept = "", strict.policy
        code, answer = call("terms", "Twin")
        assert code == 0, answer
        strict.policy = kept
        assert call("get", UID)[0] == 0


def test_terms_say_date_hash_and_origin(strict, call):
    _, answer = call("terms", "Twin")
    documents = {one["kind"]: one for one in answer["records"][0]["documents"]}
    assert documents["policy"]["origin"] == "official"
    assert documents["policy"]["text"] == strict.policy
    assert documents["policy"]["retrieved"][:2] == "20"
    assert documents["licence"]["origin"] == "summary"
    assert {len(one["sha256"]) for one in documents.values()} == {64}


def test_accept_prompts_on_stderr_alone(strict):
    done = subprocess.run(
        [sys.executable, "-m", "napari_tcia", "accept", "Twin", "--json"],
        input="y\nŽofie\n",
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
    )
    assert done.returncode == 0
    assert done.stdout.startswith("{")
    assert json.loads(done.stdout)["records"][0]["name"] == "Žofie"
    assert "Your name" in done.stderr


def test_ctrl_c_at_the_prompt_is_130(strict, call):
    process = subprocess.Popen(
        [sys.executable, "-m", "napari_tcia", "accept", "Twin", "--json"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    said = b""
    while b"[y/N]" not in said:
        said += process.stderr.read1()
    process.send_signal(signal.SIGINT)
    process.wait(60)  # with its stdin open: the end of that would be a No
    out, _ = process.communicate()
    assert process.returncode == 130
    assert json.loads(out)["error"]["code"] == "cancelled"
    assert call("ledger")[1]["records"] == []


class TestRevoked:
    """After `revoke`, no way leads to what is kept."""

    @pytest.fixture
    def closed(self, kept, call):
        assert call("revoke", "Twin")[0] == 0
        return kept

    def closes(self, call, path):
        for command in ("inspect", "nodes"):
            code, answer = call(command, path)
            assert code == 3, (command, answer)
        code, answer = call("export", path, "--to", "nifti", "-o", "out.nii.gz")
        assert code == 3, answer
        with pytest.raises(AccessError):
            nt.read_volume(path)

    def test_its_folder(self, closed, call):
        self.closes(call, closed)

    def test_one_file(self, closed, call):
        self.closes(call, next(closed.glob("*.dcm")))

    def test_home_and_folders_above(self, closed, call):
        self.closes(call, os.environ["NAPARI_TCIA_HOME"])
        self.closes(call, Path(os.environ["NAPARI_TCIA_HOME"]).parent)

    def test_a_link_to_the_folder(self, closed, call, tmp_path):
        (tmp_path / "link").symlink_to(closed)
        self.closes(call, tmp_path / "link")

    def test_links_to_files(self, closed, call, tmp_path):
        own = tmp_path / "own"
        own.mkdir()
        for file in closed.glob("*.dcm"):
            (own / file.name).symlink_to(file)
        self.closes(call, own)

    def test_a_link_to_the_folder_within_an_own_one(self, closed, call, tmp_path):
        (tmp_path / "own").mkdir()
        (tmp_path / "own" / "link").symlink_to(closed)
        self.closes(call, tmp_path / "own" / "link")
        linked = [tmp_path / "own" / "link" / f.name for f in closed.glob("*.dcm")]
        with pytest.raises(AccessError):
            nt.read_volume(linked)

    def test_a_copy_elsewhere_below_home(self, closed, call):
        home = Path(os.environ["NAPARI_TCIA_HOME"])
        (home / "drafts").mkdir()
        for file in closed.glob("*.dcm"):
            shutil.copy(file, home / "drafts")
        self.closes(call, home / "drafts")
        self.closes(call, next((home / "drafts").iterdir()))

    def test_without_its_record(self, closed, call):
        (closed / "complete.json").unlink()
        self.closes(call, closed)

    def test_its_credit_stays(self, closed, call):
        """Withdrawing terms never takes credit away."""
        code, answer = call("cite", closed)
        assert (code, answer["citations"][0]["kind"]) == (0, "synthetic")


def test_get_into_home_is_refused(accepted, call):
    out = Path(os.environ["NAPARI_TCIA_HOME"]) / "mine"
    code, answer = call("get", UID, "-o", out)
    assert (code, answer["error"]["code"]) == (2, "usage_error")
    assert not out.exists()


def test_a_record_of_another_archive_opens_nothing(kept, call, monkeypatch):
    other = StrictArchive()
    try:
        host = f"127.0.0.1:{other.port}"
        there = kept.parent.parent / host.replace(":", "_") / kept.name
        shutil.copytree(kept, there)
        monkeypatch.setenv("NAPARI_TCIA_ARCHIVE", f"{other.url}/nbia")
        code, answer = call("get", UID)
        assert code == 3, answer
        assert call("inspect", there)[0] == 3
        record = there / "complete.json"
        text = record.read_text().replace(kept.parent.name.replace("_", ":"), host)
        record.write_text(text)
        assert call("inspect", there)[0] == 3
        assert other.images_asked() == 0
    finally:
        other.close()


@pytest.mark.parametrize(
    "forged",
    [
        {"series": []},
        {"series": None},
        {"files": None},
        {"files": [5]},
        {"files": [{"name": 5, "size": 1}]},
        {"acceptance_ids": 5},
        {"series": {"series_uid": UID, "collection": 5, "licence_name": 7}},
        {"archive_host": None},
        {"schema": 99},
    ],
)
def test_a_forged_record_is_no_record(kept, call, forged):
    record = kept / "complete.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | forged))
    assert call("inspect", kept)[0] == 3
    assert call("doctor")[0] == 0
    code, answer = call("get", UID)
    assert (code, answer["series"][0]["state"]) == (0, "done")


def test_a_full_disk_hides_no_terms(strict, call, monkeypatch):
    home = Path(os.environ["NAPARI_TCIA_HOME"])
    home.mkdir()
    (home / "terms").write_text("a file where the copy's folder belongs")
    code, answer = call("terms", "Twin")
    assert (code, answer["records"][0]["documents"][1]["origin"]) == (0, "official")


def test_mixed_licences_are_accepted_one_by_one(strict, call):
    strict.rows = [row(), row(OTHER, LicenseName=None, LicenseURI=None)]
    code, answer = call("accept", "Twin", "--yes", "--name", "N")
    assert (code, [i["code"] for i in answer["issues"]]) == (0, ["terms_unknown"])
    code, answer = call("get", UID, OTHER)
    assert code == 3
    assert [one["state"] for one in answer["series"]] == ["done", "failed"]
    assert strict.images_asked() == 1


CC_TEXT = "Creative Commons Legal Code. Attribution 3.0 Unported. Give credit."


@pytest.fixture
def licences(strict, monkeypatch):
    """The strict archive also publishes the licence; its text may be changed."""
    monkeypatch.setenv("NAPARI_TCIA_LICENCES", f"{strict.url}/cc")
    said = {"text": CC_TEXT, "status": 200}
    strict.on(
        "/cc/by/3.0/legalcode.txt",
        lambda count, query: Answer(said["text"].encode(), said["status"]),
    )
    return said


def documents(call):
    code, answer = call("terms", "Twin")
    assert code == 0
    return {one["kind"]: one for one in answer["records"][0]["documents"]}


def test_the_official_licence_is_shown_and_recorded(strict, licences, call):
    licence = documents(call)["licence"]
    assert (licence["origin"], licence["text"]) == ("official", CC_TEXT)
    assert licence["retrieved"][:2] == "20"
    assert call("accept", "Twin", "--yes", "--name", "N")[0] == 0
    (record,) = call("ledger")[1]["records"]
    assert ["licence", "official", licence["sha256"]] in record["documents"]
    shown = Path(os.environ["NAPARI_TCIA_HOME"], "terms", "shown")
    assert (shown / f"{licence['sha256']}.txt").read_text() == CC_TEXT
    assert call("get", UID)[0] == 0


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 500},
        {"status": 404},
        {"text": "<html>Please log in to the guest network</html>"},
        {"text": "Down for maintenance."},
        {"text": CC_TEXT.replace("3.0", "4.0")},
        {"text": ""},
    ],
)
def test_a_flaky_licence_service_flips_no_acceptance(strict, licences, call, fault):
    assert call("accept", "Twin", "--yes", "--name", "N")[0] == 0
    good = dict(licences)
    licences.update(fault)
    assert call("get", UID)[0] == 0
    assert documents(call)["licence"]["text"] == CC_TEXT  # as it was kept
    licences.update(good)
    assert call("get", UID)[0] == 0


def test_a_summary_is_asked_again_once_the_text_can_be_shown(strict, licences, call):
    licences["status"] = 500
    assert documents(call)["licence"]["origin"] == "summary"
    assert call("accept", "Twin", "--yes", "--name", "N")[0] == 0
    assert call("get", UID)[0] == 0
    licences["status"] = 200
    _, answer = call("terms", "Twin")
    assert answer["records"][0]["changed"]


def test_a_silent_licence_service_costs_seconds_once(strict, licences, call):
    from napari_tcia.app.services import Services
    from napari_tcia.archive.licences import Licences
    from napari_tcia.terms.licence import LICENCES

    never = threading.Event()

    def silent(count, query):
        never.wait(30)
        return Answer(b"")

    strict.on("/cc/by/3.0/legalcode.txt", silent)
    services = Services.open()
    asker = Licences(services.transport, services.settings, patience=0.3)
    assert asker.text(LICENCES["CC-BY-3.0"]) is None
    assert asker.text(LICENCES["CC-BY-3.0"]) is None
    assert strict.count("/cc/by/3.0/legalcode.txt") == 1
    never.set()


def test_changed_licence_words_are_shown(strict, licences, call, capsys):
    from napari_tcia.cli import run

    assert call("accept", "Twin", "--yes", "--name", "N")[0] == 0
    licences["text"] = CC_TEXT.replace("Give credit.", "Give thanks.")
    code, answer = call("get", UID)
    assert (code, answer["error"]["code"]) == (3, "terms_changed")
    assert strict.images_asked() == 0
    _, answer = call("terms", "Twin")
    assert answer["records"][0]["difference"] == [
        {"kind": "licence", "what": "removed", "sentence": "Give credit."},
        {"kind": "licence", "what": "added", "sentence": "Give thanks."},
    ]
    assert run(["terms", "Twin"]) == 0
    shown = capsys.readouterr().out
    assert "- Give credit.\n" in shown
    assert "+ Give thanks.\n" in shown
    assert call("accept", "Twin", "--yes", "--name", "N")[0] == 0
    assert call("get", UID)[0] == 0


def test_accept_shows_what_changed_before_it_asks(accepted, strict):
    strict.policy = "Name the collection. Identify nobody at all."
    done = subprocess.run(
        [sys.executable, "-m", "napari_tcia", "accept", "Twin"],
        input="n\n",
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 3
    assert "- Do not identify anybody." in done.stderr
    assert "+ Identify nobody at all." in done.stderr


def test_an_archive_on_this_machine_asks_nobody_else(strict, call):
    """The guard of the tests would refuse any other address."""
    assert documents(call)["licence"]["origin"] == "summary"
    assert not [one for one in strict.asked if "legalcode" in one.path]


def test_terms_say_share_adapt_commercial_attribution_account(strict, capfd):
    from napari_tcia.cli import run

    assert run(["terms", "Twin"]) == 0
    shown = capfd.readouterr().out
    for line in (
        "SPDX id: CC-BY-3.0",
        "share: yes",
        "adapt: yes",
        "commercial use: yes",
        "attribution: required",
        "account: not required",
    ):
        assert line in shown


class TestLicenseOfTheZip:
    """The LICENSE that comes with the images names other terms."""

    NC = "http://creativecommons.org/licenses/by-nc/3.0/"

    @pytest.fixture
    def other(self, accepted, strict):
        strict.licence_text = SENT.format("Twin", "CC BY-NC 3.0", self.NC)
        return strict

    def test_it_is_kept_closed_until_these_are_accepted_too(self, other, call):
        code, answer = call("get", UID)
        assert (code, answer["error"]["code"]) == (3, "terms_changed")
        assert "CC BY-NC 3.0" in answer["error"]["message"]
        assert "Attribution 3.0" in answer["error"]["message"]
        home = Path(os.environ["NAPARI_TCIA_HOME"])
        assert not list(home.glob(f"store/*/{UID}"))
        (held,) = home.glob(f"quarantine/*/{UID}")
        assert len(list(held.glob("*.dcm"))) == 5
        for command in ("inspect", "nodes"):
            assert call(command, held)[0] == 3
        assert call("get", UID)[0] == 3
        _, answer = call("terms", "Twin")
        licences = [one["licence"]["id"] for one in answer["records"]]
        assert licences == ["CC-BY-3.0", "CC-BY-NC-3.0"]
        assert call("accept", "Twin", "--yes", "--name", "N")[0] == 0
        code, answer = call("get", UID)
        assert (code, answer["series"][0]["state"]) == (0, "done")
        assert other.images_asked() == 1
        assert not held.exists()
        assert call("inspect", answer["series"][0]["path"])[0] != 3
        assert call("get", UID)[1]["series"][0]["state"] == "present"
        assert call("revoke", "Twin")[0] == 0
        assert call("get", UID)[0] == 3

    def test_a_folder_of_the_user_does_not_get_it_either(self, other, call, tmp_path):
        out = tmp_path / "out"
        assert call("get", UID, "-o", out)[0] == 3
        assert not list(out.rglob("*.dcm"))
        assert call("accept", "Twin", "--yes", "--name", "N")[0] == 0
        assert call("get", UID, "-o", out)[0] == 0
        assert len(list(out.rglob("*.dcm"))) == 5
        assert other.images_asked() == 1

    def test_terms_that_nobody_can_accept_keep_it_closed(self, other, call):
        other.licence_text = SENT.format("Twin", "House rules", "https://x.org/rules")
        assert call("get", UID)[0] == 3
        assert call("accept", "Twin", "--yes", "--name", "N")[0] == 0
        code, answer = call("get", UID)
        assert (code, answer["error"]["code"]) == (3, "terms_unknown")
        assert other.images_asked() == 1

    def test_so_does_the_embedded_archive_with_its_fault(self, call, monkeypatch):
        with EmbeddedArchive(cases=1, fault="licence-file") as archive:
            for name, base in archive.bases.items():
                monkeypatch.setenv(f"NAPARI_TCIA_{name.upper()}", base)
            name = "SYNTHETIC-Head-Neck"
            assert call("accept", name, "--yes", "--name", "N")[0] == 0
            rows = call("search", "--collection", name)[1]["series"]
            uid = rows[0]["series_uid"]
            assert call("get", uid)[0] == 3
            assert call("accept", name, "--yes", "--name", "N")[0] == 0
            code, answer = call("get", uid)
            assert (code, answer["series"][0]["state"]) == (0, "done")
            assert call("inspect", answer["series"][0]["path"])[0] == 0
            sent = [r for r in archive.log if "/getImage?" in r.path]
            assert len(sent) == 1
            records = call("ledger")[1]["records"]
            origins = {tuple(d[:2]) for r in records for d in r["documents"]}
            assert origins == {("licence", "official"), ("policy", "official")}

    def test_a_bucket_sends_no_license_so_nothing_is_compared(self, call, monkeypatch):
        with EmbeddedArchive(cases=1, fault="licence-file") as archive:
            for name, base in archive.bases.items():
                monkeypatch.setenv(f"NAPARI_TCIA_{name.upper()}", base)
            name = "CT Lymph Nodes"
            assert call("accept", name, "--yes", "--name", "N")[0] == 0
            rows = call("search", "--collection", name, "--modality", "CT")[1]
            uid = rows["series"][0]["series_uid"]
            code, answer = call("get", uid, "--source", "idc")
            assert (code, answer["series"][0]["source"]) == (0, "idc")

    def test_the_same_terms_in_other_words_pass(self, other, call):
        uri = "https://creativecommons.org/licenses/by/3.0"
        other.licence_text = SENT.format("TWIN", "CC BY 3.0", uri)
        assert call("get", UID)[0] == 0


SENT = (
    "License Information. The {0} collection is distributed under the {1} at {2} "
    "By downloading the data, you agree to abide by terms of this license.\n"
)


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_the_ledger_can_be_taken_along(accepted, call, tmp_path, kind):
    out = tmp_path / f"ledger.{kind}"
    code, answer = call("ledger", "--export", out)
    assert (code, len(answer["records"])) == (0, 1)
    assert "chain intact" in out.read_text("utf-8")
    assert call("ledger", "--export", tmp_path / "x.doc")[0] == 2
    record = Path(os.environ["NAPARI_TCIA_HOME"], "ledger.jsonl")
    assert call("ledger", "--export", record)[0] == 2
    record.write_bytes(record.read_bytes().replace(b'"N"', b'"M"'))
    code, answer = call("ledger", "--export", out)
    assert code == 6
    assert "changed outside the program" in out.read_text("utf-8")
