"""Damage of a kind that chance seldom finds."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate, generate_frames

from dicom_factory import EXPLICIT, Stack, noise, recode, save
from napari_tcia.volume import read_volume

SHAPE = (3, 64, 48)
ENCODINGS = {
    "JPEG": "1.2.840.10008.1.2.4.70",
    "JPEG-LS": "1.2.840.10008.1.2.4.80",
    "JPEG 2000": "1.2.840.10008.1.2.4.90",
    "RLE": "1.2.840.10008.1.2.5",
}


def compressed(folder, encoding, change):
    """Three slices, the codestream of the middle one changed."""
    stack = Stack(noise(SHAPE), syntax=EXPLICIT)
    for n, file in enumerate(stack.write(folder)):
        recode(file, ENCODINGS[encoding])
        if n == 1:
            dataset = pydicom.dcmread(file)
            (frame,) = generate_frames(dataset.PixelData, number_of_frames=1)
            dataset.PixelData = encapsulate([change(frame)])
            save(dataset, file)
    return stack


def named(folder, stack, word):
    volume = read_volume(folder, allow_fail=True)
    assert volume.present.tolist() == [True, False, True]
    kept = volume.present
    np.testing.assert_array_equal(volume.array[kept], stack.stored[kept])
    (check,) = (c for c in volume.passport.checks if c.verdict == "fail")
    assert check.files == (str(folder / "1-002.dcm"),)
    assert word in check.message


@pytest.mark.parametrize("encoding", ["JPEG", "JPEG-LS", "JPEG 2000"])
def test_a_codestream_that_claims_to_be_huge(tmp_path, encoding):
    """Decoders would take the memory that it asks for: 7 GB here."""
    size = {"JPEG 2000": 4}.get(encoding, 2)
    old = b"".join(n.to_bytes(size) for n in (64, 48))
    if encoding == "JPEG 2000":
        old = b"".join(n.to_bytes(size) for n in (48, 64))

    def claim(frame):
        assert old in frame[:400]
        return frame.replace(old, (60_000).to_bytes(size) * 2, 1)

    named(tmp_path, compressed(tmp_path, encoding, claim), "cannot be read")


def test_rle_that_unpacks_to_more_than_a_frame(tmp_path):
    """It panics in one decoder, which is no Exception in Python."""

    def longer(frame):
        return frame[:64] + b"\x81\x00" * 3000 + frame[64:]

    named(tmp_path, compressed(tmp_path, "RLE", longer), "cannot be read")


def test_bits_at_an_unlawful_place_are_doubted(tmp_path):
    stack = Stack(noise((2, 4, 4)), bits_stored=12, extra={"HighBit": 15})
    stack.write(tmp_path)
    volume = read_volume(tmp_path)
    (check,) = (c for c in volume.passport.checks if c.verdict != "pass")
    assert (check.code, check.verdict) == ("high_bit", "warn")


@pytest.mark.parametrize("bits", [8, 32])
@pytest.mark.parametrize("encoding", ["JPEG", "JPEG-LS", "JPEG 2000"])
def test_a_codestream_of_other_bits_than_the_header(tmp_path, encoding, bits):
    """One decoder ends the process where 32 are allocated."""
    stack = compressed(tmp_path, encoding, lambda frame: frame)
    file = tmp_path / "1-002.dcm"
    dataset = pydicom.dcmread(file)
    dataset.BitsAllocated = dataset.BitsStored = bits
    dataset.HighBit = bits - 1
    save(dataset, file)
    volume = read_volume(tmp_path, allow_fail=True)
    whole = volume.present & (np.arange(3) != 1)
    assert whole.tolist() == [True, False, True]
    np.testing.assert_array_equal(volume.array[whole], stack.stored[whole])


@pytest.mark.parametrize("syntax", ["JPEG", "JPEG-LS", "JPEG 2000"])
def test_another_syntax_than_it_says_and_more_bits(tmp_path, syntax):
    """As above, but no codestream says how many bits there are."""
    stack = Stack(noise(SHAPE), syntax=EXPLICIT)
    files = stack.write(tmp_path)
    for file in files:
        recode(file, ENCODINGS["RLE"])
    dataset = pydicom.dcmread(files[1])
    dataset.file_meta.TransferSyntaxUID = ENCODINGS[syntax]
    dataset.BitsAllocated = 32
    save(dataset, files[1])
    named(tmp_path, stack, "cannot be read")


READ_IN_LITTLE_MEMORY = """
import resource, sys
from pathlib import Path
from napari_tcia.errors import UnsupportedData
from napari_tcia.volume import read_volume
read_volume(sys.argv[1])
pages = int(Path("/proc/self/statm").read_text().split()[0])
room = pages * resource.getpagesize() + (512 << 20)
resource.setrlimit(resource.RLIMIT_AS, (room, room))
try:
    read_volume(sys.argv[2])
except UnsupportedData as error:
    assert "more memory than is free" in str(error), error
    sys.exit(7)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS is Linux'")
def test_what_does_not_fit_into_memory_is_said(tmp_path):
    """Pixels of 1 GB that are truly there, most of them a hole in the file."""
    (tmp_path / "small").mkdir()
    stack = Stack(noise((64, 4, 4)), syntax=EXPLICIT)
    save(stack.enhanced(), tmp_path / "small" / "a.dcm")
    dataset = stack.enhanced()
    dataset.Rows = dataset.Columns = 4096
    dataset.PixelData = b"\0\0\0\0"
    large = tmp_path / "large.dcm"
    save(dataset, large)
    data = large.read_bytes()
    total = 64 * 4096 * 4096 * 2
    with Path(large).open("r+b") as stream:
        stream.seek(len(data) - 8)
        stream.write(total.to_bytes(4, "little"))
        stream.truncate(len(data) - 4 + total)
    command = [sys.executable, "-c", READ_IN_LITTLE_MEMORY, tmp_path / "small", large]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 7, done.stderr
