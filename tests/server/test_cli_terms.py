"""Terms cannot be walked around from the command line."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import napari_tcia as nt
from napari_tcia.errors import AccessError
from small_archive import OTHER, UID
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
    out, _ = process.communicate(timeout=20)
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
