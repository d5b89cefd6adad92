"""Headers as they are walked, against pydicom, whatever lies between the elements."""

import struct
import warnings

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dicom_factory import EXPLICIT, Stack, noise, recode, save
from napari_tcia.volume import read_volume
from napari_tcia.volume.decode import Memory, read_header
from napari_tcia.volume.elements import Unusual, walk
from napari_tcia.volume.headers import scan

IMPLICIT = "1.2.840.10008.1.2"
SERIES = b"1.2.3.4"
LONG = (b"OB", b"OW", b"SQ", b"UN", b"UT")
UNDEFINED = 0xFFFFFFFF


def element(tag, vr, value, explicit, length=None):
    """One data element; of another length than its value where one is given."""
    length = len(value) if length is None else length
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
    if not explicit:
        return head + struct.pack("<I", length) + value
    if vr in LONG:
        return head + vr + b"\0\0" + struct.pack("<I", length) + value
    return head + vr + struct.pack("<H", length) + value


def part10(elements, explicit):
    """A file of these elements: (tag, vr, value[, length]), in their order."""
    syntax = EXPLICIT.encode() if explicit else IMPLICIT.encode()
    meta = element(0x00020010, b"UI", syntax + b"\0" * (len(syntax) % 2), True)
    meta = element(0x00020000, b"UL", struct.pack("<I", len(meta)), True) + meta
    body = b"".join(element(e[0], e[1], e[2], explicit, *e[3:]) for e in elements)
    return bytes(128) + b"DICM" + meta + body


def sequence(items, explicit, ends):
    """Value and length of a sequence; `ends` says whether lengths are undefined."""
    parts = []
    for item in items:
        body = b"".join(element(e[0], e[1], e[2], explicit, *e[3:]) for e in item)
        head = struct.pack("<HHI", 0xFFFE, 0xE000, UNDEFINED if ends else len(body))
        parts.append(head + body)
        if ends:
            parts.append(struct.pack("<HHI", 0xFFFE, 0xE00D, 0))
    value = b"".join(parts)
    if ends:
        return value + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0), UNDEFINED
    return value, len(value)


def padded(text, pad=b" "):
    return text + pad * (len(text) % 2)


numbers = st.one_of(
    st.floats(-999, 999).map(lambda v: f"{v:.6g}"),
    st.integers(-2000, 2000).map(str),
    st.floats(-99, 99).map(lambda v: f"{v:.3e}"),
    st.sampled_from(["0", "-0.0", "+1.5", " 2.25", "3.5 ", "1E2", ""]),
)
texts = st.text("ABC xyz-_.", max_size=30)
lone = st.binary(max_size=40).map(padded)
big = st.integers(0, 24_000).map(lambda n: b"\x01\x02" * (n // 2))


def decimals(count):
    several = st.lists(numbers, min_size=count, max_size=count)
    return several.map(lambda parts: padded("\\".join(parts).encode()))


@st.composite
def nested(draw, explicit, depth=0):
    """Value and length of a sequence of a few items, in which sequences may lie."""
    items = []
    for _ in range(draw(st.integers(0, 2))):
        item = [(0x00081150, b"UI", padded(b"1.2.840", b"\0"))]
        if draw(st.booleans()):
            item.append((0x00081155, b"LO", padded(draw(texts).encode())))
        if depth < 3 and draw(st.booleans()):
            item.append((0x00081199, b"SQ", *draw(nested(explicit, depth + 1))))
        items.append(item)
    return sequence(items, explicit, draw(st.booleans()))


@st.composite
def headers(draw, explicit):
    """A file with what the reader wants to know, and more in between."""
    count = draw(st.integers(1, 99_999))
    kept = [
        (0x00080008, b"CS", padded(b"ORIGINAL\\PRIMARY\\AXIAL")),
        (0x00080016, b"UI", padded(pydicom.uid.CTImageStorage.encode(), b"\0")),
        (0x00080018, b"UI", padded(f"1.2.3.{count}".encode(), b"\0")),
        (0x00080060, b"CS", b"CT"),
        (0x0020000E, b"UI", padded(SERIES, b"\0")),
        (0x00280002, b"US", struct.pack("<H", 1)),
        (0x00280004, b"CS", padded(b"MONOCHROME2")),
        (0x00280010, b"US", struct.pack("<H", 2)),
        (0x00280011, b"US", struct.pack("<H", 3)),
        (0x00280100, b"US", struct.pack("<H", 16)),
        (0x00280101, b"US", struct.pack("<H", draw(st.integers(1, 16)))),
        (0x00280103, b"US", struct.pack("<H", draw(st.integers(0, 1)))),
    ]
    free = {
        0x00080070: (b"LO", texts.map(lambda t: padded(t.encode()))),
        0x00081030: (b"LO", lone),
        0x0008103E: (b"LO", texts.map(lambda t: padded(t.encode()))),
        0x00091001: (b"UN", big),
        0x00091002: (b"OB", big),
        0x00100020: (b"LO", texts.map(lambda t: padded(t.encode()))),
        0x00104000: (b"LT", texts.map(lambda t: padded(t.encode()))),
        0x00180015: (b"CS", texts.map(lambda t: padded(t.encode()))),
        0x00180050: (b"DS", decimals(1)),
        0x00180088: (b"DS", decimals(1)),
        0x0020000D: (b"UI", st.just(b"61.7.22\0")),
        0x00200012: (b"IS", decimals(1)),
        0x00200013: (b"IS", decimals(1)),
        0x00200032: (b"DS", decimals(3)),
        0x00200037: (b"DS", decimals(6)),
        0x00200052: (b"UI", st.sampled_from([b"1.2\0", b"1.23", b""])),
        0x00280030: (b"DS", decimals(2)),
        0x00280120: (b"US", st.binary(min_size=2, max_size=2)),
        0x00281050: (b"DS", decimals(2)),
        0x00281051: (b"DS", decimals(2)),
        0x00281052: (b"DS", decimals(1)),
        0x00281053: (b"DS", decimals(1)),
        0x00291010: (b"UN", big),
        0x00431027: (b"UN", lone),
        0x00540081: (b"US", st.binary(min_size=2, max_size=2)),
    }
    for tag in sorted(draw(st.sets(st.sampled_from(sorted(free))))):
        vr, values = free[tag]
        kept.append((tag, vr, draw(values)))
    if any(tag == 0x00091001 or tag == 0x00091002 for tag, *_ in kept):
        kept.append((0x00090010, b"LO", b"ACME 1.0"))
    for tag in draw(st.sets(st.sampled_from((0x00081111, 0x00081140, 0x00321064)))):
        kept.append((tag, b"SQ", *draw(nested(explicit))))
    pixels = struct.pack("<6H", *range(6))
    return [*sorted(kept), (0x7FE00010, b"OW", pixels)]


def both(path, memory=None):
    """A header as it is read, and as pydicom alone reads it."""
    trusted = Memory() if memory is None else memory
    doubted = Memory(agreed=_NoTrust())
    return read_header(path, trusted), read_header(path, doubted)


class _NoTrust(dict):
    """Every series was found to be read otherwise by pydicom."""

    def __contains__(self, series):
        return True

    def __getitem__(self, series):
        return False


def is_walked(path):
    data = path.read_bytes()
    try:
        walk(data, len(data), ())
    except Unusual:
        return False
    return True


calm = settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@calm
@given(data=st.data(), explicit=st.booleans())
def test_any_header_is_read_as_by_pydicom(tmp_path, data, explicit):
    path = tmp_path / "a.dcm"
    path.write_bytes(part10(data.draw(headers(explicit)), explicit))
    assert is_walked(path)
    ours, theirs = both(path)
    assert ours == theirs
    assert ours.pixel_offset + ours.pixel_bytes == path.stat().st_size


@settings(calm, max_examples=25)
@given(data=st.data(), explicit=st.booleans(), odd=st.booleans(), place=st.integers(0))
def test_one_odd_file_among_many(tmp_path, data, explicit, odd, place):
    """What was learnt from one file is never taken for granted of the next."""
    usual = data.draw(headers(explicit))
    memory = Memory()
    for n in range(12):
        mine = [(*e[:2], _other(e, n), *e[3:]) for e in usual]
        other = not explicit if odd else explicit
        if n == place % 12:
            mine, how = data.draw(headers(other)), other
        else:
            how = explicit
        path = tmp_path / f"{n}.dcm"
        path.write_bytes(part10(mine, how))
        ours, theirs = both(path, memory)
        assert ours == theirs, n


@settings(calm, max_examples=40)
@given(
    data=st.data(),
    explicit=st.booleans(),
    changed=st.lists(st.integers(0, 40), min_size=12, max_size=12),
)
def test_files_of_equal_lengths_keep_their_own_values(
    tmp_path, data, explicit, changed
):
    usual = {entry[0]: entry for entry in data.draw(headers(explicit))}
    for tag, vr in ((0x00200013, b"IS"), (0x00200032, b"DS")):
        usual.setdefault(tag, (tag, vr, b"1\\2\\3 "))
    own = [0x00080018, 0x00200013, 0x00200032]
    memory = Memory()
    for n, at in enumerate(changed):
        mine = dict(usual)
        for tag in own + sorted(usual)[at : at + 1]:
            _, vr, value, *rest = mine[tag]
            mine[tag] = (tag, vr, _other_digits(value, n), *rest)
        path = tmp_path / f"{n}.dcm"
        path.write_bytes(part10([mine[tag] for tag in sorted(mine)], explicit))
        ours, theirs = both(path, memory)
        assert ours == theirs, n


def _other_digits(value, n):
    """As long as `value`; what is no text stays as it is."""
    if not value.strip(b"\0 ").isascii():
        return value
    figures = b"0123456789"
    turned = figures[n % 10 :] + figures[: n % 10]
    return value.translate(bytes.maketrans(figures, turned))


def _other(entry, n):
    """The value of an element in another file: often of another length."""
    tag, _, value = entry[:3]
    if tag == 0x00080018:
        return padded(f"1.2.3.{7**n}".encode(), b"\0")
    if tag == 0x00200032:
        return padded(f"-1.5\\{10 ** (n % 4)}\\{n * 0.625}".encode())
    return value


def _swapped(elements):
    return [*elements[:4], elements[5], elements[4], *elements[6:]]


def _unknown_vr(elements):
    return [(tag, b"ZZ" if vr == b"LO" else vr, *rest) for tag, vr, *rest in elements]


def _repeated(elements):
    return [*elements[:4], elements[3], *elements[4:]]


def _undefined_unknown(elements):
    value, length = sequence([[(0x00081150, b"UI", b"1.2\0")]], False, True)
    return sorted([*elements, (0x00091001, b"UN", value, length)])


BASE = [
    (0x00080016, b"UI", b"1.2.840.10008.5.1.4.1.1.2\0"),
    (0x00080060, b"CS", b"CT"),
    (0x00081030, b"LO", b"chest "),
    (0x00100020, b"LO", b"P1"),
    (0x0020000E, b"UI", SERIES + b"\0"),
    (0x00280010, b"US", b"\2\0"),
    (0x00280011, b"US", b"\2\0"),
    (0x00280100, b"US", b"\x10\0"),
    (0x7FE00010, b"OW", bytes(8)),
]


@pytest.mark.parametrize(
    "change", [_swapped, _unknown_vr, _repeated, _undefined_unknown]
)
def test_what_is_unusual_goes_to_pydicom(tmp_path, change):
    path = tmp_path / "a.dcm"
    path.write_bytes(part10(change(BASE), explicit=True))
    assert not is_walked(path)
    ours, theirs = both(path)
    assert ours == theirs
    assert (ours.rows, ours.patient_id, ours.pixel_bytes) == (2, "P1", 8)


@pytest.mark.parametrize("explicit", [True, False])
def test_implicit_that_says_it_is_explicit_and_the_reverse(tmp_path, explicit):
    """Some archives changed the name of the transfer syntax, and not the file."""
    path = tmp_path / "a.dcm"
    body = part10(BASE, explicit)[len(part10([], explicit)) :]
    path.write_bytes(part10([], not explicit) + body)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pydicom
        header = read_header(path)
    assert (header.rows, header.columns, header.pixel_bytes) == (2, 2, 8)
    assert header.pixel_offset == path.stat().st_size - 8


def test_a_file_that_ends_in_zeros(tmp_path):
    """As a copy leaves it that reserved its room first: quick, and named."""
    stack = Stack(noise((4, 256, 256)))
    files = stack.write(tmp_path)
    size = files[1].stat().st_size
    for file, keep in ((files[1], 132), (files[2], 900)):
        data = file.read_bytes()
        file.write_bytes(data[:keep] + bytes(size - keep))
    found = scan(tmp_path)
    assert set(found.unreadable) == {files[1], files[2]}
    assert len(found.headers) == 2


def test_deflated_frames_in_any_order(tmp_path):
    stack = Stack(noise((20, 8, 8)), syntax=EXPLICIT)
    path = tmp_path / "a.dcm"
    save(stack.enhanced(np.random.default_rng(1).permutation(20).tolist()), path)
    recode(path, "1.2.840.10008.1.2.1.99")
    np.testing.assert_array_equal(read_volume(tmp_path).array, stack.stored)
