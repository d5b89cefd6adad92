"""Zips, as they arrive in pieces, and what is refused of them."""

from __future__ import annotations

import io
import stat
import struct
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_tcia.core.task import CancelToken
from napari_tcia.errors import (
    Cancelled,
    CorruptData,
    TciaError,
    Truncated,
    UnexpectedReply,
    UnsafeArchive,
)
from napari_tcia.transfer import unpack


def zipped(*members: tuple[str | zipfile.ZipInfo, bytes], method=zipfile.ZIP_DEFLATED):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return stream.getvalue()


def read(data: bytes, *, step: int = 1000, **limits) -> dict[str, bytes]:
    pieces = (data[i : i + step] for i in range(0, len(data), step))
    found = unpack.members(pieces, CancelToken(), **limits)
    return {name: b"".join(chunks) for name, chunks in found}


GOOD = {"LICENSE": b"terms", "1-001.dcm": bytes(range(256)) * 40, "b/1-002.dcm": b""}


@pytest.mark.parametrize("step", [1, 7, 1000, 10**6])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_members_arrive_whole_and_in_order(method, step):
    found = read(zipped(*GOOD.items(), method=method), step=step)
    assert found == GOOD
    assert list(found) == list(GOOD)


def test_a_streamed_zip_with_sizes_after_the_data():
    class Pipe(io.RawIOBase):
        """As the archive writes: without seeking back."""

        def __init__(self):
            self.data = bytearray()

        def writable(self):
            return True

        def write(self, data):
            self.data += data
            return len(data)

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in GOOD.items():
            archive.writestr(name, data)
    assert read(bytes(pipe.data)) == GOOD


@given(cut=st.integers(min_value=0, max_value=len(zipped(*GOOD.items())) - 1))
def test_a_cut_anywhere_is_noticed(cut):
    with pytest.raises(Truncated):
        read(zipped(*GOOD.items())[:cut])


@given(data=st.binary(max_size=600))
def test_any_bytes_end_in_a_named_error(data):
    """Random bytes are no zip; whatever they are, no bare exception escapes."""
    with pytest.raises(TciaError):
        read(data)
    with pytest.raises(TciaError):
        read(b"PK\x03\x04" + data)


@given(
    at=st.integers(min_value=40, max_value=len(zipped(*GOOD.items())) - 1),
    value=st.integers(min_value=1, max_value=255),
)
def test_a_flipped_byte_never_gives_wrong_data(at, value):
    """Checksums guard the data; names and unused fields may differ."""
    data = bytearray(zipped(*GOOD.items()))
    data[at] ^= value
    try:
        found = read(bytes(data))
    except TciaError:
        return
    assert list(found.values()) == list(GOOD.values())


def test_a_wrong_checksum_is_corrupt():
    data = zipped(("1-001.dcm", b"A" * 500), method=zipfile.ZIP_STORED)
    with pytest.raises(CorruptData, match=r"1-001\.dcm"):
        read(data.replace(b"A" * 500, b"A" * 499 + b"B"))


@pytest.mark.parametrize(
    "name",
    [
        "../x.dcm",
        "a/../../x.dcm",
        "/etc/x.dcm",
        "C:\\x.dcm",
        "C:x.dcm",
        "a\\..\\x.dcm",
        "a//x.dcm",
        "./x.dcm",
        "inner.zip",
        "x\x1b[2J.dcm",
        "n" * 300,
    ],
)
def test_names_that_leave_the_folder_are_refused(name):
    info = zipfile.ZipInfo("x")
    info.filename = name  # past the tidying of zipfile
    with pytest.raises(UnsafeArchive) as caught:
        read(zipped(("LICENSE", b"t"), (info, b"data")))
    assert "\x1b" not in str(caught.value)


def test_a_name_that_is_no_text_is_refused():
    data = zipped(("abc.dcm", b"data")).replace(b"abc.dcm", b"\xff\xfe\xfd.dcm")
    with pytest.raises(UnsafeArchive):
        read(data)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("second", ["x.dcm", "X.DCM"])
def test_a_repeated_name_is_refused(second):
    with pytest.raises(UnsafeArchive, match="twice"):
        read(zipped(("x.dcm", b"1"), (second, b"2")))


def test_a_link_is_refused():
    link = zipfile.ZipInfo("1-001.dcm")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(UnsafeArchive, match="link"):
        read(zipped(("LICENSE", b"t"), (link, b"/etc/passwd")))


def test_a_zip_within_the_zip_is_refused_whatever_its_name():
    with pytest.raises(UnsafeArchive, match="another zip"):
        read(zipped(("x.dcm", zipped(("y.dcm", b"data")))))


def test_an_encrypted_member_is_refused():
    data = bytearray(zipped(("x.dcm", b"data")))
    struct.pack_into("<H", data, 6, 1)  # general purpose flag, bit 0
    with pytest.raises(UnsafeArchive, match="of a kind"):
        read(bytes(data))


def test_a_bomb_stops_at_what_was_declared():
    bomb = zipped(("x.dcm", bytes(200 << 20)))
    assert len(bomb) < 1 << 20
    with pytest.raises(UnsafeArchive, match="more than expected") as caught:
        read(bomb, declared_bytes=1000)
    assert caught.value.numbers["unpacked"] <= (64 << 20) + 1500 + unpack.PIECE


def test_limits_of_a_member_and_of_their_number(monkeypatch):
    monkeypatch.setattr(unpack, "MAX_MEMBER_BYTES", 100)
    monkeypatch.setattr(unpack, "MAX_MEMBERS", 3)
    read(zipped(*((f"{n}.dcm", bytes(100)) for n in range(3))))
    with pytest.raises(UnsafeArchive, match="more than expected"):
        read(zipped(("x.dcm", bytes(101))))
    with pytest.raises(UnsafeArchive, match="more than 3"):
        read(zipped(*((f"{n}.dcm", b"") for n in range(4))))


def test_what_is_no_zip_is_quoted_in_clean_words():
    page = b"<html><body>\x1b[31mDown for <b>maintenance</b>\r\n</body></html>"
    with pytest.raises(UnexpectedReply, match="Down for maintenance"):
        read(page)


def test_nothing_at_all_is_truncated():
    with pytest.raises(Truncated):
        read(b"")


def test_a_directory_that_lists_more_than_arrived():
    data = zipped(("a.dcm", b"1"), ("b.dcm", b"2"), method=zipfile.ZIP_STORED)
    start = data.index(b"PK\x03\x04", 4)
    directory = data.index(b"PK\x01\x02")
    with pytest.raises(TciaError):
        read(data[:start] + data[directory:])


def test_folders_are_passed_over():
    assert read(zipped(("a/", b""), ("a/x.dcm", b"1"))) == {"a/x.dcm": b"1"}


def test_a_cancel_stops_between_chunks():
    token = CancelToken()
    data = zipped(("a.dcm", bytes(1 << 20)), method=zipfile.ZIP_STORED)
    found = unpack.members(iter([data]), token)
    _, chunks = next(found)
    next(chunks)
    token.cancel()
    with pytest.raises(Cancelled):
        next(chunks)
